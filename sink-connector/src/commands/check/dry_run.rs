//! The dry run: decodes and writes the newest records of a topic as the sink does, and rolls the transaction back.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postgres::Client;
use serde_json::value::RawValue;
use shared::output::counted;

use super::finding::Report;
use super::lost_rows;
use crate::batch::Batch;
use crate::commands::kafka::CommandError;
use crate::commands::lock_watch::LockWatch;
use crate::commands::postgres as connect;
use crate::commands::sample::Sampled;
use crate::config::{self, Config};
use crate::decode::{Cells, Opened, Wider};
use crate::positions::stored::{Offsets, Owner, StoredPosition};
use crate::postgres::failure::Failure;
use crate::postgres::schema_grants::{self, TO_USE};
use crate::postgres::session::{self, Connections};
use crate::postgres::settings;
use crate::postgres::sql::{TableName, literal};
use crate::postgres::sqlstate::Class;
use crate::rejects::cause::Cause;
use crate::rejects::dead_letters::DeadLetters;
use crate::rejects::policy::Decision;
use crate::table::catalog::{self, Table};
use crate::table::plan::{Mode, Plan};
use crate::table::plan_cache::Target;
use crate::types::Offset;
use crate::writer::bisect::LastWritten;
use crate::writer::connection::WriterConnection;
use crate::writer::permission::name_grant;
use crate::writer::strategy::Strategy;
use crate::writer::transaction::{AttemptContext, BEGIN, Ladders, RolledBack, WriteOutcome, Written, write};

/// Three rungs of the ladder, one for each conflict, and once more to bisect a refused batch.
const ATTEMPTS: usize = 4;
/// A table that is locked must not block the command for long.
const STATEMENT_TIMEOUT: &str = "SET LOCAL statement_timeout = '30s'";

/// Failures that the sink retries, and that do not end before somebody acts.
const LASTING: [(&str, &str); 4] = [
    ("25006", "let the server accept writes; until then the sink would wait"),
    ("53100", "free space on the server's disk; until then the sink would wait"),
    ("53400", "raise the limit that the message names; until then the sink would wait"),
    ("58030", "repair the server's disk; until then the sink would wait"),
];

/// Creates the target in the open transaction if it is missing and there is DDL for it.
pub(in crate::commands) fn prepare(client: &mut Client, target: &Target) -> Result<(), CommandError> {
    let name = &target.wanted.table;
    let failed = |error: postgres::Error| {
        CommandError::new(Failure::from(error).to_string(), "see the server's message")
    };
    let Some(ddl) = &target.ddl else { return Ok(()) };
    if crate::postgres::session::exists(client, &name.sql()).map_err(failed)? {
        return Ok(());
    }
    // Inside EXECUTE, a COMMIT in the file is an error and does not end our transaction.
    let body = format!("BEGIN EXECUTE {}; END", literal(&ddl.sql));
    // What pg_dump writes leaves an empty search path.
    client.batch_execute(&format!("DO {}; {}", literal(&body), settings::restore())).map_err(|error| {
        let failure = Failure::from(error);
        match failure.sqlstate.as_deref() {
            Some("0A000" | "25001") => CommandError::new(
                format!("{} cannot be tried in a transaction: {failure}", ddl.file),
                format!("run it manually, or remove transaction commands and CONCURRENTLY from it, so that check can try {name}"),
            ),
            _ => CommandError::new(
                // The file is the operator's, and quotes no record.
                format!("table {name} is missing, and {} fails: {}", ddl.file, failure.report()),
                "correct the file, or create the table",
            ),
        }
    })
}

/// Reads the target from the catalog.
pub(in crate::commands) fn table_of(client: &mut Client, target: &Target) -> Result<Table, CommandError> {
    let name = &target.wanted.table;
    let read = catalog::read_table(client, name)
        .map_err(|error| CommandError::new(Failure::from(error).to_string(), "see the server's message"))?;
    if let Some(table) = read {
        return Ok(table);
    }
    // A schema that the role may not use is not searched.
    let grant = schema_grants::missing(client, name, TO_USE)
        .map_err(|error| CommandError::new(Failure::from(error).to_string(), "see the server's message"))?;
    Err(match (&target.ddl, grant) {
        (_, Some(grant)) => {
            CommandError::new(format!("table {name} does not exist, or its schema may not be used"), grant)
        }
        (Some(ddl), None) => CommandError::new(
            format!("{} does not create table {name}", ddl.file),
            "correct sink.table or the file",
        ),
        (None, None) => CommandError::new(
            format!("table {name} does not exist"),
            "create it (infer-ddl proposes one), or name its DDL in sink.ddl_file",
        ),
    })
}

/// What a dry run needs.
pub(super) struct DryRun<'a> {
    pub config: &'a Config,
    pub connections: &'a Connections,
    pub target: &'a Target,
    pub locks: &'a LockWatch,
}

