//! Whether an upsert would overwrite rows that were not meant to be the same: its key repeats, and is not known to be one.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::finding::Report;
use crate::commands::infer_ddl::key::{is_own, names_a_key};
use crate::commands::sample::Sampled;
use crate::decode::Opened;
use crate::table::plan::{Mode, Plan, Wanted};

/// Warns if records of the sample repeat the key of others with another content. A key that is the record's key, or has
/// the name of one, may repeat: its rows are updated. But one with the name of another thing's key (`customer_id` in the topic
/// `orders`) may not, where all records differ in a field that has the name of a key as well.
pub(super) fn check(topic: &str, records: &[Sampled], wanted: &Wanted, plan: &Plan, report: &mut Report) {
    let subject = format!("sample of {topic}");
    if plan.mode != Mode::Upsert || wanted.record_key || wanted.key.is_empty() {
        return;
    }
    let field_of = |column: &String| {
        let renamed = wanted.rename.iter().find(|(_, to)| to == column);
        renamed.map_or_else(|| column.clone(), |(from, _)| from.clone())
    };
    let fields: Vec<String> = wanted.key.iter().map(field_of).collect();
    let is_key = fields.iter().any(|field| names_a_key(field));
    if is_key && (fields.len() > 1 || is_own(&fields[0], topic)) {
        return;
    }
    let mut rows = Vec::new();
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
        rows.push(row);
    }
    let differ_in = is_key.then(|| identifying(&rows, &fields));
    if overwritten > 0 && differ_in != Some(None) {
        let differ_in = differ_in.flatten().map(|field| format!(", and all records differ in {field}"));
        report.warning(
            &subject,
            format!(
                "{overwritten} of {} records overwrite another row, because they have the same {}{}",
                records.len(),
                wanted.key.join(", "),
                differ_in.unwrap_or_default()
            ),
            "if each of them is to be a row, choose a key that distinguishes them (infer-ddl proposes one), or pk_mode = \
             \"kafka\"",
        );
    }
}

/// A field with the name of a key, other than `fields`, in which all rows differ.
fn identifying(rows: &[Value], fields: &[String]) -> Option<String> {
    let names = rows.first()?.as_object()?.keys().filter(|name| names_a_key(name) && !fields.contains(name));
    let differ = |name: &&String| {
        let values: HashSet<String> = rows.iter().map(|row| row[name.as_str()].to_string()).collect();
        values.len() == rows.len() && !values.contains("null")
    };
    names.clone().find(differ).cloned()
}

/// Whether the producer uses the field as the record's key as well.
fn is_record_key(record: &Sampled, fields: &[String], row: &Value) -> bool {
    let ([field], Some(key)) = (fields, record.key.as_deref()) else { return false };
    let value = &row[field];
    value.as_str().is_some_and(|text| text.as_bytes() == key) || value.to_string().as_bytes() == key
}
