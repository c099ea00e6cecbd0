//! Control rows: rows that a table has accepted before, written again the way a failed record is written, and rolled back.
//! If none of them can be written, the table is at fault, not the record.

use super::Bisection;
use super::control_values::{Taken, in_place_of};
use crate::batch::records::offset32;
use crate::batch::rows::{Row, Rows};
use crate::batch::{Batch, TableRows};
use crate::postgres::failure::Failure;
use crate::postgres::sqlstate::Class;
use crate::table::column_set::ColumnSet;
use crate::table::plan::{Mode, Plan};
use crate::writer::apply::{self, Applied, ApplyOutcome};
use crate::writer::deletes;
use crate::writer::ladder::Rung;

/// How a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Path {
    Insert,
    Update,
    Delete,
}

/// What a control row stands for: records of this table that are written this way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct ControlKey {
    /// The table's label.
    pub label: String,
    pub path: Path,
    /// The columns that they carry.
    pub columns: ColumnSet,
    /// Those of them in which they are not null.
    pub filled: ColumnSet,
}

/// What the control rows of a table show.
#[derive(Debug)]
pub(super) enum Control {
    /// One was written: the table takes rows.
    Accepted,
    /// None was written, for this reason of the table's.
    Refused(Failure),
    /// There is none that could show it.
    Unknown,
}

