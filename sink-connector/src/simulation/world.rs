//! The world: a cluster, a server, some sinks, the faults that happen to them, and the checks.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::kafka::{Cluster, Content};
use super::postgres::{Fate, Postgres};
use super::random::Random;
use super::sink::{Outside, Sink};
use crate::config::Tolerance;
use crate::source::bounds::Bounds;
use crate::types::{Offset, TopicPartition};

/// The topics, and the tables that they are written to.
pub(super) const TOPICS: [&str; 2] = ["t", "u"];
/// Partitions of each topic.
const PARTITIONS: i32 = 3;
/// Partitions of all topics.
pub(super) const LOGS: usize = TOPICS.len() * 3;
pub(super) const SINKS: usize = 3;
/// Records in the window of a breaker.
pub(super) const WINDOW: usize = 20;
/// After the last fault, everything is written within this time.
const RECOVERY: Duration = Duration::from_mins(5);

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Records arrive in a partition.
    Records(usize, usize),
    /// A record arrives that cannot be decoded.
    Broken(usize),
    /// Several of them, at most as many as the window of the breaker has.
    Burst(usize, usize),
    /// Transaction markers arrive in a partition.
    Markers(usize, usize),
    /// A process is killed.
    Crash(usize),
    /// A process is asked to stop.
    Terminate(usize),
    /// A process starts, unless it runs.
    Start(usize),
    /// The same, for so many records.
    StartWithMaxRecords(usize, u64),
    /// The same, until the ends that the logs have now.
    StartUntilEnd(usize),
    /// The group gives the partitions of a process to others before it knows.
    Lose(usize),
    /// A process does not run for so long, and the group may have given up on it.
    Freeze(usize, Duration),
    /// This is how a next attempt ends.
    Attempt(Fate),
    /// PostgreSQL cannot be reached for so long.
    Down(Duration),
    /// The tables are altered.
    TableChange,
    /// The tables refuse rows whose version is a multiple of this.
    Refuse(i32),
    /// The tables take all rows again.
    Accept,
    /// One table cannot be written, for the reason with this SQLSTATE.
    Sick(&'static str, &'static str),
    /// It can be written again.
    Well,
    /// Statements of more records than this are cancelled.
    Slow(usize),
    /// No statement is too slow.
    Fast,
    /// The client stops fetching a partition.
    Stall(usize, usize),
    /// The next seeks fail.
    FailSeeks(usize),
    /// The next commits to Kafka fail.
    FailCommits(usize),
}

/// The codes that attempts fail with.
const CODES: [&str; 9] = ["57P01", "53100", "25006", "40P01", "55P03", "57014", "42501", "42P01", "XX000"];

/// The codes of a table that cannot be written.
pub(super) const TABLE_CODES: [&str; 4] = ["42P01", "42501", "55P03", "53100"];

impl Fault {
    /// A fault that is drawn. Records are the most frequent.
    pub(super) fn draw(random: &mut Random) -> Self {
        let partition = random.below(LOGS);
        let sink = random.below(SINKS);
        match random.below(47) {
            0 => Self::Crash(sink),
            1 => Self::Terminate(sink),
            2..=5 => Self::Start(sink),
            6 => Self::Lose(sink),
            7 => Self::Freeze(sink, random.millis(100, 30_000)),
            8 => Self::Attempt(Fate::Fails(random.of(&CODES))),
            9 => Self::Attempt(Fate::Breaks),
            10 | 11 => Self::Attempt(Fate::Unanswered { committed: random.one_in(2) }),
            12 => Self::Attempt(Fate::Hangs { committed: random.one_in(2) }),
            13 => Self::Down(random.millis(100, 20_000)),
            14 => Self::TableChange,
            15 => Self::Refuse(random.of(&[1, 2, 3, 7])),
            16 | 17 => Self::Accept,
            18 => Self::Slow(1 + random.below(10)),
            19 => Self::Fast,
            20 => Self::Stall(sink, partition),
            21 => Self::FailSeeks(random.below(4)),
            22 => Self::FailCommits(random.below(4)),
            23..=25 => Self::Markers(partition, 1 + random.below(5)),
            26..=28 => Self::Records(partition, 1 + random.below(120)),
            29 => Self::Sick(random.of(&TOPICS), random.of(&TABLE_CODES)),
            30..=32 => Self::Well,
            33 => Self::StartWithMaxRecords(sink, random.below(60) as u64 + 1),
            34 => Self::StartUntilEnd(sink),
            35 => Self::Broken(partition),
            36 => Self::Burst(partition, 1 + random.below(WINDOW)),
            _ => Self::Records(partition, 1 + random.below(8)),
        }
    }
}

