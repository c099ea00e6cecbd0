//! The types of a table's columns from the catalog: domains resolved to their base types, arrays to their elements.

mod declared;

use std::collections::HashMap;
use std::sync::Arc;

use postgres::Client;

use crate::encode::{Array, Enum, Kind};

/// The first object id of user-defined objects (`FirstNormalObjectId`). Types below it never change.
pub(super) const FIRST_USER_OID: u32 = 16_384;
/// The first version that stores infinite numerics.
const INFINITE_NUMERIC: i32 = 140_000;
/// The most levels of domains over arrays of domains and so on. A bound, not met in practice.
const MAX_DEPTH: usize = 32;

/// One row of `pg_type`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Type {
    /// In SQL syntax.
    name: String,
    is_enum: bool,
    /// Of a domain: its base type, the modifier, and the base type in SQL syntax.
    base: Option<(u32, i32, String)>,
    /// Of an array type: its element.
    element: Option<u32>,
    delimiter: u8,
    not_null: bool,
    /// Its DEFAULT, as an SQL expression.
    default: Option<String>,
    /// Its input and receive functions are those of `text`.
    is_text: bool,
    labels: Vec<String>,
}

/// The types of a table's columns, with their base and element types.
#[derive(PartialEq, Eq, Debug)]
pub struct Types {
    types: HashMap<u32, Type>,
    infinite_numeric: bool,
}

/// A column's type, resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// How its values are encoded.
    pub kind: Kind,
    /// A domain refuses NULL.
    pub not_null: bool,
    /// The DEFAULT of the type itself, as an SQL expression.
    pub default: Option<String>,
    /// Of a domain: its base type in SQL syntax, which has no constraints. It has no modifier either: a cast to bit(3)
    /// truncates a value that the column refuses.
    pub unconstrained: Option<String>,
}

/// An SQL expression that changes with the type of column `a` (of `pg_attribute`): labels of an enum, the base of a
/// domain. NULL for built-in types, without a look-up.
pub fn fingerprint() -> String {
    format!(
        "CASE WHEN a.atttypid >= {FIRST_USER_OID} THEN (WITH RECURSIVE y AS ( \
           SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typelem, t.typnotnull, t.typdefault \
           FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid UNION ALL \
           SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typelem, t.typnotnull, t.typdefault \
           FROM y JOIN pg_catalog.pg_type t \
             ON t.oid = CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.typelem END) \
         SELECT string_agg(concat_ws(' ', y.oid, y.typtype, y.typtypmod, y.typnotnull, y.typdefault, \
           (SELECT string_agg(concat(e.oid, e.enumlabel), ' ' ORDER BY e.oid) \
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = y.oid)), ' ' ORDER BY y.oid) FROM y) END"
    )
}

impl Types {
    /// Reads the types of the columns of the table with this oid.
    pub fn read(client: &mut Client, table: u32) -> Result<Self, postgres::Error> {
        let rows = client.query(
            "WITH RECURSIVE y AS ( \
               SELECT t.* FROM pg_catalog.pg_type t WHERE t.oid IN (SELECT a.atttypid \
                 FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped) \
               UNION ALL \
               SELECT t.* FROM y JOIN pg_catalog.pg_type t \
                 ON t.oid = CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.typelem END) \
             SELECT DISTINCT y.oid, pg_catalog.format_type(y.oid, NULL), y.typtype = 'e', \
               y.typtype = 'd', y.typbasetype, y.typtypmod, \
               CASE WHEN y.typtype = 'd' THEN pg_catalog.format_type(y.typbasetype, -1) END, \
               e.typarray = y.oid, y.typelem, coalesce(e.typdelim, ',')::text, y.typnotnull, \
               coalesce(pg_catalog.pg_get_expr(y.typdefaultbin, 0), pg_catalog.quote_literal(y.typdefault)), \
               (SELECT p.prosrc FROM pg_catalog.pg_proc p WHERE p.oid = y.typinput) = 'textin' \
                 AND (SELECT p.prosrc FROM pg_catalog.pg_proc p WHERE p.oid = y.typreceive) = 'textrecv', \
               ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = y.oid), \
               pg_catalog.current_setting('server_version_num')::int4 \
             FROM y LEFT JOIN pg_catalog.pg_type e ON e.oid = y.typelem",
            &[&table],
        )?;
        let version: i32 = rows.first().map_or(INFINITE_NUMERIC, |row| row.get(14));
        let types = rows.iter().map(|row| (row.get(0), Type::from(row))).collect();
        Ok(Self { types, infinite_numeric: version >= INFINITE_NUMERIC })
    }

    /// Resolves type `oid` with `typmod`.
    pub fn resolve(&self, oid: u32, typmod: i32) -> Resolved {
        self.resolve_within(oid, typmod, MAX_DEPTH)
    }

