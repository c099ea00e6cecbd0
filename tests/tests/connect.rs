//! A real Kafka Connect with Debezium's JDBC sink writes the first half of a topic, and the sink the rest.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::kafka::connect::{self, Worker};
use tests::scratch::Scratch;
use tests::signals::Signal;
use tests::{Record, World, names, paths, wait};

const LONG: Duration = Duration::from_secs(120);
const SHUTDOWN: Duration = Duration::from_secs(30);
const HALF: i64 = 500;

/// A row for each record that was applied, whichever sink applied it.
const DDL: &str = "
    CREATE TABLE t (id int PRIMARY KEY, name text);
    CREATE TABLE applied (id int, at timestamptz DEFAULT clock_timestamp());
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO applied VALUES (NEW.id); RETURN NEW; END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();";

/// A change event as Debezium writes it, in the envelope of Connect's JsonConverter.
fn event(id: i64) -> Record {
    let row = |field: &str| {
        json!({"type": "struct", "optional": true, "field": field, "name": "shop.orders.Value", "fields": [
            {"type": "int32", "optional": false, "field": "id"}, {"type": "string", "optional": true, "field": "name"}]})
    };
    let schema = json!({"type": "struct", "optional": false, "name": "shop.orders.Envelope", "version": 1, "fields": [
        row("before"), row("after"), {"type": "string", "optional": false, "field": "op"}]});
    let payload = json!({"before": null, "after": {"id": id, "name": format!("n{id}")}, "op": "c"});
    Record::json(&json!({"schema": schema, "payload": payload})).partition(0)
}

fn connector(world: &World<'_>, name: &str) -> Value {
    let url = world.url.strip_prefix("postgresql://").unwrap();
    let (user, place) = url.split_once('@').unwrap();
    json!({"name": name, "config": {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "topics": world.topic(),
        "connection.url": format!("jdbc:postgresql://{place}"),
        "connection.username": user,
        "connection.password": "any",
        "insert.mode": "upsert",
        "primary.key.mode": "record_value",
        "primary.key.fields": "id",
        "schema.evolution": "none",
        "collection.name.format": "t",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "consumer.override.auto.offset.reset": "earliest",
    }})
}

#[test]
fn the_sink_goes_on_where_kafka_connect_stopped_and_every_record_is_applied_once() {
    let world = World::new("connect_real").table(DDL);
    let name = names::unique("orders");
    let group = format!("connect-{name}");
    let dir = Scratch::new("connect_real").unwrap();
    let connector = connector(&world, &name);
    world.produce((0..HALF).map(event));

    let worker = Worker {
        bootstrap: &world.kafka.bootstrap(),
        plugins: &[connect::debezium().unwrap()],
        java_options: &["-Xmx512m", "-XX:+UseSerialGC"],
        connector: &connector,
    };
    let worker = worker.start(dir.path()).unwrap();
    let committed = || {
        let offsets = world.kafka.group_offsets(&group, world.topic());
        offsets.first().and_then(|partition| partition.offset).unwrap_or_default()
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait::holds(LONG, "Connect has committed the first half", committed, |offset| *offset == HALF)
    }));
    assert!(result.is_ok(), "{}", worker.log_tail());
    worker.process.signal(Signal::Term);
    if worker.process.wait(SHUTDOWN).is_none() {
        // Kafka Connect may hang while it stops. Its offsets are committed; its member leaves with its session.
        worker.process.kill_family();
    }

    world.produce((HALF..2 * HALF).map(event));
    let sink = |args: &[&str]| {
        let mut command = Command::new(paths::binary("sink-connector", "SINK_BIN"));
        let output = command.args(args).current_dir(dir.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    };
    let bootstrap = world.kafka.bootstrap();
    let toml = sink(&["import-connect", "connector.json", "--bootstrap-servers", &bootstrap]);
    fs::write(dir.path().join("sink.toml"), toml).unwrap();
    let checked = sink(&["--config", "sink.toml", "check"]);
    assert!(checked.contains(&format!("partition 0 begins at {HALF}, from the group's offset")), "{checked}");
    sink(&["--config", "sink.toml", "run", "--until-end", "--deadline", "120s"]);

    let count = |sql: &str| world.client().query_one(sql, &[]).unwrap().get::<_, i64>(0);
    assert_eq!(count("SELECT count(*) FROM t WHERE name = 'n' || id"), 2 * HALF);
    assert_eq!(count("SELECT count(*) FROM applied"), 2 * HALF);
    assert_eq!(count("SELECT count(DISTINCT id) FROM applied"), 2 * HALF);
}
