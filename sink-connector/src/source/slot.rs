//! The poll thread's side of a writer: the batch that is being filled, and whether another is being written.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::portion::Portion;
use crate::batch::Batch;
use crate::decode::Slots;
use crate::plans::Plans;
use crate::types::TopicPartition;

/// Limits of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records in a batch, at most.
    pub max_rows: usize,
    /// Bytes of records in a batch: it is full when it has reached them.
    pub max_bytes: usize,
    /// How long a batch waits for more records.
    pub linger: Duration,
}

/// Waves of a batch, at most. Each takes some round trips, and the transaction must end well before its deadline.
const MAX_WAVES: u32 = 1_000;

/// Records that a batch may grow to in any case, where one has failed alone.
const FEW: usize = 64;

/// One writer, as the poll thread sees it.
#[derive(Debug)]
pub struct Slot {
    /// The way to the thread. It holds one batch; the thread writes another only after its report.
    pub batches: Sender<Batch>,
    /// The writer's generation: it is counted up when the writer is replaced.
    pub generation: u64,
    /// Batches that go to the writer before the open one: what a breaker left of a batch, or tries again.
    pub first: VecDeque<Batch>,
    /// The batch that is being filled.
    pub open: Batch,
    /// When its first record came.
    pub opened: Option<Instant>,
    /// Records that the writer has and has not reported.
    pub in_flight: Option<u64>,
    /// Since when the open batch has been full with the writer busy.
    pub blocked: Option<Instant>,
    /// The partitions of this writer are paused.
    pub paused: bool,
    /// How much of a batch it may get at once.
    pub portion: Portion,
    spare: Option<Batch>,
}

impl Slot {
    /// A slot for a writer that is idle.
    pub fn new(batches: Sender<Batch>) -> Self {
        Self {
            batches,
            generation: 0,
            first: VecDeque::new(),
            open: Batch::default(),
            opened: None,
            in_flight: None,
            blocked: None,
            paused: false,
            portion: Portion::default(),
            spare: None,
        }
    }

    /// The open batch takes no more records.
    pub fn full(&self, limits: &Limits) -> bool {
        self.open.records().count() >= self.portion.limit().min(limits.max_rows)
            || self.open.records().bytes() >= limits.max_bytes
            || self.open.waves() >= MAX_WAVES
    }

    /// A batch should go to the writer now, if it is idle.
    pub fn due(&self, limits: &Limits, now: Instant) -> bool {
        let lingered = self.opened.is_none_or(|opened| now >= opened + limits.linger);
        !self.first.is_empty() || !self.open.is_empty() && (self.full(limits) || lingered)
    }

    /// Whether there is anything that the writer has not got yet.
    pub fn waits(&self) -> bool {
        !self.first.is_empty() || !self.open.is_empty()
    }

    /// Takes the batch that goes to the writer next.
    pub fn take_next(&mut self, slots: &mut Slots) -> Batch {
        let batch = self.first.pop_front().unwrap_or_else(|| self.take_open());
        let limit = self.portion.limit();
        if batch.records().count() <= limit {
            return batch;
        }
        let mut portions = batch.portions(limit, slots).into_iter();
        let first = portions.next().expect("a batch with records has a first portion");
        portions.rev().for_each(|portion| self.first.push_front(portion));
        first
    }

    /// A batch that came back for want of records gets those that have come since, if they may follow it.
    pub fn add_open(&mut self, batch: Batch, limits: &Limits, plans: &Plans, slots: &mut Slots) -> Batch {
        let large = batch.records().count() >= limits.max_rows.max(FEW)
            || batch.records().bytes() >= limits.max_bytes;
        // What waits already comes before the open batch.
        if large || self.open.is_empty() || !self.first.is_empty() {
            return batch;
        }
        let known = [batch.plans().clone(), self.open.plans().clone()];
        let plan_of = |p: &TopicPartition| {
            plans.get(&p.topic).or_else(|| known.iter().find_map(|known| known.get(&p.topic).cloned()))
        };
        let mut grown = batch.encode_again(plan_of, |_| true, slots);
        if !grown.append(&self.open, plan_of, slots) {
            return batch;
        }
        self.drop_open();
        grown
    }

    /// Takes the open batch, and puts an empty one with used memory in its place.
    pub fn take_open(&mut self) -> Batch {
        self.opened = None;
        self.blocked = None;
        std::mem::replace(&mut self.open, self.spare.take().unwrap_or_default())
    }

    /// Takes the memory of a batch back.
    pub fn recycle(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare = Some(batch);
    }

    /// Empties the open batch.
    pub fn drop_open(&mut self) {
        self.open.clear();
        self.opened = None;
        self.blocked = None;
    }
}
