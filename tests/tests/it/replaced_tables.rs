//! A target table that was replaced does not have the rows of earlier records: its partitions stop until someone says what
//! is meant. What keeps the rows keeps the sink going.

use postgres::Client;
use tests::postgres::{connect, install};
use tests::scratch::Scratch;
use tests::{Services, names, wait};

use crate::lost_positions::{self, SOON, Scene};

const TABLE: &str = "CREATE TABLE t (topic text, partition int, n int)";
const RECREATED: &str = "table_recreated";

/// Three records in each of two partitions, written.
fn written() -> (Scene, Client) {
    let scene = Scene::new(1, 2);
    for partition in [0, 1] {
        scene.produce(0, partition, 0..3);
    }
    scene.drain();
    let client = connect(&scene.url);
    (scene, client)
}

/// Three more records in each partition are written, and every one is in the table once.
#[track_caller]
fn goes_on(scene: &Scene) {
    for partition in [0, 1] {
        scene.produce(0, partition, 3..6);
    }
    scene.drain();
    for partition in [0, 1] {
        scene.assert_numbers(0, partition, 0..6);
    }
}

fn reset(scene: &Scene, to: &str) -> String {
    scene.config.finish(&["offsets", "reset", to, "--execute"], SOON).expect_code(0).stdout
}

#[test]
fn a_table_that_ddl_file_creates_again_stops_its_partitions_until_its_rows_are_written_again() {
    let (mut scene, mut client) = written();
    let dir = Scratch::new("ddl").unwrap();
    let file = dir.path().join("t.sql");
    std::fs::write(&file, TABLE).unwrap();
    scene.config = scene.config.clone().set("sink.ddl_file", file.to_str().unwrap());
    client.batch_execute("DROP TABLE t").unwrap();
    for partition in [0, 1] {
        scene.produce(0, partition, 3..6);
    }
    let sink = scene.config.run();
    for partition in [0, 1] {
        let words = ["table t is not the one", "offsets reset --to-earliest", "--to-stored"];
        scene.assert_stopped(&sink, 0, partition, RECREATED, &words);
        assert!(scene.numbers(0, partition).is_empty(), "the new table is there");
    }
    let ready = || sink.get("/readyz").unwrap_or_else(|error| (0, error.to_string()));
    wait::holds(SOON, "/readyz says why", ready, |(status, body)| {
        *status == 503 && body.contains("table t is not the one")
    });
    // Three records of each partition are not written.
    wait::holds(SOON, "the lag", || sink.sum("sink_lag_records"), |lag| *lag == 6.0);
    let status: serde_json::Value = serde_json::from_str(&sink.get("/status").unwrap().1).unwrap();
    assert_eq!(
        (&status["partitions"][0]["position"], &status["partitions"][0]["lag"]),
        (&3.into(), &3.into()),
        "{status}"
    );
    scene.end(&sink);
    let check = scene.config.finish(&["check", "--sample", "0"], SOON).expect_code(1);
    assert!(check.stdout.contains(RECREATED) && check.stdout.contains("offsets reset"), "{}", check.stdout);
    reset(&scene, "--to-earliest");
    scene.drain();
    for partition in [0, 1] {
        scene.assert_numbers(0, partition, 0..6);
    }
}

#[test]
fn a_table_replaced_while_the_sink_runs_gets_no_row_before_it_is_accepted() {
    let scene = Scene::new(1, 2);
    let sink = scene.config.run();
    for partition in [0, 1] {
        scene.produce(0, partition, 0..3);
        scene.wait_for(0, partition, 0..3);
    }
    connect(&scene.url).batch_execute(&format!("DROP TABLE t; {TABLE}")).unwrap();
    for partition in [0, 1] {
        scene.produce(0, partition, 3..6);
        scene.assert_stopped(&sink, 0, partition, RECREATED, &["table t is not the one"]);
    }
    assert!(sink.metrics().unwrap().sum("sink_fenced_total") >= 1.0, "the fence refused the new table");
    scene.end(&sink);
    for partition in [0, 1] {
        assert!(scene.numbers(0, partition).is_empty());
        assert_eq!(scene.position(0, partition), Some(3));
    }
    reset(&scene, "--to-stored");
    scene.drain();
    for partition in [0, 1] {
        scene.assert_numbers(0, partition, 3..6);
    }
}

