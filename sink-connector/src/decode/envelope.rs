//! Values that wrap their row: Kafka Connect's `{"schema", "payload"}` (its JsonConverter), and Debezium's change
//! events. The result is the row as plain JSON, or that the row was deleted.

use super::logical::{self, Schema};
use super::rejection::{GOT, excerpt};
use super::{Decoder, Reason, Rejection, not_an_object, reject, utf8};
use schemars::JsonSchema;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What the values of a topic look like; `value_format` in the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueFormat {
    /// The value is the row.
    #[default]
    Json,
    /// Connect's JsonConverter with `schemas.enable`: the payload is the row, its schema says what types mean.
    JsonSchema,
    /// Debezium's change events, inside Connect's envelope or bare.
    Debezium,
}

/// What an envelope holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// A row, as [`Decoder::decode`] takes it.
    Row(Cow<'a, [u8]>),
    /// The row was deleted.
    Gone {
        /// The row before, or only its key, if the value has it.
        before: Option<Cow<'a, [u8]>>,
    },
}

impl ValueFormat {
    /// What a value holds, each row as the text of a JSON object.
    ///
    /// # Errors
    /// The value is no such envelope, or an event that is no change of a row.
    #[inline]
    pub(super) fn open<'a>(self, value: &'a [u8], decoder: &Decoder) -> Result<Opened<'a>, Rejection> {
        if self == Self::Json {
            return Ok(Opened::Row(Cow::Borrowed(value)));
        }
        let text = utf8(value)?;
        let members = members(text)?;
        let wrapped = (member(&members, "schema"), member(&members, "payload"));
        match (self, wrapped) {
            (Self::JsonSchema, (Some(schema), Some(payload))) => {
                let schema = Schema::read(schema)?;
                Ok(match row(payload) {
                    Some(row) => Opened::Row(bytes(logical::convert(row, schema.as_ref(), decoder)?)),
                    None => Opened::Gone { before: None },
                })
            }
            (Self::JsonSchema | Self::Json, (schema, _)) => {
                let missing = if schema.is_none() { "schema" } else { "payload" };
                Err(invalid(format!("expected {{\"schema\": …, \"payload\": …}}, but there is no {missing}")))
            }
            (Self::Debezium, (Some(schema), Some(payload))) => {
                let Some(event) = row(payload) else { return Ok(Opened::Gone { before: None }) };
                let schema = Schema::read(schema)?;
                change(event, schema.as_ref(), decoder)
            }
            (Self::Debezium, _) => change(text, None, decoder),
        }
    }
}

/// The key in Connect's envelope; any other key is returned unchanged.
pub(super) fn open_key<'a>(key: &'a [u8], decoder: &Decoder) -> Cow<'a, [u8]> {
    let opened = || {
        let members = members(utf8(key).ok()?).ok()?;
        let (schema, payload) = (member(&members, "schema")?, member(&members, "payload")?);
        let schema = Schema::read(schema).ok()?;
        logical::convert(payload, schema.as_ref(), decoder).ok()
    };
    match opened() {
        Some(text) => bytes(text),
        None => Cow::Borrowed(key),
    }
}

/// Opens a Debezium event.
fn change<'a>(
    event: &'a str,
    schema: Option<&Schema<'_>>,
    decoder: &Decoder,
) -> Result<Opened<'a>, Rejection> {
    let members = members(event)?;
    let Some(op) = member(&members, "op") else {
        let what = "expected a change event of Debezium with op, before and after (what its ExtractNewRecordState \
                    makes of them is value_format json or json_schema)";
        return Err(invalid(format!("{what}{GOT}{}", excerpt(event))));
    };
    let image = |name| {
        let Some(image) = member(&members, name).and_then(row) else { return Ok(None) };
        let schema = schema.and_then(|schema| schema.field(name));
        Ok(Some(bytes(logical::convert(image, schema, decoder)?)))
    };
    match op.trim_matches('"') {
        "c" | "u" | "r" => match image("after")? {
            Some(after) => Ok(Opened::Row(after)),
            None => Err(invalid(format!("a change event without after{GOT}op {op}"))),
        },
        "d" => Ok(Opened::Gone { before: image("before")? }),
        "t" => Err(unsupported("TRUNCATE of the source table (op \"t\") is not supported")),
        _ => Err(unsupported(&format!("a change event with an unknown op{GOT}{}", excerpt(op)))),
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The text of a value that is not null.
fn row(text: &str) -> Option<&str> {
    Some(text).filter(|text| *text != "null")
}

fn invalid(detail: String) -> Rejection {
    reject(Reason::InvalidEnvelope, detail)
}

fn unsupported(detail: &str) -> Rejection {
    reject(Reason::UnsupportedOperation, detail.to_owned())
}

/// The last member with this name, as in the decoder of records.
fn member<'a>(members: &[(Cow<'_, str>, &'a str)], name: &str) -> Option<&'a str> {
    members.iter().rfind(|(found, _)| found == name).map(|(_, text)| *text)
}

/// The members of the object that `text` is, in their order, each with the text of its value.
pub(super) fn members(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, Rejection> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(not_an_object(text));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(Members);
    members.and_then(|members| deserializer.end().map(|()| members)).map_err(|error| {
        // The grammar allows half of a surrogate pair; serde_json does not.
        let valid = serde_json::from_str::<IgnoredAny>(text).is_ok();
        reject(if valid { Reason::InvalidText } else { Reason::InvalidJson }, error.to_string())
    })
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value::<&RawValue>()?.get()));
        }
        Ok(members)
    }
}

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;
