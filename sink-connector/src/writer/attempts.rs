//! The attempts at one batch: what the writer does next, after each outcome. A state machine without I/O.

mod facts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::facts::{BatchFacts, Retry, Signals};
use super::strategy::Strategy;
use super::transaction::{Attempt, RolledBack};
use super::waits::Waits;
use crate::messages::report::{BatchCounts, Size};
use crate::postgres::failure::Failure;
use crate::postgres::sqlstate::Class;
use crate::rejects::policy::RejectedRecord;

/// So many failures with one SQLSTATE in a row, all of them after the fence, are the trouble of a table: the server can be
/// reached and takes transactions.
const MET_TOO_OFTEN: u32 = 3;

/// A session that ended past the fence after so long may have been ended for the time that it took.
const A_WHILE: Duration = Duration::from_secs(1);

/// The longest wait after a session that ended past the fence.
const WAIT_AFTER_A_SESSION: Duration = Duration::from_millis(500);

/// What stands for the SQLSTATE of a session that has ended.
const ENDED: &str = "the session has ended";

/// What has happened: the result of the last [`Step`].
#[derive(Debug)]
pub(super) enum Event {
    /// Nothing has been tried yet.
    Begin,
    /// After [`Step::Try`].
    Tried(Result<Attempt, Failure>),
    /// After [`Step::ReadPositions`]: whether the stored positions are those that the batch moves to.
    PositionsRead(Result<bool, Failure>),
    /// After [`Step::EncodeAgain`]. If the tables could not be read, the batch is the same as before.
    EncodedAgain(BatchFacts, Result<(), Failure>),
    /// After [`Step::Cut`].
    Cut(BatchFacts),
    /// After [`Step::Climb`].
    Climbed,
    /// After [`Step::Wait`].
    Waited,
    /// After [`Step::CreateDeadLetters`], whether or not it succeeded.
    DeadLettersCreated,
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Try to commit the batch.
    Try(Strategy),
    /// Read the stored positions, which show whether an unanswered COMMIT took place.
    ReadPositions,
    /// Read the tables and encode the batch again.
    EncodeAgain,
    /// Cut the batch before these records, and keep the whole.
    Cut(Vec<RejectedRecord>),
    /// Write the table with this label more carefully from now on.
    Climb(String),
    /// Wait, because of this failure.
    Wait(Failure, Duration),
    /// Create the table of dead letters, which may be missing.
    CreateDeadLetters,
    /// End.
    Report(Ending),
}

/// How the attempts at a batch end.
#[derive(Debug)]
pub(super) enum Ending {
    /// The batch is committed.
    Committed {
        /// What it came to.
        counts: BatchCounts,
        /// The records that it was cut before.
        intolerable: Vec<RejectedRecord>,
    },
    /// The stored positions are not those that the batch starts from.
    Fenced,
    /// The breakers of these topics are open, and why.
    Tripped(BTreeMap<Arc<str>, String>),
    /// The batch as it was handed over, in another size.
    Returned(Size),
    /// One of its tables cannot be written: each table's records are to be tried by themselves.
    Divided,
    /// Its table cannot be written for now.
    Parked {
        failure: Failure,
        /// It may be that fewer records fit into more time.
        took_too_long: bool,
    },
    /// Shutdown was requested, or another writer has taken over.
    Abandoned,
}

/// Why the batch is being encoded again.
#[derive(Debug)]
enum Encoding {
    BeforeFirstAttempt,
    TableChanged,
    /// After this failure, which may mean a changed table. `confirmed`: evidence was looked for, and did not show that it is
    /// a record's.
    AfterFailure {
        failure: Failure,
        confirmed: bool,
    },
}

/// The attempts at one batch.
#[derive(Debug)]
pub(super) struct Attempts {
    batch: BatchFacts,
    strategy: Strategy,
    /// The batch was returned before, to come back larger.
    was_returned: bool,
    /// COMMIT was sent and not answered. What the batch comes to if it took place.
    unanswered: Option<BatchCounts>,
    /// The records that the batch was cut before.
    intolerable: Vec<RejectedRecord>,
    was_cut: bool,
    waits: Waits,
    /// The last SQLSTATE, or that a session has ended.
    last_code: Option<String>,
    /// The last session ended past the fence, and not at once: a limit on the time of transactions may have ended it.
    ended_after_a_while: bool,
    /// How often the last code came in a row, after the fence.
    met: u32,
    encoding: Encoding,
    /// What is waited out.
    failure: Option<Failure>,
}

impl Attempts {
    /// Attempts at this batch; `returned`: the waits of the batch that was returned just before it.
    pub(super) fn new(batch: BatchFacts, returned: Option<Waits>) -> Self {
        Self {
            batch,
            strategy: batch.cheapest,
            was_returned: returned.is_some(),
            unanswered: None,
            intolerable: Vec::new(),
            was_cut: false,
            waits: returned.unwrap_or_default(),
            last_code: None,
            ended_after_a_while: false,
            met: 0,
            encoding: Encoding::BeforeFirstAttempt,
            failure: None,
        }
    }

