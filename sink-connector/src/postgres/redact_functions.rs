//! Errors inside of functions: triggers, defaults, CHECK constraints. A function may put values of a record into any text: the
//! message of a RAISE or an ASSERT, the name of a table in a statement that it composes.

use postgres::error::DbError;

use super::redact::{NAMING, without_values};

/// Classes of codes of errors that the server raises for its own reasons, wherever it is.
const OF_THE_SERVER: &[&str] = &["40", "53", "55", "57", "58"];
/// Source files of the server that check statements: what their messages quote are names in the statement, not values.
const CHECKING: &[&str] = &["aclchk.c", "execMain.c", "nbtinsert.c", "parse_relation.c", "ri_triggers.c"];
/// Source files of procedural languages.
const RAISING: &[&str] = &["pl_exec.c", "plperl.c", "plpy_elog.c", "pltcl.c"];

/// The function that an error comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    name: String,
    /// The error is that of a statement which the function's text contains.
    in_its_text: bool,
}

/// The innermost function that an error comes from, if it comes from one.
pub(super) fn in_function(error: &DbError) -> Option<Function> {
    let raises = matches!(error.routine(), Some("exec_stmt_raise" | "exec_stmt_assert"));
    let nameless = || raises.then(|| Function { name: "a function".to_owned(), in_its_text: false });
    error.where_().and_then(of_context).or_else(nameless)
}

impl Function {
    /// The error's message without values.
    pub(super) fn message(&self, error: &DbError) -> String {
        let (code, file) = (error.code().code(), error.file().unwrap_or_default());
        let name = &self.name;
        if self.in_its_text && CHECKING.contains(&file) {
            return format!("{} ({code}), in {name}", without_values(error.message(), NAMING));
        }
        if OF_THE_SERVER.contains(&&code[..2]) && !file.is_empty() && !RAISING.contains(&file) {
            return format!("{} ({code}), in {name}", without_values(error.message(), &[]));
        }
        format!("{name} has raised an exception ({code})")
    }
}

/// The function of a context: a line for each level, the innermost first, in the language of the server.
fn of_context(context: &str) -> Option<Function> {
    let mut lines =
        context.lines().take_while(|line| !is_outermost(line)).filter(|line| !is_of_the_server(line));
    let mut function = Function { name: "a function".to_owned(), in_its_text: true };
    let (mut named, mut in_statement) = (false, false);
    let first = lines.next()?;
    for line in std::iter::once(first).chain(lines) {
        if let Some(statement) = line.strip_prefix("SQL statement \"") {
            in_statement = !statement.ends_with('"');
        } else if in_statement {
            in_statement = !line.ends_with('"');
        } else if let Some(name) = name(line) {
            if !named {
                function.name = name.to_owned();
            }
            named = true;
            function.in_its_text &= [" at SQL statement", " at PERFORM"].iter().any(|at| line.ends_with(at));
        } else {
            function.in_its_text = false;
        }
    }
    function.in_its_text &= named;
    Some(function)
}

/// What a line calls its function, in English.
fn name(line: &str) -> Option<&str> {
    if line.starts_with("PL/pgSQL function ") {
        return line.split(" line ").next();
    }
    let quoted = ["PL/Python function \"", "PL/Perl function \"", "SQL function \""];
    let prefix = quoted.iter().find(|prefix| line.starts_with(**prefix))?;
    let end = line[prefix.len()..].find('"')?;
    Some(&line[..=prefix.len() + end])
}

/// Whether a line is that of a statement of the sink. A value in it may have several lines.
fn is_outermost(line: &str) -> bool {
    let place = line.split(['"', '«', '»', '„', '“', '「']).next().unwrap_or_default();
    !place.contains("PL/") && place.contains("COPY") || line.contains("parameter $")
}

/// Whether a line is about a statement of a foreign key, about a row, or about a value of JSON.
fn is_of_the_server(line: &str) -> bool {
    let foreign_key = ["SELECT 1 FROM ONLY ", "DELETE FROM ONLY ", "UPDATE ONLY "];
    let row = |part: &str| {
        let numbers = part.split_once(')').and_then(|(position, _)| position.split_once(','));
        numbers.is_some_and(|(block, item)| {
            [block, item].iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let function = line.contains("PL/");
    !function
        && (foreign_key.iter().any(|statement| line.contains(statement)) || line.split('(').skip(1).any(row))
        || line.starts_with("JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(context: &str) -> Option<(String, bool)> {
        of_context(context).map(|function| (function.name, function.in_its_text))
    }

    #[test]
    fn contexts_of_statements_of_the_sink_have_no_function() {
        for context in [
            "COPY t, line 1, column v: \"x\ny\"",
            "COPY t, Zeile 1, Spalte v: »PL/x«",
            "unnamed portal parameter $1 = 'x'",
            "JSON data, line 1: {\"a\nCOPY t, line 1, column j: \"{\"",
            "SQL statement \"SELECT 1 FROM ONLY \"public\".\"p\" x WHERE \"id\" = $1 FOR KEY SHARE OF x\"",
            "while locking tuple (0,12) in relation \"t\"",
        ] {
            assert_eq!(of(context), None, "{context}");
        }
    }

    #[test]
    fn the_innermost_function_is_named_and_whether_the_statement_is_in_its_text() {
        let copy = "\nCOPY t, line 1: \"x\"";
        for (context, name, in_its_text) in [
            ("PL/pgSQL function f(integer) line 3 at RAISE", "PL/pgSQL function f(integer)", false),
            ("PL/pgSQL function f() line 3 at ASSERT", "PL/pgSQL function f()", false),
            (
                "SQL statement \"INSERT INTO x\"\nPL/pgSQL function f() line 3 at EXECUTE",
                "PL/pgSQL function f()",
                false,
            ),
            (
                "SQL statement \"INSERT INTO audit\n  VALUES (1)\"\nPL/pgSQL function f() line 3 at SQL statement",
                "PL/pgSQL function f()",
                true,
            ),
            (
                "PL/pgSQL function g() line 1 at RAISE\nSQL statement \"INSERT INTO a\"\nPL/pgSQL function f() line 3 at SQL \
                 statement",
                "PL/pgSQL function g()",
                false,
            ),
            ("PL/pgSQL function f() line 3 at IF", "PL/pgSQL function f()", false),
            ("Traceback\nPL/Python function \"f\"", "PL/Python function \"f\"", false),
            ("SQL function \"f\" statement 1", "SQL function \"f\"", false),
            ("PL/pgSQL-Funktion f() Zeile 3 bei RAISE", "a function", false),
        ] {
            assert_eq!(of(&format!("{context}{copy}")), Some((name.to_owned(), in_its_text)), "{context}");
            assert_eq!(of(context), Some((name.to_owned(), in_its_text)), "{context}");
        }
    }
}
