//! A writer's session with the model of PostgreSQL: how an attempt ends.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kafka::Content;
use super::postgres::{Fate, Postgres};
use super::random::Random;
use crate::batch::Batch;
use crate::decode::{Reason, Rejection};
use crate::messages::report::BatchCounts;
use crate::postgres::failure::Failure;
use crate::postgres::sqlstate::classify;
use crate::rejects::dead_letters::DeadLetter;
use crate::rejects::policy::{Decision, Policy};
use crate::table::plan::Plan;
use crate::table::plan_cache::Plans;
use crate::writer::database::Database;
use crate::writer::simulated::SlowDatabase;
use crate::writer::strategy::Strategy;
use crate::writer::transaction::{Attempt, RolledBack};

/// A writer's session.
pub(super) struct Session<'a> {
    pub(super) postgres: &'a mut Postgres,
    pub(super) random: &'a mut Random,
    pub(super) plans: &'a Plans,
    pub(super) policy: &'a Policy,
    pub(super) writer: usize,
    /// How its attempt ends.
    pub(super) fate: &'a mut Option<Fate>,
    /// Its last attempt found the positions where it expected them.
    pub(super) past_the_fence: &'a mut bool,
    pub(super) now: Instant,
}

impl Session<'_> {
    fn decide(&self, batch: &Batch, refused: &[u32]) -> Decision {
        let rejection = Rejection {
            reason: Reason::Refused,
            column: None,
            wider: None,
            detail: "a constraint".to_owned(),
        };
        let refused =
            refused.iter().map(|record| DeadLetter { record: *record, rejection: &rejection, failure: None });
        let broken = batch.rejected().iter().map(|rejected| DeadLetter {
            record: rejected.record,
            rejection: &rejected.rejection,
            failure: None,
        });
        let mut dead_letters: Vec<_> = broken.chain(refused).collect();
        dead_letters.sort_by_key(|dead_letter| dead_letter.record);
        self.policy.decide(self.writer, batch, &dead_letters)
    }

    /// The failure of a statement for a table that cannot be written, if the batch has records of it.
    fn of_sick_table(&self, batch: &Batch) -> Option<Failure> {
        let (table, code) = self.postgres.sick.filter(|(table, _)| batch.has_table(table))?;
        let failure = Failure::transient(format!("{code} of {table}"));
        Some(Failure { class: classify(code, None, ""), sqlstate: Some(code.to_owned()), ..failure })
    }

    /// Everything of the transaction but its COMMIT.
    fn write(&mut self, batch: &Batch, strategy: Strategy) -> Result<BatchCounts, RolledBack> {
        let changes = self.postgres.changes.to_string();
        if batch.tables().any(|rows| rows.plan.fingerprint != changes) {
            return Err(RolledBack::TableChanged);
        }
        let records = self.postgres.records(batch);
        let numbered = (0_u32..).zip(&records);
        let refused: Vec<u32> =
            numbered.filter(|(_, record)| self.postgres.refused(record)).map(|(number, _)| number).collect();
        if !refused.is_empty() && strategy <= Strategy::Runs {
            return Err(RolledBack::Refused { why: "a constraint".to_owned() });
        }
        self.postgres.check_rows(batch);
        match self.decide(batch, &refused) {
            Decision::Commit => {}
            Decision::Stop(firsts) => return Err(RolledBack::Intolerable(firsts)),
            Decision::Trip(topics) => return Err(RolledBack::Tripped(topics)),
        }
        let mut counts = BatchCounts::default();
        for record in &records {
            let partition = record.partition.clone();
            match record.content {
                Content::Broken => counts.dead_letters.push((partition, Reason::InvalidJson.as_str())),
                Content::Row if self.postgres.refused(record) => {
                    counts.dead_letters.push((partition, Reason::Refused.as_str()));
                }
                Content::Row | Content::Tombstone => counts.written.push((partition.topic.to_string(), 1)),
            }
        }
        Ok(counts)
    }

    fn connection_lost() -> Failure {
        Failure { connection_lost: true, ..Failure::transient("connection lost") }
    }
}

impl SlowDatabase for Session<'_> {
    fn begin(&mut self) -> Option<Duration> {
        let fate = if self.now < self.postgres.down_until {
            Fate::Breaks
        } else {
            self.postgres.fates.pop_front().unwrap_or(Fate::Answered)
        };
        *self.fate = Some(fate);
        (!matches!(fate, Fate::Hangs { .. })).then(|| self.random.millis(2, 40))
    }

    fn past_the_fence(&self) -> bool {
        *self.past_the_fence
    }

    fn wait(&mut self) -> Duration {
        self.random.millis(100, 2_000)
    }
}

impl Database for Session<'_> {
    fn attempt(&mut self, batch: &Batch, strategy: Strategy) -> Result<Attempt, Failure> {
        let fate = self.fate.take().unwrap_or(Fate::Answered);
        *self.past_the_fence = false;
        if fate == Fate::Breaks {
            return Err(Self::connection_lost());
        }
        if self.postgres.fenced(batch.spans()) {
            return Ok(Attempt::RolledBack(RolledBack::Fenced));
        }
        *self.past_the_fence = true;
        match fate {
            Fate::Fails(code) => {
                let failure = Failure::transient(code);
                return Err(Failure {
                    class: classify(code, None, ""),
                    sqlstate: Some(code.to_owned()),
                    connection_lost: true,
                    ..failure
                });
            }
            Fate::Breaks | Fate::Answered | Fate::Unanswered { .. } | Fate::Hangs { .. } => {}
        }
        if self.postgres.slow_above.is_some_and(|most| batch.records().count() > most) {
            let failure = Failure::transient("canceling statement due to statement timeout");
            return Err(Failure { sqlstate: Some("57014".to_owned()), connection_lost: true, ..failure });
        }
        if let Some(failure) = self.of_sick_table(batch) {
            return Err(failure);
        }
        let counts = match self.write(batch, strategy) {
            Ok(counts) => counts,
            Err(_) if matches!(fate, Fate::Hangs { .. }) => return Err(Self::connection_lost()),
            Err(why) => return Ok(Attempt::RolledBack(why)),
        };
        let committed = match fate {
            Fate::Unanswered { committed } | Fate::Hangs { committed } => committed,
            Fate::Answered | Fate::Fails(_) | Fate::Breaks => true,
        };
        if committed {
            self.postgres.commit(batch);
        }
        if fate == Fate::Answered {
            return Ok(Attempt::Committed(counts));
        }
        Ok(Attempt::Unanswered { failure: Self::connection_lost(), counts })
    }

    fn climb(&mut self, _: &str) {}

    fn stored_is_next(&mut self, batch: &Batch) -> Result<bool, Failure> {
        Ok(batch.spans().iter().all(|span| self.postgres.positions.get(&span.partition) == Some(&span.next)))
    }

    fn renew_plans(&mut self, batch: &Batch) -> Result<HashMap<String, Arc<Plan>>, Failure> {
        if self.now < self.postgres.down_until {
            return Err(Self::connection_lost());
        }
        if let Some(failure) = self.of_sick_table(batch).filter(Failure::undefined_table) {
            return Err(failure);
        }
        let topics: BTreeSet<&str> = batch.spans().iter().map(|span| &*span.partition.topic).collect();
        let renewed = |topic: &str| (topic.to_owned(), self.plans.renewed(topic, self.postgres.plan(topic)));
        Ok(topics.into_iter().map(renewed).collect())
    }

    fn create_dead_letters(&mut self) {}
}
