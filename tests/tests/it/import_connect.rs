//! `import-connect`: a connector's configuration becomes one of ours, and the sink goes on where the connector stopped.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tests::scratch::Scratch;
use tests::{Record, World, names, paths};

fn sink(args: &[&str]) -> Output {
    let mut command = Command::new(paths::binary("sink-connector", "SINK_BIN"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SINK__")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_connector_is_replaced_where_it_stopped() {
    let world = World::new("connect").table("CREATE TABLE t (id int PRIMARY KEY, customer_name text)");
    let (topic, name) = (world.topic(), names::unique("orders"));
    world.produce((0..30).map(|id| Record::json(&json!({"id": id, "name": "x"})).partition(0)));
    // What the connector has committed.
    world.kafka.commit_group_offset(&format!("connect-{name}"), topic, 0, 20);
    let dir = Scratch::new("connect").unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let connector = json!({"name": name, "config": {
        "connector.class": "io.aiven.connect.jdbc.JdbcSinkConnector",
        "tasks.max": "2",
        "topics": topic,
        "connection.url": format!("jdbc:{}", world.url),
        "insert.mode": "upsert",
        "pk.mode": "record_value",
        "pk.fields": "id",
        "table.name.format": "t",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "transforms": "rename",
        "transforms.rename.type": "org.apache.kafka.connect.transforms.ReplaceField$Value",
        "transforms.rename.renames": "name:customer_name",
        "errors.tolerance": "all",
    }});
    fs::write(file("connector.json"), connector.to_string()).unwrap();
    let bootstrap = world.kafka.bootstrap();
    let imported = sink(&["import-connect", &file("connector.json"), "--bootstrap-servers", &bootstrap]);
    assert_eq!(imported.status.code(), Some(0), "{}", text(&imported.stderr));
    fs::write(file("sink.toml"), &imported.stdout).unwrap();

    let config = file("sink.toml");
    let run = |args: &[&str]| {
        let output = sink(&[&["--config", config.as_str()], args].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    run(&["config"]);
    let checked = run(&["check"]);
    assert!(checked.contains("begins at 20, from the group's offset"), "{checked}");
    run(&["run", "--until-end", "--deadline", "60s"]);
    let sql = "SELECT count(*), min(id), max(customer_name) FROM t";
    let row = world.client().query_one(sql, &[]).unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i32>(1), row.get::<_, String>(2)),
        (10, 20, "x".to_owned())
    );
}

#[test]
fn what_is_not_supported_is_named_with_exit_code_3() {
    let dir = Scratch::new("connect").unwrap();
    let file = dir.path().join("connector.json").display().to_string();
    let connector = json!({"name": "a", "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": "a",
        "auto.create": "true", "connection.password": "s3cret", "connection.url": "jdbc:postgresql://h/d"});
    fs::write(&file, connector.to_string()).unwrap();
    for format in ["toml", "helm"] {
        let output = sink(&["import-connect", &file, "--output", format]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(stderr.contains("6 keys: 4 taken, 1 not needed, 1 not supported"), "{stderr}");
        assert!(stderr.contains("not supported: auto.create: `sink-connector infer-ddl`"), "{stderr}");
        assert!(!stdout.contains("s3cret") && !stderr.contains("s3cret"), "{stdout}");
    }
    fs::write(&file, "{\"name\": \"a\"}").unwrap();
    assert_eq!(sink(&["import-connect", &file]).status.code(), Some(2));
    assert_eq!(sink(&["import-connect", "/nowhere.json"]).status.code(), Some(2));
}

#[test]
fn a_file_without_a_name_gives_the_sink_its_own_identity_with_exit_code_3() {
    let dir = Scratch::new("connect").unwrap();
    let file = dir.path().join("eu-orders.properties").display().to_string();
    let properties = "connector.class=io.confluent.connect.jdbc.JdbcSinkConnector\n\
                      topics=a,\\\n  b\nconnection.url=jdbc\\:postgresql\\://h/d\n\
                      value.converter=org.apache.kafka.connect.json.JsonConverter\n";
    fs::write(&file, properties).unwrap();
    let output = sink(&["import-connect", &file]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("not given: name: "), "{stderr}");
    assert!(stderr.contains("to be completed: [kafka] bootstrap_servers"), "{stderr}");
    let toml = text(&output.stdout);
    for line in [
        "name = \"eu-orders-a-b\"",
        "group_id = \"connect-eu-orders-a-b\"",
        "topics = [\"a\", \"b\"]",
        "url = \"postgresql://h/d\"",
    ] {
        assert!(toml.lines().any(|own| own == line), "{line}: {toml}");
    }
}

#[test]
fn keys_of_connect_in_a_configuration_are_explained() {
    let dir = Scratch::new("connect").unwrap();
    let file = dir.path().join("sink.toml").display().to_string();
    fs::write(
        &file,
        "[postgres]\nurl = 'jdbc:postgresql://h/d'\n[sink]\nauto_create = true\n'auto.evolve' = true",
    )
    .unwrap();
    let output = sink(&["--config", &file, "config"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for words in [
        "postgres.url: is a URL of JDBC: leave out jdbc:",
        "sink.auto_create: unknown key: tables are never created without DDL: `sink-connector infer-ddl`",
        "sink.\"auto.evolve\": unknown key: tables are never altered",
    ] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
}
