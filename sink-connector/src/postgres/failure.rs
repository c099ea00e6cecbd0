//! Failed operations on PostgreSQL, with their class.

use std::collections::BTreeSet;

use postgres::error::{Severity, SqlState};
use thiserror::Error;

use crate::postgres::handshake::ConnectError;
use crate::postgres::redact;
use crate::postgres::sqlstate::{self, Class, again, classify};

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Failure {
    pub class: Class,
    pub sqlstate: Option<String>,
    pub constraint: Option<String>,
    pub table: Option<String>,
    /// The server refused a COPY before it read a row, for example because a column's default fails. No record is at fault, and
    /// the connection cannot be used again.
    pub before_rows: bool,
    /// A record fails, and nothing shows whether it or its table is at fault.
    pub undecided: bool,
    /// The connection cannot be used again.
    pub connection_lost: bool,
    /// A connection is still being made, and nothing has failed.
    pub(crate) connecting: bool,
    /// What happened, without values of records.
    pub message: String,
    /// The rest of the server's error.
    pub(crate) server: Option<Box<ServerReport>>,
}

/// What only a dead letter and the classification use of a server's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerReport {
    /// Message, detail and hint, which may quote the record. Only a dead letter stores them.
    pub text: String,
    /// The routine that raised the error.
    pub routine: Option<String>,
    /// A function of a procedural language was running.
    pub in_function: bool,
    /// It has ended the session: FATAL or PANIC.
    pub fatal: bool,
}

