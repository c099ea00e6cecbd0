//! Defaults of columns that rows lack, evaluated by the server before the rows are sent: all of a batch in one statement.
//!
//! Rows of any shape can then go into one COPY, which has no DEFAULT for a single row. Every value is taken once, so a sequence
//! moves no further than if the server had evaluated each default in its row.

use std::collections::HashMap;
use std::error::Error;

use postgres::CopyInWriter;
use postgres::types::{FromSql, Type};

use crate::batch::rows::{Rows, Tuple};
use crate::postgres::failure::Failure;
use crate::table::catalog::ColumnDefault;
use crate::table::plan::{Format, Plan};
use crate::writer::connection::WriterConnection;
use crate::writer::copy;

/// Values for columns that rows lack.
pub(crate) struct DefaultValues {
    /// The columns that all of these rows get.
    columns: Vec<u16>,
    /// By column: which of `values` it takes. Columns with the same default share one.
    of_column: Vec<Option<usize>>,
    values: Vec<Elements>,
}

impl DefaultValues {
    /// Evaluates what `tuples` lack of `columns`.
    pub(crate) fn evaluate(
        connection: &mut WriterConnection,
        plan: &Plan,
        rows: &Rows,
        tuples: &[(u32, Tuple)],
        columns: Vec<u16>,
    ) -> Result<Self, Failure> {
        let mut expressions: Vec<String> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut of_column = vec![None; plan.columns.len()];
        for &column in &columns {
            if let Some(expression) = expression(plan, usize::from(column)) {
                let number = *numbers.entry(expression).or_insert_with_key(|expression| {
                    expressions.push(expression.clone());
                    expressions.len() - 1
                });
                of_column[usize::from(column)] = Some(number);
            }
        }
        let mut counts = vec![0_i64; expressions.len()];
        for (_, tuple) in tuples {
            let mut has = rows.shapes().get(tuple.shape).columns.iter().peekable();
            for column in &columns {
                if has.next_if_eq(&column).is_none() {
                    let number = of_column[usize::from(*column)];
                    counts[number.expect("a row lacks only what can be evaluated")] += 1;
                }
            }
        }
        connection.restore_settings()?;
        let statement = connection.prepared(&select(&expressions))?;
        let parameters: Vec<_> = counts.iter().map(|count| count as _).collect();
        let row = connection.client().query_one(&statement, &parameters)?;
        let values = (0..expressions.len()).map(|n| row.get::<_, Option<Elements>>(n).unwrap_or_default());
        Ok(Self { values: values.collect(), columns, of_column })
    }

    /// Streams the tuples that these values were evaluated for into a COPY that has begun, and ends it.
    pub(crate) fn stream(
        mut self,
        copy: CopyInWriter<'_>,
        plan: &Plan,
        rows: &Rows,
        tuples: &[(u32, Tuple)],
        buffer: &mut Vec<u8>,
    ) -> Result<u64, Failure> {
        let Self { columns, of_column, values } = &mut self;
        let count = i16::try_from(columns.len()).expect("PostgreSQL has at most 1,600 columns");
        let mut text = Vec::new();
        copy::stream_lines(copy, plan.format, buffer, tuples.iter(), |(_, tuple), buffer| {
            let mut has = rows.fields(*tuple).peekable();
            if plan.format == Format::Binary {
                buffer.extend_from_slice(&count.to_be_bytes());
            }
            for (n, column) in columns.iter().map(|column| usize::from(*column)).enumerate() {
                let field = match has.next_if(|(has, _)| *has == column) {
                    Some((_, field)) => field,
                    None => of_column[column].and_then(|number| values[number].next()),
                };
                match plan.format {
                    Format::Binary => copy::put_field(buffer, field),
                    Format::Text => {
                        if n > 0 {
                            buffer.push(b'\t');
                        }
                        copy::append_text(plan, column, field, &mut text, buffer);
                    }
                }
            }
            if plan.format == Format::Text {
                buffer.push(b'\n');
            }
        })
    }
}

/// The default of a column, if it can be evaluated anywhere, without the modifier of the column's type: COPY refuses what
/// does not fit.
fn expression(plan: &Plan, column: usize) -> Option<String> {
    let column = &plan.columns[column];
    match &column.default {
        Some(ColumnDefault::Independent(default)) => {
            let of_type = column.unconstrained_type.as_ref().unwrap_or(&column.base_type_name);
            Some(format!("({default})::{of_type}"))
        }
        _ => None,
    }
}

/// The statement that evaluates each of these as often as its parameter says. A series in FROM itself would be stored first,
/// which takes as long as `nextval`.
fn select(expressions: &[String]) -> String {
    let arrays: Vec<String> = (1..)
        .zip(expressions)
        .map(|(n, expression)| {
            format!(
                "(SELECT pg_catalog.array_agg({expression}) FROM (SELECT pg_catalog.generate_series(1, ${n}::pg_catalog.int8)) n)"
            )
        })
        .collect();
    format!("SELECT {}", arrays.join(", "))
}

/// The elements of a one-dimensional array in PostgreSQL's binary format (`array_send`), to be taken one after the other.
#[derive(Debug, Default, PartialEq, Eq)]
struct Elements {
    bytes: Vec<u8>,
    taken: usize,
}

/// Dimensions, whether there are nulls, the type of the elements; then the length of the dimension and its lower bound.
const HEADER: usize = 3 * 4 + 2 * 4;

impl Elements {
    fn next(&mut self) -> Option<&[u8]> {
        let (len, _) = self.bytes[self.taken..].split_first_chunk::<4>().expect("an element for each row");
        let start = self.taken + 4;
        // A length of -1 means NULL.
        let len = usize::try_from(i32::from_be_bytes(*len)).ok();
        self.taken = start + len.unwrap_or(0);
        len.map(|len| &self.bytes[start..start + len])
    }
}

impl<'a> FromSql<'a> for Elements {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self { bytes: raw.to_vec(), taken: HEADER })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_taken_one_after_the_other() {
        let raw =
            [&[0; HEADER][..], &[0, 0, 0, 2, 7, 8], &[255; 4], &[0, 0, 0, 0], &[0, 0, 0, 1, 9]].concat();
        let mut elements = Elements::from_sql(&Type::INT4_ARRAY, &raw).unwrap();
        assert_eq!(elements.next(), Some(&[7, 8][..]));
        assert_eq!(elements.next(), None);
        assert_eq!(elements.next(), Some(&[][..]));
        assert_eq!(elements.next(), Some(&[9][..]));
    }

    #[test]
    fn one_statement_evaluates_all_of_them() {
        assert_eq!(
            select(&["(now())::timestamptz".to_owned(), "(nextval('n'))::int4".to_owned()]),
            "SELECT (SELECT pg_catalog.array_agg((now())::timestamptz) \
             FROM (SELECT pg_catalog.generate_series(1, $1::pg_catalog.int8)) n), \
             (SELECT pg_catalog.array_agg((nextval('n'))::int4) FROM (SELECT pg_catalog.generate_series(1, $2::pg_catalog.int8)) n)"
        );
    }
}
