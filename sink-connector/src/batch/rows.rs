//! The encoded rows that a batch holds for one plan, with the records of one key already brought together.
//!
//! The result must equal applying the records one by one. A record that lacks a required column can change a row
//! but not make one, so what it means depends on whether the key exists: such rows stay *incomplete*, chained to
//! the later rows of their key, until the writer has looked.

mod follow;
mod kin;

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use self::kin::Relations;
use super::Skip;
use super::records::offset32;
use super::shape::{ColumnSet, Shapes};
use crate::decode::{Reason, Rejection, SlotRef, Slots};
use crate::plan::{Mode, Plan};

/// An encoded tuple: a span of the buffer, and the shape that says which columns it has.
#[derive(Clone, Copy, Debug)]
pub struct Tuple {
    start: u32,
    end: u32,
    /// The number of its shape.
    pub shape: u32,
}

/// What a row does to its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// It is written, by the plan's mode.
    Write,
    /// It is deleted.
    Delete {
        /// An earlier record of the batch, merged into this, made sure that it is there.
        certain: bool,
    },
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The record it came from; of merged records the last.
    pub record: u32,
    /// What is written when the key is new, and also when it exists unless `if_exists` is there.
    pub tuple: Tuple,
    /// What is written when the key exists, where that differs: incomplete records of the key came before.
    pub if_exists: Option<Tuple>,
    /// The row before it with the same key that is incomplete, if any; the chain ends at the first.
    pub incomplete_before: Option<u32>,
    /// It lacks a required column: it can be an update, not an insert.
    pub incomplete: bool,
    /// A later row of its key speaks for it.
    pub superseded: bool,
    /// What it does.
    pub op: Op,
    /// Rows of one key that cannot be merged are applied one after the other: in waves, each with a key once.
    pub wave: u32,
    /// The row of its key in the wave before.
    pub after: Option<u32>,
    key: (u32, u32),
}

impl Row {
    fn new(record: u32, tuple: Tuple, op: Op) -> Self {
        Self {
            record,
            tuple,
            if_exists: None,
            incomplete_before: None,
            incomplete: false,
            superseded: false,
            op,
            wave: 0,
            after: None,
            key: (0, 0),
        }
    }
}

/// What became of a record that was pushed.
#[derive(Debug)]
pub enum Pushed {
    /// It is a row now.
    Row,
    /// It is a row now, and an earlier record of the batch is merged into it.
    Superseding,
    /// It is skipped, because of an earlier record of its key.
    Skipped(Skip),
    /// It deletes what an earlier record of the batch has made, which is merged into it; nothing remains to be done.
    SupersedingDeleted,
    /// It cannot be written.
    Rejected(Rejection),
}

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
    waves: u32,
    relations: Relations,
}

impl Rows {
    /// No rows, with room for a plan of `columns`.
    pub fn new(columns: usize) -> Self {
        Self { present: ColumnSet::new(columns), ..Self::default() }
    }

    /// Encodes what `slots` hold as the row of `record`.
    pub fn push(&mut self, plan: &Plan, record: u32, slots: &Slots) -> Pushed {
        let tuple = self.encode(plan, slots);
        let missing = self.shapes.get(tuple.shape).missing;
        if let Some(column) = missing
            && (plan.key.is_none() || plan.mode == Mode::Insert)
        {
            self.buffer.truncate(tuple.start as usize);
            return Pushed::Rejected(missing_field(plan, column));
        }
        if let Some(version) = plan.version
            && !matches!(slots.get(version.column), SlotRef::Value(_))
        {
            self.buffer.truncate(tuple.start as usize);
            return Pushed::Rejected(without_version(plan, version.column));
        }
        let row = Row { incomplete: missing.is_some(), ..Row::new(record, tuple, Op::Write) };
        let pushed = self.place(plan, slots, row, Self::follow);
        if !matches!(pushed, Pushed::Row | Pushed::Superseding) {
            self.buffer.truncate(tuple.start as usize);
        } else {
            self.relations.row(plan, slots, self.rows.len());
        }
        pushed
    }

    /// Takes in the tombstone that is `record`; of `slots` the key's are there.
    pub fn push_delete(&mut self, plan: &Plan, record: u32, slots: &Slots) -> Pushed {
        let nothing = Tuple { start: 0, end: 0, shape: 0 };
        let row = Row::new(record, nothing, Op::Delete { certain: false });
        let pushed = self.place(plan, slots, row, Self::follow_by_delete);
        self.relations.delete(plan, self.rows.len());
        pushed
    }

