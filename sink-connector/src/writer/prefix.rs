//! How every transaction begins, in one round trip: BEGIN, the fence, and for each table a lock against ALTER and the
//! check that it is the table that the batch was encoded for.

use std::sync::Arc;

use postgres::SimpleQueryMessage;

use super::connection::WriterConnection;
use super::ladder::Rung;
use super::strategy::Strategy;
use super::timeouts;
use super::transaction::AttemptContext;
use crate::batch::{Batch, TableRows};
use crate::positions::stored::Offsets;
use crate::postgres::failure::Failure;
use crate::table::plan::{Mode, Plan};

/// What every transaction that writes begins with.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// A statement of the prefix, by what its answer means.
#[derive(Debug, PartialEq, Eq)]
enum Statement {
    Begin,
    /// Locks the stored positions in one order for all writers.
    LockPositions,
    /// Moves the positions, or removes the dead letters of a replay. Fewer rows than these: fenced.
    Fence {
        rows: u64,
    },
    /// Sets how long the statements that follow may take.
    Timeouts,
    LockTable,
    /// Returns the fingerprint of a table or of its partitions. Another one than this: the table has changed.
    Fingerprint {
        expected: String,
    },
}

/// What the server answered to one statement.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    /// Rows that it affected or returned.
    rows: u64,
    /// The first column of what it returned.
    values: Vec<String>,
}

/// How the prefix ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// The positions are moved, the tables are locked and unchanged.
    Ready,
    /// A stored position was not the expected one.
    Fenced,
    /// A table is not what the batch was encoded for.
    TableChanged,
}

/// Opens the transaction.
pub(super) fn begin(
    connection: &mut WriterConnection,
    batch: &Batch,
    tables: &[(&TableRows, Rung)],
    strategy: Strategy,
    context: &AttemptContext<'_>,
) -> Result<Begun, Failure> {
    if !context.open {
        connection.restore_session()?;
    }
    connection.begin();
    let mut statements: Vec<(Statement, String)> = Vec::new();
    if !context.open {
        statements.push((Statement::Begin, BEGIN.to_owned()));
    }
    if let Some(limits) = batch.retry() {
        let limit = timeouts::limit(limits.lock_timeout, limits.statement_timeout.min(context.deadline));
        statements.push((Statement::Timeouts, timeouts::KEEP.to_owned()));
        statements.push((Statement::Timeouts, limit));
    }
    if context.replay {
        let rows = batch.records().count() as u64;
        statements.push((Statement::Fence { rows }, context.dead_letters.removal(batch)));
    } else {
        let target = |topic: &str| batch.plans().get(topic).and_then(|plan| plan.table_oid);
        let (lock, update) = Offsets::fence(batch.spans(), target);
        statements.push((Statement::LockPositions, lock));
        statements.push((Statement::Fence { rows: batch.spans().len() as u64 }, update));
    }
    for plan in plans_in_use(batch) {
        let fingerprint = connection.fingerprint_statement(&plan.name)?;
        if let Some(lock) = &plan.lock {
            statements.push((Statement::LockTable, lock.clone()));
        }
        statements.push((Statement::Fingerprint { expected: plan.fingerprint.clone() }, fingerprint));
        let relies = |(table, rung): &(&TableRows, Rung)| {
            Arc::ptr_eq(&table.plan, plan) && relies_on_partitions(table, *rung, strategy)
        };
        if let Some(partitions) = plan.partitions.as_ref().filter(|_| tables.iter().any(relies)) {
            let fingerprint = connection.partitions_statement(&plan.name)?;
            statements.push((Statement::Fingerprint { expected: partitions.clone() }, fingerprint));
        }
    }
    let sql: Vec<&str> = statements.iter().map(|(_, sql)| &**sql).collect();
    let answers = answers(&connection.client().simple_query(&sql.join("; "))?);
    Ok(check(statements.iter().map(|(statement, _)| statement), &answers))
}

/// One answer for each statement: rows come before the end of theirs.
fn answers(messages: &[SimpleQueryMessage]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut values = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => values.push(row.get(0).unwrap_or_default().to_owned()),
            SimpleQueryMessage::CommandComplete(rows) => {
                answers.push(Answer { rows: *rows, values: std::mem::take(&mut values) });
            }
            _ => {}
        }
    }
    answers
}

/// The first statement whose answer is not the expected one decides.
fn check<'a>(statements: impl ExactSizeIterator<Item = &'a Statement>, answers: &[Answer]) -> Begun {
    assert_eq!(statements.len(), answers.len(), "the server answers every statement of a simple query");
    for (statement, answer) in statements.zip(answers) {
        match statement {
            Statement::Fence { rows } if answer.rows != *rows => return Begun::Fenced,
            Statement::Fingerprint { expected } if answer.values != [&**expected] => {
                return Begun::TableChanged;
            }
            _ => {}
        }
    }
    Begun::Ready
}

/// Whether the constraints of the table's partitions matter for these rows: where records are merged, or deleted beside
/// others, or where updates may make room for other rows.
fn relies_on_partitions(table: &TableRows, rung: Rung, strategy: Strategy) -> bool {
    let updates = rung > Rung::Plain && table.plan.mode == Mode::Upsert;
    let several = table.rows.rows().len() > 1;
    table.plan.partitions.is_some()
        && (table.rows.hides() || several && (updates || strategy > Strategy::Whole))
}

/// The plans that the batch's rows are encoded for, and those that rejected a record: the table of now may accept what
/// its predecessor did not.
fn plans_in_use(batch: &Batch) -> Vec<&Arc<Plan>> {
    let mut plans: Vec<&Arc<Plan>> = batch.tables().map(|table| &table.plan).collect();
    if !batch.rejected().is_empty() {
        let mut others: Vec<_> = batch.plans().iter().collect();
        others.sort_unstable_by_key(|(topic, _)| *topic);
        for (_, plan) in others {
            if !plans.iter().any(|known| Arc::ptr_eq(known, plan)) {
                plans.push(plan);
            }
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements() -> [Statement; 5] {
        [
            Statement::Begin,
            Statement::LockPositions,
            Statement::Fence { rows: 2 },
            Statement::LockTable,
            Statement::Fingerprint { expected: "as encoded".to_owned() },
        ]
    }

    fn answers(moved: u64, fingerprints: &[&str]) -> [Answer; 5] {
        let rows = |rows| Answer { rows, values: Vec::new() };
        // The locked rows are returned: they are no fingerprints.
        let locked = Answer { rows: 2, values: vec!["1".to_owned(); 2] };
        let values = fingerprints.iter().map(|&text| text.to_owned()).collect();
        [rows(0), locked, rows(moved), rows(0), Answer { rows: fingerprints.len() as u64, values }]
    }

    #[test]
    fn all_positions_move_and_the_table_is_the_same() {
        assert_eq!(check(statements().iter(), &answers(2, &["as encoded"])), Begun::Ready);
    }

    #[test]
    fn a_position_that_does_not_move_fences_whatever_became_of_the_table() {
        assert_eq!(check(statements().iter(), &answers(1, &["as encoded"])), Begun::Fenced);
        assert_eq!(check(statements().iter(), &answers(1, &["another"])), Begun::Fenced);
    }

    #[test]
    fn a_table_that_is_another_or_is_missing_has_changed() {
        assert_eq!(check(statements().iter(), &answers(2, &["another"])), Begun::TableChanged);
        assert_eq!(check(statements().iter(), &answers(2, &[])), Begun::TableChanged);
    }
}
