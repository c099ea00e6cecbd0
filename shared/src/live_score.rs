//! The live score of one IPL match: the record that the producer publishes and the row that the sink's
//! bundled configuration writes.
//!
//! The tests check that record, column list and `config/ipl_livescores.sql` have the same 28 names in the same order.

use serde::{Deserialize, Serialize};

/// Topic that the producer publishes to and the sink reads by default.
pub const TOPIC: &str = "livescores_topic";

/// Table that the sink's bundled configuration writes.
pub const TABLE: &str = "ipl_livescores";

/// Consumer group of the sink's bundled configuration.
pub const GROUP: &str = "ipl_consumer_group";

/// The columns of [`TABLE`], name and SQL type, in the order of the fields of [`LiveScore`].
///
/// `match_id` is the primary key; every other column may be NULL.
pub const COLUMNS: [(&str, &str); 28] = [
    ("match_id", "TEXT"),
    ("league_name", "TEXT"),
    ("season", "INT"),
    ("team1", "TEXT"),
    ("team2", "TEXT"),
    ("venue", "TEXT"),
    ("match_date", "TEXT"),
    ("start_time", "TEXT"),
    ("match_status", "TEXT"),
    ("score1", "INT"),
    ("score2", "INT"),
    ("wickets1", "INT"),
    ("wickets2", "INT"),
    ("runs1", "INT"),
    ("runs2", "INT"),
    ("overs1", "FLOAT"),
    ("overs2", "FLOAT"),
    ("man_of_the_match", "TEXT"),
    ("umpire1", "TEXT"),
    ("umpire2", "TEXT"),
    ("match_type", "TEXT"),
    ("toss_winner", "TEXT"),
    ("batting_first", "TEXT"),
    ("total_runs", "INT"),
    ("extra_runs", "INT"),
    ("target_runs", "INT"),
    ("match_duration", "INT"),
    ("winning_team", "TEXT"),
];

