//! A batch: what commits in one transaction. Pure: records go in, rows, dead letters and positions come out.

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod metadata_tests;
pub(crate) mod records;
pub(crate) mod retry_limits;
pub(crate) mod rows;
mod selection;
pub(crate) mod shape;
mod skip;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use self::records::Records;
use self::retry_limits::RetryLimits;
use self::rows::{Pushed, Rows};
pub(crate) use self::skip::Skip;
use crate::decode::{Cells, Opened, Rejection};
use crate::kafka::record::Incoming;
use crate::positions::span::Span;
use crate::table::metadata_columns;
use crate::table::plan::Plan;
use crate::types::{Offset, TopicPartition};

/// A record that cannot be a row.
#[derive(Debug)]
pub(crate) struct Rejected {
    /// Its number in [`Batch::records`].
    pub record: u32,
    pub rejection: Rejection,
}

/// The rows of one plan.
#[derive(Debug)]
pub(crate) struct TableRows {
    /// The plan they are encoded for.
    pub plan: Arc<Plan>,
    pub rows: Rows,
}

/// Records of some partitions, encoded and ready for one transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    spans: Vec<Span>,
    records: Records,
    tables: Vec<TableRows>,
    rejected: Vec<Rejected>,
    skipped: BTreeMap<(u16, Skip), u64>,
    plans: HashMap<Arc<str>, Arc<Plan>>,
    last_span: usize,
    /// The span and the plan of the last record.
    last_plan: Option<(usize, Arc<Plan>)>,
    probe: bool,
    /// It is for a table that could not be written, or shared a batch with such a table.
    retry: Option<RetryLimits>,
}

