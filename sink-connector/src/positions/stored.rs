//! The positions in PostgreSQL: one row for each connector, topic and partition, which is also the fence.

use postgres::{Client, GenericClient};

use crate::positions::span::Span;
use crate::postgres::sql::{TableName, int_array, literal, text_array};
use crate::types::{Offset, TopicPartition};

/// Who a position belongs to. A row of another owner is not taken over: it names what differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The Kafka cluster's id.
    pub cluster_id: String,
    /// The consumer group.
    pub group_id: String,
    /// The target table, as configured.
    pub target_table: String,
    /// The topic's id, which a recreated topic does not share; `None` from a broker that has none.
    pub topic_id: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPosition {
    /// The offset of the next record to read.
    pub next: Offset,
    /// Whose it is.
    pub owner: Owner,
}

/// The table of positions of one connector.
#[derive(Clone, Debug)]
pub struct Offsets {
    table: String,
    connector: String,
}

impl Offsets {
    /// Positions of `connector` in `table`.
    pub fn new(table: &TableName, connector: &str) -> Self {
        Self { table: table.sql(), connector: connector.to_owned() }
    }

    /// Whose positions these are.
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// The statement that gives this connector the positions of `former`, for the operator. A partition that has a
    /// position of this connector keeps it.
    pub fn rename(&self, former: &str) -> String {
        let (table, own) = (&self.table, literal(&self.connector));
        format!(
            "UPDATE {table} p SET connector = {own} WHERE connector = {} AND NOT EXISTS (SELECT FROM {table} o \
             WHERE o.connector = {own} AND o.topic = p.topic AND o.partition = p.partition)",
            literal(former)
        )
    }

    /// The statement that keeps the positions when what a `column` of theirs names was renamed, for the operator.
    pub fn change_owner(&self, column: &str, former: &str, new: &str) -> String {
        let (table, own) = (&self.table, literal(&self.connector));
        let (former, new) = (literal(former), literal(new));
        format!("UPDATE {table} SET {column} = {new} WHERE connector = {own} AND {column} = {former}")
    }

    /// Creates the table when it is missing. Half-full pages let every update of a position stay on its page (HOT).
    pub fn create(&self, client: &mut Client) -> Result<(), postgres::Error> {
        crate::postgres::session::create_unless_there(
            client,
            &self.table,
            &format!(
                "CREATE TABLE IF NOT EXISTS {} (connector text NOT NULL, topic text NOT NULL, partition int NOT NULL, \
                 next_offset bigint NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), \
                 cluster_id text NOT NULL, group_id text NOT NULL, target_table text NOT NULL, topic_id text, \
                 PRIMARY KEY (connector, topic, partition)) WITH (fillfactor = 50)",
                self.table
            ),
        )
    }

    /// The stored position of `partition`, if there is one.
    pub fn read(
        &self,
        client: &mut Client,
        partition: &TopicPartition,
    ) -> Result<Option<StoredPosition>, postgres::Error> {
        let row = client.query_opt(
            &format!(
                "SELECT next_offset, cluster_id, group_id, target_table, topic_id FROM {} \
                 WHERE connector = $1 AND topic = $2 AND partition = $3",
                self.table
            ),
            &[&self.connector, &&*partition.topic, &partition.partition.0],
        )?;
        // A table that is not as ours was made (the operator named it) is an error to be seen, not a panic.
        let stored = |row: postgres::Row| {
            let owner = Owner {
                cluster_id: row.try_get(1)?,
                group_id: row.try_get(2)?,
                target_table: row.try_get(3)?,
                topic_id: row.try_get(4)?,
            };
            Ok(StoredPosition { next: Offset(row.try_get(0)?), owner })
        };
        row.map(stored).transpose()
    }

    /// All stored positions of the connector in `topic`, by partition.
    pub fn read_topic(
        &self,
        client: &mut Client,
        topic: &str,
    ) -> Result<Vec<(TopicPartition, Offset)>, postgres::Error> {
        let rows = client.query(
            &format!("SELECT partition, next_offset FROM {} WHERE connector = $1 AND topic = $2", self.table),
            &[&self.connector, &topic],
        )?;
        rows.iter()
            .map(|row| Ok((TopicPartition::new(topic, row.try_get(0)?), Offset(row.try_get(1)?))))
            .collect()
    }

