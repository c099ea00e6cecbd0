//! Rows that are refused outside of the table itself, without the name of a constraint: by the bounds of a partition that is
//! written directly, and by a table behind a foreign one.

use serde_json::json;
use tests::{Record, World};

const PARTITION: &str = "CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); \
     CREATE TABLE t PARTITION OF p FOR VALUES FROM (0) TO (3)";

/// Table `t` is another table of this database, behind postgres_fdw.
fn foreign(world: &World<'_>) {
    let (port, database) = (world.postgres.port(), world.one::<String>("SELECT current_database()::text"));
    world.execute(&format!(
        "CREATE EXTENSION postgres_fdw; CREATE TABLE behind (id int PRIMARY KEY, v int, CHECK (id < 3)); \
         CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname '{database}'); \
         CREATE USER MAPPING FOR postgres SERVER here; \
         CREATE FOREIGN TABLE t (id int, v int) SERVER here OPTIONS (table_name 'behind')"
    ));
}

#[test]
fn such_a_row_is_a_dead_letter_and_the_others_are_written() {
    for table in [PARTITION, ""] {
        let world = World::new("elsewhere").table(table).keyed("insert", "id");
        let world = if table.is_empty() { world.unkeyed() } else { world };
        if table.is_empty() {
            foreign(&world);
        }
        world.drain([2, 5, 1, 7, 0].map(|id| Record::json(&json!({"id": id, "v": id}))));
        let refused: Vec<String> =
            world.column("SELECT concat_ws(' ', \"offset\", sqlstate) FROM sink_dead_letters ORDER BY 1");
        assert_eq!((refused, world.rows()), (vec!["1 23514".to_owned(), "3 23514".to_owned()], 3), "{table}");
    }
}
