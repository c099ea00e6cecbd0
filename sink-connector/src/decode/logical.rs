//! Connect's schemas, which show what the JSON of a value does not: which number is a date, and which base64 a decimal.
//!
//! The names are those of `org.apache.kafka.connect.data` and of Debezium's `io.debezium.time` and `.data`. A value
//! becomes the JSON that the encoders accept for its column. They reject a value that does not fit its schema.

use super::envelope::members;
use super::record::reject_value;
use super::{Decoder, JsonStrings, Reason, Rejection, reject};
use crate::encode::{EncodeError, Kind, Value, encode, iso_date, iso_time, twos_complement};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// MicroTimestamp's infinities, as Debezium's PostgreSQL connector has them.
const INFINITIES: [(i64, &str); 2] =
    [(9_223_372_036_825_200_000, "infinity"), (-9_223_372_036_832_400_000, "-infinity")];
/// The most digits of a numeric on either side of the point; a larger decimal is passed on unchanged and rejected.
const MAX_DECIMAL_BYTES: usize = 62_000;
/// The largest scale that is written out.
const MAX_SCALE: i32 = 16_383;

/// One schema of JsonConverter, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Schema<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    field: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    fields: Option<Vec<Schema<'a>>>,
    #[serde(borrow, default)]
    items: Option<Box<Schema<'a>>>,
    #[serde(borrow, default)]
    keys: Option<Box<Schema<'a>>>,
    #[serde(borrow, default)]
    values: Option<Box<Schema<'a>>>,
    #[serde(borrow, default)]
    parameters: Option<Parameters<'a>>,
}

#[derive(Debug, Deserialize)]
struct Parameters<'a> {
    #[serde(borrow, default)]
    scale: Option<Cow<'a, str>>,
}

/// What a value means, where its JSON does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logical {
    /// Days since 1970-01-01.
    Date,
    /// Time of day in units of 10^-`digits` seconds.
    Time { digits: usize },
    /// Time since 1970-01-01 UTC in units of 10^-`digits` seconds.
    Timestamp { digits: usize },
    /// Base64 of an integer, big-endian in two's complement, times 10^-`scale`.
    Decimal { scale: i32 },
    /// An object of such an integer and its scale.
    VariableScaleDecimal,
    /// JSON, in a string.
    Json,
}

impl<'a> Schema<'a> {
    /// Reads a schema; `None` where there is none (null), or nothing in it changes the reading of a value.
    pub(super) fn read(text: &'a str) -> Result<Option<Schema<'a>>, Rejection> {
        // Parsing costs more than the row, so schemas of plain types are recognised by names that they do not contain.
        let plain = !text.contains("org.apache.kafka.connect.data.")
            && !text.contains("io.debezium.")
            && !text.contains('\\');
        if text == "null" || plain {
            return Ok(None);
        }
        serde_json::from_str(text).map(Some).map_err(|error| {
            reject(Reason::InvalidEnvelope, format!("not a schema of Kafka Connect: {error}"))
        })
    }

    /// The schema of a struct's field.
    pub(super) fn field(&self, name: &str) -> Option<&Schema<'a>> {
        self.fields.as_deref()?.iter().find(|schema| schema.field.as_deref() == Some(name))
    }

    fn logical(&self) -> Option<Logical> {
        Some(match self.name.as_deref()? {
            "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date" => Logical::Date,
            "org.apache.kafka.connect.data.Time" | "io.debezium.time.Time" => Logical::Time { digits: 3 },
            "io.debezium.time.MicroTime" => Logical::Time { digits: 6 },
            "io.debezium.time.NanoTime" => Logical::Time { digits: 9 },
            "org.apache.kafka.connect.data.Timestamp" | "io.debezium.time.Timestamp" => {
                Logical::Timestamp { digits: 3 }
            }
            "io.debezium.time.MicroTimestamp" => Logical::Timestamp { digits: 6 },
            "io.debezium.time.NanoTimestamp" => Logical::Timestamp { digits: 9 },
            "org.apache.kafka.connect.data.Decimal" => {
                Logical::Decimal { scale: self.parameters.as_ref()?.scale.as_deref()?.parse().ok()? }
            }
            "io.debezium.data.VariableScaleDecimal" => Logical::VariableScaleDecimal,
            "io.debezium.data.Json" => Logical::Json,
            _ => return None,
        })
    }

