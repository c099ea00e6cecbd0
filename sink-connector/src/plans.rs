//! The plans in force, by topic. Read by the poll thread, renewed whenever the catalog says something else.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use postgres::Client;

use crate::catalog;
use crate::failure::Failure;
use crate::health::{Component, Health};
use crate::plan::{Plan, Wanted};

/// A topic's target as configured.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is wanted of the table.
    pub wanted: Wanted,
    /// The statements that create it when it is missing, and where they come from.
    pub ddl: Option<Ddl>,
}

/// Statements that create a table.
#[derive(Clone, Debug)]
pub struct Ddl {
    /// The file's name, for messages.
    pub origin: String,
    /// Its text.
    pub sql: String,
}

/// Plans by topic.
pub struct Plans {
    targets: HashMap<String, Target>,
    plans: RwLock<HashMap<String, Arc<Plan>>>,
    health: Arc<Health>,
}

impl Plans {
    /// Plans for the topics that have a target.
    pub fn new(targets: HashMap<String, Target>, health: Arc<Health>) -> Self {
        Self { targets, plans: RwLock::default(), health }
    }

    /// The plan of `topic`, once it has been made.
    pub fn get(&self, topic: &str) -> Option<Arc<Plan>> {
        self.plans.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(topic).cloned()
    }

    /// The topics that there are targets for.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.targets.keys().map(String::as_str)
    }

    /// The target's name, as configured.
    pub fn table_of(&self, topic: &str) -> Option<String> {
        self.targets.get(topic).map(|t| t.wanted.table.to_string())
    }

    /// Reads the catalog again and renews the plan of `topic` if anything changed. A table that is missing is
    /// created if there is DDL for it.
    pub fn renew(&self, client: &mut Client, topic: &str) -> Result<Arc<Plan>, Failure> {
        let target = self
            .targets
            .get(topic)
            .ok_or_else(|| Failure::configuration(format!("topic {topic:?} has no target table")))?;
        let component = Component::Table(target.wanted.table.to_string());
        match self.read(client, target) {
            Ok(plan) => {
                self.health.well(&component);
                Ok(self.install(topic, plan))
            }
            Err(failure) => {
                self.health.fail(component, failure.to_string());
                Err(failure)
            }
        }
    }

    fn read(&self, client: &mut Client, target: &Target) -> Result<Plan, Failure> {
        let name = &target.wanted.table;
        let mut table = catalog::read_table(client, name)?;
        if let (None, Some(ddl)) = (&table, &target.ddl) {
            tracing::info!(table = %name, ddl = ddl.origin, "the table is missing, creating it");
            client.batch_execute(&ddl.sql)?;
            table = catalog::read_table(client, name)?;
            if table.is_none() {
                return Err(Failure::configuration(format!(
                    "{} ran, but did not create table {name}",
                    ddl.origin
                )));
            }
        }
        let table = table.ok_or_else(|| {
            Failure::configuration(format!(
                "table {name} does not exist; create it, or name its DDL in sink.ddl_file"
            ))
        })?;
        Plan::new(&target.wanted, &table).map_err(|error| Failure::configuration(error.to_string()))
    }

    fn install(&self, topic: &str, plan: Plan) -> Arc<Plan> {
        let mut plans = self.plans.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match plans.get(topic) {
            Some(current) if current.fingerprint == plan.fingerprint => Arc::clone(current),
            current => {
                if current.is_some() {
                    tracing::info!(
                        topic,
                        table = plan.label,
                        "the table has changed, its plan is made again"
                    );
                }
                let plan = Arc::new(plan);
                plans.insert(topic.to_owned(), Arc::clone(&plan));
                plan
            }
        }
    }
}
