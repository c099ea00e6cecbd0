//! The target table as PostgreSQL's catalog describes it, and the fingerprint by which a change is noticed.

pub mod judges;
pub mod types;

use postgres::Client;

use self::judges::Judges;
use self::types::Types;
use crate::encode::Kind;
use crate::sql::{TableName, literal};

/// One column that can be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, -1 for none.
    pub typmod: i32,
    /// The type as SQL writes it, with its modifier.
    pub type_name: String,
    /// The type without its modifier, for casts.
    pub base_type_name: String,
    /// How its values are encoded.
    pub kind: Kind,
    /// Of a domain: the type it is over, which holds any value of it without its constraints.
    pub unconstrained_type: Option<String>,
    /// Its text is compared byte by byte: its collation is C.
    pub bytewise: bool,
    /// NULL is refused, by the column or by its domain.
    pub not_null: bool,
    /// A value is made up when the row does not carry one: DEFAULT, of the column or of its type, or identity.
    pub has_default: bool,
}

/// A unique index that can arbitrate conflicts: valid, immediate, whole, over plain columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UniqueIndex {
    /// The index's name, as a 23505 reports it.
    pub name: String,
    /// Its oid, which outlives its name.
    pub oid: u32,
    /// Its key columns, in index order.
    pub columns: Vec<String>,
}

/// A table, as it was when its fingerprint was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The table's oid: a table dropped and created again is another one.
    pub oid: u32,
    /// Name with its schema, for messages and metrics.
    pub full_name: String,
    /// Columns that can be written, in attnum order (generated ones are left out).
    pub columns: Vec<Column>,
    /// Unique indexes that can arbitrate.
    pub unique_indexes: Vec<UniqueIndex>,
    /// The text that changes when anything does that an encoded batch relies on.
    pub fingerprint: String,
    /// The same for its partitions, if it has any: [`partitions_query`].
    pub partitions: Option<String>,
    /// `pg_class.relpersistence` is `u`: a crash of the server empties the table.
    pub unlogged: bool,
    /// `pg_class.relkind`.
    pub kind: char,
    /// What decides about its rows beside their types and the key.
    pub judges: Judges,
}

/// The query whose single value is the fingerprint of `table`; no row when there is no such table.
///
/// It runs inside each transaction, after the table is locked against ALTER: what the batch was encoded for must
/// still hold, because COPY BINARY does not compare types. Unique indexes belong to it, because plain COPY is an
/// upsert only as long as the index reports the conflict; and so does whatever may refuse a row ([`judges`]), because
/// records of one key are merged only where nothing does.
pub fn fingerprint_query(table: &TableName) -> String {
    format!(
        "SELECT concat_ws(',', c.oid, c.relkind, c.relpersistence, c.relchecks, c.relhastriggers, c.relhasrules, \
                 c.relrowsecurity, c.relforcerowsecurity, '|', \
         (SELECT string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, \
                 a.atthasdef, a.attgenerated, a.attidentity, {}), ';' ORDER BY a.attnum) \
          FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '|', \
         (SELECT string_agg(concat_ws(',', i.indexrelid, i.indkey, i.indisvalid), ';' ORDER BY i.indexrelid) \
          FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)), '|', \
         (SELECT string_agg(k.oid::text, ',' ORDER BY k.oid) \
          FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f', 'x', 't')), '|', \
         (SELECT string_agg(g.oid::text, ',' ORDER BY g.oid) \
          FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)) \
         FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass({})",
        types::fingerprint(),
        literal(&table.sql())
    )
}

