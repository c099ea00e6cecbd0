//! Tables that cannot be written for now, while others can: their partitions are paused, and their records are tried again
//! on their own, until the table takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Source;
use crate::batch::Batch;
use crate::messages::report::TableTrouble;
use crate::observe::health::Component;
use crate::positions::ledger::{Held, HeldBy};
use crate::types::{Offset, TopicPartition};

/// The wait before a parked table is tried again, at first. Doubled each time.
const RETRY_MIN: Duration = Duration::from_millis(250);
/// … and at most, so that the end of the cause is noticed.
const RETRY_MAX: Duration = Duration::from_secs(3);

/// What is being done for a parked table of one writer.
#[derive(PartialEq, Eq, Debug)]
enum Stage {
    /// Its partitions are paused until the retry.
    Waiting,
    /// Its batches are with the writer again.
    Retrying,
    /// Its records are fetched again: with more of them it may show whether a record is at fault.
    Fetching,
}

/// A table that a writer could not write.
#[derive(Debug)]
pub(super) struct ParkedTable {
    /// What is tried again, in order: what was in hand and in the queue. None if its records are fetched again.
    batches: Vec<Batch>,
    stage: Stage,
    retry_at: Instant,
    wait: Duration,
}

/// The parked tables of all writers, by the number of the writer and the label of the table.
pub(super) type ParkedTables = BTreeMap<(usize, Arc<str>), ParkedTable>;

impl Source {
    /// A batch came back because one of its tables cannot be written: each table's records are tried by themselves.
    pub(super) fn divide_by_table(&mut self, writer: usize, batch: &Batch) {
        let tables: BTreeSet<Option<&str>> =
            batch.spans().iter().map(|span| batch.table_of(&span.partition)).collect();
        for table in tables.into_iter().rev() {
            let part = batch.part(|p| batch.table_of(p) == table, &mut self.fields);
            self.lanes[writer].queued.push_front(part.into_troubled());
        }
    }

    /// A writer cannot write a table. Its records are held, and its partitions paused.
    pub(super) fn park(&mut self, writer: usize, batch: &Batch, trouble: TableTrouble) {
        let TableTrouble { table, reason, undecided } = trouble;
        let reason: Arc<str> = Arc::from(reason);
        self.lanes[writer].in_flight = None;
        if batch.is_probe() {
            // The breaker of its topic holds it, and tries it again.
            let topics = batch.spans().iter().map(|span| Arc::clone(&span.partition.topic));
            let topics = topics.map(|topic| (topic, reason.to_string())).collect();
            return self.tripped(writer, batch, &topics);
        }
        let partitions = self.partitions_of_table(writer, &table);
        let mut batches = vec![batch.part(|p| partitions.contains(p), &mut self.fields).into_troubled()];
        for later in &mut self.lanes[writer].queued {
            if !later.is_probe() && later.spans().iter().any(|span| partitions.contains(&span.partition)) {
                let part = later.part(|p| partitions.contains(p), &mut self.fields);
                batches.push(part.into_troubled());
                *later = later.part(|p| !partitions.contains(p), &mut self.fields);
            }
        }
        self.lanes[writer].queued.retain(|later| !later.is_empty());
        batches.retain(|batch| !batch.is_empty());
        self.last = None;
        self.drop_from_open_batches(&partitions);
        let known = self.parked.remove(&(writer, Arc::clone(&table)));
        let wait = known.as_ref().map_or(RETRY_MIN, |known| (known.wait * 2).min(RETRY_MAX));
        if let Some(known) = known {
            // This batch is of partitions that were assigned since, or follows those that were parked before.
            batches.splice(0..0, known.batches);
        }
        if undecided {
            // More records may decide. All of them are fetched again, together with those that follow them.
            let records = batches.drain(..).map(|batch| batch.records().count() as u64).sum::<u64>();
            self.taken -= records;
        }
        self.hold_table(&partitions, &batches, undecided, &reason);
        self.context.health.fail(Component::Parked(table.to_string()), &*reason);
        let parked = ParkedTable { batches, stage: Stage::Waiting, retry_at: Instant::now() + wait, wait };
        self.parked.insert((writer, table), parked);
        self.on_writer_idle(writer);
        self.publish();
    }

    /// The partitions of a writer whose records go into this table.
    fn partitions_of_table(&self, writer: usize, table: &str) -> Vec<TopicPartition> {
        let plans = &self.context.plans;
        let of_table = |p: &TopicPartition| plans.table_of(&p.topic).is_some_and(|label| label == *table);
        self.ledger.of_writer(writer).into_iter().filter(of_table).collect()
    }