impl Bisection<'_> {
    /// Whether the table of the only record of `part`, which fails like this, takes other rows that are written as the record
    /// is.
    pub(super) fn control(&mut self, part: &Batch, failure: &Failure) -> Result<Control, Failure> {
        let Some((table, row)) = part.tables().find_map(|t| Some((t, t.rows.rows().last()?))) else {
            return Ok(Control::Unknown);
        };
        let path = self.path(table)?;
        let (columns, filled) = match path {
            Path::Delete => Default::default(),
            Path::Insert | Path::Update => {
                (table.rows.shapes().get(row.tuple.shape).present.clone(), filled(&table.rows, row))
            }
        };
        let key = ControlKey { label: table.plan.label.clone(), path, columns, filled };
        if self.accepted.contains(&key) {
            return Ok(Control::Accepted);
        }
        if let Some(refusal) = self.refused.get(&key) {
            return Ok(Control::Refused(refusal.clone()));
        }
        let control = self.try_controls(table, &key, failure)?;
        match &control {
            Control::Accepted => _ = self.accepted.insert(key),
            Control::Refused(refusal) => _ = self.refused.insert(key, refusal.clone()),
            Control::Unknown => {}
        }
        Ok(control)
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

    fn try_controls(
        &mut self,
        table: &TableRows,
        key: &ControlKey,
        failure: &Failure,
    ) -> Result<Control, Failure> {
        let plan = &table.plan;
        let controls = self.control_rows(plan, key)?;
        // What is taken from a record that ends the session may end it as well.
        let in_its_place = self.candidates.is_none();
        if in_its_place && key.path == Path::Update && self.updates_pass(table, &controls)? {
            return Ok(Control::Accepted);
        }
        let mut shown = Control::Unknown;
        for control in &controls {
            let tried = match key.path {
                Path::Insert => self.try_insert(table, control, failure, in_its_place)?,
                Path::Update => self.try_update(plan, control, failure)?,
                Path::Delete => {
                    let deleted = self.delete_control(plan, control);
                    self.shown(deleted)?
                }
            };
            match tried {
                Control::Accepted => return Ok(Control::Accepted),
                Control::Refused(failure) => shown = Control::Refused(failure),
                Control::Unknown => {}
            }
        }
        Ok(shown)
    }

    /// What an attempt at a control row shows; it is rolled back.
    fn shown(&mut self, written: Result<bool, Failure>) -> Result<Control, Failure> {
        let control = match written {
            Ok(true) => Control::Accepted,
            Ok(false) => Control::Unknown,
            Err(failure) if failure.before_rows => return Err(failure),
            Err(failure) if failure.is_the_records() || self.is_too_slow(&failure) => Control::Unknown,
            Err(failure) if self.met_again(&failure).class == Class::Configuration => {
                Control::Refused(failure)
            }
            Err(failure) => return Err(failure),
        };
        self.roll_back()?;
        Ok(control)
    }

    /// Inserts the values of a control row: first in the place of the failed record, which meets no row that exists. If what
    /// is taken from the failed record is what fails, or may not be tried, in its own place.
    fn try_insert(
        &mut self,
        table: &TableRows,
        control: &Rows,
        failure: &Failure,
        in_its_place: bool,
    ) -> Result<Control, Failure> {
        let plan = &table.plan;
        for taken in Taken::ALL.into_iter().filter(|_| in_its_place) {
            if let Some(rows) = in_place_of(table, control, taken) {
                let written = self.apply_control(plan, &rows, Rung::Plain);
                if let Control::Accepted = self.shown(written)? {
                    return Ok(Control::Accepted);
                }
            }
        }
        match self.apply_control(plan, control, Rung::Plain) {
            Err(failure) if failure.row_exists() => self.roll_back()?,
            written => return self.shown(written),
        }
        // The row is there. That it was not refused before counts, unless more would have followed.
        if !self.more_follows(plan, failure)? {
            return Ok(Control::Accepted);
        }
        if plan.key.is_none() {
            return Ok(Control::Unknown);
        }
        let written = match self.delete_control(plan, control) {
            Ok(true) => self.apply_control(plan, control, Rung::Plain),
            // Where it cannot be deleted, this shows nothing.
            Err(failure) if failure.sqlstate.is_some() => Ok(false),
            other => other,
        };
        self.shown(written)
    }

    /// Gives the row of the failed record the values of two different control rows, one after the other: at least one of
    /// them changes it, and so reaches all triggers and indexes.
    fn updates_pass(&mut self, table: &TableRows, controls: &[Rows]) -> Result<bool, Failure> {
        for taken in Taken::ALL {
            let placed: Vec<Rows> =
                controls.iter().filter_map(|control| in_place_of(table, control, taken)).collect();
            for (n, first) in placed.iter().enumerate() {
                let mut others = placed[n + 1..].iter();
                let Some(second) = others.find(|rows| values(rows) != values(first)) else { continue };
                let rung = updating(&table.plan);
                let written = match self.apply_control(&table.plan, first, rung) {
                    Ok(true) => self.apply_control(&table.plan, second, rung),
                    other => other,
                };
                if let Control::Accepted = self.shown(written)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Gives a control row the values that it has. That counts, unless triggers or indexes may not see it.
    fn try_update(&mut self, plan: &Plan, control: &Rows, failure: &Failure) -> Result<Control, Failure> {
        let written = self.apply_control(plan, control, updating(plan));
        match self.shown(written)? {
            Control::Accepted if self.unchanged_may_pass(plan, failure)? => Ok(Control::Unknown),
            shown => Ok(shown),
        }
    }

    fn apply_control(&mut self, plan: &Plan, rows: &Rows, rung: Rung) -> Result<bool, Failure> {
        match apply::apply(self.connection, plan, rows, rung)? {
            ApplyOutcome::Applied(applied) => Ok(applied.written > 0),
            ApplyOutcome::Divide(_) | ApplyOutcome::Misread => Ok(false),
        }
    }

    fn delete_control(&mut self, plan: &Plan, rows: &Rows) -> Result<bool, Failure> {
        let mut applied = Applied::default();
        deletes::delete(self.connection, plan, rows, &[0], &mut applied)?;
        Ok(applied.deleted > 0)
    }
}

/// The columns in which a row carries a value that is not null.
pub(super) fn filled(rows: &Rows, row: &Row) -> ColumnSet {
    let mut filled = rows.shapes().get(row.tuple.shape).present.clone();
    let null = rows.fields(row.tuple).filter(|(_, field)| field.is_none());
    null.for_each(|(column, _)| filled.remove(column));
    filled
}

/// The rung that updates a row of the plan as its records do: by INSERT … ON CONFLICT, triggers of inserts run as well.
fn updating(plan: &Plan) -> Rung {
    if plan.on_conflict_only { Rung::Stage } else { Rung::Lookup }
}

/// The values of the row of `rows`.
fn values(rows: &Rows) -> Vec<Option<&[u8]>> {
    let tuple = rows.rows().last().map(|row| row.tuple);
    tuple.map(|tuple| rows.fields(tuple).map(|(_, field)| field).collect()).unwrap_or_default()
}
