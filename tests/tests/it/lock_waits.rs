//! Who waits for a lock says for which table, and which process has it.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);

fn world() -> World<'static> {
    let world = World::new("lock_waits").table("CREATE TABLE t (id int PRIMARY KEY, n int)").upsert("id");
    world.produce([Record::json(&json!({"id": 1, "n": 1}))]);
    world
}

/// The holder's process, as the sink has to name it.
fn process(hold: &mut tests::world::Hold) -> String {
    let pid: i32 = hold.client().query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    format!("table t is locked by process {pid}")
}

#[test]
fn a_locked_table_is_named_with_the_process_that_has_it() {
    let world = world();
    let sink = world.sink();
    world.wait_rows(PATIENCE, 1);
    let mut hold = world.hold("SET application_name = 'a migration'; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    let process = process(&mut hold);
    world.produce([Record::json(&json!({"id": 2, "n": 2}))]);
    wait::until(PATIENCE, "the sink waits for the table", || world.sink_waits_for_table());
    let body = sink.wait_not_ready(PATIENCE, &[&process, "a migration", "transaction open since 20"]);
    // Once it is known, it stays known while the lock lasts, and is not logged again and again.
    wait::stays(Duration::from_secs(8), "the process is named", || {
        sink.get("/readyz").is_ok_and(|(_, body)| body.contains(&process))
    });
    let status: Value = serde_json::from_str(&sink.get("/status").unwrap().1).unwrap();
    let detail = status["partitions"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(&process), "{status}");
    let warned = sink.stderr().lines().filter(|line| line.contains(&process)).count();
    assert!((1..=4).contains(&warned), "{warned} lines, {body}:\n{}", sink.stderr());
    hold.release();
    world.wait_rows(PATIENCE, 2);
    sink.wait_ready(PATIENCE);
}

#[test]
fn a_locked_row_is_named_by_its_table_and_the_process_that_has_it() {
    let world = world();
    let sink = world.sink();
    world.wait_rows(PATIENCE, 1);
    let mut hold = world.hold("SELECT * FROM t WHERE id = 1 FOR UPDATE");
    let process = process(&mut hold);
    world.produce([Record::json(&json!({"id": 1, "n": 2}))]);
    wait::until_ok(PATIENCE, "the process is named", || {
        let (_, body) = sink.get("/readyz")?;
        anyhow::ensure!(body.contains(&process), "{body}");
        Ok::<_, anyhow::Error>(())
    });
    hold.release();
    wait::holds(PATIENCE, "the row", || world.one::<i32>("SELECT n FROM t"), |n| *n == 2);
    sink.wait_ready(PATIENCE);
}
