//! Whose fault is an error that looks like configuration or like an internal error? Evidence decides, without neighbours: the
//! value alone, and rows that the table has taken before.

use std::time::Duration;

use postgres::Client;
use serde_json::{Value, json};
use tests::{Record, Services, Sink, SinkConfig, names, wait};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const TO_THE_END: [&str; 6] = ["run", "--until-end", "--deadline", "40s", "--summary", "json"];

/// A trigger that does this for rows with `v = -1`.
fn trigger(when: &str, stumble: &str) -> String {
    format!(
        "CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.v = -1 THEN {stumble}; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER stumble {when} ON t FOR EACH ROW EXECUTE FUNCTION stumble()"
    )
}

fn raise(code: &str) -> String {
    format!("RAISE EXCEPTION 'stumbled' USING ERRCODE = '{code}'")
}

struct World {
    topic: String,
    client: Client,
    config: SinkConfig,
}

impl World {
    fn new(ddl: &str) -> Self {
        let Services { kafka, postgres } = Services::shared();
        let topic = kafka.topic("evidence", 1);
        let url = postgres.database("evidence");
        let mut client = tests::postgres::connect(&url);
        client.batch_execute(ddl).unwrap();
        let config = SinkConfig::new(kafka.bootstrap(), &url)
            .topic(&topic)
            .table("t")
            .pk_fields(&["id"])
            .set("batch.linger_ms", 300);
        Self { topic, client, config }
    }

    fn produce(&self, values: impl IntoIterator<Item = Value>) {
        Services::shared().kafka.produce(&self.topic, values.into_iter().map(|value| Record::json(&value)));
    }

    /// The offsets of the dead letters with this code; there are no others.
    #[track_caller]
    fn assert_dead_letters(&mut self, code: &str, offsets: &[i64]) {
        let sql = "SELECT \"offset\", sqlstate FROM sink_dead_letters ORDER BY 1";
        let found = self.client.query(sql, &[]).unwrap();
        let found: Vec<(i64, Option<String>)> = found.iter().map(|row| (row.get(0), row.get(1))).collect();
        let expected: Vec<_> = offsets.iter().map(|offset| (*offset, Some(code.to_owned()))).collect();
        assert_eq!(found, expected);
    }

    fn rows(&mut self) -> i64 {
        self.client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
    }

    /// Reads to the end: these offsets are dead letters with this code, all others are rows.
    #[track_caller]
    fn assert_rejected(&mut self, code: &str, offsets: &[i64], rows: i64) {
        let run = self.config.finish(&TO_THE_END, PATIENCE).expect_code(0);
        run.assert_accounted();
        assert!(!run.stderr.to_lowercase().contains("canary"), "a value is in the log: {}", run.stderr);
        self.assert_dead_letters(code, offsets);
        assert_eq!(self.rows(), rows, "{code}");
    }

    /// It waits for this reason, with a few attempts, and makes no dead letters of it.
    #[track_caller]
    fn assert_waits(&mut self, sink: &Sink, reason: &str) {
        let answer = || sink.get("/readyz").map_err(|error| error.to_string());
        wait::holds(PATIENCE, &format!("/readyz says {reason:?}"), answer, |answer| {
            answer.as_ref().is_ok_and(|(status, body)| *status == 503 && body.contains(reason))
        })
        .unwrap();
        let retries = sink.metrics().unwrap().sum("sink_retries_total");
        sink.wait_metric(PATIENCE, "sink_retries_total", |n| n >= retries + 4.0);
        self.assert_dead_letters("", &[]);
    }
}

#[test]
fn a_value_that_its_type_refuses_is_a_dead_letter_also_alone_in_an_empty_table() {
    for (kind, value, code) in [("ltree", "a..b", "42601"), ("hstore", "k=>", "XX000")] {
        for bad in [1, 6] {
            let mut world = World::new(&format!(
                "CREATE EXTENSION {kind}; CREATE TABLE t (id int PRIMARY KEY, path {kind}, tags {kind}[])"
            ));
            world.produce((0..bad).map(|id| match id % 2 {
                0 => json!({"id": id, "path": value}),
                _ => json!({"id": id, "tags": [value]}),
            }));
            world.assert_rejected(code, &(0..bad).collect::<Vec<_>>(), 0);
        }
    }
}

