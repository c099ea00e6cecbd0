//! Health by component, for /readyz and /status.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use serde_json::{Value, json};
use shared::repeated::RepeatedFailures;
use shared::time;

use super::last_errors::{ErrorStatus, LASTED, LastError, LastErrors};
use super::problem::ProblemStatus;
use crate::types::TopicPartition;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Component {
    Kafka,
    /// The membership of the consumer group.
    Group,
    /// The log ends from Kafka, while a first position is chosen.
    Positions,
    /// PostgreSQL: connections, and the tables of positions and dead letters.
    Postgres,
    /// A topic that matches a pattern and has no target.
    Topic(String),
    /// A topic that does not exist, or that this client may not read.
    Unreadable(String),
    /// A target table and its plan.
    Table(String),
    /// A target table that cannot be written for now, and whose partitions are paused.
    Parked(String),
    /// A partition that has stopped, which the source has logged.
    Stopped(TopicPartition),
    /// A writer whose batch cannot be committed.
    Writer(usize),
    /// A writer's transaction that is past its deadline.
    Transaction(usize),
    /// The control connection, which has not answered within the deadline.
    Control,
    Breaker,
}

impl Component {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Kafka => "kafka".to_owned(),
            Self::Group => "group".to_owned(),
            Self::Positions => "positions".to_owned(),
            Self::Postgres => "postgres".to_owned(),
            Self::Topic(topic) | Self::Unreadable(topic) => format!("topic {topic}"),
            Self::Table(table) => format!("table {table}"),
            Self::Parked(table) => format!("parked table {table}"),
            Self::Stopped(partition) => format!("partition {partition}"),
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
    since: SystemTime,
    /// Set until the first connection, which is not an error yet.
    starting: bool,
    /// Its beginning was logged, so its end will be.
    logged: bool,
}

impl Problem {
    fn new(reason: String, since: SystemTime) -> Self {
        Self { reason, since, starting: false, logged: false }
    }

    fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.since).unwrap_or_default()
    }

    fn error(&self, component: &Component, until: Option<SystemTime>) -> LastError {
        let error = format!("{}: {}", component.name(), self.reason);
        LastError { error, since: self.since, until }
    }
}

#[derive(Default, Debug)]
struct HealthState {
    problems: BTreeMap<Component, Problem>,
    /// What was logged of each component.
    logged: BTreeMap<Component, RepeatedFailures>,
    last_errors: LastErrors,
    /// How many target tables there are.
    tables: usize,
    /// How many partitions are assigned.
    partitions: usize,
    /// How many topics there are.
    topics: usize,
}

impl HealthState {
    /// Whether all problems are those of parked tables, stopped partitions and topics that cannot be read, and these are not
    /// all tables, all partitions or all topics.
    fn something_goes_on(&self) -> bool {
        let (mut parked, mut stopped, mut unreadable) = (0, 0, 0);
        for component in self.problems.keys() {
            match component {
                Component::Parked(_) => parked += 1,
                Component::Stopped(_) => stopped += 1,
                Component::Unreadable(_) => unreadable += 1,
                Component::Table(table) if self.problems.contains_key(&Component::Parked(table.clone())) => {}
                _ => return false,
            }
        }
        let some = |troubled: usize, all: usize| troubled == 0 || troubled < all;
        some(parked, self.tables) && some(stopped, self.partitions) && some(unreadable, self.topics)
    }

    fn list(&self) -> Vec<Value> {
        let status = |(component, problem): (&Component, &Problem)| ProblemStatus {
            component: component.name(),
            reason: problem.reason.clone(),
            since: Some(time::text(problem.since)),
        };
        self.problems.iter().map(|problem| json!(status(problem))).collect()
    }

    /// A component's problem is over. The error counts as a last one if it lasted.
    fn end(&mut self, component: &Component, problem: &Problem, until: SystemTime) {
        if problem.age(until) >= LASTED {
            self.last_errors.push(problem.error(component, Some(until)));
        }
    }

    /// The last errors, the latest first; those that last before those that have ended.
    fn errors(&self) -> Vec<LastError> {
        let now = SystemTime::now();
        let lasts = |problem: &Problem| !problem.starting && problem.age(now) >= LASTED;
        let lasting = self.problems.iter().filter(|(_, problem)| lasts(problem));
        self.last_errors.with(lasting.map(|(component, problem)| problem.error(component, None)).collect())
    }
}

/// The state of all components. A component without a problem is healthy.
#[derive(Default, Debug)]
pub(crate) struct Health(Mutex<HealthState>);

impl Health {
    /// Not ready until Kafka and PostgreSQL have answered once.
    pub(crate) fn starting() -> Self {
        let since = SystemTime::now();
        let starting = || Problem { starting: true, ..Problem::new("not connected yet".to_owned(), since) };
        let problems = [(Component::Kafka, starting()), (Component::Postgres, starting())].into();
        Self(Mutex::new(HealthState { problems, ..HealthState::default() }))
    }

