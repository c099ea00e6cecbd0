//! `print`: live scores as JSON lines, without Kafka.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

use crate::source::Source;

/// Writes `records` records, or as many as there are, one a line. A closed pipe, as with `| head`, is not an error.
///
/// # Errors
/// Any other write error.
pub fn print(source: &mut Source, records: u64, mut out: impl Write) -> io::Result<()> {
    match lines(source, records, &mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn lines(source: &mut Source, records: u64, out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::with_capacity(1024);
    for _ in 0..records {
        let wait = source.due_in();
        if wait > Duration::ZERO {
            out.flush()?;
            thread::sleep(wait);
        }
        let Some(moment) = source.next() else { break };
        line.clear();
        serde_json::to_writer(&mut line, &moment.score)?;
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shared::live_score::LiveScore;

    use super::*;
    use crate::config::{Producing, Scenario};

    fn source(seed: u64, scenario: Scenario) -> Source {
        Source::new(&Producing { seed: Some(seed), scenario, matches: None, ..Producing::default() }, None)
    }

    /// A pipe whose reader goes after so many bytes.
    struct Pipe(usize);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_same_seed_prints_the_same_bytes() {
        for scenario in [Scenario::Matches, Scenario::Live] {
            let printed = |seed| {
                let mut out = Vec::new();
                print(&mut source(seed, scenario), 500, &mut out).unwrap();
                String::from_utf8(out).unwrap()
            };
            assert_eq!(printed(42), printed(42));
            assert_ne!(printed(42), printed(43));
            assert_eq!(printed(42).lines().count(), 500);
            for line in printed(42).lines() {
                serde_json::from_str::<LiveScore>(line).unwrap();
            }
        }
    }

    #[test]
    fn print_ends_with_the_last_match() {
        let producing =
            Producing { seed: Some(1), scenario: Scenario::Live, matches: Some(1), ..Producing::default() };
        let mut out = Vec::new();
        print(&mut Source::new(&producing, None), 100_000, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!((100..400).contains(&text.lines().count()), "{}", text.lines().count());
        assert!(text.lines().last().unwrap().contains("\"match_status\":\"Completed\""), "{text}");
    }

    #[test]
    fn a_closed_pipe_ends_quietly() {
        print(&mut source(1, Scenario::Matches), 1000, Pipe(5000)).unwrap();
    }
}
