//! The target table as PostgreSQL's catalog describes it, and the fingerprint that detects changes.

pub mod constraints;
mod defaults;
pub mod types;

use postgres::Client;

use self::constraints::Constraints;
use self::types::Types;
use crate::encode::Kind;
use crate::postgres::sql::{TableName, literal};

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
    /// Of a domain: its base type, which holds any of its values and has no constraints.
    pub unconstrained_type: Option<String>,
    /// Its collation is C: text is compared byte by byte.
    pub bytewise: bool,
    /// The column or its domain refuses NULL.
    pub not_null: bool,
    /// What a row without the column gets there, if not NULL.
    pub default: Option<ColumnDefault>,
    /// GENERATED ALWAYS AS IDENTITY: COPY may write it, INSERT only with OVERRIDING SYSTEM VALUE, UPDATE never.
    pub identity_always: bool,
    /// The role may insert into it. If not, only a record that carries it may name it.
    pub insertable: bool,
}

/// What a row gets in a column that it does not carry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ColumnDefault {
    /// The value of this SQL expression, which is evaluated for each row: the DEFAULT of the column or of its type.
    Expression(String),
    /// The same, for an expression that gives the same wherever in the transaction it is evaluated: it sees neither the
    /// table nor what the transaction has done. The next value of a sequence, the time, a random value.
    Independent(String),
    /// The same value in every row.
    Constant {
        /// As an SQL expression.
        expression: String,
        /// As COPY BINARY has it; `None` for NULL.
        value: Option<Vec<u8>>,
    },
    /// The next value of its identity. Only the server may take it: a role that inserts rows needs no privilege on the
    /// sequence then.
    Identity,
}

/// A unique index that can arbitrate conflicts: valid, immediate, not partial, over plain columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UniqueIndex {
    /// The index's name, as a 23505 reports it.
    pub name: String,
    /// Its oid, which stays the same if it is renamed.
    pub oid: u32,
    /// Its key columns, in index order.
    pub columns: Vec<String>,
}

/// A table, as it was when its fingerprint was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The table's oid. A table that is dropped and created again gets another one.
    pub oid: u32,
    /// Name with its schema, for messages and metrics.
    pub full_name: String,
    /// Columns that can be written, in attnum order. Generated columns cannot.
    pub columns: Vec<Column>,
    /// If LOCK TABLE needs a privilege on the table, and the role has INSERT on columns only: one of these.
    pub insertable_column: Option<String>,
    /// Columns that are computed from others (GENERATED ALWAYS AS (…)).
    pub generated: Vec<String>,
    /// Unique indexes that can arbitrate.
    pub unique_indexes: Vec<UniqueIndex>,
    /// Text that changes with everything that an encoded batch relies on.
    pub fingerprint: String,
    /// The same for its partitions, if it has any: [`partitions_query`].
    pub partitions: Option<String>,
    /// The table or partition whose `pg_class.relpersistence` is `u`: a crash of the server empties it.
    pub unlogged: Option<String>,
    /// `pg_class.relkind`.
    pub kind: char,
    /// What may refuse or change its rows, besides types and the key.
    pub constraints: Constraints,
}

/// The query whose single value is the fingerprint of `table`; no row if the table does not exist.
///
/// It runs inside each transaction, after the table is locked against ALTER: the table must still be as the batch was
/// encoded for, because COPY BINARY does not compare types. It includes unique indexes, because plain COPY is an upsert
/// only as long as the index reports the conflict. It also includes whatever may refuse a row ([`constraints`]), because
/// records of one key are merged only if nothing can, and what the role may do, because that decides which columns are named.
pub fn fingerprint_query(table: &TableName) -> String {
    format!(
        "SELECT concat_ws(',', c.oid, c.relkind, c.relpersistence, c.relchecks, c.relhastriggers, c.relhasrules, \
                 c.relrowsecurity, c.relforcerowsecurity, '|', \
         pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
         pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'), \
         CASE WHEN NOT pg_catalog.has_table_privilege(c.oid, 'INSERT') THEN \
           (SELECT string_agg(a.attnum::text, ' ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
              AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'INSERT')) END, '|', \
         (SELECT string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, \
                 a.atthasdef, a.attgenerated, a.attidentity, {}), ';' ORDER BY a.attnum) \
          FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '|', \
         (SELECT string_agg(d.oid::text, ',' ORDER BY d.oid) \
          FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid), '|', \
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

