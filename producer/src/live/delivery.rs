//! The record of one ball, for a table beside the live scores.

use serde::{Deserialize, Serialize};

/// One ball of one match, as it is in the JSON of a record. The fields are the columns of `config/ipl_deliveries.sql`.
///
/// `S` is the type of text: `&str` where a record is only written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery<S = String> {
    /// The match: the record's key, so that the balls of a match stay in order.
    pub match_id: S,
    /// Number of the ball in its match, from 1. Together they identify the ball.
    pub delivery: u32,
    /// 1 and 2; 3 and more in super overs.
    pub innings: u32,
    /// Whether it is a ball of a super over, which does not count for the score of the match.
    pub super_over: bool,
    /// The over of the innings, from 1.
    pub over_number: u32,
    /// The ball of the over, from 1; wides and no-balls count as well.
    pub ball: u32,
    /// The side that bats.
    pub batting_team: S,
    /// The other.
    pub bowling_team: S,
    /// Who faces it.
    pub batter: S,
    /// The partner.
    pub non_striker: S,
    /// Who bowls it.
    pub bowler: S,
    /// Runs off the bat.
    pub runs_batter: u32,
    /// All others: the sum of the next five.
    pub runs_extras: u32,
    /// Both.
    pub runs_total: u32,
    /// Runs by wides.
    pub wides: u32,
    /// Runs by no-balls.
    pub noballs: u32,
    /// Byes.
    pub byes: u32,
    /// Leg byes.
    pub legbyes: u32,
    /// Penalty runs.
    pub penalty: u32,
    /// Wickets lost by it.
    pub wickets: u32,
    /// How a batter was out.
    pub wicket_kind: Option<S>,
    /// Who was out.
    pub player_out: Option<S>,
    /// Who caught, stumped or threw.
    pub fielder: Option<S>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DDL: &str = include_str!("../../../config/ipl_deliveries.sql");

    #[test]
    fn the_ddl_file_creates_exactly_the_fields_of_the_record() {
        let record = Delivery {
            match_id: "1",
            delivery: 1,
            innings: 1,
            super_over: false,
            over_number: 1,
            ball: 1,
            batting_team: "a",
            bowling_team: "b",
            batter: "c",
            non_striker: "d",
            bowler: "e",
            runs_batter: 0,
            runs_extras: 0,
            runs_total: 0,
            wides: 0,
            noballs: 0,
            byes: 0,
            legbyes: 0,
            penalty: 0,
            wickets: 1,
            wicket_kind: Some("caught"),
            player_out: Some("c"),
            fielder: Some("f"),
        };
        let json = serde_json::to_string(&record).unwrap();
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
        let (_, body) = DDL.split_once("ipl_deliveries (").unwrap();
        let columns: Vec<(&str, &str)> = body
            .lines()
            .filter_map(|line| line.trim().trim_end_matches(',').split_once(' '))
            .filter(|(name, _)| *name != "PRIMARY")
            .map(|(name, sql)| (name, sql.trim_start().split(' ').next().unwrap()))
            .collect();
        assert_eq!(columns.len(), value.len());
        let mut rest = json.as_str();
        for (name, sql) in columns {
            let at =
                rest.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} is missing in {rest}"));
            rest = &rest[at..];
            let fits = match sql {
                "INT" => value[name].is_u64(),
                "BOOLEAN" => value[name].is_boolean(),
                _ => value[name].is_string(),
            };
            assert!(fits, "{name} is {sql}, its JSON {}", value[name]);
        }
    }
}
