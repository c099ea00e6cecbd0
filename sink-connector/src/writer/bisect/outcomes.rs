//! What the records of a batch come to.

use std::collections::BTreeMap;

use crate::batch::{Batch, Skip};
use crate::decode::Rejection;
use crate::postgres::failure::Failure;
use crate::rejects::dead_letters::DeadLetter;
use crate::rejects::policy::Decision;
use crate::types::TopicPartition;
use crate::writer::apply::Applied;

/// A record that becomes a dead letter.
#[derive(Debug)]
pub(crate) struct RejectedRecord {
    /// Its number in the batch.
    pub record: u32,
    pub rejection: Rejection,
    /// The server's error, if the server refused it.
    pub failure: Option<Failure>,
}

impl RejectedRecord {
    /// Why, without values of the record.
    pub(crate) fn summary(&self) -> String {
        DeadLetter { record: self.record, rejection: &self.rejection, failure: self.failure.as_ref() }
            .summary()
    }
}

/// What the records came to; true once the transaction commits. If the decision is not to commit, only some of them
/// were tried.
#[derive(Debug, Default)]
pub(crate) struct RecordOutcomes {
    /// Rows written, by the table's label.
    pub written: BTreeMap<String, u64>,
    /// Rows deleted by tombstones, by the table's label.
    pub deleted: BTreeMap<String, u64>,
    pub skipped: Vec<(TopicPartition, Skip, u64)>,
    /// Rejected records: dead letters, if the transaction commits.
    pub rejected: Vec<RejectedRecord>,
    /// Tables of which keys existed.
    pub conflicts: Vec<String>,
    /// What is to be done about the rejected records.
    pub decision: Decision,
}

impl RecordOutcomes {
    /// The rejected records as dead letters.
    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter<'_>> {
        self.rejected
            .iter()
            .map(|r| DeadLetter { record: r.record, rejection: &r.rejection, failure: r.failure.as_ref() })
            .collect()
    }

    /// Adds what a part of the batch came to; its record 0 is the batch's record `base`.
    pub(super) fn add(&mut self, part: &Batch, applied: Vec<(String, Applied)>, base: u32) {
        let partition_of = |record: u32| {
            let span = part.records().get(record).span;
            part.spans()[usize::from(span)].partition.clone()
        };
        let rejected =
            |(record, rejection)| RejectedRecord { record: base + record, rejection, failure: None };
        self.skipped.extend(part.skipped().map(|(partition, reason, n)| (partition.clone(), reason, n)));
        self.rejected.extend(part.rejected().iter().map(|r| rejected((r.record, r.rejection.clone()))));
        for (label, applied) in applied {
            *self.written.entry(label.clone()).or_default() += applied.written;
            if applied.deleted > 0 {
                *self.deleted.entry(label.clone()).or_default() += applied.deleted;
            }
            self.skipped.extend(applied.skipped.iter().map(|(n, reason)| (partition_of(*n), *reason, 1)));
            self.rejected.extend(applied.rejected.into_iter().map(rejected));
            if applied.conflicts {
                self.conflicts.push(label);
            }
        }
    }
}
