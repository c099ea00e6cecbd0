//! Makes the progress of a run visible: samples for /status, a line in the log once a minute, a progress bar.

use std::sync::Arc;
use std::time::Instant;

use crate::messages::board::{Board, TowardsEnd};
use crate::observe::metrics::Metrics;
use crate::observe::throughput::{INTERVAL, Throughput};
use crate::run::bar::Bar;
use crate::run::build::Sink;
use crate::run::minutes::Minutes;
use crate::source::bounds::Bounds;

pub(super) struct Activity {
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    throughput: Arc<Throughput>,
    bounds: Bounds,
    next_sample: Instant,
    minutes: Minutes,
    bar: Option<Bar>,
}

impl Activity {
    pub(super) fn new(sink: &Sink<'_>, now: Instant) -> Self {
        Self {
            metrics: Arc::clone(&sink.writer_context.metrics),
            board: Arc::clone(&sink.board),
            throughput: Arc::clone(&sink.throughput),
            bounds: sink.bounds,
            next_sample: now,
            minutes: Minutes::new(now),
            bar: Bar::new(sink.bounds.bounded(), sink.config.log.format),
        }
    }

    /// Called several times a second.
    pub(super) fn tick(&mut self, now: Instant) {
        if now >= self.next_sample {
            self.next_sample = now + INTERVAL;
            self.sample(now);
        }
    }

    fn sample(&mut self, now: Instant) {
        let (counters, lag) = (self.metrics.counters(), self.board.lag());
        let records = counters.records;
        let minute = self.minutes.ended(&counters, now);
        if let Some(minute) = minute.filter(|_| self.bar.is_none()) {
            tracing::info!(
                records = minute.records,
                rows = minute.rows,
                rows_per_second = minute.rows_per_second,
                dead_letters = minute.dead_letters,
                lag,
                "written in the last minute"
            );
        }
        self.throughput.sample(counters, lag, now);
        if let Some(bar) = &self.bar {
            bar.show(records, self.all(), self.throughput.rate(), lag);
        }
    }

    /// How many records a run with an end has in all, as far as it is known.
    fn all(&self) -> Option<u64> {
        let of_goal = self.board.towards_end().map(|TowardsEnd { done, left }| done + left);
        of_goal.into_iter().chain(self.bounds.max_records).min()
    }

    /// Removes the bar. Whether there was one.
    pub(super) fn end(self) -> bool {
        self.bar.is_some()
    }
}
