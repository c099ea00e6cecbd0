//! Metadata columns of the rows of a batch.

use super::example::plan_with_metadata;
use crate::decode::{CellRef, Cells, Reason, Rejection};
use crate::encode::Kind;
use crate::kafka::packed_headers;
use crate::kafka::record::Incoming;
use crate::table::metadata_columns::{MetadataColumn, read};
use crate::table::plan::Plan;
use crate::types::TopicPartition;

const RECORD: Incoming<'_> = Incoming {
    offset: 42,
    timestamp: Some(1_700_000_000_000),
    payload: Some(br#"{"v":7}"#),
    key: Some(br#"{"id":1}"#),
    headers: None,
};

/// What the columns of `plan` get, without `id` and `v`.
fn stored(plan: &Plan, record: &Incoming<'_>) -> Result<Vec<Option<Vec<u8>>>, Rejection> {
    let mut cells = Cells::default();
    read(plan, &TopicPartition::new("scores", 3), record, record.payload.unwrap(), &mut cells)?;
    let cell = |column| match cells.get(column) {
        CellRef::Value(bytes) => Some(bytes.to_vec()),
        CellRef::Null => None,
        CellRef::Absent => panic!("column {column} is not filled"),
    };
    Ok((2..plan.columns.len()).map(cell).collect())
}

#[test]
fn a_row_gets_what_is_known_of_its_record() {
    let plan = plan_with_metadata(&[
        (MetadataColumn::Topic, Kind::Text),
        (MetadataColumn::Partition, Kind::Int4),
        (MetadataColumn::Offset, Kind::Int8),
        (MetadataColumn::Timestamp, Kind::Int8),
        (MetadataColumn::Key, Kind::Bytea),
        (MetadataColumn::Headers, Kind::Json),
    ]);
    let mut headers = Vec::new();
    packed_headers::push(&mut headers, "trace", Some(b"abc"));
    let record = Incoming { headers: Some(&headers), ..RECORD };
    let expected = [
        b"scores".to_vec(),
        3_i32.to_be_bytes().to_vec(),
        42_i64.to_be_bytes().to_vec(),
        1_700_000_000_000_i64.to_be_bytes().to_vec(),
        br#"{"id":1}"#.to_vec(),
        packed_headers::to_json(&headers, true).into_bytes(),
    ];
    assert_eq!(stored(&plan, &record).unwrap(), expected.map(Some));
}

#[test]
fn what_a_record_lacks_is_null() {
    let plan =
        plan_with_metadata(&[(MetadataColumn::Timestamp, Kind::Int8), (MetadataColumn::Headers, Kind::Json)]);
    assert_eq!(stored(&plan, &Incoming { timestamp: None, ..RECORD }).unwrap(), [None, None]);
}

#[test]
fn a_key_that_is_not_text_does_not_fit_into_a_column_of_text() {
    let plan = Plan { record_key: false, ..plan_with_metadata(&[(MetadataColumn::Key, Kind::Text)]) };
    let rejection = stored(&plan, &Incoming { key: Some(b"\xff"), ..RECORD }).unwrap_err();
    assert_eq!((rejection.reason, rejection.column.as_deref()), (Reason::InvalidUtf8, Some("key")));
}
