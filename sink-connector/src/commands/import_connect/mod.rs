//! `import-connect`: a configuration of a JDBC sink on Kafka Connect becomes one of ours.

mod answers;
mod cloud;
mod connection;
mod consumer;
mod formats;
mod identity;
mod modes;
mod plain;
mod properties;
mod render;
mod report;
mod table;
mod topics;
mod transforms;
mod translation;
mod url_parameters;
mod verify;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use self::report::Outcome;
use self::translation::Translation;
use super::Usage;

/// The end of `import-connect --help`.
pub const AFTER: &str = "\
Reads the configuration of one sink connector, as Kafka Connect takes and returns it (JSON) or as a file of properties, for \
Confluent's, Aiven's and Debezium's JDBC sinks. Prints the configuration of this sink, with a comment for each key of the \
input: taken, not needed, or not supported. Passwords are not copied. Nothing is contacted.

Exit codes:
  0  every key is taken or not needed, and the result is a configuration that loads
  1  reading or printing fails
  2  the file cannot be opened, or is not the configuration of one connector
  3  keys are not supported or missing: the comments say what to do instead

Examples:
  sink-connector import-connect connector.json > sink.toml
  curl -s http://connect:8083/connectors/orders | sink-connector import-connect - --output helm > values.yaml";

/// The exit code if keys are not supported.
const NOT_SUPPORTED: u8 = 3;

/// Flags of `import-connect`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ImportConnectArgs {
    /// File with the connector's configuration; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Output format: a configuration file, or values of the Helm chart
    #[arg(long, value_name = "FORMAT", default_value = "toml")]
    pub output: Format,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A configuration file.
    #[default]
    Toml,
    /// Values of the Helm chart.
    Helm,
}

/// Prints the translation, for these `bootstrap_servers`.
///
/// # Errors
/// If the file is not a configuration.
pub fn run(args: &ImportConnectArgs, bootstrap_servers: Option<&str>) -> anyhow::Result<ExitCode> {
    let input = parse(&read(&args.file)?).map_err(|why| Usage(format!("{}: {why}", args.file.display())))?;
    let outside = Outside { bootstrap_servers, file: args.file.file_stem().and_then(OsStr::to_str) };
    let translation = translate(input, &outside)?;
    match args.output {
        Format::Toml => shared::out!("{}", render::toml(&translation)?)?,
        Format::Helm => shared::out!("{}", render::helm(&translation))?,
    }
    let report = &translation.report;
    let counts = Outcome::ALL.map(|outcome| format!("{} {}", report.count(outcome), outcome.as_str()));
    shared::errln!("{} keys: {}", translation.input.len(), counts.join(", "));
    for (key, why) in report.with(Outcome::NotSupported) {
        shared::errln!("not supported: {key}: {why}");
    }
    for (key, why) in report.not_given() {
        shared::errln!("not given: {key}: {why}");
    }
    for line in &translation.todo {
        shared::errln!("to be completed: {line}");
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(NOT_SUPPORTED) })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        bytes = fs::read(file).map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
    }
    Ok(text(bytes))
}

/// UTF-8, or else ISO 8859-1, in which Java reads files of properties.
fn text(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    // Editors of Windows put a mark before UTF-8.
    text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)
}

/// The keys of a configuration. Those around it, as Connect's REST interface returns them, count as well.
fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let keys = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => {
            let mut object = answers::connector(object)?;
            let config = match object.remove("config") {
                Some(Value::Object(config)) => config,
                Some(_) => return Err("config is not an object".to_owned()),
                None => Map::new(),
            };
            // A name inside is the same name.
            let mut keys = flat(object)?;
            keys.extend(flat(config)?);
            keys
        }
        Ok(_) => return Err("is not a JSON object".to_owned()),
        Err(error) if text.trim_start().starts_with('{') => return Err(error.to_string()),
        Err(_) if answers::is_yaml_of_strimzi(text) => return Err(answers::STRIMZI.to_owned()),
        Err(_) => properties::parse(text),
    };
    if keys
        .keys()
        .any(|key| ["connector.class", "topics", "topics.regex", "connection.url"].contains(&key.as_str()))
    {
        return Ok(keys);
    }
    Err("is not the configuration of a sink connector: it has neither connector.class nor topics".to_owned())
}

fn flat(object: Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let text = |(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Null => Ok((key, String::new())),
        Value::Array(_) | Value::Object(_) if key != "tasks" => Err(format!("{key} is not a text")),
        other => Ok((key, other.to_string())),
    };
    object.into_iter().map(text).collect()
}

/// What the input does not say.
#[derive(Default)]
struct Outside<'a> {
    /// What the command line says: the input of a connector usually leaves it to the workers.
    bootstrap_servers: Option<&'a str>,
    /// The name of the file, without its ending; `-` for standard input.
    file: Option<&'a str>,
}

fn translate(
    input: BTreeMap<String, String>,
    outside: &Outside<'_>,
) -> Result<Translation, toml::ser::Error> {
    let mut translation = Translation::new(input);
    let t = &mut translation;
    identity::convert(t, outside.file.filter(|file| *file != "-"));
    topics::convert(t);
    connection::convert(t);
    formats::values(t);
    table::table(t);
    modes::convert(t);
    let transformed = transforms::convert(t);
    table::of_topics(t, &transformed.topics);
    modes::complete(t, &transformed.key);
    table::unknown_fields(t);
    formats::keys(t);
    formats::errors(t);
    cloud::convert(t);
    consumer::convert(t);
    consumer::complete(t);
    plain::convert(t);
    plain::rest(t);
    if let Some(servers) = outside.bootstrap_servers {
        t.set(&["kafka", "bootstrap_servers"], servers);
    } else if t.value(&["kafka", "bootstrap_servers"]).is_none() {
        t.todo.push("[kafka] bootstrap_servers = \"…\"   # those of the Connect workers".to_owned());
    }
    verify::convert(t)?;
    Ok(translation)
}

#[cfg(test)]
mod tests;
