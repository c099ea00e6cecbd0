//! A record that takes too long, all by itself: whether it is at fault, or its table.
//!
//! It has passed the deadline or statement_timeout alone. It is tried once more for nearly as long, and once more between two
//! control rows that are written in a fraction of that. A wait for a lock ends earlier, with an error of its own: whoever
//! keeps the lock is at fault then, not the record.

use std::time::Duration;

use super::{Bisection, Control, Obstacle, PartOutcome};
use crate::batch::Batch;
use crate::postgres::failure::Failure;
use crate::writer::strategy::Strategy;
use crate::writer::timeouts;

impl Bisection<'_> {
    /// A statement for the record may take most of the deadline.
    pub(super) fn begin_timing(&mut self) -> Result<(), Failure> {
        if self.strategy != Strategy::Timed {
            return Ok(());
        }
        if self.batch.retry().is_none() {
            self.connection.client().batch_execute(timeouts::KEEP)?;
        }
        Ok(self.connection.client().batch_execute(&limit(self.deadline * 5 / 8))?)
    }

    /// After the first failure, statements may take a fraction of it, so that all of them fit into the rest.
    pub(super) fn shorten_timing(&mut self) -> Result<(), Failure> {
        if self.strategy == Strategy::Timed {
            self.connection.client().batch_execute(&limit(self.deadline / 20))?;
        }
        Ok(())
    }

    /// Dead letters are written, and the transaction ends, within the limits of the session.
    pub(super) fn end_timing(&mut self) -> Result<(), Failure> {
        if self.strategy == Strategy::Timed {
            self.connection.client().batch_execute(timeouts::RESTORE)?;
        }
        Ok(())
    }

    /// A record that is being timed has taken too long.
    pub(super) fn is_too_slow(&self, failure: &Failure) -> bool {
        self.strategy == Strategy::Timed && failure.statement_timeout() && !failure.before_rows
    }

    /// The failure as the record's own, if other rows of its table are written in time before and after it fails again.
    pub(super) fn check_slow(&mut self, part: &Batch, failure: Failure) -> Result<Failure, Failure> {
        self.others_pass(part, &failure)?;
        match self.tables(part)? {
            PartOutcome::RolledBack(Obstacle::Refused(again)) if self.is_too_slow(&again) => {}
            // It fails for another reason, or no longer: it is tried again from the beginning.
            PartOutcome::RolledBack(Obstacle::Refused(again)) => return Err(again),
            PartOutcome::Applied(_) | PartOutcome::RolledBack(_) => return Err(failure),
        }
        self.accepted.clear();
        self.others_pass(part, &failure)?;
        let table = part.tables().next().map(|table| table.plan.label.clone()).unwrap_or_default();
        let text = format!(
            "takes longer than statement_timeout or postgres.deadline_ms, while other rows of {table} are written; {}",
            failure.message
        );
        Ok(failure.into_the_records().with_report(text))
    }

    fn others_pass(&mut self, part: &Batch, failure: &Failure) -> Result<(), Failure> {
        match self.control(part, failure)? {
            Control::Accepted => Ok(()),
            Control::Refused(refusal) => Err(refusal),
            Control::Unknown => Err(failure.clone()),
        }
    }
}

fn limit(statement: Duration) -> String {
    timeouts::limit(statement / 2, statement)
}
