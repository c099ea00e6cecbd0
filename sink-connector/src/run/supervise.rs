//! Waits for the end of the source, and replaces writers that hang meanwhile.

use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use rdkafka::error::KafkaError;

use crate::run::activity::Activity;
use crate::run::again::Again;
use crate::run::build::Sink;
use crate::run::start::Threads;
use crate::source::Totals;
use crate::source::bounds::StoppedBy;

const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How the threads have ended.
pub(super) enum Ended {
    /// The source has reached a bound, or the shutdown was requested.
    Finished(StoppedBy, Totals),
    /// The source has ended with a fatal error of the Kafka client.
    Kafka(KafkaError),
    /// The source thread has ended without a result.
    SourceLost,
    /// Too many writers hang in PostgreSQL.
    WritersHang,
}

pub(super) fn supervise(
    sink: &Sink<'_>,
    threads: &mut Threads,
    activity: &mut Activity,
    again: &mut Again,
) -> Ended {
    let heartbeat = &sink.heartbeats.supervisor;
    loop {
        match threads.source.recv_timeout(CHECK_INTERVAL) {
            Ok(Ok((stopped_by, totals))) => return Ended::Finished(stopped_by, totals),
            Ok(Err(error)) => return Ended::Kafka(error),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ended::SourceLost,
        }
        heartbeat.beat();
        activity.tick(Instant::now());
        again.tick(sink, Instant::now());
        if !threads.supervisor.check() {
            return Ended::WritersHang;
        }
    }
}