/// Everything there is.
pub(super) struct World {
    begun: Instant,
    pub(super) now: Instant,
    random: Random,
    cluster: Rc<RefCell<Cluster>>,
    pub(super) postgres: Postgres,
    sinks: Vec<Option<Sink>>,
    ids: u64,
    tolerance: Tolerance,
}

impl World {
    /// All sinks run, and nothing has been written.
    pub(super) fn new(seed: u64) -> Self {
        let now = Instant::now();
        let cluster = Rc::new(RefCell::new(Cluster::new(&TOPICS, PARTITIONS)));
        let mut random = Random::new(seed);
        let tolerance = if random.one_in(4) { Tolerance::None } else { Tolerance::All };
        let mut world = Self {
            begun: now,
            now,
            random,
            tolerance,
            postgres: Postgres::new(Rc::clone(&cluster), now),
            cluster,
            sinks: (0..SINKS).map(|_| None).collect(),
            ids: 0,
        };
        (0..SINKS).for_each(|sink| world.start(sink, Bounds::default()));
        world
    }

    fn start(&mut self, sink: usize, bounds: Bounds) {
        if self.sinks[sink].is_none() {
            self.ids += 1;
            let Self { postgres, cluster, random, tolerance, .. } = self;
            let outside = Outside { postgres, cluster, random, tolerance: *tolerance };
            self.sinks[sink] = Some(Sink::start(self.ids, bounds, &outside, self.now));
        }
    }

