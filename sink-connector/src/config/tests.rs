//! The configuration as a user writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use shared::settings::Layers;

use super::*;

const BUNDLED: &str = include_str!("../../../config/sink-connector.toml");

fn layers(text: &str) -> Layers {
    Layers::new(&SCHEMA).text("sink.toml", text)
}

fn load(text: &str) -> Config {
    Config::from_layers(layers(text)).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors_of(layers: Layers) -> Vec<String> {
    Config::from_layers(layers).unwrap_err().0.iter().map(ToString::to_string).collect()
}

fn errors(text: &str) -> Vec<String> {
    errors_of(layers(text)).iter().map(|line| line.replace(" (file sink.toml)", "")).collect()
}

fn shown(config: &Config) -> String {
    config.to_toml().unwrap()
}

#[test]
fn without_anything_it_is_the_bundled_configuration() {
    let bare = Config::load(&[], [("PATH", "/bin")], &[]).unwrap();
    assert_eq!(shown(&bare), shown(&load(BUNDLED)));
    let table = bare.topic("livescores_topic");
    assert_eq!(
        (table.table.as_str(), table.pk_fields.as_slice()),
        ("ipl_livescores", ["match_id".to_owned()].as_slice())
    );
    assert_eq!(bare.kafka.topics, ["livescores_topic"]);
    assert_eq!((bare.batch.max_rows, bare.batch.max_bytes, bare.postgres.writers), (20_000, 6_291_456, 2));
}

#[test]
fn the_bundled_file_gives_every_key_that_has_a_value() {
    let loaded = layers(BUNDLED).load::<Config>().unwrap();
    for key in SCHEMA.keys() {
        let commented = BUNDLED.contains(&format!("# {} = ", key.rsplit('.').next().unwrap()));
        let section = BUNDLED.contains(&format!("[{key}]"));
        let elsewhere = key == "kafka.topics_regex" || key == "topics" || section;
        assert!(loaded.origin(key).is_some() || commented || elsewhere, "{key}");
    }
}

#[test]
fn the_effective_configuration_has_only_declared_keys_and_loads_to_itself() {
    for text in [
        "",
        "[sink]\ntable = 'other'\npk_fields = ['id', 'n']\n[sink.rename]\n'a.b' = 'c'",
        "[kafka]\ntopics = ['livescores_topic', 'b']\n[topics.b]\ntable = 'x'\npk_mode = 'none'\ninsert_mode = 'insert'",
        "[kafka]\ntopics = ['ipl_livescores', 'b']\n[sink]\ntable = '${topic}'\n[topics.b]\npk_fields = ['id']",
        "[kafka.properties]\n'security.protocol' = 'SSL'\nlog_level = 3",
    ] {
        let config = load(text);
        let toml = shown(&config);
        let again = load(&toml);
        assert_eq!(shown(&again), toml);
        assert_eq!(again.tables(), config.tables(), "{toml}");
    }
}

#[test]
fn secrets_are_read_from_files_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, "hunter2\n").unwrap();
    let file = file.to_str().unwrap();
    let config = load(&format!(
        "[postgres]\npassword_file = '{file}'\n[kafka.properties]\n'sasl.password_file' = '{file}'\n\
         'ssl.key.password' = 'hunter2'\n'client.id' = 'c'"
    ));
    let properties: BTreeMap<_, _> = config.kafka.librdkafka().collect();
    let expected = [("client.id", "c"), ("sasl.password", "hunter2"), ("ssl.key.password", "hunter2")];
    assert_eq!(properties, expected.into());
    let toml = shown(&config);
    assert!(!toml.contains("hunter2") && toml.contains("\"ssl.key.password\" = \"[redacted]\""), "{toml}");
    let config = load("[postgres]\nurl = 'postgresql://u:hunter2@h/db?sslmode=require'");
    assert!(!shown(&config).contains("hunter2") && !format!("{:?}", config.postgres).contains("hunter2"));
    assert_eq!(config.postgres.url.expose(), "postgresql://u:hunter2@h/db?sslmode=require");
    assert_eq!(config.postgres.redacted_url(), "postgresql://u:[redacted]@h/db?sslmode=require");
    load(&shown(&config));
}

#[test]
fn secret_files_that_fail_are_errors_of_their_keys() {
    let found = errors(
        "postgres.password_file = '/nowhere/a'\n[kafka.properties]\n'sasl.password_file' = '/nowhere/b'\n\
         'ssl.key.password' = 'x'\n'ssl.key.password_file' = '/nowhere/c'",
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("postgres.password_file: cannot read /nowhere/a: "), "{found:?}");
    assert!(
        found[1].starts_with("kafka.properties.\"sasl.password_file\": cannot read /nowhere/b: "),
        "{found:?}"
    );
    assert!(found[2].contains("ssl.key.password is given as well"), "{found:?}");
}

