//! Keys, and the transforms that make them.

use super::*;

#[test]
fn a_key_that_is_hoisted_into_the_only_key_column_needs_no_transform() {
    let input = |field: &str| {
        format!(
            r#"{{"name": "a", "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": "t",
                "insert.mode": "upsert", "pk.mode": "record_key", "pk.fields": "id", "transforms": "h",
                "transforms.h.type": "org.apache.kafka.connect.transforms.HoistField$Key", "transforms.h.field": "{field}"}}"#
        )
    };
    assert_eq!(not_supported(&translated(&input("id"))), [""; 0]);
    assert_eq!(not_supported(&translated(&input("other"))), ["transforms.h.field", "transforms.h.type"]);
}

const TRANSFORMS: &str = "org.apache.kafka.connect.transforms.";

/// Name, class and options.
type Transform = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Upserts by the key of the record, which these transforms change.
fn keyed(more: &[(&str, &str)], transforms: &[Transform]) -> Translation {
    let mut all = vec![("insert.mode".to_owned(), "upsert".to_owned())];
    all.push(("pk.mode".to_owned(), "record_key".to_owned()));
    all.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let names: Vec<&str> = transforms.iter().map(|(name, ..)| *name).collect();
    all.push(("transforms".to_owned(), names.join(",")));
    for (name, class, options) in transforms {
        all.push((format!("transforms.{name}.type"), format!("{TRANSFORMS}{class}")));
        all.extend(
            options.iter().map(|(key, value)| (format!("transforms.{name}.{key}"), (*value).to_owned())),
        );
    }
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    jdbc(&all)
}

const VALUE_TO_KEY: Transform = ("k", "ValueToKey", &[("fields", "id")]);
const EXTRACT: Transform = ("x", "ExtractField$Key", &[("field", "id")]);

#[test]
fn a_key_made_of_the_value_is_read_from_the_value() {
    for (fields, transforms) in [
        (&[("pk.fields", "id")][..], &[VALUE_TO_KEY][..]),
        (&[], &[VALUE_TO_KEY]),
        (&[], &[VALUE_TO_KEY, EXTRACT]),
        (&[("pk.fields", "id")], &[VALUE_TO_KEY, EXTRACT]),
    ] {
        let orders = clean(&keyed(fields, transforms)).topic("orders");
        assert_eq!(orders.pk_mode, PkMode::RecordValue);
        assert_eq!(orders.pk_fields, ["id"]);
        assert!(orders.rename.is_empty());
    }
    let two = ("k", "ValueToKey", &[("fields", "tenant,id")][..]);
    assert_eq!(clean(&keyed(&[], &[two])).topic("orders").pk_fields, ["tenant", "id"]);
    assert_eq!(clean(&keyed(&[("pk.fields", "id")], &[two])).topic("orders").pk_fields, ["id"]);
}

#[test]
fn a_key_column_of_another_name_is_a_finding_unless_the_field_has_no_column_of_its_own() {
    let named = keyed(&[("pk.fields", "order_id")], &[VALUE_TO_KEY, EXTRACT]);
    let orders = accepted(&named).topic("orders");
    assert_eq!((orders.pk_mode, orders.pk_fields), (PkMode::RecordValue, vec!["order_id".to_owned()]));
    assert_eq!(orders.rename["id"], "order_id");
    assert_eq!(not_supported(&named), ["transforms.x.field"]);
    // The value is renamed as well, so that the field has only this column.
    let renamed = ("r", "ReplaceField$Value", &[("renames", "id:order_id")][..]);
    for transforms in [
        [VALUE_TO_KEY, EXTRACT, renamed],
        [
            renamed,
            ("k", "ValueToKey", &[("fields", "order_id")]),
            ("x", "ExtractField$Key", &[("field", "order_id")]),
        ],
    ] {
        let orders = clean(&keyed(&[("pk.fields", "order_id")], &transforms)).topic("orders");
        assert_eq!((orders.pk_mode, orders.pk_fields), (PkMode::RecordValue, vec!["order_id".to_owned()]));
        assert_eq!(orders.rename["id"], "order_id");
    }
}

#[test]
fn a_key_that_no_key_of_ours_can_say_is_a_finding() {
    for (fields, transforms, finding) in [
        ("other", &[VALUE_TO_KEY][..], "transforms.k.fields"),
        ("a,b", &[VALUE_TO_KEY, EXTRACT], "transforms.k.fields"),
        ("a,b", &[EXTRACT], "transforms.x.field"),
        ("id", &[("f", "Flatten$Key", &[])], "transforms.f.type"),
        ("id", &[VALUE_TO_KEY, ("x", "ExtractField$Key", &[("field", "other")])], "transforms.x.field"),
    ] {
        let translation = keyed(&[("pk.fields", fields)], transforms);
        accepted(&translation);
        assert!(not_supported(&translation).contains(&finding), "{fields}: {}", translation.report);
    }
    let deletes = keyed(&[("pk.fields", "id"), ("delete.enabled", "true")], &[VALUE_TO_KEY]);
    assert!(!accepted(&deletes).sink.delete_enabled);
    assert_eq!(not_supported(&deletes), ["delete.enabled"]);
}

