//! `print`: records as JSON lines, without Kafka.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

use crate::source::Source;

/// Writes `records` records, one a line. A closed pipe, as with `| head`, is not an error.
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
        line.clear();
        serde_json::to_writer(&mut line, &source.live_score())?;
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shared::live_score::LiveScore;

    use super::*;

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
        let printed = |seed| {
            let mut out = Vec::new();
            print(&mut Source::new(Some(seed), None), 500, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(printed(42), printed(42));
        assert_ne!(printed(42), printed(43));
        assert_eq!(printed(42).lines().count(), 500);
        for line in printed(42).lines() {
            serde_json::from_str::<LiveScore>(line).unwrap();
        }
    }

    #[test]
    fn a_closed_pipe_ends_quietly() {
        print(&mut Source::new(Some(1), None), 1000, Pipe(5000)).unwrap();
    }
}
