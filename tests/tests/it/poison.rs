//! One bad record among many: it becomes a dead letter with its bytes, and nothing else suffers.

use serde_json::json;
use tests::{Record, World};

#[test]
fn bad_records_become_dead_letters_and_the_rest_is_written() {
    let bad: [(&[u8], &str); 6] = [
        (b"{\"id\": 1, \"n\":", "invalid_json"),
        (b"{\"id\": \"\xff\xfe\"}", "invalid_utf8"),
        (b"{\"id\": \"b3\", \"n\": \"many\"}", "wrong_type"),
        (b"{\"id\": \"b4\", \"n\": 2147483648}", "out_of_range"),
        (b"{\"n\": 5}", "missing_field"),
        (b"{\"id\": \"b6\\u0000\", \"n\": 6}", "null_byte"),
    ];
    for (payload, reason) in bad {
        let world = World::new("poison").table("CREATE TABLE t (id text PRIMARY KEY, n int)").upsert("id");
        let good = |n: u32| Record::json(&json!({"id": format!("g{n}"), "n": n}));
        let records = (0..5_000).map(good).chain([Record::new(payload)]).chain((5_000..9_999).map(good));
        let run = world.drain(records);
        assert_eq!((run.count("records"), run.count("rows_written")), (10_000, 9_999), "{reason}");
        assert_eq!(run.count("dead_letters"), 1);
        let stored = "SELECT reason, payload, \"offset\" FROM sink_dead_letters";
        let stored = world.client().query_one(stored, &[]).unwrap();
        assert_eq!(stored.get::<_, String>(0), reason);
        assert_eq!(stored.get::<_, Vec<u8>>(1), payload);
        assert_eq!(stored.get::<_, i64>(2), 5_000);
        assert_eq!(world.position(), 10_000);
    }
}
