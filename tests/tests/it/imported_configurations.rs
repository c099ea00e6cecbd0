//! Connectors as people have them, from `import-connect` to rows: the configuration that it prints, the table that `infer-ddl`
//! proposes for that, `check` and a run.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tests::scratch::Scratch;
use tests::{Record, World, names, paths};

/// A connector whose records are in the topic of the world.
struct Connector<'a> {
    world: World<'a>,
    dir: Scratch,
}

impl Connector<'_> {
    fn new(topic: impl FnOnce(&str) -> String) -> Self {
        let mut world = World::new("imported").table("CREATE TABLE unused (x int)");
        let topic = topic(&names::unique("orders"));
        world.kafka.create_topic(&topic, 1, &[]);
        world.topics = vec![topic];
        Self { world, dir: Scratch::new("imported").unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Imports these keys, which are complete but for name, topic and URL. Returns the keys that are not supported.
    fn import(&self, mut keys: Value) -> Vec<String> {
        keys["name"] = json!(names::unique("connector"));
        keys["topics"] = json!(self.world.topic());
        keys["connection.url"] = json!(format!("jdbc:{}", self.world.url));
        fs::write(self.path("connector.json"), keys.to_string()).unwrap();
        let servers = self.world.kafka.bootstrap();
        let imported =
            sink(&["import-connect", &self.path("connector.json"), "--bootstrap-servers", &servers]);
        let stderr = String::from_utf8_lossy(&imported.stderr).into_owned();
        assert!(matches!(imported.status.code(), Some(0 | 3)), "{stderr}");
        fs::write(self.path("sink.toml"), &imported.stdout).unwrap();
        let findings = stderr.lines().filter_map(|line| line.strip_prefix("not supported: "));
        let keys: Vec<String> =
            findings.filter_map(|line| line.split(':').next()).map(str::to_owned).collect();
        assert_eq!(imported.status.code() == Some(0), keys.is_empty(), "{stderr}");
        keys
    }

    fn run(&self, args: &[&str]) -> String {
        let output = sink(&[&["--config", &self.path("sink.toml")], args].concat());
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stdout}{stderr}");
        stdout
    }

    /// Creates the table that is proposed, checks, and writes everything. Returns the rows of the table, as JSON.
    fn go_on(&self, table: &str, records: Vec<Record>) -> Vec<Value> {
        self.world.produce(records);
        let ddl = self.run(&["infer-ddl", "--topic", self.world.topic()]);
        self.world.execute(&ddl);
        self.run(&["check"]);
        self.run(&["run", "--until-end", "--deadline", "60s", "--fail-on-dead-letters"]);
        let rows: Vec<String> =
            self.world.column(&format!("SELECT to_jsonb(t)::text FROM \"{table}\" t ORDER BY 1"));
        rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }
}

