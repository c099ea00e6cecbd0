//! The order in which the rows of a plan are applied: in waves, each of which has a key at most once.

use crate::batch::rows::{Op, Rows};
use crate::plan::Plan;

/// Rows by number, of different keys, in the order of their keys: writers that meet lock in one order, and the index
/// is walked, not jumped about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wave {
    /// Rows to delete, before the others are written.
    pub deletes: Vec<u32>,
    /// Rows to write.
    pub writes: Vec<u32>,
}

/// The waves of `rows`. Nearly always one.
pub fn waves(plan: &Plan, rows: &Rows) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    for (number, row) in (0_u32..).zip(rows.rows()).filter(|(_, row)| !row.superseded) {
        let wave = row.wave as usize;
        if waves.len() <= wave {
            waves.resize_with(wave + 1, Wave::default);
        }
        match row.op {
            Op::Write => waves[wave].writes.push(number),
            Op::Delete { .. } => waves[wave].deletes.push(number),
        }
    }
    if plan.key.is_some() {
        let key = |n: &u32| rows.key(&rows.rows()[*n as usize]);
        for numbers in waves.iter_mut().flat_map(|wave| [&mut wave.writes, &mut wave.deletes]) {
            numbers.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        }
    }
    waves
}
