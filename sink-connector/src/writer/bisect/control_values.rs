//! Where control rows come from: the record of a table that was written last, and rows of the table itself.

use std::collections::HashMap;
use std::sync::Arc;

use postgres::Row as SqlRow;
use postgres::types::{FromSql, Type};

use super::Bisection;
use super::control_row::{ControlKey, Path};
use crate::batch::rows::{Pushed, Rows};
use crate::batch::{Batch, Skip, TableRows};
use crate::decode::Cells;
use crate::encode::Kind;
use crate::messages::report::BatchCounts;
use crate::postgres::failure::Failure;
use crate::postgres::sql::ident;
use crate::table::catalog::Column;
use crate::table::plan::Plan;
use crate::writer::strategy::Strategy;

/// Rows of the table that are tried. One may no longer fit its table, or may be one that fails.
const ROWS: usize = 3;

/// The last record of each table that was written, by the table's label.
#[derive(Debug, Default)]
pub(crate) struct LastWritten {
    records: HashMap<String, Batch>,
    cells: Cells,
}

impl LastWritten {
    /// Keeps the last record that a committed batch has written into each table.
    pub(crate) fn committed(&mut self, batch: &Batch, counts: &BatchCounts, strategy: Strategy) {
        let all_written = counts.skipped.iter().all(|(_, reason, _)| *reason == Skip::Superseded);
        if strategy != Strategy::Whole || !all_written || !counts.dead_letters.is_empty() {
            return;
        }
        for table in batch.tables() {
            if let Some(row) = table.rows.rows().last().filter(|row| row.writes() && !row.incomplete) {
                let record = batch.select_records(row.record..row.record + 1).encode(&mut self.cells);
                self.records.insert(table.plan.label.clone(), record);
            }
        }
    }
}

impl Bisection<'_> {
    /// Rows that the table has accepted before, one row in each, with the columns that the key says.
    pub(super) fn control_rows(&mut self, plan: &Arc<Plan>, key: &ControlKey) -> Result<Vec<Rows>, Failure> {
        let mut rows = self.last_written(plan, key);
        rows.extend(self.read_controls(plan, key)?);
        Ok(rows)
    }

    /// The record of the table that was written last, if it has the same columns.
    fn last_written(&mut self, plan: &Arc<Plan>, (label, path, columns): &ControlKey) -> Vec<Rows> {
        let Some(record) = self.last_written.records.get(label) else { return Vec::new() };
        let record = record.encode_again(|_| Some(Arc::clone(plan)), |_| true, &mut self.cells);
        let same = |rows: &Rows| {
            rows.rows().last().is_some_and(|row| rows.shapes().get(row.tuple.shape).present == *columns)
        };
        let rows = record.into_tables().map(|table| table.rows);
        rows.filter(|rows| !rows.rows().is_empty() && (*path == Path::Delete || same(rows))).collect()
    }

    /// Rows of the table itself. None if it is empty or cannot be read.
    fn read_controls(&mut self, plan: &Plan, (_, path, columns): &ControlKey) -> Result<Vec<Rows>, Failure> {
        let wanted: Vec<usize> = match (path, &plan.key) {
            (Path::Delete, key) => key.as_ref().map(|key| key.columns.clone()).unwrap_or_default(),
            (Path::Insert | Path::Update, _) => {
                (0..plan.columns.len()).filter(|column| columns.contains(*column)).collect()
            }
        };
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let values: Vec<String> = wanted.iter().map(|column| encoded(&plan.columns[*column])).collect();
        let sql = format!("SELECT {} FROM {} t LIMIT {ROWS}", values.join(", "), plan.target);
        match self.connection.client().query(&sql, &[]) {
            Ok(found) => Ok(found.iter().filter_map(|row| control_row(plan, &wanted, row, *path)).collect()),
            Err(error) => {
                let failure = Failure::from(error);
                if failure.sqlstate.is_none() {
                    return Err(failure);
                }
                self.roll_back()?;
                Ok(Vec::new())
            }
        }
    }
}

/// A column in the form in which a batch holds it: [`crate::encode`].
fn encoded(column: &Column) -> String {
    let name = format!("t.{}", ident(&column.name));
    match &column.kind {
        Kind::Input(_) => format!("{name}::text"),
        Kind::Array(of) if !of.element.is_binary() => format!("{name}::text[]"),
        _ => name,
    }
}

/// A row that was read, as a row to write.
fn control_row(plan: &Plan, wanted: &[usize], row: &SqlRow, path: Path) -> Option<Rows> {
    let mut cells = Cells::default();
    cells.reset(plan.columns.len());
    for (place, column) in wanted.iter().enumerate() {
        match row.get::<_, Option<Encoded<'_>>>(place) {
            Some(Encoded(bytes)) => cells.put(*column, bytes).then_some(())?,
            None => cells.set_null(*column),
        }
    }
    let mut rows = Rows::new(plan.columns.len());
    let pushed = match path {
        Path::Delete => rows.push_delete(plan, 0, &cells),
        Path::Insert | Path::Update => rows.push(plan, 0, &cells),
    };
    matches!(pushed, Pushed::Row).then_some(rows)
}

/// The values of a control row with the key of the failed record. Written so, it meets no row that exists before.
pub(super) fn with_key(control: &Rows, failed: &TableRows) -> Option<Rows> {
    let plan = &failed.plan;
    plan.key.as_ref()?;
    let (of_control, of_failed) = (control.rows().last()?, failed.rows.rows().last()?);
    let present = &control.shapes().get(of_control.tuple.shape).present;
    let mut cells = Cells::default();
    cells.reset(plan.columns.len());
    let values = control.fields(of_control.tuple).filter(|(column, _)| present.contains(*column));
    let key = failed.rows.key_fields(plan, of_failed).map(|(column, field)| (column, Some(field)));
    for (column, field) in values.chain(key) {
        match field {
            Some(bytes) => cells.put(column, bytes).then_some(())?,
            None => cells.set_null(column),
        }
    }
    let mut rows = Rows::new(plan.columns.len());
    matches!(rows.push(plan, 0, &cells), Pushed::Row).then_some(rows)
}

/// A value as the server sends it.
struct Encoded<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Encoded<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
