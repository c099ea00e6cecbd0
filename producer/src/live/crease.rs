//! The two batters at the crease, and who comes next.

/// Players of a side.
pub(crate) const ELEVEN: usize = 11;

/// The batting pair. Players are indexes into the batting order of their side.
#[derive(Clone, Debug)]
pub(crate) struct Crease {
    /// Who faces the next ball.
    pub(crate) striker: usize,
    /// The other.
    pub(crate) partner: usize,
    /// Who has not batted yet, the next at the end.
    waiting: Vec<usize>,
}

impl Crease {
    /// The first two of `order` open the innings; the others come in one by one.
    ///
    /// # Panics
    /// With fewer than two players.
    pub(crate) fn new(order: impl DoubleEndedIterator<Item = usize>) -> Self {
        let mut waiting: Vec<usize> = order.rev().collect();
        let mut next = || waiting.pop().expect("a side has at least two players");
        let (striker, partner) = (next(), next());
        Self { striker, partner, waiting }
    }

    /// The batters have run, or crossed, so many times.
    pub(crate) fn run(&mut self, times: u32) {
        if times % 2 == 1 {
            self.change_ends();
        }
    }

    /// The over has ended: the other batter faces the next ball.
    pub(crate) fn change_ends(&mut self) {
        std::mem::swap(&mut self.striker, &mut self.partner);
    }

    /// The next player comes in where `out` was. Without a next player, nothing changes: the innings is over.
    pub(crate) fn replace(&mut self, out: usize) {
        let Some(next) = self.waiting.pop() else { return };
        if self.striker == out {
            self.striker = next;
        } else {
            self.partner = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_runs_change_ends_and_a_new_batter_takes_the_place_of_the_one_who_is_out() {
        let mut crease = Crease::new(0..ELEVEN);
        let pair = |crease: &Crease| (crease.striker, crease.partner);
        assert_eq!(pair(&crease), (0, 1));
        crease.run(3);
        assert_eq!(pair(&crease), (1, 0));
        crease.run(2);
        assert_eq!(pair(&crease), (1, 0));
        crease.replace(1);
        assert_eq!(pair(&crease), (2, 0));
        crease.replace(0);
        assert_eq!(pair(&crease), (2, 3));
        crease.change_ends();
        assert_eq!(pair(&crease), (3, 2));
    }

    #[test]
    fn nobody_comes_in_after_the_last() {
        let mut crease = Crease::new(0..3);
        crease.replace(0);
        crease.replace(2);
        assert_eq!((crease.striker, crease.partner), (2, 1));
    }
}