#[test]
fn topics_override_the_section_and_replace_their_name_in_the_table() {
    let config = load(
        "[kafka]\ntopics = ['a', 'b.c', 'ipl_livescores']\n[sink]\ntable = 's.${topic}'\npk_fields = ['id']\n\
         rename = { x = 'y' }\n[topics.'b.c']\ntable = 't'\npk_mode = 'none'\ninsert_mode = 'insert'\nrename = {}\n\
         [topics.ipl_livescores]\ntable = '${topic}'\npk_fields = []\n[topics.unused]",
    );
    let a = config.topic("a");
    assert_eq!(
        (a.table.as_str(), a.pk_fields.as_slice(), a.ddl_file.clone()),
        ("s.a", ["id".to_owned()].as_slice(), None)
    );
    assert_eq!(a.rename.len(), 1);
    let b = config.topic("b.c");
    assert_eq!((b.table.as_str(), b.pk_mode, b.insert_mode), ("t", PkMode::None, InsertMode::Insert));
    assert!(b.pk_fields.is_empty() && b.rename.is_empty());
    let ipl = config.topic("ipl_livescores");
    assert_eq!(ipl.pk_fields, ["match_id"]);
    assert!(ipl.ddl_file.is_some());
    assert_eq!(config.unused_topics(), ["unused"]);
    assert_eq!(config.tables().len(), 3);
}

#[test]
fn the_defaults_of_the_bundled_table_stay_with_it() {
    let config =
        Config::load(&[], [("SINK__SINK__TABLE", "other"), ("SINK__SINK__PK_FIELDS", "a, b")], &[]).unwrap();
    let table = config.topic("livescores_topic");
    assert_eq!((table.pk_fields.len(), table.ddl_file), (2, None));
    let found = errors_of(Layers::new(&SCHEMA).environment([("SINK__SINK__TABLE", "other")]));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("sink.pk_fields: must name the key columns of table \"other\""),
        "{found:?}"
    );
    assert!(found[0].ends_with("(variable SINK__SINK__TABLE)"), "{found:?}");
    let unkeyed = load("[sink]\npk_mode = 'none'\ninsert_mode = 'insert'").topic("livescores_topic");
    assert!(unkeyed.pk_fields.is_empty() && unkeyed.ddl_file.is_some());
}

#[test]
fn the_bundled_ddl_stands_in_for_the_default_file_only() {
    // The tests run in the crate's directory, where config/ does not exist.
    let sql = load("").topic("livescores_topic").ddl().unwrap().unwrap();
    assert!(sql.contains("ipl_livescores"), "{sql}");
    let error = load("sink.ddl_file = 'other.sql'").topic("livescores_topic").ddl().unwrap_err();
    assert!(error.to_string().starts_with("ddl_file other.sql: "), "{error}");
    assert_eq!(load("sink = { table = 'x', pk_fields = ['a'] }").topic("t").ddl().unwrap(), None);
}

#[test]
fn the_bundled_table_is_not_the_table_of_other_topics() {
    for (text, topics) in [
        ("kafka.topics = ['orders']", "read: \"orders\". Write"),
        (
            "kafka.topics = ['livescores_topic', 'b', 'c']\ntopics.b = { table = 'b', pk_fields = ['id'] }",
            "read: \"c\". Write",
        ),
        ("kafka.topics_regex = '^b'\ntopics.b = { table = 'b', pk_fields = ['id'] }", "match \"^b\". Write"),
        ("kafka.topics = ['b']\ntopics.b.pk_fields = ['id']", "read: \"b\". Write"),
    ] {
        let found = errors(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with("sink.table: must be given") && found[0].contains(topics), "{found:?}");
    }
    let found =
        errors_of(Layers::new(&SCHEMA).environment([("SINK__KAFKA__TOPICS", "livescores_topic,orders")]));
    assert!(found[0].ends_with("(variable SINK__KAFKA__TOPICS)"), "{found:?}");
    load("kafka.topics = ['livescores_topic']");
    load("kafka.topics = ['orders']\nsink.table = 'ipl_livescores'");
    load("kafka.topics = ['orders']\ntopics.orders = { table = 'o', pk_fields = ['id'] }");
    let variables =
        [("SINK__KAFKA__TOPICS", "a"), ("SINK__SINK__TABLE", "t"), ("SINK__SINK__PK_FIELDS", "id")];
    Config::load(&[], variables, &[]).unwrap();
    // A table can be proposed before there is one.
    let proposing =
        Config::load_with(&[], [("SINK__KAFKA__TOPICS", "orders")], &[], &[Config::rules_without_tables])
            .unwrap();
    assert!(!proposing.has_table("orders") && proposing.topic("orders").pk_fields.is_empty());
}

