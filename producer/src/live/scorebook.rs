//! The scorebook of one match: it adds up balls, and says what the live score is after each of them.

use serde::Serialize;
use shared::live_score::LiveScore;

use crate::live::ball::{Ball, Name};
use crate::live::delivery::Delivery;

/// What is known of a match before its first ball.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    pub(crate) match_id: String,
    pub(crate) league_name: Name,
    pub(crate) season: i32,
    pub(crate) teams: [Name; 2],
    pub(crate) venue: Name,
    pub(crate) match_date: Name,
    pub(crate) start_time: Option<Name>,
    pub(crate) umpires: [Option<Name>; 2],
    pub(crate) match_type: Name,
    pub(crate) toss_winner: Option<Name>,
    /// The side that bats first, an index into `teams`.
    pub(crate) batting_first: usize,
}

/// How a match ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The side that won, or `Tie`; `None` if the match has no result.
    pub(crate) winner: Option<Name>,
    pub(crate) man_of_the_match: Option<Name>,
}

/// The figures of one innings.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// The side that bats.
    side: usize,
    super_over: bool,
    /// Runs off the bat.
    runs: u32,
    extras: u32,
    wickets: u32,
    /// The over that the last ball belongs to, from 1; 0 before the first.
    over: u32,
    /// Legal balls of that over.
    legal: u32,
    /// All balls of that over.
    balls: u32,
    /// Whether that over has ended.
    over_ended: bool,
}

impl Figures {
    fn score(&self) -> u32 {
        self.runs + self.extras
    }

    /// Overs as cricket writes them: whole overs, and the balls of the next behind the point.
    fn overs(&self) -> f64 {
        // In a miscounted over, a seventh ball is not shown.
        let tenths = if self.over_ended || self.over == 0 {
            self.over * 10
        } else {
            (self.over - 1) * 10 + self.legal.min(5)
        };
        f64::from(tenths) / 10.0
    }
}

/// A change of a match: its live score, and the ball that changed it. Both become records.
#[derive(Debug)]
pub struct Update<'a> {
    /// The match after the change.
    pub score: Versioned<'a>,
    /// The ball; `None` after the toss.
    pub delivery: Option<Delivery<&'a str>>,
}

/// A live score with the version that orders the records of its match.
#[derive(Debug, Serialize)]
pub struct Versioned<'a> {
    /// The live score. What is not known, or not yet, is `null`.
    #[serde(flatten)]
    pub score: LiveScore<Option<&'a str>>,
    /// How many records of this match there are up to this one: 1 after the toss, one more with each ball.
    pub version: u32,
}

/// A scorebook.
#[derive(Debug)]
pub(crate) struct Scorebook {
    fixture: Fixture,
    version: u32,
    innings: Vec<Figures>,
    target: Option<u32>,
    /// Time played, if it is known.
    seconds: Option<u32>,
    deliveries: u32,
    last_ball: Option<Ball>,
    outcome: Option<Outcome>,
}

impl Scorebook {
    /// The scorebook after the toss. `timed`: somebody will say how long each ball takes.
    pub(crate) fn new(fixture: Fixture, timed: bool) -> Self {
        Self {
            fixture,
            version: 1,
            innings: Vec::with_capacity(2),
            target: None,
            seconds: timed.then_some(0),
            deliveries: 0,
            last_ball: None,
            outcome: None,
        }
    }

    pub(crate) fn fixture(&self) -> &Fixture {
        &self.fixture
    }

    /// Opens an innings of `side`.
    pub(crate) fn open_innings(&mut self, side: usize, super_over: bool) {
        self.innings.push(Figures {
            side,
            super_over,
            runs: 0,
            extras: 0,
            wickets: 0,
            over: 0,
            legal: 0,
            balls: 0,
            over_ended: false,
        });
    }

    /// Adds a ball to the open innings. What follows belongs to the same version.
    pub(crate) fn add(&mut self, ball: Ball) {
        self.version += 1;
        self.deliveries += 1;
        if let Some(figures) = self.innings.last_mut() {
            if ball.over != figures.over {
                *figures = Figures { over: ball.over, legal: 0, balls: 0, ..*figures };
            }
            figures.runs += ball.runs;
            figures.extras += ball.extras.total();
            figures.wickets += ball.wickets_lost();
            figures.legal += u32::from(ball.is_legal());
            figures.balls += 1;
            figures.over_ended = ball.ends_over;
        }
        self.last_ball = Some(ball);
    }

    /// Adds penalty runs that were awarded before or after an innings.
    pub(crate) fn award(&mut self, penalty: u32) {
        if let Some(figures) = self.innings.last_mut() {
            figures.extras += penalty;
        }
    }

    /// Adds playing time.
    pub(crate) fn pass(&mut self, seconds: u32) {
        self.seconds = self.seconds.map(|played| played + seconds);
    }

