//! A model of Kafka: logs with transaction markers, a group with cooperative rebalances, and the client of a member.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::kafka::client::{Client, FetchedRecord};
use crate::kafka::commits::CommitOutcome;
use crate::kafka::consumer::Rebalanced;
use crate::kafka::record::Incoming;
use crate::types::{Offset, Partition, TopicPartition};

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    Row,
    /// A delete of its key.
    Tombstone,
    /// It cannot be decoded.
    Broken,
}

/// What is at an offset: a record, or the marker of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Record { key: i32, version: i32, content: Content, bytes: Rc<(String, Option<String>)> },
    Marker,
}

/// A member of the group.
#[derive(Default, Debug)]
struct Member {
    /// Assigned, as far as the member knows.
    has: BTreeSet<TopicPartition>,
    /// Assigned, as the group has decided.
    target: BTreeSet<TopicPartition>,
    /// The group has given its partitions to others, and it does not know.
    lost: bool,
}

/// The brokers.
#[derive(Default, Debug)]
pub(super) struct Cluster {
    pub(super) logs: BTreeMap<TopicPartition, Vec<Entry>>,
    members: BTreeMap<u64, Member>,
    pub(super) group_offsets: BTreeMap<TopicPartition, Offset>,
    versions: i32,
    /// So many of the next moves of clients fail.
    pub(super) failing_seeks: usize,
    /// So many of the next commits are refused.
    pub(super) failing_commits: usize,
    /// Partitions whose fetch has stopped after an error, by member, until the client is moved.
    pub(super) stalled: BTreeSet<(u64, TopicPartition)>,
}

impl Cluster {
    /// A cluster with topics of so many partitions each.
    pub(super) fn new(topics: &[&str], partitions: i32) -> Self {
        let logs = topics
            .iter()
            .flat_map(|topic| (0..partitions).map(|n| (TopicPartition::new(*topic, n), Vec::new())));
        Self { logs: logs.collect(), ..Self::default() }
    }