#[test]
fn a_value_that_names_what_does_not_exist_is_a_dead_letter_also_alone_in_an_empty_table() {
    for (kind, value, code) in [
        ("regclass", "canary", "42P01"),
        ("regproc", "canary", "42883"),
        ("regnamespace", "canary", "3F000"),
        ("regclass", "canary.public.t", "0A000"),
    ] {
        let mut world = World::new(&format!("CREATE TABLE t (id int PRIMARY KEY, v {kind}, w {kind}[])"));
        world.produce([json!({"id": 0, "v": value}), json!({"id": 1, "w": [value]})]);
        world.assert_rejected(code, &[0, 1], 0);
    }
}

#[test]
fn a_value_that_its_type_refuses_does_not_hold_back_its_neighbours() {
    for (kind, good, value, code) in [("ltree", "a.b", "a..b", "42601"), ("hstore", "k=>v", "k=>", "XX000")] {
        let mut world = World::new(&format!(
            "CREATE EXTENSION {kind}; CREATE DOMAIN odd AS {kind} CHECK (VALUE IS NOT NULL); \
             CREATE TABLE t (id int PRIMARY KEY, v odd)"
        ));
        world.produce([good, value, good].iter().zip(0..).map(|(v, id)| json!({"id": id, "v": v})));
        world.assert_rejected(code, &[1], 2);
    }
}

#[test]
fn a_trigger_that_fails_for_one_row_of_ten_rejects_that_row_whatever_its_code() {
    for code in ["XX000", "58030", "58P01", "54001", "42883", "0A000", "22P04"] {
        let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int);";
        let mut world = World::new(&format!("{ddl} {}", trigger("AFTER INSERT", &raise(code))));
        world.produce((0..10).map(|id| json!({"id": id, "v": if id == 4 { -1 } else { id }})));
        world.assert_rejected(code, &[4], 9);
    }
}

#[test]
fn a_record_that_fails_alone_is_decided_by_a_row_of_the_table() {
    for (when, code) in [
        ("BEFORE INSERT OR UPDATE", "XX000"),
        ("BEFORE INSERT OR UPDATE", "42P01"),
        ("AFTER INSERT OR UPDATE", "42883"),
    ] {
        // A new key; and one that exists, which is updated.
        for (mode, id) in [("insert", 100), ("upsert", 100), ("upsert", 7), ("insert_ignore", 100)] {
            let mut world = World::new(&format!(
                "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; {}",
                trigger(when, &raise(code))
            ));
            world.config = world.config.insert_mode(mode);
            world.produce([json!({"id": id, "v": -1})]);
            world.assert_rejected(code, &[0], 50);
        }
    }
}

#[test]
fn a_trigger_that_fails_for_every_row_is_the_operators_to_fix_though_the_table_has_rows() {
    // A key that exists never reaches an AFTER trigger, and an update never an INSERT trigger.
    for (when, mode) in [
        ("BEFORE INSERT", "insert"),
        ("AFTER INSERT", "insert"),
        ("AFTER INSERT", "upsert"),
        ("AFTER UPDATE", "upsert"),
        ("AFTER INSERT", "insert_ignore"),
    ] {
        let mut world = World::new(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; \
             CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN INSERT INTO audits VALUES (NEW.id); RETURN NEW; END $$; \
             CREATE TRIGGER audit {when} ON t FOR EACH ROW EXECUTE FUNCTION audit()"
        ));
        let id = if when == "AFTER UPDATE" { 7 } else { 100 };
        world.config = world.config.insert_mode(mode);
        world.produce([json!({"id": id, "v": 1})]);
        let sink = world.config.run();
        world.assert_waits(&sink, "(42P01)");
        world.client.batch_execute("CREATE TABLE audits (id int)").unwrap();
        sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 1.0);
        sink.wait_ready(PATIENCE);
        assert_eq!(sink.assert_accounted(), 1);
        world.assert_dead_letters("", &[]);
    }
}

#[test]
fn an_index_or_a_conditional_trigger_that_fails_for_every_row_is_the_operators_to_fix() {
    let index = "CREATE TABLE rates (n int); \
         CREATE FUNCTION rate(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM count(*) FROM public.rates; RETURN n; END $$; \
         CREATE INDEX rates_of_t ON t (rate(v)); DROP TABLE rates";
    let trigger = "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM count(*) FROM public.rates; RETURN NEW; END $$; \
         CREATE TRIGGER audit AFTER UPDATE ON t FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) \
           EXECUTE FUNCTION audit()";
    for (cause, mode, id) in
        [(index, "insert", 100), (index, "upsert", 100), (index, "upsert", 7), (trigger, "upsert", 7)]
    {
        // All rows have the same value: giving one the values of another changes nothing.
        let mut world = World::new(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, 1 FROM generate_series(1, 50) n; {cause}"
        ));
        world.config = world.config.insert_mode(mode);
        world.produce([json!({"id": id, "v": 2})]);
        let sink = world.config.run();
        world.assert_waits(&sink, "(42P01)");
        world.client.batch_execute("CREATE TABLE rates (n int)").unwrap();
        sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 1.0);
        sink.wait_ready(PATIENCE);
        world.assert_dead_letters("", &[]);
    }
}

