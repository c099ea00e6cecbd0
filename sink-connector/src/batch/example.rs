//! A plan for tests.

use std::sync::Arc;

use crate::decode::Options;
use crate::encode::Kind;
use crate::postgres::sql::TableName;
use crate::table::catalog::constraints::Constraints;
use crate::table::catalog::{Column, Table, UniqueIndex};
use crate::table::plan::{Mode, Plan, Wanted};

fn column(name: &str, kind: Kind, not_null: bool) -> Column {
    Column {
        name: name.to_owned(),
        type_oid: 0,
        typmod: -1,
        type_name: String::new(),
        base_type_name: String::new(),
        kind,
        unconstrained_type: None,
        bytewise: true,
        not_null,
        default: None,
        identity_always: false,
    }
}

/// An upsert by `id`, which is in the record's key, with deletes; `v` is another column. `checked`: the server may refuse its rows.
pub(crate) fn plan(checked: bool) -> Arc<Plan> {
    Arc::new(plan_of_version(checked, ""))
}

/// The same, for a table with this fingerprint.
pub(crate) fn plan_of_version(checked: bool, fingerprint: &str) -> Plan {
    let table = Table {
        oid: 1,
        full_name: "t".to_owned(),
        columns: vec![column("id", Kind::Int4, true), column("v", Kind::Int4, false)],
        insertable_column: None,
        generated: Vec::new(),
        unique_indexes: vec![UniqueIndex {
            name: "t_pkey".to_owned(),
            oid: 2,
            columns: vec!["id".to_owned()],
        }],
        fingerprint: fingerprint.to_owned(),
        partitions: None,
        unlogged: false,
        kind: 'r',
        constraints: Constraints {
            refuses: checked,
            exact_columns: vec!["id".to_owned()],
            ..Constraints::default()
        },
    };
    let wanted = Wanted {
        table: TableName::parse("t"),
        mode: Mode::Upsert,
        key: vec!["id".to_owned()],
        record_key: true,
        deletes: true,
        allow_unlogged: false,
        read_before_write: true,
        version_field: None,
        metadata: Vec::new(),
        rename: Vec::new(),
        unavailable_value_placeholder: String::new(),
        options: Options::default(),
    };
    Plan::new(&wanted, &table).unwrap()
}
