//! The keys of a binary, derived from the structs that receive their values.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

/// All keys of a binary.
#[derive(Debug)]
pub struct Schema {
    /// Prefix of environment variables: `SINK` for `SINK__KAFKA__GROUP_ID`.
    pub(super) prefix: &'static str,
    /// The keys, sections in alphabetical order.
    pub(super) keys: Vec<Key>,
    json: Value,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// Dotted path: `kafka.group_id`.
    pub path: String,
    /// Its values.
    pub kind: Kind,
    /// Its JSON schema.
    pub json: Value,
}

/// The values that a key takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A string that is not blank.
    Text,
    /// An integer within bounds, both included.
    Integer { min: i64, max: i64 },
    /// A number within bounds, both included.
    Float { min: f64, max: f64 },
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(Vec<String>),
    /// Strings, none of them blank; comma-separated in a variable.
    List,
    /// A free map with dotted keys: [`super::properties::schema`].
    Properties,
    /// A map of names to strings, from files only; the names are one of these, or any if there are none here.
    Map(Vec<String>),
    /// A map of free names to tables with the keys of the section named here, from files only.
    Tables(String),
}

impl Kind {
    /// Whether variables and flags cannot set it, because they cannot hold free names.
    pub(super) fn is_file_only(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Tables(_))
    }
}

impl Schema {
    /// The keys of a struct of sections: its doc comments are the help, its `Default` the defaults,
    /// `#[schemars(range(…))]` the bounds. With `#[schemars(extend(…))]` a key says more: `x-unit`, the unit of a number;
    /// `x-default`, what its default depends on, in words; `x-section`, the section whose keys the tables of a map have.
    #[must_use]
    pub fn of<T: JsonSchema>(prefix: &'static str) -> Self {
        let settings = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .with_transform(RecursiveTransform(plain));
        let json = settings.into_generator().into_root_schema_for::<T>().to_value();
        let mut keys = Vec::new();
        collect(&json, "", &mut keys);
        Self { prefix, keys, json }
    }

    /// The JSON schema of a configuration file.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The dotted paths of all keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.path.as_str())
    }

    /// The key with this dotted path.
    pub(super) fn find(&self, path: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.path == path)
    }

    /// Whether keys live below this dotted path.
    pub(super) fn is_section(&self, path: &str) -> bool {
        self.keys.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// The environment variable that sets a key, such as `SINK__KAFKA__GROUP_ID` for `kafka.group_id`.
    pub(super) fn variable(&self, path: &str) -> String {
        format!("{}__{}", self.prefix, path.replace('.', "__").to_uppercase())
    }
}

/// Removes Rust-specific formats, and null, which TOML does not have.
fn plain(schema: &mut schemars::Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("title");
    object.remove("format");
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if let Some(Value::Array(types)) = object.get("type")
        && let [one, Value::String(null)] = types.as_slice()
        && null == "null"
    {
        let one = one.clone();
        object.insert("type".to_owned(), one);
    }
    if let Some(Value::Array(variants)) = object.remove("oneOf") {
        object.insert("type".to_owned(), "string".into());
        object.insert("enum".to_owned(), variants.iter().map(|variant| variant["const"].clone()).collect());
    }
    // A struct with a flattened part.
    if let Some(no_others) = object.remove("unevaluatedProperties") {
        object.insert("additionalProperties".to_owned(), no_others);
    }
    if object.contains_key("properties") || object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
}

fn collect(section: &Value, path: &str, keys: &mut Vec<Key>) {
    for (name, json) in section["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if json["properties"].is_object() {
            collect(json, &path, keys);
        } else {
            keys.push(Key { path, kind: kind(json), json: json.clone() });
        }
    }
}

fn kind(json: &Value) -> Kind {
    let words = |words: &Value| {
        let words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let (min, max) = (&json["minimum"], &json["maximum"]);
    match json["type"].as_str() {
        Some("integer") => {
            Kind::Integer { min: min.as_i64().unwrap_or(i64::MIN), max: max.as_i64().unwrap_or(i64::MAX) }
        }
        Some("number") => {
            Kind::Float { min: min.as_f64().unwrap_or(f64::MIN), max: max.as_f64().unwrap_or(f64::MAX) }
        }
        Some("boolean") => Kind::Boolean,
        Some("array") => Kind::List,
        Some("object") if json["additionalProperties"]["type"].is_array() => Kind::Properties,
        Some("object") => match json["x-section"].as_str() {
            Some(section) => Kind::Tables(section.to_owned()),
            None => Kind::Map(words(&json["propertyNames"]["enum"])),
        },
        _ if json["enum"].is_array() => Kind::Choice(words(&json["enum"])),
        _ => Kind::Text,
    }
}
