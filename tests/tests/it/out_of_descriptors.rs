//! A process that runs out of file descriptors: attempts fail, and the sink goes on.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::{Sink, World};

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
    world: World<'static>,
    sink: Sink,
    produced: i32,
}

impl Stage {
    fn new(name: &str) -> Self {
        let world = World::new(name).partitions(2).table("CREATE TABLE t (id int PRIMARY KEY)").upsert("id");
        let sink = world.sink();
        let mut stage = Self { world, sink, produced: 0 };
        stage.assert_rows_arrive();
        stage.sink.wait_ready(LONG);
        stage
    }

    /// Ends the sink's sessions, so that it has to connect again.
    fn end_sessions(&self) {
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name LIKE 'kafka-sink:%'";
        assert!(self.world.one::<i64>(ended) > 0);
    }

    fn produce(&mut self) {
        let ids = self.produced..self.produced + 100;
        self.world.produce_json(ids.map(|id| json!({"id": id})));
        self.produced += 100;
    }

    fn assert_rows_arrive(&mut self) {
        self.produce();
        self.world.wait_rows(LONG, i64::from(self.produced));
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
