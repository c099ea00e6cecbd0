//! A role that may write some columns only.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig, names};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn privileges_on_columns_are_enough() {
    let Services { kafka, postgres } = Services::shared();
    for (mode, grants, expected) in [
        ("insert", "INSERT (id, v)", 20_i64),
        ("insert_ignore", "INSERT (id, v), SELECT (id, v)", 10),
        ("upsert", "INSERT (id, v), SELECT (id, v), UPDATE (v)", 10),
    ] {
        let url = postgres.database("columns");
        let mut client = tests::postgres::connect(&url);
        let role = names::unique("columns").replace('-', "_");
        let unique = if mode == "insert" { "" } else { "PRIMARY KEY" };
        client
            .batch_execute(&format!(
                "CREATE TABLE t (id int {unique}, v int); CREATE ROLE {role} LOGIN; GRANT {grants} ON t TO {role}; \
                 GRANT CREATE ON SCHEMA public TO {role}"
            ))
            .unwrap();
        let topic = kafka.topic("columns", 1);
        kafka.produce(&topic, (0..20).map(|n| Record::json(&json!({"id": n % 10, "v": n}))));
        let config = SinkConfig::new(kafka.bootstrap(), url.replace("postgres@", &format!("{role}@")))
            .topic(&topic)
            .table("t")
            .insert_mode(mode)
            .set("batch.max_rows", 5);
        let config = if mode == "insert" { config.pk_mode("none") } else { config.pk_fields(&["id"]) };
        config.finish(&["check", "--sample", "5"], PATIENCE).expect_code(0);
        let run = config.finish(&["run", "--until-end", "--deadline", "50s", "--summary", "json"], PATIENCE);
        assert_eq!(run.expect_code(0).assert_accounted(), 20, "{mode}");
        let rows: i64 = client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0);
        assert_eq!(rows, expected, "{mode}");
    }
}

#[test]
fn planning_an_insert_locks_a_table_as_lock_table_does() {
    let mut client = tests::postgres::connect(&Services::shared().postgres.database("columns"));
    client.batch_execute("CREATE TABLE t (id int)").unwrap();
    let mut transaction = client.transaction().unwrap();
    transaction.simple_query("EXPLAIN (COSTS OFF) INSERT INTO t (id) VALUES (NULL)").unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND pid = pg_backend_pid() \
                AND mode = 'RowExclusiveLock' AND granted";
    let held: i64 = transaction.query_one(held, &[]).unwrap().get(0);
    assert_eq!(held, 1);
}
