//! Output of commands. Unlike `println!`, a write error does not panic.

use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, Write};

use crate::log;

/// Prints a line on standard output: [`print`] with a newline.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints on standard output: [`print`].
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::output::print(format_args!($($text)*)) };
}

/// Prints a line on standard error. A failure is ignored.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::print_error(format_args!($($text)*)) };
}

/// Prints on standard output. A closed pipe, as with `| head`, is not an error.
///
/// # Errors
/// Any other failure to write, such as a full disk.
pub fn print(text: Arguments<'_>) -> io::Result<()> {
    // Readers of both outputs together see them in their order.
    log::flush();
    write(&mut io::stdout().lock(), text)
}

/// A number with its noun: `1 row`, `2 rows`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn write(out: &mut impl Write, text: Arguments<'_>) -> io::Result<()> {
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// The texts of an error and of its causes in one line. A cause that the text before it names already is left out.
#[must_use]
pub fn with_causes(texts: impl IntoIterator<Item = String>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for text in texts {
        if parts.last().is_none_or(|before| !before.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// Prints a line on standard error, after the lines of the log. A failure is ignored.
pub fn print_error(text: Arguments<'_>) {
    log::line(format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_cause_is_named_once() {
        let of = |texts: &[&str]| with_causes(texts.iter().map(|text| (*text).to_owned()));
        assert_eq!(of(&["cannot read a: no such file", "no such file"]), "cannot read a: no such file");
        assert_eq!(of(&["no signals", "b", "c"]), "no signals: b: c");
        assert_eq!(of(&["a: b: c", "b: c", "c"]), "a: b: c");
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
        assert!(write(&mut Failing(ErrorKind::BrokenPipe), format_args!("x")).is_ok());
        let error = write(&mut Failing(ErrorKind::StorageFull), format_args!("x")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write to standard output"), "{error}");
    }
}
