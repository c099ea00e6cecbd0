//! One sink: the real source with its shell, the real decisions of its writers, and models of its other threads.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use shared::signal::Shutdown;

use super::kafka::{Cluster, ModelClient};
use super::postgres::{Fate, Postgres};
use super::random::Random;
use super::session::Session;
use super::world::{TOPICS, WINDOW};
use crate::batch::{Batch, example};
use crate::config::{DeadLetters, Errors, Tolerance};
use crate::messages::board::Board;
use crate::messages::events::{Event, Watermarks};
use crate::messages::heartbeat::Heartbeat;
use crate::messages::report::Report;
use crate::messages::requests::{CompareTopics, PositionQuery, ReadLogEnds, Request, WatchedPartitions};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::rejects::policy::Policy;
use crate::source::bounds::{Bounds, StoppedBy};
use crate::source::lane::BatchLimits;
use crate::source::shell::{Channels, Shared, Shell};
use crate::source::{Next, Settings, Source};
use crate::table::plan_cache::Plans;
use crate::types::{Offset, TopicPartition};
use crate::writer::simulated::SimulatedWriter;

const WRITERS: usize = 2;
/// How long a session may hang before its writer is replaced.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often log ends are read.
const LOG_ENDS: Duration = Duration::from_secs(5);

/// A writer, the channel that it reads, and how its attempt ends.
struct WriterThread {
    writer: SimulatedWriter,
    batches: Receiver<Batch>,
    fate: Option<Fate>,
    past_the_fence: bool,
    hangs_since: Option<Instant>,
}

/// A process.
pub(super) struct Sink {
    pub(super) id: u64,
    shell: Shell<ModelClient>,
    writers: Vec<WriterThread>,
    /// Writers that were replaced, until they have ended.
    replaced: Vec<WriterThread>,
    events: Sender<Event>,
    positions: Receiver<Request>,
    log_ends: Receiver<ReadLogEnds>,
    topic_ids: Receiver<CompareTopics>,
    watched: WatchedPartitions,
    queries: Vec<PositionQuery>,
    bounds: Bounds,
    /// The ends of the logs when it started, once they have been read.
    goal: Option<HashMap<TopicPartition, Offset>>,
    /// How many records it has committed.
    committed: u64,
    next_log_ends: Instant,
    plans: Arc<Plans>,
    policy: Arc<Policy>,
    board: Arc<Board>,
    shutdown: Shutdown,
    /// When it works next.
    pub(super) wakes: Instant,
    /// Nothing of it works until then.
    pub(super) frozen_until: Instant,
}

/// What the sinks share.
pub(super) struct Outside<'a> {
    pub(super) postgres: &'a mut Postgres,
    pub(super) cluster: &'a Rc<RefCell<Cluster>>,
    pub(super) random: &'a mut Random,
    pub(super) tolerance: Tolerance,
}

fn errors(tolerance: Tolerance) -> Errors {
    Errors {
        tolerance,
        dead_letters: DeadLetters::Table,
        dead_letter_table: "d".to_owned(),
        dead_letter_topic: None,
        breaker_ratio: 0.5,
        breaker_window_records: WINDOW,
        breaker_retry: Duration::from_secs(5),
    }
}

