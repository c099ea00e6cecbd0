//! The rows of a batch inside its transaction: all at once, or bisected, down to the records that the server refuses.
//!
//! The result must equal applying the records one by one, so only runs of records in their order are halved. The first
//! attempt at a batch has no savepoint; they are used only after the server has refused it.

mod confirm;
mod control_row;
mod control_values;
mod ends_session;
mod neighbours;
mod outcomes;
mod own_conflict;
mod reach;
mod timed;
mod value_alone;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use crate::batch::Batch;
use crate::batch::records::offset32;
use crate::batch::rows::Rows;
use crate::decode::{Cells, Reason, Rejection};
use crate::postgres::failure::Failure;
use crate::postgres::settings;
use crate::rejects::dead_letters::DeadLetter;
use crate::rejects::policy::Decision;
use crate::table::plan::Plan;
use crate::writer::apply::{self, Applied, ApplyOutcome};
use crate::writer::connection::WriterConnection;
use crate::writer::keyed::independent_of_existing;
use crate::writer::ladder::Rung;
use crate::writer::lost_sessions::{Candidates, InFlight};
use crate::writer::strategy::Strategy;
use crate::writer::transaction::{AttemptContext, RolledBack};

use self::control_row::{Control, ControlKey};
pub(crate) use self::control_values::LastWritten;
use self::neighbours::NeighbourKey;
pub(crate) use self::outcomes::{RecordOutcomes, RejectedRecord};

/// A deferred constraint would be checked only after later runs may have corrected what it refuses.
const IMMEDIATE: &str = "SET CONSTRAINTS ALL IMMEDIATE";
const SAVEPOINT: &str = "SAVEPOINT kafka_sink_bisect";
/// A deferred constraint would be checked only at COMMIT, when the record can no longer be found.
const END_OF_PART: &str = "SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT kafka_sink_bisect";
/// Around the savepoint of the bisection.
const PROBE_SAVEPOINT: &str = "SAVEPOINT kafka_sink_probe; SAVEPOINT kafka_sink_bisect";
const PROBE_BACK: &str = "ROLLBACK TO SAVEPOINT kafka_sink_probe; RELEASE SAVEPOINT kafka_sink_probe";
const BACK: &str = "ROLLBACK TO SAVEPOINT kafka_sink_bisect";

/// Refused records between two decisions, each of which looks at the whole batch.
const DECIDE_EVERY: usize = 16;

/// What keeps records from being written as they were tried, other than a failure that is not theirs.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// A key exists, or has appeared, in this table, and its rung cannot write such keys.
    Conflict(String),
    /// The server refuses one of the records.
    Refused(Failure),
    /// Its records must be applied in smaller parts.
    Divide(&'static str),
    /// Functions of a table changed how text is read before all rows were read. Another attempt reads them first.
    Misread,
}

impl From<Obstacle> for RolledBack {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Conflict(label) => Self::Conflict { label },
            Obstacle::Refused(failure) => Self::Refused { why: failure.message },
            Obstacle::Divide(why) => Self::Refused { why: why.to_owned() },
            Obstacle::Misread => Self::Misread,
        }
    }
}

/// How writing a batch's rows ended, short of a failure.
#[derive(Debug)]
pub(crate) enum RowsOutcome {
    Written(RecordOutcomes),
    /// Everything is rolled back: this strategy cannot overcome an obstacle.
    RolledBack(Obstacle),
}

/// How writing some of the records ended, short of a failure.
enum PartOutcome {
    /// The tables' rows are written: what they came to, by the tables' labels.
    Applied(Vec<(String, Applied)>),
    /// What was written of them is rolled back.
    RolledBack(Obstacle),
}

/// Decides whether a batch with these dead letters may be committed.
pub(crate) type Decide<'a> = dyn Fn(&Batch, &[DeadLetter<'_>]) -> Decision + 'a;

/// Which rung each table is written on, by its label.
pub(crate) type Rungs = HashMap<String, Rung>;

/// The rung for a part of a batch: the ladder's, or a higher one if its records need it.
pub(crate) fn rung(plan: &Plan, rows: &Rows, taken: Rung, strategy: Strategy) -> Rung {
    if plan.key.is_none() {
        return Rung::Plain;
    }
    if plan.on_conflict_only {
        return Rung::Stage;
    }
    // Inserting without a look-up would let the server refuse a row that is never inserted: if the key exists,
    // insert_ignore skips the record whatever it holds, and upsert changes only some columns.
    let blind = strategy == Strategy::Whole && independent_of_existing(rows);
    taken.max(if blind { Rung::Plain } else { Rung::Lookup })
}

