//! Whatever comes in: each key is named, and what comes out is a configuration.

use super::*;

#[test]
fn a_connector_without_a_name_never_has_the_name_of_another_sink() {
    let text = r#"{"connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": "orders",
        "connection.url": "jdbc:postgresql://h/d", "pk.mode": "none"}"#;
    for (file, name) in [
        (None, "orders"),
        (Some("-"), "orders"),
        (Some("eu orders"), "eu-orders"),
        (Some("connector"), "connector-orders"),
    ] {
        let outside = Outside { file, ..Outside::default() };
        let translation = translate(parse(text).unwrap(), &outside).unwrap();
        assert_complete(&translation);
        let config = accepted(&translation);
        assert_eq!((config.name.as_str(), config.kafka.group_id), (name, format!("connect-{name}")));
        let not_given: Vec<&str> = translation.report.not_given().map(|(key, _)| key).collect();
        assert_eq!(not_given, ["name"]);
        let toml = render::toml(&translation).unwrap();
        assert!(toml.contains("# not given:\n#   name: "), "{toml}");
    }
    let with_group = text.replacen('{', r#"{"consumer.override.group.id": "own", "#, 1);
    assert_eq!(accepted(&translated(&with_group)).kafka.group_id, "own");
    let named = text.replacen('{', r#"{"name": "a", "consumer.override.group.id": "own", "#, 1);
    assert_eq!(clean(&translated(&named)).kafka.group_id, "own");
}

#[test]
fn a_database_that_is_not_named_is_never_the_default_one() {
    let text = r#"{"name": "a", "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": "orders"}"#;
    let translation = translated(text);
    assert_eq!(accepted(&translation).postgres.url.expose(), "postgresql://CHANGE-ME:5432/CHANGE-ME");
    assert_eq!(translation.report.not_given().map(|(key, _)| key).collect::<Vec<_>>(), ["connection.url"]);
}

#[test]
fn a_topic_of_dead_letters_that_is_read_is_a_finding() {
    for topics in [("topics.regex", "orders.*"), ("topics", "orders-dlq")] {
        let mut input = parse(
            r#"{"name": "a", "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
            "connection.url": "jdbc:postgresql://h/d", "errors.deadletterqueue.topic.name": "orders-dlq"}"#,
        )
        .unwrap_or_default();
        input.insert(topics.0.to_owned(), topics.1.to_owned());
        let translation = translate(input, &Outside::default()).unwrap();
        assert_complete(&translation);
        assert_eq!(not_supported(&translation), ["errors.deadletterqueue.topic.name"]);
        assert_eq!(accepted(&translation).errors.dead_letter_topic, None);
    }
}

/// A value that no rule of the translation looks at.
#[test]
fn what_the_rules_of_the_configuration_refuse_is_a_finding_at_its_key() {
    let translation = jdbc(&[("connection.url", "jdbc:postgresql://h/d?sslmode=sometimes")]);
    let text = toml::to_string(translation.settings()).unwrap();
    assert!(Config::from_text(&text, CHECKS).is_err(), "the case is not one any more: {text}");
    let (key, why) = translation.report.with(Outcome::NotSupported).next().unwrap();
    assert_eq!(key, "connection.url");
    assert!(why.contains("postgres.url: ") && why.contains("sslmode"), "{why}");
    let own = jdbc(&[("table.name.format", "sink_offsets")]);
    assert_eq!(own.report.not_given().map(|(key, _)| key).collect::<Vec<_>>(), ["offsets.table"]);
}

#[test]
fn what_the_workers_decide_is_to_be_completed() {
    let text = r#"{"name": "a", "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics": "a.b",
        "connection.url": "jdbc:postgresql://h/d", "insert.mode": "upsert", "primary.key.mode": "record_key",
        "primary.key.fields": "id"}"#;
    let translation = translated(text);
    clean(&translation);
    let todo = translation.todo.join("\n");
    for words in [
        "value.converter is not given",
        "key.converter is not given",
        "quote.identifiers is not given",
        "bootstrap_servers",
    ] {
        assert!(todo.contains(words), "{words}: {todo}");
    }
}

