//! Which columns a record carried: rows of one shape go into one COPY, and an upsert sets just those columns.

use std::collections::HashMap;

use crate::table::plan::Plan;

/// A set of columns of a plan.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ColumnSet(Vec<u64>);

impl ColumnSet {
    /// The empty set, with room for `columns`.
    pub fn new(columns: usize) -> Self {
        Self(vec![0; columns.div_ceil(64)])
    }

    /// Adds a column.
    pub fn insert(&mut self, column: usize) {
        self.0[column / 64] |= 1 << (column % 64);
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

    /// Empties it.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }
}

/// The shape of a row.
#[derive(Debug)]
pub struct Shape {
    /// Columns that the record carried, null or not.
    pub present: ColumnSet,
    /// Columns that its tuple has, in order: those, and every column without a default (as NULL). COPY cannot say
    /// DEFAULT, so a column with a default that the record lacks must not be in its column list.
    pub columns: Vec<u16>,
    /// A column that the record lacks and without which no row can be inserted.
    pub missing: Option<usize>,
}

impl Shape {
    /// The shape of records that carry `present`.
    pub fn new(present: ColumnSet, plan: &Plan) -> Self {
        let has = |i: &usize| present.contains(*i) || !plan.columns[*i].has_default;
        let columns = (0..plan.columns.len())
            .filter(has)
            .map(|i| u16::try_from(i).expect("PostgreSQL has at most 1,600 columns"))
            .collect();
        let missing = (0..plan.columns.len()).find(|&i| !present.contains(i) && plan.required(i));
        Self { present, columns, missing }
    }
}

/// The shapes seen in a batch; nearly always one.
#[derive(Debug, Default)]
pub struct Shapes {
    shapes: Vec<Shape>,
    numbers: HashMap<ColumnSet, u32>,
    last: u32,
}

impl Shapes {
    /// The number of the shape that carries `present`.
    pub fn intern(&mut self, present: &ColumnSet, plan: &Plan) -> u32 {
        if self.shapes.get(self.last as usize).is_some_and(|s| s.present == *present) {
            return self.last;
        }
        self.last = match self.numbers.get(present) {
            Some(number) => *number,
            None => {
                let number = super::records::offset32(self.shapes.len());
                self.shapes.push(Shape::new(present.clone(), plan));
                self.numbers.insert(present.clone(), number);
                number
            }
        };
        self.last
    }

    pub fn get(&self, n: u32) -> &Shape {
        &self.shapes[n as usize]
    }
}
