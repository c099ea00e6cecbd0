//! Records of the batch that were written beside the ones that failed: control rows of the batch itself.

use std::sync::Arc;

use super::Bisection;
use super::control_row::{ControlKey, Path, filled};
use crate::batch::Batch;
use crate::batch::rows::Rows;
use crate::table::column_set::ColumnSet;
use crate::table::plan::Plan;
use crate::writer::apply::Applied;

/// So many of each kind are kept: an update needs two that differ.
const KEPT: usize = 2;

/// The table's label, the columns that a record carries, and those of them that are not null.
pub(super) type NeighbourKey = (String, ColumnSet, ColumnSet);

impl Bisection<'_> {
    /// Notes records that were written, the first of each kind and the last. The first record of `part` has the number
    /// `base`.
    pub(super) fn note_neighbours(&mut self, part: &Batch, applied: &[(String, Applied)], base: u32) {
        for table in part.tables() {
            let label = &table.plan.label;
            let rows = table.rows.rows();
            let all = |(of, applied): &(String, Applied)| of == label && applied.written == rows.len() as u64;
            if !applied.iter().any(all) {
                // Some were skipped, and the server does not say which.
                continue;
            }
            for row in rows.iter().filter(|row| row.writes()) {
                let columns = &table.rows.shapes().get(row.tuple.shape).present;
                let kind = (label.clone(), columns.clone(), filled(&table.rows, row));
                let of_kind = self.neighbours.entry(kind).or_default();
                of_kind.truncate(KEPT - 1);
                of_kind.push(base + row.record);
                self.refused.retain(|refused, _| refused.label != *label || refused.columns != *columns);
            }
        }
    }

    /// The neighbours with the columns that the key says, one row in each.
    pub(super) fn neighbours(&mut self, plan: &Arc<Plan>, key: &ControlKey) -> Vec<Rows> {
        if key.path == Path::Delete {
            return Vec::new();
        }
        let same = |(label, columns, _): &NeighbourKey| *label == key.label && *columns == key.columns;
        let of_kind = self.neighbours.iter().filter(|(kind, _)| same(kind));
        let records: Vec<u32> = of_kind.flat_map(|(_, records)| records.iter().copied()).collect();
        let mut found = Vec::new();
        for record in records {
            let part = self.batch.select_records(record..record + 1).encode(&mut self.cells);
            found.extend(
                part.into_tables().filter(|table| Arc::ptr_eq(&table.plan, plan)).map(|table| table.rows),
            );
        }
        let same = |rows: &Rows| {
            rows.rows().last().is_some_and(|row| rows.shapes().get(row.tuple.shape).present == key.columns)
        };
        found.retain(same);
        found
    }
}
