use super::*;
use crate::decode::{JsonStrings, NullBytes, Options, Rejection, ValueFormat, record};
use crate::encode::{Array, Enum, Modifier, oid};
use proptest::prelude::*;
use std::sync::Arc;

/// A column of each kind that is read in a way of its own.
fn fields() -> Vec<Field> {
    let kinds = [
        Kind::Text,
        Kind::Int4,
        Kind::Float8,
        Kind::Numeric { modifier: Some(Modifier { precision: 5, scale: 2 }), infinite: true },
        Kind::Jsonb,
        Kind::Json,
        Kind::Timestamptz { precision: None },
        Kind::Int8,
        Kind::Bool,
        Kind::VarChar { max_chars: Some(3) },
        Kind::Float4,
        Kind::Array(Arc::new(Array { element: Kind::Int4, element_oid: oid::INT4, delimiter: b',' })),
        Kind::Enum(Arc::new(Enum::new("mood".into(), vec!["a".into(), "b".into()]))),
        Kind::Input("point".into()),
        Kind::Int2,
        Kind::Date,
    ];
    let name = |n: usize| {
        ["t", "i", "f", "n", "b", "j", "z", "k", "o", "v", "long_name", "a", "e", "x", "s", "d"][n]
    };
    let field = |(n, kind)| Field { name: name(n).into(), kind, not_null: n == 7, column: name(n).into() };
    kinds.into_iter().enumerate().map(field).collect()
}

const LENIENT: Options = Options {
    reject_unknown_fields: false,
    unwrap_single_element_arrays: true,
    null_bytes: NullBytes::Reject,
    json_strings: JsonStrings::Keep,
    value_format: ValueFormat::Json,
};
const STRICT: Options = Options {
    reject_unknown_fields: true,
    unwrap_single_element_arrays: false,
    null_bytes: NullBytes::Strip,
    json_strings: JsonStrings::Parse,
    value_format: ValueFormat::Json,
};

fn decoders() -> [Decoder; 2] {
    let lenient = Decoder::new(fields(), LENIENT).unwrap().with_unavailable_value("gone");
    let taken = (0..fields().len()).map(|n| n != 1).collect();
    [lenient, Decoder::taking(fields(), taken, STRICT).unwrap()]
}

/// The cells of a record as serde_json reads it, or its rejection.
fn by_serde(decoder: &Decoder, text: &str) -> Result<Cells, Rejection> {
    let mut cells = Cells::new(decoder.fields.len());
    record::read(decoder, text, &mut cells).map(|()| cells)
}

fn same(a: &Cells, b: &Cells) -> bool {
    a.len() == b.len() && (0..a.len()).all(|n| a.get(n) == b.get(n))
}

/// Whether the record is taken. If so, serde_json agrees.
fn taken(decoder: &Decoder, text: &str, cells: &mut Cells) -> bool {
    cells.reset(decoder.fields.len());
    let taken = read(decoder, text, cells).is_some();
    if taken {
        let by_serde = by_serde(decoder, text);
        assert!(
            by_serde.as_ref().is_ok_and(|by_serde| same(cells, by_serde)),
            "{text}\n{cells:?}\n{by_serde:?}"
        );
    }
    taken
}

