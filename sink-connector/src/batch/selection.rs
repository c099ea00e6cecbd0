//! Some of a batch's records: what is encoded again as another batch, or appended to one.

use std::ops::Range;
use std::sync::Arc;

use super::Batch;
use super::records::offset32;
use crate::decode::Cells;
use crate::positions::span::Span;
use crate::table::plan::Plan;
use crate::types::{Offset, TopicPartition};

/// How far a selection moves a partition.
#[derive(Clone, Copy)]
pub(super) struct Move {
    /// The position that it starts from.
    pub expected: Offset,
    /// The position that it stores. Records at and after it are not selected.
    pub next: Offset,
}

/// Where the records of a selected span go.
struct Place {
    /// The span of the batch that they go into.
    span: usize,
    next: Offset,
    plan: Option<Arc<Plan>>,
}

/// Some of a batch's records, in their order.
pub(crate) struct Selection<'a> {
    pub(super) batch: &'a Batch,
    /// Numbers of records. Of these, the records of the partitions in `moves` are selected.
    pub(super) records: Range<u32>,
    /// How far each span of the batch is moved; `None` if nothing of it is selected.
    pub(super) moves: Vec<Option<Move>>,
}

impl<'a> Selection<'a> {
    /// Everything.
    pub(super) fn new(batch: &'a Batch) -> Self {
        let whole = |span: &Span| Some(Move { expected: span.expected, next: span.next });
        Self {
            batch,
            records: 0..offset32(batch.records().count()),
            moves: batch.spans().iter().map(whole).collect(),
        }
    }

    /// Of these, what belongs to certain partitions.
    #[must_use]
    pub(crate) fn partitions(mut self, keep: impl Fn(&TopicPartition) -> bool) -> Self {
        for (span, moves) in self.batch.spans().iter().zip(&mut self.moves) {
            *moves = moves.filter(|_| keep(&span.partition));
        }
        self
    }

    #[must_use]
    pub(crate) fn before(mut self, end_of: impl Fn(&TopicPartition) -> Option<Offset>) -> Self {
        for (span, moves) in self.batch.spans().iter().zip(&mut self.moves) {
            if let (Some(moves), Some(end)) = (moves, end_of(&span.partition)) {
                moves.next = moves.next.min(end);
            }
        }
        self
    }

    /// Of everything, the records with these numbers. Each partition is moved past its last record of them, starting
    /// from `reached`, which is moved as well.
    fn run(batch: &'a Batch, records: Range<u32>, reached: &mut [Offset]) -> Self {
        let mut moves: Vec<Option<Move>> = vec![None; batch.spans().len()];
        for number in records.clone() {
            let record = batch.records().get(number);
            let span = usize::from(record.span);
            let next = Offset(record.offset + 1);
            moves[span].get_or_insert(Move { expected: reached[span], next }).next = next;
        }
        for (reached, moves) in reached.iter_mut().zip(&moves) {
            *reached = moves.map_or(*reached, |moves| moves.next);
        }
        Self { batch, records, moves }
    }

    /// The selection as a batch, encoded for the plans of the batch that it is from.
    pub(crate) fn encode(self, cells: &mut Cells) -> Batch {
        let plans = self.batch.plans();
        self.encode_for(|partition| plans.get(&partition.topic).cloned(), cells)
    }

    /// The selection as a batch, encoded for these plans.
    pub(crate) fn encode_for(
        self,
        plan_of: impl Fn(&TopicPartition) -> Option<Arc<Plan>>,
        cells: &mut Cells,
    ) -> Batch {
        let Batch { probe, retry, .. } = *self.batch;
        let mut batch = Batch { probe, retry, ..Batch::default() };
        batch.push_selection(&self, plan_of, cells);
        batch
    }
}

