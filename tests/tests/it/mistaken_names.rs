//! Addresses, names and filters that would be read in another way than they are written are configuration errors.

use std::time::Duration;

use tests::{ProducerConfig, SinkConfig};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn ports_names_and_percent_signs_are_refused_together_with_their_keys() {
    let url = "postgresql://u:a%ZZb@127.0.0.1:5432/x";
    let config = SinkConfig::new("127.0.0.1:74628", url).topic("t").table("a.b.c.d").pk_fields(&["id"]);
    let config = config.set("offsets.table", "o.").set("http.listen", "127.0.0.1:99999");
    let run = config.finish(&["run"], SOON).expect_code(2);
    for words in [
        "kafka.bootstrap_servers: \"127.0.0.1:74628\" has a port that is not a number from 1 to 65535",
        "postgres.url: ",
        "a % without two hexadecimal digits",
        "sink.table: \"a.b.c.d\" is neither table nor schema.table",
        "offsets.table: \"o.\" is neither table nor schema.table",
        "http.listen: ",
    ] {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    let port = SinkConfig::new("127.0.0.1:9092", "postgresql://u@127.0.0.1:74628/x").topic("t").table("t");
    let run = port.pk_fields(&["id"]).finish(&["run"], SOON).expect_code(2);
    assert!(run.stderr.contains("port must be a number from 1 to 65535"), "{}", run.stderr);
}

#[test]
fn a_log_filter_that_cannot_be_read_is_reported_together_with_other_mistakes() {
    let sink = SinkConfig::new("127.0.0.1:74628", "postgresql://u@127.0.0.1:1/x").topic("t").table("t");
    let sink = sink.pk_fields(&["id"]).env("RUST_LOG", "info,=nonsense=");
    for command in ["run", "check", "config"] {
        let run = sink.finish(&[command], SOON).expect_code(2);
        for words in
            ["RUST_LOG is not a log filter", "kafka.bootstrap_servers: \"127.0.0.1:74628\" has a port"]
        {
            assert!(run.stderr.contains(words), "{command}: {words}: {}", run.stderr);
        }
        assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
    }
    let producer = ProducerConfig::new("127.0.0.1:74628", "t").env("RUST_LOG", "info,=nonsense=");
    let run = producer.finish(&["once"], SOON).expect_code(2);
    for words in ["RUST_LOG is not a log filter", "kafka.bootstrap_servers: "] {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
}
