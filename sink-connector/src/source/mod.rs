//! The source: which records are taken, which batch they go into, when it is handed over, and what is fetched. It handles
//! the group's rebalances, and no other thread changes what is fetched.
//!
//! It is a state machine without I/O and without a clock: [`Source::take`] takes a record, [`Source::on`] an input, and
//! [`Source::turn`] lets time pass. What is to be done comes out as [`Command`]s; [`shell`] does it.

mod adaptive_limit;
mod assignment;
mod batch_size;
pub(crate) mod bounds;
mod breakers;
mod commands;
mod finish;
mod handover;
mod kafka_commits;
pub(crate) mod lane;
mod on_event;
mod open_breakers;
mod parked;
mod parked_table;
mod publish;
mod recreation_check;
pub(crate) mod shell;
mod stops;
pub(crate) mod take;
mod tick;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use self::bounds::{Bounds, Ends, StoppedBy};
pub(crate) use self::commands::{Command, Move};
use self::finish::Draining;
use self::kafka_commits::KafkaCommits;
use self::lane::{BatchLimits, Lane};
use self::open_breakers::OpenBreakers;
use self::parked_table::ParkedTables;
use self::recreation_check::Pauses;
use self::stops::BeyondLogEnds;
use crate::decode::Cells;
use crate::kafka::consumer::Rebalanced;
use crate::messages::events::Event;
use crate::positions::ledger::Ledger;
use crate::positions::partition::AssignedPartition;
use crate::positions::stopped::Stopped;
use crate::rejects::policy::RejectedRecord;
use crate::table::plan_cache::Plans;
use crate::types::{Offset, TopicPartition};

/// How long a poll waits when no batch is open.
const POLL: Duration = Duration::from_millis(50);
/// How long a poll waits when a batch is open.
const POLL_BUSY: Duration = Duration::from_millis(1);
/// The longest wait without a turn, while nothing is polled.
const WAIT: Duration = Duration::from_millis(100);
/// The interval of ticks.
const TICK: Duration = Duration::from_secs(1);

/// What the source is configured with.
pub(crate) struct Settings {
    pub writers: usize,
    /// The plans in force: read when a record is taken, renewed by the writers.
    pub plans: Arc<Plans>,
    pub limits: BatchLimits,
    pub bounds: Bounds,
    /// The retry interval of an open breaker.
    pub breaker_retry: Duration,
    /// Records in the window of a breaker.
    pub breaker_window: usize,
    /// The longest time that draining may take.
    pub drain_timeout: Duration,
}

/// What happens to the source, beside records and time.
#[derive(Debug)]
pub(crate) enum Input {
    /// Another thread has sent an event.
    Event(Event),
    /// Partitions were assigned or revoked.
    Rebalanced(Rebalanced),
    /// The client has been moved, or could not be.
    Moved(Move, bool),
    /// The client's own positions.
    ClientPositions(Vec<(TopicPartition, Offset)>),
    /// A commit to Kafka succeeded, or failed for these partitions.
    CommitOutcome { succeeded: bool, failed: Vec<TopicPartition> },
    /// An error of the client that is not fatal.
    KafkaError(KafkaError),
    /// The sink is asked to stop.
    ShutdownRequested,
}

/// What comes next, after the commands are done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Poll Kafka, for so long at most.
    Poll(Duration),
    /// Wait for an event, for so long at most, and do not poll.
    Wait(Duration),
    /// The run is over.
    End(StoppedBy),
}

/// The result of a run. Only committed records count.
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
    /// Stored positions of the partitions that were assigned, those that had no new records included. Of one that was
    /// revoked, the position at that time.
    pub positions: HashMap<TopicPartition, Offset>,
    /// Assigned partitions that have stopped, and why.
    pub stopped: Vec<(TopicPartition, Stopped)>,
    /// Rejected records that the error policy did not tolerate, the first of each partition.
    pub rejected: Vec<RejectedRecord>,
    /// Why a breaker is open, if that ended the run.
    pub open_breaker: Option<Arc<str>>,
}

impl Totals {
    /// Notes the stored position of an assigned partition, if it has been read.
    fn note_position(&mut self, partition: &TopicPartition, entry: &AssignedPartition) {
        if !entry.is_known() {
            return;
        }
        // A writer may have committed for an earlier assignment, after the position was read for this one.
        let noted = self.positions.entry(partition.clone()).or_insert(entry.stored());
        *noted = entry.stored().max(*noted);
    }
}

