//! Errors of the server while records flow: the sink waits and gives the reason, nothing is lost, dead-lettered or
//! written twice, and it recovers by itself.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tests::small_disk::SmallDisk;
use tests::{Record, Services, Sink, World, names, wait};

const PATIENCE: Duration = Duration::from_secs(60);
const SOME: i64 = 50;

/// A role of its own, its table, and a sink that inserts: a record written twice would be a dead letter.
struct Flow {
    world: World<'static>,
    sink: Sink,
    produced: i64,
}

impl Flow {
    fn new(name: &str, mode: &str) -> Self {
        let world = World::new(name)
            .table("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
            .keyed(mode, "id")
            .role("ALTER ROLE $role PASSWORD 'right'; GRANT ALL ON t TO $role; GRANT ALL ON SCHEMA public TO $role");
        let url = world.config.postgres_url().replace('@', ":right@");
        let world = world.set("postgres.url", url);
        let sink = world.sink();
        let mut flow = Self { world, sink, produced: 0 };
        flow.produce();
        flow.recovered();
        flow
    }

    fn produce(&mut self) {
        let ids = self.produced..self.produced + SOME;
        let record = |id| Record::json(&json!({"id": id, "v": "x".repeat(1_000)}));
        self.world.produce(ids.map(record));
        self.produced += SOME;
    }

    /// Updates the first rows, and checks that each was written once.
    fn update_again(&self) {
        self.world.produce_json((0..SOME).map(|id| json!({"id": id, "v": "again"})));
        self.assert_updated();
    }

    #[track_caller]
    fn assert_updated(&self) {
        let rows = (self.produced + SOME) as f64;
        self.sink.wait_metric(PATIENCE, "sink_rows_written_total", |written| written >= rows);
        assert_eq!(self.world.count("t WHERE v = 'again'"), SOME);
        assert_eq!(self.sink.assert_accounted(), rows as u64);
    }

    fn execute(&self, sql: &str) {
        self.world.execute(sql);
    }

    fn database(&self) -> String {
        self.world.one("SELECT current_database()::text")
    }

    /// Ends the sink's sessions; returns how many there were.
    fn cut(&self) -> u64 {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
        self.world.client().execute(cut, &[&self.world.role]).unwrap()
    }

    /// Not ready for this reason, and alive.
    #[track_caller]
    fn waits_for(&self, reason: &str) {
        self.sink.wait_not_ready(PATIENCE, &[reason]);
        self.sink.assert_live();
    }

    /// Everything produced is there, once, and nothing is a dead letter.
    #[track_caller]
    fn recovered(&self) {
        let produced = self.produced;
        self.sink.wait_metric(PATIENCE, "sink_records_consumed_total", |seen| seen >= produced as f64);
        self.sink.wait_ready(PATIENCE);
        self.sink.assert_accounted();
        let metrics = self.sink.metrics().unwrap();
        assert!(metrics.sum("sink_dead_letters_total") < 1.0);
        assert!((metrics.sum("sink_rows_written_total") - produced as f64).abs() < 0.5);
        let rows = self.world.client().query_one("SELECT count(*), max(id) FROM t", &[]).unwrap();
        assert_eq!((rows.get::<_, i64>(0), rows.get::<_, Option<i64>>(1)), (produced, Some(produced - 1)));
    }
}

#[test]
fn the_sink_waits_while_the_disk_is_full() {
    let place = Services::shared().postgres.dir().join(names::unique("small"));
    let Some(small) = SmallDisk::mount(&place) else {
        eprintln!("mount is refused here: 53100 is proven by a trigger only, in sqlstates");
        return full_by_trigger();
    };
    let mut flow = Flow::new("full", "insert");
    let space = names::unique("small").replace('-', "_");
    let location = place.display();
    flow.execute(&format!("CREATE TABLESPACE {space} LOCATION '{location}'"));
    flow.execute(&format!("ALTER TABLE t SET TABLESPACE {space}"));
    // All that is left, but for a page or two.
    let filler = small.fill(2_400_000);
    for _ in 0..12 {
        flow.produce();
    }
    flow.waits_for("(53100)");
    fs::remove_file(&filler).unwrap();
    flow.recovered();
    flow.execute("DROP TABLE t");
    flow.execute(&format!("DROP TABLESPACE {space}"));
    drop(small);
}

fn full_by_trigger() {
    let mut flow = Flow::new("full", "insert");
    flow.execute(
        "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER full BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION full()",
    );
    flow.produce();
    flow.waits_for("(53100)");
    flow.execute("DROP TRIGGER full ON t");
    flow.recovered();
}

#[test]
fn the_sink_waits_for_a_free_connection() {
    let mut flow = Flow::new("crowded", "insert");
    flow.execute("ALTER ROLE $role CONNECTION LIMIT 0");
    assert!(flow.cut() > 0);
    flow.produce();
    flow.waits_for("(53300)");
    flow.execute("ALTER ROLE $role CONNECTION LIMIT -1");
    flow.recovered();
}

#[test]
fn the_sink_waits_while_the_database_is_read_only() {
    let mut flow = Flow::new("readonly", "insert");
    let database = flow.database();
    let set = format!("ALTER DATABASE \"{database}\" SET default_transaction_read_only");
    flow.execute(&format!("{set} = on"));
    assert!(flow.cut() > 0);
    flow.produce();
    flow.waits_for("(25006)");
    flow.execute(&format!("{set} = off"));
    flow.recovered();
}

#[test]
fn sessions_that_are_terminated_again_and_again_lose_nothing() {
    let mut flow = Flow::new("terminated", "insert");
    let mut cut = 0;
    for _ in 0..5 {
        flow.produce();
        cut += flow.cut();
        flow.produce();
        let half = (flow.produced - SOME) as f64;
        flow.sink.wait_metric(PATIENCE, "sink_records_consumed_total", |seen| seen >= half);
    }
    assert!(cut >= 5, "{cut}");
    // In the middle of a transaction.
    let hold = flow.world.hold(&format!("INSERT INTO t VALUES ({})", flow.produced));
    flow.produce();
    let waiting =
        format!("pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'", flow.world.role);
    wait::until(PATIENCE, "a writer waits for the key", || flow.world.count(&waiting) > 0);
    flow.cut();
    hold.release();
    flow.recovered();
    assert!(flow.sink.metrics().unwrap().sum("sink_retries_total") > 0.0);
}

#[test]
fn a_session_that_ends_while_it_is_idle_is_replaced_at_once_and_is_no_problem() {
    let mut flow = Flow::new("idle", "insert");
    // By the server's own limit, and by an administrator.
    for limit in ["300ms", "0"] {
        flow.execute(&format!("ALTER ROLE $role SET idle_session_timeout = '{limit}'"));
        assert!(flow.cut() > 0);
        flow.produce();
        flow.recovered();
        for _ in 0..3 {
            let sessions = format!("pg_stat_activity WHERE usename = '{}'", flow.world.role);
            if limit == "0" {
                assert!(flow.cut() > 0);
            }
            let writers = || flow.world.count(&format!("{sessions} AND query LIKE 'COMMIT%'"));
            wait::holds(PATIENCE, "the writer's session has ended", writers, |writers| *writers == 0);
            flow.produce();
            flow.recovered();
        }
    }
    let log = flow.sink.stderr();
    assert!(!log.contains("WARN") && !log.contains("waiting"), "{log}");
    assert!(flow.sink.metrics().unwrap().sum("sink_retries_total") < 1.0);
}

#[test]
fn a_batch_is_tried_again_after_a_deadlock() {
    let flow = Flow::new("deadlock", "upsert");
    flow.execute("ALTER ROLE $role SET deadlock_timeout = '2s'");
    flow.cut();
    // The sink holds its position and wants a row of ours; we hold the row and want its position.
    let sql = "SET LOCAL deadlock_timeout = '1min'; SELECT * FROM t WHERE id = 7 FOR UPDATE";
    let mut other = flow.world.hold(sql);
    flow.world.produce_json((0..SOME).map(|id| json!({"id": id, "v": "again"})));
    wait::until(PATIENCE, "the sink waits for the row", || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'";
        flow.world.client().query_one(waiting, &[&flow.world.role]).unwrap().get::<_, i64>(0) > 0
    });
    other.client().batch_execute("UPDATE sink_offsets SET updated_at = now()").unwrap();
    // The server lets us go on before the sink has read that it was the victim.
    wait::until(PATIENCE, "the sink was the victim", || flow.sink.stderr().contains("(40P01)"));
    other.commit();
    flow.assert_updated();
}

