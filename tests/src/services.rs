//! One Kafka and one PostgreSQL for all tests of a process.

use std::sync::OnceLock;
use std::thread;

use anyhow::{Result, anyhow};

use crate::kafka::{Kafka, KafkaOptions};
use crate::postgres::{Postgres, PostgresOptions};

/// A broker and a cluster.
pub struct Services {
    /// The broker.
    pub kafka: Kafka,
    /// The cluster.
    pub postgres: Postgres,
}

static SHARED: OnceLock<Services> = OnceLock::new();

impl Services {
    /// The services that all tests of this process share, started by the first that asks. A test that stops, kills
    /// or pauses one of them must start its own.
    ///
    /// # Panics
    /// When they do not start.
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(|| {
            Self::start(KafkaOptions::default(), PostgresOptions::default()).expect("the services start")
        })
    }

    /// Starts both at once.
    ///
    /// # Errors
    /// Either does not start.
    pub fn start(kafka: KafkaOptions, postgres: PostgresOptions) -> Result<Self> {
        thread::scope(|scope| {
            let kafka = scope.spawn(|| Kafka::start(kafka));
            let postgres = Postgres::start(postgres);
            let kafka = kafka.join().map_err(|_| anyhow!("starting Kafka panicked"))?;
            Ok(Self { kafka: kafka?, postgres: postgres? })
        })
    }

    /// Private services for a test that breaks them.
    ///
    /// # Panics
    /// When they do not start.
    pub fn private() -> Self {
        Self::start(KafkaOptions::default(), PostgresOptions::default()).expect("the services start")
    }
}
