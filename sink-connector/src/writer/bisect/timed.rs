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

/// The settings of the session, to be restored.
const KEEP: &str = "SELECT set_config('kafka_sink.statement_timeout', current_setting('statement_timeout'), true), \
     set_config('kafka_sink.lock_timeout', current_setting('lock_timeout'), true)";
const RESTORE: &str = "SELECT set_config('statement_timeout', current_setting('kafka_sink.statement_timeout'), true), \
     set_config('lock_timeout', current_setting('kafka_sink.lock_timeout'), true)";

impl Bisection<'_> {
    /// A statement for the record may take most of the deadline.
    pub(super) fn begin_timing(&mut self) -> Result<(), Failure> {
        if self.strategy != Strategy::Timed {
            return Ok(());
        }
        self.connection.client().batch_execute(&format!("{KEEP}; {}", limits(self.deadline * 5 / 8)))?;
        Ok(())
    }

    /// After the first failure, statements may take a fraction of it, so that all of them fit into the rest.
    pub(super) fn shorten_timing(&mut self) -> Result<(), Failure> {
        if self.strategy == Strategy::Timed {
            self.connection.client().batch_execute(&limits(self.deadline / 20))?;
        }
        Ok(())
    }

    /// Dead letters are written, and the transaction ends, within the limits of the session.
    pub(super) fn end_timing(&mut self) -> Result<(), Failure> {
        if self.strategy == Strategy::Timed {
            self.connection.client().batch_execute(RESTORE)?;
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
        match self.control(part)? {
            Control::Accepted => Ok(()),
            Control::Refused(refusal) => Err(refusal),
            Control::Unknown => Err(failure.clone()),
        }
    }
}

/// Limits the time of each statement, and of each wait for a lock to half of that. Limits of the session that are shorter
/// stay.
fn limits(statement: Duration) -> String {
    let limit = |name: &str, limit: Duration| {
        format!(
            "set_config('{name}', least({}, (SELECT nullif(setting::int8, 0) FROM pg_catalog.pg_settings \
             WHERE name = '{name}'))::text, true)",
            limit.as_millis().max(1)
        )
    };
    format!("SELECT {}, {}", limit("statement_timeout", statement), limit("lock_timeout", statement / 2))
}
