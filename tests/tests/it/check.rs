//! `check`: what a user learns before the sink runs, and that it leaves nothing behind.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Kafka, KafkaOptions, Output, Record, Services, SinkConfig, wait};

const SOON: Duration = Duration::from_secs(90);

/// A topic with records, and a database of its own.
struct Setup {
    kafka: &'static Kafka,
    topic: String,
    url: String,
    config: SinkConfig,
}

impl Setup {
    fn new(ddl: &str) -> Self {
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
fn check(config: &SinkConfig, code: i32) -> Output {
    config.finish(&["check"], SOON).expect_code(code)
}

/// The line about `subject` at this level must hold every one of `words`.
#[track_caller]
fn assert_says(output: &Output, level: &str, subject: &str, words: &[&str]) {
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
    assert_says(&output, "ok", "table t", &["t.sql makes it"]);
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
    assert_says(&output, "ok", "group", &["has members: kafka-sink-"]);
    assert_says(&output, "ok", "positions", &["2 of 2 partitions", "lag 0"]);
    assert_says(&output, "ok", &format!("sample of {}", setup.topic), &["10 written"]);
    assert_eq!(state(), before);
    setup.produce(10..12);
    wait::until(SOON, "the sink goes on", || setup.one::<i64>("SELECT count(*) FROM t") == 12);
    assert_eq!(sink.metrics().unwrap().sum("sink_fenced_total"), 0.0);
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
fn records_that_do_not_fit_the_table_are_told_by_reason_and_place() {
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
    assert_says(&output, "warning", &sample, &["1 of 11 records", "wrong_type", &place, "many"]);
    assert_eq!(setup.tables(), ["t"]);
}

#[test]
fn what_a_table_does_to_the_guarantees_is_said() {
    let setup = Setup::new(
        "CREATE TABLE t (id int PRIMARY KEY, name text); \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER audit BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); \
         CREATE UNLOGGED TABLE u (id int PRIMARY KEY, name text)",
    );
    let output = check(&setup.config, 0);
    assert_says(&output, "warning", "table t", &["has triggers: audit"]);
    let output = check(&setup.config.clone().table("u"), 1);
    assert_says(&output, "error", "table u", &["UNLOGGED", "SET LOGGED"]);
}

#[test]
fn a_role_without_privileges_is_told_the_grants() {
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

#[test]
fn a_broker_or_a_database_that_is_not_there_is_named_with_its_address() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, name text)");
    let wrong = format!("127.0.0.1:{}", tests::ports::free());
    let no_server = format!("postgresql://postgres:hunter2@{wrong}/x");
    let config =
        setup.config.clone().set("kafka.bootstrap_servers", wrong.clone()).set("postgres.url", no_server);
    let output = check(&config, 1);
    assert_says(
        &output,
        "error",
        "kafka",
        &["no broker answers", &wrong, "refused", "kafka.bootstrap_servers"],
    );
    assert_says(&output, "error", "postgres", &["cannot connect", &wrong, "refused", "postgres.url"]);
    assert!(!(output.stdout + &output.stderr).contains("hunter2"));

    let nowhere = setup.url.rsplit_once('/').unwrap().0.to_owned() + "/nowhere";
    let output = check(&setup.config.clone().set("postgres.url", nowhere), 1);
    assert_says(
        &output,
        "error",
        "postgres",
        &["\"nowhere\" does not exist", "3D000", "create the database"],
    );
}

#[test]
fn a_wrong_password_is_told_from_a_wrong_address() {
    let setup = Setup::new("CREATE TABLE t (id int PRIMARY KEY, name text)");
    let postgres = &Services::shared().postgres;
    let role = tests::names::unique("locked").replace('-', "_");
    let mut admin = tests::postgres::connect(&setup.url);
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'right'")).unwrap();
    // Only this role needs its password; the other tests' sessions do not notice.
    let file = postgres.dir().join("data/pg_hba.conf");
    let rules = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}")).unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    let with = |password: &str| {
        let url = setup.url.replace("postgres@", &format!("{role}:{password}@"));
        setup.config.clone().set("postgres.url", url)
    };
    let output = wait::holds(
        SOON,
        "the rule applies",
        || with("wrong").finish(&["check"], SOON),
        |o| o.code == Some(1),
    );
    assert_says(
        &output,
        "error",
        "postgres",
        &["password authentication failed", "28P01", "postgres.password_file"],
    );
    assert!(!(output.stdout + &output.stderr).contains("wrong@"));
    check(&with("right"), 0);
    fs::write(&file, rules).unwrap();
    admin.batch_execute(&format!("SELECT pg_reload_conf(); DROP ROLE {role}")).unwrap();
}

#[test]
fn a_configuration_that_does_not_load_exits_with_2_and_names_every_mistake() {
    let config = SinkConfig::new("127.0.0.1:1", "postgresql://postgres@127.0.0.1:1/x")
        .topic("t")
        .set("kafka.group_idd", "g")
        .set("sink.insert_mode", "upsrt")
        .env("SINK__BATCH__MAX_ROWS", "many");
    let output = config.finish(&["check", "--output", "json"], SOON).expect_code(2);
    for words in [
        "kafka.group_idd: unknown key; did you mean kafka.group_id?",
        "did you mean \"upsert\"?",
        "batch.max_rows: expected an integer, found \"many\" (variable SINK__BATCH__MAX_ROWS)",
    ] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
        assert!(output.stdout.contains(&words.replace('"', "\\\"")), "{words}: {}", output.stdout);
    }
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&report["ok"], &report["errors"]), (&json!(false), &json!(3)));

    let config = SinkConfig::new("127.0.0.1:1", "postgresql://u@h:port/x").property("no.such.property", "x");
    for command in ["check", "run"] {
        let output = config.finish(&[command], SOON).expect_code(2);
        assert!(
            output.stderr.contains("postgres.url: ") || output.stderr.contains("no.such.property"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn a_topic_and_a_group_that_may_not_be_used_are_told_from_missing_ones() {
    let options = KafkaOptions::default()
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("allow.everyone.if.no.acl.found", "true");
    let kafka = Kafka::start(options).unwrap();
    kafka.create_topic("secret", 1, &[]);
    kafka.produce("secret", [Record::json(&json!({"id": 1, "name": "a"}))]);
    let url = Services::shared().postgres.database("check");
    tests::postgres::connect(&url).batch_execute("CREATE TABLE t (id int PRIMARY KEY, name text)").unwrap();
    let config = SinkConfig::new(kafka.bootstrap(), &url).topic("secret").table("t").pk_fields(&["id"]);
    check(&config, 0);
    // Whoever has a rule for reading is the only one who may: describing goes on for all.
    kafka.acl(&["--add", "--allow-principal", "User:other", "--operation", "Read", "--topic", "secret"]);
    kafka.acl(&["--add", "--allow-principal", "User:*", "--operation", "Describe", "--topic", "secret"]);
    kafka.acl(&[
        "--add",
        "--allow-principal",
        "User:other",
        "--operation",
        "Read",
        "--group",
        config.group_id(),
    ]);
    let denied = || check(&config, 1);
    let output =
        wait::holds(SOON, "the rules apply", denied, |o| o.stdout.contains("not authorised to read"));
    assert_says(
        &output,
        "error",
        "sample of secret",
        &["not authorised to read topic \"secret\"", "kafka-acls --add"],
    );
    assert_says(
        &output,
        "error",
        "group",
        &["not authorised", config.group_id(), "--operation Read --group"],
    );
}
