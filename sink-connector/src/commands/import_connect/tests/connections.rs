//! The database, the brokers and the login.

use super::*;

fn url(more: &[(&str, &str)]) -> (String, Translation) {
    let translation = jdbc(more);
    (accepted(&translation).postgres.url.expose().to_owned(), translation)
}

#[test]
fn parameters_of_the_driver_are_those_of_libpq() {
    for (query, expected) in [
        ("sslmode=require&channelBinding=require", "sslmode=require&channel_binding=require"),
        ("gssEncMode=disable&sslNegotiation=postgres", "gssencmode=disable&sslnegotiation=postgres"),
        ("gssEncMode=allow&loadBalanceHosts=true", "load_balance_hosts=random"),
        ("options=-c%20statement_timeout=9s", "options=-c%20statement_timeout%3D9s"),
        ("currentSchema=a, b&options=-cx=1", "options=-csearch_path%3Da%2Cb%20-cx%3D1"),
        ("loginTimeout=5&socketTimeout=10", "connect_timeout=5"),
        ("ssl=true", "sslmode=verify-full&sslrootcert=system"),
        ("ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory", "sslmode=require"),
        ("sslmode=verify-full", "sslmode=verify-full&sslrootcert=system"),
    ] {
        let (url, translation) = url(&[("connection.url", &format!("jdbc:postgresql://h/d?{query}"))]);
        assert_eq!(url, format!("postgresql://h/d?{expected}"), "{query}");
        clean(&translation);
    }
}

#[test]
fn a_certificate_that_is_not_here_and_an_authority_that_is_missing_are_findings() {
    for query in
        ["sslmode=verify-ca", "sslcert=/no/c.pem&sslkey=/no/k.pem", "sslrootcert=/no/ca.pem", "sslpassword=x"]
    {
        let (url, translation) = url(&[("connection.url", &format!("jdbc:postgresql://h/d?{query}"))]);
        assert_eq!(not_supported(&translation), ["connection.url"], "{query}: {url}");
        assert!(!url.contains("/no/") && !url.contains("sslpassword"), "{url}");
    }
}

#[test]
fn a_password_in_the_url_is_not_copied_and_has_a_place() {
    for given in ["jdbc:postgresql://h/d?user=u&password=s3cret", "jdbc:postgresql://u:s3cret@h/d"] {
        let (url, translation) = url(&[("connection.url", given)]);
        assert_eq!(url, "postgresql://u@h/d");
        let toml = render::toml(&translation).unwrap();
        assert!(toml.contains("password_file = ") && !toml.contains("s3cret"), "{toml}");
        let helm = render::helm(&translation);
        assert!(helm.contains("existingSecret: postgres-credentials") && !helm.contains("s3cret"), "{helm}");
    }
}

#[test]
fn values_that_a_worker_resolves_are_never_copied() {
    for key in [
        "connection.url",
        "connection.user",
        "consumer.override.bootstrap.servers",
        "consumer.override.group.id",
        "consumer.override.fetch.min.bytes",
        "name",
        "topics",
        "insert.mode",
        "pk.mode",
        "pk.fields",
        "batch.size",
        "errors.tolerance",
        "errors.deadletterqueue.topic.name",
        "value.converter",
        "value.converter.schemas.enable",
    ] {
        let translation = jdbc(&[(key, "${env:VALUE}")]);
        accepted(&translation);
        assert!(not_supported(&translation).contains(&key), "{key}: {}", translation.report);
        let settings = toml::to_string(translation.settings()).unwrap();
        assert!(!settings.contains("env:VALUE"), "{settings}");
    }
}

#[test]
fn keys_of_confluent_cloud_are_a_url_and_a_login() {
    let translation = translated(
        r#"{"name": "PostgresSinkConnector_0", "connector.class": "PostgresSink", "topics": "orders", "tasks.max": "1",
            "input.data.format": "JSON", "input.key.format": "STRING", "kafka.auth.mode": "KAFKA_API_KEY",
            "kafka.api.key": "KEY", "kafka.api.secret": "s3cret", "kafka.endpoint": "SASL_SSL://pkc-1.confluent.cloud:9092",
            "connection.host": "db.example.com", "connection.port": "5433", "connection.user": "sink",
            "connection.password": "s3cret", "db.name": "shop", "ssl.mode": "require", "insert.mode": "UPSERT",
            "pk.mode": "record_value", "pk.fields": "id", "batch.sizes": "500", "auto.create": "false",
            "schema.context.name": "default", "value.subject.name.strategy": "TopicNameStrategy"}"#,
    );
    assert_complete(&translation);
    let config = clean(&translation);
    assert_eq!(config.postgres.url.expose(), "postgresql://sink@db.example.com:5433/shop?sslmode=require");
    assert_eq!(config.kafka.bootstrap_servers, "pkc-1.confluent.cloud:9092");
    assert_eq!(config.kafka.properties["sasl.username"], "KEY");
    assert_eq!(config.batch.max_rows, 500);
    let toml = render::toml(&translation).unwrap();
    assert!(toml.contains("connect-lcc-") && !toml.contains("s3cret"), "{toml}");
}

#[test]
fn the_certificate_authority_of_confluent_cloud_is_to_be_saved_as_a_file() {
    let translation = translated(
        r#"{"name": "s", "connector.class": "PostgresSink", "topics": "orders", "input.data.format": "JSON",
            "connection.host": "db", "db.name": "shop", "ssl.mode": "verify-full", "ssl.rootcertfile": "data:text/plain;base64,QQ==",
            "pk.mode": "record_value", "pk.fields": "id", "insert.mode": "UPSERT"}"#,
    );
    assert_complete(&translation);
    assert!(not_supported(&translation).contains(&"ssl.rootcertfile"));
}
