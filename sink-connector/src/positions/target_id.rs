//! Which table the rows before a position went to. A table that was dropped and created again does not have them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Identifies a target table, beside a position.
///
/// It survives what keeps the rows: TRUNCATE, ALTER, renaming, attaching and detaching partitions, pg_upgrade. A database
/// that was dumped and restored, or replicated logically, has other oids; but then rows and positions got there together,
/// and the scope differs as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetId {
    /// Where the oid means something: the cluster, the database, and the oid of the offsets table itself.
    pub scope: Scope,
    /// `pg_class.oid` of the table.
    pub oid: u32,
}

/// Where oids can be compared, as text without `:`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope(pub String);

/// A text that is no [`TargetId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("not the identity of a table")]
pub struct InvalidTargetId;

impl TargetId {
    /// Whether `now`, the table that has the name now, is another one than this.
    pub fn is_replaced_by(&self, now: &TargetId) -> bool {
        self.scope == now.scope && self.oid != now.oid
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scope.0, self.oid)
    }
}

impl FromStr for TargetId {
    type Err = InvalidTargetId;

    fn from_str(text: &str) -> Result<Self, InvalidTargetId> {
        let (scope, oid) = text.rsplit_once(':').ok_or(InvalidTargetId)?;
        Ok(Self { scope: Scope(scope.to_owned()), oid: oid.parse().map_err(|_| InvalidTargetId)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_replaced_only_where_its_oid_means_something() {
        let id = |text: &str| text.parse::<TargetId>().unwrap();
        assert_eq!(id("7/5/16390:16402").to_string(), "7/5/16390:16402");
        assert!(id("7/5/16390:16402").is_replaced_by(&id("7/5/16390:16500")));
        assert!(!id("7/5/16390:16402").is_replaced_by(&id("7/5/16390:16402")));
        assert!(!id("7/5/16390:16402").is_replaced_by(&id("8/5/16390:16500")), "a restored cluster");
        assert!(!id("7/5/16390:16402").is_replaced_by(&id("7/5/20000:16500")), "a restored offsets table");
        assert_eq!("16402".parse::<TargetId>(), Err(InvalidTargetId));
        assert_eq!("7/5/16390:x".parse::<TargetId>(), Err(InvalidTargetId));
    }
}
