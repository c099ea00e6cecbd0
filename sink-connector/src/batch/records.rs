//! The records of a batch as they came from Kafka: kept to encode them again, and for dead letters.

/// One record; its bytes are in the arena.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Which of the batch's spans (and so which partition) it belongs to.
    pub span: u16,
    /// Its offset.
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

/// What a record consists of, borrowed from Kafka or from another arena.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Its value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its headers, as [`headers`] packed them.
    pub headers: Option<&'a [u8]>,
}

/// An arena of records: one allocation for all their bytes, used again by the next batch.
#[derive(Default, Debug)]
pub struct Records {
    bytes: Vec<u8>,
    index: Vec<Record>,
}

impl Records {
    /// Copies a record in, and returns its number.
    pub fn push(&mut self, span: u16, record: &Incoming<'_>) -> u32 {
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

    /// The record with number `n`.
    pub fn get(&self, n: u32) -> Record {
        self.index[n as usize]
    }

    /// The record with number `n`, as it came.
    pub fn incoming(&self, n: u32) -> Incoming<'_> {
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
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.index.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.index.len()
    }

    /// Their size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets them, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
    }

    fn slice(&self, range: Option<Range>) -> Option<&[u8]> {
        range.map(|r| &self.bytes[r.start as usize..r.end as usize])
    }
}

/// A length inside a batch. Batches are bounded by `batch.max_bytes` and one record more, far below 4 GiB.
pub(super) fn offset32(n: usize) -> u32 {
    u32::try_from(n).expect("a batch stays below 4 GiB: max_bytes is bounded, and so is a record")
}

/// Headers of a record, packed into bytes that an arena can hold.
pub mod headers {
    use serde_json::{Map, Value, json};

    /// Appends one header: its name, and its value or none.
    pub fn push(packed: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
        put(packed, name.as_bytes());
        match value {
            Some(value) => {
                packed.push(1);
                put(packed, value);
            }
            None => packed.push(0),
        }
    }

    /// Names and values, in the order in which they came.
    pub fn iter(packed: &[u8]) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut rest = packed;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let name = std::str::from_utf8(take(&mut rest)).expect("packed from a str");
            let (present, tail) = rest.split_first().expect("a name is followed by its flag");
            rest = tail;
            Some((name, (*present == 1).then(|| take(&mut rest))))
        })
    }

    /// Headers as a JSON array, in their order and with names that repeat. A value that jsonb cannot hold as text is
    /// given as its bytes, in hexadecimal.
    pub fn to_json(packed: &[u8]) -> String {
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => json!(text),
            _ => json!({ "hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>() }),
        };
        let list: Vec<Value> = iter(packed)
            .map(|(name, value)| {
                let mut header = Map::new();
                header.insert("name".to_owned(), json!(name.replace('\0', "\u{fffd}")));
                header.insert("value".to_owned(), value.map_or(Value::Null, text));
                Value::Object(header)
            })
            .collect();
        Value::Array(list).to_string()
    }

    fn put(packed: &mut Vec<u8>, part: &[u8]) {
        packed.extend_from_slice(&super::offset32(part.len()).to_be_bytes());
        packed.extend_from_slice(part);
    }

    fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
        let (len, tail) = rest.split_first_chunk::<4>().expect("a length stands before each part");
        let (part, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        *rest = tail;
        part
    }

    #[cfg(test)]
    mod tests {
        use serde_json::{Value, json};

        #[test]
        fn headers_that_are_not_text_are_kept_as_hexadecimal() {
            let mut packed = Vec::new();
            super::push(&mut packed, "a", Some(b"x"));
            super::push(&mut packed, "a", Some(b"\x00\xff"));
            super::push(&mut packed, "b", None);
            let json: Value = serde_json::from_str(&super::to_json(&packed)).unwrap();
            assert_eq!(
                json,
                json!([{"name": "a", "value": "x"}, {"name": "a", "value": {"hex": "00ff"}}, {"name": "b", "value": null}])
            );
        }

        #[test]
        fn headers_come_back() {
            let mut packed = Vec::new();
            super::push(&mut packed, "trace", Some(b"\x00\xff"));
            super::push(&mut packed, "", None);
            let back: Vec<_> = super::iter(&packed).collect();
            assert_eq!(back, vec![("trace", Some(&b"\x00\xff"[..])), ("", None)]);
        }
    }
}
