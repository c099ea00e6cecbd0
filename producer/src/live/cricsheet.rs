//! A match as cricsheet describes it in JSON, version 1: https://cricsheet.org/format/json/. Only what is used; everything
//! else in a file is ignored. Numbers of 16 bits keep a match within 32.

use serde::Deserialize;

/// A file.
#[derive(Debug, Deserialize)]
pub(super) struct File {
    pub(super) meta: Meta,
    pub(super) info: Info,
    /// Absent if not a ball was bowled.
    #[serde(default)]
    pub(super) innings: Vec<Innings>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Meta {
    pub(super) data_version: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Info {
    #[serde(default = "six")]
    pub(super) balls_per_over: u32,
    pub(super) dates: Vec<String>,
    pub(super) event: Option<Event>,
    pub(super) match_type: String,
    pub(super) officials: Option<Officials>,
    #[serde(default)]
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) player_of_match: Vec<String>,
    pub(super) teams: Vec<String>,
    #[serde(default)]
    pub(super) toss: Toss,
    pub(super) venue: Option<String>,
    pub(super) city: Option<String>,
}

fn six() -> u32 {
    6
}

#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Officials {
    #[serde(default)]
    pub(super) umpires: Vec<String>,
}

/// Who won: by the match itself, or in a super over or a bowl-out if that was tied.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Outcome {
    pub(super) winner: Option<String>,
    pub(super) eliminator: Option<String>,
    pub(super) bowl_out: Option<String>,
    /// `tie`, `draw` or `no result`.
    pub(super) result: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Toss {
    pub(super) winner: Option<String>,
    /// `bat` or `field`.
    pub(super) decision: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Innings {
    pub(super) team: String,
    /// Absent if the innings was forfeited.
    #[serde(default)]
    pub(super) overs: Vec<Over>,
    #[serde(default)]
    pub(super) super_over: bool,
    #[serde(default)]
    pub(super) penalty_runs: PenaltyRuns,
    pub(super) target: Option<Target>,
}

/// Runs that were awarded before or after the innings.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PenaltyRuns {
    pub(super) pre: u16,
    pub(super) post: u16,
}

/// What the side needs: more or less than one run more than the other side, if rain has shortened the match.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Target {
    pub(super) runs: Option<u16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Over {
    /// From 0.
    pub(super) over: u16,
    pub(super) deliveries: Vec<Delivery>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    pub(super) batter: String,
    pub(super) bowler: String,
    pub(super) non_striker: String,
    pub(super) runs: Runs,
    #[serde(default)]
    pub(super) extras: Extras,
    #[serde(default)]
    pub(super) wickets: Vec<Wicket>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Runs {
    pub(super) batter: u16,
    pub(super) extras: u16,
    pub(super) total: u16,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Extras {
    pub(super) wides: u16,
    pub(super) noballs: u16,
    pub(super) byes: u16,
    pub(super) legbyes: u16,
    pub(super) penalty: u16,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wicket {
    pub(super) kind: String,
    pub(super) player_out: String,
    #[serde(default)]
    pub(super) fielders: Vec<Fielder>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Fielder {
    /// Absent for a substitute without a name.
    pub(super) name: Option<String>,
}
