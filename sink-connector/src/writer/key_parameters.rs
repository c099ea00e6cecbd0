//! Keys as parameters of a statement: one binary array for each key column.

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::batch::rows::{Row, Rows};
use crate::encode::{Kind, oid, write_text};
use crate::table::catalog::Column;
use crate::table::plan::Plan;
use crate::writer::statements;

/// The keys of the rows with these numbers, as parameters of a statement that unnests them.
pub(crate) fn key_parameters(plan: &Plan, rows: &Rows, numbers: &[u32]) -> KeyParameters {
    KeyParameters(key_arrays(plan, rows, numbers.iter().map(|&n| &rows.rows()[n as usize])))
}

/// One array for each key column.
pub(crate) struct KeyParameters(Vec<BinaryArray>);

impl KeyParameters {
    /// As the client wants them.
    pub(crate) fn as_parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|array| array as &(dyn ToSql + Sync)).collect()
    }
}

/// The keys of `wanted` as one binary array for each key column.
fn key_arrays<'a>(
    plan: &Plan,
    rows: &Rows,
    wanted: impl ExactSizeIterator<Item = &'a Row>,
) -> Vec<BinaryArray> {
    let count = i32::try_from(wanted.len()).expect("a batch has fewer than 2^31 rows");
    let element =
        |column: &Column| if statements::looks_up_text(column) { oid::TEXT } else { column.type_oid };
    let mut arrays: Vec<BinaryArray> =
        plan.key_columns().map(|column| BinaryArray::new(element(column), count)).collect();
    for row in wanted {
        let mut rest = rows.key(row);
        for (array, column) in arrays.iter_mut().zip(plan.key_columns()) {
            let (len, _) = rest.split_first_chunk::<4>().expect("a key has a length for each of its columns");
            let len = usize::try_from(i32::from_be_bytes(*len)).expect("a key has no nulls");
            let (field, tail) = rest.split_at(4 + len);
            if statements::looks_up_text(column) {
                array.push_text(&column.kind, &field[4..]);
            } else {
                array.0.extend_from_slice(field);
            }
            rest = tail;
        }
    }
    arrays
}

/// A one-dimensional array in PostgreSQL's binary format (`array_send`), made of elements that are encoded already.
#[derive(Debug)]
struct BinaryArray(Vec<u8>);

impl BinaryArray {
    fn new(element: u32, count: i32) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&1_i32.to_be_bytes()); // dimensions
        bytes.extend_from_slice(&0_i32.to_be_bytes()); // has no nulls
        bytes.extend_from_slice(&element.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&1_i32.to_be_bytes()); // lower bound
        Self(bytes)
    }

    fn push_text(&mut self, kind: &Kind, field: &[u8]) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        write_text(kind, field, &mut self.0);
        let len = i32::try_from(self.0.len() - start - 4).expect("a key is far below 2 GiB");
        self.0[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }
}

impl ToSql for BinaryArray {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
