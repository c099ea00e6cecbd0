//! A batch: what commits in one transaction. Pure: records go in, rows, dead letters and positions come out.

pub mod origin;
pub mod records;
pub mod rows;
pub mod shape;
pub mod version;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use self::records::{Incoming, Records};
use self::rows::{Pushed, Rows};
use crate::decode::{Opened, Rejection, Slots};
use crate::plan::Plan;
use crate::types::{Offset, TopicPartition};

/// Why a record was skipped: the values of the label `reason` of `sink_records_skipped_total`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Skip {
    /// A later record of its key was merged over it.
    Superseded,
    /// insert_ignore, and the key is there.
    Exists,
    /// A trigger of the table refused the row without an error.
    Trigger,
    /// A tombstone, and deleting is not enabled.
    Tombstone,
    /// A tombstone, and its key is not there.
    Absent,
    /// The key is there with a newer version.
    Stale,
}

impl Skip {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Superseded, Self::Exists, Self::Trigger, Self::Tombstone, Self::Absent, Self::Stale];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Exists => "exists",
            Self::Trigger => "trigger",
            Self::Tombstone => "tombstone",
            Self::Absent => "absent",
            Self::Stale => "stale",
        }
    }
}

/// How far a batch moves one partition.
#[derive(Clone, Debug)]
pub struct Span {
    /// The partition.
    pub partition: TopicPartition,
    /// The stored position that the batch starts from: what the fence compares.
    pub expected: Offset,
    /// The position that it stores.
    pub next: Offset,
    /// Records of this partition in the batch.
    pub records: u64,
    /// Their size in bytes: keys and values.
    pub bytes: u64,
}

/// A record that becomes a dead letter.
#[derive(Debug)]
pub struct Rejected {
    /// Its number in [`Batch::records`].
    pub record: u32,
    /// Why.
    pub rejection: Rejection,
}

/// The rows of one plan.
#[derive(Debug)]
pub struct TableRows {
    /// The plan they are encoded for.
    pub plan: Arc<Plan>,
    /// The rows.
    pub rows: Rows,
}

/// Records of some partitions, encoded and ready for one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    spans: Vec<Span>,
    records: Records,
    tables: Vec<TableRows>,
    rejected: Vec<Rejected>,
    skipped: BTreeMap<(u16, Skip), u64>,
    plans: HashMap<Arc<str>, Arc<Plan>>,
    last_span: usize,
    probe: bool,
}

impl Batch {
    /// The span of `partition`, which starts at `expected` if the batch has none of it yet.
    pub fn span(&mut self, partition: &TopicPartition, expected: Offset) -> usize {
        if self.spans.get(self.last_span).is_some_and(|s| s.partition == *partition) {
            return self.last_span;
        }
        self.last_span = self.spans.iter().position(|s| s.partition == *partition).unwrap_or_else(|| {
            self.spans.push(Span {
                partition: partition.clone(),
                expected,
                next: expected,
                records: 0,
                bytes: 0,
            });
            self.spans.len() - 1
        });
        self.last_span
    }

    /// Takes a record in: its bytes, and the row or the rejection that it becomes.
    pub fn push(&mut self, span: usize, plan: &Arc<Plan>, incoming: &Incoming<'_>, slots: &mut Slots) {
        if !self.plans.get(&self.spans[span].partition.topic).is_some_and(|known| Arc::ptr_eq(known, plan)) {
            self.plans.insert(Arc::clone(&self.spans[span].partition.topic), Arc::clone(plan));
        }
        let span16 = u16::try_from(span).expect("a batch has fewer than 65,536 partitions");
        let record = self.records.push(span16, incoming);
        let place = &mut self.spans[span];
        let size = incoming.payload.map_or(0, <[u8]>::len) + incoming.key.map_or(0, <[u8]>::len);
        place.next = Offset(incoming.offset + 1);
        place.records += 1;
        place.bytes += size as u64;
        match self.place(span, plan, record, incoming, slots) {
            Pushed::Row => {}
            Pushed::Superseding | Pushed::SupersedingDeleted => self.skip(span16, Skip::Superseded, 1),
            Pushed::Skipped(reason) => self.skip(span16, reason, 1),
            Pushed::Rejected(rejection) => self.rejected.push(Rejected { record, rejection }),
        }
    }

    fn place(
        &mut self,
        span: usize,
        plan: &Arc<Plan>,
        record: u32,
        incoming: &Incoming<'_>,
        slots: &mut Slots,
    ) -> Pushed {
        let partition = &self.spans[span].partition;
        let opened = match incoming.payload {
            Some(value) => plan.decoder.open(value),
            None => Ok(Opened::Gone { before: None }),
        };
        match opened {
            Ok(Opened::Row(row)) => match origin::read(plan, partition, incoming, &row, slots) {
                Ok(()) => self.table(plan).push(plan, record, slots),
                Err(rejection) => Pushed::Rejected(rejection),
            },
            Ok(Opened::Gone { before }) => {
                match origin::read_gone(plan, partition, incoming, before.as_deref(), slots) {
                    Ok(true) => self.table(plan).push_delete(plan, record, slots),
                    Ok(false) => Pushed::Skipped(Skip::Tombstone),
                    Err(rejection) => Pushed::Rejected(rejection),
                }
            }
            Err(rejection) => Pushed::Rejected(rejection),
        }
    }

