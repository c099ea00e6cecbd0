//! `run` and `once`: publish batches of records and wait for their acknowledgements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use shared::repeated::RepeatedFailures;
use shared::signal::Shutdown;
use shared::time;
use thiserror::Error;

use crate::publish::{PublishError, Publisher};
use crate::source::Source;
use crate::status::Status;
use crate::topic::TopicError;

/// The longest wait in the loop.
const TURN: Duration = Duration::from_secs(1);
/// How often delivery reports are served while waiting for the next record.
const REPORT_TURN: Duration = Duration::from_millis(10);
/// Shorter waits are skipped, because a sleep takes longer.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// Records between two updates of the progress bar.
const BAR_EVERY: u64 = 1024;

/// Why a run failed.
#[derive(Debug, Error)]
pub enum ProduceError {
    /// Some records were not acknowledged.
    #[error("{missing} of {asked} records were not acknowledged{}", because(.reason.as_ref()))]
    Unacknowledged {
        /// Records without an acknowledgement.
        missing: u64,
        /// Records that should have been acknowledged.
        asked: u64,
        /// The last failure.
        reason: Option<String>,
    },
    /// A stop was requested before the source ended.
    #[error("stopped before the end; {acknowledged} records were acknowledged")]
    Stopped {
        /// Records acknowledged.
        acknowledged: u64,
    },
    /// Nothing can be published to the topic.
    #[error("no record was published: {0}")]
    Topic(#[from] TopicError),
    /// A record could not be sent.
    #[error("{acknowledged} records were acknowledged, then: {reason}")]
    Publish {
        /// Records acknowledged before and after.
        acknowledged: u64,
        /// The error that ended the run.
        reason: PublishError,
    },
}

fn because(reason: Option<&String>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// How `run` divides its records. A ball of a live match counts as one, also if it is published to two topics.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Records per batch.
    pub size: u64,
    /// From the start of one batch to the start of the next; ignored with a rate.
    pub interval: Duration,
    /// Records in all; `None` until the source ends or shutdown is requested.
    pub records: Option<u64>,
}

/// Runs a source and a publisher.
pub struct Production {
    source: Source,
    publisher: Publisher,
    status: Arc<Status>,
    shutdown: Shutdown,
    bar: ProgressBar,
    /// Moments handed over.
    moments: u64,
    /// Whether the source has ended.
    ended: bool,
    /// Which failures are logged: in an outage, each batch fails for the same reason.
    failures: RepeatedFailures,
    seen: Seen,
}

/// What was seen of the outcomes after the last batch.
#[derive(Default)]
struct Seen {
    failed: u64,
    acknowledged: u64,
    /// Failed records that were logged.
    logged: u64,
    /// Records fail, and none was acknowledged since.
    failing: bool,
}

impl Production {
    /// A production that has not begun.
    pub fn new(source: Source, publisher: Publisher, status: Arc<Status>, shutdown: Shutdown) -> Self {
        let bar = ProgressBar::hidden();
        Self {
            source,
            publisher,
            status,
            shutdown,
            bar,
            moments: 0,
            ended: false,
            failures: RepeatedFailures::default(),
            seen: Seen::default(),
        }
    }

    /// Publishes one batch of `records`, or all that the source has, and waits for all acknowledgements. The first failure
    /// ends it.
    ///
    /// # Errors
    /// [`ProduceError`], with the number of missing records.
    pub fn once(mut self, records: Option<u64>) -> Result<(), ProduceError> {
        self.publisher.find_topics()?;
        self.bar = self.bar(records);
        let began = Instant::now();
        let published = self.batch(records.unwrap_or(u64::MAX), true);
        self.publisher.drain();
        let acknowledged = self.finish(published, records)?;
        // Without a number, only the end of the source shows that nothing is missing.
        if records.is_none() && !self.ended && self.shutdown.requested() {
            return Err(ProduceError::Stopped { acknowledged });
        }
        log_acknowledged(acknowledged, began);
        Ok(())
    }

    /// Publishes a batch every interval until shutdown is requested or all records are published. Failures are counted,
    /// and the run continues.
    ///
    /// # Errors
    /// [`ProduceError`] at the end, if a record was not acknowledged.
    pub fn run(mut self, batches: Batches) -> Result<(), ProduceError> {
        self.publisher.find_topics()?;
        self.bar = self.bar(batches.records);
        let mut left = batches.records.unwrap_or(u64::MAX);
        let published = loop {
            let began = Instant::now();
            let records = batches.size.min(left);
            if let Err(error) = self.batch(records, false) {
                break Err(error);
            }
            left -= records;
            if !self.source.is_paced() {
                self.publisher.drain();
            }
            self.bar.set_position(self.status.measured.acknowledged.get());
            self.log_failures();
            if left == 0 || self.ended || self.shutdown.requested() {
                break Ok(());
            }
            if !self.source.is_paced() {
                self.wait_until(began + batches.interval);
            }
        };
        self.publisher.drain();
        // A run that was stopped has published what it should have by then.
        let records = self.finish(published, None)?;
        tracing::info!(records, "stopped; every record is acknowledged");
        Ok(())
    }

