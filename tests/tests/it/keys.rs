//! Where a row's key comes from, other writers of the same keys, and a missing index.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::{Value, json};
use tests::{Expected, Record, World, wait};

fn world(ddl: &str) -> World<'static> {
    World::new("keys").table(ddl)
}

fn keyed(key: &str, row: &Value) -> Record {
    Record::keyed(key, row.to_string())
}

#[test]
fn a_scalar_key_is_the_key_as_json_or_as_bare_text_and_wins_over_the_value() {
    let world = world("CREATE TABLE t (id text PRIMARY KEY, n int)");
    let records = [
        keyed("m1", &json!({"n": 1, "id": "not this"})),
        keyed("\"m2\"", &json!({"n": 2, "id": {"nor": "this"}})),
        keyed("42", &json!({"n": 3})),
        keyed("{\"id\": \"m4\", \"more\": 1}", &json!({"n": 4})),
        keyed("m1", &json!({"n": 5})),
        keyed("null", &json!({"n": 6})),
        keyed("{\"other\": 1}", &json!({"n": 7})),
        Record::json(&json!({"id": "m8", "n": 8})),
    ];
    let world = world
        .with(|config| config.pk_mode("record_key").pk_fields(&["id"]).set("sink.unknown_fields", "reject"));
    assert_eq!(world.drain(records).count("dead_letters"), 3);
    assert_eq!(world.reasons(), ["null_value", "missing_field", "missing_field"]);
    let mut expected = Expected::by("id");
    for (id, n) in [("m1", 5), ("m2", 2), ("42", 3), ("m4", 4)] {
        expected.add(&json!({"id": id, "n": n}));
    }
    expected.assert_exactly_once(&mut world.client(), "t");
}

