//! The world: a cluster, a server, some sinks, the faults that happen to them, and the checks.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::kafka::Cluster;
use super::postgres::{Fate, Postgres};
use super::random::Random;
use super::sink::{Outside, Sink};

const PARTITIONS: i32 = 4;
pub(super) const SINKS: usize = 3;
/// After the last fault, everything is written within this time.
const RECOVERY: Duration = Duration::from_mins(5);

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Records arrive in a partition.
    Records(usize, usize),
    /// Transaction markers arrive in a partition.
    Markers(usize, usize),
    /// A process is killed.
    Crash(usize),
    /// A process is asked to stop.
    Terminate(usize),
    /// A process starts, unless it runs.
    Start(usize),
    /// The group gives the partitions of a process to others before it knows.
    Lose(usize),
    /// A process does not run for so long, and the group may have given up on it.
    Freeze(usize, Duration),
    /// This is how a next attempt ends.
    Attempt(Fate),
    /// PostgreSQL cannot be reached for so long.
    Down(Duration),
    /// The table is altered.
    TableChange,
    /// The table refuses rows whose version is a multiple of this.
    Refuse(i32),
    /// The table takes all rows again.
    Accept,
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

impl Fault {
    /// A fault that is drawn. Records are the most frequent.
    pub(super) fn draw(random: &mut Random) -> Self {
        let partition = random.below(usize::try_from(PARTITIONS).expect("few partitions"));
        let sink = random.below(SINKS);
        match random.below(40) {
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
}

impl World {
    /// All sinks run, and nothing has been written.
    pub(super) fn new(seed: u64) -> Self {
        let now = Instant::now();
        let cluster = Rc::new(RefCell::new(Cluster::new(PARTITIONS)));
        let mut world = Self {
            begun: now,
            now,
            random: Random::new(seed),
            postgres: Postgres::new(Rc::clone(&cluster), now),
            cluster,
            sinks: (0..SINKS).map(|_| None).collect(),
            ids: 0,
        };
        (0..SINKS).for_each(|sink| world.start(sink));
        world
    }

    fn start(&mut self, sink: usize) {
        if self.sinks[sink].is_none() {
            self.ids += 1;
            let outside =
                Outside { postgres: &mut self.postgres, cluster: &self.cluster, random: &mut self.random };
            self.sinks[sink] = Some(Sink::start(self.ids, &outside, self.now));
        }
    }

    /// Lets a fault happen.
    pub(super) fn inject(&mut self, fault: Fault) {
        let id = |sink: usize| self.sinks[sink].as_ref().map(|sink| sink.id);
        match fault {
            Fault::Records(partition, records) => self.cluster.borrow_mut().produce(partition, records),
            Fault::Markers(partition, markers) => self.cluster.borrow_mut().mark(partition, markers),
            Fault::Crash(sink) => {
                if let Some(sink) = self.sinks[sink].take() {
                    self.cluster.borrow_mut().leave(sink.id);
                }
            }
            Fault::Terminate(sink) => self.sinks[sink].iter().for_each(Sink::terminate),
            Fault::Start(sink) => self.start(sink),
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
            Fault::TableChange => self.postgres.table += 1,
            Fault::Refuse(of) => self.postgres.refuses = Some(of),
            Fault::Accept => self.postgres.refuses = None,
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
        let mut outside =
            Outside { postgres: &mut self.postgres, cluster: &self.cluster, random: &mut self.random };
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
        for fault in [Fault::Accept, Fault::Fast, Fault::FailSeeks(0), Fault::FailCommits(0)] {
            self.inject(fault);
        }
        for sink in self.sinks.iter_mut().flatten() {
            sink.frozen_until = self.now;
            sink.wakes = self.now;
        }
        let until = self.now + RECOVERY;
        // One that was asked to stop makes way for its successor.
        while self.now < until {
            (0..SINKS).for_each(|sink| self.start(sink));
            self.run(Duration::from_secs(1));
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

    /// Everything that a run has come to, to compare runs.
    pub(super) fn result(&self) -> String {
        let simulated = self.now - self.begun;
        format!("{:?} after {} commits in {simulated:?}", self.postgres.positions, self.postgres.commits)
    }
}
