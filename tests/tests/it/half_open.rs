//! A network between sink and PostgreSQL that accepts, and does not answer; and waits whose cause only the next attempt can
//! tell. Rows come again within seconds of the cause's end, without a restart.

use std::time::{Duration, Instant};

use postgres::Client;
use serde_json::json;
use tests::proxy::Proxy;
use tests::{Record, Services, Sink, SinkConfig, wait};

/// Nothing here is waited for longer, on however loaded a machine.
const LONG: Duration = Duration::from_secs(120);
/// From the end of a cause to rows.
const RECOVERY: Duration = Duration::from_secs(5);
/// What a machine under load may add to it.
const LOAD: Duration = Duration::from_secs(5);

struct World {
    services: Services,
    topic: String,
    client: Client,
    url: String,
    produced: u32,
}

impl World {
    fn new(name: &str) -> Self {
        let services = Services::private();
        let topic = services.kafka.topic(name, 2);
        let url = services.postgres.database(name);
        let mut client = tests::postgres::connect(&url);
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, name text)").unwrap();
        Self { services, topic, client, url, produced: 0 }
    }

    fn sink(&self, url: &str) -> SinkConfig {
        let config = SinkConfig::new(self.services.kafka.bootstrap(), url).topic(&self.topic).table("t");
        config.pk_fields(&["id"])
    }

    /// Produces records, and returns how many rows there will be.
    fn produce(&mut self, records: u32) -> i64 {
        let ids = self.produced..self.produced + records;
        self.produced = ids.end;
        let partition = |id: u32| i32::try_from(id % 2).unwrap();
        let record = |id| Record::json(&json!({"id": id, "name": "n"})).partition(partition(id));
        self.services.kafka.produce(&self.topic, ids.map(record));
        i64::from(self.produced)
    }

    fn read_only(&mut self, value: &str) {
        self.client
            .batch_execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}"))
            .unwrap();
        self.client.execute("SELECT pg_reload_conf()", &[]).unwrap();
    }

    fn rows(&mut self) -> i64 {
        self.client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
    }

    fn wait_rows(&mut self, wanted: i64) {
        wait::holds(LONG, "all rows", || self.rows(), |rows| *rows == wanted);
    }

    fn assert_complete(&mut self, sink: &Sink) {
        sink.wait_ready(LONG);
        assert_eq!(sink.assert_accounted(), u64::from(self.produced));
        assert_eq!(self.rows(), i64::from(self.produced));
        sink.sigterm();
        sink.wait(LONG).expect_code(0);
    }
}

fn assert_soon(since: Instant, limit: Duration, sink: &Sink) {
    let took = since.elapsed();
    assert!(took <= limit + LOAD, "rows again only after {took:?}\n{}", sink.log_tail());
}

#[test]
fn connections_that_stop_forwarding_are_replaced_the_control_connection_as_well() {
    const DEADLINE: Duration = Duration::from_secs(4);
    let mut world = World::new("half_open");
    let port = world.services.postgres.port();
    let proxy = Proxy::start(port).unwrap();
    let sink = world
        .sink(&proxy.url(&world.url, port))
        .set("postgres.deadline_ms", i64::try_from(DEADLINE.as_millis()).unwrap())
        .run();
    let wanted = world.produce(1_000);
    world.wait_rows(wanted);
    sink.wait_ready(LONG);

    let frozen = proxy.freeze_existing();
    assert!(frozen >= 3, "two writers and the control connection, not {frozen}");
    let since = Instant::now();
    let wanted = world.produce(1_000);
    wait::until(LONG, "/readyz names the control connection", || {
        sink.get("/readyz").is_ok_and(|(status, body)| status == 503 && body.contains("control connection"))
    });
    assert!(world.rows() < wanted, "the connections are frozen");
    world.wait_rows(wanted);
    assert_soon(since, DEADLINE + RECOVERY, &sink);
    assert!(sink.stderr().matches("past its deadline, replaced").count() >= 2, "{}", sink.log_tail());

    // The successors serve as well as the first ones.
    let wanted = world.produce(1_000);
    world.wait_rows(wanted);
    world.assert_complete(&sink);
}

#[test]
fn a_server_that_accepts_connections_and_never_answers_is_connected_to_when_it_answers_again() {
    const OUTAGE: Duration = Duration::from_secs(18);
    let mut world = World::new("silent");
    let port = world.services.postgres.port();
    let proxy = Proxy::start(port).unwrap();
    let sink = world.sink(&proxy.url(&world.url, port)).run();
    let wanted = world.produce(1_000);
    world.wait_rows(wanted);

    proxy.set_silent(true);
    proxy.reset_existing();
    let began = Instant::now();
    let wanted = world.produce(1_000);
    wait::until(LONG, "connections are accepted and not answered", || proxy.accepted_silently() > 0);
    wait::until(LONG, "/readyz says that PostgreSQL does not answer", || {
        sink.get("/readyz")
            .is_ok_and(|(status, body)| status == 503 && body.contains("did not answer within"))
    });
    wait::until(LONG, "the outage has lasted", || began.elapsed() >= OUTAGE);
    assert!(world.rows() < wanted);
    let attempts = proxy.accepted_silently();
    assert!(attempts >= 3, "one attempt after the other is given up, not {attempts}");

    // The connections that were accepted meanwhile stay silent for ever: only the deadline ends them.
    proxy.set_silent(false);
    let since = Instant::now();
    world.wait_rows(wanted);
    assert_soon(since, RECOVERY, &sink);
    world.assert_complete(&sink);
}

#[test]
fn a_database_that_was_read_only_for_long_is_written_to_within_seconds() {
    const LASTS: Duration = Duration::from_secs(40);
    let mut world = World::new("read_only");
    let sink = world.sink(&world.url.clone()).run();
    let wanted = world.produce(1_000);
    world.wait_rows(wanted);

    world.read_only("on");
    let began = Instant::now();
    let wanted = world.produce(1_000);
    wait::until(LONG, "/readyz names the SQLSTATE", || {
        sink.get("/readyz").is_ok_and(|(status, body)| status == 503 && body.contains("25006"))
    });
    // As long as it takes for any backoff to reach its limit.
    wait::until(LONG, "the outage has lasted", || began.elapsed() >= LASTS);
    assert!(world.rows() < wanted);
    world.read_only("off");
    let since = Instant::now();
    world.wait_rows(wanted);
    assert_soon(since, RECOVERY, &sink);
    world.assert_complete(&sink);
}
