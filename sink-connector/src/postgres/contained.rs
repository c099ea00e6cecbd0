//! Limits a panic of a library to one attempt.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// A panic that was contained, with its text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ContainedPanic(String);

/// Runs `attempt`. A panic becomes an error.
pub(crate) fn contain<T>(attempt: impl FnOnce() -> T) -> Result<T, ContainedPanic> {
    let before = CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(attempt));
    CONTAINED.set(before);
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        ContainedPanic(text.unwrap_or("a panic without a text").to_owned())
    })
}

/// Makes a panic in any thread end the process with exit code 1, unless it is contained. Uncommitted records are read again
/// at the next start.
pub(crate) fn exit_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !CONTAINED.get() {
            // If nobody reads standard error, the report would wait for ever.
            if shared::log::flush() {
                report(info);
            }
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
        let panicked: Result<(), _> = contain(|| panic!("too many {}", "files"));
        assert_eq!(panicked, Err(ContainedPanic("too many files".to_owned())));
        assert!(!CONTAINED.get());
    }
}
