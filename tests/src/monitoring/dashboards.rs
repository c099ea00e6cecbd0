//! The dashboards. Their rows are in the order of the questions that an on-call engineer asks.

use super::dashboard::{Annotation, Dashboard, Panel, Row};

/// The sink's dashboard.
pub fn sink_connector() -> Dashboard {
    Dashboard {
        uid: "livescores-sink-connector",
        title: "Kafka → PostgreSQL sink",
        description: "Is it healthy, does it keep up, how fast is it, what does it reject, what does it cost?",
        variables: vec![
            ("namespace", "Namespace", "label_values(sink_build_info, namespace)"),
            ("connector", "Connector", "label_values(sink_build_info{namespace=~\"$namespace\"}, connector)"),
            (
                "topic",
                "Topic",
                "label_values(sink_position{namespace=~\"$namespace\", connector=~\"$connector\"}, topic)",
            ),
            (
                "partition",
                "Partition",
                "label_values(sink_position{namespace=~\"$namespace\", connector=~\"$connector\", topic=~\"$topic\"}, partition)",
            ),
        ],
        annotations: vec![
            Annotation {
                name: "Starts",
                expression: r#"process_start_time_seconds{namespace=~"$namespace", connector=~"$connector"} * 1000"#,
                text: "{{connector}} {{instance}} started",
                time_is_value: true,
            },
            Annotation {
                name: "Versions",
                expression: r#"count by (connector, version, revision) (sink_build_info{namespace=~"$namespace", connector=~"$connector"}) unless count by (connector, version, revision) (sink_build_info{namespace=~"$namespace", connector=~"$connector"} offset 2m)"#,
                text: "{{connector}} {{version}} {{revision}}",
                time_is_value: false,
            },
        ],
        rows: vec![healthy(), keeping_up(), fast(), rejected(), partitions(), cost()],
    }
}

