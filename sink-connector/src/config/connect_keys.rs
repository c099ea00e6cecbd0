//! Keys of Kafka Connect in a configuration of ours: what they are here.

use shared::settings::{Problem, SettingsErrors};

/// The last part of a key as Connect names it, with underscores or dots, and what it is here.
const KEYS: &[(&str, &str)] = &[
    (
        "auto_create",
        "tables are never created without DDL: `sink-connector infer-ddl` proposes one, sink.ddl_file creates it",
    ),
    (
        "auto_evolve",
        "tables are never altered: ALTER TABLE by yourself, and the sink goes on with the new table",
    ),
    (
        "schema_evolution",
        "tables are never altered: `sink-connector infer-ddl` proposes one, sink.ddl_file creates it",
    ),
    ("connection_url", "it is postgres.url, without jdbc:"),
    ("connection_user", "it is the user in postgres.url"),
    ("connection_username", "it is the user in postgres.url"),
    ("connection_password", "it is in the file that postgres.password_file names"),
    ("batch_size", "it is batch.max_rows"),
    ("table_name_format", "it is sink.table, with ${topic}"),
    ("collection_name_format", "it is sink.table, with ${topic}"),
    ("primary_key_mode", "it is sink.pk_mode"),
    ("primary_key_fields", "it is sink.pk_fields"),
    ("topics_regex", "it is kafka.topics_regex"),
    ("value_converter", "it is sink.value_format: json, json_schema or debezium"),
    ("key_converter", "keys are read as JSON or as text"),
    ("tasks_max", "partitions are shared among instances, and postgres.writers within one"),
    ("connector_class", "`sink-connector import-connect` translates a configuration of Kafka Connect"),
    ("transforms", "sink.rename and sink.metadata; `sink-connector import-connect` translates what it can"),
    ("max_retries", "the sink retries for as long as it takes"),
    ("retry_backoff_ms", "the sink retries for as long as it takes"),
    ("fields_whitelist", "a field without a column is left out: the table decides"),
    ("deadletterqueue_topic_name", "it is errors.dead_letter_topic, with errors.dead_letters = \"topic\""),
];

/// Explains unknown keys that Connect has, where nothing of ours is nearly the same.
pub(super) fn explain(mut errors: SettingsErrors) -> SettingsErrors {
    for error in &mut errors.0 {
        if let Problem::UnknownKey(_) = error.problem
            && let Some(what) = meaning(&error.key)
        {
            error.problem = Problem::ForeignKey(what);
        }
    }
    errors
}

fn meaning(key: &str) -> Option<&'static str> {
    let plain = key.replace(['"', '\\'], "").replace('.', "_").to_lowercase();
    let found = KEYS.iter().find(|(name, _)| plain == *name || plain.ends_with(&format!("_{name}")));
    found.map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::meaning;

    #[test]
    fn keys_of_connect_are_known_in_every_spelling() {
        for key in
            ["sink.auto_create", "sink.auto.create", "\"auto.create\"", "auto_create", "sink.\"auto.create\""]
        {
            assert!(meaning(key).unwrap().contains("infer-ddl"), "{key}");
        }
        assert!(meaning("sink.colour").is_none());
    }
}