impl DryRun<'_> {
    /// Writes the records of a topic, rolls back and reports the outcome.
    pub(super) fn run(&self, topic: &str, records: &[Sampled], report: &mut Report) {
        let subject = format!("sample of {topic}");
        let mut ladders = Ladders::new();
        let mut strategy = None;
        for _ in 0..ATTEMPTS {
            let attempted = self.attempt(records, &ladders, strategy);
            match attempted.map_err(|failure| self.locks.explain(failure)) {
                Ok((WriteOutcome::Ready(written), plan)) => {
                    self.fields(&subject, records, &plan, report);
                    lost_rows::check(topic, records, &self.target.wanted, &plan, report);
                    return self.outcome(&subject, records, &written, report);
                }
                Ok((WriteOutcome::RolledBack(RolledBack::Conflict { label }), _)) => {
                    ladders.entry(label).or_default().climb();
                }
                Ok((WriteOutcome::RolledBack(RolledBack::Refused { .. } | RolledBack::Misread), _)) => {
                    strategy = strategy.max(Some(Strategy::Bisect));
                }
                Ok((WriteOutcome::RolledBack(_), _)) => break,
                // As the sink does: evidence decides whether the record or the operator is at fault.
                Err(failure) if failure.may_be_the_records() && strategy != Some(Strategy::Confirm) => {
                    strategy = Some(Strategy::Confirm);
                }
                Err(failure) => return failed(&subject, &failure, report),
            }
        }
        report.warning(&subject, "the table changed during the dry run", "run check again");
    }

    fn attempt(
        &self,
        records: &[Sampled],
        ladders: &Ladders,
        strategy: Option<Strategy>,
    ) -> Result<(WriteOutcome, Arc<Plan>), Failure> {
        let wait = |error: CommandError| Failure::transient(error.to_string());
        let mut connection = connect::open(self.connections, self.config).map_err(wait)?;
        // Under a name of its own, so that positions and dead letters of a running sink are not touched.
        let nobody = format!("{} (check)", self.config.name);
        let offsets = Offsets::new(&TableName::parse(&self.config.offsets.table), &nobody);
        let dead_letters =
            DeadLetters::new(&TableName::parse(&self.config.errors.dead_letter_table), &nobody);
        let dead_letters = match self.config.errors.dead_letters {
            config::DeadLetters::Table => dead_letters,
            config::DeadLetters::Topic => dead_letters.into_nowhere(),
        };
        self.locks.watch(session::backend_pid(&mut connection)?);
        connection.batch_execute(&format!("{BEGIN}; {STATEMENT_TIMEOUT}"))?;
        offsets.create(&mut connection)?;
        dead_letters.create(&mut connection)?;
        let configuration = |error: CommandError| Failure::configuration(error.to_string());
        prepare(&mut connection, self.target).map_err(configuration)?;
        let table = table_of(&mut connection, self.target).map_err(configuration)?;
        let plan =
            Plan::new(&self.target.wanted, &table).map_err(|e| Failure::configuration(e.to_string()))?;
        let plan = Arc::new(plan);
        let batch = batch(records, &plan);
        for span in batch.spans() {
            let stored = StoredPosition { next: span.expected, owner: owner(self.config, &plan) };
            offsets.place(&mut **connection, &span.partition, &stored)?;
        }
        let mut connection = WriterConnection::new(connection, &offsets)?;
        let context = AttemptContext {
            dead_letters: &dead_letters,
            enter: &|_| {},
            decide: &|_, _| Decision::Commit,
            // Nothing of it is a probe.
            probe_window: usize::MAX,
            last_written: &LastWritten::default(),
            persistent: None,
            candidates: None,
            in_flight: &Cell::default(),
            deadline: self.config.postgres.deadline,
            replay: false,
            open: true,
        };
        let strategy = strategy.unwrap_or_else(|| Strategy::cheapest(&batch));
        let outcome = write(&mut connection, &batch, ladders, strategy, &context);
        // If this gets no answer, closing the connection rolls back.
        let rolled_back = connection.client().batch_execute("ROLLBACK");
        connection.discard();
        rolled_back?;
        let outcome = outcome.map_err(|mut failure| {
            if failure.permission_denied()
                && let Ok(mut connection) = connect::open(self.connections, self.config)
                && let Err(error) = name_grant(&mut connection, &batch, &[], &mut failure)
            {
                tracing::debug!(%error, "cannot read the privileges");
            }
            failure
        })?;
        Ok((outcome, plan))
    }

    fn outcome(&self, subject: &str, records: &[Sampled], written: &Written, report: &mut Report) {
        let rows: u64 = written.counts.written.iter().map(|(_, rows)| rows).sum();
        let skipped: u64 = written.counts.skipped.iter().map(|(_, _, records)| records).sum();
        let rejected = written.rejected.len();
        report.ok(
            subject,
            format!(
                "{} tried and rolled back: {rows} written, {skipped} skipped, {}",
                counted(records.len(), "record"),
                counted(rejected, "dead letter")
            ),
        );
        let mut kinds: BTreeMap<Cause, (usize, &Sampled, String, Option<Wider>)> = BTreeMap::new();
        for rejected in &written.rejected {
            let rejection = &rejected.rejection;
            let cause = Cause::of(rejection, rejected.failure.as_ref());
            let first = &records[rejected.record as usize];
            let kind = kinds.entry(cause).or_insert_with(|| (0, first, rejected.summary(), None));
            kind.0 += 1;
            kind.3 = kind.3.max(rejection.wider);
        }
        for (cause, (count, first, summary, wider)) in kinds {
            let text = format!(
                "{count} of {} records would become dead letters ({}); the first, {} offset {}: {summary}",
                records.len(),
                cause.reason,
                first.partition,
                first.offset
            );
            let wanted = &self.target.wanted;
            let action = cause.hint(&wanted.table, &wanted.needed_columns(), wider);
            // With this ratio, the breaker would open.
            let ratio = count as f64 / records.len() as f64;
            if ratio > self.config.errors.breaker_ratio {
                report.error(subject, text, action);
            } else {
                report.warning(subject, text, action);
            }
        }
    }

    /// Reports fields with Debezium's placeholder for values that an update did not touch.
    fn unavailable(&self, subject: &str, fields: &BTreeSet<String>, report: &mut Report) {
        if fields.is_empty() {
            return;
        }
        let fields = fields.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let text = format!("fields with sink.unavailable_value_placeholder are treated as absent: {fields}");
        if self.target.wanted.mode == Mode::Upsert {
            report.ok(subject, format!("{text}; the stored values stay"));
        } else {
            report.warning(subject, text, "set sink.insert_mode = \"upsert\", which keeps the stored values");
        }
    }

    /// Reports fields without a column, and columns without a field.
    fn fields(&self, subject: &str, records: &[Sampled], plan: &Plan, report: &mut Report) {
        let wanted = &self.target.wanted;
        let column_of = |field: &str| {
            let renamed = wanted.rename.iter().find(|(from, _)| from == field);
            renamed.map_or_else(|| field.to_owned(), |(_, column)| column.clone())
        };
        let mut carried = BTreeSet::new();
        let mut unavailable = BTreeSet::new();
        for record in records.iter().filter_map(|record| record.payload.as_deref()) {
            let Ok(Opened::Row(row)) = plan.decoder.open(record) else { continue };
            if let Ok(object) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(&row) {
                carried.extend(object.keys().map(|field| column_of(field)));
                let placeholders = object.iter().filter(|(_, v)| plan.decoder.is_unavailable(v.get()));
                unavailable.extend(placeholders.map(|(field, _)| format!("{field:?}")));
            }
        }
        self.unavailable(subject, &unavailable, report);
        let mut columns: BTreeSet<String> = plan.columns.iter().map(|c| c.name.clone()).collect();
        let list =
            |names: Vec<&String>| names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
        let without_column: Vec<&String> = carried.difference(&columns).collect();
        if !without_column.is_empty() && !wanted.options.reject_unknown_fields {
            let text = format!("fields without a column are ignored: {}", list(without_column));
            report.warning(subject, text, "add columns, or map the fields in sink.rename");
        }
        // These columns are not filled from the value.
        let of_key = plan.key_columns().filter(|_| plan.record_key).map(|column| &column.name);
        let of_metadata = plan.metadata.iter().map(|(column, _)| &plan.columns[*column].name);
        for name in of_key.chain(of_metadata) {
            columns.remove(name);
        }
        let without_field: Vec<&String> = columns.difference(&carried).collect();
        if !without_field.is_empty() {
            let text = format!("no record has a field for the columns {}", list(without_field));
            report.warning(
                subject,
                text,
                "they get their DEFAULT or NULL; map a field with another name in sink.rename",
            );
        }
    }
}

