//! The names that dashboards and alerts rely on.

use std::collections::BTreeSet;

use prometheus::proto::{LabelPair, MetricFamily};

use crate::observe::metrics::*;

/// The contract: name, type, labels.
const CONTRACT: &[(&str, &str, &[&str])] = &[
    ("sink_records_consumed_total", "counter", &["topic", "partition"]),
    ("sink_bytes_consumed_total", "counter", &["topic"]),
    ("sink_rows_written_total", "counter", &["table"]),
    ("sink_rows_deleted_total", "counter", &["table"]),
    ("sink_records_skipped_total", "counter", &["topic", "reason"]),
    ("sink_dead_letters_total", "counter", &["topic", "reason"]),
    ("sink_batches_total", "counter", &["outcome"]),
    ("sink_batch_rows", "histogram", &[]),
    ("sink_batch_write_seconds", "histogram", &[]),
    ("sink_record_latency_seconds", "histogram", &[]),
    ("sink_lag_records", "gauge", &["topic", "partition"]),
    ("sink_position", "gauge", &["topic", "partition"]),
    ("sink_retries_total", "counter", &["class"]),
    ("sink_fenced_total", "counter", &[]),
    ("sink_rebalances_total", "counter", &["kind"]),
    ("sink_kafka_commits_total", "counter", &["outcome"]),
    ("sink_partitions_assigned", "gauge", &[]),
    ("sink_partitions_paused", "gauge", &["cause"]),
    ("sink_postgres_connections", "gauge", &["state"]),
    ("sink_partition_stopped", "gauge", &["topic", "partition", "reason"]),
    ("sink_breaker_open", "gauge", &["topic"]),
    ("sink_partitions_stopped", "gauge", &["reason"]),
    ("sink_ready", "gauge", &[]),
    ("sink_last_commit_timestamp_seconds", "gauge", &[]),
    ("sink_log_lines_lost_total", "counter", &[]),
    ("sink_build_info", "gauge", &["version", "revision"]),
];

/// Metrics with a series in every family.
fn touched() -> Metrics {
    let metrics = Metrics::new("c");
    for counter in [&metrics.records_consumed, &metrics.records_skipped, &metrics.dead_letters] {
        counter.with_label_values(&["a", "b"]).inc();
    }
    for counter in [&metrics.bytes_consumed, &metrics.rows_written, &metrics.rows_deleted] {
        counter.with_label_values(&["a"]).inc();
    }
    for gauge in [&metrics.lag_records, &metrics.position] {
        gauge.with_label_values(&["a", "b"]).set(1);
    }
    metrics.partition_stopped.with_label_values(&["a", "b", "c"]).set(1);
    let one_label = [
        &metrics.partitions_paused,
        &metrics.postgres_connections,
        &metrics.breaker_open,
        &metrics.partitions_stopped,
    ];
    for gauge in one_label {
        gauge.with_label_values(&["a"]).set(1);
    }
    metrics
}

#[test]
fn names_types_and_labels_are_those_of_the_contract() {
    let declared: Vec<_> =
        Metrics::ALL.iter().map(|metric| (metric.name, metric.kind, metric.labels)).collect();
    assert_eq!(declared, CONTRACT);
    let families = touched().registry.gather();
    let exposed: BTreeSet<_> =
        families.iter().filter(|f| f.name().starts_with("sink_")).map(MetricFamily::name).collect();
    assert_eq!(exposed, CONTRACT.iter().map(|(name, ..)| *name).collect());
    for family in &families {
        for metric in family.get_metric() {
            let labels: BTreeSet<_> = metric.get_label().iter().map(LabelPair::name).collect();
            let own =
                CONTRACT.iter().find(|(name, ..)| *name == family.name()).map_or(&[][..], |(_, _, own)| own);
            assert_eq!(labels, own.iter().copied().chain(["connector"]).collect(), "{}", family.name());
        }
    }
    for (name, kind, _) in CONTRACT {
        assert!(touched().render().contains(&format!("# TYPE {name} {kind}\n")), "{name}");
    }
}

#[test]
fn the_process_is_exposed_too() {
    let text = Metrics::new("ipl").render();
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(text.contains(&format!("{name}{{connector=\"ipl\"}} ")), "{text}");
    }
    assert!(text.contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(text.contains("sink_batches_total{outcome=\"fenced\",connector=\"ipl\"} 0"), "{text}");
}

#[test]
fn help_is_the_doc_comment() {
    assert!(Metrics::ALL.iter().all(|metric| metric.help.ends_with('.') && !metric.help.starts_with(' ')));
    assert!(Metrics::new("c").render().contains("# HELP sink_batch_rows Records in a committed batch.\n"));
}

#[test]
fn latencies_are_observed_by_runs_of_equal_timestamps() {
    let metrics = Metrics::new("c");
    metrics.observe_latencies(10_000, [9_990, 9_990, -1, 9_990, 9_000, 9_990, 20_000]);
    metrics.observe_latencies(10_000, []);
    let text = metrics.render();
    for (bound, count) in [("0.005", 1), ("0.01", 5), ("0.5", 5), ("1", 6), ("+Inf", 6)] {
        let line = format!("sink_record_latency_seconds_bucket{{connector=\"c\",le=\"{bound}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert!(text.contains("sink_record_latency_seconds_sum{connector=\"c\"} 1.04\n"), "{text}");
}

#[test]
fn a_connector_may_have_any_name() {
    assert!(Metrics::new("a\"b\\c\n").render().contains("connector=\"a\\\"b\\\\c\\n\""));
}
