//! The newest records of a topic, decoded and written the way the sink does it, in a transaction that is rolled back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postgres::Client;
use serde_json::Value;

use super::finding::Report;
use crate::batch::Batch;
use crate::catalog::{self, Table};
use crate::commands::kafka::Trouble;
use crate::commands::postgres as connect;
use crate::commands::sample::Sampled;
use crate::config::{self, Config};
use crate::dead_letters::DeadLetters;
use crate::decode::{Opened, Reason, Rejection, Slots};
use crate::failure::Failure;
use crate::offsets::{Offsets, Owner, Stored};
use crate::plan::Plan;
use crate::plans::Target;
use crate::policy::Verdict;
use crate::session::Connections;
use crate::sql::{TableName, ident, literal};
use crate::sqlstate::Class;
use crate::types::Offset;
use crate::writer::connection::WriterConnection;
use crate::writer::pieces::Care;
use crate::writer::transaction::{Attempt, BEGIN, Ladders, Tools, Written, write};

/// The ladder has three rungs, and each conflict takes it up by one; a refusal asks for halves, once.
const TRIES: usize = 4;
/// A table that somebody holds must not hold the command.
const LIMITS: &str = "SET LOCAL statement_timeout = '30s'";

/// Makes the target in the open transaction, if it is missing and there is DDL for it.
pub fn prepare(client: &mut Client, target: &Target) -> Result<(), Trouble> {
    let name = &target.wanted.table;
    let failed =
        |error: postgres::Error| Trouble::new(Failure::from(error).to_string(), "see the server's message");
    let Some(ddl) = &target.ddl else { return Ok(()) };
    if crate::session::exists(client, &name.sql()).map_err(failed)? {
        return Ok(());
    }
    // Inside EXECUTE a COMMIT of the file is an error, not the end of our transaction.
    let body = format!("BEGIN EXECUTE {}; END", literal(&ddl.sql));
    client.batch_execute(&format!("DO {}", literal(&body))).map_err(|error| {
        let failure = Failure::from(error);
        match failure.sqlstate.as_deref() {
            Some("0A000" | "25001") => Trouble::new(
                format!("{} cannot be tried in a transaction: {failure}", ddl.origin),
                format!("run it once by hand, or leave transaction commands and CONCURRENTLY out of it, so that check can try {name}"),
            ),
            _ => Trouble::new(
                format!("table {name} is missing, and {} fails: {failure}", ddl.origin),
                "correct the file, or create the table",
            ),
        }
    })
}

/// The target as it is now.
pub fn table_of(client: &mut Client, target: &Target) -> Result<Table, Trouble> {
    let name = &target.wanted.table;
    let read = catalog::read_table(client, name)
        .map_err(|error| Trouble::new(Failure::from(error).to_string(), "see the server's message"))?;
    read.ok_or_else(|| match &target.ddl {
        Some(ddl) => Trouble::new(
            format!("{} does not create table {name}", ddl.origin),
            "correct sink.table or the file",
        ),
        None => Trouble::new(
            format!("table {name} does not exist"),
            "create it (infer-ddl proposes one), or name its DDL in sink.ddl_file",
        ),
    })
}

/// One topic's records and their table.
pub struct Rehearsal<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Where the records would go.
    pub connections: &'a Connections,
    /// The topic's target.
    pub target: &'a Target,
}

