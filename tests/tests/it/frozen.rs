//! Sinks that are frozen with a batch in flight: another sink takes over, and they are fenced once they continue.

use std::time::{Duration, Instant};

use postgres::Client;
use serde_json::{Value, json};
use tests::oracle::Expected;
use tests::{Record, Services, Sink, SinkConfig};

use crate::hung_database::GATE;

/// Nothing here is waited for longer, on however loaded a machine.
const LONG: Duration = Duration::from_secs(90);
/// The sink's own `lock_timeout`, unless the URL says otherwise.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// For a session that must not give up before the test has frozen its client.
const PATIENT: &str = "?options=-c%20lock_timeout%3D300s";

fn stored(client: &mut Client) -> i64 {
    client
        .query_one("SELECT coalesce(sum(next_offset), 0)::bigint FROM sink_offsets", &[])
        .map_or(-1, |row| row.get(0))
}

fn wait_stored(client: &mut Client, records: usize) {
    let records = i64::try_from(records).unwrap();
    tests::wait::holds(LONG, "positions", || stored(client), |positions| *positions == records);
}

/// The backends of the connector for which `condition` holds.
fn backends(client: &mut Client, config: &SinkConfig, condition: &str) -> Vec<i32> {
    let query =
        format!("SELECT a.pid FROM pg_stat_activity a WHERE a.application_name = $1 AND ({condition})");
    let name = format!("kafka-sink:{}", config.connector());
    client.query(&query, &[&name]).unwrap().iter().map(|row| row.get(0)).collect()
}

fn wait_for_backend(client: &mut Client, config: &SinkConfig, what: &str, condition: &str) -> i32 {
    tests::wait::holds(LONG, what, || backends(client, config, condition), |pids| !pids.is_empty())[0]
}

/// Rows of positions that somebody has locked.
fn held_positions(client: &mut Client) -> i64 {
    let query = "SELECT (SELECT count(*) FROM sink_offsets) - count(*) \
                 FROM (SELECT 1 FROM sink_offsets FOR UPDATE SKIP LOCKED) AS free";
    client.query_one(query, &[]).unwrap().get(0)
}

fn config(topic: &str, url: &str) -> SinkConfig {
    SinkConfig::new(Services::shared().kafka.bootstrap(), url)
        .topic(topic)
        .table("t")
        .property("session.timeout.ms", "6000")
        .property("heartbeat.interval.ms", "1000")
}

fn leave(sink: &Sink) {
    sink.assert_accounted();
    sink.sigterm();
    sink.wait(LONG).expect_code(0);
}

/// A sink that continues is fenced, and then a member like any other.
fn assert_fenced_and_useful(sink: &Sink, other: &Sink) {
    sink.wait_metric(LONG, "sink_fenced_total", |fenced| fenced >= 1.0);
    tests::wait::holds(
        LONG,
        "both members have partitions",
        || [sink, other].map(|sink| sink.metrics().map_or(0.0, |m| m.sum("sink_partitions_assigned"))),
        |each| each.iter().all(|n| *n > 0.0),
    );
}

/// A sink is stopped past its session timeout while its batch, already fenced in, waits for the target table.
/// Records of three generations: written before, in the frozen batch, and produced while it is frozen.
fn stopped_before_the_rows(ddl: &str, mode: &str, pk_mode: &str) -> (Vec<Value>, Client) {
    const KEYS: usize = 500;
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("frozen", 2);
    let url = postgres.database("frozen");
    let (mut client, mut holder) = (tests::postgres::connect(&url), tests::postgres::connect(&url));
    client.batch_execute(ddl).unwrap();
    let mut produced: Vec<Value> = Vec::new();
    let mut produce = |generation: usize| {
        let records: Vec<Value> = (0..KEYS)
            .map(|key| json!({"id": generation * KEYS + key, "key": key, "generation": generation}))
            .collect();
        kafka.produce(&topic, records.iter().map(|r| Record::json(r).key(r["key"].to_string())));
        produced.extend(records);
        produced.len()
    };
    let mut other_config = config(&topic, &url).insert_mode(mode).pk_mode(pk_mode);
    if pk_mode != "none" {
        other_config = other_config.pk_fields(&["key"]);
    }
    let frozen = other_config.clone().set("postgres.url", format!("{url}{PATIENT}")).run();
    wait_stored(&mut client, produce(0));

    let mut lock = holder.transaction().unwrap();
    lock.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    produce(1);
    let waiting = "EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted AND l.relation = 't'::regclass)";
    let backend = wait_for_backend(&mut client, &other_config, "a batch waits for the table", waiting);
    frozen.sigstop();
    assert!(held_positions(&mut client) > 0, "the batch has been fenced in");
    assert_eq!(stored(&mut client), KEYS as i64, "and is not committed");

    let other = other_config.run();
    let assigned = other.wait_metric(LONG, "sink_partitions_assigned", |n| n == 2.0);
    assert_eq!(assigned, 2.0, "the frozen sink's session has timed out");
    assert!(backends(&mut client, &other_config, "true").len() > 1);
    lock.rollback().unwrap();
    wait_stored(&mut client, produce(2));
    assert!(tests::signals::is_stopped(frozen.pid()), "the other one wrote all of it");
    let still = backends(&mut client, &other_config, &format!("a.pid = {backend}"));
    assert!(still.is_empty(), "the frozen sink's session was ended");

    frozen.sigcont();
    assert_fenced_and_useful(&frozen, &other);
    wait_stored(&mut client, produce(3));
    leave(&frozen);
    leave(&other);
    (produced, client)
}

