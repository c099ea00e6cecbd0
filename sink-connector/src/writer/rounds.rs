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
        for numbers in rounds.iter_mut().flat_map(|round| [&mut round.writes, &mut round.deletes]) {
            sort(numbers, |n| rows.key(&rows.rows()[n as usize]));
        }
    }
    rounds
}

/// Sorts rows by the value of their first key column, then by the whole key. An index compares values without their lengths:
/// neighbours in this order are mostly neighbours there.
fn sort<'a>(numbers: &mut [u32], key_of: impl Fn(u32) -> &'a [u8]) {
    let mut keys: Vec<(&[u8], &[u8], u32)> = numbers
        .iter()
        .map(|n| {
            let key = key_of(*n);
            (first_field(key), key, *n)
        })
        .collect();
    keys.sort_unstable();
    numbers.iter_mut().zip(keys).for_each(|(number, (.., sorted))| *number = sorted);
}

/// The bytes of a key's first column.
fn first_field(key: &[u8]) -> &[u8] {
    let (length, rest) = key.split_first_chunk::<4>().expect("a key has a length for each of its columns");
    let length = usize::try_from(i32::from_be_bytes(*length)).expect("a key has no nulls");
    &rest[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fields: &[&str]) -> Vec<u8> {
        let field = |text: &&str| [&(text.len() as i32).to_be_bytes(), text.as_bytes()].concat();
        fields.iter().flat_map(field).collect()
    }

    #[test]
    fn rows_are_in_the_order_of_their_values_not_of_their_lengths() {
        let keys =
            [key(&["b", "z"]), key(&["aa", "b"]), key(&["aa", "a"]), key(&["ab", ""]), key(&["a", "b"])];
        let mut numbers = [0, 1, 2, 3, 4];
        sort(&mut numbers, |n| &keys[n as usize]);
        assert_eq!(numbers, [4, 2, 1, 3, 0]);
    }
}
