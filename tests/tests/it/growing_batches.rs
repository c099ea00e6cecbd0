//! Transactions grow while a backlog remains and they are quick.

use std::time::Duration;

use tests::{Record, World};

const LONG: Duration = Duration::from_secs(120);
const FIRST: i64 = 5_000;

/// Reads a backlog of `records`, and returns the rows of the largest transaction.
fn largest_transaction(records: u32, max_rows: Option<i64>, trigger: &str) -> i64 {
    let world = World::new("growing_batches").table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
    let world = max_rows.into_iter().fold(world, |world, rows| world.set("batch.max_rows", rows));
    world.client().batch_execute(trigger).unwrap();
    world.produce((0..records).map(|id| Record::new(format!("{{\"id\":{id}}}"))));
    world.config.finish(&["run", "--until-end"], LONG).expect_code(0);
    assert_eq!(world.rows(), i64::from(records));
    world.one("SELECT max(n) FROM (SELECT count(*) AS n FROM t GROUP BY xmin::text) AS transactions")
}

#[test]
fn a_backlog_is_written_in_transactions_that_grow_to_the_setting() {
    let largest = largest_transaction(200_000, None, "");
    assert!(largest > FIRST && largest <= 20_000, "{largest}");
    let largest = largest_transaction(50_000, Some(3_000), "");
    assert_eq!(largest, 3_000);
}

#[test]
fn a_slow_table_is_locked_for_no_longer_than_before() {
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$; \
                CREATE TRIGGER slow AFTER INSERT ON t EXECUTE FUNCTION slow()";
    let largest = largest_transaction(30_000, None, slow);
    assert!(largest > 1_000 && largest <= FIRST, "{largest}");
}