fn healthy() -> Row {
    Row {
        title: "Is it healthy?",
        panels: vec![
            Panel::stat_at_least("Sinks", "short", 1, "Processes that Prometheus can scrape.").runbook("sinktargetdown").empty("no sink is scraped")
                .shows(
                "",
                r#"count(sink_build_info{namespace=~"$namespace", connector=~"$connector"})"#,
            ),
            Panel::stat_at_least("Ready", "short", 1, "Sinks that answer 200 on /readyz. /readyz of one that is not ready shows why.")
                .runbook("sinknotready")
                .empty("no sink is scraped")
                .shows("", r#"sum(sink_ready{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::stat("Partitions assigned", "short", None, "Sum over all members. If the topics have more, the group is rebalancing or has no member.").empty("no sink is scraped")
                .shows(
                "",
                r#"sum(sink_partitions_assigned{namespace=~"$namespace", connector=~"$connector"})"#,
            ),
            Panel::stat("Partitions waiting", "short", Some(1), "Partitions that are paused because a writer or a position waits for PostgreSQL, or because a breaker is open.")
                .runbook("sinkwaitingfordatabase")
                .empty("no sink is scraped")
                .shows("", r#"sum(sink_partitions_paused{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::stat("Partitions stopped", "short", Some(1), "Partitions whose position does not match the log; they wait for `offsets reset`.")
                .runbook("sinkpartitionstopped")
                .empty("no sink is scraped")
                .shows("", r#"sum(sink_partitions_stopped{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::stat("Breakers open", "short", Some(1), "Topics that are paused because too many of their records are rejected.")
                .runbook("sinkbreakeropen")
                .empty("no sink is scraped")
                .shows("", r#"sum(sink_breaker_open{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"})"#),
            Panel::table("Stopped partitions", 24, "Each partition that waits for an operator, and why. A click on the partition shows it alone.")
                .runbook("sinkpartitionstopped")
                .empty("no partition has stopped")
                .shows("", r#"sink_partition_stopped{namespace=~"$namespace", connector=~"$connector", topic=~"$topic", partition=~"$partition"} == 1"#),
            Panel::graph("Waiting for", "short", "Paused partitions by cause: `writer` and `position` wait for PostgreSQL, `breaker` waits until the topic's records succeed. If few records arrive, an unreachable database pauses nothing: see Retries.")
                .runbook("sinkwaitingfordatabase")
                .shows("{{connector}} {{cause}}", r#"sum by (connector, cause) (sink_partitions_paused{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::graph("Since the last commit", "s", "Seconds since the last transaction. It also grows while there are no new records; check the lag.")
                .runbook("sinknoprogress")
                .empty("nothing was committed")
                .shows("{{connector}}", r#"time() - max by (connector) (sink_last_commit_timestamp_seconds{namespace=~"$namespace", connector=~"$connector"} > 0)"#),
            Panel::graph("Versions", "short", "Number of processes by version. During a rollout there are two lines.")
                .shows("{{connector}} {{version}} {{revision}}", r#"count by (connector, version, revision) (sink_build_info{namespace=~"$namespace", connector=~"$connector"})"#),
        ],
    }
}

fn keeping_up() -> Row {
    Row {
        title: "Is it keeping up?",
        panels: vec![
            Panel::graph("Lag", "short", "Records between the stored positions and the log ends.")
                .runbook("sinklagging")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"})"#),
            Panel::graph("Lag in seconds, estimated", "s", "Lag divided by the rate at which records arrive. If they arrive evenly, this is the age of the oldest waiting record. Empty if no records arrive. The alert needs no estimate: it compares the position with the log end of some time ago.")
                .runbook("sinklagging")
                .red_from(300.0)
                .empty("no records arrive")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}) / (sum by (connector, topic) (deriv(sink_position{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]) + deriv(sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) > 0)"#),
            Panel::graph("Time to catch up", "s", "Lag divided by the rate at which it shrinks. Empty while it does not shrink.")
                .runbook("sinklagging")
                .empty("no lag that shrinks")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}) / (- sum by (connector, topic) (deriv(sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) > 0)"#),
            Panel::graph("Records in", "cps", "Growth of the log ends, in offsets: the change of the position plus the change of the lag.")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (deriv(sink_position{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]) + deriv(sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]))"#),
            Panel::graph("Records out", "cps", "Records whose outcome is committed: rows, deletions, skips and dead letters.")
                .runbook("sinknoprogress")
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (rate(sink_records_consumed_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]))"#),
            Panel::graph("Partitions furthest behind", "short", "The ten partitions with the most lag. If one is far above the others, it has a hot key or makes no progress.")
                .runbook("sinknoprogress")
                .shows("{{topic}} {{partition}}", r#"topk(10, max by (topic, partition) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}))"#),
        ],
    }
}

fn fast() -> Row {
    Row {
        title: "How fast?",
        panels: vec![
            Panel::heatmap("Record → commit", "s", "Seconds from a record's timestamp to its commit. During a backlog this shows the age of the backlog.")
                .shows("{{le}}", r#"sum by (le) (increase(sink_record_latency_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Record → commit, quantiles", "s", "Of committed records only; records that still wait are not included.")
                .runbook("sinklagging")
                .shows("p50 {{connector}}", r#"histogram_quantile(0.5, sum by (connector, le) (rate(sink_record_latency_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#)
                .shows("p99 {{connector}}", r#"histogram_quantile(0.99, sum by (connector, le) (rate(sink_record_latency_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#),
            Panel::graph("Write time of a batch", "s", "From BEGIN to the answer to COMMIT. If it is much longer than before, the database is busy or waits for locks.")
                .runbook("sinklagging")
                .shows("p50 {{connector}}", r#"histogram_quantile(0.5, sum by (connector, le) (rate(sink_batch_write_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#)
                .shows("p99 {{connector}}", r#"histogram_quantile(0.99, sum by (connector, le) (rate(sink_batch_write_seconds_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#),
            Panel::graph("Records per batch", "short", "Close to batch.max_rows means that more records are waiting than fit into one transaction.")
                .shows("mean {{connector}}", r#"sum by (connector) (rate(sink_batch_rows_sum{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])) / (sum by (connector) (rate(sink_batch_rows_count{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])) > 0)"#)
                .shows("p95 {{connector}}", r#"histogram_quantile(0.95, sum by (connector, le) (rate(sink_batch_rows_bucket{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])))"#),
            Panel::graph("Rows", "wps", "Rows inserted, updated and deleted, by table.")
                .shows("{{table}} deleted", r#"sum by (table) (rate(sink_rows_deleted_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#)
                .shows("{{table}}", r#"sum by (table) (rate(sink_rows_written_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Batches", "cps", "Transactions by outcome. `failed` and `fenced` were rolled back and are retried.")
                .runbook("sinkfencedrepeatedly")
                .shows("{{outcome}}", r#"sum by (outcome) (rate(sink_batches_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
        ],
    }
}

fn rejected() -> Row {
    Row {
        title: "What is rejected?",
        panels: vec![
            Panel::graph("Dead letters", "cps", "Rejected records that were stored as dead letters, by reason.")
                .runbook("sinkdeadletters")
                .shows("{{topic}} {{reason}}", r#"sum by (topic, reason) (rate(sink_dead_letters_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) > 0"#),
            Panel::graph("Share rejected", "percentunit", "Dead letters divided by all records.")
                .runbook("sinkdeadletters")
                .red_from(0.01)
                .shows("{{connector}} {{topic}}", r#"sum by (connector, topic) (rate(sink_dead_letters_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) / (sum by (connector, topic) (rate(sink_records_consumed_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval])) > 0)"#),
            Panel::graph("Skipped", "cps", "Records that a configured policy skipped, by reason: `superseded` by a later record with the same key, `exists` with insert_ignore, `tombstone`, `trigger`.")
                .shows("{{topic}} {{reason}}", r#"sum by (topic, reason) (rate(sink_records_skipped_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]))"#),
        ],
    }
}

fn partitions() -> Row {
    Row {
        title: "Which partition?",
        panels: vec![
            Panel::graph("Lag by partition", "short", "Of the partitions that are chosen above.")
                .runbook("sinklagging")
                .shows("{{topic}} {{partition}}", r#"sum by (topic, partition) (sink_lag_records{namespace=~"$namespace", connector=~"$connector", topic=~"$topic", partition=~"$partition"})"#),
            Panel::graph("Records by partition", "cps", "Committed records. An uneven distribution of keys shows here.")
                .shows("{{topic}} {{partition}}", r#"sum by (topic, partition) (rate(sink_records_consumed_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic", partition=~"$partition"}[$__rate_interval]))"#),
            Panel::graph("Position", "short", "The offset of the next record. A line that stays level although there is lag is a partition that does not move.")
                .runbook("sinknoprogress")
                .shows("{{topic}} {{partition}}", r#"max by (topic, partition) (sink_position{namespace=~"$namespace", connector=~"$connector", topic=~"$topic", partition=~"$partition"})"#),
        ],
    }
}

fn cost() -> Row {
    Row {
        title: "What does it cost?",
        panels: vec![
            Panel::graph("CPU", "suffix: cores", "CPU time that each process used in a second.")
                .shows("{{instance}}", r#"rate(process_cpu_seconds_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])"#),
            Panel::graph("Memory", "bytes", "Resident memory of each process. The configuration bounds it.")
                .shows("{{instance}}", r#"process_resident_memory_bytes{namespace=~"$namespace", connector=~"$connector"}"#),
            Panel::graph("Bytes read", "Bps", "Keys and values of the records that were committed.")
                .shows("{{topic}}", r#"sum by (topic) (rate(sink_bytes_consumed_total{namespace=~"$namespace", connector=~"$connector", topic=~"$topic"}[$__rate_interval]))"#),
            Panel::graph("Connections to PostgreSQL", "short", "Connections of all pools, by state.")
                .shows("{{state}}", r#"sum by (state) (sink_postgres_connections{namespace=~"$namespace", connector=~"$connector"})"#),
            Panel::graph("Retries", "cps", "`transient`: PostgreSQL is unreachable, locks, deadlocks. `configuration`: an operator has to fix the table or the privileges.")
                .runbook("sinkwaitingfordatabase")
                .shows("{{connector}} {{class}}", r#"sum by (connector, class) (rate(sink_retries_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Fenced", "cps", "Batches whose positions another process had already moved. A few around a rebalance are harmless.")
                .runbook("sinkfencedrepeatedly")
                .shows("{{connector}}", r#"sum by (connector) (rate(sink_fenced_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Rebalances", "cps", "Changes of the assignment, by kind.")
                .runbook("sinkrebalancestorm")
                .shows("{{connector}} {{kind}}", r#"sum by (connector, kind) (rate(sink_rebalances_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("Commits to Kafka", "cps", "Commits of positions to Kafka, by outcome. They are for lag tools; the sink recovers from the positions in PostgreSQL.")
                .runbook("sinkkafkacommitsfail")
                .shows("{{connector}} {{outcome}}", r#"sum by (connector, outcome) (rate(sink_kafka_commits_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval]))"#),
            Panel::graph("CPU time per record", "s", "CPU seconds of the sinks for each committed record.")
                .shows("{{connector}}", r#"sum by (connector) (rate(process_cpu_seconds_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])) / (sum by (connector) (rate(sink_records_consumed_total{namespace=~"$namespace", connector=~"$connector"}[$__rate_interval])) > 0)"#),
        ],
    }
}

/// The producer's dashboard.
pub fn producer() -> Dashboard {
    Dashboard {
        uid: "livescores-producer",
        title: "Live scores producer",
        description: "A producer that runs continuously is scraped. One that a CronJob starts is visible only in kube-state-metrics.",
        annotations: vec![Annotation {
            name: "Starts",
            expression: r#"process_start_time_seconds{namespace=~"$namespace"} * 1000 and on (job, instance) producer_queue_records"#,
            text: "{{instance}} started",
            time_is_value: true,
        }],
        // The metrics of a producer have no label `cronjob`.
        variables: vec![("namespace", "Namespace", "label_values({__name__=~\"producer_queue_records|kube_cronjob_created\", cronjob=~\"(.*producer.*)?\"}, namespace)")],
        rows: vec![
            Row {
                title: "Is it healthy?",
                panels: vec![
                    Panel::stat("Producers", "short", None, "Processes that Prometheus can scrape. With a CronJob there are none.")
                        .empty("no producer is scraped")
                .shows("", r#"count(producer_queue_records{namespace=~"$namespace"})"#),
                    Panel::stat("Not acknowledged", "short", Some(1), "Records that failed within the displayed time range.")
                        .empty("no producer is scraped")
                .shows("", r#"sum(increase(producer_records_total{outcome="failed", namespace=~"$namespace"}[$__range]))"#),
                    Panel::stat("Since the CronJob's last success", "s", None, "Seconds since the producer's CronJob last succeeded, from kube-state-metrics. The alert compares them with its schedule.")
                        .runbook("producercronjobnotsucceeded")
                        .empty("kube-state-metrics is not scraped")
                .shows("{{cronjob}}", r#"time() - max by (cronjob) (kube_cronjob_status_last_successful_time{namespace=~"$namespace", cronjob=~".*producer.*"})"#),
                ],
            },
            Row {
                title: "What does it publish?",
                panels: vec![
                    Panel::graph("Records", "cps", "By outcome: acknowledged by all in-sync replicas, or failed.")
                        .shows("{{outcome}}", r#"sum by (outcome) (rate(producer_records_total{namespace=~"$namespace"}[$__rate_interval]))"#),
                    Panel::graph("Time per batch", "s", "From the first record of a batch to the delivery report of the last.")
                        .shows("p50", r#"histogram_quantile(0.5, sum by (le) (rate(producer_batch_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))"#)
                        .shows("p99", r#"histogram_quantile(0.99, sum by (le) (rate(producer_batch_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))"#),
                    Panel::graph("Queue", "short", "Records that are neither acknowledged nor failed yet. If the queue grows, the broker is slow or unreachable.")
                        .shows("{{instance}}", r#"producer_queue_records{namespace=~"$namespace"}"#),
                ],
            },
            Row {
                title: "What does it cost?",
                panels: vec![
                    Panel::graph("CPU", "suffix: cores", "CPU time that each process used in a second.")
                        .shows("{{instance}}", r#"rate(process_cpu_seconds_total{namespace=~"$namespace"}[$__rate_interval]) and on (job, instance) producer_queue_records"#),
                    Panel::graph("Memory", "bytes", "Resident memory of each process.")
                        .shows("{{instance}}", r#"process_resident_memory_bytes{namespace=~"$namespace"} and on (job, instance) producer_queue_records"#),
                ],
            },
        ],
    }
}
