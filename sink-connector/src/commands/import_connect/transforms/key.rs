//! What a chain of transforms makes of the key of a record, and which key of ours says the same.

use super::fields::{self, pairs};
use super::{Transform, accept, own_keys, reject};
use crate::commands::import_connect::modes::set_fields;
use crate::commands::import_connect::report::Outcome;
use crate::commands::import_connect::translation::{Translation, list};

/// The key after the transforms so far.
#[derive(Default)]
pub(in crate::commands::import_connect) struct Key {
    shape: Shape,
    /// Those that had a part in it.
    transforms: Vec<Transform>,
}

#[derive(Clone)]
enum Shape {
    /// The record's own. Some of its fields have other names now: field, name.
    Record(Vec<(String, String)>),
    /// One field of the record's own key.
    Field(String),
    /// An object whose only field is the record's own key.
    Hoisted(String),
    /// An object of fields of the value: name, field.
    Value(Vec<(String, String)>),
    /// One field of the value.
    ValueField(String),
}

impl Default for Shape {
    fn default() -> Self {
        Self::Record(Vec::new())
    }
}

impl Key {
    /// The prefixes of the transforms that [`Self::resolve`] reports.
    pub(super) fn transforms(&self) -> impl Iterator<Item = &str> {
        self.transforms.iter().map(|transform| transform.prefix.as_str())
    }

    /// Adds a transform of keys.
    pub(super) fn transform(&mut self, t: &mut Translation, transform: Transform, class: &str) {
        if t.text(&["sink", "pk_mode"]) != "record_key" {
            return accept(t, &transform, "the key of the record is not used");
        }
        match self.shape.after(t, &transform, class) {
            Some(shape) => {
                self.shape = shape;
                self.transforms.push(transform);
            }
            None => reject(t, &transform, instead(class)),
        }
    }

    /// Fields of the value have other names now.
    pub(super) fn value_renamed(&mut self, renames: &[(String, String)]) {
        let renamed = |field: &mut String| {
            if let Some((_, name)) = renames.iter().find(|(from, _)| from == field) {
                field.clone_from(name);
            }
        };
        match &mut self.shape {
            Shape::Value(fields) => fields.iter_mut().for_each(|(_, field)| renamed(field)),
            Shape::ValueField(field) => renamed(field),
            _ => {}
        }
    }

    /// Sets where the sink takes the key from, and reports the transforms.
    pub(in crate::commands::import_connect) fn resolve(&self, t: &mut Translation) {
        let columns = t.texts(&["sink", "pk_fields"]);
        match (&self.shape, &columns[..]) {
            (Shape::Record(renames), _) => {
                let renamed = |(field, name): &&(String, String)| field != name && columns.contains(name);
                fields::rename_at_once(t, &self.option(t), renames.iter().filter(renamed));
                self.not_needed(t, "the columns of pk_fields are read from the key's object");
            }
            (Shape::Field(field), []) => {
                set_fields(t, vec![field.clone()]);
                self.taken(t, &format!("sink.pk_fields = [{field:?}]"));
            }
            (Shape::Field(field), [column]) => {
                if field != column {
                    fields::rename(t, &self.option(t), field, column);
                }
                self.not_needed(t, "a key that is an object gives its field to the key column");
            }
            (Shape::Hoisted(name), []) => {
                set_fields(t, vec![name.clone()]);
                self.taken(t, &format!("sink.pk_fields = [{name:?}]"));
            }
            (Shape::Hoisted(name), [column]) if name == column => {
                self.not_needed(t, "a key that is one value is the value of the only key column");
            }
            (Shape::Hoisted(_), _) => self.rejected(t, "fields are columns of the same names"),
            (Shape::Value(fields), []) => self.of_value(t, fields.clone()),
            (Shape::Value(fields), columns) => {
                let of = |column: &String| fields.iter().find(|(name, _)| name == column).cloned();
                match columns.iter().map(of).collect() {
                    Some(fields) => self.of_value(t, fields),
                    None => self.rejected(t, "the key that it makes lacks a field of pk_fields"),
                }
            }
            (Shape::ValueField(field), []) => self.of_value(t, vec![(field.clone(), field.clone())]),
            (Shape::ValueField(field), [column]) => {
                self.of_value(t, vec![(column.clone(), field.clone())]);
            }
            (Shape::Field(_) | Shape::ValueField(_), _) => {
                self.rejected(t, "a key of several columns is an object with a field for each");
            }
        }
    }

