//! Every alert fires for real and ends by itself: real sinks are broken and mended under a real Prometheus, whose
//! rules are the chart's with shorter times. A sink that nothing happens to rouses nobody.

mod seen;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::seen::{Key, Seen};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;
use tests::exporter::Exporter;
use tests::monitoring::rules::{self, Values};
use tests::{
    Kafka, KafkaOptions, Postgres, PostgresOptions, Prometheus, Record, Services, Sink, SinkConfig, Target,
    names, ports, wait,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// Of the longest name of a connector, 52 characters, Kafka is to refuse what its commits carry; not of the others.
const METADATA_BYTES: &str = "50";
/// Records of each connector before anything is broken.
const BEFORE: i32 = 10;

/// A connector with a topic and a database of its own.
struct Connector<'a> {
    kafka: &'a Kafka,
    topic: String,
    url: String,
    config: SinkConfig,
}

impl<'a> Connector<'a> {
    fn new(kafka: &'a Kafka, postgres: &Postgres, name: &str) -> Self {
        let topic = kafka.topic("alerts", 2);
        let url = postgres.database("alerts");
        tests::postgres::connect(&url).batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)").unwrap();
        let config = SinkConfig::new(kafka.bootstrap(), &url)
            .name(name)
            .topic(&topic)
            .table("t")
            .pk_fields(&["id"])
            // Started again, it is where Prometheus looks for it.
            .set("http.listen", format!("127.0.0.1:{}", ports::free()))
            .property("session.timeout.ms", "6000")
            .property("heartbeat.interval.ms", "1000");
        let connector = Self { kafka, topic, url, config };
        connector.produce(0..BEFORE);
        connector
    }

    fn name(&self) -> &str {
        self.config.connector()
    }

    fn produce(&self, ids: Range<i32>) {
        self.kafka
            .produce(&self.topic, ids.map(|id| Record::json(&json!({"id": id, "n": id})).partition(id % 2)));
    }

    fn rows(&self) -> i64 {
        tests::postgres::connect(&self.url).query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
    }

    fn address(&self) -> String {
        self.config.config().get("http.listen").and_then(|v| v.as_str()).unwrap().to_owned()
    }

    /// Moves the stored positions behind the sink's back.
    fn move_positions(&self, to: &str) {
        let moved = tests::postgres::connect(&self.url)
            .execute(&format!("UPDATE sink_offsets SET next_offset = {to}"), &[])
            .unwrap();
        assert_eq!(moved, 2);
    }
}

/// Short enough for a test, long enough to be seen pending.
fn short() -> Values {
    let alerts = [
        "noProgress",
        "lag",
        "deadLetters",
        "breakerOpen",
        "waitingForDatabase",
        "fenced",
        "rebalances",
        "kafkaCommits",
        "partitionStopped",
        "cronJob",
        "targetDown",
    ];
    let values =
        alerts.iter().fold(Values::defaults().unwrap(), |v, alert| v.with(&format!("{alert}.for"), "3s"));
    values
        .with("noProgress.window", "10s")
        .with("lag.age", "10s")
        .with("deadLetters.window", "30s")
        // Longer than the longest pause between two attempts.
        .with("waitingForDatabase.window", "40s")
        .with("fenced.window", "30s")
        .with("fenced.count", 4)
        .with("rebalances.window", "40s")
        .with("rebalances.count", 2)
        .with("kafkaCommits.window", "15s")
        .with("cronJob.seconds", 60)
}

/// What kube-state-metrics says of a CronJob that succeeded so many seconds ago.
fn cron_job(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let labels = r#"{namespace="test",cronjob="livescores-producer"}"#;
    format!(
        "kube_cronjob_status_last_successful_time{labels} {}\nkube_cronjob_created{labels} {}\nkube_cronjob_spec_suspend{labels} 0\n",
        now - seconds,
        now - 100_000
    )
}

/// Three times a member comes, takes a partition and goes.
fn come_and_go(connector: &Connector<'_>, sink: &Sink) {
    for _ in 0..3 {
        let other: BaseConsumer = connector
            .kafka
            .client()
            .set("group.id", connector.config.group_id())
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        other.subscribe(&[&connector.topic]).unwrap();
        wait::until(PATIENCE, "the other member has a partition", || {
            let _ = other.poll(Duration::from_millis(100));
            other.assignment().is_ok_and(|partitions| partitions.count() == 1)
        });
        sink.wait_metric(PATIENCE, "sink_partitions_assigned", |n| n == 1.0);
        let positions = sink.metrics().unwrap().matching("sink_position", &[]).count();
        assert_eq!(positions, 1, "what is another's has no position here");
        drop(other);
        sink.wait_metric(PATIENCE, "sink_partitions_assigned", |n| n == 2.0);
    }
}

