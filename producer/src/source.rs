//! The source of records: a generator with a seed, a clock and a pace.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shared::live_score::LiveScore;

use crate::generate::{Generator, seeded_clock_ms};
use crate::pace::{Pace, Rate};

/// A generator with a clock and a pace.
#[derive(Debug)]
pub struct Source {
    generator: Generator,
    seed: u64,
    /// The clock of a seeded run, in milliseconds since the epoch; otherwise the system's.
    fixed_clock_ms: Option<u64>,
    /// The pace and its start.
    pace: Option<(Pace, Option<Instant>)>,
}

impl Source {
    /// Without a seed, one is drawn and the clock is the system's.
    pub fn new(seed: Option<u64>, rate: Option<Rate>) -> Self {
        let drawn = seed.unwrap_or_else(rand::random);
        Self {
            generator: Generator::new(drawn),
            seed: drawn,
            fixed_clock_ms: seed.map(seeded_clock_ms),
            pace: rate.map(|rate| (Pace::new(rate), None)),
        }
    }

    /// The seed, given or drawn.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether a rate decides when a record is due.
    pub fn is_paced(&self) -> bool {
        self.pace.is_some()
    }

    /// How long to wait for the next record. Counts that record.
    pub fn due_in(&mut self) -> Duration {
        let Some((pace, began)) = &mut self.pace else {
            return Duration::ZERO;
        };
        pace.next(began.get_or_insert_with(Instant::now).elapsed())
    }

    /// The next live score.
    pub fn live_score(&mut self) -> LiveScore<&str> {
        let now_ms = self.fixed_clock_ms.unwrap_or_else(system_clock_ms);
        self.generator.live_score(now_ms)
    }
}

/// Milliseconds since the epoch; 0 before it.
fn system_clock_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
