//! What people have instead of a configuration: answers of Connect's REST interface, and resources of Strimzi.

use serde_json::{Map, Value};

/// What to do with a resource of Strimzi.
pub(super) const STRIMZI: &str = "is a KafkaConnector of Strimzi: give its keys as JSON, {\"name\": metadata.name, \
     \"connector.class\": spec.class, and the keys of spec.config}";

/// The object with the keys of one connector: this one, or that of the only sink connector in a list.
pub(super) fn connector(object: Map<String, Value>) -> Result<Map<String, Value>, String> {
    if object.contains_key("error_count") && object.get("configs").is_some_and(Value::is_array) {
        return Err(
            "is the answer of /connector-plugins/…/config/validate: give what was sent there, or the answer of GET \
             /connectors/NAME"
                .to_owned(),
        );
    }
    if object.get("kind").and_then(Value::as_str) == Some("KafkaConnector") {
        return Err(STRIMZI.to_owned());
    }
    if is_list(&object) { only_sink(object) } else { Ok(object) }
}

/// Whether it is the answer of `GET /connectors?expand=info`, perhaps with `&expand=status`.
fn is_list(object: &Map<String, Value>) -> bool {
    let expanded = |value: &Value| {
        value.as_object().is_some_and(|connector| {
            let known = |(key, value): (&String, &Value)| {
                ["info", "status"].contains(&key.as_str()) && value.is_object()
            };
            !connector.is_empty() && connector.iter().all(known)
        })
    };
    !object.is_empty() && object.values().all(expanded)
}

fn only_sink(list: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut sinks = Vec::new();
    for (name, mut connector) in list {
        let is_sink =
            |part: &Value| part.get("type").and_then(Value::as_str).is_none_or(|kind| kind == "sink");
        if connector.as_object().is_some_and(|parts| parts.values().all(is_sink)) {
            sinks.push((name, connector.get_mut("info").map(Value::take)));
        }
    }
    let names: Vec<&str> = sinks.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    match (sinks.pop(), sinks.is_empty()) {
        (Some((_, Some(Value::Object(info)))), true) => Ok(info),
        (Some(_), true) => Err(format!(
            "has the status of {names}, not its configuration: give the answer of GET /connectors/{names}"
        )),
        (Some(_), false) => Err(format!(
            "has several sink connectors ({names}): give one of them, for instance the output of jq '.[\"NAME\"].info'"
        )),
        (None, _) => Err("is a list of connectors without a sink connector".to_owned()),
    }
}

/// Whether a text that is not JSON is a resource of Strimzi.
pub(super) fn is_yaml_of_strimzi(text: &str) -> bool {
    text.lines().any(|line| {
        let value = line.strip_prefix("kind:").map(|kind| kind.trim().trim_matches(['"', '\'']));
        value == Some("KafkaConnector")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::parse;

    #[test]
    fn the_only_sink_in_a_list_of_connectors_is_translated() {
        let config = json!({"name": "a", "connector.class": "x.JdbcSinkConnector", "topics": "t"});
        let info = |kind: &str| json!({"name": "a", "config": config, "tasks": [{"connector": "a", "task": 0}], "type": kind});
        let status = json!({"name": "a", "connector": {"state": "RUNNING"}, "tasks": [], "type": "sink"});
        for list in [
            json!({"a": {"info": info("sink")}}),
            json!({"a": {"info": info("sink"), "status": status}, "s": {"info": info("source")}}),
        ] {
            let keys = parse(&list.to_string()).unwrap();
            assert_eq!((keys["name"].as_str(), keys["topics"].as_str()), ("a", "t"));
            assert_eq!(keys["type"], "sink");
        }
        for (list, words) in [
            (json!({"a": {"info": info("sink")}, "b": {"info": info("sink")}}), "(a, b): give one of them"),
            (json!({"a": {"status": status}}), "GET /connectors/a"),
            (json!({"s": {"info": info("source")}}), "without a sink connector"),
        ] {
            let why = parse(&list.to_string()).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn other_answers_and_resources_say_what_to_give_instead() {
        let validated = json!({"name": "x.JdbcSinkConnector", "error_count": 0, "groups": [], "configs": [{"value": {}}]});
        let why = parse(&validated.to_string()).unwrap_err();
        assert!(why.contains("config/validate") && why.contains("GET /connectors/NAME"), "{why}");
        let resource =
            json!({"kind": "KafkaConnector", "metadata": {"name": "a"}, "spec": {"config": {"topics": "t"}}});
        let yaml = "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaConnector\nmetadata:\n  name: a\nspec:\n  class: x.JdbcSinkConnector\n  \
                    config:\n    topics: t\n    connection.url: jdbc:postgresql://h/d\n";
        for text in [resource.to_string(), yaml.to_owned()] {
            let why = parse(&text).unwrap_err();
            assert!(
                why.contains("Strimzi") && why.contains("connector.class") && why.contains("spec.config"),
                "{why}"
            );
        }
    }
}
