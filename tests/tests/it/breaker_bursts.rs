//! A topic with a burst of rejected records: its breaker closes by itself once good records follow, and what was rejected
//! becomes dead letters. A topic that is broken as a whole stays stopped, with everything kept.

use std::time::Duration;

use tests::wait;

use crate::breaker::{Scene, WINDOW, record};

const PATIENCE: Duration = Duration::from_secs(60);
const BURST: i32 = 2 * WINDOW;

#[test]
fn a_breaker_closes_without_an_operator_once_good_records_follow_those_that_are_broken_for_good() {
    let mut scene = Scene::new(1);
    scene.produce(0, (0..200).map(|id| record(id, id)));
    let sink = scene.config.run();
    wait::until(PATIENCE, "rows", || scene.rows(0) == 200);
    scene.produce(0, (200..200 + BURST).map(|id| record(id, "many")));
    scene.wait_open(&sink, 0, true);
    scene.wait_retries(&sink, 2.0);
    let (position, kept) = (scene.position(0), scene.dead_letters());
    assert!(kept <= i64::from(WINDOW) / 2 && position == 200 + kept, "{position} {kept}");
    // Too few of them: of the last records, more than half are broken.
    scene.produce(0, (1_000..1_000 + WINDOW / 4).map(|id| record(id, id)));
    scene.wait_retries(&sink, 3.0);
    assert_eq!((scene.position(0), scene.dead_letters()), (position, kept));
    scene.produce(0, (2_000..2_300).map(|id| record(id, id)));
    scene.wait_open(&sink, 0, false);
    let good = i64::from(200 + WINDOW / 4 + 300);
    wait::until(PATIENCE, "everything is written", || scene.rows(0) == good);
    assert_eq!((scene.dead_letters(), scene.position(0)), (i64::from(BURST), good + i64::from(BURST)));
    sink.wait_ready(PATIENCE);
    assert_eq!(sink.assert_accounted(), u64::try_from(good + i64::from(BURST)).unwrap());
}

#[test]
fn a_burst_that_only_the_server_refuses_is_passed_as_well() {
    let mut scene = Scene::new(1);
    let topic = scene.topics[0].clone();
    scene.client.batch_execute(&format!("ALTER TABLE {topic} ADD CHECK (n >= 0)")).unwrap();
    scene.produce(0, (0..BURST).map(|id| record(id, -1)));
    let sink = scene.config.run();
    scene.wait_open(&sink, 0, true);
    scene.produce(0, (1_000..1_300).map(|id| record(id, id)));
    scene.wait_open(&sink, 0, false);
    wait::until(PATIENCE, "everything is written", || scene.rows(0) == 300);
    assert_eq!(scene.dead_letters(), i64::from(BURST));
}

#[test]
fn a_topic_that_stays_broken_stays_stopped_whatever_follows() {
    let mut scene = Scene::new(1);
    // A third of the records is good, all the time.
    let mixed = |ids: std::ops::Range<i32>| {
        ids.map(|id| if id % 3 == 0 { record(id, id) } else { record(id, "many") })
    };
    scene.produce(0, mixed(0..600));
    let sink = scene.config.run();
    scene.wait_open(&sink, 0, true);
    scene.produce(0, mixed(600..3_000));
    let seen = (scene.position(0), scene.dead_letters(), scene.rows(0));
    scene.wait_retries(&sink, 5.0);
    assert_eq!((scene.position(0), scene.dead_letters(), scene.rows(0)), seen);
    let topic = scene.topics[0].clone();
    scene.client.batch_execute(&format!("ALTER TABLE {topic} ALTER COLUMN n TYPE text")).unwrap();
    wait::until(PATIENCE, "everything is written", || scene.rows(0) + scene.dead_letters() == 3_000);
    assert_eq!(scene.dead_letters(), seen.1);
}

#[test]
fn a_bounded_run_goes_on_to_the_good_records_behind_a_burst() {
    let mut scene = Scene::new(1);
    scene.config = scene.config.set("batch.max_rows", 50).set("errors.breaker_retry_ms", 100);
    scene.produce(0, (0..WINDOW).map(|id| record(id, "many")));
    scene.produce(0, (1_000..2_000).map(|id| record(id, id)));
    scene.config.finish(&["run", "--until-end"], PATIENCE).expect_code(0);
    assert_eq!((scene.rows(0), scene.dead_letters()), (1_000, i64::from(WINDOW)));
}
