//! The rows of a batch inside its transaction: all at once, or in pieces, down to the records that the server refuses.
//!
//! The result must equal applying the records one by one. So pieces are runs of records in their order, and what is
//! halved is a run. The first try of a batch has no savepoint; only one that was refused is begun again with them.

mod suspects;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::batch::rows::Rows;
use crate::batch::{Batch, Skip};
use crate::dead_letters::DeadLetter;
use crate::decode::{Reason, Rejection, Slots};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::policy::Verdict;
use crate::types::TopicPartition;
use crate::writer::apply::{self, Applied};
use crate::writer::connection::WriterConnection;
use crate::writer::keyed::independent_of_existing;
use crate::writer::ladder::Rung;

/// A constraint that is deferred would look only when later runs have put right what it refuses.
const IMMEDIATE: &str = "SET CONSTRAINTS ALL IMMEDIATE";
const SAVEPOINT: &str = "SAVEPOINT kafka_sink_piece";
/// A constraint that is deferred would speak only at COMMIT, when it can no longer be said about which record.
const NEXT_SAVEPOINT: &str =
    "SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT kafka_sink_piece; SAVEPOINT kafka_sink_piece";
const BACK: &str = "ROLLBACK TO SAVEPOINT kafka_sink_piece";

/// Refused records between two judgements, of which each looks at the whole batch.
const JUDGE_EVERY: usize = 16;

/// How carefully a batch is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Care {
    /// All rows at once.
    Whole,
    /// In runs in which no record hides another that the table refuses: it judges its rows, and merged records or
    /// deletes would.
    Runs,
    /// In runs, each inside a savepoint, halved where the server refuses.
    Halves,
    /// As in halves, and a record may be suspected of a failure that seems to be the operator's to mend.
    Suspects,
}

impl Care {
    /// The least that this batch needs.
    pub fn least(batch: &Batch) -> Self {
        if batch.hides_refusals() { Self::Runs } else { Self::Whole }
    }
}

/// A record that becomes a dead letter.
#[derive(Debug)]
pub struct Refused {
    /// Its number in the batch.
    pub record: u32,
    /// Why.
    pub rejection: Rejection,
    /// What the server said, if it was the server that refused it.
    pub failure: Option<Failure>,
}

/// What the records came to; true once the transaction commits. With another verdict than to commit, only a part of
/// them was looked at.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows written, by the table's label.
    pub written: BTreeMap<String, u64>,
    /// Rows deleted by tombstones, by the table's label.
    pub deleted: BTreeMap<String, u64>,
    /// Skipped records.
    pub skipped: Vec<(TopicPartition, Skip, u64)>,
    /// Dead letters.
    pub refused: Vec<Refused>,
    /// Tables of which keys existed.
    pub conflicts: Vec<String>,
    /// What is to be done about the refused records.
    pub verdict: Verdict,
}

impl Outcome {
    /// The refused records as dead letters.
    pub fn letters(&self) -> Vec<DeadLetter<'_>> {
        self.refused
            .iter()
            .map(|r| DeadLetter { record: r.record, rejection: &r.rejection, failure: r.failure.as_ref() })
            .collect()
    }

    /// Adds what a part of the batch came to; its record 0 is the batch's record `base`.
    fn add(&mut self, part: &Batch, applied: Vec<(String, Applied)>, base: u32) {
        let partition_of = |record: u32| {
            let span = part.records().get(record).span;
            part.spans()[usize::from(span)].partition.clone()
        };
        let refused =
            |(record, rejection)| Refused { record: base + record, rejection, failure: None::<Failure> };
        self.skipped.extend(part.skipped().map(|(partition, reason, n)| (partition.clone(), reason, n)));
        self.refused.extend(part.rejected().iter().map(|r| refused((r.record, r.rejection.clone()))));
        for (label, applied) in applied {
            *self.written.entry(label.clone()).or_default() += applied.written;
            if applied.deleted > 0 {
                *self.deleted.entry(label.clone()).or_default() += applied.deleted;
            }
            self.skipped.extend(applied.skipped.iter().map(|(n, reason)| (partition_of(*n), *reason, 1)));
            self.refused.extend(applied.rejected.into_iter().map(refused));
            if applied.conflicts {
                self.conflicts.push(label);
            }
        }
    }
}