/// Keys of all three connectors, with values of all kinds.
fn inputs() -> impl Strategy<Value = BTreeMap<String, String>> {
    let all: Vec<(String, String)> = [CONFLUENT, AIVEN, DEBEZIUM]
        .iter()
        .flat_map(|text| parse(text).unwrap())
        .chain(EXTRA.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
        .collect();
    let entry = prop::sample::select(all);
    let odd = ("[a-z.]{1,20}", "[ -~]{0,20}");
    let topics = prop::sample::select(vec![
        Some("orders"),
        Some("a.b, c"),
        Some("t,t"),
        Some("not a topic"),
        Some(""),
        None,
    ]);
    (prop::collection::vec(entry, 0..60), prop::collection::vec(odd, 0..4), topics).prop_map(
        |(entries, odd, topics)| {
            let mut input: BTreeMap<String, String> = entries.into_iter().chain(odd).collect();
            input.remove("topics");
            input.extend(topics.map(|topics| ("topics".to_owned(), topics.to_owned())));
            input
        },
    )
}

const EXTRA: &[(&str, &str)] = &[
    ("insert.mode", "update"),
    ("pk.mode", "none"),
    ("pk.mode", "record_header"),
    ("pk.fields", "a,b,a"),
    ("table.name.format", "${source.table}"),
    ("table.name.format", "prefix_${topic}"),
    ("transforms", "route,rename,unknown,key"),
    ("transforms.route.type", "org.apache.kafka.connect.transforms.RegexRouter"),
    ("transforms.key.type", "org.apache.kafka.connect.transforms.ExtractField$Key"),
    ("transforms.key.field", "id"),
    ("consumer.override.session.timeout.ms", "soon"),
    ("errors.deadletterqueue.topic.name", "orders"),
    ("connection.url", "jdbc:postgresql://a,b:5433/d?ssl=true&user=u&password=p&x=1&currentSchema=a,b"),
    ("topics.to.tables.mapping", "orders:x, b, c:, t:a.b.c"),
    ("table.name.normalize", "true"),
    ("transforms.key.type", "org.apache.kafka.connect.transforms.HoistField$Key"),
    ("transforms", "k,x"),
    ("transforms", "x,route,r,f,u"),
    ("transforms.k.type", "org.apache.kafka.connect.transforms.ValueToKey"),
    ("transforms.k.fields", "id"),
    ("transforms.k.fields", "a,b"),
    ("transforms.x.type", "org.apache.kafka.connect.transforms.ExtractField$Key"),
    ("transforms.x.type", "org.apache.kafka.connect.transforms.HoistField$Key"),
    ("transforms.x.field", "id"),
    ("transforms.r.type", "org.apache.kafka.connect.transforms.ReplaceField$Key"),
    ("transforms.r.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
    ("transforms.r.renames", "id:order_id,a:b,b:a"),
    ("transforms.f.type", "org.apache.kafka.connect.transforms.Filter"),
    ("transforms.f.predicate", "p"),
    ("predicates", "p"),
    ("predicates.p.type", "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone"),
    ("transforms.u.type", "io.debezium.transforms.ExtractNewRecordState"),
    ("transforms.u.delete.handling.mode", "rewrite"),
    ("transforms.meta.type", "org.apache.kafka.connect.transforms.InsertField$Key"),
    ("value.converter", "io.confluent.connect.avro.AvroConverter"),
    ("value.converter", "io.confluent.connect.protobuf.ProtobufConverter"),
    ("value.converter", "io.confluent.connect.json.JsonSchemaConverter"),
    ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
    ("value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter"),
    ("value.converter.schemas.enable", "false"),
    ("key.converter", "io.confluent.connect.avro.AvroConverter"),
    ("key.converter", "org.apache.kafka.connect.converters.LongConverter"),
    ("connector.class", "com.example.OtherSink"),
    ("connector.class", "PostgresSink"),
    ("connection.host", "db"),
    ("kafka.api.key", "KEY"),
    ("kafka.api.secret", "s3cret"),
    ("connection.url", "jdbc:postgresql://h/d?sslmode=verify-ca"),
    ("connection.url", "${env:URL}"),
    ("consumer.override.bootstrap.servers", "${env:BOOTSTRAP}"),
    ("consumer.override.bootstrap.servers", "broker:x"),
    ("topics.regex", "orders.*"),
    ("errors.deadletterqueue.topic.name", "orders-dlq"),
    ("name", "${env:NAME}"),
    ("name", "a name with spaces and more than fifty-two characters, ö"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn every_key_is_named_once_and_the_result_is_a_configuration(input in inputs()) {
        // As a file of properties it is the same.
        let escaped = |text: &str| text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect::<String>();
        let file: String = input.iter().map(|(key, value)| format!("{}={}\n", escaped(key), escaped(value))).collect();
        prop_assert_eq!(&properties::parse(&file), &input);

        let translation = translate(input, &Outside::default()).unwrap();
        assert_complete(&translation);
        accepted(&translation);
        let helm = render::helm(&translation);
        prop_assert!(!helm.contains("s3cret"));
    }
}
