//! A match from a file of cricsheet, ball by ball, in the records of a simulated one.

use std::collections::VecDeque;
use std::path::Path;
use std::{fs, io};

use thiserror::Error;

use crate::live::ball::{Ball, Extras, Wicket};
use crate::live::cricsheet::{Delivery, File, Info, Innings, Runs};
use crate::live::scorebook::{Fixture, Outcome, Scorebook, Update};

/// Innings of a match, apart from super overs.
const INNINGS: usize = 2;
/// The league whose short name the records have.
const IPL: &str = "Indian Premier League";

/// Why a file cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is not what cricsheet describes.
    #[error("{path} is not a match in cricsheet's JSON format: {source}")]
    Format {
        /// The file.
        path: String,
        /// What was expected.
        source: serde_json::Error,
    },
    /// It is, but cannot be replayed.
    #[error("{path} cannot be replayed: {source}")]
    Match {
        /// The file.
        path: String,
        /// Why.
        source: MatchError,
    },
}

/// What is wrong with a match.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MatchError {
    /// The format has another major version.
    #[error("its data_version is {0}, and this program knows 1.x")]
    Version(String),
    /// Not two teams.
    #[error("it has {0} teams")]
    Teams(usize),
    /// No day of play.
    #[error("info.dates is empty or has no date such as 2024-05-26")]
    Dates,
    /// A match of several days.
    #[error("it has {0} innings besides super overs, and the live score has room for two")]
    Innings(usize),
    /// Each side bats once.
    #[error("innings {innings}: {team:?} is neither of the teams, or has batted before")]
    Side {
        /// The innings, from 1.
        innings: usize,
        /// Who bats, according to the file.
        team: String,
    },
    /// The runs of a ball do not add up.
    #[error(
        "innings {innings}, over {over}, ball {ball}: batter {batter} and extras {extras} are not the total {total}, or the \
         kinds of extras do not sum to {extras}"
    )]
    Runs {
        /// The innings, from 1.
        innings: usize,
        /// The over, from 0 as in the file.
        over: u16,
        /// The ball of the over, from 1.
        ball: usize,
        /// Runs off the bat.
        batter: u16,
        /// All others.
        extras: u16,
        /// Both, according to the file.
        total: u16,
    },
}

/// One ball with what happens before and after it.
#[derive(Debug)]
struct Turn {
    /// It is the first of an innings.
    opens: Option<Opening>,
    ball: Ball,
    /// It is the last of an innings.
    closes: Option<Closing>,
}

#[derive(Clone, Copy, Debug)]
struct Opening {
    side: usize,
    super_over: bool,
    penalty: u32,
}

#[derive(Clone, Copy, Debug)]
struct Closing {
    penalty: u32,
    /// Whether it is the first innings, after which the target is known.
    first: bool,
}

/// A match that is replayed.
#[derive(Debug)]
pub struct Replay {
    book: Scorebook,
    turns: VecDeque<Turn>,
    /// The target according to the file.
    target: Option<u32>,
    outcome: Outcome,
    tossed: bool,
}

impl Replay {
    /// Reads a file, whose name without its extension becomes the id of the match.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub fn read(path: &Path) -> Result<Self, ReplayError> {
        let name = path.display().to_string();
        let text =
            fs::read_to_string(path).map_err(|source| ReplayError::Read { path: name.clone(), source })?;
        let file = serde_json::from_str(&text)
            .map_err(|source| ReplayError::Format { path: name.clone(), source })?;
        let match_id = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::new(&match_id, file).map_err(|source| ReplayError::Match { path: name, source })
    }

    fn new(match_id: &str, file: File) -> Result<Self, MatchError> {
        let File { meta, info, innings } = file;
        if meta.data_version.split('.').next() != Some("1") {
            return Err(MatchError::Version(meta.data_version));
        }
        let of_match = innings.iter().filter(|innings| !innings.super_over).count();
        if of_match > INNINGS {
            return Err(MatchError::Innings(of_match));
        }
        let fixture = fixture(match_id, &info, innings.first())?;
        let target =
            innings.get(1).and_then(|second| second.target).and_then(|target| target.runs).map(u32::from);
        let mut turns = VecDeque::new();
        let mut batted = Vec::new();
        for (number, innings) in (1..).zip(innings) {
            let side = fixture.teams.iter().position(|team| *team == innings.team);
            let side = side.filter(|side| innings.super_over || !batted.contains(side));
            let Some(side) = side else {
                return Err(MatchError::Side { innings: number, team: innings.team });
            };
            batted.push(side);
            turns.extend(turns_of(number, side, innings, info.balls_per_over)?);
        }
        let winner = winner(&info);
        let outcome = Outcome {
            winner: winner.map(Into::into),
            man_of_the_match: info.player_of_match.into_iter().next().map(Into::into),
        };
        Ok(Self { book: Scorebook::new(fixture, false), turns, target, outcome, tossed: false })
    }

    /// The toss, or the next ball; `None` at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an update borrows the match, as no iterator's item can"
    )]
    pub fn next(&mut self) -> Option<Update<'_>> {
        if !self.tossed {
            self.tossed = true;
        } else if self.book.is_complete() {
            return None;
        } else if let Some(turn) = self.turns.pop_front() {
            self.play(turn);
        } else {
            self.book.complete_without_a_ball(self.outcome.clone());
        }
        Some(self.book.update())
    }

    fn play(&mut self, turn: Turn) {
        if let Some(Opening { side, super_over, penalty }) = turn.opens {
            self.book.open_innings(side, super_over);
            self.book.award(penalty);
        }
        self.book.add(turn.ball);
        if let Some(Closing { penalty, first }) = turn.closes {
            self.book.award(penalty);
            if first {
                self.book.set_target(self.target.unwrap_or_else(|| self.book.score_of(0) + 1));
            }
        }
        if self.turns.is_empty() {
            self.book.complete(self.outcome.clone());
        }
    }
}

