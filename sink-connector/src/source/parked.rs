//! Tables that cannot be written for now, while others can: their partitions are paused, and their records are tried again
//! on their own, until the table takes them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::parked_table::{ParkedTable, Stage};
use super::{Command, Source};
use crate::batch::Batch;
use crate::batch::retry_limits::{Needs, RetryLimits};
use crate::messages::report::TableTrouble;
use crate::positions::held::HeldBy;
use crate::types::TopicPartition;

impl Source {
    /// A batch came back because one of its tables cannot be written: each table's records are tried by themselves.
    pub(super) fn divided(&mut self, writer: usize, batch: Batch, now: Instant) {
        let was_probe = batch.is_probe();
        let batch = self.without_void(writer, batch);
        if was_probe && batch.is_empty() {
            self.probe_void(writer);
        }
        let tables: BTreeSet<Option<&str>> =
            batch.spans().iter().map(|span| batch.table_of(&span.partition)).collect();
        for table in tables.into_iter().rev() {
            let part = batch.part(|p| batch.table_of(p) == table, &mut self.fields);
            let limits = batch.retry().unwrap_or(RetryLimits::FIRST);
            self.lanes[writer].queued.push_front(part.into_retry(limits));
        }
        self.on_writer_idle(writer, now);
    }

    /// A batch came back because its table cannot be written.
    pub(super) fn on_parked(&mut self, writer: usize, batch: Batch, trouble: &TableTrouble, now: Instant) {
        let was_probe = batch.is_probe();
        let batch = self.without_void(writer, batch);
        if !batch.is_empty() {
            return self.park(writer, &batch, trouble, now);
        }
        if was_probe {
            self.probe_void(writer);
        }
        self.on_writer_idle(writer, now);
    }

