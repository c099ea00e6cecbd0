//! Records inside a Kafka transaction, to be committed or aborted.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer};

use super::Kafka;
use super::produce::{self, Acknowledged};
use crate::record::Record;
use crate::wait;

/// The first transaction after a broker's start has to wait for its coordinator.
const DEADLINE: Duration = Duration::from_secs(60);

/// A transactional producer; [`begin`](Self::begin) may be called again after each end.
pub struct Transaction {
    producer: BaseProducer<Acknowledged>,
}

impl Kafka {
    /// A transactional producer with this transactional id, its first transaction begun.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn transaction(&self, id: &str) -> Transaction {
        let producer = self.producer(&[
            ("transactional.id", id),
            ("transaction.timeout.ms", "60000"),
            ("message.timeout.ms", "60000"),
        ]);
        wait::until_ok(DEADLINE, "a transactional producer starts", || producer.init_transactions(DEADLINE));
        let transaction = Transaction { producer };
        transaction.begin();
        transaction
    }
}

impl Transaction {
    /// Begins the next transaction.
    #[track_caller]
    pub fn begin(&self) {
        self.producer.begin_transaction().expect("begin_transaction");
    }

    /// Produces inside the transaction; returns the position of each record.
    #[track_caller]
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) -> Vec<(i32, i64)> {
        produce::send(&self.producer, topic, records);
        self.producer.flush(DEADLINE).expect("every record is acknowledged");
        self.producer.context().take()
    }

    /// Makes its records visible.
    #[track_caller]
    pub fn commit(&self) {
        self.producer.commit_transaction(DEADLINE).expect("commit_transaction");
    }

    /// Leaves its records in the log, never to be seen by read_committed.
    #[track_caller]
    pub fn abort(&self) {
        self.producer.abort_transaction(DEADLINE).expect("abort_transaction");
    }
}