    /// Publishes up to `moments` moments: fewer at the end of the source, after a shutdown request or, with
    /// `all_or_nothing`, after a failure.
    fn batch(&mut self, moments: u64, all_or_nothing: bool) -> Result<(), PublishError> {
        let began = Instant::now();
        for _ in 0..moments {
            self.wait_until_due();
            if self.shutdown.requested() || all_or_nothing && self.status.measured.failed.get() > 0 {
                break;
            }
            let Some(moment) = self.source.next() else {
                self.ended = true;
                break;
            };
            match self.publisher.publish(&moment) {
                Ok(()) => self.moments += 1,
                Err(PublishError::Stopped) => break,
                Err(error) => return Err(error),
            }
            if self.moments.is_multiple_of(BAR_EVERY) {
                self.bar.set_position(self.status.measured.acknowledged.get());
            }
        }
        self.publisher.batch_ends(began);
        Ok(())
    }

    /// Logs the records that have failed: when they begin to, when the reason changes, once a minute, and when they end to.
    fn log_failures(&mut self) {
        let (failed, acknowledged) =
            (self.status.measured.failed.get(), self.status.measured.acknowledged.get());
        if failed > self.seen.failed {
            let reason = self.status.last_failure().unwrap_or_default();
            if self.failures.to_log(&reason, Instant::now()).is_some() {
                tracing::warn!(failed = failed - self.seen.logged, reason, "records were not acknowledged");
                self.seen.logged = failed;
            }
            self.seen.failing = true;
        } else if self.seen.failing && acknowledged > self.seen.acknowledged {
            tracing::info!(failed, acknowledged, "records are acknowledged again");
            self.failures.ended();
            self.seen.failing = false;
        }
        (self.seen.failed, self.seen.acknowledged) = (failed, acknowledged);
    }

    /// Serves delivery reports until the source's next record is due.
    fn wait_until_due(&mut self) {
        let due_in = self.source.due_in();
        if due_in < SHORTEST_WAIT {
            return;
        }
        let due = Instant::now() + due_in;
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left < SHORTEST_WAIT || self.shutdown.requested() {
                return;
            }
            self.shutdown.wait_timeout(left.min(REPORT_TURN));
            self.publisher.poll();
        }
    }

    /// Waits for an instant or the shutdown request.
    fn wait_until(&mut self, instant: Instant) {
        loop {
            self.publisher.poll();
            let left = instant.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shutdown.wait_timeout(left.min(TURN)) {
                return;
            }
        }
    }

    /// The result of a run, and how many records were acknowledged. `asked` moments should have been published, or all
    /// that the source has.
    fn finish(&self, published: Result<(), PublishError>, asked: Option<u64>) -> Result<u64, ProduceError> {
        self.bar.finish_and_clear();
        let skipped = asked.filter(|_| !self.ended).map_or(0, |asked| asked.saturating_sub(self.moments));
        let asked = self.publisher.handed_over() + skipped;
        outcome(&self.status, &self.shutdown, published, asked).map(|()| asked)
    }

    /// The progress bar of so many moments.
    fn bar(&self, moments: Option<u64>) -> ProgressBar {
        bar(moments.map(|moments| moments.saturating_mul(self.publisher.records_per_moment())))
    }
}

/// The result of publishing that is over, and should have got `asked` records acknowledged.
pub(crate) fn outcome(
    status: &Status,
    shutdown: &Shutdown,
    published: Result<(), PublishError>,
    asked: u64,
) -> Result<(), ProduceError> {
    let acknowledged = status.measured.acknowledged.get();
    published.map_err(|reason| ProduceError::Publish { acknowledged, reason })?;
    let missing = asked.saturating_sub(acknowledged);
    if missing == 0 {
        return Ok(());
    }
    let stopped = || shutdown.requested().then(|| "a stop was requested".to_owned());
    let reason = status.last_failure().or_else(stopped);
    Err(ProduceError::Unacknowledged { missing, asked, reason })
}

/// Logs that `records` records, published since `began`, are acknowledged.
pub(crate) fn log_acknowledged(records: u64, began: Instant) {
    let took = began.elapsed();
    let per_second = (records as f64 / took.as_secs_f64()).round();
    tracing::info!(records, seconds = time::seconds(took), per_second, "acknowledged");
}

/// A progress bar on standard error, visible only on a terminal.
pub(crate) fn bar(records: Option<u64>) -> ProgressBar {
    let (bar, template) = match records {
        Some(records) => (ProgressBar::new(records), "{wide_bar} {human_pos}/{human_len} {per_sec} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} records, {per_sec}"),
    };
    // The templates are constants; an invalid one shows the default bar.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
