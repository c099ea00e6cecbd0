//! `offsets show`: prints the status of every partition.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::ShowArgs;
use super::partition_status::{self, PartitionStatus, Statuses, Unread};
use crate::commands::kafka::Kafka;
use crate::commands::{Output, postgres, print_json};
use crate::config::Config;

pub(super) fn run(config: &Config, args: ShowArgs) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(config)?;
    let connections = postgres::pool(config)?;
    kafka.cluster_id()?;
    let matched = kafka.with_topics(config)?;
    let config = &*matched;
    let mut topics = BTreeMap::new();
    let mut missing = Vec::new();
    for topic in &config.kafka.topics {
        match kafka.partitions(topic) {
            Ok(partitions) => drop(topics.insert(topic.clone(), partitions)),
            Err(error) => missing.push((topic, error)),
        }
    }
    let mut client = postgres::open(&connections, config)?;
    let mut statuses = partition_status::read(config, &kafka, &mut client, &topics)?;
    missing.into_iter().for_each(|(topic, error)| statuses.add_unread(topic, error));
    let Statuses { read, unread } = statuses;
    match args.output {
        Output::Text => text(&read)?,
        Output::Json => print_json(&json!({
            "connector": config.name,
            "group": config.kafka.group_id,
            "partitions": read.iter().map(object).collect::<Vec<_>>(),
            "unread": unread.iter().map(unread_object).collect::<Vec<_>>(),
        }))?,
    }
    for unread in &unread {
        shared::errln!("error: {unread}");
    }
    Ok(if unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unread_object(unread: &Unread) -> Value {
    json!({
        "topic": unread.topic,
        "partition": unread.partition,
        "reason": unread.error.problem,
        "action": unread.error.action,
    })
}

fn object(partition_status: &PartitionStatus) -> Value {
    json!({
        "topic": &*partition_status.partition.topic,
        "partition": partition_status.partition.partition.0,
        "position": partition_status.position().map(|p| p.0),
        "log_start": partition_status.log.0.0,
        "log_end": partition_status.log.1.0,
        "lag": partition_status.lag(),
        "stopped": partition_status.stopped.as_ref().map(|s| json!({"reason": s.as_str(), "detail": s.to_string()})),
    })
}

fn text(statuses: &[PartitionStatus]) -> anyhow::Result<()> {
    let width = statuses.iter().map(|s| s.partition.topic.chars().count()).max().unwrap_or(0).max(5);
    shared::outln!(
        "{:<width$} {:>9} {:>12} {:>12} {:>12} {:>12}",
        "TOPIC",
        "PARTITION",
        "POSITION",
        "START",
        "END",
        "LAG"
    )?;
    let or_dash = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for s in statuses {
        shared::outln!(
            "{:<width$} {:>9} {:>12} {:>12} {:>12} {:>12}",
            s.partition.topic,
            s.partition.partition.0,
            or_dash(s.position().map(|p| p.0)),
            s.log.0.0,
            s.log.1.0,
            or_dash(s.lag())
        )?;
    }
    for (partition_status, stopped) in statuses.iter().filter_map(|s| s.stopped.as_ref().map(|why| (s, why)))
    {
        shared::outln!("{} is stopped ({}): {stopped}", partition_status.partition, stopped.as_str())?;
    }
    Ok(())
}
