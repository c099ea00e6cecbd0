//! Rejected records, made visible: a warning at most once a minute, and counts with the latest ones for /status.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use shared::time;

use crate::types::{Offset, TopicPartition};

/// The shortest time between two warnings.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many of the latest are shown.
pub(crate) const LATEST: usize = 5;

/// A rejected record, without its values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LatestRejection {
    pub partition: TopicPartition,
    pub offset: Offset,
    pub reason: &'static str,
    /// Why, for people.
    pub summary: String,
}

/// `dead_letters` in /status. It never has values of records.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeadLettersStatus {
    /// Dead letters since the start.
    pub total: u64,
    /// The same for each reason.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// The latest five, the latest first.
    pub latest: Vec<DeadLetterStatus>,
}

/// A dead letter in /status.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeadLetterStatus {
    /// When it was committed.
    pub timestamp: String,
    /// Where the record is.
    pub topic: String,
    /// Where the record is.
    pub partition: i32,
    /// Where the record is.
    pub offset: i64,
    /// Why it was rejected, in one word.
    pub reason: &'static str,
    /// Why, for people.
    pub summary: String,
}

#[derive(Debug, Default)]
struct OfReason {
    /// Since the process began.
    total: u64,
    /// Since the last warning.
    unlogged: u64,
    latest: Option<LatestRejection>,
}

#[derive(Debug, Default)]
struct RejectionState {
    reasons: BTreeMap<&'static str, OfReason>,
    /// The last ones and when they were committed, the latest first.
    latest: VecDeque<(SystemTime, LatestRejection)>,
    logged: Option<Instant>,
}

/// What was rejected since the process began.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Mutex<RejectionState>);

impl Rejections {
    /// Records became dead letters: the reason of each, and some of them: the last of each reason, and the last of all.
    pub(crate) fn add(
        &self,
        reasons: impl Iterator<Item = &'static str>,
        latest: &[LatestRejection],
        now: Instant,
    ) {
        let mut state = self.0.lock();
        let mut any = false;
        for reason in reasons {
            let of_reason = state.reasons.entry(reason).or_default();
            of_reason.total += 1;
            of_reason.unlogged += 1;
            any = true;
        }
        if !any {
            return;
        }
        let committed = SystemTime::now();
        for latest in latest {
            state.reasons.entry(latest.reason).or_default().latest = Some(latest.clone());
            state.latest.push_front((committed, latest.clone()));
        }
        state.latest.truncate(LATEST);
        log(&mut state, now);
    }

    /// Logs what was held back, once its time has come.
    pub(crate) fn tick(&self, now: Instant) {
        log(&mut self.0.lock(), now);
    }

    /// `dead_letters` in /status.
    pub(crate) fn status(&self) -> DeadLettersStatus {
        let state = self.0.lock();
        let by_reason: BTreeMap<_, _> =
            state.reasons.iter().map(|(reason, of)| (*reason, of.total)).collect();
        let latest = state.latest.iter().map(|(committed, latest)| DeadLetterStatus {
            timestamp: time::text(*committed),
            topic: latest.partition.topic.to_string(),
            partition: latest.partition.partition.0,
            offset: latest.offset.0,
            reason: latest.reason,
            summary: latest.summary.clone(),
        });
        let latest = latest.collect();
        DeadLettersStatus { total: by_reason.values().sum(), by_reason, latest }
    }
}

fn log(state: &mut RejectionState, now: Instant) {
    if state.logged.is_some_and(|logged| now < logged + INTERVAL) {
        return;
    }
    let Some((records, summary)) = summary(state) else { return };
    tracing::warn!(records, "records rejected: {summary}; see `sink-connector dead-letters list`");
    state.logged = Some(now);
    for of in state.reasons.values_mut() {
        of.unlogged = 0;
    }
}

/// The number of rejected records that were not logged, and their reasons.
fn summary(state: &RejectionState) -> Option<(u64, String)> {
    let unlogged = || state.reasons.iter().filter(|(_, of)| of.unlogged > 0);
    let records = unlogged().map(|(_, of)| of.unlogged).sum();
    let reasons: Vec<String> = unlogged()
        .map(|(reason, of)| {
            let latest = of.latest.as_ref().map_or_else(String::new, |latest| {
                format!(
                    " (the last one: {} at offset {}, {})",
                    latest.partition, latest.offset, latest.summary
                )
            });
            format!("{} {reason}{latest}", of.unlogged)
        })
        .collect();
    (records > 0).then(|| (records, reasons.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latest_at(offset: i64) -> LatestRejection {
        let summary = "wrong_type for column \"age\"".to_owned();
        LatestRejection {
            partition: TopicPartition::new("t", 1),
            offset: Offset(offset),
            reason: "wrong_type",
            summary,
        }
    }

    #[test]
    fn the_first_one_is_logged_at_once_and_the_others_once_a_minute() {
        let (rejections, start) = (Rejections::default(), Instant::now());
        let unlogged = || summary(&rejections.0.lock());
        rejections.add(["wrong_type"].into_iter(), &[latest_at(5)], start);
        assert_eq!(unlogged(), None);
        rejections.add(["wrong_type"; 11].into_iter(), &[latest_at(17)], start + INTERVAL / 2);
        rejections.tick(start + INTERVAL / 2);
        let (records, text) = unlogged().expect("they wait for the end of the minute");
        assert_eq!(records, 11);
        assert_eq!(text, "11 wrong_type (the last one: t[1] at offset 17, wrong_type for column \"age\")");
        rejections.tick(start + INTERVAL);
        assert_eq!(unlogged(), None);
        rejections.add(std::iter::empty(), &[], start + INTERVAL * 9);
        let status = rejections.status();
        assert_eq!(status.total, 12);
        assert_eq!(status.by_reason, [("wrong_type", 12)].into());
        let latest: Vec<_> = status.latest.iter().map(|latest| latest.offset).collect();
        assert_eq!(latest, [17, 5], "the latest first");
        for offset in 20..40 {
            rejections.add(["wrong_type"].into_iter(), &[latest_at(offset)], start);
        }
        let status = rejections.status();
        let latest: Vec<_> = status.latest.iter().map(|latest| latest.offset).collect();
        assert_eq!(latest, [39, 38, 37, 36, 35]);
    }
}
