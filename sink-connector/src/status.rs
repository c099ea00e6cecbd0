//! What the sink is doing: the body of /status, and what the HTTP endpoints say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::http::Endpoints;

use crate::health::Health;
use crate::ledger::{Ledger, Phase};
use crate::metrics::Metrics;
use crate::session::Connections;

/// The poll loop and the supervisor must have turned within this time, or the process does not live.
const LIVE: Duration = Duration::from_secs(30);

/// The last published state of every partition.
#[derive(Default, Debug)]
pub struct Board(Mutex<Vec<Value>>);

impl Board {
    /// Publishes where every partition stands; `paused` tells it of each writer.
    pub fn publish(&self, ledger: &Ledger, paused: &[bool]) {
        let mut partitions: Vec<_> = ledger.iter().collect();
        partitions.sort_unstable_by_key(|(partition, _)| *partition);
        let rows = partitions
            .into_iter()
            .map(|(partition, place)| {
                let cause = match &place.phase {
                    Phase::Resolving => Some("position"),
                    Phase::Active if place.held.is_some() => Some("breaker"),
                    Phase::Active if paused[place.writer] => Some("writer"),
                    Phase::Active => None,
                    Phase::Stopped(why) => Some(why.as_str()),
                };
                let detail = match &place.phase {
                    Phase::Stopped(why) => Some(why.to_string()),
                    Phase::Active => place.held.as_ref().map(ToString::to_string),
                    Phase::Resolving => None,
                };
                let position = (place.known && place.phase != Phase::Resolving).then_some(place.stored.0);
                json!({
                    "topic": &*partition.topic,
                    "partition": partition.partition.0,
                    "position": position,
                    "lag": position.and(place.lag()),
                    "paused": cause,
                    "detail": detail,
                })
            })
            .collect();
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = rows;
    }

    fn partitions(&self) -> Vec<Value> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// What is behind the HTTP endpoints.
pub struct Status {
    /// The connector's name.
    pub connector: String,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<Health>,
    /// Partitions.
    pub board: Arc<Board>,
    /// The pool, for its gauges.
    pub connections: Connections,
    /// The start of the process.
    pub started: Instant,
    /// Milliseconds from the start to the last turn of the poll loop and of the supervisor.
    pub heartbeats: [(&'static str, Arc<AtomicU64>); 2],
}

impl Endpoints for Status {
    fn metrics(&self) -> String {
        let (idle, busy) = self.connections.counts();
        for (state, n) in [("idle", idle), ("busy", busy)] {
            self.metrics.postgres_connections.with_label_values(&[state]).set(i64::from(n));
        }
        self.metrics.render()
    }

    fn live(&self) -> Result<(), String> {
        for (name, heartbeat) in &self.heartbeats {
            let last = Duration::from_millis(heartbeat.load(Ordering::Relaxed));
            let since = self.started.elapsed().saturating_sub(last);
            if since > LIVE {
                return Err(format!("the {name} has not turned for {} s", since.as_secs()));
            }
        }
        Ok(())
    }

    fn ready(&self) -> Result<Value, Value> {
        self.health.ready()
    }

    fn status(&self) -> Value {
        let (ready, problems) = match self.health.ready() {
            Ok(_) => (true, Value::Array(Vec::new())),
            Err(body) => (false, body["problems"].clone()),
        };
        json!({
            "connector": self.connector,
            "version": env!("CARGO_PKG_VERSION"),
            "ready": ready,
            "problems": problems,
            "last_error": self.health.last_error(),
            "partitions": self.board.partitions(),
        })
    }
}