/// The query whose single value is the fingerprint of what a partitioned table's partitions judge rows by, each on its
/// own: CHECKs, triggers, foreign keys, and indexes that are no part of one of the table's.
///
/// It looks at every partition (0.9 ms for 500 of them), and so only the transactions that rely on it ask: see
/// [`crate::writer::transaction`]. Partitions that add nothing of their own are left out: new ones come every day.
/// Children by plain inheritance are none of this: what is written into their parent does not reach them.
pub fn partitions_query(table: &TableName) -> String {
    format!(
        "WITH RECURSIVE tree AS (SELECT pg_catalog.to_regclass({})::oid AS oid UNION ALL \
             SELECT h.inhrelid FROM pg_catalog.pg_inherits h JOIN tree ON h.inhparent = tree.oid) \
         SELECT pg_catalog.hashtextextended(concat_ws('|', \
           (SELECT string_agg(concat_ws(',', c.oid, c.relchecks, c.relhastriggers, \
                (SELECT string_agg(k.oid::text, ' ' ORDER BY k.oid) FROM pg_catalog.pg_constraint k \
                 WHERE c.relhastriggers AND k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0)), \
              ';' ORDER BY c.oid) \
            FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid WHERE c.relchecks > 0 OR c.relhastriggers), \
           (SELECT string_agg(i.indexrelid::text, ';' ORDER BY i.indexrelid) \
            FROM tree JOIN pg_catalog.pg_index i ON i.indrelid = tree.oid \
            WHERE (i.indisunique OR i.indisexclusion OR i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) \
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.indexrelid))), 0)::text",
        literal(&table.sql())
    )
}

/// Reads `table` from the catalog; `None` when it does not exist.
///
/// The fingerprint is read first: a change between the queries gives a fingerprint that no longer matches at the
/// first transaction, and everything is read again.
pub fn read_table(client: &mut Client, table: &TableName) -> Result<Option<Table>, postgres::Error> {
    let Some(row) = client.query_opt(&fingerprint_query(table), &[])? else { return Ok(None) };
    let fingerprint: String = row.get(0);
    let row = client.query_opt(
        &format!(
            "SELECT c.oid, n.nspname::text, c.relname::text, c.relpersistence = 'u', c.relkind::text \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = pg_catalog.to_regclass({})",
            literal(&table.sql())
        ),
        &[],
    )?;
    let Some(row) = row else { return Ok(None) };
    let oid: u32 = row.get(0);
    let kind: String = row.get(4);
    let full_name = format!("{}.{}", row.get::<_, String>(1), row.get::<_, String>(2));
    let types = Types::read(client, oid)?;
    let partitions = match kind.as_str() {
        "p" => Some(client.query_one(&partitions_query(table), &[])?.get(0)),
        _ => None,
    };
    let columns = client
        .query(
            "SELECT a.attname::text, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod), \
                    pg_catalog.format_type(a.atttypid, -1), a.attnotnull, a.atthasdef OR a.attidentity = 'd', \
                    COALESCE(k.collcollate IN ('C', 'POSIX'), false) \
             FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation \
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
               AND a.attidentity <> 'a' ORDER BY a.attnum",
            &[&oid],
        )?
        .iter()
        .map(|row| {
            let (type_oid, typmod) = (row.get(1), row.get(2));
            let resolved = types.resolve(type_oid, typmod);
            Column {
                name: row.get(0),
                type_oid,
                typmod,
                type_name: row.get(3),
                base_type_name: row.get(4),
                kind: resolved.kind,
                unconstrained_type: resolved.unconstrained,
                bytewise: row.get(7),
                not_null: row.get::<_, bool>(5) || resolved.not_null,
                has_default: row.get::<_, bool>(6) || resolved.has_default,
            }
        })
        .collect();
    let unique_indexes = client
        .query(
            "SELECT x.relname::text, ARRAY(SELECT a.attname::text \
                FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY k(attnum, n) \
                JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.n), i.indexrelid \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
             WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate \
               AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY i.indisprimary DESC, x.relname",
            &[&oid],
        )?
        .iter()
        .map(|row| UniqueIndex { name: row.get(0), columns: row.get(1), oid: row.get(2) })
        .collect();
    let judges = judges::read(client, oid)?;
    Ok(Some(Table {
        oid,
        full_name,
        columns,
        unique_indexes,
        fingerprint,
        partitions,
        unlogged: row.get(3),
        kind: kind.chars().next().unwrap_or('r'),
        judges,
    }))
}