#[test]
fn usual_records_are_taken() {
    let [lenient, strict] = &decoders();
    let mut cells = Cells::default();
    for record in [
        r#"{"t":"a","i":1,"f":2.5,"n":1.25,"b":{"x":[1,"\n"]},"j":[],"z":"2024-01-02T03:04:05Z","k":-7,"o":true}"#,
        r#"{"i": -2147483648, "t": "", "z": 1700000000000, "k": 9007199254740993, "f": -0.0, "s": 0}"#,
        r#" { "k" : 1 , "unknown" : { "t" : [ 1e5 , null ] } , "t" : "\u00e9\n" } "#,
        r#"{"t":["Wankhede"],"i":[5],"f":["1.5"],"long_name":1e3,"a":[1,2],"e":"b","x":"(1,2)"}"#,
        r#"{"t":"gone","j":"gone","b":["gone"],"k":3,"v":"abc","d":"2024-02-29"}"#,
        r#"{"t":12,"v":-0,"o":1,"k":1,"k":2}"#,
        "{}",
        " {\n} ",
    ] {
        assert!(taken(lenient, record, &mut cells), "{record}");
    }
    assert!(taken(strict, r#"{"k":1,"i":"filled elsewhere","t":"a"}"#, &mut cells));
}

#[test]
fn what_is_rejected_or_unusual_is_left_to_serde_json() {
    let [lenient, strict] = &decoders();
    let mut cells = Cells::default();
    for record in [
        r#"{"t":"a"}x"#,
        r#"{"t":"a",}"#,
        r#"{"t":"a" "i":1}"#,
        r#"{"t":"a"#,
        r#"{"t":"\ud800"}"#,
        r#"{"t":"\u0000"}"#,
        r#"{"\u0074":"a"}"#,
        r#"{"i":2147483648}"#,
        r#"{"i":01}"#,
        r#"{"i":1e400}"#,
        r#"{"i":1.5}"#,
        r#"{"k":null}"#,
        r#"{"t":{}}"#,
        r#"{"t":[1,2]}"#,
        r#"{"e":"c"}"#,
        "[]",
        "",
    ] {
        assert!(!taken(lenient, record, &mut cells), "{record}");
    }
    assert!(!taken(strict, r#"{"unknown":1}"#, &mut cells));
    assert!(!taken(strict, r#"{"t":["a"]}"#, &mut cells));
}

#[test]
fn records_of_any_order_are_read_with_the_same_cells() {
    let [lenient, _] = &decoders();
    let mut cells = Cells::default();
    for _ in 0..2 {
        assert!(taken(lenient, r#"{"t":"a","i":1,"k":2}"#, &mut cells));
        assert!(taken(lenient, r#"{"k":2,"i":1,"t":"a"}"#, &mut cells));
        assert!(taken(lenient, r#"{"i":1,"i":2,"unknown":3,"k":2}"#, &mut cells));
    }
}

/// JSON values of all forms, whole or spoilt.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<i16>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("JSON has none", |value| value.is_finite())
            .prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("JSON has none", |value| value.is_finite())
            .prop_map(|value| format!("{value:e}")),
        "-?[0-9]{1,25}",
        r"-?[0-9]{1,17}\.[0-9]{1,17}",
        r"-?[0-9]{0,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{0,4})?",
        any::<String>().prop_map(|value| serde_json::Value::from(value).to_string()),
        r#""[a-c0-9 .:-]{0,12}""#,
        r#""([a-é\x00-\x20/"]|\\["\\/bfnrtux]|\\u(00[0-9a-f]{2}|d[89a-f][0-9a-f]{2})){0,6}""#,
        Just("\"gone\"".to_owned()),
        Just("\"2024-02-29 12:30:00+02\"".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(inner, 0..3).prop_map(|values| {
                let members: Vec<_> =
                    values.iter().enumerate().map(|(n, value)| format!("\"m{n}\" : {value}")).collect();
                format!("{{{}}}", members.join(" ,"))
            }),
        ]
    })
}

/// Records whose names are mostly those of columns, some of them twice.
fn records() -> impl Strategy<Value = String> {
    let name = "t|i|f|n|b|j|z|k|o|v|long_name|long_nam|a|e|x|s|d|u|\\\\u0074";
    let member = (name, "[ \n]{0,1}", "[ \t]{0,1}", json())
        .prop_map(|(name, before, after, value)| format!("\"{name}\"{before}:{after}{value}"));
    let members = prop::collection::vec(member, 0..8);
    (members, "[ \r]{0,1}").prop_map(|(members, space)| format!("{{{}{space}}}", members.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn both_readers_agree(texts in prop::collection::vec(records(), 1..4)) {
        for decoder in &decoders() {
            let mut cells = Cells::default();
            for text in &texts {
                taken(decoder, text, &mut cells);
            }
        }
    }

    #[test]
    fn both_readers_agree_on_spoilt_records(
        text in records(), at: prop::sample::Index, with in r#"[\x00-\x20"\\,:{}\[\]0-9a-eé.+-]{0,2}"#, cut in 0..3usize,
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        if let Ok(text) = std::str::from_utf8(&bytes) {
            for decoder in &decoders() {
                taken(decoder, text, &mut Cells::default());
            }
        }
    }

    #[test]
    fn a_record_comes_to_the_same_as_by_serde_json_alone(text in records()) {
        for decoder in &decoders() {
            let mut cells = Cells::default();
            match (decoder.decode(text.as_bytes(), &mut cells), by_serde(decoder, &text)) {
                (Ok(()), Ok(by_serde)) => prop_assert!(same(&cells, &by_serde)),
                (decoded, by_serde) => prop_assert_eq!(
                    format!("{:?}", decoded.err()),
                    format!("{:?}", by_serde.err()),
                ),
            }
        }
    }
}
