//! Errors that look like configuration or like an internal error, but are those of single records: a type that does not
//! read a value, a trigger that reads a missing table only for a certain value. Such a record becomes a dead letter, as the
//! error policy requires.
//!
//! A permission that is revoked, or a trigger that is broken, must not make dead letters of good records. So a record is
//! rejected for such an error only on evidence, all of it in the batch's transaction: the type refuses its value without
//! any table, or the table takes other rows before and after the record fails again. Other rows are the record's
//! neighbours in the batch and control rows. If a control row fails as well, the table is at fault.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Bisection, Control, Obstacle, PartOutcome};
use crate::batch::Batch;
use crate::postgres::failure::Failure;
use crate::writer::apply::Applied;
use crate::writer::strategy::Strategy;

/// So many records of a table that fail before any other row has passed: no evidence will come.
const MAX_CANDIDATES: usize = 64;

impl Bisection<'_> {
    /// The failure is a record's fault, or may be.
    pub(super) fn is_the_records(&self, failure: &Failure) -> bool {
        failure.is_the_records()
            || (self.strategy == Strategy::Confirm && self.met_again(failure).may_be_the_records())
            || self.is_too_slow(failure)
    }

    /// The failure as one that the batch has met before.
    pub(super) fn met_again(&self, failure: &Failure) -> Failure {
        let persistent = failure.may_stay() && failure.sqlstate.as_deref() == self.persistent;
        if persistent { failure.clone().into_configuration() } else { failure.clone().met_again() }
    }

    /// Notes the tables that accepted rows of these records, the only ones of `part`.
    pub(super) fn passed(&mut self, part: &Batch, applied: &[(String, Applied)], records: &Range<u32>) {
        if self.strategy == Strategy::Confirm {
            for (label, _) in applied.iter().filter(|(_, applied)| applied.written > 0) {
                self.passed.insert(label.clone(), records.clone());
            }
            self.note_neighbours(part, applied, records.start);
        }
    }

    /// The only record of `part` has failed. The attempt ends here if the table is at fault. Otherwise returns the failure,
    /// as the record's own if one of its values is refused without the table.
    pub(super) fn check_candidate(&mut self, part: &Batch, failure: Failure) -> Result<Failure, Failure> {
        if self.replay || failure.is_the_records() {
            return Ok(failure);
        }
        if self.is_too_slow(&failure) {
            return self.check_slow(part, failure);
        }
        if self.refuses_a_value(part, &failure)? {
            return Ok(failure.into_the_records());
        }
        let why = match self.control(part, &failure)? {
            Control::Accepted => return Ok(failure),
            // Old rows may fail as the record does. A neighbour that has not been tried yet may show that others do not.
            Control::Refused(refusal) => refusal,
            Control::Unknown => undecided(failure.clone(), part),
        };
        let hopeless = self.candidates().len() >= MAX_CANDIDATES
            && part.tables().any(|table| !self.passed.contains_key(&table.plan.label));
        if hopeless { Err(why) } else { Ok(failure) }
    }

    /// The records that failed for an error that may not be theirs.
    fn candidates(&self) -> Vec<(u32, Failure)> {
        let failures = self.outcome.rejected.iter().filter_map(|r| Some((r.record, r.failure.clone()?)));
        failures.filter(|(_, failure)| !failure.is_the_records()).collect()
    }

    /// Confirms that the records that failed for an error of another class are at fault themselves. A replay does without:
    /// they remain dead letters, and a single one must not wait for others.
    pub(super) fn confirm(&mut self) -> Result<(), Failure> {
        if self.replay {
            return Ok(());
        }
        let candidates = self.candidates();
        let mut neighbours = BTreeSet::new();
        let mut controls = BTreeSet::new();
        self.refused.clear();
        for (record, failure) in &candidates {
            let part = self.batch.select_records(*record..record + 1).encode(&mut self.cells);
            match self.control(&part, failure)? {
                Control::Accepted => {
                    controls.insert(*record);
                    continue;
                }
                // Neighbours count as control rows if they are written with the same columns.
                Control::Refused(refusal) => return Err(refusal),
                Control::Unknown => {}
            }
            for table in part.tables() {
                let Some(passed) =
                    self.passed.get(&table.plan.label).filter(|_| !failure.depends_on_columns())
                else {
                    return Err(undecided(failure.clone(), &part));
                };
                neighbours.insert((passed.start, passed.end));
            }
        }
        self.try_again(&neighbours)?;
        for (record, failure) in &candidates {
            let part = self.batch.select_records(*record..record + 1).encode(&mut self.cells);
            if let PartOutcome::Applied(_) = self.tables(&part)? {
                // The record no longer fails: the whole batch is tried again.
                return Err(failure.clone());
            }
        }
        self.accepted.clear();
        for (record, failure) in candidates.iter().filter(|(record, _)| controls.contains(record)) {
            let part = self.batch.select_records(*record..record + 1).encode(&mut self.cells);
            match self.control(&part, failure)? {
                Control::Accepted => {}
                Control::Refused(failure) => return Err(failure),
                Control::Unknown => return Err(undecided(failure.clone(), &part)),
            }
        }
        self.try_again(&neighbours)
    }

    /// Writes records that have passed once more, and rolls that back. That their keys exist by now does not matter.
    fn try_again(&mut self, neighbours: &BTreeSet<(u32, u32)>) -> Result<(), Failure> {
        for &(start, end) in neighbours {
            let part = self.batch.select_records(start..end).encode(&mut self.cells);
            match self.tables(&part)? {
                PartOutcome::Applied(_) => self.roll_back()?,
                PartOutcome::RolledBack(Obstacle::Refused(failure)) if !failure.is_the_records() => {
                    return Err(failure);
                }
                PartOutcome::RolledBack(_) => {}
            }
        }
        Ok(())
    }
}

/// The failure of the only record of `part`, for people: what it waits for.
fn undecided(failure: Failure, part: &Batch) -> Failure {
    let table = part.tables().next().map(|table| table.plan.label.clone()).unwrap_or_default();
    let message = format!(
        "{}; no other row of {table} shows whether the record or the table is at fault: waiting for one that can be \
         written, or for the table to take the record",
        failure.message
    );
    Failure { message, undecided: true, ..failure }
}
