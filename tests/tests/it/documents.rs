//! The documents: their commands run as they stand there, their configurations load, and their links lead somewhere.

mod blocks;
mod links;

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataTopic;
use tests::scratch::Scratch;
use tests::{Kafka, KafkaOptions, Postgres, PostgresOptions, Services, paths};

use self::blocks::{Block, blocks};

/// The addresses in the documents: those that `make demo` starts its services on.
const BROKER: &str = "localhost:9092";
const DATABASE: &str = "postgresql://postgres@localhost:5432/postgres";
const HTTP: &str = "localhost:9464";

/// What a fence of a document may say that it holds.
const LANGUAGES: [&str; 9] = ["sh", "text", "toml", "yaml", "json", "sql", "mermaid", "ini", "java"];

/// The documents, by their paths in the repository.
fn pages() -> Vec<PathBuf> {
    let root = paths::workspace("");
    let outside = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "helm/livescores/README.md",
    ];
    let mut pages: Vec<PathBuf> = outside.map(PathBuf::from).to_vec();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(paths::workspace("").join(page)).unwrap()
}

#[test]
fn every_fence_says_what_it_holds_and_every_marker_says_why() {
    let mut wrong = Vec::new();
    for page in pages() {
        for block in blocks(&read(&page)) {
            let at = format!("{}:{}", page.display(), block.line);
            if !LANGUAGES.contains(&block.language.as_str()) {
                wrong.push(format!("{at}: language {:?} is none of {LANGUAGES:?}", block.language));
            }
            if block.not_run.as_ref().is_some_and(|why| why.trim().len() < 10) {
                wrong.push(format!("{at}: a marker without a reason"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let broken: Vec<String> = pages().iter().flat_map(|page| links::broken(page, &read(page))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_commands_of_the_documents_run_in_their_order() {
    let options = KafkaOptions::default().property("auto.create.topics.enable", "true");
    let kafka = Kafka::start(options).unwrap();
    let postgres = Postgres::start(PostgresOptions::default()).unwrap();
    let mut failed = Vec::new();
    let mut ran = 0;
    for page in pages() {
        let blocks: Vec<Block> = blocks(&read(&page))
            .into_iter()
            .filter(|block| block.not_run.is_none() && block.is_run())
            .collect();
        if blocks.is_empty() {
            continue;
        }
        delete_topics(&kafka);
        let stage = Stage::new(&kafka, &postgres);
        for block in blocks {
            ran += 1;
            if let Err(why) = stage.run(&block) {
                failed.push(format!("{}:{}\n{}\n{why}", page.display(), block.line, block.text));
                // What follows may need it.
                break;
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(ran > 20, "only {ran} blocks were found");
}

#[test]
fn a_block_that_fails_or_prints_something_else_is_reported() {
    let Services { kafka, postgres } = Services::shared();
    let stage = Stage::new(kafka, postgres);
    for (block, why) in [
        ("```sh\nfalse | true\n```", "exit status: 1"),
        ("```sh\nsink-connector --config missing.toml config\n```", "exit status: 2"),
        ("<!-- exit code 3 -->\n```sh\ntrue\n```", "exit status: 0"),
        ("<!-- prints: 2 rows -->\n```sh\necho 1 rows\n```", "does not print \"2 rows\""),
        ("<!-- exit code 3 -->\n<!-- prints: b -->\n```sh\necho a; exit 3\n```", "does not print \"b\""),
        ("```sql\nSELECT 1;\nSELECT missing;\n```", "exit status: 3"),
        ("<!-- prints: | -->\n```sql\nSELECT 1;\n```", "does not print"),
        ("```toml\n[sink]\ntabel = 'x'\n```", "did you mean sink.table?"),
        ("```toml\n[producer]\nscenario = 'x'\n```", "is not one of"),
    ] {
        let [block] = &blocks(block)[..] else { panic!("{block}: not one block") };
        let found = stage.run(block).expect_err(&block.text);
        assert!(found.contains(why), "{found}");
    }
    for block in
        ["<!-- exit code 3 -->\n<!-- prints: b -->\n```sh\necho abc; exit 3\n```", "```sql\nSELECT 1;\n```"]
    {
        assert_eq!(stage.run(&blocks(block)[0]), Ok(()));
    }
}

/// A directory and a database for one page.
struct Stage<'a> {
    kafka: &'a Kafka,
    url: String,
    http: String,
    dir: Scratch,
}

impl<'a> Stage<'a> {
    fn new(kafka: &'a Kafka, postgres: &'a Postgres) -> Self {
        let dir = Scratch::new("page").unwrap();
        for name in ["config", "docs", "helm", "monitoring", "examples"] {
            let source = paths::workspace(name);
            if source.exists() {
                symlink(source, dir.path().join(name)).unwrap();
            }
        }
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(paths::binary("sink-connector", "SINK_BIN"), bin.join("sink-connector")).unwrap();
        symlink(paths::binary("producer", "PRODUCER_BIN"), bin.join("producer")).unwrap();
        let http = format!("127.0.0.1:{}", tests::ports::free());
        Self { kafka, url: postgres.database("page"), http, dir }
    }

    /// Runs a block: commands by a shell, a configuration through `config`, SQL through psql.
    fn run(&self, block: &Block) -> Result<(), String> {
        let text = block.text.replace(BROKER, &self.kafka.bootstrap()).replace(DATABASE, &self.url);
        let text = text.replace(HTTP, &self.http);
        let script = match block.language.as_str() {
            "toml" => {
                fs::write(self.dir.path().join("block.toml"), &text).unwrap();
                let table = text.parse::<toml::Table>().map_err(|error| error.to_string())?;
                let binary = if table.contains_key("producer") { "producer" } else { "sink-connector" };
                format!("{binary} --config block.toml config")
            }
            "sql" => {
                fs::write(self.dir.path().join("block.sql"), &text).unwrap();
                format!("psql -X -q -v ON_ERROR_STOP=1 '{}' -f block.sql", self.url)
            }
            _ => text,
        };
        let path = format!("{}:{}", self.dir.path().join("bin").display(), env::var("PATH").unwrap());
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "120", "bash", "-euo", "pipefail", "-c", &script]);
        command.current_dir(self.dir.path()).env("PATH", path).stdin(Stdio::null());
        for (name, _) in
            env::vars().filter(|(name, _)| name.starts_with("SINK__") || name.starts_with("PRODUCER__"))
        {
            command.env_remove(name);
        }
        if block.language != "toml" {
            command.env("SINK__POSTGRES__URL", &self.url).env("SINK__HTTP__LISTEN", &self.http);
            command.env("SINK__KAFKA__BOOTSTRAP_SERVERS", self.kafka.bootstrap());
            command.env("PRODUCER__KAFKA__BOOTSTRAP_SERVERS", self.kafka.bootstrap());
            command.env("PRODUCER__HTTP__LISTEN", "127.0.0.1:0");
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let printed = text(&output.stdout) + &text(&output.stderr);
        if output.status.code() != Some(block.expected_code.unwrap_or(0)) {
            return Err(format!("{}\n{printed}", output.status));
        }
        match block.prints.iter().find(|expected| !printed.contains(*expected)) {
            Some(expected) => Err(format!("does not print {expected:?} but\n{printed}")),
            None => Ok(()),
        }
    }
}

/// Positions of another page are in another database: nothing may be left of its topics.
fn delete_topics(kafka: &Kafka) {
    let consumer: BaseConsumer = kafka.client().create().unwrap();
    let metadata = consumer.fetch_metadata(None, std::time::Duration::from_secs(20)).unwrap();
    for topic in metadata.topics().iter().map(MetadataTopic::name).filter(|name| !name.starts_with("__")) {
        kafka.delete_topic(topic);
    }
}
