//! The answers of the HTTP endpoints.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shared::http::{Endpoints, Stuck};
use shared::signal::Shutdown;
use shared::time;

use crate::messages::board::{Board, PartitionStatus, Paused};
use crate::messages::heartbeat::Heartbeat;
use crate::observe::health::{Component, Health};
use crate::observe::metrics::{Metrics, REVISION};
use crate::observe::rejections::Rejections;
use crate::observe::throughput::Throughput;
use crate::postgres::session::Connections;
use crate::run::answer::{Answer, PartitionAnswer, TopicStatus, TotalsStatus};
use crate::run::overview::{Facts, Overview};
use crate::table::plan_cache::Plans;

/// /livez fails if the poll loop or the supervisor has not run within this time.
const LIVE_WITHIN: Duration = Duration::from_secs(30);

/// What the HTTP endpoints read.
pub(super) struct Status {
    /// The connector's name, for /status.
    pub connector: String,
    /// When the run began.
    pub started: SystemTime,
    /// For /metrics, and `totals` in /status.
    pub metrics: Arc<Metrics>,
    /// For /readyz and /status.
    pub health: Arc<Health>,
    /// `dead_letters` in /status.
    pub rejections: Arc<Rejections>,
    /// `throughput` in /status.
    pub throughput: Arc<Throughput>,
    /// `topics` in /status.
    pub plans: Arc<Plans>,
    /// `partitions` in /status.
    pub board: Arc<Board>,
    /// For the gauges of the pool.
    pub connections: Connections,
    pub shutdown: Shutdown,
    /// Each with the name of its loop.
    pub heartbeats: [(&'static str, Arc<Heartbeat>); 2],
}

impl Endpoints for Status {
    fn metrics(&self) -> String {
        let (idle, busy) = self.connections.counts();
        for (state, n) in [("idle", idle), ("busy", busy)] {
            self.metrics.postgres_connections.with_label_values(&[state]).set(i64::from(n));
        }
        self.metrics.ready.set(self.health.ready().is_ok().into());
        self.metrics.text()
    }

    fn live(&self) -> Result<(), Stuck> {
        for (name, heartbeat) in &self.heartbeats {
            let idle = heartbeat.age();
            if idle > LIVE_WITHIN {
                return Err(Stuck { name, idle });
            }
        }
        Ok(())
    }

    fn ready(&self) -> Result<Value, Value> {
        self.health.ready()
    }

    fn status(&self) -> Value {
        let (ready, problems) = match self.health.ready() {
            Ok(body) => (true, body.get("problems").cloned().unwrap_or_else(|| json!([]))),
            Err(body) => (false, body["problems"].clone()),
        };
        let partitions = self.board.partitions();
        let lag = self.board.lag();
        let last_errors = self.health.last_errors();
        let last_commit = self.last_commit();
        let Overview { word, sentence } = self.facts(ready, &problems, partitions.len(), lag).overview();
        let counters = self.metrics.counters();
        json!(Answer {
            connector: self.connector.clone(),
            version: env!("CARGO_PKG_VERSION"),
            revision: REVISION,
            started: time::text(self.started),
            state: word,
            summary: sentence,
            ready,
            problems,
            last_error: last_errors.first().cloned(),
            last_errors,
            last_commit,
            topics: self.topics(),
            lag,
            throughput: self.throughput.status(),
            totals: TotalsStatus {
                records: counters.records,
                rows_written: counters.rows_written,
                rows_deleted: counters.rows_deleted,
                skipped: counters.skipped,
                dead_letters: counters.dead_letters,
            },
            dead_letters: self.rejections.status(),
            partitions: partitions.iter().map(|status| self.partition(status)).collect(),
        })
    }
}

impl Status {
    fn facts(&self, ready: bool, problems: &Value, partitions: usize, lag: Option<i64>) -> Facts {
        let rate = self.throughput.rate();
        Facts {
            stopping: self.shutdown.requested(),
            starting: self.health.is_starting(),
            ready,
            problems: problems.as_array().cloned().unwrap_or_default(),
            partitions,
            lag,
            rows_per_second: rate.rows_per_second,
            records_per_second: rate.records_per_second,
            last_commit: self.last_commit(),
        }
    }

    fn last_commit(&self) -> Option<String> {
        let seconds = self.metrics.last_commit_timestamp_seconds.get();
        (seconds > 0.0).then(|| time::text(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
    }

    fn topics(&self) -> Vec<TopicStatus> {
        let mut targets = self.plans.targets();
        targets.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        targets
            .into_iter()
            .map(|(topic, table, insert_mode)| TopicStatus { topic, table, insert_mode })
            .collect()
    }

    fn partition(&self, status: &PartitionStatus) -> PartitionAnswer {
        let (paused, detail) = match &status.paused {
            // It is not paused while its records fit into the next batch, but that does not go on either.
            None => (None, self.writer_reason(status).filter(|_| status.lag.is_none_or(|lag| lag > 0))),
            Some(Paused::Position) => {
                (Some("position"), self.reason(&[Component::Positions, Component::Postgres]))
            }
            Some(Paused::Writer) => {
                (Some("writer"), self.writer_reason(status).or_else(|| self.reason(&[Component::Postgres])))
            }
            Some(Paused::Held(cause, reason) | Paused::Stopped(cause, reason)) => {
                (Some(*cause), Some(reason.clone()))
            }
        };
        PartitionAnswer {
            topic: status.partition.topic.to_string(),
            partition: status.partition.partition.0,
            position: status.position.map(|position| position.0),
            lag: status.lag,
            paused,
            detail,
        }
    }

    fn writer_reason(&self, status: &PartitionStatus) -> Option<String> {
        self.reason(&[Component::Transaction(status.writer), Component::Writer(status.writer)])
    }

    /// Why the first of these components that fails does.
    fn reason(&self, causes: &[Component]) -> Option<String> {
        causes.iter().find_map(|component| self.health.reason(component))
    }
}
