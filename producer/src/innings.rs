//! The figures of a match: two innings that follow the rules of Twenty20 cricket.

use std::cmp::{max, min};

use rand::{Rng, RngExt};

/// How far the chase has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The target was not reached.
    Defended,
    /// The target was reached.
    Chased,
    /// Both totals are the same.
    Tied,
    /// The chase is on.
    Open,
}

/// What one side made of its innings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Innings {
    /// Runs and extras, 120 to 240.
    pub score: i32,
    /// Runs off the bat, 100 to 200.
    pub runs: i32,
    /// Wickets lost, 0 to 10.
    pub wickets: i32,
    /// Balls faced, 60 to 120.
    pub balls: i32,
}

/// The figures of a match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// The innings of the side batting first.
    pub first: Innings,
    /// The innings of the side batting second.
    pub second: Innings,
    /// Extras of both innings, 5 to 25.
    pub extras: i32,
    /// Minutes played, 120 to 240.
    pub minutes: i32,
}

/// Balls of a full innings: 20 overs of six.
const FULL_INNINGS: i32 = 120;
/// Balls of the shortest innings generated: 10 overs.
const SHORT_INNINGS: i32 = 60;
/// Wickets that end an innings.
const ALL_OUT: i32 = 10;
/// The least that a side scores.
const LEAST_SCORE: i32 = 120;
/// The least that a first innings scores: its target is then 150.
const LEAST_FIRST_SCORE: i32 = 149;
/// The most that a first innings scores, with more than 200 of it off the bat being out of range.
const MOST_FIRST_SCORE: i32 = 215;
/// Both scores together at most.
const MOST_TOTAL: i32 = 350;
/// Runs off the bat of one side.
const RUNS: (i32, i32) = (100, 200);
/// Extras of a match.
const EXTRAS: (i32, i32) = (5, 25);
/// Runs per over that no side exceeds.
const MOST_RUN_RATE: i32 = 14;

impl Innings {
    /// Overs as cricket writes them: whole overs, and the balls of the next behind the point.
    pub(crate) fn overs(&self) -> f64 {
        f64::from(self.balls / 6 * 10 + self.balls % 6) / 10.0
    }
}

impl Figures {
    /// Plays a match with this outcome.
    pub(crate) fn play(rng: &mut impl Rng, outcome: Outcome) -> Self {
        let (first, second) = scores(rng, outcome);
        let (extras, first_extras) = extras(rng, first, second);
        let (first_wickets, first_balls) = innings_over(rng, first);
        let (second_wickets, second_balls) = match outcome {
            Outcome::Defended | Outcome::Tied => innings_over(rng, second),
            // Won with the last ball at the latest, and with the last pair at the crease.
            Outcome::Chased => chasing(rng, second, FULL_INNINGS),
            Outcome::Open => chasing(rng, second, FULL_INNINGS - 1),
        };
        // Three quarters of a minute a ball, twenty minutes between the innings, and interruptions.
        let minutes = 20 + (first_balls + second_balls) * 3 / 4 + rng.random_range(0..=20);
        Self {
            first: Innings {
                score: first,
                runs: first - first_extras,
                wickets: first_wickets,
                balls: first_balls,
            },
            second: Innings {
                score: second,
                runs: second - (extras - first_extras),
                wickets: second_wickets,
                balls: second_balls,
            },
            extras,
            minutes: minutes.clamp(120, 240),
        }
    }

    /// What the side batting second needs to win.
    pub(crate) fn target(&self) -> i32 {
        self.first.score + 1
    }

    /// Both scores together.
    pub(crate) fn total(&self) -> i32 {
        self.first.score + self.second.score
    }
}

/// The scores, first innings and second.
fn scores(rng: &mut impl Rng, outcome: Outcome) -> (i32, i32) {
    // A side that draws level leaves at most half of the largest total to the first.
    let most_first = match outcome {
        Outcome::Defended | Outcome::Open => MOST_FIRST_SCORE,
        Outcome::Chased => (MOST_TOTAL - 1) / 2,
        Outcome::Tied => MOST_TOTAL / 2,
    };
    let first = rng.random_range(LEAST_FIRST_SCORE..=most_first);
    let most_second = MOST_TOTAL - first;
    let second = match outcome {
        Outcome::Defended => rng.random_range(LEAST_SCORE..=min(first - 1, most_second)),
        // Level scores and a six: nobody wins by more.
        Outcome::Chased => rng.random_range(first + 1..=min(first + 6, most_second)),
        Outcome::Tied => first,
        Outcome::Open => rng.random_range(LEAST_SCORE..=min(first, most_second)),
    };
    (first, second)
}

