//! `offsets reset`: the plan, and with `--execute` its doing, in one transaction.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use serde_json::json;

use super::standing::{self, Standing};
use super::{ResetArgs, To};
use crate::commands::kafka::Kafka;
use crate::commands::{Output, Usage, postgres, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::offsets::Stored;
use crate::positions::{KAFKA_TIMEOUT, commit_metadata};
use crate::session::Connection;
use crate::source::consumer::list_of;
use crate::types::{Offset, TopicPartition};

/// One line of the plan.
struct Move {
    standing: Standing,
    to: Offset,
}

/// Plans, prints, and with `--execute` does it.
pub fn run(config: &Config, args: &ResetArgs) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(config)?;
    let connections = postgres::pool(config)?;
    let matched = kafka.with_topics(config)?;
    let config = &*matched;
    let named = chosen_topics(config, args)?;
    kafka.cluster_id()?;
    let topics = chosen_partitions(&kafka, named, args)?;
    let mut client = postgres::open(&connections, config)?;
    let standings = standing::read(config, &kafka, &mut client, &topics)?;
    let plan = plan(&kafka, standings, &args.to)?;
    let members = kafka.members(&plan.first().context("a topic has a partition")?.standing.partition)?;
    if args.execute && !members.is_empty() {
        print(config, args, &plan, false)?;
        bail!(
            "the group {:?} has {} living: {}. Stop every sink of the group first (scale to 0); a killed one is gone \
             when its session has timed out. Nothing was changed",
            config.kafka.group_id,
            if members.len() == 1 { "a member".to_owned() } else { format!("{} members", members.len()) },
            members.join(", ")
        );
    }
    if args.execute {
        store(config, &mut client, &plan)?;
    }
    print(config, args, &plan, args.execute)?;
    if args.execute {
        tell_kafka(config, &kafka, &plan);
    } else if !members.is_empty() {
        eprintln!("--execute would be refused now: the group has living members: {}", members.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen_topics(config: &Config, args: &ResetArgs) -> anyhow::Result<Vec<String>> {
    let Some(topic) = &args.topic else { return Ok(config.kafka.topics.clone()) };
    if !config.kafka.topics.contains(topic) {
        let topics = config.kafka.topics.join(", ");
        bail!(Usage(format!(
            "--topic {topic} is not a topic that this sink reads; kafka.topics has: {topics}"
        )));
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

fn plan(kafka: &Kafka, standings: Vec<Standing>, to: &To) -> anyhow::Result<Vec<Move>> {
    let mut outside = Vec::new();
    let mut plan = Vec::new();
    let times = match to.to_datetime {
        Some(instant) => Some(at_time(kafka, &standings, instant.0)?),
        None => None,
    };
    for standing in standings {
        let (low, high) = standing.log;
        let to = if to.to_earliest {
            low
        } else if to.to_latest {
            high
        } else if let Some(times) = &times {
            times.get(&standing.partition).copied().flatten().unwrap_or(high)
        } else {
            Offset(to.to_offset.context("a position to reset to")?)
        };
        if to < low || to > high {
            outside.push(format!("{} goes from {low} to {high}", standing.partition));
        }
        plan.push(Move { standing, to });
    }
    if let (false, Some(offset)) = (outside.is_empty(), to.to_offset) {
        bail!("offset {offset} is outside of the log: {}. Nothing was changed", outside.join(", "));
    }
    Ok(plan)
}

/// The first offset at or after an instant, for each partition that has one.
fn at_time(
    kafka: &Kafka,
    standings: &[Standing],
    millis: i64,
) -> anyhow::Result<BTreeMap<TopicPartition, Option<Offset>>> {
    let wanted = list_of(standings.iter().map(|s| (&s.partition, Offset(millis))))?;
    let found =
        kafka.consumer.offsets_for_times(wanted, KAFKA_TIMEOUT).context("cannot ask Kafka for a time")?;
    let mut offsets = BTreeMap::new();
    for element in found.elements() {
        let partition = TopicPartition::new(element.topic(), element.partition());
        element.error().with_context(|| format!("cannot ask Kafka for a time of {partition}"))?;
        let offset = match element.offset() {
            KafkaOffset::Offset(offset) => Some(Offset(offset)),
            _ => None,
        };
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

fn store(config: &Config, client: &mut Connection, plan: &[Move]) -> anyhow::Result<()> {
    let offsets = standing::offsets_of(config);
    let mut work = || -> Result<(), ::postgres::Error> {
        offsets.create(client)?;
        let mut transaction = client.transaction()?;
        transaction.batch_execute("SET LOCAL synchronous_commit = on")?;
        for step in plan {
            let stored = Stored { next: step.to, owner: step.standing.owner.clone() };
            offsets.place(&mut transaction, &step.standing.partition, &stored)?;
        }
        transaction.commit()
    };
    work().map_err(Failure::from).with_context(|| format!("cannot write to {}", config.offsets.table))
}

/// Kafka's copy is for lag tools; the sink starts from PostgreSQL whatever becomes of it.
fn tell_kafka(config: &Config, kafka: &Kafka, plan: &[Move]) {
    let commit = || -> rdkafka::error::KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for step in plan {
            let partition = &step.standing.partition;
            let mut element = list.add_partition(&partition.topic, partition.partition.0);
            element.set_offset(KafkaOffset::Offset(step.to.0))?;
            element.set_metadata(commit_metadata(&config.name));
        }
        kafka.consumer.commit(&list, CommitMode::Sync)
    };
    if let Err(error) = commit() {
        eprintln!(
            "the positions are stored; Kafka's copy, for lag tools, follows with the next run: {error}"
        );
    }
}

fn print(config: &Config, args: &ResetArgs, plan: &[Move], executed: bool) -> anyhow::Result<()> {
    if args.output == Output::Json {
        let partitions: Vec<_> = plan
            .iter()
            .map(|step| {
                json!({
                    "topic": &*step.standing.partition.topic,
                    "partition": step.standing.partition.partition.0,
                    "from": step.standing.position().map(|p| p.0),
                    "to": step.to.0,
                    "log_start": step.standing.log.0.0,
                    "log_end": step.standing.log.1.0,
                })
            })
            .collect();
        let value = json!({"connector": config.name, "executed": executed, "partitions": partitions});
        return print_json(&value);
    }
    for step in plan {
        let from = step.standing.position().map_or_else(|| "none".to_owned(), |p| p.to_string());
        let (low, high) = step.standing.log;
        println!("{}: {from} -> {} (log from {low} to {high})", step.standing.partition, step.to);
    }
    if executed {
        println!("Done: {} positions of {:?} are stored.", plan.len(), config.name);
    } else {
        println!("Nothing was changed; --execute does it.");
    }
    Ok(())
}
