//! What becomes of one line: the sink's own batch decodes and encodes it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::lines::{self, Line, NotARecord};

use super::text::value;
use crate::batch::rows::{Op, Row, Rows, duplicate, missing_field};
use crate::batch::{Batch, Skip};
use crate::commands::Usage;
use crate::decode::{Cells, Opened, Reason, Rejection};
use crate::kafka::record::Incoming;
use crate::rejects::cause::Cause;
use crate::table::plan::{Mode, Plan};
use crate::types::{Offset, TopicPartition};

/// One line, and what becomes of it.
#[derive(Debug, Serialize)]
pub(super) struct Tried {
    pub line: u64,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It is written: the columns that it carries.
    Row { row: Columns },
    /// It deletes the row with this key.
    Delete { key: Columns },
    /// It is skipped by a declared policy.
    Skipped { reason: &'static str },
    /// It cannot be written.
    Rejected {
        reason: &'static str,
        /// The field whose value is rejected, if it is one.
        field: Option<String>,
        column: Option<String>,
        detail: String,
        /// What to do about it.
        action: String,
    },
}

/// Values by column, in the order of the table.
#[derive(Debug)]
pub(super) struct Columns(pub Vec<(String, Box<RawValue>)>);

impl Serialize for Columns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// How many lines became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub lines: u64,
    pub rows: u64,
    pub deleted: u64,
    pub skipped: u64,
    pub rejected: u64,
}

impl Counts {
    pub(super) fn add(&mut self, tried: &Tried) {
        self.lines += 1;
        *match tried.outcome {
            Outcome::Row { .. } => &mut self.rows,
            Outcome::Delete { .. } => &mut self.deleted,
            Outcome::Skipped { .. } => &mut self.skipped,
            Outcome::Rejected { .. } => &mut self.rejected,
        } += 1;
    }
}

