//! The type for what was seen of a field. Pure.

use super::survey::Field;

/// The column's type, and what is doubtful about it.
pub fn type_of(field: &Field, records: u64) -> (&'static str, Vec<String>) {
    let mut doubts = Vec::new();
    let (type_name, doubt) = choose(field);
    doubts.extend(doubt.map(str::to_owned));
    if field.unwrapped > 0 && type_name != "jsonb" {
        doubts.push("arrays of one element, stored as the element".to_owned());
    }
    if field.null_bytes > 0 {
        doubts.push("has U+0000, which sink.null_bytes decides about".to_owned());
    }
    if field.present < records {
        doubts.push(format!("in {} of {records} records only", field.present));
    }
    (type_name, doubts)
}

fn choose(field: &Field) -> (&'static str, Option<&'static str>) {
    let takes = field.takes;
    let kinds =
        [field.booleans, field.numbers, field.strings, field.nested].iter().filter(|n| **n > 0).count();
    if field.valued() == 0 {
        return ("text", Some("only nulls seen"));
    }
    if field.nested > 0 {
        let doubt = if kinds > 1 { "objects or arrays mixed with scalars" } else { "nested: stored as JSON" };
        return ("jsonb", Some(doubt));
    }
    if kinds > 1 {
        return if takes.text {
            ("text", Some("types mixed: numbers and truth values are stored as their text"))
        } else {
            ("jsonb", Some("types mixed: stored as JSON"))
        };
    }
    if field.booleans > 0 {
        return ("boolean", None);
    }
    if field.strings > 0 {
        return match takes {
            _ if takes.uuid => ("uuid", Some("every value is a UUID; text takes anything else as well")),
            _ if takes.date => ("date", Some("every value is a date; text takes anything else as well")),
            _ if takes.timestamptz => {
                ("timestamptz", Some("every value is a time with an offset; the offset itself is not kept"))
            }
            _ if takes.timestamp => (
                "timestamp",
                Some("every value is a time without an offset; timestamptz would read it as UTC"),
            ),
            _ => ("text", None),
        };
    }
    if field.fractions == 0 && takes.bigint {
        let millis = field.epochs == field.numbers;
        return (
            "bigint",
            millis.then_some("may be milliseconds since 1970, which timestamptz takes as they are"),
        );
    }
    if field.fractions == 0 && takes.numeric {
        return ("numeric", Some("integers beyond bigint"));
    }
    if field.inexact == 0 && takes.double {
        return ("double precision", Some("fractions: numeric would keep every digit, as money needs"));
    }
    if takes.numeric {
        return ("numeric", Some("more digits than double precision keeps"));
    }
    ("jsonb", Some("numbers beyond every numeric type: stored as JSON"))
}
