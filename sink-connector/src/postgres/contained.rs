//! Limits a panic of a library to one attempt.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `attempt`. A panic becomes an error with the text of the panic.
pub(crate) fn contain<T>(attempt: impl FnOnce() -> T) -> Result<T, String> {
    let before = CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(attempt));
    CONTAINED.set(before);
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
    })
}

/// Makes a panic in any thread end the process with exit code 1, unless it is contained. Uncommitted records are read again
/// at the next start.
pub(crate) fn exit_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !CONTAINED.get() {
            report(info);
            std::process::exit(1);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contained_panic_is_an_error_with_its_text() {
        assert_eq!(contain(|| 1), Ok(1));
        assert_eq!(contain(|| panic!("too many {}", "files")), Err::<(), _>("too many files".to_owned()));
        assert!(!CONTAINED.get());
    }
}
