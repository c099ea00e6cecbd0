//! Where control rows come from: the record of a table that was written last, and rows of the table itself.

use std::collections::HashMap;
use std::sync::Arc;

use postgres::Row as SqlRow;
use postgres::types::{FromSql, Type};

use super::Bisection;
use super::control_row::{ControlKey, Path, filled};
use crate::batch::rows::{Pushed, Rows};
use crate::batch::{Batch, Skip, TableRows};
use crate::decode::Cells;
use crate::encode::Kind;
use crate::messages::report::BatchCounts;
use crate::postgres::failure::Failure;
use crate::postgres::sql::ident;
use crate::table::catalog::Column;
use crate::table::column_set::ColumnSet;
use crate::table::pages::pages;
use crate::table::plan::Plan;
use crate::writer::strategy::Strategy;

/// Rows of the table that are tried. Some may no longer fit it, or fail as the record does.
const ROWS: usize = 4;
/// They are drawn from so many pages of the table, all over it; where it has no pages, from so many rows that are read first.
/// Each attempt draws others.
const PAGES: f64 = 16.0;
const FIRST_ROWS: usize = 400;

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
    /// Rows that the table has accepted before, one row in each, with the columns that the key says. What a trigger does for a
    /// value, it may not do for NULL: rows with more nulls than others show less, and do not count beside them.
    pub(super) fn control_rows(&mut self, plan: &Arc<Plan>, key: &ControlKey) -> Result<Vec<Rows>, Failure> {
        let mut rows = self.last_written(plan, key);
        rows.extend(self.neighbours(plan, key));
        rows.extend(self.read_controls(plan, key)?);
        if key.path == Path::Delete {
            return Ok(rows);
        }
        let lacking = |rows: &Rows| {
            rows.rows().last().map_or(0, |row| {
                let filled = filled(rows, row);
                key.filled.iter().filter(|column| !filled.contains(*column)).count()
            })
        };
        let fewest = rows.iter().map(lacking).min();
        rows.retain(|rows| Some(lacking(rows)) == fewest);
        Ok(rows)
    }

    /// The record of the table that was written last, if it has the same columns.
    fn last_written(&mut self, plan: &Arc<Plan>, key: &ControlKey) -> Vec<Rows> {
        let Some(record) = self.last_written.records.get(&key.label) else { return Vec::new() };
        let record = record.encode_again(|_| Some(Arc::clone(plan)), |_| true, &mut self.cells);
        let same = |rows: &Rows| {
            rows.rows().last().is_some_and(|row| rows.shapes().get(row.tuple.shape).present == key.columns)
        };
        let rows = record.into_tables().map(|table| table.rows);
        rows.filter(|rows| !rows.rows().is_empty() && (key.path == Path::Delete || same(rows))).collect()
    }

    /// Rows of the table itself. None if it is empty or cannot be read.
    fn read_controls(&mut self, plan: &Plan, key: &ControlKey) -> Result<Vec<Rows>, Failure> {
        let wanted: Vec<usize> = match (key.path, &plan.key) {
            (Path::Delete, of) => of.as_ref().map(|of| of.columns.clone()).unwrap_or_default(),
            (Path::Insert | Path::Update, _) => key.columns.iter().collect(),
        };
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.read_spread(plan, &wanted, &key.filled).and_then(|found| match &found[..] {
            // The pages have no row, or it is no table that has pages.
            [] => self.read_first(plan, &wanted, &key.filled),
            _ => Ok(found),
        });
        match read {
            Ok(found) => {
                Ok(found.iter().filter_map(|row| control_row(plan, &wanted, row, key.path)).collect())
            }
            Err(failure) if failure.sqlstate.is_some() => {
                self.roll_back()?;
                Ok(Vec::new())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Some rows of some pages all over the table.
    fn read_spread(
        &mut self,
        plan: &Plan,
        wanted: &[usize],
        filled: &ColumnSet,
    ) -> Result<Vec<SqlRow>, Failure> {
        let Some(table) = plan.table_oid else { return Ok(Vec::new()) };
        let client = self.connection.client();
        let pages = pages(client, table)?;
        let percent = (100.0 * PAGES / pages.max(1.0)).min(100.0);
        let source = format!("{} t TABLESAMPLE SYSTEM ($1::float8)", plan.target);
        Ok(client.query(&drawn(plan, wanted, filled, &source), &[&percent])?)
    }

    /// Some of the rows that are read first.
    fn read_first(
        &mut self,
        plan: &Plan,
        wanted: &[usize],
        filled: &ColumnSet,
    ) -> Result<Vec<SqlRow>, Failure> {
        let source = format!("{} t LIMIT {FIRST_ROWS}", plan.target);
        Ok(self.connection.client().query(&drawn(plan, wanted, filled, &source), &[])?)
    }
}

/// The query that draws rows from a source `t`, with these columns of the plan, and as few nulls as possible in the filled ones.
fn drawn(plan: &Plan, wanted: &[usize], filled: &ColumnSet, source: &str) -> String {
    let name = |column: usize| format!("t.{}", ident(&plan.columns[column].name));
    let names: Vec<String> = wanted.iter().map(|column| name(*column)).collect();
    let values: Vec<String> = wanted.iter().map(|column| encoded(&plan.columns[*column])).collect();
    let nulls = filled.iter().map(|column| format!("({} IS NULL)::pg_catalog.int4", name(column)));
    let nulls: Vec<String> = nulls.collect();
    let fewest = if nulls.is_empty() { String::new() } else { format!("{}, ", nulls.join(" + ")) };
    format!(
        "SELECT {} FROM (SELECT {} FROM {source}) t ORDER BY {fewest}pg_catalog.random() LIMIT {ROWS}",
        values.join(", "),
        names.join(", ")
    )
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

/// What a control row takes from the failed record to be written in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// The key, the columns of other unique indexes, and the version: so written, it meets no other row, and is no older.
    KeyAndExclusive,
    /// The key alone.
    Key,
}

impl Taken {
    pub(super) const ALL: [Self; 2] = [Self::KeyAndExclusive, Self::Key];
}

/// The values of a control row in the place of the failed record. `None` if none of its own values would be left, or if
/// nothing is taken.
pub(super) fn in_place_of(failed: &TableRows, control: &Rows, taken: Taken) -> Option<Rows> {
    let plan = &failed.plan;
    let (of_control, of_failed) = (control.rows().last()?, failed.rows.rows().last()?);
    let present = &control.shapes().get(of_control.tuple.shape).present;
    let exclusive = |column: usize| {
        plan.exclusive.contains(&column) || plan.version.is_some_and(|version| version.column == column)
    };
    let (takes, foreign): (bool, &dyn Fn(usize) -> bool) = match taken {
        Taken::KeyAndExclusive => {
            (present.iter().any(exclusive), &|column| plan.is_key(column) || exclusive(column))
        }
        Taken::Key => (plan.key.is_some(), &|column| plan.is_key(column)),
    };
    if !takes || present.iter().all(foreign) {
        return None;
    }
    let mut cells = Cells::default();
    cells.reset(plan.columns.len());
    let own =
        control.fields(of_control.tuple).filter(|(column, _)| present.contains(*column) && !foreign(*column));
    let key = failed.rows.key_fields(plan, of_failed).map(|(column, field)| (column, Some(field)));
    let others = failed.rows.fields(of_failed.tuple);
    let others =
        others.filter(|(column, _)| present.contains(*column) && foreign(*column) && !plan.is_key(*column));
    for (column, field) in own.chain(key).chain(others) {
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
