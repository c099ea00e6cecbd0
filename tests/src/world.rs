//! The set-up of most tests: topics, a database with the tables to be written, and the sink's configuration between
//! them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postgres::Client;
use postgres::types::FromSql;
use toml::Value;

use crate::config::SinkConfig;
use crate::kafka::{Kafka, KafkaOptions};
use crate::output::Output;
use crate::postgres::{Postgres, PostgresOptions, connect};
use crate::record::Record;
use crate::runner::Sink;
use crate::services::Services;
use crate::{names, wait};

/// A service that is shared with other tests, or a private one, which ends with the [`World`].
pub enum Service<'a, T> {
    /// Others use it as well: it must not be stopped, killed or paused, unless the test itself started it.
    Shared(&'a T),
    /// The world's own.
    Private(Box<T>),
}

impl<T> Deref for Service<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Shared(service) => service,
            Self::Private(service) => service,
        }
    }
}

/// What a [`World`] is made of; [`table`](Self::table) makes it.
pub struct Builder<'a> {
    name: String,
    topics: usize,
    partitions: i32,
    kafka: Option<Service<'a, Kafka>>,
    postgres: Option<Service<'a, Postgres>>,
}

impl<'a> Builder<'a> {
    /// So many topics instead of one.
    #[must_use]
    pub fn topics(mut self, topics: usize) -> Self {
        self.topics = topics;
        self
    }

    /// So many partitions for each topic instead of one.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// A broker that the test has started, instead of the one that all tests share.
    #[must_use]
    pub fn kafka(mut self, kafka: &'a Kafka) -> Self {
        self.kafka = Some(Service::Shared(kafka));
        self
    }

    /// A cluster that the test has started, instead of the one that all tests share.
    #[must_use]
    pub fn postgres(mut self, postgres: &'a Postgres) -> Self {
        self.postgres = Some(Service::Shared(postgres));
        self
    }

    /// A broker of its own, with these options.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn private_kafka(mut self, options: KafkaOptions) -> Self {
        self.kafka = Some(Service::Private(Box::new(Kafka::start(options).expect("Kafka starts"))));
        self
    }

    /// A cluster of its own, with these options.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn private_postgres(mut self, options: PostgresOptions) -> Self {
        self.postgres =
            Some(Service::Private(Box::new(Postgres::start(options).expect("PostgreSQL starts"))));
        self
    }

    /// A broker and a cluster of its own, for a test that breaks them.
    #[must_use]
    pub fn private(mut self) -> Self {
        let Services { kafka, postgres } = Services::private();
        self.kafka = Some(Service::Private(Box::new(kafka)));
        self.postgres = Some(Service::Private(Box::new(postgres)));
        self
    }

    /// Makes the world: its topics, and a database in which `ddl` is executed. The sink will read all of the topics and
    /// write to table `t`.
    #[track_caller]
    pub fn table(self, ddl: &str) -> World<'a> {
        let kafka = self.kafka.unwrap_or_else(|| Service::Shared(&Services::shared().kafka));
        let postgres = self.postgres.unwrap_or_else(|| Service::Shared(&Services::shared().postgres));
        let topics: Vec<String> =
            (0..self.topics).map(|_| kafka.topic(&self.name, self.partitions)).collect();
        let url = postgres.database(&self.name);
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let config = SinkConfig::new(kafka.bootstrap(), &url).topics(&names).table("t");
        let world = World {
            topics,
            config,
            role: "postgres".to_owned(),
            client: Mutex::new(connect(&url)),
            url,
            kafka,
            postgres,
        };
        world.execute(ddl);
        world
    }
}

/// Topics, a database, and what is written from the ones into the other. The methods that read the database use one
/// connection, which is made again when the server has ended it.
pub struct World<'a> {
    /// Its topics.
    pub topics: Vec<String>,
    /// The URL of its database, as superuser.
    pub url: String,
    /// The sink's configuration.
    pub config: SinkConfig,
    /// The role that the sink connects as.
    pub role: String,
    client: Mutex<Client>,
    /// Its broker.
    pub kafka: Service<'a, Kafka>,
    /// Its cluster.
    pub postgres: Service<'a, Postgres>,
}

impl World<'_> {
    /// One topic of one partition on the services that all tests share, unless the builder says otherwise. The
    /// names of topic and database begin with `name`.
    #[expect(clippy::new_ret_no_self, reason = "the builder's last step returns the world")]
    pub fn new<'a>(name: &str) -> Builder<'a> {
        Builder { name: name.to_owned(), topics: 1, partitions: 1, kafka: None, postgres: None }
    }
}

