//! One bad record among many: it becomes a dead letter with its bytes, and nothing else suffers.

use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, SinkConfig};

#[test]
fn bad_records_become_dead_letters_and_the_rest_is_written() {
    let Services { kafka, postgres } = Services::shared();
    let bad: [(&[u8], &str); 6] = [
        (b"{\"id\": 1, \"n\":", "invalid_json"),
        (b"{\"id\": \"\xff\xfe\"}", "invalid_utf8"),
        (b"{\"id\": \"b3\", \"n\": \"many\"}", "wrong_type"),
        (b"{\"id\": \"b4\", \"n\": 2147483648}", "out_of_range"),
        (b"{\"n\": 5}", "missing_field"),
        (b"{\"id\": \"b6\\u0000\", \"n\": 6}", "null_byte"),
    ];
    for (payload, reason) in bad {
        let topic = kafka.topic("poison", 1);
        let url = postgres.database("poison");
        let mut client = tests::postgres::connect(&url);
        client.batch_execute("CREATE TABLE t (id text PRIMARY KEY, n int)").unwrap();
        let good = |n: u32| Record::json(&json!({"id": format!("g{n}"), "n": n}));
        let records = (0..5_000).map(good).chain([Record::new(payload)]).chain((5_000..9_999).map(good));
        kafka.produce(&topic, records);
        let config = SinkConfig::new(kafka.bootstrap(), &url)
            .topic(&topic)
            .table("t")
            .insert_mode("upsert")
            .pk_fields(&["id"]);
        let run = config
            .finish(&["run", "--until-end", "--summary", "json"], Duration::from_secs(60))
            .expect_code(0);
        assert_eq!((run.assert_accounted(), run.count("rows_written")), (10_000, 9_999), "{reason}");
        assert_eq!(run.count("dead_letters"), 1);
        let letters = client
            .query("SELECT reason, payload, \"offset\", partition, topic FROM sink_dead_letters", &[])
            .unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].get::<_, String>(0), reason);
        assert_eq!(letters[0].get::<_, Vec<u8>>(1), payload);
        assert_eq!(letters[0].get::<_, i64>(2), 5_000);
        let position: i64 = client.query_one("SELECT next_offset FROM sink_offsets", &[]).unwrap().get(0);
        assert_eq!(position, 10_000);
    }
}
