//! Records that carry only some of the columns, where an UPDATE may name a column only for a record that carries it: domains,
//! triggers of columns, privileges on columns. The table is as if they were applied one by one, and it does not take
//! a statement's round trip for each combination of columns.

use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use tests::{Record, World};

const PATIENCE: Duration = Duration::from_secs(180);
const OPTIONAL: u32 = 16;

/// A kind of table `t` with optional columns `c0` to `c15`.
struct Kind {
    name: &'static str,
    ddl: fn(&str) -> String,
    grants: &'static str,
    /// INSERT … ON CONFLICT DO UPDATE may write it: it needs SELECT on what it sets.
    by_conflict: bool,
}

/// The columns, each of this type.
fn columns(of: &str) -> String {
    (0..OPTIONAL).map(|n| format!(", c{n} {of}")).collect()
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "domains",
        ddl: |id| {
            format!(
                "CREATE DOMAIN d AS int CHECK (VALUE >= 0); CREATE TABLE t (id {id} PRIMARY KEY{});",
                columns("d")
            )
        },
        grants: "GRANT ALL ON t TO $role",
        by_conflict: true,
    },
    Kind {
        name: "triggers of columns",
        ddl: |id| {
            format!(
                "CREATE TABLE t (id {id} PRIMARY KEY{}, updated int DEFAULT 0); \
                 CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
                   $$ BEGIN NEW.updated = OLD.updated + 1; RETURN NEW; END $$; \
                 CREATE TRIGGER note BEFORE UPDATE OF c0, c1, c2, c3, c4, c5, c6, c7 ON t FOR EACH ROW EXECUTE FUNCTION note();",
                columns("int")
            )
        },
        grants: "GRANT ALL ON t TO $role",
        by_conflict: true,
    },
    Kind {
        name: "no SELECT but on the key",
        ddl: |id| format!("CREATE TABLE t (id {id} PRIMARY KEY{});", columns("int DEFAULT 6")),
        grants: "GRANT SELECT (id), INSERT, UPDATE ON t TO $role",
        by_conflict: false,
    },
    Kind {
        name: "a plain table",
        ddl: |id| format!("CREATE TABLE t (id {id} PRIMARY KEY{});", columns("int DEFAULT 7")),
        grants: "GRANT ALL ON t TO $role",
        by_conflict: true,
    },
];

fn world(kind: &Kind, id: &str) -> World<'static> {
    World::new("kinds")
        .table(&(kind.ddl)(id))
        .role(&format!("GRANT ALL ON SCHEMA public TO $role; {}", kind.grants))
        .upsert("id")
        .set("batch.linger_ms", 200)
}

/// With each optional column in a `share` of the records.
fn record(random: &mut ChaCha8Rng, id: Value, n: u32, share: f64) -> Value {
    let mut fields = Map::new();
    fields.insert("id".into(), id);
    for column in 0..OPTIONAL {
        if random.random_bool(share) {
            let value = match n {
                n if n % 47 == 0 => Value::Null,
                n if n % 31 == 0 => json!(-1),
                n => json!(n + column),
            };
            fields.insert(format!("c{column}"), value);
        }
    }
    Value::Object(fields)
}

/// Table and dead letters.
fn outcome(kind: &Kind, id: &str, max_rows: i64, reads: bool) -> [Vec<String>; 2] {
    let world = world(kind, id).set("batch.max_rows", max_rows).set("sink.read_before_write", reads);
    let mut random = ChaCha8Rng::seed_from_u64(11);
    world.produce_json((0..400).map(|n| {
        let id = random.random_range(0..120);
        let id = if n % 2 == 0 { json!(id) } else { json!(format!("{id}")) };
        record(&mut random, id, n, 0.5)
    }));
    world.config.until_end_within(PATIENCE);
    [
        world.column("SELECT to_jsonb(t)::text FROM t ORDER BY id::text"),
        world
            .column("SELECT concat_ws(' ', \"offset\", sqlstate) FROM sink_dead_letters ORDER BY \"offset\""),
    ]
}

#[test]
fn sparse_upserts_are_the_same_in_batches_of_any_size_whatever_may_be_named() {
    for kind in &KINDS {
        for (id, reads) in
            [("int", true), ("int", false), ("text COLLATE \"C\"", false), ("numeric(8, 2)", true)]
        {
            if !reads && !kind.by_conflict {
                continue;
            }
            let one_by_one = outcome(kind, id, 1, reads);
            assert!(one_by_one[0].len() > 90, "{}: {one_by_one:?}", kind.name);
            assert_eq!(
                outcome(kind, id, 5_000, reads),
                one_by_one,
                "{}, {id}, reads first: {reads}",
                kind.name
            );
        }
    }
}

/// From the start of the sink to the last of these records.
fn took(kind: &Kind, share: f64, reads: bool) -> Duration {
    const RECORDS: u32 = 20_000;
    let world = world(kind, "int").set("sink.read_before_write", reads);
    world.execute(&format!("INSERT INTO t (id) SELECT generate_series(0, {RECORDS} - 1)"));
    let mut random = ChaCha8Rng::seed_from_u64(12);
    let records = (0..RECORDS).map(|id| {
        let mut fields = Map::from_iter([("id".to_owned(), json!(id))]);
        let carried = (0..OPTIONAL).filter(|_| random.random_bool(share));
        fields.extend(carried.map(|column| (format!("c{column}"), json!(id))));
        Record::json(&Value::Object(fields))
    });
    world.produce(records);
    let began = Instant::now();
    let run = world.config.until_end_within(PATIENCE);
    assert_eq!(run.count("rows_written"), i64::from(RECORDS), "{}", run.stderr);
    assert_eq!(world.dead_letters(), 0);
    began.elapsed()
}

/// It was a hundred times as long.
#[test]
fn sparse_upserts_take_no_longer_than_a_few_times_dense_ones() {
    for kind in &KINDS {
        for reads in [true, false].into_iter().filter(|reads| *reads || kind.by_conflict) {
            let (dense, sparse) = (took(kind, 1.0, reads), took(kind, 0.5, reads));
            println!("{}, reads first: {reads}: dense {dense:?}, sparse {sparse:?}", kind.name);
            assert!(
                sparse < dense * 4 + Duration::from_secs(2),
                "{}, reads first: {reads}: dense {dense:?}, sparse {sparse:?}",
                kind.name
            );
        }
    }
}
