//! Partition status, published by the source for /status.

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::positions::ledger::Ledger;
use crate::positions::partition::Phase;

#[derive(Default, Debug)]
pub struct Board(Mutex<Vec<Value>>);

impl Board {
    /// Publishes the status of every partition. `paused` says for each writer whether its partitions are paused.
    pub(crate) fn publish(&self, ledger: &Ledger, paused: &[bool]) {
        let mut partitions: Vec<_> = ledger.iter().collect();
        partitions.sort_unstable_by_key(|(partition, _)| *partition);
        let rows = partitions
            .into_iter()
            .map(|(partition, entry)| {
                let cause = match entry.phase() {
                    Phase::Resolving => Some("position"),
                    Phase::Active => match entry.held() {
                        Some(held) => Some(held.by.as_str()),
                        None => paused[entry.writer()].then_some("writer"),
                    },
                    Phase::Stopped(why) => Some(why.as_str()),
                };
                let detail = match entry.phase() {
                    Phase::Stopped(why) => Some(why.to_string()),
                    Phase::Active => entry.held().map(|held| held.reason.to_string()),
                    Phase::Resolving => None,
                };
                let position =
                    (entry.is_known() && *entry.phase() != Phase::Resolving).then_some(entry.stored().0);
                json!({
                    "topic": &*partition.topic,
                    "partition": partition.partition.0,
                    "position": position,
                    "lag": position.and(entry.lag()),
                    "paused": cause,
                    "detail": detail,
                })
            })
            .collect();
        *self.0.lock() = rows;
    }

    pub fn partitions(&self) -> Vec<Value> {
        self.0.lock().clone()
    }
}