impl World<'_> {
    /// Changes the sink's configuration.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(SinkConfig) -> SinkConfig) -> Self {
        self.config = change(self.config);
        self
    }

    /// Sets a dotted key of the sink's configuration.
    #[must_use]
    #[track_caller]
    pub fn set(self, key: &str, value: impl Into<Value>) -> Self {
        self.with(|config| config.set(key, value))
    }

    /// Upserts by this column of the value.
    #[must_use]
    pub fn upsert(self, key: &str) -> Self {
        self.keyed("upsert", key)
    }

    /// Writes in this mode, by this column of the value.
    #[must_use]
    pub fn keyed(self, mode: &str, key: &str) -> Self {
        self.with(|config| config.insert_mode(mode).pk_fields(&[key]))
    }

    /// Inserts without a key: a record that is written twice is two rows.
    #[must_use]
    pub fn unkeyed(self) -> Self {
        self.with(SinkConfig::unkeyed)
    }

    /// Takes the key from the record's key, in this column, and deletes by tombstones.
    #[must_use]
    pub fn keyed_by_record(self, key: &str) -> Self {
        self.with(|config| config.pk_mode("record_key").pk_fields(&[key]).set("sink.delete_enabled", true))
    }

    /// Lets the sink connect as a role of its own, about which `sql` says more: see [`execute`](Self::execute).
    #[must_use]
    #[track_caller]
    pub fn role(mut self, sql: &str) -> Self {
        self.role = names::unique("role");
        self.execute("CREATE ROLE $role LOGIN");
        self.execute(sql);
        let url = self.url.replace("postgres@", &format!("{}@", self.role));
        self.set("postgres.url", url)
    }

    /// Its one topic, or the first of them.
    pub fn topic(&self) -> &str {
        &self.topics[0]
    }

    /// Produces records to its one topic, or the first of them; returns partition and offset of each.
    #[track_caller]
    pub fn produce(&self, records: impl IntoIterator<Item = Record>) -> Vec<(i32, i64)> {
        self.kafka.produce(self.topic(), records)
    }

    /// Produces JSON records as [`produce`](Self::produce) does.
    #[track_caller]
    pub fn produce_json(&self, values: impl IntoIterator<Item = serde_json::Value>) {
        self.produce(values.into_iter().map(|value| Record::json(&value)));
    }

    /// Starts `sink-connector run`.
    #[track_caller]
    pub fn sink(&self) -> Sink {
        self.config.run()
    }

    /// Produces records, then reads its topics to their end: see [`SinkConfig::until_end`].
    #[track_caller]
    pub fn drain(&self, records: impl IntoIterator<Item = Record>) -> Output {
        self.produce(records);
        self.config.until_end()
    }

    /// The connection to its database, as superuser. To be dropped before the world is asked for anything else.
    pub fn client(&self) -> MutexGuard<'_, Client> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.is_valid(Duration::from_secs(5)).is_err() {
            *client = connect(&self.url);
        }
        client
    }

    /// Another connection to its database, as superuser.
    #[track_caller]
    pub fn connect(&self) -> Client {
        connect(&self.url)
    }

    /// Executes statements as superuser. `$role` in them is the role that the sink connects as.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        let sql = sql.replace("$role", &format!("\"{}\"", self.role));
        let done = self.client().batch_execute(&sql);
        done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The first column of a query.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn column<T: for<'a> FromSql<'a>>(&self, sql: &str) -> Vec<T> {
        let rows = self.client().query(sql, &[]);
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The one value of a query.
    ///
    /// # Panics
    /// When the server refuses, or answers with more or fewer rows than one.
    #[track_caller]
    pub fn one<T: for<'a> FromSql<'a>>(&self, sql: &str) -> T {
        let mut values = self.column(sql);
        assert_eq!(values.len(), 1, "{sql}: not one row");
        values.remove(0)
    }

    /// How many rows `from` has: a table, with or without `WHERE`.
    #[track_caller]
    pub fn count(&self, from: &str) -> i64 {
        self.one(&format!("SELECT count(*) FROM {from}"))
    }

    /// How many rows table `t` has.
    #[track_caller]
    pub fn rows(&self) -> i64 {
        self.count("t")
    }

    /// How many dead letters its table has.
    #[track_caller]
    pub fn dead_letters(&self) -> i64 {
        self.count("sink_dead_letters")
    }

    /// The reasons of the dead letters, in the order of their offsets.
    #[track_caller]
    pub fn reasons(&self) -> Vec<String> {
        self.column("SELECT reason FROM sink_dead_letters ORDER BY \"offset\"")
    }

    /// The sum of the stored positions: of one partition, its position.
    #[track_caller]
    pub fn position(&self) -> i64 {
        self.one("SELECT coalesce(sum(next_offset), 0)::bigint FROM sink_offsets")
    }

    /// The stored positions by partition, of one topic.
    #[track_caller]
    pub fn positions(&self) -> BTreeMap<i32, i64> {
        let rows = self.client().query("SELECT partition, next_offset FROM sink_offsets", &[]);
        rows.expect("the table of positions").iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Waits until table `t` has so many rows.
    #[track_caller]
    pub fn wait_rows(&self, deadline: Duration, rows: i64) {
        wait::holds(deadline, "rows", || self.rows(), |seen| *seen == rows);
    }

    /// Begins a transaction with these statements, e.g. one that locks a table, and keeps it open.
    #[track_caller]
    pub fn hold(&self, sql: &str) -> Hold {
        let mut client = self.connect();
        client.batch_execute(&format!("BEGIN; {sql}")).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        Hold(client)
    }

    /// Keeps everybody else from table `t`.
    #[track_caller]
    pub fn lock_table(&self) -> Hold {
        self.hold("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    }

    /// Whether a session of a sink waits for a lock on table `t`.
    #[track_caller]
    pub fn sink_waits_for_table(&self) -> bool {
        self.one(
            "SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE NOT l.granted AND l.relation = 't'::regclass AND a.application_name LIKE 'kafka-sink:%')",
        )
    }
}

/// An open transaction of a session of its own; rolled back when it is dropped.
pub struct Hold(Client);

impl Hold {
    /// Rolls back.
    ///
    /// # Panics
    /// When the session is gone.
    #[track_caller]
    pub fn release(mut self) {
        self.0.batch_execute("ROLLBACK").expect("ROLLBACK");
    }

    /// Commits.
    ///
    /// # Panics
    /// When the session is gone.
    #[track_caller]
    pub fn commit(mut self) {
        self.0.batch_execute("COMMIT").expect("COMMIT");
    }

    /// Its session, inside the transaction.
    pub fn client(&mut self) -> &mut Client {
        &mut self.0
    }
}
