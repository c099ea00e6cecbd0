//! The table changes while records flow: no garbage, no dead letters, and the sink goes on by itself.
//!
//! Every change is made while a writer waits for the table with a batch that was encoded for what the table was: the
//! test holds the table's lock, sees the writer wait for it, and only then commits the change.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use postgres::Client;
use serde_json::{Value, json};
use tests::oracle::Expected;
use tests::{Record, Sink, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);
/// Rows to be written before and after a change.
const SOME: i64 = 500;
const KEYS: i64 = 400;

/// Its bytes as an int8 are no plausible float8, and the other way round; all of them fit into an int4.
fn value(id: i64) -> i64 {
    1_000_000 + id * 7
}

/// A table, the topic that flows into it, and the sink between them.
struct Flow {
    world: World<'static>,
    sink: Sink,
    produced: AtomicI64,
    stop: AtomicBool,
}

/// Ends the producing thread also when the test panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flow {
    /// `keyed`: an upsert by id, else plain inserts, where a record written twice is two rows.
    fn new(name: &str, partitions: i32, ddl: &str, keyed: bool) -> Self {
        let world = World::new(name).partitions(partitions).table(ddl).set("batch.max_rows", 50);
        let world = if keyed { world.upsert("id") } else { world.unkeyed() };
        let sink = world.sink();
        Self { world, sink, produced: AtomicI64::new(0), stop: AtomicBool::new(false) }
    }

    fn client(&self) -> Client {
        self.world.connect()
    }

    /// Produces `record(0)`, `record(1)` … for as long as `during` runs; then waits until all of them are written.
    /// Returns how many there are.
    fn run(&self, record: impl Fn(i64) -> Record + Sync, during: impl FnOnce()) -> i64 {
        thread::scope(|scope| {
            scope.spawn(|| {
                while !self.stop.load(Ordering::Relaxed) {
                    let first = self.produced.load(Ordering::Relaxed);
                    self.world.produce((first..first + 50).map(&record));
                    self.produced.store(first + 50, Ordering::Relaxed);
                    wait::let_pass(Duration::from_millis(20));
                }
            });
            let _stop = Stop(&self.stop);
            self.more_rows();
            during();
            self.more_rows();
        });
        let produced = self.produced.load(Ordering::Relaxed);
        self.sink
            .wait_metric(PATIENCE, "sink_records_consumed_total", |consumed| consumed >= produced as f64);
        assert_eq!(self.sink.assert_accounted(), produced.unsigned_abs());
        let metrics = self.sink.metrics().unwrap();
        assert_eq!(metrics.sum("sink_dead_letters_total"), 0.0);
        assert_eq!(metrics.sum("sink_fenced_total"), 0.0);
        self.sink.wait_ready(PATIENCE);
        produced
    }

    fn written(&self) -> f64 {
        self.sink.metrics().map_or(0.0, |metrics| metrics.sum("sink_rows_written_total"))
    }

    /// Waits until so many more rows have been written.
    #[track_caller]
    fn more_rows(&self) {
        let before = self.written();
        wait::until(PATIENCE, "rows are written", || self.written() >= before + SOME as f64);
    }

    /// Makes the change in one transaction, which commits when a writer with a batch waits for the table. `see` is
    /// called inside of it, with the table locked.
    #[track_caller]
    fn change<T>(&self, sql: &str, see: impl FnOnce(&mut postgres::Transaction<'_>) -> T) -> T {
        let mut client = self.client();
        let mut transaction = client.transaction().unwrap();
        transaction.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
        transaction.batch_execute(sql).unwrap();
        let seen = see(&mut transaction);
        let mut observer = self.client();
        wait::until(PATIENCE, "a writer waits for the table with a batch", || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'kafka-sink:%' \
                AND datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%LOCK TABLE%'";
            observer.query_one(waiting, &[]).unwrap().get::<_, i64>(0) > 0
        });
        transaction.commit().unwrap();
        seen
    }

    #[track_caller]
    fn noticed(&self, changes: usize) {
        wait::until(PATIENCE, "the sink notices that the table has changed", || {
            self.sink.stderr().matches("the table has changed").count() >= changes
        });
    }
}

fn row(id: i64) -> Value {
    json!({"id": id, "v": value(id), "name": format!("n{id}")})
}

/// Every record makes a row.
fn new_row(id: i64) -> Record {
    Record::json(&row(id)).key(id.to_string())
}

