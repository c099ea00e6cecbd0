use super::*;
use crate::encode::{MAX_DEPTH, Modifier};
use proptest::prelude::*;

fn field(name: &str, kind: Kind) -> Field {
    Field { name: name.into(), kind, not_null: false, column: format!("{name}_column") }
}

fn fields() -> Vec<Field> {
    vec![
        field("t", Kind::Text),
        field("i", Kind::Int4),
        field("f", Kind::Float8),
        field("n", Kind::Numeric { modifier: Some(Modifier { precision: 5, scale: 2 }), infinite: true }),
        field("b", Kind::Jsonb),
        field("j", Kind::Json),
        field("z", Kind::Timestamptz { precision: None }),
        Field { not_null: true, ..field("k", Kind::Int8) },
        field("o", Kind::Bool),
        field("v", Kind::VarChar { max_chars: Some(3) }),
        field("a", Kind::Input("ltree".into())),
    ]
}

const LENIENT: Options = Options {
    reject_unknown_fields: false,
    unwrap_single_element_arrays: true,
    null_bytes: NullBytes::Reject,
    json_strings: JsonStrings::Keep,
    value_format: ValueFormat::Json,
};

fn decoder(options: Options) -> Decoder {
    Decoder::new(fields(), options).unwrap()
}

/// The bytes of one field of a record; `None` for null.
fn value(payload: &str, name: &str, options: Options) -> Result<Option<Vec<u8>>, Rejection> {
    let decoder = decoder(options);
    let mut cells = Cells::new(0);
    decoder.decode(payload.as_bytes(), &mut cells)?;
    let index = decoder.fields().iter().position(|field| field.name == name).unwrap();
    Ok(match cells.get(index) {
        CellRef::Absent => panic!("{name} is absent"),
        CellRef::Null => None,
        CellRef::Value(bytes) => Some(bytes.to_vec()),
    })
}

fn text(payload: &str, options: Options) -> Result<String, Rejection> {
    value(payload, "t", options).map(|bytes| String::from_utf8(bytes.unwrap()).unwrap())
}

fn reason(payload: impl AsRef<[u8]>) -> Reason {
    rejection(payload, LENIENT).reason
}

fn rejection(payload: impl AsRef<[u8]>, options: Options) -> Rejection {
    decoder(options).decode(payload.as_ref(), &mut Cells::new(0)).unwrap_err()
}

#[test]
fn fields_go_to_their_cells_in_any_order_and_the_rest_is_absent() {
    let decoder = decoder(LENIENT);
    let mut cells = Cells::new(decoder.fields().len());
    for payload in [
        r#"{"t":"a","i":1,"f":2.5}"#,
        r#" { "f" : 25e-1 , "extra":[{"t":1}], "i":1.0, "t":"\u0061" } "#,
        r#"{"\u0074":"a","\u0069":"1","\u0066":"2.5"}"#,
        r#"{"t":"x","i":5,"i":1,"t":"a","f":["2.5"]}"#,
        r#"{"t":["a"],"i":[1],"f":[ 2.50 ]}"#,
    ] {
        decoder.decode(payload.as_bytes(), &mut cells).unwrap();
        assert_eq!(cells.get(0), CellRef::Value(b"a"), "{payload}");
        assert_eq!(cells.get(1), CellRef::Value(&1i32.to_be_bytes()), "{payload}");
        assert_eq!(cells.get(2), CellRef::Value(&2.5f64.to_be_bytes()), "{payload}");
        assert!((3..cells.len()).all(|index| cells.get(index) == CellRef::Absent), "{payload}");
    }
    decoder.decode(b"{}", &mut cells).unwrap();
    assert_eq!(cells.get(0), CellRef::Absent);
}

