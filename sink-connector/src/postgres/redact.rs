//! Messages of PostgreSQL without values of records: for logs, /readyz, /status and the output of commands.
//!
//! The whole report of an error, with its detail, belongs into a dead letter only. Details carry keys and whole rows
//! (`Failing row contains (…)`), and messages quote the value that a type refuses.

use postgres::error::DbError;

use super::redact_functions::in_function;

/// What stands for a value.
const HIDDEN: &str = "…";

/// Words before a quoted text that names an object of the database, not a value.
pub(super) const NAMING: &[&str] = &[
    "cast",
    "column",
    "collation",
    "constraint",
    "database",
    "directory",
    "domain",
    "encoding",
    "extension",
    "file",
    "function",
    "group",
    "host",
    "index",
    "language",
    "library",
    "operator",
    "parameter",
    "partition",
    "policy",
    "procedure",
    "publication",
    "relation",
    "role",
    "routine",
    "rule",
    "savepoint",
    "schema",
    "sequence",
    "server",
    "setting",
    "slot",
    "statement",
    "subscription",
    "table",
    "tablespace",
    "trigger",
    "type",
    "user",
    "view",
];

/// Classes of codes whose details and hints are about the server, a lock or a name, never about a value.
const OF_THE_SERVER: &[&str] = &["08", "25", "26", "28", "3D", "3F", "40", "42", "53", "55", "57"];

/// The error's message for people other than the readers of dead letters, with its code.
pub(crate) fn message(error: &DbError) -> String {
    let code = error.code().code();
    if let Some(function) = in_function(error) {
        return function.message(error);
    }
    if is_of_a_value(error) {
        return format!("the type of a column refuses a value ({code})");
    }
    let mut message = format!("{} ({code})", without_values(error.message(), NAMING));
    // 42601 is also what types with a grammar of their own (ltree, tsquery) raise for a value.
    if code != "42601" && OF_THE_SERVER.contains(&&code[..2]) {
        for part in [error.detail(), error.hint()].into_iter().flatten() {
            message.push_str("; ");
            message.push_str(&without_values(part, NAMING));
        }
    }
    message
}

/// Whether the error comes from the input function of a type for a value that names an object, such as a `regclass`: its
/// message names what the value does. The context quotes the value then.
fn is_of_a_value(error: &DbError) -> bool {
    let naming = ["0A", "3F", "42"].contains(&&error.code().code()[..2]);
    naming && error.where_().and_then(|context| context.lines().next()).is_some_and(is_at_a_value)
}

/// Whether a line of context is that of a value: `COPY t, line 1, column v: "x"` in the language of the server. That of a
/// row has no column: `COPY t, line 1: "x"`.
fn is_at_a_value(line: &str) -> bool {
    let place = line.split(['"', '«', '»', '„', '“', '「']).next().unwrap_or_default();
    let copied = line.contains("COPY") && place.len() < line.len() && place.matches([',', '、']).count() >= 2;
    copied || line.contains("parameter $")
}

/// The whole report of an error, for a dead letter.
pub(crate) fn report(error: &DbError) -> String {
    let mut report = format!("{} ({})", error.message(), error.code().code());
    for part in [error.detail(), error.hint()].into_iter().flatten() {
        report.push_str("; ");
        report.push_str(part);
    }
    report
}

/// Hides quoted texts, in any language of the server, unless they follow a word of `naming`.
pub(super) fn without_values(message: &str, naming: &[&str]) -> String {
    let mut kept = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((at, open)) = rest.char_indices().find(|(_, c)| matches!(c, '"' | '«' | '„' | '“')) {
        let (before, quoted) = rest.split_at(at);
        let quoted = &quoted[open.len_utf8()..];
        kept.push_str(before);
        let word = before.trim_end_matches(' ').rsplit([' ', '(']).next().unwrap_or_default();
        let close: &[char] = match open {
            '"' => &['"'],
            '«' => &['»'],
            _ => &['“', '”'],
        };
        if naming.contains(&word) {
            // An identifier with a quote in it is rare, and then its rest is hidden.
            let end = quoted.find(close).map_or(quoted.len(), |end| end + close_len(&quoted[end..]));
            kept.push(open);
            kept.push_str(&quoted[..end]);
            rest = &quoted[end..];
        } else {
            // A value may have quotes itself: it ends with the last one.
            let end = quoted.rfind(close).map_or(quoted.len(), |end| end + close_len(&quoted[end..]));
            kept.push_str(HIDDEN);
            rest = &quoted[end..];
        }
    }
    kept.push_str(rest);
    kept
}

fn close_len(from: &str) -> usize {
    from.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_values_go() {
        for (message, expected) in [
            ("relation \"sick\" does not exist", "relation \"sick\" does not exist"),
            (
                "duplicate key value violates unique constraint \"t_u_key\"",
                "duplicate key value violates unique constraint \"t_u_key\"",
            ),
            (
                "new row for relation \"t\" violates check constraint \"c\"",
                "new row for relation \"t\" violates check constraint \"c\"",
            ),
            ("invalid input syntax for type integer: \"SECRET\"", "invalid input syntax for type integer: …"),
            ("value \"SECRET\" is out of range for type integer", "value … is out of range for type integer"),
            ("invalid input value for enum mood: \"a\" b \"SECRET\"", "invalid input value for enum mood: …"),
            ("date/time field value out of range: \"a\"SECRET\"\"", "date/time field value out of range: …"),
            ("syntax error in tsquery: \"SECRET", "syntax error in tsquery: …"),
            (
                "ungültige Eingabesyntax für Typ integer: „SECRET“",
                "ungültige Eingabesyntax für Typ integer: …",
            ),
            ("syntaxe invalide : « SECRET »", "syntaxe invalide : …"),
            ("column \"c\" of relation \"t\" is new", "column \"c\" of relation \"t\" is new"),
            ("ltree syntax error at character 3", "ltree syntax error at character 3"),
        ] {
            assert_eq!(without_values(message, NAMING), expected);
        }
    }

    #[test]
    fn a_line_of_context_is_that_of_a_value_if_it_names_a_column() {
        for line in [
            "COPY t, line 1, column v: \"x\"",
            "COPY t, Zeile 1, Spalte v: »x«",
            "COPY t, ligne 1, colonne v : « x »",
            "unnamed portal parameter $1 = 'x'",
        ] {
            assert!(is_at_a_value(line), "{line}");
        }
        for line in ["COPY t, line 1: \"1\tx\"", "COPY t, line 1", "PL/pgSQL function f() line 1 at RAISE"] {
            assert!(!is_at_a_value(line), "{line}");
        }
    }
}
