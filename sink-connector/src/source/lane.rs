//! A lane: what the source holds for one writer. The batch that is being filled, and those that go before it.

use std::collections::VecDeque;
use std::iter;
use std::time::{Duration, Instant};

use super::adaptive_limit::AdaptiveLimit;
use super::batch_size::BatchSize;
use super::recreation_check::RecreationCheck;
use crate::batch::Batch;
use crate::decode::Cells;
use crate::table::plan_cache::Plans;
use crate::types::TopicPartition;

/// When a batch is full, and how long it waits to fill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    /// The most records in a batch.
    pub max_rows: usize,
    /// Bytes of records at which a batch is full.
    pub max_bytes: usize,
    /// How long a batch waits for more records after its first.
    pub linger: Duration,
}

/// The most rounds of a batch. Each takes some round trips, and the transaction must end well before its deadline.
const MAX_ROUNDS: u32 = 1_000;

/// A batch that needs more records to decide on a failed one may grow to this many, whatever `max_rows` is.
const FEW: usize = 64;

/// The state of one writer as the source sees it.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Counts how often the writer was replaced.
    pub generation: u64,
    /// Batches that go to the writer before the open one: the rest of a batch after a breaker opened, the retries of a
    /// breaker, and batches that came back in another size.
    pub queued: VecDeque<Batch>,
    /// The batch that is being filled.
    pub open: Batch,
    /// When its first record was taken.
    pub opened: Option<Instant>,
    /// Set while the open batch has records that followed a pause of their topic.
    pub recreation_check: Option<RecreationCheck>,
    /// The number of records in the batch that the writer is working on.
    pub in_flight: Option<u64>,
    /// When the writer got its latest batch.
    pub sent: Option<Instant>,
    /// Partitions that were revoked or stopped while the writer was working on its batch. They may have been assigned
    /// again, at another position: what comes back of them is void.
    pub void_in_flight: Vec<TopicPartition>,
    /// Since when the open batch has been full with the writer busy.
    pub blocked: Option<Instant>,
    /// The partitions of this writer are paused.
    pub paused: bool,
    /// How many records the writer may get at once.
    pub adaptive_limit: AdaptiveLimit,
    /// How many records fill a batch.
    batch_size: BatchSize,
    /// The first queued batch goes to the writer whole, whatever the adaptive limit is.
    send_whole: bool,
    /// An empty batch whose memory is reused.
    spare: Option<Batch>,
}

impl Lane {
    /// A lane for a writer that is idle.
    pub(crate) fn new() -> Self {
        Self {
            generation: 0,
            queued: VecDeque::new(),
            open: Batch::default(),
            opened: None,
            recreation_check: None,
            in_flight: None,
            sent: None,
            void_in_flight: Vec::new(),
            blocked: None,
            paused: false,
            adaptive_limit: AdaptiveLimit::default(),
            batch_size: BatchSize::default(),
            send_whole: false,
            spare: None,
        }
    }

    /// Whether the open batch takes no more records.
    pub(crate) fn full(&self, limits: &BatchLimits) -> bool {
        let rows = self.batch_size.rows(limits.max_rows);
        self.open.records().count() >= self.adaptive_limit.limit().min(rows)
            || self.open.records().bytes() >= limits.max_bytes
            || self.open.rounds() >= MAX_ROUNDS
    }

    /// Whether a batch should go to the writer now, if the writer is idle.
    pub(crate) fn due(&self, limits: &BatchLimits, now: Instant) -> bool {
        let lingered = self.opened.is_none_or(|opened| now >= opened + limits.linger);
        !self.queued.is_empty() || !self.open.is_empty() && (self.full(limits) || lingered)
    }

    /// Whether there are records that have not been handed to the writer.
    pub(crate) fn has_records(&self) -> bool {
        !self.queued.is_empty() || !self.open.is_empty()
    }

    /// Takes the batch that goes to the writer next.
    pub(crate) fn take_next(&mut self, cells: &mut Cells, now: Instant) -> Batch {
        self.sent = Some(now);
        let batch = self.queued.pop_front().unwrap_or_else(|| self.take_open());
        // Of a probe, the last records decide: it is cut only after it has come back.
        if std::mem::take(&mut self.send_whole) || batch.is_probe() {
            batch
        } else {
            self.within_limit(batch, cells)
        }
    }