fn fixture(match_id: &str, info: &Info, first: Option<&Innings>) -> Result<Fixture, MatchError> {
    let [one, two] = info.teams.as_slice() else { return Err(MatchError::Teams(info.teams.len())) };
    let date = info.dates.first().ok_or(MatchError::Dates)?;
    let season = date.get(..4).and_then(|year| year.parse().ok()).ok_or(MatchError::Dates)?;
    let venue = match (&info.venue, &info.city) {
        (Some(venue), Some(city)) if !venue.contains(city.as_str()) => format!("{venue}, {city}"),
        (Some(place), _) | (None, Some(place)) => place.clone(),
        (None, None) => String::new(),
    };
    let umpires = info.officials.as_ref().map_or(&[][..], |officials| officials.umpires.as_slice());
    let league = info.event.as_ref().map_or("", |event| event.name.as_str());
    Ok(Fixture {
        match_id: match_id.to_owned(),
        league_name: if league == IPL { "IPL".into() } else { league.to_owned().into() },
        season,
        teams: [one.clone().into(), two.clone().into()],
        venue: venue.into(),
        match_date: date.clone().into(),
        start_time: None,
        umpires: [0, 1].map(|umpire| umpires.get(umpire).cloned().map(Into::into)),
        match_type: info.match_type.clone().into(),
        toss_winner: info.toss.winner.clone().map(Into::into),
        batting_first: batting_first(info, first),
    })
}

/// The side that bats first: from the first innings or, without one, from the toss.
fn batting_first(info: &Info, first: Option<&Innings>) -> usize {
    let is_second = |team: &str| usize::from(info.teams.get(1).is_some_and(|two| two == team));
    match (first, &info.toss.winner) {
        (Some(innings), _) => is_second(&innings.team),
        (None, Some(winner)) if info.toss.decision.as_deref() == Some("field") => 1 - is_second(winner),
        (None, Some(winner)) => is_second(winner),
        (None, None) => 0,
    }
}

/// The team that won, also in a super over; `Tie`; or nobody.
fn winner(info: &Info) -> Option<String> {
    let outcome = &info.outcome;
    let decided = outcome.winner.as_ref().or(outcome.eliminator.as_ref()).or(outcome.bowl_out.as_ref());
    decided.cloned().or_else(|| (outcome.result.as_deref() == Some("tie")).then(|| "Tie".to_owned()))
}

/// The balls of an innings. An innings without a ball leaves no trace.
fn turns_of(
    number: usize,
    side: usize,
    innings: Innings,
    balls_per_over: u32,
) -> Result<Vec<Turn>, MatchError> {
    let Innings { overs, super_over, penalty_runs, .. } = innings;
    let mut turns: Vec<Turn> = Vec::with_capacity(130);
    let last_over = overs.len().saturating_sub(1);
    for (index, over) in overs.into_iter().enumerate() {
        let (mut legal, last_ball) = (0, over.deliveries.len().saturating_sub(1));
        for (place, delivery) in over.deliveries.into_iter().enumerate() {
            let mut ball = ball(over.over, delivery).map_err(|runs| MatchError::Runs {
                innings: number,
                over: over.over,
                ball: place + 1,
                batter: runs.batter,
                extras: runs.extras,
                total: runs.total,
            })?;
            legal += u32::from(ball.is_legal());
            // Umpires miscount: an over that another one follows has ended.
            ball.ends_over = place == last_ball && (legal >= balls_per_over || index < last_over);
            turns.push(Turn { opens: None, ball, closes: None });
        }
    }
    if let Some(first) = turns.first_mut() {
        first.opens = Some(Opening { side, super_over, penalty: penalty_runs.pre.into() });
    }
    if let Some(last) = turns.last_mut() {
        last.closes = Some(Closing { penalty: penalty_runs.post.into(), first: number == 1 });
    }
    Ok(turns)
}

fn ball(over: u16, delivery: Delivery) -> Result<Ball, Runs> {
    let Delivery { batter, bowler, non_striker, runs, extras, wickets } = delivery;
    let extras = Extras {
        wides: extras.wides.into(),
        noballs: extras.noballs.into(),
        byes: extras.byes.into(),
        legbyes: extras.legbyes.into(),
        penalty: extras.penalty.into(),
    };
    let (off_the_bat, others) = (u32::from(runs.batter), u32::from(runs.extras));
    if extras.total() != others || off_the_bat + others != u32::from(runs.total) {
        return Err(runs);
    }
    let wickets = wickets.into_iter().map(|wicket| Wicket {
        kind: wicket.kind.into(),
        player_out: wicket.player_out.into(),
        fielder: wicket.fielders.into_iter().find_map(|fielder| fielder.name).map(Into::into),
    });
    Ok(Ball {
        over: u32::from(over) + 1,
        batter: batter.into(),
        non_striker: non_striker.into(),
        bowler: bowler.into(),
        runs: off_the_bat,
        extras,
        wickets: wickets.collect(),
        ends_over: false,
    })
}
