//! Rows on their way into the target through a statement: in a temporary table, or, where there can be none, in arrays of
//! their text.
//!
//! Rows that carry different columns go together: a bitmap says which of the varying columns each one carries. The names
//! here (`o`, `p`, `c0` …) are those of the sink's own table, so no column of the target can have them as well.

use postgres::CopyInWriter;
use postgres::types::ToSql;

use crate::batch::rows::{Rows, Tuple};
use crate::batch::shape::{Carried, Shape};
use crate::encode::write_text;
use crate::postgres::failure::Failure;
use crate::table::column_set::ColumnSet;
use crate::table::plan::{Format, Plan};
use crate::writer::copy::{self, put_field};

/// Columns of the target that a staging table can hold: PostgreSQL's limit is 1,600, and two are the sink's own.
const MAX_COLUMNS: usize = 1_598;
/// Rows that a transaction puts into a staging table before it is truncated instead of emptied by DELETE: a DELETE leaves
/// dead rows behind, which every later statement reads, and a TRUNCATE costs about as much as reading so many.
const TRUNCATE_AFTER: usize = 4_000;

/// Where a plan's rows are staged.
#[derive(Debug)]
pub(crate) enum Stage {
    /// In a temporary table.
    Table(StageTable),
    /// In parameters of the statement itself: the role may make no temporary table.
    Arrays,
}

/// A temporary table for rows of one plan.
#[derive(Debug)]
pub(crate) struct StageTable {
    /// Its qualified name.
    pub name: String,
    /// The columns of the plan that it has.
    pub columns: ColumnSet,
    /// Rows that this transaction has put there, deleted ones as well.
    staged: usize,
}

impl Stage {
    /// Whether rows that carry these columns can be staged.
    pub(crate) fn holds(&self, columns: &ColumnSet) -> bool {
        match self {
            Self::Table(table) => table.columns.covers(columns),
            Self::Arrays => true,
        }
    }
}

impl StageTable {
    /// A table that has just been created.
    pub(crate) fn new(name: String, columns: ColumnSet) -> Self {
        Self { name, columns, staged: 0 }
    }

    /// A transaction begins: the table is empty.
    pub(crate) fn begin(&mut self) {
        self.staged = 0;
    }

    /// The statement that empties it for so many rows more, if this transaction has used it already.
    pub(crate) fn empty_for(&mut self, rows: usize) -> Option<String> {
        let staged = std::mem::replace(&mut self.staged, rows);
        if staged == 0 {
            None
        } else if staged > TRUNCATE_AFTER.max(4 * rows) {
            Some(format!("TRUNCATE {}", self.name))
        } else {
            self.staged += staged;
            Some(format!("DELETE FROM {}", self.name))
        }
    }
}

/// The columns of a staging table for rows of these `shapes`, given those of its predecessor; `None` if they are too many.
pub(crate) fn columns<'a>(
    plan: &Plan,
    shapes: impl Iterator<Item = &'a Shape>,
    before: Option<&StageTable>,
) -> Option<ColumnSet> {
    let carried = Carried::by(shapes).some().clone();
    let before = before.map(|table| &table.columns).filter(|before| before.count() > 0);
    let wider = match before {
        // Batches carry different columns: one table for all of them, where that is possible.
        Some(_) if plan.columns.len() <= MAX_COLUMNS => ColumnSet::full(plan.columns.len()),
        Some(before) => before.union(&carried),
        None => carried.clone(),
    };
    [wider, carried].into_iter().find(|columns| columns.count() <= MAX_COLUMNS)
}

/// Creates a staging table. Its columns have the types of the target's, but no constraints, those of domains included.
pub(crate) fn create(name: &str, plan: &Plan, columns: &ColumnSet) -> String {
    let columns: String = columns
        .iter()
        .map(|n| (n, &plan.columns[n]))
        .map(|(n, c)| format!(", c{n} {}", c.unconstrained_type.as_ref().unwrap_or(&c.type_name)))
        .collect();
    format!("CREATE TEMP TABLE {name} (o pg_catalog.int4, p pg_catalog.bytea{columns}) ON COMMIT DELETE ROWS")
}

/// The COPY that fills a staging table with rows that carry these columns.
pub(crate) fn copy_statement(name: &str, plan: &Plan, carried: &Carried) -> String {
    let present = (!carried.varying().is_empty()).then(|| "p".to_owned());
    let names = std::iter::once("o".to_owned()).chain(present);
    copy::statement_of(name, plan.format, names.chain(carried.some().iter().map(|n| format!("c{n}"))))
}

/// Streams rows into that COPY.
pub(crate) fn stream(
    copy: CopyInWriter<'_>,
    plan: &Plan,
    rows: &Rows,
    tuples: &[(u32, Tuple)],
    carried: &Carried,
    buffer: &mut Vec<u8>,
) -> Result<u64, Failure> {
    let columns: Vec<usize> = carried.some().iter().collect();
    let mut text = Vec::new();
    copy::stream_lines(
        copy,
        plan.format,
        buffer,
        tuples.iter().copied(),
        |(number, tuple), buffer| match plan.format {
            Format::Binary => append_binary(rows, number, tuple, carried, &columns, buffer),
            Format::Text => {
                buffer.extend_from_slice(number.to_string().as_bytes());
                if !carried.varying().is_empty() {
                    buffer.extend_from_slice(b"\t\\\\x");
                    for byte in bitmap(rows, tuple, carried) {
                        buffer.extend_from_slice(format!("{byte:02x}").as_bytes());
                    }
                }
                for (column, field) in fields(rows, tuple, &columns) {
                    buffer.push(b'\t');
                    copy::append_text(plan, column, field, &mut text, buffer);
                }
                buffer.push(b'\n');
            }
        },
    )
}

