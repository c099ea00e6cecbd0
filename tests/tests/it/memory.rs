//! Memory is bounded by the configuration, not by what waits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::oracle::Expected;
use tests::{Record, Services, SinkConfig, wait};

const RECORDS: u32 = 300_000;
const LIMIT: u64 = 150_000_000;
const UNREACHABLE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(180);

/// Some 700 bytes as JSON.
fn live_score(n: u32) -> Value {
    json!({
        "match_id": format!("{:04}1700000{n:06}", n % 10_000), "league_name": "IPL", "season": 2020 + n % 5,
        "team1": "Royal Challengers Bangalore", "team2": "Sunrisers Hyderabad", "venue": "M. Chinnaswamy Stadium, Mahatma Gandhi Road, Bengaluru 560001, Karnataka",
        "match_date": "2023-04-08", "start_time": "19:30", "match_status": "Completed", "score1": 120 + n % 121,
        "score2": 159, "wickets1": n % 11, "wickets2": 3, "runs1": 150, "runs2": 151, "overs1": 20.0, "overs2": 18.1,
        "man_of_the_match": "Ravindra Jadeja", "umpire1": "Anil Chaudhary", "umpire2": "Nitin Menon",
        "match_type": "T20", "toss_winner": "Sunrisers Hyderabad", "batting_first": "Royal Challengers Bangalore",
        "total_runs": 316, "extra_runs": 15, "target_runs": 158, "match_duration": 200 + n % 40,
        "winning_team": "Sunrisers Hyderabad"
    })
}

#[test]
fn memory_stays_small_while_postgres_is_unreachable_with_300000_records_waiting() {
    let Services { kafka, postgres } = Services::private();
    let topic = kafka.topic("memory", 8);
    let produce = |ids: std::ops::Range<u32>| {
        kafka.produce(&topic, ids.map(|n| Record::json(&live_score(n)).key(n.to_string())));
    };
    assert!(
        (690..760).contains(&live_score(RECORDS).to_string().len()),
        "{}",
        live_score(0).to_string().len()
    );
    let sink = SinkConfig::new(kafka.bootstrap(), postgres.url()).topic(&topic).table("ipl_livescores").run();
    produce(0..1_000);
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows == 1_000.0);
    let at_rest = sink.rss_bytes();

    postgres.stop_fast();
    let stopped = Instant::now();
    produce(1_000..RECORDS);
    assert!(!postgres.is_running());
    sink.wait_metric(PATIENCE, "sink_lag_records", |lag| lag >= f64::from(RECORDS - 1_000));
    wait::stays(UNREACHABLE.saturating_sub(stopped.elapsed()), "it runs", || sink.is_running());
    assert!(stopped.elapsed() >= UNREACHABLE);
    let while_unreachable = sink.peak_rss_bytes();
    assert_eq!(sink.get("/livez").unwrap().0, 200);
    assert_eq!(sink.get("/readyz").unwrap().0, 503);

    postgres.start_again();
    sink.wait_metric(PATIENCE, "sink_rows_written_total", |rows| rows >= f64::from(RECORDS));
    let peak = sink.peak_rss_bytes();
    let story = format!(
        "{at_rest} at rest, at most {while_unreachable} while PostgreSQL was unreachable, {peak} in all"
    );
    println!("{story}");
    assert!(peak > 0 && peak < LIMIT, "{story}");
    assert_eq!(sink.assert_accounted(), u64::from(RECORDS));
    sink.wait_metric(PATIENCE, "sink_lag_records", |lag| lag == 0.0);
    let mut expected = Expected::by("match_id");
    for n in 0..RECORDS {
        expected.add(&live_score(n));
    }
    expected.assert_exactly_once(&mut postgres.client(), "ipl_livescores");
}
