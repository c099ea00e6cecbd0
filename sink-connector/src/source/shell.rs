//! The thread of the source: it polls Kafka, receives events, and does what the source wants. It never waits for
//! PostgreSQL.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::error::{KafkaError, KafkaResult};
use shared::signal::Shutdown;

use super::bounds::StoppedBy;
use super::take::Taken;
use super::{Command, Input, Move, Next, Source, Totals};
use crate::batch::Batch;
use crate::kafka::client::Client;
use crate::messages::board::Board;
use crate::messages::events::Event;
use crate::messages::heartbeat::Heartbeat;
use crate::messages::requests::{CompareTopics, ReadLogEnds, Request, WatchedPartitions};
use crate::observe::health::{Component, Health};
use crate::observe::metrics::Metrics;
use crate::rejects::policy::Policy;
use crate::types::{Offset, TopicPartition};

/// The most records that are taken before events are handled again.
const BURST: usize = 64;

/// The channels from the source to the other threads.
pub(crate) struct Channels {
    /// To the writers, by number. Their bound is one batch: the next is sent only after the writer's report.
    pub writers: Vec<Sender<Batch>>,
    pub events: Receiver<Event>,
    /// Requests for positions.
    pub positions: Sender<Request>,
    /// Requests to read the log ends now.
    pub log_ends: Sender<ReadLogEnds>,
    /// Topics to check for recreation.
    pub topic_ids: Sender<CompareTopics>,
    pub watched: WatchedPartitions,
}

/// What the thread shares with others.
pub(crate) struct Shared {
    pub policy: Arc<Policy>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub board: Arc<Board>,
    pub shutdown: Shutdown,
    /// Updated on every turn of the loop, for /livez.
    pub heartbeat: Arc<Heartbeat>,
}

/// The source with its Kafka client and its channels.
pub(crate) struct Shell<C> {
    pub(super) source: Source,
    client: C,
    channels: Channels,
    pub(super) shared: Shared,
}

impl<C: Client> Shell<C> {
    pub(crate) fn new(source: Source, client: C, channels: Channels, shared: Shared) -> Self {
        Self { source, client, channels, shared }
    }

    /// What is held of parked tables, for messages.
    #[cfg(test)]
    pub(crate) fn held(&self) -> String {
        self.source.held_of_tables()
    }

