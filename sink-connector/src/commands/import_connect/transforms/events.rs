//! Transforms that open Debezium's change events.

use super::{Transform, accept, reject};
use crate::commands::import_connect::modes::is_debezium;
use crate::commands::import_connect::translation::Translation;

const SOFT: &str = "rows are deleted with sink.delete_enabled; there are no soft deletes";

pub(super) fn extract_field(t: &mut Translation, transform: &Transform) {
    let Some(field) = transform.get(t, "field") else {
        return reject(t, transform, "it names no field");
    };
    if field == "after" && is_debezium(t) {
        accept(t, transform, "value_format = \"debezium\" takes the row after the change");
    } else {
        reject(
            t,
            transform,
            "the row is the whole value: value_format opens the envelopes of Connect and Debezium",
        );
    }
}

/// The format was chosen for it: see `formats`.
pub(super) fn new_record_state(t: &mut Translation, transform: &Transform) {
    t.taken(&transform.key("type"), "sink.value_format = \"debezium\"");
    for (option, fine) in [
        ("delete.handling.mode", ["none", "drop"]),
        ("delete.tombstone.handling.mode", ["tombstone", "drop"]),
    ] {
        let key = transform.key(option);
        match t.get(&key) {
            Some(mode) if fine.contains(&mode.as_str()) => t.not_needed(&key, "sink.delete_enabled decides"),
            Some(_) => t.not_supported(&key, SOFT),
            None => {}
        }
    }
    let key = transform.key("drop.tombstones");
    if t.get(&key).is_some() {
        t.not_needed(&key, "sink.delete_enabled decides");
    }
    for option in ["add.fields", "add.headers", "add.fields.prefix", "add.headers.prefix", "route.by.field"] {
        let key = transform.key(option);
        if t.get(&key).is_some() {
            t.not_supported(
                &key,
                "only the row is written, and sink.metadata: topic, partition, offset, timestamp, key, headers",
            );
        }
    }
}
