//! The faults that other tests rely on really happen, and data outlives them.

use std::time::Duration;

use tests::{
    Kafka, KafkaOptions, Postgres, PostgresOptions, ProducerConfig, Record, Services, names, postgres,
    signals, wait,
};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn records_outlive_a_kill_of_the_broker() {
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let topic = kafka.topic("durable", 2);
    let positions = kafka.produce(&topic, (0..1000).map(|n| Record::new(format!("{n}")).partition(n % 2)));
    assert_eq!(positions[999], (1, 499));
    let pid = kafka.pid();

    kafka.kill();
    assert!(!signals::is_alive(pid) && tests::ports::is_free(kafka.port()), "the broker is gone");
    kafka.restart();

    assert_ne!(kafka.pid(), pid);
    assert_eq!(kafka.end_offsets(&topic), [500, 500]);
    assert_eq!(kafka.read_all(&topic).len(), 1000);
    kafka.stop();
    assert!(!kafka.is_running());
}

#[test]
fn committed_rows_outlive_an_immediate_restart_and_a_kill_and_sessions_do_not() {
    let cluster = Postgres::start(PostgresOptions::default()).unwrap();
    let mut client = postgres::connect(&cluster.database("durable"));
    client.batch_execute("CREATE TABLE t AS SELECT generate_series(1, 1000) n").unwrap();
    let mut open = cluster.client();
    open.batch_execute("CREATE TABLE never (n int)").unwrap();
    open.batch_execute("BEGIN; INSERT INTO never VALUES (1)").unwrap();

    cluster.restart_immediate();
    assert!(client.simple_query("SELECT 1").is_err(), "the session was cut");
    let database =
        cluster.client().query_one("SELECT datname FROM pg_database WHERE datname ~ 'durable'", &[]);
    let mut client = postgres::connect(&cluster.url_of(database.unwrap().get(0)));
    assert_eq!(count(&mut client, "t"), 1000);
    assert_eq!(count(&mut cluster.client(), "never"), 0);

    let pid = cluster.pid();
    cluster.kill();
    assert!(!signals::is_alive(pid), "the postmaster is gone");
    assert!(postgres::try_connect(&cluster.url()).is_err());
    cluster.start_again();
    assert!(cluster.log_tail().contains("was not properly shut down"), "{}", cluster.log_tail());
    assert_eq!(count(&mut cluster.client(), "never"), 0);
}

#[test]
fn a_paused_database_answers_nothing_until_it_is_resumed() {
    let cluster = Postgres::start(PostgresOptions::default()).unwrap();
    let mut client = cluster.client();
    cluster.pause();
    let waiting = std::thread::spawn(move || count(&mut client, "pg_class"));
    wait::stays(Duration::from_secs(1), "a paused backend does not answer", || !waiting.is_finished());
    cluster.resume();
    assert!(waiting.join().unwrap() > 0);
}

#[test]
fn a_paused_broker_answers_nothing_until_it_is_resumed() {
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let topic = kafka.topic("paused", 1);
    kafka.pause();
    assert!(signals::is_stopped(kafka.pid()));
    std::thread::scope(|scope| {
        let produced = scope.spawn(|| kafka.produce_one(&topic, Record::new("x")));
        wait::stays(Duration::from_secs(1), "a paused broker acknowledges nothing", || {
            !produced.is_finished()
        });
        kafka.resume();
        assert_eq!(produced.join().unwrap(), (0, 0));
    });
}

#[test]
fn records_come_back_as_they_were_produced() {
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("as_produced", 2);
    let records = vec![
        Record::keyed("k", "{}").partition(0).header("h", "v").timestamp_ms(1_700_000_000_000),
        Record::tombstone("k").partition(1).timestamp_ms(1_700_000_000_001),
        Record::new([0xff, 0x00]).partition(1).timestamp_ms(1_700_000_000_002),
    ];
    assert_eq!(kafka.produce(&topic, records.clone()), [(0, 0), (1, 0), (1, 1)]);
    assert_eq!(kafka.read_all(&topic), records);
}

#[test]
fn an_aborted_transaction_takes_offsets_and_leaves_no_record() {
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("aborted", 1);
    let transaction = kafka.transaction(&topic);
    transaction.produce(&topic, [Record::new("a"), Record::new("b")]);
    transaction.abort();
    transaction.begin();
    transaction.produce(&topic, [Record::new("c")]);
    transaction.commit();
    // Three records and a marker for each transaction.
    assert_eq!(kafka.end_offsets(&topic), [5]);
    let payloads: Vec<_> = kafka.read_all(&topic).into_iter().filter_map(|record| record.payload).collect();
    assert_eq!(payloads, [b"c"]);
}

#[test]
fn a_trimmed_topic_starts_later_and_a_recreated_one_at_zero() {
    let kafka = &Services::shared().kafka;
    let topic = names::unique("trimmed");
    kafka.create_topic(&topic, 1, &[("segment.bytes", "1048576")]);
    kafka.produce(&topic, (0..10).map(|n| Record::new(format!("{n}"))));
    kafka.delete_records(&topic, 0, 4);
    assert_eq!(kafka.watermarks(&topic), [(4, 10)]);
    kafka.delete_topic(&topic);
    kafka.create_topic(&topic, 1, &[]);
    assert_eq!(kafka.watermarks(&topic), [(0, 0)]);
}

#[test]
fn kafkas_own_tool_and_the_client_agree_on_a_groups_offsets() {
    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("offsets", 2);
    let group = names::unique("group");
    kafka.produce(&topic, (0..10).map(|n| Record::new(format!("{n}")).partition(0)));
    let consumer: BaseConsumer = kafka.client().set("group.id", &group).create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    let mut element = list.add_partition(&topic, 0);
    element.set_offset(rdkafka::Offset::Offset(7)).unwrap();
    element.set_metadata("who");
    wait::until_ok(SOON, "a commit", || consumer.commit(&list, CommitMode::Sync));

    let offsets = kafka.group_offsets(&group, &topic);
    assert_eq!((offsets[0].offset, offsets[0].metadata.as_str()), (Some(7), "who"));
    assert_eq!(offsets[1].offset, None);
    let described = kafka.consumer_groups_describe(&group);
    assert_eq!(described.len(), 1, "{described:?}");
    assert_eq!(
        (described[0].current_offset, described[0].end_offset, described[0].lag),
        (Some(7), Some(10), Some(3))
    );
}

#[test]
fn a_binary_of_ours_runs_to_its_end_and_leaves_its_output() {
    let producer = ProducerConfig::new(Services::shared().kafka.bootstrap(), "unused");
    let output = producer.finish(&["print", "--records", "3", "--seed", "1"], SOON).expect_code(0);
    assert_eq!(output.stdout.lines().count(), 3, "{}", output.stdout);
    let output = producer.finish(&["no-such-command"], SOON).expect_code(2);
    assert!(output.stderr.contains("no-such-command"), "{}", output.stderr);
}

#[test]
fn a_killed_binary_ends_by_its_signal() {
    let producer = ProducerConfig::new("127.0.0.1:1", "unused").start(&["run"]);
    producer.sigstop();
    assert!(producer.is_running() && signals::is_stopped(producer.pid()));
    assert!(producer.rss_bytes() > 0);
    producer.sigcont();
    producer.sigkill();
    assert_eq!(producer.wait(SOON).signal, Some(9));
}

fn count(client: &mut ::postgres::Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
}
