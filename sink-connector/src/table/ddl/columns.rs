//! The columns of a declared table, and what later statements change in them.

use sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, ColumnDef, ColumnOption, ConstraintCharacteristics, DataType,
    GeneratedAs, TableConstraint,
};

use super::types::ColumnType;
use super::{folded, names};
use crate::table::catalog::types::Types;
use crate::table::catalog::{Column, ColumnDefault};

#[derive(Default)]
pub(super) struct Columns {
    pub writable: Vec<Column>,
    /// Columns that the server computes.
    pub generated: Vec<String>,
    /// Unique indexes that can arbitrate: name and columns.
    pub unique: Vec<(String, Vec<String>)>,
    /// What the server checks besides.
    pub checked: Vec<String>,
}

/// What a constraint means for a table that is not there.
pub(super) enum Constraint {
    /// A unique index on these columns, if it can arbitrate; those of a primary key are NOT NULL.
    Unique {
        name: String,
        columns: Option<Vec<String>>,
        primary: bool,
    },
    /// Something that the server checks.
    Checked(String),
    Nothing,
}

impl Constraint {
    pub(super) fn of(constraint: &TableConstraint) -> Self {
        let name =
            |name: Option<&sqlparser::ast::Ident>, kind: &str| name.map_or_else(|| kind.to_owned(), folded);
        match constraint {
            TableConstraint::PrimaryKey(key) => Self::Unique {
                name: name(key.name.as_ref(), "primary key"),
                columns: names(&key.columns).filter(|_| is_immediate(key.characteristics.as_ref())),
                primary: true,
            },
            TableConstraint::Unique(key) => Self::Unique {
                name: name(key.name.as_ref(), "unique"),
                columns: names(&key.columns).filter(|_| is_immediate(key.characteristics.as_ref())),
                primary: false,
            },
            TableConstraint::Check(check) => Self::Checked(format!("CHECK ({})", check.expr)),
            TableConstraint::ForeignKey(key) => {
                Self::Checked(format!("a foreign key to {}", key.foreign_table))
            }
            TableConstraint::Exclude(_) => Self::Checked("an exclusion constraint".to_owned()),
            _ => Self::Nothing,
        }
    }
}

/// A deferrable constraint cannot arbitrate conflicts.
fn is_immediate(characteristics: Option<&ConstraintCharacteristics>) -> bool {
    characteristics.is_none_or(|characteristics| characteristics.deferrable != Some(true))
}

impl Columns {
    pub(super) fn add(&mut self, definition: &ColumnDef, column_type: &ColumnType, types: &Types) {
        let name = folded(&definition.name);
        let resolved = types.resolve(column_type.oid, column_type.typmod);
        let mut column = Column {
            name: name.clone(),
            type_oid: column_type.oid,
            typmod: column_type.typmod,
            type_name: definition.data_type.to_string(),
            base_type_name: column_type.base_name.clone(),
            kind: resolved.kind,
            unconstrained_type: resolved.unconstrained,
            bytewise: false,
            not_null: resolved.not_null || column_type.is_serial,
            default: resolved.default.map(ColumnDefault::Expression),
            identity_always: false,
            insertable: true,
        };
        if column_type.is_serial {
            column.default = Some(ColumnDefault::Expression("nextval".to_owned()));
        }
        let mut computed = false;
        for option in &definition.options {
            match &option.option {
                ColumnOption::NotNull => column.not_null = true,
                ColumnOption::Default(value) => {
                    column.default = Some(ColumnDefault::Expression(value.to_string()));
                }
                ColumnOption::Generated { generation_expr: Some(_), .. } => computed = true,
                ColumnOption::Generated { generated_as, .. } => {
                    column.default = Some(ColumnDefault::Identity);
                    column.not_null = true;
                    column.identity_always = *generated_as == GeneratedAs::Always;
                }
                ColumnOption::PrimaryKey(key) => {
                    column.not_null = true;
                    if is_immediate(key.characteristics.as_ref()) {
                        self.unique.push(("primary key".to_owned(), vec![name.clone()]));
                    }
                }
                ColumnOption::Unique(key) if is_immediate(key.characteristics.as_ref()) => {
                    self.unique.push((name.clone(), vec![name.clone()]));
                }
                ColumnOption::Check(check) => self.checked.push(format!("CHECK ({})", check.expr)),
                ColumnOption::ForeignKey(key) => {
                    self.checked.push(format!("a foreign key to {}", key.foreign_table));
                }
                _ => {}
            }
        }
        if computed { self.generated.push(name) } else { self.writable.push(column) }
    }

