//! What every measurement of a run shares: the services, the topic that is drained, the rows as a file for `\copy`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use postgres::Client;
use tests::{
    Heap, Kafka, KafkaOptions, Postgres, PostgresOptions, ProducerConfig, Services, SinkConfig, paths,
};

/// The table that the rows go to.
pub(crate) const TABLE: &str = "ipl_livescores";

/// Services with a preloaded topic.
pub(crate) struct Setting {
    services: Services,
    /// The topic that is drained.
    pub topic: String,
    /// Its records.
    pub records: u64,
    ddl: String,
}

/// A database with the table in it, dropped at the end.
pub(crate) struct Target<'a> {
    postgres: &'a Postgres,
    name: String,
    /// Its URL.
    pub url: String,
}

impl Setting {
    /// Starts the services, produces `records`, and lets the sink write them once: that warms both services up, and
    /// its table is what `\copy` will load.
    pub(crate) fn prepare(records: u64, partitions: i32) -> Result<Self> {
        let services = Services::start(
            KafkaOptions { heap: Heap::Bench, ..KafkaOptions::default() },
            PostgresOptions::default(),
        )?;
        let topic = services.kafka.topic("bench", partitions);
        let ddl =
            fs::read_to_string(paths::workspace("config/ipl_livescores.sql")).context("the table's DDL")?;
        let setting = Self { services, topic, records, ddl };
        setting.fill()?;
        Ok(setting)
    }

    fn fill(&self) -> Result<()> {
        let count = self.records.to_string();
        ProducerConfig::new(self.kafka().bootstrap(), &self.topic)
            .finish(&["once", "--records", &count, "--seed", "42"], Duration::from_secs(600))
            .expect_code(0);
        let target = self.target()?;
        let run = self
            .sink(&target)
            .finish(&["run", "--until-end", "--summary", "json"], Duration::from_secs(600))
            .expect_code(0);
        ensure!(run.count("rows_written") == i64::try_from(self.records)?, "{}", run.stdout);
        // In no order of the key: Kafka has none either.
        let mut client = target.client()?;
        client.batch_execute(&format!(
            "COPY (SELECT * FROM {TABLE} ORDER BY hashtext(match_id)) TO '{}'",
            self.rows_file().display()
        ))?;
        for (half, file) in (0..).zip(self.half_files()) {
            client.batch_execute(&format!(
                "COPY (SELECT * FROM {TABLE} WHERE hashtext(match_id || 'half') & 1 = {half}
                    ORDER BY hashtext(match_id)) TO '{}' WITH (FORMAT binary)",
                file.display()
            ))?;
        }
        Ok(())
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
        let target = Target { postgres: self.postgres(), name, url };
        target.client()?.batch_execute(&self.ddl)?;
        self.postgres().client().batch_execute("CHECKPOINT")?;
        Ok(target)
    }

    /// The sink's default configuration, for this topic and `target`.
    pub(crate) fn sink(&self, target: &Target<'_>) -> SinkConfig {
        SinkConfig::new(self.kafka().bootstrap(), &target.url).topic(&self.topic).table(TABLE)
    }
}

impl Target<'_> {
    /// A connection to it.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(tests::postgres::try_connect(&self.url)?)
    }

    /// How many rows the table has.
    pub(crate) fn rows(&self) -> Result<u64> {
        let rows: i64 = self.client()?.query_one(&format!("SELECT count(*) FROM {TABLE}"), &[])?.get(0);
        Ok(u64::try_from(rows)?)
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
        if let Err(error) = self.postgres.client().batch_execute(&drop) {
            eprintln!("{} stays until the end: {error}", self.name);
        }
    }
}
