//! Statistics of the sampled records, field by field. Pure.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::encode::{EncodeError, Kind, NullBytes, Value, encode, encode_json};

/// Statistics of all records.
#[derive(Debug)]
pub(super) struct SampleStatistics {
    unwrap: bool,
    fields: Vec<Field>,
    index: HashMap<String, usize>,
    /// Records that are JSON objects.
    pub objects: u64,
    /// Records that are not.
    pub not_objects: u64,
    /// Records without a value.
    pub tombstones: u64,
    /// The records' keys.
    pub keys: Keys,
    /// The content of each object.
    contents: Vec<u64>,
}

/// Statistics of the records' keys, tombstones included.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Records with a key.
    pub present: u64,
    /// Keys that are JSON objects.
    pub objects: u64,
    /// The fields of those.
    pub fields: Vec<Field>,
    /// All other keys, as one field: JSON, or else the text that they are.
    pub whole: Field,
    /// The key of each record that is an object.
    of_objects: Vec<Option<u64>>,
}

/// Statistics of one field.
#[derive(Debug, Default)]
pub(super) struct Field {
    pub name: String,
    /// Records with the field, null or not.
    pub present: u64,
    /// … with null.
    pub nulls: u64,
    /// … with a boolean.
    pub booleans: u64,
    /// … with a number.
    pub numbers: u64,
    /// … with a string.
    pub strings: u64,
    /// … with an object, or an array that is not unwrapped.
    pub nested: u64,
    /// … with an array of any kind.
    pub arrays: u64,
    /// The elements of these arrays.
    pub elements: Option<Box<Field>>,
    /// Strings that are the JSON of an object or an array.
    pub json_texts: u64,
    /// Strings that are numbers.
    pub number_strings: u64,
    /// … with an array of one scalar, which counts as that scalar as well.
    pub unwrapped: u64,
    /// Numbers with a fraction or an exponent.
    pub fractions: u64,
    /// Numbers with more digits than a double keeps.
    pub inexact: u64,
    /// Integers that could be milliseconds since 1970, for a time in this century.
    pub epochs: u64,
    /// … with U+0000 in a string.
    pub null_bytes: u64,
    /// Records whose key has the same text.
    pub equals_key: u64,
    /// The types that accept every value so far.
    pub takes: Takes,
    /// The scalar of each record that has one, in the order of the records.
    values: Vec<u64>,
}

/// The types that accept every value, as the sink encodes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    /// `bigint`
    pub bigint: bool,
    /// `double precision`
    pub double: bool,
    /// `numeric`
    pub numeric: bool,
    /// `uuid`
    pub uuid: bool,
    /// `date`
    pub date: bool,
    /// `timestamp`
    pub timestamp: bool,
    /// `timestamptz`, every one with an offset
    pub timestamptz: bool,
    /// `text`
    pub text: bool,
}

impl Default for Takes {
    fn default() -> Self {
        Self {
            bigint: true,
            double: true,
            numeric: true,
            uuid: true,
            date: true,
            timestamp: true,
            timestamptz: true,
            text: true,
        }
    }
}

impl SampleStatistics {
    /// Empty statistics. `unwrap`: arrays of one scalar go into scalar columns.
    pub(super) fn new(unwrap: bool) -> Self {
        Self {
            unwrap,
            fields: Vec::new(),
            index: HashMap::new(),
            objects: 0,
            not_objects: 0,
            tombstones: 0,
            keys: Keys::default(),
            contents: Vec::new(),
        }
    }

    /// The fields, in the order in which they were first seen.
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// How many records were added.
    pub(super) fn records(&self) -> u64 {
        self.objects + self.not_objects + self.tombstones
    }

    /// How many records repeat the values of `fields` of an earlier record with another content: an upsert by these
    /// fields overwrites so many rows. `None` if a record lacks one of the fields.
    pub(super) fn overwritten(&self, fields: &[&Field]) -> Option<u64> {
        if fields.iter().any(|field| field.values.len() != self.contents.len()) {
            return None;
        }
        let key = |record: usize| fields.iter().map(|field| field.values[record]).collect::<Vec<u64>>();
        Some(overwritten((0..self.contents.len()).map(|record| (key(record), self.contents[record]))))
    }

    /// The same for the records' keys.
    pub(super) fn overwritten_by_record_key(&self) -> Option<u64> {
        let keys: Option<Vec<u64>> = self.keys.of_objects.iter().copied().collect();
        Some(overwritten(keys?.into_iter().zip(self.contents.iter().copied())))
    }

    /// Adds a record.
    pub(super) fn add(&mut self, key: Option<&[u8]>, payload: Option<&[u8]>) {
        self.keys.add(key);
        let Some(payload) = payload else {
            self.tombstones += 1;
            return;
        };
        let Ok(Object(object)) = serde_json::from_slice(payload) else {
            self.not_objects += 1;
            return;
        };
        self.objects += 1;
        self.contents.push(hash(payload));
        self.keys.of_objects.push(key.map(hash));
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (place, (name, _)) in object.iter().enumerate() {
            last.insert(name, place);
        }
        for (place, (name, value)) in object.iter().enumerate() {
            // If a field occurs twice, the last one counts.
            if last[name.as_str()] != place {
                continue;
            }
            let number = *self.index.entry(name.clone()).or_insert_with(|| {
                self.fields.push(Field { name: name.clone(), ..Field::default() });
                self.fields.len() - 1
            });
            self.fields[number].add(value.get(), key, self.unwrap);
        }
    }
}

