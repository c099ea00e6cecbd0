//! The bowlers of a side, and who bowls the next over.

use rand::{Rng, RngExt};

use crate::live::crease::ELEVEN;

/// Bowlers of a side: the last of its batting order. With six of them, one who may bowl is always left: before the last over
/// the other five have bowled 19 overs at most, of 20 that they may.
pub(crate) const BOWLERS: usize = 6;
/// Overs that one bowler may bowl in an innings.
pub(crate) const MOST_OVERS: u32 = 4;

/// The bowlers of one innings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attack {
    overs: [u32; BOWLERS],
    current: Option<usize>,
}

impl Attack {
    /// Chooses who bowls the next over: not who bowled the last one, and nobody more than four overs. Returns an index into the
    /// batting order of the bowler's side.
    ///
    /// # Panics
    /// After 20 overs.
    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> usize {
        let may_bowl = |bowler: &usize| Some(*bowler) != self.current && self.overs[*bowler] < MOST_OVERS;
        let left = (0..BOWLERS).filter(may_bowl).count();
        let chosen = rng.random_range(0..left);
        let bowler = (0..BOWLERS).filter(may_bowl).nth(chosen).expect("one of those that are left");
        self.overs[bowler] += 1;
        self.current = Some(bowler);
        ELEVEN - BOWLERS + bowler
    }
}
