//! A record's headers. rdkafka's own iterator panics on a name that is not UTF-8, which clients can produce and brokers
//! accept. This module makes the same calls, with the ownership rules of rdkafka.h.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::packed_headers;

/// Packs the record's headers; false when it has none. Bytes of a name that are not UTF-8 become U+FFFD.
pub(crate) fn pack(message: &BorrowedMessage<'_>, packed: &mut Vec<u8>) -> bool {
    let mut list = ptr::null_mut();
    // SAFETY: the message outlives this call, and the list belongs to it.
    let error = unsafe { rd::rd_kafka_message_headers(message.ptr(), ptr::addr_of_mut!(list)) };
    if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || list.is_null() {
        return false;
    }
    packed.clear();
    for index in 0.. {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `list` belongs to the message, and so do the pointers that it returns: a NUL-terminated name, and `size`
        // bytes of value or a null pointer.
        unsafe {
            let error = rd::rd_kafka_header_get_all(
                list,
                index,
                ptr::addr_of_mut!(name),
                ptr::addr_of_mut!(value),
                ptr::addr_of_mut!(size),
            );
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            let name = CStr::from_ptr(name).to_string_lossy();
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
            packed_headers::push(packed, &name, value);
        }
    }
    true
}
