//! Whether an upsert would overwrite rows that were not meant to be the same: its key repeats, and is not known to be one.

use std::collections::HashMap;

use serde_json::Value;

use super::finding::Report;
use crate::commands::infer_ddl::key::names_a_key;
use crate::commands::sample::Sampled;
use crate::decode::Opened;
use crate::table::plan::{Mode, Plan, Wanted};

/// Warns if records of the sample repeat the key of others with another content. A key that is the record's key, or has
/// the name of one, may repeat: its rows are updated.
pub(super) fn check(subject: &str, records: &[Sampled], wanted: &Wanted, plan: &Plan, report: &mut Report) {
    if plan.mode != Mode::Upsert || wanted.record_key || wanted.key.is_empty() {
        return;
    }
    let field_of = |column: &String| {
        let renamed = wanted.rename.iter().find(|(_, to)| to == column);
        renamed.map_or_else(|| column.clone(), |(from, _)| from.clone())
    };
    let fields: Vec<String> = wanted.key.iter().map(field_of).collect();
    if fields.iter().any(|field| names_a_key(field)) {
        return;
    }
    let mut last: HashMap<Vec<String>, Value> = HashMap::new();
    let mut overwritten = 0;
    for record in records {
        let Some(payload) = record.payload.as_deref() else { continue };
        let Ok(Opened::Row(row)) = plan.decoder.open(payload) else { continue };
        let Ok(row) = serde_json::from_slice::<Value>(&row) else { continue };
        let Some(key) = fields.iter().map(|field| row.get(field).map(Value::to_string)).collect() else {
            continue;
        };
        if is_record_key(record, &fields, &row) {
            return;
        }
        overwritten += u32::from(last.insert(key, row.clone()).is_some_and(|before| before != row));
    }
    if overwritten > 0 {
        report.warning(
            subject,
            format!(
                "{overwritten} of {} records overwrite another row, because they have the same {}",
                records.len(),
                wanted.key.join(", ")
            ),
            "if each of them is to be a row, choose a key that distinguishes them (infer-ddl proposes one), or pk_mode = \
             \"kafka\"",
        );
    }
}

/// Whether the producer uses the field as the record's key as well.
fn is_record_key(record: &Sampled, fields: &[String], row: &Value) -> bool {
    let ([field], Some(key)) = (fields, record.key.as_deref()) else { return false };
    let value = &row[field];
    value.as_str().is_some_and(|text| text.as_bytes() == key) || value.to_string().as_bytes() == key
}
