//! Loads what was produced, by the rules that every command begins with. What they refuse is reported: a configuration
//! without a finding loads.

use super::translation::Translation;
use crate::commands::CHECKS;
use crate::config::Config;

/// Reports every error of the configuration at the key of the input that it comes from.
pub(super) fn convert(t: &mut Translation) -> Result<(), toml::ser::Error> {
    let text = toml::to_string(t.settings())?;
    let Err(errors) = Config::from_text(&text, CHECKS) else { return Ok(()) };
    for error in errors.0 {
        let why = format!("{}: {}", error.key, error.problem);
        let key = t.source(&error.key).unwrap_or(&error.key).to_owned();
        t.not_supported(&key, why);
    }
    Ok(())
}