impl Keys {
    fn add(&mut self, key: Option<&[u8]>) {
        let Some(key) = key else { return };
        self.present += 1;
        if let Ok(Object(object)) = serde_json::from_slice(key) {
            self.objects += 1;
            for (name, value) in object {
                let known = self.fields.iter().position(|field| field.name == name);
                let number = known.unwrap_or_else(|| {
                    self.fields.push(Field { name, ..Field::default() });
                    self.fields.len() - 1
                });
                self.fields[number].add(value.get(), None, false);
            }
        } else if let Ok(json) = serde_json::from_slice::<&RawValue>(key) {
            self.whole.add(json.get(), None, false);
        } else if let Ok(text) = std::str::from_utf8(key) {
            self.whole.add(&serde_json::Value::from(text).to_string(), None, false);
        }
    }
}

/// How many records have the key of an earlier one, and another content than the last one of that key.
fn overwritten<K: Hash + Eq>(records: impl Iterator<Item = (K, u64)>) -> u64 {
    let mut last = HashMap::new();
    let repeats = records.map(|(key, content)| last.insert(key, content).is_some_and(|c| c != content));
    repeats.map(u64::from).sum()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

impl Field {
    fn add(&mut self, text: &str, key: Option<&[u8]>, unwrap: bool) {
        self.present += 1;
        let element = self.array(text).filter(|_| unwrap);
        if element.is_some() {
            self.unwrapped += 1;
        }
        let text = element.as_deref().unwrap_or(text);
        let unescaped;
        let value = match text.as_bytes() {
            b"null" => {
                self.nulls += 1;
                return;
            }
            [b'{' | b'[', ..] => {
                self.nested += 1;
                let stored = encode_json(&Kind::Jsonb, text, NullBytes::Reject, &mut Vec::new());
                self.null_bytes += u64::from(stored == Err(EncodeError::NullByte));
                return;
            }
            b"true" | b"false" => {
                self.booleans += 1;
                Value::Bool(text == "true")
            }
            [b'"', ..] => {
                self.strings += 1;
                unescaped = serde_json::from_str::<String>(text).unwrap_or_default();
                self.null_bytes += u64::from(unescaped.contains('\0'));
                self.number_strings += u64::from(is_number(&unescaped));
                self.json_texts += u64::from(is_json_text(&unescaped));
                Value::Str(&unescaped)
            }
            _ => {
                self.numbers += 1;
                self.number(text);
                Value::Number(text)
            }
        };
        self.takes.narrow(value);
        let plain = if let Value::Str(string) = value { string } else { text };
        self.equals_key += u64::from(key == Some(plain.as_bytes()) || key == Some(text.as_bytes()));
        self.values.push(hash(plain.as_bytes()));
    }

    /// Notes the elements of an array. Returns the only one if it is a scalar.
    fn array(&mut self, text: &str) -> Option<String> {
        let elements: Vec<Box<RawValue>> = serde_json::from_str(text).ok()?;
        self.arrays += 1;
        let field = self.elements.get_or_insert_default();
        for element in &elements {
            field.add(element.get(), None, false);
        }
        let [element] = &elements[..] else { return None };
        let element = element.get();
        (element != "null" && !element.starts_with(['[', '{'])).then(|| element.to_owned())
    }

    fn number(&mut self, text: &str) {
        if text.contains(['.', 'e', 'E']) {
            self.fractions += 1;
        }
        // The shortest text of the nearest double has the same digits, if the double keeps them.
        let kept = text.parse().is_ok_and(|n: f64| significant(&format!("{n:e}")) == significant(text));
        self.inexact += u64::from(!kept);
        let millis = 946_684_800_000..4_102_444_800_000_i64;
        self.epochs += u64::from(text.parse().is_ok_and(|n: i64| millis.contains(&n)));
    }

    /// Records with a value that is not null.
    pub(super) fn valued(&self) -> u64 {
        self.present - self.nulls
    }
}

impl Takes {
    fn narrow(&mut self, value: Value<'_>) {
        let takes = |kind: Kind| encode(&kind, value, &mut Vec::new()).is_ok();
        self.bigint &= takes(Kind::Int8);
        self.double &= takes(Kind::Float8);
        self.numeric &= takes(Kind::Numeric { modifier: None, infinite: false });
        self.text &= takes(Kind::Text);
        let string = if let Value::Str(text) = value { text } else { "" };
        // Only text with hyphens: digits alone are an id.
        let dated = matches!(string.as_bytes(), [a, b, c, d, b'-', _, _, b'-', _, _, ..]
            if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()));
        let time = string.get(10..).unwrap_or_default();
        let zoned = time.contains(['Z', 'z', '+', '-']);
        // 32 digits without hyphens are more often a hash or a trace id.
        self.uuid &= string.len() == 36 && takes(Kind::Uuid);
        self.date &= dated && time.is_empty() && takes(Kind::Date);
        self.timestamp &= dated && time.contains(':') && !zoned && takes(Kind::Timestamp { precision: None });
        self.timestamptz &=
            dated && time.contains(':') && zoned && takes(Kind::Timestamptz { precision: None });
    }
}

/// The JSON of an object or an array.
fn is_json_text(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// A decimal number without leading zeros, which would be lost.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(fraction) && (whole.len() == 1 || !whole.starts_with('0'))
}

/// The digits of a number without leading and trailing zeros.
fn significant(number: &str) -> String {
    let digits = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

/// The fields of an object, in its order.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