/// The query whose single value is the fingerprint of the constraints that partitions of a partitioned table have of
/// their own: CHECKs, triggers, foreign keys, and indexes that do not belong to an index of the table.
///
/// It reads every partition (0.9 ms for 500 of them), so only transactions that rely on it run it: see
/// `writer::transaction`. Partitions without constraints of their own do not count: new ones are created every day.
/// Children by plain inheritance do not count either: rows written into their parent do not reach them.
pub fn partitions_query(table: &TableName) -> String {
    format!(
        "WITH RECURSIVE tree AS (SELECT pg_catalog.to_regclass({})::oid AS oid UNION ALL \
             SELECT h.inhrelid FROM pg_catalog.pg_inherits h JOIN tree ON h.inhparent = tree.oid) \
         SELECT pg_catalog.hashtextextended(concat_ws('|', \
           (SELECT string_agg(concat_ws(',', c.oid, c.relpersistence, c.relchecks, c.relhastriggers, \
                (SELECT string_agg(k.oid::text, ' ' ORDER BY k.oid) FROM pg_catalog.pg_constraint k \
                 WHERE c.relhastriggers AND k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0)), \
              ';' ORDER BY c.oid) \
            FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid \
            WHERE c.relpersistence = 'u' OR c.relchecks > 0 OR c.relhastriggers), \
           (SELECT string_agg(i.indexrelid::text, ';' ORDER BY i.indexrelid) \
            FROM tree JOIN pg_catalog.pg_index i ON i.indrelid = tree.oid \
            WHERE (i.indisunique OR i.indisexclusion OR i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) \
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.indexrelid))), 0)::text",
        literal(&table.sql())
    )
}

/// Reads `table` from the catalog; `None` if it does not exist.
///
/// The fingerprint is read first: after a change between the queries, it does not match in the first transaction, and
/// everything is read again.
pub fn read_table(client: &mut Client, table: &TableName) -> Result<Option<Table>, postgres::Error> {
    let Some(row) = client.query_opt(&fingerprint_query(table), &[])? else { return Ok(None) };
    let fingerprint: String = row.get(0);
    let row = client.query_opt(
        &format!(
            "WITH RECURSIVE tree AS (SELECT pg_catalog.to_regclass({0})::oid AS oid UNION ALL \
                 SELECT h.inhrelid FROM pg_catalog.pg_inherits h JOIN tree ON h.inhparent = tree.oid) \
             SELECT c.oid, n.nspname::text, c.relname::text, \
                    (SELECT min(p.oid::pg_catalog.regclass::text) FROM tree JOIN pg_catalog.pg_class p ON p.oid = tree.oid \
                     WHERE p.relpersistence = 'u' AND (p.oid = c.oid OR c.relkind = 'p')), c.relkind::text \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = pg_catalog.to_regclass({0})",
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
    let columns = read_columns(client, oid, &types)?;
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
    let constraints = constraints::read(client, oid)?;
    Ok(Some(Table {
        oid,
        full_name,
        columns,
        insertable_column: read_insertable_column(client, oid)?,
        generated: read_generated(client, oid)?,
        unique_indexes,
        fingerprint,
        partitions,
        unlogged: row.get(3),
        kind: kind.chars().next().unwrap_or('r'),
        constraints,
    }))
}

fn read_columns(client: &mut Client, table: u32, types: &Types) -> Result<Vec<Column>, postgres::Error> {
    let rows = client.query(
        &format!("SELECT a.attname::text, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod), \
                    pg_catalog.format_type(a.atttypid, -1), a.attnotnull, a.attidentity <> '', \
                    COALESCE(k.collcollate IN ('C', 'POSIX'), false), pg_catalog.pg_get_expr(d.adbin, d.adrelid), {}, \
                    a.attidentity = 'a', pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'INSERT'), {} \
             FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation \
             LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
             ORDER BY a.attnum",
            defaults::IS_CONSTANT,
            defaults::IS_INDEPENDENT
        ),
        &[&table],
    )?;
    let mut columns: Vec<Column> = rows
        .iter()
        .map(|row| {
            let (type_oid, typmod) = (row.get(1), row.get(2));
            let resolved = types.resolve(type_oid, typmod);
            let expression = row.get::<_, Option<String>>(8).or(resolved.default);
            let default = if row.get(6) {
                Some(ColumnDefault::Identity)
            } else if row.get(12) {
                expression.map(ColumnDefault::Independent)
            } else {
                expression.map(ColumnDefault::Expression)
            };
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
                default,
                identity_always: row.get(10),
                insertable: row.get(11),
            }
        })
        .collect();
    let constants: Vec<usize> = (0..columns.len())
        .filter(|&n| rows[n].get(9) && columns[n].unconstrained_type.is_none() && columns[n].kind.is_binary())
        .collect();
    defaults::read_constants(client, &mut columns, &constants)?;
    Ok(columns)
}

/// A column that the role may insert into, if it may not lock the table: that needs a privilege on the whole table.
fn read_insertable_column(client: &mut Client, table: u32) -> Result<Option<String>, postgres::Error> {
    let sql = "SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 \
               AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' \
               AND NOT pg_catalog.has_table_privilege(a.attrelid, 'INSERT, UPDATE, DELETE, TRUNCATE') \
               AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'INSERT') ORDER BY a.attnum LIMIT 1";
    Ok(client.query_opt(sql, &[&table])?.map(|row| row.get(0)))
}

/// The names of the columns that are computed from others.
fn read_generated(client: &mut Client, table: u32) -> Result<Vec<String>, postgres::Error> {
    let sql = "SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 \
               AND NOT a.attisdropped AND a.attgenerated <> '' ORDER BY a.attnum)";
    Ok(client.query_one(sql, &[&table])?.get(0))
}