fn sink(args: &[&str]) -> Output {
    let mut command = Command::new(paths::binary("sink-connector", "SINK_BIN"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SINK__")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

/// Connect's envelope for a row of int64 and string fields.
fn envelope(payload: &Value) -> Value {
    let fields = payload.as_object().unwrap().iter().map(|(name, value)| {
        let of = if value.is_number() { "int64" } else { "string" };
        json!({"field": name, "type": of, "optional": true})
    });
    json!({"schema": {"type": "struct", "fields": fields.collect::<Vec<_>>(), "optional": false}, "payload": payload})
}

#[test]
fn upserts_by_the_records_key_as_confluent_documents_them() {
    let connector = Connector::new(str::to_owned);
    let findings = connector.import(json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "insert.mode": "upsert",
        "pk.mode": "record_key",
        "pk.fields": "order_id",
        "auto.create": "true",
        "delete.enabled": "true",
        "table.name.format": "kafka_${topic}",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "true",
        "transforms": "meta,route",
        "transforms.meta.type": "org.apache.kafka.connect.transforms.InsertField$Value",
        "transforms.meta.offset.field": "kafka_offset",
        "transforms.meta.timestamp.field": "kafka_time",
        "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.route.regex": "(.*)",
        "transforms.route.replacement": "$1_v1",
    }));
    assert_eq!(findings, ["auto.create", "key.converter"]);
    let row =
        |key: &str, note: &str| Record::json(&envelope(&json!({"note": note}))).key(key).timestamp_ms(1_000);
    let table = format!("kafka_{}_v1", connector.world.topic());
    let rows =
        connector.go_on(&table, vec![row("a", "x"), row("b", "y"), row("a", "z"), Record::tombstone("b")]);
    let time = json!("1970-01-01T00:00:01+00:00");
    assert_eq!(rows, [json!({"order_id": "a", "note": "z", "kafka_offset": 2, "kafka_time": time})]);
}

#[test]
fn inserts_by_the_place_in_kafka_as_aiven_documents_them() {
    let connector = Connector::new(|name| format!("metrics.cpu-{name}"));
    let findings = connector.import(json!({
        "connector.class": "io.aiven.connect.jdbc.JdbcSinkConnector",
        "insert.mode": "insert",
        "pk.mode": "kafka",
        "pk.fields": "topic,part,off",
        "table.name.normalize": "true",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "errors.tolerance": "all",
    }));
    assert_eq!(findings, [""; 0]);
    let topic = connector.world.topic();
    let table = topic.replace(['.', '-'], "_");
    let records = [json!({"id": 1, "topic": "own"}), json!({"id": 1})].iter().map(Record::json).collect();
    let rows = connector.go_on(&table, records);
    let row = |offset: i64| json!({"topic": topic, "part": 0, "off": offset, "id": 1});
    assert_eq!(rows, [row(0), row(1)]);
}

#[test]
fn change_events_as_debezium_documents_them() {
    let connector = Connector::new(|name| format!("dbserver1.inventory.{name}"));
    let findings = connector.import(json!({
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "insert.mode": "upsert",
        "delete.enabled": "true",
        "primary.key.mode": "record_key",
        "primary.key.fields": "id",
        "schema.evolution": "none",
        "use.time.zone": "UTC",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    }));
    assert_eq!(findings, [""; 0]);
    let event = |id: i64, before: Value, after: Value, op: &str| {
        let payload =
            json!({"before": before, "after": after, "op": op, "ts_ms": 0, "source": {"table": "orders"}});
        Record::json(&json!({"schema": null, "payload": payload}))
            .key(envelope(&json!({"id": id})).to_string())
    };
    let row = |id: i64, note: &str| json!({"id": id, "note": note});
    let key = envelope(&json!({"id": 2})).to_string();
    let records = vec![
        event(1, Value::Null, row(1, "x"), "c"),
        event(2, Value::Null, row(2, "y"), "r"),
        event(1, row(1, "x"), row(1, "z"), "u"),
        event(2, row(2, "y"), Value::Null, "d"),
        Record::tombstone(key),
    ];
    let table = connector.world.topic().replace('.', "_");
    assert_eq!(connector.go_on(&table, records), [row(1, "z")]);
}

#[test]
fn a_key_made_of_the_value_and_a_field_of_another_name() {
    let connector = Connector::new(str::to_owned);
    let findings = connector.import(json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "insert.mode": "upsert",
        "pk.mode": "record_key",
        "pk.fields": "order_id",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "transforms": "k,x,rename",
        "transforms.k.type": "org.apache.kafka.connect.transforms.ValueToKey",
        "transforms.k.fields": "id",
        "transforms.x.type": "org.apache.kafka.connect.transforms.ExtractField$Key",
        "transforms.x.field": "id",
        "transforms.rename.type": "org.apache.kafka.connect.transforms.ReplaceField$Value",
        "transforms.rename.renames": "id:order_id",
    }));
    assert_eq!(findings, [""; 0]);
    let records = [json!({"id": 1, "n": 1}), json!({"id": 2, "n": 1}), json!({"id": 1, "n": 2})];
    let rows = connector.go_on(connector.world.topic(), records.iter().map(Record::json).collect());
    assert_eq!(rows, [json!({"order_id": 2, "n": 1}), json!({"order_id": 1, "n": 2})]);
}
