//! `check`: what it reports before the sink runs, and that it leaves nothing behind.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Kafka, Output, Record, Services, SinkConfig, wait};

pub(crate) const SOON: Duration = Duration::from_secs(90);

/// A topic with records, and a database of its own.
pub(crate) struct Setup {
    pub(crate) kafka: &'static Kafka,
    pub(crate) topic: String,
    pub(crate) url: String,
    pub(crate) config: SinkConfig,
}

impl Setup {
    pub(crate) fn new(ddl: &str) -> Self {
        let Services { kafka, postgres } = Services::shared();
        let topic = kafka.topic("check", 2);
        let url = postgres.database("check");
        tests::postgres::connect(&url).batch_execute(ddl).unwrap();
        let config = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t").pk_fields(&["id"]);
        let setup = Self { kafka, topic, url, config };
        setup.produce(0..10);
        setup
    }

    fn produce(&self, ids: std::ops::Range<i32>) {
        let record = |id: i32| Record::json(&json!({"id": id, "name": format!("n{id}")})).partition(id % 2);
        self.kafka.produce(&self.topic, ids.map(record));
    }

    fn one<T: for<'a> postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        tests::postgres::connect(&self.url).query_one(sql, &[]).unwrap().get(0)
    }

    fn tables(&self) -> Vec<String> {
        self.one("SELECT ARRAY(SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1)")
    }

    #[track_caller]
    fn assert_group_is_untouched(&self) {
        let held = self.kafka.group_offsets(self.config.group_id(), &self.topic);
        assert!(held.iter().all(|held| held.offset.is_none()), "{held:?}");
    }
}

#[track_caller]
pub(crate) fn check(config: &SinkConfig, code: i32) -> Output {
    let output = config.finish(&["check"], SOON);
    assert!(output.code == Some(code), "{:?}, not {code}\n{}{}", output.code, output.stdout, output.stderr);
    output
}

/// The line about `subject` at this level must hold every one of `words`.
#[track_caller]
pub(crate) fn assert_says(output: &Output, level: &str, subject: &str, words: &[&str]) {
    let begins = |line: &&str| line.starts_with(level) && line.contains(&format!(" {subject}: "));
    let found = output.stdout.lines().filter(begins).any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no {level} of {subject} with {words:?} in:\n{}", output.stdout);
}

#[test]
fn a_sound_setup_passes_and_nothing_is_left_behind() {
    let setup = Setup::new("");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.sql");
    fs::write(&file, "CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL);\nCREATE INDEX ON t (name);")
        .unwrap();
    let config = setup.config.clone().set("sink.ddl_file", file.to_str().unwrap());
    let output = check(&config, 0);
    assert_says(&output, "ok", &format!("topic {}", setup.topic), &["2 partitions"]);
    assert_says(&output, "ok", "table t", &["t.sql creates it"]);
    assert_says(&output, "ok", "table t", &["2 columns", "upsert by (id)", "t_pkey"]);
    assert_says(
        &output,
        "ok",
        &format!("sample of {}", setup.topic),
        &["10 records", "10 written", "0 dead letters"],
    );
    assert_says(&output, "ok", "offsets table", &["sink_offsets does not exist yet"]);
    assert!(output.stdout.ends_with("0 errors, 0 warnings\n"), "{}", output.stdout);

    let output = config.finish(&["check", "--sample", "3", "--output", "json"], SOON).expect_code(0);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&report["ok"], &report["errors"]), (&json!(true), &json!(0)));
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings.iter().any(|f| f["finding"].as_str().unwrap().starts_with("3 records tried")),
        "{report}"
    );

    // A file that would commit is not run at all.
    fs::write(&file, "CREATE TABLE t (id int PRIMARY KEY); COMMIT; BEGIN;").unwrap();
    let output = check(&config, 1);
    assert_says(&output, "error", "table t", &["cannot be tried in a transaction"]);

    assert_eq!(setup.tables(), Vec::<String>::new());
    setup.assert_group_is_untouched();
}

