//! Health by component, for /readyz and /status.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use serde_json::{Value, json};
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
}

impl Problem {
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
        let starting = || Problem { reason: "not connected yet".to_owned(), since, starting: true };
        let problems = [(Component::Kafka, starting()), (Component::Postgres, starting())].into();
        Self(Mutex::new(HealthState { problems, ..HealthState::default() }))
    }

    /// Sets the reason why a component fails, and logs it if it is new.
    pub(crate) fn fail(&self, component: Component, reason: impl Into<String>) {
        let reason = reason.into();
        let mut state = self.lock();
        match state.problems.get_mut(&component) {
            Some(problem) if problem.reason == reason => {}
            Some(problem) if !problem.starting => {
                tracing::warn!(component = component.name(), %reason, "still waiting");
                problem.reason = reason;
            }
            _ => {
                tracing::warn!(component = component.name(), %reason, "waiting");
                state
                    .problems
                    .insert(component, Problem { reason, since: SystemTime::now(), starting: false });
            }
        }
    }

    pub(crate) fn recovered(&self, component: &Component) {
        let mut state = self.lock();
        let Some(problem) = state.problems.remove(component) else { return };
        let until = SystemTime::now();
        if problem.starting {
            tracing::info!(component = component.name(), "connected");
            return;
        }
        let after_seconds = time::seconds(problem.age(until));
        tracing::info!(component = component.name(), after_seconds, "recovered");
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
            let problem = Problem { reason, since: now, starting: false };
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

    /// Whether there is no problem, other than stopped partitions.
    pub(crate) fn is_clear(&self) -> bool {
        self.lock().problems.keys().all(|component| matches!(component, Component::Stopped(_)))
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
mod tests {
    use super::*;

    fn error(health: &Health) -> Option<String> {
        health.last_errors().first().map(|last| last.error.clone())
    }

    /// Makes the present problem of `component` older.
    fn age(health: &Health, component: &Component, seconds: u64) {
        health.lock().problems.get_mut(component).unwrap().since -= Duration::from_secs(seconds);
    }

    #[test]
    fn it_is_not_ready_before_the_first_connection_and_that_is_no_error() {
        let health = Health::starting();
        age(&health, &Component::Kafka, 60);
        assert!(health.ready().is_err());
        assert_eq!(error(&health), None);
        health.recovered(&Component::Kafka);
        health.recovered(&Component::Postgres);
        assert!(health.ready().is_ok());
        assert_eq!(error(&health), None);
    }

    #[test]
    fn the_last_error_is_one_that_lasted_and_says_when_it_ended() {
        let health = Health::default();
        health.fail(Component::Writer(0), "deadlock detected");
        assert_eq!(error(&health), None);
        age(&health, &Component::Writer(0), 2);
        assert_eq!(error(&health).as_deref(), Some("writer 0: deadlock detected"));
        assert_eq!(health.last_errors()[0].recovered_timestamp, None);
        health.recovered(&Component::Writer(0));
        assert_eq!(error(&health).as_deref(), Some("writer 0: deadlock detected"));
        assert!(health.last_errors()[0].recovered_timestamp.is_some());
        health.fail(Component::Kafka, "a short one");
        health.recovered(&Component::Kafka);
        assert_eq!(error(&health).as_deref(), Some("writer 0: deadlock detected"));
    }

    #[test]
    fn a_reason_that_changes_keeps_the_beginning() {
        let health = Health::default();
        health.fail(Component::Kafka, "refused");
        age(&health, &Component::Kafka, 9);
        let since = health.ready().unwrap_err()["problems"][0]["since"].clone();
        health.fail(Component::Kafka, "timed out");
        let problem = health.ready().unwrap_err()["problems"][0].clone();
        assert_eq!((&problem["reason"], &problem["since"]), (&json!("timed out"), &since));
    }

    #[test]
    fn parked_tables_leave_it_ready_unless_they_are_all_or_something_else_fails() {
        let health = Health::default();
        let parked = |table: &str| Component::Parked(table.to_owned());
        health.count_tables(2);
        health.fail(parked("a"), "locked");
        health.fail(Component::Table("a".to_owned()), "it is missing");
        let body = health.ready().expect("the other table can be written");
        assert_eq!((&body["ready"], body["problems"].as_array().map(Vec::len)), (&json!(true), Some(2)));
        health.fail(Component::Table("b".to_owned()), "it is missing");
        assert!(health.ready().is_err(), "a table that was never there is not parked");
        health.recovered(&Component::Table("b".to_owned()));
        assert!(health.ready().is_ok() && !health.is_clear());
        health.fail(parked("b"), "locked");
        assert!(health.ready().is_err(), "all tables are parked");
        health.recovered(&parked("b"));
        health.fail(Component::Kafka, "unreachable");
        assert!(health.ready().is_err());
    }

    #[test]
    fn topics_that_cannot_be_read_leave_it_ready_unless_they_are_all() {
        let health = Health::default();
        let gone = |names: &[&str]| {
            names.iter().map(|name| ((*name).to_owned(), format!("{name} is gone"))).collect()
        };
        health.topics(2, &gone(&["a"]));
        let body = health.ready().expect("the other topic is read");
        assert_eq!(body["problems"][0], health.problems()[0]);
        assert_eq!(
            (&body["problems"][0]["component"], &body["problems"][0]["reason"]),
            (&json!("topic a"), &json!("a is gone"))
        );
        health.topics(2, &gone(&["a", "b"]));
        assert_eq!(health.ready().unwrap_err()["reason"], "a is gone");
        health.topics(2, &gone(&[]));
        assert_eq!(health.ready(), Ok(json!({"ready": true})));
    }

    #[test]
    fn stopped_partitions_leave_it_ready_unless_they_are_all() {
        let health = Health::default();
        let stopped = |n: i32| (0..n).map(|n| (TopicPartition::new("t", n), "why".to_owned())).collect();
        health.partitions(0, stopped(0));
        assert!(health.is_clear());
        health.partitions(2, stopped(1));
        let body = health.ready().expect("the other partition goes on");
        assert_eq!(body["problems"][0]["component"], "partition t[0]");
        health.partitions(2, stopped(2));
        assert_eq!(health.ready().unwrap_err()["reason"], "why");
        age(&health, &Component::Stopped(TopicPartition::new("t", 1)), 2);
        health.partitions(2, stopped(1));
        assert!(health.ready().is_ok());
        assert_eq!(error(&health).as_deref(), Some("partition t[1]: why"));
        health.partitions(0, stopped(0));
        assert_eq!(health.ready(), Ok(json!({"ready": true})), "a revoked partition is another member's");
    }
}
