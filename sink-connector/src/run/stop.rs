//! Stops the sink: leaves the consumer group and ends the HTTP server.

use std::time::Duration;

use anyhow::Context as _;
use crossbeam_channel::bounded;
use rdkafka::consumer::{Consumer as _, RebalanceProtocol};

use crate::kafka::consumer::{self, Consumer};
use crate::observe::health::Component;
use crate::run::build::Sink;
use crate::run::start::spawn;
use crate::run::supervise::Ended;
use crate::source::Totals;
use crate::source::bounds::StoppedBy;

/// The part of the shutdown timeout that is kept for the last commit to Kafka and for leaving the group.
pub(super) const LEAVE_RESERVE: Duration = Duration::from_millis(1500);
/// Time-out of leaving the group. An idle sink exits within two seconds of SIGTERM even if Kafka does not answer.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long a member that is joining the group may take to leave it. It cannot leave before it has joined, and would then
/// stay in the group until its session times out.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Leaves the group if the source has ended.
pub(super) fn stop(sink: Sink<'_>, ended: Ended) -> anyhow::Result<(StoppedBy, Totals)> {
    let finished = match ended {
        Ended::Finished(stopped_by, totals) => Ok((stopped_by, totals)),
        Ended::Kafka(error) => Err(error),
        Ended::SourceLost => anyhow::bail!("the source thread has ended"),
        Ended::WritersHang => anyhow::bail!("PostgreSQL does not answer"),
    };
    // While Kafka answers, a member that is joining learns within a heartbeat of the others that it has joined.
    let joining = matches!(sink.kafka.consumer.rebalance_protocol(), RebalanceProtocol::None);
    let kafka_answers = sink.writer_context.health.is_ok(&Component::Kafka);
    let timeout =
        if joining && kafka_answers { JOIN_TIMEOUT.min(sink.config.shutdown_timeout) } else { LEAVE_TIMEOUT };
    leave_group(sink.kafka.consumer, timeout);
    let finished = finished.context("Kafka")?;
    if let Some(server) = sink.server {
        server.stop();
    }
    Ok(finished)
}

/// Leaves the group on a thread of its own: closing a consumer can hang, and the process must not.
///
/// Dropping the consumer here would not close it, because other threads may still hold it. A member that does not leave
/// keeps its partitions until its session times out.
fn leave_group(consumer: Consumer, timeout: Duration) {
    let (left_in, left) = bounded(1);
    let leave = move || {
        if let Err(error) = consumer::leave(&consumer) {
            tracing::warn!(%error, "cannot leave the group; its session will time out");
        }
        if left_in.send(()).is_err() {
            tracing::debug!("left the group after the timeout");
        }
    };
    match spawn("leave-group", leave) {
        Ok(()) => {
            if left.recv_timeout(timeout).is_err() {
                tracing::warn!("Kafka has not answered in time; the session will time out");
            }
        }
        Err(error) => tracing::error!(%error, "cannot leave the group; its session will time out"),
    }
}