#[test]
fn a_sink_stopped_with_a_batch_at_its_writer_duplicates_nothing_when_it_goes_on() {
    let ddl = "CREATE TABLE t (id int, key int, generation int)";
    let (produced, mut client) = stopped_before_the_rows(ddl, "insert", "none");
    let mut expected = Expected::by("id");
    produced.iter().for_each(|row| expected.add(row));
    expected.assert_exactly_once(&mut client, "t");
}

#[test]
fn a_sink_stopped_with_a_batch_at_its_writer_puts_no_stale_row_over_a_later_one() {
    let ddl = "CREATE TABLE t (id int, key int PRIMARY KEY, generation int)";
    let (produced, mut client) = stopped_before_the_rows(ddl, "upsert", "record_value");
    let mut expected = Expected::by("key");
    produced.iter().for_each(|row| expected.put(row));
    expected.assert_exactly_once(&mut client, "t");
}

/// One sink is frozen inside COPY, and another whose sessions have these `options` has to go on.
fn frozen_inside_copy(options: &str) {
    // More than the buffers between client and server hold: COPY cannot end without the client.
    const RECORDS: usize = 20_000;
    const BYTES: usize = 2_000;
    let Services { kafka, postgres } = Services::shared();
    let topic = kafka.topic("frozen", 1);
    let url = postgres.database("frozen");
    let (mut client, mut holder) = (tests::postgres::connect(&url), tests::postgres::connect(&url));
    // The trigger holds COPY open, before its first row, until the test has frozen the sink.
    client.batch_execute(&format!("CREATE TABLE t (id int, pad text); {GATE}")).unwrap();
    holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    let pad = "x".repeat(BYTES);
    let record = |id: usize| json!({"id": id, "pad": pad});
    kafka.produce(&topic, (0..RECORDS).map(|id| Record::json(&record(id))));
    let other_config = config(&topic, &url).insert_mode("insert").pk_mode("none");
    let frozen = other_config
        .clone()
        .set("postgres.url", format!("{url}{PATIENT}"))
        .set("batch.max_rows", RECORDS as i64)
        .set("batch.max_bytes", 256 << 20)
        .set("batch.linger_ms", 60_000)
        .property("queued.max.messages.kbytes", "131072")
        .run();
    let at_the_gate = "a.query LIKE 'COPY%' AND a.wait_event = 'advisory'";
    let backend = wait_for_backend(&mut client, &other_config, "COPY has begun", at_the_gate);
    frozen.sigstop();
    holder.batch_execute("SELECT pg_advisory_unlock(1)").unwrap();
    let in_copy = "a.state = 'active' AND a.query LIKE 'COPY%' AND a.wait_event = 'ClientRead' \
                   AND EXISTS (SELECT FROM pg_stat_progress_copy c WHERE c.pid = a.pid)";
    let starving = wait_for_backend(&mut client, &other_config, "COPY waits for the frozen client", in_copy);
    assert_eq!(starving, backend);
    assert_eq!((stored(&mut client), held_positions(&mut client)), (0, 1), "it holds its positions");

    let other = other_config.clone().set("postgres.url", format!("{url}{options}")).run();
    let waits = format!(
        "a.pid <> {backend} AND a.wait_event_type = 'Lock' AND a.query LIKE '%kafka_sink_lock%' \
         AND {backend} = ANY (pg_blocking_pids(a.pid))"
    );
    wait_for_backend(&mut client, &other_config, "the other waits for the positions", &waits);
    let since = Instant::now();
    tests::wait::until(LONG, "the other goes on", || stored(&mut client) > 0);
    let took = since.elapsed();
    assert!(took < 2 * LOCK_TIMEOUT, "it went on after {took:?}");
    wait_stored(&mut client, RECORDS);
    assert!(tests::signals::is_stopped(frozen.pid()), "the other one wrote all of it");
    assert!(backends(&mut client, &other_config, &format!("a.pid = {backend}")).is_empty());

    frozen.sigcont();
    frozen.wait_metric(LONG, "sink_fenced_total", |fenced| fenced >= 1.0);
    leave(&other);
    // Alone again, it has what comes next.
    frozen.wait_metric(LONG, "sink_partitions_assigned", |n| n == 1.0);
    leave(&frozen);
    let mut expected = Expected::by("id").ignoring(&["pad"]);
    (0..RECORDS).for_each(|id| expected.add(&json!({"id": id})));
    expected.assert_exactly_once(&mut client, "t");
    let altered = format!("SELECT count(*) FROM t WHERE pad <> repeat('x', {BYTES})");
    assert_eq!(client.query_one(&altered, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn a_sink_frozen_inside_copy_does_not_keep_another_from_going_on() {
    frozen_inside_copy("");
}

/// What an administrator gives every role: the wait for the positions then ends with another error.
#[test]
fn a_sink_frozen_inside_copy_does_not_keep_one_with_a_short_statement_timeout_from_going_on() {
    frozen_inside_copy("?options=-c%20statement_timeout%3D3s");
}
