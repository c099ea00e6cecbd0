//! The answers of the HTTP endpoints.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shared::http::{Endpoints, Stuck};

use crate::messages::board::Board;
use crate::messages::heartbeat::Heartbeat;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::observe::rejections::Rejections;
use crate::postgres::session::Connections;

/// /livez fails if the poll loop or the supervisor has not run within this time.
const LIVE_WITHIN: Duration = Duration::from_secs(30);

/// What the HTTP endpoints read.
pub struct Status {
    /// The connector's name, for /status.
    pub connector: String,
    /// For /metrics.
    pub metrics: Arc<Metrics>,
    /// For /readyz and /status.
    pub health: Arc<Health>,
    /// `dead_letters` in /status.
    pub(crate) rejections: Arc<Rejections>,
    /// `partitions` in /status.
    pub board: Arc<Board>,
    /// For the gauges of the pool.
    pub connections: Connections,
    /// Each with the name of its loop.
    pub(super) heartbeats: [(&'static str, Arc<Heartbeat>); 2],
}

impl Endpoints for Status {
    fn metrics(&self) -> String {
        let (idle, busy) = self.connections.counts();
        for (state, n) in [("idle", idle), ("busy", busy)] {
            self.metrics.postgres_connections.with_label_values(&[state]).set(i64::from(n));
        }
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
        json!({
            "connector": self.connector,
            "version": env!("CARGO_PKG_VERSION"),
            "ready": ready,
            "problems": problems,
            "last_error": self.health.last_error(),
            "dead_letters": self.rejections.status(),
            "partitions": self.board.partitions(),
        })
    }
}
