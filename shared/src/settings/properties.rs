//! librdkafka properties in settings: by name, and secret ones from files.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::errors::{RuleError, dotted};
use super::secret::Secret;

/// Suffix of a property whose value is the path of a file with the actual value.
const FILE: &str = "_file";

/// The JSON schema of librdkafka properties: a free map with dotted keys. Numbers and booleans are taken as text, and
/// `a.b = 1` means the same as `"a.b" = 1`. In a variable's name `_` stands for a dot and `__` for `_`.
#[must_use]
pub fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
}

/// The property that an entry sets: `sasl.password` for `sasl.password_file`.
#[must_use]
pub fn property_of(entry: &str) -> &str {
    entry.strip_suffix(FILE).unwrap_or(entry)
}

/// The key of an entry of `kafka.properties`, as errors show it.
#[must_use]
pub fn property_key(entry: &str) -> String {
    dotted(&["kafka".to_owned(), "properties".to_owned(), entry.to_owned()])
}

/// Reads the files of entries that end in `_file`: the values by property, and the errors.
#[must_use]
pub fn read_property_files(given: &BTreeMap<String, String>) -> (BTreeMap<String, Secret>, Vec<RuleError>) {
    let (mut secrets, mut broken) = (BTreeMap::new(), Vec::new());
    for (entry, path) in given {
        let Some(property) = entry.strip_suffix(FILE) else { continue };
        if given.contains_key(property) {
            let problem = format!("{property} is given as well; leave one of them out");
            broken.push(RuleError::new([property_key(entry)], problem));
            continue;
        }
        match Secret::read(Path::new(path)) {
            Ok(secret) => drop(secrets.insert(property.to_owned(), secret)),
            Err(error) => broken.push(RuleError::new([property_key(entry)], error.to_string())),
        }
    }
    (secrets, broken)
}

/// The properties for librdkafka, with those from files. Secrets are in clear text.
pub fn librdkafka<'a>(
    given: &'a BTreeMap<String, String>,
    secrets: &'a BTreeMap<String, Secret>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let plain = given.iter().filter(|(entry, _)| !entry.ends_with(FILE));
    let plain = plain.map(|(entry, value)| (entry.as_str(), value.as_str()));
    plain.chain(secrets.iter().map(|(property, secret)| (property.as_str(), secret.expose())))
}
