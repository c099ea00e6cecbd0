//! One row of a plan, and what became of the record that was pushed for it.

use crate::batch::Skip;
use crate::decode::Rejection;

/// An encoded tuple: a span of the buffer, and the shape that says which columns it has.
#[derive(Clone, Copy, Debug)]
pub struct Tuple {
    pub(super) start: u32,
    pub(super) end: u32,
    /// The number of its shape.
    pub shape: u32,
}

/// What a row does to its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// It is written, by the plan's mode.
    Write,
    Delete {
        /// An earlier record of the batch, merged into this, made sure that it is there.
        certain: bool,
    },
}

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
    /// A later row of its key replaces it.
    pub superseded: bool,
    /// What it does.
    pub op: Op,
    /// Rows of one key that cannot be merged are applied one after the other: in rounds, each with a key once.
    pub round: u32,
    /// The row of its key in the round before.
    pub after: Option<u32>,
    pub(super) key: (u32, u32),
}

impl Row {
    /// Whether it is written, not deleted.
    pub fn writes(&self) -> bool {
        self.op == Op::Write
    }

    pub(super) fn new(record: u32, tuple: Tuple, op: Op) -> Self {
        Self {
            record,
            tuple,
            if_exists: None,
            incomplete_before: None,
            incomplete: false,
            superseded: false,
            op,
            round: 0,
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
