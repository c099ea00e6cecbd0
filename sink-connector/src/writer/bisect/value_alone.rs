//! A value tried alone: a type's input function that refuses it concerns no table, so the record is at fault.

use bytes::BytesMut;
use postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::Bisection;
use crate::batch::{Batch, TableRows};
use crate::encode::write_text;
use crate::postgres::failure::Failure;
use crate::table::catalog::Column;

/// Most types take one of these.
const PLAIN_VALUES: [&str; 6] = ["", "0", "a", "{}", "(0,0)", "2000-01-01"];

impl Bisection<'_> {
    /// Whether the input function of a column's type refuses a value of the record with the same code as the table did,
    /// although it takes NULL. `part` has only this record.
    pub(super) fn refuses_a_value(&mut self, part: &Batch, failure: &Failure) -> Result<bool, Failure> {
        if !failure.may_be_a_values() {
            return Ok(false);
        }
        for table in part.tables() {
            for (column, text) in texts(table) {
                let alone = self.refused(column, Some(&text))?;
                if alone.is_some_and(|alone| alone.sqlstate == failure.sqlstate)
                    && self.can_be_read(column, failure)?
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the type of a column takes NULL and, unless the code says that it is the value's, any other value: a function or
    /// a library that is missing hits every value.
    fn can_be_read(&mut self, column: &Column, failure: &Failure) -> Result<bool, Failure> {
        if self.refused(column, None)?.is_some() {
            return Ok(false);
        }
        if failure.is_syntax_of_a_value() {
            return Ok(true);
        }
        for text in PLAIN_VALUES {
            if self.refused(column, Some(text.as_bytes()))?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The server's error if it does not take this text as a value of the column's type.
    fn refused(&mut self, column: &Column, text: Option<&[u8]>) -> Result<Option<Failure>, Failure> {
        // Without the constraints of a domain: they may call functions, which may read tables.
        let type_name = column.unconstrained_type.as_ref().unwrap_or(&column.base_type_name);
        let sql = format!("SELECT $1::{type_name} IS NULL");
        match self.connection.client().query(&sql, &[&text.map(InputText)]) {
            Ok(_) => Ok(None),
            Err(error) => {
                let failure = Failure::from(error);
                if failure.sqlstate.is_none() {
                    return Err(failure);
                }
                self.roll_back()?;
                Ok(Some(failure))
            }
        }
    }
}

/// The values of a record as text, key columns of a tombstone included.
fn texts(table: &TableRows) -> Vec<(&Column, Vec<u8>)> {
    let (plan, rows) = (&table.plan, &table.rows);
    let mut values = Vec::new();
    let mut add = |column: usize, field: &[u8]| {
        let column = &plan.columns[column];
        let mut text = Vec::new();
        write_text(&column.kind, field, &mut text);
        values.push((column, text));
    };
    for row in rows.rows() {
        rows.key_fields(plan, row).for_each(|(column, field)| add(column, field));
        if row.writes() {
            rows.fields(row.tuple).for_each(|(column, field)| field.into_iter().for_each(|f| add(column, f)));
        }
    }
    values
}

/// A parameter in text format: the server calls the input function of the parameter's type.
#[derive(Debug)]
struct InputText<'a>(&'a [u8]);

impl ToSql for InputText<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