#[test]
fn an_empty_text_is_not_null_and_null_is_not_absent() {
    assert_eq!(value(r#"{"t":""}"#, "t", LENIENT), Ok(Some(vec![])));
    for name in ["t", "i", "f", "n", "b", "j", "z", "o"] {
        assert_eq!(value(&format!(r#"{{"{name}":null}}"#), name, LENIENT), Ok(None));
    }
    let rejected = rejection(r#"{"k":null}"#, LENIENT);
    assert_eq!((rejected.reason, rejected.column.as_deref()), (Reason::NullValue, Some("k_column")));
    assert_eq!(reason(r#"{"k":[null]}"#), Reason::NullValue);
}

#[test]
fn what_is_no_json_object_in_utf8_is_rejected() {
    for payload in [
        "",
        " ",
        "{",
        "{}x",
        "{} {}",
        r#"{"t":}"#,
        r#"{"t":"a",}"#,
        r#"{"t":01}"#,
        "{'t':1}",
        r#"{"x":tru}"#,
        r#"{"x":"\u12g4"}"#,
        r#"{"t":"\u12g4"}"#,
        "\u{feff}{}",
    ] {
        assert_eq!(reason(payload), Reason::InvalidJson, "{payload}");
    }
    for payload in ["null", "[]", "1", r#""{}""#, " [{}] "] {
        assert_eq!(reason(payload), Reason::NotAnObject, "{payload}");
    }
    assert_eq!(reason(b"{\"t\":\"\xff\"}"), Reason::InvalidUtf8);
    assert_eq!(rejection(b"{\"t\":\"\xff\"}", LENIENT).detail, "not UTF-8 from byte 6 on: 0xff");
    assert_eq!(reason("{\"t\":\"\0\"}"), Reason::InvalidJson);
}

#[test]
fn values_that_do_not_fit_name_their_column() {
    for (payload, expected, column) in [
        (r#"{"i":2147483648}"#, Reason::OutOfRange, "i"),
        (r#"{"k":18446744073709551615}"#, Reason::OutOfRange, "k"),
        (r#"{"i":"abc"}"#, Reason::WrongType, "i"),
        (r#"{"i":1.5}"#, Reason::WrongType, "i"),
        (r#"{"i":true}"#, Reason::WrongType, "i"),
        (r#"{"i":{"a":1}}"#, Reason::WrongType, "i"),
        (r#"{"i":[]}"#, Reason::WrongType, "i"),
        (r#"{"i":[1,2]}"#, Reason::WrongType, "i"),
        (r#"{"i":[[1]]}"#, Reason::WrongType, "i"),
        (r#"{"n":[[1]]}"#, Reason::WrongType, "n"),
        (r#"{"n":[1,2]}"#, Reason::WrongType, "n"),
        (r#"{"n":{}}"#, Reason::WrongType, "n"),
        (r#"{"i":1e400}"#, Reason::OutOfRange, "i"),
        (r#"{"t":1e400}"#, Reason::OutOfRange, "t"),
        (r#"{"f":1e400}"#, Reason::OutOfRange, "f"),
        (r#"{"f":1e-400}"#, Reason::OutOfRange, "f"),
        (r#"{"n":1000}"#, Reason::OutOfRange, "n"),
        (r#"{"v":"abcd"}"#, Reason::TooLong, "v"),
        (r#"{"\u0076":"abcd"}"#, Reason::TooLong, "v"),
        (r#"{"z":"soon"}"#, Reason::WrongType, "z"),
        (r#"{"o":"maybe"}"#, Reason::WrongType, "o"),
        (r#"{"t":"\ud800"}"#, Reason::InvalidText, "t"),
        (r#"{"t":"\udc00x"}"#, Reason::InvalidText, "t"),
        (r#"{"f":"\ud800"}"#, Reason::InvalidText, "f"),
        (r#"{"b":"\ud800"}"#, Reason::InvalidText, "b"),
        (r#"{"t":"\u0000"}"#, Reason::NullByte, "t"),
        (r#"{"b":{"\u0000":1}}"#, Reason::NullByte, "b"),
    ] {
        let rejected = rejection(payload, LENIENT);
        assert_eq!(rejected.reason, expected, "{payload}: {rejected}");
        assert_eq!(rejected.column, Some(format!("{column}_column")), "{payload}");
    }
    assert_eq!(reason(r#"{"\ud800":1}"#), Reason::InvalidText);
}

#[test]
fn a_rejection_says_what_and_where_but_not_the_whole_record() {
    let long = "x".repeat(1_000_000);
    for name in ["i", "f", "v", "b"] {
        let payload = format!(r#"{{"{name}":["{long}\u0000\u0000"]}}"#);
        assert!(rejection(&payload, LENIENT).detail.len() < 300);
        assert!(
            rejection(&payload, Options { unwrap_single_element_arrays: false, ..LENIENT }).detail.len()
                < 300
        );
    }
    let strict = Options { reject_unknown_fields: true, ..LENIENT };
    assert!(rejection(format!(r#"{{"{long}":1}}"#), strict).detail.len() < 300);
    assert!(rejection(format!(r#"["{long}"]"#), LENIENT).detail.len() < 300);
    assert_eq!(rejection(r#"{"i": "abc"}"#, LENIENT).detail, r#"field "i": expected integer, got "abc""#);
    assert_eq!(
        rejection(r#"{"n": 12345.67}"#, LENIENT).detail,
        r#"field "n": out of range for numeric(5,2), got 12345.67"#
    );
    assert_eq!(
        rejection(r#"{"i": 2147483648 }"#, LENIENT).detail,
        r#"field "i": out of range for integer, got 2147483648"#
    );
}

#[test]
fn numbers_keep_every_digit_they_were_written_with() {
    assert_eq!(
        text(r#"{"t" : 123456789012345678901234567890}"#, LENIENT).as_deref(),
        Ok("123456789012345678901234567890")
    );
    assert_eq!(text(r#"{"t":1.10}"#, LENIENT).as_deref(), Ok("1.10"));
    assert_eq!(text(r#"{"t":-0}"#, LENIENT).as_deref(), Ok("-0"));
    assert_eq!(text(r#"{"t":[1e2]}"#, LENIENT).as_deref(), Ok("1e2"));
    assert_eq!(text(r#"{"t":-17}"#, LENIENT).as_deref(), Ok("-17"));
    assert_eq!(text(r#"{"t":true}"#, LENIENT).as_deref(), Ok("true"));
    let exact = 9_007_199_254_740_993i64.to_be_bytes().to_vec();
    assert_eq!(value(r#"{"k":9007199254740993}"#, "k", LENIENT), Ok(Some(exact.clone())));
    assert_eq!(value(r#"{"k":9007199254740993.0}"#, "k", LENIENT), Ok(Some(exact)));
    assert_eq!(value(r#"{"f":-0.0}"#, "f", LENIENT), Ok(Some((-0.0f64).to_be_bytes().to_vec())));
    assert_eq!(value(r#"{"o":1}"#, "o", LENIENT), Ok(Some(vec![1])));
    assert_eq!(value(r#"{"o":[0]}"#, "o", LENIENT), Ok(Some(vec![0])));
}

#[test]
fn nul_goes_by_the_policy() {
    for (policy, expected) in [(NullBytes::Strip, "ab"), (NullBytes::Replace, "a\u{FFFD}b")] {
        let options = Options { null_bytes: policy, ..LENIENT };
        assert_eq!(text(r#"{"t":"a\u0000b"}"#, options).as_deref(), Ok(expected));
        assert_eq!(text(r#"{"t":["a\u0000b"]}"#, options).as_deref(), Ok(expected));
        assert_eq!(text(r#"{"\u0074":"a\u0000b"}"#, options).as_deref(), Ok(expected));
    }
    assert_eq!(value(r#"{"j":"\u0000"}"#, "j", LENIENT), Ok(Some(br#""\u0000""#.to_vec())));
}

#[test]
fn json_columns_take_any_json_as_it_is() {
    for json in [r#"{"a": [1.10, null]}"#, "[1]", "[[1],[2]]", r#""text""#, "17", "true", "1e400", "[null]"] {
        assert_eq!(value(&format!(r#"{{"j": {json} }}"#), "j", LENIENT), Ok(Some(json.as_bytes().to_vec())));
        let jsonb = [b"\x01", json.as_bytes()].concat();
        assert_eq!(value(&format!(r#"{{"b": {json} }}"#), "b", LENIENT), Ok(Some(jsonb)));
    }
}

#[test]
fn json_columns_can_take_strings_as_json_text() {
    let parse = Options { json_strings: JsonStrings::Parse, ..LENIENT };
    for (value_of, stored) in [
        (r#""{\"a\": [1.10, null]}""#, r#"{"a": [1.10, null]}"#),
        (r#""17""#, "17"),
        (r#""null""#, "null"),
        (r#""\"text\"""#, r#""text""#),
        // What is no string is stored as without the option.
        (r#"{"a":"{}"}"#, r#"{"a":"{}"}"#),
        (r#"["5"]"#, r#"["5"]"#),
        ("17", "17"),
    ] {
        let payload = format!(r#"{{"j": {value_of}, "b": {value_of} }}"#);
        assert_eq!(value(&payload, "j", parse), Ok(Some(stored.as_bytes().to_vec())), "{value_of}");
        let jsonb = [b"\x01", stored.as_bytes()].concat();
        assert_eq!(value(&payload, "b", parse), Ok(Some(jsonb)), "{value_of}");
    }
    assert_eq!(value(r#"{"j": null}"#, "j", parse), Ok(None));
    for (value_of, reason) in [
        (r#""text""#, Reason::WrongType),
        (r#""""#, Reason::WrongType),
        (r#""{} {}""#, Reason::WrongType),
        (r#""\u0000""#, Reason::NullByte),
        (r#""\"\\u0000\"""#, Reason::NullByte),
        (r#""\"\\ud800\"""#, Reason::InvalidText),
    ] {
        assert_eq!(rejection(format!(r#"{{"b": {value_of}}}"#), parse).reason, reason, "{value_of}");
    }
    let deep = format!(r#"{{"b": "{}1{}"}}"#, "[".repeat(1001), "]".repeat(1001));
    assert_eq!(rejection(&deep, parse).reason, Reason::InvalidJson);
}

#[test]
fn options_can_reject_unknown_fields_and_arrays() {
    let strict = Options { reject_unknown_fields: true, unwrap_single_element_arrays: false, ..LENIENT };
    let rejected = rejection(r#"{"t":"a","other":1}"#, strict);
    assert_eq!(rejected.reason, Reason::UnknownField);
    assert_eq!(rejected.detail, r#"no column takes the field "other""#);
    assert_eq!(rejection(r#"{"t":["a"]}"#, strict).reason, Reason::WrongType);
    assert_eq!(rejection(r#"{"n":[1]}"#, strict).reason, Reason::WrongType);
    assert_eq!(value(r#"{"j":[1]}"#, "j", strict), Ok(Some(b"[1]".to_vec())));
}

#[test]
fn a_type_that_reads_text_gets_the_string_of_an_array_of_one_and_any_other_array_as_it_is() {
    let strict = Options { unwrap_single_element_arrays: false, ..LENIENT };
    let found = |payload: &str, options| {
        value(payload, "a", options).map(|text| text.map(|text| String::from_utf8(text).unwrap()))
    };
    assert_eq!(found(r#"{"a":["x.y"]}"#, LENIENT).unwrap().as_deref(), Some("x.y"));
    assert_eq!(found(r#"{"a":"x.y"}"#, LENIENT).unwrap().as_deref(), Some("x.y"));
    for (array, options) in [(r#"["x.y"]"#, strict), (r#"["x","y"]"#, LENIENT), ("[1]", LENIENT)] {
        let payload = format!("{{\"a\":{array}}}");
        assert_eq!(found(&payload, options).unwrap().as_deref(), Some(array));
    }
}

#[test]
fn deep_nesting_is_a_rejection_and_no_crash() {
    for name in ["j", "b", "t", "n", "unknown"] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let payload = format!(r#"{{"{name}":{}1{}}}"#, open.repeat(10_000), close.repeat(10_000));
            let rejected = rejection(&payload, LENIENT);
            if matches!(name, "t" | "n") {
                assert_eq!(rejected.reason, Reason::WrongType);
            } else {
                assert_eq!(rejected.reason, Reason::InvalidJson);
                assert!(rejected.detail.contains("recursion limit"), "{rejected}");
            }
            assert_eq!(
                reason(format!(r#"{{"{name}":{}"#, open.repeat(10_000))),
                if name == "t" && open != "[" { Reason::WrongType } else { Reason::InvalidJson }
            );
        }
    }
    let allowed = format!(r#"{{"j":{}{}}}"#, "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(value(&allowed, "j", LENIENT).is_ok());
    assert_eq!(reason("[".repeat(100_000)), Reason::InvalidJson);
}

#[test]
fn large_and_wide_records_decode() {
    let long = "é".repeat(5_000_000);
    assert_eq!(text(&format!(r#"{{"t":"{long}"}}"#), LENIENT).unwrap().len(), 10_000_000);
    let names: Vec<String> = (0..5_000).map(|index| format!("field {index} \"%\u{10000}.")).collect();
    let wide = Decoder::new(names.iter().map(|name| field(name, Kind::Int4)).collect(), LENIENT).unwrap();
    let pairs: Vec<String> = names
        .iter()
        .enumerate()
        .rev()
        .map(|(index, name)| format!("{}:{index}", serde_json::to_string(name).unwrap()))
        .collect();
    let mut cells = Cells::new(names.len());
    wide.decode(format!("{{{}}}", pairs.join(",")).as_bytes(), &mut cells).unwrap();
    for index in 0..5_000 {
        assert_eq!(cells.get(index), CellRef::Value(&i32::try_from(index).unwrap().to_be_bytes()));
    }
}

#[test]
fn two_columns_cannot_take_the_same_field() {
    let error = Decoder::new(vec![field("a", Kind::Text), field("a", Kind::Int4)], LENIENT).unwrap_err();
    assert!(error.to_string().contains("both take the field \"a\""), "{error}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(payload: Vec<u8>) {
        let _ = decoder(LENIENT).decode(&payload, &mut Cells::new(0));
    }

    #[test]
    fn almost_json_never_panics_and_is_accepted_only_if_it_is_json(
        payload in r#"\{("[tifnbjzkovx\\]{0,2}"[ :]{0,2}(-?[0-9]{1,3}(\.[0-9]{0,2})?([eE][+-]?[0-9]{0,3})?|"[a0-9\\u/ "-]{0,8}"?|[\[\]{}]{1,3}|null|true)[,} ]){0,4}\}?"#
    ) {
        let accepted = decoder(LENIENT).decode(payload.as_bytes(), &mut Cells::new(0)).is_ok();
        prop_assert!(!accepted || serde_json::from_str::<IgnoredAny>(&payload).is_ok());
    }

    #[test]
    fn text_and_integers_survive(written in any::<String>(), number: i64) {
        let expected = written.replace('\0', "");
        let payload = serde_json::json!({"x": &written, "t": &written, "k": number}).to_string();
        let options = Options { null_bytes: NullBytes::Strip, ..LENIENT };
        prop_assert_eq!(text(&payload, options).unwrap(), expected);
        prop_assert_eq!(value(&payload, "k", options).unwrap().unwrap(), number.to_be_bytes());
    }
}

#[test]
fn a_rejection_shows_the_value_and_nothing_that_follows_it() {
    let strict = Options { unwrap_single_element_arrays: false, ..LENIENT };
    for (column, value) in [
        ("t", r#"{"a":"own"}"#),
        ("t", r#"["own",2]"#),
        ("t", r#""\ud800 own""#),
        ("i", r#""own""#),
        ("i", "1.5"),
        ("i", "true"),
        ("f", "1e400"),
        ("z", "1e400"),
        ("n", r#"["own",2]"#),
    ] {
        let payload = format!(r#"{{"{column}":{value} , "secret":"4711"}}"#);
        let detail = rejection(&payload, strict).detail;
        assert!(detail.contains(value) && !detail.contains("secret"), "{detail}");
    }
    let broken = rejection(r#"{"t":{"a": "#, strict).detail;
    assert!(!broken.contains("\"a\""), "{broken}");
}

#[test]
fn a_value_in_a_known_wrapping_is_explained() {
    for (payload, named) in [
        (&b""[..], "an empty value"),
        (b"\xef\xbb\xbf{\"t\":1}", "byte order mark"),
        (b"\0\0\0\0\x2a\x02\x80", "schema id 42"),
        (b"{\"t\":1}\n{\"t\":2}", "several JSON documents"),
        (br#""{\"t\":1}""#, "MongoDB"),
    ] {
        let detail = rejection(payload, LENIENT).detail;
        assert!(detail.contains(named), "{detail}");
    }
}

#[test]
fn a_number_that_is_unwrapped_is_text_as_it_is_written() {
    assert_eq!(text(r#"{"t":[1e400]}"#, LENIENT).as_deref(), Ok("1e400"));
}
