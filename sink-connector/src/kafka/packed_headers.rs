//! Headers of a record, packed into bytes for the memory of a batch.

use serde_json::{Map, Value, json};

use crate::postgres::sql::storable;

/// Appends one header: its name, and its value or none.
pub(crate) fn push(packed: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    put(packed, name.as_bytes());
    match value {
        Some(value) => {
            packed.push(1);
            put(packed, value);
        }
        None => packed.push(0),
    }
}

pub(crate) fn iter(packed: &[u8]) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    let mut rest = packed;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let name = std::str::from_utf8(take(&mut rest)).expect("packed from a str");
        let (present, tail) = rest.split_first().expect("a name is followed by its flag");
        rest = tail;
        Some((name, (*present == 1).then(|| take(&mut rest))))
    })
}

/// Headers as a JSON array, in their order, repeated names included. A value that jsonb cannot hold as text is written
/// in hexadecimal; without `any_text`, so is one that is not ASCII.
pub(crate) fn to_json(packed: &[u8], any_text: bool) -> String {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') && (any_text || text.is_ascii()) => json!(text),
        _ => json!({ "hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>() }),
    };
    let list: Vec<Value> = iter(packed)
        .map(|(name, value)| {
            let mut header = Map::new();
            header.insert("name".to_owned(), json!(storable(name, any_text)));
            header.insert("value".to_owned(), value.map_or(Value::Null, text));
            Value::Object(header)
        })
        .collect();
    Value::Array(list).to_string()
}

fn put(packed: &mut Vec<u8>, part: &[u8]) {
    packed.extend_from_slice(&length(part).to_be_bytes());
    packed.extend_from_slice(part);
}

fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (len, tail) = rest.split_first_chunk::<4>().expect("each part follows its length");
    let (part, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
    *rest = tail;
    part
}

fn length(part: &[u8]) -> u32 {
    u32::try_from(part.len()).expect("Kafka limits a record to less than 4 GiB")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn headers_that_are_not_text_are_kept_as_hexadecimal() {
        let mut packed = Vec::new();
        super::push(&mut packed, "a", Some(b"x"));
        super::push(&mut packed, "a", Some(b"\x00\xff"));
        super::push(&mut packed, "b", None);
        let json: Value = serde_json::from_str(&super::to_json(&packed, true)).unwrap();
        assert_eq!(
            json,
            json!([{"name": "a", "value": "x"}, {"name": "a", "value": {"hex": "00ff"}}, {"name": "b", "value": null}])
        );
    }

    #[test]
    fn headers_are_unpacked_as_they_were_packed() {
        let mut packed = Vec::new();
        super::push(&mut packed, "trace", Some(b"\x00\xff"));
        super::push(&mut packed, "", None);
        let back: Vec<_> = super::iter(&packed).collect();
        assert_eq!(back, vec![("trace", Some(&b"\x00\xff"[..])), ("", None)]);
    }
}
