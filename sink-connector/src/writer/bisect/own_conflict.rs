//! Whether a unique violation is one of the plan's own key, which a higher rung overcomes.

use super::Bisection;
use crate::postgres::failure::Failure;
use crate::table::partitions::tree;
use crate::table::plan::Plan;

impl Bisection<'_> {
    /// Whether a failure is a conflict on the plan's own key. The name of its index shows it at once. Otherwise the
    /// catalog is read: the index may have been renamed, and a partition reports its own part of it.
    pub(super) fn is_own_conflict(&mut self, plan: &Plan, failure: &Failure) -> Result<bool, Failure> {
        let (Some(key), Some(index), Some(table)) =
            (&plan.key, failure.unique_violation(), failure.table.as_deref())
        else {
            return Ok(false);
        };
        if index == key.index && table == plan.name.table {
            return Ok(true);
        }
        let known = format!(
            "WITH RECURSIVE {} SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_index x \
             JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_class t ON t.oid = x.indrelid \
             WHERE i.relname = $1 AND t.relname = $2 AND (i.oid = $3 \
               OR i.oid IN (SELECT oid FROM tree)))",
            tree("$3::oid")
        );
        Ok(self.connection.client().query_one(&known, &[&index, &table, &key.index_oid])?.get(0))
    }
}
