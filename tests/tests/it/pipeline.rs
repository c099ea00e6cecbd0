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
    assert_eq!((first.count("records"), first.count("rows_written")), (100, 100));
    let second = config
        .finish(&["run", "--until-end", "--idle-timeout", "2s", "--summary", "json"], MINUTE)
        .expect_code(0);
    assert_eq!(second.count("records"), 0);
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
    assert_eq!(first.count("records"), 100);
    assert_eq!(first.summary()["stopped_by"], "max_records");
    assert_eq!(first.summary()["partitions"][0]["next_offset"], 100);
    let second = config.finish(&["run", "--until-end", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!((second.count("records"), second.count("rows_written")), (150, 150));
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
    services.kafka.produce(&topic, (0..100).map(|n| Record::json(&live_score(n))));
    let config = config(services, &topic, &url).insert_mode("insert").pk_mode("none");
    let run = config.finish(&["run", "--until-end", "--summary", "json"], MINUTE).expect_code(0);
    assert_eq!(run.count("rows_written"), 100);
    let rows: i64 = client.query_one("SELECT count(*) FROM ipl_livescores", &[]).unwrap().get(0);
    assert_eq!(rows, 100);
}
