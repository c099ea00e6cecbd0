//! What keeps the sink from working, by component: the body of /readyz, and part of /status.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A component that can be in trouble.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Component {
    /// The connection to Kafka.
    Kafka,
    /// PostgreSQL as such: connections, and the tables of positions and dead letters.
    Postgres,
    /// A topic that came by a pattern, and has no target.
    Topic(String),
    /// A target table and its plan.
    Table(String),
    /// A writer whose batch does not go through.
    Writer(usize),
    /// A writer's transaction that is past its deadline.
    Transaction(usize),
    /// The breakers of all topics.
    Breaker,
}

impl Component {
    fn name(&self) -> String {
        match self {
            Self::Kafka => "kafka".to_owned(),
            Self::Postgres => "postgres".to_owned(),
            Self::Topic(topic) => format!("topic {topic}"),
            Self::Table(table) => format!("table {table}"),
            Self::Writer(number) => format!("writer {number}"),
            Self::Transaction(number) => format!("transaction of writer {number}"),
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
struct State {
    problems: BTreeMap<Component, Problem>,
    last_error: Option<(String, f64)>,
}

/// The state of all components. A component without a problem is well.
#[derive(Default, Debug)]
pub struct Health(Mutex<State>);

impl Health {
    /// Nothing has been reached yet: not ready until Kafka and PostgreSQL have answered once.
    pub fn starting() -> Self {
        let health = Self::default();
        health.fail(Component::Kafka, "not connected yet");
        health.fail(Component::Postgres, "not connected yet");
        health
    }

    /// Notes why a component does not work. Logged when the reason is new.
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

    /// Notes that a component works.
    pub fn well(&self, component: &Component) {
        if let Some(problem) = self.lock().problems.remove(component) {
            tracing::info!(component = component.name(), after_seconds = seconds() - problem.since, "works");
        }
    }

    /// Whether this component works.
    pub fn is_well(&self, component: &Component) -> bool {
        !self.lock().problems.contains_key(component)
    }

    /// The body of /readyz: `Err` when something keeps the sink from working.
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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