    /// Lets a fault happen.
    pub(super) fn inject(&mut self, fault: Fault) {
        let id = |sink: usize| self.sinks[sink].as_ref().map(|sink| sink.id);
        match fault {
            Fault::Records(partition, records) => {
                self.cluster.borrow_mut().produce(partition, records, Content::Row);
            }
            Fault::Broken(partition) => self.cluster.borrow_mut().produce(partition, 1, Content::Broken),
            Fault::Burst(partition, records) => {
                self.cluster.borrow_mut().produce(partition, records, Content::Broken);
            }
            Fault::Markers(partition, markers) => self.cluster.borrow_mut().mark(partition, markers),
            Fault::Crash(sink) => {
                if let Some(sink) = self.sinks[sink].take() {
                    self.cluster.borrow_mut().leave(sink.id);
                }
            }
            Fault::Terminate(sink) => self.sinks[sink].iter().for_each(Sink::terminate),
            Fault::Start(sink) => self.start(sink, Bounds::default()),
            Fault::StartWithMaxRecords(sink, max) => {
                self.start(sink, Bounds { max_records: Some(max), ..Bounds::default() });
            }
            Fault::StartUntilEnd(sink) => {
                self.start(sink, Bounds { until_end: true, ..Bounds::default() });
            }
            Fault::Lose(sink) => {
                id(sink).iter().for_each(|id| self.cluster.borrow_mut().lose(*id));
            }
            Fault::Freeze(sink, duration) => {
                if duration > Duration::from_secs(10) {
                    id(sink).iter().for_each(|id| self.cluster.borrow_mut().lose(*id));
                }
                let until = self.now + duration;
                self.sinks[sink].iter_mut().for_each(|sink| sink.frozen_until = until);
            }
            Fault::Attempt(fate) => self.postgres.fates.push_back(fate),
            Fault::Down(duration) => self.postgres.down_until = self.now + duration,
            Fault::TableChange => self.postgres.changes += 1,
            Fault::Refuse(of) => self.postgres.refuses = Some(of),
            Fault::Accept => self.postgres.refuses = None,
            Fault::Sick(table, code) => self.postgres.sick = Some((table, code)),
            Fault::Well => self.postgres.sick = None,
            Fault::Slow(most) => self.postgres.slow_above = Some(most),
            Fault::Fast => self.postgres.slow_above = None,
            Fault::Stall(sink, partition) => {
                if let Some(id) = id(sink) {
                    let mut cluster = self.cluster.borrow_mut();
                    let name = cluster.logs.keys().nth(partition).cloned();
                    cluster.stalled.extend(name.map(|name| (id, name)));
                }
            }
            Fault::FailSeeks(times) => self.cluster.borrow_mut().failing_seeks = times,
            Fault::FailCommits(times) => self.cluster.borrow_mut().failing_commits = times,
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(now) = self.sinks.iter().flatten().map(|sink| sink.wakes).min().filter(|at| *at <= end)
        {
            self.now = self.now.max(now);
            self.work();
        }
        self.now = end;
    }

    fn work(&mut self) {
        let due = |sink: &Option<Sink>| sink.as_ref().is_some_and(|sink| sink.wakes <= self.now);
        let Some(place) = self.sinks.iter().position(due) else { return };
        let Self { postgres, cluster, random, tolerance, .. } = self;
        let mut outside = Outside { postgres, cluster, random, tolerance: *tolerance };
        if let Some(sink) = &mut self.sinks[place]
            && sink.work(&mut outside, self.now)
        {
            self.cluster.borrow_mut().leave(sink.id);
            self.sinks[place] = None;
        }
        self.check_group_offsets();
    }

    /// Kafka never holds more than PostgreSQL.
    fn check_group_offsets(&self) {
        for (partition, committed) in &self.cluster.borrow().group_offsets {
            let stored = self.postgres.positions.get(partition);
            assert!(stored >= Some(committed), "{partition}: {committed} is committed, {stored:?} is stored");
        }
    }

    /// Ends all faults. Then every record gets its outcome, and lag comes to 0, within [`RECOVERY`].
    pub(super) fn recover(&mut self) {
        self.postgres.fates.clear();
        self.postgres.down_until = self.now;
        for fault in [Fault::Accept, Fault::Well, Fault::Fast, Fault::FailSeeks(0), Fault::FailCommits(0)] {
            self.inject(fault);
        }
        for sink in self.sinks.iter_mut().flatten() {
            sink.frozen_until = self.now;
            sink.wakes = self.now;
        }
        let (mut until, mut helped) = (self.now + RECOVERY, false);
        // One that was asked to stop makes way for its successor.
        while self.now < until {
            (0..SINKS).for_each(|sink| self.start(sink, Bounds::default()));
            self.run(Duration::from_secs(1));
            match self.tolerance {
                // A breaker that is open because of the last records closes once good ones follow.
                Tolerance::All if !helped && until - self.now < RECOVERY / 2 => {
                    helped = true;
                    (0..LOGS).for_each(|partition| self.inject(Fault::Records(partition, 2 * WINDOW)));
                }
                Tolerance::None => {
                    if self.pass_over_rejected() {
                        until = self.now + RECOVERY;
                    }
                }
                Tolerance::All => {}
            }
            if self.postgres.is_complete() {
                self.postgres.check_complete_state();
                return;
            }
        }
        let cluster = self.cluster.borrow();
        let ends: Vec<_> = cluster.logs.keys().map(|p| (p.to_string(), cluster.end(p).0)).collect();
        let status: Vec<_> = self.sinks.iter().flatten().map(Sink::status).collect();
        panic!("no progress: ends {ends:?}, stored {:?}, {status:#?}", self.postgres.positions);
    }

    /// What the operator does once a sink has stopped at a record: moves the position past it, while no sink runs. Whether
    /// that was necessary.
    fn pass_over_rejected(&mut self) -> bool {
        let at_broken = |(partition, position): (&TopicPartition, &Offset)| {
            let content = self.cluster.borrow().content(partition, *position);
            (content == Some(Content::Broken)).then(|| partition.clone())
        };
        let broken: Vec<_> = self.postgres.positions.iter().filter_map(at_broken).collect();
        if broken.is_empty() {
            return false;
        }
        self.sinks.iter().flatten().for_each(Sink::terminate);
        while self.sinks.iter().any(Option::is_some) {
            self.run(Duration::from_secs(1));
        }
        for partition in &broken {
            // A batch that was in hand may have moved it.
            if self.cluster.borrow().content(partition, self.postgres.positions[partition])
                == Some(Content::Broken)
            {
                self.postgres.pass_over(partition);
            }
        }
        true
    }

    /// Everything that a run has come to, to compare runs.
    pub(super) fn result(&self) -> String {
        let simulated = self.now - self.begun;
        format!("{:?} after {} commits in {simulated:?}", self.postgres.positions, self.postgres.commits)
    }
}
