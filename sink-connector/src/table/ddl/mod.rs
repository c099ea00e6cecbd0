//! A table as the statements of a DDL file describe it, without a server. What only a server knows is named.

mod columns;
mod statements;
mod types;

use std::collections::HashMap;

use sqlparser::ast::{
    AlterTable, AlterTableOperation, AlterType, AlterTypeOperation, CreateIndex, CreateTable, Expr, Ident,
    IndexColumn, ObjectName, ObjectType, Statement, TableConstraint, UserDefinedTypeRepresentation,
};
use thiserror::Error;

use self::columns::{Columns, Constraint};
use self::statements::Parsed;
use crate::encode::Kind;
use crate::postgres::sql::TableName;
use crate::table::catalog::constraints::Constraints;
use crate::table::catalog::types::Types;
use crate::table::catalog::{Table, UniqueIndex};

/// Why a file does not describe the table.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum DdlFileError {
    /// A statement that the table may depend on is not understood.
    #[error("line {line}: {problem}")]
    Syntax {
        /// Where the statement begins.
        line: u64,
        /// What the parser found.
        problem: String,
    },
    /// No CREATE TABLE for it.
    #[error("has no CREATE TABLE for {wanted}; it creates: {created}")]
    NoTable {
        /// The table.
        wanted: String,
        /// The tables that it creates.
        created: String,
    },
    /// Its columns come from another table or a query.
    #[error(
        "the columns of {0} come from another table or a query (LIKE, INHERITS, PARTITION OF, AS): only a server knows them"
    )]
    ColumnsFromElsewhere(String),
}

/// A table, and what cannot be known of it without a server.
#[derive(Debug)]
pub(crate) struct DeclaredTable {
    pub table: Table,
    /// One sentence each.
    pub unknown: Vec<String>,
}

/// Reads the table with this name from the statements of a file.
///
/// # Errors
/// See [`DdlFileError`].
pub(crate) fn read(sql: &str, name: &TableName) -> Result<DeclaredTable, DdlFileError> {
    let mut declared = Declared::new(name);
    for parsed in statements::parse(sql)? {
        match parsed {
            Parsed::Statement { statement, not_null } => declared.add(*statement, not_null)?,
            Parsed::Unread { text, names } => declared.unread(&text, &names),
        }
    }
    declared.finish()
}

/// What the statements so far have declared.
struct Declared<'a> {
    name: &'a TableName,
    types: Types,
    /// Object ids by the last part of the name.
    named_types: HashMap<String, u32>,
    created: Vec<String>,
    columns: Option<Columns>,
    unlogged: bool,
    partitioned: bool,
    /// Types and tables have checks that only a server evaluates.
    checks: Vec<String>,
}

impl<'a> Declared<'a> {
    fn new(name: &'a TableName) -> Self {
        Self {
            name,
            types: Types::undeclared(),
            named_types: HashMap::new(),
            created: Vec::new(),
            columns: None,
            unlogged: false,
            partitioned: false,
            checks: Vec::new(),
        }
    }

    fn add(&mut self, statement: Statement, not_null: bool) -> Result<(), DdlFileError> {
        match statement {
            Statement::CreateType {
                name,
                representation: Some(UserDefinedTypeRepresentation::Enum { labels }),
            } => {
                let labels = labels.into_iter().map(|label| label.value).collect();
                let oid = self.types.declare_enum(&last(&name), labels);
                self.named_types.insert(last(&name), oid);
            }
            Statement::CreateDomain(domain) => {
                let base = self.resolve(&domain.data_type);
                let name = last(&domain.name);
                if domain.constraints.iter().any(|c| matches!(c, TableConstraint::Check(_))) {
                    self.checks.push(format!("CHECKs of the domain {name} are evaluated by the server only"));
                }
                let default = domain.default.map(|default| default.to_string());
                let base = (base.oid, base.typmod, base.base_name);
                let oid = self.types.declare_domain(&name, base, not_null, default);
                self.named_types.insert(name, oid);
            }
            Statement::AlterType(alter) => self.alter_type(alter),
            Statement::CreateTable(table) => self.create_table(&table)?,
            // It may be created once more.
            Statement::Drop { object_type: ObjectType::Table, names, .. }
                if names.iter().any(|name| self.is_target(name)) =>
            {
                self.columns = None;
            }
            Statement::AlterTable(alter) if self.is_target(&alter.name) => self.alter(alter),
            Statement::CreateIndex(index) if self.is_target(&index.table_name) => self.index(&index),
            Statement::CreateTrigger(trigger) if self.is_target(&trigger.table_name) => {
                self.checks.push(format!("the server runs: trigger {}", last(&trigger.name)));
            }
            _ => {}
        }
        Ok(())
    }

    /// A label that is added or has another name now. Columns may have the type already.
    fn alter_type(&mut self, alter: AlterType) {
        let Some(oid) = self.named_types.get(&last(&alter.name)).copied() else { return };
        match alter.operation {
            AlterTypeOperation::AddValue(add) => self.types.declare_label(oid, add.value.value, None),
            AlterTypeOperation::RenameValue(rename) => {
                self.types.declare_label(oid, rename.to.value, Some(&rename.from.value));
            }
            AlterTypeOperation::Rename(rename) => {
                self.named_types.remove(&last(&alter.name));
                self.named_types.insert(folded(&rename.new_name), oid);
            }
        }
        if let Some(columns) = &mut self.columns {
            columns.resolve(&self.types);
        }
    }