impl Sink {
    /// A process that starts at `now` and joins the group.
    pub(super) fn start(id: u64, bounds: Bounds, outside: &Outside<'_>, now: Instant) -> Self {
        outside.cluster.borrow_mut().join(id);
        let health = Arc::new(Health::default());
        let plans = Arc::new(example::plans(&TOPICS, true, Arc::clone(&health)));
        for topic in TOPICS {
            plans.renewed(topic, outside.postgres.plan(topic));
        }
        let errors = errors(outside.tolerance);
        let policy = Arc::new(Policy::new(&errors));
        let (events, events_out) = unbounded();
        let (positions_in, positions) = unbounded();
        let (log_ends_in, log_ends) = bounded(1);
        let (topic_ids_in, topic_ids) = unbounded();
        let watched = WatchedPartitions::default();
        let (batches, writers): (Vec<_>, Vec<_>) = (0..WRITERS).map(|number| thread(number, 0)).unzip();
        let settings = Settings {
            writers: WRITERS,
            plans: Arc::clone(&plans),
            limits: BatchLimits { max_rows: 20, max_bytes: 1 << 20, linger: Duration::from_millis(200) },
            bounds,
            breaker_retry: errors.breaker_retry,
            breaker_window: errors.breaker_window_records,
            drain_timeout: Duration::from_secs(10),
        };
        let channels = Channels {
            writers: batches,
            events: events_out,
            positions: positions_in,
            log_ends: log_ends_in,
            topic_ids: topic_ids_in,
            watched: Arc::clone(&watched),
        };
        let (shutdown, board) = (Shutdown::new(), Arc::new(Board::default()));
        let shared = Shared {
            policy: Arc::clone(&policy),
            metrics: Arc::new(Metrics::new("c")),
            health,
            board: Arc::clone(&board),
            shutdown: shutdown.clone(),
            heartbeat: Arc::new(Heartbeat::new(now)),
        };
        let client = ModelClient::new(id, Rc::clone(outside.cluster));
        let shell = Shell::new(Source::new(settings, now), client, channels, shared);
        Self {
            id,
            shell,
            writers,
            replaced: Vec::new(),
            events,
            positions,
            log_ends,
            topic_ids,
            watched,
            queries: Vec::new(),
            bounds,
            goal: None,
            committed: 0,
            next_log_ends: now,
            plans,
            policy,
            board,
            shutdown,
            wakes: now,
            frozen_until: now,
        }
    }

    /// What it says about its partitions, for messages.
    pub(super) fn status(&self) -> String {
        format!("sink {}: {:?}, {}", self.id, self.board.partitions(), self.shell.held())
    }

    /// SIGTERM.
    pub(super) fn terminate(&self) {
        self.shutdown.request();
    }

    /// Works at `now`. True if the process has ended.
    pub(super) fn work(&mut self, outside: &mut Outside<'_>, now: Instant) -> bool {
        if now < self.frozen_until {
            self.wakes = self.frozen_until;
            return false;
        }
        self.control(outside, now);
        self.read_log_ends(outside, now);
        for topics in self.topic_ids.try_iter() {
            // An answer may be missing.
            if !outside.random.one_in(20) {
                self.send(Event::SameTopics { at: now, topics });
            }
        }
        self.write(outside, now);
        self.supervise(now);
        let wait = match self.shell.turn(now) {
            Next::Poll(timeout) => {
                self.shell.poll(Duration::ZERO, || now).expect("the model has no fatal errors");
                timeout
            }
            Next::Wait(timeout) => timeout.min(Duration::from_millis(20)),
            Next::End(stopped_by) => {
                self.check_end(outside, stopped_by);
                return true;
            }
        };
        self.wakes = now + wait.max(Duration::from_millis(10));
        false
    }

    /// A bounded run ends when it has done what was asked for.
    fn check_end(&self, outside: &Outside<'_>, stopped_by: StoppedBy) {
        let max = self.bounds.max_records;
        assert!(max.is_none_or(|max| self.committed <= max), "{} of {max:?} records", self.committed);
        match stopped_by {
            StoppedBy::MaxRecords => assert_eq!(Some(self.committed), max),
            StoppedBy::End => {
                for (partition, end) in self.goal.iter().flatten() {
                    let stored = outside.postgres.positions.get(partition);
                    assert!(stored >= Some(end), "{partition}: {stored:?} of {end} is not the end");
                }
            }
            StoppedBy::Idle | StoppedBy::Signal | StoppedBy::Deadline | StoppedBy::ErrorPolicy => {}
        }
    }

    fn send(&self, event: Event) {
        self.events.send(event).expect("the source is there");
    }

