//! A value tried alone: a type's input function that refuses it concerns no table, so the record is at fault.

use bytes::BytesMut;
use postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::Bisection;
use crate::batch::{Batch, TableRows};
use crate::encode::write_text;
use crate::postgres::failure::Failure;
use crate::table::catalog::Column;

/// Most types, and most domains, take one of these.
const PLAIN_VALUES: [&str; 12] =
    ["", "0", "1", "10", "a", "t", "{}", "(0,0)", "2000-01-01", "12:00", "10.0.0.1", "a@b.c"];

impl Bisection<'_> {
    /// Whether the input function of a column's type refuses a value of the record with the same code as the table did,
    /// although it takes NULL. `part` has only this record.
    pub(super) fn refuses_a_value(&mut self, part: &Batch, failure: &Failure) -> Result<bool, Failure> {
        for table in part.tables() {
            for (column, text) in texts(table) {
                if self.type_refuses(column, &text, failure)?
                    || self.domain_refuses(column, &text, failure)?
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the type of a column, without the constraints of a domain, refuses the value although it takes NULL and, unless
    /// the code says that it is the value's, any other value: a function or a library that is missing hits every value.
    fn type_refuses(&mut self, column: &Column, text: &[u8], failure: &Failure) -> Result<bool, Failure> {
        let type_name = column.unconstrained_type.as_ref().unwrap_or(&column.base_type_name);
        Ok(failure.may_be_a_values()
            && self.refuses_as(type_name, text, failure)?
            && self.refused(type_name, None)?.is_none()
            && (failure.is_syntax_of_a_value() || self.takes_a_plain_value(type_name)?))
    }

    /// Whether the constraints of a domain refuse the value. They may call functions, which may read tables: only that they
    /// take another value shows that they work.
    fn domain_refuses(&mut self, column: &Column, text: &[u8], failure: &Failure) -> Result<bool, Failure> {
        let domain = &column.base_type_name;
        Ok(column.unconstrained_type.is_some()
            && self.met_again(failure).may_be_the_records()
            && !failure.permission_denied()
            && self.refuses_as(domain, text, failure)?
            && self.takes_a_plain_value(domain)?)
    }

    /// Whether a type refuses the value with the same code as the table did.
    fn refuses_as(&mut self, type_name: &str, text: &[u8], failure: &Failure) -> Result<bool, Failure> {
        let alone = self.refused(type_name, Some(text))?;
        Ok(alone.is_some_and(|alone| alone.sqlstate == failure.sqlstate))
    }

    fn takes_a_plain_value(&mut self, type_name: &str) -> Result<bool, Failure> {
        for text in PLAIN_VALUES {
            if self.refused(type_name, Some(text.as_bytes()))?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The server's error if it does not take this text as a value of the type.
    fn refused(&mut self, type_name: &str, text: Option<&[u8]>) -> Result<Option<Failure>, Failure> {
        let sql = format!("SELECT $1::{type_name} IS NULL");
        match self.connection.client().query(&sql, &[&InputText(text)]) {
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

/// A parameter in text format, NULL as well: the server calls the input function of the parameter's type. Some types, `aclitem`
/// for example, have no function for the binary format.
#[derive(Debug)]
struct InputText<'a>(Option<&'a [u8]>);

impl ToSql for InputText<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text);
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
