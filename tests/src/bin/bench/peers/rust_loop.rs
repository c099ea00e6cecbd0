//! What a careful person would write in an afternoon: a consumer, serde_json, prepared statements, positions in the same
//! transaction.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use postgres::types::{ToSql, Type};
use postgres::{Client, NoTls, Transaction};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Map, Value};

use super::LoopArguments;
use crate::setting::TABLE;

const BATCH: usize = 500;
const KEY: &str = "match_id";

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Statement {
    /// One INSERT for each row.
    Insert,
    /// One INSERT for a batch, from arrays.
    Unnest,
}

impl Statement {
    /// Its name on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Unnest => "unnest",
        }
    }

    fn sql(self, columns: &[(String, Type)]) -> String {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut values = String::new();
        for (n, (_, type_)) in (1..).zip(columns) {
            let comma = if n > 1 { ", " } else { "" };
            let written = match self {
                Self::Insert => write!(values, "{comma}${n}"),
                Self::Unnest => write!(values, "{comma}${n}::{}[]", type_.name()),
            };
            written.expect("writing to a String cannot fail");
        }
        let source = match self {
            Self::Insert => format!("VALUES ({values})"),
            Self::Unnest => format!("SELECT * FROM unnest({values})"),
        };
        let set: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        format!(
            "INSERT INTO {TABLE} ({}) {source} ON CONFLICT ({KEY}) DO UPDATE SET {}",
            names.join(", "),
            set.join(", ")
        )
    }
}

/// A column of many rows.
enum Column {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i32>>),
    Float(Vec<Option<f64>>),
}

impl Column {
    fn of(records: &mut [Map<String, Value>], name: &str, type_: &Type) -> Self {
        let values = records.iter_mut().map(|record| record.remove(name));
        match *type_ {
            Type::INT4 => {
                Self::Int(values.map(|value| value?.as_i64().and_then(|n| i32::try_from(n).ok())).collect())
            }
            Type::FLOAT8 => Self::Float(values.map(|value| value?.as_f64()).collect()),
            _ => Self::Text(
                values
                    .map(|value| match value? {
                        Value::Null => None,
                        Value::String(text) => Some(text),
                        other => Some(other.to_string()),
                    })
                    .collect(),
            ),
        }
    }

    fn array(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(values) => values,
            Self::Int(values) => values,
            Self::Float(values) => values,
        }
    }

    fn value(&self, row: usize) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(values) => &values[row],
            Self::Int(values) => &values[row],
            Self::Float(values) => &values[row],
        }
    }
}

/// Reads the topic to its end.
pub(super) fn run(arguments: &LoopArguments) -> Result<()> {
    let LoopArguments { statement, bootstrap, topic, url } = arguments;
    let mut client = Client::connect(url, NoTls)?;
    let columns = columns(&mut client)?;
    let sql = client.prepare(&statement.sql(&columns))?;
    let (consumer, mut unfinished) = consumer(bootstrap, topic)?;
    let (mut records, mut positions) = (Vec::with_capacity(BATCH), BTreeMap::new());
    while !unfinished.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                positions.insert(message.partition(), message.offset() + 1);
                let payload = message.payload().context("a record without a value")?;
                records.push(serde_json::from_slice::<Map<String, Value>>(payload)?);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => _ = unfinished.remove(&partition),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
        if records.len() >= BATCH || (unfinished.is_empty() && !records.is_empty()) {
            let columns: Vec<Column> =
                columns.iter().map(|(name, type_)| Column::of(&mut records, name, type_)).collect();
            let mut transaction = client.transaction()?;
            match statement {
                Statement::Unnest => {
                    let arrays: Vec<_> = columns.iter().map(Column::array).collect();
                    transaction.execute(&sql, &arrays)?;
                }
                Statement::Insert => {
                    for row in 0..records.len() {
                        let values: Vec<_> = columns.iter().map(|column| column.value(row)).collect();
                        transaction.execute(&sql, &values)?;
                    }
                }
            }
            store(&mut transaction, &positions)?;
            transaction.commit()?;
            records.clear();
            positions.clear();
        }
    }
    Ok(())
}

fn columns(client: &mut Client) -> Result<Vec<(String, Type)>> {
    let statement = client.prepare(&format!("SELECT * FROM {TABLE}"))?;
    Ok(statement.columns().iter().map(|column| (column.name().to_owned(), column.type_().clone())).collect())
}

fn consumer(bootstrap: &str, topic: &str) -> Result<(BaseConsumer, HashSet<i32>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "peer")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let found = metadata.topics().first().context("the topic")?;
    let partitions: HashSet<i32> =
        found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    Ok((consumer, partitions))
}

fn store(transaction: &mut Transaction<'_>, positions: &BTreeMap<i32, i64>) -> Result<()> {
    let partitions: Vec<i32> = positions.keys().copied().collect();
    let next: Vec<i64> = positions.values().copied().collect();
    transaction.execute(
        "INSERT INTO peer_offsets SELECT * FROM unnest($1::int[], $2::bigint[])
         ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset",
        &[&partitions, &next],
    )?;
    Ok(())
}
