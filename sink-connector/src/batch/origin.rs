//! What Kafka knows of a record beside its value, for the columns that take it.

use super::records::{Incoming, headers};
use crate::decode::{Reason, Rejection, Slots};
use crate::encode::Kind;
use crate::plan::Plan;
use crate::types::TopicPartition;

/// One thing that Kafka knows of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The topic's name.
    Topic,
    /// The partition's number.
    Partition,
    /// The offset.
    Offset,
    /// The timestamp; null where the topic stores none.
    Timestamp,
    /// The key: its text, or its bytes in a bytea column; null where there is none.
    Key,
    /// The headers as a JSON array, as in dead letters; null where there are none.
    Headers,
}

impl Origin {
    /// The one of this name in `[sink.metadata]`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Topic, Self::Partition, Self::Offset, Self::Timestamp, Self::Key, Self::Headers]
            .into_iter()
            .find(|origin| origin.as_str() == name)
    }

    /// Its name in the configuration.
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

    /// The types that can take every one of its values.
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

    /// Whether a column of this type is one of those.
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

/// Decodes a record into `slots`: the `row` of its value, its key, and what else is known of it.
pub fn read(
    plan: &Plan,
    partition: &TopicPartition,
    incoming: &Incoming<'_>,
    row: &[u8],
    slots: &mut Slots,
) -> Result<(), Rejection> {
    plan.decoder.decode(row, slots)?;
    if let Some(decoder) = plan.key_decoder.as_ref().filter(|_| plan.record_key) {
        decoder.decode(incoming.key, slots)?;
    }
    for &(column, origin) in &plan.origins {
        fill(plan, column, origin, partition, incoming, slots)?;
    }
    Ok(())
}

/// Decodes the key of a record whose row is gone into `slots`, and says whether it is to be deleted: `before` is
/// the row as it was, where the value says it.
pub fn read_gone(
    plan: &Plan,
    partition: &TopicPartition,
    incoming: &Incoming<'_>,
    before: Option<&[u8]>,
    slots: &mut Slots,
) -> Result<bool, Rejection> {
    let Some(decoder) = plan.key_decoder.as_ref().filter(|_| plan.deletes) else { return Ok(false) };
    slots.reset(plan.columns.len());
    match before {
        _ if plan.record_key => decoder.decode(incoming.key, slots)?,
        Some(row) => {
            decoder.decode_row(row, slots)?;
            // A column of the key may come from metadata: the topic beside an id, say.
            let key = plan.key.as_ref().map_or(&[][..], |key| &key.columns);
            for &(column, origin) in plan.origins.iter().filter(|(column, _)| key.contains(column)) {
                fill(plan, column, origin, partition, incoming, slots)?;
            }
        }
        // Debezium sends a tombstone after the event that says the same.
        None if incoming.payload.is_none() => return Ok(false),
        None => {
            let detail = "a deletion without the row before it, whose key it needs: set pk_mode = \"record_key\", \
                          or REPLICA IDENTITY on the source table";
            return Err(Rejection {
                reason: Reason::InvalidEnvelope,
                column: None,
                detail: detail.to_owned(),
            });
        }
    }
    Ok(true)
}

fn fill(
    plan: &Plan,
    column: usize,
    origin: Origin,
    partition: &TopicPartition,
    incoming: &Incoming<'_>,
    slots: &mut Slots,
) -> Result<(), Rejection> {
    let decoder = &plan.decoder;
    let absent = |slots: &mut Slots| decoder.put_json(column, "null", slots);
    match origin {
        Origin::Topic => decoder.put_text(column, &partition.topic, slots),
        Origin::Partition => decoder.put_json(column, &partition.partition.to_string(), slots),
        Origin::Offset => decoder.put_json(column, &incoming.offset.to_string(), slots),
        Origin::Timestamp => match incoming.timestamp {
            Some(ms) => decoder.put_json(column, &ms.to_string(), slots),
            None => absent(slots),
        },
        Origin::Key => match incoming.key {
            Some(key) if matches!(plan.columns[column].kind, Kind::Bytea) => {
                let kept = slots.put(column, key);
                debug_assert!(kept, "a record is below 2 GiB");
                Ok(())
            }
            Some(key) => match std::str::from_utf8(key) {
                Ok(text) => decoder.put_text(column, text, slots),
                Err(error) => Err(Rejection {
                    reason: Reason::InvalidUtf8,
                    column: Some(plan.columns[column].name.clone()),
                    detail: format!("the record's key: {error}"),
                }),
            },
            None => absent(slots),
        },
        Origin::Headers => match incoming.headers {
            Some(packed) => decoder.put_json(column, &headers::to_json(packed, true), slots),
            None => absent(slots),
        },
    }
}
