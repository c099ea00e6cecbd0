//! Chooses the type of a column from the statistics of its field. Pure.

use super::sample_statistics::Field;

/// The type of the column, and what is uncertain about it. `declared`: the type that the schema of the field says.
pub(super) fn type_of(field: &Field, declared: Option<&str>, records: u64) -> (String, Vec<String>) {
    let (type_name, mut doubts) = match declared {
        Some("timestamp") => {
            let doubt = "without a time zone; timestamptz takes it as UTC";
            ("timestamp".to_owned(), vec![doubt.to_owned()])
        }
        Some(type_name) => (type_name.to_owned(), Vec::new()),
        None => guessed(field),
    };
    if field.null_bytes > 0 {
        doubts.push(
            "contains U+0000, which PostgreSQL does not store: such records are rejected unless null_bytes is \
             \"strip\" or \"replace\""
                .to_owned(),
        );
    }
    if field.present < records {
        doubts.push(format!("in {} of {records} records only", field.present));
    }
    (type_name, doubts)
}

/// The type that all values of the sample fit.
fn guessed(field: &Field) -> (String, Vec<String>) {
    let mut doubts = Vec::new();
    let array = array_of(field);
    let is_array = array.is_some();
    let (type_name, doubt) = array.unwrap_or_else(|| {
        let (type_name, doubt) = choose(field);
        (type_name.to_owned(), doubt)
    });
    doubts.extend(doubt.map(str::to_owned));
    if field.number_strings > 0 && field.number_strings == field.valued() && !is_array {
        let takes = if field.takes.bigint { "bigint" } else { "numeric" };
        doubts
            .push(format!("every value in the sample is a number in a string, which {takes} takes as well"));
    }
    if field.unwrapped > 0 && type_name != "jsonb" && !is_array {
        doubts.push("arrays of one element, stored as that element".to_owned());
    }
    (type_name, doubts)
}

/// The type of a field that is always an array of scalars of one type.
fn array_of(field: &Field) -> Option<(String, Option<&'static str>)> {
    let elements = field.elements.as_deref().filter(|_| field.arrays == field.valued())?;
    let (element, _) = choose(elements);
    let kinds = [elements.booleans, elements.numbers, elements.strings].iter().filter(|n| **n > 0).count();
    if kinds != 1 || elements.nested > 0 || element == "jsonb" {
        return None;
    }
    let single = field.unwrapped == field.arrays;
    let doubt = "every array in the sample has one element, which a column that is no array takes as well";
    Some((format!("{element}[]"), single.then_some(doubt)))
}

fn choose(field: &Field) -> (&'static str, Option<&'static str>) {
    let takes = field.takes;
    let kinds =
        [field.booleans, field.numbers, field.strings, field.nested].iter().filter(|n| **n > 0).count();
    if field.valued() == 0 {
        return ("text", Some("only nulls in the sample"));
    }
    if field.nested > 0 {
        let doubt = if kinds > 1 { "objects or arrays mixed with scalars" } else { "nested: stored as JSON" };
        return ("jsonb", Some(doubt));
    }
    if kinds > 1 {
        return if takes.text {
            ("text", Some("mixed types: numbers and booleans are stored as their text"))
        } else {
            ("jsonb", Some("mixed types: stored as JSON"))
        };
    }
    if field.booleans > 0 {
        return ("boolean", None);
    }
    if field.strings > 0 {
        return match takes {
            _ if takes.uuid => {
                ("uuid", Some("every value in the sample is a UUID; use text if others may follow"))
            }
            _ if takes.date => {
                ("date", Some("every value in the sample is a date; use text if others may follow"))
            }
            _ if takes.timestamptz => (
                "timestamptz",
                Some("every value in the sample is a time with an offset; the offset itself is not stored"),
            ),
            _ if takes.timestamp => (
                "timestamp",
                Some(
                    "every value in the sample is a time without an offset; timestamptz would read it as UTC",
                ),
            ),
            _ => ("text", None),
        };
    }
    if field.fractions == 0 && takes.bigint {
        let millis = field.epochs == field.numbers;
        return (
            "bigint",
            millis.then_some("may be milliseconds since 1970, which timestamptz accepts as well"),
        );
    }
    if field.fractions == 0 && takes.numeric {
        return ("numeric", Some("integers beyond the range of bigint"));
    }
    if takes.numeric && !takes.double {
        return ("numeric", Some("beyond the range of double precision"));
    }
    if field.inexact == 0 && takes.double {
        return (
            "double precision",
            Some("fractions; use numeric to keep every digit, for example of amounts of money"),
        );
    }
    if takes.numeric {
        return ("numeric", Some("more digits than double precision keeps"));
    }
    ("jsonb", Some("numbers beyond the range of every numeric type: stored as JSON"))
}