/// What keeps records from being written as they were tried, short of a failure that is not theirs.
#[derive(Debug)]
pub enum Obstacle {
    /// A key exists, or has appeared, that the rung of this table cannot cope with.
    Conflict(String),
    /// The server refuses a record of it.
    Refused(Failure),
    /// Its records must be applied in smaller parts.
    Divide(&'static str),
}

/// Asked whether a batch with these dead letters may be committed.
pub type Judge<'a> = dyn Fn(&Batch, &[DeadLetter<'_>]) -> Verdict + 'a;

/// Which rung each table is written on, by its label.
pub type Rungs = HashMap<String, Rung>;

/// The rung for a part of a batch: what the ladder says, or what its records ask for.
pub fn rung(plan: &Plan, rows: &Rows, taken: Rung, care: Care) -> Rung {
    if plan.key.is_none() {
        return Rung::Plain;
    }
    // Inserting blindly would have a row judged that is none: of a key that exists, insert_ignore skips the record
    // whatever it holds, and upsert changes only some columns.
    let blind = care == Care::Whole && independent_of_existing(rows);
    taken.max(if blind { Rung::Plain } else { Rung::Lookup })
}

/// What the tables of a part came to, by their labels.
type AllApplied = Vec<(String, Applied)>;

/// Writes the rows of `batch`, which are dead letters already in a `replay`. After an obstacle, the transaction is rolled back.
pub fn write(
    connection: &mut WriterConnection,
    batch: &Batch,
    rungs: Rungs,
    care: Care,
    judge: &Judge<'_>,
    replay: bool,
) -> Result<Result<Outcome, Obstacle>, Failure> {
    let mut pieces = Pieces {
        connection,
        batch,
        rungs,
        care,
        judge,
        replay,
        judge_at: 1,
        slots: Slots::default(),
        outcome: Outcome::default(),
        passed: HashMap::new(),
    };
    if let Some(obstacle) = pieces.all()? {
        return Ok(Err(obstacle));
    }
    pieces.convict()?;
    pieces.judge();
    Ok(Ok(pieces.outcome))
}

struct Pieces<'a> {
    connection: &'a mut WriterConnection,
    batch: &'a Batch,
    rungs: Rungs,
    care: Care,
    judge: &'a Judge<'a>,
    /// The records are dead letters already: refused, they stay what they are.
    replay: bool,
    /// So many refused records ask for the next judgement.
    judge_at: usize,
    slots: Slots,
    outcome: Outcome,
    /// Where records are suspected: of each table, by its label, the records of which some were written last.
    passed: HashMap<String, Range<u32>>,
}