#[test]
fn a_sink_at_work_is_not_disturbed_and_its_rows_are_tried_as_updates() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, name text)");
    let sink = setup.config.run();
    let state = || -> String {
        setup.one(
            "SELECT (SELECT string_agg(concat_ws('/', connector, partition, next_offset), ' ' ORDER BY partition) FROM sink_offsets) \
             || (SELECT string_agg(concat_ws('/', id, name, xmin), ' ' ORDER BY id) FROM t)",
        )
    };
    wait::until(SOON, "the rows", || setup.one::<i64>("SELECT count(*) FROM t") == 10);
    let before = state();
    let output = check(&setup.config, 0);
    assert_says(&output, "ok", "group", &["has active members: kafka-sink-"]);
    assert_says(&output, "ok", "positions", &["2 of 2 partitions", "lag 0"]);
    assert_says(&output, "ok", &format!("sample of {}", setup.topic), &["10 written"]);
    assert_eq!(state(), before);
    setup.produce(10..12);
    wait::until(SOON, "the sink goes on", || setup.one::<i64>("SELECT count(*) FROM t") == 12);
    assert_eq!(sink.metrics().unwrap().sum("sink_fenced_total"), 0.0);
    assert_eq!(sink.assert_accounted(), 12);
    sink.sigterm();
    sink.wait(SOON).expect_code(0);
    assert_eq!(setup.one::<i64>("SELECT count(*) FROM sink_offsets WHERE connector LIKE '%check%'"), 0);
}

#[test]
fn several_mistakes_are_reported_at_once_each_with_what_to_do() {
    let setup = Setup::new("CREATE TABLE nokey (id int, name text)");
    let typo = setup.topic.replacen("check", "chekc", 1);
    let config = setup.config.clone().topics(&[&setup.topic, &typo]).table("missing").topic_set(
        &setup.topic,
        "table",
        "nokey",
    );
    let output = check(&config, 1);
    assert_says(
        &output,
        "error",
        &format!("topic {typo}"),
        &["does not exist", &format!("did you mean {:?}?", setup.topic)],
    );
    assert_says(&output, "error", "table missing", &["does not exist", "sink.ddl_file"]);
    let index = "CREATE UNIQUE INDEX CONCURRENTLY ON \"nokey\" (\"id\")";
    assert_says(&output, "error", "table nokey", &["no usable unique index on (id)", index]);
    tests::postgres::connect(&setup.url).batch_execute(index).unwrap();
    let output = check(&config, 1);
    assert_says(&output, "ok", "table nokey", &["upsert by (id)"]);
    assert!(output.stdout.ends_with("2 errors, 0 warnings\n"), "{}", output.stdout);
}

#[test]
fn records_that_do_not_fit_the_table_are_reported_by_reason_and_offset() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, nmae text, score int NOT NULL)");
    let output = check(&setup.config, 1);
    let sample = format!("sample of {}", setup.topic);
    let alter = "ALTER TABLE \"t\" ALTER COLUMN \"score\" DROP NOT NULL";
    assert_says(
        &output,
        "error",
        &sample,
        &["10 of 10 records", "missing_field", "\"score\" is NOT NULL", alter],
    );
    assert_says(&output, "warning", &sample, &["fields without a column", "\"name\""]);
    assert_says(&output, "warning", &sample, &["no record has a field for", "\"nmae\"", "\"score\""]);

    tests::postgres::connect(&setup.url)
        .batch_execute("ALTER TABLE t ALTER COLUMN score SET DEFAULT 0; ALTER TABLE t RENAME nmae TO name")
        .unwrap();
    setup.kafka.produce(&setup.topic, [Record::json(&json!({"id": "many"})).partition(1)]);
    let output = check(&setup.config, 0);
    let place = format!("{}[1] offset 5", setup.topic);
    assert_says(
        &output,
        "warning",
        &sample,
        &["1 of 11 records", &place, "wrong_type: field \"id\": expected integer"],
    );
    assert_eq!(setup.tables(), ["t"]);
}

