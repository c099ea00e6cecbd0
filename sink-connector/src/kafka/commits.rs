//! Commits of positions to Kafka, and their outcomes.
//!
//! librdkafka reports the outcome of an asynchronous commit to the commit callback or to the queue that the commit names
//! (`rd_kafka_cgrp_propagate_commit_result`). rdkafka sets no callback, so this module calls librdkafka with a queue. The
//! calls follow the ownership rules of rdkafka.h.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::consumer::Consumer;
use crate::types::TopicPartition;

#[derive(Debug)]
pub(crate) struct CommitOutcome {
    /// The first error, if Kafka refused a position or did not answer.
    pub result: KafkaResult<()>,
    /// The partitions whose positions are not committed.
    pub failed: Vec<TopicPartition>,
}

/// Sends commits and receives their outcomes.
pub(crate) struct Commits {
    // Must be destroyed before the consumer.
    queue: *mut rd::rd_kafka_queue_t,
    consumer: Consumer,
}

// SAFETY: librdkafka's queues may be used by any thread.
unsafe impl Send for Commits {}

impl Commits {
    pub(crate) fn new(consumer: &Consumer) -> Self {
        // SAFETY: the client lives as long as `consumer`, which is kept beside the queue.
        let queue = unsafe { rd::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self { queue, consumer: consumer.clone() }
    }

    /// Sends a commit without waiting for its outcome.
    ///
    /// # Errors
    /// The client has no group.
    pub(crate) fn send(&self, positions: &TopicPartitionList) -> KafkaResult<()> {
        let client = self.consumer.client().native_ptr();
        // SAFETY: client and queue are alive; the list is copied. Without a callback, no opaque pointer is kept.
        let error =
            unsafe { rd::rd_kafka_commit_queue(client, positions.ptr(), self.queue, None, ptr::null_mut()) };
        result(error)
    }

    /// The outcomes that have arrived since the last call.
    pub(crate) fn outcomes(&self) -> Vec<CommitOutcome> {
        let mut outcomes = Vec::new();
        loop {
            // SAFETY: the queue is alive. The event is owned here until it is destroyed; its list belongs to it.
            unsafe {
                let event = rd::rd_kafka_queue_poll(self.queue, 0);
                if event.is_null() {
                    return outcomes;
                }
                let mut error = rd::rd_kafka_event_error(event);
                let refused = error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
                let mut failed = Vec::new();
                let list = rd::rd_kafka_event_topic_partition_list(event);
                let count = if list.is_null() { 0 } else { usize::try_from((*list).cnt).unwrap_or(0) };
                for index in 0..count {
                    let element = &*(*list).elems.add(index);
                    if refused || element.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                        error = if refused { error } else { element.err };
                        let topic = CStr::from_ptr(element.topic).to_string_lossy();
                        failed.push(TopicPartition::new(&*topic, element.partition));
                    }
                }
                rd::rd_kafka_event_destroy(event);
                outcomes.push(CommitOutcome { result: result(error), failed });
            }
        }
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        // SAFETY: created in `new`, used nowhere else. Pending commits hold their own reference.
        unsafe { rd::rd_kafka_queue_destroy(self.queue) }
    }
}

fn result(error: RDKafkaRespErr) -> KafkaResult<()> {
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(KafkaError::ConsumerCommit(error.into())),
    }
}