    /// Pauses partitions after the records that are held; `again`: none is, and they are fetched again from what is stored.
    fn hold_table(
        &mut self,
        partitions: &[TopicPartition],
        batches: &[Batch],
        again: bool,
        reason: &Arc<str>,
    ) {
        let mut ends: BTreeMap<&TopicPartition, Offset> = BTreeMap::new();
        for span in batches.iter().flat_map(Batch::spans) {
            ends.insert(&span.partition, span.next);
        }
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let Some(entry) = self.ledger.get_mut(partition) else { continue };
            let end = if again { entry.stored } else { entry.handed };
            entry.next = ends.get(partition).map_or(end, |held| end.max(*held));
            entry.handed = entry.next;
            entry.held = Some(Held { by: HeldBy::Table, reason: Arc::clone(reason) });
            entry.dropped = true;
            list.add_partition(&partition.topic, partition.partition.0);
        }
        if let Err(error) = self.context.consumer.pause(&list) {
            tracing::debug!(%error, "cannot pause the partitions of a table");
        }
    }

    /// Tries the parked tables again whose time has come.
    pub(super) fn retry_parked(&mut self, now: Instant) {
        let due = |(_, parked): &(&(usize, Arc<str>), &mut ParkedTable)| {
            parked.stage == Stage::Waiting && now >= parked.retry_at
        };
        let mut fetched = Vec::new();
        let mut retried = false;
        for ((writer, table), parked) in self.parked.iter_mut().filter(due) {
            if parked.batches.is_empty() {
                parked.stage = Stage::Fetching;
                fetched.push((*writer, Arc::clone(table)));
            } else {
                parked.stage = Stage::Retrying;
                self.lanes[*writer].queued.extend(parked.batches.drain(..));
                retried = true;
            }
        }
        for (writer, table) in fetched {
            self.release_table(writer, &table);
        }
        if retried {
            self.hand_over_due(now);
        }
    }

    /// A batch is committed: its table can be written.
    pub(super) fn table_written(&mut self, writer: usize, batch: &Batch) {
        let tables: BTreeSet<&str> =
            batch.spans().iter().filter_map(|span| batch.table_of(&span.partition)).collect();
        for table in tables.into_iter().map(Arc::from) {
            let Some(parked) = self.parked.get_mut(&(writer, Arc::clone(&table))) else { continue };
            if parked.stage == Stage::Waiting {
                // Of a partition that was assigned since. What waits may be written as well.
                parked.retry_at = Instant::now();
                continue;
            }
            let queued = self.lanes[writer].queued.iter().any(|b| b.is_troubled() && b.has_table(&table));
            if !queued {
                self.unpark(writer, &table);
            }
        }
    }

    /// A table is not parked any more.
    fn unpark(&mut self, writer: usize, table: &Arc<str>) {
        self.parked.remove(&(writer, Arc::clone(table)));
        if self.parked.keys().all(|(_, other)| other != table) {
            self.context.health.recovered(&Component::Parked(table.to_string()));
        }
        self.release_table(writer, table);
    }

    /// Fetches from the partitions of a table again, but for those that something else holds back.
    fn release_table(&mut self, writer: usize, table: &Arc<str>) {
        let mut released = Vec::new();
        for partition in self.partitions_of_table(writer, table) {
            let Some(entry) = self.ledger.get_mut(&partition) else { continue };
            if entry.held.as_ref().is_some_and(|held| held.by == HeldBy::Table) {
                entry.held = None;
                released.push(partition);
            }
        }
        self.pause_held();
        if self.lanes[writer].paused {
            // They are fetched when the writer is resumed.
            return;
        }
        let free = |p: &TopicPartition| {
            self.ledger.get(p).is_some_and(|entry| entry.is_active() && entry.held.is_none())
        };
        released.retain(free);
        let mut list = TopicPartitionList::new();
        for partition in &released {
            list.add_partition(&partition.topic, partition.partition.0);
        }
        if let Err(error) = self.context.consumer.resume(&list) {
            tracing::debug!(%error, "cannot resume the partitions of a table");
        }
        for partition in released {
            self.refetch(&partition);
        }
        self.publish();
    }

    /// Discards what is held for a writer whose positions are read again. Its tables are tried again with what is fetched.
    pub(super) fn forget_parked(&mut self, writer: usize) {
        let tables: Vec<Arc<str>> =
            self.parked.keys().filter(|(of, _)| *of == writer).map(|(_, table)| Arc::clone(table)).collect();
        for table in tables {
            if let Some(parked) = self.parked.remove(&(writer, Arc::clone(&table))) {
                self.taken -= parked.batches.iter().map(|batch| batch.records().count() as u64).sum::<u64>();
            }
            for partition in self.partitions_of_table(writer, &table) {
                if let Some(entry) = self.ledger.get_mut(&partition)
                    && entry.held.as_ref().is_some_and(|held| held.by == HeldBy::Table)
                {
                    entry.held = None;
                }
            }
            if self.parked.keys().all(|(_, other)| *other != table) {
                self.context.health.recovered(&Component::Parked(table.to_string()));
            }
        }
    }

    /// Removes the records of these partitions, which are not ours any more, from what is held.
    pub(super) fn drop_parked_records(&mut self, partitions: &[TopicPartition]) {
        for parked in self.parked.values_mut() {
            for batch in &mut parked.batches {
                if batch.spans().iter().any(|span| partitions.contains(&span.partition)) {
                    let kept = batch.part(|p| !partitions.contains(p), &mut self.fields);
                    self.taken -= (batch.records().count() - kept.records().count()) as u64;
                    *batch = kept;
                }
            }
            parked.batches.retain(|batch| !batch.is_empty());
        }
        // What is with the writer may have lost its last record, and then nobody reports on it: its table is tried again with
        // what is fetched.
        let plans = &self.context.plans;
        let lost = |table: &str| {
            partitions.iter().any(|p| plans.table_of(&p.topic).is_some_and(|label| label == *table))
        };
        let ended = |(writer, table): &(usize, Arc<str>), parked: &ParkedTable| {
            parked.stage != Stage::Waiting && lost(table)
                || self.partitions_of_table(*writer, table).is_empty()
        };
        let ended: Vec<(usize, Arc<str>)> = self
            .parked
            .iter()
            .filter(|(key, parked)| ended(key, parked))
            .map(|(key, _)| key.clone())
            .collect();
        for (writer, table) in ended {
            self.unpark(writer, &table);
        }
    }
}
