//! What is set for the sink's role, or in a database, does not change the rows that it writes.

use std::time::Duration;

use postgres::Client;
use serde_json::{Value, json};
use sink_connector::testing::{Cells, Rows, copy, session_settings};
use tests::{Record, Services, SinkConfig, names};

use crate::types::library;

const PATIENCE: Duration = Duration::from_secs(120);

/// Settings that the sink leaves to the operator, and why.
const LEFT_TO_THE_OPERATOR: &[(&str, &str)] = &[
    ("search_path", "which table and which types are meant"),
    ("lc_monetary", "in which unit money is stored, for all who read it"),
    ("default_transaction_read_only", "the sink waits, and says so"),
    ("session_replication_role", "only a superuser sets it, and only a superuser can set it back"),
    ("restrict_nonsystem_relation_kind", "which tables may be written"),
    ("statement_timeout", "a limit"),
    ("lock_timeout", "a limit"),
    ("idle_in_transaction_session_timeout", "a limit"),
    ("idle_session_timeout", "a limit"),
    ("temp_file_limit", "a limit"),
    ("max_stack_depth", "a limit"),
    ("local_preload_libraries", "what a session loads before it can set anything"),
    ("session_preload_libraries", "what a session loads before it can set anything"),
    ("dynamic_library_path", "where the server finds its libraries"),
];