    /// What the side batting second needs to win.
    pub(crate) fn set_target(&mut self, target: u32) {
        self.target = Some(target);
    }

    /// Ends the match, with the last ball.
    pub(crate) fn complete(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// Ends the match without a ball.
    pub(crate) fn complete_without_a_ball(&mut self, outcome: Outcome) {
        self.version += 1;
        self.last_ball = None;
        self.complete(outcome);
    }

    /// Whether the match has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.outcome.is_some()
    }

    /// The score of an innings, from 0.
    pub(crate) fn score_of(&self, innings: usize) -> u32 {
        self.innings.get(innings).map_or(0, Figures::score)
    }

    /// The two records of the last change.
    pub(crate) fn update(&self) -> Update<'_> {
        Update {
            score: Versioned { score: self.live_score(), version: self.version },
            delivery: self
                .last_ball
                .as_ref()
                .zip(self.innings.last())
                .map(|(ball, of)| self.delivery(ball, of)),
        }
    }

    fn live_score(&self) -> LiveScore<Option<&str>> {
        let fixture = &self.fixture;
        let [one, two] = [0, 1]
            .map(|side| self.innings.iter().find(|innings| innings.side == side && !innings.super_over));
        let both = || self.innings.iter().filter(|innings| !innings.super_over);
        let begun = !self.innings.is_empty();
        let match_status = match (&self.outcome, begun) {
            (Some(_), _) => "Completed",
            (None, true) => "In Progress",
            (None, false) => "Scheduled",
        };
        LiveScore {
            match_id: Some(&fixture.match_id),
            league_name: Some(&fixture.league_name),
            season: fixture.season,
            team1: Some(&fixture.teams[0]),
            team2: Some(&fixture.teams[1]),
            venue: Some(&fixture.venue),
            match_date: Some(&fixture.match_date),
            start_time: fixture.start_time.as_deref(),
            match_status: Some(match_status),
            score1: one.map(|innings| number(innings.score())),
            score2: two.map(|innings| number(innings.score())),
            wickets1: one.map(|innings| number(innings.wickets)),
            wickets2: two.map(|innings| number(innings.wickets)),
            runs1: one.map(|innings| number(innings.runs)),
            runs2: two.map(|innings| number(innings.runs)),
            overs1: one.map(Figures::overs),
            overs2: two.map(Figures::overs),
            man_of_the_match: self
                .outcome
                .as_ref()
                .and_then(|outcome| text(outcome.man_of_the_match.as_ref())),
            umpire1: fixture.umpires[0].as_deref(),
            umpire2: fixture.umpires[1].as_deref(),
            match_type: Some(&fixture.match_type),
            toss_winner: fixture.toss_winner.as_deref(),
            batting_first: Some(&fixture.teams[fixture.batting_first]),
            total_runs: begun.then(|| number(both().map(Figures::score).sum())),
            extra_runs: begun.then(|| number(both().map(|innings| innings.extras).sum())),
            target_runs: self.target.map(number),
            match_duration: self.seconds.filter(|_| begun).map(|seconds| number(seconds / 60)),
            winning_team: self.outcome.as_ref().and_then(|outcome| text(outcome.winner.as_ref())),
        }
    }

    fn delivery<'a>(&'a self, ball: &'a Ball, of: &Figures) -> Delivery<&'a str> {
        let teams = &self.fixture.teams;
        let wicket = ball.wickets.first();
        Delivery {
            match_id: &self.fixture.match_id,
            delivery: self.deliveries,
            innings: u32::try_from(self.innings.len()).unwrap_or(u32::MAX),
            super_over: of.super_over,
            over_number: of.over,
            ball: of.balls,
            batting_team: &teams[of.side],
            bowling_team: &teams[1 - of.side],
            batter: &ball.batter,
            non_striker: &ball.non_striker,
            bowler: &ball.bowler,
            runs_batter: ball.runs,
            runs_extras: ball.extras.total(),
            runs_total: ball.runs + ball.extras.total(),
            wides: ball.extras.wides,
            noballs: ball.extras.noballs,
            byes: ball.extras.byes,
            legbyes: ball.extras.legbyes,
            penalty: ball.extras.penalty,
            wickets: ball.wickets_lost(),
            wicket_kind: wicket.map(|wicket| &*wicket.kind),
            player_out: wicket.map(|wicket| &*wicket.player_out),
            fielder: wicket.and_then(|wicket| wicket.fielder.as_deref()),
        }
    }
}

/// A figure of a match. Those of a file that no match reaches stay at the limit of the column.
fn number(figure: u32) -> i32 {
    i32::try_from(figure).unwrap_or(i32::MAX)
}

// The inner option is the text, the outer one whether it is known.
#[expect(clippy::option_option, reason = "the type of a field of LiveScore whose text is optional")]
fn text(name: Option<&Name>) -> Option<Option<&str>> {
    name.map(|name| Some(&**name))
}
