//! What a record means after an earlier one of its key in the same batch.

use std::cmp::Ordering;

use super::{Op, Pushed, Row, Rows, Tuple};
use crate::batch::Skip;
use crate::table::column_set::ColumnSet;
use crate::table::plan::{Mode, Plan, Version};

impl Rows {
    /// A row whose key the batch holds already, in row `previous`.
    pub(super) fn follow(&mut self, plan: &Plan, previous: u32, row: &mut Row) -> Pushed {
        let before = &self.rows[previous as usize];
        (row.round, row.after) = (before.round, before.after);
        if before.op != Op::Write {
            // Afresh: what was there before the delete is gone.
            return self.next_round(previous, row);
        }
        match (plan.mode, plan.version) {
            (Mode::Upsert, Some(version)) => self.follow_version(version, previous, row),
            (Mode::Upsert, None) => self.follow_upsert(plan, previous, row),
            (Mode::InsertIgnore, _) => self.follow_ignore(previous, row),
            (Mode::Insert, _) => Pushed::Rejected(super::duplicate(plan)),
        }
    }

    /// An upsert: field by field over what came before.
    fn follow_upsert(&mut self, plan: &Plan, previous: u32, row: &mut Row) -> Pushed {
        let before = self.rows[previous as usize].clone();
        let over = |rows: &mut Self, tuple| rows.merge(plan, tuple, row.tuple);
        if before.incomplete {
            row.incomplete_before = Some(previous);
            let merged = over(self, before.tuple);
            if row.incomplete {
                row.tuple = merged;
            } else {
                row.if_exists = Some(merged);
            }
            self.rows[previous as usize].superseded = true;
            // Whether the earlier record is merged or rejected is known only when the key has been looked up.
            return Pushed::Row;
        }
        row.if_exists = before.if_exists.map(|tuple| over(self, tuple));
        row.tuple = over(self, before.tuple);
        row.incomplete = false;
        row.incomplete_before = before.incomplete_before;
        self.rows[previous as usize].superseded = true;
        Pushed::Superseding
    }

    /// An insert_ignore: the first that can be inserted wins.
    fn follow_ignore(&mut self, previous: u32, row: &mut Row) -> Pushed {
        let before = &mut self.rows[previous as usize];
        if !before.incomplete {
            return Pushed::Skipped(Skip::Exists);
        }
        before.superseded = true;
        row.incomplete_before = Some(previous);
        Pushed::Row
    }

    /// An upsert with a version. Which of the two is applied depends on the stored version as well, unless the later
    /// one makes the earlier meaningless, or is older than it.
    fn follow_version(&mut self, version: Version, previous: u32, row: &mut Row) -> Pushed {
        let before = &self.rows[previous as usize];
        if before.incomplete || row.incomplete {
            return self.next_round(previous, row);
        }
        match self.compare_versions(version, before.tuple, row.tuple) {
            Some(Ordering::Greater) => Pushed::Skipped(Skip::Stale),
            Some(_) if self.present(row.tuple).covers(self.present(before.tuple)) => {
                self.rows[previous as usize].superseded = true;
                Pushed::Superseding
            }
            _ => self.next_round(previous, row),
        }
    }

    /// A tombstone whose key the batch holds already, in row `previous`.
    pub(super) fn follow_by_delete(&mut self, plan: &Plan, previous: u32, row: &mut Row) -> Pushed {
        let before = self.rows[previous as usize].clone();
        (row.round, row.after) = (before.round, before.after);
        if before.op != Op::Write {
            return Pushed::Skipped(Skip::Absent);
        }
        // After such a row the key is there, whether it was there before or not, and nothing else depends on that.
        let certain = plan.mode != Mode::Insert && !before.incomplete && before.incomplete_before.is_none();
        if !certain {
            return self.next_round(previous, row);
        }
        self.rows[previous as usize].superseded = true;
        let deleted_before = row.after.filter(|after| self.rows[*after as usize].op != Op::Write);
        if let Some(delete) = deleted_before {
            // A delete, a row and this delete come to the first delete: however often that repeats, a batch has
            // two rounds of the key.
            self.deleted += 1;
            self.set_latest(row.key, delete);
            return Pushed::SupersedingDeleted;
        }
        row.op = Op::Delete { certain };
        Pushed::Superseding
    }

    /// The row is applied after the one before it.
    fn next_round(&mut self, previous: u32, row: &mut Row) -> Pushed {
        row.round = self.rows[previous as usize].round + 1;
        row.after = Some(previous);
        Pushed::Row
    }

    /// `earlier` against `later`; `None` where only the server knows.
    fn compare_versions(&self, version: Version, earlier: Tuple, later: Tuple) -> Option<Ordering> {
        let of = |tuple| self.fields(tuple).find(|(column, _)| *column == version.column)?.1;
        let (earlier, later) = (of(earlier)?, of(later)?);
        match version.order {
            Some(order) => Some(order.compare(earlier, later)),
            None => (earlier == later).then_some(Ordering::Equal),
        }
    }

    fn present(&self, tuple: Tuple) -> &ColumnSet {
        &self.shapes.get(tuple.shape).present
    }
}
