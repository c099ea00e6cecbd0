//! Match ids: four random digits, then the epoch in milliseconds. Unique within a run.

use std::fmt::Write;

use rand::{Rng, RngExt};

/// The first four-digit code. Ids must not begin with a zero, which readers that parse them as numbers would lose.
const FIRST_CODE: u32 = 1000;

/// The number of four-digit codes, which is the number of ids for each millisecond.
const CODES: u32 = 9000;

/// The residues modulo 30 that share no factor with 9000 = 2³·3²·5³.
const COPRIME_TO_CODES: [u32; 8] = [1, 7, 11, 13, 17, 19, 23, 29];

/// Generates match ids.
///
/// Within a millisecond, the codes are `start + k · step (mod 9000)` with a random start and a random step that is coprime
/// to 9,000, so all 9,000 are different. The millisecond never decreases: it follows the caller's clock, stays while the
/// clock goes back, and advances when its codes are used up.
#[derive(Debug, Default)]
pub(crate) struct MatchIds {
    millis: u64,
    start: u32,
    step: u32,
    used: u32,
    text: String,
}

impl MatchIds {
    /// The next id at `now_ms`, milliseconds since the epoch.
    pub(crate) fn next(&mut self, rng: &mut impl Rng, now_ms: u64) -> &str {
        // `used` is 0 only before the first id.
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
