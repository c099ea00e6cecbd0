//! The current plan of each topic, renewed when the catalog changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;

use postgres::Client;
use thiserror::Error;

use crate::config::DdlError;
use crate::observe::health::{Component, Health};
use crate::postgres::failure::Failure;
use crate::postgres::schema_grants::{self, TO_CREATE, TO_USE};
use crate::postgres::settings;
use crate::postgres::sql::TableName;
use crate::table::catalog::{self, Table};
use crate::table::plan::{Mode, Plan, Wanted};

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub wanted: Wanted,
    /// The statements that create it if it is missing.
    pub ddl: Option<Ddl>,
}

#[derive(Clone, Debug)]
pub(crate) struct Ddl {
    pub file: String,
    pub sql: String,
}

/// Creates the target of a topic that matches `kafka.topics_regex`.
pub(crate) type TargetOf = Box<dyn Fn(&str) -> Result<Target, DdlError> + Send + Sync>;

#[derive(Debug, Error)]
enum TargetError {
    #[error("topic {0:?} has no target table")]
    NotConfigured(String),
    #[error(transparent)]
    Ddl(#[from] DdlError),
}

pub(crate) struct Plans {
    targets: RwLock<HashMap<String, Arc<Target>>>,
    /// For topics that match a pattern.
    target_of: Option<TargetOf>,
    plans: RwLock<HashMap<String, Arc<Plan>>>,
    /// Topics whose table had a plan, and was found missing since.
    missing: RwLock<HashSet<String>>,
    /// Topics whose table was missing and came back, with the oid of the new table.
    came_back: RwLock<HashMap<String, u32>>,
    /// Tables that came back empty, and are written by partitions that lack no rows.
    began_empty: RwLock<HashSet<u32>>,
    health: Arc<Health>,
}

impl Plans {
    /// Plans for the topics with a target, and for those that get one from `target_of` when they appear.
    pub(crate) fn new(
        targets: HashMap<String, Target>,
        target_of: Option<TargetOf>,
        health: Arc<Health>,
    ) -> Self {
        let targets = targets.into_iter().map(|(topic, target)| (topic, Arc::new(target))).collect();
        health.count_tables(count_tables(&targets));
        Self {
            targets: RwLock::new(targets),
            target_of,
            plans: RwLock::default(),
            missing: RwLock::default(),
            came_back: RwLock::default(),
            began_empty: RwLock::default(),
            health,
        }
    }

    /// The plan of `topic`; `None` until [`Plans::renew`] has read its table.
    pub(crate) fn get(&self, topic: &str) -> Option<Arc<Plan>> {
        self.plans.read().get(topic).cloned()
    }

    /// Whether the topics have more than one table.
    pub(crate) fn several_tables(&self) -> bool {
        let targets = self.targets.read();
        let mut tables = targets.values().map(|target| &target.wanted.table);
        let first = tables.next();
        tables.any(|table| Some(table) != first)
    }

    /// Each topic with a target, the table and the write mode.
    pub(crate) fn targets(&self) -> Vec<(String, String, Mode)> {
        let targets = self.targets.read();
        let parts = |(topic, target): (&String, &Arc<Target>)| {
            (topic.clone(), target.wanted.table.to_string(), target.wanted.mode)
        };
        targets.iter().map(parts).collect()
    }

    /// The topics with a target.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.targets.read().keys().cloned().collect()
    }

    pub(crate) fn table_of(&self, topic: &str) -> Option<String> {
        let targets = self.targets.read();
        targets.get(topic).map(|t| t.wanted.table.to_string())
    }

    /// Removes the target of a topic that matched a pattern and was deleted before it had a plan, so that its missing table
    /// is no longer reported.
    pub(crate) fn forget(&self, topic: &str) {
        if self.target_of.is_none() || self.get(topic).is_some() {
            return;
        }
        self.health.recovered(&Component::Topic(topic.to_owned()));
        let mut targets = self.targets.write();
        if let Some(target) = targets.remove(topic) {
            self.health.count_tables(count_tables(&targets));
            self.health.recovered(&Component::Table(target.wanted.table.to_string()));
        }
    }

    /// [`Plans::renew`] without a database: this is the plan of the table as it is now.
    #[cfg(test)]
    pub(crate) fn renewed(&self, topic: &str, plan: Plan) -> Arc<Plan> {
        self.install(topic, plan)
    }

    fn target(&self, topic: &str) -> Result<Arc<Target>, Failure> {
        let existing = self.targets.read().get(topic).cloned();
        if let Some(target) = existing {
            return Ok(target);
        }
        let created = match &self.target_of {
            Some(target_of) => target_of(topic).map_err(TargetError::Ddl),
            None => Err(TargetError::NotConfigured(topic.to_owned())),
        };
        let component = Component::Topic(topic.to_owned());
        match created {
            Ok(target) => {
                self.health.recovered(&component);
                tracing::info!(topic, table = %target.wanted.table, "new topic");
                let target = Arc::new(target);
                let mut targets = self.targets.write();
                targets.insert(topic.to_owned(), Arc::clone(&target));
                self.health.count_tables(count_tables(&targets));
                Ok(target)
            }
            Err(error) => {
                self.health.fail(component, error.to_string());
                Err(Failure::configuration(error.to_string()))
            }
        }
    }

