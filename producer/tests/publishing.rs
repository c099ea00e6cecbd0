//! `once` and `run` against librdkafka's broker in memory, and against none.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use producer::config::{Producing, SCHEMA, Settings};
use producer::metrics::Measured;
use producer::produce::{Batches, ProduceError, Production};
use producer::publish::Publisher;
use producer::source::Source;
use producer::status::Status;
use shared::http::Endpoints;
use shared::settings::Layers;
use shared::signal::Shutdown;

const BROKER_IN_MEMORY: &str = "[kafka.properties]\n'test.mock.num.brokers' = 1";
/// A port of this machine that nobody listens on, and little patience.
const NO_BROKER: &str =
    "[kafka]\nbootstrap_servers = '127.0.0.1:1'\n[kafka.properties]\n'message.timeout.ms' = 300";

fn production(toml: &str, rate: Option<&str>) -> (Production, Arc<Status>, Shutdown) {
    let settings = Settings::load(Layers::new(&SCHEMA).text("test.toml", toml)).unwrap();
    let shutdown = Shutdown::new();
    let producing = Producing { seed: Some(1), ..settings.producer.clone() };
    let source = Source::new(&producing, rate.map(|rate| rate.parse().unwrap()));
    let status = Arc::new(Status::new(Measured::new().unwrap(), &settings.kafka, source.seed()));
    let publisher = Publisher::new(&settings.kafka, Arc::clone(&status), shutdown.clone()).unwrap();
    (Production::new(source, publisher, Arc::clone(&status), shutdown.clone()), status, shutdown)
}

#[test]
fn once_ends_with_every_record_acknowledged() {
    let (production, status, _) = production(BROKER_IN_MEMORY, None);
    production.once(Some(20_000)).unwrap();
    assert_eq!((status.measured.acknowledged.get(), status.measured.failed.get()), (20_000, 0));
    let metrics = status.metrics();
    assert!(metrics.contains("producer_batch_seconds_count 1"), "{metrics}");
    assert!(metrics.contains("producer_queue_records 0"), "{metrics}");
    assert!(status.ready().is_ok());
}

#[test]
fn once_without_a_broker_ends_in_time_and_says_how_many_are_missing() {
    let (production, status, _) = production(NO_BROKER, None);
    let began = Instant::now();
    let error = production.once(Some(100)).unwrap_err();
    assert!(matches!(error, ProduceError::Unacknowledged { missing: 100, asked: 100, .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(error.to_string().contains("127.0.0.1:1"), "the cause, not its symptom: {error}");
    assert!(status.ready().is_err());
    assert!(status.live().is_ok());
}

#[test]
fn a_full_queue_without_a_broker_does_not_hang_either() {
    let toml = format!("{NO_BROKER}\n'queue.buffering.max.messages' = 50");
    let (production, ..) = production(&toml, None);
    let error = production.once(Some(1_000_000)).unwrap_err().to_string();
    assert!(error.starts_with("1000000 of 1000000 records were not acknowledged"), "{error}");
}

#[test]
fn run_stops_at_its_number_of_records() {
    let (production, status, _) = production(BROKER_IN_MEMORY, None);
    let batches = Batches { size: 30, interval: Duration::from_millis(1), records: Some(100) };
    production.run(batches).unwrap();
    assert_eq!(status.measured.acknowledged.get(), 100);
    assert!(status.metrics().contains("producer_batch_seconds_count 4"));
}

#[test]
fn run_ends_well_when_a_stop_is_requested_between_batches() {
    let (production, status, shutdown) = production(BROKER_IN_MEMORY, None);
    let batches = Batches { size: 10, interval: Duration::from_secs(3600), records: None };
    let run = thread::spawn(move || production.run(batches));
    let deadline = Instant::now() + Duration::from_secs(30);
    while status.measured.acknowledged.get() < 10 {
        assert!(Instant::now() < deadline, "no batch in time");
        thread::sleep(Duration::from_millis(5));
    }
    shutdown.request();
    run.join().unwrap().unwrap();
    assert_eq!(status.measured.acknowledged.get(), 10);
}

#[test]
fn a_stop_ends_a_bounded_run_well_whatever_the_size_of_its_batches() {
    for size in [10, 100] {
        let (production, status, shutdown) = production(BROKER_IN_MEMORY, Some("50/s"));
        let batches = Batches { size, interval: Duration::ZERO, records: Some(100) };
        let run = thread::spawn(move || production.run(batches));
        let deadline = Instant::now() + Duration::from_secs(30);
        while status.measured.acknowledged.get() < 15 {
            assert!(Instant::now() < deadline, "no records in time");
            thread::sleep(Duration::from_millis(5));
        }
        shutdown.request();
        run.join().unwrap().unwrap();
        let acknowledged = status.measured.acknowledged.get();
        assert!((15..100).contains(&acknowledged), "batches of {size}: {acknowledged}");
    }
}

#[test]
fn a_batch_that_is_stopped_is_not_done() {
    for records in [Some(100), None] {
        let (production, status, shutdown) = production(BROKER_IN_MEMORY, Some("50/s"));
        let once = thread::spawn(move || production.once(records));
        let deadline = Instant::now() + Duration::from_secs(30);
        while status.measured.acknowledged.get() < 15 {
            assert!(Instant::now() < deadline, "no records in time");
            thread::sleep(Duration::from_millis(5));
        }
        shutdown.request();
        let error = once.join().unwrap().unwrap_err();
        let expected = match records {
            Some(_) => matches!(error, ProduceError::Unacknowledged { asked: 100, .. }),
            None => matches!(error, ProduceError::Stopped { acknowledged } if acknowledged >= 15),
        };
        assert!(expected, "{error}");
    }
}

#[test]
fn a_stop_without_a_broker_waits_its_ten_seconds_once() {
    let (production, status, shutdown) = production("[kafka]\nbootstrap_servers = '127.0.0.1:1'", None);
    let batches = Batches { size: 10, interval: Duration::from_secs(1), records: None };
    let run = thread::spawn(move || production.run(batches));
    let deadline = Instant::now() + Duration::from_secs(30);
    while status.measured.metrics.queue_records.get() < 10 {
        assert!(Instant::now() < deadline, "no batch in time");
        thread::sleep(Duration::from_millis(5));
    }
    let asked = Instant::now();
    shutdown.request();
    let error = run.join().unwrap().unwrap_err();
    assert!(matches!(error, ProduceError::Unacknowledged { missing: 10, asked: 10, .. }), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[test]
fn a_rate_spreads_the_records_over_time() {
    let (production, status, _) = production(BROKER_IN_MEMORY, Some("200/s"));
    let began = Instant::now();
    production.run(Batches { size: 10, interval: Duration::ZERO, records: Some(101) }).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(495), "{:?}", began.elapsed());
    assert_eq!(status.measured.acknowledged.get(), 101);
}

#[test]
fn a_property_that_librdkafka_does_not_know_is_a_configuration_error() {
    let text = "[kafka.properties]\n'no.such' = 'secret'";
    let error = Settings::load(Layers::new(&SCHEMA).text("a.toml", text)).unwrap_err().to_string();
    assert!(error.starts_with("kafka.properties.\"no.such\": librdkafka has no such property"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}