#[test]
fn a_role_that_may_not_delete_is_still_recognised_by_other_rows() {
    let role = names::unique("undeleting").replace('-', "_");
    let mut world = World::new(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE INDEX ON t (v); \
         INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; \
         CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE ON t TO {role}; GRANT ALL ON SCHEMA public TO {role}; {}",
        trigger("AFTER INSERT OR UPDATE", &raise("XX000"))
    ));
    let url = world.config.config().get("postgres.url").and_then(|url| url.as_str()).unwrap().to_owned();
    world.config = world.config.set("postgres.url", url.replace("postgres@", &format!("{role}@")));
    world.produce([json!({"id": 100, "v": -1}), json!({"id": 7, "v": -1})]);
    world.assert_rejected("XX000", &[0, 1], 50);
}

#[test]
fn where_nothing_decides_it_waits_and_says_for_what() {
    let mut world = World::new(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, v int); {}",
        trigger("BEFORE INSERT", &raise("XX000"))
    ));
    world.produce([json!({"id": 0, "v": -1})]);
    let sink = world.config.run();
    world.assert_waits(&sink, "no other row of t shows whether the record or the table is at fault");
    // The operator helps with a row of the table.
    world.client.batch_execute("INSERT INTO t VALUES (1, 1)").unwrap();
    sink.wait_metric(PATIENCE, "sink_dead_letters_total", |n| n >= 1.0);
    sink.wait_ready(PATIENCE);
    world.assert_dead_letters("XX000", &[0]);
}

#[test]
fn a_tombstone_that_fails_alone_is_decided_by_another_row_that_can_be_deleted() {
    let mut world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 50) n; \
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF OLD.id = 7 THEN RAISE EXCEPTION 'kept' USING ERRCODE = 'XX000'; END IF; RETURN OLD; END $$; \
         CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()",
    );
    world.config = world.config.insert_mode("upsert").pk_mode("record_key").set("sink.delete_enabled", true);
    Services::shared().kafka.produce(&world.topic, [Record::tombstone(r#"{"id": 7}"#)]);
    world.assert_rejected("XX000", &[0], 50);
}

#[test]
fn corrupted_data_is_never_the_records_fault() {
    for code in ["XX001", "XX002"] {
        let mut world = World::new(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, v int); {}",
            trigger("BEFORE INSERT", &raise(code))
        ));
        world.produce((0..10).map(|id| json!({"id": id, "v": if id == 4 { -1 } else { id }})));
        let sink = world.config.run();
        world.assert_waits(&sink, code);
        world.client.batch_execute("DROP TRIGGER stumble ON t").unwrap();
        sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 10.0);
        world.assert_dead_letters("", &[]);
    }
}

#[test]
fn a_role_that_may_only_insert_is_recognised_by_the_row_that_it_wrote_last() {
    let role = names::unique("writer").replace('-', "_");
    let mut world = World::new(&format!(
        "CREATE TABLE t (id int, v int); CREATE ROLE {role} LOGIN; GRANT INSERT ON t TO {role}; \
         GRANT ALL ON SCHEMA public TO {role}; {}",
        trigger("BEFORE INSERT", &raise("42P01"))
    ));
    let url = world.config.config().get("postgres.url").and_then(|url| url.as_str()).unwrap().to_owned();
    world.config = world
        .config
        .set("postgres.url", url.replace("postgres@", &format!("{role}@")))
        .insert_mode("insert")
        .pk_mode("none");
    let sink = world.config.run();
    world.produce([json!({"id": 0, "v": 0})]);
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= 1.0);
    world.produce([json!({"id": 1, "v": -1})]);
    sink.wait_metric(PATIENCE, "sink_dead_letters_total", |n| n >= 1.0);
    sink.wait_ready(PATIENCE);
    let found: i64 = world.client.query_one("SELECT count(*) FROM sink_dead_letters", &[]).unwrap().get(0);
    assert_eq!((found, world.rows()), (1, 1));
}
