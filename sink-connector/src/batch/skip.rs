//! Why a record is skipped.

/// Why a record is skipped: the values of the label `reason` of `sink_records_skipped_total`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Skip {
    /// A later record of its key was merged over it.
    Superseded,
    /// insert_ignore, and the key exists.
    Exists,
    /// A trigger of the table dropped the row without an error.
    Trigger,
    /// A tombstone, and deleting is not enabled.
    Tombstone,
    /// A tombstone, and its key does not exist.
    Absent,
    /// The key exists with a newer version.
    Stale,
}

impl Skip {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Superseded, Self::Exists, Self::Trigger, Self::Tombstone, Self::Absent, Self::Stale];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Exists => "exists",
            Self::Trigger => "trigger",
            Self::Tombstone => "tombstone",
            Self::Absent => "absent",
            Self::Stale => "stale",
        }
    }
}