    /// Whether a value of it may have to be changed.
    fn changes(&self) -> bool {
        let inner =
            [&self.items, &self.keys, &self.values].into_iter().flatten().any(|schema| schema.changes());
        inner || self.logical().is_some() || self.fields.iter().flatten().any(Schema::changes)
    }
}

/// The row with its values as the columns take them. Fields that Debezium did not know are left out, because their values do
/// not follow their schema.
///
/// # Errors
/// A string of Debezium's JSON type that is not JSON, if a column of JSON takes it.
pub(super) fn convert<'a>(
    row: &'a str,
    schema: Option<&Schema<'_>>,
    decoder: &Decoder,
) -> Result<Cow<'a, str>, Rejection> {
    let Some(schema) = schema.filter(|schema| schema.changes()) else { return Ok(Cow::Borrowed(row)) };
    let Ok(members) = members(row) else { return Ok(Cow::Borrowed(row)) };
    let kept = members.iter().filter(|(_, value)| !decoder.is_unavailable(value));
    let mut out = String::with_capacity(row.len() + 64);
    put_object(kept, &mut out, |name, value, out| {
        let (schema, field) = (schema.field(name), decoder.field(name));
        let kind = field.map(|field| &field.kind);
        put(value, schema, kind, decoder.options.json_strings, out).map_err(|error| match field {
            Some(field) => reject_value(field, error, value),
            None => reject(error.into(), format!("field {name:?}: {error}")),
        })
    })?;
    Ok(Cow::Owned(out))
}

/// Appends a value of `schema` for a column of `kind`, or inside JSON.
fn put(
    value: &str,
    schema: Option<&Schema<'_>>,
    kind: Option<&Kind>,
    strings: JsonStrings,
    out: &mut String,
) -> Result<(), EncodeError> {
    let Some(schema) = schema.filter(|schema| value != "null" && schema.changes()) else {
        out.push_str(value);
        return Ok(());
    };
    if let Some(logical) = schema.logical() {
        let text = match kind {
            Some(kind) if logical == Logical::Json && kind.is_json() => json_of(value, strings)?,
            _ => plain(value, logical, kind),
        };
        out.push_str(text.as_deref().unwrap_or(value));
    } else if let (Some(items), Some(elements)) = (schema.items.as_deref(), elements(value)) {
        let element_kind = match kind {
            Some(Kind::Array(of)) => Some(&of.element),
            _ => None,
        };
        put_array(&elements, out, |_, element, out| put(element, Some(items), element_kind, strings, out))?;
    } else if let (Some(_), Some(pairs)) = (&schema.values, elements(value)) {
        // A map whose keys are no strings is an array of pairs.
        let member = [schema.keys.as_deref(), schema.values.as_deref()];
        put_array(&pairs, out, |_, pair, out| match elements(pair) {
            Some(pair) if pair.len() == member.len() => {
                put_array(&pair, out, |index, part, out| put(part, member[index], None, strings, out))
            }
            _ => {
                out.push_str(pair);
                Ok(())
            }
        })?;
    } else if let Ok(members) = members(value) {
        put_object(members.iter(), out, |name, value, out| {
            put(value, schema.values.as_deref().or_else(|| schema.field(name)), None, strings, out)
        })?;
    } else {
        out.push_str(value);
    }
    Ok(())
}

/// A string of Debezium's JSON type for a column of JSON; `None` leaves it to the encoder.
fn json_of(value: &str, strings: JsonStrings) -> Result<Option<String>, EncodeError> {
    // The encoder parses every string then.
    if strings == JsonStrings::Parse || !value.starts_with('"') {
        return Ok(None);
    }
    plain(value, Logical::Json, None).map(Some).ok_or(EncodeError::WrongType)
}

