//! Live cricket: matches that are played at the same time, ball by ball. Pure: seed and clock go in, updates come out.
//!
//! [`scorebook`] adds up balls and makes the records. Balls come from [`game`], which simulates a match, or from a file
//! ([`replay`]).

mod attack;
mod ball;
mod chance;
mod crease;
mod cricsheet;
pub mod delivery;
mod game;
pub mod replay;
mod scorebook;
#[cfg(test)]
mod tests;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cast::Cast;
use crate::live::game::Game;
pub use crate::live::scorebook::{Update, Versioned};
use crate::match_ids::MatchIds;

/// How many matches are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matches {
    /// At the same time, at most.
    pub concurrent: usize,
    /// In all; `None`: another one begins whenever one ends.
    pub total: Option<u64>,
}

/// Matches that are played at the same time.
#[derive(Debug)]
pub struct Live {
    /// Draws ids, and which match bowls next.
    rng: ChaCha8Rng,
    /// Draws the seeds of matches: a stream of its own, so that a match does not depend on the others.
    seeds: ChaCha8Rng,
    ids: MatchIds,
    cast: Cast,
    matches: Matches,
    begun: u64,
    playing: Vec<Game>,
    /// The match of the last update.
    last: usize,
}

impl Live {
    /// Matches with this seed. The course of a match depends on the seed and on how many have begun before it.
    pub fn new(seed: u64, matches: Matches) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let cast = Cast::draw(&mut rng);
        let mut seeds = ChaCha8Rng::seed_from_u64(seed);
        seeds.set_stream(2);
        Self { rng, seeds, ids: MatchIds::default(), cast, matches, begun: 0, playing: Vec::new(), last: 0 }
    }

    /// The next toss or ball of one of the matches, at `now_ms`, milliseconds since the epoch, which determines only the ids
    /// of new matches. `None` when all matches have ended.
    pub fn next(&mut self, now_ms: u64) -> Option<Update<'_>> {
        if self.playing.get(self.last).is_some_and(|game| game.book().is_complete()) {
            self.playing.swap_remove(self.last);
        }
        let is_free = self.playing.len() < self.matches.concurrent;
        if is_free && self.matches.total.is_none_or(|total| self.begun < total) {
            let match_id = self.ids.next(&mut self.rng, now_ms).to_owned();
            self.playing.push(Game::toss(self.seeds.next_u64(), match_id, &self.cast));
            self.begun += 1;
            self.last = self.playing.len() - 1;
        } else if self.playing.is_empty() {
            return None;
        } else {
            self.last = self.rng.random_range(0..self.playing.len());
            self.playing[self.last].next_ball();
        }
        Some(self.playing[self.last].book().update())
    }
}
