//! Answers to position queries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rdkafka::consumer::Consumer as _;

use crate::config::AutoOffsetReset;
use crate::control::postgres::{Pending, PostgresControl};
use crate::kafka::cause::unanswered;
use crate::kafka::query::QueryError;
use crate::kafka::topic_ids::topic_ids;
use crate::messages::events::{self, Event};
use crate::messages::requests::PositionQuery;
use crate::observe::health::Component;
use crate::positions::first::{FirstPositionError, FirstPositions, KAFKA_TIMEOUT, check_owner, watermarks};
use crate::positions::stopped::Stopped;
use crate::positions::stored::{Owner, StoredPosition};
use crate::positions::target_id::TargetId;
use crate::postgres::failure::Failure;
use crate::rejects::breaker::History;
use crate::table::pages::pages;
use crate::types::{Offset, TopicPartition};

/// Why a position query has no position as its answer.
#[derive(Debug, thiserror::Error)]
enum PositionError {
    /// The partition waits for the operator: that is the answer.
    #[error("{0}")]
    Stopped(Stopped),
    /// Kafka has not answered. The query is tried again; others may succeed.
    #[error(transparent)]
    Kafka(#[from] QueryError),
    /// The connection is of no use for further queries.
    #[error(transparent)]
    Postgres(#[from] Failure),
}

impl From<postgres::Error> for PositionError {
    fn from(error: postgres::Error) -> Self {
        Self::Postgres(error.into())
    }
}

impl From<FirstPositionError> for PositionError {
    fn from(error: FirstPositionError) -> Self {
        match error {
            FirstPositionError::Stopped(why) => Self::Stopped(why),
            FirstPositionError::Query(error) => Self::Kafka(error),
        }
    }
}

impl PostgresControl {
    /// Answers the pending position queries, as far as Kafka and PostgreSQL answer. `trouble` is why Kafka has not given an
    /// end, if it has not.
    pub(super) fn resolve(&mut self, mut trouble: Option<QueryError>) -> Result<(), Failure> {
        let mut pending = self.context.unanswered.lock().pending.clone();
        if pending.is_empty() {
            self.shared.health.recovered(&Component::Positions);
        }
        pending.retain(|partition, _| self.shared.plans.get(&partition.topic).is_some());
        if pending.is_empty() {
            return Ok(());
        }
        let topics: BTreeSet<&str> = pending.keys().map(|partition| &*partition.topic).collect();
        let names: Vec<&str> = topics.into_iter().collect();
        let (cluster_id, ids) = match self.outside(|own| own.kafka_identity(&names)) {
            Ok(known) => known,
            Err(error) => {
                self.shared.health.fail(Component::Positions, error.to_string());
                return Ok(());
            }
        };
        let targets = self.target_ids(&names)?;
        let mut answers = Vec::new();
        let mut histories = BTreeMap::new();
        let mut unreadable = false;
        let mut outcome = Ok(());
        for (partition, Pending { query, end, .. }) in &pending {
            self.step();
            let owner = Owner {
                cluster_id: cluster_id.clone(),
                group_id: self.context.identity.group_id.clone(),
                target_table: self.shared.plans.table_of(&partition.topic).unwrap_or_default(),
                topic_id: ids.get(&*partition.topic).cloned(),
                target_id: targets.get(&*partition.topic).cloned(),
            };
            let answer = match self.position(query, *end, &owner) {
                Ok(position) => match self.history(partition, position, &mut unreadable) {
                    Ok(history) => {
                        histories.extend(history.map(|history| (partition.clone(), history)));
                        Ok(position)
                    }
                    Err(failure) => {
                        outcome = Err(failure);
                        break;
                    }
                },
                Err(PositionError::Stopped(why)) => Err(why),
                Err(PositionError::Kafka(error)) => {
                    trouble.get_or_insert(error);
                    continue;
                }
                Err(PositionError::Postgres(failure)) => {
                    outcome = Err(failure);
                    break;
                }
            };
            self.answered(query);
            answers.push((partition.clone(), query.epoch, answer));
        }
        self.shared.policy.remember(histories);
        // Even if a later query failed: these have left the list.
        if !answers.is_empty() {
            events::send(&self.context.events, Event::Resolved(answers));
        }
        match trouble {
            Some(error) => self.shared.health.fail(Component::Positions, error.to_string()),
            None if outcome.is_ok() => self.shared.health.recovered(&Component::Positions),
            None => {}
        }
        outcome
    }

    /// Removes a query, unless a newer one for the same partition has arrived.
    fn answered(&self, query: &PositionQuery) {
        let mut unanswered = self.context.unanswered.lock();
        if unanswered.pending.get(&query.partition).is_some_and(|p| p.query.epoch == query.epoch) {
            unanswered.pending.remove(&query.partition);
        }
    }

    /// The breaker's window of a partition, from its dead letters, if the policy needs it. If they cannot be read, writing
    /// goes on: a dead letter that cannot be stored reports the error. `unreadable` is set then, and no further partition waits
    /// for a table that is locked.
    fn history(
        &mut self,
        partition: &TopicPartition,
        position: Offset,
        unreadable: &mut bool,
    ) -> Result<Option<History>, Failure> {
        let shared = Arc::clone(&self.shared);
        if !shared.policy.wants_history(partition) {
            return Ok(None);
        }
        let without = History { position: position.0, dead_letters: Vec::new() };
        if *unreadable {
            return Ok(Some(without));
        }
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        let dead_letters = shared.dead_letters.below(connection, partition, position, shared.policy.window());
        match dead_letters {
            Ok(dead_letters) => Ok(Some(History { position: position.0, dead_letters })),
            Err(error) if error.as_db_error().is_some() => {
                *unreadable = true;
                let error = self.name_lock_holder(error.into());
                tracing::warn!(%error, "cannot read the dead letters; the circuit breaker begins without them");
                Ok(Some(without))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Records the ends of logs for `latest`: the moment of the assignment counts, however long PostgreSQL is unreachable or
    /// a table is missing after it. Returns why Kafka gave no answer.
    pub(super) fn note_ends(&mut self) -> Option<QueryError> {
        if self.context.identity.auto_offset_reset != AutoOffsetReset::Latest {
            return None;
        }
        let unknown: Vec<TopicPartition> = {
            let unanswered = self.context.unanswered.lock();
            let unknown = |(_, pending): &(_, &Pending)| pending.end.is_none() && !pending.query.known;
            unanswered.pending.iter().filter(unknown).map(|(partition, _)| partition.clone()).collect()
        };
        for partition in &unknown {
            match watermarks(&self.context.queries, partition) {
                Ok((_, high)) => {
                    tracing::info!(%partition, end = high, "recorded the end of the log");
                    if let Some(pending) = self.context.unanswered.lock().pending.get_mut(partition) {
                        pending.end = Some(Offset(high));
                    }
                }
                // The others would time out as well; all are tried again.
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// The position of one partition: the stored one, or one from Kafka that is then stored.
    fn position(
        &mut self,
        query: &PositionQuery,
        end: Option<Offset>,
        owner: &Owner,
    ) -> Result<Offset, PositionError> {
        let partition = &query.partition;
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        if let Some(stored) = shared.offsets.read(connection, partition)? {
            return self.owned(partition, &stored, owner);
        }
        if query.known {
            return Err(PositionError::Stopped(Stopped::LostPosition(format!(
                "the position of {partition} was in PostgreSQL and is not there any more: the row was lost. Restore it, \
                 or set a position with `sink-connector offsets reset`"
            ))));
        }
        let next = self.outside(|own| {
            let firsts = FirstPositions {
                consumer: &own.context.queries,
                offsets: &shared.offsets,
                group_id: &own.context.identity.group_id,
                reset: own.context.identity.auto_offset_reset,
            };
            firsts.of(partition, end)
        })?;
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        shared.offsets.store_first(connection, partition, &StoredPosition { next, owner: owner.clone() })?;
        // Read back: another sink may have been first.
        match shared.offsets.read(connection, partition)? {
            Some(stored) => self.owned(partition, &stored, owner),
            None => Err(PositionError::Postgres(Failure::transient(format!(
                "the position of {partition} was stored and is not there"
            )))),
        }
    }

    /// A stored position that is this sink's. From now on, it belongs to the present table.
    fn owned(
        &mut self,
        partition: &TopicPartition,
        stored: &StoredPosition,
        owner: &Owner,
    ) -> Result<Offset, PositionError> {
        let mut theirs = stored.clone();
        if theirs.owner.target_id != owner.target_id && self.came_back(partition, stored.next, owner)? {
            tracing::warn!(
                %partition, table = owner.target_table,
                "the missing table was created again: records from the stored position on are written to it. \
                 `sink-connector offsets reset --to-earliest` writes earlier ones again"
            );
            theirs.owner.target_id = None;
        }
        let offsets = &self.shared.offsets;
        let position = check_owner(offsets, partition, &theirs, owner).map_err(PositionError::Stopped)?;
        if owner.target_id.is_some() && stored.owner.target_id != owner.target_id {
            let connection = self.connection.as_mut().expect("connected before anything is resolved");
            offsets.store_target_id(&mut ***connection, partition, owner.target_id.as_ref())?;
        }
        Ok(position)
    }

    /// Whether the table was created while this sink waited for it, and lacks no rows: it has some, or the log has no record
    /// before the stored position.
    fn came_back(
        &mut self,
        partition: &TopicPartition,
        next: Offset,
        owner: &Owner,
    ) -> Result<bool, PositionError> {
        let plans = Arc::clone(&self.shared.plans);
        let came_back = |id: &&TargetId| plans.came_back(&partition.topic, id.oid);
        let Some(id) = owner.target_id.as_ref().filter(came_back) else { return Ok(false) };
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        if pages(connection, id.oid)? > 0.0 && !plans.began_empty(id.oid) {
            return Ok(true);
        }
        let (first, _) = self.outside(|own| watermarks(&own.context.queries, partition))?;
        let lacks_none = next.0 <= first;
        if lacks_none {
            // The rows that it gets from now on say nothing about those of other partitions.
            plans.begins_empty(id.oid);
        }
        Ok(lacks_none)
    }

    /// The identity of the target of each topic, if it holds its rows itself. A plan of another table is renewed: the fence
    /// would refuse its batches.
    fn target_ids(&mut self, topics: &[&str]) -> Result<HashMap<String, TargetId>, Failure> {
        let shared = Arc::clone(&self.shared);
        let mut ids = HashMap::new();
        for topic in topics {
            self.step();
            let connection = self.connection.as_mut().expect("connected before anything is resolved");
            let Some(plan) = shared.plans.get(topic) else { continue };
            if let Some(id) = shared.offsets.target_id(connection, &plan.name)? {
                if plan.table_oid.is_some_and(|oid| oid != id.oid) {
                    shared.plans.renew(connection, topic)?;
                }
                ids.insert((*topic).to_owned(), id);
            }
        }
        Ok(ids)
    }

    fn kafka_identity(&mut self, topics: &[&str]) -> Result<(String, HashMap<String, String>), QueryError> {
        if self.cluster_id.is_none() {
            self.cluster_id = self.context.queries.client().fetch_cluster_id(KAFKA_TIMEOUT);
        }
        let no_broker = || QueryError::NoBroker(unanswered(&self.context.queries));
        let cluster_id = self.cluster_id.clone().ok_or_else(no_broker)?;
        Ok((cluster_id, topic_ids(&self.context.queries, topics, KAFKA_TIMEOUT)?))
    }
}
