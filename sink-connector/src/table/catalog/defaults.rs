//! Which defaults of columns the sink can write itself, so that records with and without such a column go into one COPY:
//! constants, and expressions that depend on nothing but themselves.

use std::error::Error;

use postgres::Client;
use postgres::types::{FromSql, Type};

use super::{Column, ColumnDefault};

/// An SQL expression: whether the stored expression `d.adbin` is a constant, at most converted by built-in functions that
/// depend on nothing else. Texts inside it are stored as numbers, so a brace always begins a node.
pub(super) const IS_CONSTANT: &str = "coalesce(\
     (SELECT bool_and(m[1] IN ('CONST', 'RELABELTYPE', 'FUNCEXPR')) \
      FROM pg_catalog.regexp_matches(d.adbin::pg_catalog.text, '[{]([A-Z_]+)', 'g') m) \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.regexp_matches(d.adbin::pg_catalog.text, ':funcid ([0-9]+)', 'g') m \
                     LEFT JOIN pg_catalog.pg_proc p ON p.oid = m[1]::pg_catalog.oid AND p.oid < 16384 \
                     WHERE p.provolatile IS DISTINCT FROM 'i'), false)";

/// An SQL expression: whether the stored expression `d.adbin` gives the same wherever in a transaction it is evaluated. It
/// consists of built-in functions and types, because others may read anything; and none of its functions reads tables,
/// settings, or what another call has left behind (`currval`).
pub(super) const IS_INDEPENDENT: &str = "coalesce(\
     (SELECT bool_and(m[1] IN ('CONST', 'RELABELTYPE', 'FUNCEXPR', 'OPEXPR', 'SQLVALUEFUNCTION', 'COERCEVIAIO')) \
      FROM pg_catalog.regexp_matches(d.adbin::pg_catalog.text, '[{]([A-Z_]+)', 'g') m) \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.regexp_matches(d.adbin::pg_catalog.text, ':[a-z]*type ([0-9]+)', 'g') m \
                     WHERE m[1]::pg_catalog.int8 >= 16384) \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.regexp_matches(d.adbin::pg_catalog.text, 'funcid ([0-9]+)', 'g') m \
                     LEFT JOIN pg_catalog.pg_proc p ON p.oid = m[1]::pg_catalog.oid AND p.oid < 16384 \
                     WHERE p.oid IS NULL OR p.proname = 'current_setting' OR p.proname ~ 'xml' \
                       OR p.provolatile = 'v' AND p.proname NOT IN ('nextval', 'random', 'clock_timestamp', 'timeofday', \
                                                                    'gen_random_uuid', 'uuidv4', 'uuidv7')), false)";

/// A value as the server sends it.
struct Bytes(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Bytes {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Evaluates the defaults of the columns with these indexes, which are constants.
pub(super) fn read_constants(
    client: &mut Client,
    columns: &mut [Column],
    constants: &[usize],
) -> Result<(), postgres::Error> {
    for &n in constants {
        let column = &mut columns[n];
        let Some(ColumnDefault::Expression(expression) | ColumnDefault::Independent(expression)) =
            &column.default
        else {
            continue;
        };
        let value = client.query_one(&format!("SELECT ({expression})::{}", column.base_type_name), &[]);
        match value {
            Ok(row) => {
                let value = row.get::<_, Bytes>(0).0;
                column.default = Some(ColumnDefault::Constant { expression: expression.clone(), value });
            }
            // It cannot be converted: the server refuses every row that needs it, and only those.
            Err(error) if error.as_db_error().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