/// Writes the rows of `batch`.
pub(crate) fn write(
    connection: &mut WriterConnection,
    batch: &Batch,
    rungs: Rungs,
    strategy: Strategy,
    context: &AttemptContext<'_>,
) -> Result<RowsOutcome, Failure> {
    let AttemptContext {
        decide,
        probe_window,
        last_written,
        persistent,
        replay,
        deadline,
        candidates,
        in_flight,
        ..
    } = *context;
    let mut bisect = Bisection {
        connection,
        batch,
        rungs,
        strategy,
        decide,
        probe_window,
        last_written,
        persistent,
        candidates,
        in_flight,
        others_pass: false,
        replay,
        deadline,
        decide_at: 1,
        cells: Cells::default(),
        outcome: RecordOutcomes::default(),
        passed: HashMap::new(),
        accepted: HashSet::new(),
        refused: HashMap::new(),
        neighbours: HashMap::new(),
    };
    if let Some(obstacle) = bisect.all()? {
        return Ok(RowsOutcome::RolledBack(obstacle));
    }
    bisect.confirm()?;
    bisect.end_timing()?;
    bisect.decide();
    Ok(RowsOutcome::Written(bisect.outcome))
}

struct Bisection<'a> {
    connection: &'a mut WriterConnection,
    batch: &'a Batch,
    rungs: Rungs,
    strategy: Strategy,
    decide: &'a Decide<'a>,
    /// So many records at the end of a probe decide on it.
    probe_window: usize,
    last_written: &'a LastWritten,
    /// A code that a function has raised too often.
    persistent: Option<&'a str>,
    /// Sessions have ended while this batch was written.
    candidates: Option<&'a Candidates>,
    /// The records that are being written, for the case that the session ends.
    in_flight: &'a Cell<Option<InFlight>>,
    /// Before the only candidate is written: another row of its table was written.
    others_pass: bool,
    /// The records are dead letters already. If they are refused, they remain dead letters.
    replay: bool,
    /// The longest that the transaction may take.
    deadline: Duration,
    /// The next decision is due at so many rejected records.
    decide_at: usize,
    cells: Cells,
    outcome: RecordOutcomes,
    /// With [`Strategy::Confirm`]: for each table, by its label, the records of which some were written last.
    passed: HashMap<String, Range<u32>>,
    /// With [`Strategy::Confirm`]: the records for which a control row was written.
    accepted: HashSet<ControlKey>,
    /// With [`Strategy::Confirm`]: what the table refused, and would again.
    refused: HashMap<ControlKey, Failure>,
    /// With [`Strategy::Confirm`]: some records that were written, of each kind.
    neighbours: HashMap<NeighbourKey, Vec<u32>>,
}