    /// A writer cannot write a table. Its records are held, and its partitions paused.
    fn park(&mut self, writer: usize, batch: &Batch, trouble: &TableTrouble, now: Instant) {
        let (table, needs) = (Arc::clone(&trouble.table), trouble.needs);
        self.lanes[writer].in_flight = None;
        if batch.is_probe() {
            // The breaker of its topic holds it, and tries it again.
            let topics = batch.spans().iter().map(|span| Arc::clone(&span.partition.topic));
            let topics = topics.map(|topic| (topic, trouble.reason.clone())).collect();
            return self.tripped(writer, batch, &topics, now);
        }
        let partitions = self.partitions_of_table(writer, &table);
        let mut batches = vec![batch.part(|p| partitions.contains(p), &mut self.fields)];
        for later in &mut self.lanes[writer].queued {
            if !later.is_probe() && later.spans().iter().any(|span| partitions.contains(&span.partition)) {
                let part = later.part(|p| partitions.contains(p), &mut self.fields);
                batches.push(part);
                *later = later.part(|p| !partitions.contains(p), &mut self.fields);
            }
        }
        // What it has of others: offsets without records, or records after one that it was cut before.
        let rest = batch.part(|p| !partitions.contains(p), &mut self.fields);
        self.lanes[writer].queued.push_front(rest);
        self.lanes[writer].queued.retain(|later| !later.is_empty());
        batches.retain(|batch| !batch.is_empty());
        self.last = None;
        self.drop_from_open_batches(&partitions);
        let known = self.parked.0.remove(&(writer, Arc::clone(&table)));
        let took = self.lanes[writer].sent.map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent));
        let mut parked = ParkedTable::after(known, batch, trouble, took, now);
        let reason = Arc::clone(&parked.reason);
        // This batch is of partitions that were assigned since, or follows those that were parked before.
        batches.splice(0..0, parked.batches.drain(..));
        if needs == Needs::MoreRecords {
            // More records may decide. All of them are fetched again, together with those that follow them.
            let records = batches.drain(..).map(|batch| batch.records().count() as u64).sum::<u64>();
            self.taken -= records;
        }
        self.command(Command::TableParked(Arc::clone(&table), Arc::clone(&reason)));
        parked.batches = batches;
        self.parked.0.insert((writer, table), parked);
        self.hold_table(&partitions, needs == Needs::MoreRecords, &reason);
        self.on_writer_idle(writer, now);
        self.command(Command::Publish);
    }

    /// The partitions of a writer whose records go into this table.
    fn partitions_of_table(&self, writer: usize, table: &str) -> Vec<TopicPartition> {
        let plans = &self.settings.plans;
        let of_table = |p: &TopicPartition| plans.table_of(&p.topic).is_some_and(|label| label == *table);
        self.ledger.of_writer(writer).into_iter().filter(of_table).collect()
    }

    /// Pauses partitions after the records that are held; `again`: none is, and they are fetched again from what is stored.
    fn hold_table(&mut self, partitions: &[TopicPartition], again: bool, reason: &Arc<str>) {
        for partition in partitions {
            let kept = self.kept(partition);
            let Some(entry) = self.ledger.get_mut(partition) else { continue };
            if again {
                entry.gave_back_all(kept);
            } else {
                entry.gave_back(kept);
            }
            entry.hold(HeldBy::Table, Arc::clone(reason));
        }
        self.command(Command::Pause(partitions.to_vec()));
    }

    /// Tries the parked tables again whose time has come.
    pub(super) fn retry_parked(&mut self, now: Instant) {
        let due = |(_, parked): &(&(usize, Arc<str>), &mut ParkedTable)| {
            parked.stage == Stage::Waiting && now >= parked.retry_at
        };
        let mut fetched = Vec::new();
        let mut retried = false;
        for ((writer, table), parked) in self.parked.0.iter_mut().filter(due) {
            if parked.batches.is_empty() {
                parked.stage = Stage::Fetching;
                fetched.push((*writer, Arc::clone(table)));
            } else {
                parked.stage = Stage::Retrying;
                let limits = parked.limits_at(now);
                let batches = parked.batches.drain(..).map(|batch| batch.into_retry(limits));
                self.lanes[*writer].queued.extend(batches);
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
    pub(super) fn table_written(&mut self, writer: usize, batch: &Batch, now: Instant) {
        for table in self.tables_of(batch) {
            let Some(parked) = self.parked.0.get_mut(&(writer, Arc::clone(&table))) else { continue };
            if parked.stage == Stage::Waiting {
                // Of a partition that was assigned since. What waits may be written as well.
                parked.retry_at = now;
                continue;
            }
            let limits = batch.retry().map(|limits| limits.after_commit(batch.records().count()));
            let retried = |b: &Batch| b.retry().is_some() && self.tables_of(b).contains(&table);
            let later: Vec<bool> = self.lanes[writer].queued.iter().map(retried).collect();
            let lane = &mut self.lanes[writer];
            let mut queued = false;
            for (later, _) in lane.queued.iter_mut().zip(later).filter(|(_, retried)| *retried) {
                queued = true;
                if let Some(limits) = limits {
                    *later = std::mem::take(later).into_retry(limits);
                }
            }
            if !queued {
                // What was too much for it in a retry is too much afterwards.
                limits.into_iter().for_each(|limits| lane.adaptive_limit.lower_to(limits.records));
                self.unpark(writer, &table);
            }
        }
    }

    /// The tables of the topics of a batch, also of those of which it has no record but moves the position.
    fn tables_of(&self, batch: &Batch) -> BTreeSet<Arc<str>> {
        let table_of = |p: &TopicPartition| match batch.table_of(p) {
            Some(table) => Some(Arc::from(table)),
            None => self.settings.plans.table_of(&p.topic).map(Arc::from),
        };
        batch.spans().iter().filter_map(|span| table_of(&span.partition)).collect()
    }

    /// A table is not parked any more.
    fn unpark(&mut self, writer: usize, table: &Arc<str>) {
        self.parked.0.remove(&(writer, Arc::clone(table)));
        if self.parked.0.keys().all(|(_, other)| other != table) {
            self.command(Command::TableUnparked(Arc::clone(table)));
        }
        self.release_table(writer, table);
    }

    /// Fetches from the partitions of a table again, but for those that something else holds back.
    fn release_table(&mut self, writer: usize, table: &Arc<str>) {
        let mut released = Vec::new();
        for partition in self.partitions_of_table(writer, table) {
            let Some(entry) = self.ledger.get_mut(&partition) else { continue };
            if entry.release(HeldBy::Table) {
                released.push(partition);
            }
        }
        self.pause_held();
        if self.lanes[writer].paused {
            // They are fetched when the writer is resumed.
            return;
        }
        let free = |p: &TopicPartition| {
            self.ledger.get(p).is_some_and(|entry| entry.is_active() && entry.held().is_none())
        };
        released.retain(free);
        self.command(Command::Resume(released.clone()));
        for partition in released {
            self.refetch(&partition);
        }
        self.command(Command::Publish);
    }

    /// Discards what is held for a writer whose positions are read again. Its tables are tried again with what is fetched.
    pub(super) fn forget_parked(&mut self, writer: usize) {
        let tables: Vec<Arc<str>> = self
            .parked
            .0
            .keys()
            .filter(|(of, _)| *of == writer)
            .map(|(_, table)| Arc::clone(table))
            .collect();
        for table in tables {
            if let Some(parked) = self.parked.0.remove(&(writer, Arc::clone(&table))) {
                self.taken -= parked.batches.iter().map(|batch| batch.records().count() as u64).sum::<u64>();
            }
            for partition in self.partitions_of_table(writer, &table) {
                if let Some(entry) = self.ledger.get_mut(&partition) {
                    entry.release(HeldBy::Table);
                }
            }
            if self.parked.0.keys().all(|(_, other)| *other != table) {
                self.command(Command::TableUnparked(Arc::clone(&table)));
            }
        }
    }

    /// Removes the records of these partitions, which are not ours any more, from what is held.
    pub(super) fn drop_parked_records(&mut self, partitions: &[TopicPartition]) {
        for parked in self.parked.0.values_mut() {
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
        let plans = &self.settings.plans;
        let lost = |table: &str| {
            partitions.iter().any(|p| plans.table_of(&p.topic).is_some_and(|label| label == *table))
        };
        let ended = |(writer, table): &(usize, Arc<str>), parked: &ParkedTable| {
            parked.stage != Stage::Waiting && lost(table)
                || self.partitions_of_table(*writer, table).is_empty()
        };
        let ended: Vec<(usize, Arc<str>)> = self
            .parked
            .0
            .iter()
            .filter(|(key, parked)| ended(key, parked))
            .map(|(key, _)| key.clone())
            .collect();
        for (writer, table) in ended {
            self.unpark(writer, &table);
        }
    }

    /// What is held of parked tables and queued for their writers, for messages.
    #[cfg(test)]
    pub(super) fn held_of_tables(&self) -> String {
        let of =
            |batch: &Batch| (batch.spans().len(), batch.records().count(), batch.retry(), batch.is_probe());
        let tables = self.parked.0.iter().map(|((writer, table), parked)| {
            let batches: Vec<_> = parked.batches.iter().map(of).collect();
            format!("writer {writer}, {table}: {:?} until {:?}, {batches:?}", parked.stage, parked.retry_at)
        });
        let lanes = self.lanes.iter().map(|lane| {
            let queued: Vec<_> = lane.queued.iter().map(of).collect();
            format!(
                "in flight {:?}, paused {}, queued {queued:?}, open {:?}",
                lane.in_flight,
                lane.paused,
                of(&lane.open)
            )
        });
        tables.chain(lanes).collect::<Vec<_>>().join("; ")
    }
}