fn append_binary(
    rows: &Rows,
    number: u32,
    tuple: Tuple,
    carried: &Carried,
    columns: &[usize],
    buffer: &mut Vec<u8>,
) {
    let varying = !carried.varying().is_empty();
    let count = columns.len() + 1 + usize::from(varying);
    let count = i16::try_from(count).expect("PostgreSQL has at most 1,600 columns");
    buffer.extend_from_slice(&count.to_be_bytes());
    put_field(buffer, Some(&number.to_be_bytes()));
    if varying {
        put_field(buffer, Some(&bitmap(rows, tuple, carried)));
    } else if rows.shapes().get(tuple.shape).columns.len() == columns.len() {
        // The tuple has these columns and no others: its fields can be taken as they stand.
        return buffer.extend_from_slice(&rows.bytes_of(tuple)[2..]);
    }
    for (_, field) in fields(rows, tuple, columns) {
        put_field(buffer, field);
    }
}

/// The fields of a tuple in these columns; NULL where it has none.
fn fields<'a>(
    rows: &'a Rows,
    tuple: Tuple,
    columns: &'a [usize],
) -> impl Iterator<Item = (usize, Option<&'a [u8]>)> {
    let mut has = rows.fields(tuple).peekable();
    columns.iter().map(move |&column| {
        while has.next_if(|(other, _)| *other < column).is_some() {}
        (column, has.next_if(|(other, _)| *other == column).and_then(|(_, field)| field))
    })
}

/// Which of the varying columns the record carried, as `get_bit` counts: the lowest bit of the first byte first.
fn bitmap(rows: &Rows, tuple: Tuple, carried: &Carried) -> Vec<u8> {
    let present = &rows.shapes().get(tuple.shape).present;
    let mut bits = vec![0; carried.varying().len().div_ceil(8)];
    for (place, column) in carried.varying().iter().enumerate() {
        bits[place / 8] |= u8::from(present.contains(*column)) << (place % 8);
    }
    bits
}

/// Staged rows.
pub(crate) struct Staged {
    /// What stands after FROM, for an alias to follow.
    pub source: String,
    /// Which columns they carry.
    pub carried: Carried,
    arrays: Option<Arrays>,
}

struct Arrays {
    ordinals: Vec<i32>,
    present: Vec<Vec<u8>>,
    columns: Vec<Vec<Option<String>>>,
}

impl Staged {
    /// Rows in a temporary table.
    pub(crate) fn in_table(name: String, carried: Carried) -> Self {
        Self { source: name, carried, arrays: None }
    }

    /// Rows in arrays, for the target's assignments to check: they refuse what a cast to a type with a modifier would
    /// cut off.
    pub(crate) fn in_arrays(plan: &Plan, rows: &Rows, tuples: &[(u32, Tuple)], carried: Carried) -> Self {
        let columns: Vec<usize> = carried.some().iter().collect();
        let varying = !carried.varying().is_empty();
        let mut arrays = Arrays {
            ordinals: Vec::with_capacity(tuples.len()),
            present: Vec::new(),
            columns: vec![Vec::with_capacity(tuples.len()); columns.len()],
        };
        let mut text = Vec::new();
        for &(number, tuple) in tuples {
            arrays.ordinals.push(i32::try_from(number).expect("a batch has fewer than 2^31 rows"));
            if varying {
                arrays.present.push(bitmap(rows, tuple, &carried));
            }
            for ((column, field), array) in fields(rows, tuple, &columns).zip(&mut arrays.columns) {
                array.push(field.map(|field| {
                    text.clear();
                    write_text(&plan.columns[column].kind, field, &mut text);
                    String::from_utf8(text.clone()).expect("values come from JSON, which is UTF-8")
                }));
            }
        }
        let mut values = vec!["u.o".to_owned()];
        let mut parameters = vec!["$1::pg_catalog.int4[]".to_owned()];
        let mut names = vec!["o".to_owned()];
        if varying {
            values.push("u.p".to_owned());
            parameters.push("$2::pg_catalog.bytea[]".to_owned());
            names.push("p".to_owned());
        }
        for n in columns {
            let column = &plan.columns[n];
            let of_type = column.unconstrained_type.as_ref().unwrap_or(&column.base_type_name);
            values.push(format!("u.c{n}::{of_type} AS c{n}"));
            parameters.push(format!("${}::pg_catalog.text[]", parameters.len() + 1));
            names.push(format!("c{n}"));
        }
        let (values, parameters, names) = (values.join(", "), parameters.join(", "), names.join(", "));
        Self {
            source: format!("(SELECT {values} FROM unnest({parameters}) u({names}))"),
            carried,
            arrays: Some(arrays),
        }
    }

    /// The parameters of a statement that reads them.
    pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let Some(arrays) = &self.arrays else { return Vec::new() };
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&arrays.ordinals];
        if !self.carried.varying().is_empty() {
            parameters.push(&arrays.present);
        }
        parameters.extend(arrays.columns.iter().map(|column| column as &(dyn ToSql + Sync)));
        parameters
    }
}
