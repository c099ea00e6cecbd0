//! Dead letters through the sink's own path, batch by batch: their removal is the fence of each transaction.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::batch::Batch;
use crate::commands::{Output, postgres, print_json};
use crate::config::Config;
use crate::dead_letters::{DeadLetters, Filter, Stored};
use crate::decode::Slots;
use crate::failure::Failure;
use crate::health::Health;
use crate::offsets::Offsets;
use crate::plan::Plan;
use crate::plans::Plans;
use crate::policy::Verdict;
use crate::session::Connections;
use crate::sql::TableName;
use crate::types::{Offset, TopicPartition};
use crate::writer::connection::WriterConnection;
use crate::writer::pieces::Care;
use crate::writer::transaction::{Attempt, Counts, Ladders, Tools, attempt};

/// Letters of one transaction, at most: they are all in memory.
const BATCH: usize = 500;
/// Attempts at one batch: for tables that change and letters that others take meanwhile.
const ATTEMPTS: usize = 20;

/// What a replay came to.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    rows_written: u64,
    rows_deleted: u64,
    skipped: u64,
    failed: u64,
    not_configured: BTreeSet<String>,
}

impl Replayed {
    fn add(&mut self, counts: &Counts) {
        self.rows_written += counts.written.iter().map(|(_, n)| n).sum::<u64>();
        self.rows_deleted += counts.deleted.iter().map(|(_, n)| n).sum::<u64>();
        self.skipped += counts.skipped.iter().map(|(_, _, n)| n).sum::<u64>();
        self.failed += counts.dead_letters.len() as u64;
    }

    pub(super) fn print(&self, output: Output) -> anyhow::Result<()> {
        if output == Output::Json {
            return print_json(&json!({
                "rows_written": self.rows_written,
                "rows_deleted": self.rows_deleted,
                "skipped": self.skipped,
                "failed": self.failed,
                "not_configured": self.not_configured,
            }));
        }
        println!(
            "{} rows written, {} deleted, {} records skipped, {} still fail and stay dead letters",
            self.rows_written, self.rows_deleted, self.skipped, self.failed
        );
        for topic in &self.not_configured {
            println!("left alone: those of topic {topic}, which this configuration does not read");
        }
        Ok(())
    }
}

struct Replay<'a> {
    config: &'a Config,
    connections: &'a Connections,
    connection: WriterConnection,
    offsets: &'a Offsets,
    letters: &'a DeadLetters,
    plans: Plans,
    in_force: HashMap<Arc<str>, Arc<Plan>>,
    ladders: Ladders,
    slots: Slots,
    /// Letters of one transaction, at most.
    size: usize,
}

/// Replays the letters that are meant, each once.
pub(super) fn replay(
    config: &Config,
    connections: &Connections,
    letters: &DeadLetters,
    filter: &Filter,
) -> anyhow::Result<Replayed> {
    let offsets = Offsets::new(&TableName::parse(&config.offsets.table), &config.name);
    let mut replay = Replay {
        config,
        connections,
        connection: WriterConnection::new(postgres::open(connections, config)?, &offsets)?,
        offsets: &offsets,
        letters,
        plans: Plans::new(
            crate::run::targets(config)?,
            crate::run::target_of(config),
            Arc::new(Health::default()),
        ),
        in_force: HashMap::new(),
        ladders: Ladders::new(),
        slots: Slots::default(),
        size: BATCH,
    };
    let mut replayed = Replayed::default();
    let mut after: Option<(TopicPartition, i64)> = None;
    loop {
        match replay.next_batch(filter, after.as_ref(), &mut replayed).with_context(|| {
            let Replayed { rows_written, failed, .. } = &replayed;
            format!(
                "the replay ended early, after {rows_written} rows and {failed} that still fail; all other dead letters \
                 are as they were, and it can be run again"
            )
        })? {
            Some(last) => after = Some(last),
            None => return Ok(replayed),
        }
    }
}

