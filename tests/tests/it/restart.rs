//! Kills: whatever dies, every record is there exactly once.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tests::oracle::Expected;
use tests::{Record, Services, SinkConfig};

const RECORDS: u32 = 300_000;
const KILLS: usize = 20;

fn killed_again_and_again(ddl: &str, mode: &str, pk_mode: &str) {
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("killed", 8);
    let url = postgres.database("killed");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute(ddl).unwrap();
    let mut expected = Expected::by("id");
    let rows: Vec<Value> = (0..RECORDS).map(|n| json!({"id": n, "name": format!("n{n}")})).collect();
    for row in &rows {
        expected.add(row);
    }
    kafka.produce(&topic, rows.iter().map(|row| Record::json(row).key(row["id"].to_string())));
    let mut config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode(mode)
        .pk_mode(pk_mode)
        .set("batch.max_rows", 200)
        .property("session.timeout.ms", "6000");
    if pk_mode != "none" {
        config = config.pk_fields(&["id"]);
    }
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let stored = |client: &mut postgres::Client| -> i64 {
        client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
    };
    for kill in 0..KILLS {
        let before = stored(&mut client);
        let sink = config.run();
        tests::wait::until(Duration::from_secs(60), "rows are written", || stored(&mut client) > before);
        // A random moment of the work, not of the start.
        let further = before + random.random_range(200..8_000);
        tests::wait::until(Duration::from_secs(60), "some more rows are written", || {
            stored(&mut client) >= further.min(i64::from(RECORDS))
        });
        sink.sigkill();
        assert!(stored(&mut client) < i64::from(RECORDS), "kill {kill} must hit a sink at work");
    }
    let run =
        config.finish(&["run", "--until-end", "--summary", "json"], Duration::from_secs(180)).expect_code(0);
    assert!(run.count("rows_written") > 0);
    expected.assert_exactly_once(&mut client, "t");
}

#[test]
fn a_killed_sink_neither_loses_nor_duplicates_rows_of_a_keyed_table() {
    killed_again_and_again("CREATE TABLE t (id int PRIMARY KEY, name text)", "upsert", "record_value");
}

#[test]
fn a_killed_sink_neither_loses_nor_duplicates_rows_of_a_table_without_key() {
    killed_again_and_again("CREATE TABLE t (id int, name text)", "insert", "none");
}
