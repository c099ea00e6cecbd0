//! Keys that are identity columns, and columns that the server computes.

use std::time::Duration;

use postgres::Client;
use serde_json::{Value, json};
use tests::{Output, Record, Services, SinkConfig};

const PATIENCE: Duration = Duration::from_secs(60);

struct Case {
    url: String,
    topic: String,
    /// One name and one group for all runs: they go on where the last one ended.
    base: SinkConfig,
    client: Client,
}

impl Case {
    fn new(ddl: &str) -> Self {
        let Services { kafka, postgres } = Services::shared();
        let url = postgres.database("generated");
        let mut client = tests::postgres::connect(&url);
        client.batch_execute(ddl).unwrap();
        let topic = kafka.topic("generated", 1);
        let base = SinkConfig::new(kafka.bootstrap(), &url).topic(&topic).table("t");
        Self { url, topic, base, client }
    }

    fn produce(&self, records: &[Value]) {
        Services::shared().kafka.produce(&self.topic, records.iter().map(Record::json));
    }

    fn config(&self, mode: &str, keys: &[&str]) -> SinkConfig {
        self.base.clone().set("postgres.url", self.url.as_str()).insert_mode(mode).pk_fields(keys)
    }

    fn drain(&self, mode: &str, keys: &[&str]) -> Output {
        let args = ["run", "--until-end", "--deadline", "50s", "--summary", "json"];
        let run = self.config(mode, keys).finish(&args, PATIENCE).expect_code(0);
        run.assert_accounted();
        run
    }

    fn rows(&mut self) -> Vec<String> {
        let rows = self.client.query("SELECT t::text FROM t ORDER BY 1", &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[test]
fn a_key_that_is_always_an_identity_is_written_in_every_mode_and_way() {
    let policy = "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; CREATE POLICY p ON t \
                  USING (true)";
    for by_insert in [false, true] {
        for (mode, kept) in [("upsert", "(1,c)"), ("insert_ignore", "(1,old)"), ("insert", "(1,old)")] {
            let mut case = Case::new(
                "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text); \
                 INSERT INTO t (v) VALUES ('old')",
            );
            if by_insert {
                let role = tests::names::unique("policed").replace('-', "_");
                let sql = format!(
                    "{policy}; CREATE ROLE {role} LOGIN; GRANT ALL ON t TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
                );
                case.client.batch_execute(&sql).unwrap();
                case.url = case.url.replace("postgres@", &format!("{role}@"));
                // COPY would be refused or bypass the policy: such a table is written by INSERT.
                let mut of_role = tests::postgres::connect(&case.url);
                let row = of_role.query_one("SELECT row_security_active('t')", &[]).unwrap();
                assert!(row.get::<_, bool>(0), "the policy applies to the sink");
            }
            case.produce(&[
                json!({"id": 7, "v": "a"}),
                json!({"id": 1, "v": "b"}),
                json!({"id": 1, "v": "c"}),
            ]);
            case.produce(&[json!({"id": 8})]);
            case.drain(mode, &["id"]);
            // Again, with nothing but keys.
            case.produce(&[json!({"id": 7}), json!({"id": 9})]);
            let run = case.drain(mode, &["id"]);
            assert_eq!(case.rows(), [kept, "(7,a)", "(8,)", "(9,)"], "{mode}, by INSERT: {by_insert}");
            assert_eq!(run.count("dead_letters"), if mode == "insert" { 1 } else { 0 }, "{mode}");
        }
    }
}

#[test]
fn an_identity_outside_the_key_gets_its_values_from_its_sequence() {
    let mut case =
        Case::new("CREATE TABLE t (n bigint GENERATED ALWAYS AS IDENTITY, id int PRIMARY KEY, v text)");
    case.produce(&[json!({"id": 1, "n": 50, "v": "a"}), json!({"id": 2, "v": "b"})]);
    case.drain("upsert", &["id"]);
    case.produce(&[json!({"id": 1, "n": 60, "v": "c"})]);
    case.drain("upsert", &["id"]);
    assert_eq!(case.rows(), ["(1,1,c)", "(2,2,b)"]);
}

#[test]
fn a_generated_column_is_called_what_it_is() {
    let ddl =
        "CREATE TABLE t (id int PRIMARY KEY, v text, twice int GENERATED ALWAYS AS (id * 2) STORED UNIQUE)";
    let case = Case::new(ddl);
    let of_key = case.config("upsert", &["twice"]);
    let of_rename = case.config("upsert", &["id"]).set("sink.rename.double", "twice");
    let of_version = case.config("upsert", &["id"]).set("sink.version_field", "twice");
    for (config, key) in [(of_key, "pk_fields"), (of_rename, "rename"), (of_version, "version_field")] {
        let check = config.finish(&["check", "--sample", "0"], PATIENCE).expect_code(1);
        let says = format!("{key} names \"twice\", which is a generated column of public.t");
        assert!(check.stdout.contains(&says), "{}", check.stdout);
    }
}
