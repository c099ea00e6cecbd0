//! How `try` prints encoded values and outcomes.

use std::fmt;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use shared::output::counted;

use super::outcome::{Columns, Counts, Outcome, Tried};
use crate::encode::{Kind, write_text};

/// An encoded value as JSON: numbers and JSON as they are, everything else as the text that PostgreSQL reads.
pub(super) fn value(kind: &Kind, bytes: Option<&[u8]>) -> Box<RawValue> {
    let json = match bytes {
        None => "null".to_owned(),
        Some(bytes) => {
            let mut text = Vec::new();
            write_text(kind, bytes, &mut text);
            json(kind, &String::from_utf8_lossy(&text))
        }
    };
    RawValue::from_string(json).expect("it was written as JSON")
}

fn json(kind: &Kind, text: &str) -> String {
    match kind {
        Kind::Bool => return (text == "t").to_string(),
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Json | Kind::Jsonb => return text.to_owned(),
        // Infinity and NaN are no JSON.
        Kind::Numeric { .. } if text.ends_with(|last: char| last.is_ascii_digit()) => return text.to_owned(),
        Kind::Float4 | Kind::Float8 => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            if let Some(number) = number {
                return Value::from(number).to_string();
            }
        }
        _ => {}
    }
    Value::from(text).to_string()
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = to_raw_value(self).map_err(|_| fmt::Error)?;
        f.write_str(json.get())
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.outcome {
            Outcome::Row { row } => writeln!(f, "row {row}"),
            Outcome::Delete { key } => writeln!(f, "delete {key}"),
            Outcome::Skipped { reason } => writeln!(f, "skipped, {reason}"),
            Outcome::Rejected { reason, field, detail, action, .. } => {
                let field = field.as_ref().map_or_else(String::new, |field| format!(", field {field:?}"));
                writeln!(f, "rejected, {reason}{field}: {detail}\n  -> {action}")
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, rows, deleted, skipped, rejected } = self;
        let (lines, rows) = (counted(*lines, "line"), counted(*rows, "row"));
        write!(f, "{lines}: {rows}, {deleted} deleted, {skipped} skipped, {rejected} rejected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_where_json_has_them() {
        let numeric = Kind::Numeric { modifier: None, infinite: true };
        for (kind, text, expected) in [
            (Kind::Bool, "t", "true"),
            (Kind::Int8, "9223372036854775807", "9223372036854775807"),
            (numeric.clone(), "0.10", "0.10"),
            (numeric.clone(), "-Infinity", "\"-Infinity\""),
            (numeric, "NaN", "\"NaN\""),
            (Kind::Float8, "1.5e0", "1.5"),
            (Kind::Float8, "inf", "\"inf\""),
            (Kind::Jsonb, "{\"a\": 1}", "{\"a\": 1}"),
            (Kind::Text, "a\"b", "\"a\\\"b\""),
            (Kind::Date, "2026-01-02", "\"2026-01-02\""),
        ] {
            assert_eq!(json(&kind, text), expected);
        }
    }
}
