//! The document that /status answers with. Its doc comments are docs/reference.md.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::config::InsertMode;
use crate::observe::last_errors::ErrorStatus;
use crate::observe::problem::ProblemStatus;
use crate::observe::rejections::DeadLettersStatus;
use crate::observe::throughput::ThroughputStatus;

/// /status.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// `name` of the configuration: the key of the positions, and the label of the metrics.
    pub connector: String,
    /// Version of the sink.
    pub version: &'static str,
    /// Commit that it was built from.
    pub revision: &'static str,
    /// When the process started.
    pub started: String,
    /// `starting`, `writing`, `catching_up`, `idle`, `standby` (no partition is assigned), `impaired` (a part is not written),
    /// `waiting` (nothing is written) or `stopping`.
    pub state: &'static str,
    /// The state in a sentence, for people.
    pub summary: String,
    /// As /readyz: it can write.
    pub ready: bool,
    /// What fails now, as on /readyz.
    #[schemars(with = "Vec<ProblemStatus>")]
    pub problems: Value,
    /// The first of `last_errors`.
    pub last_error: Option<ErrorStatus>,
    /// The last five errors that lasted for a second or longer; those that still last come first.
    pub last_errors: Vec<ErrorStatus>,
    /// When the last batch was committed. Null: none since the start.
    pub last_commit: Option<String>,
    /// The topics whose tables are known.
    pub topics: Vec<TopicStatus>,
    /// The sum over the assigned partitions: records between the stored positions and the ends of the logs. Null: not known yet.
    pub lag: Option<i64>,
    /// How fast it goes.
    pub throughput: ThroughputStatus,
    /// What was committed since the start.
    pub totals: TotalsStatus,
    /// What was rejected since the start.
    pub dead_letters: DeadLettersStatus,
    /// The partitions that are assigned to this member of the group.
    pub partitions: Vec<PartitionAnswer>,
}

/// A topic.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TopicStatus {
    /// Its name.
    pub topic: String,
    /// The table that its records are written to.
    pub table: String,
    /// `insert`, `insert_ignore` or `upsert`.
    pub insert_mode: InsertMode,
}

/// Counters of records and rows: records = rows written + rows deleted + skipped + dead letters.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TotalsStatus {
    /// Records.
    pub records: u64,
    /// Rows inserted or updated.
    pub rows_written: u64,
    /// Rows deleted.
    pub rows_deleted: u64,
    /// Records without a row, by a rule: `sink_records_skipped_total` has the reasons.
    pub skipped: u64,
    /// Rejected records.
    pub dead_letters: u64,
}

/// A partition.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PartitionAnswer {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The stored position: the next offset to read. Null: it is being read.
    pub position: Option<i64>,
    /// Records between the position and the end of the log. Null: not known yet.
    pub lag: Option<i64>,
    /// Why nothing is read from it: a cause of `sink_partitions_paused` (`position`, `writer`, `breaker`, `table`), or a reason
    /// of `sink_partitions_stopped`. Null: it is read.
    pub paused: Option<&'static str>,
    /// The reason, for people.
    pub detail: Option<String>,
}
