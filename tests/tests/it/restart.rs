//! Kills: whatever dies, every record is there exactly once.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tests::oracle::Expected;
use tests::{Record, Services, SinkConfig};

const RECORDS: u32 = 300_000;
const KILLS: usize = 20;

/// A fault beside the sink's own deaths, at one of the kills.
enum Fault {
    PostgresRestart,
    BrokerKill,
}

/// Which fault comes with kill number `kill`.
fn fault_at(kill: usize) -> Option<Fault> {
    match kill {
        2 | 6 | 10 | 14 | 18 => Some(Fault::PostgresRestart),
        4 | 12 => Some(Fault::BrokerKill),
        _ => None,
    }
}

struct Table {
    ddl: &'static str,
    mode: &'static str,
    pk_mode: &'static str,
}

const KEYED: Table =
    Table { ddl: "CREATE TABLE t (id int PRIMARY KEY, name text)", mode: "upsert", pk_mode: "record_value" };
const UNKEYED: Table = Table { ddl: "CREATE TABLE t (id int, name text)", mode: "insert", pk_mode: "none" };

fn stored(url: &str) -> i64 {
    tests::postgres::connect(url).query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
}

/// Kills a sink at work `KILLS` times; with `faults`, PostgreSQL and the broker die as well.
fn killed_again_and_again(services: &Services, table: &Table, faults: bool) {
    let Services { kafka, postgres } = services;
    let topic = kafka.topic("killed", 8);
    let url = postgres.database("killed");
    let record = |n: u32| json!({"id": n, "name": format!("n{n}")});
    kafka.produce(&topic, (0..RECORDS).map(|n| Record::json(&record(n)).key(n.to_string())));
    tests::postgres::connect(&url).batch_execute(table.ddl).unwrap();
    let mut expected = Expected::by("id");
    for n in 0..RECORDS {
        expected.add(&record(n));
    }
    let mut config = SinkConfig::new(kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode(table.mode)
        .pk_mode(table.pk_mode)
        .set("batch.max_rows", 200)
        .property("session.timeout.ms", "6000");
    if table.pk_mode != "none" {
        config = config.pk_fields(&["id"]);
    }
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for kill in 0..KILLS {
        let before = stored(&url);
        let sink = config.run();
        tests::wait::until(Duration::from_secs(60), "rows are written", || stored(&url) > before);
        let pids = (kafka.pid(), postgres.pid());
        let fault = if faults { fault_at(kill) } else { None };
        match fault {
            Some(Fault::PostgresRestart) => postgres.restart_immediate(),
            Some(Fault::BrokerKill) => {
                kafka.kill();
                kafka.restart();
            }
            None => {}
        }
        if fault.is_some() {
            assert_ne!(pids, (kafka.pid(), postgres.pid()), "another process answers");
        }
        // A random moment of the work, not of the start; after a fault, of the work that goes on.
        let further = stored(&url) + random.random_range(200..6_000);
        tests::wait::until(Duration::from_secs(90), "more rows are written", || {
            stored(&url) >= further.min(i64::from(RECORDS))
        });
        sink.sigkill();
        assert!(stored(&url) < i64::from(RECORDS), "kill {kill} must hit a sink at work");
    }
    let run =
        config.finish(&["run", "--until-end", "--summary", "json"], Duration::from_secs(180)).expect_code(0);
    assert!(run.count("rows_written") > 0);
    run.assert_accounted();
    expected.assert_exactly_once(&mut tests::postgres::connect(&url), "t");
}

#[test]
fn a_killed_sink_neither_loses_nor_duplicates_rows_of_a_keyed_table() {
    killed_again_and_again(Services::shared(), &KEYED, false);
}

#[test]
fn a_killed_sink_neither_loses_nor_duplicates_rows_of_a_table_without_key() {
    killed_again_and_again(Services::shared(), &UNKEYED, false);
}

#[test]
fn rows_of_a_keyed_table_outlive_deaths_of_sink_database_and_broker() {
    killed_again_and_again(&Services::private(), &KEYED, true);
}

#[test]
fn rows_of_a_table_without_key_outlive_deaths_of_sink_database_and_broker() {
    killed_again_and_again(&Services::private(), &UNKEYED, true);
}