    /// The PostgreSQL control thread: finds positions, once the server can be reached.
    fn control(&mut self, outside: &mut Outside<'_>, now: Instant) {
        let mut all = false;
        for request in self.positions.try_iter() {
            match request {
                Request::Resolve(queries) => {
                    self.queries.retain(|old| queries.iter().all(|new| new.partition != old.partition));
                    self.queries.extend(queries);
                }
                Request::Forget(partitions) => {
                    self.queries.retain(|query| !partitions.contains(&query.partition));
                }
                Request::ReadAll(_) => all = true,
            }
        }
        if all && now >= outside.postgres.down_until {
            let stored = outside.postgres.positions.iter().map(|(p, offset)| (p.clone(), *offset));
            let stored = stored.collect();
            self.send(Event::Stored(stored));
        }
        // Some answers take a while.
        if self.queries.is_empty() || now < outside.postgres.down_until || outside.random.one_in(3) {
            return;
        }
        let answers = self.queries.drain(..).map(|query| {
            let position = outside.postgres.positions.entry(query.partition.clone()).or_insert(Offset(0));
            (query.partition, query.epoch, Ok(*position))
        });
        let answers = answers.collect();
        self.send(Event::Resolved(answers));
    }

    fn read_log_ends(&mut self, outside: &Outside<'_>, now: Instant) {
        if self.log_ends.try_recv().is_err() && now < self.next_log_ends {
            return;
        }
        self.next_log_ends = now + LOG_ENDS;
        let cluster = outside.cluster.borrow();
        if self.bounds.until_end && self.goal.is_none() {
            let goal: HashMap<_, _> = cluster.logs.keys().map(|p| (p.clone(), cluster.end(p))).collect();
            self.goal = Some(goal.clone());
            self.send(Event::Goal(goal));
        }
        let watched = self.watched.lock().clone();
        let ends = watched.into_iter().map(|partition| {
            let high = cluster.end(&partition);
            (partition, Watermarks { low: Offset(0), high })
        });
        let ends = ends.collect();
        self.send(Event::Watermarks(ends));
    }

    fn write(&mut self, outside: &mut Outside<'_>, now: Instant) {
        let shutdown = self.shutdown.requested();
        let mut reports = Vec::new();
        for thread in self.writers.iter_mut().chain(&mut self.replaced) {
            let mut session = Session {
                postgres: &mut *outside.postgres,
                random: &mut *outside.random,
                plans: &self.plans,
                policy: &self.policy,
                writer: thread.writer.number,
                fate: &mut thread.fate,
                past_the_fence: &mut thread.past_the_fence,
                now,
            };
            let report = if thread.writer.is_idle() {
                let batch = thread.batches.try_recv().ok();
                batch.and_then(|batch| thread.writer.begin(batch, now, shutdown, &mut session))
            } else {
                thread.writer.advance(now, shutdown, &mut session)
            };
            thread.hangs_since = thread.writer.hangs().then(|| thread.hangs_since.unwrap_or(now));
            if let Some(report) = report {
                if let Report::Committed { batch, .. } = &report {
                    self.committed += batch.records().count() as u64;
                    self.policy.committed(thread.writer.number);
                }
                self.policy.dropped(thread.writer.number);
                reports.push(report);
            }
        }
        self.replaced.retain(|thread| !thread.writer.is_idle());
        for report in reports {
            self.send(Event::Report(Box::new(report)));
        }
    }

    /// The supervisor: replaces writers that hang, and ends their sessions.
    fn supervise(&mut self, now: Instant) {
        for number in 0..self.writers.len() {
            let thread = &self.writers[number];
            if thread.hangs_since.is_none_or(|since| now < since + DEADLINE) {
                continue;
            }
            let generation = thread.writer.generation + 1;
            let (batches, successor) = self::thread(number, generation);
            let mut replaced = std::mem::replace(&mut self.writers[number], successor);
            replaced.writer.abandoned = true;
            self.replaced.push(replaced);
            self.send(Event::Replaced { writer: number, batches, generation, took_too_long: false });
        }
    }
}

fn thread(number: usize, generation: u64) -> (Sender<Batch>, WriterThread) {
    let (batches_in, batches) = bounded(1);
    let writer = SimulatedWriter::new(number, generation);
    (batches_in, WriterThread { writer, batches, fate: None, past_the_fence: false, hangs_since: None })
}
