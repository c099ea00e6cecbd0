//! The plans in force, by topic. Read by the poll thread, renewed whenever the catalog says something else.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

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

/// The target of a topic that was not named, but matches a pattern. The error is for people.
pub type TargetOf = Box<dyn Fn(&str) -> Result<Target, String> + Send + Sync>;

/// Plans by topic.
pub struct Plans {
    targets: RwLock<HashMap<String, Arc<Target>>>,
    /// For topics that come by a pattern.
    target_of: Option<TargetOf>,
    plans: RwLock<HashMap<String, Arc<Plan>>>,
    health: Arc<Health>,
}

impl Plans {
    /// Plans for the topics that have a target, and for those that `target_of` makes one for when they appear.
    pub fn new(targets: HashMap<String, Target>, target_of: Option<TargetOf>, health: Arc<Health>) -> Self {
        let targets = targets.into_iter().map(|(topic, target)| (topic, Arc::new(target))).collect();
        Self { targets: RwLock::new(targets), target_of, plans: RwLock::default(), health }
    }

    /// The plan of `topic`, once it has been made.
    pub fn get(&self, topic: &str) -> Option<Arc<Plan>> {
        self.plans.read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }

    /// The topics that there are targets for.
    pub fn topics(&self) -> Vec<String> {
        self.targets.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The target's name, as configured.
    pub fn table_of(&self, topic: &str) -> Option<String> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        targets.get(topic).map(|t| t.wanted.table.to_string())
    }

    /// Drops the target of a topic that came by a pattern and went before it had a plan: nobody waits for its table.
    pub fn forget(&self, topic: &str) {
        if self.target_of.is_none() || self.get(topic).is_some() {
            return;
        }
        self.health.well(&Component::Topic(topic.to_owned()));
        if let Some(target) = self.targets.write().unwrap_or_else(PoisonError::into_inner).remove(topic) {
            self.health.well(&Component::Table(target.wanted.table.to_string()));
        }
    }

    fn target(&self, topic: &str) -> Result<Arc<Target>, Failure> {
        let known = self.targets.read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned();
        if let Some(target) = known {
            return Ok(target);
        }
        let made = match &self.target_of {
            Some(target_of) => target_of(topic),
            None => Err(format!("topic {topic:?} has no target table")),
        };
        let component = Component::Topic(topic.to_owned());
        match made {
            Ok(target) => {
                self.health.well(&component);
                tracing::info!(topic, table = %target.wanted.table, "a topic has come");
                let target = Arc::new(target);
                let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
                targets.insert(topic.to_owned(), Arc::clone(&target));
                Ok(target)
            }
            Err(reason) => {
                self.health.fail(component, reason.clone());
                Err(Failure::configuration(reason))
            }
        }
    }

    /// Reads the catalog again and renews the plan of `topic` if anything changed. A table that is missing is
    /// created if there is DDL for it.
    pub fn renew(&self, client: &mut Client, topic: &str) -> Result<Arc<Plan>, Failure> {
        let target = self.target(topic)?;
        let component = Component::Table(target.wanted.table.to_string());
        match self.read(client, &target) {
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
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        match plans.get(topic) {
            Some(current)
                if current.fingerprint == plan.fingerprint && current.partitions == plan.partitions =>
            {
                Arc::clone(current)
            }
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