    /// Reads the catalog again, and renews the plan of `topic` if anything has changed. A missing table is created if there
    /// is DDL for it.
    pub(crate) fn renew(&self, client: &mut Client, topic: &str) -> Result<Arc<Plan>, Failure> {
        let target = self.target(topic)?;
        let component = Component::Table(target.wanted.table.to_string());
        match self.read(client, topic, &target) {
            Ok(plan) => {
                self.health.recovered(&component);
                if self.missing.write().remove(topic)
                    && let Some(oid) = plan.table_oid
                {
                    self.came_back.write().insert(topic.to_owned(), oid);
                }
                Ok(self.install(topic, plan))
            }
            Err(failure) => {
                self.health.fail(component, failure.to_string());
                Err(failure)
            }
        }
    }

    /// Whether somebody created the table with this oid for `topic` while this sink visibly waited for it. That table is
    /// meant. A table that replaced another one unnoticed, or that `ddl_file` created, may not be.
    pub(crate) fn came_back(&self, topic: &str, oid: u32) -> bool {
        self.came_back.read().get(topic) == Some(&oid)
    }

    /// Whether the table with this oid came back empty, and has got rows of this sink since.
    pub(crate) fn began_empty(&self, oid: u32) -> bool {
        self.began_empty.read().contains(&oid)
    }

    /// The table with this oid came back empty, and gets rows from now on.
    pub(crate) fn begins_empty(&self, oid: u32) {
        self.began_empty.write().insert(oid);
    }

    fn read(&self, client: &mut Client, topic: &str, target: &Target) -> Result<Plan, Failure> {
        let name = &target.wanted.table;
        name.check_length().map_err(|error| Failure::configuration(error.to_string()))?;
        let mut table = catalog::read_table(client, name)
            .map_err(|error| schema_grants::name_missing(client, name, TO_USE, error.into()))?;
        if let (None, Some(ddl)) = (&table, &target.ddl) {
            tracing::info!(table = %name, ddl = ddl.file, "creating the missing table");
            let created = create(client, name, ddl);
            table =
                Some(created.map_err(|error| schema_grants::name_missing(client, name, TO_CREATE, error))?);
        }
        let Some(table) = table else {
            if self.get(topic).is_some() {
                self.missing.write().insert(topic.to_owned());
            }
            // A schema that the role may not use is not searched.
            return Err(Failure::configuration(match schema_grants::missing(client, name, TO_USE)? {
                Some(grant) => format!("table {name} does not exist, or its schema may not be used; {grant}"),
                None => format!("table {name} does not exist; create it, or name its DDL in sink.ddl_file"),
            }));
        };
        Plan::new(&target.wanted, &table).map_err(|error| Failure::configuration(error.to_string()))
    }

    fn install(&self, topic: &str, plan: Plan) -> Arc<Plan> {
        let mut plans = self.plans.write();
        match plans.get(topic) {
            Some(current)
                if current.fingerprint == plan.fingerprint && current.partitions == plan.partitions =>
            {
                Arc::clone(current)
            }
            current => {
                if current.is_some() {
                    tracing::info!(topic, table = plan.label, "the table has changed; its plan is renewed");
                }
                report_ungranted(topic, &plan);
                let plan = Arc::new(plan);
                plans.insert(topic.to_owned(), Arc::clone(&plan));
                plan
            }
        }
    }
}

/// Runs the file and reads the table that it created, in one transaction: a file that creates another table leaves nothing.
fn create(client: &mut Client, name: &TableName, ddl: &Ddl) -> Result<Table, Failure> {
    let in_file = |error: postgres::Error| {
        let failure = Failure::from(error);
        Failure { message: format!("{}: {}", ddl.file, failure.message), ..failure }
    };
    client.batch_execute("BEGIN")?;
    // What pg_dump writes leaves an empty search path.
    let sql = format!("{}\n; {}", ddl.sql, settings::restore());
    let created = client.batch_execute(&sql).map_err(in_file).and_then(|()| {
        catalog::read_table(client, name)?.ok_or_else(|| {
            let message =
                format!("{} does not create table {name}: correct sink.table or the file", ddl.file);
            Failure::configuration(message)
        })
    });
    let ended = client.batch_execute(if created.is_ok() { "COMMIT" } else { "ROLLBACK" });
    let restarted = client.batch_execute(&settings::restart());
    match (created, ended.and(restarted)) {
        (Ok(table), Ok(())) => Ok(table),
        // What failed first is the cause.
        (Err(failure), _) => Err(failure),
        (Ok(_), Err(error)) => Err(in_file(error)),
    }
}

/// Logs the columns that the role may not write, if it may write others.
fn report_ungranted(topic: &str, plan: &Plan) {
    let ungranted = plan.columns.iter().filter(|column| !column.insertable);
    let names: Vec<&str> = ungranted.map(|column| column.name.as_str()).collect();
    if !names.is_empty() && names.len() < plan.columns.len() {
        tracing::warn!(
            topic,
            table = plan.label,
            columns = names.join(", "),
            "the role may not insert into these columns: a record that carries one waits until it may"
        );
    }
}

fn count_tables(targets: &HashMap<String, Arc<Target>>) -> usize {
    targets.values().map(|target| &target.wanted.table).collect::<HashSet<_>>().len()
}