    /// The waits so far, for the batch that follows a returned one.
    pub(super) fn into_waits(self) -> Waits {
        self.waits
    }

    /// What to do after `event`.
    pub(super) fn next(&mut self, event: Event, now: Signals) -> Step {
        match event {
            // The table of now may accept what its predecessor refused. If it cannot be read, the attempt reports why.
            Event::Begin if self.batch.probe || self.batch.retry.is_some() => Step::EncodeAgain,
            Event::Begin => self.first_attempt(),
            Event::Tried(Ok(attempt)) => self.tried(attempt, now),
            Event::Tried(Err(failure)) => {
                if now.past_the_fence {
                    // The positions were the expected ones: an earlier COMMIT did not take place.
                    self.unanswered = None;
                }
                self.failed(failure, now)
            }
            Event::PositionsRead(Err(failure)) => self.failed(failure, now),
            Event::PositionsRead(Ok(true)) => {
                // The unanswered COMMIT took place: that of the last attempt that came so far.
                let counts =
                    self.unanswered.take().expect("positions are read only for an unanswered COMMIT");
                self.committed(counts)
            }
            Event::PositionsRead(Ok(false)) => Step::Report(Ending::Fenced),
            Event::EncodedAgain(batch, result) => self.encoded_again(batch, result, now),
            Event::Cut(batch) => {
                self.batch = batch;
                self.strategy = batch.cheapest;
                Step::Try(self.strategy)
            }
            Event::Climbed => Step::Try(self.strategy),
            Event::Waited if now.shutdown => Step::Report(Ending::Abandoned),
            Event::Waited => match self.failure.take().expect("only a failure is waited out") {
                failure if failure.undefined_table() => {
                    self.failure = Some(failure);
                    Step::CreateDeadLetters
                }
                failure => self.after_failure(failure, now),
            },
            Event::DeadLettersCreated => {
                let failure = self.failure.take().expect("the table is created after a failure");
                self.after_failure(failure, now)
            }
        }
    }

    fn first_attempt(&mut self) -> Step {
        let confirm = self.was_returned || self.batch.retry.is_some();
        self.strategy = if confirm { Strategy::Confirm } else { self.batch.cheapest };
        Step::Try(self.strategy)
    }

    fn tried(&mut self, attempt: Attempt, now: Signals) -> Step {
        match attempt {
            Attempt::Committed(counts) => self.committed(counts),
            Attempt::Unanswered { failure, counts } => {
                self.unanswered = Some(counts);
                if now.overdue {
                    // Deferred constraints and triggers take too long: they run before COMMIT from now on, where a failure
                    // is certain.
                    self.strategy = self.strategy.max(Strategy::Runs);
                }
                self.failed(failure, now)
            }
            Attempt::RolledBack(why) => self.rolled_back(why),
        }
    }

    fn rolled_back(&mut self, why: RolledBack) -> Step {
        match why {
            RolledBack::Fenced if self.unanswered.is_some() => Step::ReadPositions,
            RolledBack::Fenced => Step::Report(Ending::Fenced),
            RolledBack::TableChanged => {
                self.encoding = Encoding::TableChanged;
                Step::EncodeAgain
            }
            RolledBack::Conflict { label } => Step::Climb(label),
            RolledBack::Misread => Step::Try(self.strategy),
            RolledBack::Refused { .. } => {
                self.strategy = Strategy::Bisect;
                Step::Try(self.strategy)
            }
            RolledBack::Intolerable(firsts) => {
                // It came past the fence, so an unanswered COMMIT did not take place.
                self.unanswered = None;
                self.was_cut = true;
                // A later attempt may have to stop even earlier.
                self.intolerable.retain(|old| !firsts.iter().any(|new| new.partition == old.partition));
                self.intolerable.extend(firsts.iter().cloned());
                Step::Cut(firsts)
            }
            RolledBack::Tripped(topics) => Step::Report(Ending::Tripped(topics)),
        }
    }

    fn committed(&mut self, counts: BatchCounts) -> Step {
        let intolerable = std::mem::take(&mut self.intolerable);
        Step::Report(Ending::Committed { counts, intolerable })
    }

    fn failed(&mut self, failure: Failure, now: Signals) -> Step {
        if now.abandoned && self.unanswered.is_none() {
            // The successor reads the records again. Only an unanswered COMMIT must still be resolved: if it took place,
            // it counts.
            return Step::Report(Ending::Abandoned);
        }
        // A session may end with several codes, or with none.
        let ended = now.past_the_fence && failure.ended_session();
        let code = if ended { Some(ENDED.to_owned()) } else { failure.sqlstate.clone() };
        let met_before = code.is_some() && code == self.last_code;
        let failure =
            if met_before && failure.class == Class::Transient { failure.met_again() } else { failure };
        let goes_on = met_before && now.past_the_fence;
        self.met = if goes_on { self.met + 1 } else { u32::from(now.past_the_fence) };
        self.ended_after_a_while = ended && now.took >= A_WHILE;
        self.last_code = code;
        if self.batch.retry.is_some() && self.may_park(&failure, now) {
            // The wait is the source's, and other tables are written meanwhile.
            if self.is_to_be_timed(&failure, now) {
                return self.retry(failure, false, now);
            }
            if failure.undefined_table() {
                self.failure = Some(failure);
                return Step::CreateDeadLetters;
            }
            return self.park(failure, now);
        }
        let wait = self.waits.next();
        // The server takes connections. Each session leads closer to the record that may be at fault.
        let wait = if ended { wait.min(WAIT_AFTER_A_SESSION) } else { wait };
        self.failure = Some(failure.clone());
        Step::Wait(failure, wait)
    }

