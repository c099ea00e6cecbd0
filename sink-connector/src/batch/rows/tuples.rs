//! Tuples as COPY BINARY reads them: encoded from cells, merged field by field, and read back.

use super::{Rows, Tuple};
use crate::batch::records::offset32;
use crate::decode::{CellRef, Cells, Reason, Rejection};
use crate::table::plan::Plan;

impl Rows {
    pub(super) fn encode(&mut self, plan: &Plan, cells: &Cells) -> Tuple {
        if let Some(row) = cells.whole_row().filter(|_| cells.len() == plan.columns.len()) {
            self.present.fill(cells.len());
            let shape = self.shapes.intern(&self.present, plan);
            let start = offset32(self.buffer.len());
            put_count(&mut self.buffer, cells.len());
            self.buffer.extend_from_slice(row);
            return Tuple { start, end: offset32(self.buffer.len()), shape };
        }
        self.present.clear();
        for i in 0..plan.columns.len() {
            if !matches!(cells.get(i), CellRef::Absent) {
                self.present.insert(i);
            }
        }
        let shape = self.shapes.intern(&self.present, plan);
        let start = offset32(self.buffer.len());
        let columns = &self.shapes.get(shape).columns;
        put_count(&mut self.buffer, columns.len());
        for &column in columns {
            match cells.get(usize::from(column)) {
                CellRef::Value(value) => put_field(&mut self.buffer, Some(value)),
                CellRef::Null => put_field(&mut self.buffer, None),
                CellRef::Absent => {
                    put_field(&mut self.buffer, plan.constant_default(usize::from(column)).flatten());
                }
            }
        }
        Tuple { start, end: offset32(self.buffer.len()), shape }
    }

    /// `later` over `earlier`, field by field.
    pub(super) fn merge(&mut self, plan: &Plan, earlier: Tuple, later: Tuple) -> Tuple {
        let (a, b) = (self.shapes.get(earlier.shape), self.shapes.get(later.shape));
        if b.present.covers(&a.present) {
            return later;
        }
        let union = a.present.union(&b.present);
        let mut fields: Vec<Option<Vec<u8>>> = vec![None; plan.columns.len()];
        for tuple in [earlier, later] {
            let shape = self.shapes.get(tuple.shape);
            for (column, field) in self.fields(tuple) {
                if shape.present.contains(column) {
                    fields[column] = field.map(<[u8]>::to_vec);
                }
            }
        }
        let shape = self.shapes.intern(&union, plan);
        let start = offset32(self.buffer.len());
        let columns = &self.shapes.get(shape).columns;
        put_count(&mut self.buffer, columns.len());
        for column in columns.iter().copied().map(usize::from) {
            let field = match union.contains(column) {
                true => fields[column].as_deref(),
                false => plan.constant_default(column).flatten(),
            };
            put_field(&mut self.buffer, field);
        }
        Tuple { start, end: offset32(self.buffer.len()), shape }
    }

    /// The columns of a tuple with their bytes, or `None` for NULL.
    pub fn fields(&self, tuple: Tuple) -> impl Iterator<Item = (usize, Option<&[u8]>)> {
        let mut rest = &self.bytes_of(tuple)[2..];
        self.shapes.get(tuple.shape).columns.iter().map(move |&column| {
            let (len, tail) =
                rest.split_first_chunk::<4>().expect("a tuple has a length for each of its columns");
            rest = tail;
            let field = usize::try_from(i32::from_be_bytes(*len)).ok().map(|len| {
                let (field, tail) = rest.split_at(len);
                rest = tail;
                field
            });
            (usize::from(column), field)
        })
    }

    /// A tuple as COPY BINARY wants it.
    pub fn bytes_of(&self, tuple: Tuple) -> &[u8] {
        &self.buffer[tuple.start as usize..tuple.end as usize]
    }

    /// The bytes of all these tuples, each run of neighbours in one piece.
    pub fn runs<'a>(&'a self, tuples: impl Iterator<Item = Tuple> + 'a) -> impl Iterator<Item = &'a [u8]> {
        let mut tuples = tuples.peekable();
        std::iter::from_fn(move || {
            let Tuple { start, mut end, .. } = tuples.next()?;
            while let Some(next) = tuples.next_if(|next| next.start == end) {
                end = next.end;
            }
            Some(&self.buffer[start as usize..end as usize])
        })
    }
}

fn put_count(buffer: &mut Vec<u8>, columns: usize) {
    let count = i16::try_from(columns).expect("PostgreSQL has at most 1,600 columns");
    buffer.extend_from_slice(&count.to_be_bytes());
}

pub(super) fn put_field(buffer: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(field) => {
            let len =
                i32::try_from(field.len()).expect("a field is part of a record, and a record is below 2 GiB");
            buffer.extend_from_slice(&len.to_be_bytes());
            buffer.extend_from_slice(field);
        }
        None => buffer.extend_from_slice(&(-1_i32).to_be_bytes()),
    }
}

/// Appends the key of `cells`: each key column as a field.
pub(super) fn push_key(keys: &mut Vec<u8>, plan: &Plan, cells: &Cells) -> Result<(), Rejection> {
    let columns = plan.key.as_ref().map_or(&[][..], |key| &key.columns);
    for &column in columns {
        let refuse = |reason, what| {
            let name = &plan.columns[column].name;
            Err(Rejection {
                reason,
                column: Some(name.clone()),
                wider: None,
                detail: format!("key column {name:?} {what}"),
            })
        };
        match cells.get(column) {
            CellRef::Value(value) => put_field(keys, Some(value)),
            CellRef::Null => return refuse(Reason::NullValue, "is null"),
            CellRef::Absent => return refuse(Reason::MissingField, "is missing"),
        }
    }
    Ok(())
}
