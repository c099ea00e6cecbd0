//! Records from before the first run are written, and a bounded run stops exactly at its bound.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, World};

const MINUTE: Duration = Duration::from_secs(60);

fn live_score(n: u32) -> Value {
    json!({
        "match_id": format!("m{n:06}"), "league_name": "IPL", "season": 2023, "team1": "Mumbai Indians",
        "team2": "Chennai Super Kings", "venue": ["Wankhede Stadium"], "match_date": "2023-04-08",
        "start_time": "19:30", "match_status": "Completed", "score1": 157, "score2": 159, "wickets1": 8,
        "wickets2": 3, "runs1": 150, "runs2": 151, "overs1": 20.0, "overs2": 18.1, "man_of_the_match": "R Jadeja",
        "umpire1": "A", "umpire2": "B", "match_type": "T20", "toss_winner": "Chennai Super Kings",
        "batting_first": "Mumbai Indians", "total_runs": 316, "extra_runs": 15, "target_runs": 158,
        "match_duration": 200, "winning_team": "Chennai Super Kings"
    })
}

fn world(name: &str, partitions: i32) -> World<'static> {
    World::new(name).partitions(partitions).table("").with(|config| config.table("ipl_livescores"))
}

#[test]
fn a_hundred_records_from_before_the_first_run_are_a_hundred_rows() {
    let world = world("dag", 4);
    world.produce((0..100).map(|n| Record::json(&live_score(n))));
    let config = &world.config;
    let first = config.finish(&["run", "--max-records", "100", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!((first.assert_accounted(), first.count("rows_written")), (100, 100));
    let second = config
        .finish(&["run", "--until-end", "--idle-timeout", "2s", "--summary", "json"], MINUTE)
        .expect_code(0);
    assert_eq!(second.assert_accounted(), 0);
    assert_eq!(world.count("ipl_livescores"), 100);
    assert_eq!(world.column::<String>("SELECT DISTINCT venue FROM ipl_livescores"), ["Wankhede Stadium"]);
    let lag = world.kafka.consumer_groups_describe(config.group_id());
    assert!(!lag.is_empty() && lag.iter().all(|row| row.lag == Some(0)), "{lag:?}");
}

#[test]
fn max_records_stops_at_exactly_that_many_and_the_next_run_goes_on() {
    let world = world("exactly", 1);
    world.produce((0..250).map(|n| Record::json(&live_score(n))));
    let config = &world.config;
    let first = config.finish(&["run", "--max-records", "100", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!(first.assert_accounted(), 100);
    assert_eq!(first.summary()["stopped_by"], "max_records");
    assert_eq!(first.summary()["partitions"][0]["next_offset"], 100);
    let second = config.finish(&["run", "--until-end", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!((second.assert_accounted(), second.count("rows_written")), (150, 150));
}

#[test]
fn max_records_counts_dead_letters_and_the_records_of_all_partitions_and_writers() {
    let world = world("exactly", 4);
    let record = |n: u32| {
        let record = if n.is_multiple_of(5) { Record::new("bad") } else { Record::json(&live_score(n)) };
        record.partition(i32::try_from(n % 4).unwrap())
    };
    world.produce((0..250).map(record));
    let config = world.config.clone().set("batch.max_rows", 7).set("postgres.writers", 3);
    let stored = || -> (i64, i64, i64) {
        let row = "SELECT (SELECT count(*) FROM ipl_livescores), (SELECT count(*) FROM sink_dead_letters), \
                   (SELECT sum(next_offset)::bigint FROM sink_offsets)";
        let row = world.client().query_one(row, &[]).unwrap();
        (row.get(0), row.get(1), row.get(2))
    };
    for (asked, done, stopped_by) in
        [("100", 100, "max_records"), ("101", 201, "max_records"), ("100", 250, "end")]
    {
        let args = ["run", "--max-records", asked, "--until-end", "--summary", "json"];
        let run = config.finish(&args, MINUTE).expect_code(0);
        assert_eq!(run.summary()["stopped_by"], stopped_by);
        let (rows, dead_letters, positions) = stored();
        assert_eq!((rows + dead_letters, positions), (done, done), "nothing beyond is committed");
        assert_eq!(run.assert_accounted(), if stopped_by == "end" { 49 } else { asked.parse().unwrap() });
    }
    assert_eq!(stored(), (200, 50, 250));
}

/// What Python's `json.dumps` makes of a record, byte by byte.
fn dumps(record: &Value) -> String {
    record.to_string().replace("\":", "\": ").replace(",\"", ", \"")
}

#[test]
fn the_original_table_without_a_primary_key_works_as_well() {
    let world = world("unkeyed", 2);
    let ddl = std::fs::read_to_string(tests::paths::workspace("config/ipl_livescores.sql")).unwrap();
    world.execute(&ddl.replace("PRIMARY KEY", ""));
    world.produce((0..100).map(|n| Record::new(dumps(&live_score(n)))));
    assert!(dumps(&live_score(0)).contains("\"venue\": [\"Wankhede Stadium\"], \"w"));
    let run = world.config.clone().unkeyed().until_end();
    assert_eq!((run.assert_accounted(), run.count("rows_written")), (100, 100));
    assert_eq!(world.count("ipl_livescores WHERE venue = 'Wankhede Stadium'"), 100);
}
