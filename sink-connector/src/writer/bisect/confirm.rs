//! Errors that look like configuration, but hit some records and not their neighbours: a trigger that reads a missing
//! table only for a certain value. Such a record becomes a dead letter, as the error policy requires.
//!
//! A permission that is revoked while a batch is written also hits only some records of it, and those must not become
//! dead letters. So a record is rejected for a configuration error only if it fails again between two successful
//! attempts at its neighbours.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Bisection, Obstacle, PartOutcome};
use crate::batch::Batch;
use crate::postgres::failure::Failure;
use crate::postgres::sqlstate::Class;
use crate::writer::apply::Applied;
use crate::writer::strategy::Strategy;

/// So many records of a table that fail for a configuration error before any has passed: it is no fault of records.
const MAX_CANDIDATES: usize = 64;

impl Bisection<'_> {
    /// The failure is a record's fault, or may be.
    pub(super) fn is_the_records(&self, failure: &Failure) -> bool {
        failure.is_the_records() || (self.strategy == Strategy::Confirm && failure.may_be_the_records())
    }

    /// Notes the tables that accepted rows of these records.
    pub(super) fn passed(&mut self, applied: &[(String, Applied)], records: &Range<u32>) {
        if self.strategy == Strategy::Confirm {
            for (label, _) in applied.iter().filter(|(_, applied)| applied.written > 0) {
                self.passed.insert(label.clone(), records.clone());
            }
        }
    }

    /// The only record of `part` has failed. The attempt ends here if that is clearly no fault of records.
    pub(super) fn check_candidate(&mut self, part: &Batch, failure: &Failure) -> Result<(), Failure> {
        if self.replay {
            return Ok(());
        }
        // Errors of other classes have no bearing on the table.
        let candidates = self.outcome.rejected.iter().filter_map(|rejected| rejected.failure.as_ref());
        let hopeless = failure.class == Class::Configuration
            && candidates.filter(|failure| failure.class == Class::Configuration).count() >= MAX_CANDIDATES
            && part.tables().any(|table| !self.passed.contains_key(&table.plan.label));
        if hopeless { Err(failure.clone()) } else { Ok(()) }
    }

    /// Confirms that the records that failed for a configuration error are at fault themselves. A replay does without:
    /// they remain dead letters, and a single one must not wait for others.
    pub(super) fn confirm(&mut self) -> Result<(), Failure> {
        if self.replay {
            return Ok(());
        }
        let candidates: Vec<(u32, Failure)> = self
            .outcome
            .rejected
            .iter()
            .filter_map(|rejected| rejected.failure.clone().map(|failure| (rejected.record, failure)))
            .filter(|(_, failure)| failure.class == Class::Configuration)
            .collect();
        let mut neighbours = BTreeSet::new();
        for (record, failure) in &candidates {
            let part = self.batch.select_records(*record..record + 1).encode(&mut self.cells);
            for table in part.tables() {
                let Some(passed) = self.passed.get(&table.plan.label) else { return Err(failure.clone()) };
                neighbours.insert((passed.start, passed.end));
            }
        }
        self.try_again(&neighbours)?;
        for (record, failure) in candidates {
            let part = self.batch.select_records(record..record + 1).encode(&mut self.cells);
            if let PartOutcome::Applied(_) = self.tables(&part)? {
                // The record no longer fails: the whole batch is tried again.
                return Err(failure);
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
                PartOutcome::RolledBack(Obstacle::Refused(failure))
                    if failure.class == Class::Configuration =>
                {
                    return Err(failure);
                }
                PartOutcome::RolledBack(_) => {}
            }
        }
        Ok(())
    }
}
