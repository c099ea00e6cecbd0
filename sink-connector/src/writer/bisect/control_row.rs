//! Control rows: rows that a table has accepted before, written again the way a failed record is written, and rolled back.
//! If none of them can be written, the table is at fault, not the record.

use std::collections::HashMap;
use std::sync::Arc;

use postgres::Row as SqlRow;
use postgres::types::{FromSql, Type};

use super::Bisection;
use crate::batch::records::offset32;
use crate::batch::rows::{Pushed, Rows};
use crate::batch::shape::ColumnSet;
use crate::batch::{Batch, Skip, TableRows};
use crate::decode::Cells;
use crate::encode::Kind;
use crate::messages::report::BatchCounts;
use crate::postgres::failure::Failure;
use crate::postgres::sql::ident;
use crate::postgres::sqlstate::Class;
use crate::table::catalog::Column;
use crate::table::plan::{Mode, Plan};
use crate::writer::apply::{self, Applied, ApplyOutcome};
use crate::writer::deletes;
use crate::writer::ladder::Rung;
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

/// How a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Path {
    Insert,
    Update,
    Delete,
}

/// What a control row stands for: records of this table, written this way, with these columns.
pub(super) type ControlKey = (String, Path, ColumnSet);

/// What the control rows of a table show.
#[derive(Clone, Debug)]
pub(super) enum Control {
    /// One was written: the table takes rows.
    Accepted,
    /// None was written, for this reason of the table's.
    Refused(Failure),
    /// There is none that could show it.
    Unknown,
}

impl Bisection<'_> {
    /// Whether the table of the only record of `part` takes other rows that are written as the record is.
    pub(super) fn control(&mut self, part: &Batch) -> Result<Option<(ControlKey, Control)>, Failure> {
        let Some((table, row)) = part.tables().find_map(|t| Some((t, t.rows.rows().last()?))) else {
            return Ok(None);
        };
        let path = self.path(table)?;
        let columns = match path {
            Path::Delete => ColumnSet::default(),
            Path::Insert | Path::Update => table.rows.shapes().get(row.tuple.shape).present.clone(),
        };
        let key = (table.plan.label.clone(), path, columns);
        let known = self.controls.get(&key).cloned();
        let control = match known {
            Some(control) => control,
            None => self.try_controls(table, &key)?,
        };
        self.controls.insert(key.clone(), control.clone());
        Ok(Some((key, control)))
    }

    fn path(&mut self, table: &TableRows) -> Result<Path, Failure> {
        let (plan, rows) = (&table.plan, &table.rows);
        let last = offset32(rows.rows().len() - 1);
        if !rows.rows()[last as usize].writes() {
            return Ok(Path::Delete);
        }
        if plan.key.is_none() || plan.mode != Mode::Upsert {
            return Ok(Path::Insert);
        }
        match apply::lookup(self.connection, plan, rows, &[last]) {
            Ok(found) if found.is_empty() => Ok(Path::Insert),
            Ok(_) => Ok(Path::Update),
            Err(failure) if failure.sqlstate.is_some() => {
                // The look-up itself fails for the record; that of a control row must not.
                self.roll_back()?;
                Ok(Path::Update)
            }
            Err(failure) => Err(failure),
        }
    }

    fn try_controls(&mut self, table: &TableRows, key: &ControlKey) -> Result<Control, Failure> {
        let mut rows = self.last_written(&table.plan, key);
        rows.extend(self.read_controls(&table.plan, key)?);
        let mut shown = Control::Unknown;
        for control in rows {
            match self.try_control(&table.plan, &control, key.1)? {
                Control::Accepted => return Ok(Control::Accepted),
                Control::Refused(failure) => shown = Control::Refused(failure),
                Control::Unknown => {}
            }
        }
        Ok(shown)
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

    /// Writes a control row, and rolls that back.
    fn try_control(&mut self, plan: &Plan, rows: &Rows, path: Path) -> Result<Control, Failure> {
        let written = match path {
            Path::Insert => self.insert_control(plan, rows),
            Path::Update => self.apply_control(plan, rows, Rung::Lookup),
            Path::Delete => self.delete_control(plan, rows),
        };
        let control = match written {
            Ok(true) => Control::Accepted,
            Ok(false) => Control::Unknown,
            Err(failure) if failure.is_the_records() => Control::Unknown,
            Err(failure) if failure.clone().met_again().class == Class::Configuration => {
                Control::Refused(failure)
            }
            Err(failure) => return Err(failure),
        };
        self.roll_back()?;
        Ok(control)
    }

    /// A key that exists counts as accepted, unless triggers would have followed: then the row is deleted before.
    fn insert_control(&mut self, plan: &Plan, rows: &Rows) -> Result<bool, Failure> {
        let failure = match self.apply_control(plan, rows, Rung::Plain) {
            Err(failure) if failure.row_exists() => failure,
            written => return written,
        };
        self.roll_back()?;
        if !self.triggers_follow(plan)? {
            return Ok(true);
        }
        if plan.key.is_none() {
            return Ok(false);
        }
        match self.delete_control(plan, rows) {
            Ok(true) => self.apply_control(plan, rows, Rung::Plain),
            // Where deleting is not allowed, this shows nothing.
            Ok(false) => Ok(false),
            Err(refused) if refused.sqlstate.is_some() => Err(Failure { class: Class::Record, ..failure }),
            Err(failure) => Err(failure),
        }
    }

    fn apply_control(&mut self, plan: &Plan, rows: &Rows, rung: Rung) -> Result<bool, Failure> {
        match apply::apply(self.connection, plan, rows, rung)? {
            ApplyOutcome::Applied(applied) => Ok(applied.written > 0),
            ApplyOutcome::Divide(_) => Ok(false),
        }
    }

    fn delete_control(&mut self, plan: &Plan, rows: &Rows) -> Result<bool, Failure> {
        let mut applied = Applied::default();
        deletes::delete(self.connection, plan, rows, &[0], &mut applied)?;
        Ok(applied.deleted > 0)
    }

    /// Whether triggers run after a row is inserted, those of foreign keys included. What is inserted through a view, a rule
    /// or into a foreign table may have more of them than the catalog shows here.
    fn triggers_follow(&mut self, plan: &Plan) -> Result<bool, Failure> {
        if plan.insert_only || !plan.lockable {
            return Ok(true);
        }
        // pg_trigger.tgtype: 4 is INSERT, 2 is BEFORE, 64 is INSTEAD OF.
        let sql = "WITH tree AS (SELECT pg_catalog.to_regclass($1)::oid AS oid UNION \
               SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1))) \
             SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g JOIN tree ON g.tgrelid = tree.oid \
               WHERE g.tgenabled <> 'D' AND g.tgtype & 4 = 4 AND g.tgtype & 66 = 0)";
        Ok(self.connection.client().query_one(sql, &[&plan.target])?.get(0))
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