impl Batch {
    /// The span of `partition`, which starts at `expected` if the batch has none of it yet.
    pub(crate) fn span(&mut self, partition: &TopicPartition, expected: Offset) -> usize {
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

    /// Adds a record: its bytes, and the row or the rejection that it becomes.
    pub(crate) fn push(&mut self, span: usize, plan: &Arc<Plan>, incoming: &Incoming<'_>, cells: &mut Cells) {
        // Records come in runs of one partition: mostly, nothing has to be looked up.
        if !self.last_plan.as_ref().is_some_and(|(of, last)| *of == span && Arc::ptr_eq(last, plan)) {
            self.plans.insert(Arc::clone(&self.spans[span].partition.topic), Arc::clone(plan));
            self.last_plan = Some((span, Arc::clone(plan)));
        }
        let span16 = u16::try_from(span).expect("a batch has fewer than 65,536 partitions");
        let record = self.records.push(span16, incoming);
        let place = &mut self.spans[span];
        let size = incoming.payload.map_or(0, <[u8]>::len) + incoming.key.map_or(0, <[u8]>::len);
        place.next = Offset(incoming.offset + 1);
        place.records += 1;
        place.bytes += size as u64;
        match self.place(span, plan, record, incoming, cells) {
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
        cells: &mut Cells,
    ) -> Pushed {
        let partition = &self.spans[span].partition;
        let opened = match incoming.payload {
            Some(value) => plan.decoder.open(value),
            None => Ok(Opened::Gone { before: None }),
        };
        match opened {
            Ok(Opened::Row(row)) => match metadata_columns::read(plan, partition, incoming, &row, cells) {
                Ok(()) => self.table(plan).push(plan, record, cells),
                Err(rejection) => Pushed::Rejected(rejection),
            },
            Ok(Opened::Gone { before }) => {
                match metadata_columns::read_gone(plan, partition, incoming, before.as_deref(), cells) {
                    Ok(true) => self.table(plan).push_delete(plan, record, cells),
                    Ok(false) => Pushed::Skipped(Skip::Tombstone),
                    Err(rejection) => Pushed::Rejected(rejection),
                }
            }
            Err(rejection) => Pushed::Rejected(rejection),
        }
    }

    /// Moves the position of a partition, past transaction markers or records that compaction removed. The batch may have
    /// no record of it.
    pub(crate) fn advance(&mut self, span: usize, next: Offset) {
        let span = &mut self.spans[span];
        assert!(next >= span.next, "a position never goes back: {} to {next}", span.next);
        span.next = next;
    }

    /// Whether, in a table whose rows the server checks, a key comes more than once or is deleted beside others that are
    /// written. A record that the server would refuse may then be merged into one that it accepts, or a delete may remove
    /// what it conflicts with.
    pub(crate) fn hides_refusals(&self) -> bool {
        self.tables.iter().any(|table| table.plan.checked_by_server && table.rows.hides())
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
    pub(crate) fn plans(&self) -> &HashMap<Arc<str>, Arc<Plan>> {
        &self.plans
    }

    /// The partitions that it moves.
    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The records that it holds.
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// The rows, by plan; plans without rows are left out.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &TableRows> {
        self.tables.iter().filter(|table| !table.rows.rows().is_empty())
    }

    /// The rows, by plan.
    pub(crate) fn into_tables(self) -> impl Iterator<Item = TableRows> {
        self.tables.into_iter()
    }

    /// The records that cannot be rows.
    pub(crate) fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The records that are already known to be skipped.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = (&TopicPartition, Skip, u64)> {
        self.skipped
            .iter()
            .map(|((span, reason), n)| (&self.spans[usize::from(*span)].partition, *reason, *n))
    }

    /// The same batch as a probe: an open breaker held it back, and it is tried again.
    #[must_use]
    pub(crate) fn into_probe(self) -> Self {
        Self { probe: true, retry: None, ..self }
    }

    /// Whether an open breaker held it back, and it is tried again.
    pub(crate) fn is_probe(&self) -> bool {
        self.probe
    }

    /// The same batch for a table that could not be written, or that shared a batch with such a table.
    #[must_use]
    pub(crate) fn into_retry(self, limits: RetryLimits) -> Self {
        Self { retry: Some(limits), ..self }
    }

    /// If its table could not be written, or shared a batch with such a table: what it may take.
    pub(crate) fn retry(&self) -> Option<RetryLimits> {
        self.retry
    }

    /// The label of the table that the records of a partition are for, if it has records of that topic.
    pub(crate) fn table_of(&self, partition: &TopicPartition) -> Option<&str> {
        self.plans.get(&partition.topic).map(|plan| plan.label.as_str())
    }

    /// Whether it has records for the table with this label.
    #[cfg(test)]
    pub(crate) fn has_table(&self, label: &str) -> bool {
        self.plans.values().any(|plan| plan.label == label)
    }

    /// How many tables its records are for.
    pub(crate) fn count_tables(&self) -> usize {
        let labels: BTreeSet<&str> = self.plans.values().map(|plan| plan.label.as_str()).collect();
        labels.len()
    }

    /// Whether it moves nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Rounds that its rows take: how often, at most, one key is written because its records cannot be merged.
    pub(crate) fn rounds(&self) -> u32 {
        self.tables.iter().map(|t| t.rows.rounds()).max().unwrap_or_default()
    }

    /// Forgets everything and keeps the memory, for the next batch of the same writer.
    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        self.records.clear();
        self.rejected.clear();
        self.skipped.clear();
        self.last_span = 0;
        self.last_plan = None;
        self.probe = false;
        self.retry = None;
        // The memory of a plan that has been replaced would never be used again.
        let plans = std::mem::take(&mut self.plans);
        self.tables.retain_mut(|t| {
            t.rows.clear();
            plans.values().any(|plan| Arc::ptr_eq(plan, &t.plan))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_of_one_kind_and_empty_until_a_position_moves() {
        let mut batch = Batch::default().into_retry(RetryLimits::FIRST);
        assert!(batch.retry().is_some() && !batch.is_probe() && batch.is_empty());
        batch = batch.into_probe();
        assert!(batch.is_probe() && batch.retry().is_none());
        batch.span(&TopicPartition::new("t", 0), Offset(5));
        assert!(!batch.is_empty());
    }

    #[test]
    fn a_batch_counts_its_records_bytes_rounds_and_deletes() {
        let plan = example::plan(false);
        let mut batch = Batch::default();
        let span = batch.span(&TopicPartition::new("t", 0), Offset(5));
        let deletes = |batch: &Batch| batch.tables.iter().any(|table| table.rows.deletes());
        for (n, (payload, rounds)) in
            [(Some("{\"v\":1}"), 0), (None, 1), (Some("{\"v\":2}"), 2)].into_iter().enumerate()
        {
            let incoming = Incoming {
                offset: 7 + n as i64,
                timestamp: None,
                payload: payload.map(str::as_bytes),
                key: Some(b"{\"id\":1}"),
                headers: None,
            };
            batch.push(span, &plan, &incoming, &mut Cells::default());
            assert_eq!((batch.rounds(), deletes(&batch)), (rounds, n > 0), "record {n}");
        }
        let span = &batch.spans()[0];
        assert_eq!(
            (span.expected, span.next, span.records, span.bytes),
            (Offset(5), Offset(10), 3, 3 * 8 + 2 * 7)
        );
    }
}
