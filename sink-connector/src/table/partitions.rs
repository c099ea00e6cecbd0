//! The partitions of a table. The server's `pg_partition_tree` locks all of them: it waits for one that somebody has locked, and
//! fails where there are more than the server can lock (53200).

/// After `WITH RECURSIVE`: `tree(oid)`, the table or index whose oid this expression is, and its partitions on all levels.
pub(crate) fn tree(root: &str) -> String {
    format!("tree AS (SELECT {root} AS oid UNION SELECT h.inhrelid FROM tree {CHILDREN})")
}

/// After `FROM tree`: the partitions of what `tree` has, as `h.inhrelid`.
pub(crate) const CHILDREN: &str = "JOIN pg_catalog.pg_inherits h ON h.inhparent = tree.oid \
     JOIN pg_catalog.pg_class child ON child.oid = h.inhrelid AND child.relispartition";