    fn after_failure(&mut self, failure: Failure, now: Signals) -> Step {
        // Encoded again, the batch begins with its cheapest strategy; that evidence was looked for remains known.
        let confirmed = self.strategy == Strategy::Confirm;
        if failure.class == Class::Configuration {
            // The table may have changed. If it cannot be read, the next attempt reports why.
            self.encoding = Encoding::AfterFailure { failure, confirmed };
            return Step::EncodeAgain;
        }
        self.retry(failure, confirmed, now)
    }

    fn encoded_again(&mut self, batch: BatchFacts, result: Result<(), Failure>, now: Signals) -> Step {
        self.batch = batch;
        self.strategy = batch.cheapest;
        match std::mem::replace(&mut self.encoding, Encoding::TableChanged) {
            Encoding::BeforeFirstAttempt => self.first_attempt(),
            Encoding::TableChanged => match result {
                Ok(()) => Step::Try(self.strategy),
                Err(failure) => self.failed(failure, now),
            },
            Encoding::AfterFailure { failure, confirmed } => self.retry(failure, confirmed, now),
        }
    }

    fn park(&self, failure: Failure, now: Signals) -> Step {
        // After one record had all the time there is, the next retry is a short one again.
        let took_too_long = self.is_too_much(&failure, now) && self.strategy != Strategy::Timed;
        Step::Report(Ending::Parked { failure, took_too_long })
    }

    /// Whether the only record takes too long, and nothing has shown yet whether it or its table is at fault. Beside other
    /// tables, only the last of several retries may take so long.
    fn is_to_be_timed(&self, failure: &Failure, now: Signals) -> bool {
        let has_all_time = match self.batch.retry {
            None => !now.several_tables,
            Some(retry) => retry == Retry::Full,
        };
        has_all_time
            && self.takes_too_long(failure, now)
            && self.batch.records == 1
            && self.strategy != Strategy::Timed
    }

    fn takes_too_long(&self, failure: &Failure, now: Signals) -> bool {
        let too_long = failure.statement_timeout() || now.overdue;
        // After an unanswered COMMIT the batch must stay as it is until the positions have been read.
        too_long && now.past_the_fence && self.unanswered.is_none()
    }

    /// Whether fewer records may need less than there is, of time or of memory.
    fn is_too_much(&self, failure: &Failure, now: Signals) -> bool {
        let again = self.ended_after_a_while && self.met >= MET_TOO_OFTEN;
        let too_large = failure.out_of_memory() && now.past_the_fence || failure.ended_session() && again;
        too_large && self.unanswered.is_none() || self.takes_too_long(failure, now)
    }

    /// Whether the failure may be that of one table, while the sink can write others.
    fn may_park(&self, failure: &Failure, now: Signals) -> bool {
        let of_a_table = failure.may_be_a_tables()
            || failure.statement_timeout()
            || now.overdue
            || self.met >= MET_TOO_OFTEN;
        // What was parked has to be parked again even if other tables are no longer written: its next retry gets more time.
        let beside_others = now.several_tables || self.batch.retry.is_some();
        of_a_table && beside_others && self.batch.tables > 0 && self.unanswered.is_none()
    }

    fn retry(&mut self, failure: Failure, confirmed: bool, now: Signals) -> Step {
        if self.is_to_be_timed(&failure, now) {
            self.strategy = Strategy::Timed;
            return Step::Try(self.strategy);
        }
        if self.strategy == Strategy::Timed {
            self.strategy = self.batch.cheapest;
        }
        if self.is_too_much(&failure, now) && !self.may_park(&failure, now) && self.batch.records > 1 {
            return Step::Report(Ending::Returned(Size::Smaller));
        }
        // An internal error that comes for the first time may pass.
        let may_be_the_records = failure.clone().met_again().may_be_the_records();
        if self.may_park(&failure, now) {
            if self.batch.tables > 1 {
                return Step::Report(Ending::Divided);
            }
            if confirmed || !may_be_the_records {
                return self.park(failure, now);
            }
        }
        // A batch that was cut before an intolerable record must not grow.
        if failure.undecided && self.unanswered.is_none() && !self.was_cut {
            return Step::Report(Ending::Returned(Size::Larger));
        }
        if failure.may_be_the_records() {
            self.strategy = Strategy::Confirm;
        }
        Step::Try(self.strategy)
    }
}

#[cfg(test)]
mod tests;
