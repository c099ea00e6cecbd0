//! Values that functions of the database put into their errors: only dead letters have them.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tests::scratch::Scratch;
use tests::{ProducerConfig, Record, Sink, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);
/// In the values of records.
const VALUE: &str = "kanarienvogel";

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, kind text, u text, n numeric GENERATED ALWAYS AS (1) STORED); \
     CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
       CASE NEW.kind \
         WHEN 'assert' THEN ASSERT false, 'bad ' || NEW.u; \
         WHEN 'raise' THEN RAISE EXCEPTION USING MESSAGE = NEW.u, DETAIL = NEW.u, HINT = NEW.u; \
         WHEN 'retry' THEN RAISE EXCEPTION USING MESSAGE = NEW.u, ERRCODE = '40001'; \
         WHEN 'missing' THEN RAISE EXCEPTION USING MESSAGE = 'schema \"' || NEW.u || '\"', ERRCODE = '42P01'; \
         WHEN 'execute' THEN EXECUTE format('INSERT INTO %I VALUES (1)', 'events_' || NEW.u); \
         WHEN 'schema' THEN EXECUTE format('SELECT 1 FROM %I.x', NEW.u); \
         WHEN 'type' THEN EXECUTE format('SELECT NULL::%I', NEW.u); \
         WHEN 'column' THEN EXECUTE format('SELECT %I FROM t', NEW.u); \
         WHEN 'cast' THEN PERFORM NEW.u::regclass; \
         WHEN 'number' THEN NEW.n := NEW.u::int; \
         ELSE NULL; \
       END CASE; RETURN NEW; END $$; \
     CREATE TRIGGER speak BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION speak()";

const KINDS: &[&str] =
    &["assert", "raise", "missing", "execute", "schema", "type", "column", "cast", "number"];

fn world(format: &str) -> World<'static> {
    World::new("canaries")
        .table(TABLE)
        .keyed("insert", "id")
        .set("log.format", format)
        .set("errors.breaker_ratio", 1.0)
        .with(|config| config.env("RUST_LOG", "debug"))
}

#[track_caller]
fn assert_hidden(what: &str, text: &str) {
    if let Some(line) = text.lines().find(|line| line.to_lowercase().contains(VALUE)) {
        panic!("{what} shows it: {line}");
    }
}

fn record(id: i32, kind: &str) -> Record {
    Record::json(&json!({"id": id, "kind": kind, "u": format!("{VALUE} {kind}")}))
}

fn assert_pages_hide(sink: &Sink) {
    for path in ["/status", "/readyz", "/metrics"] {
        assert_hidden(path, &sink.get(path).unwrap().1);
    }
}

#[test]
fn records_that_functions_refuse_are_in_their_dead_letters_only() {
    for format in ["text", "json"] {
        let world = world(format);
        let good = |from: i32| (from..from + 10).map(|id| record(id, "good"));
        let bad = KINDS.iter().zip(100..).map(|(kind, id)| record(id, kind));
        world.produce(good(0).chain(bad).chain(good(200)));
        let check = world.config.finish(&["check", "--sample", "50"], PATIENCE);
        assert_hidden("check", &(check.stdout + &check.stderr));
        let sink = world.sink();
        world.wait_rows(PATIENCE, 20);
        let all = KINDS.len() as i64;
        wait::holds(PATIENCE, "dead letters", || world.dead_letters(), |seen| *seen == all);
        assert_pages_hide(&sink);
        assert_hidden("the log", &sink.stop(PATIENCE).stderr);
        let stored: i64 =
            world.one("SELECT count(*) FROM sink_dead_letters WHERE detail LIKE '%kanarienvogel%'");
        assert!(stored >= all - 1, "{stored} dead letters say what was raised: the search could find it");
        for args in [
            &["dead-letters", "replay"] as &[&str],
            &["dead-letters", "discard", "--reason", "constraint"],
            &["dead-letters", "discard", "--execute"],
            &["offsets", "reset", "--to-earliest"],
            &["offsets", "show"],
        ] {
            let output = world.config.finish(args, PATIENCE);
            assert_hidden(&format!("{args:?}"), &output.stderr);
        }
    }
}

#[test]
fn a_function_that_fails_for_every_record_is_waited_for_without_their_values() {
    for kind in ["execute", "missing", "retry"] {
        let world = world("text");
        world.produce((0..3).map(|id| record(id, kind)));
        let sink = world.sink();
        let body = sink.wait_not_ready(PATIENCE, &["PL/pgSQL function speak()"]);
        assert_hidden(kind, &body);
        assert_pages_hide(&sink);
        assert_hidden(kind, &sink.stop(PATIENCE).stderr);
    }
}

#[test]
fn a_table_that_the_text_of_a_function_names_is_named() {
    let world = world("text");
    world.execute(
        "CREATE OR REPLACE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           INSERT INTO audit \n VALUES (NEW.id); RETURN NEW; END $$",
    );
    world.produce((0..3).map(|id| record(id, "good")));
    let sink = world.sink();
    sink.wait_not_ready(
        PATIENCE,
        &["relation \\\"audit\\\" does not exist (42P01), in PL/pgSQL function speak()"],
    );
    world.execute("CREATE TABLE audit (id int)");
    world.wait_rows(PATIENCE, 3);
    sink.stop(PATIENCE);
}

#[test]
fn lines_that_the_producer_and_try_refuse_are_named_by_their_number() {
    let world = world("text");
    let files = Scratch::new("lines").unwrap();
    let file = files.path().join("lines.jsonl");
    let lines =
        [format!("{{\"id\": {VALUE}}}"), format!("[\"{VALUE}\"]"), format!("\"{VALUE}"), VALUE.to_owned()];
    fs::write(&file, lines.join("\n")).unwrap();
    let file = file.display().to_string();
    let producer = ProducerConfig::new(world.kafka.bootstrap(), world.topic()).env("RUST_LOG", "debug");
    let output = producer.finish(&["publish", &file, "--topic", world.topic(), "--key", "id"], PATIENCE);
    assert_ne!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("line 1"), "{}", output.stderr);
    assert_hidden("producer publish", &(output.stdout + &output.stderr));
    assert_hidden("try", &world.config.finish(&["try", &file], PATIENCE).stderr);
}
