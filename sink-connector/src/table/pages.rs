//! How large a table is.

use postgres::Client;

use super::partitions::tree;

/// The pages of the table with this oid, with those of its partitions. A table that never had a row has none.
pub(crate) fn pages(client: &mut Client, table: u32) -> Result<f64, postgres::Error> {
    let sql = format!(
        "WITH RECURSIVE {} SELECT coalesce(sum(pg_catalog.pg_relation_size(oid)), 0)::float8 \
           / pg_catalog.current_setting('block_size')::float8 FROM tree",
        tree("$1::oid")
    );
    Ok(client.query_one(&sql, &[&table])?.get(0))
}