impl Replay<'_> {
    /// Replays the batch after `after`, and returns its last place; nothing when there is none.
    fn next_batch(
        &mut self,
        filter: &Filter,
        after: Option<&(TopicPartition, i64)>,
        replayed: &mut Replayed,
    ) -> anyhow::Result<Option<(TopicPartition, i64)>> {
        let mut care = Care::Whole;
        for _ in 0..ATTEMPTS {
            let stored = self.letters.read(self.connection.client(), filter, after, self.size)?;
            let Some(last) = stored.last().map(|letter| (letter.partition.clone(), letter.offset)) else {
                return Ok(None);
            };
            let batch = self.batch(&stored, replayed)?;
            if batch.is_empty() {
                return Ok(Some(last));
            }
            let tools = Tools {
                dead_letters: self.letters,
                enter: &|_| (),
                judge: &|_, _| Verdict::Commit,
                replay: true,
                open: false,
            };
            care = care.max(Care::least(&batch));
            let tried = match attempt(&mut self.connection, &batch, &mut self.ladders, care, &tools) {
                // What waits for the operator may be that of one letter, which must not keep the others.
                Err(failure) if failure.may_be_the_records() && care < Care::Suspects => {
                    self.reconnect()?;
                    care = Care::Suspects;
                    continue;
                }
                // Fewer may be written within statement_timeout.
                Err(failure) if failure.statement_timeout() && stored.len() > 1 => {
                    self.reconnect()?;
                    self.size = stored.len() / 2;
                    continue;
                }
                tried => tried?,
            };
            match tried {
                Attempt::Committed(counts) => {
                    replayed.add(&counts);
                    return Ok(Some(last));
                }
                // Somebody else replays or discards: what is still there is read again.
                Attempt::Fenced => {}
                Attempt::TableChanged => self.in_force.clear(),
                Attempt::Refused { .. } => care = Care::Halves,
                Attempt::Conflict { label } => self.ladders.entry(label).or_default().climb(),
                Attempt::Unknown { failure, .. } => {
                    bail!(
                        "the connection broke at COMMIT, and the last batch is through or is not: {failure}"
                    )
                }
                Attempt::Intolerable(_) | Attempt::Tripped(_) => bail!("a replay has no error policy"),
            }
        }
        bail!("the dead letters or the table do not stay the same for long enough")
    }

    /// A connection in place of one on which something failed.
    fn reconnect(&mut self) -> anyhow::Result<()> {
        let fresh = WriterConnection::new(postgres::open(self.connections, self.config)?, self.offsets)?;
        let mut failed = std::mem::replace(&mut self.connection, fresh);
        // It holds the letters until it is rolled back; without an answer, closing it does that.
        let rolled_back = failed.client().batch_execute("ROLLBACK");
        failed.discard();
        Ok(rolled_back?)
    }

    fn batch(&mut self, stored: &[Stored], replayed: &mut Replayed) -> Result<Batch, Failure> {
        let mut batch = Batch::default();
        let mut packed = Vec::new();
        for letter in stored {
            let topic = &letter.partition.topic;
            let Some(plan) = self.plan(topic)? else {
                replayed.not_configured.insert(topic.to_string());
                continue;
            };
            let span = batch.span(&letter.partition, Offset(letter.offset));
            batch.push(span, &plan, &letter.incoming(&mut packed), &mut self.slots);
        }
        Ok(batch)
    }

    /// The plan of a topic that is configured.
    fn plan(&mut self, topic: &Arc<str>) -> Result<Option<Arc<Plan>>, Failure> {
        if let Some(plan) = self.in_force.get(topic) {
            return Ok(Some(Arc::clone(plan)));
        }
        if !self.config.kafka.reads(topic) {
            return Ok(None);
        }
        let plan = self.plans.renew(self.connection.client(), topic)?;
        self.in_force.insert(Arc::clone(topic), Arc::clone(&plan));
        Ok(Some(plan))
    }
}
