//! Dead letters in PostgreSQL: refused records with their reason and their bytes, in the batch's own transaction.

use std::sync::OnceLock;

use postgres::Client;
use serde_json::{Map, Value, json};

use crate::batch::records::headers;
use crate::batch::{Batch, Span};
use crate::decode::Rejection;
use crate::failure::Failure;
use crate::sql::TableName;

/// The last timestamp that is stored as it came, in milliseconds: of the year 287168, shortly before the end of an
/// interval. A client that stamps its records in nanoseconds is beyond it, and its dead letters must be stored all the
/// same: they get `infinity`.
const LAST_MS: i64 = 9_000_000_000_000_000;

/// The table of dead letters of one connector.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    table: String,
    connector: String,
    /// Whether the database takes any text; asked at the first letter.
    any_text: OnceLock<bool>,
}

/// One refused record of a batch.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// Its number in the batch.
    pub record: u32,
    /// Why it was refused.
    pub rejection: &'a Rejection,
    /// What the server said, if it was the server that refused it.
    pub failure: Option<&'a Failure>,
}

impl DeadLetters {
    /// Dead letters of `connector` in `table`.
    pub fn new(table: &TableName, connector: &str) -> Self {
        Self { table: table.sql(), connector: connector.to_owned(), any_text: OnceLock::new() }
    }

    /// Creates the table when it is missing.
    pub fn create(&self, client: &mut Client) -> Result<(), postgres::Error> {
        super::session::create_unless_there(
            client,
            &self.table,
            &format!(
                "CREATE TABLE IF NOT EXISTS {} (connector text NOT NULL, topic text NOT NULL, partition int NOT NULL, \
                 \"offset\" bigint NOT NULL, reason text NOT NULL, detail text NOT NULL, \"timestamp\" timestamptz, \
                 key bytea, headers jsonb, payload bytea, sqlstate text, \"constraint\" text, \
                 created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (connector, topic, partition, \"offset\"))",
                self.table
            ),
        )
    }

    /// A database with another encoding than UTF-8 refuses what it has no character for; a dead letter must not be
    /// refused.
    fn takes_any_text(&self, client: &mut Client) -> Result<bool, Failure> {
        if let Some(known) = self.any_text.get() {
            return Ok(*known);
        }
        let encoding = "SELECT pg_catalog.current_setting('server_encoding')";
        let encoding: String = client.query_one(encoding, &[])?.get(0);
        Ok(*self.any_text.get_or_init(|| matches!(&*encoding, "UTF8" | "SQL_ASCII")))
    }

