//! A writer: a thread with one connection that commits one batch after the other, and tries each until it is committed.

pub(crate) mod apply;
mod attempts;
pub(crate) mod bisect;
pub(crate) mod connection;
mod context;
pub mod copy;
pub(crate) mod database;
mod defaults;
pub(crate) mod deletes;
mod each;
mod inserts;
mod key_parameters;
pub(crate) mod keyed;
pub(crate) mod ladder;
mod lost_sessions;
pub(crate) mod permission;
mod place;
mod prefix;
mod prepared;
mod raised;
pub(crate) mod rounds;
#[cfg(test)]
pub(crate) mod simulated;
pub(crate) mod stage;
mod stage_statements;
pub(crate) mod statements;
pub(crate) mod strategy;
mod timeouts;
pub(crate) mod transaction;
mod updates;
mod upserts;
mod waits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use self::attempts::{Attempts, BatchFacts, Ending, Event, Signals, Step};
pub(crate) use self::context::WriterContext;
use self::database::{Database, WriterDatabase};
use self::transaction::{Attempt, RolledBack};
use self::waits::Waits;
use crate::batch::Batch;
use crate::batch::retry_limits::Needs;
use crate::decode::Cells;
use crate::messages::events::Event as SourceEvent;
use crate::messages::progress::Progress;
use crate::messages::report::{Report, Size, TableTrouble};
use crate::observe::health::Component;
use crate::postgres::failure::Failure;
use crate::rejects::policy::RejectedRecord;
use crate::types::TopicPartition;

/// The thread's state.
pub(crate) struct Writer<D> {
    number: usize,
    generation: u64,
    shared: Arc<WriterContext>,
    progress: Arc<Progress>,
    database: D,
    /// A batch was returned, to come back larger: the next begins with it, and continues its waits.
    returned: Option<Waits>,
}

impl Writer<WriterDatabase> {
    /// The writer with this number, of this generation, watched through `progress`.
    pub(crate) fn new(
        number: usize,
        generation: u64,
        shared: Arc<WriterContext>,
        progress: Arc<Progress>,
    ) -> Self {
        let database = WriterDatabase::new(number, Arc::clone(&shared), Arc::clone(&progress));
        Self { number, generation, shared, progress, database, returned: None }
    }
}

/// A batch while it is being tried.
struct InHand {
    batch: Batch,
    /// What was handed over, if `batch` was cut before an intolerable record.
    whole: Option<Batch>,
}

impl InHand {
    fn cut(&mut self, firsts: &[RejectedRecord]) {
        let end_of = |p: &TopicPartition| firsts.iter().find(|f| f.partition == *p).map(|f| f.offset);
        let cut = self.batch.select().before(end_of).encode(&mut Cells::default());
        let before = std::mem::replace(&mut self.batch, cut);
        self.whole.get_or_insert(before);
    }
}

impl<D: Database> Writer<D> {
    /// Writes batches until the channel is closed.
    pub(crate) fn run(mut self, batches: &Receiver<Batch>, events: &Sender<SourceEvent>) {
        for batch in batches {
            let report = self.write(batch);
            // After a commit nothing is in hand any more.
            self.shared.policy.dropped(self.number);
            if events.send(SourceEvent::Report(Box::new(report))).is_err() {
                return;
            }
        }
    }

    /// Does what [`Attempts`] decides until it ends with a report.
    fn write(&mut self, batch: Batch) -> Report {
        let mut attempts = Attempts::new(self.facts(&batch), self.returned.take());
        let mut hand = InHand { batch, whole: None };
        let (mut seen, mut started) = (self.shared.wakeup.seen(), Instant::now());
        let (mut event, mut took) = (Event::Begin, Duration::ZERO);
        loop {
            event = match attempts.next(event, Signals { took, ..self.signals() }) {
                Step::Try(strategy) => {
                    // Before the attempt: no wake-up between its failure and the wait is missed.
                    seen = self.shared.wakeup.seen();
                    started = Instant::now();
                    let tried = self.database.attempt(&hand.batch, strategy);
                    took = started.elapsed();
                    self.note(&tried);
                    Event::Tried(tried)
                }
                Step::ReadPositions => Event::PositionsRead(self.database.stored_is_next(&hand.batch)),
                Step::EncodeAgain => {
                    let result = self.encode_again(&mut hand.batch);
                    Event::EncodedAgain(self.facts(&hand.batch), result)
                }
                Step::Cut(firsts) => {
                    hand.cut(&firsts);
                    Event::Cut(self.facts(&hand.batch))
                }
                Step::Climb(label) => {
                    self.database.climb(&label);
                    Event::Climbed
                }
                Step::Wait(failure, wait) => {
                    self.note_failure(&failure);
                    if !self.shared.shutdown.requested() {
                        self.shared.wakeup.wait(seen, wait);
                    }
                    Event::Waited
                }
                Step::CreateDeadLetters => {
                    self.database.create_dead_letters();
                    Event::DeadLettersCreated
                }
                Step::Report(ending) => {
                    if matches!(ending, Ending::Returned(Size::Larger)) {
                        self.returned = Some(attempts.into_waits());
                    }
                    return self.report(ending, hand, started);
                }
            }
        }
    }

