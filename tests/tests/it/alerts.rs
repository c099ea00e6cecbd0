//! Every alert fires and is resolved: real sinks are broken and fixed under a real Prometheus, whose rules are the
//! chart's with shorter times. A healthy sink raises no alert.

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
/// Kafka refuses the metadata of commits that carry the longest possible name of a connector, 52 characters.
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
            // A restarted sink has to listen where Prometheus looks for it.
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

    /// The group's offsets in Kafka.
    fn committed(&self) -> Vec<Option<i64>> {
        let offsets = self.kafka.group_offsets(self.config.group_id(), &self.topic);
        offsets.into_iter().map(|position| position.offset).collect()
    }

    /// Moves the stored positions without the sink's knowledge.
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
        "recordsRejected",
        "breakerOpen",
        "waitingForDatabase",
        "notReady",
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
        .with("recordsRejected.window", "30s")
        // Longer than the longest pause between two attempts.
        .with("waitingForDatabase.window", "40s")
        .with("fenced.window", "30s")
        .with("fenced.count", 4)
        .with("rebalances.window", "40s")
        .with("rebalances.count", 2)
        .with("kafkaCommits.window", "15s")
        .with("cronJob.seconds", 5)
}

/// What kube-state-metrics says of a CronJob that succeeded so many seconds ago, and whose last Job began 20 seconds ago.
fn cron_job(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let labels = r#"{namespace="test",cronjob="livescores-producer"}"#;
    format!(
        "kube_cronjob_status_last_successful_time{labels} {}\nkube_cronjob_status_last_schedule_time{labels} {}\n\
         kube_cronjob_created{labels} {}\nkube_cronjob_spec_suspend{labels} 0\n",
        now - seconds,
        now - 20,
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
        assert_eq!(positions, 1, "a partition of another member has no position here");
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

/// A connector for each cause of an alert, and one that is healthy.
struct Connectors<'a> {
    database: Connector<'a>,
    refused: Connector<'a>,
    fenced: Connector<'a>,
    rebalanced: Connector<'a>,
    stopped: Connector<'a>,
    killed: Connector<'a>,
    healthy: Connector<'a>,
    commits: Connector<'a>,
    broken: Connector<'a>,
    offline: Connector<'a>,
}

/// The places of their sinks, in the order of [`Connectors::all`].
const REFUSED: usize = 1;
const FENCED: usize = 2;
const REBALANCED: usize = 3;
const STOPPED: usize = 4;
const KILLED: usize = 5;
const HEALTHY: usize = 6;
const COMMITS: usize = 7;
const BROKEN: usize = 8;

impl<'a> Connectors<'a> {
    /// `unreachable` is the cluster that the first of them writes to, `killed` the broker that the last of them reads from.
    fn new(services: &'a Services, unreachable: &Postgres, killed: &'a Kafka) -> Self {
        let Services { kafka, postgres } = services;
        let new = |name: &str| Connector::new(kafka, postgres, &names::unique(name));
        let mut broken = new("broken");
        broken.config =
            broken.config.set("errors.breaker_window_records", 100).set("errors.breaker_retry_ms", 500);
        Self {
            database: Connector::new(kafka, unreachable, &names::unique("database")),
            refused: new("refused"),
            fenced: new("fenced"),
            rebalanced: new("rebalanced"),
            stopped: new("stopped"),
            killed: new("killed"),
            healthy: new("healthy"),
            commits: Connector::new(kafka, postgres, &format!("{:x<52}", names::unique("commits"))),
            broken,
            offline: Connector::new(killed, postgres, &names::unique("offline")),
        }
    }

    fn all(&self) -> [&Connector<'a>; 10] {
        let Self { database, refused, fenced, rebalanced, stopped, .. } = self;
        let Self { killed, healthy, commits, broken, offline, .. } = self;
        [database, refused, fenced, rebalanced, stopped, killed, healthy, commits, broken, offline]
    }

    /// The alerts that must fire.
    fn wanted(&self) -> BTreeSet<Key> {
        BTreeSet::from([
            key("SinkNoProgress", self.database.name()),
            key("SinkLagging", self.database.name()),
            key("SinkWaitingForDatabase", self.database.name()),
            key("SinkNotReady", self.database.name()),
            key("SinkNotReady", self.offline.name()),
            key("SinkDeadLetters", self.refused.name()),
            key("SinkRecordsRejected", self.refused.name()),
            key("SinkFencedRepeatedly", self.fenced.name()),
            key("SinkRebalanceStorm", self.rebalanced.name()),
            key("SinkKafkaCommitsFail", self.commits.name()),
            key("SinkPartitionStopped", self.stopped.name()),
            key("SinkBreakerOpen", self.broken.name()),
            key("SinkTargetDown", &self.killed.address()),
            key("ProducerCronJobNotSucceeded", "livescores-producer"),
        ])
    }

    /// Everything but the outages of the database and of Kafka, which come first.
    fn break_all(&self, sinks: &[Sink]) {
        self.database.produce(BEFORE..BEFORE + 50);
        self.stopped.move_positions("1000");
        self.stopped.produce(BEFORE..BEFORE + 2);
        sinks[KILLED].sigkill();
        fence(&self.fenced, &sinks[FENCED]);
        come_and_go(&self.rebalanced, &sinks[REBALANCED]);
        let nonsense = (0..20).map(|n| Record::new("nonsense").partition(n % 2));
        self.refused.kafka.produce(&self.refused.topic, nonsense);
        sinks[REFUSED].wait_metric(PATIENCE, "sink_dead_letters_total", |refused| refused == 20.0);
        let of_another_type =
            (BEFORE..BEFORE + 200).map(|id| Record::json(&json!({"id": id, "n": "many"})).partition(id % 2));
        self.broken.kafka.produce(&self.broken.topic, of_another_type);
        sinks[BROKEN].wait_metric(PATIENCE, "sink_breaker_open", |open| open == 1.0);
        let count = |sink: &Sink, outcome| {
            sink.metrics().unwrap().sum_where("sink_kafka_commits_total", &[("outcome", outcome)])
        };
        let before = count(&sinks[COMMITS], "failed");
        self.commits.produce(BEFORE..BEFORE + 2);
        wait::until(PATIENCE, "Kafka refuses a commit", || count(&sinks[COMMITS], "failed") > before);
        assert!(self.commits.committed().iter().all(Option::is_none));
        assert!(self.healthy.committed().iter().all(Option::is_some));
        assert!(count(&sinks[HEALTHY], "ok") > 0.0 && count(&sinks[HEALTHY], "failed") == 0.0);
        sinks[STOPPED].wait_metric(PATIENCE, "sink_partitions_stopped", |partitions| partitions == 2.0);
    }

    /// Everything but the database and Kafka.
    fn fix_all(&self, sinks: &mut [Sink]) {
        tests::postgres::connect(&self.broken.url).batch_execute("ALTER TABLE t ALTER n TYPE text").unwrap();
        sinks[KILLED] = self.killed.config.run();
        // A commit that Kafka refuses is tried again until it is accepted: the name has to be shorter.
        sinks[COMMITS].stop(PATIENCE);
        sinks[COMMITS] = self.commits.config.clone().set("name", names::unique("shorter")).run();
        sinks[STOPPED].stop(PATIENCE);
        let reset = ["offsets", "reset", "--to-latest", "--execute"];
        self.stopped.config.finish(&reset, PATIENCE).expect_code(0);
        sinks[STOPPED] = self.stopped.config.run();
    }

    /// What may fire besides: fixing some took them down for a while, and a topic that is paused lags, after its first
    /// refusals. One that has no other topic or partition is not ready.
    fn may_follow(&self, fired: &Key) -> bool {
        let fixed =
            [&self.stopped, &self.commits].map(|connector| key("SinkTargetDown", &connector.address()));
        fixed.contains(fired)
            || [&self.stopped, &self.broken].iter().any(|c| *fired == key("SinkNotReady", c.name()))
            || fired.1 == self.broken.name()
                && ["SinkDeadLetters", "SinkRecordsRejected", "SinkNoProgress", "SinkLagging"]
                    .contains(&&*fired.0)
    }
}

fn key(alert: &str, whom: &str) -> Key {
    (alert.to_owned(), whom.to_owned())
}

#[test]
fn every_alert_goes_from_pending_to_firing_and_is_resolved_when_its_cause_is_fixed() {
    let options = KafkaOptions::default().property("offset.metadata.max.bytes", METADATA_BYTES);
    let services = Services::start(options, PostgresOptions::default()).unwrap();
    let unreachable = Postgres::start(PostgresOptions::default()).unwrap();
    let killed = Kafka::start(KafkaOptions::default()).unwrap();
    let connectors = Connectors::new(&services, &unreachable, &killed);
    let Connectors { database, healthy, .. } = &connectors;
    let all = connectors.all();
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
        unreachable.stop_fast();
        killed.kill();
        assert!(!unreachable.is_running());
        kubernetes.set(cron_job(1_000));
        connectors.break_all(&sinks);
        let wanted = connectors.wanted();
        let missing = || wanted.difference(&seen.fired()).cloned().collect::<Vec<_>>();
        wait::holds(PATIENCE, "every alert fires", missing, Vec::is_empty);
        assert!(seen.are("firing").contains(&key("SinkWaitingForDatabase", database.name())), "it lasts");

        unreachable.start_again();
        killed.restart();
        kubernetes.set(cron_job(0));
        connectors.fix_all(&mut sinks);
        let active = || seen.are("pending").union(&seen.are("firing")).cloned().collect::<Vec<_>>();
        wait::holds(PATIENCE, "every alert is resolved", active, Vec::is_empty);
        drop(end);

        wait::until(PATIENCE, "the backlog is written", || database.rows() == i64::from(BEFORE + 50));
        let histories = seen.histories();
        for key in &wanted {
            let states: Vec<&str> = histories[key].iter().map(String::as_str).collect();
            assert_eq!(states, ["pending", "firing", "inactive"], "{key:?}");
        }
        let mut others = seen.fired();
        others.retain(|fired| !wanted.contains(fired) && !connectors.may_follow(fired));
        assert!(others.is_empty(), "{others:?} fired for no reason: {histories:?}");
        assert!(!histories.keys().any(|(_, whom)| whom == healthy.name()), "{histories:?}");
    });
    let produced = i64::from(produced.load(Ordering::Relaxed));
    wait::until(PATIENCE, "the healthy one wrote everything", || healthy.rows() == produced);
    assert_eq!(sinks[HEALTHY].assert_accounted(), u64::try_from(produced).unwrap());
}

/// Ends the scope's thread, also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