/// Rows of few keys, again and again: nearly all of them are updates.
fn changed_row(n: i64) -> Record {
    let mut row = row(n);
    row["id"] = json!(n % KEYS);
    Record::json(&row).key((n % KEYS).to_string())
}

fn every_record_once(produced: i64) -> Expected {
    let mut expected = Expected::by("id");
    (0..produced).for_each(|id| expected.add(&row(id)));
    expected
}

const UNKEYED: &str = "CREATE TABLE t (id bigint, v bigint, name text)";
const KEYED: &str = "CREATE TABLE t (id bigint PRIMARY KEY, v bigint, name text)";

fn retyped(name: &str, new_type: &str) {
    let flow = Flow::new(name, 4, UNKEYED, false);
    let produced = flow.run(new_row, || {
        flow.change(&format!("ALTER TABLE t ALTER COLUMN v TYPE {new_type}"), |_| ());
        flow.noticed(1);
    });
    every_record_once(produced).assert_exactly_once(&mut flow.client(), "t");
}

#[test]
fn a_column_retyped_from_int8_to_float8_holds_no_garbage() {
    retyped("int8_float8", "float8");
}

#[test]
fn a_column_retyped_from_int8_to_int4_holds_no_garbage() {
    retyped("int8_int4", "int4");
}

#[test]
fn a_column_retyped_under_upserts_holds_no_garbage() {
    let flow = Flow::new("upserts_retyped", 4, KEYED, true);
    let produced = flow.run(changed_row, || {
        flow.change("ALTER TABLE t ALTER COLUMN v TYPE float8", |_| ());
        flow.noticed(1);
        flow.more_rows();
        flow.change("ALTER TABLE t ALTER COLUMN v TYPE int4", |_| ());
        flow.noticed(2);
    });
    let mut expected = Expected::by("id");
    for n in 0..produced {
        let mut last = row(n);
        last["id"] = json!(n % KEYS);
        expected.put(&last);
    }
    expected.assert_exactly_once(&mut flow.client(), "t");
}

#[test]
fn a_column_dropped_and_added_again_holds_no_garbage() {
    let flow = Flow::new("readded", 4, UNKEYED, false);
    let produced = flow.run(new_row, || {
        flow.change("ALTER TABLE t DROP COLUMN v", |_| ());
        flow.noticed(1);
        flow.more_rows();
        flow.change("ALTER TABLE t ADD COLUMN v bigint", |_| ());
        flow.noticed(2);
        flow.more_rows();
        // At once, and in another order: same names and types, other column numbers.
        let both = "ALTER TABLE t DROP COLUMN v, DROP COLUMN name; ALTER TABLE t ADD COLUMN name text, ADD COLUMN v bigint";
        flow.change(both, |_| ());
        flow.noticed(3);
    });
    let mut client = flow.client();
    let ids = client.query("SELECT id FROM t ORDER BY id", &[]).unwrap();
    let ids: Vec<i64> = ids.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, (0..produced).collect::<Vec<_>>(), "exactly once for the column that stayed");
    let wrong: i64 = client
        .query_one("SELECT count(*) FROM t WHERE v <> 1000000 + id * 7 OR name <> 'n' || id", &[])
        .unwrap()
        .get(0);
    assert_eq!(wrong, 0, "a value that nobody produced");
    let filled: i64 = client
        .query_one("SELECT count(*) FROM t WHERE v IS NOT NULL AND name IS NOT NULL", &[])
        .unwrap()
        .get(0);
    assert!((SOME..produced).contains(&filled), "{filled} of {produced} rows have what was added last");
}

#[test]
fn a_table_that_is_renamed_and_renamed_back_loses_nothing() {
    let flow = Flow::new("renamed", 4, UNKEYED, false);
    let produced = flow.run(new_row, || {
        flow.change("ALTER TABLE t RENAME TO other", |_| ());
        flow.sink.wait_not_ready(PATIENCE, &["table t does not exist"]);
        let (before, produced) = (flow.written(), flow.produced.load(Ordering::Relaxed));
        wait::until(PATIENCE, "records flow", || flow.produced.load(Ordering::Relaxed) > produced + SOME);
        assert!((flow.written() - before).abs() < f64::EPSILON, "nothing is written without the table");
        flow.sink.assert_live();
        flow.client().batch_execute("ALTER TABLE other RENAME TO t").unwrap();
    });
    every_record_once(produced).assert_exactly_once(&mut flow.client(), "t");
}
