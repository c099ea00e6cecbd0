//! A broker that denies access: the sink says so, waits, and continues by itself once access is granted.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;
use tests::{Kafka, KafkaOptions, Metrics, Record, Services, Sink, SinkConfig, wait};

use crate::moved_logs::waits_for_lock;

const PATIENCE: Duration = Duration::from_secs(90);
const TOPIC: &str = "guarded";
const GROUP: &str = "members";

/// A broker with an authorizer, its topic and group open to everybody.
struct Guarded {
    kafka: Kafka,
    url: String,
    config: SinkConfig,
}

impl Guarded {
    fn new() -> Self {
        let options = KafkaOptions::default()
            .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .property("allow.everyone.if.no.acl.found", "true");
        let kafka = Kafka::start(options).unwrap();
        kafka.create_topic(TOPIC, 1, &[]);
        let all = ["--add", "--allow-principal", "User:*", "--operation", "All"];
        kafka.acl(&[&all[..], &["--topic", TOPIC, "--group", GROUP]].concat());
        let url = Services::shared().postgres.database("guarded");
        tests::postgres::connect(&url).batch_execute("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
        let config =
            SinkConfig::new(kafka.bootstrap(), &url).group(GROUP).topic(TOPIC).table("t").pk_fields(&["id"]);
        Self { kafka, url, config }
    }

    /// Nobody may read `resource` any more, or all may again. Everything else stays allowed.
    fn deny(&self, resource: [&str; 2]) {
        self.kafka
            .acl(&[&["--add", "--deny-principal", "User:*", "--operation", "Read"], &resource[..]].concat());
    }

    fn allow(&self, resource: [&str; 2]) {
        let remove = ["--remove", "--force", "--deny-principal", "User:*", "--operation", "Read"];
        self.kafka.acl(&[&remove[..], &resource[..]].concat());
    }

    /// Waits until the broker refuses commits of the group: a rule is not in force at once.
    fn shut(&self) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(TOPIC, 0, Offset::Offset(0)).unwrap();
        let attempt = || {
            let consumer: BaseConsumer = self.kafka.client().set("group.id", GROUP).create().unwrap();
            // While the group has a member, a commit by another client is refused for another reason.
            consumer.commit(&list, CommitMode::Sync).map_err(|error| error.rdkafka_error_code())
        };
        let denied = Err(Some(RDKafkaErrorCode::GroupAuthorizationFailed));
        wait::holds(PATIENCE, "commits are refused", attempt, |outcome| *outcome == denied).unwrap_err();
    }

    fn produce(&self, id: i32) {
        self.kafka.produce_one(TOPIC, Record::json(&json!({"id": id})));
    }

    fn rows(&self) -> i64 {
        tests::postgres::connect(&self.url).query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
    }

    fn written(&self, rows: i64) {
        wait::holds(PATIENCE, "rows", || self.rows(), |seen| *seen == rows);
    }
}

/// /livez answers 200, and /readyz 503 with these words.
fn refused(sink: &Sink, words: &str) {
    wait::until(PATIENCE, &format!("/readyz says {words:?}"), || {
        sink.get("/readyz").is_ok_and(|(status, body)| status == 503 && body.contains(words))
    });
    assert_eq!(sink.get("/livez").unwrap().0, 200);
}

#[test]
fn a_sink_without_permission_to_read_says_so_and_continues_once_it_has_it() {
    let guarded = Guarded::new();
    guarded.produce(1);
    guarded.deny(["--group", GROUP]);
    let sink = guarded.config.run();
    refused(&sink, "cannot join the group");
    assert_eq!(guarded.rows(), 0);
    guarded.allow(["--group", GROUP]);
    guarded.written(1);
    sink.wait_ready(PATIENCE);

    guarded.deny(["--topic", TOPIC]);
    refused(&sink, "not authorised to read topic guarded");
    guarded.produce(2);
    wait::stays(Duration::from_secs(1), "nothing is read", || guarded.rows() == 1);
    guarded.allow(["--topic", TOPIC]);
    guarded.written(2);
    sink.wait_ready(PATIENCE);
    assert_eq!(sink.assert_accounted(), 2);
}

#[test]
fn commits_that_kafka_refused_are_repeated_later() {
    let guarded = Guarded::new();
    // The member stays one however long its heartbeats are refused.
    let sink = guarded.config.clone().property("session.timeout.ms", "120000").run();
    let committed = |offset: i64| {
        let held = || guarded.kafka.group_offsets(GROUP, TOPIC)[0].offset;
        wait::holds(PATIENCE, "the position is committed to Kafka", held, |held| *held == Some(offset));
    };
    let sum = |name: &str, label: &str, value: &str| {
        sink.metrics().map_or(0.0, |metrics: Metrics| metrics.sum_where(name, &[(label, value)]))
    };
    guarded.produce(1);
    committed(1);
    // A record is at its writer when access is denied, and is written afterwards.
    let mut client = tests::postgres::connect(&guarded.url);
    let mut hold = client.transaction().unwrap();
    hold.batch_execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE").unwrap();
    guarded.produce(2);
    wait::until(PATIENCE, "a batch is held", || waits_for_lock(&guarded.url));
    guarded.deny(["--group", GROUP]);
    guarded.shut();
    hold.rollback().unwrap();
    guarded.written(2);
    let commits = || ["failed", "ok"].map(|outcome| sum("sink_kafka_commits_total", "outcome", outcome));
    wait::holds(PATIENCE, "a commit to Kafka is refused", commits, |[failed, _]| *failed > 0.0);
    guarded.allow(["--group", GROUP]);
    committed(2);
    assert_eq!(sum("sink_rebalances_total", "kind", "assign"), 1.0, "not because of another assignment");
    sink.wait_ready(PATIENCE);
    assert_eq!(sink.assert_accounted(), 2);
}
