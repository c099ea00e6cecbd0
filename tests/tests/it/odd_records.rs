//! Unusual records that every broker accepts: each is a row or a dead letter with its bytes, and the sink continues.

use std::ffi::CStr;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::producer::{BaseProducer, Producer as _};
use serde_json::{Value, json};
use tests::{Kafka, Record, World};

const MINUTE: Duration = Duration::from_secs(60);

const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY)";

/// Offset and reason of each dead letter, after a run over all of the topic.
fn dead_letters(world: &World<'_>, written: i64) -> Vec<(i64, String)> {
    assert_eq!(world.config.until_end().count("rows_written"), written);
    let offsets = world.column("SELECT \"offset\" FROM sink_dead_letters ORDER BY 1");
    offsets.into_iter().zip(world.reasons()).collect()
}

#[test]
fn values_that_are_no_objects_and_keys_that_are_no_text_are_kept_as_they_came() {
    let world = World::new("odd").table(DDL).upsert("id");
    let key: &[u8] = b"\x00\xff\xfe";
    let payloads: [&[u8]; 7] = [
        b"",
        b" \t\r\n",
        b"17",
        b"\"text\"",
        b"[{\"id\": 1}]",
        b"null",
        // A byte order mark is not JSON (RFC 8259, section 8.1).
        b"\xef\xbb\xbf{\"id\": 1}",
    ];
    let odd = payloads.map(|payload| Record::keyed(key, payload).header("h", b"\xff\x00".as_slice()));
    let good = Record::keyed(key, b" \r\n{\"id\": 2} \n".as_slice());
    world.produce(odd.into_iter().chain([good]));
    let reasons = [
        "invalid_json",
        "invalid_json",
        "not_an_object",
        "not_an_object",
        "not_an_object",
        "not_an_object",
        "invalid_json",
    ];
    let expected: Vec<_> = (0..).zip(reasons.map(str::to_owned)).collect();
    assert_eq!(dead_letters(&world, 1), expected);
    let stored = "SELECT \"offset\", key, payload, headers::text FROM sink_dead_letters";
    for row in world.client().query(stored, &[]).unwrap() {
        let offset = usize::try_from(row.get::<_, i64>(0)).unwrap();
        assert_eq!(row.get::<_, Option<&[u8]>>(1), Some(key), "{offset}");
        assert_eq!(row.get::<_, Option<&[u8]>>(2), Some(payloads[offset]), "{offset}");
        let headers: Value = serde_json::from_str(row.get(3)).unwrap();
        assert_eq!(headers, json!([{"name": "h", "value": {"hex": "ff00"}}]));
    }
}

#[test]
fn a_bad_record_stamped_in_nanoseconds_is_a_dead_letter() {
    let topic = tests::names::unique("nanoseconds");
    let world = World::new("nanoseconds").table(DDL).upsert("id").with(|config| config.topic(&topic));
    // Brokers before 3.6 accept such timestamps by default.
    world.kafka.create_topic(&topic, 1, &[("message.timestamp.after.max.ms", "9223372036854775807")]);
    let last = 9_000_000_000_000_000;
    let stamps = [1_715_887_800_123_000_000, i64::MAX, last + 1, last, 1_715_887_800_123];
    world.kafka.produce(&topic, stamps.map(|stamp| Record::new("bad").timestamp_ms(stamp)));
    world.kafka.produce(&topic, [Record::json(&json!({"id": 1})).timestamp_ms(i64::MAX)]);
    assert_eq!(dead_letters(&world, 1).len(), 5);
    let seen: Vec<String> =
        world.column("SELECT \"timestamp\"::text FROM sink_dead_letters ORDER BY \"offset\"");
    let (last, usual) = ("287168-08-24 16:00:00+00", "2024-05-16 19:30:00.123+00");
    assert_eq!(seen, ["infinity", "infinity", "infinity", last, usual]);
}

#[test]
fn a_database_without_unicode_gets_dead_letters_of_what_it_cannot_store() {
    let mut world = World::new("latin").table("").upsert("id");
    let database = tests::names::unique("latin");
    let encoding = "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'";
    world.execute(&format!("CREATE DATABASE \"{database}\" {encoding}"));
    let url = world.postgres.url_of(&database);
    let mut client = tests::postgres::connect(&url);
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").unwrap();
    world.config = world.config.set("postgres.url", url.as_str());
    let payloads = [r#"{"id": 1, "v": "日"}"#, r#"{"id": "日"}"#, r#"{"id": 2, "v": "é"}"#];
    world.produce(payloads.map(|payload| Record::new(payload).header("日", "日")));
    let expected = [(0, "refused".to_owned()), (1, "wrong_type".to_owned())];
    assert_eq!(world.config.until_end().count("rows_written"), 1);
    let found = "SELECT \"offset\", reason FROM sink_dead_letters ORDER BY 1";
    let found = client.query(found, &[]).unwrap();
    assert_eq!(found.iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<(i64, String)>>(), expected);
    let row = client.query_one("SELECT v FROM t", &[]).unwrap();
    assert_eq!(row.get::<_, &str>(0), "é");
    let stored = "SELECT payload FROM sink_dead_letters ORDER BY \"offset\"";
    let stored: Vec<Vec<u8>> = client.query(stored, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(stored, payloads[..2].iter().map(|payload| payload.as_bytes()).collect::<Vec<_>>());
}

/// Produces a record with a header whose name is these bytes, which no safe function of the client takes.
#[allow(unsafe_code)]
fn produce_with_header(kafka: &Kafka, topic: &str, payload: &str, name: &CStr) {
    let producer: BaseProducer = kafka.client().create().unwrap();
    let topic = std::ffi::CString::new(topic).unwrap();
    let part = |vtype, u| rd::rd_kafka_vu_t { vtype, u };
    type Part = rd::rd_kafka_vu_s__bindgen_ty_1;
    let parts = [
        part(rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC, Part { cstr: topic.as_ptr() }),
        part(
            rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
            Part {
                mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                    ptr: payload.as_ptr().cast_mut().cast(),
                    size: payload.len(),
                },
            },
        ),
        part(rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS, Part { i: 0x2 /* RD_KAFKA_MSG_F_COPY */ }),
        part(
            rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADER,
            Part {
                header: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
                    name: name.as_ptr(),
                    val: b"value".as_ptr().cast(),
                    size: 5,
                },
            },
        ),
    ];
    // SAFETY: all that the parts point to outlives the call, and is copied by it.
    let error =
        unsafe { rd::rd_kafka_produceva(producer.client().native_ptr(), parts.as_ptr(), parts.len()) };
    assert!(error.is_null(), "the record is queued");
    producer.flush(MINUTE).unwrap();
}

#[test]
fn a_header_whose_name_is_not_utf8_stops_nothing() {
    let world = World::new("header").table(DDL).upsert("id");
    for payload in ["{\"id\": 1}", "bad"] {
        produce_with_header(&world.kafka, world.topic(), payload, c"latin1: \xe9");
    }
    assert_eq!(dead_letters(&world, 1), [(1, "invalid_json".to_owned())]);
    let headers: String = world.one("SELECT headers::text FROM sink_dead_letters");
    let headers: Value = serde_json::from_str(&headers).unwrap();
    assert_eq!(headers, json!([{"name": "latin1: \u{FFFD}", "value": "value"}]));
}
