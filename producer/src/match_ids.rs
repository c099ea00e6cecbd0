//! Match ids: four random digits, then the epoch in milliseconds, and no two alike within a run.

use std::fmt::Write;

use rand::{Rng, RngExt};

/// The first of the four-digit codes: an id that begins with a zero would not survive a reader that
/// takes it for a number.
const FIRST_CODE: u32 = 1000;

/// How many four-digit codes there are, and so how many ids one millisecond can carry.
const CODES: u32 = 9000;

/// The residues modulo 30 that share no factor with 9000 = 2³·3²·5³.
const COPRIME_TO_CODES: [u32; 8] = [1, 7, 11, 13, 17, 19, 23, 29];

/// Gives out match ids.
///
/// Ids are unique by construction: within a millisecond the codes are a walk through all 9,000 of them,
/// `start + k · step (mod 9000)` with start and step drawn anew for each millisecond, the step coprime to
/// 9,000; and the millisecond only ever goes up. It goes on with the caller's clock, stands still while
/// that goes back, and runs ahead of it when a millisecond's codes are used up, which takes more than
/// nine million ids a second.
#[derive(Debug, Default)]
pub struct MatchIds {
    millis: u64,
    start: u32,
    step: u32,
    used: u32,
    text: String,
}

impl MatchIds {
    /// The next id at `now_ms`, milliseconds since the epoch.
    pub fn next(&mut self, rng: &mut impl Rng, now_ms: u64) -> &str {
        // `used` is 0 only before the first id, when no millisecond has been opened.
        if now_ms > self.millis || self.used == CODES || self.used == 0 {
            self.millis = now_ms.max(self.millis + u64::from(self.used == CODES));
            self.start = rng.random_range(0..CODES);
            self.step = 30 * rng.random_range(0..CODES / 30)
                + COPRIME_TO_CODES[rng.random_range(0..COPRIME_TO_CODES.len())];
            self.used = 0;
        }
        let code = FIRST_CODE + (self.start + self.used * self.step) % CODES;
        self.used += 1;
        self.text.clear();
        write!(self.text, "{code}{}", self.millis).expect("writing to a string cannot fail");
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const NOW: u64 = 1_722_425_000_123;

    #[test]
    fn a_million_ids_at_one_instant_are_all_different_and_well_formed() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut ids = MatchIds::default();
        let mut seen = HashSet::with_capacity(1_000_000);
        for _ in 0..1_000_000 {
            let id = ids.next(&mut rng, NOW);
            assert_eq!(id.len(), 17, "{id}");
            assert!(seen.insert(id.parse::<u64>().unwrap()), "{id} came twice");
        }
        let last = ids.text[4..].parse::<u64>().unwrap();
        assert_eq!(last, NOW + 1_000_000 / u64::from(CODES), "no more milliseconds than needed");
    }

    #[test]
    fn ids_stay_unique_while_the_clock_jumps_about() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut ids = MatchIds::default();
        let mut seen = HashSet::new();
        for turn in 0..200_000 {
            let now = NOW + rng.random_range(0..5) + turn / 1000;
            assert!(seen.insert(ids.next(&mut rng, now).to_owned()));
        }
    }

    #[test]
    fn an_id_carries_the_clock_it_was_given() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut ids = MatchIds::default();
        for now in [NOW, NOW + 1, NOW + 5000] {
            let id = ids.next(&mut rng, now).to_owned();
            assert_eq!(&id[4..], now.to_string());
        }
    }
}