#[test]
fn owned_librdkafka_properties_are_refused_by_name() {
    let text = librdkafka::OWNED.iter().map(|owned| format!("\"{}\" = 'x'\n", owned.property));
    let found = errors(&format!("[kafka.properties]\n{}", text.collect::<String>()));
    assert_eq!(found.len(), librdkafka::OWNED.len());
    assert!(
        found.contains(
            &"kafka.properties.\"group.id\": belongs to the sink and cannot be set here: set kafka.group_id"
                .to_owned()
        ),
        "{found:?}"
    );
    let variable = [("SINK__KAFKA__PROPERTIES__GROUP_ID", "x")];
    let found = errors_of(Layers::new(&SCHEMA).environment(variable));
    assert!(found[0].ends_with("(variable SINK__KAFKA__PROPERTIES__GROUP_ID)"), "{found:?}");
}

#[test]
fn rules_between_keys_say_what_to_do() {
    for (text, key, words) in [
        ("kafka = { topics = ['a'], topics_regex = '^b' }", "kafka.topics", "either topics or topics_regex"),
        (
            "topics.x = { value_format = 'debezium', insert_mode = 'insert' }",
            "topics.x.value_format",
            "need insert_mode = \"upsert\"",
        ),
        ("kafka.topics_regex = 'b.*'", "kafka.topics_regex", "must begin with ^"),
        ("kafka.topics_regex = '^(b'", "kafka.topics_regex", "is not an extended regular expression"),
        ("kafka.topics_regex = '^b'\nsink.table = '${topic}'", "sink.pk_fields", "must name the key columns"),
        (
            "kafka.topics_regex = '^b'\nerrors.dead_letter_topic = 'b_dead'",
            "errors.dead_letter_topic",
            "would go round",
        ),
        ("kafka.topics = []", "kafka.topics", "is empty: name a topic to read"),
        ("kafka.topics = ['a', 'a']", "kafka.topics", "names \"a\" twice"),
        ("kafka.topics = ['a/b']", "kafka.topics", "cannot be a topic"),
        ("sink = { pk_mode = 'none' }", "sink.insert_mode", "\"upsert\" needs a key"),
        (
            "sink = { pk_mode = 'none', insert_mode = 'insert_ignore' }",
            "sink.insert_mode",
            "\"insert_ignore\" needs",
        ),
        ("sink.table = 'x'", "sink.pk_fields", "must name the key columns of table \"x\""),
        ("sink.pk_fields = ['a', 'a']", "sink.pk_fields", "names \"a\" twice"),
        ("sink.rename = { a = 'c', b = 'c' }", "sink.rename", "column \"c\" has two sources"),
        ("sink = { table = 'x', pk_mode = 'record_key' }", "sink.pk_fields", "must name the key columns"),
        ("sink = { pk_mode = 'kafka', pk_fields = ['a'] }", "sink.pk_fields", "three columns"),
        (
            "sink = { pk_mode = 'kafka', metadata = { topic = '__connect_topic' } }",
            "sink.metadata",
            "column \"__connect_topic\" is part of the key already",
        ),
        ("sink.delete_enabled = true", "sink.delete_enabled", "needs pk_mode = \"record_key\""),
        (
            "sink = { insert_mode = 'insert', version_field = 'v' }",
            "sink.version_field",
            "needs insert_mode = \"upsert\"",
        ),
        ("topics.'a.b'.table = 'x'", "sink.pk_fields", "must name the key columns of table \"x\""),
        ("topics.'a.b'.pk_fields = ['x', 'x']", "topics.\"a.b\".pk_fields", "twice"),
        ("name = 'é'", "name", "printable ASCII"),
        ("http.listen = '9464'", "http.listen", "is not host:port"),
        ("http.listen = 'h:99999'", "http.listen", "is not host:port"),
        ("errors.dead_letter_topic = 'livescores_topic'", "errors.dead_letter_topic", "would go round"),
        ("offsets.table = 'sink_dead_letters'", "errors.dead_letter_table", "are the same table"),
        ("offsets.table = 'ipl_livescores'", "offsets.table", "is the table of a topic"),
        ("batch.max_rows = 0", "batch.max_rows", "0 is out of range: 1 to 1000000"),
        ("postgres.writers = 65", "postgres.writers", "65 is out of range: 1 to 64"),
        ("shutdown_timeout_ms = -1", "shutdown_timeout_ms", "out of range"),
        ("errors.breaker_ratio = 1.5", "errors.breaker_ratio", "1.5 is out of range: 0 to 1"),
    ] {
        let found = errors(text);
        assert!(
            found.iter().any(|line| line.starts_with(&format!("{key}: ")) && line.contains(words)),
            "{text}: {found:?}"
        );
    }
    let long = errors(&format!("name = '{}'", "x".repeat(53)));
    assert_eq!(long, ["name: is longer than 52 characters"]);
    load(&format!("name = '{}'", "x".repeat(52)));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let found = errors(
        "nmae = 'x'\nkafka.topic = 'a'\n[batch]\nmax_rows = 'many'\n[sink]\npk_mode = 'none'\ninsert_mode = 'upsrt'\n\
         [sink.metadata]\noffsets = 'x'\n[log]\nformat = 'xml'\n[http]\nlisten = 'x'",
    );
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(
        found,
        [
            "batch.max_rows: expected an integer, found a string",
            "http.listen: \"x\" is not host:port, such as 127.0.0.1:9464, or off",
            "kafka.topic: unknown key; did you mean kafka.topics?",
            "log.format: \"xml\" is not one of text, json",
            "nmae: unknown key; did you mean name?",
            "sink.insert_mode: \"upsrt\" is not one of insert, insert_ignore, upsert; did you mean \"upsert\"?",
            "sink.metadata.offsets: unknown name; allowed: topic, partition, offset, timestamp, key, headers",
        ]
        .into()
    );
}

