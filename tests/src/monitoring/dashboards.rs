//! The dashboards: what they ask, in the order in which somebody asks it who was woken.

use super::dashboard::{Dashboard, Panel, Row};

/// The sink's dashboard.
pub fn sink_connector() -> Dashboard {
    Dashboard {
        uid: "livescores-sink-connector",
        title: "Kafka → PostgreSQL sink",
        description: "Is it healthy, does it keep up, how fast is it, what does it refuse, what does it cost?",
        variables: vec![
            ("namespace", "Namespace", "label_values(sink_build_info, namespace)"),
            ("connector", "Connector", "label_values(sink_build_info{namespace=~\"$namespace\"}, connector)"),
            (
                "topic",
                "Topic",
                "label_values(sink_position{namespace=~\"$namespace\", connector=~\"$connector\"}, topic)",
            ),
        ],
        rows: vec![healthy(), keeping_up(), fast(), refused(), cost()],
    }
}

fn healthy() -> Row {
    Row {
        title: "Is it healthy?",
        panels: vec![
            Panel::stat_at_least("Sinks", "short", 1, "Processes that Prometheus can scrape.").runbook("sinktargetdown").shows(
                "",
                r#"count(sink_build_info{namespace=~"$namespace", connector=~"$connector"})"#,
            ),
            Panel::stat("Ready pods", "short", None, "Pods that answer 200 on /readyz, from kube-state-metrics. A pod that is not ready says why on /readyz.")
                .runbook("sinkwaitingfordatabase")
                .shows("", r#"sum(kube_pod_status_ready{condition="true", namespace=~"$namespace"} and on (namespace, pod) sink_build_info{connector=~"$connector"})"#),
            Panel::stat("Partitions assigned", "short", None, "Over all members. Fewer than the topics have: the group is rebalancing, or no member is there.").shows(
                "",
                r#"sum(sink_partitions_assigned{namespace=~"$namespace", connector=~"$connector"})"#,
            ),
            Panel::stat("Partitions waiting", "short", Some(1), "Paused because a writer or a position waits for PostgreSQL, or because a breaker is open.")
                .runbook("sinkwaitingfordatabase")
                .shows("", r#"sum(sink_partitions_paused{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::stat("Partitions stopped", "short", Some(1), "Position and log do not fit together: they wait for `offsets reset`.")
                .runbook("sinkpartitionstopped")
                .shows("", r#"sum(sink_partitions_stopped{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::stat("Breakers open", "short", Some(1), "Topics that are paused because too many of their records are refused.")
                .runbook("sinkbreakeropen")
                .shows("", r#"sum(sink_breaker_open{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"})"#),
            Panel::graph("Waiting for", "short", "Partitions that are paused, by cause: `writer` and `position` wait for PostgreSQL, `breaker` for records that pass. A topic where little arrives is not paused for a database that is away: see Retries.")
                .runbook("sinkwaitingfordatabase")
                .shows("{{connector}} {{cause}}", r#"sum by (connector, cause) (sink_partitions_paused{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::graph("Since the last commit", "s", "Seconds since the last transaction. Without new records this grows, and means nothing: look at the lag.")
                .runbook("sinknoprogress")
                .shows("{{connector}}", r#"time() - max by (connector) (sink_last_commit_timestamp_seconds{namespace=~"$namespace", connector=~"$connector"} > 0)"#),
            Panel::graph("Versions", "short", "Processes by what they run; two lines during a rollout.")
                .shows("{{connector}} {{version}} {{revision}}", r#"count by (connector, version, revision) (sink_build_info{namespace=~"$namespace", connector=~"$connector"})"#),
        ],
    }
}

fn keeping_up() -> Row {
    Row {
        title: "Is it keeping up?",
        panels: vec![
            Panel::graph("Lag", "short", "Records between the stored positions and the ends of the partitions.")
                .runbook("sinklagging")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"})"#),
            Panel::graph("Lag in seconds, estimated", "s", "Lag divided by the rate at which records arrive: how old the oldest waiting record is, if they arrive evenly. Nothing where nothing arrives. The alert does not estimate: it compares the position with where the log ended some time ago.")
                .runbook("sinklagging")
                .red_from(300.0)
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}) / (sum by (connector, topic) (deriv(sink_position{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]) + deriv(sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) > 0)"#),
            Panel::graph("Time to catch up", "s", "Lag divided by the rate at which it shrinks. Nothing while it does not shrink.")
                .runbook("sinklagging")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}) / (- sum by (connector, topic) (deriv(sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) > 0)"#),
            Panel::graph("Records in", "cps", "Offsets that the partitions grow by: the change of position plus that of the lag.")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (deriv(sink_position{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]) + deriv(sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]))"#),
            Panel::graph("Records out", "cps", "Records whose outcome is committed: rows, deletions, skips and dead letters.")
                .runbook("sinknoprogress")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (rate(sink_records_consumed_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]))"#),
            Panel::graph("Partitions furthest behind", "short", "Lag of the ten partitions that have most of it. One far above the others: a hot key, or a partition that stands still.")
                .runbook("sinknoprogress")
                .shows("{{topic}} {{partition}}", r#"topk(10, max by (topic, partition) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}))"#),
        ],
    }
}

fn fast() -> Row {
    Row {
        title: "How fast?",
        panels: vec![
            Panel::heatmap("Record → commit", "s", "Seconds from a record's timestamp to its commit. While a backlog is worked off this is the age of the backlog.")
                .shows("{{le}}", r#"sum by (le) (increase(sink_record_latency_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Record → commit, quantiles", "s", "Of the records that were committed; those that wait are not in it.")
                .runbook("sinklagging")
                .shows("p50 {{connector}}", r#"histogram_quantile(0.5, sum by (connector, le) (rate(sink_record_latency_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#)
                .shows("p99 {{connector}}", r#"histogram_quantile(0.99, sum by (connector, le) (rate(sink_record_latency_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#),
            Panel::graph("Write time of a batch", "s", "From BEGIN to the answer to COMMIT. Much longer than before: the database is loaded, or waits for locks.")
                .runbook("sinklagging")
                .shows("p50 {{connector}}", r#"histogram_quantile(0.5, sum by (connector, le) (rate(sink_batch_write_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#)
                .shows("p99 {{connector}}", r#"histogram_quantile(0.99, sum by (connector, le) (rate(sink_batch_write_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#),
            Panel::graph("Records of a batch", "short", "Near batch.max_rows: there is more to read than one transaction takes.")
                .shows("mean {{connector}}", r#"sum by (connector) (rate(sink_batch_rows_sum{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])) / (sum by (connector) (rate(sink_batch_rows_count{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])) > 0)"#)
                .shows("p95 {{connector}}", r#"histogram_quantile(0.95, sum by (connector, le) (rate(sink_batch_rows_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#),
            Panel::graph("Rows", "wps", "Rows inserted or updated, and deleted, by table.")
                .shows("{{table}} deleted", r#"sum by (table) (rate(sink_rows_deleted_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#)
                .shows("{{table}}", r#"sum by (table) (rate(sink_rows_written_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Batches", "cps", "Transactions by outcome. `failed` and `fenced` were rolled back and are tried again.")
                .runbook("sinkfencedrepeatedly")
                .shows("{{outcome}}", r#"sum by (outcome) (rate(sink_batches_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
        ],
    }
}

fn refused() -> Row {
    Row {
        title: "What is refused?",
        panels: vec![
            Panel::graph("Dead letters", "cps", "Records that were refused and kept, by reason.")
                .runbook("sinkdeadletters")
                .shows("{{topic}} {{reason}}", r#"sum by (topic, reason) (rate(sink_dead_letters_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) > 0"#),
            Panel::graph("Share refused", "percentunit", "Dead letters of all records.")
                .runbook("sinkdeadletters")
                .red_from(0.01)
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (rate(sink_dead_letters_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) / (sum by (connector, topic) (rate(sink_records_consumed_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) > 0)"#),
            Panel::graph("Skipped", "cps", "Records that a declared policy left out, by reason: `superseded` by a later one of their key, `exists` with insert_ignore, `tombstone`, `trigger`.")
                .shows("{{topic}} {{reason}}", r#"sum by (topic, reason) (rate(sink_records_skipped_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]))"#),
        ],
    }
}

fn cost() -> Row {
    Row {
        title: "What does it cost?",
        panels: vec![
            Panel::graph("CPU", "short", "Cores used by each process.")
                .shows("{{instance}}", r#"rate(process_cpu_seconds_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])"#),
            Panel::graph("Memory", "bytes", "Resident memory of each process; bounded by the configuration.")
                .shows("{{instance}}", r#"process_resident_memory_bytes{namespace=~"$namespace", connector=~"$connector"}"#),
            Panel::graph("Bytes read", "Bps", "Keys and values of the records that were committed.")
                .shows("{{topic}}", r#"sum by (topic) (rate(sink_bytes_consumed_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]))"#),
            Panel::graph("Connections to PostgreSQL", "short", "Of all pools, by state.")
                .shows("{{state}}", r#"sum by (state) (sink_postgres_connections{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::graph("Retries", "cps", "`transient`: PostgreSQL away, locks, deadlocks. `configuration`: somebody has to mend the table or the privileges.")
                .runbook("sinkwaitingfordatabase")
                .shows("{{connector}} {{class}}", r#"sum by (connector, class) (rate(sink_retries_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Fenced", "cps", "Batches whose positions somebody else had moved. Some around a rebalance are harmless.")
                .runbook("sinkfencedrepeatedly")
                .shows("{{connector}}", r#"sum by (connector) (rate(sink_fenced_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Rebalances", "cps", "Changes of the assignment, by kind.")
                .runbook("sinkrebalancestorm")
                .shows("{{connector}} {{kind}}", r#"sum by (connector, kind) (rate(sink_rebalances_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Commits to Kafka", "cps", "By outcome. They inform lag tools; the positions that count are in PostgreSQL.")
                .runbook("sinkkafkacommitsfail")
                .shows("{{connector}} {{outcome}}", r#"sum by (connector, outcome) (rate(sink_kafka_commits_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("CPU time of a record", "s", "Seconds of the sinks' CPU for each record whose outcome was committed.")
                .shows("{{connector}}", r#"sum by (connector) (rate(process_cpu_seconds_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])) / (sum by (connector) (rate(sink_records_consumed_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])) > 0)"#),
        ],
    }
}

/// The producer's dashboard.
pub fn producer() -> Dashboard {
    Dashboard {
        uid: "livescores-producer",
        title: "Live scores producer",
        description: "A producer that runs all the time is scraped; one that a CronJob starts is seen through kube-state-metrics.",
        variables: vec![("namespace", "Namespace", "label_values({__name__=~\"producer_queue_records|kube_cronjob_created\"}, namespace)")],
        rows: vec![
            Row {
                title: "Is it healthy?",
                panels: vec![
                    Panel::stat("Producers", "short", None, "Processes that Prometheus can scrape; none with a CronJob.")
                        .shows("", r#"count(producer_queue_records{namespace=~"$namespace"})"#),
                    Panel::stat("Not acknowledged", "short", Some(1), "Records that failed within the time shown.")
                        .shows("", r#"sum(increase(producer_records_total{outcome="failed", namespace=~"$namespace"}[$__range]))"#),
                    Panel::stat("Since the CronJob's last success", "s", Some(7200), "From kube-state-metrics.")
                        .runbook("producercronjobnotsucceeded")
                        .shows("{{cronjob}}", r#"time() - max by (cronjob) (kube_cronjob_status_last_successful_time{namespace=~"$namespace"})"#),
                ],
            },
            Row {
                title: "What does it publish?",
                panels: vec![
                    Panel::graph("Records", "cps", "By outcome: acknowledged by all in-sync replicas, or failed.")
                        .shows("{{outcome}}", r#"sum by (outcome) (rate(producer_records_total{namespace=~"$namespace"}[$__rate_interval]))"#),
                    Panel::graph("Time of a batch", "s", "From its first record to the delivery report of its last.")
                        .shows("p50", r#"histogram_quantile(0.5, sum by (le) (rate(producer_batch_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))"#)
                        .shows("p99", r#"histogram_quantile(0.99, sum by (le) (rate(producer_batch_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))"#),
                    Panel::graph("Queue", "short", "Records that are neither acknowledged nor failed yet. Growing: the broker is slow or away.")
                        .shows("{{instance}}", r#"producer_queue_records{namespace=~"$namespace"}"#),
                ],
            },
            Row {
                title: "What does it cost?",
                panels: vec![
                    Panel::graph("CPU", "short", "Cores used by each process.")
                        .shows("{{instance}}", r#"rate(process_cpu_seconds_total{namespace=~"$namespace"}[$__rate_interval]) and on (job, instance) producer_queue_records"#),
                    Panel::graph("Memory", "bytes", "Resident memory of each process.")
                        .shows("{{instance}}", r#"process_resident_memory_bytes{namespace=~"$namespace"} and on (job, instance) producer_queue_records"#),
                ],
            },
        ],
    }
}
