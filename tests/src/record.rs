//! A record as a test produces it, and as it is read back.

/// What goes into a topic, or came out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Absent: a record without a key.
    pub key: Option<Vec<u8>>,
    /// Absent: a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Absent: chosen by the key's hash (murmur2, as Java clients do).
    pub partition: Option<i32>,
    /// Name and value of each, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Epoch milliseconds; absent: now.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// A record without a key.
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }

    /// A record with a key.
    pub fn keyed(key: impl Into<Vec<u8>>, payload: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..Self::new(payload) }
    }

    /// A JSON record without a key.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::new(value.to_string())
    }

    /// A record with a key and no value.
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// With this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Into this partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    /// With this timestamp, in epoch milliseconds.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }
}
