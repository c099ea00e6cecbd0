//! The state of the sink in one word and one sentence. Pure.

use serde_json::Value;

/// How many seconds of work a lag may be before the sink counts as catching up.
const BEHIND_SECONDS: f64 = 5.0;

/// Why a member may have no partition.
pub(super) const NO_PARTITION: &str =
    "other members of the group have them all, or have not left it yet (session.timeout.ms)";

/// What the sentence is about.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub stopping: bool,
    /// The first connections are still being made.
    pub starting: bool,
    pub ready: bool,
    /// `problems` of /readyz.
    pub problems: Vec<Value>,
    pub partitions: usize,
    pub lag: Option<i64>,
    pub rows_per_second: f64,
    pub records_per_second: f64,
    /// When the last batch was committed, as text.
    pub last_commit: Option<String>,
}

/// The word is for programs, the sentence for people.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Overview {
    pub word: &'static str,
    pub sentence: String,
}

impl Facts {
    pub(super) fn overview(&self) -> Overview {
        let (word, sentence) = if self.stopping {
            ("stopping", "The batches in hand are committed first.".to_owned())
        } else if self.starting {
            ("starting", "The first connections to Kafka and PostgreSQL are being made.".to_owned())
        } else if !self.ready {
            ("waiting", format!("Nothing is written: {}.", self.first_problem()))
        } else if !self.problems.is_empty() {
            ("impaired", format!("The rest goes on: {}.", self.first_problem()))
        } else if self.partitions == 0 {
            ("standby", format!("No partition is assigned: {NO_PARTITION}."))
        } else {
            self.moving()
        };
        Overview { word, sentence }
    }

    /// The first problem, and how many others there are.
    fn first_problem(&self) -> String {
        let Some(first) = self.problems.first() else { return "no reason is known".to_owned() };
        let text = |key: &str| first[key].as_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let (component, reason) = (text("component"), text("reason"));
        match self.problems.len() - 1 {
            0 => format!("{component}: {reason}"),
            1 => format!("{component}: {reason} (and one other problem)"),
            others => format!("{component}: {reason} (and {others} other problems)"),
        }
    }

    /// The sentence of a sink without problems.
    fn moving(&self) -> (&'static str, String) {
        let lag = self.lag.unwrap_or(0);
        let rows = self.rows_per_second.round();
        let moves = self.records_per_second > 0.0;
        if lag as f64 > self.records_per_second * BEHIND_SECONDS {
            let behind = format!("{lag} records are not written yet");
            let text = if moves { format!("{behind}; {rows} rows a second.") } else { format!("{behind}.") };
            ("catching_up", text)
        } else if moves {
            ("writing", format!("{rows} rows a second, {lag} records behind."))
        } else {
            let last = self.last_commit.as_ref().map(|at| format!(" The last commit was at {at}."));
            ("idle", format!("Every record is written.{}", last.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn healthy() -> Facts {
        Facts { ready: true, partitions: 2, lag: Some(0), ..Facts::default() }
    }

    fn words(facts: &Facts) -> (&'static str, String) {
        let Overview { word, sentence } = facts.overview();
        (word, sentence)
    }

    fn problem(n: usize) -> Vec<Value> {
        vec![json!({"component": "postgres", "reason": "connection refused."}); n]
    }

    #[test]
    fn a_healthy_sink_is_idle_writing_or_catching_up() {
        let last_commit = Some("2026-04-08T19:30:00.250Z".to_owned());
        let idle = words(&Facts { last_commit, ..healthy() });
        assert_eq!(
            idle,
            ("idle", "Every record is written. The last commit was at 2026-04-08T19:30:00.250Z.".into())
        );
        let rates = Facts { rows_per_second: 99.6, records_per_second: 101.0, lag: Some(7), ..healthy() };
        assert_eq!(words(&rates), ("writing", "100 rows a second, 7 records behind.".into()));
        let behind = Facts { lag: Some(506), ..rates };
        assert_eq!(
            words(&behind),
            ("catching_up", "506 records are not written yet; 100 rows a second.".into())
        );
        let before_the_first = Facts { lag: Some(506), ..healthy() };
        assert_eq!(words(&before_the_first).1, "506 records are not written yet.");
        assert_eq!(words(&Facts { partitions: 0, ..healthy() }).0, "standby");
    }

    #[test]
    fn problems_come_before_the_rate_and_the_first_one_is_named() {
        let waiting = Facts { ready: false, problems: problem(1), ..healthy() };
        assert_eq!(words(&waiting), ("waiting", "Nothing is written: postgres: connection refused.".into()));
        let impaired = Facts { problems: problem(3), ..healthy() };
        let sentence = "The rest goes on: postgres: connection refused (and 2 other problems).";
        assert_eq!(words(&impaired), ("impaired", sentence.into()));
        assert_eq!(words(&Facts { starting: true, ready: false, ..healthy() }).0, "starting");
        assert_eq!(words(&Facts { stopping: true, ready: false, ..healthy() }).0, "stopping");
    }
}
