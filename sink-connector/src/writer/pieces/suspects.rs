//! Failures that seem to be the operator's to mend, but that hit some records and not their neighbours: a trigger that
//! asks for a missing table when it meets a certain value. Such a record becomes a dead letter, as the error policy says.
//!
//! A permission that is taken away while a batch is written hits some records of it as well, and those are no dead
//! letters. So a suspect is convicted only if it fails again between two tries of neighbours that pass.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Care, Obstacle, Pieces};
use crate::batch::Batch;
use crate::failure::Failure;
use crate::sqlstate::Class;
use crate::writer::apply::Applied;

/// Records of a table that fail, before any of it has passed, at most: then it is not about records.
const SUSPECTS: usize = 64;

impl Pieces<'_> {
    /// A record is at fault, or may be.
    pub(super) fn is_the_records(&self, failure: &Failure) -> bool {
        failure.is_the_records() || (self.care == Care::Suspects && failure.may_be_the_records())
    }

    /// Notes the tables that took rows of these records.
    pub(super) fn acquit(&mut self, applied: &[(String, Applied)], records: &Range<u32>) {
        if self.care == Care::Suspects {
            for (label, _) in applied.iter().filter(|(_, applied)| applied.written > 0) {
                self.passed.insert(label.clone(), records.clone());
            }
        }
    }

    /// The only record of `part` has failed. That ends the attempt if it is not about records.
    pub(super) fn suspect(&mut self, part: &Batch, failure: &Failure) -> Result<(), Failure> {
        if self.replay {
            return Ok(());
        }
        // What is wrong with other records says nothing about the table.
        let suspects = self.outcome.refused.iter().filter_map(|refused| refused.failure.as_ref());
        let hopeless = failure.class == Class::Configuration
            && suspects.filter(|failure| failure.class == Class::Configuration).count() >= SUSPECTS
            && part.tables().any(|table| !self.passed.contains_key(&table.plan.label));
        if hopeless { Err(failure.clone()) } else { Ok(()) }
    }

    /// Makes sure that the suspects are at fault, and not what surrounds them. In a replay nothing hangs on it: they stay
    /// dead letters, and one that is alone must not wait for others.
    pub(super) fn convict(&mut self) -> Result<(), Failure> {
        if self.replay {
            return Ok(());
        }
        let suspects: Vec<(u32, Failure)> = self
            .outcome
            .refused
            .iter()
            .filter_map(|refused| refused.failure.clone().map(|failure| (refused.record, failure)))
            .filter(|(_, failure)| failure.class == Class::Configuration)
            .collect();
        let mut neighbours = BTreeSet::new();
        for (record, failure) in &suspects {
            let part = self.batch.slice(*record..record + 1, &mut self.slots);
            for table in part.tables() {
                let Some(passed) = self.passed.get(&table.plan.label) else { return Err(failure.clone()) };
                neighbours.insert((passed.start, passed.end));
            }
        }
        self.try_again(&neighbours)?;
        for (record, failure) in suspects {
            let part = self.batch.slice(record..record + 1, &mut self.slots);
            if self.tables(&part)?.is_ok() {
                // It is no longer so: everything is tried anew.
                return Err(failure);
            }
        }
        self.try_again(&neighbours)
    }

    /// Writes records that have passed once more, and takes that back. That their keys exist by now does not matter.
    fn try_again(&mut self, neighbours: &BTreeSet<(u32, u32)>) -> Result<(), Failure> {
        for &(start, end) in neighbours {
            let part = self.batch.slice(start..end, &mut self.slots);
            match self.tables(&part)? {
                Ok(_) => self.roll_back()?,
                Err(Obstacle::Refused(failure)) if failure.class == Class::Configuration => {
                    return Err(failure);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}
