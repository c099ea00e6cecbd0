//! The order in which the rows of a plan are applied: in rounds, each of which has a key at most once.

use crate::batch::rows::{Op, Rows};
use crate::table::plan::Plan;

/// Rows by number, of different keys, in the order of their keys: all writers lock rows in the same order, and the
/// index is read in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// Rows to delete, before the others are written.
    pub deletes: Vec<u32>,
    /// Rows to write.
    pub writes: Vec<u32>,
}

/// The rounds of `rows`. Nearly always one.
pub(crate) fn rounds(plan: &Plan, rows: &Rows) -> Vec<Round> {
    let mut rounds: Vec<Round> = Vec::new();
    for (number, row) in (0_u32..).zip(rows.rows()).filter(|(_, row)| !row.superseded) {
        let round = row.round as usize;
        if rounds.len() <= round {
            rounds.resize_with(round + 1, Round::default);
        }
        match row.op {
            Op::Write => rounds[round].writes.push(number),
            Op::Delete { .. } => rounds[round].deletes.push(number),
        }
    }
    if plan.key.is_some() {
        let key = |n: &u32| rows.key(&rows.rows()[*n as usize]);
        for numbers in rounds.iter_mut().flat_map(|round| [&mut round.writes, &mut round.deletes]) {
            numbers.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        }
    }
    rounds
}