    /// Finds the place of a row among those of its key. `follow` says what it is after an earlier one.
    fn place(
        &mut self,
        plan: &Plan,
        slots: &Slots,
        mut row: Row,
        follow: impl FnOnce(&mut Self, &Plan, u32, &mut Row) -> Pushed,
    ) -> Pushed {
        if plan.key.is_none() {
            self.add(row);
            return Pushed::Row;
        }
        let key_start = self.keys.len();
        if let Err(rejection) = push_key(&mut self.keys, plan, slots) {
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
            self.waves = self.waves.max(row.wave + 1);
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

    fn encode(&mut self, plan: &Plan, slots: &Slots) -> Tuple {
        self.present.clear();
        for i in 0..plan.columns.len() {
            if !matches!(slots.get(i), SlotRef::Absent) {
                self.present.insert(i);
            }
        }
        let shape = self.shapes.intern(&self.present, plan);
        let start = offset32(self.buffer.len());
        let columns = &self.shapes.get(shape).columns;
        put_count(&mut self.buffer, columns.len());
        for &column in columns {
            match slots.get(usize::from(column)) {
                SlotRef::Value(value) => put_field(&mut self.buffer, Some(value)),
                SlotRef::Null | SlotRef::Absent => put_field(&mut self.buffer, None),
            }
        }
        Tuple { start, end: offset32(self.buffer.len()), shape }
    }

    /// `later` over `earlier`, field by field.
    fn merge(&mut self, plan: &Plan, earlier: Tuple, later: Tuple) -> Tuple {
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
        for &column in columns {
            put_field(&mut self.buffer, fields[usize::from(column)].as_deref());
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

    /// All rows, superseded ones as well.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether a record may hide that the table would refuse another: merged into it, deleting what is in its way, or
    /// bringing what it refers to.
    pub fn hides(&self) -> bool {
        self.repeats > 0
            || self.relations.runs() > 0
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

    /// How many waves they take: see [`Row::wave`]. Without a key that comes twice, none are counted; nor without a row
    /// that must be there only after another.
    pub fn waves(&self) -> u32 {
        self.waves.max(self.relations.runs())
    }

    /// The shapes of the tuples.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// A row's key: each key column's length and bytes, as in a binary array.
    pub fn key(&self, row: &Row) -> &[u8] {
        &self.keys[row.key.0 as usize..row.key.1 as usize]
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
        self.waves = 0;
        self.relations.clear();
        self.shapes = Shapes::default();
    }
}

fn put_count(buffer: &mut Vec<u8>, columns: usize) {
    let count = i16::try_from(columns).expect("PostgreSQL has at most 1,600 columns");
    buffer.extend_from_slice(&count.to_be_bytes());
}

fn put_field(buffer: &mut Vec<u8>, field: Option<&[u8]>) {
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

fn push_key(keys: &mut Vec<u8>, plan: &Plan, slots: &Slots) -> Result<(), Rejection> {
    let columns = plan.key.as_ref().map_or(&[][..], |key| &key.columns);
    for &column in columns {
        let refuse = |reason, what| {
            let name = &plan.columns[column].name;
            Err(Rejection {
                reason,
                column: Some(name.clone()),
                detail: format!("key column {name:?} {what}"),
            })
        };
        match slots.get(column) {
            SlotRef::Value(value) => put_field(keys, Some(value)),
            SlotRef::Null => return refuse(Reason::NullValue, "is null"),
            SlotRef::Absent => return refuse(Reason::MissingField, "is missing"),
        }
    }
    Ok(())
}

/// The rejection of a record that lacks required column `column`.
pub fn missing_field(plan: &Plan, column: usize) -> Rejection {
    let name = &plan.columns[column].name;
    Rejection {
        reason: Reason::MissingField,
        column: Some(name.clone()),
        detail: format!("column {name:?} is NOT NULL without a default, and the record has no such field"),
    }
}

/// The rejection of a record without a version.
fn without_version(plan: &Plan, column: usize) -> Rejection {
    let name = &plan.columns[column].name;
    Rejection {
        reason: Reason::MissingField,
        column: Some(name.clone()),
        detail: format!("column {name:?} takes the version_field, and the record has none, or null"),
    }
}

/// The rejection of a record whose key is taken, in insert mode.
pub fn duplicate(plan: &Plan) -> Rejection {
    let columns: Vec<_> = plan.key_columns().map(|c| c.name.as_str()).collect();
    Rejection {
        reason: Reason::DuplicateKey,
        column: None,
        detail: format!(
            "a row with this key ({}) exists already, and insert_mode is insert",
            columns.join(", ")
        ),
    }
}
