//! The rules of the source by example: what it wants done after an input.

mod assignment;
mod ends;
mod flow;
mod outcomes;
mod parked;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bounds::Bounds;
use super::lane::BatchLimits;
use super::take::Taken;
use super::{Command, Input, Move, Next, Settings, Source};
use crate::batch::{Batch, example};
use crate::kafka::client::FetchedRecord;
use crate::kafka::consumer::Rebalanced;
use crate::kafka::record::Incoming;
use crate::messages::events::{Event, Watermarks};
use crate::messages::report::{BatchCounts, Report};
use crate::messages::requests::Request;
use crate::types::{Offset, Partition, TopicPartition};

/// How many records fill a batch.
const FULL: i64 = 5;
const LINGER: Duration = Duration::from_millis(200);

struct Record {
    partition: i32,
    offset: i64,
}

impl FetchedRecord for Record {
    fn topic(&self) -> &str {
        "t"
    }

    fn partition(&self) -> Partition {
        Partition(self.partition)
    }

    fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    fn incoming<'a>(&'a self, _: &'a mut Vec<u8>) -> Incoming<'a> {
        let (payload, key) = (Some(&br#"{"v":1}"#[..]), Some(&br#"{"id":1}"#[..]));
        Incoming { offset: self.offset, timestamp: None, payload, key, headers: None }
    }
}

/// A source with one writer, and its time.
struct Fixture {
    source: Source,
    now: Instant,
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

impl Fixture {
    /// A source without partitions.
    fn new(bounds: Bounds, writers: usize) -> Self {
        let settings = Settings {
            writers,
            plans: Arc::new(example::plans(&["t", "u"], false, Arc::default())),
            limits: BatchLimits { max_rows: 5, max_bytes: 1 << 20, linger: LINGER },
            bounds,
            breaker_retry: Duration::from_secs(30),
            breaker_window: 4,
            drain_timeout: Duration::from_secs(10),
        };
        let now = Instant::now();
        let mut source = Source::new(settings, now);
        source.take_commands();
        Self { source, now }
    }

    /// A source that fetches these partitions from offset 10, and has just had a tick.
    fn fetching(partitions: &[i32]) -> Self {
        Self::bounded(Bounds::default(), partitions)
    }

    fn bounded(bounds: Bounds, partitions: &[i32]) -> Self {
        let mut fixture = Self::new(bounds, 1);
        fixture.turn();
        fixture.assign(partitions);
        fixture
    }

    /// Assigns partitions, all stored at 10.
    fn assign(&mut self, partitions: &[i32]) -> Vec<Command> {
        let queries =
            self.on(Input::Rebalanced(Rebalanced::Assigned(partitions.iter().map(|p| tp(*p)).collect())));
        self.answer(&queries, 10)
    }

    fn revoke(&mut self, partition: i32) -> Vec<Command> {
        self.on(Input::Rebalanced(Rebalanced::Revoked(vec![tp(partition)])))
    }

    /// Answers the queries among these commands.
    fn answer(&mut self, commands: &[Command], position: i64) -> Vec<Command> {
        let queries = commands.iter().find_map(|command| match command {
            Command::Request(Request::Resolve(queries)) => Some(queries),
            _ => None,
        });
        let answers = queries.expect("positions are asked for").iter();
        let answers = answers.map(|query| (query.partition.clone(), query.epoch, Ok(Offset(position))));
        self.event(Event::Resolved(answers.collect()))
    }

    fn on(&mut self, input: Input) -> Vec<Command> {
        self.source.on(input, self.now);
        self.source.take_commands()
    }

    fn event(&mut self, event: Event) -> Vec<Command> {
        self.on(Input::Event(event))
    }

    fn report(&mut self, report: Report) -> Vec<Command> {
        self.event(Event::Report(Box::new(report)))
    }

    fn committed(&mut self, batch: Batch) -> Vec<Command> {
        let counts = BatchCounts::default();
        self.report(Report::Committed { writer: 0, generation: 0, batch, counts, rejected: Vec::new() })
    }

    /// Confirms all topics, so that no batch waits for a recreation check.
    fn same_topics(&mut self) -> Vec<Command> {
        self.event(Event::SameTopics { at: self.now, topics: vec![Arc::from("t")] })
    }

    fn turn(&mut self) -> (Next, Vec<Command>) {
        let next = self.source.turn(self.now);
        (next, self.source.take_commands())
    }

    fn after(&mut self, time: Duration) -> (Next, Vec<Command>) {
        self.now += time;
        self.turn()
    }

    /// Takes records; what is wanted then.
    fn take(&mut self, partition: i32, offsets: impl IntoIterator<Item = i64>) -> (Taken, Vec<Command>) {
        let mut taken = Taken::Done;
        for offset in offsets {
            taken = self.source.take(&Record { partition, offset }, self.now);
        }
        (taken, self.source.take_commands())
    }

    /// Takes records, and sends them to the writer.
    fn send(&mut self, partition: i32, offsets: impl IntoIterator<Item = i64>) -> Batch {
        self.take(partition, offsets);
        let mut commands = self.same_topics();
        commands.extend(self.after(LINGER).1);
        sent(commands).expect("a batch is sent")
    }

    /// Says that the client has been moved as these commands want.
    fn move_client(&mut self, commands: &[Command]) {
        for to in seeks(commands) {
            self.on(Input::Moved(to, true));
        }
    }

    fn log_ends(&mut self, partition: i32, low: i64, high: i64) -> Vec<Command> {
        self.event(Event::Watermarks(vec![(
            tp(partition),
            Watermarks { low: Offset(low), high: Offset(high) },
        )]))
    }
}

fn sent(commands: Vec<Command>) -> Option<Batch> {
    commands.into_iter().find_map(|command| match command {
        Command::Send(_, batch) => Some(*batch),
        _ => None,
    })
}

/// A span: where it begins, where it ends, its records.
fn span(batch: &Batch, partition: i32) -> Option<(i64, i64, u64)> {
    let found = batch.spans().iter().find(|span| span.partition == tp(partition));
    found.map(|span| (span.expected.0, span.next.0, span.records))
}

fn seeks(commands: &[Command]) -> Vec<Move> {
    let seek = |command: &Command| match command {
        Command::Seek(to) => Some(to.clone()),
        _ => None,
    };
    commands.iter().filter_map(seek).collect()
}

fn seek(position: i64, while_idle: bool) -> Move {
    Move { partition: tp(0), position: Offset(position), while_idle }
}

fn has(commands: &[Command], wanted: impl Fn(&Command) -> bool) -> bool {
    commands.iter().any(wanted)
}

fn pauses(commands: &[Command]) -> bool {
    has(commands, |command| matches!(command, Command::Pause(partitions) if partitions.contains(&tp(0))))
}

fn resumes(commands: &[Command]) -> bool {
    has(commands, |command| matches!(command, Command::Resume(partitions) if partitions.contains(&tp(0))))
}

/// The positions that are committed to Kafka.
fn commits(commands: &[Command]) -> Vec<(TopicPartition, Offset)> {
    let commit = |command: &Command| match command {
        Command::Commit(positions) => Some(positions.clone()),
        _ => None,
    };
    commands.iter().find_map(commit).unwrap_or_default()
}
