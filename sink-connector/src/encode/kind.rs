//! How the values of a column are encoded, according to the catalog.

use std::sync::Arc;

use super::oid;

/// The declared precision and scale of a `numeric(precision, scale)`, both in decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Modifier {
    /// Significant digits, 1 to 1000.
    pub precision: u16,
    /// Digits after the decimal point, -1000 to 1000; negative rounds before the point.
    pub scale: i16,
}

/// How the values of one column are encoded, from `pg_attribute.atttypid` and `atttypmod`.
///
/// `precision` is the number of digits kept of a second's fraction, 0 to 6; `None` keeps microseconds.
///
/// Kinds of user-defined types share their data, so that a kind stays small.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`, `numeric(p, s)`
    Numeric {
        /// `None`: any precision and scale.
        modifier: Option<Modifier>,
        /// Whether the server has infinite numerics: PostgreSQL 14 and later.
        infinite: bool,
    },
    /// `text`, and types made of it, such as `citext`
    Text,
    /// `character varying`, `character varying(n)`
    VarChar {
        /// The longest text in characters; `None`: no limit.
        max_chars: Option<u32>,
    },
    /// `character(n)`; the server pads.
    BpChar {
        /// The length in characters; `None`: no limit.
        chars: Option<u32>,
    },
    /// `name`, at most 63 bytes
    Name,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `time`, `time(p)`
    Time {
        /// Digits of the fraction.
        precision: Option<u8>,
    },
    /// `timestamp`, `timestamp(p)`
    Timestamp {
        /// Digits of the fraction.
        precision: Option<u8>,
    },
    /// `timestamp with time zone`, also with `(p)`
    Timestamptz {
        /// Digits of the fraction.
        precision: Option<u8>,
    },
    /// `time with time zone`, also with `(p)`
    Timetz {
        /// Digits of the fraction.
        precision: Option<u8>,
    },
    /// `interval`, `interval(p)`; the server rounds.
    Interval,
    /// `bytea`
    Bytea,
    /// `inet`
    Inet,
    /// `cidr`
    Cidr,
    /// A type made with `CREATE TYPE … AS ENUM`.
    Enum(Arc<Enum>),
    /// An array of any dimensions.
    Array(Arc<Array>),
    /// Any other type, by its name: the server's own input function reads the value's text (COPY TEXT).
    Input(Arc<str>),
}

/// An enumerated type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Enum {
    name: String,
    labels: Vec<String>,
}

impl Enum {
    /// The type `name` with these labels, in any order.
    #[must_use]
    pub fn new(name: String, mut labels: Vec<String>) -> Enum {
        labels.sort_unstable();
        Enum { name, labels }
    }

    /// Whether the type has this label.
    #[must_use]
    pub fn has(&self, label: &str) -> bool {
        self.labels.binary_search_by(|known| known.as_str().cmp(label)).is_ok()
    }
}

/// An array type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Array {
    /// How its elements are encoded; never an array itself, because dimensions belong to the value.
    pub element: Kind,
    /// `pg_type.typelem`, which the server compares.
    pub element_oid: u32,
    /// `pg_type.typdelim` of the element: what separates elements in text.
    pub delimiter: u8,
}

/// What `atttypmod` of the length types and of numeric is larger by (PostgreSQL's `VARHDRSZ`).
const HEADER: i32 = 4;
/// The upper half of an interval's `atttypmod` when it is not limited to some fields (`INTERVAL_FULL_RANGE`).
const ALL_FIELDS: i32 = 0x7fff;

impl Kind {
    /// The kind of a column; `None` when its type has no binary encoder. `typmod` is `atttypmod`, -1 for none.
    #[must_use]
    pub fn of(type_oid: u32, typmod: i32) -> Option<Kind> {
        let chars = typmod.checked_sub(HEADER).and_then(|chars| u32::try_from(chars).ok());
        let precision = u8::try_from(typmod).ok().filter(|digits| *digits <= 6);
        Some(match type_oid {
            oid::BOOL => Kind::Bool,
            oid::INT2 => Kind::Int2,
            oid::INT4 => Kind::Int4,
            oid::INT8 => Kind::Int8,
            oid::FLOAT4 => Kind::Float4,
            oid::FLOAT8 => Kind::Float8,
            oid::NUMERIC => Kind::Numeric { modifier: Modifier::of(typmod), infinite: true },
            oid::TEXT => Kind::Text,
            oid::VARCHAR => Kind::VarChar { max_chars: chars },
            oid::BPCHAR => Kind::BpChar { chars },
            oid::NAME => Kind::Name,
            oid::JSON => Kind::Json,
            oid::JSONB => Kind::Jsonb,
            oid::UUID => Kind::Uuid,
            oid::DATE => Kind::Date,
            oid::TIME => Kind::Time { precision },
            oid::TIMESTAMP => Kind::Timestamp { precision },
            oid::TIMESTAMPTZ => Kind::Timestamptz { precision },
            oid::TIMETZ => Kind::Timetz { precision },
            // Fields such as HOUR TO SECOND change how the server's input function reads text.
            oid::INTERVAL if typmod < 0 || (typmod >> 16) & ALL_FIELDS == ALL_FIELDS => Kind::Interval,
            oid::BYTEA => Kind::Bytea,
            oid::INET => Kind::Inet,
            oid::CIDR => Kind::Cidr,
            _ => return None,
        })
    }

