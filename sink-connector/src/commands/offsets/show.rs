//! `offsets show`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::ShowArgs;
use super::standing::{self, Standing};
use crate::commands::kafka::Kafka;
use crate::commands::{Output, postgres, print_json};
use crate::config::Config;

/// Prints where every partition of the configured topics stands.
pub fn run(config: &Config, args: ShowArgs) -> anyhow::Result<ExitCode> {
    let kafka = Kafka::new(config)?;
    let connections = postgres::pool(config)?;
    kafka.cluster_id()?;
    let matched = kafka.with_topics(config)?;
    let config = &*matched;
    let mut topics = BTreeMap::new();
    for topic in &config.kafka.topics {
        topics.insert(topic.clone(), kafka.partitions(topic)?);
    }
    let mut client = postgres::open(&connections, config)?;
    let standings = standing::read(config, &kafka, &mut client, &topics)?;
    match args.output {
        Output::Text => text(&standings),
        Output::Json => print_json(&json!({
            "connector": config.name,
            "group": config.kafka.group_id,
            "partitions": standings.iter().map(object).collect::<Vec<_>>(),
        }))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn object(standing: &Standing) -> Value {
    json!({
        "topic": &*standing.partition.topic,
        "partition": standing.partition.partition.0,
        "position": standing.position().map(|p| p.0),
        "log_start": standing.log.0.0,
        "log_end": standing.log.1.0,
        "lag": standing.lag(),
        "stopped": standing.stopped.as_ref().map(|s| json!({"reason": s.as_str(), "detail": s.to_string()})),
    })
}

fn text(standings: &[Standing]) {
    let width = standings.iter().map(|s| s.partition.topic.chars().count()).max().unwrap_or(0).max(5);
    println!(
        "{:<width$} {:>9} {:>12} {:>12} {:>12} {:>12}",
        "TOPIC", "PARTITION", "POSITION", "START", "END", "LAG"
    );
    let or_dash = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for s in standings {
        println!(
            "{:<width$} {:>9} {:>12} {:>12} {:>12} {:>12}",
            s.partition.topic,
            s.partition.partition.0,
            or_dash(s.position().map(|p| p.0)),
            s.log.0.0,
            s.log.1.0,
            or_dash(s.lag())
        );
    }
    for (standing, stopped) in standings.iter().filter_map(|s| s.stopped.as_ref().map(|why| (s, why))) {
        println!("{} is stopped ({}): {stopped}", standing.partition, stopped.as_str());
    }
}
