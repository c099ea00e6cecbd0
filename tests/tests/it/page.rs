//! The page for people shows in a real browser what a sink does, and asks nobody but the sink.

use std::time::Duration;

use serde_json::{Value, json};
use tests::browser::{Browser, Seen};
use tests::{PostgresOptions, ProducerConfig, Record, Services, Sink, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);
const DDL: &str = "CREATE TABLE t (id int PRIMARY KEY, \"<i>age\" int)";

/// The page of a sink; it has asked the sink alone, and every script ran without an error.
#[track_caller]
fn seen(browser: &Browser, address: &str) -> Seen {
    let seen = browser.open(&format!("http://{address}/")).expect("the page");
    assert_eq!(seen.console, [""; 0], "{}", seen.text);
    let site = format!("http://{address}/");
    assert!(seen.requests.iter().all(|url| url.starts_with(&site)), "{:?}", seen.requests);
    assert!(seen.requests.contains(&format!("{site}status")), "{:?}", seen.requests);
    seen
}

/// Waits until the page holds all of these texts.
#[track_caller]
fn wait_shown(browser: &Browser, sink: &Sink, texts: &[&str]) -> String {
    let look = || seen(browser, sink.http()).text;
    wait::holds(PATIENCE, &format!("the page shows {texts:?}"), look, |page| {
        texts.iter().all(|text| page.contains(text))
    })
}

fn status(sink: &Sink) -> Value {
    serde_json::from_str(&sink.get("/status").expect("/status").1).expect("/status is JSON")
}

fn good(id: i32) -> Record {
    Record::json(&json!({"id": id, "<i>age": id}))
}

fn bad(id: i32) -> Record {
    Record::json(&json!({"id": id, "<i>age": "<b>old</b>"}))
}

#[test]
fn a_healthy_sink_shows_what_it_writes_and_what_it_rejected_without_values() {
    let Some(browser) = Browser::installed() else { return };
    let world = World::new("page").partitions(2).table(DDL).upsert("id");
    let topic = world.topic();
    world.produce((0..30).map(|id| good(id).partition(id % 2)));
    world.produce((30..37).map(|id| bad(id).partition(0)));
    let sink = world.sink();
    world.wait_rows(PATIENCE, 30);
    wait::holds(PATIENCE, "lag", || status(&sink)["lag"].clone(), |lag| *lag == 0);
    let connector = world.config.connector();
    let shown = wait_shown(
        &browser,
        &sink,
        &[
            connector,
            "Up to date. Every record is written.",
            &format!("{topic} t upsert"),
            "Metrics",
            "Runbook",
        ],
    );
    for expected in [
        &format!("{topic} [0] 22 0 –"),
        &format!("{topic} [1] 15 0 –"),
        "Rows since the start 30",
        "Dead letters since the start 7",
        "wrong_type 7",
        "wrong_type: field \"<i>age\": expected integer",
        "No error since the start.",
        &format!("Version {}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in {shown}");
    }
    assert_eq!(shown.matches("wrong_type: field").count(), 5, "the latest five: {shown}");
    assert!(!shown.contains("old"), "a value is shown: {shown}");
    let latest = status(&sink)["dead_letters"]["latest"].clone();
    assert!(latest.as_array().is_some_and(|latest| latest.len() == 5), "{latest}");
}

#[test]
fn a_stopped_partition_is_shown_with_its_reason_beside_one_that_goes_on() {
    let Some(browser) = Browser::installed() else { return };
    let world = World::new("page").partitions(2).table(DDL).upsert("id");
    world.produce((0..30).map(|id| good(id).partition(id % 2)));
    world.config.until_end();
    world.execute("DELETE FROM sink_offsets WHERE partition = 1");
    let sink = world.sink();
    let topic = world.topic();
    wait_shown(
        &browser,
        &sink,
        &["Impaired. The rest goes on:", "an operator (lost_position)", &format!("{topic} [0] 15 0 –")],
    );
}

#[test]
fn a_database_that_is_down_and_its_return_are_shown_with_their_times() {
    let Some(browser) = Browser::installed() else { return };
    let world = World::new("page").private_postgres(PostgresOptions::default()).table(DDL).upsert("id");
    world.produce((0..3).map(good));
    let sink = world.sink();
    world.wait_rows(PATIENCE, 3);
    world.postgres.stop_fast();
    sink.wait_not_ready(PATIENCE, &["postgres"]);
    wait_shown(&browser, &sink, &["Not ready. Nothing is written: postgres:", "still lasts"]);
    let during = status(&sink);
    assert_eq!((&during["state"], &during["ready"]), (&json!("waiting"), &json!(false)));
    assert_eq!(during["last_error"]["recovered_timestamp"], Value::Null);
    world.postgres.start_again();
    sink.wait_ready(PATIENCE);
    let page = wait_shown(&browser, &sink, &["Up to date. Every record is written."]);
    assert!(!page.contains("still lasts"), "{page}");
    let after = status(&sink);
    let time = |key: &str| after["last_error"][key].as_str().unwrap_or_default().to_owned();
    let (began, ended) = (time("timestamp"), time("recovered_timestamp"));
    assert!(began < ended && ended.ends_with('Z') && page.contains(&ended), "{began} {ended} {page}");
}

#[test]
fn the_producer_shows_the_same_page_with_what_it_has() {
    let Some(browser) = Browser::installed() else { return };
    let kafka = &Services::shared().kafka;
    let topic = kafka.topic("page", 1);
    let producer = ProducerConfig::new(kafka.bootstrap(), &topic).start(&["run", "--interval", "200ms"]);
    let acknowledged =
        |page: &str| page.contains("Publishing.") && !page.contains(" 0 records are acknowledged");
    wait::holds(PATIENCE, "the page", || seen(&browser, producer.http()).text, |page| acknowledged(page));
}
