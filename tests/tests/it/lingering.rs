//! A bounded run does not wait for `batch.linger_ms` once it takes no more records.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Record, World};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_bounded_run_writes_its_last_batch_at_once_however_long_it_may_linger() {
    for args in
        [&["run", "--until-end"][..], &["run", "--max-records", "10"], &["run", "--idle-timeout", "3s"]]
    {
        let world = World::new("lingering")
            .table("CREATE TABLE t (id int PRIMARY KEY, n int)")
            .upsert("id")
            .set("batch.linger_ms", 60_000);
        world.produce((0..10).map(|id| Record::json(&json!({"id": id, "n": id}))));
        let started = Instant::now();
        world.config.finish(args, PATIENCE).expect_code(0);
        assert_eq!(world.rows(), 10);
        assert!(started.elapsed() < Duration::from_secs(30), "{args:?}: {:?}", started.elapsed());
    }
}