/// Values that change something, for settings whose values are text.
const TEXTS: &[(&str, &str)] = &[
    ("DateStyle", "German, DMY"),
    ("TimeZone", "America/New_York"),
    ("timezone_abbreviations", "Australia"),
    ("client_encoding", "LATIN1"),
    ("default_text_search_config", "pg_catalog.german"),
    ("lc_messages", "POSIX"),
    ("lc_numeric", "POSIX"),
    ("lc_time", "POSIX"),
    ("application_name", "other"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", "pg_default"),
    ("temp_tablespaces", "pg_default"),
    ("backtrace_functions", "array_in"),
    ("wal_consistency_checking", "all"),
    ("extension_destdir", "/tmp"),
];

/// Columns of types that the sink encodes, and of types whose text the server reads.
const ENCODED: &str = "tags text[], numbers int[], n numeric, f float8, ts timestamptz, local timestamp, d date, \
     i interval, b bytea, j jsonb";
const READ_BY_THE_SERVER: &str = "x xml, period tstzrange, days daterange, c pair, points point[], lasts interval day to second, \
     m money, words tsvector, h hstore";

fn record() -> Value {
    json!({
        "tags": ["a", null, "NULL", "b\\c\"d"], "numbers": [1, null], "n": 1.10, "f": 0.1, "ts": "2024-01-02T10:00:00",
        "local": "2024-01-02 10:00:00", "d": "2024-01-02", "i": "-1 days +02:03:04", "b": "AQI=", "j": {"a": [null]},
        "x": "<a/><b/>", "period": "[2024-01-02 10:00:00 EST,2024-03-10 10:00:00)", "days": "[2024-01-02,24-02-03)",
        "c": "(2024-01-02,\"-1 days +02:03:04\",\"{a,NULL}\")", "points": ["(0.123456789012345678,1e-300)", null],
        "lasts": "-1 2:03:04", "m": "1234.50", "words": "'a' 'b'", "h": "a=>NULL,b=>\"NULL\"",
    })
}

/// A database with a role of its own.
struct Case {
    url: String,
    role: String,
    client: Client,
}

impl Case {
    fn new() -> Self {
        let url = Services::shared().postgres.database("settings");
        let mut client = tests::postgres::connect(&url);
        let role = names::unique("settings").replace('-', "_");
        client
            .batch_execute(&format!(
                "CREATE EXTENSION hstore; CREATE TYPE pair AS (d date, i interval, t text[]); CREATE ROLE {role} LOGIN; \
                 GRANT ALL ON SCHEMA public TO {role}; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role}"
            ))
            .unwrap();
        Self { url, role, client }
    }

    fn url_of_role(&self) -> String {
        self.url.replace("//postgres@", &format!("//{}@", self.role))
    }

    /// Settings that a role can have, each with values that the server does not have now.
    fn candidates(&mut self) -> Vec<(String, Vec<String>)> {
        let rows = self
            .client
            .query(
                "SELECT name, vartype, coalesce(setting, ''), coalesce(enumvals, '{}'), \
                        coalesce(ARRAY[min_val, max_val], '{}') FROM pg_settings \
                 WHERE context IN ('user', 'superuser') ORDER BY name",
                &[],
            )
            .unwrap();
        let candidate = |row: &postgres::Row| {
            let (name, kind, now): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let values: Vec<String> = match kind.as_str() {
                "bool" => vec![if now == "on" { "off" } else { "on" }.to_owned()],
                "enum" => row.get(3),
                "string" => TEXTS.iter().filter(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()).collect(),
                _ => row.get::<_, Vec<Option<String>>>(4).into_iter().flatten().collect(),
            };
            (name, values.into_iter().filter(|value| *value != now).collect())
        };
        rows.iter().map(candidate).collect()
    }

    /// Writes the record into `table` as the role, in a session of the sink, and returns the row; or why there is none.
    fn row(&mut self, table: &str) -> Result<String, String> {
        let mut session = tests::postgres::try_connect(&self.url_of_role()).map_err(|e| format!("{e:?}"))?;
        session.batch_execute(&session_settings()).map_err(|e| format!("{e:?}"))?;
        let plan = library::plan(&mut session, table);
        let (mut cells, mut rows) = (Cells::new(0), Rows::new(plan.columns.len()));
        let record = record();
        let taken = |name: &&String| plan.columns.iter().any(|column| column.name == **name);
        let taken: serde_json::Map<String, Value> = record
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| taken(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        plan.decoder
            .decode(Value::from(taken).to_string().as_bytes(), &mut cells)
            .map_err(|e| e.to_string())?;
        rows.push(&plan, 0, &cells);
        let tuple = rows.rows()[0].tuple;
        let sql = copy::statement(&plan.target, &plan, &rows.shapes().get(tuple.shape).columns);
        let copy_in = session.copy_in(&sql).map_err(|e| format!("{e:?}"))?;
        copy::stream(copy_in, &plan, &rows, [(0, tuple)].into_iter(), &mut Vec::new())
            .map_err(|failure| failure.to_string())?;
        let isolation: String = session.query_one("SHOW transaction_isolation", &[]).unwrap().get(0);
        let row = self.client.query_one(&format!("DELETE FROM {table} t RETURNING t::text"), &[]).unwrap();
        Ok(format!("{} in {isolation}", row.get::<_, String>(0)))
    }
}

#[test]
fn no_setting_of_the_role_changes_a_row() {
    let mut case = Case::new();
    case.client
        .batch_execute(&format!(
            "CREATE TABLE encoded ({ENCODED}); CREATE TABLE mixed ({ENCODED}, {READ_BY_THE_SERVER})"
        ))
        .unwrap();
    let neutral = ["encoded", "mixed"].map(|table| case.row(table).expect("a row"));
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, values) in case.candidates() {
        if LEFT_TO_THE_OPERATOR.iter().any(|(left, _)| *left == name) {
            continue;
        }
        for value in values {
            // A value that no role can have changes nothing.
            let alter = format!("ALTER ROLE {} SET {name} = '{value}'", case.role);
            if case.client.batch_execute(&alter).is_err() {
                continue;
            }
            tried += 1;
            for (table, expected) in ["encoded", "mixed"].iter().zip(&neutral) {
                let row = case.row(table);
                if row.as_ref() != Ok(expected) {
                    wrong.push(format!("{name} = {value}: {table}: {row:?}, not {expected}"));
                }
            }
            let reset = format!("ALTER ROLE {} RESET ALL; TRUNCATE encoded, mixed", case.role);
            case.client.batch_execute(&reset).unwrap();
        }
    }
    assert!(tried > 200, "{tried} values");
    assert!(wrong.is_empty(), "{} of {tried} values change rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_role_with_every_hostile_setting_at_once_writes_the_same_rows() {
    let Services { kafka, postgres: _ } = Services::shared();
    let mut case = Case::new();
    let topic = kafka.topic("settings", 1);
    let records = (0..40).map(|n| {
        let mut record = record();
        record["id"] = json!(n % 25);
        record["v"] = json!(if n % 10 == 7 { -1 } else { n });
        Record::json(&record)
    });
    kafka.produce(&topic, records);
    let columns = format!("id int PRIMARY KEY, v int CHECK (v >= 0), {ENCODED}, {READ_BY_THE_SERVER}");
    for table in ["neutral", "hostile"] {
        case.client
            .batch_execute(&format!(
                "CREATE TABLE {table} ({columns}); INSERT INTO {table} (id, v) SELECT n, 0 FROM generate_series(0, 9) n; \
                 ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {table} USING (true)"
            ))
            .unwrap();
    }
    let mut set = 0;
    for table in ["neutral", "hostile"] {
        if table == "hostile" {
            for (name, values) in case.candidates() {
                let left = LEFT_TO_THE_OPERATOR.iter().any(|(left, _)| *left == name);
                if let Some(value) = values.first().filter(|_| !left) {
                    let alter = format!("ALTER ROLE {} SET {name} = '{value}'", case.role);
                    set += usize::from(case.client.batch_execute(&alter).is_ok());
                }
            }
        }
        let run = SinkConfig::new(kafka.bootstrap(), case.url_of_role())
            .topic(&topic)
            .table(table)
            .insert_mode("upsert")
            .pk_fields(&["id"])
            .finish(&["run", "--until-end", "--deadline", "90s", "--summary", "json"], PATIENCE)
            .expect_code(0);
        run.assert_accounted();
        assert_eq!(run.count("dead_letters"), 4, "{table}");
    }
    assert!(set > 100, "{set} settings");
    let different =
        "SELECT count(*) FROM (SELECT t::text FROM neutral t EXCEPT SELECT t::text FROM hostile t) d";
    let (rows, different): (i64, i64) = (
        case.client.query_one("SELECT count(*) FROM hostile", &[]).unwrap().get(0),
        case.client.query_one(different, &[]).unwrap().get(0),
    );
    // Of 25 keys, one has only a record that is refused.
    assert_eq!((rows, different), (24, 0));
}
