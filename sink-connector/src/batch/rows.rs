//! The encoded rows that a batch holds for one plan, with the records of one key already brought together.
//!
//! The result must equal applying the records one by one. A record that lacks a required column can change a row
//! but not make one, so what it means depends on whether the key exists: such rows stay *incomplete*, chained to
//! the later rows of their key, until the writer has looked.

mod follow;
mod rejections;
mod row;
mod self_references;
mod tuples;

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use self::rejections::without_version;
pub(crate) use self::rejections::{duplicate, missing_field};
pub(crate) use self::row::{Op, Row};
pub use self::row::{Pushed, Tuple};
use self::self_references::EarlierReferences;
use self::tuples::push_key;
use super::records::offset32;
use super::shape::Shapes;
use crate::decode::{CellRef, Cells};
use crate::table::column_set::ColumnSet;
use crate::table::plan::{Mode, Plan};

/// Rows of one plan.
#[derive(Debug, Default)]
pub struct Rows {
    buffer: Vec<u8>,
    keys: Vec<u8>,
    rows: Vec<Row>,
    shapes: Shapes,
    latest: HashTable<u32>,
    hasher: DefaultHashBuilder,
    present: ColumnSet,
    repeats: u32,
    deletes: u32,
    deleted: u64,
    rounds: u32,
    references: EarlierReferences,
}

impl Rows {
    /// No rows, with room for a plan of `columns`.
    pub fn new(columns: usize) -> Self {
        Self { present: ColumnSet::new(columns), ..Self::default() }
    }

    /// Encodes what `cells` hold as the row of `record`.
    pub fn push(&mut self, plan: &Plan, record: u32, cells: &Cells) -> Pushed {
        let tuple = self.encode(plan, cells);
        let missing = self.shapes.get(tuple.shape).missing;
        if let Some(column) = missing
            && (plan.key.is_none() || plan.mode == Mode::Insert || plan.on_conflict_only)
        {
            self.buffer.truncate(tuple.start as usize);
            return Pushed::Rejected(missing_field(plan, column));
        }
        if let Some(version) = plan.version
            && !matches!(cells.get(version.column), CellRef::Value(_))
        {
            self.buffer.truncate(tuple.start as usize);
            return Pushed::Rejected(without_version(plan, version.column));
        }
        let row = Row { incomplete: missing.is_some(), ..Row::new(record, tuple, Op::Write) };
        let pushed = self.place(plan, cells, row, Self::follow);
        if !matches!(pushed, Pushed::Row | Pushed::Superseding) {
            self.buffer.truncate(tuple.start as usize);
        } else {
            self.references.row(plan, cells, self.rows.len());
        }
        pushed
    }

    /// Adds the tombstone that is `record`; only the key's cells are present.
    pub fn push_delete(&mut self, plan: &Plan, record: u32, cells: &Cells) -> Pushed {
        let nothing = Tuple { start: 0, end: 0, shape: 0 };
        let row = Row::new(record, nothing, Op::Delete { certain: false });
        let pushed = self.place(plan, cells, row, Self::follow_by_delete);
        self.references.delete(plan, self.rows.len());
        pushed
    }

    /// Finds the place of a row among those of its key. `follow` decides what it is after an earlier one.
    fn place(
        &mut self,
        plan: &Plan,
        cells: &Cells,
        mut row: Row,
        follow: impl FnOnce(&mut Self, &Plan, u32, &mut Row) -> Pushed,
    ) -> Pushed {
        if plan.key.is_none() {
            self.add(row);
            return Pushed::Row;
        }
        let key_start = self.keys.len();
        if let Err(rejection) = push_key(&mut self.keys, plan, cells) {
            self.keys.truncate(key_start);
            return Pushed::Rejected(rejection);
        }
        row.key = (offset32(key_start), offset32(self.keys.len()));
        let number = offset32(self.rows.len());
        let Some(previous) = self.latest_or_insert(row.key, number) else {
            self.add(row);
            return Pushed::Row;
        };
        self.repeats += 1;
        self.keys.truncate(key_start);
        row.key = self.rows[previous as usize].key;
        let pushed = follow(self, plan, previous, &mut row);
        if matches!(pushed, Pushed::Row | Pushed::Superseding) {
            self.rounds = self.rounds.max(row.round + 1);
            self.set_latest(row.key, number);
            self.add(row);
        }
        pushed
    }

    fn add(&mut self, row: Row) {
        self.deletes += u32::from(row.op != Op::Write);
        self.rows.push(row);
    }

    /// The latest row of this key; if there is none, `number`, which is about to be pushed, becomes it.
    fn latest_or_insert(&mut self, key: (u32, u32), number: u32) -> Option<u32> {
        let Self { keys, rows, latest, hasher, .. } = self;
        let bytes = |(start, end): (u32, u32)| &keys[start as usize..end as usize];
        let key_of = |n: u32| rows[n as usize].key;
        let entry = latest.entry(
            hasher.hash_one(bytes(key)),
            |n| bytes(key_of(*n)) == bytes(key),
            |n| hasher.hash_one(bytes(key_of(*n))),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(entry) => Some(*entry.get()),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                entry.insert(number);
                None
            }
        }
    }

    /// Makes `number` the latest row of a key that has one.
    fn set_latest(&mut self, key: (u32, u32), number: u32) {
        let Self { keys, rows, latest, hasher, .. } = self;
        let bytes = |(start, end): (u32, u32)| &keys[start as usize..end as usize];
        let found =
            latest.find_mut(hasher.hash_one(bytes(key)), |n| bytes(rows[*n as usize].key) == bytes(key));
        *found.expect("the key has been looked up just now") = number;
    }

    /// All rows, superseded ones as well.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether a record may hide that the table would refuse another: merged into it, deleting what is in its way, or
    /// bringing what it refers to.
    pub fn hides(&self) -> bool {
        self.repeats > 0
            || self.references.runs() > 0
            || (self.deletes > 0 && (self.deletes as usize) < self.rows.len())
    }

    /// Whether rows are to be deleted.
    pub fn deletes(&self) -> bool {
        self.deletes > 0
    }

    /// Records that deleted what an earlier record of the batch had made.
    pub fn deleted(&self) -> u64 {
        self.deleted
    }

    /// How many rounds they take: see [`Row::round`]. Without a key that comes twice, none are counted; nor without a row
    /// that must be there only after another.
    pub fn rounds(&self) -> u32 {
        self.rounds.max(self.references.runs())
    }

    /// The shapes of the tuples.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// A row's key: each key column's length and bytes, as in a binary array.
    pub fn key(&self, row: &Row) -> &[u8] {
        &self.keys[row.key.0 as usize..row.key.1 as usize]
    }

    /// The key columns of a row with their bytes.
    pub fn key_fields<'a>(&'a self, plan: &'a Plan, row: &Row) -> impl Iterator<Item = (usize, &'a [u8])> {
        let mut rest = self.key(row);
        plan.key.iter().flat_map(|key| &key.columns).map(move |&column| {
            let (len, tail) =
                rest.split_first_chunk::<4>().expect("a key has a length for each of its columns");
            let len = usize::try_from(i32::from_be_bytes(*len)).expect("a key has no nulls");
            let (field, tail) = tail.split_at(len);
            rest = tail;
            (column, field)
        })
    }

    /// The size of what is encoded, in bytes.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.keys.len()
    }

    /// Forgets the rows, and keeps the memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.keys.clear();
        self.rows.clear();
        self.latest.clear();
        self.repeats = 0;
        self.deletes = 0;
        self.deleted = 0;
        self.rounds = 0;
        self.references.clear();
        self.shapes = Shapes::default();
    }
}
