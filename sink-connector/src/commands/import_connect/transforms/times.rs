//! TimestampConverter: the sink reads text and numbers as the type of the column.

use super::{Transform, accept, reject};
use crate::commands::import_connect::translation::Translation;

const DATES: [&str; 2] = ["yyyy-MM-dd", "yyyyMMdd"];
const HOURS: [&str; 3] = ["HH:mm", "HH:mm:ss", "HHmmss"];
/// Offsets from UTC in Java's patterns: `+01`, `+0100`, `+01:00`, with Z for UTC.
const OFFSETS: [&str; 7] = ["X", "XX", "XXX", "Z", "x", "xx", "xxx"];

pub(super) fn convert(t: &mut Translation, transform: &Transform) {
    let target = transform.get(t, "target.type").unwrap_or_default();
    let readable = transform.get(t, "format").is_none_or(|format| is_iso(&format));
    let millis = transform.get(t, "unix.precision").is_none_or(|unit| unit == "milliseconds");
    match target.as_str() {
        "Timestamp" | "Date" | "Time" if readable && millis => accept(
            t,
            transform,
            "ISO 8601 text and milliseconds since 1970 are read as the type of the column",
        ),
        "Timestamp" | "Date" | "Time" => reject(
            t,
            transform,
            "times are read as ISO 8601 text or as milliseconds since 1970; a column of type text takes anything",
        ),
        _ => reject(
            t,
            transform,
            "a value is stored as the type of its column: let the column have the type of the field",
        ),
    }
}

/// Whether the text of a pattern of `SimpleDateFormat` is ISO 8601, in the forms that the sink reads.
fn is_iso(format: &str) -> bool {
    let format = format.trim();
    if format.contains('\'') {
        let plain = format.replace("'T'", "T").replace("'Z'", "X");
        return !plain.contains('\'') && is_iso(&plain);
    }
    let Some(rest) = DATES.iter().find_map(|date| format.strip_prefix(date)) else {
        return is_time(format);
    };
    rest.is_empty() || rest.strip_prefix(['T', ' ']).is_some_and(is_time)
}

fn is_time(text: &str) -> bool {
    let without_offset = |text: &str| {
        let (time, fraction) = text.split_once(['.', ',']).map_or((text, None), |(t, f)| (t, Some(f)));
        let digits = |fraction: &str| !fraction.is_empty() && fraction.chars().all(|c| c == 'S');
        HOURS.contains(&time) && (fraction.is_none() || time.ends_with("ss") && fraction.is_some_and(digits))
    };
    without_offset(text)
        || OFFSETS
            .iter()
            .filter_map(|offset| text.strip_suffix(offset))
            .any(|time| without_offset(time.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::is_iso;

    #[test]
    fn only_formats_that_the_sink_reads_need_no_converter() {
        for format in [
            "yyyy-MM-dd",
            "yyyyMMdd",
            "yyyy-MM-dd HH:mm:ss",
            "yyyy-MM-dd HH:mm",
            "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
            "yyyy-MM-dd'T'HH:mm:ssXXX",
            "yyyy-MM-dd HH:mm:ss.SSSSSS Z",
            "HH:mm:ss",
        ] {
            assert!(is_iso(format), "{format}");
        }
        for format in [
            "yyyy-MM-dd hh:mm:ss a",
            "yyyy-MM-dd-HH.mm.ss",
            "yyyy/MM/dd HH:mm:ss",
            "yyyy-MM-dd HH:mm:ss z",
            "dd.MM.yyyy",
            "MMM dd, yyyy",
            "yyyy-MM",
            "yyyy-MM-dd'x'HH:mm",
            "yyyy-MM-dd HH:mm.SSS",
            "",
        ] {
            assert!(!is_iso(format), "{format}");
        }
    }
}
