//! What an SQLSTATE means for the sink: the error policy, as one table.
//!
//! The codes are those of Appendix A of PostgreSQL's manual. A code that is not in the table is a configuration error, so that
//! an unknown code never drops a record.

/// How the sink reacts to an error of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The record becomes a dead letter. The rest of its batch is written.
    Record,
    /// The same batch is retried without limit.
    Transient,
    /// The operator has to fix the table or the configuration. Nothing is dropped; the sink reads the catalog again and
    /// retries the same batch slowly.
    Configuration,
}

impl Class {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Transient => "transient",
            Self::Configuration => "configuration",
        }
    }
}

/// An additional condition of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// The error names no constraint, and its source is none of those that refuse a row without naming one.
    WithoutConstraint,
    /// A policy of row-level security refused the new row.
    RowSecurity,
    /// The same batch has met the same code before: [`again`].
    Again,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// A whole code, or the two characters of a class of codes.
    pub code: &'static str,
    pub when: When,
    pub class: Class,
    /// What the code means, for the reference.
    pub meaning: &'static str,
}

const fn rule(code: &'static str, class: Class, meaning: &'static str) -> Rule {
    Rule { code, when: When::Always, class, meaning }
}

const fn rule_when(code: &'static str, when: When, class: Class, meaning: &'static str) -> Rule {
    Rule { code, when, class, meaning }
}

use Class::{Configuration, Record, Transient};

/// The error policy. The first rule that fits applies, so exceptions stand before their class of codes.
pub(crate) const RULES: &[Rule] = &[
    // --- the record
    rule("22P03", Configuration, "binary representation refused: encoded for a table that has changed since"),
    rule("22P04", Configuration, "COPY data refused: encoded for a table that has changed since"),
    rule("2200H", Configuration, "a sequence has no values left"),
    rule("22", Record, "data: out of range, not a date, not valid in its type"),
    rule_when(
        "23514",
        When::WithoutConstraint,
        Configuration,
        "no partition of the table takes the row: create one, or a DEFAULT partition",
    ),
    rule("23", Record, "integrity: NOT NULL, foreign key, unique, CHECK, exclusion"),
    rule("44000", Record, "WITH CHECK OPTION of a view"),
    rule("54000", Record, "a limit exceeded: an index row too large"),
    rule("P0001", Record, "RAISE EXCEPTION in a trigger"),
    rule_when("42501", When::RowSecurity, Record, "row-level security refuses the row"),
    // --- the surroundings
    rule("08", Transient, "connection lost or refused"),
    rule("25006", Transient, "read-only: a standby, or a failover under way"),
    rule("25P03", Transient, "idle in transaction for too long"),
    rule("25P04", Transient, "transaction took too long"),
    rule("40001", Transient, "serialization failure"),
    rule("40P01", Transient, "deadlock"),
    rule("53400", Configuration, "configuration limit exceeded"),
    rule("53", Transient, "resources: disk full, out of memory, too many connections"),
    rule("55006", Transient, "object in use"),
    rule("55P03", Transient, "lock not available within lock_timeout"),
    rule("57", Transient, "operator: shutdown, starting up, cancelled, terminated"),
    rule_when("58", When::Again, Configuration, "system: I/O error, again"),
    rule("58", Transient, "system: I/O error, for the first time"),
    rule_when("XX000", When::Again, Configuration, "internal error, again"),
    rule("XX000", Transient, "internal error, for the first time"),
    // --- for the operator to fix
    rule("0A000", Configuration, "feature not supported"),
    rule("26000", Configuration, "prepared statement missing: a pooler in transaction mode"),
    rule("28", Configuration, "role or password refused"),
    rule("3D000", Configuration, "no such database"),
    rule("3F000", Configuration, "no such schema"),
    rule("42", Configuration, "no such table or column, no permission"),
    rule("55000", Configuration, "object not in the state needed"),
    rule("XX001", Configuration, "data corrupted"),
    rule("XX002", Configuration, "index corrupted"),
];

/// Classifies an error at its first occurrence.
///
/// `source` is the server's routine or, without one, its message. It distinguishes row-level security from a missing
/// permission; unlike messages, routines do not depend on `lc_messages`.
#[must_use]
pub(crate) fn classify(sqlstate: &str, constraint: Option<&str>, source: &str) -> Class {
    find(sqlstate, constraint, source, false)
}