    /// Runs until the source ends.
    ///
    /// # Errors
    /// An error that librdkafka calls fatal, such as a fenced static member.
    pub(crate) fn run(mut self) -> Result<(StoppedBy, Totals), KafkaError> {
        loop {
            self.shared.heartbeat.beat();
            match self.turn(Instant::now()) {
                Next::Poll(timeout) => self.poll(timeout, Instant::now)?,
                Next::Wait(timeout) => match self.channels.events.recv_timeout(timeout) {
                    Ok(event) => self.on_event(event, Instant::now()),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        tracing::error!("all threads that send events have ended");
                    }
                },
                Next::End(stopped_by) => return Ok((stopped_by, self.source.into_totals())),
            }
        }
    }

    /// Handles the events that are queued, and lets the source decide what comes next.
    pub(crate) fn turn(&mut self, now: Instant) -> Next {
        while let Ok(event) = self.channels.events.try_recv() {
            self.on_event(event, now);
        }
        if self.shared.shutdown.requested() {
            self.source.on(Input::ShutdownRequested, now);
        }
        let next = self.source.turn(now);
        self.run_commands(now);
        next
    }

    /// Takes the records that are there, up to a burst, and handles rebalances.
    pub(crate) fn poll(&mut self, timeout: Duration, clock: impl Fn() -> Instant) -> Result<(), KafkaError> {
        let mut timeout = timeout;
        // Only the first poll waits, so one clock reading is enough; it costs more than taking a record.
        let mut now = None;
        for _ in 0..BURST {
            match self.client.poll(timeout) {
                None => break,
                Some(Ok(record)) => {
                    if self.source.take(&record, *now.get_or_insert_with(&clock)) == Taken::Enough {
                        break;
                    }
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) => {
                    self.source.on(Input::KafkaError(error), *now.get_or_insert_with(&clock));
                    break;
                }
            }
            timeout = Duration::ZERO;
        }
        let now = now.unwrap_or_else(&clock);
        self.run_commands(now);
        for rebalanced in self.client.take_rebalances() {
            self.source.on(Input::Rebalanced(rebalanced), now);
            self.run_commands(now);
        }
        Ok(())
    }

    fn on_event(&mut self, mut event: Event, now: Instant) {
        if let Event::Replaced { writer, batches, .. } = &mut event {
            self.channels.writers[*writer] = batches.clone();
        }
        self.source.on(Input::Event(event), now);
        self.run_commands(now);
    }

    /// Does what the source wants, and what it wants then.
    fn run_commands(&mut self, now: Instant) {
        let mut commands = VecDeque::from(self.source.take_commands());
        while let Some(command) = commands.pop_front() {
            self.run_command(command, now);
            commands.extend(self.source.take_commands());
        }
    }

    fn run_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Send(writer, batch) => {
                if self.channels.writers[writer].send(*batch).is_err() {
                    tracing::error!(writer, "the writer thread has ended");
                }
            }
            Command::Subscribe(topics) => {
                if let Err(error) = self.client.subscribe(&topics) {
                    tracing::error!(%error, "cannot subscribe");
                }
            }
            Command::Fetch(positions) => self.fetch(positions, now),
            Command::Seek(to) => self.seek(to, now),
            Command::Pause(partitions) => debug(self.client.pause(&partitions), "cannot pause partitions"),
            Command::Resume(partitions) => {
                debug(self.client.resume(&partitions), "cannot resume partitions");
            }
            Command::ReadClientPositions(partitions) => {
                let mut positions = self.client.positions();
                positions.retain(|(partition, _)| partitions.contains(partition));
                self.source.on(Input::ClientPositions(positions), now);
            }
            Command::Commit(positions) => self.commit(&positions, now),
            Command::ReadCommitOutcomes => self.read_commit_outcomes(now),
            Command::Request(request) => {
                if self.channels.positions.send(request).is_err() {
                    tracing::debug!("the PostgreSQL control thread has ended");
                }
            }
            Command::ReadLogEnds => {
                if self.channels.log_ends.try_send(ReadLogEnds).is_err() {
                    tracing::debug!("the log ends are already being read");
                }
            }
            Command::Watch(partitions) => *self.channels.watched.lock() = partitions,
            Command::CompareTopics(topics) => {
                if self.channels.topic_ids.send(topics).is_err() {
                    tracing::debug!("the topic ids thread has ended");
                }
            }
            Command::CloseBreaker(topic) => self.shared.policy.close(&topic),
            Command::TableParked(table, reason) => {
                self.shared.health.fail(Component::Parked(table.to_string()), &*reason);
            }
            Command::TableUnparked(table) => {
                self.shared.health.recovered(&Component::Parked(table.to_string()));
            }
            Command::Warn(error) => self.client.warn(&error),
            Command::Publish => self.publish(),
            Command::PublishBreakers => self.publish_breakers(),
            Command::BeginMetrics(partition) => self.begin_metrics(&partition),
            Command::EndMetrics(partition) => self.end_metrics(&partition),
            Command::GroupRefused(reason) => self.shared.health.fail(Component::Group, reason),
            Command::GroupAccepted => self.shared.health.recovered(&Component::Group),
            Command::RequestShutdown => self.shared.shutdown.request(),
        }
    }

    /// Assigns partitions at their positions, or moves them there if they are assigned already.
    fn fetch(&mut self, positions: Vec<(TopicPartition, Offset)>, now: Instant) {
        let assigned = self.client.assignment();
        let (old, new): (Vec<_>, Vec<_>) = positions.into_iter().partition(|(p, _)| assigned.contains(p));
        if let Err(error) = self.client.assign(&new) {
            tracing::error!(%error, "cannot assign partitions");
        }
        for (partition, position) in old {
            self.seek(Move { partition, position, while_idle: false }, now);
        }
    }

    fn seek(&mut self, to: Move, now: Instant) {
        let moved = self.client.seek(&to.partition, to.position);
        if let Err(error) = &moved {
            tracing::error!(partition = %to.partition, %error, "cannot move to the stored position");
        }
        self.source.on(Input::Moved(to, moved.is_ok()), now);
    }

    fn commit(&mut self, positions: &[(TopicPartition, Offset)], now: Instant) {
        if let Err(error) = self.client.commit(positions) {
            self.shared.metrics.kafka_commits.with_label_values(&["failed"]).inc();
            tracing::debug!(%error, "cannot commit to Kafka; the positions in PostgreSQL are not affected");
            let failed = positions.iter().map(|(partition, _)| partition.clone()).collect();
            self.source.on(Input::CommitOutcome { succeeded: false, failed }, now);
        }
    }

    fn read_commit_outcomes(&mut self, now: Instant) {
        for outcome in self.client.commit_outcomes() {
            let label = match &outcome.result {
                Ok(()) => "ok",
                Err(error) => {
                    tracing::debug!(%error, "Kafka refused a commit; the positions in PostgreSQL are not affected");
                    "failed"
                }
            };
            self.shared.metrics.kafka_commits.with_label_values(&[label]).inc();
            let succeeded = outcome.result.is_ok();
            self.source.on(Input::CommitOutcome { succeeded, failed: outcome.failed }, now);
        }
    }
}

fn debug(result: KafkaResult<()>, what: &str) {
    if let Err(error) = result {
        tracing::debug!(%error, "{what}");
    }
}
