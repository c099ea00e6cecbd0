//! Environment variables and flags: texts that are parsed as the kind of their key.

use toml::Value;

use super::check::{scalar, wrong_type};
use super::errors::Problem;
use super::schema::{Key, Kind, Schema};
use super::suggest;

/// The part of a variable's name after `PREFIX__`, in lower case.
pub(super) fn ours(schema: &Schema, variable: &str) -> Option<String> {
    let prefix = format!("{}__", schema.prefix);
    let head = variable.get(..prefix.len())?;
    head.eq_ignore_ascii_case(&prefix).then(|| variable[prefix.len()..].to_ascii_lowercase())
}

/// The path and the key of a variable's name (from [`ours`]). The error is the path as far as it is known, and the problem.
pub(super) fn place<'a>(schema: &'a Schema, name: &str) -> Result<(Vec<String>, &'a Key), (String, Problem)> {
    let path = name.replace("__", ".");
    if let Some(key) = schema.find(&path) {
        return match key.kind {
            Kind::Properties => {
                Err((path, Problem::MapVariable(format!("{}__CLIENT_ID", schema.variable(&key.path)))))
            }
            _ if key.kind.is_file_only() => Err((path, Problem::FileOnly(key.path.clone()))),
            _ => Ok((parts(&path), key)),
        };
    }
    for key in &schema.keys {
        let prefix = format!("{}__", key.path.replace('.', "__"));
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        if key.kind == Kind::Properties && !rest.is_empty() {
            let property = rest.split("__").map(|part| part.replace('_', ".")).collect::<Vec<_>>().join("_");
            return Ok((parts(&key.path).into_iter().chain([property]).collect(), key));
        }
        if key.kind.is_file_only() {
            return Err((path, Problem::FileOnly(key.path.clone())));
        }
    }
    if schema.is_section(&path) {
        return Err((path, Problem::SectionVariable));
    }
    let meant = suggest::path(schema, &path).map(|meant| schema.variable(meant));
    Err((path, Problem::UnknownKey(meant)))
}

/// Parses the text of a variable or flag for a key. The problem never shows free text, which may be a secret.
pub(super) fn parse(key: &Key, text: &str) -> Result<Value, Problem> {
    let kind = &key.kind;
    let wrong = || wrong_type(kind, format!("{text:?}"));
    let trimmed = text.trim();
    let value = match kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Choice(_) => Value::String(trimmed.to_owned()),
        Kind::Integer { .. } => Value::Integer(trimmed.parse().map_err(|_| wrong())?),
        Kind::Float { .. } => Value::Float(trimmed.parse().map_err(|_| wrong())?),
        Kind::Boolean => Value::Boolean(trimmed.parse().map_err(|_| wrong())?),
        Kind::List if trimmed.is_empty() => Value::Array(Vec::new()),
        Kind::List => Value::Array(trimmed.split(',').map(|part| part.trim().into()).collect()),
        // The value of one property may be any text.
        Kind::Properties => return Ok(Value::String(text.to_owned())),
        Kind::Map(_) | Kind::Tables(_) => return Err(Problem::FileOnly(key.path.clone())),
    };
    scalar(kind, value)
}

pub(super) fn parts(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}
