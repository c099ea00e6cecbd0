//! A match from a file.

use std::path::Path;

use shared::live_score::LiveScore;

use crate::live::delivery::Delivery;
use crate::live::replay::Replay;

use super::referee::Records;

/// Two overs a side, tied, and a super over; written for this test.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/1900001.json");

fn records() -> Records {
    let mut replay = Replay::read(Path::new(SAMPLE)).unwrap();
    let mut records = Records::new();
    while let Some(update) = replay.next() {
        let score: LiveScore<Option<String>> =
            serde_json::from_value(serde_json::to_value(&update.score).unwrap()).unwrap();
        let delivery = update
            .delivery
            .map(|ball| serde_json::from_value::<Delivery>(serde_json::to_value(ball).unwrap()).unwrap());
        records.push((update.score.version, score, delivery));
    }
    records
}

/// Reads the sample after a change of its text.
fn changed(from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(SAMPLE).unwrap();
    assert!(text.contains(from), "{from}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("7.json");
    std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
    Replay::read(&file).unwrap_err().to_string()
}

#[test]
fn a_file_gives_the_toss_and_a_record_for_each_ball() {
    let records = records();
    assert_eq!(records.len(), 1 + 6 + 7 + 12 + 6 + 2);
    assert!(records.iter().zip(1..).all(|((version, ..), number)| *version == number));
    let (_, toss, none) = &records[0];
    assert!(none.is_none());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    assert_eq!(
        (text(&toss.match_id), text(&toss.league_name), toss.season),
        ("1900001".into(), "IPL".into(), 2024)
    );
    assert_eq!(
        (text(&toss.team1), text(&toss.batting_first)),
        ("Riverside Rovers".into(), "Hillside Harriers".into())
    );
    assert_eq!(text(&toss.venue), "Quay Park, Riverside");
    assert_eq!((&toss.start_time, text(&toss.umpire2)), (&None, "U Two".into()));
    assert_eq!((toss.match_status.as_deref(), toss.score2), (Some("Scheduled"), None));
}

#[test]
fn the_figures_are_those_of_the_file_after_each_innings_and_at_the_end() {
    let records = records();
    let (_, score, ball) = &records[13];
    // 9 in the first over, 11 in the second, and 5 penalty runs after the innings. The batter who retired is not out.
    assert_eq!((score.score2, score.wickets2, score.overs2), (Some(25), Some(2), Some(2.0)));
    assert_eq!((score.runs2, score.extra_runs, score.target_runs), (Some(15), Some(10), Some(26)));
    assert_eq!(score.match_duration, None, "the file has no times");
    assert_eq!((ball.as_ref().unwrap().over_number, ball.as_ref().unwrap().ball), (2, 7));
    // The first over had five legal balls, and ended.
    assert_eq!((records[6].1.overs2, records[7].1.overs2), (Some(1.0), Some(1.1)));

    let (_, last, ball) = records.last().unwrap();
    assert_eq!((last.score1, last.score2, last.total_runs), (Some(25), Some(25), Some(50)));
    assert_eq!((last.wickets1, last.overs1), (Some(2), Some(2.0)));
    assert_eq!(last.match_status.as_deref(), Some("Completed"));
    assert_eq!(last.winning_team, Some(Some("Hillside Harriers".to_owned())), "in the super over");
    assert_eq!(last.man_of_the_match, Some(Some("P Patel".to_owned())));
    let ball = ball.as_ref().unwrap();
    assert!(ball.super_over);
    assert_eq!((ball.innings, ball.delivery, ball.runs_total), (4, 33, 4));
    assert_eq!(records[records.len() - 2].1.match_status.as_deref(), Some("In Progress"));
}

#[test]
fn wickets_and_extras_are_in_the_records_of_their_balls() {
    let ball = |number: usize| records()[number].2.clone().unwrap();
    let caught = ball(4);
    assert_eq!((caught.wickets, caught.wicket_kind.as_deref()), (1, Some("caught")));
    assert_eq!((caught.player_out.as_deref(), caught.fielder.as_deref()), (Some("Q Quinn"), Some("A Ahern")));
    let retired = ball(9);
    assert_eq!((retired.wickets, retired.wicket_kind.as_deref()), (0, Some("retired hurt")));
    let no_ball = ball(8);
    assert_eq!((no_ball.noballs, no_ball.runs_batter, no_ball.runs_total), (1, 1, 2));
}

#[test]
fn what_cannot_be_replayed_is_named_with_its_place() {
    let expected = [
        (r#""1.1.0""#, r#""0.92""#, "its data_version is 0.92, and this program knows 1.x"),
        (r#"["Riverside Rovers", "Hillside Harriers"]"#, r#"["Riverside Rovers"]"#, "it has 1 teams"),
        (r#"["2024-05-26"]"#, "[]", "info.dates is empty"),
        (
            r#"{"team": "Riverside Rovers", "target""#,
            r#"{"team": "Hillside Harriers", "target""#,
            "innings 2: \"Hillside Harriers\"",
        ),
        (
            r#""extras": 1, "total": 1"#,
            r#""extras": 2, "total": 2"#,
            "innings 1, over 0, ball 3: batter 0 and extras 2",
        ),
        (
            r#""deliveries": ["#,
            r#""balls": ["#,
            "is not a match in cricsheet's JSON format: missing field `deliveries`",
        ),
    ];
    for (from, to, error) in expected {
        let found = changed(from, to);
        assert!(found.contains(error) && found.contains("7.json"), "{found}");
    }
    let missing = Replay::read(Path::new("/nowhere/1.json")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read /nowhere/1.json: "), "{missing}");
}

#[test]
fn a_match_without_a_ball_ends_without_a_result() {
    let text = std::fs::read_to_string(SAMPLE).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["innings"] = serde_json::json!([]);
    file["info"]["outcome"] = serde_json::json!({"result": "no result"});
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("8.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let mut replay = Replay::read(&path).unwrap();
    assert_eq!(
        replay.next().unwrap().score.score.batting_first,
        Some("Hillside Harriers"),
        "who lost the toss"
    );
    let end = replay.next().unwrap();
    assert_eq!((end.score.version, end.score.score.match_status), (2, Some("Completed")));
    assert!(end.delivery.is_none() && end.score.score.winning_team.is_none());
    assert!(replay.next().is_none());
}
