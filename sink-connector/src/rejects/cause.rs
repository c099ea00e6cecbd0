//! What a rejected record needs, by the cause of its rejection: the hints of `check` and `dead-letters`.

use crate::decode::{Reason, Rejection, Wider};
use crate::postgres::failure::Failure;
use crate::postgres::sql::{TableName, ident};

/// Why records are rejected, as far as it decides what to do. Records with one cause need one action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cause {
    pub reason: Reason,
    /// The column whose value was rejected.
    pub column: Option<String>,
    /// The server's error code, if the server refused the row.
    pub sqlstate: Option<String>,
    /// The constraint that the server named.
    pub constraint: Option<String>,
}

impl Cause {
    pub(crate) fn of(rejection: &Rejection, failure: Option<&Failure>) -> Self {
        Self {
            reason: rejection.reason,
            column: rejection.column.clone(),
            sqlstate: failure.and_then(|failure| failure.sqlstate.clone()),
            constraint: failure.and_then(|failure| failure.constraint.clone()),
        }
    }

    /// The reason with the server's code and constraint, for people.
    pub(crate) fn title(&self) -> String {
        let server: Vec<&str> =
            [&self.sqlstate, &self.constraint].into_iter().flatten().map(String::as_str).collect();
        if server.is_empty() {
            self.reason.to_string()
        } else {
            format!("{} ({})", self.reason, server.join(" "))
        }
    }

    /// What to do about it. `needed` are the columns of the key and of the version, without which no record can be written.
    /// `wider` is a type that takes the values, if the column's type is too narrow.
    pub(crate) fn hint(&self, table: &TableName, needed: &[String], wider: Option<Wider>) -> String {
        let table = table.sql();
        let is_needed = self.column.as_ref().is_some_and(|column| needed.contains(column));
        let column = self.column.as_deref().map(ident);
        match (self.reason, column, wider) {
            (Reason::MissingField | Reason::NullValue, Some(_), _) if is_needed => {
                "correct the producer, or map the field in sink.rename".to_owned()
            }
            (Reason::MissingField | Reason::NullValue, Some(column), _) => format!(
                "correct the producer, map the field in sink.rename, or ALTER TABLE {table} ALTER COLUMN {column} DROP NOT \
                 NULL; a DEFAULT helps where the field is missing"
            ),
            (Reason::OutOfRange | Reason::TooLong, Some(column), Some(wider)) => format!(
                "correct the producer, or ALTER TABLE {table} ALTER COLUMN {column} TYPE {}",
                wider.as_str()
            ),
            (Reason::WrongType, Some(column), _) => {
                format!("correct the producer, or the type of column {column}")
            }
            (Reason::UnknownField, ..) => "add a column, or set sink.unknown_fields = \"ignore\"".to_owned(),
            (Reason::NullByte, ..) => "set sink.null_bytes to strip or replace".to_owned(),
            (Reason::DuplicateKey, ..) => {
                "the key is in the table: discard the dead letter, or set sink.insert_mode = \"upsert\""
                    .to_owned()
            }
            (Reason::Refused, ..) => self.refused(&table),
            (Reason::NotAnObject | Reason::InvalidEnvelope | Reason::UnsupportedOperation, ..) => {
                "correct the producer, or set sink.value_format to the format of the records".to_owned()
            }
            _ => "correct the producer".to_owned(),
        }
    }

    /// What to do about a row that the server refuses.
    fn refused(&self, table: &str) -> String {
        let constraint = self.constraint.as_deref().map_or_else(|| "the constraint".to_owned(), ident);
        match self.sqlstate.as_deref() {
            Some("23514") => format!(
                "the row violates the CHECK constraint {constraint}: correct the producer, or change the constraint of {table}"
            ),
            Some("23503") => {
                format!("write the row that foreign key {constraint} refers to, then run dead-letters replay")
            }
            Some("23505" | "23P01") => format!(
                "another row of {table} has the same value in {constraint}: correct the producer, or remove that row"
            ),
            Some("23502") => "correct the producer, or the NOT NULL of the column".to_owned(),
            Some("42501" | "44000") => {
                format!(
                    "a policy or view of {table} does not admit the row: correct the producer or the policy"
                )
            }
            Some("57014") => format!(
                "find the trigger or constraint of {table} that holds the row up, then run dead-letters replay"
            ),
            Some("P0001") => {
                format!("a trigger of {table} refuses the row: correct the producer or the trigger")
            }
            _ => "see the server's message: correct the producer, or the table".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(reason: Reason, sqlstate: Option<&str>, wider: Option<Wider>) -> String {
        let cause = Cause {
            reason,
            column: (reason != Reason::Refused).then(|| "n".to_owned()),
            sqlstate: sqlstate.map(str::to_owned),
            constraint: sqlstate.map(|_| "t_n_check".to_owned()),
        };
        cause.hint(&TableName::parse("s.t"), &["id".to_owned()], wider)
    }

    #[test]
    fn a_hint_fits_its_cause() {
        let wider = hint(Reason::OutOfRange, None, Some(Wider::BigInt));
        assert!(wider.ends_with("ALTER TABLE \"s\".\"t\" ALTER COLUMN \"n\" TYPE bigint"), "{wider}");
        let check = hint(Reason::Refused, Some("23514"), None);
        assert!(check.contains("CHECK constraint \"t_n_check\"") && !check.contains("type"), "{check}");
        for (reason, state) in
            [(Reason::OutOfRange, None), (Reason::Refused, Some("23503")), (Reason::InvalidJson, None)]
        {
            assert!(!hint(reason, state, None).contains("type"), "{reason}");
        }
        assert!(hint(Reason::WrongType, None, None).contains("type of column \"n\""));
    }

    /// PostgreSQL refuses DROP NOT NULL for a column of the primary key.
    #[test]
    fn no_hint_makes_a_column_of_the_key_nullable() {
        for reason in [Reason::MissingField, Reason::NullValue] {
            let of = |column: &str| {
                let cause =
                    Cause { reason, column: Some(column.to_owned()), sqlstate: None, constraint: None };
                cause.hint(&TableName::parse("t"), &["id".to_owned()], None)
            };
            assert_eq!(of("id"), "correct the producer, or map the field in sink.rename");
            assert!(of("name").contains("ALTER COLUMN \"name\" DROP NOT NULL"), "{}", of("name"));
        }
    }

    #[test]
    fn every_reason_has_a_hint() {
        for reason in Reason::ALL {
            assert!(!hint(reason, None, None).is_empty(), "{reason}");
        }
    }
}
