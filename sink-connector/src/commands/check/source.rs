//! Checks Kafka: brokers, topics, authorisation, group, positions.

use std::collections::{BTreeMap, BTreeSet};

use shared::output::counted;

use super::finding::Report;
use crate::commands::kafka::{Kafka, names};
use crate::commands::offsets::partition_status::{self, PartitionStatus, Statuses};
use crate::commands::postgres;
use crate::commands::sample::{Sampled, newest};
use crate::config::{Config, DeadLetters};
use crate::kafka::consumer::CLIENT_ID;
use crate::kafka::group::Member;
use crate::positions::stopped::Stopped;
use crate::postgres::session::Connections;
use crate::types::TopicPartition;

/// Checks brokers and topics; returns the partitions of the topics that exist.
pub(super) fn topics(
    config: &Config,
    kafka: &Kafka,
    report: &mut Report,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut topics = BTreeMap::new();
    match kafka.cluster_id() {
        Ok(id) => report.ok("kafka", format!("{} answers, cluster {id}", config.kafka.bootstrap_servers)),
        Err(error) => {
            report.failed("kafka", &error);
            return topics;
        }
    }
    for topic in &config.kafka.topics {
        match kafka.partitions(topic) {
            Ok(partitions) => {
                report.ok(&format!("topic {topic}"), counted(partitions.len(), "partition"));
                topics.insert(topic.clone(), partitions);
            }
            Err(error) => report.failed(&format!("topic {topic}"), &error),
        }
    }
    if let (DeadLetters::Topic, Some(dead_letters)) =
        (config.errors.dead_letters, &config.errors.dead_letter_topic)
    {
        dead_letter_topic(dead_letters, kafka, report);
    }
    topics
}

/// Checks that the topic exists and is visible. Whether this user may write to it cannot be checked without writing.
fn dead_letter_topic(topic: &str, kafka: &Kafka, report: &mut Report) {
    match kafka.partitions(topic) {
        Ok(partitions) => {
            report.ok("dead letter topic", format!("{topic} exists, {}", counted(partitions.len(), "partition")));
        }
        Err(error) => report.error(
            "dead letter topic",
            error.problem,
            "create it, correct errors.dead_letter_topic, or grant WRITE on it, and READ to restore the breaker",
        ),
    }
}

/// Checks the group; false if this user may not use it, so that positions cannot be checked.
pub(super) fn group(
    config: &Config,
    kafka: &Kafka,
    topics: &BTreeMap<String, Vec<TopicPartition>>,
    report: &mut Report,
) -> bool {
    let Some(any) = topics.values().flatten().next() else { return false };
    let group = &config.kafka.group_id;
    match kafka.members(any) {
        Ok(members) if members.is_empty() => report.ok("group", format!("{group:?} has no active members")),
        Ok(members) => {
            report.ok("group", format!("{group:?} has active members: {}", names(&members)));
            other_connectors(config, &members, report);
        }
        Err(error) => {
            report.failed("group", &error);
            return false;
        }
    }
    true
}

/// Warns of members that are sinks of another connector. They may read other topics only.
fn other_connectors(config: &Config, members: &[Member], report: &mut Report) {
    let connectors = members.iter().filter_map(|member| member.client_id.strip_prefix(CLIENT_ID));
    let others: BTreeSet<&str> = connectors.filter(|connector| *connector != config.name).collect();
    for other in others {
        report.warning(
            "group",
            format!(
                "connector {other:?} is a member of {:?} as well: of a topic that both read, each would write only a part \
                 of the records",
                config.kafka.group_id
            ),
            "give each connector a kafka.group_id of its own",
        );
    }
}

/// Reads the newest records of each topic, at most `wanted` of each. Topics without records are left out.
pub(super) fn samples(
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
                "the topic has no records to try",
                "run check again when it has some",
            ),
            Ok(records) => samples.push((topic.clone(), records)),
            Err(error) => report.failed(&format!("topic {topic}"), &error),
        }
    }
    samples
}

/// Reports where each partition begins, a finding for each topic.
fn beginnings(statuses: &[PartitionStatus], report: &mut Report) {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for status in statuses {
        let Some((offset, reason)) = status.begins else { continue };
        let text = format!("partition {} begins at {offset}, {reason}", status.partition.partition);
        topics.entry(&status.partition.topic).or_default().push(text);
    }
    for (topic, partitions) in topics {
        report.ok(&format!("positions of {topic}"), partitions.join("; "));
    }
}

/// Checks the position of every partition.
pub(super) fn positions(
    config: &Config,
    kafka: &Kafka,
    connections: &Connections,
    topics: &BTreeMap<String, Vec<TopicPartition>>,
    report: &mut Report,
) {
    let read = postgres::open(connections, config)
        .and_then(|mut client| partition_status::read(config, kafka, &mut client, topics));
    let Statuses { read: statuses, unread } = match read {
        Ok(statuses) => statuses,
        Err(error) => return report.failed("positions", &error),
    };
    for unread in &unread {
        report.failed(&format!("position of {}", unread.name()), &unread.error);
    }
    let stopped = statuses.iter().filter_map(|s| s.stopped.as_ref().map(|why| (&s.partition, why)));
    for (partition, why) in stopped.clone() {
        report.error(
            &format!("position of {partition}"),
            format!("{}: {why}", why.as_str()),
            match why {
                // A reset would take the partition over from its owner.
                Stopped::ForeignPosition(_) => "correct name, kafka.group_id or sink.table".to_owned(),
                _ => format!(
                    "sink-connector offsets reset --to-… --topic {} --partition {} --execute",
                    partition.topic, partition.partition
                ),
            },
        );
    }
    beginnings(&statuses, report);
    if stopped.count() == 0 && unread.is_empty() {
        let stored = statuses.iter().filter(|s| s.stored.is_some()).count();
        let lag: i64 = statuses.iter().filter_map(PartitionStatus::lag).sum();
        let mut text = format!("{stored} of {} partitions have a stored position", statuses.len());
        // A partition without a position has no lag: its first position is chosen when the sink first runs.
        if stored > 0 {
            text.push_str(&format!(", lag {lag}"));
        }
        report.ok("positions", text);
    }
}
