//! Behind a pooler that assigns backends by transaction, nothing is written: session settings and prepared statements would be
//! those of another session.

use std::time::Duration;

use serde_json::json;
use tests::World;
use tests::postgres::pooler::Pooler;

const PATIENCE: Duration = Duration::from_secs(60);
const REFUSED: &str = "a pooler assigns connections by transaction (pgbouncer: pool_mode = transaction)";
const ACTION: &str = "connect to the server itself, or set pool_mode = session";

fn behind(mode: &str, more: &str) -> (World<'static>, Pooler) {
    let world = World::new("pooler").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    let pooler = Pooler::with(&world.postgres, mode, more).expect("pgbouncer starts");
    let database: String = world.one("SELECT current_database()::text");
    let url = pooler.url_of(&database);
    (world.set("postgres.url", url), pooler)
}

#[test]
fn a_pooler_that_assigns_by_transaction_is_refused_at_the_start_with_the_words_of_check() {
    let (world, _pooler) = behind("transaction", "");
    world.produce_json((0..50).map(|id| json!({ "id": id })));
    let check = world.config.finish(&["check"], PATIENCE).expect_code(1);
    assert!(check.stdout.contains(REFUSED) && check.stdout.contains(ACTION), "{}", check.stdout);
    let sink = world.sink();
    sink.wait_not_ready(PATIENCE, &[REFUSED, ACTION]);
    sink.assert_live();
    let bounded = world.config.finish(&["run", "--until-end", "--deadline", "5s"], PATIENCE).expect_code(5);
    assert!(bounded.stderr.contains(REFUSED), "{}", bounded.stderr);
    // By now, backends have statements of these sessions.
    let again = world.config.finish(&["check"], PATIENCE).expect_code(1);
    assert!(again.stdout.contains(REFUSED) && again.stdout.contains(ACTION), "{}", again.stdout);
    sink.wait_not_ready(PATIENCE, &[REFUSED]);
    assert_eq!(world.rows(), 0);
    let positions: bool = world.one("SELECT to_regclass('sink_offsets') IS NOT NULL");
    assert!(!positions, "the table of positions was created");
}

#[test]
fn a_pooler_that_assigns_by_session_carries_records() {
    let (world, _pooler) = behind("session", "");
    world.config.finish(&["check"], PATIENCE).expect_code(0);
    world.produce_json((0..50).map(|id| json!({ "id": id })));
    world.config.until_end().expect_code(0);
    assert_eq!(world.rows(), 50);
}

#[test]
fn a_pooler_with_more_backends_than_sessions_is_refused_as_well() {
    // Each transaction gets the next backend, so that sessions seldom share one at the same time.
    let settings = "server_round_robin = 1\nmin_pool_size = 4\ndefault_pool_size = 8";
    for _ in 0..3 {
        let (world, _pooler) = behind("transaction", settings);
        world.produce_json((0..50).map(|id| json!({ "id": id })));
        let check = world.config.finish(&["check"], PATIENCE).expect_code(1);
        assert!(check.stdout.contains(REFUSED), "{}", check.stdout);
        let run = world.config.finish(&["run", "--until-end", "--deadline", "5s"], PATIENCE).expect_code(5);
        assert!(run.stderr.contains(REFUSED), "{}", run.stderr);
        assert_eq!(world.rows(), 0);
    }
}
