//! Debezium's placeholder for large values that an update of the source row did not touch: the field is as good as absent.
//!
//! The forms are those of its `UnchangedToastedPlaceholder`: the text itself; the same as bytes, in the encodings of
//! `binary.handling.mode`; an array of that text; an array of its bytes as numbers; an array of the UUID named by it; and for
//! hstore an object, or its JSON as text.

use openssl::base64::encode_block;
use openssl::hash::{MessageDigest, hash};
use serde_json::{Value, json};

/// Turns the placeholder off.
const OFF: &str = "off";

/// The placeholder in all its forms.
#[derive(Debug)]
pub(super) struct Unavailable {
    /// Values of strings.
    texts: Vec<String>,
    /// A bit for each length of a text, modulo 64.
    lengths: u64,
    /// The same as JSON.
    quoted: Vec<String>,
    /// Arrays and objects, and how their JSON begins after the bracket.
    nested: Vec<(String, Value)>,
}

impl Unavailable {
    /// The forms of this placeholder; `off` and an empty one have none.
    pub(super) fn new(placeholder: &str) -> Option<Self> {
        if placeholder == OFF {
            return None;
        }
        let first = *placeholder.as_bytes().first()?;
        let base64 = encode_block(placeholder.as_bytes());
        let url_safe = base64.replace('+', "-").replace('/', "_");
        let hex: String = placeholder.bytes().map(|byte| format!("{byte:02x}")).collect();
        let hstore = json!({placeholder: placeholder});
        let texts = vec![placeholder.to_owned(), base64.clone(), url_safe, hex, hstore.to_string()];
        let quoted = texts.iter().map(|text| Value::from(text.as_str()).to_string()).collect();
        let numbers: Vec<i8> = placeholder.bytes().map(u8::cast_signed).collect();
        let mut nested = vec![
            (Value::from(placeholder).to_string(), json!([placeholder])),
            (Value::from(base64.as_str()).to_string(), json!([base64])),
            (first.cast_signed().to_string(), json!(numbers)),
            (Value::from(placeholder).to_string(), hstore),
        ];
        if let Some(uuid) = uuid(placeholder) {
            nested.push((format!("\"{uuid}\""), json!([uuid])));
        }
        let lengths = texts.iter().fold(0, |lengths, text| lengths | 1 << (text.len() % 64));
        Some(Self { texts, lengths, quoted, nested })
    }

    /// Whether a string has this value.
    #[inline]
    pub(super) fn is_text(&self, text: &str) -> bool {
        // Asked for each string of each record.
        self.lengths >> (text.len() % 64) & 1 == 1 && self.texts.iter().any(|form| form == text)
    }

    /// Whether JSON text is one of the forms.
    #[inline]
    pub(super) fn is(&self, json: &str) -> bool {
        match json.as_bytes() {
            [b'"', ..] => self.quoted.iter().any(|form| form == json),
            [b'[' | b'{', ..] => self.is_nested(json),
            _ => false,
        }
    }

    fn is_nested(&self, json: &str) -> bool {
        let inner = json[1..].trim_ascii_start();
        let begins = self.nested.iter().any(|(start, _)| inner.starts_with(start.as_str()));
        begins
            && serde_json::from_str::<Value>(json)
                .is_ok_and(|value| self.nested.iter().any(|(_, form)| *form == value))
    }
}

/// Java's `UUID.nameUUIDFromBytes`: version 3 without a namespace. `None` where MD5 is forbidden.
fn uuid(name: &str) -> Option<String> {
    let mut bytes = hash(MessageDigest::md5(), name.as_bytes()).ok()?.to_vec();
    *bytes.get_mut(6)? = bytes[6] & 0x0f | 0x30;
    *bytes.get_mut(8)? = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_placeholder_is_known() {
        let unavailable = Unavailable::new("__debezium_unavailable_value").unwrap();
        for form in [
            r#""__debezium_unavailable_value""#,
            r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#,
            r#""5f5f646562657a69756d5f756e617661696c61626c655f76616c7565""#,
            r#"[ "__debezium_unavailable_value" ]"#,
            r#"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#,
            "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
            r#"{"__debezium_unavailable_value": "__debezium_unavailable_value"}"#,
            r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#,
        ] {
            assert!(unavailable.is(form), "{form}");
        }
        assert!(unavailable.is_text("__debezium_unavailable_value"));
        assert!(!unavailable.is_text("--debezium-unavailable-value"), "of the same length");
        let uuid = uuid("__debezium_unavailable_value").unwrap();
        assert!(unavailable.is(&format!("[\"{uuid}\"]")));
        for other in [
            r#""_debezium_unavailable_value""#,
            "[95,95]",
            "95",
            "null",
            r#"["__debezium_unavailable_value","b"]"#,
            r#"{"a":"__debezium_unavailable_value"}"#,
            r#"{"__debezium_unavailable_value":"__debezium_unavailable_value","b":1}"#,
            "[]",
            "{}",
        ] {
            assert!(!unavailable.is(other), "{other}");
        }
    }

    #[test]
    fn a_name_is_a_uuid_as_in_java() {
        // RFC 9562's MD5 of the empty name, with the bits of version and variant.
        assert_eq!(uuid("").as_deref(), Some("d41d8cd9-8f00-3204-a980-0998ecf8427e"));
    }

    #[test]
    fn another_placeholder_is_the_only_one() {
        assert!(Unavailable::new("").is_none() && Unavailable::new("off").is_none());
        let other = Unavailable::new("\"ü").unwrap();
        assert!(other.is(r#""\"ü""#) && other.is(r#"["\"ü"]"#) && other.is("[34,-61,-68]"));
        assert!(!other.is(r#""__debezium_unavailable_value""#));
    }
}
