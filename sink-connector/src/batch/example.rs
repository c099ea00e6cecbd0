//! A plan for tests.

use std::sync::Arc;

use crate::decode::Options;
use crate::encode::Kind;
use crate::observe::health::Health;
use crate::postgres::sql::TableName;
use crate::table::catalog::constraints::{Constraints, Index};
use crate::table::catalog::{Column, Table, UniqueIndex};
use crate::table::metadata_columns::MetadataColumn;
use crate::table::plan::{Mode, Plan, Wanted};
use crate::table::plan_cache::{Plans, Target};

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
        insertable: true,
    }
}

/// An upsert by `id`, which is in the record's key, with deletes; `v` is another column. `checked`: the server may refuse its rows.
pub(crate) fn plan(checked: bool) -> Arc<Plan> {
    Arc::new(plan_of_version(checked, ""))
}

/// The same, for a table with this fingerprint.
pub(crate) fn plan_of_version(checked: bool, fingerprint: &str) -> Plan {
    plan_of_table("t", checked, fingerprint)
}

/// The same, for the table with this name.
pub(crate) fn plan_of_table(name: &str, checked: bool, fingerprint: &str) -> Plan {
    Plan::new(&wanted(name), &table(name, checked, fingerprint)).unwrap()
}

/// The same, with these metadata columns, which are named like what they store.
pub(crate) fn plan_with_metadata(columns: &[(MetadataColumn, Kind)]) -> Plan {
    let mut table = table("t", false, "");
    table.columns.extend(columns.iter().map(|(stored, kind)| column(stored.as_str(), kind.clone(), false)));
    let metadata = columns.iter().map(|(stored, _)| (*stored, stored.as_str().to_owned())).collect();
    Plan::new(&Wanted { metadata, ..wanted("t") }, &table).unwrap()
}

/// The same, for a table with these indexes. That of the key has oid 2.
pub(crate) fn plan_with_indexes(indexes: Vec<Index>) -> Plan {
    let mut table = table("t", false, "");
    table.constraints.indexes = indexes;
    Plan::new(&wanted("t"), &table).unwrap()
}

fn table(name: &str, checked: bool, fingerprint: &str) -> Table {
    Table {
        oid: 1,
        full_name: name.to_owned(),
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
        unlogged: None,
        kind: 'r',
        constraints: Constraints {
            refuses: checked,
            exact_columns: vec!["id".to_owned()],
            ..Constraints::default()
        },
    }
}

fn wanted(table: &str) -> Wanted {
    Wanted {
        table: TableName::parse(table),
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
    }
}

/// Topics whose records go into tables of the same names.
pub(crate) fn plans(topics: &[&str], checked: bool, health: Arc<Health>) -> Plans {
    let target = |topic: &str| Target { wanted: wanted(topic), ddl: None };
    let targets = topics.iter().map(|topic| ((*topic).to_owned(), target(topic))).collect();
    let plans = Plans::new(targets, None, health);
    for topic in topics {
        plans.renewed(topic, plan_of_table(topic, checked, ""));
    }
    plans
}
