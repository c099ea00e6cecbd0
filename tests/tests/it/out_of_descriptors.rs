//! A process that runs out of file descriptors: attempts fail, and the sink goes on.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::{Record, Services, Sink, SinkConfig};

const LONG: Duration = Duration::from_secs(120);

fn limit_descriptors(sink: &Sink, limit: usize) {
    // The soft limit only: an unprivileged process could not raise the hard one again.
    let (pid, limit) = (sink.pid().to_string(), format!("--nofile={limit}:"));
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().expect("prlimit runs");
    assert!(status.success());
}

fn open_descriptors(sink: &Sink) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", sink.pid())).expect("the sink is running").count()
}

struct Stage {
    services: &'static Services,
    topic: String,
    client: postgres::Client,
    sink: Sink,
    produced: i32,
}

impl Stage {
    fn new(name: &str) -> Self {
        let services = Services::shared();
        let topic = services.kafka.topic(name, 2);
        let url = services.postgres.database(name);
        let mut client = tests::postgres::connect(&url);
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
        let config = SinkConfig::new(services.kafka.bootstrap(), &url).topic(&topic).table("t");
        let sink = config.pk_fields(&["id"]).run();
        let mut stage = Self { services, topic, client, sink, produced: 0 };
        stage.assert_rows_arrive();
        stage.sink.wait_ready(LONG);
        stage
    }

    /// Ends the sink's sessions, so that it has to connect again.
    fn end_sessions(&mut self) {
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name LIKE 'kafka-sink:%'";
        assert!(self.client.query_one(ended, &[]).unwrap().get::<_, i64>(0) > 0);
    }

    fn produce(&mut self) {
        let ids = self.produced..self.produced + 100;
        self.services.kafka.produce(&self.topic, ids.map(|id| Record::json(&json!({"id": id}))));
        self.produced += 100;
    }

    fn assert_rows_arrive(&mut self) {
        self.produce();
        let produced = i64::from(self.produced);
        let rows = || self.client.query_one("SELECT count(*) FROM t", &[]).unwrap().get::<_, i64>(0);
        tests::wait::holds(LONG, "all rows", rows, |rows| *rows == produced);
    }
}

#[test]
fn idle_http_clients_take_neither_the_descriptors_nor_the_probes() {
    let mut stage = Stage::new("idle_http");
    limit_descriptors(&stage.sink, open_descriptors(&stage.sink) + 100);
    let idle: Vec<TcpStream> = (0..300)
        .map(|n| {
            let mut stream = TcpStream::connect(stage.sink.http()).expect("the server accepts");
            if n % 2 == 0 {
                stream.write_all(b"GET /livez HTTP/1.1\r\nHost:").expect("half a request");
            }
            stream
        })
        .collect();
    assert!(stage.sink.get("/livez").is_ok_and(|(status, _)| status == 200));
    stage.end_sessions();
    stage.assert_rows_arrive();
    drop(idle);
    assert!(!stage.sink.stderr().contains("panicked"), "{}", stage.sink.stderr());
}

#[test]
fn without_descriptors_connecting_fails_and_recovers_with_them() {
    let mut stage = Stage::new("no_descriptors");
    let http = TcpStream::connect(stage.sink.http()).expect("the server accepts");
    limit_descriptors(&stage.sink, 3);
    stage.end_sessions();
    stage.produce();
    tests::wait::until(LONG, "the log names the limit", || stage.sink.stderr().contains("open files"));
    assert!(stage.sink.is_running());
    drop(http);
    limit_descriptors(&stage.sink, 1024);
    stage.assert_rows_arrive();
    stage.sink.wait_ready(LONG);
    stage.sink.sigterm();
    stage.sink.wait(LONG).expect_code(0);
}
