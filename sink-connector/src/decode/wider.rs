//! The type that would hold a value for which a column's type is too narrow.

use super::Options;
use super::value::encode_element;
use crate::encode::Kind;

/// A type by its name in SQL, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wider {
    /// `integer`
    Integer,
    /// `bigint`
    BigInt,
    /// `double precision`
    DoublePrecision,
    /// `numeric` without a limit
    Numeric,
    /// `text`
    Text,
}

impl Wider {
    /// Its name in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::DoublePrecision => "double precision",
            Self::Numeric => "numeric",
            Self::Text => "text",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Integer => Kind::Int4,
            Self::BigInt => Kind::Int8,
            Self::DoublePrecision => Kind::Float8,
            Self::Numeric => Kind::Numeric { modifier: None, infinite: false },
            Self::Text => Kind::Text,
        }
    }
}

/// The narrowest of the types wider than `kind` that takes a value, which is JSON text.
pub(super) fn wider(kind: &Kind, value: &str) -> Option<Wider> {
    use Wider::{BigInt, DoublePrecision, Integer, Numeric, Text};
    let wider: &[Wider] = match kind {
        Kind::Int2 => &[Integer, BigInt, Numeric],
        Kind::Int4 => &[BigInt, Numeric],
        Kind::Float4 => &[DoublePrecision, Numeric],
        Kind::Int8 | Kind::Float8 | Kind::Numeric { modifier: Some(_), .. } => &[Numeric],
        Kind::VarChar { max_chars: Some(_) } | Kind::BpChar { chars: Some(_) } | Kind::Name => &[Text],
        _ => &[],
    };
    let takes =
        |wider: &&Wider| encode_element(value, &wider.kind(), Options::default(), &mut Vec::new()).is_ok();
    wider.iter().find(takes).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Modifier;

    #[test]
    fn the_narrowest_type_that_takes_the_value_is_proposed() {
        let price = Kind::Numeric { modifier: Some(Modifier { precision: 5, scale: 2 }), infinite: true };
        for (kind, value, expected) in [
            (Kind::Int2, "40000", Some(Wider::Integer)),
            (Kind::Int2, "\"40000\"", Some(Wider::Integer)),
            (Kind::Int2, "-5000000000", Some(Wider::BigInt)),
            (Kind::Int4, "5000000000", Some(Wider::BigInt)),
            (Kind::Int4, "123456789012345678901234567890", Some(Wider::Numeric)),
            (Kind::Int8, "9223372036854775808", Some(Wider::Numeric)),
            (Kind::Float4, "1e39", Some(Wider::DoublePrecision)),
            (Kind::Float8, "1e400", Some(Wider::Numeric)),
            (price, "123456.78", Some(Wider::Numeric)),
            (Kind::VarChar { max_chars: Some(3) }, "\"four\"", Some(Wider::Text)),
            (Kind::Date, "\"99999999-01-01\"", None),
        ] {
            assert_eq!(wider(&kind, value), expected, "{kind}: {value}");
        }
    }
}