impl Batch {
    /// All of the batch, to choose from.
    pub(crate) fn select(&self) -> Selection<'_> {
        Selection::new(self)
    }

    /// The records with these numbers; record 0 of the result is the first of them.
    pub(crate) fn select_records(&self, records: Range<u32>) -> Selection<'_> {
        let mut reached: Vec<Offset> = self.spans().iter().map(|span| span.expected).collect();
        Selection::run(self, records, &mut reached)
    }

    /// The same records encoded again: for plans that changed, or without partitions that were revoked.
    pub(crate) fn encode_again(
        &self,
        plan_of: impl Fn(&TopicPartition) -> Option<Arc<Plan>>,
        keep: impl Fn(&TopicPartition) -> bool,
        cells: &mut Cells,
    ) -> Self {
        self.select().partitions(keep).encode_for(plan_of, cells)
    }

    /// The records of some partitions.
    pub(crate) fn part(&self, keep: impl Fn(&TopicPartition) -> bool, cells: &mut Cells) -> Self {
        self.select().partitions(keep).encode(cells)
    }

    /// The batch in parts of these sizes, to be written one after the other; the last takes what remains. None if the batch
    /// has no record.
    pub(crate) fn parts(&self, sizes: impl IntoIterator<Item = usize>, cells: &mut Cells) -> Vec<Self> {
        let count = self.records().count();
        let mut reached: Vec<Offset> = self.spans().iter().map(|span| span.expected).collect();
        let mut parts = Vec::new();
        let mut sizes = sizes.into_iter();
        let mut start = 0;
        while start < count {
            let end = sizes.next().map_or(count, |size| count.min(start.saturating_add(size.max(1))));
            let mut part = Selection::run(self, offset32(start)..offset32(end), &mut reached);
            if end == count {
                // A position may be past the last record of its partition: only the whole batch knows.
                for ((moves, span), reached) in part.moves.iter_mut().zip(self.spans()).zip(&reached) {
                    moves.get_or_insert(Move { expected: *reached, next: span.next }).next = span.next;
                }
            }
            parts.push(part.encode(cells));
            start = end;
        }
        parts
    }

    /// Appends the records of `later`, if it starts where this batch ends. Otherwise it changes nothing and returns
    /// false.
    pub(crate) fn append(
        &mut self,
        later: &Self,
        plan_of: impl Fn(&TopicPartition) -> Option<Arc<Plan>>,
        cells: &mut Cells,
    ) -> bool {
        let follows =
            |own: &Span| later.spans().iter().all(|s| s.partition != own.partition || s.expected == own.next);
        let all_follow = self.spans().iter().all(follows);
        if all_follow {
            self.push_selection(&later.select(), plan_of, cells);
        }
        all_follow
    }

    /// Runs of records, in their order, in which no record hides what the server would refuse: no key comes twice, and
    /// nothing is deleted beside what is written.
    pub(crate) fn runs(&self, cells: &mut Cells) -> Vec<Range<u32>> {
        let end = offset32(self.records().count());
        let (mut runs, mut start) = (Vec::new(), 0);
        if self.hides_refusals() {
            let mut run = Self::default();
            for number in 0..end {
                run.push_record(self, number, cells);
                if run.hides_refusals() {
                    runs.push(start..number);
                    (start, run) = (number, Self::default());
                    run.push_record(self, number, cells);
                }
            }
        }
        runs.push(start..end);
        runs
    }

    /// The one place where records go from one batch into another.
    fn push_selection(
        &mut self,
        selection: &Selection<'_>,
        plan_of: impl Fn(&TopicPartition) -> Option<Arc<Plan>>,
        cells: &mut Cells,
    ) {
        let Selection { batch, records, moves } = selection;
        let mut places: Vec<Option<Place>> = Vec::with_capacity(moves.len());
        for (span, moves) in batch.spans().iter().zip(moves) {
            places.push(moves.map(|Move { expected, next }| Place {
                span: self.span(&span.partition, expected),
                next,
                plan: plan_of(&span.partition),
            }));
        }
        for number in records.clone() {
            let record = batch.records().get(number);
            if let Some(place) = &places[usize::from(record.span)]
                && record.offset < place.next.0
            {
                let plan = place.plan.as_ref().expect("a topic with records has a plan");
                self.push(place.span, plan, &batch.records().incoming(number), cells);
            }
        }
        for place in places.into_iter().flatten() {
            self.advance(place.span, place.next);
        }
    }

    /// Appends one record of another batch, for the plan that it is encoded for there.
    fn push_record(&mut self, from: &Self, number: u32, cells: &mut Cells) {
        let span = &from.spans()[usize::from(from.records().get(number).span)];
        let plan = from.plans().get(&span.partition.topic).expect("a topic with records has a plan");
        let place = self.span(&span.partition, span.expected);
        self.push(place, plan, &from.records().incoming(number), cells);
    }
}

#[cfg(test)]
mod tests;
