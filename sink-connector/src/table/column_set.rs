//! Sets of a plan's columns, by their indexes.

/// A set of columns of a plan.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ColumnSet(Vec<u64>);

impl ColumnSet {
    /// The empty set, with room for `columns`.
    pub fn new(columns: usize) -> Self {
        Self(vec![0; columns.div_ceil(64)])
    }

    /// All of so many columns.
    pub fn full(columns: usize) -> Self {
        let mut all = Self::new(columns);
        all.fill(columns);
        all
    }

    /// Makes it all of so many columns.
    pub fn fill(&mut self, columns: usize) {
        self.0.fill(u64::MAX);
        let rest = columns % 64;
        if let Some(last) = self.0.last_mut().filter(|_| rest > 0) {
            *last = (1 << rest) - 1;
        }
    }

    /// Adds a column.
    pub fn insert(&mut self, column: usize) {
        self.0[column / 64] |= 1 << (column % 64);
    }

    /// Takes a column out.
    pub fn remove(&mut self, column: usize) {
        self.0[column / 64] &= !(1 << (column % 64));
    }

    pub fn contains(&self, column: usize) -> bool {
        self.0[column / 64] & (1 << (column % 64)) != 0
    }

    pub fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, other)| other & !mine == 0)
    }

    /// The columns of both.
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a | b).collect())
    }

    /// The columns that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    /// Adds the columns of `other`.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, other)| *mine |= other);
    }

    /// Keeps only columns of `other`.
    pub fn retain(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, other)| *mine &= other);
    }

    /// Its columns, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 64).filter(|column| self.contains(*column))
    }

    /// How many columns it has.
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has no column.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }
}