fn batch(records: &[Sampled], plan: &Arc<Plan>) -> Batch {
    let mut batch = Batch::default();
    let mut cells = Cells::default();
    for record in records {
        let span = batch.span(&record.partition, Offset(record.offset));
        batch.push(span, plan, &record.incoming(), &mut cells);
    }
    batch
}

fn owner(config: &Config, plan: &Plan) -> Owner {
    Owner {
        cluster_id: "check".to_owned(),
        group_id: config.kafka.group_id.clone(),
        target_table: plan.label.clone(),
        topic_id: None,
        target_id: None,
    }
}

fn failed(subject: &str, failure: &Failure, report: &mut Report) {
    match failure.class {
        Class::Record => report.error(
            subject,
            format!("the server refused a record of the sample: {failure}"),
            "the record would become a dead letter; correct the producer or the table",
        ),
        Class::Transient => {
            let text = format!("the dry run failed: {failure}");
            let lasting = failure.sqlstate.as_deref().and_then(|state| {
                LASTING.iter().find(|(lasting, _)| *lasting == state).map(|(_, action)| *action)
            });
            match lasting {
                Some(action) => report.error(subject, text, action),
                None => report.warning(subject, text, "run check again; the sink would wait and retry"),
            }
        }
        Class::Configuration => {
            report.error(subject, failure.to_string(), "fix this; the sink would wait until it is fixed");
        }
    }
}
