//! Commits of positions to Kafka, and what becomes of them.
//!
//! rdkafka's consumer sets no commit callback in librdkafka, which tells the outcome of an asynchronous commit only
//! to one, or to the queue that the commit names (`rd_kafka_cgrp_propagate_commit_result`): so it is made here, with a
//! queue. The calls have the ownership that rdkafka.h documents for them.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::source::consumer::Consumer;
use crate::types::TopicPartition;

/// What became of one commit.
#[derive(Debug)]
pub struct Outcome {
    /// The first error, if Kafka refused any of it or did not answer.
    pub result: KafkaResult<()>,
    /// The partitions whose positions Kafka was not told by it.
    pub untold: Vec<TopicPartition>,
}

/// Commits, and the queue on which their outcomes come.
pub struct Commits {
    // Destroyed before the consumer goes.
    queue: *mut rd::rd_kafka_queue_t,
    consumer: Consumer,
}

// SAFETY: librdkafka's queues are made to be used by any thread.
unsafe impl Send for Commits {}

impl Commits {
    /// Commits of this consumer's group.
    pub fn new(consumer: &Consumer) -> Self {
        // SAFETY: the client lives as long as `consumer`, which is kept beside the queue.
        let queue = unsafe { rd::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self { queue, consumer: consumer.clone() }
    }

    /// Sends a commit, and does not wait.
    ///
    /// # Errors
    /// There is no group to commit for.
    pub fn send(&self, positions: &TopicPartitionList) -> KafkaResult<()> {
        let client = self.consumer.client().native_ptr();
        // SAFETY: client and queue live; the list is copied. Without a callback, nothing is kept for one.
        let error =
            unsafe { rd::rd_kafka_commit_queue(client, positions.ptr(), self.queue, None, ptr::null_mut()) };
        result(error)
    }

    /// What became of the commits that have come to an end since the last call.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        loop {
            // SAFETY: the queue lives. The event is ours until it is destroyed; its list belongs to it.
            unsafe {
                let event = rd::rd_kafka_queue_poll(self.queue, 0);
                if event.is_null() {
                    return outcomes;
                }
                let mut error = rd::rd_kafka_event_error(event);
                let refused = error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
                let mut untold = Vec::new();
                let list = rd::rd_kafka_event_topic_partition_list(event);
                let count = if list.is_null() { 0 } else { usize::try_from((*list).cnt).unwrap_or(0) };
                for index in 0..count {
                    let element = &*(*list).elems.add(index);
                    if refused || element.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                        error = if refused { error } else { element.err };
                        let topic = CStr::from_ptr(element.topic).to_string_lossy();
                        untold.push(TopicPartition::new(&*topic, element.partition));
                    }
                }
                rd::rd_kafka_event_destroy(event);
                outcomes.push(Outcome { result: result(error), untold });
            }
        }
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        // SAFETY: made in `new`, used nowhere else. Commits under way hold a reference of their own.
        unsafe { rd::rd_kafka_queue_destroy(self.queue) }
    }
}

fn result(error: RDKafkaRespErr) -> KafkaResult<()> {
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(KafkaError::ConsumerCommit(error.into())),
    }
}
