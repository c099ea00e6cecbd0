//! First and last offsets of many partitions, with one request for each broker instead of two for each partition. A request
//! to a broker waits behind a fetch from it, so hundreds of them would take half a minute.
//!
//! rdkafka has no API for them (KIP-396, ListOffsets). The calls follow librdkafka's `examples/list_offsets.c` and the
//! ownership rules of rdkafka.h.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::cause::{cause_of, unanswered};
use crate::kafka::consumer::Consumer;
use crate::kafka::native::{Owned, text};
use crate::types::{Offset, TopicPartition};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ListOffsetsError {
    #[error(transparent)]
    Client(#[from] rdkafka::error::KafkaError),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Refused(String),
    #[error("the broker's answer was not a list of offsets")]
    UnexpectedAnswer,
}

/// The first offset of each of these partitions and the offset after the last, for a reader of committed records. Partitions
/// of which the brokers do not know both are left out.
pub(crate) fn log_ends(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<HashMap<TopicPartition, (Offset, Offset)>, ListOffsetsError> {
    if partitions.is_empty() {
        return Ok(HashMap::new());
    }
    let low = list(consumer, partitions, KafkaOffset::Beginning, timeout)?;
    let mut high = list(consumer, partitions, KafkaOffset::End, timeout)?;
    let both = |(partition, low)| {
        let high = high.remove(&partition)?;
        Some((partition, (low, high)))
    };
    Ok(low.into_iter().filter_map(both).collect())
}

/// The offset of each partition at `which` end.
fn list(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    which: KafkaOffset,
    timeout: Duration,
) -> Result<HashMap<TopicPartition, Offset>, ListOffsetsError> {
    let mut wanted = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        wanted.add_partition_offset(&partition.topic, partition.partition.0, which)?;
    }
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = rdkafka::consumer::Consumer::client(&**consumer).native_ptr();
    // SAFETY: `client` outlives this call because `consumer` does, and so does `wanted`. Every object created here is
    // destroyed once, by its guard; the results belong to the event and are copied before it is destroyed.
    unsafe {
        let queue = Owned(rd::rd_kafka_queue_new(client), rd::rd_kafka_queue_destroy);
        let options = Owned(
            rd::rd_kafka_AdminOptions_new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS),
            rd::rd_kafka_AdminOptions_destroy,
        );
        let mut message = [0 as std::ffi::c_char; 256];
        rd::rd_kafka_AdminOptions_set_request_timeout(options.0, millis, message.as_mut_ptr(), message.len());
        // The end that the consumer can read to.
        let refused = rd::rd_kafka_AdminOptions_set_isolation_level(
            options.0,
            rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        );
        if !refused.is_null() {
            let refused = Owned(refused, rd::rd_kafka_error_destroy);
            return Err(ListOffsetsError::Refused(text(rd::rd_kafka_error_string(refused.0))));
        }
        rd::rd_kafka_ListOffsets(client, wanted.ptr(), options.0, queue.0);
        let event = rd::rd_kafka_queue_poll(queue.0, millis);
        if event.is_null() {
            return Err(ListOffsetsError::Unreachable(unanswered(consumer)));
        }
        let event = Owned(event, rd::rd_kafka_event_destroy);
        let error = rd::rd_kafka_event_error(event.0);
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            let text = text(rd::rd_kafka_event_error_string(event.0));
            return Err(ListOffsetsError::Refused(cause_of(consumer, Some(error.into()), &text)));
        }
        let result = rd::rd_kafka_event_ListOffsets_result(event.0);
        if result.is_null() {
            return Err(ListOffsetsError::UnexpectedAnswer);
        }
        let mut count = 0;
        let infos = rd::rd_kafka_ListOffsets_result_infos(result, ptr::addr_of_mut!(count));
        let mut found = HashMap::with_capacity(count);
        for index in 0..count {
            let of = &*rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index));
            if of.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && of.offset >= 0 {
                found.insert(TopicPartition::new(text(of.topic), of.partition), Offset(of.offset));
            }
        }
        Ok(found)
    }
}
