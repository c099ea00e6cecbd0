//! Which columns a record carried: rows of one shape go into one COPY, and an upsert sets just those columns.

use std::collections::HashMap;

use crate::table::column_set::ColumnSet;
use crate::table::plan::Plan;

/// The shape of a row.
#[derive(Debug)]
pub struct Shape {
    /// Columns that the record carried, null or not.
    pub present: ColumnSet,
    /// Columns that its tuple has, in order: those, and every column whose default is NULL or another constant. COPY cannot
    /// say DEFAULT, so a column with any other default that the record lacks must not be in its column list.
    pub columns: Vec<u16>,
    /// A column that the record lacks and without which no row can be inserted.
    pub missing: Option<usize>,
}

impl Shape {
    /// The shape of records that carry `present`.
    pub fn new(present: ColumnSet, plan: &Plan) -> Self {
        let has = |i: &usize| present.contains(*i) || plan.constant_default(*i).is_some();
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

    pub fn iter(&self) -> impl Iterator<Item = &Shape> {
        self.shapes.iter()
    }
}

/// Which columns some records carry between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Carried {
    some: ColumnSet,
    varying: Vec<usize>,
}

impl Carried {
    pub(crate) fn by<'a>(shapes: impl IntoIterator<Item = &'a Shape>) -> Self {
        let mut shapes = shapes.into_iter();
        let first = shapes.next().map(|shape| shape.present.clone()).unwrap_or_default();
        let (mut some, mut all) = (first.clone(), first);
        for shape in shapes {
            some.add(&shape.present);
            all.retain(&shape.present);
        }
        let varying = some.iter().filter(|column| !all.contains(*column)).collect();
        Self { some, varying }
    }

    /// The columns that at least one record carries.
    pub(crate) fn some(&self) -> &ColumnSet {
        &self.some
    }

    /// The columns that some records carry and others do not, in order.
    pub(crate) fn varying(&self) -> &[usize] {
        &self.varying
    }

    /// The place of a column among the varying ones; `None` if it is not one of them.
    pub(crate) fn place(&self, column: usize) -> Option<usize> {
        self.varying.binary_search(&column).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(columns: &[usize]) -> Shape {
        let mut present = ColumnSet::new(70);
        columns.iter().for_each(|column| present.insert(*column));
        Shape { present, columns: Vec::new(), missing: None }
    }

    #[test]
    fn columns_that_only_some_records_carry_vary() {
        let carried = Carried::by(&[shape(&[0, 3, 65]), shape(&[0, 65]), shape(&[0, 69])]);
        assert_eq!(carried.some().iter().collect::<Vec<_>>(), [0, 3, 65, 69]);
        assert_eq!(carried.some().count(), 4);
        assert_eq!(carried.varying(), [3, 65, 69]);
        assert_eq!((carried.place(65), carried.place(0)), (Some(1), None));
    }

    #[test]
    fn a_shape_has_one_number_however_often_it_returns() {
        let plan = crate::batch::example::plan(false);
        let mut shapes = Shapes::default();
        let sets = [&[0][..], &[0, 1], &[0, 1], &[0]].map(|columns| {
            let mut present = ColumnSet::new(2);
            columns.iter().for_each(|column| present.insert(*column));
            present
        });
        assert_eq!(sets.each_ref().map(|present| shapes.intern(present, &plan)), [0, 1, 1, 0]);
        assert_eq!((shapes.get(0).present.count(), shapes.get(1).present.count()), (1, 2));
    }

    #[test]
    fn nothing_varies_in_records_of_one_shape() {
        assert!(Carried::by(&[shape(&[0, 3]), shape(&[0, 3])]).varying().is_empty());
        assert_eq!(Carried::by([]).some().count(), 0);
    }
}
