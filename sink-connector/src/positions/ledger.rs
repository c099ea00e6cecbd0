//! All assigned partitions, each with its writer. Pure.

use hashbrown::HashMap;

use crate::positions::partition::{AssignedPartition, Phase};
use crate::positions::stopped::Stopped;
use crate::types::TopicPartition;

/// All assigned partitions.
#[derive(Default, Debug)]
pub(crate) struct Ledger {
    partitions: HashMap<TopicPartition, AssignedPartition>,
    epochs: u64,
}

impl Ledger {
    /// Enters a newly assigned partition and returns the epoch of the query for its position.
    pub(crate) fn assign(&mut self, partition: TopicPartition, writers: usize) -> u64 {
        self.epochs += 1;
        let writer = self.least_busy(writers);
        self.partitions.insert(partition, AssignedPartition::assigned(writer, self.epochs));
        self.epochs
    }

    fn least_busy(&self, writers: usize) -> usize {
        let load = |writer: usize| self.partitions.values().filter(|p| p.writer() == writer).count();
        (0..writers).min_by_key(|w| load(*w)).unwrap_or(0)
    }

    /// Forgets a partition that was revoked, and returns its last state.
    pub(crate) fn revoke(&mut self, partition: &TopicPartition) -> Option<AssignedPartition> {
        self.partitions.remove(partition)
    }

    /// The position of a partition is read again. Returns the epoch of the query; `None` if the partition is not ours or
    /// has stopped.
    pub(crate) fn resolve_again(&mut self, partition: &TopicPartition) -> Option<u64> {
        self.epochs += 1;
        let epoch = self.epochs;
        self.partitions.get_mut(partition)?.resolve_again(epoch).then_some(epoch)
    }

    /// The position of a stopped partition is read again, because the cause may be over. Returns the epoch of the query; `None`
    /// if it can only end by an act of the operator.
    pub(crate) fn query_again(&mut self, partition: &TopicPartition) -> Option<u64> {
        self.epochs += 1;
        let epoch = self.epochs;
        self.partitions.get_mut(partition)?.is_queried_again(epoch).then_some(epoch)
    }

    /// One partition.
    pub(crate) fn get(&self, partition: &TopicPartition) -> Option<&AssignedPartition> {
        self.partitions.get(partition)
    }

    /// One partition with the name that all share.
    pub(crate) fn entry(&self, partition: &TopicPartition) -> Option<(&TopicPartition, &AssignedPartition)> {
        self.partitions.get_key_value(partition)
    }

    /// One partition, for a transition.
    pub(crate) fn get_mut(&mut self, partition: &TopicPartition) -> Option<&mut AssignedPartition> {
        self.partitions.get_mut(partition)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &AssignedPartition)> {
        self.partitions.iter()
    }

    /// All of them, for transitions.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&TopicPartition, &mut AssignedPartition)> {
        self.partitions.iter_mut()
    }

    /// Those that `select` accepts, in order.
    pub(crate) fn select(
        &self,
        select: impl Fn(&TopicPartition, &AssignedPartition) -> bool,
    ) -> Vec<TopicPartition> {
        let selected = self.partitions.iter().filter(|(name, partition)| select(name, partition));
        let mut selected: Vec<_> = selected.map(|(name, _)| name.clone()).collect();
        selected.sort_unstable();
        selected
    }

    /// Partitions of a writer that are not stopped.
    pub(crate) fn of_writer(&self, writer: usize) -> Vec<TopicPartition> {
        self.select(|_, partition| partition.writer() == writer && !partition.has_stopped())
    }

    /// Partitions of a topic.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<TopicPartition> {
        self.select(|name, _| *name.topic == *topic)
    }

    /// Stopped partitions and why, in order.
    pub(crate) fn stopped(&self) -> Vec<(TopicPartition, Stopped)> {
        let mut stopped: Vec<_> = self
            .partitions
            .iter()
            .filter_map(|(name, partition)| match partition.phase() {
                Phase::Stopped(why) => Some((name.clone(), why.clone())),
                Phase::Resolving | Phase::Active => None,
            })
            .collect();
        stopped.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        stopped
    }

    /// How many partitions there are.
    pub(crate) fn count(&self) -> usize {
        self.partitions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_over_the_writers() {
        let mut ledger = Ledger::default();
        for partition in 0..4 {
            ledger.assign(TopicPartition::new("t", partition), 2);
        }
        assert_eq!((ledger.of_writer(0).len(), ledger.of_writer(1).len()), (2, 2));
    }
}
