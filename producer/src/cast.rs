//! The people of a generated league: umpires and squads.

use std::collections::HashSet;

use fake::Fake;
use fake::faker::name::en::Name;
use rand::{Rng, RngExt};

use crate::teams::{TEAMS, Team};

/// Umpires of the league.
const UMPIRES: usize = 16;
/// Players of a squad beside the eleven.
const SPARES: usize = 2;
/// Bound of attempts at an unused name, after which a number is added. Not reached in practice.
const ATTEMPTS: usize = 1000;

/// All names are different. Drawn once; records borrow them.
#[derive(Debug)]
pub struct Cast {
    umpires: Vec<String>,
    /// The spare players of each team, in the order of [`TEAMS`].
    spares: Vec<[String; SPARES]>,
}

impl Cast {
    pub fn draw(rng: &mut impl Rng) -> Self {
        let mut taken: HashSet<String> = HashSet::with_capacity(UMPIRES + SPARES * TEAMS.len());
        let umpires = (0..UMPIRES).map(|_| new_name(rng, &mut taken)).collect();
        let spares = TEAMS.iter().map(|_| std::array::from_fn(|_| new_name(rng, &mut taken))).collect();
        Self { umpires, spares }
    }

    /// Two different umpires.
    pub fn umpires(&self, rng: &mut impl Rng) -> (&str, &str) {
        let first = rng.random_range(0..UMPIRES);
        let other = rng.random_range(0..UMPIRES - 1);
        (&self.umpires[first], &self.umpires[other + usize::from(other >= first)])
    }

    /// One player of the squad of [`TEAMS`]`[team]`: of the eleven, mostly.
    pub fn player(&self, rng: &mut impl Rng, team: usize) -> &str {
        let Team { captain, players, .. } = &TEAMS[team];
        match rng.random_range(0..1 + players.len() + SPARES) {
            0 => captain,
            player if player <= players.len() => players[player - 1],
            spare => &self.spares[team][spare - 1 - players.len()],
        }
    }

    /// Whether `name` plays for [`TEAMS`]`[team]`.
    pub fn plays_for(&self, name: &str, team: usize) -> bool {
        let Team { captain, players, .. } = &TEAMS[team];
        name == *captain || players.contains(&name) || self.spares[team].iter().any(|spare| spare == name)
    }
}

/// A name that is not in `taken`.
fn new_name(rng: &mut impl Rng, taken: &mut HashSet<String>) -> String {
    for _ in 0..ATTEMPTS {
        let name: String = Name().fake_with_rng(rng);
        if taken.insert(name.clone()) {
            return name;
        }
    }
    let name = format!("Player {}", taken.len());
    taken.insert(name.clone());
    name
}
