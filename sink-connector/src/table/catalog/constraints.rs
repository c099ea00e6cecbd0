//! What may refuse or change a row, besides types and the key: constraints, triggers, policies, rules, other indexes.

use postgres::Client;

use super::types::FIRST_USER_OID;
use crate::table::partitions::{CHILDREN, tree};

/// Types (`pg_type.oid`) whose values the server takes for equal only if their bytes are: bool, bytea, int8, int2, int4, text,
/// oid, varchar, date, time, timestamp, timestamptz, uuid. Enums as well. Not `"char"` and `name`, which cut a text off.
const EXACT_TYPES: &str = "16, 17, 20, 21, 23, 25, 26, 1043, 1082, 1083, 1114, 1184, 2950";

/// Whether something of the tables of the `tree`, other than triggers and rules, calls a function that is not the server's own, or
/// a change of theirs cascades to a table with triggers.
fn calls_functions() -> String {
    format!(
        "(EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
       WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid >= {FIRST_USER_OID} AND \
         (d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid IN (SELECT k.oid FROM pg_catalog.pg_constraint k \
            WHERE k.conrelid IN (SELECT tree.oid FROM tree) OR k.contypid IN (SELECT a.atttypid FROM pg_catalog.pg_attribute a \
              WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped)) \
          OR d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid IN (SELECT f.oid FROM pg_catalog.pg_attrdef f \
            WHERE f.adrelid IN (SELECT tree.oid FROM tree)) \
          OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid IN (SELECT i.indexrelid FROM pg_catalog.pg_index i \
            WHERE i.indrelid IN (SELECT tree.oid FROM tree)) \
          OR d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid IN (SELECT p.oid FROM pg_catalog.pg_policy p \
            WHERE p.polrelid = $1))) \
     OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_trigger g ON g.tgrelid = k.conrelid \
       WHERE k.contype = 'f' AND k.confrelid IN (SELECT tree.oid FROM tree) AND NOT g.tgisinternal \
         AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))))"
    )
}

/// What may refuse or change a row of a table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Constraints {
    /// Something may refuse a row because of its values: a CHECK, a foreign key, an exclusion constraint, a domain, a
    /// generated column, a trigger, a policy, an encoding without some characters.
    pub refuses: bool,
    /// COPY cannot write the table, or would bypass its rules: row-level security, rules, views, foreign tables.
    pub insert_only: bool,
    /// Rules rewrite an INSERT, so its row count is meaningless.
    pub rules: bool,
    /// Every index of the table, and those of its partitions that do not belong to an index of the table.
    pub indexes: Vec<Index>,
    /// Columns whose values the server takes for equal only if their bytes are.
    pub exact_columns: Vec<String>,
    /// Foreign keys of the table, or of one of its partitions, to itself.
    pub self_references: Vec<SelfReference>,
    /// Columns with a trigger that an UPDATE fires only by naming them (`UPDATE OF`).
    pub update_triggers: Vec<String>,
    /// The role may read every column.
    pub readable: bool,
    /// It has triggers of its own, or its statements reach other tables: partitions, children.
    pub has_triggers_or_children: bool,
    /// Triggers, rules, constraints, defaults, indexes or policies, its own or those of a partition or of a table that its
    /// changes cascade to, run functions, which can do anything to the session.
    pub runs_functions: bool,
}

/// A foreign key between the rows of one table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelfReference {
    /// Pairs of a referring and a referenced column.
    pub columns: Vec<(String, String)>,
    /// Whether one row refers to another can be decided from the bytes of these columns: no trigger changes them, and
    /// the server takes them for equal only if their bytes are.
    pub exact: bool,
}

/// An index that may refuse a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Index {
    /// Its oid.
    pub oid: u32,
    /// It refuses a row that conflicts with another: a unique index or an exclusion constraint.
    pub exclusive: bool,
    /// It may refuse a row by itself, because an expression fails. (Every index refuses an entry of more than about 2,700
    /// bytes. That a later record of the key may hide such a value is accepted, or records could never be merged.)
    pub refuses: bool,
    /// Its columns; empty if it has expressions or a predicate, which may read any column.
    pub columns: Vec<String>,
    /// If it is a unique index of columns: those that it compares, each with its operator class and collation.
    pub compares: Vec<String>,
}

