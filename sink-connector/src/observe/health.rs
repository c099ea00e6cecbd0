//! What the sink waits for, by component: the body of /readyz, and part of /status.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use serde_json::{Value, json};

/// A component that can fail.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Component {
    /// The connection to Kafka.
    Kafka,
    /// The membership of the consumer group.
    Group,
    /// The log ends from Kafka, while a first position is chosen.
    Positions,
    /// PostgreSQL: connections, and the tables of positions and dead letters.
    Postgres,
    /// A topic that matches a pattern and has no target.
    Topic(String),
    /// A target table and its plan.
    Table(String),
    /// A writer whose batch cannot be committed.
    Writer(usize),
    /// A writer's transaction that is past its deadline.
    Transaction(usize),
    /// The control connection, which has not answered within the deadline.
    Control,
    /// The breakers of all topics.
    Breaker,
}

impl Component {
    /// Its name, for people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Kafka => "kafka".to_owned(),
            Self::Group => "group".to_owned(),
            Self::Positions => "positions".to_owned(),
            Self::Postgres => "postgres".to_owned(),
            Self::Topic(topic) => format!("topic {topic}"),
            Self::Table(table) => format!("table {table}"),
            Self::Writer(number) => format!("writer {number}"),
            Self::Transaction(number) => format!("transaction of writer {number}"),
            Self::Control => "control connection".to_owned(),
            Self::Breaker => "breaker".to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
struct Problem {
    reason: String,
    since: f64,
}

#[derive(Default, Debug)]
struct HealthState {
    problems: BTreeMap<Component, Problem>,
    last_error: Option<(String, f64)>,
}

/// The state of all components. A component without a problem is healthy.
#[derive(Default, Debug)]
pub struct Health(Mutex<HealthState>);

impl Health {
    /// Not ready until Kafka and PostgreSQL have answered once.
    pub fn starting() -> Self {
        let health = Self::default();
        health.fail(Component::Kafka, "not connected yet");
        health.fail(Component::Postgres, "not connected yet");
        health
    }

    /// Records why a component has failed. Logged if the reason is new.
    pub fn fail(&self, component: Component, reason: impl Into<String>) {
        let reason = reason.into();
        let mut state = self.lock();
        let now = seconds();
        state.last_error = Some((format!("{}: {reason}", component.name()), now));
        match state.problems.get_mut(&component) {
            Some(problem) if problem.reason == reason => {}
            Some(problem) => {
                tracing::warn!(component = component.name(), %reason, "still waiting");
                problem.reason = reason;
            }
            None => {
                tracing::warn!(component = component.name(), %reason, "waiting");
                state.problems.insert(component, Problem { reason, since: now });
            }
        }
    }

    /// Records that a component is healthy again.
    pub fn recovered(&self, component: &Component) {
        if let Some(problem) = self.lock().problems.remove(component) {
            tracing::info!(
                component = component.name(),
                after_seconds = seconds() - problem.since,
                "recovered"
            );
        }
    }

    pub fn is_ok(&self, component: &Component) -> bool {
        !self.lock().problems.contains_key(component)
    }

    /// The body of /readyz; `Err` if a component has failed.
    pub fn ready(&self) -> Result<Value, Value> {
        let state = self.lock();
        let problems: Vec<Value> = state
            .problems
            .iter()
            .map(
                |(component, p)| json!({"component": component.name(), "reason": p.reason, "since": p.since}),
            )
            .collect();
        if problems.is_empty() {
            Ok(json!({"ready": true}))
        } else {
            Err(json!({"ready": false, "reason": problems[0]["reason"], "problems": problems}))
        }
    }

    /// The last error with its time (seconds since the epoch), for /status.
    pub fn last_error(&self) -> Value {
        self.lock()
            .last_error
            .as_ref()
            .map_or(Value::Null, |(error, at)| json!({"error": error, "timestamp": at}))
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HealthState> {
        self.0.lock()
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
