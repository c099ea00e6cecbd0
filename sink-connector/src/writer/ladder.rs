//! Which way a keyed table is written: the fast way until a conflict, then more careful ones. Pure.

/// A way of writing. Each is right on its own; the later ones cost more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Rung {
    /// COPY; the unique index refuses keys that exist.
    Plain,
    /// Look up which keys exist; update, skip or reject those, COPY the rest.
    Lookup,
    /// As before, but INSERT … ON CONFLICT for the rest: no other session can insert a key in between.
    Stage,
}

/// Batches for which a rung that was needed is kept, at first; doubled each time it was needed again.
const STAY: u32 = 8;
/// … and at most.
const STAY_MAX: u32 = 256;

/// The memory of one writer about one target.
#[derive(Debug)]
pub(crate) struct Ladder {
    rung: Rung,
    batches_left: u32,
    stay: u32,
}

impl Default for Ladder {
    fn default() -> Self {
        Self { rung: Rung::Plain, batches_left: 0, stay: STAY }
    }
}

impl Ladder {
    /// The rung to write the next batch on.
    pub(crate) fn rung(&self) -> Rung {
        self.rung
    }

    /// A conflict was met: one rung up. Two climbs at most, because the last rung has no conflicts.
    pub(crate) fn climb(&mut self) {
        self.rung = match self.rung {
            Rung::Plain => Rung::Lookup,
            Rung::Lookup | Rung::Stage => Rung::Stage,
        };
        self.batches_left = self.stay;
    }

    /// A batch was written; `conflicts`: whether any of its keys existed.
    pub(crate) fn written(&mut self, conflicts: bool) {
        if self.rung == Rung::Plain {
            return;
        }
        if conflicts {
            // Existing keys keep coming: trying plain again would only be rolled back.
            self.rung = Rung::Lookup;
            self.stay = (self.stay * 2).min(STAY_MAX);
            self.batches_left = self.stay;
            return;
        }
        self.batches_left = self.batches_left.saturating_sub(1);
        if self.batches_left == 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_climbs_two_rungs_and_no_further() {
        let mut ladder = Ladder::default();
        ladder.climb();
        assert_eq!(ladder.rung(), Rung::Lookup);
        ladder.climb();
        ladder.climb();
        assert_eq!(ladder.rung(), Rung::Stage);
    }

    #[test]
    fn it_comes_down_after_some_batches_without_conflicts() {
        let mut ladder = Ladder::default();
        ladder.climb();
        ladder.written(true);
        for _ in 0..STAY * 2 {
            assert_eq!(ladder.rung(), Rung::Lookup);
            ladder.written(false);
        }
        assert_eq!(ladder.rung(), Rung::Plain);
    }

    #[test]
    fn the_last_rung_is_left_as_soon_as_the_race_is_over() {
        let mut ladder = Ladder::default();
        ladder.climb();
        ladder.climb();
        ladder.written(true);
        assert_eq!(ladder.rung(), Rung::Lookup);
    }
}
