//! Metadata columns: topic, partition, offset, timestamp, key and headers of a record as columns of its row.

use crate::decode::{Cells, Reason, Rejection};
use crate::encode::Kind;
use crate::kafka::packed_headers;
use crate::kafka::record::Incoming;
use crate::table::plan::Plan;
use crate::types::TopicPartition;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataColumn {
    Topic,
    Partition,
    Offset,
    /// Null if the record has no timestamp.
    Timestamp,
    /// The key as text, or as bytes in a bytea column; null without a key.
    Key,
    /// The headers as a JSON array, as in dead letters; null without headers.
    Headers,
}

impl MetadataColumn {
    pub fn named(name: &str) -> Option<Self> {
        [Self::Topic, Self::Partition, Self::Offset, Self::Timestamp, Self::Key, Self::Headers]
            .into_iter()
            .find(|source| source.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Offset => "offset",
            Self::Timestamp => "timestamp",
            Self::Key => "key",
            Self::Headers => "headers",
        }
    }

    /// The types of column that can hold all of its values, for messages.
    pub fn types(self) -> &'static str {
        match self {
            Self::Topic => "text",
            Self::Partition => "int4 or int8",
            Self::Offset => "int8",
            Self::Timestamp => "timestamptz, timestamp or int8",
            Self::Key => "text or bytea",
            Self::Headers => "json or jsonb",
        }
    }

    pub fn fits(self, kind: &Kind) -> bool {
        let text = matches!(kind, Kind::Text | Kind::VarChar { .. } | Kind::BpChar { .. } | Kind::Name);
        match self {
            Self::Topic => text,
            Self::Partition => matches!(kind, Kind::Int4 | Kind::Int8),
            Self::Offset => matches!(kind, Kind::Int8),
            Self::Timestamp => matches!(kind, Kind::Timestamptz { .. } | Kind::Timestamp { .. } | Kind::Int8),
            Self::Key => text || matches!(kind, Kind::Bytea),
            Self::Headers => kind.is_json(),
        }
    }
}

/// Decodes a record into `cells`: the `row` in its value, its key and the metadata columns.
pub(crate) fn read(
    plan: &Plan,
    partition: &TopicPartition,
    incoming: &Incoming<'_>,
    row: &[u8],
    cells: &mut Cells,
) -> Result<(), Rejection> {
    plan.decoder.decode(row, cells)?;
    if let Some(decoder) = plan.key_decoder.as_ref().filter(|_| plan.record_key) {
        decoder.decode(incoming.key, cells)?;
    }
    for &(column, source) in &plan.metadata {
        fill(plan, column, source, partition, incoming, cells)?;
    }
    Ok(())
}

/// Decodes the key of a record that deletes its row into `cells`. Returns whether there is a row to delete. `before` is
/// the row before the deletion, if the value has it.
pub(crate) fn read_gone(
    plan: &Plan,
    partition: &TopicPartition,
    incoming: &Incoming<'_>,
    before: Option<&[u8]>,
    cells: &mut Cells,
) -> Result<bool, Rejection> {
    let Some(decoder) = plan.key_decoder.as_ref().filter(|_| plan.deletes) else { return Ok(false) };
    cells.reset(plan.columns.len());
    match before {
        _ if plan.record_key => decoder.decode(incoming.key, cells)?,
        Some(row) => {
            decoder.decode_row(row, cells)?;
            // A column of the key may be a metadata column, such as the topic beside an id.
            let key = plan.key.as_ref().map_or(&[][..], |key| &key.columns);
            for &(column, source) in plan.metadata.iter().filter(|(column, _)| key.contains(column)) {
                fill(plan, column, source, partition, incoming, cells)?;
            }
        }
        // Debezium sends a tombstone after the change event of the same deletion.
        None if incoming.payload.is_none() => return Ok(false),
        None => {
            let detail = "a deletion without \"before\", which has the key of the row: set pk_mode = \"record_key\", \
                          or REPLICA IDENTITY on the source table";
            return Err(Rejection {
                reason: Reason::InvalidEnvelope,
                column: None,
                wider: None,
                detail: detail.to_owned(),
            });
        }
    }
    Ok(true)
}

fn fill(
    plan: &Plan,
    column: usize,
    source: MetadataColumn,
    partition: &TopicPartition,
    incoming: &Incoming<'_>,
    cells: &mut Cells,
) -> Result<(), Rejection> {
    let decoder = &plan.decoder;
    let null = |cells: &mut Cells| decoder.put_json(column, "null", cells);
    match source {
        MetadataColumn::Topic => decoder.put_text(column, &partition.topic, cells),
        MetadataColumn::Partition => decoder.put_json(column, &partition.partition.to_string(), cells),
        MetadataColumn::Offset => decoder.put_json(column, &incoming.offset.to_string(), cells),
        MetadataColumn::Timestamp => match incoming.timestamp {
            Some(ms) => decoder.put_json(column, &ms.to_string(), cells),
            None => null(cells),
        },
        MetadataColumn::Key => match incoming.key {
            Some(key) if matches!(plan.columns[column].kind, Kind::Bytea) => {
                let kept = cells.put(column, key);
                debug_assert!(kept, "a record is below 2 GiB");
                Ok(())
            }
            Some(key) => match std::str::from_utf8(key) {
                Ok(text) => decoder.put_text(column, text, cells),
                Err(error) => Err(Rejection {
                    reason: Reason::InvalidUtf8,
                    column: Some(plan.columns[column].name.clone()),
                    wider: None,
                    detail: format!("the record's key: {error}"),
                }),
            },
            None => null(cells),
        },
        MetadataColumn::Headers => match incoming.headers {
            Some(packed) => decoder.put_json(column, &packed_headers::to_json(packed, true), cells),
            None => null(cells),
        },
    }
}
