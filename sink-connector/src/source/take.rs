//! Taking one record from Kafka into the batch of its writer.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::{Source, headers};
use crate::batch::records::Incoming;
use crate::ledger::Phase;
use crate::plan::Plan;
use crate::types::{Offset, TopicPartition};

/// What became of the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is in a batch, or it was not wanted.
    Done,
    /// It is in a batch, and that is full with its writer busy: no more can be taken for it.
    Full,
}

/// The partition of the last record, with what the next one of it needs: records come in runs.
pub struct Last {
    partition: TopicPartition,
    plan: Arc<Plan>,
    writer: usize,
    /// When its last record came.
    came: Option<Instant>,
}

impl Source {
    /// Takes a record, unless its partition is not being taken from.
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>, now: Instant) -> Taken {
        if !self.last_is(message) && !self.look_up(message) {
            return Taken::Done;
        }
        let Some(last) = &mut self.last else { return Taken::Done };
        let (writer, partition) = (last.writer, &last.partition);
        let Some(place) = self.ledger.get_mut(partition) else { return Taken::Done };
        if place.phase != Phase::Active
            || message.offset() < place.next.0
            || place.dropped
            || place.held.is_some()
        {
            return Taken::Done;
        }
        let slot = &mut self.slots[writer];
        let enough = self.parts.bounds.max_records.is_some_and(|max| self.taken >= max);
        if enough || slot.full(&self.parts.limits) {
            // It comes again after a seek; until then nothing of this partition is taken.
            place.dropped = true;
            return Taken::Full;
        }
        let packed = headers::pack(message, &mut self.headers);
        let incoming = Incoming {
            offset: message.offset(),
            timestamp: match message.timestamp() {
                Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) if ms >= 0 => Some(ms),
                _ => None,
            },
            payload: message.payload(),
            key: message.key(),
            headers: packed.then_some(&self.headers),
        };
        let span = slot.open.span(partition, place.handed);
        slot.open.push(span, &last.plan, &incoming, &mut self.fields);
        slot.opened.get_or_insert(now);
        place.next = Offset(message.offset() + 1);
        place.busy = true;
        place.settled = true;
        self.last_record = now;
        self.taken += 1;
        // One clock reading serves many records.
        if last.came != Some(now) {
            last.came = Some(now);
            let topic = Arc::clone(&last.partition.topic);
            if self.ends_silence(&topic, now) {
                self.doubt(writer, &topic, now);
            } else {
                self.share_doubt(writer, &topic, now);
            }
        }
        if self.slots[writer].full(&self.parts.limits) {
            self.hand_over_due(now);
            if self.slots[writer].full(&self.parts.limits) {
                return Taken::Full;
            }
        }
        Taken::Done
    }

    fn last_is(&self, message: &BorrowedMessage<'_>) -> bool {
        self.last.as_ref().is_some_and(|last| {
            last.partition.partition.0 == message.partition() && *last.partition.topic == *message.topic()
        })
    }

    fn look_up(&mut self, message: &BorrowedMessage<'_>) -> bool {
        let partition = TopicPartition::new(message.topic(), message.partition());
        let (Some(place), Some(plan)) = (self.ledger.get(&partition), self.parts.plans.get(message.topic()))
        else {
            self.last = None;
            return false;
        };
        self.last = Some(Last { writer: place.writer, partition, plan, came: None });
        true
    }
}
