//! The order in which the rows of a plan are applied: in waves, each of which has a key at most once.

use std::collections::HashMap;

use crate::batch::rows::{Op, Rows};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::writer::apply::key_parameters;
use crate::writer::connection::WriterConnection;
use crate::writer::statements;

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
pub fn waves(connection: &mut WriterConnection, plan: &Plan, rows: &Rows) -> Result<Vec<Wave>, Failure> {
    let speaking: Vec<u32> =
        (0_u32..).zip(rows.rows()).filter(|(_, row)| !row.superseded).map(|(n, _)| n).collect();
    let Some(key) = &plan.key else {
        return Ok(vec![Wave { writes: speaking, deletes: Vec::new() }]);
    };
    if key.by_bytes || speaking.len() < 2 {
        return Ok(sorted(rows, speaking.iter().map(|&n| (rows.rows()[n as usize].wave, n))));
    }
    let keys = same_keys(connection, plan, rows, &speaking)?;
    let mut seen: HashMap<i64, u32> = HashMap::new();
    let numbered = speaking.iter().zip(keys).map(|(&number, key)| {
        let times = seen.entry(key).or_default();
        *times += 1;
        (*times - 1, number)
    });
    Ok(sorted(rows, numbered))
}

/// Asks the server which of the rows have one key: equal numbers, by row.
fn same_keys(
    connection: &mut WriterConnection,
    plan: &Plan,
    rows: &Rows,
    numbers: &[u32],
) -> Result<Vec<i64>, Failure> {
    let statement = connection.prepared(&statements::same_keys(plan))?;
    let arrays = key_parameters(plan, rows, numbers);
    let found = connection.client().query(&statement, &arrays.as_parameters())?;
    assert_eq!(found.len(), numbers.len(), "the server numbers every key");
    Ok(found.iter().map(|row| row.get(0)).collect())
}

/// Waves of rows that know theirs, each sorted by key.
fn sorted(rows: &Rows, numbered: impl Iterator<Item = (u32, u32)>) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    for (wave, number) in numbered {
        let wave = wave as usize;
        if waves.len() <= wave {
            waves.resize_with(wave + 1, Wave::default);
        }
        match rows.rows()[number as usize].op {
            Op::Write => waves[wave].writes.push(number),
            Op::Delete { .. } => waves[wave].deletes.push(number),
        }
    }
    let key = |n: &u32| rows.key(&rows.rows()[*n as usize]);
    for wave in &mut waves {
        for numbers in [&mut wave.writes, &mut wave.deletes] {
            numbers.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        }
    }
    waves
}
