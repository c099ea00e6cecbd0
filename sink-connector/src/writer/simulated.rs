//! A writer of the simulation: the same decisions as the thread's ([`Attempts`]), with time that is passed in.

use std::time::{Duration, Instant};

use super::InHand;
use super::attempts::{Attempts, BatchFacts, Ending, Event, Signals, Step};
use super::database::Database;
use super::strategy::Strategy;
use super::transaction::Attempt;
use super::waits::Waits;
use crate::batch::Batch;
use crate::decode::Cells;
use crate::messages::report::{Report, Size};
use crate::postgres::failure::Failure;

/// The longest that a transaction may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A database whose answers take time.
pub(crate) trait SlowDatabase: Database {
    /// An attempt begins. How long it takes; `None` if it is not answered before its session ends.
    fn begin(&mut self) -> Option<Duration>;
    /// Whether the last attempt got past the fence.
    fn past_the_fence(&self) -> bool;
    /// How long to wait after a failure.
    fn wait(&mut self) -> Duration;
}

/// What the writer is doing.
enum State {
    Idle,
    Trying {
        strategy: Strategy,
        until: Instant,
    },
    /// The session does not answer. The result is known when it is ended.
    Hanging(Option<Box<Result<Attempt, Failure>>>),
    Waiting {
        until: Instant,
    },
}

/// A writer that works as time passes.
pub(crate) struct SimulatedWriter {
    pub number: usize,
    pub generation: u64,
    /// A successor has replaced it.
    pub abandoned: bool,
    state: State,
    work: Option<(Attempts, InHand)>,
    returned: Option<Waits>,
}

impl SimulatedWriter {
    /// A writer that is idle.
    pub(crate) fn new(number: usize, generation: u64) -> Self {
        Self { number, generation, abandoned: false, state: State::Idle, work: None, returned: None }
    }

    /// Whether it takes a batch.
    pub(crate) fn is_idle(&self) -> bool {
        self.work.is_none()
    }

    /// Whether its session does not answer.
    pub(crate) fn hangs(&self) -> bool {
        matches!(self.state, State::Hanging(_))
    }

    /// Begins with a batch. A report, if that ends it at once.
    pub(crate) fn begin(
        &mut self,
        batch: Batch,
        now: Instant,
        shutdown: bool,
        database: &mut impl SlowDatabase,
    ) -> Option<Report> {
        let attempts = Attempts::new(BatchFacts::of(&batch, DEADLINE), self.returned.take());
        self.work = Some((attempts, InHand { batch, whole: None }));
        self.go_on(Event::Begin, now, shutdown, database)
    }

    /// Goes on, if it is time. A report, if that ends the batch.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        shutdown: bool,
        database: &mut impl SlowDatabase,
    ) -> Option<Report> {
        let event = match &mut self.state {
            State::Trying { strategy, until } if now >= *until => {
                let (_, hand) = self.work.as_ref().expect("it has a batch");
                Event::Tried(database.attempt(&hand.batch, *strategy))
            }
            // Its session is ended when it is replaced.
            State::Hanging(result) if self.abandoned => {
                Event::Tried(*result.take().expect("a session ends once"))
            }
            State::Waiting { until } if now >= *until || shutdown => Event::Waited,
            State::Idle | State::Trying { .. } | State::Hanging(_) | State::Waiting { .. } => return None,
        };
        self.go_on(event, now, shutdown, database)
    }

    fn go_on(
        &mut self,
        mut event: Event,
        now: Instant,
        shutdown: bool,
        database: &mut impl SlowDatabase,
    ) -> Option<Report> {
        let (mut attempts, mut hand) = self.work.take()?;
        loop {
            let signals = Signals {
                abandoned: self.abandoned,
                shutdown,
                past_the_fence: database.past_the_fence(),
                overdue: false,
                took: Duration::ZERO,
                several_tables: true,
            };
            event = match attempts.next(event, signals) {
                Step::Try(strategy) => {
                    self.state = match database.begin() {
                        Some(duration) => State::Trying { strategy, until: now + duration },
                        None => State::Hanging(Some(Box::new(database.attempt(&hand.batch, strategy)))),
                    };
                    self.work = Some((attempts, hand));
                    return None;
                }
                Step::Wait(..) => {
                    self.state = State::Waiting { until: now + database.wait() };
                    self.work = Some((attempts, hand));
                    return None;
                }
                Step::ReadPositions => Event::PositionsRead(database.stored_is_next(&hand.batch)),
                Step::EncodeAgain => {
                    let result = database.renew_plans(&hand.batch).map(|plans| {
                        hand.batch = hand.batch.encode_again(
                            |p| plans.get(&*p.topic).cloned(),
                            |_| true,
                            &mut Cells::default(),
                        );
                    });
                    Event::EncodedAgain(BatchFacts::of(&hand.batch, DEADLINE), result)
                }
                Step::Cut(firsts) => {
                    hand.cut(&firsts);
                    Event::Cut(BatchFacts::of(&hand.batch, DEADLINE))
                }
                Step::Climb(label) => {
                    database.climb(&label);
                    Event::Climbed
                }
                Step::CreateDeadLetters => {
                    database.create_dead_letters();
                    Event::DeadLettersCreated
                }
                Step::Report(ending) => {
                    if matches!(ending, Ending::Returned(Size::Larger)) {
                        self.returned = Some(attempts.into_waits());
                    }
                    self.state = State::Idle;
                    return Some(self.report(ending, hand));
                }
            }
        }
    }

    fn report(&self, ending: Ending, hand: InHand) -> Report {
        let (writer, generation) = (self.number, self.generation);
        let InHand { batch, whole } = hand;
        match ending {
            Ending::Committed { counts, intolerable } => {
                Report::Committed { writer, generation, batch, counts, rejected: intolerable }
            }
            Ending::Fenced => Report::Fenced { writer, generation, batch },
            Ending::Divided => Report::Divided { writer, generation, batch: whole.unwrap_or(batch) },
            Ending::Parked { failure, took_too_long } => {
                let trouble = super::trouble(&batch, failure, took_too_long);
                Report::Parked { writer, generation, batch: whole.unwrap_or(batch), trouble }
            }
            Ending::Tripped(topics) => Report::Tripped { writer, generation, batch, topics },
            Ending::Returned(size) => {
                Report::Returned { writer, generation, batch: whole.unwrap_or(batch), size }
            }
            Ending::Abandoned => Report::Abandoned { writer, generation },
        }
    }
}
