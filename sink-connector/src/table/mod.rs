//! The target table: its catalog, and the plan that maps a record's fields to its columns.

pub mod catalog;
pub(crate) mod column_set;
pub(crate) mod ddl;
pub(crate) mod grants;
pub(crate) mod metadata_columns;
pub(crate) mod pages;
pub(crate) mod partitions;
pub(crate) mod plan;
pub(crate) mod plan_cache;
pub(crate) mod targets;
pub(crate) mod version;
