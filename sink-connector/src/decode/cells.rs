//! The encoded fields of one record, in a buffer that is used again for the next.

use super::order::FieldOrder;

/// One field of a decoded record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellRef<'a> {
    /// The record did not have the field.
    Absent,
    /// The field was null.
    Null,
    /// The bytes of the field as in COPY BINARY, without the 4-byte length in front.
    Value(&'a [u8]),
}

/// The encoded fields of one record, in the order of the decoder's fields.
#[derive(Debug, Default)]
pub struct Cells {
    /// Fields as they came, each with its length in front as in COPY BINARY.
    bytes: Vec<u8>,
    cells: Vec<Cell>,
    /// How many fields came one after the other from the first on, if all did so far, and the length of the buffer then.
    in_order: Option<(usize, usize)>,
    pub(super) order: FieldOrder,
}

/// Where a field's bytes are.
#[derive(Debug, Clone, Copy)]
struct Cell {
    start: u32,
    end: u32,
}

/// Absent and null: ranges that start after their end, which no value has.
const ABSENT: Cell = Cell { start: u32::MAX, end: 0 };
const NULL: Cell = Cell { start: u32::MAX, end: 1 };
/// How COPY BINARY writes NULL.
const NULL_FIELD: [u8; 4] = (-1_i32).to_be_bytes();
/// The length in front of a field.
const LENGTH: usize = NULL_FIELD.len();

impl Cells {
    /// Room for the fields of a decoder with `fields` of them.
    #[must_use]
    pub fn new(fields: usize) -> Cells {
        let mut cells = Cells::default();
        cells.reset(fields);
        cells
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are no fields at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The field at `index`; [`CellRef::Absent`] when there is none.
    #[must_use]
    pub fn get(&self, index: usize) -> CellRef<'_> {
        match self.cells.get(index) {
            Some(Cell { start, end }) if start <= end => {
                CellRef::Value(&self.bytes[*start as usize..*end as usize])
            }
            Some(Cell { end: 1, .. }) => CellRef::Null,
            _ => CellRef::Absent,
        }
    }

    /// All fields as COPY BINARY has them after their number, if each is there once and they came in their order.
    #[must_use]
    pub(crate) fn whole_row(&self) -> Option<&[u8]> {
        (self.in_order == Some((self.cells.len(), self.bytes.len()))).then_some(&self.bytes)
    }

    /// Every field absent, for a record of `fields` fields. Keeps the buffers.
    pub fn reset(&mut self, fields: usize) {
        self.bytes.clear();
        self.cells.clear();
        self.cells.resize(fields, ABSENT);
        self.in_order = Some((0, 0));
    }

    /// Stores the bytes of a field that is not read from JSON; false as with [`Cells::put_with`].
    #[must_use]
    pub fn put(&mut self, index: usize, bytes: &[u8]) -> bool {
        self.put_with(index, |out| {
            out.extend_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        }) == Ok(true)
    }

    /// Makes a field null.
    pub fn set_null(&mut self, index: usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&NULL_FIELD);
        self.came(index, start);
        self.cells[index] = NULL;
    }

    /// The field's bytes are what `append` appends. False when the buffer has outgrown 2 GiB, twice what a PostgreSQL row
    /// can be.
    #[inline]
    pub(super) fn put_with<E>(
        &mut self,
        index: usize,
        append: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH]);
        append(&mut self.bytes)?;
        let (value, end) = (start + LENGTH, self.bytes.len());
        let (Ok(length), Ok(from), Ok(to)) =
            (i32::try_from(end - value), u32::try_from(value), u32::try_from(end))
        else {
            return Ok(false);
        };
        self.bytes[start..value].copy_from_slice(&length.to_be_bytes());
        self.came(index, start);
        self.cells[index] = Cell { start: from, end: to };
        Ok(to < u32::MAX)
    }

    /// A field has been appended, from `start` on.
    #[inline]
    fn came(&mut self, index: usize, start: usize) {
        let next = self.in_order == Some((index, start));
        self.in_order = next.then_some((index + 1, self.bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_come_in_their_order_are_a_row() {
        let mut cells = Cells::new(3);
        assert!(cells.put(0, b"ab"));
        cells.set_null(1);
        assert_eq!(cells.whole_row(), None, "one is missing");
        assert!(cells.put(2, b""));
        assert_eq!(cells.whole_row(), Some(&b"\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0"[..]));
        assert!(cells.put(1, b"c"));
        assert_eq!(cells.whole_row(), None, "one came twice");
        assert_eq!(
            (cells.get(0), cells.get(1), cells.get(2)),
            (CellRef::Value(b"ab"), CellRef::Value(b"c"), CellRef::Value(b""))
        );
        cells.reset(1);
        assert_eq!(cells.put_with(0, |_| Err(())), Err(()));
        assert!(cells.put(0, b"a"));
        assert_eq!(cells.whole_row(), None, "what an encoder left behind is in between");
    }
}
