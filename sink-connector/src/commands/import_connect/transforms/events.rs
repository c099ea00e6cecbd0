//! Transforms that open Debezium's change events.

use super::{Transform, accept, reject};
use crate::commands::import_connect::modes::is_debezium;
use crate::commands::import_connect::translation::Translation;

const DELETES: &str = "delete.handling.mode";
const TOMBSTONES: &str = "drop.tombstones";
/// In place of the two.
const DELETES_AND_TOMBSTONES: &str = "delete.tombstone.handling.mode";
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
    let dropped = drops_deletions(t, transform);
    if dropped {
        t.set(&["sink", "delete_enabled"], false);
    }
    for (option, fine) in [
        (DELETES, &["none", "drop"][..]),
        (DELETES_AND_TOMBSTONES, &["tombstone", "drop"]),
        (TOMBSTONES, &["true", "false"]),
    ] {
        let key = transform.key(option);
        match t.get(&key) {
            Some(mode) if !fine.contains(&mode.as_str()) => t.not_supported(&key, SOFT),
            Some(_) if dropped => {
                t.taken(&key, "no deletion reaches the connector: sink.delete_enabled = false");
            }
            Some(_) => t.not_needed(&key, "sink.delete_enabled decides"),
            None => {}
        }
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

/// Whether the transform removes both the event of a deletion and the tombstone after it. The older two options together
/// do so by default; the newer one, which counts if it is given, keeps one of them by default.
fn drops_deletions(t: &Translation, transform: &Transform) -> bool {
    if let Some(mode) = transform.get(t, DELETES_AND_TOMBSTONES) {
        return mode == "drop";
    }
    let (deletes, tombstones) = (transform.get(t, DELETES), transform.get(t, TOMBSTONES));
    (deletes.is_some() || tombstones.is_some())
        && deletes.is_none_or(|mode| mode == "drop")
        && tombstones.is_none_or(|flag| flag == "true")
}
