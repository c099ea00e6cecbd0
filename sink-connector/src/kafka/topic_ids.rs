//! Topic ids, which change when a topic is deleted and created again, and read permissions.
//!
//! rdkafka has no API for them (KIP-516, DescribeTopics). The calls follow librdkafka's `examples/describe_topics.c` and the
//! ownership rules of rdkafka.h.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::cause::{cause_of, is_no_answer, unanswered};
use crate::kafka::consumer::Consumer;
use crate::kafka::native::{Owned, text};

#[derive(Debug, Default)]
pub(crate) struct Described {
    /// Ids by name. A topic that does not exist has none, and no topic has one on a broker before 2.8.
    pub ids: HashMap<String, String>,
    /// Topics that this client may see but not read.
    pub unreadable: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DescribeError {
    #[error("topic name {0:?} has a NUL byte")]
    InvalidName(String),
    #[error("Kafka is unreachable: {0}")]
    Unreachable(String),
    #[error("{0}")]
    Refused(String),
    #[error("the broker's answer was not a description of topics")]
    UnexpectedAnswer,
}

/// The ids of `topics`, by name; see [`Described::ids`].
pub(crate) fn topic_ids(
    consumer: &Consumer,
    topics: &[&str],
    timeout: Duration,
) -> Result<HashMap<String, String>, DescribeError> {
    Ok(describe(consumer, topics, timeout)?.ids)
}

/// Queries the cluster for ids and permissions of `topics`.
pub(crate) fn describe(
    consumer: &Consumer,
    topics: &[&str],
    timeout: Duration,
) -> Result<Described, DescribeError> {
    let names: Vec<CString> = topics
        .iter()
        .map(|t| CString::new(*t).map_err(|_| DescribeError::InvalidName((*t).to_owned())))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const std::ffi::c_char> = names.iter().map(|n| n.as_ptr()).collect();
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = consumer.client().native_ptr();
    // SAFETY: `client` outlives this call because `consumer` does. Every object created here is destroyed once, by its
    // guard; the descriptions belong to the event and are copied before it is destroyed.
    unsafe {
        let queue = Owned(rd::rd_kafka_queue_new(client), rd::rd_kafka_queue_destroy);
        let options = Owned(
            rd::rd_kafka_AdminOptions_new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
            rd::rd_kafka_AdminOptions_destroy,
        );
        let mut message = [0 as std::ffi::c_char; 256];
        rd::rd_kafka_AdminOptions_set_request_timeout(options.0, millis, message.as_mut_ptr(), message.len());
        let refused = rd::rd_kafka_AdminOptions_set_include_authorized_operations(options.0, 1);
        if !refused.is_null() {
            rd::rd_kafka_error_destroy(refused);
        }
        let collection = Owned(
            rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            rd::rd_kafka_TopicCollection_destroy,
        );
        rd::rd_kafka_DescribeTopics(client, collection.0, options.0, queue.0);
        let event = rd::rd_kafka_queue_poll(queue.0, millis);
        if event.is_null() {
            return Err(DescribeError::Unreachable(unanswered(consumer)));
        }
        let event = Owned(event, rd::rd_kafka_event_destroy);
        if let Some(error) = failure(consumer, event.0) {
            return Err(error);
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(DescribeError::UnexpectedAnswer);
        }
        let mut count = 0;
        let descriptions = rd::rd_kafka_DescribeTopics_result_topics(result, ptr::addr_of_mut!(count));
        let mut described = Described::default();
        for index in 0..count {
            let description = *descriptions.add(index);
            let error = rd::rd_kafka_TopicDescription_error(description);
            let id = rd::rd_kafka_TopicDescription_topic_id(description);
            if rd::rd_kafka_error_code(error) == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !id.is_null() {
                let name = text(rd::rd_kafka_TopicDescription_name(description));
                let id = text(rd::rd_kafka_Uuid_base64str(id));
                // Null: the broker has no authorizer, or is older than 2.3.
                let mut allowed = 0;
                let operations = rd::rd_kafka_TopicDescription_authorized_operations(
                    description,
                    ptr::addr_of_mut!(allowed),
                );
                let read = rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ;
                if !operations.is_null() && !(0..allowed).any(|n| *operations.add(n) == read) {
                    described.unreadable.push(name.clone());
                }
                // The id of all zeros: the broker has no topic ids.
                if id != "AAAAAAAAAAAAAAAAAAAAAA" {
                    described.ids.insert(name, id);
                }
            }
        }
        Ok(described)
    }
}

/// Why an event has no result.
///
/// # Safety
/// `event` must be valid during the call.
unsafe fn failure(consumer: &Consumer, event: *mut rd::rd_kafka_event_t) -> Option<DescribeError> {
    // SAFETY: as the caller promises; the text is copied.
    let (error, text) =
        unsafe { (rd::rd_kafka_event_error(event), text(rd::rd_kafka_event_error_string(event))) };
    if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    Some(if is_no_answer(error.into()) {
        DescribeError::Unreachable(cause_of(consumer, Some(error.into()), &text))
    } else {
        DescribeError::Refused(text)
    })
}
