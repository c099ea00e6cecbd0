//! How far a control row gets that is there already, and whether that is as far as the record got that failed.

use super::Bisection;
use crate::postgres::failure::Failure;
use crate::table::partitions::tree;
use crate::table::plan::Plan;

/// It has more than one index, or those of its partitions differ.
const SEVERAL_INDEXES: &str = "1 < (SELECT count(*) FROM pg_catalog.pg_index i JOIN tree ON i.indrelid = tree.oid \
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.indexrelid))";
/// Such an index calls functions that are not the server's own.
const INDEXES_CALL: &str = "EXISTS (SELECT FROM pg_catalog.pg_index i JOIN tree ON i.indrelid = tree.oid \
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid \
       AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass)";
/// An update changes rows of other tables as well.
const CASCADES: &str = "EXISTS (SELECT FROM pg_catalog.pg_constraint k JOIN tree ON k.confrelid = tree.oid \
     WHERE k.contype = 'f' AND k.confupdtype IN ('c', 'n', 'd'))";

impl Bisection<'_> {
    /// Whether more is done for a row after it is found to exist in an index, and may be what fails: other indexes, triggers,
    /// those of foreign keys included. A function of a procedural language is called by none of them but triggers of the
    /// table and an index of its own.
    pub(super) fn more_follows(&mut self, plan: &Plan, failure: &Failure) -> Result<bool, Failure> {
        // pg_trigger.tgtype: 4 is INSERT, 2 is BEFORE, 64 is INSTEAD OF.
        let (own, indexes) = match failure.is_in_a_function() {
            true => ("AND NOT g.tgisinternal", INDEXES_CALL),
            false => ("", SEVERAL_INDEXES),
        };
        self.has(
            plan,
            &format!("{} OR {indexes}", trigger(&format!("g.tgtype & 4 = 4 AND g.tgtype & 66 = 0 {own}"))),
        )
    }

    /// Whether an update that changes nothing may pass where another would not: indexes do not see it, and conditions of
    /// triggers may leave it out.
    pub(super) fn unchanged_may_pass(&mut self, plan: &Plan, failure: &Failure) -> Result<bool, Failure> {
        // pg_trigger.tgtype: 16 is UPDATE.
        let conditional = trigger("g.tgtype & 16 = 16 AND g.tgqual IS NOT NULL");
        let more = match failure.is_in_a_function() {
            true => format!("{INDEXES_CALL} OR {CASCADES}"),
            false => SEVERAL_INDEXES.to_owned(),
        };
        self.has(plan, &format!("{conditional} OR {more}"))
    }

    /// What is written through a view or a rule, or into a foreign table, may have more than the catalog shows here.
    fn has(&mut self, plan: &Plan, condition: &str) -> Result<bool, Failure> {
        if plan.insert_only || plan.lock.is_none() {
            return Ok(true);
        }
        let sql = format!("WITH RECURSIVE {} SELECT {condition}", tree("pg_catalog.to_regclass($1)::oid"));
        Ok(self.connection.client().query_one(&sql, &[&plan.target])?.get(0))
    }
}

/// The table has such a trigger `g`.
fn trigger(condition: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN tree ON g.tgrelid = tree.oid \
         WHERE g.tgenabled <> 'D' AND {condition})"
    )
}