    /// A statement that is not understood matters if it is about the table, or a type of the file.
    fn unread(&mut self, text: &str, names: &[String]) {
        let is_known = |name: &String| *name == self.name.table || self.named_types.contains_key(name);
        if names.iter().any(is_known) {
            self.checks.push(format!("only the server understands {text}"));
        }
    }

    fn create_table(&mut self, table: &CreateTable) -> Result<(), DdlFileError> {
        self.created.push(table.name.to_string());
        if !self.is_target(&table.name) || self.columns.is_some() {
            return Ok(());
        }
        let elsewhere = table.like.is_some()
            || table.inherits.is_some()
            || table.partition_of.is_some()
            || table.query.is_some();
        if elsewhere {
            return Err(DdlFileError::ColumnsFromElsewhere(self.name.to_string()));
        }
        self.unlogged = table.unlogged;
        self.partitioned = table.partition_by.is_some();
        let mut columns = Columns::default();
        for column in &table.columns {
            let column_type = self.resolve(&column.data_type);
            columns.add(column, &column_type, &self.types);
        }
        for constraint in &table.constraints {
            columns.constrain(Constraint::of(constraint));
        }
        self.columns = Some(columns);
        Ok(())
    }

    fn alter(&mut self, alter: AlterTable) {
        for operation in alter.operations {
            if let AlterTableOperation::AddColumn { column_def, if_not_exists, .. } = &operation {
                let name = folded(&column_def.name);
                if *if_not_exists && self.columns.as_ref().is_some_and(|columns| columns.has(&name)) {
                    continue;
                }
                let column_type = self.resolve(&column_def.data_type);
                if let Some(columns) = &mut self.columns {
                    columns.add(column_def, &column_type, &self.types);
                }
                continue;
            }
            match operation {
                AlterTableOperation::SetLogged => self.unlogged = false,
                AlterTableOperation::SetUnlogged => self.unlogged = true,
                _ => {}
            }
            let new_type = columns::new_type(&operation).map(|new_type| self.resolve(new_type));
            if let Some(columns) = &mut self.columns {
                columns.alter(operation, new_type, &self.types);
            }
        }
    }

    fn index(&mut self, index: &CreateIndex) {
        let Some(columns) = self.columns.as_mut().filter(|_| index.unique) else { return };
        let name = index.name.as_ref().map_or_else(|| "unique".to_owned(), last);
        match names(&index.columns).filter(|_| index.predicate.is_none()) {
            Some(key) => columns.unique.push((name, key)),
            None => columns.checked.push(format!("unique index {name}")),
        }
    }

    fn resolve(&mut self, named: &sqlparser::ast::DataType) -> types::ColumnType {
        let known = &self.named_types;
        types::resolve(named, &mut self.types, |name| {
            known.get(name.rsplit('.').next().unwrap_or(name)).copied()
        })
    }

    /// Without a schema on either side, the search_path decides, which is taken to find this table.
    fn is_target(&self, name: &ObjectName) -> bool {
        let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident()).map(folded);
        let (table, schema) = (parts.next(), parts.next());
        let same_schema = match (&schema, &self.name.schema) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        table.as_ref() == Some(&self.name.table) && same_schema
    }

    fn finish(self) -> Result<DeclaredTable, DdlFileError> {
        let Some(columns) = self.columns else {
            let created =
                if self.created.is_empty() { "no table".to_owned() } else { self.created.join(", ") };
            return Err(DdlFileError::NoTable { wanted: self.name.to_string(), created });
        };
        let mut unknown: Vec<String> = columns
            .writable
            .iter()
            .filter(|column| !column.kind.is_binary())
            .map(|column| {
                format!(
                    "column {:?} has type {}, which only the server reads",
                    column.name,
                    type_of(&column.kind)
                )
            })
            .collect();
        unknown.extend(self.checks);
        if !columns.checked.is_empty() {
            unknown.push(format!("the server checks: {}", columns.checked.join(", ")));
        }
        let unique = columns.unique.into_iter().zip(1..);
        let names = columns.writable.iter().map(|column| column.name.clone()).collect();
        let table = Table {
            oid: 1,
            full_name: self.name.to_string(),
            columns: columns.writable,
            insertable_column: None,
            generated: columns.generated,
            unique_indexes: unique.map(|((name, columns), oid)| UniqueIndex { name, oid, columns }).collect(),
            fingerprint: String::new(),
            partitions: None,
            unlogged: self.unlogged.then(|| self.name.to_string()),
            kind: if self.partitioned { 'p' } else { 'r' },
            constraints: Constraints { exact_columns: names, readable: true, ..Constraints::default() },
        };
        Ok(DeclaredTable { table, unknown })
    }
}

fn type_of(kind: &Kind) -> &str {
    match kind {
        Kind::Array(of) => of.element.type_name(),
        other => other.type_name(),
    }
}

/// An identifier as the server stores it.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn last(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default()
}

/// The columns of an index; `None` if it is over an expression.
fn names(columns: &[IndexColumn]) -> Option<Vec<String>> {
    columns
        .iter()
        .map(|column| match &column.column.expr {
            Expr::Identifier(ident) => Some(folded(ident)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