    /// Stores the first position of a partition, unless another sink has stored one meanwhile. It survives a crash of the
    /// server, whatever `synchronous_commit` is: from now on the fence always finds a row.
    ///
    /// All of it goes to the server at once: a process that is frozen half-way would otherwise keep the row locked.
    pub fn store_first(
        &self,
        client: &mut Client,
        partition: &TopicPartition,
        stored: &StoredPosition,
    ) -> Result<(), postgres::Error> {
        client.batch_execute(&format!(
            "BEGIN; SET LOCAL synchronous_commit = on; \
             INSERT INTO {} (connector, topic, partition, next_offset, cluster_id, group_id, target_table, topic_id) \
             VALUES ({}, {}, {}, {}, {}, {}, {}, {}) ON CONFLICT DO NOTHING; COMMIT",
            self.table,
            literal(&self.connector),
            literal(&partition.topic),
            partition.partition.0,
            stored.next.0,
            literal(&stored.owner.cluster_id),
            literal(&stored.owner.group_id),
            literal(&stored.owner.target_table),
            stored.owner.topic_id.as_deref().map_or_else(|| "NULL".to_owned(), literal),
        ))
    }

    /// Whether the table exists.
    pub fn exists(&self, client: &mut Client) -> Result<bool, postgres::Error> {
        crate::postgres::session::exists(client, &self.table)
    }

    /// Puts a partition at a position, whatever was stored of it; the operator's way out, and no sink's. The
    /// transaction is the caller's.
    pub fn place(
        &self,
        client: &mut impl GenericClient,
        partition: &TopicPartition,
        stored: &StoredPosition,
    ) -> Result<(), postgres::Error> {
        client.execute(
            &format!(
                "INSERT INTO {} (connector, topic, partition, next_offset, cluster_id, group_id, target_table, topic_id) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (connector, topic, partition) DO UPDATE SET \
                    next_offset = excluded.next_offset, updated_at = now(), cluster_id = excluded.cluster_id, \
                    group_id = excluded.group_id, target_table = excluded.target_table, topic_id = excluded.topic_id",
                self.table
            ),
            &[
                &self.connector,
                &&*partition.topic,
                &partition.partition.0,
                &stored.next.0,
                &stored.owner.cluster_id,
                &stored.owner.group_id,
                &stored.owner.target_table,
                &stored.owner.topic_id,
            ],
        )?;
        Ok(())
    }

    /// The statements that a session prepares once, so that the fence costs no planning.
    pub fn prepare_fence(&self) -> String {
        let connector = literal(&self.connector);
        let table = &self.table;
        format!(
            "PREPARE kafka_sink_lock (text[], int[]) AS \
               SELECT 1 FROM {table} o JOIN unnest($1, $2) u(topic, partition) \
                 ON o.topic = u.topic AND o.partition = u.partition \
               WHERE o.connector = {connector} ORDER BY o.topic, o.partition FOR UPDATE OF o; \
             PREPARE kafka_sink_move (text[], int[], bigint[], bigint[]) AS \
               UPDATE {table} o SET next_offset = u.next, updated_at = now() \
               FROM unnest($1, $2, $3, $4) u(topic, partition, expected, next) \
               WHERE o.connector = {connector} AND o.topic = u.topic AND o.partition = u.partition \
                 AND o.next_offset = u.expected"
        )
    }

    /// Two statements: the first locks the rows of `spans`, in the same order for every writer; the second moves each
    /// from its expected position. Fewer rows moved than spans: fenced.
    pub fn fence(spans: &[Span]) -> (String, String) {
        let topics = text_array(spans.iter().map(|s| &*s.partition.topic));
        let partitions = int_array(spans.iter().map(|s| i64::from(s.partition.partition.0)));
        let expected = int_array(spans.iter().map(|s| s.expected.0));
        let next = int_array(spans.iter().map(|s| s.next.0));
        (
            format!("EXECUTE kafka_sink_lock({topics}, {partitions})"),
            format!("EXECUTE kafka_sink_move({topics}, {partitions}, {expected}, {next})"),
        )
    }

    /// Whether the stored positions are exactly those that `spans` move to: if so, a COMMIT that was not answered took
    /// place.
    pub fn stored_is_next(&self, client: &mut Client, spans: &[Span]) -> Result<bool, postgres::Error> {
        for span in spans {
            if self.read(client, &span.partition)?.map(|s| s.next) != Some(span.next) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
