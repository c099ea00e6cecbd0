//! Topics: created, altered, trimmed and deleted.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::{Kafka, REQUEST_DEADLINE};
use crate::{names, wait};

impl Kafka {
    /// Creates a topic of a unique name that starts with `prefix`, and returns the name.
    pub fn topic(&self, prefix: &str, partitions: i32) -> String {
        let name = names::unique(prefix);
        self.create_topic(&name, partitions, &[]);
        name
    }

    /// Creates a topic with these topic-level settings; returns when every partition has a leader.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let topic = config
            .iter()
            .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), |topic, (key, value)| {
                topic.set(key, value)
            });
        let results = block_on(self.admin().create_topics([&topic], &options())).expect("create_topics");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("cannot create {topic}: {error}"));
        }
        wait::holds(
            REQUEST_DEADLINE,
            &format!("topic {name} has {partitions} leaders"),
            || self.leaders(name),
            |leaders| usize::try_from(partitions).is_ok_and(|wanted| *leaders == wanted),
        );
    }

    /// Deletes a topic; returns when the broker no longer knows it.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn delete_topic(&self, name: &str) {
        let results = block_on(self.admin().delete_topics(&[name], &options())).expect("delete_topics");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("cannot delete {topic}: {error}"));
        }
        wait::holds(
            REQUEST_DEADLINE,
            &format!("topic {name} is gone"),
            || self.leaders(name),
            |leaders| *leaders == 0,
        );
    }

    /// Deletes a topic and creates it again in the same breath: many clients never see it missing.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn replace_topic(&self, name: &str, partitions: i32) {
        let results = block_on(self.admin().delete_topics(&[name], &options())).expect("delete_topics");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("cannot delete {topic}: {error}"));
        }
        self.create_topic(name, partitions, &[]);
    }

    /// Adds partitions, up to `total`.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn add_partitions(&self, name: &str, total: usize) {
        let partitions = NewPartitions::new(name, total);
        let results =
            block_on(self.admin().create_partitions([&partitions], &options())).expect("create_partitions");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("cannot extend {topic}: {error}"));
        }
        wait::until(REQUEST_DEADLINE, &format!("topic {name} has {total} leaders"), || {
            self.leaders(name) == total
        });
    }

    /// Sets topic-level settings; those not named return to the broker's defaults.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn alter_topic(&self, name: &str, config: &[(&str, &str)]) {
        let alter =
            config.iter().fold(AlterConfig::new(ResourceSpecifier::Topic(name)), |alter, (key, value)| {
                alter.set(key, value)
            });
        let results = block_on(self.admin().alter_configs([&alter], &options())).expect("alter_configs");
        for result in results {
            result.unwrap_or_else(|(_, error)| panic!("cannot alter {name}: {error}"));
        }
    }

    /// Deletes the records of a partition before offset `before`, as retention would.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        let deleted = block_on(self.admin().delete_records(&list, &options())).expect("delete_records");
        for element in deleted.elements() {
            element.error().unwrap_or_else(|error| panic!("cannot delete records of {topic}: {error}"));
        }
    }

    /// Deletes a consumer group that has no members, with its offsets; one that does not exist is fine.
    ///
    /// # Panics
    /// When the broker refuses.
    #[track_caller]
    pub fn delete_group(&self, group: &str) {
        let results = block_on(self.admin().delete_groups(&[group], &options())).expect("delete_groups");
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((group, error)) => panic!("cannot delete group {group}: {error}"),
            }
        }
    }

    /// What `kafka-acls` does with these arguments, for a broker with an authorizer; a second or two of JVM start.
    ///
    /// # Panics
    /// When the tool fails.
    #[track_caller]
    pub fn acl(&self, args: &[&str]) {
        let bootstrap = self.bootstrap();
        let args = [&["--bootstrap-server", &bootstrap], args].concat();
        super::install::tool("org.apache.kafka.tools.AclCommand", &args).expect("kafka-acls");
    }

    /// Changes the password of a user of SCRAM-SHA-512.
    ///
    /// # Panics
    /// When the tool fails.
    #[track_caller]
    pub fn change_password(&self, user: &str, password: &str) {
        let (bootstrap, change) = (self.bootstrap(), format!("SCRAM-SHA-512=[password={password}]"));
        let args =
            ["--bootstrap-server", &bootstrap, "--alter", "--entity-type", "users", "--entity-name", user];
        let args = [&args[..], &["--add-config", &change]].concat();
        super::install::tool("kafka.admin.ConfigCommand", &args).expect("kafka-configs");
    }

    /// How many partitions of `topic` have a leader: 0 when the topic is unknown.
    fn leaders(&self, topic: &str) -> usize {
        let client: BaseConsumer = self.client().create().expect("a client");
        let Ok(metadata) = client.fetch_metadata(Some(topic), Duration::from_secs(5)) else { return 0 };
        let topics = metadata.topics();
        topics
            .iter()
            .flat_map(rdkafka::metadata::MetadataTopic::partitions)
            .filter(|partition| partition.leader() >= 0 && partition.error().is_none())
            .count()
    }

    fn admin(&self) -> &AdminClient<DefaultClientContext> {
        self.admin.get_or_init(|| self.client().create().expect("an admin client"))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_DEADLINE)).operation_timeout(Some(REQUEST_DEADLINE))
}

/// rdkafka's admin futures are completed by its own thread, so parking this one is all the runtime they need.
fn block_on<T>(future: impl Future<Output = Result<T, KafkaError>>) -> Result<T, KafkaError> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}