    /// The key is made of fields of the value: column, field.
    fn of_value(&self, t: &mut Translation, fields: Vec<(String, String)>) {
        t.set(&["sink", "pk_mode"], "record_value");
        for (column, field) in fields.iter().filter(|(column, field)| column != field) {
            let key = self.option(t);
            if fields::rename(t, &key, field, column) && is_written(t, field) {
                t.not_supported(
                    &key,
                    format!(
                        "Connect stores field {field:?} in a column of its own as well, and here a field has one column: leave \
                         {field:?} out of the table, or let it be GENERATED ALWAYS AS ({column}) STORED"
                    ),
                );
            }
        }
        let columns: Vec<String> = fields.into_iter().map(|(column, _)| column).collect();
        let how = format!("sink.pk_mode = \"record_value\", sink.pk_fields = {columns:?}");
        set_fields(t, columns);
        // Only one of them is in the input; the other is not reported.
        let made = format!("the transforms make the key of the value: {how}");
        for key in ["pk.mode", "primary.key.mode"] {
            if t.report.is_taken(key) {
                t.report.replace(key, Outcome::Taken, &made);
            }
        }
        self.taken(t, &how);
    }

    /// The option of the last transform that says which field the key is.
    fn option(&self, t: &Translation) -> String {
        let Some(last) = self.transforms.last() else { return String::new() };
        let options = ["field", "renames", "fields"].map(|option| last.key(option));
        options.into_iter().find(|key| t.input.contains_key(key)).unwrap_or_else(|| last.key("type"))
    }

    fn taken(&self, t: &mut Translation, how: &str) {
        for key in self.transforms.iter().flat_map(|transform| own_keys(t, transform)).collect::<Vec<_>>() {
            t.taken(&key, how);
        }
    }

    fn not_needed(&self, t: &mut Translation, why: &str) {
        self.transforms.iter().for_each(|transform| accept(t, transform, why));
    }

    fn rejected(&self, t: &mut Translation, why: &str) {
        self.transforms.iter().for_each(|transform| reject(t, transform, why));
    }
}

impl Shape {
    /// The shape after one more transform; `None` if no key of ours can say it.
    fn after(&self, t: &mut Translation, transform: &Transform, class: &str) -> Option<Self> {
        let field = transform.get(t, "field");
        match (class, self) {
            ("ValueToKey", _) => {
                let fields = list(&transform.get(t, "fields")?);
                let same = |field: String| (field.clone(), field);
                (!fields.is_empty()).then(|| Self::Value(fields.into_iter().map(same).collect()))
            }
            ("ExtractField", Self::Record(renames)) => {
                let field = field?;
                let before =
                    renames.iter().find(|(_, name)| *name == field).map(|(before, _)| before.clone());
                Some(Self::Field(before.unwrap_or(field)))
            }
            ("ExtractField", Self::Value(fields)) => {
                let wanted = field?;
                fields
                    .iter()
                    .find(|(name, _)| *name == wanted)
                    .map(|(_, field)| Self::ValueField(field.clone()))
            }
            ("ExtractField", Self::Hoisted(name)) => (field.as_ref() == Some(name)).then(Self::default),
            ("HoistField", Self::Record(renames)) if renames.is_empty() => Some(Self::Hoisted(field?)),
            ("HoistField", Self::Field(before)) => Some(Self::Record(vec![(before.clone(), field?)])),
            ("HoistField", Self::ValueField(of)) => Some(Self::Value(vec![(field?, of.clone())])),
            ("ReplaceField", Self::Record(before)) => {
                let mut renames = before.clone();
                // The pairs of one transform apply at once.
                for (from, name) in pairs(t, transform) {
                    match before.iter().position(|(_, current)| *current == from) {
                        Some(renamed) => renames[renamed].1 = name,
                        None => renames.push((from, name)),
                    }
                }
                Some(Self::Record(renames))
            }
            ("ReplaceField", Self::Value(fields)) => {
                let renames = pairs(t, transform);
                let renamed = |(name, field): &(String, String)| {
                    let new = renames.iter().find(|(from, _)| from == name).map(|(_, to)| to.clone());
                    (new.unwrap_or_else(|| name.clone()), field.clone())
                };
                Some(Self::Value(fields.iter().map(renamed).collect()))
            }
            ("SetSchemaMetadata", shape) => Some(shape.clone()),
            _ => None,
        }
    }
}

/// Whether the connector stores this field of the value: it does unless a list leaves it out.
fn is_written(t: &Translation, field: &str) -> bool {
    let has = |value: &str| list(value).iter().any(|listed| listed == field);
    let whitelisted = t.get("fields.whitelist").is_none_or(|fields| has(&fields));
    let excluded = t.input.iter().any(|(key, value)| {
        key.starts_with("transforms.")
            && (key.ends_with(".exclude") || key.ends_with(".blacklist"))
            && has(value)
    });
    whitelisted && !excluded
}

fn instead(class: &str) -> &'static str {
    match class {
        "InsertField" => "keys get no further fields: sink.metadata fills columns of the row",
        "ValueToKey" => "it names no fields",
        "ExtractField" => "the key has no such field",
        "HoistField" => "fields are columns of the same names",
        "Cast" => "the type of the column decides: what it rejects, Connect would convert",
        _ => "the key is used as it is in Kafka, or as fields of the value: sink.pk_mode, sink.pk_fields",
    }
}
