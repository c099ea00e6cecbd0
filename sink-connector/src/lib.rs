//! The sink: JSON records of Kafka topics become rows of PostgreSQL tables, exactly once in effect.
//!
//! ARCHITECTURE.md describes the folders. Imports go from upper folders to lower ones only.

// `println!` panics on a write error; `shared::output` does not.
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
#[cfg(test)]
mod simulation;
mod source;
mod table;
mod types;
mod writer;

/// For tests that compare the encoders with PostgreSQL's input functions.
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
