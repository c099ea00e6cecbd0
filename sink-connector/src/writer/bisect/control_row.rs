//! Control rows: rows that a table has accepted before, written again the way a failed record is written, and rolled back.
//! If none of them can be written, the table is at fault, not the record.

use super::Bisection;
use super::control_values::with_key;
use crate::batch::records::offset32;
use crate::batch::rows::Rows;
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

/// What a control row stands for: records of this table, written this way, with these columns.
pub(super) type ControlKey = (String, Path, ColumnSet);

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
    /// Whether the table of the only record of `part` takes other rows that are written as the record is.
    pub(super) fn control(&mut self, part: &Batch) -> Result<Control, Failure> {
        let Some((table, row)) = part.tables().find_map(|t| Some((t, t.rows.rows().last()?))) else {
            return Ok(Control::Unknown);
        };
        let path = self.path(table)?;
        let columns = match path {
            Path::Delete => ColumnSet::default(),
            Path::Insert | Path::Update => table.rows.shapes().get(row.tuple.shape).present.clone(),
        };
        let key = (table.plan.label.clone(), path, columns);
        if self.accepted.contains(&key) {
            return Ok(Control::Accepted);
        }
        let control = self.try_controls(table, &key)?;
        if let Control::Accepted = control {
            self.accepted.insert(key);
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

    fn try_controls(&mut self, table: &TableRows, key: &ControlKey) -> Result<Control, Failure> {
        let plan = &table.plan;
        let controls = self.control_rows(plan, key)?;
        if key.1 == Path::Update && self.updates_pass(table, &controls)? {
            return Ok(Control::Accepted);
        }
        let mut shown = Control::Unknown;
        for control in &controls {
            let tried = match key.1 {
                Path::Insert => self.try_insert(table, control)?,
                Path::Update => self.try_update(plan, control)?,
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
            Err(failure) if failure.clone().met_again().class == Class::Configuration => {
                Control::Refused(failure)
            }
            Err(failure) => return Err(failure),
        };
        self.roll_back()?;
        Ok(control)
    }

    /// Inserts the values of a control row: first under the key of the failed record, which meets no row that exists. If
    /// that key is what fails, under its own.
    fn try_insert(&mut self, table: &TableRows, control: &Rows) -> Result<Control, Failure> {
        let plan = &table.plan;
        if let Some(rows) = with_key(control, table) {
            let written = self.apply_control(plan, &rows, Rung::Plain);
            if let Control::Accepted = self.shown(written)? {
                return Ok(Control::Accepted);
            }
        }
        match self.apply_control(plan, control, Rung::Plain) {
            Err(failure) if failure.row_exists() => self.roll_back()?,
            written => return self.shown(written),
        }
        // The row is there. That it was not refused before counts, unless more would have followed.
        if !self.more_follows(plan)? {
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
        let keyed: Vec<Rows> = controls.iter().filter_map(|control| with_key(control, table)).collect();
        let Some(first) = keyed.first() else { return Ok(false) };
        let Some(second) = keyed.iter().find(|rows| values(rows) != values(first)) else { return Ok(false) };
        let written = match self.apply_control(&table.plan, first, Rung::Lookup) {
            Ok(true) => self.apply_control(&table.plan, second, Rung::Lookup),
            other => other,
        };
        Ok(matches!(self.shown(written)?, Control::Accepted))
    }

    /// Gives a control row the values that it has. That counts, unless triggers or indexes may not see it.
    fn try_update(&mut self, plan: &Plan, control: &Rows) -> Result<Control, Failure> {
        let written = self.apply_control(plan, control, Rung::Lookup);
        match self.shown(written)? {
            Control::Accepted if self.unchanged_may_pass(plan)? => Ok(Control::Unknown),
            shown => Ok(shown),
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

    /// Whether more is done for a row after it is found to exist in an index: other indexes, triggers, those of foreign keys
    /// included.
    fn more_follows(&mut self, plan: &Plan) -> Result<bool, Failure> {
        // pg_trigger.tgtype: 4 is INSERT, 2 is BEFORE, 64 is INSTEAD OF.
        self.more_than_one_index(plan, "g.tgtype & 4 = 4 AND g.tgtype & 66 = 0")
    }

    /// Whether an update that changes nothing may pass where another would not: indexes do not see it, and conditions of
    /// triggers may leave it out.
    fn unchanged_may_pass(&mut self, plan: &Plan) -> Result<bool, Failure> {
        // pg_trigger.tgtype: 16 is UPDATE.
        self.more_than_one_index(plan, "g.tgtype & 16 = 16 AND g.tgqual IS NOT NULL")
    }

    /// Whether the table has such triggers `g`, or more than one index. What is written through a view or a
    /// rule, or into a foreign table, may have more than the catalog shows here.
    fn more_than_one_index(&mut self, plan: &Plan, triggers: &str) -> Result<bool, Failure> {
        if plan.insert_only || plan.lock.is_none() {
            return Ok(true);
        }
        let sql = format!(
            "WITH tree AS (SELECT pg_catalog.to_regclass($1)::oid AS oid UNION \
               SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1))) \
             SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN tree ON g.tgrelid = tree.oid \
                            WHERE g.tgenabled <> 'D' AND {triggers}) \
                 OR 1 < (SELECT count(*) FROM pg_catalog.pg_index i JOIN tree ON i.indrelid = tree.oid \
                         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.indexrelid))"
        );
        Ok(self.connection.client().query_one(&sql, &[&plan.target])?.get(0))
    }
}

/// The values of the row of `rows`.
fn values(rows: &Rows) -> Vec<Option<&[u8]>> {
    let tuple = rows.rows().last().map(|row| row.tuple);
    tuple.map(|tuple| rows.fields(tuple).map(|(_, field)| field).collect()).unwrap_or_default()
}
