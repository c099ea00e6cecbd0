mod connections;
mod differences;
mod keys;
mod loading;
mod tables;

use proptest::prelude::*;

use super::*;
use crate::commands::CHECKS;
use crate::config::{Config, InsertMode, PkMode};

const CONFLUENT: &str = include_str!("tests/confluent.json");
const AIVEN: &str = include_str!("tests/aiven.json");
const DEBEZIUM: &str = include_str!("tests/debezium.json");

fn translated(text: &str) -> Translation {
    translate(parse(text).unwrap(), &Outside::default()).unwrap()
}

/// The configuration as `sink-connector config` accepts it.
fn accepted(translation: &Translation) -> Config {
    let text = render::toml(translation).unwrap();
    Config::from_text(&text, CHECKS).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// Each key of the input stands in the report once, and in the comments of the file.
fn assert_complete(translation: &Translation) {
    let comments: Vec<String> = render::toml(translation).unwrap().lines().map(str::to_owned).collect();
    for key in translation.input.keys() {
        let line = format!("#   {key}: ");
        assert_eq!(comments.iter().filter(|comment| comment.starts_with(&line)).count(), 1, "{key}");
    }
    let reported: usize = Outcome::ALL.iter().map(|outcome| translation.report.count(*outcome)).sum();
    assert_eq!(reported, translation.input.len());
}

fn not_supported(translation: &Translation) -> Vec<&str> {
    translation.report.with(Outcome::NotSupported).map(|(key, _)| key).collect()
}

#[test]
fn a_configuration_of_confluent_is_translated() {
    let translation = translated(CONFLUENT);
    assert_complete(&translation);
    let config = accepted(&translation);
    assert_eq!(
        (config.name.as_str(), config.kafka.group_id.as_str()),
        ("orders-sink", "connect-orders-sink")
    );
    assert_eq!(
        config.postgres.url.expose(),
        "postgresql://sink%40shop@db.example.com:5432/shop?options=-csearch_path%3Dsales&sslmode=require"
    );
    let orders = config.topic("prod.orders");
    assert_eq!(
        (orders.table.as_str(), orders.insert_mode, orders.pk_mode),
        ("orders", InsertMode::Upsert, PkMode::RecordKey)
    );
    assert_eq!((orders.pk_fields, orders.delete_enabled), (vec!["order_id".to_owned()], true));
    assert_eq!(orders.rename["custName"], "customer_name");
    assert_eq!(orders.rename["id"], "order_id");
    assert_eq!(orders.metadata["offset"], "kafka_offset");
    assert_eq!(config.batch.max_rows, 3000);
    assert_eq!(config.kafka.properties["sasl.username"], "connect");
    assert_eq!(config.kafka.properties["fetch.min.bytes"], "1048576");
    assert_eq!(
        not_supported(&translation),
        [
            "auto.create",
            "consumer.override.ssl.truststore.location",
            "consumer.override.ssl.truststore.password",
            "transforms.flat.delimiter",
            "transforms.flat.type",
            "transforms.rename.exclude"
        ]
    );
    let text = render::toml(&translation).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    assert!(
        text.contains("password_file = ") && text.contains("\"sasl.password\" = \"CHANGE-ME\""),
        "{text}"
    );
}

#[test]
fn a_configuration_of_aiven_is_translated() {
    let translation = translated(AIVEN);
    assert_complete(&translation);
    let config = accepted(&translation);
    assert_eq!(config.kafka.topics_regex.as_deref(), Some("^(metrics[.].*)$"));
    assert_eq!(config.topic("metrics.cpu").table, "metrics.cpu");
    assert_eq!((config.sink.insert_mode, config.sink.pk_mode), (InsertMode::Insert, PkMode::Kafka));
    assert_eq!(config.errors.dead_letter_topic.as_deref(), Some("metrics-dlq"));
    assert_eq!(config.topic("metrics.cpu").pk_fields, ["topic", "part", "off"]);
    assert_eq!(not_supported(&translation), ["value.converter", "value.converter.schema.registry.url"]);
}

#[test]
fn a_configuration_of_debezium_is_translated() {
    let translation = translated(DEBEZIUM);
    assert_complete(&translation);
    let config = accepted(&translation);
    assert_eq!(config.postgres.url.expose(), "postgresql://repl@replica:5432/shop");
    assert_eq!(config.topic("dbserver1.inventory.customers").table, "customers");
    assert_eq!(config.sink.value_format, crate::decode::ValueFormat::Debezium);
    assert_eq!(config.sink.json_strings, crate::decode::JsonStrings::Parse, "strings are cast to jsonb");
    assert_eq!((config.sink.insert_mode, config.sink.pk_mode), (InsertMode::Upsert, PkMode::RecordKey));
    assert_eq!(not_supported(&translation), ["schema.evolution"]);
    assert_eq!(config.errors.tolerance, crate::config::Tolerance::None);
}

#[test]
fn a_field_without_a_column_is_refused_as_the_connectors_do_unless_fields_are_chosen() {
    use crate::config::UnknownFields::{Ignore, Reject};
    let base =
        r#""name": "a", "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": "t""#;
    for (more, expected) in [
        ("", Reject),
        (r#", "auto.evolve": "false""#, Reject),
        (r#", "auto.evolve": "true""#, Reject),
        (r#", "fields.whitelist": "id,name""#, Ignore),
        (r#", "field.exclude.list": "t:x""#, Ignore),
        (
            r#", "transforms": "r", "transforms.r.type": "x.ReplaceField$Value", "transforms.r.exclude": "x""#,
            Ignore,
        ),
        (
            r#", "transforms": "r", "transforms.r.type": "x.ReplaceField$Value", "transforms.r.renames": "x:y""#,
            Reject,
        ),
    ] {
        let translation = translated(&format!("{{{base}{more}}}"));
        assert_complete(&translation);
        assert_eq!(accepted(&translation).topic("t").unknown_fields, expected, "{more}");
    }
}

#[test]
fn the_insert_of_several_rows_is_an_insert_and_numbers_of_another_unit_are_named() {
    let translation = translated(
        r#"{"name": "a", "connector.class": "io.aiven.connect.jdbc.JdbcSinkConnector", "topics": "t",
            "insert.mode": "MULTI", "timestamp.fields.list": "at", "timestamp.precision.mode": "nanoseconds"}"#,
    );
    assert_eq!(accepted(&translation).sink.insert_mode, InsertMode::Insert);
    assert_eq!(not_supported(&translation), ["timestamp.fields.list", "timestamp.precision.mode"]);
}

#[test]
fn what_a_worker_returns_and_files_of_properties_are_read() {
    let returned = r#"{"name": "a", "config": {"name": "a", "connector.class": "x.JdbcSinkConnector", "topics": "t",
        "tasks.max": 2}, "tasks": [{"connector": "a", "task": 0}], "type": "sink"}"#;
    let translation = translated(returned);
    assert_complete(&translation);
    accepted(&translation);
    let properties = "# comment\nname = a\nconnector.class=io.aiven.connect.jdbc.JdbcSinkConnector\ntopics=t\nconnection.url=jdbc:postgresql:shop";
    let translation = translated(properties);
    assert_eq!(accepted(&translation).postgres.url.expose(), "postgresql://localhost/shop");
    let latin = text(b"# f\xfcr\nname=a\ntopics=t\n".to_vec());
    assert_eq!(parse(&latin).unwrap()["name"], "a");
    assert_eq!(parse(&text(b"\xef\xbb\xbf{\"topics\": \"t\"}".to_vec())).unwrap()["topics"], "t");
    for wrong in ["[]", "{", "{\"a\": 1}", "", "{\"config\": 1}", "{\"topics\": [\"a\"]}"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_url_of_another_database_is_refused_by_name() {
    for (url, reason) in [("jdbc:mysql://h/d", "PostgreSQL"), ("${file:/s:url}", "the worker resolves it")] {
        let input = BTreeMap::from([
            ("connection.url", url),
            ("topics", "t"),
            ("connector.class", "x.JdbcSinkConnector"),
        ]);
        let input = input.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let translation = translate(input, &Outside::default()).unwrap();
        let why: Vec<&str> = translation.report.with(Outcome::NotSupported).map(|(_, why)| why).collect();
        assert!(why[0].contains(reason), "{why:?}");
        accepted(&translation);
    }
}

#[test]
fn helm_values_hold_the_same_configuration() {
    let text = render::helm(&translated(CONFLUENT));
    for line in [
        "connectors:\n  orders-sink:\n    config:\n",
        "    kafka:\n      bootstrapServers: \"broker-1:9093,broker-2:9093\"\n",
        "      existingSecret: kafka-credentials\n      secretProperties:\n        sasl.password: password\n",
        "    postgres:\n      existingSecret: postgres-credentials\n      url: \"postgresql://sink%40shop@",
        "      sink:\n",
        "        insert_mode: upsert\n",
        "        pk_fields: [order_id]\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("CHANGE-ME"), "{text}");
}

/// A configuration of Confluent's connector for the topic `orders`, with these keys as well.
fn jdbc(more: &[(&str, &str)]) -> Translation {
    let base = [
        ("name", "orders-sink"),
        ("connector.class", "io.confluent.connect.jdbc.JdbcSinkConnector"),
        ("topics", "orders"),
        ("connection.url", "jdbc:postgresql://db:5432/shop"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
    ];
    let input = base.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let translation = translate(input.collect(), &Outside::default()).unwrap();
    assert_complete(&translation);
    translation
}

/// The configuration of a translation without a finding.
fn clean(translation: &Translation) -> Config {
    assert!(translation.report.is_complete(), "{}", translation.report);
    accepted(translation)
}
