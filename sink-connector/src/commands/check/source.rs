//! Kafka: brokers, topics, authorisation, group, positions.

use std::collections::BTreeMap;

use super::finding::Report;
use crate::commands::kafka::Kafka;
use crate::commands::offsets::standing;
use crate::commands::postgres;
use crate::commands::sample::{Sampled, newest};
use crate::config::{Config, DeadLetters};
use crate::session::Connections;
use crate::types::TopicPartition;

/// Looks at brokers and topics; returns the partitions of the topics that are there.
pub fn look(config: &Config, kafka: &Kafka, report: &mut Report) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut topics = BTreeMap::new();
    match kafka.cluster_id() {
        Ok(id) => report.ok("kafka", format!("{} answers, cluster {id}", config.kafka.bootstrap_servers)),
        Err(trouble) => {
            report.trouble("kafka", &trouble);
            return topics;
        }
    }
    for topic in &config.kafka.topics {
        match kafka.partitions(topic) {
            Ok(partitions) => {
                report.ok(&format!("topic {topic}"), format!("{} partitions", partitions.len()));
                topics.insert(topic.clone(), partitions);
            }
            Err(trouble) => report.trouble(&format!("topic {topic}"), &trouble),
        }
    }
    if let (DeadLetters::Topic, Some(letters)) =
        (config.errors.dead_letters, &config.errors.dead_letter_topic)
    {
        dead_letter_topic(letters, kafka, report);
    }
    topics
}

/// Whether this user may write to it, no client can ask; that it is there and seen says the most.
fn dead_letter_topic(topic: &str, kafka: &Kafka, report: &mut Report) {
    match kafka.partitions(topic) {
        Ok(partitions) => {
            report.ok("dead letter topic", format!("{topic} exists, {} partitions", partitions.len()));
        }
        Err(trouble) => report.error(
            "dead letter topic",
            trouble.problem,
            "create it, correct errors.dead_letter_topic, or grant WRITE on it, and READ for the breaker's memory",
        ),
    }
}

/// Looks at the group; false when it may not be used, and so no position be asked for.
pub fn group(
    config: &Config,
    kafka: &Kafka,
    topics: &BTreeMap<String, Vec<TopicPartition>>,
    report: &mut Report,
) -> bool {
    let Some(any) = topics.values().flatten().next() else { return false };
    let group = &config.kafka.group_id;
    match kafka.members(any) {
        Ok(members) if members.is_empty() => report.ok("group", format!("{group:?} has no members now")),
        Ok(members) => report.ok("group", format!("{group:?} has members: {}", members.join(", "))),
        Err(trouble) => {
            report.trouble("group", &trouble);
            return false;
        }
    }
    true
}

/// The newest records of each topic that has some, at most `wanted` of each.
pub fn samples(
    kafka: &Kafka,
    topics: &BTreeMap<String, Vec<TopicPartition>>,
    wanted: u64,
    report: &mut Report,
) -> Vec<(String, Vec<Sampled>)> {
    let mut samples = Vec::new();
    for (topic, partitions) in topics.iter().filter(|_| wanted > 0) {
        match newest(kafka, partitions, wanted) {
            Ok(records) if records.is_empty() => report.warning(
                &format!("topic {topic}"),
                "it has no records to try",
                "run check again once it has",
            ),
            Ok(records) => samples.push((topic.clone(), records)),
            Err(trouble) => report.trouble(&format!("topic {topic}"), &trouble),
        }
    }
    samples
}

/// Looks at the position of every partition.
pub fn positions(
    config: &Config,
    kafka: &Kafka,
    connections: &Connections,
    topics: &BTreeMap<String, Vec<TopicPartition>>,
    report: &mut Report,
) {
    let read = postgres::open(connections, config)
        .and_then(|mut client| standing::read(config, kafka, &mut client, topics));
    let standings = match read {
        Ok(standings) => standings,
        Err(trouble) => return report.trouble("positions", &trouble),
    };
    let stopped = standings.iter().filter_map(|s| s.stopped.as_ref().map(|why| (&s.partition, why)));
    for (partition, why) in stopped.clone() {
        report.error(
            &format!("position of {partition}"),
            format!("{}: {why}", why.as_str()),
            format!(
                "sink-connector offsets reset --to-… --topic {} --partition {} --execute",
                partition.topic, partition.partition
            ),
        );
    }
    if stopped.count() == 0 {
        let stored = standings.iter().filter(|s| s.stored.is_some()).count();
        let lag: i64 = standings.iter().filter_map(standing::Standing::lag).sum();
        let mut text = format!("{stored} of {} partitions have one", standings.len());
        // What has no position yet has no lag: where it begins is decided when the sink first runs.
        if stored > 0 {
            text.push_str(&format!(", lag {lag}"));
        }
        report.ok("positions", text);
    }
}