/// The extras of the match, and how many of them the first innings has, so that the runs off the bat of
/// both sides stay within [`RUNS`].
fn extras(rng: &mut impl Rng, first: i32, second: i32) -> (i32, i32) {
    // A second innings never scores more than the bat alone may: its extras have no lower bound.
    let least_first = max(0, first - RUNS.1);
    let extras = rng.random_range(max(EXTRAS.0, least_first)..=EXTRAS.1);
    let most_second = second - RUNS.0;
    let first_extras = rng.random_range(max(least_first, extras - most_second)..=extras);
    (extras, first_extras)
}

/// Wickets and balls of an innings that is over without a target reached: all out, or no ball left.
fn innings_over(rng: &mut impl Rng, score: i32) -> (i32, i32) {
    if rng.random_ratio(1, 4) {
        (ALL_OUT, rng.random_range(least_balls(score)..=FULL_INNINGS))
    } else {
        (rng.random_range(0..ALL_OUT), FULL_INNINGS)
    }
}

/// Wickets and balls of an innings in which a batsman is left, after at most `most_balls`.
fn chasing(rng: &mut impl Rng, score: i32, most_balls: i32) -> (i32, i32) {
    (rng.random_range(0..ALL_OUT), rng.random_range(least_balls(score)..=most_balls))
}

/// The fewest balls that `score` can take.
fn least_balls(score: i32) -> i32 {
    max(SHORT_INNINGS, (score * 6 + MOST_RUN_RATE - 1) / MOST_RUN_RATE)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn overs_count_balls() {
        let overs = |balls| Innings { score: 120, runs: 100, wickets: 0, balls }.overs();
        assert_eq!([60, 61, 65, 66, 119, 120].map(overs), [10.0, 10.1, 10.5, 11.0, 19.5, 20.0]);
    }

    #[test]
    fn every_figure_is_in_its_range_and_fits_the_others() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for turn in 0..200_000 {
            let outcome = [Outcome::Defended, Outcome::Chased, Outcome::Tied, Outcome::Open][turn % 4];
            let figures = Figures::play(&mut rng, outcome);
            let Figures { first, second, extras, minutes } = figures;
            for side in [first, second] {
                assert!((120..=240).contains(&side.score), "{figures:?}");
                assert!((100..=200).contains(&side.runs), "{figures:?}");
                assert!((0..=10).contains(&side.wickets), "{figures:?}");
                assert!((60..=120).contains(&side.balls), "{figures:?}");
                assert!(side.runs <= side.score, "{figures:?}");
                assert!(side.score * 6 <= side.balls * MOST_RUN_RATE, "{figures:?}");
            }
            assert_eq!(first.score - first.runs + second.score - second.runs, extras, "{figures:?}");
            assert!((5..=25).contains(&extras), "{figures:?}");
            assert!((120..=240).contains(&minutes), "{figures:?}");
            assert!((150..=350).contains(&figures.target()), "{figures:?}");
            assert!((150..=350).contains(&figures.total()), "{figures:?}");
            let over = |side: Innings| side.wickets == ALL_OUT || side.balls == FULL_INNINGS;
            assert!(over(first), "{figures:?}");
            match outcome {
                Outcome::Defended => assert!(second.score < first.score && over(second), "{figures:?}"),
                Outcome::Tied => assert!(second.score == first.score && over(second), "{figures:?}"),
                Outcome::Chased => {
                    assert!((figures.target()..figures.target() + 6).contains(&second.score), "{figures:?}");
                    assert!(second.wickets < ALL_OUT, "{figures:?}");
                }
                Outcome::Open => {
                    assert!(second.score < figures.target() && !over(second), "{figures:?}");
                }
            }
        }
    }
}