#[test]
fn fields_are_looked_for_inside_envelopes_and_not_where_columns_are_filled_from_elsewhere() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, name text, at timestamptz)");
    let topic = setup.kafka.topic("check_envelope", 1);
    let event = |op: &str| json!({"op": op, "before": null, "after": {"name": "n", "extra": 1}});
    setup.kafka.produce(&topic, [Record::json(&event("c")).key("1"), Record::json(&event("u")).key("1")]);
    // A number that no type of Rust holds hides no field.
    let large = r#"{"op": "c", "before": null, "after": {"name": "n", "extra": 1, "large": 1e400}}"#;
    let topic_with_large = setup.kafka.topic("check_large", 1);
    setup.kafka.produce(&topic_with_large, [Record::keyed("1", large)]);
    let config = setup.config.clone().pk_mode("record_key").set("sink.value_format", "debezium");
    let output = check(&config.clone().topic(&topic_with_large).set("sink.metadata.timestamp", "at"), 0);
    let sample = format!("sample of {topic_with_large}");
    assert_says(&output, "warning", &sample, &["are ignored: \"extra\", \"large\""]);
    assert!(!output.stdout.contains("no record has a field"), "{}", output.stdout);
    let config = config.topic(&topic);
    let output = check(&config.set("sink.metadata.timestamp", "at"), 0);
    let sample = format!("sample of {topic}");
    assert_says(&output, "warning", &sample, &["fields without a column are ignored: \"extra\""]);
    assert!(!output.stdout.contains("\"op\""), "{}", output.stdout);
    assert!(!output.stdout.contains("no record has a field"), "{}", output.stdout);
}

#[test]
fn triggers_and_unlogged_tables_are_reported() {
    let setup = Setup::new(
        "CREATE TABLE t (id int PRIMARY KEY, name text); \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER audit BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); \
         CREATE UNLOGGED TABLE u (id int PRIMARY KEY, name text)",
    );
    let output = check(&setup.config, 0);
    assert_says(&output, "warning", "table t", &["has triggers: audit"]);
    let output = check(&setup.config.clone().table("u"), 1);
    assert_says(&output, "error", "table u", &["UNLOGGED", "SET LOGGED", "allow_unlogged = true"]);
    let output = check(&setup.config.clone().table("u").set("sink.allow_unlogged", true), 0);
    assert_says(&output, "warning", "table u", &["UNLOGGED", "a crash of the server empties it"]);
}

#[test]
fn dead_letters_in_a_topic_need_that_topic_and_no_table_and_none_is_sent() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, name text)");
    setup.kafka.produce(&setup.topic, [Record::new("{").partition(1)]);
    let dead_letters = tests::names::unique("check_dead_letters");
    let config = setup.config.clone().set("errors.dead_letters", "topic");
    let config = config.set("errors.dead_letter_topic", dead_letters.as_str());
    let output = check(&config, 1);
    assert_says(
        &output,
        "error",
        "dead letter topic",
        &[&dead_letters, "does not exist", "errors.dead_letter_topic"],
    );
    setup.kafka.create_topic(&dead_letters, 1, &[]);
    let output = wait::holds(SOON, "it is seen", || config.finish(&["check"], SOON), |o| o.code == Some(0));
    assert_says(&output, "ok", "dead letter topic", &["exists"]);
    assert!(!output.stdout.contains("dead letter table"), "{}", output.stdout);
    assert_says(
        &output,
        "warning",
        &format!("sample of {}", setup.topic),
        &["1 of 11 records", "invalid_json"],
    );
    assert_eq!(setup.kafka.end_offsets(&dead_letters), [0]);
}

#[test]
fn the_grants_that_a_role_lacks_are_named() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, name text)");
    let mut admin = tests::postgres::connect(&setup.url);
    let role = tests::names::unique("role").replace('-', "_");
    admin
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}; \
             DO $$ BEGIN EXECUTE 'REVOKE TEMPORARY ON DATABASE ' || quote_ident(current_database()) || ' FROM PUBLIC'; END $$"
        ))
        .unwrap();
    let config =
        setup.config.clone().set("postgres.url", setup.url.replace("postgres@", &format!("{role}@")));
    let output = check(&config, 1);
    let grants = [
        format!("GRANT INSERT, UPDATE ON \"t\" TO \"{role}\""),
        format!("GRANT CREATE ON SCHEMA \"public\" TO \"{role}\""),
    ];
    assert_says(&output, "error", "table t", &["lacks INSERT, UPDATE", &grants[0]]);
    assert_says(&output, "error", "offsets table", &["may not create it", &grants[1]]);
    assert_says(&output, "error", "dead letter table", &["may not create it"]);
    assert_says(&output, "warning", "postgres", &["no TEMP privilege", "GRANT TEMPORARY ON DATABASE"]);
    // What it says is enough.
    admin.batch_execute(&grants.join("; ")).unwrap();
    assert_says(&check(&config, 0), "ok", &format!("sample of {}", setup.topic), &["10 written"]);
    // The role is the cluster's, not the database's.
    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}
