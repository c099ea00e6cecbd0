//! Transforms of the fields of values: ReplaceField, InsertField.

use super::{Chain, Transform};
use crate::commands::import_connect::translation::{Translation, list};
use crate::types::IDENTIFIER_MAX_BYTES;

const RENAME: [&str; 2] = ["sink", "rename"];
const METADATA: [&str; 2] = ["sink", "metadata"];

pub(super) fn replace(t: &mut Translation, chain: &mut Chain, transform: &Transform) {
    t.taken(&transform.key("type"), "its options are below");
    let key = transform.key("renames");
    let pairs = pairs(t, transform);
    // The pairs of one transform apply at once: two fields may change names.
    let named: Vec<_> = pairs.iter().map(|(field, _)| (source(t, field), has_other_name(t, field))).collect();
    for ((field, column), (from, renamed)) in pairs.iter().zip(named) {
        let (map, before) = from.clone();
        if renamed {
            t.not_supported(&key, format!("{field:?} has another name after an earlier transform"));
        } else if set(t, &key, field, from, column) && map == "rename" && before != *field {
            t.not_supported(
                &key,
                format!(
                    "an earlier transform renames {before:?} to {field:?}: a record that has both fields gives another row here; \
                     rename {before:?} to {column:?} at once"
                ),
            );
        }
    }
    chain.key.value_renamed(&pairs);
    for option in ["exclude", "blacklist", "include", "whitelist"] {
        let key = transform.key(option);
        if t.get(&key).is_some() {
            t.not_supported(
                &key,
                "a field without a column is left out: the table decides which fields are written",
            );
        }
    }
}

/// `field:name,…`, as ReplaceField has them.
pub(super) fn pairs(t: &mut Translation, transform: &Transform) -> Vec<(String, String)> {
    let key = transform.key("renames");
    let mut pairs = Vec::new();
    for pair in list(&transform.get(t, "renames").unwrap_or_default()) {
        match pair.split_once(':') {
            Some((field, name)) => pairs.push((field.trim().to_owned(), name.trim().to_owned())),
            None => t.not_supported(&key, format!("{pair} is not field:column")),
        }
    }
    pairs
}

/// Stores a field in a column of another name, unless the column has another source. Returns whether it is stored there.
pub(super) fn rename(t: &mut Translation, key: &str, field: &str, column: &str) -> bool {
    let from = source(t, field);
    set(t, key, field, from, column)
}

/// Stores fields in columns of other names. Two of them may change names.
pub(super) fn rename_at_once<'a>(
    t: &mut Translation,
    key: &str,
    pairs: impl Iterator<Item = &'a (String, String)>,
) {
    let pairs: Vec<_> = pairs.map(|pair| (pair, source(t, &pair.0))).collect();
    for ((field, column), from) in pairs {
        set(t, key, field, from, column);
    }
}

/// What a field was before earlier transforms renamed it: the name of a map, and the key there.
type Source = (&'static str, String);

fn source(t: &Translation, field: &str) -> Source {
    let earlier = ["rename", "metadata"].into_iter().find_map(|map| {
        let entries = t.value(&["sink", map])?.as_table()?;
        let (name, _) = entries.iter().find(|(_, column)| column.as_str() == Some(field))?;
        Some((map, name.clone()))
    });
    earlier.unwrap_or_else(|| ("rename", field.to_owned()))
}

/// Whether earlier transforms have renamed this field, and none to this name.
fn has_other_name(t: &Translation, field: &str) -> bool {
    t.value(&["sink", "rename", field]).is_some() && source(t, field) == ("rename", field.to_owned())
}

fn set(t: &mut Translation, key: &str, field: &str, (map, name): Source, column: &str) -> bool {
    if field.is_empty() || column.is_empty() || column.len() > IDENTIFIER_MAX_BYTES {
        t.not_supported(key, format!("{field:?} cannot be stored in a column {column:?}"));
        return false;
    }
    if has_source(t, column) && t.text(&["sink", map, &name]) != column {
        t.not_supported(key, format!("column {column:?} has another source already"));
        return false;
    }
    if map == "rename" && name == column {
        t.unset(&["sink", map, &name]);
    } else {
        t.set(&["sink", map, &name], column);
    }
    t.taken(key, format!("sink.{map}.{name:?} = {column:?}"));
    true
}

fn has_source(t: &Translation, column: &str) -> bool {
    [RENAME, METADATA].iter().any(|map| t.texts(map).iter().any(|used| used == column))
}

pub(super) fn insert(t: &mut Translation, chain: &Chain, transform: &Transform) {
    t.taken(&transform.key("type"), "its options are below");
    for (option, metadata) in [
        ("topic.field", "topic"),
        ("partition.field", "partition"),
        ("offset.field", "offset"),
        ("timestamp.field", "timestamp"),
    ] {
        let key = transform.key(option);
        let Some(field) = transform.get(t, option) else { continue };
        let column = field.trim_end_matches(['!', '?']).to_owned();
        let in_key = t.texts(&["sink", "pk_fields"]).contains(&column)
            && t.text(&["sink", "pk_mode"]) != "record_value";
        if metadata == "topic" && chain.routes.have_renamed() {
            let why = "Connect stores the name that the router gives the topic, and this sink that of the topic in Kafka: let a \
                       generated column of the table derive the one from the other";
            t.not_supported(&key, why);
        } else if has_source(t, &column)
            || in_key
            || t.value(&["sink", "metadata", metadata]).is_some()
            || column.is_empty()
            || column.len() > IDENTIFIER_MAX_BYTES
        {
            t.not_supported(&key, format!("column {column:?} has another source already"));
        } else {
            t.take(&key, &["sink", "metadata", metadata], column);
        }
    }
    for option in ["static.field", "static.value"] {
        if transform.get(t, option).is_some() {
            t.not_supported(&transform.key(option), "give the column a DEFAULT with this value");
        }
    }
    let key = transform.key("replace.null.with.default");
    if t.input.contains_key(&key) {
        t.not_needed(&key, "metadata columns have no schema");
    }
}
