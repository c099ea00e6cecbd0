//! Generates live scores: pure and seeded. The same seed and the same clock give the same records.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shared::live_score::LiveScore;

use crate::cast::Cast;
use crate::innings::{Figures, Innings, Outcome};
use crate::match_ids::MatchIds;
use crate::seasons::SEASONS;
use crate::teams::{TEAMS, teams_of};

/// Times of the first ball: the evening match, and the afternoon match of a day with two.
pub(crate) const START_TIMES: [&str; 3] = ["19:30:00", "19:30:00", "15:30:00"];

/// The milliseconds of the years 2020 to 2024, which the clock of a seeded run is taken from.
const SEEDED_CLOCK_MS: (u64, u64) = (1_577_836_800_000, 1_735_689_600_000);

/// The fixed clock of a run with this seed: milliseconds since the epoch, in the years 2020 to 2024. The records of a seeded
/// run must not depend on the time of its start.
pub fn seeded_clock_ms(seed: u64) -> u64 {
    // A separate stream, so that this draw does not change the records.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1);
    rng.random_range(SEEDED_CLOCK_MS.0..SEEDED_CLOCK_MS.1)
}

/// An endless generator of live scores. ChaCha8 is specified, so its values do not change between library versions.
#[derive(Debug)]
pub struct Generator {
    rng: ChaCha8Rng,
    ids: MatchIds,
    cast: Cast,
}

/// The sides of a match, as indexes into [`TEAMS`].
#[derive(Clone, Copy)]
pub(crate) struct Sides {
    pub(crate) home: usize,
    pub(crate) away: usize,
    pub(crate) batting_first: usize,
}

impl Generator {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let cast = Cast::draw(&mut rng);
        Self { rng, ids: MatchIds::default(), cast }
    }

    /// The people in the records.
    pub fn cast(&self) -> &Cast {
        &self.cast
    }

    /// The next live score at `now_ms`, milliseconds since the epoch, which determines only its id.
    ///
    /// In a scheduled match, sides and toss are known and figures are not. A match in progress is in its second innings.
    pub fn live_score(&mut self, now_ms: u64) -> LiveScore<&str> {
        let Self { rng, ids, cast } = self;
        let match_id = ids.next(rng, now_ms);
        let season = &SEASONS[rng.random_range(0..SEASONS.len())];
        let (sides, toss_winner) = sides(rng, teams_of(season.year).len());
        let grounds = TEAMS[sides.home].grounds;
        let (umpire1, umpire2) = cast.umpires(rng);
        let score = LiveScore {
            match_id,
            league_name: "IPL",
            season: season.year,
            team1: TEAMS[sides.home].name,
            team2: TEAMS[sides.away].name,
            venue: grounds[rng.random_range(0..grounds.len())],
            match_date: &season.days[rng.random_range(0..season.days.len())],
            start_time: START_TIMES[rng.random_range(0..START_TIMES.len())],
            match_status: "Scheduled",
            score1: None,
            score2: None,
            wickets1: None,
            wickets2: None,
            runs1: None,
            runs2: None,
            overs1: None,
            overs2: None,
            man_of_the_match: None,
            umpire1,
            umpire2,
            match_type: "T20",
            toss_winner: TEAMS[toss_winner].name,
            batting_first: TEAMS[sides.batting_first].name,
            total_runs: None,
            extra_runs: None,
            target_runs: None,
            match_duration: None,
            winning_team: None,
        };
        let Some(outcome) = outcome(rng) else {
            return score;
        };
        let score = played(score, sides, &Figures::play(rng, outcome));
        completed(rng, score, sides, outcome, cast)
    }
}

/// Two different teams of the first `teams`, the side that bats first, and who won the toss.
pub(crate) fn sides(rng: &mut impl Rng, teams: usize) -> (Sides, usize) {
    let home = rng.random_range(0..teams);
    let other = rng.random_range(0..teams - 1);
    let away = other + usize::from(other >= home);
    let toss_winner = if rng.random() { home } else { away };
    let batting_first = if rng.random() { home } else { away };
    (Sides { home, away, batting_first }, toss_winner)
}

/// The outcome of a match: of twenty, twelve are completed, four in progress, four scheduled (`None`).
fn outcome(rng: &mut impl Rng) -> Option<Outcome> {
    match rng.random_range(0..20) {
        0..6 => Some(Outcome::Defended),
        6..11 => Some(Outcome::Chased),
        11 => Some(Outcome::Tied),
        12..16 => Some(Outcome::Open),
        _ => None,
    }
}

/// Adds the figures of a match that has begun.
fn played<'a>(score: LiveScore<&'a str>, sides: Sides, figures: &Figures) -> LiveScore<&'a str> {
    let (home, away): (&Innings, &Innings) = if sides.batting_first == sides.home {
        (&figures.first, &figures.second)
    } else {
        (&figures.second, &figures.first)
    };
    LiveScore {
        match_status: "In Progress",
        score1: Some(home.score),
        score2: Some(away.score),
        wickets1: Some(home.wickets),
        wickets2: Some(away.wickets),
        runs1: Some(home.runs),
        runs2: Some(away.runs),
        overs1: Some(home.overs()),
        overs2: Some(away.overs()),
        total_runs: Some(figures.total()),
        extra_runs: Some(figures.extras),
        target_runs: Some(figures.target()),
        match_duration: Some(figures.minutes),
        ..score
    }
}

/// Adds winner and man of the match, if the match is completed.
fn completed<'a>(
    rng: &mut impl Rng,
    score: LiveScore<&'a str>,
    sides: Sides,
    outcome: Outcome,
    cast: &'a Cast,
) -> LiveScore<&'a str> {
    let second = if sides.batting_first == sides.home { sides.away } else { sides.home };
    let (winning_team, best) = match outcome {
        Outcome::Open => return score,
        Outcome::Defended => (TEAMS[sides.batting_first].name, sides.batting_first),
        Outcome::Chased => (TEAMS[second].name, second),
        Outcome::Tied => ("Tie", second),
    };
    // Now and then the best player is on the side that did not win.
    let best = if rng.random_ratio(1, 10) { sides.home + sides.away - best } else { best };
    LiveScore {
        match_status: "Completed",
        man_of_the_match: Some(cast.player(rng, best)),
        winning_team: Some(winning_team),
        ..score
    }
}