    /// Moves the position of a partition of which the batch may have no record: it went past transaction markers,
    /// or records that compaction removed.
    pub fn advance(&mut self, span: usize, next: Offset) {
        let span = &mut self.spans[span];
        assert!(next >= span.next, "a position never goes back: {} to {next}", span.next);
        span.next = next;
    }

    /// The same records encoded again: for plans that changed, or without partitions that were revoked.
    pub fn encode_again(
        &self,
        plan_of: impl Fn(&TopicPartition) -> Option<Arc<Plan>>,
        keep: impl Fn(&TopicPartition) -> bool,
        slots: &mut Slots,
    ) -> Self {
        self.encode_before(plan_of, keep, |_| None, slots)
    }

    /// The same records but for those at and after `end_of` their partition.
    pub fn cut(&self, end_of: impl Fn(&TopicPartition) -> Option<Offset>, slots: &mut Slots) -> Self {
        self.encode_before(|p| self.plans.get(&p.topic).cloned(), |_| true, end_of, slots)
    }

    /// The records of some partitions.
    pub fn part(&self, keep: impl Fn(&TopicPartition) -> bool, slots: &mut Slots) -> Self {
        self.encode_before(|p| self.plans.get(&p.topic).cloned(), keep, |_| None, slots)
    }

    fn encode_before(
        &self,
        plan_of: impl Fn(&TopicPartition) -> Option<Arc<Plan>>,
        keep: impl Fn(&TopicPartition) -> bool,
        end_of: impl Fn(&TopicPartition) -> Option<Offset>,
        slots: &mut Slots,
    ) -> Self {
        let mut batch = Self { probe: self.probe, ..Self::default() };
        let ends: Vec<Option<Offset>> = self.spans.iter().map(|span| end_of(&span.partition)).collect();
        let kept: Vec<Option<(usize, Option<Arc<Plan>>)>> = self
            .spans
            .iter()
            .map(|span| {
                let kept = keep(&span.partition);
                kept.then(|| (batch.span(&span.partition, span.expected), plan_of(&span.partition)))
            })
            .collect();
        for (number, record) in self.records.iter().enumerate() {
            let cut = ends[usize::from(record.span)].is_some_and(|end| record.offset >= end.0);
            if let (Some((span, plan)), false) = (&kept[usize::from(record.span)], cut) {
                let plan = plan.as_ref().expect("a topic with records has a plan");
                batch.push(*span, plan, &self.records.incoming(records::offset32(number)), slots);
            }
        }
        for ((old, kept), end) in self.spans.iter().zip(&kept).zip(ends) {
            if let Some((span, _)) = kept {
                batch.advance(*span, end.map_or(old.next, |end| end.min(old.next)));
            }
        }
        batch
    }

    /// The batch in portions of so many records at most, one to be written after the other.
    pub fn portions(&self, records: usize, slots: &mut Slots) -> Vec<Self> {
        let count = self.records.count();
        let mut reached: Vec<Offset> = self.spans.iter().map(|span| span.expected).collect();
        let mut portions: Vec<Self> = Vec::new();
        for start in (0..count).step_by(records.max(1)) {
            let mut portion = Self { probe: self.probe, ..Self::default() };
            for number in start..count.min(start.saturating_add(records)) {
                let number = records::offset32(number);
                let record = self.records.get(number);
                let span = usize::from(record.span);
                portion.span(&self.spans[span].partition, reached[span]);
                self.push_into(&mut portion, number, slots);
            }
            for (span, reached) in self.spans.iter().zip(&mut reached) {
                let place = portion.spans.iter().find(|place| place.partition == span.partition);
                *reached = place.map_or(*reached, |place| place.next);
            }
            portions.push(portion);
        }
        // Where a partition stands after its last record is known only of the whole.
        if let Some(last) = portions.last_mut() {
            for (span, reached) in self.spans.iter().zip(reached) {
                let place = last.span(&span.partition, reached);
                last.advance(place, span.next);
            }
        }
        portions
    }