/// Reads the constraints of the table with this oid.
pub fn read(client: &mut Client, table: u32) -> Result<Constraints, postgres::Error> {
    let row = client.query_one(
        &format!("WITH RECURSIVE {}, \
              rules AS (SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite w WHERE w.ev_class = $1 AND w.ev_type <> '1') AS any) \
         SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k JOIN tree ON k.conrelid = tree.oid \
                        WHERE k.contype IN ('c', 'f', 'x', 't')) \
             OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g JOIN tree ON g.tgrelid = tree.oid WHERE NOT g.tgisinternal) \
             OR EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid \
                        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
                          AND (a.attgenerated <> '' OR y.typtype NOT IN ('b', 'e'))) \
             OR pg_catalog.row_security_active(c.oid) OR c.relkind IN ('v', 'f') OR rules.any \
             OR pg_catalog.current_setting('server_encoding') <> 'UTF8', \
                pg_catalog.row_security_active(c.oid) OR c.relkind IN ('v', 'f') OR rules.any, \
                rules.any AND c.relkind <> 'v', \
                ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a \
                      JOIN pg_catalog.pg_type y ON y.oid = a.atttypid \
                      LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation \
                      WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
                        AND coalesce(o.collisdeterministic, true) \
                        AND (y.typtype = 'e' OR y.oid = ANY ($2::text::oid[]))), \
                pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
                c.relhassubclass \
                  OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal), \
                rules.any OR c.relkind IN ('v', 'f') \
                  OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g JOIN tree ON g.tgrelid = tree.oid WHERE NOT g.tgisinternal) \
                  OR {} \
         FROM pg_catalog.pg_class c, rules WHERE c.oid = $1", tree("$1::oid"), calls_functions()),
        &[&table, &format!("{{{EXACT_TYPES}}}")],
    )?;
    let indexes = client
        .query(
            &format!(
                "WITH RECURSIVE {} \
             SELECT i.indexrelid, i.indisunique OR i.indisexclusion, \
                    i.indexprs IS NOT NULL OR i.indpred IS NOT NULL, \
                    CASE WHEN i.indexprs IS NULL AND i.indpred IS NULL \
                         THEN ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a \
                                    WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])) \
                         ELSE '{{}}' END, \
                    CASE WHEN i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL \
                         THEN ARRAY(SELECT concat_ws(',', k.opclass, k.collation_oid, a.attname) \
                                    FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1], i.indclass::oid[], \
                                                i.indcollation::oid[]) k(attnum, opclass, collation_oid) \
                                    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) \
                         ELSE '{{}}' END \
             FROM pg_catalog.pg_index i JOIN tree ON tree.oid = i.indrelid \
             WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.indexrelid)",
                tree("$1::oid")
            ),
            &[&table],
        )?
        .iter()
        .map(|row| Index {
            oid: row.get(0),
            exclusive: row.get(1),
            refuses: row.get(2),
            columns: row.get(3),
            compares: row.get(4),
        })
        .collect();
    let self_references = read_self_references(client, table)?;
    Ok(Constraints {
        refuses: row.get(0),
        insert_only: row.get(1),
        rules: row.get(2),
        exact_columns: row.get(3),
        indexes,
        self_references,
        update_triggers: read_update_triggers(client, table)?,
        readable: row.get(4),
        has_triggers_or_children: row.get(5),
        runs_functions: row.get(6),
    })
}

/// The columns named by `UPDATE OF` triggers of the table with this oid or of a table that an UPDATE of it reaches.
fn read_update_triggers(client: &mut Client, table: u32) -> Result<Vec<String>, postgres::Error> {
    let rows = client.query(
        "WITH RECURSIVE tree AS (SELECT $1::oid AS oid UNION \
             SELECT h.inhrelid FROM pg_catalog.pg_inherits h JOIN tree ON h.inhparent = tree.oid) \
         SELECT DISTINCT a.attname::text FROM tree JOIN pg_catalog.pg_trigger g ON g.tgrelid = tree.oid \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = g.tgrelid AND a.attnum = ANY (g.tgattr::int2[]) \
         WHERE NOT g.tgisinternal",
        &[&table],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Reads the foreign keys between rows of the table with this oid. For a view, these are the keys of the tables that it
/// reads, under other column names.
fn read_self_references(client: &mut Client, table: u32) -> Result<Vec<SelfReference>, postgres::Error> {
    let rows = client.query(
        &format!("WITH RECURSIVE target AS (\
             SELECT $1::oid AS oid \
             UNION SELECT d.refobjid FROM target \
               JOIN pg_catalog.pg_rewrite w ON w.ev_class = target.oid \
               JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid \
                 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass), \
         tree AS MATERIALIZED (SELECT oid AS root, oid FROM target \
             UNION SELECT tree.root, h.inhrelid FROM tree {CHILDREN}), \
         pairs AS (SELECT f.oid, u.n, a.attname::text AS refers, b.attname::text AS referred, \
                 tree.root = $1 AND a.attgenerated = '' AND a.atttypid = b.atttypid \
                   AND coalesce(o.collisdeterministic, true) AND (y.typtype = 'e' OR y.oid = ANY ($2::text::oid[])) \
                   AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g JOIN tree t ON g.tgrelid = t.oid \
                                   WHERE NOT g.tgisinternal) AS exact \
             FROM pg_catalog.pg_constraint f JOIN tree ON tree.oid = f.conrelid \
             CROSS JOIN unnest(f.conkey, f.confkey) WITH ORDINALITY u(refers, referred, n) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.refers \
             JOIN pg_catalog.pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = u.referred \
             JOIN pg_catalog.pg_type y ON y.oid = a.atttypid \
             LEFT JOIN pg_catalog.pg_collation o ON o.oid = b.attcollation \
             WHERE f.contype = 'f' AND f.conparentid = 0 \
               AND EXISTS (SELECT 1 FROM tree t WHERE t.root = tree.root AND t.oid = f.confrelid)) \
         SELECT array_agg(refers ORDER BY n), array_agg(referred ORDER BY n), bool_and(exact) FROM pairs GROUP BY oid"),
        &[&table, &format!("{{{EXACT_TYPES}}}")],
    )?;
    let pairs = |row: &postgres::Row| -> Vec<(String, String)> {
        row.get::<_, Vec<String>>(0).into_iter().zip(row.get::<_, Vec<String>>(1)).collect()
    };
    Ok(rows.iter().map(|row| SelfReference { columns: pairs(row), exact: row.get(2) }).collect())
}
