//! The positions in PostgreSQL: one row for each connector, topic and partition, which is also the fence.

use postgres::{Client, GenericClient};

use crate::positions::span::Span;
use crate::positions::target_id::{Scope, TargetId};
use crate::postgres::failure::Failure;
use crate::postgres::own_table::ForeignTable;
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
    /// The table that holds the rows before the position; `None` if it is not known, or holds no rows itself (a view).
    pub target_id: Option<TargetId>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPosition {
    /// The offset of the next record to read.
    pub next: Offset,
    /// Whose it is.
    pub owner: Owner,
}

/// The identity of the target in a row `o`; NULL if the table, made by an earlier version, has no such column.
const TARGET_ID: &str = "pg_catalog.to_jsonb(o) ->> 'target_id'";

/// The table of positions of one connector.
#[derive(Clone, Debug)]
pub struct Offsets {
    table: String,
    connector: String,
}

impl Offsets {
    /// The columns that the table has had from the first version on.
    pub const COLUMNS: &[&str] = &[
        "connector",
        "topic",
        "partition",
        "next_offset",
        "updated_at",
        "cluster_id",
        "group_id",
        "target_table",
        "topic_id",
    ];

    /// Positions of `connector` in `table`.
    pub fn new(table: &TableName, connector: &str) -> Self {
        Self { table: table.sql(), connector: connector.to_owned() }
    }

    /// The table's quoted name.
    pub(crate) fn table(&self) -> &str {
        &self.table
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
    pub fn create(&self, client: &mut Client) -> Result<(), Failure> {
        crate::postgres::session::create_unless_there(
            client,
            &self.table,
            &format!(
                "CREATE TABLE IF NOT EXISTS {} (connector text NOT NULL, topic text NOT NULL, partition int NOT NULL, \
                 next_offset bigint NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), \
                 cluster_id text NOT NULL, group_id text NOT NULL, target_table text NOT NULL, topic_id text, target_id text, \
                 PRIMARY KEY (connector, topic, partition)) WITH (fillfactor = 50)",
                self.table
            ),
        )
    }

    /// A table of somebody else that has its name.
    pub(crate) fn foreign(&self, client: &mut Client) -> Result<Option<ForeignTable>, postgres::Error> {
        ForeignTable::find(client, &self.table, Self::COLUMNS)
    }

    /// Adds what earlier versions did not store, if the role owns the table. False if a column is missing and the role may
    /// not add it.
    pub fn migrate(&self, client: &mut Client) -> Result<bool, postgres::Error> {
        if self.stores_target_id(client)? {
            return Ok(true);
        }
        let owns = client.query_one(
            "SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c \
             WHERE c.oid = pg_catalog.to_regclass($1)",
            &[&self.table],
        )?;
        if owns.get(0) {
            client.batch_execute(&format!(
                "ALTER TABLE {} ADD COLUMN IF NOT EXISTS target_id text",
                self.table
            ))?;
        }
        Ok(owns.get(0))
    }

    fn stores_target_id(&self, client: &mut impl GenericClient) -> Result<bool, postgres::Error> {
        let row = client.query_one(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attname = 'target_id' AND NOT a.attisdropped)",
            &[&self.table],
        )?;
        Ok(row.get(0))
    }

    /// Where the oids of tables can be compared with those that were stored.
    fn scope(&self, client: &mut Client) -> Result<Scope, postgres::Error> {
        let may = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
        let system = if client.query_one(may, &[])?.get(0) {
            "(SELECT system_identifier FROM pg_catalog.pg_control_system())"
        } else {
            "NULL::bigint"
        };
        let sql = format!(
            "SELECT pg_catalog.concat_ws('/', {system}, d.oid, pg_catalog.to_regclass($1)::oid) \
             FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
        );
        Ok(Scope(client.query_one(&sql, &[&self.table])?.get(0)))
    }

