//! The source: the thread that owns polling. It takes records, fills the writers' batches, and follows the group's
//! rebalances. It never waits for PostgreSQL, and it is the only one that changes what is fetched.

pub mod bounds;
mod breakers;
pub mod commits;
pub mod consumer;
pub mod headers;
mod portion;
pub mod progress;
mod silence;
pub mod slot;
pub mod take;
pub mod topic_ids;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use shared::signal::Shutdown;

use self::bounds::{Bounds, Ends, StoppedBy};
use self::breakers::OpenBreakers;
use self::commits::Commits;
use self::consumer::{Consumer, Rebalanced, cooperative, list_of};
use self::slot::{Limits, Slot};
use crate::decode::Slots;
use crate::events::{Event, Watermarks};
use crate::health::{Component, Health};
use crate::keeper::{Question, Request};
use crate::ledger::{Ledger, Phase, Stopped};
use crate::metrics::Metrics;
use crate::plans::Plans;
use crate::policy::{Policy, Refusal};
use crate::status::Board;
use crate::types::{Offset, TopicPartition};
use crate::watcher::{Look, Watched};
use crate::writer::transaction::Counts;
use crate::writer::{Report, Size};

/// How long the source waits for a busy writer without polling; after that its partitions are paused, and polling
/// goes on. Pausing drops what was prefetched, so it is for outages, not for flow control.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a poll waits when there is nothing to hand over.
const POLL: Duration = Duration::from_millis(50);
/// … and when a batch waits for its writer.
const POLL_BUSY: Duration = Duration::from_millis(1);
/// Records taken between two looks at the news.
const BURST: usize = 64;
/// How often positions without records are looked after, and the status is published.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// How often Kafka is told the positions: lag tools need them, nothing else does.
const KAFKA_COMMIT: Duration = Duration::from_millis(200);
/// How long local operations of librdkafka may take.
const LOCAL: Duration = Duration::from_secs(5);
/// How often, and for how long, a position beyond the end is confirmed before its partition stops: a broker that has
/// just become leader may not know its end yet.
const CONFIRM: (u32, Duration) = (3, Duration::from_secs(10));

/// What the source works with.
pub struct Parts {
    /// The consumer.
    pub consumer: Consumer,
    /// Channels to the writers.
    pub writers: Vec<Sender<crate::batch::Batch>>,
    /// News.
    pub events: Receiver<Event>,
    /// Questions to the keeper.
    pub keeper: Sender<Request>,
    /// Questions to the watcher.
    pub watcher: Sender<Look>,
    /// What the watcher watches.
    pub watched: Watched,
    /// Plans by topic.
    pub plans: Arc<Plans>,
    /// What rejected records do.
    pub policy: Arc<Policy>,
    /// How often an open breaker tries again.
    pub breaker_retry: Duration,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<Health>,
    /// Where the status is published.
    pub board: Arc<Board>,
    /// Asks to stop.
    pub shutdown: Shutdown,
    /// Limits of a batch.
    pub limits: Limits,
    /// Bounds of the run.
    pub bounds: Bounds,
    /// SIGTERM to the end of draining, at most.
    pub drain_timeout: Duration,
    /// Metadata of commits to Kafka.
    pub commit_metadata: String,
    /// Milliseconds since the start at the last turn of the loop: what /livez looks at.
    pub heartbeat: Arc<AtomicU64>,
}

/// What a run came to; all of it committed.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Records consumed.
    pub records: u64,
    /// Rows inserted or updated.
    pub rows_written: u64,
    /// Rows deleted by tombstones.
    pub rows_deleted: u64,
    /// Records skipped.
    pub skipped: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Positions, of every partition that was ours.
    pub positions: HashMap<TopicPartition, Offset>,
    /// Partitions of ours that wait for the operator, and why.
    pub stopped: Vec<(TopicPartition, Stopped)>,
    /// Rejected records that the error policy stopped before, the first of each partition.
    pub refused: Vec<Refusal>,
    /// Why a breaker stayed open, if that ended the run.
    pub stays_open: Option<Arc<str>>,
}