pub(crate) struct Source {
    settings: Settings,
    commands: Vec<Command>,
    ledger: Ledger,
    lanes: Vec<Lane>,
    fields: Cells,
    headers: Vec<u8>,
    last: Option<take::LastPartition>,
    ends: Ends,
    totals: Totals,
    /// Records in open, queued, handed-over and committed batches: what `--max-records` bounds.
    taken: u64,
    /// Records in the batches of writers that were replaced, by writer and generation, until they report: a COMMIT of theirs
    /// may still take place. `--max-records` bounds these as well.
    unreported: BTreeMap<(usize, u64), u64>,
    /// A writer has given up its batch because of the shutdown: no more batches are handed over.
    abandoned: bool,
    breakers: OpenBreakers,
    parked: ParkedTables,
    beyond_log_ends: BeyondLogEnds,
    /// Ticks until the positions of stopped partitions are read again.
    ticks_to_query: u32,
    pauses: Pauses,
    kafka_commits: KafkaCommits,
    next_tick: Instant,
    last_record: Instant,
    /// There has been an assignment.
    joined: bool,
    /// The group refuses this member.
    refused_by_group: bool,
    shutdown_requested: bool,
    started: Instant,
    /// Set from the end of the run on.
    draining: Option<Draining>,
}

impl Source {
    /// A source that begins at `now`.
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            lanes: (0..settings.writers).map(|_| Lane::new()).collect(),
            settings,
            commands: vec![Command::PublishBreakers],
            ledger: Ledger::default(),
            fields: Cells::default(),
            headers: Vec::new(),
            last: None,
            ends: Ends::default(),
            totals: Totals::default(),
            taken: 0,
            unreported: BTreeMap::new(),
            abandoned: false,
            breakers: OpenBreakers::default(),
            parked: ParkedTables::default(),
            beyond_log_ends: BeyondLogEnds::default(),
            ticks_to_query: 0,
            pauses: Pauses::default(),
            kafka_commits: KafkaCommits::new(now),
            next_tick: now,
            last_record: now,
            joined: false,
            refused_by_group: false,
            shutdown_requested: false,
            started: now,
            draining: None,
        }
    }

    /// What has to be done now, in this order. Empty it after every call of another method.
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Takes an input.
    pub(crate) fn on(&mut self, input: Input, now: Instant) {
        match input {
            Input::Event(event) if self.draining.is_some() => self.on_event_while_draining(event, now),
            Input::Event(event) => self.on_event(event, now),
            Input::Rebalanced(rebalanced) => self.on_rebalance(rebalanced),
            Input::Moved(moved, succeeded) => self.on_moved(&moved, succeeded),
            Input::ClientPositions(positions) => self.pass_gaps(&positions, now),
            Input::CommitOutcome { succeeded, failed } => self.on_commit_outcome(succeeded, failed),
            Input::KafkaError(error) => self.on_kafka_error(&error),
            Input::ShutdownRequested => self.shutdown_requested = true,
        }
    }

    /// Lets time pass. The run ends when a bound is reached or shutdown was requested, after the writers are drained.
    pub(crate) fn turn(&mut self, now: Instant) -> Next {
        if self.draining.is_none() {
            if let Some(stopped_by) = self.finished(now) {
                self.begin_draining(stopped_by, now);
            } else {
                self.retry_breakers(now);
                self.retry_parked(now);
                self.hand_over_due(now);
                self.commit_to_kafka_when_due(now);
                if now >= self.next_tick {
                    self.next_tick = now + TICK;
                    self.tick();
                }
                return self.wait_for_writers(now).unwrap_or_else(|| self.poll());
            }
        }
        self.drain(now)
    }

    /// The result of the run, after [`Next::End`].
    pub(crate) fn into_totals(self) -> Totals {
        let mut totals = Totals { stopped: self.ledger.stopped(), ..self.totals };
        self.ledger.iter().for_each(|(partition, entry)| totals.note_position(partition, entry));
        totals
    }

    fn poll(&self) -> Next {
        let pending = self.lanes.iter().any(|lane| !lane.open.is_empty());
        Next::Poll(if pending { POLL_BUSY } else { POLL })
    }

    fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    fn on_kafka_error(&mut self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic,
            ) => {
                self.command(Command::Warn(format!("{error}; reading the log ends")));
                self.command(Command::ReadLogEnds);
            }
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::InconsistentGroupProtocol
                | RDKafkaErrorCode::GroupMaxSizeReached
                | RDKafkaErrorCode::InvalidSessionTimeout,
            ) => {
                // No partition is assigned while this lasts, which would look like a group with enough members.
                self.refused_by_group = true;
                self.command(Command::GroupRefused(format!("cannot join the group: {error}")));
            }
            // The client's error callback has reported them, with the address.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {}
            _ => self.command(Command::Warn(error.to_string())),
        }
    }

    /// The group has accepted this member.
    fn accepted_by_group(&mut self) {
        if std::mem::take(&mut self.refused_by_group) {
            self.command(Command::GroupAccepted);
        }
    }
}

#[cfg(test)]
mod tests;
