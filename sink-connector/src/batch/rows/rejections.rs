//! Rejections that depend on the table or on other records of the batch, not on the record's value alone.

use crate::decode::{Reason, Rejection};
use crate::table::plan::Plan;

/// The rejection of a record that lacks required column `column`.
pub(crate) fn missing_field(plan: &Plan, column: usize) -> Rejection {
    let name = &plan.columns[column].name;
    Rejection {
        reason: Reason::MissingField,
        column: Some(name.clone()),
        wider: None,
        detail: format!("column {name:?} is NOT NULL without a default, and the record has no such field"),
    }
}

/// The rejection of a record without a version.
pub(super) fn without_version(plan: &Plan, column: usize) -> Rejection {
    let name = &plan.columns[column].name;
    Rejection {
        reason: Reason::MissingField,
        column: Some(name.clone()),
        wider: None,
        detail: format!("column {name:?} takes the version_field, and the record has none, or null"),
    }
}

/// The rejection of a record whose key is taken, in insert mode.
pub(crate) fn duplicate(plan: &Plan) -> Rejection {
    let columns: Vec<_> = plan.key_columns().map(|c| c.name.as_str()).collect();
    Rejection {
        reason: Reason::DuplicateKey,
        column: None,
        wider: None,
        detail: format!(
            "a row with this key ({}) exists already, and insert_mode is insert",
            columns.join(", ")
        ),
    }
}
