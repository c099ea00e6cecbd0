//! Values of the contract that this version does not implement yet. An implemented one loses its line here.

use shared::settings::RuleError;

use super::{Config, DeadLetters, Tolerance};

/// What is wanted of the whole sink, but not there yet.
pub(super) fn of_sink(config: &Config) -> Vec<RuleError> {
    let wanted = [
        ("errors.tolerance", config.errors.tolerance == Tolerance::None, "tolerance = \"none\""),
        ("errors.dead_letters", config.errors.dead_letters == DeadLetters::Topic, "dead_letters = \"topic\""),
    ];
    wanted
        .into_iter()
        .filter(|(_, wanted, _)| *wanted)
        .map(|(key, _, what)| refuse(key.to_owned(), what))
        .collect()
}

fn refuse(key: String, what: &str) -> RuleError {
    RuleError::new([key], format!("{what} is not supported by this version"))
}