impl Rehearsal<'_> {
    /// Tries the records of a topic.
    pub fn run(&self, topic: &str, records: &[Sampled], report: &mut Report) {
        let subject = format!("sample of {topic}");
        let mut ladders = Ladders::new();
        let mut care = None;
        for _ in 0..TRIES {
            match self.attempt(records, &ladders, care) {
                Ok(Ok((written, plan))) => {
                    self.fields(&subject, records, &plan, report);
                    return self.outcome(&subject, records, &written, report);
                }
                Ok(Err(Attempt::Conflict { label })) => ladders.entry(label).or_default().climb(),
                Ok(Err(Attempt::Refused { .. })) => care = Some(Care::Halves),
                Ok(Err(_)) => break,
                Err(failure) => return failed(&subject, &failure, report),
            }
        }
        report.warning(&subject, "the table changed while the records were tried", "run check again");
    }

    fn attempt(
        &self,
        records: &[Sampled],
        ladders: &Ladders,
        care: Option<Care>,
    ) -> Result<Result<(Written, Arc<Plan>), Attempt>, Failure> {
        let wait = |trouble: Trouble| Failure::transient(trouble.to_string());
        let mut connection = connect::open(self.connections, self.config).map_err(wait)?;
        // Positions and letters of nobody: a sink that is at work is not disturbed.
        let nobody = format!("{} (check)", self.config.name);
        let offsets = Offsets::new(&TableName::parse(&self.config.offsets.table), &nobody);
        let dead_letters =
            DeadLetters::new(&TableName::parse(&self.config.errors.dead_letter_table), &nobody);
        let dead_letters = match self.config.errors.dead_letters {
            config::DeadLetters::Table => dead_letters,
            config::DeadLetters::Topic => dead_letters.to_nowhere(),
        };
        connection.batch_execute(&format!("{BEGIN}; {LIMITS}"))?;
        offsets.create(&mut connection)?;
        dead_letters.create(&mut connection)?;
        let refuse = |trouble: Trouble| Failure::configuration(trouble.to_string());
        prepare(&mut connection, self.target).map_err(refuse)?;
        let table = table_of(&mut connection, self.target).map_err(refuse)?;
        let plan =
            Plan::new(&self.target.wanted, &table).map_err(|e| Failure::configuration(e.to_string()))?;
        let plan = Arc::new(plan);
        let batch = batch(records, &plan);
        for span in batch.spans() {
            let stored = Stored { next: span.expected, owner: owner(self.config, &plan) };
            offsets.place(&mut **connection, &span.partition, &stored)?;
        }
        let mut connection = WriterConnection::new(connection, &offsets)?;
        let tools = Tools {
            dead_letters: &dead_letters,
            enter: &|_| {},
            judge: &|_, _| Verdict::Commit,
            replay: false,
            open: true,
        };
        let care = care.unwrap_or_else(|| Care::least(&batch));
        let outcome = write(&mut connection, &batch, ladders, care, &tools);
        // Also without an answer: a connection that is closed is rolled back.
        let rolled_back = connection.client().batch_execute("ROLLBACK");
        connection.discard();
        rolled_back?;
        Ok(outcome?.map(|written| (written, plan)))
    }

    fn outcome(&self, subject: &str, records: &[Sampled], written: &Written, report: &mut Report) {
        let rows: u64 = written.counts.written.iter().map(|(_, rows)| rows).sum();
        let skipped: u64 = written.counts.skipped.iter().map(|(_, _, records)| records).sum();
        let refused = written.rejected.len();
        report.ok(
            subject,
            format!(
                "{} records tried and rolled back: {rows} written, {skipped} skipped, {refused} dead letters",
                records.len()
            ),
        );
        let mut kinds: BTreeMap<(Reason, Option<&str>), (usize, &Sampled, &Rejection)> = BTreeMap::new();
        for (number, rejection) in &written.rejected {
            let first = &records[*number as usize];
            let kind = (rejection.reason, rejection.column.as_deref());
            kinds.entry(kind).or_insert((0, first, rejection)).0 += 1;
        }
        for ((reason, column), (count, first, rejection)) in kinds {
            let text = format!(
                "{count} of {} records would be dead letters ({reason}); the first, {} offset {}: {}",
                records.len(),
                first.partition,
                first.offset,
                rejection.detail
            );
            let action = match (reason, column) {
                (Reason::MissingField | Reason::NullValue, Some(column)) => format!(
                    "ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL or SET DEFAULT, or name the field in sink.rename",
                    self.target.wanted.table.sql(),
                    ident(column)
                ),
                (Reason::UnknownField, _) => {
                    "add a column, or set sink.unknown_fields = \"ignore\"".to_owned()
                }
                (Reason::NullByte, _) => "set sink.null_bytes to strip or replace".to_owned(),
                _ => "correct the producer, or the column's type".to_owned(),
            };
            // With a share like this the breaker would open.
            let share = count as f64 / records.len() as f64;
            if share > self.config.errors.breaker_ratio {
                report.error(subject, text, action);
            } else {
                report.warning(subject, text, action);
            }
        }
    }

    /// Fields and columns that do not meet.
    fn fields(&self, subject: &str, records: &[Sampled], plan: &Plan, report: &mut Report) {
        let wanted = &self.target.wanted;
        let column_of = |field: &str| {
            let renamed = wanted.rename.iter().find(|(from, _)| from == field);
            renamed.map_or_else(|| field.to_owned(), |(_, column)| column.clone())
        };
        let mut carried = BTreeSet::new();
        for record in records.iter().filter_map(|record| record.payload.as_deref()) {
            let Ok(Opened::Row(row)) = plan.decoder.open(record) else { continue };
            if let Ok(Value::Object(object)) = serde_json::from_slice(&row) {
                carried.extend(object.keys().map(|field| column_of(field)));
            }
        }
        let mut columns: BTreeSet<String> = plan.columns.iter().map(|c| c.name.clone()).collect();
        let list =
            |names: Vec<&String>| names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
        let without_column: Vec<&String> = carried.difference(&columns).collect();
        if !without_column.is_empty() && !wanted.options.reject_unknown_fields {
            let text = format!("fields without a column are left out: {}", list(without_column));
            report.warning(subject, text, "add columns, or name them in sink.rename");
        }
        // What is filled from elsewhere is not looked for in the value.
        let of_key = plan.key_columns().filter(|_| plan.record_key).map(|column| &column.name);
        let of_origins = plan.origins.iter().map(|(column, _)| &plan.columns[*column].name);
        for name in of_key.chain(of_origins) {
            columns.remove(name);
        }
        let without_field: Vec<&String> = columns.difference(&carried).collect();
        if !without_field.is_empty() {
            let text = format!("no record has a field for the columns {}", list(without_field));
            report.warning(
                subject,
                text,
                "they get their DEFAULT or NULL; a field of another name goes into sink.rename",
            );
        }
    }
}

fn batch(records: &[Sampled], plan: &Arc<Plan>) -> Batch {
    let mut batch = Batch::default();
    let mut slots = Slots::default();
    for record in records {
        let span = batch.span(&record.partition, Offset(record.offset));
        batch.push(span, plan, &record.incoming(), &mut slots);
    }
    batch
}

fn owner(config: &Config, plan: &Plan) -> Owner {
    Owner {
        cluster_id: "check".to_owned(),
        group_id: config.kafka.group_id.clone(),
        target_table: plan.label.clone(),
        topic_id: None,
    }
}

fn failed(subject: &str, failure: &Failure, report: &mut Report) {
    match failure.class {
        Class::Record => report.error(
            subject,
            format!("the server refuses a record of the sample: {failure}"),
            "it would become a dead letter; correct the producer or the table",
        ),
        Class::Transient => report.warning(
            subject,
            format!("the records could not be tried: {failure}"),
            "run check again; the sink itself would wait",
        ),
        Class::Configuration => {
            report.error(subject, failure.to_string(), "the sink would wait for this to be mended");
        }
    }
}
