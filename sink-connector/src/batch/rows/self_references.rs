//! Which rows of a batch must not be written in one statement, because an earlier one refers to a later one.
//!
//! The server looks at a foreign key of a table to itself when the statement ends, and would take the earlier row, which
//! it refuses when the records come one by one.

use std::collections::HashSet;

use crate::decode::{CellRef, Cells};
use crate::table::plan::{Plan, SelfReferences};

/// What the rows so far refer to.
#[derive(Debug, Default)]
pub(super) struct EarlierReferences {
    wanted: HashSet<Vec<u8>>,
    /// A row takes a default there, which is not known here.
    wants_any: bool,
    runs: u32,
}

/// The values of some columns.
enum Values {
    Known(Vec<u8>),
    /// One of them is NULL: they refer to nothing, and nothing refers to them.
    Null,
    Default,
}

impl EarlierReferences {
    /// Adds a row; with it the plan has `rows`.
    pub(super) fn row(&mut self, plan: &Plan, cells: &Cells, rows: usize) {
        match &plan.self_references {
            SelfReferences::Unknown if rows > 1 => self.runs += 1,
            SelfReferences::None | SelfReferences::Unknown => {}
            SelfReferences::By(references) => {
                let numbered = || (0_u32..).zip(references);
                let met = numbered().any(|(n, pairs)| self.wants(values(plan, cells, n, pairs, |p| p.1)));
                if met {
                    // What was written in the statements before is there.
                    self.forget();
                    self.runs += 1;
                }
                for (n, pairs) in numbered() {
                    match values(plan, cells, n, pairs, |p| p.0) {
                        Values::Known(values) => drop(self.wanted.insert(values)),
                        Values::Default => self.wants_any = true,
                        Values::Null => {}
                    }
                }
            }
        }
    }

    /// Adds a tombstone. Only the server knows whether remaining rows refer to the deleted one, and checks after each.
    pub(super) fn delete(&mut self, plan: &Plan, rows: usize) {
        if plan.self_references != SelfReferences::None && rows > 1 {
            self.runs += 1;
        }
    }

    /// Where a new statement must begin, as far as this is the reason.
    pub(super) fn runs(&self) -> u32 {
        self.runs
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.forget();
        self.runs = 0;
    }

    fn forget(&mut self) {
        self.wanted.clear();
        self.wants_any = false;
    }

    /// Whether an earlier row refers to one of these values.
    fn wants(&self, referred: Values) -> bool {
        match referred {
            Values::Known(values) => self.wants_any || self.wanted.contains(&values),
            Values::Default => self.wants_any || !self.wanted.is_empty(),
            Values::Null => false,
        }
    }
}

/// The values of one column of each pair, distinguished from those of other foreign keys by a number.
fn values(
    plan: &Plan,
    cells: &Cells,
    number: u32,
    pairs: &[(usize, usize)],
    side: impl Fn(&(usize, usize)) -> usize,
) -> Values {
    let mut bytes = number.to_be_bytes().to_vec();
    let mut default = false;
    for column in pairs.iter().map(side) {
        match cells.get(column) {
            CellRef::Value(value) => super::tuples::put_field(&mut bytes, Some(value)),
            CellRef::Absent if plan.columns[column].default.is_some() => default = true,
            CellRef::Null | CellRef::Absent => return Values::Null,
        }
    }
    if default { Values::Default } else { Values::Known(bytes) }
}