    /// The writer has committed a batch of this many records: the next ones may be larger.
    pub(crate) fn committed(&mut self, records: usize, limits: &BatchLimits, now: Instant) {
        self.adaptive_limit.committed(records, limits.max_rows);
        if let Some(sent) = self.sent.take() {
            self.batch_size.committed(records, now.saturating_duration_since(sent), limits.max_rows);
        }
    }

    /// Queues a batch again that took longer than it may: the adaptive limit falls.
    pub(crate) fn shrink(&mut self, batch: Batch, cells: &mut Cells) {
        self.adaptive_limit.took_too_long(batch.records().count());
        let first = self.within_limit(batch, cells);
        self.queued.push_front(first);
    }

    /// The first part of a batch, within the adaptive limit and that of a retry. The rest is queued before all other batches.
    fn within_limit(&mut self, batch: Batch, cells: &mut Cells) -> Batch {
        let limit = self.adaptive_limit.limit();
        let of_retry = batch.retry().map_or(usize::MAX, |limits| limits.records);
        if batch.records().count() <= limit.min(of_retry) {
            return batch;
        }
        // Each part of a retry that is committed doubles the size of the next.
        let sizes = iter::successors(Some(of_retry), |size| Some(size.saturating_mul(2)));
        let mut parts = batch.parts(sizes.map(|size| size.min(limit)), cells).into_iter();
        let first = parts.next().expect("a batch with records has a first part");
        parts.rev().for_each(|part| self.queued.push_front(part));
        first
    }

    /// Queues a batch again that the writer returned because it needs more records to decide on a failed one. The
    /// records that come next are appended if they may be in the same batch. The batch goes to the writer whole: a part
    /// of it would have too few records again.
    pub(crate) fn grow(&mut self, batch: Batch, limits: &BatchLimits, plans: &Plans, cells: &mut Cells) {
        self.send_whole = true;
        let large = batch.records().count() >= limits.max_rows.max(FEW)
            || batch.records().bytes() >= limits.max_bytes;
        if !large && let Some(next) = self.queued.pop_front() {
            // Queued batches come before the open one.
            let next = self.within_limit(next, cells);
            match joined(&batch, &next, plans, cells) {
                Some(grown) => self.queued.push_front(grown),
                None => {
                    self.queued.push_front(next);
                    self.queued.push_front(batch);
                }
            }
        } else if !large
            && self.recreation_check.is_none()
            && let Some(grown) = joined(&batch, &self.open, plans, cells)
        {
            self.drop_open();
            self.queued.push_front(grown);
        } else {
            self.queued.push_front(batch);
        }
    }

    /// Takes the open batch and opens an empty one.
    pub(crate) fn take_open(&mut self) -> Batch {
        self.opened = None;
        self.recreation_check = None;
        self.blocked = None;
        std::mem::replace(&mut self.open, self.spare.take().unwrap_or_default())
    }

    /// Keeps the memory of a batch for a later one.
    pub(crate) fn recycle(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare = Some(batch);
    }

    /// Discards the records of the open batch.
    pub(crate) fn drop_open(&mut self) {
        self.open.clear();
        self.opened = None;
        self.recreation_check = None;
        self.blocked = None;
    }
}

/// Both in one batch, encoded for the current plans. `None` if they may not be in one batch.
pub(super) fn joined(batch: &Batch, next: &Batch, plans: &Plans, cells: &mut Cells) -> Option<Batch> {
    let alike = next.is_probe() == batch.is_probe() && next.retry().is_some() == batch.retry().is_some();
    if next.is_empty() || !alike {
        return None;
    }
    let known = [batch.plans(), next.plans()];
    let plan_of = |p: &TopicPartition| {
        plans.get(&p.topic).or_else(|| known.iter().find_map(|known| known.get(&p.topic).cloned()))
    };
    let mut joined = batch.encode_again(plan_of, |_| true, cells);
    joined.append(next, plan_of, cells).then_some(joined)
}
