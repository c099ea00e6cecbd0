//! Where a record is.

use crate::batch::Batch;
use crate::types::TopicPartition;

/// Its partition and its offset.
pub(super) type Place = (TopicPartition, i64);

/// Where the only record of a batch is.
pub(super) fn only_record(batch: &Batch) -> Option<Place> {
    if batch.records().count() == 1 { first_record(batch) } else { None }
}

/// Where the first record of a batch is.
pub(super) fn first_record(batch: &Batch) -> Option<Place> {
    (batch.records().count() > 0).then(|| place(batch, 0))
}

/// Where the record with this number is.
pub(super) fn place(batch: &Batch, record: u32) -> Place {
    let record = batch.records().get(record);
    (batch.spans()[usize::from(record.span)].partition.clone(), record.offset)
}
