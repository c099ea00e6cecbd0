//! Dead letters read back: to be looked at, replayed or discarded, and for the breakers' memory.

use std::time::{SystemTime, UNIX_EPOCH};

use postgres::Client;
use postgres::types::ToSql;
use serde_json::Value;

use crate::batch::Batch;
use crate::kafka::packed_headers;
use crate::kafka::record::Incoming;
use crate::postgres::sql::{int_array, literal, text_array};
use crate::rejects::dead_letters::{DeadLetters, Destination};
use crate::types::{Offset, TopicPartition};

/// Which dead letters are selected; all, if nothing is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub reason: Option<String>,
    /// Stored at this time or later.
    pub since: Option<SystemTime>,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredDeadLetter {
    /// Where the record was.
    pub partition: TopicPartition,
    pub offset: i64,
    /// Why it was rejected.
    pub reason: String,
    /// The same, for people.
    pub detail: String,
    /// The record's timestamp, in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// When it was stored, ISO 8601 in UTC.
    pub created_at: String,
    /// The server's error code, if the server refused it.
    pub sqlstate: Option<String>,
    /// The constraint that the server named.
    pub constraint: Option<String>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value.
    pub payload: Option<Vec<u8>>,
    /// The record's headers, as the table has them.
    pub headers: Option<Value>,
}

/// Dead letters that were rejected alike.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetterGroup {
    pub reason: String,
    pub sqlstate: Option<String>,
    pub constraint: Option<String>,
    pub count: i64,
}

impl DeadLetterGroup {
    /// Whether the dead letter is one of the group.
    pub(crate) fn has(&self, stored: &StoredDeadLetter) -> bool {
        (&self.reason, &self.sqlstate, &self.constraint)
            == (&stored.reason, &stored.sqlstate, &stored.constraint)
    }
}

impl StoredDeadLetter {
    /// The record as it came; `packed` takes its headers.
    pub(crate) fn incoming<'a>(&'a self, packed: &'a mut Vec<u8>) -> Incoming<'a> {
        packed.clear();
        let list = self.headers.as_ref().and_then(Value::as_array);
        for header in list.into_iter().flatten() {
            let value = header_value(&header["value"]);
            packed_headers::push(packed, header["name"].as_str().unwrap_or_default(), value.as_deref());
        }
        Incoming {
            offset: self.offset,
            timestamp: self.timestamp,
            payload: self.payload.as_deref(),
            key: self.key.as_deref(),
            headers: list.map(|_| packed.as_slice()),
        }
    }
}

/// A header's value as [`crate::kafka::packed_headers::to_json`] wrote it.
fn header_value(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(object) => {
            let digits = object.get("hex")?.as_str()?.as_bytes();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            digits.chunks(2).map(byte).collect()
        }
        _ => None,
    }
}

/// The condition that [`Filter`] and a place to go on after make, with its parameters numbered from 1.
const CONDITION: &str = "connector = $1 AND ($2::text IS NULL OR topic = $2) \
     AND ($3::int IS NULL OR partition = $3) AND ($4::bigint IS NULL OR \"offset\" = $4) \
     AND ($5::text IS NULL OR reason = $5) AND ($6::float8 IS NULL OR created_at >= to_timestamp($6)) \
     AND ($7::text IS NULL OR (topic, partition, \"offset\") > ($7, $8::int, $9::bigint))";

/// The time when a dead letter was stored, as text.
fn created_at(column: &str) -> String {
    format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
}

