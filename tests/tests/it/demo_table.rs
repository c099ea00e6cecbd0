//! The table of the bundled configuration is not the table of other topics.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn topics_without_a_table_are_a_configuration_error_and_no_table_is_made() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("orders", 1);
    kafka.produce(&topic, [Record::json(&json!({"id": 1}))]);
    let url = postgres.database("demo_table");
    let base = SinkConfig::new(kafka.bootstrap(), &url);
    let regex = format!("^{topic}$");
    for config in [
        base.clone().topic(&topic),
        base.clone().env("SINK__KAFKA__TOPICS", &topic),
        base.clone().set("kafka.topics_regex", regex.as_str()),
        base.clone().topic(&topic).topic_set(&topic, "pk_fields", vec![toml::Value::from("id")]),
    ] {
        for command in [&["run", "--until-end"][..], &["check"], &["offsets", "show"], &["config"]] {
            let output = config.finish(command, SOON).expect_code(2);
            for words in ["sink.table: must be given", "SINK__SINK__TABLE", "\"ipl_livescores\" is only for"]
            {
                assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
            }
        }
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let count: i64 = tests::postgres::connect(&url).query_one(tables, &[]).unwrap().get(0);
    assert_eq!(count, 0);
}

#[test]
fn a_topic_that_the_configuration_lists_gets_a_table_of_its_own_name() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("orders", 1);
    kafka.produce(&topic, [Record::json(&json!({"id": 1}))]);
    let config = SinkConfig::new(kafka.bootstrap(), postgres.url()).topic(&topic);
    let output = config.finish(&["infer-ddl", "--topic", &topic], SOON).expect_code(0);
    assert!(output.stdout.contains(&format!("CREATE TABLE IF NOT EXISTS \"{topic}\"")), "{}", output.stdout);
    assert!(output.stdout.contains("Proposed from 1 of 1 record read"), "{}", output.stdout);
    assert!(!output.stdout.contains("ipl_livescores"), "{}", output.stdout);
}

#[test]
fn check_warns_of_a_key_that_repeats_and_is_not_named_like_one() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("orders", 1);
    let order = |id: u32, price: u32| Record::json(&json!({"id": id, "total_price": price, "n": id}));
    kafka.produce(&topic, [order(1, 5), order(2, 5), order(2, 5)]);
    let url = postgres.database("demo_table");
    let ddl = "CREATE TABLE t (id int UNIQUE, total_price int PRIMARY KEY, n int)";
    tests::postgres::connect(&url).batch_execute(ddl).unwrap();
    let config = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t");
    let output = config.clone().pk_fields(&["total_price"]).finish(&["check"], SOON).expect_code(0);
    assert!(output.stdout.contains("1 of 3 records overwrite another row"), "{}", output.stdout);
    kafka.produce(&topic, [order(2, 6)]);
    let output = config.pk_fields(&["id"]).finish(&["check"], SOON);
    assert!(!output.stdout.contains("overwrite another row"), "{}", output.stdout);
}

#[test]
fn check_warns_of_the_key_of_another_thing_if_the_records_have_one_of_their_own() {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("orders", 1);
    let order =
        |order: u32, customer: u32| Record::json(&json!({"customer_id": customer, "order_id": order}));
    kafka.produce(&topic, [order(1, 5), order(2, 5), order(3, 6)]);
    let url = postgres.database("demo_table");
    let ddl = "CREATE TABLE t (order_id int UNIQUE, customer_id int PRIMARY KEY)";
    tests::postgres::connect(&url).batch_execute(ddl).unwrap();
    let config = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t");
    let output = config.clone().pk_fields(&["customer_id"]).finish(&["check"], SOON).expect_code(0);
    let warning = "1 of 3 records overwrite another row, because they have the same customer_id, and all records differ in order_id";
    assert!(output.stdout.contains(warning), "{}", output.stdout);
    let output = config.pk_fields(&["order_id"]).finish(&["check"], SOON);
    assert!(!output.stdout.contains("overwrite another row"), "{}", output.stdout);
}
