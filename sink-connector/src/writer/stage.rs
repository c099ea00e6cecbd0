//! Rows on their way into the target through a statement: in a temporary table, or, where the role may make none, in
//! arrays of their text.

use postgres::types::ToSql;

use crate::batch::rows::{Rows, Tuple};
use crate::encode::write_text;
use crate::postgres::sql::ident;
use crate::table::plan::Plan;
use crate::writer::copy::ORDINAL;

/// Where a plan's rows are staged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// In this temporary table.
    Table(String),
    /// In parameters of the statement itself.
    Arrays,
}

/// Staged rows of one shape.
pub(crate) struct Staged {
    /// What stands after FROM, for an alias to follow.
    pub source: String,
    arrays: Option<Arrays>,
}

struct Arrays {
    ordinals: Vec<i32>,
    columns: Vec<Vec<Option<String>>>,
}

impl Staged {
    /// Rows in a temporary table.
    pub(crate) fn in_table(table: String) -> Self {
        Self { source: table, arrays: None }
    }

    /// Rows in arrays, for the target's assignments to check: they refuse what a cast to a type with a modifier would
    /// cut off.
    pub(crate) fn in_arrays(plan: &Plan, rows: &Rows, group: &[(u32, Tuple)], columns: &[u16]) -> Self {
        let mut arrays =
            Arrays { ordinals: Vec::with_capacity(group.len()), columns: vec![Vec::new(); columns.len()] };
        let mut text = Vec::new();
        for &(number, tuple) in group {
            arrays.ordinals.push(i32::try_from(number).expect("a batch has fewer than 2^31 rows"));
            for ((column, field), array) in rows.fields(tuple).zip(&mut arrays.columns) {
                array.push(field.map(|field| {
                    text.clear();
                    write_text(&plan.columns[column].kind, field, &mut text);
                    String::from_utf8(text.clone()).expect("values come from JSON, which is UTF-8")
                }));
            }
        }
        let columns: Vec<_> = columns.iter().map(|&column| &plan.columns[usize::from(column)]).collect();
        let mut values = vec![format!("u.o AS {}", ident(ORDINAL))];
        values.extend(columns.iter().enumerate().map(|(n, column)| {
            let of_type = column.unconstrained_type.as_ref().unwrap_or(&column.base_type_name);
            format!("u.c{n}::{of_type} AS {}", ident(&column.name))
        }));
        let parameters = (0..columns.len()).map(|n| format!(", ${}::text[]", n + 2)).collect::<String>();
        let names = (0..columns.len()).map(|n| format!(", c{n}")).collect::<String>();
        Self {
            source: format!("(SELECT {} FROM unnest($1::int4[]{parameters}) u(o{names}))", values.join(", ")),
            arrays: Some(arrays),
        }
    }

    /// The parameters of a statement that reads them.
    pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let Some(arrays) = &self.arrays else { return Vec::new() };
        let columns = arrays.columns.iter().map(|column| column as &(dyn ToSql + Sync));
        std::iter::once(&arrays.ordinals as &(dyn ToSql + Sync)).chain(columns).collect()
    }
}