#[test]
fn a_table_that_was_swapped_for_its_copy_is_accepted_with_one_command() {
    let (scene, mut client) = written();
    client
        .batch_execute(
            "CREATE TABLE copy AS TABLE t; ALTER TABLE t RENAME TO old; ALTER TABLE copy RENAME TO t",
        )
        .unwrap();
    let stopped = lost_positions::run(&scene.config, &["--until-end"]).expect_code(1);
    assert!(stopped.stderr.contains("--to-stored"), "{}", stopped.stderr);
    let plan = reset(&scene, "--to-stored");
    assert!(plan.contains("3 -> 3") && plan.contains("2 positions"), "{plan}");
    goes_on(&scene);
}

#[test]
fn what_keeps_the_rows_of_a_table_keeps_the_sink_going() {
    let (scene, mut client) = written();
    for change in [
        "ALTER TABLE t ALTER COLUMN n TYPE bigint; ALTER TABLE t ALTER COLUMN n TYPE int",
        "ALTER TABLE t RENAME TO other; ALTER TABLE other RENAME TO t",
        "CREATE TABLE saved AS TABLE t; TRUNCATE t; INSERT INTO t TABLE saved",
        "ALTER TABLE t SET UNLOGGED; ALTER TABLE t SET LOGGED",
    ] {
        client.batch_execute(change).unwrap();
    }
    client.batch_execute("VACUUM FULL t").unwrap();
    goes_on(&scene);
}

#[test]
fn a_view_that_is_created_again_still_has_its_rows() {
    let scene = Scene::new(1, 2);
    let mut client = connect(&scene.url);
    client.batch_execute("ALTER TABLE t RENAME TO rows; CREATE VIEW t AS TABLE rows").unwrap();
    for partition in [0, 1] {
        scene.produce(0, partition, 0..3);
    }
    scene.drain();
    client.batch_execute("DROP VIEW t; CREATE VIEW t AS TABLE rows").unwrap();
    goes_on(&scene);
}

#[test]
fn a_database_that_was_restored_from_a_dump_goes_on_by_itself() {
    let (mut scene, mut client) = written();
    let postgres = &Services::shared().postgres;
    let source = scene.url.rsplit_once('/').unwrap().1;
    let dump = install::command("pg_dump")
        .unwrap()
        .args(["-h", "127.0.0.1", "-U", "postgres", "--inserts", "-p", &postgres.port().to_string(), source])
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let sql: Vec<&str> =
        std::str::from_utf8(&dump.stdout).unwrap().lines().filter(|line| !line.starts_with('\\')).collect();
    let oid = "SELECT 't'::regclass::oid";
    let before: u32 = client.query_one(oid, &[]).unwrap().get(0);
    scene.url = postgres.database("restored");
    scene.config = scene.config.clone().set("postgres.url", scene.url.as_str());
    let mut restored = connect(&scene.url);
    // Other oids than in the database that was dumped.
    restored.batch_execute("CREATE TABLE first (); CREATE TABLE second ()").unwrap();
    connect(&scene.url).batch_execute(&sql.join("\n")).unwrap();
    let after: u32 = restored.query_one("SELECT 'public.t'::regclass::oid", &[]).unwrap().get(0);
    assert_ne!(before, after);
    goes_on(&scene);
    let other = "SELECT count(*) FROM sink_offsets WHERE target_id LIKE '%:' || 't'::regclass::oid";
    let stored: i64 = restored.query_one(other, &[]).unwrap().get(0);
    assert_eq!(stored, 2, "the positions belong to the restored table from now on");
}

#[test]
fn an_offsets_table_of_an_earlier_version_gets_its_column_where_the_role_may() {
    let (mut scene, mut client) = written();
    let role = names::unique("writer").replace('-', "_");
    client
        .batch_execute(&format!(
            "ALTER TABLE sink_offsets DROP COLUMN target_id; CREATE ROLE {role} LOGIN; \
             GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}"
        ))
        .unwrap();
    let owner = scene.config.clone();
    scene.config = owner.clone().set("postgres.url", scene.url.replace("postgres@", &format!("{role}@")));
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'sink_offsets'::regclass AND attname = 'target_id'";
    let sink = scene.config.run();
    for partition in [0, 1] {
        scene.produce(0, partition, 3..4);
        scene.wait_for(0, partition, 0..4);
    }
    let warnings = sink.stderr().matches("has no column target_id").count();
    assert_eq!(warnings, 1, "{}", sink.stderr());
    sink.sigterm();
    sink.wait(SOON).expect_code(0);
    assert_eq!(client.query_one(columns, &[]).unwrap().get::<_, i64>(0), 0);
    scene.config = owner;
    scene.drain();
    let stored = "SELECT count(*) FROM sink_offsets WHERE target_id LIKE '%:' || 't'::regclass::oid";
    wait::until(SOON, "the identity is stored", || {
        client.query_one(stored, &[]).is_ok_and(|row| row.get::<_, i64>(0) == 2)
    });
}
