//! Keys of Confluent Cloud's PostgresSink that the connectors of a worker do not have.

use super::translation::Translation;

const PROPERTIES: [&str; 2] = ["kafka", "properties"];
/// Where the service finds the schemas of records.
const OF_REGISTRY: [&str; 3] =
    ["schema.context.name", "value.subject.name.strategy", "key.subject.name.strategy"];
/// Not needed, whatever their values.
const NOT_NEEDED: [&str; 6] = [
    "cloud.environment",
    "cloud.provider",
    "kafka.region",
    "kafka.dedicated",
    "max.poll.interval.ms",
    "max.poll.records",
];

pub(super) fn convert(t: &mut Translation) {
    let of_cloud = t.input.get("connector.class").is_some_and(|class| class == "PostgresSink");
    if of_cloud && t.get("consumer.override.group.id").is_none() {
        t.todo.push(
            "[kafka] group_id = \"connect-lcc-…\"   # connect- and the id of the connector: Confluent Cloud has no group by its name"
                .to_owned(),
        );
    }
    login(t);
    format(t, "input.data.format", "values", true);
    let keys_are_read = t.text(&["sink", "pk_mode"]) == "record_key";
    format(t, "input.key.format", "keys", keys_are_read);
    for key in OF_REGISTRY {
        t.not_needed(key, "no schema registry is read");
    }
    if t.input.contains_key("ssl.rootcertfile") {
        t.not_supported(
            "ssl.rootcertfile",
            "its content is not copied: save it as a file in PEM, and add sslrootcert=FILE to postgres.url",
        );
    }
    for key in NOT_NEEDED {
        t.not_needed(key, "it is for the service that runs the connector");
    }
}

fn login(t: &mut Translation) {
    if let Some(endpoint) = t.get("kafka.endpoint") {
        let servers = endpoint.rsplit("://").next().unwrap_or_default().to_owned();
        t.take("kafka.endpoint", &["kafka", "bootstrap_servers"], servers);
    }
    if let Some(key) = t.get("kafka.api.key") {
        let [kafka, properties] = PROPERTIES;
        t.set(&[kafka, properties, "security.protocol"], "SASL_SSL");
        t.set(&[kafka, properties, "sasl.mechanism"], "PLAIN");
        t.take("kafka.api.key", &[kafka, properties, "sasl.username"], key);
    }
    if t.input.contains_key("kafka.api.secret") {
        t.taken(
            "kafka.api.secret",
            "not copied: put it into the file that kafka.properties.\"sasl.password_file\" names",
        );
    }
    const BY_KEY: &str =
        "create an API key, and set kafka.properties \"sasl.username\" and \"sasl.password_file\"";
    match t.get("kafka.auth.mode").as_deref() {
        Some("KAFKA_API_KEY") => t.not_needed("kafka.auth.mode", "kafka.properties say it"),
        Some(_) => t.not_supported("kafka.auth.mode", BY_KEY),
        None => {}
    }
    if t.get("kafka.service.account.id").is_some() {
        t.not_supported("kafka.service.account.id", BY_KEY);
    }
}

/// What stands in for a converter.
fn format(t: &mut Translation, key: &str, of: &str, read: bool) {
    match t.get(key).map(|format| format.to_uppercase()).as_deref() {
        None => {}
        Some(_) if !read => t.not_needed(key, format!("the {of} of records are not read")),
        Some("STRING") if of == "keys" => t.not_supported(key, super::formats::TEXT_KEYS),
        Some("JSON" | "STRING") => t.taken(key, format!("{of} are read as JSON")),
        Some(other) => t.not_supported(
            key,
            format!("{other}: {of} are read as JSON without the schema registry; have the producer write JSON, or convert the topic"),
        ),
    }
}
