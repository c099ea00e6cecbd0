//! Values that hold JSON in a wrapping which the sink does not read: the reason of their dead letter names it.

use super::{Reason, Rejection};
use serde_json::value::RawValue;

/// Names the wrapping of `value` in a rejection that came of it.
#[cold]
pub(super) fn explain(mut rejection: Rejection, value: &[u8]) -> Rejection {
    let of_the_whole = matches!(
        rejection.reason,
        Reason::InvalidJson | Reason::InvalidUtf8 | Reason::NotAnObject | Reason::InvalidEnvelope
    );
    if rejection.column.is_none()
        && of_the_whole
        && let Some(wrapping) = wrapping(value)
    {
        rejection.detail = format!("{wrapping} ({})", rejection.detail);
    }
    rejection
}

fn wrapping(value: &[u8]) -> Option<String> {
    match value {
        [] => Some(
            "an empty value: zero bytes are neither JSON nor a tombstone, which has no value at all"
                .to_owned(),
        ),
        [0xef, 0xbb, 0xbf, ..] => {
            Some("a byte order mark before the text, which JSON does not allow".to_owned())
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16 text: JSON is exchanged in UTF-8".to_owned()),
        [0x1f, 0x8b, ..] => {
            Some("gzip inside the value: compress with Kafka's compression.type instead".to_owned())
        }
        // Confluent's wire format: a magic byte and the schema's id, big-endian.
        [0, a, b, c, d, rest @ ..] => {
            let id = u32::from_be_bytes([*a, *b, *c, *d]);
            let what =
                if rest.trim_ascii_start().starts_with(b"{") { "JSON Schema" } else { "Avro or Protobuf" };
            Some(format!(
                "written for a schema registry (magic byte 0x00, schema id {id}, {what}): the sink reads JSON without a registry"
            ))
        }
        _ => of_text(std::str::from_utf8(value).ok()?),
    }
}

fn of_text(text: &str) -> Option<String> {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let first = documents.next()?.ok()?.get();
    let end = documents.byte_offset();
    if documents.next().is_some_and(|second| second.is_ok()) {
        return Some(format!(
            "several JSON documents in one record, the second after byte {end}: one record is one row"
        ));
    }
    let inside: String = serde_json::from_str(first).ok()?;
    let json =
        inside.trim_ascii_start().starts_with('{') && serde_json::from_str::<&RawValue>(&inside).is_ok();
    json.then(|| {
        "a JSON document as text inside a string: encoded twice, or `after` of Debezium's MongoDB connector, which its \
         ExtractNewDocumentState unwraps"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_wrappings_are_named() {
        for (value, named) in [
            (&b""[..], "an empty value"),
            (b"\xef\xbb\xbf{}", "a byte order mark"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\0\0\0\0\x07\x02\x04ab", "schema id 7, Avro or Protobuf"),
            (b"\0\0\0\x01\0{\"a\":1}", "schema id 256, JSON Schema"),
            (b"{\"a\":1}\n{\"a\":2}", "several JSON documents in one record, the second after byte 7"),
            (b"{}{}", "several JSON documents"),
            (br#""{\"_id\":1}""#, "MongoDB"),
        ] {
            assert!(wrapping(value).unwrap_or_default().contains(named), "{value:?}: {:?}", wrapping(value));
        }
        for value in [&b"{"[..], b"{}x", b"[1]", b"\"text\"", b"\"{text\"", b"\xff\xff", b"\0\0\0", b"1"] {
            assert_eq!(wrapping(value), None, "{value:?}");
        }
    }
}
