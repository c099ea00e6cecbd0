//! `dead-letters replay` whose COMMIT is not answered looks whether it took place, and reports what has happened.

use std::time::Duration;

use serde_json::{Value, json};
use tests::proxy::Proxy;
use tests::{Record, Sink, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);

/// Twenty dead letters. Eighteen of them fit by now; their COMMIT takes two seconds.
fn world() -> World<'static> {
    let world = World::new("unanswered_replay").table("CREATE TABLE t (id int, n int)").unkeyed();
    let id = |n: i32| if n < 2 { json!("none") } else { json!(n) };
    world.drain((0..20).map(|n| Record::json(&json!({"id": id(n), "n": "many"}))));
    assert_eq!(world.dead_letters(), 20);
    world.execute(
        "ALTER TABLE t ALTER COLUMN n TYPE text;
         CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW WHEN (NEW.id = 7) EXECUTE FUNCTION dawdle()",
    );
    world
}

/// Starts a replay, and waits until its session is in COMMIT.
fn in_commit(world: &World<'_>, url: &str) -> (Sink, i32) {
    let config = world.config.clone().set("postgres.url", url);
    let replay = config.start(&["dead-letters", "replay", "--output", "json"]);
    let sql = "SELECT pid FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep' \
               AND datname = current_database()";
    let found = wait::holds(PATIENCE, "a COMMIT is under way", || world.column(sql), |pids| pids.len() == 1);
    (replay, found[0])
}

/// Whatever became of the first COMMIT: every row is there once, and counted once.
#[track_caller]
fn assert_replayed_once(world: &World<'_>, replay: &Sink) {
    let output = replay.wait(PATIENCE).expect_code(3);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&report["rows_written"], &report["failed"]), (&json!(18), &json!(2)), "{report}");
    assert_eq!(report["failures"][0]["count"], 2, "{report}");
    let distinct = world.count("(SELECT DISTINCT id FROM t) ids");
    assert_eq!((world.rows(), distinct, world.dead_letters()), (18, 18, 2));
}

#[test]
fn a_commit_that_took_place_without_an_answer_is_counted() {
    let world = world();
    let port = world.postgres.port();
    let proxy = Proxy::start(port).unwrap();
    let (replay, _) = in_commit(&world, &proxy.url(&world.url, port));
    // The server does not notice before it answers.
    proxy.reset_existing();
    assert_replayed_once(&world, &replay);
}

#[test]
fn a_commit_that_did_not_take_place_is_tried_again() {
    let world = world();
    let (replay, pid) = in_commit(&world, &world.url);
    world.execute(&format!("SELECT pg_terminate_backend({pid})"));
    assert_replayed_once(&world, &replay);
}
