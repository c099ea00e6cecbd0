//! The types that a DDL file names, by name, as object id and modifier.

use sqlparser::ast::{ArrayElemTypeDef, DataType};

use crate::encode::oid;
use crate::table::catalog::types::Types;

/// A type as `pg_attribute` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnType {
    /// `atttypid`
    pub oid: u32,
    /// `atttypmod`
    pub typmod: i32,
    /// In SQL syntax, without its modifier.
    pub base_name: String,
    /// `serial` and its like: NOT NULL, with a sequence.
    pub is_serial: bool,
}

/// What the modifier of a type is, in numbers between parentheses.
#[derive(Clone, Copy)]
enum Modifier {
    None,
    /// Of `character` without a number: one.
    One,
    Length,
    Numeric,
    Precision,
    Interval,
    Float,
}

/// What `atttypmod` of the length types and of numeric is larger by (PostgreSQL's `VARHDRSZ`).
const HEADER: i32 = 4;
/// An interval of all fields (`INTERVAL_FULL_RANGE`), and one whose precision is not limited (`INTERVAL_FULL_PRECISION`).
const ALL_FIELDS: i32 = 0x7fff << 16;
const FULL_PRECISION: i32 = 0xffff;
/// The fields of an interval that is limited to some. Which ones does not matter: only the server reads such text.
const SOME_FIELDS: i32 = 0x0400 << 16;

/// The built-in types that have an encoder, under every name that SQL and PostgreSQL give them.
const BUILT_IN: &[(&[&str], u32, Modifier)] = &[
    (&["boolean", "bool"], oid::BOOL, Modifier::None),
    (&["smallint", "int2", "smallserial", "serial2"], oid::INT2, Modifier::None),
    (&["integer", "int", "int4", "serial", "serial4"], oid::INT4, Modifier::None),
    (&["bigint", "int8", "bigserial", "serial8"], oid::INT8, Modifier::None),
    (&["real", "float4"], oid::FLOAT4, Modifier::None),
    (&["double precision", "float8"], oid::FLOAT8, Modifier::None),
    (&["float"], oid::FLOAT8, Modifier::Float),
    (&["numeric", "decimal", "dec"], oid::NUMERIC, Modifier::Numeric),
    (&["text"], oid::TEXT, Modifier::None),
    (&["character varying", "varchar", "char varying"], oid::VARCHAR, Modifier::Length),
    (&["character", "char", "nchar"], oid::BPCHAR, Modifier::One),
    (&["bpchar"], oid::BPCHAR, Modifier::Length),
    (&["name"], oid::NAME, Modifier::None),
    (&["json"], oid::JSON, Modifier::None),
    (&["jsonb"], oid::JSONB, Modifier::None),
    (&["uuid"], oid::UUID, Modifier::None),
    (&["date"], oid::DATE, Modifier::None),
    (&["time", "time without time zone"], oid::TIME, Modifier::Precision),
    (&["timetz", "time with time zone"], oid::TIMETZ, Modifier::Precision),
    (&["timestamp", "timestamp without time zone"], oid::TIMESTAMP, Modifier::Precision),
    (&["timestamptz", "timestamp with time zone"], oid::TIMESTAMPTZ, Modifier::Precision),
    (&["interval"], oid::INTERVAL, Modifier::Interval),
    (&["bytea"], oid::BYTEA, Modifier::None),
    (&["inet"], oid::INET, Modifier::None),
    (&["cidr"], oid::CIDR, Modifier::None),
];

/// Types of extensions that are text to a client.
const TEXT: [&str; 1] = ["citext"];

/// The type that a file calls this, and whether the file declares it (`declared` finds it).
pub(super) fn resolve(
    named: &DataType,
    types: &mut Types,
    declared: impl Fn(&str) -> Option<u32>,
) -> ColumnType {
    let mut element = named;
    let mut array = false;
    while let DataType::Array(
        ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::Qualified(inner, _),
    ) = element
    {
        (element, array) = (inner, true);
    }
    let scalar = scalar(&element.to_string(), types, declared);
    if !array {
        return scalar;
    }
    let base_name = format!("{}[]", scalar.base_name);
    ColumnType { oid: types.declare_array(&base_name, scalar.oid), base_name, ..scalar }
}

