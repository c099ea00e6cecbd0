//! Types that are known from statements, not from a catalog: each gets an object id of its own.

use std::collections::HashMap;

use super::{FIRST_USER_OID, Type, Types};

impl Types {
    /// No user-defined types.
    pub(crate) fn undeclared() -> Self {
        Self { types: HashMap::new(), infinite_numeric: true }
    }

    /// An enumerated type with these labels.
    pub(crate) fn declare_enum(&mut self, name: &str, labels: Vec<String>) -> u32 {
        self.declare(Type { is_enum: true, labels, ..other(name) })
    }

    /// One more label of an enumerated type, or another name of one that it has.
    pub(crate) fn declare_label(&mut self, oid: u32, label: String, old: Option<&str>) {
        let Some(of) = self.types.get_mut(&oid) else { return };
        match old.and_then(|old| of.labels.iter_mut().find(|known| *known == old)) {
            Some(known) => *known = label,
            None => of.labels.push(label),
        }
    }

    /// A domain over a type with this modifier and name.
    pub(crate) fn declare_domain(
        &mut self,
        name: &str,
        base: (u32, i32, String),
        not_null: bool,
        default: Option<String>,
    ) -> u32 {
        self.declare(Type { base: Some(base), not_null, default, ..other(name) })
    }

    /// An array of elements of this type.
    pub(crate) fn declare_array(&mut self, name: &str, element: u32) -> u32 {
        self.declare(Type { element: Some(element), ..other(name) })
    }

    /// A type whose input function is that of `text`.
    pub(crate) fn declare_text(&mut self, name: &str) -> u32 {
        self.declare(Type { is_text: true, ..other(name) })
    }

    /// A type that only the server can read.
    pub(crate) fn declare_other(&mut self, name: &str) -> u32 {
        self.declare(other(name))
    }

    fn declare(&mut self, of: Type) -> u32 {
        let number = u32::try_from(self.types.len()).expect("a file declares fewer than four billion types");
        let oid = FIRST_USER_OID + number;
        self.types.insert(oid, of);
        oid
    }
}

/// A type of which nothing but its name is known.
pub(super) fn other(name: &str) -> Type {
    Type {
        name: name.to_owned(),
        is_enum: false,
        base: None,
        element: None,
        delimiter: b',',
        not_null: false,
        default: None,
        is_text: false,
        labels: Vec::new(),
    }
}
