//! The causes of stored dead letters: what they need is decided by the record and the table as they are now.

use std::collections::HashMap;

use postgres::Client;

use crate::config::Config;
use crate::decode::{Cells, Opened, Reason, Rejection, Wider};
use crate::postgres::sql::TableName;
use crate::rejects::cause::Cause;
use crate::rejects::dead_letters::StoredDeadLetter;
use crate::table::catalog;
use crate::table::plan::Plan;
use crate::table::plan_cache::{Target, TargetOf};
use crate::table::targets::{target_of, targets};

/// What to do about a cause.
pub(super) fn hint(config: &Config, topic: &str, cause: &Cause, wider: Option<Wider>) -> String {
    let table = config.topic(topic);
    let version = table.version_field.map(|field| table.rename.get(&field).cloned().unwrap_or(field));
    let needed: Vec<String> = table.pk_fields.into_iter().chain(version).collect();
    cause.hint(&TableName::parse(&table.table), &needed, wider)
}

/// Finds the causes of dead letters.
pub(super) struct Causes<'a> {
    config: &'a Config,
    targets: HashMap<String, Target>,
    target_of: Option<TargetOf>,
    /// By topic.
    read: HashMap<String, Option<Plan>>,
    cells: Cells,
}

impl<'a> Causes<'a> {
    pub(super) fn new(config: &'a Config) -> anyhow::Result<Self> {
        let (targets, target_of) = (targets(config)?, target_of(config));
        Ok(Self { config, targets, target_of, read: HashMap::new(), cells: Cells::default() })
    }

    /// The cause, and the wider type that would take the value.
    pub(super) fn of(
        &mut self,
        client: &mut Client,
        stored: &StoredDeadLetter,
    ) -> Option<(Cause, Option<Wider>)> {
        let reason = Reason::ALL.into_iter().find(|reason| reason.as_str() == stored.reason)?;
        let rejection = self.rejection(client, stored).filter(|rejection| rejection.reason == reason);
        let cause = Cause {
            reason,
            column: rejection.as_ref().and_then(|rejection| rejection.column.clone()),
            sqlstate: stored.sqlstate.clone(),
            constraint: stored.constraint.clone(),
        };
        Some((cause, rejection.and_then(|rejection| rejection.wider)))
    }

    /// What to do about a cause.
    pub(super) fn hint(&self, topic: &str, cause: &Cause, wider: Option<Wider>) -> String {
        hint(self.config, topic, cause, wider)
    }

    /// Why the value of the record is rejected now, if it is.
    fn rejection(&mut self, client: &mut Client, stored: &StoredDeadLetter) -> Option<Rejection> {
        let topic = &*stored.partition.topic;
        if !self.read.contains_key(topic) {
            let plan = self.plan(client, topic);
            self.read.insert(topic.to_owned(), plan);
        }
        let plan = self.read.get(topic)?.as_ref()?;
        match plan.decoder.open(stored.payload.as_deref()?) {
            Ok(Opened::Row(row)) => plan.decoder.decode(&row, &mut self.cells).err(),
            Ok(_) => None,
            Err(rejection) => Some(rejection),
        }
    }

    /// The plan of a topic that is read and whose table exists. `check` says what is wrong with others.
    fn plan(&self, client: &mut Client, topic: &str) -> Option<Plan> {
        let created = self.target_of.as_ref().and_then(|target_of| target_of(topic).ok());
        let target = self.targets.get(topic).or(created.as_ref())?;
        let table = catalog::read_table(client, &target.wanted.table).ok()??;
        Plan::new(&target.wanted, &table).ok()
    }
}