    /// Whether there is a column of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.writable.iter().any(|column| column.name == name)
            || self.generated.iter().any(|column| column == name)
    }

    pub(super) fn constrain(&mut self, constraint: Constraint) {
        match constraint {
            Constraint::Unique { name, columns: Some(columns), primary } => {
                for column in
                    self.writable.iter_mut().filter(|column| primary && columns.contains(&column.name))
                {
                    column.not_null = true;
                }
                self.unique.push((name, columns));
            }
            Constraint::Unique { name, columns: None, .. } => self.checked.push(name),
            Constraint::Checked(what) => self.checked.push(what),
            Constraint::Nothing => {}
        }
    }

    pub(super) fn alter(
        &mut self,
        operation: AlterTableOperation,
        new_type: Option<ColumnType>,
        types: &Types,
    ) {
        match operation {
            AlterTableOperation::AddConstraint { constraint, .. } => {
                self.constrain(Constraint::of(&constraint));
            }
            AlterTableOperation::DropConstraint { name, .. } => {
                let name = folded(&name);
                let constraints = self.unique.len() + self.checked.len();
                self.unique.retain(|(known, _)| *known != name);
                self.checked.retain(|known| *known != name);
                if self.unique.len() + self.checked.len() == constraints {
                    // The server gave it its name.
                    self.checked.push(format!("ALTER TABLE DROP CONSTRAINT {name}"));
                }
            }
            AlterTableOperation::DropColumn { column_names, .. } => {
                let gone: Vec<String> = column_names.iter().map(folded).collect();
                self.writable.retain(|column| !gone.contains(&column.name));
                self.generated.retain(|column| !gone.contains(column));
                self.unique.retain(|(_, columns)| !columns.iter().any(|column| gone.contains(column)));
            }
            AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                let (old, new) = (folded(&old_column_name), folded(&new_column_name));
                let named = self.writable.iter_mut().map(|column| &mut column.name);
                let named = named.chain(self.unique.iter_mut().flat_map(|(_, columns)| columns.iter_mut()));
                named.filter(|name| **name == old).for_each(|name| new.clone_into(name));
            }
            AlterTableOperation::AlterColumn { column_name, op } => {
                let name = folded(&column_name);
                let Some(column) = self.writable.iter_mut().find(|column| column.name == name) else {
                    return;
                };
                match op {
                    AlterColumnOperation::SetNotNull => column.not_null = true,
                    AlterColumnOperation::DropNotNull => column.not_null = false,
                    AlterColumnOperation::SetDefault { value } => {
                        column.default = Some(ColumnDefault::Expression(value.to_string()));
                    }
                    AlterColumnOperation::DropDefault => column.default = None,
                    AlterColumnOperation::AddGenerated { generated_as, .. } => {
                        column.default = Some(ColumnDefault::Identity);
                        column.identity_always = generated_as == Some(GeneratedAs::Always);
                    }
                    AlterColumnOperation::SetDataType { data_type, .. } => {
                        if let Some(new_type) = new_type {
                            let resolved = types.resolve(new_type.oid, new_type.typmod);
                            column.kind = resolved.kind;
                            column.type_name = data_type.to_string();
                            column.unconstrained_type = resolved.unconstrained;
                            (column.type_oid, column.typmod) = (new_type.oid, new_type.typmod);
                            column.base_type_name = new_type.base_name;
                        }
                    }
                    AlterColumnOperation::GenericOptions { .. } => {}
                }
            }
            // They change nothing that a row depends on.
            AlterTableOperation::OwnerTo { .. }
            | AlterTableOperation::ReplicaIdentity { .. }
            | AlterTableOperation::RenameConstraint { .. }
            | AlterTableOperation::ValidateConstraint { .. }
            | AlterTableOperation::SetLogged
            | AlterTableOperation::SetUnlogged
            | AlterTableOperation::SetOptionsParens { .. }
            | AlterTableOperation::SetTblProperties { .. } => {}
            other => self.checked.push(format!("ALTER TABLE {other}")),
        }
    }

    /// Resolves the types again, of which one has changed.
    pub(super) fn resolve(&mut self, types: &Types) {
        for column in &mut self.writable {
            column.kind = types.resolve(column.type_oid, column.typmod).kind;
        }
    }
}

/// The type that an operation gives a column.
pub(super) fn new_type(operation: &AlterTableOperation) -> Option<&DataType> {
    match operation {
        AlterTableOperation::AlterColumn {
            op: AlterColumnOperation::SetDataType { data_type, .. }, ..
        } => Some(data_type),
        _ => None,
    }
}
