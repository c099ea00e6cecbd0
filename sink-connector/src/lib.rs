//! The sink: JSON records of Kafka topics become rows of PostgreSQL tables, exactly once in effect.
//!
//! Folders are floors: an import goes down or stays in its folder. ARCHITECTURE.md is the map.

// They panic when they cannot write; `shared::output` does not.
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![warn(unreachable_pub)]

mod batch;
pub mod cli;
pub mod commands;
pub mod config;
mod control;
mod decode;
mod encode;
mod kafka;
mod messages;
mod observe;
mod positions;
mod postgres;
mod rejects;
pub mod run;
mod source;
mod table;
mod types;
mod writer;

/// The path from a value to a row, for the tests that compare it with how PostgreSQL reads the same text.
#[doc(hidden)]
pub mod testing {
    pub use crate::batch::rows::{Pushed, Rows, Tuple};
    pub use crate::decode::{Cells, NullBytes, Options, ValueFormat};
    pub use crate::postgres::settings::statements as session_settings;
    pub use crate::postgres::sql::TableName;
    pub use crate::table::catalog;
    pub use crate::table::plan::{Mode, Plan, Wanted};
    pub use crate::writer::copy;
}
