//! Dead letters in PostgreSQL: rejected records with their reason and their bytes, in the batch's own transaction.

mod stored;

use std::sync::{Arc, OnceLock};

use postgres::Client;

use crate::batch::Batch;
use crate::decode::Rejection;
use crate::kafka::packed_headers;
use crate::kafka::record::Incoming;
use crate::positions::span::Span;
use crate::postgres::failure::Failure;
use crate::postgres::own_table::ForeignTable;
use crate::postgres::sql::TableName;
use crate::postgres::sqlstate::Class;
use crate::rejects::dead_letter_topic::DeadLetterTopic;
use crate::types::TopicPartition;

pub(crate) use stored::{DeadLetterGroup, Filter, StoredDeadLetter};

/// The last timestamp that is stored unchanged, in milliseconds (year 287168, near the limit of `interval`). Later ones, for
/// example from a client that uses nanoseconds, are stored as `infinity`.
const LAST_MS: i64 = 9_000_000_000_000_000;

#[derive(Clone)]
pub(crate) struct DeadLetters {
    table: String,
    connector: String,
    destination: Destination,
    /// Read at the first dead letter.
    any_text: OnceLock<bool>,
}

/// Where dead letters go.
#[derive(Clone)]
enum Destination {
    Table,
    Topic(Arc<DeadLetterTopic>),
    Nowhere,
}

#[derive(Debug)]
pub(crate) struct DeadLetter<'a> {
    pub record: u32,
    pub rejection: &'a Rejection,
    /// The server's error, if the server refused it.
    pub failure: Option<&'a Failure>,
}

impl DeadLetter<'_> {
    /// Why the record was rejected, without its values.
    pub(crate) fn summary(&self) -> String {
        match self.failure {
            Some(failure) => format!("{}: {}", self.rejection.reason, failure.message),
            None => self.rejection.without_values(),
        }
    }

    /// The record in its batch, and where it was.
    pub(crate) fn place<'b>(&self, batch: &'b Batch) -> (&'b TopicPartition, Incoming<'b>) {
        let span = batch.records().get(self.record).span;
        (&batch.spans()[usize::from(span)].partition, batch.records().incoming(self.record))
    }
}

impl DeadLetters {
    /// The columns of the table.
    pub(crate) const COLUMNS: &[&str] = &[
        "connector",
        "topic",
        "partition",
        "offset",
        "reason",
        "detail",
        "timestamp",
        "key",
        "headers",
        "payload",
        "sqlstate",
        "constraint",
        "created_at",
    ];

    pub(crate) fn new(table: &TableName, connector: &str) -> Self {
        Self {
            table: table.sql(),
            connector: connector.to_owned(),
            destination: Destination::Table,
            any_text: OnceLock::new(),
        }
    }

    /// Stores dead letters in a topic only.
    #[must_use]
    pub(crate) fn into_topic(self, topic: DeadLetterTopic) -> Self {
        Self { destination: Destination::Topic(Arc::new(topic)), ..self }
    }

    /// Stores nothing, for dry runs with a dead letter topic.
    #[must_use]
    pub(crate) fn into_nowhere(self) -> Self {
        Self { destination: Destination::Nowhere, ..self }
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// A table of somebody else that has its name.
    pub(crate) fn foreign(&self, client: &mut Client) -> Result<Option<ForeignTable>, postgres::Error> {
        if !matches!(self.destination, Destination::Table) {
            return Ok(None);
        }
        ForeignTable::find(client, &self.table, Self::COLUMNS)
    }

    /// Creates the table if it is used and missing.
    pub(crate) fn create(&self, client: &mut Client) -> Result<(), Failure> {
        if !matches!(self.destination, Destination::Table) {
            return Ok(());
        }
        crate::postgres::session::create_unless_there(
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

    /// A database whose encoding is not UTF-8 may refuse characters, and a dead letter must not be refused.
    fn takes_any_text(&self, client: &mut Client) -> Result<bool, postgres::Error> {
        if let Some(known) = self.any_text.get() {
            return Ok(*known);
        }
        let encoding = "SELECT pg_catalog.current_setting('server_encoding')";
        let encoding: String = client.query_one(encoding, &[])?.get(0);
        Ok(*self.any_text.get_or_init(|| matches!(&*encoding, "UTF8" | "SQL_ASCII")))
    }

    /// Stores the dead letters of `batch`. Existing ones, from before a position was reset, are replaced.
    pub(crate) fn write(
        &self,
        client: &mut Client,
        batch: &Batch,
        dead_letters: &[DeadLetter<'_>],
    ) -> Result<(), Failure> {
        match &self.destination {
            Destination::Table => {}
            Destination::Topic(topic) => return topic.send(batch, dead_letters),
            Destination::Nowhere => return Ok(()),
        }
        self.insert(client, batch, dead_letters).map_err(|error| {
            let mut failure = Failure::from(error);
            failure.message =
                format!("dead letters cannot be stored in table {}: {}", self.table, failure.message);
            if failure.class == Class::Record {
                // No record causes an error of this table.
                failure.class = Class::Configuration;
            }
            failure
        })
    }

    pub(crate) fn committed(&self, batch: &Batch) {
        if let Destination::Topic(topic) = &self.destination {
            topic.committed(batch);
        }
    }

    fn insert(
        &self,
        client: &mut Client,
        batch: &Batch,
        dead_letters: &[DeadLetter<'_>],
    ) -> Result<(), postgres::Error> {
        let any_text = self.takes_any_text(client)?;
        let span = |dead_letter: &DeadLetter<'_>| -> &Span {
            &batch.spans()[usize::from(batch.records().get(dead_letter.record).span)]
        };
        let incoming: Vec<_> = dead_letters.iter().map(|l| batch.records().incoming(l.record)).collect();
        let topics: Vec<&str> = dead_letters.iter().map(|l| &*span(l).partition.topic).collect();
        let partitions: Vec<i32> = dead_letters.iter().map(|l| span(l).partition.partition.0).collect();
        let offsets: Vec<i64> = incoming.iter().map(|r| r.offset).collect();
        let reasons: Vec<&str> = dead_letters.iter().map(|l| l.rejection.reason.as_str()).collect();
        let details: Vec<String> = dead_letters
            .iter()
            .map(|l| crate::postgres::sql::storable(&l.rejection.detail, any_text))
            .collect();
        let timestamps: Vec<Option<i64>> = incoming.iter().map(|r| r.timestamp).collect();
        let keys: Vec<Option<&[u8]>> = incoming.iter().map(|r| r.key).collect();
        let headers: Vec<Option<String>> = incoming
            .iter()
            .map(|r| r.headers.map(|packed| packed_headers::to_json(packed, any_text)))
            .collect();
        let error = |dead_letter: &DeadLetter<'_>, part: fn(&Failure) -> Option<&String>| {
            dead_letter.failure.and_then(part).cloned()
        };
        let states: Vec<Option<String>> =
            dead_letters.iter().map(|l| error(l, |f| f.sqlstate.as_ref())).collect();
        let constraints: Vec<Option<String>> =
            dead_letters.iter().map(|l| error(l, |f| f.constraint.as_ref())).collect();
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
