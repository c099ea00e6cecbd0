//! The poll thread's side of a writer: the batch that is being filled, and whether another is being written.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::portion::Portion;
use super::silence::Doubt;
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
    /// Some of its records came after a silence of their topic.
    pub doubt: Option<Doubt>,
    /// Records that the writer has and has not reported.
    pub in_flight: Option<u64>,
    /// Since when the open batch has been full with the writer busy.
    pub blocked: Option<Instant>,
    /// The partitions of this writer are paused.
    pub paused: bool,
    /// How much of a batch it may get at once.
    pub portion: Portion,
    /// The first batch is to go to the writer whole.
    grown: bool,
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
            doubt: None,
            in_flight: None,
            blocked: None,
            paused: false,
            portion: Portion::default(),
            grown: false,
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
        if std::mem::take(&mut self.grown) { batch } else { self.portion_of(batch, slots) }
    }

    /// As much of a batch as may go to the writer at once; the rest comes first after it.
    fn portion_of(&mut self, batch: Batch, slots: &mut Slots) -> Batch {
        let limit = self.portion.limit();
        if batch.records().count() <= limit {
            return batch;
        }
        let mut portions = batch.portions(limit, slots).into_iter();
        let first = portions.next().expect("a batch with records has a first portion");
        portions.rev().for_each(|portion| self.first.push_front(portion));
        first
    }

    /// Puts a batch that came back for want of records before all others, with those that come next, if they may follow
    /// it. It goes to the writer whole: by itself, no portion of it gets on.
    pub fn grow(&mut self, batch: Batch, limits: &Limits, plans: &Plans, slots: &mut Slots) {
        self.grown = true;
        let large = batch.records().count() >= limits.max_rows.max(FEW)
            || batch.records().bytes() >= limits.max_bytes;
        if !large && let Some(next) = self.first.pop_front() {
            // What waits already comes before the open batch.
            let next = self.portion_of(next, slots);
            match joined(&batch, &next, plans, slots) {
                Some(grown) => self.first.push_front(grown),
                None => {
                    self.first.push_front(next);
                    self.first.push_front(batch);
                }
            }
        } else if !large
            && self.doubt.is_none()
            && let Some(grown) = joined(&batch, &self.open, plans, slots)
        {
            self.drop_open();
            self.first.push_front(grown);
        } else {
            self.first.push_front(batch);
        }
    }

    /// Takes the open batch, and puts an empty one with used memory in its place.
    pub fn take_open(&mut self) -> Batch {
        self.opened = None;
        self.doubt = None;
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
        self.doubt = None;
        self.blocked = None;
    }
}

/// Both in one batch, encoded for the plans of today; nothing if they may not be one.
fn joined(batch: &Batch, next: &Batch, plans: &Plans, slots: &mut Slots) -> Option<Batch> {
    if next.is_empty() || next.is_probe() != batch.is_probe() {
        return None;
    }
    let known = [batch.plans(), next.plans()];
    let plan_of = |p: &TopicPartition| {
        plans.get(&p.topic).or_else(|| known.iter().find_map(|known| known.get(&p.topic).cloned()))
    };
    let mut joined = batch.encode_again(plan_of, |_| true, slots);
    joined.append(next, plan_of, slots).then_some(joined)
}
