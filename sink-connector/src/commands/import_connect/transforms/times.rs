//! TimestampConverter: the sink reads text and numbers as the type of the column.

use super::{Transform, accept, reject};
use crate::commands::import_connect::translation::Translation;

const DATES: [&str; 2] = ["yyyy-MM-dd", "yyyyMMdd"];
const HOURS: [&str; 3] = ["HH:mm", "HH:mm:ss", "HHmmss"];
/// Offsets from UTC in Java's patterns: `+01`, `+0100`, `+01:00`, with Z for UTC.
const OFFSETS: [&str; 7] = ["X", "XX", "XXX", "Z", "x", "xx", "xxx"];

pub(super) fn convert(t: &mut Translation, transform: &Transform) {
    let target = transform.get(t, "target.type").unwrap_or_default();
    let format = transform.get(t, "format");
    let millis = transform.get(t, "unix.precision").is_none_or(|unit| unit == "milliseconds");
    let iso = format.as_deref().map(iso);
    match (target.as_str(), iso) {
        ("Timestamp", None | Some(Some(Iso { date: true, .. }))) if millis => accept(
            t,
            transform,
            "ISO 8601 text and milliseconds since 1970 are read as the type of the column: timestamptz, or timestamp if the \
             text has no offset",
        ),
        ("Timestamp", _) => reject(
            t,
            transform,
            "times are read as ISO 8601 text or as milliseconds since 1970; a column of type text takes anything",
        ),
        // With an offset, Connect takes the day and the time in UTC.
        ("Date", Some(Some(Iso { date: true, offset: false })))
        | ("Time", Some(Some(Iso { date: false, offset: false }))) => {
            accept(t, transform, "ISO 8601 text is read as the type of the column");
        }
        ("Date" | "Time", _) => reject(
            t,
            transform,
            "a column of type date or time takes neither numbers nor text of another form: have the producer write ISO 8601 \
             text (2026-01-31, 10:15:00), or let the column be a timestamptz, which takes milliseconds since 1970",
        ),
        _ => reject(
            t,
            transform,
            "a value is stored as the type of its column: let the column have the type of the field",
        ),
    }
}

/// What text in ISO 8601 holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Iso {
    date: bool,
    offset: bool,
}

/// What the text of a pattern of `SimpleDateFormat` holds; `None` if it is not ISO 8601 in the forms that the sink reads.
fn iso(format: &str) -> Option<Iso> {
    let format = format.trim();
    if format.contains('\'') {
        let plain = format.replace("'T'", "T").replace("'Z'", "X");
        return if plain.contains('\'') { None } else { iso(&plain) };
    }
    match DATES.iter().find_map(|date| format.strip_prefix(date)) {
        None => Some(Iso { date: false, offset: offset_of_time(format)? }),
        Some("") => Some(Iso { date: true, offset: false }),
        Some(time) => Some(Iso { date: true, offset: offset_of_time(time.strip_prefix(['T', ' '])?)? }),
    }
}

/// Whether a time has an offset from UTC; `None` if it is not a time.
fn offset_of_time(text: &str) -> Option<bool> {
    let without_offset = |text: &str| {
        let (time, fraction) = text.split_once(['.', ',']).map_or((text, None), |(t, f)| (t, Some(f)));
        let digits = |fraction: &str| !fraction.is_empty() && fraction.chars().all(|c| c == 'S');
        HOURS.contains(&time) && (fraction.is_none() || time.ends_with("ss") && fraction.is_some_and(digits))
    };
    if without_offset(text) {
        return Some(false);
    }
    let mut times = OFFSETS.iter().filter_map(|offset| text.strip_suffix(offset));
    times.any(|time| without_offset(time.trim_end())).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::{Iso, iso};

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
            assert!(iso(format).is_some(), "{format}");
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
            assert_eq!(iso(format), None, "{format}");
        }
    }

    #[test]
    fn a_format_shows_whether_there_is_a_date_and_an_offset() {
        let of = |date, offset| Some(Iso { date, offset });
        assert_eq!(iso("yyyy-MM-dd"), of(true, false));
        assert_eq!(iso("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"), of(true, true));
        assert_eq!(iso("HH:mm:ss"), of(false, false));
        assert_eq!(iso("HH:mm:ssXXX"), of(false, true));
    }
}