    /// Takes in the records of `later` after its own, if it goes on where this batch ends; else says no, and has changed
    /// nothing.
    pub fn append(
        &mut self,
        later: &Self,
        plan_of: impl Fn(&TopicPartition) -> Option<Arc<Plan>>,
        slots: &mut Slots,
    ) -> bool {
        let ends =
            |own: &Span| later.spans.iter().all(|s| s.partition != own.partition || s.expected == own.next);
        if !self.spans.iter().all(ends) {
            return false;
        }
        for (number, record) in (0..).zip(later.records.iter()) {
            let from = &later.spans[usize::from(record.span)];
            let plan = plan_of(&from.partition).expect("a topic with records has a plan");
            let place = self.span(&from.partition, from.expected);
            self.push(place, &plan, &later.records.incoming(number), slots);
        }
        for span in &later.spans {
            let place = self.span(&span.partition, span.expected);
            self.advance(place, span.next);
        }
        true
    }

    /// Some of the records, encoded again as a batch of their own; its record 0 is the first of them.
    pub fn slice(&self, records: Range<u32>, slots: &mut Slots) -> Self {
        let mut slice = Self::default();
        records.for_each(|number| self.push_into(&mut slice, number, slots));
        slice
    }

    /// Runs of records, in their order, in which no record hides what a table that judges its rows would refuse: no key
    /// comes twice, and nothing is deleted beside what is written.
    pub fn runs(&self, slots: &mut Slots) -> Vec<Range<u32>> {
        let end = records::offset32(self.records.count());
        let (mut runs, mut start, mut run) = (Vec::new(), 0, Self::default());
        if !self.hides_refusals() {
            runs.push(0..end);
            return runs;
        }
        for number in 0..end {
            self.push_into(&mut run, number, slots);
            if run.hides_refusals() {
                runs.push(start..number);
                (start, run) = (number, Self::default());
                self.push_into(&mut run, number, slots);
            }
        }
        runs.push(start..end);
        runs
    }

    /// Whether a key of a table that judges its rows comes more than once, or is deleted beside others that are
    /// written: a record that the table would refuse may be merged into one that it takes, or find its way free.
    pub fn hides_refusals(&self) -> bool {
        self.tables.iter().any(|table| table.plan.judged && table.rows.hides())
    }

    fn push_into(&self, other: &mut Self, number: u32, slots: &mut Slots) {
        let span = &self.spans[usize::from(self.records.get(number).span)];
        let plan = self.plans.get(&span.partition.topic).expect("a topic with records has a plan");
        let place = other.span(&span.partition, span.expected);
        other.push(place, plan, &self.records.incoming(number), slots);
    }

    fn table(&mut self, plan: &Arc<Plan>) -> &mut Rows {
        let found = self.tables.iter().position(|t| Arc::ptr_eq(&t.plan, plan));
        let number = found.unwrap_or_else(|| {
            let rows = Rows::new(plan.columns.len());
            self.tables.push(TableRows { plan: Arc::clone(plan), rows });
            self.tables.len() - 1
        });
        &mut self.tables[number].rows
    }

    fn skip(&mut self, span: u16, reason: Skip, records: u64) {
        *self.skipped.entry((span, reason)).or_default() += records;
    }

    /// The plans that its rows are encoded for, by topic.
    pub fn plans(&self) -> &HashMap<Arc<str>, Arc<Plan>> {
        &self.plans
    }

    /// The partitions that it moves.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The records that it holds.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The rows, by plan; plans without rows are left out.
    pub fn tables(&self) -> impl Iterator<Item = &TableRows> {
        self.tables.iter().filter(|table| !table.rows.rows().is_empty())
    }

    /// The records that the decoder refused.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The records that are already known to be skipped.
    pub fn skipped(&self) -> impl Iterator<Item = (&TopicPartition, Skip, u64)> {
        self.skipped
            .iter()
            .map(|((span, reason), n)| (&self.spans[usize::from(*span)].partition, *reason, *n))
    }

    /// The same batch, for a breaker that is open: it was refused before, and is tried again.
    #[must_use]
    pub fn into_probe(self) -> Self {
        Self { probe: true, ..self }
    }

    /// Whether it was refused before, and is tried again.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// Whether it moves nothing.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Its size in bytes: records as they came, and encoded rows.
    pub fn bytes(&self) -> usize {
        self.records.bytes() + self.tables.iter().map(|t| t.rows.bytes()).sum::<usize>()
    }

    /// How often, at most, one key is written by itself because its records cannot be merged.
    pub fn waves(&self) -> u32 {
        self.tables.iter().map(|t| t.rows.waves()).max().unwrap_or_default()
    }

    /// Forgets everything and keeps the memory, for the next batch of the same writer.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.records.clear();
        self.rejected.clear();
        self.skipped.clear();
        self.last_span = 0;
        self.probe = false;
        // The memory of a plan that has been replaced would never be used again.
        let plans = std::mem::take(&mut self.plans);
        self.tables.retain_mut(|t| {
            t.rows.clear();
            plans.values().any(|plan| Arc::ptr_eq(plan, &t.plan))
        });
    }
}
