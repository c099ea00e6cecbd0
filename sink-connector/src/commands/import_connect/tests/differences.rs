//! What the sink does in another way than the connector is never reported as equal.

use super::*;
use crate::config::UnknownFields;

const TRANSFORMS: &str = "org.apache.kafka.connect.transforms.";

/// One transform of values, and its options.
fn transformed(class: &str, options: &[(&str, &str)]) -> Translation {
    let class = format!("{TRANSFORMS}{class}");
    let mut keys = vec![("transforms".to_owned(), "x"), ("transforms.x.type".to_owned(), class.as_str())];
    keys.extend(options.iter().map(|(option, value)| (format!("transforms.x.{option}"), *value)));
    jdbc(&keys.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>())
}

fn reason<'a>(translation: &'a Translation, key: &str) -> (Outcome, &'a str) {
    let of = |outcome| {
        translation.report.with(outcome).find(|(found, _)| *found == key).map(|(_, why)| (outcome, why))
    };
    Outcome::ALL.into_iter().find_map(of).unwrap()
}

#[test]
fn a_converter_of_times_is_not_needed_only_if_the_sink_reads_them() {
    for (target, format, needed) in [
        ("Timestamp", None, false),
        ("Timestamp", Some("yyyy-MM-dd'T'HH:mm:ssXXX"), false),
        ("Timestamp", Some("HH:mm:ss"), true),
        ("Timestamp", Some("dd.MM.yyyy"), true),
        ("Date", None, true),
        ("Date", Some("yyyy-MM-dd"), false),
        ("Date", Some("yyyy-MM-dd'T'HH:mm:ssXXX"), true),
        ("Date", Some("HH:mm:ss"), true),
        ("Time", None, true),
        ("Time", Some("HH:mm:ss"), false),
        ("Time", Some("yyyy-MM-dd HH:mm:ss"), true),
        ("string", Some("yyyy-MM-dd"), true),
        ("unix", None, true),
    ] {
        let options = [("field", "at"), ("target.type", target)];
        let options: Vec<_> = options.into_iter().chain(format.map(|format| ("format", format))).collect();
        let translation = transformed("TimestampConverter$Value", &options);
        assert_eq!(!translation.report.is_complete(), needed, "{target} {format:?}");
        assert_eq!(accepted(&translation).topic("orders").unknown_fields, UnknownFields::Reject);
    }
}

#[test]
fn a_cast_is_a_finding_because_the_sink_rejects_what_connect_would_convert() {
    for spec in ["id:int64", "paid:boolean", "note:string", "float64"] {
        let translation = transformed("Cast$Value", &[("spec", spec)]);
        assert_eq!(not_supported(&translation), ["transforms.x.spec", "transforms.x.type"]);
        assert_eq!(accepted(&translation).topic("orders").unknown_fields, UnknownFields::Reject);
    }
    let key = [("transforms", "k"), ("transforms.k.type", "x.Cast$Key"), ("transforms.k.spec", "int64")];
    let read = [("insert.mode", "upsert"), ("pk.mode", "record_key"), ("pk.fields", "id")];
    assert_eq!(not_supported(&jdbc(&[&read[..], &key].concat())), ["transforms.k.spec", "transforms.k.type"]);
    let unread = [("insert.mode", "upsert"), ("pk.mode", "record_value"), ("pk.fields", "id")];
    clean(&jdbc(&[&unread[..], &key].concat()));
}

