//! Why a partition is not read.

use std::fmt;

use crate::types::Offset;

/// Why a partition is not consumed until an operator acts, or until its former table is back. The others go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// Kafka holds a commit of ours, PostgreSQL has no position.
    LostPosition(String),
    /// The stored position belongs to another cluster, group or table.
    ForeignPosition(String),
    /// The topic was deleted and created again.
    TopicRecreated(String),
    /// The target table was dropped and created again. The stored position is valid in the topic.
    TableRecreated(String, Offset),
    /// Records up to here have been deleted before they were read.
    BelowLogStart(String),
    /// The log ends before the position.
    BeyondLogEnd(String),
    /// There is no position, and `auto_offset_reset` is `error`.
    NoPosition(String),
}

impl Stopped {
    /// The value of the label `reason`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::LostPosition(_) => "lost_position",
            Self::ForeignPosition(_) => "foreign_position",
            Self::TopicRecreated(_) => "topic_recreated",
            Self::TableRecreated(..) => "table_recreated",
            Self::BelowLogStart(_) => "below_log_start",
            Self::BeyondLogEnd(_) => "beyond_log_end",
            Self::NoPosition(_) => "no_position",
        }
    }

    /// The stored position, if it was read and is one in this log: records from it on are not written.
    pub(crate) fn position(&self) -> Option<Offset> {
        match self {
            Self::TableRecreated(_, position) => Some(*position),
            _ => None,
        }
    }

    /// Whether the stored position means something in the log that is there now.
    pub(crate) fn is_in_this_log(&self) -> bool {
        !matches!(self, Self::TopicRecreated(_) | Self::BeyondLogEnd(_))
    }

    /// Every value of the label.
    pub const ALL: [&str; 7] = [
        "lost_position",
        "foreign_position",
        "topic_recreated",
        "table_recreated",
        "below_log_start",
        "beyond_log_end",
        "no_position",
    ];
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostPosition(text)
            | Self::ForeignPosition(text)
            | Self::TopicRecreated(text)
            | Self::TableRecreated(text, _)
            | Self::BelowLogStart(text)
            | Self::BeyondLogEnd(text)
            | Self::NoPosition(text) => f.write_str(text),
        }
    }
}
