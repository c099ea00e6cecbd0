//! What every measurement of a run shares: the services, the topic that is drained, the rows as a file for `\copy`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use postgres::Client;
use tests::{
    Heap, Kafka, KafkaOptions, Postgres, PostgresOptions, ProducerConfig, Services, SinkConfig, paths,
};

use crate::peers::small;

/// The table of live scores.
pub(crate) const TABLE: &str = "ipl_livescores";

/// Services with a preloaded topic.
pub(crate) struct Setting {
    services: Services,
    /// The topic that is drained.
    pub topic: String,
    /// Its records.
    pub records: u64,
    /// The table that the rows go to.
    pub table: &'static str,
    /// How many columns it has.
    pub columns: usize,
    /// Its key.
    pub key: Option<&'static str>,
    ddl: String,
}

/// A database with the table in it, dropped at the end.
pub(crate) struct Target<'a> {
    postgres: &'a Postgres,
    name: String,
    /// The table.
    pub table: &'static str,
    /// Its URL.
    pub url: String,
}

impl Setting {
    /// Starts the services, produces `records`, and lets the sink write them once: that warms both services up, and
    /// its table is what `\copy` will load.
    pub(crate) fn prepare(records: u64, partitions: i32) -> Result<Self> {
        let services = services()?;
        let topic = services.kafka.topic("bench", partitions);
        let count = records.to_string();
        ProducerConfig::new(services.kafka.bootstrap(), &topic)
            .finish(&["once", "--records", &count, "--seed", "42"], Duration::from_secs(600))
            .expect_code(0);
        let ddl =
            fs::read_to_string(paths::workspace("config/ipl_livescores.sql")).context("the table's DDL")?;
        let setting =
            Self { services, topic, records, table: TABLE, columns: 28, key: Some("match_id"), ddl };
        let target = setting.fill()?;
        let mut client = target.client()?;
        for (half, file) in (0..).zip(setting.half_files()) {
            client.batch_execute(&format!(
                "COPY (SELECT * FROM {TABLE} WHERE hashtext(match_id || 'half') & 1 = {half}
                    ORDER BY hashtext(match_id)) TO '{}' WITH (FORMAT binary)",
                file.display()
            ))?;
        }
        drop(target);
        Ok(setting)
    }

    /// The same with small records, for a table without a key.
    pub(crate) fn prepare_small(records: u64) -> Result<Self> {
        let services = services()?;
        let topic = services.kafka.topic("small", small::PARTITIONS);
        services.kafka.produce(&topic, small::records(records));
        let ddl = small::DDL.to_owned();
        let setting = Self { services, topic, records, table: small::TABLE, columns: 4, key: None, ddl };
        drop(setting.fill()?);
        Ok(setting)
    }

    fn fill(&self) -> Result<Target<'_>> {
        let target = self.target()?;
        let run = self
            .sink(&target)
            .finish(&["run", "--until-end", "--summary", "json"], Duration::from_secs(600))
            .expect_code(0);
        ensure!(run.count("rows_written") == i64::try_from(self.records)?, "{}", run.stdout);
        // In no order of the key: Kafka has none either.
        let order = self.key.map(|key| format!("ORDER BY hashtext({key})")).unwrap_or_default();
        target.client()?.batch_execute(&format!(
            "COPY (SELECT * FROM {} {order}) TO '{}'",
            self.table,
            self.rows_file().display()
        ))?;
        Ok(target)
    }

    /// The broker.
    pub(crate) fn kafka(&self) -> &Kafka {
        &self.services.kafka
    }

    /// The cluster.
    pub(crate) fn postgres(&self) -> &Postgres {
        &self.services.postgres
    }

    /// The rows in COPY's text format.
    pub(crate) fn rows_file(&self) -> PathBuf {
        self.postgres().dir().join("rows.copy")
    }

    /// The same rows in two files, in COPY's binary format.
    pub(crate) fn half_files(&self) -> [PathBuf; 2] {
        ["half-1.copy", "half-2.copy"].map(|name| self.postgres().dir().join(name))
    }

    /// A new database with the empty table, after a checkpoint: no measurement pays for the one before.
    pub(crate) fn target(&self) -> Result<Target<'_>> {
        let url = self.postgres().database("bench");
        let name = url.rsplit('/').next().context("a URL ends with its database")?.to_owned();
        let target = Target { postgres: self.postgres(), name, table: self.table, url };
        target.client()?.batch_execute(&self.ddl)?;
        self.postgres().client().batch_execute("CHECKPOINT")?;
        Ok(target)
    }

    /// The sink's default configuration, for this topic and `target`.
    pub(crate) fn sink(&self, target: &Target<'_>) -> SinkConfig {
        let config =
            SinkConfig::new(self.kafka().bootstrap(), &target.url).topic(&self.topic).table(self.table);
        if self.key.is_some() { config } else { config.unkeyed() }
    }
}

impl Target<'_> {
    /// A connection to it.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(tests::postgres::try_connect(&self.url)?)
    }

    /// How many rows the table has.
    pub(crate) fn rows(&self) -> Result<u64> {
        self.rows_seen_by(&mut self.client()?)
    }

    /// The same, by a connection that is there.
    pub(crate) fn rows_seen_by(&self, client: &mut Client) -> Result<u64> {
        let rows: i64 = client.query_one(&format!("SELECT count(*) FROM {}", self.table), &[])?.get(0);
        Ok(u64::try_from(rows)?)
    }
}

fn services() -> Result<Services> {
    let kafka = KafkaOptions { heap: Heap::Bench, ..KafkaOptions::default() };
    Services::start(kafka, PostgresOptions::default())
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
        if let Err(error) = self.postgres.client().batch_execute(&drop) {
            eprintln!("{} stays until the end: {error}", self.name);
        }
    }
}