/// The live score of one match, as it is in the JSON of a record.
///
/// The JSON always has all 28 fields, in this order. Unknown ones are `null`: all figures before a match begins, winner and
/// man of the match before it ends. An absent field is read as `null`.
///
/// `S` is the type of text: `&str` where a record is only written and must not allocate, `Option<&str>` where a text may be
/// unknown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveScore<S = String> {
    /// Unique: four random digits, then the epoch in milliseconds. Also the record's key.
    pub match_id: S,
    /// Always `IPL`.
    pub league_name: S,
    /// Year of the season, 2020 to 2024.
    pub season: i32,
    /// The home side.
    pub team1: S,
    /// The visitors.
    pub team2: S,
    /// Ground and city.
    pub venue: S,
    /// Day of play, `YYYY-MM-DD`, local to the ground.
    pub match_date: S,
    /// Time of the first ball, `HH:MM:SS`, local to the ground.
    pub start_time: S,
    /// `Completed`, `In Progress` or `Scheduled`.
    pub match_status: S,
    /// Total of `team1`, extras included.
    pub score1: Option<i32>,
    /// Total of `team2`, extras included.
    pub score2: Option<i32>,
    /// Wickets that `team1` has lost, 0 to 10.
    pub wickets1: Option<i32>,
    /// Wickets that `team2` has lost, 0 to 10.
    pub wickets2: Option<i32>,
    /// Runs off the bat of `team1`: its score without extras.
    pub runs1: Option<i32>,
    /// Runs off the bat of `team2`: its score without extras.
    pub runs2: Option<i32>,
    /// Overs that `team1` has faced; the decimal counts balls, .0 to .5.
    pub overs1: Option<f64>,
    /// Overs that `team2` has faced; the decimal counts balls, .0 to .5.
    pub overs2: Option<f64>,
    /// A player of one of the sides, when the match is completed.
    pub man_of_the_match: Option<S>,
    /// One umpire on the field.
    pub umpire1: S,
    /// The other.
    pub umpire2: S,
    /// Always `T20`.
    pub match_type: S,
    /// The side that won the toss.
    pub toss_winner: S,
    /// The side that bats first.
    pub batting_first: S,
    /// Both totals together.
    pub total_runs: Option<i32>,
    /// Extras of both sides together.
    pub extra_runs: Option<i32>,
    /// What the side batting second needs to win: one more than the first total.
    pub target_runs: Option<i32>,
    /// Minutes played, the interval between the innings included.
    pub match_duration: Option<i32>,
    /// The side with the higher total, or `Tie`, when the match is completed.
    pub winning_team: Option<S>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DDL: &str = include_str!("../../config/ipl_livescores.sql");
    const SCOREBOARD: &str = include_str!("../../config/ipl_scoreboard.sql");

    /// A record in which every field has a value of its own kind.
    fn full() -> LiveScore {
        let text = |text: &str| text.to_owned();
        LiveScore {
            match_id: text("48211722425000123"),
            league_name: text("IPL"),
            season: 2024,
            team1: text("Mumbai Indians"),
            team2: text("Chennai Super Kings"),
            venue: text("Wankhede Stadium, Mumbai"),
            match_date: text("2024-04-14"),
            start_time: text("19:30:00"),
            match_status: text("Completed"),
            score1: Some(150),
            score2: Some(165),
            wickets1: Some(6),
            wickets2: Some(4),
            runs1: Some(142),
            runs2: Some(158),
            overs1: Some(20.0),
            overs2: Some(19.3),
            man_of_the_match: Some(text("Matheesha Pathirana")),
            umpire1: text("A"),
            umpire2: text("B"),
            match_type: text("T20"),
            toss_winner: text("Mumbai Indians"),
            batting_first: text("Chennai Super Kings"),
            total_runs: Some(315),
            extra_runs: Some(15),
            target_runs: Some(166),
            match_duration: Some(210),
            winning_team: Some(text("Chennai Super Kings")),
        }
    }

    /// The names of a JSON object in the order in which they stand in the text.
    fn names(json: &str) -> Vec<String> {
        let mut at: Vec<(usize, &str)> = COLUMNS
            .iter()
            .map(|(name, _)| (json.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name}")), *name))
            .collect();
        at.sort_unstable();
        at.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    #[test]
    fn the_record_and_the_columns_agree_in_name_order_and_type() {
        let json = serde_json::to_string(&full()).unwrap();
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(value.len(), COLUMNS.len());
        assert_eq!(names(&json), COLUMNS.map(|(name, _)| name.to_owned()));
        for (name, sql_type) in COLUMNS {
            let of_type = match sql_type {
                "INT" => value[name].is_i64(),
                "FLOAT" => value[name].is_f64(),
                _ => value[name].is_string(),
            };
            assert!(of_type, "{name} is {sql_type}, its JSON {}", value[name]);
        }
    }

    #[test]
    fn the_ddl_file_creates_exactly_the_columns() {
        let (head, body) = DDL.split_once('(').unwrap();
        let head = head.lines().filter(|line| !line.starts_with("--")).collect::<String>();
        assert_eq!(head.trim(), format!("CREATE TABLE IF NOT EXISTS {TABLE}"));
        let body = body.trim_end().strip_suffix(");").unwrap();
        let columns: Vec<Vec<&str>> =
            body.split(',').map(|column| column.split_whitespace().collect()).collect();
        let expected: Vec<Vec<&str>> = COLUMNS
            .iter()
            .map(|&(name, sql_type)| match name {
                "match_id" => vec![name, sql_type, "PRIMARY", "KEY"],
                _ => vec![name, sql_type],
            })
            .collect();
        assert_eq!(columns, expected);
    }

    #[test]
    fn the_scoreboard_has_the_same_columns_and_the_version() {
        let body = |ddl: &str| ddl.split_once(" (\n").unwrap().1.trim_end().to_owned();
        let table = body(DDL);
        let table = table.strip_suffix("\n);").unwrap();
        assert_eq!(body(SCOREBOARD), format!("{table},\n    version          BIGINT\n);"));
    }

    #[test]
    fn what_is_not_known_is_null_and_never_left_out() {
        let scheduled = LiveScore { score1: None, overs2: None, winning_team: None, ..full() };
        let json = serde_json::to_string(&scheduled).unwrap();
        for null in [r#""score1":null"#, r#""overs2":null"#, r#""winning_team":null"#] {
            assert!(json.contains(null), "{json}");
        }
        assert_eq!(names(&json).len(), COLUMNS.len());
    }

    #[test]
    fn json_and_back_gives_the_same_record() {
        let json = serde_json::to_string(&full()).unwrap();
        assert_eq!(serde_json::from_str::<LiveScore>(&json).unwrap(), full());
    }
}
