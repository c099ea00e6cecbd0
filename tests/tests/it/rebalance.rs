//! Sinks that join, die and leave while records flow: exactly once, and in order by key.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tests::oracle::Expected;
use tests::{Record, Services, Sink, SinkConfig};

const PARTITIONS: i32 = 8;
/// Records of one key carry a number that counts up; there are few keys, so that each is in flight all the time.
const KEYS: u32 = 64;
/// Time for the group to notice a dead member, and for a loaded machine to do the rest.
const SETTLED: Duration = Duration::from_secs(90);

/// The summary counts a sink's records after its metrics are gone.
const RUN: [&str; 3] = ["run", "--summary", "json"];

struct Table {
    ddl: &'static str,
    mode: &'static str,
    pk_mode: &'static str,
}

const KEYED: Table = Table {
    ddl: "CREATE TABLE t (key int PRIMARY KEY, seq int, id int)",
    mode: "upsert",
    pk_mode: "record_value",
};
/// `place` is the order in which rows came.
const UNKEYED: Table = Table {
    ddl: "CREATE TABLE t (place bigserial, key int, seq int, id int)",
    mode: "insert",
    pk_mode: "none",
};

fn record(id: u32) -> Value {
    json!({"id": id, "key": id % KEYS, "seq": id / KEYS})
}

/// Produces until `stop` is set, and stops it when a test fails.
struct Flow {
    stop: AtomicBool,
    produced: Mutex<u32>,
}

impl Flow {
    fn produce(&self, topic: &str) {
        while !self.stop.load(Ordering::Relaxed) {
            let mut produced = self.produced.lock().unwrap();
            let next = *produced..*produced + 4 * KEYS;
            *produced = next.end;
            let records = next.map(|id| {
                let value = record(id);
                Record::json(&value).key(value["key"].to_string())
            });
            Services::shared().kafka.produce(topic, records);
            drop(produced);
            // A steady stream, not a flood: the faults last longer than the work of a flood.
            tests::wait::let_pass(Duration::from_millis(100));
        }
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn assigned(sink: &Sink) -> i32 {
    sink.metrics().map_or(-1, |metrics| metrics.sum("sink_partitions_assigned") as i32)
}

/// Waits until every member has partitions, all of them together, and has written rows since.
fn share(members: &[&Sink]) {
    tests::wait::holds(
        SETTLED,
        "the members share the partitions",
        || members.iter().map(|sink| assigned(sink)).collect::<Vec<_>>(),
        |each| each.iter().all(|n| *n > 0) && each.iter().sum::<i32>() == PARTITIONS,
    );
    for sink in members {
        let before = sink.metrics().unwrap().sum("sink_rows_written_total");
        sink.wait_metric(SETTLED, "sink_rows_written_total", |rows| rows > before);
    }
}

/// Stops a sink with SIGTERM; every record that it consumed is accounted for.
fn leave(sink: &Sink) {
    sink.sigterm();
    let records = sink.wait(Duration::from_secs(60)).expect_code(0).assert_accounted();
    assert!(records > 0);
}

/// Members come, die and leave; returns the number of records that were produced, all of them stored.
fn comings_and_goings(table: &Table) -> (u32, String) {
    let services = Services::shared();
    let topic = services.kafka.topic("rebalance", PARTITIONS);
    let url = services.postgres.database("rebalance");
    let mut client = tests::postgres::connect(&url);
    client.batch_execute(table.ddl).unwrap();
    let mut config = SinkConfig::new(services.kafka.bootstrap(), &url)
        .topic(&topic)
        .table("t")
        .insert_mode(table.mode)
        .pk_mode(table.pk_mode)
        .set("batch.max_rows", 100)
        .property("session.timeout.ms", "6000")
        .property("heartbeat.interval.ms", "1000");
    if table.pk_mode != "none" {
        config = config.pk_fields(&["key"]);
    }
    let flow = Flow { stop: AtomicBool::new(false), produced: Mutex::new(0) };
    thread::scope(|scope| {
        let stop = StopAtEnd(&flow.stop);
        let producer = scope.spawn(|| flow.produce(&topic));

        let first = config.start(&RUN);
        share(&[&first]);
        let (second, third) = (config.start(&RUN), config.start(&RUN));
        share(&[&first, &second, &third]);

        second.sigkill();
        share(&[&first, &third]);
        let revoked =
            |sink: &Sink| sink.metrics().unwrap().sum_where("sink_rebalances_total", &[("kind", "revoke")]);
        assert!(revoked(&first) > 0.0, "partitions were taken from the first member");

        // One leaves in order while another joins.
        let fourth = config.start(&RUN);
        leave(&first);
        share(&[&third, &fourth]);

        // One dies while another joins.
        third.sigkill();
        let fifth = config.start(&RUN);
        share(&[&fourth, &fifth]);
        for sink in [&fourth, &fifth] {
            let assigns = sink.metrics().unwrap().sum_where("sink_rebalances_total", &[("kind", "assign")]);
            assert!(assigns > 0.0);
        }

        drop(stop);
        producer.join().unwrap();
        let produced = i64::from(*flow.produced.lock().unwrap());
        tests::wait::holds(
            SETTLED,
            "every record is stored",
            || {
                let positions = "SELECT coalesce(sum(next_offset), 0)::bigint FROM sink_offsets";
                client.query_one(positions, &[]).unwrap().get::<_, i64>(0)
            },
            |positions| *positions == produced,
        );
        for sink in [&fourth, &fifth] {
            sink.assert_accounted();
            leave(sink);
        }
    });
    (flow.produced.into_inner().unwrap(), url)
}

#[test]
fn members_that_come_die_and_leave_write_rows_without_key_once_and_in_order() {
    let (produced, url) = comings_and_goings(&UNKEYED);
    let mut client = tests::postgres::connect(&url);
    let mut expected = Expected::by("id").ignoring(&["place"]);
    (0..produced).for_each(|id| expected.add(&record(id)));
    expected.assert_exactly_once(&mut client, "t");
    let disorder = "SELECT count(*) FROM (SELECT seq, lag(seq) OVER (PARTITION BY key ORDER BY place) AS before \
                    FROM t) AS rows WHERE seq <= before";
    assert_eq!(client.query_one(disorder, &[]).unwrap().get::<_, i64>(0), 0, "each key's rows are in order");
}

#[test]
fn members_that_come_die_and_leave_upsert_the_last_record_of_each_key() {
    let (produced, url) = comings_and_goings(&KEYED);
    let mut expected = Expected::by("key");
    (0..produced).for_each(|id| expected.put(&record(id)));
    assert_eq!(expected.len(), KEYS as usize);
    expected.assert_exactly_once(&mut tests::postgres::connect(&url), "t");
}