    /// Appends records with keys of their partition. Every eighth of them is a tombstone.
    pub(super) fn produce(&mut self, partition: usize, records: usize, content: Content) {
        let (name, log) = self.logs.iter_mut().nth(partition).expect("the partition exists");
        for _ in 0..records {
            self.versions += 1;
            let (version, key) = (self.versions, name.partition.0 * 8 + self.versions % 7);
            let content = if version % 8 == 0 { Content::Tombstone } else { content };
            let value = match content {
                Content::Row => Some(format!(r#"{{"v":{version}}}"#)),
                Content::Broken => Some(format!(r#"{{"v":"{version}"#)),
                Content::Tombstone => None,
            };
            let bytes = Rc::new((format!(r#"{{"id":{key}}}"#), value));
            log.push(Entry::Record { key, version, content, bytes });
        }
    }

    /// What is at an offset, if it is a record.
    pub(super) fn content(&self, partition: &TopicPartition, offset: Offset) -> Option<Content> {
        match self.logs[partition].get(usize::try_from(offset.0).ok()?)? {
            Entry::Record { content, .. } => Some(*content),
            Entry::Marker => None,
        }
    }

    /// Appends transaction markers.
    pub(super) fn mark(&mut self, partition: usize, markers: usize) {
        let log = self.logs.values_mut().nth(partition).expect("the partition exists");
        log.extend((0..markers).map(|_| Entry::Marker));
    }

    /// The end of a partition's log.
    pub(super) fn end(&self, partition: &TopicPartition) -> Offset {
        Offset(i64::try_from(self.logs[partition].len()).expect("a short log"))
    }

    pub(super) fn join(&mut self, id: u64) {
        self.members.insert(id, Member::default());
        self.assign();
    }

    pub(super) fn leave(&mut self, id: u64) {
        self.members.remove(&id);
        self.assign();
    }

    /// The group gives the partitions of a member to others, and the member does not know yet.
    pub(super) fn lose(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.lost = true;
            member.target.clear();
        }
        self.assign();
    }

    /// Gives every partition to a member; those that have one of the live members keep it if it has not too many.
    fn assign(&mut self) {
        let live: Vec<u64> = self.members.iter().filter(|(_, m)| !m.lost).map(|(id, _)| *id).collect();
        if live.is_empty() {
            return;
        }
        let most = self.logs.len().div_ceil(live.len());
        let mut free = Vec::new();
        for partition in self.logs.keys() {
            let owner = live.iter().find(|id| self.members[id].target.contains(partition));
            if owner.is_none() {
                free.push(partition.clone());
            }
        }
        for id in &live {
            let target = &mut self.members.get_mut(id).expect("a live member").target;
            while target.len() > most {
                free.extend(target.pop_last());
            }
        }
        for partition in free {
            let least = live.iter().min_by_key(|id| self.members[id].target.len()).expect("a live member");
            self.members.get_mut(least).expect("a live member").target.insert(partition);
        }
    }

    /// The rebalances that a member gets to know in a poll.
    fn rebalances(&mut self, id: u64) -> Vec<Rebalanced> {
        let Some(member) = self.members.get_mut(&id) else { return Vec::new() };
        let mut rebalances = Vec::new();
        let revoked: Vec<_> = member.has.difference(&member.target).cloned().collect();
        if !revoked.is_empty() {
            member.has.retain(|partition| !revoked.contains(partition));
            rebalances.push(Rebalanced::Revoked(revoked));
        }
        if std::mem::take(&mut member.lost) {
            self.assign();
            return rebalances;
        }
        let member = &self.members[&id];
        // One that another member has not given up yet comes later.
        let taken = |p: &&TopicPartition| {
            self.members.iter().any(|(other, m)| *other != id && !m.lost && m.has.contains(*p))
        };
        let assigned: Vec<_> = member.target.difference(&member.has).filter(|p| !taken(p)).cloned().collect();
        if !assigned.is_empty() {
            let has = &mut self.members.get_mut(&id).expect("a member").has;
            has.extend(assigned.iter().cloned());
            rebalances.push(Rebalanced::Assigned(assigned));
        }
        rebalances
    }

    fn owns(&self, id: u64, partition: &TopicPartition) -> bool {
        self.members.get(&id).is_some_and(|member| member.target.contains(partition))
    }
}

/// A fetched record.
pub(super) struct ModelRecord {
    partition: TopicPartition,
    offset: i64,
    bytes: Rc<(String, Option<String>)>,
}

impl FetchedRecord for ModelRecord {
    fn topic(&self) -> &str {
        &self.partition.topic
    }

    fn partition(&self) -> Partition {
        self.partition.partition
    }

    fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    fn incoming<'a>(&'a self, _: &'a mut Vec<u8>) -> Incoming<'a> {
        Incoming {
            offset: self.offset,
            timestamp: None,
            payload: self.bytes.1.as_deref().map(str::as_bytes),
            key: Some(self.bytes.0.as_bytes()),
            headers: None,
        }
    }
}

/// The client of a member. Like librdkafka's, its own positions and its pauses outlive assignments.
pub(super) struct ModelClient {
    id: u64,
    cluster: Rc<RefCell<Cluster>>,
    fetched: BTreeMap<TopicPartition, Offset>,
    own: BTreeMap<TopicPartition, Offset>,
    paused: BTreeSet<TopicPartition>,
    rebalances: Vec<Rebalanced>,
    outcomes: Vec<CommitOutcome>,
    turn: usize,
}

impl ModelClient {
    /// The client of a member that has joined.
    pub(super) fn new(id: u64, cluster: Rc<RefCell<Cluster>>) -> Self {
        Self {
            id,
            cluster,
            fetched: BTreeMap::new(),
            own: BTreeMap::new(),
            paused: BTreeSet::new(),
            rebalances: Vec::new(),
            outcomes: Vec::new(),
            turn: 0,
        }
    }

    /// The next record of a partition; markers on the way are passed.
    fn fetch(&mut self, partition: &TopicPartition) -> Option<ModelRecord> {
        let cluster = self.cluster.borrow();
        let position = self.fetched.get_mut(partition)?;
        if self.paused.contains(partition) || cluster.stalled.contains(&(self.id, partition.clone())) {
            return None;
        }
        while let Some(entry) = cluster.logs[partition].get(usize::try_from(position.0).ok()?) {
            let offset = position.0;
            position.0 += 1;
            self.own.insert(partition.clone(), *position);
            if let Entry::Record { bytes, .. } = entry {
                return Some(ModelRecord { partition: partition.clone(), offset, bytes: Rc::clone(bytes) });
            }
        }
        None
    }

    fn restarted(&self, partition: &TopicPartition) {
        self.cluster.borrow_mut().stalled.remove(&(self.id, partition.clone()));
    }
}

impl Client for ModelClient {
    type Record<'a> = ModelRecord;

    fn poll(&mut self, _: Duration) -> Option<KafkaResult<ModelRecord>> {
        let rebalances = self.cluster.borrow_mut().rebalances(self.id);
        for rebalanced in &rebalances {
            if let Rebalanced::Revoked(partitions) = rebalanced {
                self.fetched.retain(|partition, _| !partitions.contains(partition));
            }
        }
        self.rebalances.extend(rebalances);
        let partitions: Vec<_> = self.fetched.keys().cloned().collect();
        for _ in 0..partitions.len() {
            self.turn = (self.turn + 1) % partitions.len();
            if let Some(record) = self.fetch(&partitions[self.turn]) {
                return Some(Ok(record));
            }
        }
        None
    }

    fn take_rebalances(&mut self) -> Vec<Rebalanced> {
        std::mem::take(&mut self.rebalances)
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.fetched.keys().cloned().collect()
    }

    fn subscribe(&mut self, _: &[String]) -> KafkaResult<()> {
        Ok(())
    }

    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> KafkaResult<()> {
        for (partition, position) in positions {
            self.restarted(partition);
            self.fetched.insert(partition.clone(), *position);
        }
        Ok(())
    }

    fn seek(&mut self, partition: &TopicPartition, position: Offset) -> KafkaResult<()> {
        let failing = self.cluster.borrow().failing_seeks;
        if failing > 0 || !self.fetched.contains_key(partition) {
            self.cluster.borrow_mut().failing_seeks = failing.saturating_sub(1);
            return Err(KafkaError::Seek("timed out".to_owned()));
        }
        self.restarted(partition);
        self.fetched.insert(partition.clone(), position);
        self.own.insert(partition.clone(), position);
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.paused.extend(partitions.iter().cloned());
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.paused.retain(|partition| !partitions.contains(partition));
        Ok(())
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        let assigned = self.own.iter().filter(|(partition, _)| self.fetched.contains_key(*partition));
        assigned.map(|(partition, position)| (partition.clone(), *position)).collect()
    }

    fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> KafkaResult<()> {
        let mut cluster = self.cluster.borrow_mut();
        let refused = cluster.failing_commits > 0 || positions.iter().any(|(p, _)| !cluster.owns(self.id, p));
        cluster.failing_commits = cluster.failing_commits.saturating_sub(1);
        if refused {
            let failed = positions.iter().map(|(partition, _)| partition.clone()).collect();
            let error = KafkaError::ConsumerCommit(RDKafkaErrorCode::RebalanceInProgress);
            self.outcomes.push(CommitOutcome { result: Err(error), failed });
        } else {
            cluster.group_offsets.extend(positions.iter().cloned());
            self.outcomes.push(CommitOutcome { result: Ok(()), failed: Vec::new() });
        }
        Ok(())
    }

    fn commit_outcomes(&mut self) -> Vec<CommitOutcome> {
        std::mem::take(&mut self.outcomes)
    }

    fn warn(&self, _: &str) {}
}