#[test]
fn the_sink_waits_while_a_table_is_locked() {
    let mut flow = Flow::new("locked", "insert");
    let lock = flow.world.lock_table();
    flow.produce();
    flow.waits_for("(55P03)");
    lock.release();
    flow.recovered();
}

#[test]
fn the_sink_waits_until_a_revoked_permission_is_granted_again() {
    let mut flow = Flow::new("revoked", "insert");
    flow.execute("REVOKE INSERT ON t FROM $role");
    flow.produce();
    flow.waits_for("permission denied for table t (42501)");
    flow.execute("GRANT INSERT ON t TO $role");
    flow.recovered();
}

#[test]
fn inserts_and_updates_work_without_temporary_tables() {
    let mut flow = Flow::new("templess", "upsert");
    let database = flow.database();
    flow.execute(&format!("REVOKE TEMP ON DATABASE \"{database}\" FROM PUBLIC"));
    assert!(flow.cut() > 0, "sessions keep the temporary tables that they have");
    flow.produce();
    flow.recovered();
    let may: bool = flow
        .world
        .one(&format!("SELECT has_database_privilege('{}', current_database(), 'TEMP')", flow.world.role));
    assert!(!may);
    flow.update_again();
}

#[test]
fn the_sink_waits_while_its_password_is_wrong() {
    let mut flow = Flow::new("password", "insert");
    let rules = Services::shared().postgres.dir().join("data/pg_hba.conf");
    let before = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("host all \"{}\" 127.0.0.1/32 scram-sha-256\n{before}", flow.world.role))
        .unwrap();
    flow.execute("SELECT pg_reload_conf(); ALTER ROLE $role PASSWORD 'wrong'");
    flow.cut();
    flow.produce();
    flow.waits_for("(28P01)");
    flow.execute("ALTER ROLE $role PASSWORD 'right'");
    flow.recovered();
}