    /// Writes `letters` of `batch`. A letter that is there already (a position was reset) is replaced.
    pub fn write(
        &self,
        client: &mut Client,
        batch: &Batch,
        letters: &[DeadLetter<'_>],
    ) -> Result<(), Failure> {
        let any_text = self.takes_any_text(client)?;
        let span = |letter: &DeadLetter<'_>| -> &Span {
            &batch.spans()[usize::from(batch.records().get(letter.record).span)]
        };
        let incoming: Vec<_> = letters.iter().map(|l| batch.records().incoming(l.record)).collect();
        let topics: Vec<&str> = letters.iter().map(|l| &*span(l).partition.topic).collect();
        let partitions: Vec<i32> = letters.iter().map(|l| span(l).partition.partition.0).collect();
        let offsets: Vec<i64> = incoming.iter().map(|r| r.offset).collect();
        let reasons: Vec<&str> = letters.iter().map(|l| l.rejection.reason.as_str()).collect();
        let details: Vec<String> = letters.iter().map(|l| storable(&l.rejection.detail, any_text)).collect();
        let timestamps: Vec<Option<i64>> = incoming.iter().map(|r| r.timestamp).collect();
        let keys: Vec<Option<&[u8]>> = incoming.iter().map(|r| r.key).collect();
        let headers: Vec<Option<String>> =
            incoming.iter().map(|r| r.headers.map(|packed| headers_json(packed, any_text))).collect();
        let said = |letter: &DeadLetter<'_>, part: fn(&Failure) -> Option<&String>| {
            letter.failure.and_then(part).cloned()
        };
        let states: Vec<Option<String>> = letters.iter().map(|l| said(l, |f| f.sqlstate.as_ref())).collect();
        let constraints: Vec<Option<String>> =
            letters.iter().map(|l| said(l, |f| f.constraint.as_ref())).collect();
        let payloads: Vec<Option<&[u8]>> = incoming.iter().map(|r| r.payload).collect();
        client.execute(
            &format!(
                "INSERT INTO {} (connector, topic, partition, \"offset\", reason, detail, \"timestamp\", key, headers, payload, \
                    sqlstate, \"constraint\") \
                 SELECT $1, u.topic, u.partition, u.at, u.reason, u.detail, \
                        CASE WHEN u.ms > {LAST_MS} THEN 'infinity' ELSE 'epoch'::timestamptz + u.ms * interval '1 millisecond' END, u.key, u.headers::jsonb, u.payload, u.sqlstate, u.refusing \
                 FROM unnest($2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bytea[], \
                             $9::text[], $10::bytea[], $11::text[], $12::text[]) \
                      u(topic, partition, at, reason, detail, ms, key, headers, payload, sqlstate, refusing) \
                 ON CONFLICT (connector, topic, partition, \"offset\") DO UPDATE SET reason = excluded.reason, \
                    detail = excluded.detail, \"timestamp\" = excluded.\"timestamp\", key = excluded.key, \
                    headers = excluded.headers, payload = excluded.payload, sqlstate = excluded.sqlstate, \
                    \"constraint\" = excluded.\"constraint\", created_at = excluded.created_at",
                self.table
            ),
            &[
                &self.connector, &topics, &partitions, &offsets, &reasons, &details, &timestamps, &keys, &headers,
                &payloads, &states, &constraints,
            ],
        )?;
        Ok(())
    }
}

/// A text that the database can store: any but with NUL, or else ASCII with the rest escaped.
fn storable(text: &str, any_text: bool) -> String {
    if any_text {
        return text.replace('\0', "\u{fffd}");
    }
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && c != '\0' { ascii.push(c) } else { ascii.extend(c.escape_unicode()) }
    }
    ascii
}

/// Headers as a JSON array, in their order and with names that repeat. A value that jsonb cannot hold as text is
/// given as its bytes, in hexadecimal.
fn headers_json(packed: &[u8], any_text: bool) -> String {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') && (any_text || text.is_ascii()) => json!(text),
        _ => json!({ "hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>() }),
    };
    let list: Vec<Value> = headers::iter(packed)
        .map(|(name, value)| {
            let mut header = Map::new();
            header.insert("name".to_owned(), json!(storable(name, any_text)));
            header.insert("value".to_owned(), value.map_or(Value::Null, text));
            Value::Object(header)
        })
        .collect();
    Value::Array(list).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_not_text_are_kept_as_hexadecimal() {
        let mut packed = Vec::new();
        headers::push(&mut packed, "a", Some(b"x"));
        headers::push(&mut packed, "a", Some(b"\x00\xff"));
        headers::push(&mut packed, "b", None);
        let json: Value = serde_json::from_str(&headers_json(&packed, true)).unwrap();
        assert_eq!(
            json,
            json!([{"name": "a", "value": "x"}, {"name": "a", "value": {"hex": "00ff"}}, {"name": "b", "value": null}])
        );
    }

    #[test]
    fn a_database_with_few_characters_gets_ascii() {
        assert_eq!(storable("日 é\0x", false), "\\u{65e5} \\u{e9}\\u{0}x");
        assert_eq!(storable("日 é\0x", true), "日 é\u{fffd}x");
        let mut packed = Vec::new();
        headers::push(&mut packed, "é", Some("日".as_bytes()));
        let json: Value = serde_json::from_str(&headers_json(&packed, false)).unwrap();
        assert_eq!(json, json!([{"name": "\\u{e9}", "value": {"hex": "e697a5"}}]));
    }
}
