//! One ball of a match: what happened, whether it was simulated or read from a file.

use std::borrow::Cow;

/// A name: of the built-in teams, or from a file.
pub(crate) type Name = Cow<'static, str>;

/// Dismissals after which the side has not lost a wicket.
const NO_WICKET: [&str; 2] = ["retired hurt", "retired not out"];

/// Runs that nobody scored off the bat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    pub(crate) wides: u32,
    pub(crate) noballs: u32,
    pub(crate) byes: u32,
    pub(crate) legbyes: u32,
    pub(crate) penalty: u32,
}

impl Extras {
    pub(crate) fn total(self) -> u32 {
        self.wides + self.noballs + self.byes + self.legbyes + self.penalty
    }
}

/// Who is out, and how, in the words of cricsheet: `bowled`, `caught`, `run out`, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wicket {
    pub(crate) kind: Name,
    pub(crate) player_out: Name,
    pub(crate) fielder: Option<Name>,
}

/// One ball.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ball {
    /// Its over, from 1.
    pub(crate) over: u32,
    pub(crate) batter: Name,
    pub(crate) non_striker: Name,
    pub(crate) bowler: Name,
    /// Runs off the bat.
    pub(crate) runs: u32,
    pub(crate) extras: Extras,
    /// Mostly none or one; a batter may also retire on the ball that dismisses the other.
    pub(crate) wickets: Vec<Wicket>,
    /// No ball of this over follows.
    pub(crate) ends_over: bool,
}

impl Ball {
    /// Whether it counts as one of the six of its over.
    pub(crate) fn is_legal(&self) -> bool {
        self.extras.wides == 0 && self.extras.noballs == 0
    }

    /// Wickets that the side loses by it.
    pub(crate) fn wickets_lost(&self) -> u32 {
        self.wickets.iter().map(|wicket| u32::from(!NO_WICKET.contains(&&*wicket.kind))).sum()
    }
}
