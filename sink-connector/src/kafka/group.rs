//! The members of a consumer group, whichever protocol they use.
//!
//! rdkafka's `fetch_group_list` asks with DescribeGroups, which knows nothing of groups of the consumer protocol (KIP-848):
//! their members would not be seen. librdkafka's DescribeConsumerGroups asks for both. The calls follow librdkafka's
//! `examples/describe_consumer_groups.c` and the ownership rules of rdkafka.h.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::consumer::Consumer;
use crate::kafka::native::{Owned, text};

/// An active member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// What the member calls itself.
    pub client_id: String,
    /// Where it is, as the broker sees it.
    pub host: String,
    /// `group.instance.id`, if it is a static member: that stays in the group when it is stopped.
    pub instance: Option<String>,
}

/// Why the members are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("the group's name has a NUL byte")]
    InvalidName,
    #[error("the group's coordinator did not answer in time")]
    TimedOut,
    #[error("{0}")]
    Refused(String),
    #[error("the broker's answer was not a description of the group")]
    UnexpectedAnswer,
}

/// The active members of `group`; none if the group does not exist. The caller has reached a broker before.
pub(crate) fn members(
    consumer: &Consumer,
    group: &str,
    timeout: Duration,
) -> Result<Vec<Member>, GroupError> {
    let name = CString::new(group).map_err(|_| GroupError::InvalidName)?;
    let mut names: [*const c_char; 1] = [name.as_ptr()];
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = consumer.client().native_ptr();
    // SAFETY: `client` outlives this call because `consumer` does. Every object created here is destroyed once, by its
    // guard; the description belongs to the event and is copied before it is destroyed.
    unsafe {
        let queue = Owned(rd::rd_kafka_queue_new(client), rd::rd_kafka_queue_destroy);
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options =
            Owned(rd::rd_kafka_AdminOptions_new(client, operation), rd::rd_kafka_AdminOptions_destroy);
        let mut message = [0 as c_char; 256];
        rd::rd_kafka_AdminOptions_set_request_timeout(options.0, millis, message.as_mut_ptr(), message.len());
        rd::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), names.len(), options.0, queue.0);
        let event = rd::rd_kafka_queue_poll(queue.0, millis);
        if event.is_null() {
            return Err(GroupError::TimedOut);
        }
        let event = Owned(event, rd::rd_kafka_event_destroy);
        if rd::rd_kafka_event_error(event.0) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(GroupError::Refused(text(rd::rd_kafka_event_error_string(event.0))));
        }
        let result = rd::rd_kafka_event_DescribeConsumerGroups_result(event.0);
        if result.is_null() {
            return Err(GroupError::UnexpectedAnswer);
        }
        let mut count = 0;
        let groups = rd::rd_kafka_DescribeConsumerGroups_result_groups(result, ptr::addr_of_mut!(count));
        if count != 1 {
            return Err(GroupError::UnexpectedAnswer);
        }
        members_of(*groups)
    }
}

/// Copies the members of a described group.
///
/// # Safety
/// `description` must be valid during the call.
unsafe fn members_of(
    description: *const rd::rd_kafka_ConsumerGroupDescription_t,
) -> Result<Vec<Member>, GroupError> {
    // SAFETY: as the caller promises; members belong to the description.
    unsafe {
        let error = rd::rd_kafka_ConsumerGroupDescription_error(description);
        match rd::rd_kafka_error_code(error) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND => return Ok(Vec::new()),
            _ => return Err(GroupError::Refused(text(rd::rd_kafka_error_string(error)))),
        }
        let count = rd::rd_kafka_ConsumerGroupDescription_member_count(description);
        let member = |index| {
            let member = rd::rd_kafka_ConsumerGroupDescription_member(description, index);
            let instance = rd::rd_kafka_MemberDescription_group_instance_id(member);
            Member {
                instance: (!instance.is_null()).then(|| text(instance)),
                client_id: text(rd::rd_kafka_MemberDescription_client_id(member)),
                host: text(rd::rd_kafka_MemberDescription_host(member)).trim_start_matches('/').to_owned(),
            }
        };
        Ok((0..count).map(member).collect())
    }
}