/// Takes line after line as the records of one partition.
pub(super) struct Trial<'a> {
    plan: Arc<Plan>,
    partition: TopicPartition,
    key_fields: &'a [String],
    batch: Batch,
    cells: Cells,
    next: i64,
    /// The keys of the rows so far, each with its version.
    keys: HashMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Trial<'a> {
    /// The lines of a topic, whose keys are made of `key_fields`.
    pub(super) fn new(plan: Arc<Plan>, topic: &str, key_fields: &'a [String]) -> Self {
        Self {
            plan,
            partition: TopicPartition::new(topic, 0),
            key_fields,
            batch: Batch::default(),
            cells: Cells::default(),
            next: 0,
            keys: HashMap::new(),
        }
    }

    /// The name of the table.
    pub(super) fn table(&self) -> &str {
        &self.plan.label
    }

    /// What becomes of the next line.
    ///
    /// # Errors
    /// It is too long to be a record, or lacks a field of its key.
    pub(super) fn take(&mut self, line: &Line) -> Result<Tried, Usage> {
        let text = line.text.as_ref().map_err(|error| Usage(format!("line {}: {error}", line.number)))?;
        let key = self.key(text).map_err(|error| Usage(format!("line {}: {error}", line.number)))?;
        // Every record has a timestamp, and that of a test must not change.
        let incoming = Incoming {
            offset: self.next,
            timestamp: Some(0),
            payload: Some(text),
            key: key.as_deref(),
            headers: None,
        };
        self.batch.clear();
        let span = self.batch.span(&self.partition, Offset(self.next));
        self.next += 1;
        self.batch.push(span, &self.plan, &incoming, &mut self.cells);
        let outcome = self.outcome(text);
        Ok(Tried { line: line.number, outcome })
    }

    /// The key of a line, from the row in its envelope.
    fn key(&self, text: &[u8]) -> Result<Option<Vec<u8>>, NotARecord> {
        if self.key_fields.is_empty() {
            return Ok(None);
        }
        let row = match self.plan.decoder.open(text) {
            Ok(Opened::Row(row) | Opened::Gone { before: Some(row) }) => row,
            Ok(Opened::Gone { before: None }) => Cow::Borrowed(text),
            // The sink rejects the line, whatever its key.
            Err(_) => return Ok(None),
        };
        match lines::key(self.key_fields, &row) {
            Ok(key) => Ok(Some(key)),
            // It rejects this one as well.
            Err(NotARecord::Json { .. } | NotARecord::NotAnObject) => Ok(None),
            Err(error @ (NotARecord::NoField(_) | NotARecord::NullField(_))) => Err(error),
        }
    }

    fn outcome(&mut self, text: &[u8]) -> Outcome {
        if let Some(rejected) = self.batch.rejected().first() {
            return self.rejected(&rejected.rejection, text);
        }
        if let Some((_, reason, _)) = self.batch.skipped().next() {
            return Outcome::Skipped { reason: reason.as_str() };
        }
        let table =
            self.batch.tables().next().expect("a record that is neither rejected nor skipped has a row");
        let (rows, row) = (&table.rows, &table.rows.rows()[0]);
        let key = self.plan.key.as_ref().map(|_| rows.key(row).to_vec());
        let exists = key.as_ref().is_some_and(|key| self.keys.contains_key(key));
        if matches!(row.op, Op::Delete { .. }) {
            let columns =
                columns(&self.plan, rows.key_fields(&self.plan, row).map(|(n, bytes)| (n, Some(bytes))));
            return match key.is_some_and(|key| self.keys.remove(&key).is_some()) {
                true => Outcome::Delete { key: columns },
                false => Outcome::Skipped { reason: Skip::Absent.as_str() },
            };
        }
        match (self.plan.mode, exists) {
            (Mode::Insert, true) => return self.rejected(&duplicate(&self.plan), text),
            (Mode::InsertIgnore, true) => return Outcome::Skipped { reason: Skip::Exists.as_str() },
            _ => {}
        }
        let version = self.plan.version.and_then(|version| {
            rows.fields(row.tuple).find(|(column, _)| *column == version.column)?.1.map(<[u8]>::to_vec)
        });
        let stored = key.as_ref().and_then(|key| self.keys.get(key)?.as_deref());
        let order = self.plan.version.and_then(|version| version.order);
        if let (Some(order), Some(stored), Some(version)) = (order, stored, &version)
            && order.compare(stored, version) == Ordering::Greater
        {
            return Outcome::Skipped { reason: Skip::Stale.as_str() };
        }
        let shape = rows.shapes().get(row.tuple.shape);
        if let (false, Some(column)) = (exists, shape.missing) {
            return self.rejected(&missing_field(&self.plan, column), text);
        }
        let row = carried(&self.plan, rows, row);
        self.keys.extend(key.map(|key| (key, version)));
        Outcome::Row { row }
    }

    fn rejected(&self, rejection: &Rejection, text: &[u8]) -> Outcome {
        let column = rejection.column.clone();
        let fields = self.plan.decoder.fields();
        let field = match &column {
            Some(column) => {
                fields.iter().find(|field| field.column == *column).map(|field| field.name.clone())
            }
            None if rejection.reason == Reason::UnknownField => self.unknown_field(text),
            None => None,
        };
        let needed: Vec<String> = self.plan.needed_columns().map(|column| column.name.clone()).collect();
        let no_key =
            self.plan.record_key && self.key_fields.is_empty() && rejection.reason == Reason::MissingField;
        let action = if no_key && column.is_none() {
            "name the fields of the records' keys with --key".to_owned()
        } else {
            Cause::of(rejection, None).hint(&self.plan.name, &needed, rejection.wider)
        };
        Outcome::Rejected {
            reason: rejection.reason.as_str(),
            field,
            column,
            detail: rejection.detail.clone(),
            action,
        }
    }

    /// The first field of a record that no column takes.
    fn unknown_field(&self, text: &[u8]) -> Option<String> {
        let Ok(Opened::Row(row)) = self.plan.decoder.open(text) else { return None };
        let object: HashMap<String, Value> = serde_json::from_slice(&row).ok()?;
        let known = self.plan.decoder.fields();
        object.into_keys().filter(|name| known.iter().all(|field| field.name != *name)).min()
    }
}

/// The columns that a record carries, without the defaults of others.
fn carried(plan: &Plan, rows: &Rows, row: &Row) -> Columns {
    let present = &rows.shapes().get(row.tuple.shape).present;
    columns(plan, rows.fields(row.tuple).filter(|(column, _)| present.contains(*column)))
}

fn columns<'a>(plan: &Plan, fields: impl Iterator<Item = (usize, Option<&'a [u8]>)>) -> Columns {
    let named = |(column, bytes): (usize, Option<&[u8]>)| {
        let column = &plan.columns[column];
        (column.name.clone(), value(&column.kind, bytes))
    };
    Columns(fields.map(named).collect())
}
