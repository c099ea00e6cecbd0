//! Answers to the questions for positions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rdkafka::consumer::Consumer as _;

use super::{Keeper, Pending, Question};
use crate::breaker::History;
use crate::config::AutoOffsetReset;
use crate::events::Event;
use crate::failure::Failure;
use crate::health::Component;
use crate::ledger::Stopped;
use crate::offsets::{Owner, Stored};
use crate::positions::{KAFKA_TIMEOUT, check_owner, first_position, watermarks};
use crate::source::topic_ids::topic_ids;
use crate::types::{Offset, TopicPartition};

impl Keeper {
    /// Answers the pending questions for positions, as far as Kafka and PostgreSQL answer ours. `trouble` is what Kafka
    /// has already said of them, for people.
    pub(super) fn resolve(&mut self, mut trouble: Option<String>) -> Result<(), Failure> {
        if self.pending.is_empty() {
            self.shared.health.well(&Component::Positions);
        }
        let mut pending = self.pending.clone();
        pending.retain(|partition, _| self.shared.plans.get(&partition.topic).is_some());
        if pending.is_empty() {
            return Ok(());
        }
        let topics: BTreeSet<&str> = pending.keys().map(|partition| &*partition.topic).collect();
        let names: Vec<&str> = topics.into_iter().collect();
        let (cluster_id, ids) = match self.kafka_identity(&names) {
            Ok(known) => known,
            Err(reason) => {
                self.shared.health.fail(Component::Positions, reason);
                return Ok(());
            }
        };
        let mut answers = Vec::new();
        let mut histories = BTreeMap::new();
        let mut outcome = Ok(());
        for (partition, Pending { question, .. }) in &pending {
            let owner = Owner {
                cluster_id: cluster_id.clone(),
                group_id: self.identity.group_id.clone(),
                target_table: self.shared.plans.table_of(&partition.topic).unwrap_or_default(),
                topic_id: ids.get(&*partition.topic).cloned(),
            };
            match self.position(question, &owner) {
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
                    self.pending.remove(partition);
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
        // Also when the next question could not be answered: these are not asked again.
        if !answers.is_empty() {
            self.tell(Event::Resolved(answers));
        }
        match trouble {
            Some(reason) => self.shared.health.fail(Component::Positions, reason),
            None if outcome.is_ok() => self.shared.health.well(&Component::Positions),
            None => {}
        }
        outcome
    }

    /// What the breaker is to remember of a partition. Letters that cannot be read keep nothing from being written: if
    /// none can be stored either, the first one will say so.
    fn history(&mut self, partition: &TopicPartition, position: Offset) -> Result<History, Failure> {
        let shared = Arc::clone(&self.shared);
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        let letters = shared.dead_letters.below(connection, partition, position, shared.policy.window());
        match letters {
            Ok(letters) => Ok(History { position: position.0, letters }),
            Err(error) if error.as_db_error().is_some() => {
                tracing::warn!(%partition, %error, "cannot read its dead letters; the breaker begins without them");
                Ok(History { position: position.0, letters: Vec::new() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes where the logs end, for `latest`: that is decided by the moment of the assignment, however long
    /// PostgreSQL is away or a table is missing after it. Returns why Kafka does not say.
    pub(super) fn note_ends(&mut self) -> Option<String> {
        if self.identity.auto_offset_reset != AutoOffsetReset::Latest {
            return None;
        }
        for (partition, pending) in &mut self.pending {
            if pending.end.is_some() || pending.question.known {
                continue;
            }
            match watermarks(&self.consumer, partition) {
                Ok((_, high)) => {
                    tracing::info!(%partition, end = high, "noted the end of the log");
                    pending.end = Some(Offset(high));
                }
                Err(reason) => {
                    // The others would wait as long. It is tried again.
                    return Some(reason);
                }
            }
        }
        None
    }

    /// The position of one partition: stored, or from Kafka and then stored. The inner error is Kafka's, for people.
    fn position(
        &mut self,
        question: &Question,
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
        let end = self.pending.get(partition).and_then(|pending| pending.end);
        let first = match first_position(&self.consumer, partition, self.identity.auto_offset_reset, end) {
            Ok(Ok(first)) => first,
            Ok(Err(stopped)) => return Ok(Ok(Err(stopped))),
            Err(reason) => return Ok(Err(reason)),
        };
        let connection = self.connection.as_mut().expect("connected before anything is resolved");
        let stored = Stored { next: first, owner: owner.clone() };
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
            self.cluster_id = self.consumer.client().fetch_cluster_id(KAFKA_TIMEOUT);
        }
        let cluster_id = self.cluster_id.clone().ok_or("the brokers do not answer")?;
        let ids = topic_ids(&self.consumer, topics, KAFKA_TIMEOUT)?;
        Ok((cluster_id, ids))
    }
}
