//! A table that takes too long, or whose rows are locked: the same writer writes another one meanwhile, and it goes on by
//! itself once it can.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Record, Sink, World, wait};

const PATIENCE: Duration = Duration::from_secs(90);
const DEADLINE: Duration = Duration::from_secs(5);
const SOME: i64 = 30;

/// A sound table and a sick one, each with its topic, written by one writer.
struct Tables<'a> {
    world: World<'a>,
    sink: Sink,
    produced: [i64; 2],
}

const NAMES: [&str; 2] = ["sound", "sick"];

impl Tables<'_> {
    /// Both tables have received rows; then `trouble` begins for one of them.
    #[track_caller]
    fn new(name: &str, trouble: &str) -> Self {
        let tables = Self::with(name, DEADLINE, "");
        tables.world.execute(trouble);
        tables
    }

    #[track_caller]
    fn with(name: &str, deadline: Duration, ddl: &str) -> Self {
        let tables =
            "CREATE TABLE sound (id int PRIMARY KEY, v int); CREATE TABLE sick (id int PRIMARY KEY, v int)";
        let world = World::new(name)
            .topics(2)
            .table(&format!("{tables}; {ddl}"))
            .upsert("id")
            .set("postgres.writers", 1)
            .set("postgres.deadline_ms", i64::try_from(deadline.as_millis()).unwrap())
            .set("batch.linger_ms", 100);
        let topics = world.topics.clone();
        let world = world.with(|config| {
            topics
                .iter()
                .zip(NAMES)
                .fold(config, |config, (topic, name)| config.topic_set(topic, "table", name))
        });
        let sink = world.sink();
        let mut tables = Self { world, sink, produced: [0; 2] };
        tables.produce();
        tables.wait_rows(0, PATIENCE);
        tables.wait_rows(1, PATIENCE);
        tables
    }

    /// Some new records for each table, and the first again. Those for the sick one are there first.
    fn produce(&mut self) {
        for (topic, produced) in self.world.topics.iter().zip(&mut self.produced).rev() {
            let ids = [0].into_iter().chain(*produced..*produced + SOME);
            self.world.kafka.produce(topic, ids.map(|id| Record::json(&json!({"id": id, "v": *produced}))));
            *produced += SOME;
        }
    }

    /// The table with this number has received everything within so long.
    #[track_caller]
    fn wait_rows(&self, number: usize, within: Duration) {
        let begun = Instant::now();
        let (table, rows) = (NAMES[number], self.produced[number]);
        let what = format!("{rows} rows in {table}\n{}", self.sink.log_tail());
        wait::holds(PATIENCE, &what, || self.world.count(table), |seen| *seen == rows);
        let took = begun.elapsed();
        assert!(took <= within, "{table} waited for {took:?}\n{}", self.sink.log_tail());
    }

    /// The sound table receives what is produced: at first within `first`, then again and again within `later`. The sick
    /// one receives nothing of its new records.
    #[track_caller]
    fn assert_sound_goes_on(&mut self, first: Duration, later: Duration) {
        let before = self.world.count("sick");
        self.produce();
        self.wait_rows(0, first);
        for _ in 0..6 {
            self.produce();
            self.wait_rows(0, later);
        }
        assert_eq!(self.world.count("sick"), before, "the trouble is real");
        let (status, body) = self.sink.get("/readyz").unwrap();
        assert!(status == 200 && body.contains("parked table sick"), "{status} {body}");
    }

    /// The sick table receives everything within so long, and nothing was lost, doubled or rejected.
    #[track_caller]
    fn assert_all_there(&self, within: Duration) {
        self.wait_rows(1, within);
        self.wait_rows(0, PATIENCE);
        let records = self.produced.iter().map(|n| (n + n / SOME) as u64).sum::<u64>();
        self.sink.wait_metric(PATIENCE, "sink_records_consumed_total", |n| n >= records as f64);
        assert_eq!(self.sink.assert_accounted(), records);
        assert_eq!(self.world.dead_letters(), 0);
        for (table, produced) in NAMES.iter().zip(self.produced) {
            let first: i32 = self.world.one(&format!("SELECT v FROM {table} WHERE id = 0"));
            assert_eq!(i64::from(first), produced - SOME, "the last record of its key, in {table}");
        }
        let paused = || self.sink.metrics().map_or(-1.0, |metrics| metrics.sum("sink_partitions_paused"));
        wait::holds(PATIENCE, "nothing is paused", paused, |n| *n == 0.0);
    }
}

fn sleeps(seconds: &str) -> String {
    format!(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$; \
         CREATE TRIGGER dawdle BEFORE INSERT OR UPDATE ON sick FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )
}

#[test]
fn a_table_that_hangs_holds_back_no_other_for_longer_than_one_deadline_at_first() {
    let mut tables = Tables::new("hangs", &sleeps("3600"));
    let margin = Duration::from_secs(5);
    tables.assert_sound_goes_on(DEADLINE + margin, DEADLINE + margin);
    tables.world.execute("DROP TRIGGER dawdle ON sick");
    tables.assert_all_there(DEADLINE + margin);
}

#[test]
fn a_table_that_takes_its_time_is_written_in_parts_that_fit_while_another_goes_on() {
    let mut tables = Tables::new("slow-table", &sleeps("0.3"));
    // 9 s and more than the deadline in one batch.
    tables.produce();
    tables.wait_rows(0, DEADLINE * 2);
    for _ in 0..3 {
        tables.produce();
        tables.wait_rows(0, DEADLINE * 2);
    }
    assert!(tables.world.count("sick") < tables.produced[1], "the trouble is real");
    tables.assert_all_there(PATIENCE);
}

#[test]
fn a_row_that_is_locked_holds_back_no_other_table() {
    // The sink keeps it: each wait for the row could be as long.
    let patient = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = ''20s''', current_database()); END $$";
    let mut tables = Tables::with("locked-row", PATIENCE, patient);
    let lock = tables.world.hold("SELECT FROM sick WHERE id = 0 FOR UPDATE");
    let margin = Duration::from_secs(10);
    tables.assert_sound_goes_on(Duration::from_secs(20) + margin, margin);
    lock.release();
    tables.assert_all_there(margin);
}