    /// The identity of `table`, if it exists and holds its rows itself.
    pub fn target_id(
        &self,
        client: &mut Client,
        table: &TableName,
    ) -> Result<Option<TargetId>, postgres::Error> {
        let row = client.query_opt(
            "SELECT c.oid FROM pg_catalog.pg_class c \
             WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p')",
            &[&table.sql()],
        )?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(TargetId { scope: self.scope(client)?, oid: row.get(0) }))
    }

    /// Stores the identity of the target of a partition, unless another session holds its row: it is stored later then.
    /// The fence accepts a row without an identity.
    pub fn store_target_id(
        &self,
        client: &mut impl GenericClient,
        partition: &TopicPartition,
        id: Option<&TargetId>,
    ) -> Result<(), postgres::Error> {
        if !self.stores_target_id(client)? {
            return Ok(());
        }
        client.execute(
            &format!(
                "UPDATE {0} SET target_id = $4 WHERE ctid = ANY (ARRAY(SELECT ctid FROM {0} \
                    WHERE connector = $1 AND topic = $2 AND partition = $3 FOR UPDATE SKIP LOCKED))",
                self.table
            ),
            &[&self.connector, &&*partition.topic, &partition.partition.0, &id.map(ToString::to_string)],
        )?;
        Ok(())
    }

    /// The stored position of `partition`, if there is one.
    pub fn read(
        &self,
        client: &mut Client,
        partition: &TopicPartition,
    ) -> Result<Option<StoredPosition>, postgres::Error> {
        let row = client.query_opt(
            &format!(
                "SELECT next_offset, cluster_id, group_id, target_table, topic_id, {TARGET_ID} FROM {} o \
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
                target_id: row.try_get::<_, Option<&str>>(5)?.and_then(|id| id.parse().ok()),
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
        let stored = client.batch_execute(&format!(
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
        ));
        if stored.is_err()
            && let Err(error) = client.batch_execute("ROLLBACK")
        {
            tracing::debug!(%error, "the connection was lost");
        }
        stored
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
        self.store_target_id(client, partition, stored.owner.target_id.as_ref())
    }

    /// Prepares the statements of the fence in a session, so that they cost no planning.
    pub fn prepare_fence(&self, client: &mut Client) -> Result<(), postgres::Error> {
        let connector = literal(&self.connector);
        let table = &self.table;
        let scope = literal(&format!("{}:", self.scope(client)?.0));
        client.batch_execute(&format!(
            "PREPARE kafka_sink_lock (text[], int[]) AS \
               SELECT 1 FROM {table} o JOIN unnest($1, $2) u(topic, partition) \
                 ON o.topic = u.topic AND o.partition = u.partition \
               WHERE o.connector = {connector} ORDER BY o.topic, o.partition FOR UPDATE OF o; \
             PREPARE kafka_sink_move (text[], int[], bigint[], bigint[], bigint[]) AS \
               UPDATE {table} o SET next_offset = u.next, updated_at = now() \
               FROM unnest($1, $2, $3, $4, $5) u(topic, partition, expected, next, target) \
               WHERE o.connector = {connector} AND o.topic = u.topic AND o.partition = u.partition \
                 AND o.next_offset = u.expected \
                 AND NOT coalesce(starts_with({TARGET_ID}, {scope}) AND {TARGET_ID} <> {scope} || nullif(u.target, 0), false)"
        ))
    }

    /// Two statements: the first locks the rows of `spans`, in the same order for every writer; the second moves each
    /// from its expected position, if the rows before it went to the table of now: `target` is its oid, for each topic that
    /// has one. Fewer rows moved than spans: fenced.
    pub fn fence(spans: &[Span], target: impl Fn(&str) -> Option<u32>) -> (String, String) {
        let topics = text_array(spans.iter().map(|s| &*s.partition.topic));
        let partitions = int_array(spans.iter().map(|s| i64::from(s.partition.partition.0)));
        let expected = int_array(spans.iter().map(|s| s.expected.0));
        let next = int_array(spans.iter().map(|s| s.next.0));
        // No table has the oid 0.
        let targets = int_array(spans.iter().map(|s| i64::from(target(&s.partition.topic).unwrap_or(0))));
        (
            format!("EXECUTE kafka_sink_lock({topics}, {partitions})"),
            format!("EXECUTE kafka_sink_move({topics}, {partitions}, {expected}, {next}, {targets})"),
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
