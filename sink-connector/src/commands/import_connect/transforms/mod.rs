//! `transforms`: what a chain of single message transforms does, as keys of ours where they can say it.

mod events;
mod fields;
mod key;
mod routes;
mod times;

use std::collections::BTreeMap;

pub(super) use self::key::Key;

use self::routes::Routes;
use super::formats::last;
use super::translation::{Translation, list};

/// One transform: its name, and whether it changes keys.
struct Transform {
    prefix: String,
    of_key: bool,
}

impl Transform {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn get(&self, t: &Translation, name: &str) -> Option<String> {
        t.get(&self.key(name))
    }
}

/// What the transforms so far have made of a record, beside its value.
struct Chain {
    routes: Routes,
    key: Key,
}

/// What the whole chain makes of a record, beside its value.
pub(super) struct Transformed {
    pub key: Key,
    /// The name of each topic.
    pub topics: BTreeMap<String, String>,
}

/// Translates the chain.
pub(super) fn convert(t: &mut Translation) -> Transformed {
    let names = t.get("transforms").map(|names| list(&names)).unwrap_or_default();
    if t.input.contains_key("transforms") && !names.is_empty() {
        t.taken("transforms", format!("each transform is below: {}", names.join(", ")));
    }
    let mut chain = Chain { routes: Routes::new(t), key: Key::default() };
    for (place, name) in names.iter().enumerate() {
        let prefix = format!("transforms.{name}");
        let Some(class) = t.get(&format!("{prefix}.type")) else {
            t.not_supported("transforms", format!("the type of {name} is not known"));
            continue;
        };
        let transform = Transform { of_key: class.ends_with("$Key"), prefix };
        if transform.get(t, "predicate").is_none() {
            one(t, &mut chain, transform, last(&class));
        } else if !(last(&class) == "Filter"
            && drops_tombstones(t, &transform, unwrapped_after(t, &names[place..])))
        {
            let why = "a transform with a predicate is not there: it would apply to every record";
            reject(t, &transform, why);
        }
    }
    for key in t.input.keys().filter(|key| is_of_transforms(key)).cloned().collect::<Vec<_>>() {
        let known = names.iter().any(|name| key.starts_with(&format!("transforms.{name}.")));
        let of_key = chain.key.transforms().any(|prefix| key.starts_with(&format!("{prefix}.")));
        if t.report.has(&key) || of_key || super::translation::is_reference(&t.input[&key]) {
            continue;
        }
        if known {
            t.not_supported(&key, "this option of the transform is not known here");
        } else if key.starts_with("predicates") {
            t.not_supported(&key, "predicates are not there");
        } else {
            t.not_needed(&key, "belongs to a transform that `transforms` does not name");
        }
    }
    Transformed { key: chain.key, topics: chain.routes.names }
}

fn is_of_transforms(key: &str) -> bool {
    key.starts_with("transforms.") || key == "predicates" || key.starts_with("predicates.")
}

fn one(t: &mut Translation, chain: &mut Chain, transform: Transform, class: &str) {
    match class {
        _ if transform.of_key || class == "ValueToKey" => chain.key.transform(t, transform, class),
        "ReplaceField" => fields::replace(t, chain, &transform),
        "InsertField" => fields::insert(t, chain, &transform),
        "RegexRouter" | "ByLogicalTableRouter" => chain.routes.route(t, &transform, class),
        "ExtractField" => events::extract_field(t, &transform),
        "ExtractNewRecordState" => events::new_record_state(t, &transform),
        "TimestampConverter" => times::convert(t, &transform),
        "Cast" => reject(
            t,
            &transform,
            "the type of the column decides: numbers and booleans go into a column of type text as they are written in the JSON \
             (1.50, 1e2), and a column of integers rejects 1.9 and true, a boolean column 2; have the producer write the type",
        ),
        "SetSchemaMetadata" => accept(t, &transform, "names of schemas are not read"),
        "TombstoneHandler" | "DropHeaders" | "InsertHeader" => {
            accept(
                t,
                &transform,
                "tombstones are skipped or delete rows, and headers are not written unless sink.metadata.headers is set",
            );
        }
        "Flatten" => reject(
            t,
            &transform,
            "an object goes into a column of type jsonb as it is; a generated column can take a part of it",
        ),
        "MaskField" => {
            reject(t, &transform, "leave the column out of the table: the field is then ignored");
        }
        "Filter" => reject(
            t,
            &transform,
            "every record is written; a trigger of the table that returns NULL skips rows",
        ),
        "TimestampRouter" => {
            reject(t, &transform, "partition the table by time: PostgreSQL then chooses the partition");
        }
        "HoistField" | "HeaderFrom" => reject(t, &transform, "fields are columns of the same names"),
        other => reject(t, &transform, &format!("{other} is not known here")),
    }
}

/// Whether change events are unwrapped by one of these transforms.
fn unwrapped_after(t: &Translation, names: &[String]) -> bool {
    let class = |name: &String| t.get(&format!("transforms.{name}.type"));
    names.iter().filter_map(class).any(|class| last(&class) == "ExtractNewRecordState")
}

/// A filter that removes tombstones, and nothing else, is `delete_enabled = false`, which skips them. If change events are
/// unwrapped after it, it removes those that follow a deletion, and the deletion is another event.
fn drops_tombstones(t: &mut Translation, transform: &Transform, change_events: bool) -> bool {
    let predicate = transform.get(t, "predicate").map(|name| format!("predicates.{name}.type"));
    let Some(predicate) = predicate else { return false };
    let tombstones = t.get(&predicate).is_some_and(|class| last(&class) == "RecordIsTombstone");
    let negated = transform.get(t, "negate").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if !tombstones || negated {
        return false;
    }
    let why = if change_events {
        "a tombstone after the event of a deletion changes nothing: the row is deleted by the event"
    } else {
        t.set(&["sink", "delete_enabled"], false);
        "tombstones are skipped: sink.delete_enabled = false"
    };
    let keys = own_keys(t, transform).into_iter().chain(["predicates".to_owned(), predicate]);
    for key in keys.filter(|key| t.input.contains_key(key)).collect::<Vec<_>>() {
        t.taken(&key, why);
    }
    true
}

/// Every key of the transform is not needed.
fn accept(t: &mut Translation, transform: &Transform, why: &str) {
    for key in own_keys(t, transform) {
        t.not_needed(&key, why);
    }
}

/// No key of the transform is supported.
fn reject(t: &mut Translation, transform: &Transform, instead: &str) {
    for key in own_keys(t, transform) {
        t.not_supported(&key, instead);
    }
}

/// The keys of the transform that are not reported yet.
fn own_keys(t: &Translation, transform: &Transform) -> Vec<String> {
    let prefix = format!("{}.", transform.prefix);
    t.input.keys().filter(|key| key.starts_with(&prefix) && !t.report.has(key)).cloned().collect()
}
