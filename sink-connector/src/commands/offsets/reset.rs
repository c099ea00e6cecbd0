//! `offsets reset`: prints the plan, and with `--execute` carries it out in one transaction.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::Offset as KafkaOffset;
use serde_json::json;

use super::partition_status::{self, PartitionStatus};
use super::{ResetArgs, To};
use crate::commands::kafka::{Kafka, names};
use crate::commands::lock_watch::LockWatch;
use crate::commands::{Output, Usage, postgres, print_json};
use crate::config::Config;
use crate::kafka::consumer::{list_of, list_to_commit};
use crate::positions::first::{KAFKA_TIMEOUT, commit_metadata};
use crate::positions::stored::StoredPosition;
use crate::postgres::failure::Failure;
use crate::postgres::session::Connection;
use crate::postgres::sql::TableName;
use crate::table::grants::ON_OWN;
use crate::types::{Offset, TopicPartition};

/// One line of the plan.
struct Move {
    partition_status: PartitionStatus,
    to: Offset,
}

pub(super) fn run(config: &Config, args: &ResetArgs) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(config)?;
    let connections = postgres::pool(config)?;
    let matched = kafka.with_topics(config)?;
    let config = &*matched;
    let named = chosen_topics(config, args)?;
    kafka.cluster_id()?;
    let topics = chosen_partitions(&kafka, named, args)?;
    let mut client = postgres::open(&connections, config)?;
    let statuses = partition_status::read(config, &kafka, &mut client, &topics)?.all()?;
    let plan = plan(&kafka, statuses, &args.to)?;
    let first = plan.first().context(
        "no partition has a stored position that it could keep; choose another one, for instance --to-earliest",
    )?;
    let members = kafka.members(&first.partition_status.partition)?;
    if args.execute && !members.is_empty() {
        print(config, args, &plan, false)?;
        bail!(
            "group {:?} still has {}: {}. Stop all sinks of the group first (scale to 0); a killed sink, and a static \
             member that was stopped, leave the group when their session times out. Nothing was changed",
            config.kafka.group_id,
            active(members.len()),
            names(&members)
        );
    }
    if args.execute {
        store(config, &mut client, &plan)?;
    }
    print(config, args, &plan, args.execute)?;
    if args.execute {
        commit_to_kafka(config, &kafka, &plan);
    } else if !members.is_empty() {
        let group = &config.kafka.group_id;
        shared::errln!(
            "--execute would fail now: group {group:?} still has {}: {}",
            active(members.len()),
            names(&members)
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn active(members: usize) -> String {
    if members == 1 { "an active member".to_owned() } else { format!("{members} active members") }
}

fn chosen_topics(config: &Config, args: &ResetArgs) -> anyhow::Result<Vec<String>> {
    let Some(topic) = &args.topic else { return Ok(config.kafka.topics.clone()) };
    if !config.kafka.topics.contains(topic) {
        let topics = config.kafka.topics.join(", ");
        bail!(Usage(format!("--topic {topic}: this sink does not read that topic; it reads: {topics}")));
    }
    Ok(vec![topic.clone()])
}

fn chosen_partitions(
    kafka: &Kafka,
    named: Vec<String>,
    args: &ResetArgs,
) -> anyhow::Result<BTreeMap<String, Vec<TopicPartition>>> {
    let mut topics = BTreeMap::new();
    for topic in named {
        let mut partitions = kafka.partitions(&topic)?;
        let count = partitions.len();
        if let Some(only) = args.partition {
            partitions.retain(|p| p.partition.0 == only);
            if partitions.is_empty() {
                bail!("topic {topic} has no partition {only}: its partitions are 0 to {}", count - 1);
            }
        }
        topics.insert(topic, partitions);
    }
    Ok(topics)
}

fn plan(kafka: &Kafka, statuses: Vec<PartitionStatus>, to: &To) -> anyhow::Result<Vec<Move>> {
    let mut outside = Vec::new();
    let mut plan = Vec::new();
    let times = match to.to_datetime {
        Some(instant) => Some(at_time(kafka, &statuses, instant.0)?),
        None => None,
    };
    for partition_status in statuses {
        let (low, high) = partition_status.log;
        let to = if to.to_stored {
            // Without a position, there is nothing to accept.
            let Some(stored) = partition_status.position() else { continue };
            stored
        } else if to.to_earliest {
            low
        } else if to.to_latest {
            high
        } else if let Some(times) = &times {
            times.get(&partition_status.partition).copied().flatten().unwrap_or(high)
        } else {
            Offset(to.to_offset.context("a position to reset to")?)
        };
        if to < low || to > high {
            outside.push(format!("the log of {} goes from {low} to {high}", partition_status.partition));
        }
        plan.push(Move { partition_status, to });
    }
    if let (false, Some(offset)) = (outside.is_empty(), to.to_offset) {
        bail!("offset {offset} is outside the log: {}. Nothing was changed", outside.join(", "));
    }
    Ok(plan)
}

/// The first offset at or after an instant, for each partition that has one.
fn at_time(
    kafka: &Kafka,
    statuses: &[PartitionStatus],
    millis: i64,
) -> anyhow::Result<BTreeMap<TopicPartition, Option<Offset>>> {
    let wanted = list_of(statuses.iter().map(|s| (&s.partition, Offset(millis))))?;
    let found = kafka
        .consumer
        .offsets_for_times(wanted, KAFKA_TIMEOUT)
        .context("cannot look up the time in Kafka")?;
    let mut offsets = BTreeMap::new();
    for element in found.elements() {
        let partition = TopicPartition::new(element.topic(), element.partition());
        element.error().with_context(|| format!("cannot look up the time in {partition}"))?;
        let offset = match element.offset() {
            KafkaOffset::Offset(offset) => Some(Offset(offset)),
            _ => None,
        };
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

fn store(config: &Config, client: &mut Connection, plan: &[Move]) -> anyhow::Result<()> {
    let offsets = partition_status::offsets_of(config);
    let transact = |client: &mut Connection| -> Result<(), Failure> {
        offsets.create(client)?;
        offsets.migrate(client)?;
        let mut transaction = client.transaction()?;
        transaction.batch_execute("SET LOCAL synchronous_commit = on")?;
        for step in plan {
            let stored = StoredPosition { next: step.to, owner: step.partition_status.owner.clone() };
            offsets.place(&mut transaction, &step.partition_status.partition, &stored)?;
        }
        Ok(transaction.commit()?)
    };
    let locks = LockWatch::over(config, client)?;
    match transact(client) {
        Ok(()) => Ok(()),
        Err(failure) => {
            let (table, failure) = (TableName::parse(&config.offsets.table), locks.explain(failure));
            Err(postgres::unusable(client, &table, "offsets.table", ON_OWN, &failure).into())
        }
    }
}

/// The positions in Kafka are for lag tools. The sink starts from PostgreSQL even if this fails.
fn commit_to_kafka(config: &Config, kafka: &Kafka, plan: &[Move]) {
    let commit = || -> rdkafka::error::KafkaResult<()> {
        let positions = plan.iter().map(|step| (&step.partition_status.partition, step.to));
        let list = list_to_commit(positions, &commit_metadata(&config.name))?;
        kafka.consumer.commit(&list, CommitMode::Sync)
    };
    if let Err(error) = commit() {
        shared::errln!(
            "the positions are stored, but were not committed to Kafka for lag tools: {error}. The next run commits them"
        );
    }
}

fn print(config: &Config, args: &ResetArgs, plan: &[Move], executed: bool) -> anyhow::Result<()> {
    if args.output == Output::Json {
        let partitions: Vec<_> = plan
            .iter()
            .map(|step| {
                json!({
                    "topic": &*step.partition_status.partition.topic,
                    "partition": step.partition_status.partition.partition.0,
                    "from": step.partition_status.position().map(|p| p.0),
                    "to": step.to.0,
                    "log_start": step.partition_status.log.0.0,
                    "log_end": step.partition_status.log.1.0,
                })
            })
            .collect();
        let value = json!({"connector": config.name, "executed": executed, "partitions": partitions});
        return print_json(&value);
    }
    for step in plan {
        let from = step.partition_status.position().map_or_else(|| "none".to_owned(), |p| p.to_string());
        let (low, high) = step.partition_status.log;
        shared::outln!(
            "{}: {from} -> {} (log from {low} to {high})",
            step.partition_status.partition,
            step.to
        )?;
    }
    if executed {
        shared::outln!("{} positions of {:?} were reset.", plan.len(), config.name)?;
    } else if args.execute {
        shared::outln!("Nothing was changed.")?;
    } else {
        shared::outln!("Nothing was changed. Run again with --execute.")?;
    }
    Ok(())
}