#[test]
fn mistakes_of_all_layers_are_reported_with_their_origin() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sink.toml");
    let text = "[sink]\nvalue_format = 'jsn'\nrename = { a = 'c', b = 'c' }\n[topics.'a.b']\ntable = 'x'\n\
                pk_field = ['id']\npk_fields = []\n[topics.c]\npk_fields = ['x', 'x']\n[batch]\nmax_rows = 0\n\
                linger_ms = '5'";
    fs::write(&file, text).unwrap();
    let variables =
        [("SINK__BATCH__MAX_BYTE", "1"), ("SINK__SINK__NULL_BYTES", "drop"), ("SINK__LOG", "json")];
    let flags = [("--name", "name", Some(" ")), ("--listen", "http.listen", Some("x"))];
    let found = Config::load(std::slice::from_ref(&file), variables, &flags).unwrap_err().to_string();
    let found: Vec<String> =
        found.lines().map(|line| line.replace(&file.display().to_string(), "sink.toml")).collect();
    let expected = [
        "batch.linger_ms: expected an integer, found a string (file sink.toml)",
        "batch.max_rows: 0 is out of range: 1 to 1000000 (file sink.toml)",
        "sink.value_format: \"jsn\" is not one of json, json_schema, debezium; did you mean \"json\"? (file sink.toml)",
        "topics.\"a.b\".pk_field: unknown key; did you mean topics.\"a.b\".pk_fields? (file sink.toml)",
        "batch.max_byte: unknown key; did you mean SINK__BATCH__MAX_BYTES? (variable SINK__BATCH__MAX_BYTE)",
        "log: is a section: a variable sets one key of it (variable SINK__LOG)",
        "sink.null_bytes: \"drop\" is not one of reject, strip, replace (variable SINK__SINK__NULL_BYTES)",
        "name: must not be empty (flag --name)",
    ];
    assert_eq!(&found[..expected.len()], expected, "{found:#?}");
    let rules: BTreeSet<&str> = found[expected.len()..].iter().map(String::as_str).collect();
    let expected = [
        "http.listen: \"x\" is not host:port, such as 127.0.0.1:9464, or off (flag --listen)",
        "sink.rename: column \"c\" has two sources in rename and metadata (file sink.toml)",
        "topics.\"a.b\".pk_fields: must name the key columns of table \"x\" with pk_mode = \"record_value\"; for a \
         table without a key set pk_mode = \"none\" and insert_mode = \"insert\" (file sink.toml)",
        "topics.c.pk_fields: names \"x\" twice (file sink.toml)",
    ];
    assert_eq!(rules, expected.into());
}

#[test]
fn flags_go_over_variables_over_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sink.toml");
    fs::write(&file, "name = 'a'\nkafka.group_id = 'a'\nkafka.bootstrap_servers = 'a'").unwrap();
    let variables = [("SINK__NAME", "b"), ("SINK__KAFKA__GROUP_ID", "b")];
    let config = Config::load(&[file], variables, &[("--name", "name", Some("c"))]).unwrap();
    let found =
        (config.name.as_str(), config.kafka.group_id.as_str(), config.kafka.bootstrap_servers.as_str());
    assert_eq!(found, ("c", "b", "a"));
}
