//! The encoded fields of one record, in a buffer that is used again for the next.

use std::ops::Range;

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
    bytes: Vec<u8>,
    cells: Vec<Cell>,
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

impl Cells {
    /// Room for the fields of a decoder with `fields` of them.
    #[must_use]
    pub fn new(fields: usize) -> Cells {
        Cells { bytes: Vec::new(), cells: vec![ABSENT; fields] }
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

    /// Every field absent, for a record of `fields` fields. Keeps the buffers.
    pub fn reset(&mut self, fields: usize) {
        self.bytes.clear();
        self.cells.clear();
        self.cells.resize(fields, ABSENT);
    }

    /// Stores the bytes of a field that is not read from JSON; false as with [`Cells::set_value`].
    #[must_use]
    pub fn put(&mut self, index: usize, bytes: &[u8]) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.set_value(index, start..self.bytes.len())
    }

    /// The buffer to append a field's bytes to, before [`Cells::set_value`].
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes a field null.
    pub fn set_null(&mut self, index: usize) {
        self.cells[index] = NULL;
    }

    /// The field's bytes are what was appended since the buffer was `start` long. False when the buffer has
    /// outgrown 4 GiB, four times what a PostgreSQL row can be.
    pub(super) fn set_value(&mut self, index: usize, range: Range<usize>) -> bool {
        match (u32::try_from(range.start), u32::try_from(range.end)) {
            (Ok(start), Ok(end)) if end < u32::MAX => {
                self.cells[index] = Cell { start, end };
                true
            }
            _ => false,
        }
    }
}
