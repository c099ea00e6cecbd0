//! What pods talk to: Kafka and PostgreSQL on this machine's loopback, which pods reach by another address.

use std::env;
use std::sync::OnceLock;

use tests::{Kafka, KafkaOptions, Postgres, PostgresOptions, Services};

/// This machine's loopback as pods find it by DNS.
const HOST: &str = "host.internal";
/// The password of the role `sink`.
pub(crate) const PASSWORD: &str = "what the sink knows";

pub(crate) struct World {
    services: Services,
    gateway: String,
    port: u16,
}

impl World {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<World> = OnceLock::new();
        SHARED.get_or_init(|| {
            // Not any cluster that a kubeconfig happens to lead to.
            let gateway = env::var("LIVESCORES_GATEWAY").expect("`make cluster-test` starts the cluster");
            let port = tests::ports::free();
            let services =
                Services::start(KafkaOptions::default().elsewhere(HOST, port), PostgresOptions::default())
                    .expect("the services start");
            services.postgres.allow_from(&format!("{gateway}/24"));
            services
                .postgres
                .client()
                .batch_execute(&format!("CREATE ROLE sink LOGIN PASSWORD '{PASSWORD}'"))
                .expect("a role for the sinks");
            Self { services, gateway, port }
        })
    }

    pub(crate) fn kafka(&self) -> &Kafka {
        &self.services.kafka
    }

    pub(crate) fn postgres(&self) -> &Postgres {
        &self.services.postgres
    }

    /// This machine's loopback as pods reach it.
    pub(crate) fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The broker as pods reach it.
    pub(crate) fn bootstrap(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    /// An address of a broker that is not there.
    pub(crate) fn nobody(&self) -> String {
        format!("{}:{}", self.gateway, tests::ports::free())
    }

    /// A database that belongs to `role`, as pods reach it with that role.
    pub(crate) fn url(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}@{HOST}:{}/{database}", self.postgres().port())
    }
}
