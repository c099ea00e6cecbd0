//! A writer: a thread with one connection that commits one batch after the other, and does not give up.

pub mod apply;
pub mod connection;
pub mod copy;
pub mod deletes;
pub mod keyed;
pub mod ladder;
pub mod pieces;
mod report;
mod shared;
pub mod stage;
pub mod statements;
pub mod transaction;
mod waits;
pub mod watch;
pub mod waves;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use self::connection::WriterConnection;
use self::pieces::Care;
pub use self::report::{Report, Size};
pub use self::shared::Shared;
use self::transaction::{Attempt, Counts, Ladders, Phase, Tools, attempt};
use self::waits::Waits;
use self::watch::Watch;
use crate::batch::Batch;
use crate::decode::Slots;
use crate::events::Event;
use crate::failure::Failure;
use crate::health::Component;
use crate::plan::Plan;
use crate::policy::Refusal;
use crate::sqlstate::Class;
use crate::types::TopicPartition;

/// The thread's state.
pub struct Writer {
    number: usize,
    generation: u64,
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    connection: Option<WriterConnection>,
    ladders: Ladders,
    /// A batch was returned because of what its records may be at fault for: the next begins with it, and goes on with
    /// its waits.
    returned: Option<Waits>,
}

impl Writer {
    /// The writer with this number, of this generation, watched through `watch`.
    pub fn new(number: usize, generation: u64, shared: Arc<Shared>, watch: Arc<Watch>) -> Self {
        Self { number, generation, shared, watch, connection: None, ladders: Ladders::new(), returned: None }
    }

    /// Writes batches until the channel is closed.
    pub fn run(mut self, batches: &Receiver<Batch>, events: &Sender<Event>) {
        for batch in batches {
            let report = self.write(batch);
            // Of a batch that is committed, nothing is in hand any more.
            self.shared.policy.dropped(self.number);
            if events.send(Event::Report(Box::new(report))).is_err() {
                return;
            }
        }
    }

    /// Tries until the batch is committed, fenced, or not ours to try any more: shutdown is requested, or another
    /// writer has taken over.
    fn write(&mut self, mut batch: Batch) -> Report {
        let (writer, generation) = (self.number, self.generation);
        let mut unknown: Option<Counts> = None;
        let mut refused: Vec<Refusal> = Vec::new();
        // What was handed over, once it has been cut before a record that is not tolerated.
        let mut whole: Option<Batch> = None;
        if batch.is_probe() {
            // What the plan of that time refused, the table of today may take. If it cannot be read, the attempt says so.
            batch = self.encode_again(batch).0;
        }
        let mut care = Care::least(&batch);
        let returned = self.returned.take();
        if returned.is_some() && batch.records().count() > 1 {
            care = Care::Suspects;
        }
        let mut waits = returned.unwrap_or_default();
        let mut last_state: Option<String> = None;
        loop {
            let rings = self.shared.pulse.rings();
            let started = Instant::now();
            let failure = match self.attempt(&batch, care) {
                Ok(Attempt::Committed(counts)) => {
                    self.shared.committed(writer, &batch, &counts, started.elapsed());
                    return Report::Committed { writer, generation, batch, counts, refused };
                }
                Ok(Attempt::Fenced) => match self.lost_answer(&batch, unknown.is_some()) {
                    Ok(true) => {
                        // The answer that was lost was yes, to the last attempt that came as far as COMMIT.
                        let counts = unknown.take().expect("a lost answer leaves its counts");
                        self.shared.committed(writer, &batch, &counts, started.elapsed());
                        return Report::Committed { writer, generation, batch, counts, refused };
                    }
                    Ok(false) => {
                        self.shared.metrics.fenced.inc();
                        self.shared.metrics.batches.with_label_values(&["fenced"]).inc();
                        self.shared.health.well(&Component::Writer(writer));
                        tracing::warn!(
                            writer,
                            "fenced: these positions have been moved by another, reading them again"
                        );
                        return Report::Fenced { writer, generation, batch };
                    }
                    Err(failure) => {
                        self.disconnect();
                        failure
                    }
                },
                Ok(Attempt::TableChanged) => {
                    let (same, encoded) = self.encode_again(batch);
                    batch = same;
                    care = Care::least(&batch);
                    match encoded {
                        Ok(()) => continue,
                        Err(failure) => failure,
                    }
                }
                Ok(Attempt::Conflict { label }) => {
                    self.ladders.entry(label).or_default().climb();
                    self.shared.metrics.batches.with_label_values(&["conflict"]).inc();
                    continue;
                }
                Ok(Attempt::Refused { why }) => {
                    tracing::info!(writer, why, "the server refuses a record, looking for it");
                    care = Care::Halves;
                    self.shared.metrics.batches.with_label_values(&["refused"]).inc();
                    continue;
                }
                Ok(Attempt::Intolerable(firsts)) => {
                    let end =
                        |p: &TopicPartition| firsts.iter().find(|f| f.partition == *p).map(|f| f.offset);
                    let cut = batch.cut(end, &mut Slots::default());
                    whole.get_or_insert(std::mem::replace(&mut batch, cut));
                    care = Care::least(&batch);
                    // It came past the fence, and so an answer that was lost before was no.
                    unknown = None;
                    // A later attempt may have had to stop even earlier.
                    refused.retain(|old| !firsts.iter().any(|new| new.partition == old.partition));
                    refused.extend(firsts);
                    continue;
                }
                Ok(Attempt::Tripped(topics)) => {
                    self.shared.metrics.batches.with_label_values(&["breaker"]).inc();
                    self.shared.health.well(&Component::Writer(writer));
                    return Report::Tripped { writer, generation, batch, topics };
                }
                Ok(Attempt::Unknown { failure, counts }) => {
                    unknown = Some(counts);
                    failure
                }
                Err(failure) => failure,
            };
            if self.watch.abandoned() && unknown.is_none() {
                // The successor reads the batch again. Only a lost answer is still asked for: what it said counts.
                return Report::Abandoned { writer, generation };
            }
            let met_before = failure.sqlstate.is_some() && failure.sqlstate == last_state;
            let failure =
                if met_before && failure.class == Class::Transient { failure.met_again() } else { failure };
            last_state.clone_from(&failure.sqlstate);
            self.failed(&failure);
            if self.shared.shutdown.requested() {
                return Report::Abandoned { writer, generation };
            }
            self.shared.pulse.wait(rings, waits.next(&failure));
            if self.shared.shutdown.requested() {
                return Report::Abandoned { writer, generation };
            }
            if failure.undefined_table() {
                self.make_dead_letters();
            }
            // What is encoded again is tried with less care, but that no neighbour passed remains known.
            let no_neighbours = batch.records().count() == 1 || care == Care::Suspects;
            if failure.class == Class::Configuration && self.connection.is_none() {
                // The table may be another one by now. If it cannot be read, the next attempt says why.
                batch = self.encode_again(batch).0;
                care = Care::least(&batch);
            }
            // After a lost answer the batch must stay what it is, until the positions have told.
            if failure.statement_timeout()
                && self.watch.past_the_fence()
                && batch.records().count() > 1
                && unknown.is_none()
            {
                // What follows fits only what was handed over; the record that is not tolerated is found again.
                let batch = whole.unwrap_or(batch);
                return Report::Returned { writer, generation, batch, size: Size::Smaller };
            }
            if failure.may_be_the_records() {
                // No more records come into one that ends before a record that is not tolerated.
                if no_neighbours && unknown.is_none() && whole.is_none() {
                    self.returned = Some(waits);
                    return Report::Returned { writer, generation, batch, size: Size::Larger };
                }
                if batch.records().count() > 1 {
                    care = Care::Suspects;
                }
            }
        }
    }