#[test]
fn a_field_of_the_records_key_may_have_a_column_of_another_name() {
    let orders = clean(&keyed(&[("pk.fields", "order_id")], &[EXTRACT])).topic("orders");
    assert_eq!((orders.pk_mode, orders.rename["id"].as_str()), (PkMode::RecordKey, "order_id"));
    let renames = ("r", "ReplaceField$Key", &[("renames", "id:order_id,x:y")][..]);
    let orders = clean(&keyed(&[("pk.fields", "order_id")], &[renames])).topic("orders");
    assert_eq!((orders.rename.len(), orders.rename["id"].as_str()), (1, "order_id"));
    // A key that is not read has no say in the columns of values.
    let unread = keyed(&[("pk.mode", "record_value"), ("pk.fields", "id")], &[renames]);
    assert!(clean(&unread).topic("orders").rename.is_empty());
}

#[test]
fn fields_that_are_renamed_twice_or_change_names_have_the_last_one() {
    let twice = keyed(
        &[("pk.fields", "id")],
        &[
            ("a", "ReplaceField$Value", &[("renames", "x:y,p:q,q:p")]),
            ("b", "ReplaceField$Value", &[("renames", "y:z,x:w")]),
        ],
    );
    let orders = accepted(&twice).topic("orders");
    let renames: Vec<(&str, &str)> = orders.rename.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(renames, [("p", "q"), ("q", "p"), ("x", "z")]);
    // A record may have both x and y, and the second x is there only if the first transform left it.
    assert_eq!(not_supported(&twice), ["transforms.b.renames"]);
    let at_once = ("r", "ReplaceField$Key", &[("renames", "a:b,b:c")][..]);
    let keys = clean(&keyed(&[("pk.fields", "b,c")], &[at_once])).topic("orders").rename;
    assert_eq!((keys["a"].as_str(), keys["b"].as_str()), ("b", "c"));
}

#[test]
fn a_filter_of_tombstones_skips_them() {
    let filter = ("f", "Filter", &[("predicate", "gone")][..]);
    let predicate = [
        ("pk.fields", "id"),
        ("delete.enabled", "true"),
        ("predicates", "gone"),
        ("predicates.gone.type", "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone"),
    ];
    assert!(!clean(&keyed(&predicate, &[filter])).sink.delete_enabled);
    let negated = ("f", "Filter", &[("predicate", "gone"), ("negate", "true")][..]);
    assert!(not_supported(&keyed(&predicate, &[negated])).contains(&"transforms.f.negate"));
    // Before change events are unwrapped, a tombstone only follows the event of a deletion.
    let unwrap =
        ("u", "io.debezium.transforms.ExtractNewRecordState", &[("delete.handling.mode", "none")][..]);
    assert!(clean(&keyed(&predicate, &[filter, unwrap])).topic("orders").delete_enabled);
    assert!(!clean(&keyed(&predicate, &[unwrap, filter])).topic("orders").delete_enabled);
}

#[test]
fn change_events_are_upserted_whatever_the_converter() {
    let unwrap = [("transforms", "u"), ("transforms.u.type", "io.debezium.transforms.ExtractNewRecordState")];
    for class in ["io.confluent.connect.jdbc.JdbcSinkConnector", "com.example.OtherSink"] {
        for converter in
            ["io.confluent.connect.avro.AvroConverter", "org.apache.kafka.connect.json.JsonConverter"]
        {
            let more = [("connector.class", class), ("value.converter", converter)];
            let sink = accepted(&jdbc(&[&more[..], &unwrap].concat())).sink;
            assert_eq!(sink.value_format, crate::decode::ValueFormat::Debezium, "{class} {converter}");
            assert_eq!(sink.insert_mode, InsertMode::Upsert);
        }
    }
    let debezium = jdbc(&[
        ("connector.class", "io.debezium.connector.jdbc.JdbcSinkConnector"),
        ("value.converter", "io.confluent.connect.avro.AvroConverter"),
    ]);
    assert_eq!(accepted(&debezium).sink.value_format, crate::decode::ValueFormat::Debezium);
}

#[test]
fn the_converter_of_keys_counts_only_if_they_are_read() {
    let converter = ("key.converter", "io.confluent.connect.avro.AvroConverter");
    let unread = [("insert.mode", "upsert"), ("pk.mode", "record_value"), ("pk.fields", "id"), converter];
    clean(&jdbc(&unread));
    let read = [("insert.mode", "upsert"), ("pk.mode", "record_key"), ("pk.fields", "id"), converter];
    assert_eq!(not_supported(&jdbc(&read)), ["key.converter"]);
}
