//! A batch whose sessions have ended: the fewer candidates there are, the fewer records are written at once.

use std::ops::Range;
use std::time::Duration;

use super::{Bisection, Control, PartOutcome};
use crate::batch::Batch;
use crate::batch::records::offset32;
use crate::postgres::failure::Failure;
use crate::writer::lost_sessions::Candidates;
use crate::writer::timeouts;

/// Other records of the batch that are tried in place of a control row.
const NEIGHBOURS: u32 = 4;
/// A prime: in each attempt, other neighbours are tried.
const STRIDE: u32 = 7919;
/// How long the only candidate may wait for a lock: whoever ends sessions that wait too long has no reason to end this one.
const LOCK_WAIT: Duration = Duration::from_millis(500);

impl Bisection<'_> {
    /// Writes a run: the candidates in small parts, those that are known to end the session not at all.
    pub(super) fn around_candidates(
        &mut self,
        run: &Range<u32>,
        candidates: &Candidates,
    ) -> Result<(), Failure> {
        for records in candidates.parts(run) {
            let fatal = candidates.fatal(&records);
            self.others_pass = fatal.is_some() || candidates.is_the_candidate(&records);
            if self.others_pass && !self.another_passes(records.start, candidates)? {
                let record = self.batch.select_records(records).encode(&mut self.cells);
                return Err(undecided(&candidates.failure, &record));
            }
            if self.others_pass {
                self.connection.client().batch_execute(&timeouts::limit_waits(LOCK_WAIT))?;
            }
            match fatal {
                Some(failure) => self.refuse(records.start, failure.clone()),
                None => _ = self.halve(records, false)?,
            }
            self.others_pass = false;
        }
        Ok(())
    }

    /// Whether another row of the table of this record is written: a control row, a record before it, or one after it.
    fn another_passes(&mut self, record: u32, candidates: &Candidates) -> Result<bool, Failure> {
        let part = self.batch.select_records(record..record + 1).encode(&mut self.cells);
        match self.control(&part, &candidates.failure)? {
            Control::Accepted => return Ok(true),
            Control::Refused(refusal) => return Err(refusal),
            Control::Unknown => {}
        }
        let labels: Vec<&str> = part.tables().map(|table| table.plan.label.as_str()).collect();
        if labels.iter().all(|label| self.passed.contains_key(*label)) {
            return Ok(true);
        }
        let records = offset32(self.batch.records().count());
        let first = record.wrapping_add(candidates.sessions.wrapping_mul(STRIDE));
        let neighbours =
            (0..NEIGHBOURS.min(records)).map(|n| first.wrapping_add(n) % records).map(|n| n..n + 1);
        for neighbour in neighbours.filter(|n| n.start != record && candidates.fatal(n).is_none()) {
            let other = self.batch.select_records(neighbour).encode(&mut self.cells);
            if !other.tables().any(|table| labels.contains(&table.plan.label.as_str())) {
                continue;
            }
            if let PartOutcome::Applied(applied) = self.tables(&other)? {
                self.roll_back()?;
                if applied.iter().any(|(_, applied)| applied.written > 0) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// What is waited for before the only candidate, the only record of `part`, is written again.
fn undecided(ended: &Failure, part: &Batch) -> Failure {
    let table = part.tables().next().map(|table| table.plan.label.clone()).unwrap_or_default();
    let message = format!(
        "a record has ended its session several times, and no other row of {table} shows whether it or the table is at \
         fault: waiting for one that can be written; {}",
        ended.message
    );
    Failure { undecided: true, ..Failure::configuration(message) }
}
