//! The original job: what was produced before the sink first ran is written, and a bounded run stops where it says.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Record, Services, SinkConfig};

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

fn config(services: &Services, topic: &str, url: &str) -> SinkConfig {
    SinkConfig::new(services.kafka.bootstrap(), url).topic(topic).table("ipl_livescores")
}

#[test]
fn a_hundred_records_from_before_the_first_run_are_a_hundred_rows() {
    let services = Services::shared();
    let topic = services.kafka.topic("dag", 4);
    let url = services.postgres.database("dag");
    services.kafka.produce(&topic, (0..100).map(|n| Record::json(&live_score(n))));
    let config = config(services, &topic, &url);
    let first = config.finish(&["run", "--max-records", "100", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!((first.assert_accounted(), first.count("rows_written")), (100, 100));
    let second = config
        .finish(&["run", "--until-end", "--idle-timeout", "2s", "--summary", "json"], MINUTE)
        .expect_code(0);
    assert_eq!(second.assert_accounted(), 0);
    let mut client = tests::postgres::connect(&url);
    let row = client.query_one("SELECT count(*), min(venue), max(venue) FROM ipl_livescores", &[]).unwrap();
    assert_eq!(row.get::<_, i64>(0), 100);
    assert_eq!(row.get::<_, String>(1), "Wankhede Stadium");
    assert_eq!(row.get::<_, String>(2), "Wankhede Stadium");
    let lag = services.kafka.consumer_groups_describe(config.group_id());
    assert!(!lag.is_empty() && lag.iter().all(|row| row.lag == Some(0)), "{lag:?}");
}

#[test]
fn max_records_stops_at_exactly_that_many_and_the_next_run_goes_on() {
    let services = Services::shared();
    let topic = services.kafka.topic("exactly", 1);
    let url = services.postgres.database("exactly");
    services.kafka.produce(&topic, (0..250).map(|n| Record::json(&live_score(n))));
    let config = config(services, &topic, &url);
    let first = config.finish(&["run", "--max-records", "100", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!(first.assert_accounted(), 100);
    assert_eq!(first.summary()["stopped_by"], "max_records");
    assert_eq!(first.summary()["partitions"][0]["next_offset"], 100);
    let second = config.finish(&["run", "--until-end", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!((second.assert_accounted(), second.count("rows_written")), (150, 150));
}

#[test]
fn max_records_counts_dead_letters_and_the_records_of_all_partitions_and_writers() {
    let services = Services::shared();
    let topic = services.kafka.topic("exactly", 4);
    let url = services.postgres.database("exactly");
    let record = |n: u32| {
        let record = if n.is_multiple_of(5) { Record::new("bad") } else { Record::json(&live_score(n)) };
        record.partition(i32::try_from(n % 4).unwrap())
    };
    services.kafka.produce(&topic, (0..250).map(record));
    let config = config(services, &topic, &url).set("batch.max_rows", 7).set("postgres.writers", 3);
    let mut client = tests::postgres::connect(&url);
    let mut stored = || -> (i64, i64, i64) {
        let row = "SELECT (SELECT count(*) FROM ipl_livescores), (SELECT count(*) FROM sink_dead_letters), \
                   (SELECT sum(next_offset)::bigint FROM sink_offsets)";
        let row = client.query_one(row, &[]).unwrap();
        (row.get(0), row.get(1), row.get(2))
    };
    for (asked, done, stopped_by) in
        [("100", 100, "max_records"), ("101", 201, "max_records"), ("100", 250, "end")]
    {
        let args = ["run", "--max-records", asked, "--until-end", "--summary", "json"];
        let run = config.finish(&args, MINUTE).expect_code(0);
        assert_eq!(run.summary()["stopped_by"], stopped_by);
        let (rows, letters, positions) = stored();
        assert_eq!((rows + letters, positions), (done, done), "nothing beyond is committed");
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
    let services = Services::shared();
    let topic = services.kafka.topic("unkeyed", 2);
    let url = services.postgres.database("unkeyed");
    let mut client = tests::postgres::connect(&url);
    let ddl = std::fs::read_to_string(tests::paths::workspace("config/ipl_livescores.sql")).unwrap();
    let ddl = ddl.replace("PRIMARY KEY", "");
    client.batch_execute(&ddl).unwrap();
    services.kafka.produce(&topic, (0..100).map(|n| Record::new(dumps(&live_score(n)))));
    assert!(dumps(&live_score(0)).contains("\"venue\": [\"Wankhede Stadium\"], \"w"));
    let config = config(services, &topic, &url).insert_mode("insert").pk_mode("none");
    let run = config.finish(&["run", "--until-end", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!((run.assert_accounted(), run.count("rows_written")), (100, 100));
    let stored = "SELECT count(*), min(venue), max(venue) FROM ipl_livescores";
    let row = client.query_one(stored, &[]).unwrap();
    let venue = "Wankhede Stadium";
    assert_eq!((row.get(0), row.get(1), row.get(2)), (100_i64, venue, venue));
}