/// Classifies an error that the same batch has met before. A repeated internal error is not transient.
#[must_use]
pub(crate) fn again(sqlstate: &str, constraint: Option<&str>, source: &str) -> Class {
    find(sqlstate, constraint, source, true)
}

/// Whether single records may cause this configuration error, for example a type or a trigger that fails for a value. Errors
/// that do not depend on the record are excluded, and a missing partition, which the operator can create.
#[must_use]
pub(crate) fn may_be_the_records(sqlstate: &str) -> bool {
    let never = ["23", "26", "28", "3D", "53"];
    let never = never.iter().any(|code| sqlstate.starts_with(code)) || is_corruption(sqlstate);
    again(sqlstate, None, "") == Configuration && !never
}

/// Data or an index is corrupted. It is never a record's fault.
#[must_use]
pub(crate) fn is_corruption(sqlstate: &str) -> bool {
    ["XX001", "XX002"].contains(&sqlstate)
}

/// Whether RAISE or ASSERT in a function of PL/pgSQL raised it. Its code is what somebody chose.
#[must_use]
pub(crate) fn is_raised(routine: &str) -> bool {
    ["exec_stmt_raise", "exec_stmt_assert"].contains(&routine)
}

/// Whether an error may be the trouble of one table, while others can be written: it is missing, locked, forbidden, its disk
/// is full, its triggers fail. Not so where the connection or the whole server is in trouble.
#[must_use]
pub(crate) fn may_be_a_tables(sqlstate: &str) -> bool {
    let whole = ["26", "28", "3D", "53300", "53400"];
    let of_one = ["53", "55", "58", "XX"];
    let any = |codes: &[&str]| codes.iter().any(|code| sqlstate.starts_with(code));
    !any(&whole) && (any(&of_one) || again(sqlstate, None, "") == Configuration)
}

/// Whether the input function of a type may raise it for a value. A missing privilege is for the operator.
#[must_use]
pub(crate) fn may_be_a_values(sqlstate: &str) -> bool {
    let any = ["0A", "22", "3F", "42", "54", "XX000"].iter().any(|code| sqlstate.starts_with(code));
    any && sqlstate != "42501"
}

/// Whether the input function of a type raises it for a value only. Any other error it may also raise because a library or a
/// function is missing, and then for every value.
#[must_use]
pub(crate) fn is_syntax_of_a_value(sqlstate: &str) -> bool {
    ["22", "42601", "42602", "42622", "42704", "54"].iter().any(|code| sqlstate.starts_with(code))
}

/// Routines of the server that refuse a row and usually name no constraint: RAISE in PL/pgSQL, a partition that is written
/// itself and has other bounds, and a constraint of a foreign table.
const REFUSE_A_ROW: [&str; 3] = ["exec_stmt_raise", "ExecPartitionCheckEmitError", "pgfdw_report_error"];

fn find(sqlstate: &str, constraint: Option<&str>, source: &str, again: bool) -> Class {
    let fits = |rule: &&Rule| {
        let code = if rule.code.len() == 2 { sqlstate.starts_with(rule.code) } else { sqlstate == rule.code };
        code && match rule.when {
            When::Always => true,
            When::WithoutConstraint => constraint.is_none() && !REFUSE_A_ROW.contains(&source),
            When::RowSecurity => is_row_security(source),
            When::Again => again,
        }
    };
    RULES.iter().find(fits).map_or(Configuration, |rule| rule.class)
}

