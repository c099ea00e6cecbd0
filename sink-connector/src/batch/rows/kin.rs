//! Which rows of a batch must not be written in one statement, because an earlier one refers to a later one.
//!
//! The server looks at a foreign key of a table to itself when the statement ends, and would take the earlier row, which
//! it refuses when the records come one by one.

use std::collections::HashSet;

use crate::decode::{SlotRef, Slots};
use crate::plan::{Kin, Plan};

/// What the rows so far refer to.
#[derive(Debug, Default)]
pub(super) struct Relations {
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

impl Relations {
    /// Takes in a row; with it the plan has `rows`.
    pub(super) fn row(&mut self, plan: &Plan, slots: &Slots, rows: usize) {
        match &plan.kin {
            Kin::Unknown if rows > 1 => self.runs += 1,
            Kin::None | Kin::Unknown => {}
            Kin::By(references) => {
                let numbered = || (0_u32..).zip(references);
                let met = numbered().any(|(n, pairs)| self.wants(values(plan, slots, n, pairs, |p| p.1)));
                if met {
                    // What was written in the statements before is there.
                    self.forget();
                    self.runs += 1;
                }
                for (n, pairs) in numbered() {
                    match values(plan, slots, n, pairs, |p| p.0) {
                        Values::Known(values) => drop(self.wanted.insert(values)),
                        Values::Default => self.wants_any = true,
                        Values::Null => {}
                    }
                }
            }
        }
    }

    /// Takes in a tombstone. Whether rows that are left refer to the deleted one is for the server to say after each.
    pub(super) fn delete(&mut self, plan: &Plan, rows: usize) {
        if plan.kin != Kin::None && rows > 1 {
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

/// The values of one column of each pair, told apart from those of other foreign keys by the number of theirs.
fn values(
    plan: &Plan,
    slots: &Slots,
    number: u32,
    pairs: &[(usize, usize)],
    side: impl Fn(&(usize, usize)) -> usize,
) -> Values {
    let mut bytes = number.to_be_bytes().to_vec();
    let mut default = false;
    for column in pairs.iter().map(side) {
        match slots.get(column) {
            SlotRef::Value(value) => super::put_field(&mut bytes, Some(value)),
            SlotRef::Absent if plan.columns[column].has_default => default = true,
            SlotRef::Null | SlotRef::Absent => return Values::Null,
        }
    }
    if default { Values::Default } else { Values::Known(bytes) }
}