fn scalar(text: &str, types: &mut Types, declared: impl Fn(&str) -> Option<u32>) -> ColumnType {
    let (name, numbers) = parts(text);
    let of = |oid, typmod| ColumnType { oid, typmod, base_name: name.clone(), is_serial: false };
    if let Some(oid) = declared(&name) {
        return of(oid, -1);
    }
    let unqualified = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    if let Some((_, oid, modifier)) = BUILT_IN.iter().find(|(names, ..)| names.contains(&unqualified)) {
        let (oid, typmod) = modifier.apply(*oid, &numbers);
        return ColumnType { is_serial: unqualified.contains("serial"), ..of(oid, typmod) };
    }
    // INTERVAL HOUR TO MINUTE
    if unqualified.starts_with("interval ") {
        return of(oid::INTERVAL, SOME_FIELDS | FULL_PRECISION);
    }
    let last = name.rsplit('.').next().unwrap_or(&name);
    if TEXT.contains(&last) {
        return of(types.declare_text(&name), -1);
    }
    of(types.declare_other(&name), -1)
}

/// The name in lower case, unless quoted, and the numbers of the modifier: `TIMESTAMP(3) WITH TIME ZONE` is
/// `timestamp with time zone` and 3.
fn parts(text: &str) -> (String, Vec<i32>) {
    let folded = if text.contains('"') { text.replace('"', "") } else { text.to_lowercase() };
    let Some((before, (inside, after))) =
        folded.split_once('(').and_then(|(before, rest)| Some((before, rest.split_once(')')?)))
    else {
        return (folded, Vec::new());
    };
    let numbers = inside.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    (format!("{}{after}", before.trim_end()), numbers)
}

impl Modifier {
    fn apply(self, type_oid: u32, numbers: &[i32]) -> (u32, i32) {
        let first = numbers.first().copied();
        let typmod = match self {
            Self::None => None,
            Self::One => Some(first.unwrap_or(1) + HEADER),
            Self::Length => first.map(|length| length + HEADER),
            Self::Numeric => first.map(|precision| {
                let scale = numbers.get(1).copied().unwrap_or(0);
                ((precision << 16) | (scale & 0x7ff)) + HEADER
            }),
            Self::Precision => first,
            Self::Interval => first.map(|precision| ALL_FIELDS | precision),
            Self::Float => {
                let single = first.is_some_and(|bits| bits <= 24);
                return (if single { oid::FLOAT4 } else { type_oid }, -1);
            }
        };
        (type_oid, typmod.unwrap_or(-1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Kind;

    #[test]
    fn types_are_known_under_all_their_names() {
        for (sql, shown) in [
            ("INT", "integer"),
            ("BIGSERIAL", "bigint"),
            ("NUMERIC(10,2)", "numeric(10,2)"),
            ("DECIMAL(5)", "numeric(5,0)"),
            ("CHARACTER VARYING(3)", "character varying(3)"),
            ("CHAR", "character(1)"),
            ("FLOAT", "double precision"),
            ("FLOAT(10)", "real"),
            ("TIMESTAMP(3) WITH TIME ZONE", "timestamp with time zone"),
            ("TIMESTAMPTZ(3)", "timestamp with time zone"),
            ("pg_catalog.int8", "bigint"),
            ("public.citext", "text"),
        ] {
            let mut types = Types::undeclared();
            let found = scalar(sql, &mut types, |_| None);
            assert_eq!(types.resolve(found.oid, found.typmod).kind.to_string(), shown, "{sql}");
        }
    }

    #[test]
    fn what_only_the_server_can_read_is_left_to_it() {
        for sql in ["geometry(Point,4326)", "INTERVAL HOUR TO MINUTE", "money", "BIT(3)", "mood"] {
            let mut types = Types::undeclared();
            let found = scalar(sql, &mut types, |_| None);
            assert!(matches!(types.resolve(found.oid, found.typmod).kind, Kind::Input(_)), "{sql}");
        }
        let mut types = Types::undeclared();
        let mood = types.declare_enum("mood", vec!["ok".into()]);
        let found = scalar("mood", &mut types, |name| (name == "mood").then_some(mood));
        assert!(matches!(types.resolve(found.oid, found.typmod).kind, Kind::Enum(_)));
    }
}