    /// Sets the reason why a component fails. A problem is logged when it begins, when its cause changes, and once a minute
    /// while it lasts.
    pub(crate) fn fail(&self, component: Component, reason: impl Into<String>) {
        let reason = reason.into();
        let mut state = self.lock();
        let line = state.logged.entry(component.clone()).or_default().to_log(&reason, Instant::now());
        let name = component.name();
        let begins = || Problem::new(reason.clone(), SystemTime::now());
        let problem = state.problems.entry(component).or_insert_with(begins);
        if problem.starting {
            *problem = begins();
        }
        match line {
            Some(times) if problem.logged => {
                tracing::warn!(component = name, %reason, times, "still waiting");
            }
            Some(_) => tracing::warn!(component = name, %reason, "waiting"),
            None => {}
        }
        problem.logged |= line.is_some();
        problem.reason = reason;
    }

    pub(crate) fn recovered(&self, component: &Component) {
        let mut state = self.lock();
        let Some(problem) = state.problems.remove(component) else { return };
        if let Some(logged) = state.logged.get(component) {
            logged.ended();
        }
        let until = SystemTime::now();
        if problem.starting {
            tracing::info!(component = component.name(), "connected");
            return;
        }
        if problem.logged {
            let after_seconds = time::seconds(problem.age(until));
            tracing::info!(component = component.name(), after_seconds, "recovered");
        }
        state.end(component, &problem, until);
    }

    /// Notes how many partitions are assigned, and which of them have stopped and why. If only some have, the sink is ready.
    pub(crate) fn partitions(&self, assigned: usize, stopped: Vec<(TopicPartition, String)>) {
        let mut state = self.lock();
        state.partitions = assigned;
        let now = SystemTime::now();
        let over = |component: &Component| match component {
            Component::Stopped(partition) => stopped.iter().all(|(stopped, _)| stopped != partition),
            _ => false,
        };
        let over: Vec<_> = state.problems.extract_if(.., |component, _| over(component)).collect();
        for (component, problem) in over {
            state.end(&component, &problem, now);
        }
        for (partition, reason) in stopped {
            let problem = Problem::new(reason, now);
            state.problems.entry(Component::Stopped(partition)).or_insert(problem);
        }
    }

    /// Notes how many topics there are, and which of them cannot be read and why. If only some cannot, the sink is ready.
    pub(crate) fn topics(&self, topics: usize, unreadable: &BTreeMap<String, String>) {
        let over: Vec<Component> = {
            let mut state = self.lock();
            state.topics = topics;
            let over = |component: &&Component| matches!(component, Component::Unreadable(topic) if !unreadable.contains_key(topic));
            state.problems.keys().filter(over).cloned().collect()
        };
        over.iter().for_each(|component| self.recovered(component));
        for (topic, why) in unreadable {
            self.fail(Component::Unreadable(topic.clone()), why);
        }
    }

    /// Notes how many target tables there are. A problem of some of them leaves the sink ready.
    pub(crate) fn count_tables(&self, tables: usize) {
        self.lock().tables = tables;
    }

    /// Whether there is no problem, other than those of single partitions, topics and tables.
    pub(crate) fn is_clear(&self) -> bool {
        self.lock().problems.keys().all(|component| match component {
            Component::Stopped(_)
            | Component::Parked(_)
            | Component::Table(_)
            | Component::Topic(_)
            | Component::Unreadable(_) => true,
            Component::Kafka
            | Component::Group
            | Component::Positions
            | Component::Postgres
            | Component::Writer(_)
            | Component::Transaction(_)
            | Component::Control
            | Component::Breaker => false,
        })
    }

    /// Whether a topic or its table cannot be read, which keeps its positions from being known.
    pub(crate) fn is_unreadable(&self, topic: &str, table: Option<&str>) -> bool {
        let state = self.lock();
        let of_topic = [Component::Topic(topic.to_owned()), Component::Unreadable(topic.to_owned())];
        let of_table = table.map(|table| Component::Table(table.to_owned()));
        of_topic.iter().chain(&of_table).any(|component| state.problems.contains_key(component))
    }

    pub(crate) fn is_ok(&self, component: &Component) -> bool {
        !self.lock().problems.contains_key(component)
    }

    /// The body of /readyz; `Err` if a component has failed, other than some of the tables and some of the partitions.
    pub(crate) fn ready(&self) -> Result<Value, Value> {
        let state = self.lock();
        let problems = state.list();
        if problems.is_empty() {
            Ok(json!({"ready": true}))
        } else if state.something_goes_on() {
            Ok(json!({"ready": true, "problems": problems}))
        } else {
            Err(json!({"ready": false, "reason": problems[0]["reason"], "problems": problems}))
        }
    }

    /// The problems of all components, with reason and beginning.
    pub(crate) fn problems(&self) -> Vec<Value> {
        self.lock().list()
    }

    /// The last errors that lasted, for /status: the latest first, and those before them that have not ended.
    pub(crate) fn last_errors(&self) -> Vec<ErrorStatus> {
        self.lock().errors().iter().map(LastError::status).collect()
    }

    /// Why a component fails, if it does.
    pub(crate) fn reason(&self, component: &Component) -> Option<String> {
        self.lock().problems.get(component).map(|problem| problem.reason.clone())
    }

    /// Whether the first connections are still being made, and nothing has failed.
    pub(crate) fn is_starting(&self) -> bool {
        let state = self.lock();
        !state.problems.is_empty() && state.problems.values().all(|problem| problem.starting)
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HealthState> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests;
