//! Partition status, published by the source for /status.

use parking_lot::Mutex;

use crate::positions::ledger::Ledger;
use crate::positions::partition::Phase;
use crate::types::{Offset, TopicPartition};

/// What a partition waits for, and why, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Paused {
    /// Its position is being read.
    Position,
    /// Its writer is still busy with the batch before.
    Writer,
    /// It is held: the cause, and the reason.
    Held(&'static str, String),
    /// It has stopped: the cause, and the reason.
    Stopped(&'static str, String),
}

/// One partition.
#[derive(Clone, Debug)]
pub(crate) struct PartitionStatus {
    pub partition: TopicPartition,
    /// The stored position, if it is known.
    pub position: Option<Offset>,
    pub lag: Option<i64>,
    pub paused: Option<Paused>,
    /// The writer that has its records.
    pub writer: usize,
}

/// How far a run with `--until-end` is: both from the same moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TowardsEnd {
    /// Records that are committed.
    pub done: u64,
    /// Records before the ends.
    pub left: u64,
}

#[derive(Default, Debug)]
struct Published {
    partitions: Vec<PartitionStatus>,
    towards_end: Option<TowardsEnd>,
}

/// The status of every assigned partition, in order.
#[derive(Default, Debug)]
pub(crate) struct Board(Mutex<Published>);

impl Board {
    /// Publishes the status of every partition. `paused` says for each writer whether its partitions are paused.
    pub(crate) fn publish(&self, ledger: &Ledger, paused: &[bool], towards_end: Option<TowardsEnd>) {
        let mut partitions: Vec<_> = ledger
            .iter()
            .map(|(partition, entry)| {
                let position =
                    (entry.is_known() && *entry.phase() != Phase::Resolving).then_some(entry.stored());
                let paused = match entry.phase() {
                    Phase::Resolving => Some(Paused::Position),
                    Phase::Active => match entry.held() {
                        Some(held) => Some(Paused::Held(held.by.as_str(), held.reason.to_string())),
                        None => paused[entry.writer()].then_some(Paused::Writer),
                    },
                    Phase::Stopped(why) => Some(Paused::Stopped(why.as_str(), why.to_string())),
                };
                let lag = position.and(entry.lag());
                PartitionStatus {
                    partition: partition.clone(),
                    position,
                    lag,
                    paused,
                    writer: entry.writer(),
                }
            })
            .collect();
        partitions.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
        *self.0.lock() = Published { partitions, towards_end };
    }

    pub(crate) fn partitions(&self) -> Vec<PartitionStatus> {
        self.0.lock().partitions.clone()
    }

    /// How far a run with `--until-end` is; `None` until the ends are known.
    pub(crate) fn towards_end(&self) -> Option<TowardsEnd> {
        self.0.lock().towards_end
    }

    /// The lag of all partitions together, as far as it is known; `None` if it is known of none.
    pub(crate) fn lag(&self) -> Option<i64> {
        self.0.lock().partitions.iter().filter_map(|status| status.lag).reduce(i64::saturating_add)
    }
}
