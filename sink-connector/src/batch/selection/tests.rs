use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::rows::{Op, Row};
use super::*;
use crate::batch::example::plan;
use crate::kafka::record::Incoming;

/// A record: its partition, the distance from the record before it, its key and its value.
type Sample = (i32, i64, u8, Option<&'static str>);

/// A record as it is pushed: its partition, offset, key and value.
type Placed = (TopicPartition, i64, String, Option<&'static str>);

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let value = prop_oneof![
        4 => Just(Some(r#"{"v":1}"#)),
        2 => Just(Some("{}")),
        1 => Just(Some("no JSON")),
        2 => Just(None),
    ];
    proptest::collection::vec((0..3, 1_i64..4, 0_u8..4, value), 1..40)
}

fn placed(samples: Vec<Sample>) -> Vec<Placed> {
    let mut next = [START; 3];
    let place = |(partition, gap, key, value): Sample| {
        let offset = &mut next[usize::try_from(partition).unwrap()];
        *offset += gap;
        (TopicPartition::new("t", partition), *offset, format!(r#"{{"id":{key}}}"#), value)
    };
    samples.into_iter().map(place).collect()
}

/// The position that every partition starts from.
const START: i64 = 100;
/// Every partition ends past its last record, as after a transaction marker.
const MARKER: i64 = 5;

/// The batch that these records make when they are pushed one by one.
fn pushed(
    plan: &Arc<Plan>,
    records: &[Placed],
    expected: impl Fn(&TopicPartition) -> Offset,
    cells: &mut Cells,
) -> Batch {
    let mut batch = Batch::default();
    for (partition, offset, key, value) in records {
        let span = batch.span(partition, expected(partition));
        let incoming = Incoming {
            offset: *offset,
            timestamp: Some(*offset),
            payload: value.map(str::as_bytes),
            key: Some(key.as_bytes()),
            headers: None,
        };
        batch.push(span, plan, &incoming, cells);
    }
    batch
}

fn start(_: &TopicPartition) -> Offset {
    Offset(START)
}

/// The batch of these records, each partition moved past its last.
fn whole(plan: &Arc<Plan>, records: &[Placed], cells: &mut Cells) -> Batch {
    let mut batch = pushed(plan, records, start, cells);
    for span in 0..batch.spans().len() {
        batch.advance(span, Offset(batch.spans()[span].next.0 + MARKER));
    }
    batch
}

/// All that is written of a batch: records, rows, rejected and skipped ones.
fn content(batch: &Batch) -> String {
    let partition = |span: u16| batch.spans()[usize::from(span)].partition.to_string();
    let records = batch.records().iter().map(|r| (partition(r.span), r.offset)).collect::<Vec<_>>();
    let rows: Vec<_> = batch
        .tables()
        .flat_map(|table| {
            let fields = |row: &Row| match row.op {
                Op::Write => table.rows.bytes_of(row.tuple).to_vec(),
                Op::Delete { .. } => Vec::new(),
            };
            table.rows.rows().iter().map(move |row| {
                (row.record, row.op, row.superseded, row.round, table.rows.key(row).to_vec(), fields(row))
            })
        })
        .collect();
    let rejected: Vec<_> = batch.rejected().iter().map(|r| (r.record, r.rejection.to_string())).collect();
    let mut skipped: Vec<_> = batch.skipped().map(|(p, reason, n)| (p.clone(), reason, n)).collect();
    skipped.sort_unstable();
    format!("{records:?} {rows:?} {rejected:?} {skipped:?}")
}

/// How far a batch moves each partition.
fn positions(batch: &Batch) -> Vec<(TopicPartition, Offset, Offset, u64)> {
    let position = |span: &Span| (span.partition.clone(), span.expected, span.next, span.records);
    let mut positions: Vec<_> = batch.spans().iter().map(position).collect();
    positions.sort_unstable();
    positions
}

proptest! {
    #[test]
    fn a_run_of_records_is_the_batch_that_they_make_by_themselves(
        samples in samples(), checked: bool, from in 0_usize..40, to in 0_usize..40
    ) {
        let (plan, records, mut cells) = (plan(checked), placed(samples), Cells::default());
        let batch = whole(&plan, &records, &mut cells);
        let run = from.min(to).min(records.len())..from.max(to).min(records.len());
        let selected = batch.select_records(offset32(run.start)..offset32(run.end)).encode(&mut cells);
        prop_assert_eq!(content(&selected), content(&pushed(&plan, &records[run], start, &mut cells)));
    }

    #[test]
    fn a_batch_that_is_cut_holds_what_comes_before_the_end_of_its_partition(
        samples in samples(), checked: bool, end in START..START + 30
    ) {
        let (plan, records, mut cells) = (plan(checked), placed(samples), Cells::default());
        let batch = whole(&plan, &records, &mut cells);
        let first = TopicPartition::new("t", 0);
        let end_of = |p: &TopicPartition| (*p == first).then_some(Offset(end));
        let cut = batch.select().before(end_of).encode(&mut cells);
        let before: Vec<_> = records.into_iter().filter(|(p, offset, ..)| *p != first || *offset < end).collect();
        prop_assert_eq!(content(&cut), content(&pushed(&plan, &before, start, &mut cells)));
        for (whole, cut) in positions(&batch).into_iter().zip(positions(&cut)) {
            let next = if whole.0 == first { whole.2.min(Offset(end)) } else { whole.2 };
            prop_assert_eq!((whole.0, whole.1, next), (cut.0, cut.1, cut.2));
        }
    }

    #[test]
    fn some_partitions_are_the_batch_that_their_records_make(samples in samples(), checked: bool, kept in 0..3) {
        let (plan, records, mut cells) = (plan(checked), placed(samples), Cells::default());
        let batch = whole(&plan, &records, &mut cells).into_probe();
        let kept = TopicPartition::new("t", kept);
        let part = batch.part(|p| *p == kept, &mut cells);
        let mut of_whole = positions(&batch);
        of_whole.retain(|(p, ..)| *p == kept);
        let records: Vec<_> = records.into_iter().filter(|(p, ..)| *p == kept).collect();
        prop_assert_eq!(content(&part), content(&pushed(&plan, &records, start, &mut cells)));
        prop_assert_eq!(positions(&part), of_whole);
        prop_assert!(part.is_probe());
    }

    #[test]
    fn the_parts_of_a_batch_follow_each_other_and_appended_are_the_batch(
        samples in samples(), checked: bool, size in 1_usize..10
    ) {
        let (plan, records, mut cells) = (plan(checked), placed(samples), Cells::default());
        let batch = whole(&plan, &records, &mut cells);
        let parts = batch.parts(std::iter::repeat(size), &mut cells);
        prop_assert_eq!(parts.len(), records.len().div_ceil(size));
        let mut all = Batch::default();
        for (part, records) in parts.iter().zip(records.chunks(size)) {
            let expected = |p: &TopicPartition| all.spans().iter().find(|s| s.partition == *p).map(|s| s.next);
            let by_hand = pushed(&plan, records, |p| expected(p).unwrap_or(Offset(START)), &mut cells);
            prop_assert_eq!(content(part), content(&by_hand));
            prop_assert!(all.append(part, |_| Some(Arc::clone(&plan)), &mut cells), "it follows");
        }
        prop_assert_eq!(content(&all), content(&batch));
        prop_assert_eq!(positions(&all), positions(&batch));
        prop_assert!(!all.append(&batch, |_| Some(Arc::clone(&plan)), &mut cells), "it starts too early");
        prop_assert_eq!(positions(&all), positions(&batch));
    }

    #[test]
    fn in_a_run_no_record_hides_another(samples in samples()) {
        let (plan, records, mut cells) = (plan(true), placed(samples), Cells::default());
        let batch = whole(&plan, &records, &mut cells);
        let runs = batch.runs(&mut cells);
        let ends = |runs: &[Range<u32>]| runs.iter().map(|run| run.end).collect::<Vec<_>>();
        let starts: Vec<u32> = runs.iter().map(|run| run.start).collect();
        prop_assert_eq!(&starts[1..], &ends(&runs)[..runs.len() - 1]);
        prop_assert_eq!((starts[0], runs[runs.len() - 1].end), (0, offset32(records.len())));
        for run in runs {
            prop_assert!(!batch.select_records(run.clone()).encode(&mut cells).hides_refusals(), "{run:?}");
        }
    }
}