/// The elements of the array that `value` is.
fn elements(value: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value).ok()
}

fn put_array(
    elements: &[&RawValue],
    out: &mut String,
    mut put_element: impl FnMut(usize, &str, &mut String) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    out.push('[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        put_element(index, element.get(), out)?;
    }
    out.push(']');
    Ok(())
}

fn put_object<'m, 'a: 'm, E>(
    members: impl Iterator<Item = &'m (Cow<'a, str>, &'a str)>,
    out: &mut String,
    mut put_value: impl FnMut(&str, &str, &mut String) -> Result<(), E>,
) -> Result<(), E> {
    out.push('{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&serde_json::Value::from(&**name).to_string());
        out.push(':');
        put_value(name, value, out)?;
    }
    out.push('}');
    Ok(())
}

/// The plain JSON of a value; `None` leaves it as it is.
fn plain(value: &str, logical: Logical, kind: Option<&Kind>) -> Option<String> {
    let number = || value.parse::<i64>().ok();
    match logical {
        // A column of numbers takes the number.
        Logical::Date | Logical::Time { .. } | Logical::Timestamp { .. } if kind.is_some_and(is_number) => {
            None
        }
        Logical::Date => {
            let (date, era) = iso_date(number()?);
            Some(format!("\"{date}{era}\""))
        }
        Logical::Time { digits } => Some(format!("\"{}\"", iso_time(number()?, digits)?)),
        Logical::Timestamp { digits } => {
            let number = number()?;
            if let Some((_, infinity)) = INFINITIES.iter().find(|(n, _)| digits == 6 && *n == number) {
                return Some(format!("\"{infinity}\""));
            }
            let per_day = 86_400 * 10i64.pow(u32::try_from(digits).ok()?);
            let (date, era) = iso_date(number.div_euclid(per_day));
            let time = iso_time(number.rem_euclid(per_day), digits)?;
            Some(format!("\"{date}T{time}Z{era}\""))
        }
        Logical::Decimal { .. } | Logical::VariableScaleDecimal if matches!(kind, Some(Kind::Bytea)) => None,
        Logical::Decimal { scale } => decimal(value, scale),
        Logical::VariableScaleDecimal => {
            let members = members(value).ok()?;
            let member = |wanted: &str| members.iter().find(|(n, _)| n == wanted).map(|(_, text)| *text);
            decimal(member("value")?, member("scale")?.parse().ok()?)
        }
        // Inside JSON. A column that is not of JSON takes the text.
        Logical::Json if kind.is_none() => {
            let text: String = serde_json::from_str(value).ok()?;
            let json: &RawValue = serde_json::from_str(&text).ok()?;
            Some(json.get().to_owned())
        }
        Logical::Json => None,
    }
}

fn is_number(kind: &Kind) -> bool {
    matches!(kind, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Float4 | Kind::Float8 | Kind::Numeric { .. })
}

/// The literal of a decimal, from the JSON string of its base64.
fn decimal(value: &str, scale: i32) -> Option<String> {
    let text: Cow<'_, str> = serde_json::from_str(value).ok()?;
    let mut bytes = Vec::new();
    encode(&Kind::Bytea, Value::Str(&text), &mut bytes).ok()?;
    if bytes.is_empty() || bytes.len() > MAX_DECIMAL_BYTES {
        return None;
    }
    let (negative, mut digits) = twos_complement(&mut bytes);
    if scale.unsigned_abs() > MAX_SCALE.unsigned_abs() {
        digits.push_str(&format!("e{}", -i64::from(scale)));
    } else if let Ok(scale) = usize::try_from(scale) {
        if digits.len() <= scale {
            digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
        }
        if scale > 0 {
            digits.insert(digits.len() - scale, '.');
        }
    } else if digits != "0" {
        digits.push_str(&"0".repeat(usize::try_from(scale.unsigned_abs()).ok()?));
    }
    Some(if negative { format!("-{digits}") } else { digits })
}
