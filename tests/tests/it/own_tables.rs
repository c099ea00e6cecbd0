//! The tables that the sink makes for itself, when somebody else has a table of that name: it says so, and leaves it as it is.

use std::time::Duration;

use serde_json::json;
use tests::{Record, World, wait};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_table_of_somebody_else_is_named_and_left_as_it_is() {
    for key in ["offsets.table", "errors.dead_letter_table"] {
        let world = World::new("foreign")
            .table("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE payroll (name text, amount int)")
            .upsert("id")
            .set(key, "payroll");
        world.produce([Record::json(&json!({"id": 1}))]);
        let sink = world.sink();
        let answer = || sink.get("/readyz").map_err(|error| error.to_string());
        wait::holds(LONG, "/readyz names the table", answer, |answer| {
            answer.as_ref().is_ok_and(|(status, body)| {
                *status == 503 && body.contains(key) && body.contains("its columns are name, amount")
            })
        })
        .unwrap();
        let columns: String = world.one(
            "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute \
             WHERE attrelid = 'payroll'::regclass AND attnum > 0 AND NOT attisdropped",
        );
        assert_eq!(columns, "name amount", "{key}");
        assert_eq!(world.rows(), 0);
    }
}