    fn facts(&self, batch: &Batch) -> BatchFacts {
        BatchFacts::of(batch, self.shared.deadline)
    }

    fn signals(&self) -> Signals {
        Signals {
            abandoned: self.progress.abandoned(),
            shutdown: self.shared.shutdown.requested(),
            past_the_fence: self.progress.past_the_fence(),
            overdue: self.progress.was_overdue(),
            took: Duration::ZERO,
            several_tables: self.shared.plans.several_tables(),
        }
    }

    /// Counts an attempt that was rolled back for what is in the batch.
    fn note(&self, tried: &Result<Attempt, Failure>) {
        let outcome = match tried {
            Ok(Attempt::RolledBack(RolledBack::Conflict { .. })) => "conflict",
            Ok(Attempt::RolledBack(RolledBack::Refused { why })) => {
                tracing::info!(
                    writer = self.number,
                    why,
                    "the server refuses a record: bisecting the batch to find it"
                );
                "refused"
            }
            _ => return,
        };
        self.shared.metrics.batches.with_label_values(&[outcome]).inc();
    }

    fn note_failure(&self, failure: &Failure) {
        if failure.connecting {
            return;
        }
        self.count_failure(failure);
        self.shared.health.fail(Component::Writer(self.number), failure.to_string());
    }

    fn count_failure(&self, failure: &Failure) {
        self.shared.metrics.retries.with_label_values(&[failure.class.word()]).inc();
        self.shared.metrics.batches.with_label_values(&["failed"]).inc();
        if failure.lock_timeout() || failure.statement_timeout() {
            self.progress.lock_timed_out();
        }
    }

    /// Reads the tables again and encodes the batch for them.
    fn encode_again(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let plans = self.database.renew_plans(batch)?;
        *batch = batch.encode_again(|p| plans.get(&*p.topic).cloned(), |_| true, &mut Cells::default());
        Ok(())
    }

    fn report(&mut self, ending: Ending, hand: InHand, started: Instant) -> Report {
        let (writer, generation) = (self.number, self.generation);
        let InHand { batch, whole } = hand;
        let batches = |outcome| self.shared.metrics.batches.with_label_values(&[outcome]).inc();
        match ending {
            Ending::Committed { counts, intolerable } => {
                self.shared.committed(writer, &batch, &counts, started.elapsed());
                Report::Committed { writer, generation, batch, counts, rejected: intolerable }
            }
            Ending::Fenced => {
                self.shared.metrics.fenced.inc();
                batches("fenced");
                self.shared.health.recovered(&Component::Writer(writer));
                tracing::warn!(
                    writer,
                    "fenced: another sink has moved these positions, or their table was replaced; they are read again"
                );
                Report::Fenced { writer, generation, batch }
            }
            Ending::Tripped(topics) => {
                batches("breaker");
                self.shared.health.recovered(&Component::Writer(writer));
                Report::Tripped { writer, generation, batch, topics }
            }
            Ending::Divided => {
                self.shared.health.recovered(&Component::Writer(writer));
                Report::Divided { writer, generation, batch: whole.unwrap_or(batch) }
            }
            Ending::Parked { failure, took_too_long } => {
                batches("parked");
                if batch.retry().is_some() {
                    // It was not waited for.
                    self.count_failure(&failure);
                }
                self.shared.health.recovered(&Component::Writer(writer));
                let trouble = trouble(&batch, failure, took_too_long);
                Report::Parked { writer, generation, batch: whole.unwrap_or(batch), trouble }
            }
            // The batches that follow fit only the whole; the intolerable record is found again.
            Ending::Returned(size) => {
                Report::Returned { writer, generation, batch: whole.unwrap_or(batch), size }
            }
            Ending::Abandoned => Report::Abandoned { writer, generation },
        }
    }
}

/// Why the only table of a batch cannot be written.
fn trouble(batch: &Batch, failure: Failure, took_too_long: bool) -> TableTrouble {
    let table = batch.plans().values().next().map(|plan| Arc::from(plan.label.as_str()));
    TableTrouble {
        table: table.expect("a batch without records has no table that fails"),
        needs: match &failure {
            failure if failure.undecided => Needs::MoreRecords,
            failure if failure.lock_timeout() => Needs::Lock,
            _ if took_too_long => Needs::Time,
            _ => Needs::Operator,
        },
        reason: failure.message,
    }
}

#[cfg(test)]
mod tests;