impl Pieces<'_> {
    /// Writes all records, or those up to a verdict; returns the obstacle that this care cannot cope with.
    fn all(&mut self) -> Result<Option<Obstacle>, Failure> {
        let batch = self.batch;
        if self.care == Care::Whole {
            return Ok(match self.tables(batch)? {
                Ok(applied) => {
                    self.outcome.add(batch, applied, 0);
                    None
                }
                Err(obstacle) => Some(obstacle),
            });
        }
        self.connection.client().batch_execute(IMMEDIATE)?;
        if self.care >= Care::Halves {
            self.connection.client().batch_execute(SAVEPOINT)?;
        }
        for run in batch.runs(&mut self.slots) {
            if let Some(obstacle) = self.run(run)? {
                return Ok(Some(obstacle));
            }
        }
        Ok(None)
    }

    /// Writes a run; returns the obstacle that this care cannot cope with.
    fn run(&mut self, run: Range<u32>) -> Result<Option<Obstacle>, Failure> {
        if self.care >= Care::Halves {
            self.halve(run, false)?;
            return Ok(None);
        }
        let part = self.batch.slice(run.clone(), &mut self.slots);
        Ok(match self.tables(&part)? {
            Ok(applied) => {
                self.outcome.add(&part, applied, run.start);
                None
            }
            Err(obstacle) => Some(obstacle),
        })
    }

    /// Writes these records, halved until those that are refused stand alone; true when none was. `guilty`: one of
    /// them is known to be refused, so there is no use in trying them together.
    fn halve(&mut self, records: Range<u32>, guilty: bool) -> Result<bool, Failure> {
        if self.outcome.verdict != Verdict::Commit {
            // Nothing is committed: there is no use in writing the rest.
            return Ok(false);
        }
        let alone = records.len() == 1;
        let mut refused = guilty;
        if alone || !guilty {
            let part = self.batch.slice(records.clone(), &mut self.slots);
            match self.piece(&part)? {
                Ok(applied) => {
                    self.acquit(&applied, &records);
                    self.outcome.add(&part, applied, records.start);
                    return Ok(true);
                }
                Err(Obstacle::Refused(failure)) if alone => {
                    self.suspect(&part, &failure)?;
                    self.refuse(records.start, failure);
                    return Ok(false);
                }
                Err(Obstacle::Refused(_)) => refused = true,
                Err(Obstacle::Divide(why)) if alone => {
                    return Err(Failure::configuration(format!("of one record alone: {why}")));
                }
                Err(Obstacle::Divide(_) | Obstacle::Conflict(_)) => {}
            }
        }
        let middle = records.start + (records.end - records.start) / 2;
        let first = self.halve(records.start..middle, false)?;
        let second = self.halve(middle..records.end, refused && first)?;
        Ok(first && second)
    }

    fn refuse(&mut self, record: u32, failure: Failure) {
        let rejection = Rejection { reason: Reason::Refused, column: None, detail: failure.message.clone() };
        self.outcome.refused.push(Refused { record, rejection, failure: Some(failure) });
        if self.outcome.refused.len() >= self.judge_at && self.care == Care::Halves {
            self.judge();
        }
    }

    /// Asks whether the batch may be committed with what is refused so far, the rest as if it were written. When it
    /// may not, it may not with more either: a batch of which everything is refused need not be tried to its end.
    fn judge(&mut self) {
        if self.outcome.verdict == Verdict::Commit {
            self.judge_at = self.outcome.refused.len() + JUDGE_EVERY;
            self.outcome.verdict = (self.judge)(self.batch, &self.outcome.letters());
        }
    }

    /// Writes a piece inside the savepoint, which is there again afterwards, whatever happened; climbs where keys
    /// exist.
    fn piece(&mut self, part: &Batch) -> Result<Result<AllApplied, Obstacle>, Failure> {
        loop {
            let obstacle = match self.tables(part)? {
                Ok(applied) => match self.connection.client().batch_execute(NEXT_SAVEPOINT) {
                    Ok(()) => return Ok(Ok(applied)),
                    Err(error) => {
                        let failure = Failure::from(error);
                        if !self.is_the_records(&failure) {
                            return Err(failure);
                        }
                        self.roll_back()?;
                        Obstacle::Refused(failure)
                    }
                },
                Err(obstacle) => obstacle,
            };
            match obstacle {
                Obstacle::Conflict(label) => {
                    let rung = self.rungs.entry(label).or_insert(Rung::Plain);
                    *rung = if *rung == Rung::Plain { Rung::Lookup } else { Rung::Stage };
                }
                obstacle => return Ok(Err(obstacle)),
            }
        }
    }

    /// Writes the tables of a part, one after the other. What failed is rolled back.
    fn tables(&mut self, part: &Batch) -> Result<Result<AllApplied, Obstacle>, Failure> {
        let mut all = Vec::new();
        for table in part.tables() {
            let label = table.plan.label.clone();
            let taken = self.rungs.get(&label).copied().unwrap_or(Rung::Plain);
            let rung = rung(&table.plan, &table.rows, taken, self.care);
            match apply::apply(self.connection, &table.plan, &table.rows, rung) {
                Ok(apply::Outcome::Applied(applied)) => all.push((label, applied)),
                Ok(apply::Outcome::Divide(why)) => {
                    self.roll_back()?;
                    return Ok(Err(Obstacle::Divide(why)));
                }
                Err(failure) if self.is_the_records(&failure) => {
                    self.roll_back()?;
                    let own = rung < Rung::Stage && self.is_own_conflict(&table.plan, &failure)?;
                    return Ok(Err(if own { Obstacle::Conflict(label) } else { Obstacle::Refused(failure) }));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(Ok(all))
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        let back = if self.care >= Care::Halves { BACK } else { "ROLLBACK" };
        Ok(self.connection.client().batch_execute(back)?)
    }

    /// Whether a failure is a conflict on the plan's own key. The name of its index says so at once; else the catalog
    /// is asked: the index may have been renamed, and a partition reports its own part of it.
    fn is_own_conflict(&mut self, plan: &Plan, failure: &Failure) -> Result<bool, Failure> {
        let (Some(key), Some(index), Some(table)) =
            (&plan.key, failure.unique_violation(), failure.table.as_deref())
        else {
            return Ok(false);
        };
        if index == key.index && table == plan.name.table {
            return Ok(true);
        }
        let known = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_index x \
             JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_class t ON t.oid = x.indrelid \
             WHERE i.relname = $1 AND t.relname = $2 AND (i.oid = $3 \
               OR i.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($3::oid::regclass))))";
        Ok(self.connection.client().query_one(known, &[&index, &table, &key.index_oid])?.get(0))
    }
}
