//! Answers to position queries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rdkafka::consumer::Consumer as _;

use crate::config::AutoOffsetReset;
use crate::control::postgres::{Pending, PostgresControl};
use crate::kafka::topic_ids::topic_ids;
use crate::messages::events::Event;
use crate::messages::requests::PositionQuery;
use crate::observe::health::Component;
use crate::positions::first::{KAFKA_TIMEOUT, check_owner, first_position, watermarks};
use crate::positions::ledger::Stopped;
use crate::positions::stored::{Owner, StoredPosition};
use crate::postgres::failure::Failure;
use crate::rejects::breaker::History;
use crate::types::{Offset, TopicPartition};

impl PostgresControl {
    /// Answers the pending position queries, as far as Kafka and PostgreSQL answer. `trouble` is why Kafka has not given an
    /// end, if it has not.
    pub(super) fn resolve(&mut self, mut trouble: Option<String>) -> Result<(), Failure> {
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
            Err(reason) => {
                self.shared.health.fail(Component::Positions, reason);
                return Ok(());
            }
        };
        let mut answers = Vec::new();
        let mut histories = BTreeMap::new();
        let mut outcome = Ok(());
        for (partition, Pending { question, end, .. }) in &pending {
            self.step();
            let owner = Owner {
                cluster_id: cluster_id.clone(),
                group_id: self.context.identity.group_id.clone(),
                target_table: self.shared.plans.table_of(&partition.topic).unwrap_or_default(),
                topic_id: ids.get(&*partition.topic).cloned(),
            };
            match self.position(question, *end, &owner) {
                Ok(Ok(answer)) => {
                    if let Ok(position) = answer
                        && self.shared.policy.wants_history(partition)
                    {
                        match self.history(partition, position) {
                            Ok(history) => drop(histories.insert(partition.clone(), history)),
                            Err(failure) => {
                                outcome = Err(failure);
                                break;
                            }
                        }
                    }
                    self.answered(question);
                    answers.push((partition.clone(), question.epoch, answer));
                }
                Ok(Err(reason)) => {
                    trouble.get_or_insert(reason);
                }
                Err(failure) => {
                    outcome = Err(failure);
                    break;
                }
            }
        }
        self.shared.policy.remember(histories);
        // Even if a later query failed: these have left the list.
        if !answers.is_empty() {
            self.send(Event::Resolved(answers));
        }
        match trouble {
            Some(reason) => self.shared.health.fail(Component::Positions, reason),
            None if outcome.is_ok() => self.shared.health.recovered(&Component::Positions),
            None => {}
        }
        outcome
    }

    /// Removes a query, unless a newer one for the same partition has arrived.
    fn answered(&self, question: &PositionQuery) {
        let mut unanswered = self.context.unanswered.lock();
        if unanswered.pending.get(&question.partition).is_some_and(|p| p.question.epoch == question.epoch) {
            unanswered.pending.remove(&question.partition);
        }
    }

    /// The breaker's window of a partition, from its dead letters. If they cannot be read, writing goes on: a dead letter
    /// that cannot be stored reports the error.
    fn history(&mut self, partition: &TopicPartition, position: Offset) -> Result<History, Failure> {
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        let dead_letters = shared.dead_letters.below(connection, partition, position, shared.policy.window());
        match dead_letters {
            Ok(dead_letters) => Ok(History { position: position.0, dead_letters }),
            Err(error) if error.as_db_error().is_some() => {
                tracing::warn!(%partition, %error, "cannot read its dead letters; the breaker begins without them");
                Ok(History { position: position.0, dead_letters: Vec::new() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Records the ends of logs for `latest`: the moment of the assignment counts, however long PostgreSQL is unreachable or
    /// a table is missing after it. Returns why Kafka gave no answer.
    pub(super) fn note_ends(&mut self) -> Option<String> {
        if self.context.identity.auto_offset_reset != AutoOffsetReset::Latest {
            return None;
        }
        let unknown: Vec<TopicPartition> = {
            let unanswered = self.context.unanswered.lock();
            let unknown = |(_, pending): &(_, &Pending)| pending.end.is_none() && !pending.question.known;
            unanswered.pending.iter().filter(unknown).map(|(partition, _)| partition.clone()).collect()
        };
        for partition in &unknown {
            match watermarks(&self.context.consumer, partition) {
                Ok((_, high)) => {
                    tracing::info!(%partition, end = high, "recorded the end of the log");
                    if let Some(pending) = self.context.unanswered.lock().pending.get_mut(partition) {
                        pending.end = Some(Offset(high));
                    }
                }
                Err(reason) => {
                    // The others would time out as well; all are tried again.
                    return Some(reason);
                }
            }
        }
        None
    }

    /// The position of one partition: the stored one, or one from Kafka that is then stored. The inner error is Kafka's.
    fn position(
        &mut self,
        question: &PositionQuery,
        end: Option<Offset>,
        owner: &Owner,
    ) -> Result<Result<Result<Offset, Stopped>, String>, Failure> {
        let partition = &question.partition;
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        if let Some(stored) = shared.offsets.read(connection, partition)? {
            return Ok(Ok(check_owner(partition, &stored, owner)));
        }
        if question.known {
            return Ok(Ok(Err(Stopped::LostPosition(format!(
                "the position of {partition} was in PostgreSQL and is not there any more: the row was lost. Restore it, \
                 or choose a position with `sink-connector offsets reset`"
            )))));
        }
        let reset = self.context.identity.auto_offset_reset;
        let first = match self.outside(|own| first_position(&own.context.consumer, partition, reset, end)) {
            Ok(Ok(first)) => first,
            Ok(Err(stopped)) => return Ok(Ok(Err(stopped))),
            Err(reason) => return Ok(Err(reason)),
        };
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        let stored = StoredPosition { next: first, owner: owner.clone() };
        shared.offsets.store_first(connection, partition, &stored)?;
        // Read back: another sink may have been first.
        match shared.offsets.read(connection, partition)? {
            Some(stored) => Ok(Ok(check_owner(partition, &stored, owner))),
            None => {
                Err(Failure::transient(format!("the position of {partition} was stored and is not there")))
            }
        }
    }

    fn kafka_identity(&mut self, topics: &[&str]) -> Result<(String, HashMap<String, String>), String> {
        if self.cluster_id.is_none() {
            self.cluster_id = self.context.consumer.client().fetch_cluster_id(KAFKA_TIMEOUT);
        }
        let cluster_id = self.cluster_id.clone().ok_or("the brokers do not answer")?;
        let ids = topic_ids(&self.context.consumer, topics, KAFKA_TIMEOUT).map_err(|e| e.to_string())?;
        Ok((cluster_id, ids))
    }
}