/// The thread's state.
pub struct Source {
    parts: Parts,
    ledger: Ledger,
    slots: Vec<Slot>,
    fields: Slots,
    headers: Vec<u8>,
    last: Option<take::Last>,
    ends: Ends,
    totals: Totals,
    /// Records in committed, written and open batches: what `--max-records` bounds.
    taken: u64,
    /// A writer gave its batch up because of the shutdown: there is no use in handing over more.
    abandoned: bool,
    breakers: OpenBreakers,
    beyond: HashMap<TopicPartition, (u32, Instant)>,
    /// Until when the topics are known to be the same.
    same_topics: Option<Instant>,
    commits: Commits,
    uncommitted: HashMap<TopicPartition, Offset>,
    next_kafka_commit: Instant,
    next_tick: Instant,
    last_record: Instant,
    joined: bool,
    /// The group refuses this member; how many commits it had taken when it last said so.
    outsider: Option<u64>,
    started: Instant,
}

impl Source {
    /// A source that has not polled yet.
    pub fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let slots = parts.writers.iter().map(|batches| Slot::new(batches.clone())).collect();
        Self {
            commits: Commits::new(&parts.consumer),
            parts,
            ledger: Ledger::default(),
            slots,
            fields: Slots::default(),
            headers: Vec::new(),
            last: None,
            ends: Ends::default(),
            totals: Totals::default(),
            taken: 0,
            abandoned: false,
            breakers: OpenBreakers::new(),
            beyond: HashMap::new(),
            same_topics: None,
            uncommitted: HashMap::new(),
            next_kafka_commit: now,
            next_tick: now,
            last_record: now,
            joined: false,
            outsider: None,
            started: now,
        }
    }

    /// Works until a bound is reached or shutdown is requested, and drains.
    ///
    /// # Errors
    /// What librdkafka calls fatal: a fenced static member, for one.
    pub fn run(mut self) -> Result<(StoppedBy, Totals), KafkaError> {
        self.note_breakers();
        let stopped_by = loop {
            self.heartbeat();
            self.hear();
            if let Some(stopped_by) = self.finished() {
                break stopped_by;
            }
            let now = Instant::now();
            self.retry_breakers(now);
            self.hand_over_due(now);
            self.tell_kafka(now);
            if now >= self.next_tick {
                self.next_tick = now + IDLE_TICK;
                self.tick();
            }
            if self.waits_for_writer(now) {
                continue;
            }
            self.poll()?;
        };
        self.drain(stopped_by);
        self.totals.stopped = self.ledger.stopped();
        Ok((stopped_by, self.totals))
    }

    fn heartbeat(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.parts.heartbeat.store(elapsed, Ordering::Relaxed);
    }

    /// Takes what there is, up to a burst.
    fn poll(&mut self) -> Result<(), KafkaError> {
        let pending = self.slots.iter().any(|s| !s.open.is_empty());
        let mut timeout = if pending { POLL_BUSY } else { POLL };
        let consumer = Arc::clone(&self.parts.consumer);
        // Only the first poll waits: the time is asked for once, for it costs more than what it is for.
        let mut now = None;
        for _ in 0..BURST {
            match consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => {
                    let now = *now.get_or_insert_with(Instant::now);
                    if self.take(&message, now) == take::Taken::Full {
                        break;
                    }
                }
                Some(Err(error)) => {
                    self.kafka_error(&error)?;
                    break;
                }
            }
            timeout = Duration::ZERO;
        }
        for rebalanced in consumer.context().take_rebalances() {
            self.rebalanced(rebalanced);
        }
        Ok(())
    }

    fn kafka_error(&mut self, error: &KafkaError) -> Result<(), KafkaError> {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Err(error.clone());
        }
        let code = error.rdkafka_error_code();
        match code {
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic,
            ) => {
                tracing::warn!(%error, "Kafka: asking where the logs begin and end");
                self.look(Look::All);
            }
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::InconsistentGroupProtocol
                | RDKafkaErrorCode::GroupMaxSizeReached
                | RDKafkaErrorCode::InvalidSessionTimeout,
            ) => {
                // Nothing is assigned for as long as this lasts, which looks like a group that has enough members.
                self.parts.health.fail(Component::Group, format!("cannot be a member: {error}"));
                self.outsider = Some(self.parts.metrics.kafka_commits.with_label_values(&["ok"]).get());
            }
            _ => tracing::warn!(%error, "Kafka"),
        }
        Ok(())
    }

    fn rebalanced(&mut self, rebalanced: Rebalanced) {
        self.joined = true;
        self.last = None;
        match rebalanced {
            Rebalanced::Assigned(partitions) => {
                tracing::info!(partitions = partitions.len(), "assigned");
                self.member();
                let writers = self.slots.len();
                let questions: Vec<_> = partitions
                    .into_iter()
                    .map(|partition| {
                        self.begin_metrics(&partition);
                        let epoch = self.ledger.assign(partition.clone(), writers);
                        Question { partition, epoch, known: false }
                    })
                    .collect();
                if questions.is_empty() {
                    // librdkafka waits for an answer to an empty assignment as well.
                    self.assign(&TopicPartitionList::new());
                }
                self.ask(Request::Resolve(questions));
            }
            Rebalanced::Revoked(partitions) => {
                tracing::info!(partitions = partitions.len(), "revoked");
                for partition in &partitions {
                    self.ledger.revoke(partition);
                    self.beyond.remove(partition);
                    self.uncommitted.remove(partition);
                    self.forget_metrics(partition);
                }
                self.without(&partitions);
                self.ask(Request::Forget(partitions));
            }
        }
        self.publish();
    }

    /// Partitions are not ours any more, or are not read any more: what was taken of them is dropped.
    /// The group works with this member.
    fn member(&mut self) {
        if self.outsider.take().is_some() {
            self.parts.health.well(&Component::Group);
        }
    }

    /// Takes partitions out of the open batches; what else is in them is encoded again.
    fn without(&mut self, partitions: &[TopicPartition]) {
        self.put_back(partitions);
        self.without_held(partitions);
        self.close_passed();
    }

    /// Takes partitions out of the open batches; what else is in them is encoded again.
    fn put_back(&mut self, partitions: &[TopicPartition]) {
        for slot in &mut self.slots {
            if slot.open.spans().iter().any(|s| partitions.contains(&s.partition)) {
                let (opened, doubt) = (slot.opened, slot.doubt);
                let batch = slot.take_open();
                let plans = batch.plans().clone();
                self.taken -= batch.records().count() as u64;
                slot.open = batch.encode_again(
                    |p| plans.get(&p.topic).cloned(),
                    |p| !partitions.contains(p),
                    &mut self.fields,
                );
                self.taken += slot.open.records().count() as u64;
                (slot.opened, slot.doubt) = (opened, doubt);
            }
        }
    }

    /// News from the other threads.
    fn hear(&mut self) {
        while let Ok(event) = self.parts.events.try_recv() {
            self.heard(event);
        }
    }

    fn heard(&mut self, event: Event) {
        match event {
            Event::Report(report) => self.reported(*report),
            Event::Replaced { writer, batches, generation } => {
                self.slots[writer].batches = batches;
                self.slots[writer].generation = generation;
                self.resolve_again(writer);
                self.freed(writer);
            }
            Event::Resolved(answers) => self.resolved(answers),
            Event::Watermarks(found) => self.watermarks(found),
            Event::Recreated { topic, why } => {
                let partitions: Vec<_> =
                    self.ledger.iter().filter(|(p, _)| *p.topic == *topic).map(|(p, _)| p.clone()).collect();
                for partition in partitions {
                    self.stop(&partition, Stopped::TopicRecreated(why.clone()));
                }
            }
            Event::SameTopics(at) => self.same_topics(at),
            Event::Goal(goal) => self.ends.goal = Some(goal),
            Event::Stored(positions) => self.ends.elsewhere.extend(positions),
        }
    }

    /// A writer is done with a batch. Of a writer that was replaced only commits count, and only as what was done: the
    /// positions are its successor's, which has read them again.
    fn reported(&mut self, report: Report) {
        let (writer, generation) = report.from();
        if self.slots[writer].generation != generation {
            if let Report::Committed { batch, counts, .. } = report {
                self.taken += batch.records().count() as u64;
                self.count(&batch, &counts);
            }
            return;
        }
        match report {
            Report::Committed { batch, counts, refused, .. } => {
                self.committed(writer, &batch, &counts);
                self.slots[writer].portion.committed(batch.records().count(), self.parts.limits.max_rows);
                self.totals.refused.extend(refused);
                if batch.is_probe() {
                    self.probe_passed(writer, &batch);
                }
                self.slots[writer].recycle(batch);
                self.freed(writer);
            }
            Report::Fenced { batch, .. } => {
                self.resolve_again(writer);
                self.slots[writer].recycle(batch);
                self.freed(writer);
            }
            Report::Returned { batch, size, .. } => {
                let slot = &mut self.slots[writer];
                match size {
                    Size::Larger => slot.grow(batch, &self.parts.limits, &self.parts.plans, &mut self.fields),
                    Size::Smaller => {
                        slot.portion.took_too_long(batch.records().count());
                        slot.first.push_front(batch);
                    }
                }
                self.freed(writer);
            }
            Report::Tripped { batch, topics, .. } => {
                self.slots[writer].in_flight = None;
                self.tripped(writer, &batch, &topics);
            }
            Report::Abandoned { .. } => {
                self.slots[writer].in_flight = None;
                self.abandoned = true;
            }
        }
    }

    fn committed(&mut self, writer: usize, batch: &crate::batch::Batch, counts: &Counts) {
        self.slots[writer].in_flight = None;
        self.count(batch, counts);
        for span in batch.spans() {
            self.totals.positions.insert(span.partition.clone(), span.next);
            if self.ledger.committed(&span.partition, span.next) {
                self.uncommitted.insert(span.partition.clone(), span.next);
            }
        }
    }

    fn count(&mut self, batch: &crate::batch::Batch, counts: &Counts) {
        self.totals.records += batch.records().count() as u64;
        self.totals.rows_written += counts.written.iter().map(|(_, n)| n).sum::<u64>();
        self.totals.rows_deleted += counts.deleted.iter().map(|(_, n)| n).sum::<u64>();
        self.totals.skipped += counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>();
        self.totals.dead_letters += counts.dead_letters.len() as u64;
    }

    /// News that comes while nothing is taken any more.
    fn heard_while_draining(&mut self, event: Event) {
        match event {
            Event::Report(_) | Event::Recreated { .. } | Event::SameTopics(_) => self.heard(event),
            Event::Replaced { writer, .. } => self.slots[writer].in_flight = None,
            Event::Resolved(_) | Event::Watermarks(_) | Event::Goal(_) | Event::Stored(_) => {}
        }
    }

    /// The writer can take another batch.
    fn freed(&mut self, writer: usize) {
        let slot = &mut self.slots[writer];
        slot.in_flight = None;
        slot.blocked = None;
        self.hand_over_due(Instant::now());
        let slot = &self.slots[writer];
        if slot.paused && !slot.full(&self.parts.limits) {
            self.resume(writer);
        }
    }

    /// A writer's batches did not come through: all of its positions are read again.
    fn resolve_again(&mut self, writer: usize) {
        let slot = &mut self.slots[writer];
        self.taken -= slot.in_flight.take().unwrap_or(0) + slot.open.records().count() as u64;
        slot.drop_open();
        self.last = None;
        self.forget_held(writer);
        self.close_passed();
        let partitions = self.ledger.of_writer(writer);
        let questions: Vec<_> = partitions
            .into_iter()
            .filter_map(|partition| {
                let epoch = self.ledger.resolve_again(&partition)?;
                let known = self.ledger.get(&partition).is_some_and(|place| place.known);
                Some(Question { partition, epoch, known })
            })
            .collect();
        self.ask(Request::Resolve(questions));
    }

    /// Positions have come: fetching begins there.
    fn resolved(&mut self, answers: Vec<(TopicPartition, u64, Result<Offset, Stopped>)>) {
        self.last = None;
        let mut positions = Vec::new();
        for (partition, epoch, answer) in answers {
            match answer {
                Ok(position) => {
                    if self.ledger.resolved(&partition, epoch, position) {
                        // Lag tools do not see a partition that Kafka was never told of, or one that was reset.
                        self.uncommitted.insert(partition.clone(), position);
                        positions.push((partition, position));
                    }
                }
                Err(why) => {
                    if self.ledger.get(&partition).is_some_and(|place| place.epoch == epoch) {
                        self.stop(&partition, why);
                    }
                }
            }
        }
        self.fetch_from(&positions);
        self.publish();
    }

    /// Assigns partitions at their positions, or moves them there when they are assigned already.
    fn fetch_from(&mut self, positions: &[(TopicPartition, Offset)]) {
        let consumer = &self.parts.consumer;
        let assigned = consumer.assignment().map(|l| consumer::partitions_of(&l)).unwrap_or_default();
        let (old, new): (Vec<_>, Vec<_>) = positions.iter().partition(|(p, _)| assigned.contains(p));
        let list = |positions: &[&(TopicPartition, Offset)]| list_of(positions.iter().map(|(p, o)| (p, *o)));
        self.unpause(positions);
        match list(&new) {
            Ok(list) => self.assign(&list),
            Err(error) => tracing::error!(%error, "cannot name the partitions to assign"),
        }
        for (partition, position) in old {
            self.seek(partition, *position);
        }
        for writer in 0..self.slots.len() {
            if self.slots[writer].paused {
                // What was assigned just now belongs to a writer that is waiting.
                self.pause(writer);
            }
        }
        self.pause_held();
        *self.parts.watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            self.ledger.iter().map(|(p, _)| p.clone()).collect();
        self.look(Look::All);
    }

    /// Ends pauses from before: they outlive assignments, and the partition's writer may have been freed while its
    /// position was being read.
    fn unpause(&self, positions: &[(TopicPartition, Offset)]) {
        let mut list = TopicPartitionList::new();
        for (partition, _) in positions {
            let waits = self.ledger.get(partition).is_some_and(|place| self.slots[place.writer].paused);
            if !waits {
                list.add_partition(&partition.topic, partition.partition.0);
            }
        }
        if let Err(error) = self.parts.consumer.resume(&list) {
            tracing::debug!(%error, "resuming");
        }
    }

    fn assign(&self, list: &TopicPartitionList) {
        let consumer = &self.parts.consumer;
        let outcome = if cooperative(consumer) {
            consumer.incremental_assign(list)
        } else {
            // The eager protocol replaces the assignment: what is there stays.
            match consumer.assignment() {
                Ok(mut all) => {
                    for element in list.elements() {
                        if let Err(error) =
                            all.add_partition_offset(element.topic(), element.partition(), element.offset())
                        {
                            tracing::error!(%error, "cannot name a partition to assign");
                        }
                    }
                    consumer.assign(&all)
                }
                Err(error) => Err(error),
            }
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "cannot assign partitions");
        }
    }

    /// Moves an assigned partition; everything fetched before is void.
    fn seek(&mut self, partition: &TopicPartition, position: Offset) {
        let sought = list_of([(partition, position)])
            .and_then(|list| self.parts.consumer.seek_partitions(list, LOCAL))
            .and_then(|list| {
                list.elements()
                    .first()
                    .map_or(Ok(()), rdkafka::topic_partition_list::TopicPartitionListElem::error)
            });
        let moved = match sought {
            Ok(()) => true,
            // Not being fetched at the moment: assign it anew.
            Err(_) => list_of([(partition, position)])
                .and_then(|list| {
                    self.parts.consumer.incremental_unassign(&list)?;
                    self.parts.consumer.incremental_assign(&list)
                })
                .inspect_err(
                    |error| tracing::error!(%partition, %error, "cannot move to the stored position"),
                )
                .is_ok(),
        };
        if let Some(place) = self.ledger.get_mut(partition) {
            place.dropped = !moved;
            place.settled = false;
        }
    }

    fn watermarks(&mut self, found: Vec<(TopicPartition, Watermarks)>) {
        let now = Instant::now();
        let told = found.iter().filter(|(partition, _)| self.ledger.get(partition).is_some()).count();
        if told == self.ledger.count() {
            self.ends.told = Some(now);
        }
        for (partition, Watermarks { low, high }) in found {
            self.ledger.ends_at(&partition, high);
            let Some(place) = self.ledger.get(&partition) else { continue };
            if place.phase != Phase::Active {
                continue;
            }
            let (stored, next) = (place.stored, place.next);
            if next < low {
                // What was read before it was deleted is nowhere else any more: it is written first.
                if stored != next || place.busy {
                    continue;
                }
                let why = format!(
                    "{partition}: the next record is {next}, but the log begins at {low}: retention has removed what \
                     was not read yet. Choose a position with `sink-connector offsets reset`"
                );
                self.stop(&partition, Stopped::BelowLogStart(why));
            } else if stored > high {
                let (times, since) = self.beyond.entry(partition.clone()).or_insert((0, now));
                *times += 1;
                if *times >= CONFIRM.0 && now - *since >= CONFIRM.1 {
                    let why = format!(
                        "{partition}: the position is {stored}, but the log ends at {high}: it was truncated, or the \
                         topic created again. Choose a position with `sink-connector offsets reset`"
                    );
                    self.stop(&partition, Stopped::BeyondLogEnd(why));
                }
            } else {
                self.beyond.remove(&partition);
                if place.lag().is_some_and(|lag| lag > 0)
                    && !place.busy
                    && stored == next
                    && place.held.is_none()
                    && !self.slots[place.writer].paused
                {
                    // There are records and none came: librdkafka stops fetching after some errors.
                    self.nudge(&partition);
                }
            }
        }
        self.publish();
    }

    /// Stops a partition: its records are not taken any more, those in the open batch are dropped.
    fn stop(&mut self, partition: &TopicPartition, why: Stopped) {
        let text = why.to_string();
        let reason = why.as_str();
        if !self.ledger.stop(partition, why) {
            return;
        }
        tracing::error!(%partition, reason, "partition stopped: {text}");
        self.last = None;
        self.without(std::slice::from_ref(partition));
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition.0);
        if let Err(error) = self.parts.consumer.pause(&list) {
            tracing::debug!(%partition, %error, "a partition that is not assigned need not be paused");
        }
        self.publish();
    }

    fn look(&self, look: Look) {
        if self.parts.watcher.send(look).is_err() {
            tracing::debug!("the watcher is gone");
        }
    }

    fn ask(&self, request: Request) {
        if self.parts.keeper.send(request).is_err() {
            tracing::debug!("the keeper is gone");
        }
    }

    fn finished(&mut self) -> Option<StoppedBy> {
        let bounds = self.parts.bounds;
        if self.parts.shutdown.requested() {
            return Some(StoppedBy::Signal);
        }
        if bounds.max_records.is_some_and(|max| self.totals.records >= max) {
            return Some(StoppedBy::MaxRecords);
        }
        if !self.totals.refused.is_empty() {
            return Some(StoppedBy::ErrorPolicy);
        }
        if bounds.bounded()
            && let Some(reason) = self.nothing_but_held()
        {
            self.totals.stays_open = Some(reason);
            return Some(StoppedBy::ErrorPolicy);
        }
        // Stored positions say nothing of the logs before those that are ours have been looked at.
        if bounds.until_end && self.joined && self.ends.reached(&self.ledger) {
            return Some(StoppedBy::End);
        }
        if bounds.max_records.is_some() && bounds::nothing_is_left(&self.ledger) {
            return Some(StoppedBy::End);
        }
        if let Some(idle) = bounds.idle_timeout
            && self.joined
            && self.last_record.elapsed() >= idle
            && bounds::at_the_end(
                &self.ledger,
                &self.ends,
                self.last_record + idle.saturating_sub(Duration::from_secs(3)),
            )
        {
            return Some(StoppedBy::Idle);
        }
        if bounds.deadline.is_some_and(|deadline| self.started.elapsed() >= deadline) {
            self.totals.stays_open = self.held_while_idle();
            if self.totals.stays_open.is_some() {
                return Some(StoppedBy::ErrorPolicy);
            }
            return Some(StoppedBy::Deadline);
        }
        None
    }
}
