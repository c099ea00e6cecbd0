use super::*;

const NO_VARIABLES: [(&str, &str); 0] = [];
const DEFAULTS: &str = include_str!("../../../config/producer.toml");

fn errors(text: &str) -> String {
    Settings::load(Layers::new(&SCHEMA).text("a.toml", text)).unwrap_err().to_string()
}

#[test]
fn the_default_file_says_what_is_true_without_it() {
    let without = Settings::load(Layers::new(&SCHEMA).environment(NO_VARIABLES)).unwrap();
    let with = Settings::load(Layers::new(&SCHEMA).text("producer.toml", DEFAULTS)).unwrap();
    assert_eq!(format!("{with:?}"), format!("{without:?}"));
    assert_eq!(with.producer.interval, Duration::from_secs(5));
    assert_eq!(with.kafka.delivery_timeout(), Duration::from_secs(30));
    assert_eq!(with.http.listen().unwrap().unwrap().port(), 9465);
    // Every key stands in the file, if only as a comment.
    for key in SCHEMA.keys() {
        let name = key.rsplit('.').next().unwrap();
        assert!(DEFAULTS.contains(name), "{name}");
    }
}

#[test]
fn the_environment_is_laid_over_files_and_flags_over_both() {
    let layers = Layers::new(&SCHEMA)
        .text("a.toml", "[kafka]\nbootstrap_servers = 'a:1'\ntopic = 'a'")
        .environment([
            ("PRODUCER__KAFKA__BOOTSTRAP_SERVERS", "b:1,c:1"),
            ("PRODUCER__KAFKA__TOPIC", "b"),
            ("PRODUCER__KAFKA__PROPERTIES__DELIVERY_TIMEOUT_MS", "500"),
        ])
        .flag("--topic", "kafka.topic", Some("c"));
    let settings = Settings::load(layers).unwrap();
    assert_eq!(settings.kafka.bootstrap_servers, "b:1,c:1");
    assert_eq!(settings.kafka.topic, "c");
    assert_eq!(settings.kafka.delivery_timeout(), Duration::from_millis(500));
}

#[test]
fn secrets_are_read_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let text =
        format!("[kafka.properties]\n'sasl.username' = 'u'\n'sasl.password_file' = '{}'", file.display());
    let settings = Settings::load(Layers::new(&SCHEMA).text("a.toml", &text)).unwrap();
    let given: Vec<_> = settings.kafka.librdkafka().collect();
    assert_eq!(given, [("sasl.username", "u"), ("sasl.password", "s3cret")]);
    assert!(!format!("{settings:?}").contains("s3cret"));

    let text = format!(
        "[kafka.properties]\nacks_file = '{0}'\n'message.timeout.ms_file' = '{0}'\n\
         'sasl.password_file' = '/nowhere'",
        file.display()
    );
    let errors = errors(&text);
    for part in ["acks_file: cannot be set", "set message.timeout.ms itself", "cannot read /nowhere"] {
        assert!(errors.contains(part), "{part} is missing in:\n{errors}");
    }
}

#[test]
fn mistakes_of_all_layers_name_their_origin() {
    let layers = Layers::new(&SCHEMA)
        .text(
            "a.toml",
            "[producer]\nscenario = 'match'\nseed = -1\nbatch_size = 0\nintervalms = 1\n[http]\nlisten = 1",
        )
        .environment([("PRODUCER__PRODUCER__INTERVAL_MS", "1s"), ("PRODUCER__KAFKA__TOPICS", "a")])
        .flag("--seed", "producer.seed", Some("x"));
    let found = Settings::load(layers).unwrap_err().to_string();
    let expected = [
        "http.listen: expected a string, found an integer (file a.toml)",
        "producer.batch_size: 0 is out of range: 1 to 1000000000 (file a.toml)",
        "producer.intervalms: unknown key; did you mean producer.interval_ms? (file a.toml)",
        "producer.scenario: \"match\" is not one of matches, live (file a.toml)",
        "producer.seed: -1 is too small: at least 0 (file a.toml)",
        "kafka.topics: unknown key; did you mean PRODUCER__KAFKA__TOPIC? (variable PRODUCER__KAFKA__TOPICS)",
        "producer.interval_ms: expected an integer, found \"1s\" (variable PRODUCER__PRODUCER__INTERVAL_MS)",
        "producer.seed: expected an integer, found \"x\" (flag --seed)",
    ];
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn keys_of_live_matches_need_the_scenario() {
    let text = "[kafka]\ntopic = 'a'\ndeliveries_topic = 'a'\n[producer]\nmatches = 3";
    let found = errors(text);
    for part in [
        "kafka.deliveries_topic: needs producer.scenario = \"live\"",
        "producer.matches: needs producer.scenario = \"live\"",
        "kafka.deliveries_topic: must be another topic",
    ] {
        assert!(found.contains(part), "{part} is missing in:\n{found}");
    }
    let text = format!("{}\nscenario = 'live'", text.replacen("'a'", "'b'", 1));
    let settings = Settings::load(Layers::new(&SCHEMA).text("a.toml", &text)).unwrap();
    assert_eq!((settings.producer.scenario, settings.producer.matches), (Scenario::Live, Some(3)));
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let errors = errors(
        "[kafka]\nbootstrap_servers = 'a:74628'\n[kafka.properties]\nacks = '0'\n'message.timeout.ms' = 0\n[producer]\n\
         batchsize = 1\n[http]\nlisten = 'x'",
    );
    for part in [
        "kafka.bootstrap_servers: \"a:74628\" has a port that is not a number from 1 to 65535",
        "kafka.properties.acks: cannot be set",
        "more than 0",
        "producer.batch_size?",
        "http.listen: is not",
    ] {
        assert!(errors.contains(part), "{part} is missing in:\n{errors}");
    }
}

#[test]
fn a_topic_has_a_name_that_kafka_allows() {
    for (key, name) in [("topic", "live scores"), ("topic", "a/b"), ("deliveries_topic", "..")] {
        let found = errors(&format!("[kafka]\n{key} = '{name}'\n[producer]\nscenario = 'live'"));
        assert!(found.contains(&format!("kafka.{key}: {name:?} cannot be a topic")), "{found}");
    }
}
