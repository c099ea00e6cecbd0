//! A failure that lasts has a line when it begins and one a minute, whatever its text does; a slow start has none.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tests::scratch::Scratch;
use tests::{PostgresOptions, Services, Sink, SinkConfig, World, wait};

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than the minute between two lines.
const MINUTE: Duration = Duration::from_secs(65);

fn lines<'a>(log: &'a str, component: &str) -> Vec<&'a str> {
    let of = |line: &&str| line.contains("waiting") && line.contains(&format!("component=\"{component}\""));
    log.lines().filter(of).collect()
}

/// A role of this name that logs in with the password "right".
fn guarded() -> World<'static> {
    let world = World::new("repeated")
        .private_postgres(PostgresOptions::default())
        .table("CREATE TABLE t (id int PRIMARY KEY)")
        .keyed("insert", "id")
        .role(
            "ALTER ROLE $role PASSWORD 'right'; GRANT ALL ON t TO $role; GRANT ALL ON SCHEMA public TO $role",
        );
    let rules = world.postgres.dir().join("data/pg_hba.conf");
    let before = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("host all \"{}\" 127.0.0.1/32 scram-sha-256\n{before}", world.role)).unwrap();
    world.execute("SELECT pg_reload_conf()");
    world
}

#[test]
fn a_failure_that_lasts_has_a_line_at_its_begin_and_one_a_minute() {
    let world = guarded();
    world.produce_json([json!({"id": 1})]);
    let secrets = Scratch::new("secrets").unwrap();
    let file = secrets.path().join("password");
    fs::write(&file, "wrong").unwrap();
    let password = world.config.clone().set("postgres.password_file", file.display().to_string()).run();
    let Services { kafka, postgres } = Services::shared();
    // Refused by turns, at both addresses of a name.
    let closed = [(); 3].map(|()| tests::ports::free());
    let brokers = format!("127.0.0.1:{},127.0.0.1:{},localhost:{}", closed[0], closed[1], closed[2]);
    let config = SinkConfig::new(&brokers, postgres.database("repeated")).topic("t").table("t");
    let refused = config.clone().pk_fields(&["id"]).run();
    let old = kafka.bootstrap();
    let tls = SinkConfig::new(old, postgres.database("repeated")).topic("t").table("t").pk_fields(&["id"]);
    let tls = tls.property("security.protocol", "SSL").run();

    let named = |sink: &Sink, words: &[&str]| {
        sink.wait_not_ready(PATIENCE, words);
    };
    named(&password, &["(28P01)", "which was changed at"]);
    let addresses = closed.map(|port| format!(":{port} failed: Connection refused"));
    named(&refused, &addresses.each_ref().map(String::as_str));
    named(&tls, &["SSL handshake failed"]);
    wait::let_pass(MINUTE);
    for (sink, component) in [(password, "postgres"), (refused, "kafka"), (tls, "kafka")] {
        let log = sink.stderr();
        let waiting = lines(&log, component);
        assert!((2..=6).contains(&waiting.len()), "{component}: {}\n{log}", waiting.len());
        assert!(waiting.iter().any(|line| line.contains("times=")), "a count: {log}");
        assert!(log.lines().count() <= 25, "{log}");
        sink.sigterm();
        sink.wait(PATIENCE).expect_code(0);
    }
}

#[test]
fn a_connection_that_takes_its_time_is_no_failure() {
    let world = guarded();
    world.produce_json((0..20).map(|id| json!({"id": id})));
    let config =
        world.config.clone().set("postgres.password_command", vec!["sh", "-c", "sleep 1; echo right"]);
    let sink = config.run();
    world.wait_rows(PATIENCE, 20);
    sink.wait_ready(PATIENCE);
    let log = sink.stop(PATIENCE).expect_code(0).stderr;
    assert!(!log.contains("WARN"), "{log}");
}