    fn attempt(&mut self, batch: &Batch, care: Care) -> Result<Attempt, Failure> {
        if self.connection.is_none() {
            let connection = self.shared.connections.open()?;
            let connection = WriterConnection::new(connection, &self.shared.offsets)?;
            self.watch.connected(connection.backend.pid);
            self.connection = Some(connection);
        }
        let connection = self.connection.as_mut().expect("it has just been opened");
        let tools = Tools {
            dead_letters: &self.shared.dead_letters,
            enter: &|phase| self.watch.enter(phase),
            judge: &|batch, letters| self.shared.policy.judge(self.number, batch, letters),
            open: false,
            replay: false,
        };
        let outcome = attempt(connection, batch, &mut self.ladders, care, &tools);
        self.watch.enter(Phase::Idle);
        if matches!(outcome, Err(_) | Ok(Attempt::Unknown { .. })) {
            self.disconnect();
        }
        outcome
    }

    fn disconnect(&mut self) {
        self.watch.disconnected();
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }

    fn failed(&mut self, failure: &Failure) {
        let class = failure.class.word();
        self.shared.metrics.retries.with_label_values(&[class]).inc();
        self.shared.metrics.batches.with_label_values(&["failed"]).inc();
        if failure.lock_timeout() || failure.statement_timeout() {
            self.watch.was_locked_out();
        }
        self.shared.health.fail(Component::Writer(self.number), failure.to_string());
    }

    /// Reads the catalog again and encodes the kept records for what it says now.
    fn encode_again(&mut self, batch: Batch) -> (Batch, Result<(), Failure>) {
        let shared = Arc::clone(&self.shared);
        let renew = || -> Result<HashMap<String, Arc<Plan>>, Failure> {
            let mut connection = shared.connections.open()?;
            let mut plans = HashMap::new();
            for span in batch.spans() {
                let topic = &*span.partition.topic;
                if !plans.contains_key(topic) {
                    plans.insert(topic.to_owned(), shared.plans.renew(&mut connection, topic)?);
                }
            }
            Ok(plans)
        };
        // The writer's own connection has prepared statements for the table that was.
        let was_connected = self.connection.is_some();
        if was_connected {
            self.disconnect();
        }
        match renew() {
            Ok(plans) => {
                let mut slots = Slots::default();
                (batch.encode_again(|p| plans.get(&*p.topic).cloned(), |_| true, &mut slots), Ok(()))
            }
            Err(failure) => (batch, Err(failure)),
        }
    }

    /// The table of dead letters is made at the start; one that was dropped or renamed since is made anew.
    fn make_dead_letters(&self) {
        let made = self.shared.connections.open().and_then(|mut connection| {
            self.shared.dead_letters.create(&mut connection).map_err(Failure::from)
        });
        if let Err(failure) = made {
            // If it is missing, the next attempt says so.
            tracing::debug!(%failure, "cannot make the table of dead letters");
        }
    }

    /// After a COMMIT whose answer was lost: whether the stored positions are those that the batch moves to.
    fn lost_answer(&mut self, batch: &Batch, asked: bool) -> Result<bool, Failure> {
        match self.connection.as_mut() {
            Some(connection) if asked => {
                Ok(self.shared.offsets.stored_is_next(connection.client(), batch.spans())?)
            }
            _ => Ok(false),
        }
    }
}
