//! The order of a record's fields, predicted from the record before it.

/// Which field came after which in the last record. Producers keep their order, so this is nearly always right; where it is
/// wrong, only time is lost, because the name is compared anyway.
#[derive(Debug, Default)]
pub(super) struct FieldOrder(Vec<usize>);

impl FieldOrder {
    /// The field that probably comes next. `place` is 0 at the start of a record, otherwise the last field's index + 1.
    #[inline]
    pub(super) fn expected(&self, place: usize) -> usize {
        self.0.get(place).copied().unwrap_or(place)
    }

    /// Remembers that `field` came at `place`.
    pub(super) fn learn(&mut self, place: usize, field: usize) {
        while self.0.len() <= place {
            self.0.push(self.0.len());
        }
        self.0[place] = field;
    }
}