    fn resolve_within(&self, oid: u32, typmod: i32, depth: usize) -> Resolved {
        let found = self.types.get(&oid);
        let kind = match found {
            // The server ensures that the base type exists and is not the domain itself.
            Some(Type { base: Some((base, base_typmod, name)), not_null, default, .. }) if depth > 0 => {
                let base = self.resolve_within(*base, *base_typmod, depth - 1);
                return Resolved {
                    not_null: *not_null || base.not_null,
                    default: default.clone(),
                    unconstrained: base.unconstrained.or_else(|| Some(name.clone())),
                    ..base
                };
            }
            Some(Type { element: Some(element), delimiter, .. }) if depth > 0 => {
                let kind = self.resolve_within(*element, typmod, depth - 1).kind;
                match kind {
                    // A domain over an array: nested arrays in JSON could be dimensions of either array.
                    Kind::Array(_) => None,
                    element_kind => Some(Kind::Array(Arc::new(Array {
                        element: element_kind,
                        element_oid: *element,
                        delimiter: *delimiter,
                    }))),
                }
            }
            Some(Type { is_enum: true, name, labels, .. }) => {
                Some(Kind::Enum(Arc::new(Enum::new(name.clone(), labels.clone()))))
            }
            Some(Type { is_text: true, .. }) => Some(Kind::Text),
            _ => Kind::of(oid, typmod),
        };
        let kind = match kind {
            Some(Kind::Numeric { modifier, .. }) => {
                Kind::Numeric { modifier, infinite: self.infinite_numeric }
            }
            Some(kind) => kind,
            None => {
                Kind::Input(found.map_or_else(|| oid.to_string().into(), |found| found.name.as_str().into()))
            }
        };
        Resolved {
            kind,
            not_null: false,
            default: found.and_then(|found| found.default.clone()),
            unconstrained: None,
        }
    }
}

impl From<&postgres::Row> for Type {
    fn from(row: &postgres::Row) -> Self {
        let is_domain: bool = row.get(3);
        let is_array: Option<bool> = row.get(7);
        let delimiter: String = row.get(9);
        Self {
            name: row.get(1),
            is_enum: row.get(2),
            base: is_domain.then(|| (row.get(4), row.get(5), row.get(6))),
            element: (is_array == Some(true)).then(|| row.get(8)),
            delimiter: delimiter.bytes().next().unwrap_or(b','),
            not_null: row.get(10),
            default: row.get(11),
            is_text: row.get::<_, Option<bool>>(12) == Some(true),
            labels: row.get(13),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::declared::other as plain;
    use super::*;
    use crate::encode::oid;

    fn types() -> Types {
        let types = [
            (20_000, Type { is_enum: true, labels: vec!["sad".into()], ..plain("mood") }),
            (20_001, Type { element: Some(20_000), ..plain("mood[]") }),
            (20_002, Type { base: Some((oid::VARCHAR, 9, "character varying".into())), ..plain("code") }),
            (20_003, Type { base: Some((20_002, -1, "code".into())), not_null: true, ..plain("must") }),
            (20_004, Type { element: Some(20_002), ..plain("code[]") }),
            (20_005, Type { base: Some((20_004, -1, "code[]".into())), ..plain("codes") }),
            (20_006, Type { element: Some(20_005), ..plain("codes[]") }),
            (20_007, Type { is_text: true, ..plain("citext") }),
            (20_008, plain("geometry")),
        ];
        Types { types: types.into_iter().collect(), infinite_numeric: false }
    }

    #[test]
    fn domains_come_to_their_base_with_its_modifier() {
        let code = types().resolve(20_003, -1);
        assert_eq!(code.kind, Kind::VarChar { max_chars: Some(5) });
        assert!(code.not_null);
        assert_eq!(code.unconstrained.as_deref(), Some("character varying"));
    }

    #[test]
    fn arrays_come_to_their_elements() {
        let array =
            |element, element_oid| Kind::Array(Arc::new(Array { element, element_oid, delimiter: b',' }));
        let mood = Kind::Enum(Arc::new(Enum::new("mood".into(), vec!["sad".into()])));
        assert_eq!(types().resolve(20_001, -1).kind, array(mood, 20_000));
        let codes = types().resolve(20_005, -1);
        assert_eq!(codes.kind, array(Kind::VarChar { max_chars: Some(5) }, 20_002));
        assert_eq!(codes.unconstrained.as_deref(), Some("code[]"));
        assert_eq!(types().resolve(20_006, -1).kind, Kind::Input("codes[]".into()));
    }

    #[test]
    fn other_types_are_left_to_their_input_function() {
        assert_eq!(types().resolve(20_007, -1).kind, Kind::Text);
        assert_eq!(types().resolve(20_008, -1).kind, Kind::Input("geometry".into()));
        assert_eq!(types().resolve(oid::NUMERIC, -1).kind, Kind::Numeric { modifier: None, infinite: false });
    }
}