impl Bisection<'_> {
    /// Writes all records, or those before a decision not to commit. Returns the obstacle that this strategy cannot
    /// overcome.
    fn all(&mut self) -> Result<Option<Obstacle>, Failure> {
        let batch = self.batch;
        if self.strategy == Strategy::Whole {
            return self.part(batch, 0);
        }
        self.connection.client().batch_execute(IMMEDIATE)?;
        self.begin_timing()?;
        if self.strategy >= Strategy::Bisect {
            self.connection.client().batch_execute(SAVEPOINT)?;
        }
        let runs = batch.runs(&mut self.cells);
        if self.strategy == Strategy::Bisect && batch.is_probe() && !self.passes_at_its_end(&runs)? {
            return Ok(None);
        }
        for run in runs {
            if let Some(obstacle) = self.run(run)? {
                return Ok(Some(obstacle));
            }
        }
        Ok(None)
    }

    /// Whether a probe may be committed, as far as the records at its end show, which decide on it. They are tried before
    /// the others, and rolled back: in a topic that is broken still, not every record of a long probe has to be refused.
    fn passes_at_its_end(&mut self, runs: &[Range<u32>]) -> Result<bool, Failure> {
        let before = offset32(self.batch.records().count().saturating_sub(self.probe_window));
        if before == 0 {
            return Ok(true);
        }
        self.connection.client().batch_execute(PROBE_SAVEPOINT)?;
        for run in runs.iter().filter(|run| run.end > before) {
            self.halve(run.start.max(before)..run.end, false)?;
        }
        self.decide();
        if self.outcome.decision != Decision::Commit {
            return Ok(false);
        }
        self.connection.client().batch_execute(PROBE_BACK)?;
        self.outcome = RecordOutcomes::default();
        self.decide_at = 1;
        Ok(true)
    }

    /// Writes a run; returns the obstacle that this strategy cannot overcome.
    fn run(&mut self, run: Range<u32>) -> Result<Option<Obstacle>, Failure> {
        if let Some(candidates) = self.candidates {
            self.around_candidates(&run, candidates)?;
            return Ok(None);
        }
        if self.strategy >= Strategy::Bisect {
            self.halve(run, false)?;
            return Ok(None);
        }
        let start = run.start;
        let part = self.batch.select_records(run).encode(&mut self.cells);
        self.part(&part, start)
    }

    /// Writes records without a savepoint; the first has the number `base` in the batch.
    fn part(&mut self, part: &Batch, base: u32) -> Result<Option<Obstacle>, Failure> {
        match self.tables(part)? {
            PartOutcome::Applied(applied) => {
                self.outcome.add(part, applied, base);
                Ok(None)
            }
            PartOutcome::RolledBack(obstacle) => Ok(Some(obstacle)),
        }
    }

    /// Writes these records, halved until those that are refused stand alone; true when none was. `refused`: one of
    /// them is known to be refused, so it is no use to try them together.
    fn halve(&mut self, records: Range<u32>, mut refused: bool) -> Result<bool, Failure> {
        if self.outcome.decision != Decision::Commit {
            // Nothing is committed: there is no use in writing the rest.
            return Ok(false);
        }
        let alone = records.len() == 1;
        if alone || !refused {
            let part = self.batch.select_records(records.clone()).encode(&mut self.cells);
            self.in_flight.set(Some(InFlight { records: records.clone(), others_pass: self.others_pass }));
            let outcome = self.part_in_savepoint(&part)?;
            self.in_flight.set(None);
            match outcome {
                PartOutcome::Applied(applied) => {
                    self.passed(&part, &applied, &records);
                    self.outcome.add(&part, applied, records.start);
                    return Ok(true);
                }
                PartOutcome::RolledBack(Obstacle::Refused(failure)) if alone => {
                    let failure = self.check_candidate(&part, failure)?;
                    self.refuse(records.start, failure);
                    return Ok(false);
                }
                PartOutcome::RolledBack(Obstacle::Divide(why)) if alone => {
                    return Err(Failure::configuration(format!("with a single record: {why}")));
                }
                PartOutcome::RolledBack(obstacle) => refused = matches!(obstacle, Obstacle::Refused(_)),
            }
        }
        let middle = records.start + (records.end - records.start) / 2;
        let first = self.halve(records.start..middle, false)?;
        let second = self.halve(middle..records.end, refused && first)?;
        Ok(first && second)
    }

    fn refuse(&mut self, record: u32, failure: Failure) {
        let detail = failure.report().to_owned();
        let rejection = Rejection { reason: Reason::Refused, column: None, wider: None, detail };
        self.outcome.rejected.push(RejectedRecord { record, rejection, failure: Some(failure) });
        if self.outcome.rejected.len() >= self.decide_at && self.strategy == Strategy::Bisect {
            self.decide();
        }
    }

    /// Decides whether the batch may be committed with what is rejected so far, as if the rest were written. If not, it
    /// may not be committed with more rejected records either: the rest need not be tried.
    fn decide(&mut self) {
        if self.outcome.decision == Decision::Commit {
            self.decide_at = self.outcome.rejected.len() + DECIDE_EVERY;
            self.outcome.decision = (self.decide)(self.batch, &self.outcome.dead_letters());
        }
    }

    /// Writes records inside the savepoint, which exists again afterwards, whatever happened; climbs where keys exist.
    fn part_in_savepoint(&mut self, part: &Batch) -> Result<PartOutcome, Failure> {
        loop {
            let obstacle = match self.tables(part)? {
                PartOutcome::Applied(applied) => {
                    // A function may have changed how names are found, and values are read.
                    let next = format!("{END_OF_PART}; {}; {SAVEPOINT}", settings::restore());
                    match self.connection.client().batch_execute(&next).map_err(Failure::from) {
                        Ok(()) => return Ok(PartOutcome::Applied(applied)),
                        Err(failure) if self.is_the_records(&failure) => {
                            self.roll_back()?;
                            Obstacle::Refused(failure)
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                PartOutcome::RolledBack(obstacle) => obstacle,
            };
            match obstacle {
                Obstacle::Conflict(label) => {
                    let rung = self.rungs.entry(label).or_insert(Rung::Plain);
                    *rung = if *rung == Rung::Plain { Rung::Lookup } else { Rung::Stage };
                }
                Obstacle::Misread => {}
                Obstacle::Refused(_) | Obstacle::Divide(_) => return Ok(PartOutcome::RolledBack(obstacle)),
            }
        }
    }

    /// Writes the tables of a part, one after the other.
    fn tables(&mut self, part: &Batch) -> Result<PartOutcome, Failure> {
        let mut all = Vec::new();
        for table in part.tables() {
            let label = table.plan.label.clone();
            let taken = self.rungs.get(&label).copied().unwrap_or(Rung::Plain);
            let rung = rung(&table.plan, &table.rows, taken, self.strategy);
            let obstacle = match apply::apply(self.connection, &table.plan, &table.rows, rung) {
                Ok(ApplyOutcome::Applied(applied)) => {
                    all.push((label, applied));
                    continue;
                }
                Ok(ApplyOutcome::Divide(why)) => {
                    self.roll_back()?;
                    Obstacle::Divide(why)
                }
                Ok(ApplyOutcome::Misread) => {
                    self.roll_back()?;
                    tracing::info!(
                        table = label,
                        "functions of the table change how text is read: its rows are read before they run"
                    );
                    Obstacle::Misread
                }
                Err(failure) if self.is_the_records(&failure) => {
                    self.roll_back()?;
                    let own = rung < Rung::Stage && self.is_own_conflict(&table.plan, &failure)?;
                    if own { Obstacle::Conflict(label) } else { Obstacle::Refused(failure) }
                }
                Err(failure) => return Err(failure),
            };
            return Ok(PartOutcome::RolledBack(obstacle));
        }
        Ok(PartOutcome::Applied(all))
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        let back = if self.strategy >= Strategy::Bisect { BACK } else { "ROLLBACK" };
        self.connection.client().batch_execute(back)?;
        self.connection.note_rolled_back();
        self.shorten_timing()
    }
}