/// Whether a 42501 is a policy's refusal of a row. `ExecWithCheckOptions` is the routine that raises it
/// (src/backend/executor/execMain.c).
fn is_row_security(source: &str) -> bool {
    source == "ExecWithCheckOptions" || source.starts_with("new row violates row-level security policy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(codes: &str, expected: Class) {
        for code in codes.split_whitespace() {
            assert_eq!(classify(code, Some("c"), ""), expected, "{code}");
        }
    }

    #[test]
    fn the_record_is_at_fault() {
        all("22001 22003 22007 22008 22021 22P02 22P05 2202E 22000", Record);
        all("23000 23001 23502 23503 23505 23514 23P01", Record);
        all("44000 54000 P0001", Record);
        for source in ["new row violates row-level security policy for table \"t\"", "ExecWithCheckOptions"] {
            assert_eq!(classify("42501", None, source), Record);
        }
    }

    #[test]
    fn the_surroundings_are_at_fault() {
        all("08000 08001 08003 08004 08006 08007 08P01", Transient);
        all("25006 25P03 25P04 40001 40P01 55006 55P03", Transient);
        all("53000 53100 53200 53300", Transient);
        all("57000 57014 57P01 57P02 57P03 57P04 57P05 58000 58030 58P01 58P02", Transient);
    }

    #[test]
    fn the_operator_has_to_fix_it() {
        all("0A000 2200H 22P03 22P04 26000 28000 28P01 3D000 3F000 53400 55000 XX001 XX002", Configuration);
        all("42501 42601 42703 42804 42P01 42P10", Configuration);
        assert_eq!(classify("42501", None, "permission denied for table t"), Configuration);
        let other = "query would be affected by row-level security policy for table \"t\"";
        assert_eq!(classify("42501", None, other), Configuration);
    }

    #[test]
    fn a_check_without_a_name_is_a_missing_partition() {
        assert_eq!(classify("23514", Some("positive"), ""), Record);
        assert_eq!(classify("23514", None, ""), Configuration);
        assert_eq!(classify("23514", None, "ExecFindPartition"), Configuration);
        for source in ["exec_stmt_raise", "ExecPartitionCheckEmitError", "pgfdw_report_error"] {
            assert_eq!(classify("23514", None, source), Record, "{source}");
        }
        assert_eq!(classify("23505", None, ""), Record);
    }

    #[test]
    fn some_errors_for_the_operator_may_be_the_records() {
        for code in "42601 42703 42883 0A000 2200H 22P03 22P04 54001 55000 58030 21000 P0002 XX000 99999"
            .split_whitespace()
        {
            assert!(may_be_the_records(code), "{code}");
        }
        for code in "23514 28P01 3D000 26000 53100 53400 XX001 XX002 40001 P0001 22003".split_whitespace() {
            assert!(!may_be_the_records(code), "{code}");
        }
    }

    #[test]
    fn some_errors_may_be_one_tables_and_some_are_those_of_the_whole_connection() {
        assert!(
            "42P01 42501 53100 55P03 55006 58030 XX000 XX001 0A000 2200H 23514 99999"
                .split_whitespace()
                .all(may_be_a_tables)
        );
        let whole = "08006 25006 26000 28P01 3D000 40001 40P01 53300 57014 57P01 57P03 22003 P0001";
        assert!(!whole.split_whitespace().any(may_be_a_tables));
    }

    #[test]
    fn a_missing_function_is_no_fault_of_a_value() {
        assert!("22P02 42601 42883 42P01 3F000 0A000 XX000 54001".split_whitespace().all(may_be_a_values));
        assert!(!"42501 58P01 XX001 57014".split_whitespace().any(may_be_a_values));
        assert!("22P02 42601 42622 54001".split_whitespace().all(is_syntax_of_a_value));
        assert!(!"42883 42P01 58P01 XX000 XX001 0A000".split_whitespace().any(is_syntax_of_a_value));
    }

    #[test]
    fn an_internal_error_is_transient_once() {
        assert_eq!(classify("XX000", None, ""), Transient);
        assert_eq!([again("XX000", None, ""), again("58030", None, "")], [Configuration; 2]);
        for rule in RULES.iter().filter(|rule| rule.when == When::Always && rule.code.len() == 5) {
            assert_eq!(rule.code == "XX000", classify(rule.code, None, "") != again(rule.code, None, ""));
        }
    }

    #[test]
    fn what_is_not_listed_waits_for_the_operator() {
        all(
            "01000 02000 0Z000 21000 25P02 34000 38000 40002 40003 F0000 HV000 P0002 P0004 54001 55P04 99999",
            Configuration,
        );
        assert_eq!(classify("", None, ""), Configuration);
        assert_eq!(classify("2", None, ""), Configuration);
    }

    #[test]
    fn no_row_hides_a_later_one() {
        for (index, later) in RULES.iter().enumerate() {
            assert!(later.code.len() == 2 || later.code.len() == 5, "{}", later.code);
            for earlier in &RULES[..index] {
                let hides = earlier.when == When::Always && later.code.starts_with(earlier.code);
                assert!(!hides, "{} hides {}", earlier.code, later.code);
            }
        }
    }
}
