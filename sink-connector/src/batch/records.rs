//! The records of a batch as they came from Kafka: kept to encode them again, and for dead letters.

/// One record; its bytes are in the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Which of the batch's spans (and so which partition) it belongs to.
    pub span: u16,
    pub offset: i64,
    /// Its timestamp in milliseconds since the epoch; `None` when the topic stores none.
    pub timestamp: Option<i64>,
    payload: Option<Range>,
    key: Option<Range>,
    headers: Option<Range>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    start: u32,
    end: u32,
}

use crate::kafka::record::Incoming;

/// An arena of records: one allocation for all their bytes, used again by the next batch.
#[derive(Default, Debug)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    index: Vec<Record>,
}

impl Records {
    /// Copies a record in, and returns its number.
    pub(crate) fn push(&mut self, span: u16, record: &Incoming<'_>) -> u32 {
        let mut store = |part: Option<&[u8]>| {
            part.map(|part| {
                let start = offset32(self.bytes.len());
                self.bytes.extend_from_slice(part);
                Range { start, end: offset32(self.bytes.len()) }
            })
        };
        let (payload, key, headers) = (store(record.payload), store(record.key), store(record.headers));
        self.index.push(Record {
            span,
            offset: record.offset,
            timestamp: record.timestamp,
            payload,
            key,
            headers,
        });
        offset32(self.index.len() - 1)
    }

    pub(crate) fn get(&self, n: u32) -> Record {
        self.index[n as usize]
    }

    /// The record with number `n`, as it came.
    pub(crate) fn incoming(&self, n: u32) -> Incoming<'_> {
        let record = self.get(n);
        Incoming {
            offset: record.offset,
            timestamp: record.timestamp,
            payload: self.slice(record.payload),
            key: self.slice(record.key),
            headers: self.slice(record.headers),
        }
    }

    /// All records, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.index.iter()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.index.len()
    }

    /// Their size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets them, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
    }

    fn slice(&self, range: Option<Range>) -> Option<&[u8]> {
        range.map(|r| &self.bytes[r.start as usize..r.end as usize])
    }
}

/// A length inside a batch. Batches are bounded by `batch.max_bytes` and one record more, far below 4 GiB.
pub(crate) fn offset32(n: usize) -> u32 {
    u32::try_from(n).expect("a batch stays below 4 GiB: max_bytes is bounded, and so is a record")
}
