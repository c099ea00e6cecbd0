//! What happens to one ball of a simulated match.

use rand::{Rng, RngExt};

use crate::live::ball::Extras;

/// Runs by a wide or a no-ball, before anything else happens.
const PENALTY_OF_THE_BOWLER: u32 = 1;
/// Penalty runs, such as for a ball that hits a helmet on the ground.
const PENALTY: u32 = 5;

/// What the chances of a ball depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// The over, from 1; a super over is like a last one.
    pub(crate) over: u32,
    /// The batter's place in the batting order, from 0.
    pub(crate) position: usize,
    /// The ball before was a no-ball: only a run out is possible.
    pub(crate) free_hit: bool,
    /// Runs that win the match, in a chase.
    pub(crate) needed: Option<u32>,
}

/// How a batter is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dismissal {
    Bowled,
    Caught,
    CaughtAndBowled,
    Lbw,
    Stumped,
    HitWicket,
    /// Of the striker, or of the partner. The batters had crossed.
    RunOut {
        partner: bool,
    },
}

/// What happened, before names are given to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chance {
    /// Runs off the bat.
    pub(crate) runs: u32,
    pub(crate) extras: Extras,
    /// How often the batters changed ends.
    pub(crate) crossed: u32,
    pub(crate) out: Option<Dismissal>,
}

/// Draws one ball.
pub(crate) fn draw(rng: &mut impl Rng, situation: Situation) -> Chance {
    let runs_left = situation.needed.unwrap_or(u32::MAX);
    match rng.random_range(0..1000) {
        0..34 => wide(rng, situation.free_hit, runs_left),
        34..40 => no_ball(rng, runs_left),
        40..46 => {
            let byes = ran(rng).min(runs_left);
            Chance { extras: Extras { byes, ..Extras::default() }, crossed: byes, ..Chance::default() }
        }
        46..58 => {
            let legbyes = ran(rng).min(runs_left);
            Chance { extras: Extras { legbyes, ..Extras::default() }, crossed: legbyes, ..Chance::default() }
        }
        58 => Chance { extras: Extras { penalty: PENALTY, ..Extras::default() }, ..Chance::default() },
        _ if rng.random_ratio(wicket_per_mille(situation), 1000) => {
            let run_out = situation.free_hit || rng.random_ratio(1, 12);
            if run_out { run_out_off_the_bat(rng, runs_left) } else { dismissed(rng) }
        }
        _ => off_the_bat(rng, situation.over, runs_left),
    }
}

/// The chance of a wicket: more in the last overs and of the last batters.
fn wicket_per_mille(situation: Situation) -> u32 {
    let late = if situation.over > 15 { 28 } else { 0 };
    let tail = if situation.position >= 7 { 45 } else { 0 };
    let chance = 42 + late + tail;
    if situation.free_hit { chance / 10 } else { chance }
}

/// Runs that are run: mostly one.
fn ran(rng: &mut impl Rng) -> u32 {
    match rng.random_range(0..20) {
        0..16 => 1,
        16..19 => 2,
        _ => 3,
    }
}

/// Runs off the bat. A boundary counts in full; of runs that are run, none counts after the winning one.
fn off_the_bat(rng: &mut impl Rng, over: u32, runs_left: u32) -> Chance {
    let hitting = if over > 15 { 50 } else { 0 };
    let runs = match rng.random_range(0..1000 + hitting) {
        0..395 => 0,
        395..800 => ran(rng).min(runs_left),
        800..940 => 4,
        940..945 => 3.min(runs_left),
        _ => 6,
    };
    let crossed = if runs == 4 || runs == 6 { 0 } else { runs };
    Chance { runs, crossed, ..Chance::default() }
}

fn dismissed(rng: &mut impl Rng) -> Chance {
    let out = match rng.random_range(0..100) {
        0..20 => Dismissal::Bowled,
        20..32 => Dismissal::Lbw,
        32..36 => Dismissal::Stumped,
        36 => Dismissal::HitWicket,
        37..42 => Dismissal::CaughtAndBowled,
        _ => Dismissal::Caught,
    };
    Chance { out: Some(out), ..Chance::default() }
}

/// One of the batters does not complete a run. The runs before it count.
fn run_out_off_the_bat(rng: &mut impl Rng, runs_left: u32) -> Chance {
    let runs = rng.random_range(0..=1).min(runs_left - 1);
    let out = Some(Dismissal::RunOut { partner: rng.random() });
    Chance { runs, crossed: runs + 1, out, ..Chance::default() }
}

fn wide(rng: &mut impl Rng, free_hit: bool, runs_left: u32) -> Chance {
    let wides = |wides| Extras { wides, ..Extras::default() };
    if runs_left == PENALTY_OF_THE_BOWLER {
        return Chance { extras: wides(PENALTY_OF_THE_BOWLER), ..Chance::default() };
    }
    match rng.random_range(0..40) {
        0 if !free_hit => Chance {
            extras: wides(PENALTY_OF_THE_BOWLER),
            out: Some(Dismissal::Stumped),
            ..Chance::default()
        },
        // To the boundary.
        1..3 => Chance { extras: wides(PENALTY_OF_THE_BOWLER + 4), ..Chance::default() },
        3..6 => Chance { extras: wides(PENALTY_OF_THE_BOWLER + 1), crossed: 1, ..Chance::default() },
        _ => Chance { extras: wides(PENALTY_OF_THE_BOWLER), ..Chance::default() },
    }
}

fn no_ball(rng: &mut impl Rng, runs_left: u32) -> Chance {
    let extras = Extras { noballs: PENALTY_OF_THE_BOWLER, ..Extras::default() };
    if runs_left == PENALTY_OF_THE_BOWLER {
        return Chance { extras, ..Chance::default() };
    }
    let left = runs_left - PENALTY_OF_THE_BOWLER;
    match rng.random_range(0..20) {
        0 => {
            let byes = 1.min(left);
            Chance { extras: Extras { byes, ..extras }, crossed: byes, ..Chance::default() }
        }
        1 => Chance { extras, ..run_out_off_the_bat(rng, left) },
        _ => Chance { extras, ..off_the_bat(rng, 20, left) },
    }
}