impl Failure {
    /// A failure that is retried.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::of(Class::Transient, message)
    }

    /// A failure that needs the operator.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::of(Class::Configuration, message)
    }

    /// There is no connection yet, and no reason why.
    pub(crate) fn connecting() -> Self {
        Self { connecting: true, ..Self::transient("PostgreSQL has not accepted the connection yet") }
    }

    fn of(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            sqlstate: None,
            constraint: None,
            table: None,
            before_rows: false,
            undecided: false,
            connection_lost: false,
            connecting: false,
            message: message.into(),
            server: None,
        }
    }

    /// What happened, for a dead letter.
    pub fn report(&self) -> &str {
        self.server.as_ref().map_or(&self.message, |server| &server.text)
    }

    /// The violated constraint or index, if this is a unique violation.
    pub fn unique_violation(&self) -> Option<&str> {
        let unique = self.sqlstate.as_deref() == Some(SqlState::UNIQUE_VIOLATION.code());
        if unique { self.constraint.as_deref() } else { None }
    }

    pub fn is_the_records(&self) -> bool {
        self.class == Class::Record && !self.before_rows
    }

    /// A configuration error, or a repeated internal error of the server, that a record may have caused. With RAISE a trigger
    /// gives its error any code.
    pub fn may_be_the_records(&self) -> bool {
        let state = self.sqlstate.as_deref();
        let may = |state| {
            sqlstate::may_be_the_records(state) || (self.may_stay() && !sqlstate::is_corruption(state))
        };
        self.class == Class::Configuration && !self.before_rows && state.is_some_and(may)
    }

    /// RAISE in a function of PL/pgSQL raised it, with a code of its choice.
    pub fn is_raised(&self) -> bool {
        let routine = self.server.as_ref().and_then(|server| server.routine.as_deref());
        routine.is_some_and(sqlstate::is_raised)
    }

    /// The server had not enough memory or locks for a statement.
    pub fn out_of_memory(&self) -> bool {
        self.sqlstate.as_deref() == Some(SqlState::OUT_OF_MEMORY.code()) && !self.is_raised()
    }

    /// It is retried at first, but a record may cause it each time: memory or locks are not enough for it, or a function does
    /// for it what this transaction may not, or connects elsewhere.
    pub fn may_stay(&self) -> bool {
        let codes = [
            SqlState::OUT_OF_MEMORY,
            SqlState::CONFIGURATION_LIMIT_EXCEEDED,
            SqlState::OBJECT_IN_USE,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        let state = self.sqlstate.as_deref().unwrap_or_default();
        let of_a_function = state.starts_with("08") && self.is_in_a_function();
        self.is_raised()
            || !self.ended_session() && (of_a_function || codes.iter().any(|code| state == code.code()))
    }

    /// It depends on the columns that a record carries: a privilege, a sequence. Records that carry others show nothing.
    pub fn depends_on_columns(&self) -> bool {
        let codes = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED];
        !self.is_raised() && codes.iter().any(|code| self.sqlstate.as_deref() == Some(code.code()))
    }

    /// An error that may be the trouble of one table, while others can be written.
    pub fn may_be_a_tables(&self) -> bool {
        if self.before_rows || (self.is_raised() && self.class == Class::Configuration) {
            return true;
        }
        match &self.sqlstate {
            Some(state) => sqlstate::may_be_a_tables(state),
            None => self.class == Class::Configuration && !self.connection_lost,
        }
    }

    /// The session has ended: by FATAL or PANIC, or because the connection was closed or broken.
    pub fn ended_session(&self) -> bool {
        match &self.server {
            Some(server) => server.fatal,
            None => self.connection_lost && self.class == Class::Transient,
        }
    }

    /// An error that the input function of a type may raise for a value.
    pub fn may_be_a_values(&self) -> bool {
        self.sqlstate.as_deref().is_some_and(sqlstate::may_be_a_values)
    }

    /// The row, or one that excludes it, is in the table.
    pub fn row_exists(&self) -> bool {
        let codes = [SqlState::UNIQUE_VIOLATION, SqlState::EXCLUSION_VIOLATION];
        !self.is_raised() && codes.iter().any(|code| self.sqlstate.as_deref() == Some(code.code()))
    }

    /// A function of a procedural language was running: that of a trigger, or one that a constraint or a default calls.
    pub fn is_in_a_function(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.in_function)
    }

    /// An error whose code says that a value is not in the syntax of its type.
    pub fn is_syntax_of_a_value(&self) -> bool {
        self.sqlstate.as_deref().is_some_and(sqlstate::is_syntax_of_a_value)
    }

    /// One statement met the same row twice (`INSERT … ON CONFLICT DO UPDATE`).
    pub fn cardinality_violation(&self) -> bool {
        self.sqlstate.as_deref() == Some(SqlState::CARDINALITY_VIOLATION.code())
    }

    /// Classifies the failure as one that the same batch has met before.
    #[must_use]
    pub fn met_again(self) -> Self {
        match &self.sqlstate {
            // A repeated error is never less than that.
            Some(_) if self.class == Class::Configuration => self,
            Some(state) => {
                let routine = self.server.as_ref().and_then(|server| server.routine.as_deref());
                let source = routine.unwrap_or(&self.message);
                Self { class: again(state, self.constraint.as_deref(), source), ..self }
            }
            None => self,
        }
    }

    pub fn into_configuration(self) -> Self {
        Self { class: Class::Configuration, ..self }
    }

    #[must_use]
    pub fn into_the_records(self) -> Self {
        Self { class: Class::Record, ..self }
    }

    /// The role lacks a privilege.
    pub fn permission_denied(&self) -> bool {
        self.class == Class::Configuration
            && self.sqlstate.as_deref() == Some(SqlState::INSUFFICIENT_PRIVILEGE.code())
    }

    /// A table is to be created without a schema, and the role may use none of the search path.
    pub(crate) fn no_schema(&self) -> bool {
        self.sqlstate.as_deref() == Some(SqlState::INVALID_SCHEMA_NAME.code())
    }

    /// With another text for people, which quotes no record either.
    #[must_use]
    pub(crate) fn with_report(self, text: String) -> Self {
        let server = self.server.map(|server| Box::new(ServerReport { text: text.clone(), ..*server }));
        Self { message: text, server, ..self }
    }

    pub fn undefined_table(&self) -> bool {
        self.sqlstate.as_deref() == Some(SqlState::UNDEFINED_TABLE.code())
    }

    /// A statement was cancelled. It may have waited for a lock.
    pub fn statement_timeout(&self) -> bool {
        self.sqlstate.as_deref() == Some(SqlState::QUERY_CANCELED.code()) && !self.is_raised()
    }

    pub fn lock_timeout(&self) -> bool {
        self.sqlstate.as_deref() == Some(SqlState::LOCK_NOT_AVAILABLE.code()) && !self.is_raised()
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let text = error.to_string();
        match error {
            ConnectError::Client(error) => error.into(),
            ConnectError::Refused { server, error } => {
                let failure = Self::from(error);
                Self { message: format!("{server}: {}", failure.message), ..failure }
            }
            ConnectError::Login { server, error, source_of_password } => {
                let failure = Self::from(error).into_configuration();
                let message = format!("{server}: {}; {source_of_password}", failure.message);
                Self { message, ..failure }
            }
            ConnectError::Certificate(_)
            | ConnectError::Tls(_)
            | ConnectError::Password(_)
            | ConnectError::Parameters(_) => Self { connection_lost: true, ..Self::configuration(text) },
            ConnectError::Hosts { worst, others } => {
                let failure = Self::from(*worst);
                let others = others.into_iter().map(|error| Self::from(error).message);
                let mut texts = vec![failure.message];
                texts.extend(others);
                let mut seen = BTreeSet::new();
                texts.retain(|text| seen.insert(text.clone()));
                Self { message: texts.join("; "), ..failure }
            }
            ConnectError::Unreachable { .. }
            | ConnectError::NoAnswer { .. }
            | ConnectError::Panicked(_)
            | ConnectError::Thread(_)
            | ConnectError::Resolve { .. }
            | ConnectError::NoAddress(_)
            | ConnectError::Session { .. } => Self { connection_lost: true, ..Self::transient(text) },
        }
    }
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            let cause = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
            return Self { connection_lost: true, ..Self::transient(format!("{error}{cause}")) };
        };
        let state = db.code().code();
        let class = classify(state, db.constraint(), db.routine().unwrap_or(db.message()));
        let partition = *db.code() == SqlState::CHECK_VIOLATION && class == Class::Configuration;
        let what_to_do = if partition { "; create the partition, or a DEFAULT partition" } else { "" };
        Self {
            class,
            sqlstate: Some(state.to_owned()),
            constraint: db.constraint().map(str::to_owned),
            table: db.table().map(str::to_owned),
            before_rows: false,
            undecided: false,
            // After an error in COPY the protocol state of the connection is uncertain.
            connection_lost: true,
            connecting: false,
            message: redact::message(db) + what_to_do,
            server: Some(Box::new(ServerReport {
                text: redact::report(db),
                routine: db.routine().map(str::to_owned),
                fatal: matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic)),
                in_function: db.where_().is_some_and(|context| context.contains("PL/")),
            })),
        }
    }
}