/// Moves the positions back three times, each under a batch that was read from the old ones.
fn fence(connector: &Connector<'_>, sink: &Sink) {
    for n in 0..3 {
        connector.move_positions("next_offset - 1");
        connector.produce(BEFORE + n * 2..BEFORE + n * 2 + 2);
        sink.wait_metric(PATIENCE, "sink_fenced_total", |fenced| fenced > f64::from(n));
        wait::until(PATIENCE, "it goes on", || connector.rows() == i64::from(BEFORE + n * 2 + 2));
    }
}

#[test]
fn every_alert_goes_from_pending_to_firing_and_is_resolved_when_its_cause_is_mended() {
    let options = KafkaOptions::default().property("offset.metadata.max.bytes", METADATA_BYTES);
    let services = Services::start(options, PostgresOptions::default()).unwrap();
    let Services { kafka, postgres } = &services;
    let away = Postgres::start(PostgresOptions::default()).unwrap();
    let long_name = format!("{:x<52}", names::unique("commits"));
    let [database, refused, fenced, rebalanced, stopped, killed, healthy] =
        ["database", "refused", "fenced", "rebalanced", "stopped", "killed", "healthy"].map(|what| {
            let postgres = if what == "database" { &away } else { postgres };
            Connector::new(kafka, postgres, &names::unique(what))
        });
    let commits = Connector::new(kafka, postgres, &long_name);
    let mut broken = Connector::new(kafka, postgres, &names::unique("broken"));
    broken.config =
        broken.config.set("errors.breaker_window_records", 100).set("errors.breaker_retry_ms", 500);
    let all = [&database, &refused, &fenced, &rebalanced, &stopped, &killed, &healthy, &commits, &broken];
    let mut sinks: Vec<Sink> = all.iter().map(|connector| connector.config.run()).collect();
    for connector in all {
        wait::until(PATIENCE, "rows", || connector.rows() == i64::from(BEFORE));
    }
    let kubernetes = Exporter::start(cron_job(10));
    let mut targets: Vec<Target> = all.iter().map(|c| Target::new("sink-connector", c.address())).collect();
    targets.push(Target::new("kube-state-metrics", kubernetes.address()));
    let prometheus = Prometheus::start(&targets, &rules::render(&short()).unwrap()).unwrap();
    let up = |n: usize| prometheus.query("up == 1").is_ok_and(|up| up.len() == n);
    wait::until(PATIENCE, "everything is scraped", || up(targets.len()));
    // What happened while they started is out of every window.
    wait::until(PATIENCE, "no alert is active", || prometheus.alerts().is_ok_and(|alerts| alerts.is_empty()));
    let seen = Seen::default();
    let (stop, produced) = (AtomicBool::new(false), AtomicI32::new(BEFORE));
    thread::scope(|scope| {
        let end = StopAtEnd(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                seen.look(&prometheus);
                let next = produced.fetch_add(2, Ordering::Relaxed);
                healthy.produce(next..next + 2);
                wait::let_pass(Duration::from_millis(200));
            }
        });
        let key = |alert: &str, whom: &str| (alert.to_owned(), whom.to_owned());
        let wanted = BTreeSet::from([
            key("SinkNoProgress", database.name()),
            key("SinkLagging", database.name()),
            key("SinkWaitingForDatabase", database.name()),
            key("SinkDeadLetters", refused.name()),
            key("SinkFencedRepeatedly", fenced.name()),
            key("SinkRebalanceStorm", rebalanced.name()),
            key("SinkKafkaCommitsFail", commits.name()),
            key("SinkPartitionStopped", stopped.name()),
            key("SinkBreakerOpen", broken.name()),
            key("SinkTargetDown", &killed.address()),
            key("ProducerCronJobNotSucceeded", "livescores-producer"),
        ]);

        // Break.
        away.stop_fast();
        assert!(!away.is_running());
        database.produce(BEFORE..BEFORE + 50);
        stopped.move_positions("1000");
        stopped.produce(BEFORE..BEFORE + 2);
        sinks[5].sigkill();
        kubernetes.say(cron_job(1_000));
        fence(&fenced, &sinks[2]);
        come_and_go(&rebalanced, &sinks[3]);
        let nonsense = (0..20).map(|n| Record::new("nonsense").partition(n % 2));
        kafka.produce(&refused.topic, nonsense);
        sinks[1].wait_metric(PATIENCE, "sink_dead_letters_total", |letters| letters == 20.0);
        let of_another_type =
            (BEFORE..BEFORE + 200).map(|id| Record::json(&json!({"id": id, "n": "many"})).partition(id % 2));
        kafka.produce(&broken.topic, of_another_type);
        sinks[8].wait_metric(PATIENCE, "sink_breaker_open", |open| open == 1.0);
        let count = |sink: &Sink, outcome| {
            sink.metrics().unwrap().sum_where("sink_kafka_commits_total", &[("outcome", outcome)])
        };
        let before = count(&sinks[7], "failed");
        commits.produce(BEFORE..BEFORE + 2);
        wait::until(PATIENCE, "Kafka refuses a commit", || count(&sinks[7], "failed") > before);
        let told =
            |connector: &Connector<'_>| kafka.group_offsets(connector.config.group_id(), &connector.topic);
        assert!(told(&commits).iter().all(|position| position.offset.is_none()));
        assert!(told(&healthy).iter().all(|position| position.offset.is_some()));
        assert!(count(&sinks[6], "ok") > 0.0 && count(&sinks[6], "failed") == 0.0);
        sinks[4].wait_metric(PATIENCE, "sink_partitions_stopped", |partitions| partitions == 2.0);

        let missing = || wanted.difference(&seen.fired()).cloned().collect::<Vec<_>>();
        wait::holds(PATIENCE, "every alert fires", missing, Vec::is_empty);
        assert!(seen.are("firing").contains(&key("SinkWaitingForDatabase", database.name())), "it lasts");

        // Mend.
        away.start_again();
        kubernetes.say(cron_job(0));
        tests::postgres::connect(&broken.url).batch_execute("ALTER TABLE t ALTER n TYPE text").unwrap();
        sinks[5] = killed.config.run();
        // What Kafka refuses is told again until it takes it: the name has to be shorter.
        sinks[7].sigterm();
        sinks[7].wait(PATIENCE).expect_code(0);
        sinks[7] = commits.config.clone().set("name", names::unique("shorter")).run();
        sinks[4].sigterm();
        sinks[4].wait(PATIENCE).expect_code(0);
        stopped.config.finish(&["offsets", "reset", "--to-latest", "--execute"], PATIENCE).expect_code(0);
        sinks[4] = stopped.config.run();
        let active = || seen.are("pending").union(&seen.are("firing")).cloned().collect::<Vec<_>>();
        wait::holds(PATIENCE, "every alert is resolved", active, Vec::is_empty);
        drop(end);

        wait::until(PATIENCE, "what waited is written", || database.rows() == i64::from(BEFORE + 50));
        let histories = seen.histories();
        for key in &wanted {
            let states: Vec<&str> = histories[key].iter().map(String::as_str).collect();
            assert_eq!(states, ["pending", "firing", "inactive"], "{key:?}");
        }
        // Mending some took them down for a while, and a topic that is paused is late, after its first refusals: Prometheus
        // was right to say so.
        let mended = [&stopped, &commits].map(|connector| key("SinkTargetDown", &connector.address()));
        let follows = |k: &Key| {
            mended.contains(k)
                || k.1 == broken.name()
                    && ["SinkDeadLetters", "SinkNoProgress", "SinkLagging"].contains(&&*k.0)
        };
        let others: Vec<Key> =
            seen.fired().into_iter().filter(|k| !wanted.contains(k) && !follows(k)).collect();
        assert!(others.is_empty(), "{others:?} fired for no reason: {histories:?}");
        assert!(!histories.keys().any(|(_, whom)| whom == healthy.name()), "{histories:?}");
    });
    let produced = i64::from(produced.load(Ordering::Relaxed));
    wait::until(PATIENCE, "the healthy one wrote everything", || healthy.rows() == produced);
    assert_eq!(sinks[6].assert_accounted(), u64::try_from(produced).unwrap());
}

/// Ends the scope's thread, also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
