//! The key columns of a row from the record's key: an object with the fields, or one value that is the whole key.

use super::record;
use super::value::{encode_bare, encode_raw};
use super::{
    Cells, Decoder, DecoderError, Field, Options, Reason, Rejection, reject, rejection, utf8, wrapping,
};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Decodes the keys of records.
#[derive(Debug)]
pub struct KeyDecoder {
    decoder: Decoder,
    columns: Vec<usize>,
}

impl KeyDecoder {
    /// A decoder for the fields at `columns`; the others are those of the value. Further fields of a key's object
    /// are skipped, whatever happens to those of the value.
    ///
    /// # Errors
    /// Two fields of one name.
    pub fn new(
        fields: Vec<Field>,
        columns: Vec<usize>,
        options: Options,
    ) -> Result<KeyDecoder, DecoderError> {
        let taken = (0..fields.len()).map(|index| columns.contains(&index)).collect();
        let decoder = Decoder::taking(fields, taken, Options { reject_unknown_fields: false, ..options })?;
        Ok(KeyDecoder { decoder, columns })
    }

    /// Decodes one key beside what `cells` hold already.
    ///
    /// # Errors
    /// If there is no key, or it does not fit the table. A field missing from the key's object is absent, not an error.
    pub fn decode(&self, key: Option<&[u8]>, cells: &mut Cells) -> Result<(), Rejection> {
        let Some(key) = key else {
            return Err(reject(
                Reason::MissingField,
                "the record has no key, which pk_mode needs".to_owned(),
            ));
        };
        let key = self.decoder.open_key(key);
        let text = std::str::from_utf8(&key).map_err(|error| {
            wrapping::explain(reject(Reason::InvalidUtf8, format!("the record's key: {error}")), &key)
        })?;
        let object = text.trim_ascii_start().starts_with('{');
        match self.columns[..] {
            [column] if !object || self.takes_whole(column, text) => self.whole(column, text, cells),
            _ if object => record::read(&self.decoder, text, cells).map_err(|mut rejection| {
                rejection.detail.insert_str(0, "the record's key: ");
                rejection
            }),
            _ => {
                let names: Vec<_> = self.columns.iter().map(|&c| &*self.decoder.fields[c].name).collect();
                let got = rejection::excerpt(text);
                let detail = format!(
                    "the record's key: expected an object with {}{}{got}",
                    names.join(", "),
                    rejection::GOT
                );
                Err(reject(Reason::NotAnObject, detail))
            }
        }
    }

    /// Decodes the fields of the key in `row`, the JSON object of a deleted row.
    ///
    /// # Errors
    /// If one of them does not fit its column.
    pub fn decode_row(&self, row: &[u8], cells: &mut Cells) -> Result<(), Rejection> {
        record::read(&self.decoder, utf8(row)?, cells)
    }

    /// Whether a key that begins like an object is the value of its only column: the column holds JSON, or it is
    /// no JSON at all.
    fn takes_whole(&self, column: usize, text: &str) -> bool {
        self.decoder.fields[column].kind.is_json() || serde_json::from_str::<IgnoredAny>(text).is_err()
    }

    /// The whole key as one value: as JSON, or else as the text that it is (`m1`, `2024-01-01`, a UUID's digits).
    fn whole(&self, column: usize, text: &str, cells: &mut Cells) -> Result<(), Rejection> {
        let (field, options) = (&self.decoder.fields[column], self.decoder.options);
        let bare = |cells: &mut Cells| encode_bare(text, field, column, options, cells);
        let Ok(json) = serde_json::from_str::<&RawValue>(text) else { return bare(cells) };
        match encode_raw(json.get(), field, column, options, cells) {
            // A null key is a mistake of the producer, not the text "null".
            Err(rejection) if json.get() != "null" => bare(cells).map_err(|_| rejection),
            encoded => encoded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::CellRef;
    use crate::encode::Kind;

    fn field(name: &str, kind: Kind) -> Field {
        Field { name: name.into(), kind, not_null: true, column: name.into() }
    }

    /// The bytes of the first column, or the reason of the rejection.
    fn decoded(kinds: &[Kind], key: &[u8]) -> Result<Vec<Option<Vec<u8>>>, &'static str> {
        let fields: Vec<Field> = kinds.iter().zip(["a", "b"]).map(|(k, n)| field(n, k.clone())).collect();
        let columns: Vec<usize> = (0..fields.len()).collect();
        let decoder = KeyDecoder::new(fields, columns, Options::default()).unwrap();
        let mut cells = Cells::new(kinds.len());
        decoder.decode(Some(key), &mut cells).map_err(|rejection| rejection.reason.as_str())?;
        let bytes = |n| match cells.get(n) {
            CellRef::Value(bytes) => Some(bytes.to_vec()),
            CellRef::Null | CellRef::Absent => None,
        };
        Ok((0..kinds.len()).map(bytes).collect())
    }

    #[test]
    fn a_whole_key_is_json_or_else_its_text() {
        let text = |key: &[u8]| decoded(&[Kind::Text], key).map(|found| found[0].clone().unwrap());
        for (key, value) in [
            (&b"m1"[..], &b"m1"[..]),
            (b"\"m1\"", b"m1"),
            (b"42", b"42"),
            (b"007", b"007"),
            (b"1.50", b"1.50"),
            (b"true", b"true"),
            (b"{oops", b"{oops"),
            (b"[1]", b"[1]"),
            (b"", b""),
        ] {
            assert_eq!(text(key).as_deref(), Ok(value), "{}", String::from_utf8_lossy(key));
        }
        assert_eq!(text(b"null"), Err("null_value"));
        assert_eq!(text(b"\xff"), Err("invalid_utf8"));
        assert_eq!(text(b"a\0b"), Err("null_byte"));
        let number = 42_i32.to_be_bytes().to_vec();
        assert_eq!(decoded(&[Kind::Int4], b"42"), Ok(vec![Some(number.clone())]));
        assert_eq!(decoded(&[Kind::Int4], b"\"42\""), Ok(vec![Some(number)]));
        assert_eq!(decoded(&[Kind::Int4], b"m1"), Err("wrong_type"));
        let digits = b"12345678901234567890123456789012";
        assert_eq!(decoded(&[Kind::Uuid], digits).unwrap()[0].as_ref().unwrap().len(), 16);
    }

    #[test]
    fn an_object_gives_its_fields_by_name() {
        let both = [Kind::Text, Kind::Int4];
        let two = Some(2_i32.to_be_bytes().to_vec());
        assert_eq!(decoded(&both, br#"{"b":2,"x":[],"a":"1"}"#), Ok(vec![Some(b"1".to_vec()), two.clone()]));
        assert_eq!(decoded(&both, br#"{"b":2}"#), Ok(vec![None, two]));
        assert_eq!(decoded(&both, b"m1"), Err("not_an_object"));
        assert_eq!(decoded(&both, br#"{"b":"#), Err("invalid_json"));
        assert_eq!(decoded(&[Kind::Text], br#"{"a":"1"}"#), Ok(vec![Some(b"1".to_vec())]));
        assert_eq!(decoded(&[Kind::Text], br#"{"z":"1"}"#), Ok(vec![None]));
    }
}