    /// The type as SQL calls it, without its modifier, for messages.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Kind::Bool => "boolean",
            Kind::Int2 => "smallint",
            Kind::Int4 => "integer",
            Kind::Int8 => "bigint",
            Kind::Float4 => "real",
            Kind::Float8 => "double precision",
            Kind::Numeric { .. } => "numeric",
            Kind::Text => "text",
            Kind::VarChar { .. } => "character varying",
            Kind::BpChar { .. } => "character",
            Kind::Name => "name",
            Kind::Json => "json",
            Kind::Jsonb => "jsonb",
            Kind::Uuid => "uuid",
            Kind::Date => "date",
            Kind::Time { .. } => "time",
            Kind::Timestamp { .. } => "timestamp",
            Kind::Timestamptz { .. } => "timestamp with time zone",
            Kind::Timetz { .. } => "time with time zone",
            Kind::Interval => "interval",
            Kind::Bytea => "bytea",
            Kind::Inet => "inet",
            Kind::Cidr => "cidr",
            Kind::Enum(of) => &of.name,
            Kind::Array(of) => of.element.type_name(),
            Kind::Input(name) => name,
        }
    }

    /// Whether JSON goes into the column as it is, arrays and objects included.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self, Kind::Json | Kind::Jsonb)
    }

    /// Whether COPY BINARY supports the kind. A table with another kind is written with COPY TEXT.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        match self {
            Kind::Input(_) => false,
            Kind::Array(of) => of.element.is_binary(),
            _ => true,
        }
    }
}

/// The type with its modifier, as SQL writes it: `numeric(10,2)`.
impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Kind::Array(of) = self {
            return write!(f, "{}[]", of.element);
        }
        f.write_str(self.type_name())?;
        match self {
            Kind::Numeric { modifier: Some(Modifier { precision, scale }), .. } => {
                write!(f, "({precision},{scale})")
            }
            Kind::VarChar { max_chars: Some(chars) } | Kind::BpChar { chars: Some(chars) } => {
                write!(f, "({chars})")
            }
            _ => Ok(()),
        }
    }
}

impl Modifier {
    /// From `atttypmod`, as `numeric_typmod_precision` and `numeric_typmod_scale` of PostgreSQL 15 read it: the
    /// scale is a signed number of 11 bits.
    fn of(typmod: i32) -> Option<Modifier> {
        let packed = typmod.checked_sub(HEADER).filter(|packed| *packed >= 0)?;
        let precision = u16::try_from(packed >> 16).ok()?;
        let scale = i16::try_from(((packed & 0x7ff) ^ 1024) - 1024).ok()?;
        Some(Modifier { precision, scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_read_as_the_server_packs_them() {
        let numeric = |precision: i32, scale: i32| {
            Kind::of(oid::NUMERIC, ((precision << 16) | (scale & 0x7ff)) + HEADER)
        };
        let expected = |precision, scale| {
            Some(Kind::Numeric { modifier: Some(Modifier { precision, scale }), infinite: true })
        };
        assert_eq!(numeric(10, 2), expected(10, 2));
        assert_eq!(numeric(5, -3), expected(5, -3));
        assert_eq!(numeric(1000, 1000), expected(1000, 1000));
        assert_eq!(Kind::of(oid::NUMERIC, -1), Some(Kind::Numeric { modifier: None, infinite: true }));
        assert_eq!(Kind::of(oid::VARCHAR, 7), Some(Kind::VarChar { max_chars: Some(3) }));
        assert_eq!(Kind::of(oid::VARCHAR, -1), Some(Kind::VarChar { max_chars: None }));
        assert_eq!(Kind::of(oid::BPCHAR, 5), Some(Kind::BpChar { chars: Some(1) }));
        assert_eq!(Kind::of(oid::TIMESTAMPTZ, 0), Some(Kind::Timestamptz { precision: Some(0) }));
        assert_eq!(Kind::of(oid::TIME, -1), Some(Kind::Time { precision: None }));
    }

    #[test]
    fn an_interval_that_is_limited_to_some_fields_is_left_to_the_server() {
        assert_eq!(Kind::of(oid::INTERVAL, -1), Some(Kind::Interval));
        assert_eq!(Kind::of(oid::INTERVAL, (0x7fff << 16) | 3), Some(Kind::Interval));
        assert_eq!(Kind::of(oid::INTERVAL, (0x0c00 << 16) | 0xffff), None); // HOUR TO MINUTE
    }

    #[test]
    fn a_type_without_an_encoder_has_no_kind() {
        assert_eq!(Kind::of(600, -1), None);
    }
}