#[test]
fn a_transform_that_drops_deletions_disables_them() {
    let base = [
        ("insert.mode", "upsert"),
        ("pk.mode", "record_key"),
        ("pk.fields", "id"),
        ("delete.enabled", "true"),
        ("transforms", "u"),
        ("transforms.u.type", "io.debezium.transforms.ExtractNewRecordState"),
    ];
    for (options, deletes) in [
        (&[][..], true),
        (&[("transforms.u.delete.tombstone.handling.mode", "tombstone")], true),
        (&[("transforms.u.delete.tombstone.handling.mode", "drop")], false),
        (&[("transforms.u.drop.tombstones", "true"), ("transforms.u.delete.handling.mode", "drop")], false),
        (&[("transforms.u.drop.tombstones", "true")], false),
        (&[("transforms.u.delete.handling.mode", "drop")], false),
        (&[("transforms.u.drop.tombstones", "false"), ("transforms.u.delete.handling.mode", "drop")], true),
        (&[("transforms.u.drop.tombstones", "true"), ("transforms.u.delete.handling.mode", "none")], true),
    ] {
        let translation = jdbc(&[&base[..], options].concat());
        assert_eq!(clean(&translation).sink.delete_enabled, deletes, "{options:?}");
        let (outcome, why) = reason(&translation, "delete.enabled");
        assert_eq!(outcome == Outcome::NotNeeded, !deletes, "{why}");
        for (key, _) in options.iter().filter(|_| !deletes) {
            let (_, why) = reason(&translation, key);
            assert!(why.contains("no deletion reaches the connector"), "{key}: {why}");
        }
    }
    let rewritten = [&base[..], &[("transforms.u.delete.tombstone.handling.mode", "rewrite")]].concat();
    assert_eq!(not_supported(&jdbc(&rewritten)), ["transforms.u.delete.tombstone.handling.mode"]);
}

#[test]
fn keys_that_connect_reads_as_text_are_a_finding_if_they_are_read() {
    let converter = ("key.converter", "org.apache.kafka.connect.storage.StringConverter");
    let keyed = |mode| jdbc(&[("insert.mode", "upsert"), ("pk.mode", mode), ("pk.fields", "id"), converter]);
    let read = keyed("record_key");
    assert_eq!(not_supported(&read), ["key.converter"]);
    assert!(reason(&read, "key.converter").1.contains("null is rejected"), "{}", read.report);
    clean(&keyed("record_value"));
}

#[test]
fn the_name_of_the_topic_after_a_router_is_a_finding() {
    let router = [
        ("transforms.r.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.r.regex", "(.*)"),
        ("transforms.r.replacement", "$1_v1"),
        ("transforms.i.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
        ("transforms.i.topic.field", "source"),
    ];
    let after = jdbc(&[&router[..], &[("transforms", "r,i")]].concat());
    assert_eq!(not_supported(&after), ["transforms.i.topic.field"]);
    assert!(accepted(&after).topic("orders").metadata.is_empty());
    let before = jdbc(&[&router[..], &[("transforms", "i,r")]].concat());
    assert_eq!(clean(&before).topic("orders").metadata["topic"], "source");
}

#[test]
fn the_comments_say_what_the_file_says() {
    let group = jdbc(&[("consumer.override.group.id", "grp")]);
    let (_, why) = reason(&group, "name");
    assert!(!why.contains("connect-"), "{why}");
    let keyless = jdbc(&[("insert.mode", "upsert"), ("pk.mode", "none")]);
    let (outcome, why) = reason(&keyless, "pk.mode");
    assert!(outcome == Outcome::NotSupported && !why.contains("none"), "{why}");
    assert_eq!(reason(&keyless, "insert.mode").0, Outcome::Taken);
    let state = jdbc(&[("initial_state", "STOPPED")]);
    assert_eq!(reason(&state, "initial_state").0, Outcome::NotNeeded);
    clean(&state);
}

#[test]
fn a_login_that_is_left_out_is_not_reported_as_taken() {
    const JAAS: &str = "consumer.override.sasl.jaas.config";
    const MECHANISM: &str = "consumer.override.sasl.mechanism";
    const PROTOCOL: &str = "consumer.override.security.protocol";
    let plain =
        r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";"#;
    let bearer = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;";
    let oauth = jdbc(&[(PROTOCOL, "SASL_SSL"), (MECHANISM, "OAUTHBEARER"), (JAAS, bearer)]);
    assert_eq!(not_supported(&oauth), [JAAS, MECHANISM, PROTOCOL]);
    assert!(accepted(&oauth).kafka.properties.keys().all(|name| !name.starts_with("sasl.")));
    // The protocol of the worker is not known.
    assert_eq!(not_supported(&jdbc(&[(MECHANISM, "PLAIN"), (JAAS, plain)])), [MECHANISM]);
    let encrypted = jdbc(&[(PROTOCOL, "SSL"), (MECHANISM, "PLAIN")]);
    assert_eq!(reason(&encrypted, MECHANISM).0, Outcome::NotNeeded);
}