impl DeadLetters {
    /// The selected dead letters, in the order of topic, partition and offset, from after `after`; at most `limit`.
    pub(crate) fn read(
        &self,
        client: &mut Client,
        filter: &Filter,
        after: Option<&(TopicPartition, i64)>,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>, postgres::Error> {
        let sql = format!(
            "SELECT topic, partition, \"offset\", reason, detail, \
                    CASE WHEN isfinite(\"timestamp\") THEN (extract(epoch FROM \"timestamp\") * 1000)::bigint END, \
                    {}, sqlstate, \"constraint\", key, payload, headers::text \
             FROM {} WHERE {CONDITION} ORDER BY topic, partition, \"offset\" LIMIT {limit}",
            created_at("created_at"),
            self.table
        );
        let rows = self.with_parameters(filter, after, |parameters| client.query(&sql, parameters))?;
        let stored = |row: postgres::Row| StoredDeadLetter {
            partition: TopicPartition::new(row.get::<_, String>(0), row.get(1)),
            offset: row.get(2),
            reason: row.get(3),
            detail: row.get(4),
            timestamp: row.get(5),
            created_at: row.get(6),
            sqlstate: row.get(7),
            constraint: row.get(8),
            key: row.get(9),
            payload: row.get(10),
            headers: row.get::<_, Option<String>>(11).and_then(|text| serde_json::from_str(&text).ok()),
        };
        Ok(rows.into_iter().map(stored).collect())
    }

    /// How many dead letters are selected.
    pub(crate) fn count(&self, client: &mut Client, filter: &Filter) -> Result<i64, postgres::Error> {
        let sql = format!("SELECT count(*) FROM {} WHERE {CONDITION}", self.table);
        self.with_parameters(filter, None, |parameters| client.query_one(&sql, parameters))
            .map(|row| row.get(0))
    }

    /// The selected dead letters counted by reason, SQLSTATE and constraint, the largest group first.
    pub(crate) fn groups(
        &self,
        client: &mut Client,
        filter: &Filter,
    ) -> Result<Vec<DeadLetterGroup>, postgres::Error> {
        let sql = format!(
            "SELECT reason, sqlstate, \"constraint\", count(*) FROM {} WHERE {CONDITION} GROUP BY 1, 2, 3 \
             ORDER BY 4 DESC, 1, 2, 3",
            self.table
        );
        let rows = self.with_parameters(filter, None, |parameters| client.query(&sql, parameters))?;
        let group = |row: &postgres::Row| DeadLetterGroup {
            reason: row.get(0),
            sqlstate: row.get(1),
            constraint: row.get(2),
            count: row.get(3),
        };
        Ok(rows.iter().map(group).collect())
    }

    /// The topics that have dead letters.
    pub(crate) fn topics(&self, client: &mut Client) -> Result<Vec<String>, postgres::Error> {
        let sql = format!("SELECT DISTINCT topic FROM {} WHERE connector = $1 ORDER BY 1", self.table);
        Ok(client.query(&sql, &[&self.connector])?.iter().map(|row| row.get(0)).collect())
    }

    /// Deletes the selected dead letters, and returns how many.
    pub(crate) fn discard(&self, client: &mut Client, filter: &Filter) -> Result<u64, postgres::Error> {
        let sql = format!("DELETE FROM {} WHERE {CONDITION}", self.table);
        self.with_parameters(filter, None, |parameters| client.execute(&sql, parameters))
    }

    /// The statement that removes the dead letters of which `batch` consists. If it removes fewer than the batch has
    /// records, another command has removed some of them.
    pub(crate) fn removal(&self, batch: &Batch) -> String {
        let partition = |span: u16| &batch.spans()[usize::from(span)].partition;
        let records = || batch.records().iter();
        format!(
            "DELETE FROM {} d USING unnest({}::text[], {}::int[], {}::bigint[]) u(topic, partition, at) \
             WHERE d.connector = {} AND d.topic = u.topic AND d.partition = u.partition AND d.\"offset\" = u.at",
            self.table,
            text_array(records().map(|r| &*partition(r.span).topic)),
            int_array(records().map(|r| i64::from(partition(r.span).partition.0))),
            int_array(records().map(|r| r.offset)),
            literal(&self.connector)
        )
    }

    /// How many of these dead letters are as they were when they were read. Waits for the transactions that remove or replace
    /// them.
    pub(crate) fn unchanged(
        &self,
        client: &mut Client,
        stored: &[&StoredDeadLetter],
    ) -> Result<i64, postgres::Error> {
        let topics: Vec<&str> = stored.iter().map(|d| &*d.partition.topic).collect();
        let partitions: Vec<i32> = stored.iter().map(|d| d.partition.partition.0).collect();
        let offsets: Vec<i64> = stored.iter().map(|d| d.offset).collect();
        let created: Vec<&str> = stored.iter().map(|d| &*d.created_at).collect();
        let sql = format!(
            "SELECT count(*) FROM (SELECT FROM {} d \
               JOIN unnest($2::text[], $3::int[], $4::bigint[], $5::text[]) u(topic, partition, at, created) \
                 ON d.topic = u.topic AND d.partition = u.partition AND d.\"offset\" = u.at \
             WHERE d.connector = $1 AND {} = u.created FOR UPDATE OF d) unchanged",
            self.table,
            created_at("d.created_at")
        );
        client.query_one(&sql, &[&self.connector, &topics, &partitions, &offsets, &created])?.try_get(0)
    }

    /// Offsets of the dead letters of a partition just below `position`, at most `window` below it.
    pub(crate) fn below(
        &self,
        client: &mut Client,
        partition: &TopicPartition,
        position: Offset,
        window: i64,
    ) -> Result<Vec<i64>, postgres::Error> {
        if let Destination::Topic(dead_letters) = &self.destination {
            return Ok(dead_letters.below(partition, position, window));
        }
        let rows = client.query(
            &format!(
                "SELECT \"offset\" FROM {} WHERE connector = $1 AND topic = $2 AND partition = $3 \
                 AND \"offset\" >= $4 AND \"offset\" < $5",
                self.table
            ),
            &[
                &self.connector,
                &&*partition.topic,
                &partition.partition.0,
                &position.0.saturating_sub(window),
                &position.0,
            ],
        )?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    fn with_parameters<T>(
        &self,
        filter: &Filter,
        after: Option<&(TopicPartition, i64)>,
        run: impl FnOnce(&[&(dyn ToSql + Sync)]) -> T,
    ) -> T {
        let since =
            filter.since.map(|at| at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
        let topic = after.map(|(partition, _)| partition.topic.to_string());
        let partition = after.map(|(partition, _)| partition.partition.0);
        let offset = after.map(|(_, offset)| *offset);
        run(&[
            &self.connector,
            &filter.topic,
            &filter.partition,
            &filter.offset,
            &filter.reason,
            &since,
            &topic,
            &partition,
            &offset,
        ])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_come_back_as_they_were() {
        let mut packed = Vec::new();
        packed_headers::push(&mut packed, "a", Some(b"x"));
        packed_headers::push(&mut packed, "a", Some(b"\x00\xff"));
        packed_headers::push(&mut packed, "b", None);
        let stored = StoredDeadLetter {
            partition: TopicPartition::new("t", 0),
            offset: 7,
            reason: String::new(),
            detail: String::new(),
            timestamp: None,
            created_at: String::new(),
            sqlstate: None,
            constraint: None,
            key: None,
            payload: None,
            headers: serde_json::from_str(&crate::kafka::packed_headers::to_json(&packed, true)).ok(),
        };
        let mut again = Vec::new();
        assert_eq!(stored.incoming(&mut again).headers, Some(packed.as_slice()));
        assert_eq!(header_value(&json!({"hex": "0g"})), None);
    }
}
