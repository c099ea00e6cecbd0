//! A record as it is read from Kafka.

/// A record, borrowed from the Kafka client or from the memory of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    pub key: Option<&'a [u8]>,
    /// As packed by [`super::packed_headers`].
    pub headers: Option<&'a [u8]>,
}
