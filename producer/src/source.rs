//! The source of records: what is generated, with its seed, clock and pace.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use shared::live_score::LiveScore;

use crate::config::{Producing, Scenario};
use crate::generate::{Generator, seeded_clock_ms};
use crate::live::delivery::Delivery;
use crate::live::replay::{Replay, ReplayError};
use crate::live::{Live, Matches, Update, Versioned};
use crate::pace::{Pace, Rate};

/// The records of one moment: a live score, and the ball that led to it.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The live score.
    pub score: Score<'a>,
    /// The ball, for a topic of its own.
    pub delivery: Option<Delivery<&'a str>>,
}

/// The JSON of a live score.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Score<'a> {
    /// Of a match that is published once.
    Once(LiveScore<&'a str>),
    /// Of a match that is published again with every ball.
    Again(Versioned<'a>),
}

impl Moment<'_> {
    /// The key of its records.
    pub fn match_id(&self) -> &str {
        match &self.score {
            Score::Once(score) => score.match_id,
            Score::Again(Versioned { score, .. }) => score.match_id.unwrap_or_default(),
        }
    }
}

impl<'a> From<Update<'a>> for Moment<'a> {
    fn from(Update { score, delivery }: Update<'a>) -> Self {
        Self { score: Score::Again(score), delivery }
    }
}

/// What makes the records.
#[derive(Debug)]
enum Records {
    Matches(Box<Generator>),
    Live(Box<Live>),
    Replay(Box<Replay>),
}

/// What makes the records, with a clock and a pace.
#[derive(Debug)]
pub struct Source {
    records: Records,
    seed: u64,
    /// The clock of a seeded run, in milliseconds since the epoch; otherwise the system's.
    fixed_clock_ms: Option<u64>,
    /// The pace and its start.
    pace: Option<(Pace, Option<Instant>)>,
}

impl Source {
    /// The scenario of the settings. Without a seed, one is drawn and the clock is the system's.
    pub fn new(producing: &Producing, rate: Option<Rate>) -> Self {
        let Producing { seed, scenario, concurrent_matches, matches, .. } = *producing;
        let drawn = seed.unwrap_or_else(rand::random);
        let records = match scenario {
            Scenario::Matches => Records::Matches(Box::new(Generator::new(drawn))),
            Scenario::Live => {
                let matches = Matches { concurrent: concurrent_matches, total: matches };
                Records::Live(Box::new(Live::new(drawn, matches)))
            }
        };
        Self { seed: drawn, fixed_clock_ms: seed.map(seeded_clock_ms), ..Self::of(records, rate) }
    }

    /// A match from a file.
    ///
    /// # Errors
    /// The file is not a match in cricsheet's format.
    pub fn replay(file: &Path, rate: Option<Rate>) -> Result<Self, ReplayError> {
        Ok(Self::of(Records::Replay(Box::new(Replay::read(file)?)), rate))
    }

    fn of(records: Records, rate: Option<Rate>) -> Self {
        Self { records, seed: 0, fixed_clock_ms: None, pace: rate.map(|rate| (Pace::new(rate), None)) }
    }

    /// The seed, given or drawn; 0 for a file.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether a rate decides when a record is due.
    pub fn is_paced(&self) -> bool {
        self.pace.is_some()
    }

    /// How long to wait for the next moment. Counts that moment.
    pub fn due_in(&mut self) -> Duration {
        let Some((pace, began)) = &mut self.pace else {
            return Duration::ZERO;
        };
        pace.next(began.get_or_insert_with(Instant::now).elapsed())
    }

    /// The next moment; `None` if all matches have ended.
    #[expect(
        clippy::should_implement_trait,
        reason = "a moment borrows the source, as no iterator's item can"
    )]
    pub fn next(&mut self) -> Option<Moment<'_>> {
        let clock = self.fixed_clock_ms;
        let now_ms = || clock.unwrap_or_else(system_clock_ms);
        match &mut self.records {
            Records::Matches(generator) => {
                Some(Moment { score: Score::Once(generator.live_score(now_ms())), delivery: None })
            }
            Records::Live(live) => live.next(now_ms()).map(Moment::from),
            Records::Replay(replay) => replay.next().map(Moment::from),
        }
    }
}

/// Milliseconds since the epoch; 0 before it.
fn system_clock_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
