//! Tables of topics.

use super::*;

#[test]
fn tables_that_aiven_maps_or_normalizes_are_tables_of_topics() {
    let base = r#""name": "a", "connector.class": "io.aiven.connect.jdbc.JdbcSinkConnector", "table.name.format": "kafka_${topic}""#;
    let table = |keys: &str, topic: &str| {
        let translation = translated(&format!("{{{base}, {keys}}}"));
        assert_complete(&translation);
        (accepted(&translation).topic(topic).table, not_supported(&translation).join(" "))
    };
    let mapped = r#""topics": "cpu,my.mem-1", "topics.to.tables.mapping": "cpu:metrics_cpu , other:x""#;
    assert_eq!(table(mapped, "cpu"), ("metrics_cpu".to_owned(), String::new()));
    assert_eq!(table(mapped, "my.mem-1").0, "kafka_my.mem-1");
    let normalized = format!(r#"{mapped}, "table.name.normalize": "true""#);
    assert_eq!(table(&normalized, "cpu").0, "metrics_cpu");
    assert_eq!(table(&normalized, "my.mem-1"), ("kafka_my_mem_1".to_owned(), String::new()));
    let regex =
        r#""topics.regex": "cpu.*", "topics.to.tables.mapping": "cpu:x", "table.name.normalize": "true""#;
    let by_hand = "table.name.normalize topics.to.tables.mapping".to_owned();
    assert_eq!(table(regex, "cpu"), ("kafka_cpu".to_owned(), by_hand));
}

#[test]
fn routers_in_a_chain_go_on_from_the_name_that_the_one_before_gave() {
    let translation = jdbc(&[
        ("topics", "db.shop.orders,other"),
        ("transforms", "a,b"),
        ("transforms.a.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.a.regex", r"db\.shop\.(.*)"),
        ("transforms.a.replacement", "$1"),
        ("transforms.b.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.b.regex", "(.*)"),
        ("transforms.b.replacement", "stg_$1"),
    ]);
    let config = clean(&translation);
    assert_eq!(config.topic("db.shop.orders").table, "stg_orders");
    assert_eq!(config.topic("other").table, "stg_other");
    let normalized = jdbc(&[
        ("connector.class", "io.aiven.connect.jdbc.JdbcSinkConnector"),
        ("topics", "eu.shop.orders"),
        ("table.name.normalize", "true"),
    ]);
    assert_eq!(clean(&normalized).topic("eu.shop.orders").table, "eu_shop_orders");
    let back = jdbc(&[
        ("transforms", "a,b"),
        ("transforms.a.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.a.regex", "orders"),
        ("transforms.a.replacement", "x"),
        ("transforms.b.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.b.regex", "x"),
        ("transforms.b.replacement", "orders"),
    ]);
    assert_eq!(clean(&back).topic("orders").table, "orders");
}

#[test]
fn the_tables_that_debezium_names_by_a_pattern_are_a_finding() {
    let debezium = |more: &[(&str, &str)]| {
        let class = ("connector.class", "io.debezium.connector.jdbc.JdbcSinkConnector");
        let modes =
            [("insert.mode", "upsert"), ("primary.key.mode", "record_key"), ("primary.key.fields", "id")];
        let more: Vec<_> = [class].into_iter().chain(modes).chain(more.iter().copied()).collect();
        jdbc(&[&more[..], &[("topics", "")]].concat())
    };
    let by_pattern = debezium(&[("topics.regex", r"shop\.public\..*")]);
    assert!(not_supported(&by_pattern).contains(&"topics.regex"), "{}", by_pattern.report);
    accepted(&by_pattern);
    let one_table = debezium(&[("topics.regex", r"shop\.public\..*"), ("collection.name.format", "changes")]);
    assert!(!not_supported(&one_table).contains(&"topics.regex"), "{}", one_table.report);
}

#[test]
fn a_transform_without_a_type_is_a_finding() {
    let translation = jdbc(&[("transforms", "route")]);
    assert_eq!(not_supported(&translation), ["transforms"]);
    accepted(&translation);
}
