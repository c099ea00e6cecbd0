//! Dead letters in PostgreSQL: refused records with their reason and their bytes, in the batch's own transaction.

mod stored;

use std::sync::Arc;

use postgres::Client;

use crate::batch::records::{Incoming, headers};
use crate::batch::{Batch, Span};
use crate::dead_letter_topic::DeadLetterTopic;
use crate::decode::Rejection;
use crate::failure::Failure;
use crate::sql::TableName;
use crate::sqlstate::Class;
use crate::types::TopicPartition;

pub use stored::{Filter, Stored};

/// The dead letters of one connector.
#[derive(Clone)]
pub struct DeadLetters {
    table: String,
    connector: String,
    place: Place,
}

/// Where they go.
#[derive(Clone)]
enum Place {
    Table,
    Topic(Arc<DeadLetterTopic>),
    Nowhere,
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

impl DeadLetter<'_> {
    /// The record in its batch, and where it was.
    pub fn place<'b>(&self, batch: &'b Batch) -> (&'b TopicPartition, Incoming<'b>) {
        let span = batch.records().get(self.record).span;
        (&batch.spans()[usize::from(span)].partition, batch.records().incoming(self.record))
    }
}

impl DeadLetters {
    /// Dead letters of `connector` in `table`.
    pub fn new(table: &TableName, connector: &str) -> Self {
        Self { table: table.sql(), connector: connector.to_owned(), place: Place::Table }
    }

    /// Dead letters to a topic, and none in the table.
    #[must_use]
    pub fn to_topic(self, topic: DeadLetterTopic) -> Self {
        Self { place: Place::Topic(Arc::new(topic)), ..self }
    }

    /// Not stored at all: for a rehearsal where a topic would get them.
    #[must_use]
    pub fn to_nowhere(self) -> Self {
        Self { place: Place::Nowhere, ..self }
    }

    /// The table's quoted name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Creates the table when it is missing, and wanted.
    pub fn create(&self, client: &mut Client) -> Result<(), postgres::Error> {
        if !matches!(self.place, Place::Table) {
            return Ok(());
        }
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

    /// Stores `letters` of `batch`. A letter that is there already (a position was reset) is replaced.
    pub fn write(
        &self,
        client: &mut Client,
        batch: &Batch,
        letters: &[DeadLetter<'_>],
    ) -> Result<(), Failure> {
        match &self.place {
            Place::Table => {}
            Place::Topic(topic) => return topic.send(batch, letters),
            Place::Nowhere => return Ok(()),
        }
        self.insert(client, batch, letters).map_err(|error| {
            let mut failure = Failure::from(error);
            failure.message =
                format!("dead letters cannot be stored in table {}: {}", self.table, failure.message);
            if failure.class == Class::Record {
                // What this table refuses is no record's fault.
                failure.class = Class::Configuration;
            }
            failure
        })
    }

    /// The transaction of a batch with dead letters is committed.
    pub fn committed(&self, batch: &Batch) {
        if let Place::Topic(topic) = &self.place {
            topic.committed(batch);
        }
    }

    fn insert(
        &self,
        client: &mut Client,
        batch: &Batch,
        letters: &[DeadLetter<'_>],
    ) -> Result<(), postgres::Error> {
        let span = |letter: &DeadLetter<'_>| -> &Span {
            &batch.spans()[usize::from(batch.records().get(letter.record).span)]
        };
        let incoming: Vec<_> = letters.iter().map(|l| batch.records().incoming(l.record)).collect();
        let topics: Vec<&str> = letters.iter().map(|l| &*span(l).partition.topic).collect();
        let partitions: Vec<i32> = letters.iter().map(|l| span(l).partition.partition.0).collect();
        let offsets: Vec<i64> = incoming.iter().map(|r| r.offset).collect();
        let reasons: Vec<&str> = letters.iter().map(|l| l.rejection.reason.as_str()).collect();
        let details: Vec<String> =
            letters.iter().map(|l| l.rejection.detail.replace('\0', "\u{fffd}")).collect();
        let timestamps: Vec<Option<i64>> = incoming.iter().map(|r| r.timestamp).collect();
        let keys: Vec<Option<&[u8]>> = incoming.iter().map(|r| r.key).collect();
        let headers: Vec<Option<String>> = incoming.iter().map(|r| r.headers.map(headers::to_json)).collect();
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
                        'epoch'::timestamptz + u.ms * interval '1 millisecond', u.key, u.headers::jsonb, u.payload, u.sqlstate, u.refusing \
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