#[test]
fn an_object_key_gives_a_composite_key_by_name_after_rename() {
    let world = world("CREATE TABLE t (a int, \"B b\" text, n int, PRIMARY KEY (\"B b\", a))");
    let records = [
        keyed(r#"{"a": 1, "b": "x"}"#, &json!({"n": 1, "a": 7})),
        keyed(r#"{"b": "y", "a": 1}"#, &json!({"n": 2})),
        keyed(r#"{"a": "1", "b": "x"}"#, &json!({"n": 3})),
        keyed("1", &json!({"n": 4})),
    ];
    let world = world
        .with(|config| config.pk_mode("record_key").pk_fields(&["a", "B b"]).set("sink.rename.b", "B b"));
    assert_eq!(world.drain(records).count("dead_letters"), 1);
    let mut expected = Expected::by("B b");
    expected.add(&json!({"a": 1, "B b": "x", "n": 3}));
    expected.add(&json!({"a": 1, "B b": "y", "n": 2}));
    expected.assert_exactly_once(&mut world.client(), "t");
    assert_eq!(world.reasons(), ["not_an_object"]);
}

#[test]
fn topic_partition_and_offset_are_a_key_that_a_replay_meets_again() {
    let world = world(
        "CREATE TABLE t (__connect_topic text, __connect_partition int, __connect_offset bigint, n int, \
         PRIMARY KEY (__connect_topic, __connect_partition, __connect_offset))",
    );
    let world = world.with(|config| config.pk_mode("kafka").insert_mode("insert_ignore"));
    let run = world.drain((0..50).map(|n| Record::json(&json!({"n": n}))));
    assert_eq!(run.count("rows_written"), 50);
    // Another connector of the same table reads everything again.
    let again = world.config.clone().name("again").group(&format!("{}_again", world.topic()));
    let run = again.until_end();
    assert_eq!((run.count("rows_written"), run.count("skipped")), (0, 50));
    let wrong =
        "SELECT count(*), count(*) FILTER (WHERE __connect_topic <> $1 OR __connect_offset <> n) FROM t";
    let row = world.client().query_one(wrong, &[&world.topic()]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (50, 0));
}

#[test]
fn columns_that_a_record_lacks_are_left_alone_even_if_not_null_or_checked() {
    let world = world(
        "CREATE TABLE t (id int PRIMARY KEY, needed text NOT NULL, n int CHECK (n IS NOT NULL AND n > 0), \
         d int DEFAULT 7, x text); \
         INSERT INTO t SELECT i, 'kept', i, 1, 'old' FROM generate_series(1, 100) i",
    );
    let updates = (1..=100).map(|id| Record::json(&json!({"id": id, "x": format!("x{id}")})));
    let inserts = [
        Record::json(&json!({"id": 200, "needed": "new", "n": 1})),
        Record::json(&json!({"id": 300, "n": 1})),
    ];
    let world = world.upsert("id");
    let run = world.drain(updates.chain(inserts));
    assert_eq!((run.count("rows_written"), run.count("dead_letters")), (101, 1));
    let mut expected = Expected::by("id");
    (1..=100).for_each(|id| {
        expected.add(&json!({"id": id, "needed": "kept", "n": id, "d": 1, "x": format!("x{id}")}));
    });
    expected.add(&json!({"id": 200, "needed": "new", "n": 1, "d": 7}));
    expected.assert_exactly_once(&mut world.client(), "t");
}

/// Another writer: inserts random keys, rolls half of them back, and with `deletes` also deletes rows of its own.
fn write_as_another(url: &str, keys: i32, deletes: bool, stop: &AtomicBool) -> u32 {
    let mut client = tests::postgres::connect(url);
    let mut random = rand::rng();
    let mut inserted = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = random.random_range(0..keys);
        let mut transaction = client.transaction().unwrap();
        let sql = "INSERT INTO t VALUES ($1, 'other') ON CONFLICT DO NOTHING";
        inserted += u32::try_from(transaction.execute(sql, &[&key]).unwrap()).unwrap();
        if random.random_range(0..2) == 0 {
            transaction.commit().unwrap();
        } else {
            transaction.rollback().unwrap();
        }
        if deletes {
            client
                .execute("DELETE FROM t WHERE id = $1 AND who = 'other'", &[&random.random_range(0..keys)])
                .unwrap();
        }
    }
    inserted
}

#[test]
fn another_writer_of_the_same_keys_neither_stops_the_sink_nor_takes_a_row_from_it() {
    const KEYS: i32 = 20_000;
    for mode in ["upsert", "insert_ignore"] {
        let world = world("CREATE TABLE t (id int PRIMARY KEY, who text)");
        let world = world.keyed(mode, "id").set("batch.max_rows", 500);
        world.produce((0..KEYS).map(|id| Record::json(&json!({"id": id, "who": "sink"}))));
        let stop = AtomicBool::new(false);
        let (run, inserted) = thread::scope(|scope| {
            // Rows that insert_ignore left to the other writer must stay, or rows would be missing for another reason.
            let other = scope.spawn(|| write_as_another(&world.url, KEYS, mode == "upsert", &stop));
            wait::until(Duration::from_secs(60), "the other writer writes", || world.rows() > 0);
            let run = world.config.until_end();
            stop.store(true, Ordering::Relaxed);
            (run, other.join().unwrap())
        });
        assert!(inserted > 50, "the other writer must have inserted keys meanwhile: {inserted}");
        assert_eq!((run.count("records"), run.count("dead_letters")), (i64::from(KEYS), 0));
        assert_eq!(world.rows(), i64::from(KEYS), "{mode}");
        if mode == "upsert" {
            assert_eq!(world.count("t WHERE who = 'sink'"), i64::from(KEYS));
        }
    }
}

/// Holds rows with the keys 1, 2 and 3 of `t` uncommitted while `sink` runs, each in a transaction of its own, and
/// commits each as soon as the sink waits for it: first its COPY, then the COPY after the look-up, and at last the
/// INSERT … ON CONFLICT, which waits for the other transaction.
pub(crate) fn let_keys_appear(url: &str, rows: [&str; 3], sink: impl FnOnce() + Send) {
    let mut holders = rows.map(|row| {
        let mut client = tests::postgres::connect(url);
        client.batch_execute(&format!("BEGIN; INSERT INTO t VALUES {row}")).unwrap();
        client
    });
    let mut observer = tests::postgres::connect(url);
    thread::scope(|scope| {
        scope.spawn(sink);
        for holder in &mut holders {
            let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
            let waiting = "SELECT count(*) FROM pg_stat_activity \
                           WHERE application_name LIKE 'kafka-sink:%' AND $1 = ANY (pg_blocking_pids(pid))";
            wait::until(Duration::from_secs(60), "the sink waits for the other's row", || {
                observer.query_one(waiting, &[&pid]).unwrap().get::<_, i64>(0) > 0
            });
            holder.batch_execute("COMMIT").unwrap();
        }
    });
}

#[test]
fn a_key_that_appears_between_the_look_up_and_the_insert_is_treated_as_one_that_was_there() {
    let counted = ["rows_written", "skipped", "dead_letters"];
    for (mode, who, counts) in
        [("upsert", "sink", [4, 0, 0]), ("insert_ignore", "other", [1, 3, 0]), ("insert", "other", [1, 0, 3])]
    {
        let world = world("CREATE TABLE t (id int PRIMARY KEY, who text)");
        let records = [1, 2, 3, 4].map(|id| Record::json(&json!({"id": id, "who": "sink"})));
        let world = world.keyed(mode, "id");
        world.produce(records);
        let_keys_appear(&world.url, ["(1, 'other')", "(2, 'other')", "(3, 'other')"], || {
            let run = world.config.until_end();
            assert_eq!(counted.map(|field| run.count(field)), counts, "{mode}");
        });
        let mut expected = Expected::by("id");
        (1..=3).for_each(|id| expected.add(&json!({"id": id, "who": who})));
        expected.add(&json!({"id": 4, "who": "sink"}));
        expected.assert_exactly_once(&mut world.client(), "t");
    }
}

#[test]
fn a_missing_unique_index_is_named_with_the_statement_that_makes_it() {
    let world = world("CREATE TABLE t (\"a b\" int, c text, n int)");
    let world = world.with(|config| config.pk_fields(&["a b", "c"]));
    world.produce([Record::json(&json!({"a b": 1, "c": "x", "n": 1}))]);
    let sink = world.sink();
    let body = sink.wait_not_ready(Duration::from_secs(60), &["CREATE UNIQUE INDEX CONCURRENTLY ON "]);
    let text = serde_json::from_str::<Value>(&body).unwrap().to_string().replace("\\\"", "\"");
    let begin = text.find("CREATE UNIQUE INDEX").unwrap();
    let end = begin + text[begin..].find(')').expect("the end of the statement");
    let statement = &text[begin..=end];
    assert_eq!(statement, "CREATE UNIQUE INDEX CONCURRENTLY ON \"t\" (\"a b\", \"c\")");
    world.execute(statement);
    sink.wait_ready(Duration::from_secs(60));
    sink.wait_metric(Duration::from_secs(60), "sink_rows_written_total", |rows| rows == 1.0);
}
