//! Connections to PostgreSQL that stay open and no longer answer, servers that accept connections and never answer, and a
//! database that is read-only for long. Rows are written again within seconds of the end of the cause, without a restart.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::proxy::Proxy;
use tests::{Record, Sink, World, wait};

/// Nothing here is waited for longer, on however loaded a machine.
const LONG: Duration = Duration::from_secs(120);
/// From the end of a cause to rows.
const RECOVERY: Duration = Duration::from_secs(5);
/// What a machine under load may add to it.
const LOAD: Duration = Duration::from_secs(5);

/// A table of a private server, and records that flow into it.
struct Flow {
    world: World<'static>,
    produced: u32,
}

impl Flow {
    fn new(name: &str) -> Self {
        let world = World::new(name).partitions(2).private();
        Self {
            world: world.table("CREATE TABLE t (id int PRIMARY KEY, name text)").upsert("id"),
            produced: 0,
        }
    }

    /// Sends the sink's connections through a proxy.
    fn proxy(&mut self) -> Proxy {
        let port = self.world.postgres.port();
        let proxy = Proxy::start(port).unwrap();
        let url = proxy.url(&self.world.url, port);
        self.world.config = self.world.config.clone().set("postgres.url", url);
        proxy
    }

    /// Produces records, and returns how many rows there will be.
    fn produce(&mut self, records: u32) -> i64 {
        let ids = self.produced..self.produced + records;
        self.produced = ids.end;
        let partition = |id: u32| i32::try_from(id % 2).unwrap();
        let record = |id| Record::json(&json!({"id": id, "name": "n"})).partition(partition(id));
        self.world.produce(ids.map(record));
        i64::from(self.produced)
    }

    /// Produces records and waits until they are rows.
    fn write(&mut self, records: u32) {
        let wanted = self.produce(records);
        self.world.wait_rows(LONG, wanted);
    }

    fn read_only(&self, value: &str) {
        let mut client = self.world.client();
        client.batch_execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}")).unwrap();
        client.batch_execute("SELECT pg_reload_conf()").unwrap();
    }

    fn assert_complete(&self, sink: &Sink) {
        sink.wait_ready(LONG);
        assert_eq!(sink.assert_accounted(), u64::from(self.produced));
        assert_eq!(self.world.rows(), i64::from(self.produced));
        sink.stop(LONG);
    }
}

fn assert_soon(since: Instant, limit: Duration, sink: &Sink) {
    let took = since.elapsed();
    assert!(took <= limit + LOAD, "rows again only after {took:?}\n{}", sink.log_tail());
}

#[test]
fn connections_that_stop_forwarding_are_replaced_including_the_control_connection() {
    const DEADLINE: Duration = Duration::from_secs(4);
    let mut flow = Flow::new("half_open");
    let proxy = flow.proxy();
    let deadline_ms = i64::try_from(DEADLINE.as_millis()).unwrap();
    let sink = flow.world.config.clone().set("postgres.deadline_ms", deadline_ms).run();
    flow.write(1_000);
    sink.wait_ready(LONG);

    let frozen = proxy.freeze_existing();
    assert!(frozen >= 3, "two writers and the control connection, not {frozen}");
    let since = Instant::now();
    let wanted = flow.produce(1_000);
    sink.wait_not_ready(LONG, &["control connection"]);
    assert!(flow.world.rows() < wanted, "the connections are frozen");
    flow.world.wait_rows(LONG, wanted);
    assert_soon(since, DEADLINE + RECOVERY, &sink);
    assert!(sink.stderr().matches("past its deadline, replaced").count() >= 2, "{}", sink.log_tail());

    // The new connections work as well as the first ones.
    flow.write(1_000);
    flow.assert_complete(&sink);
}

#[test]
fn a_server_that_accepts_connections_and_never_answers_is_connected_to_when_it_answers_again() {
    const OUTAGE: Duration = Duration::from_secs(18);
    let mut flow = Flow::new("unanswered");
    let proxy = flow.proxy();
    let sink = flow.world.sink();
    flow.write(1_000);

    proxy.set_unanswering(true);
    proxy.reset_existing();
    let began = Instant::now();
    let wanted = flow.produce(1_000);
    wait::until(LONG, "connections are accepted and not answered", || proxy.unanswered() > 0);
    sink.wait_not_ready(LONG, &["did not answer within"]);
    wait::until(LONG, "the outage has lasted", || began.elapsed() >= OUTAGE);
    assert!(flow.world.rows() < wanted);
    let attempts = proxy.unanswered();
    assert!(attempts >= 3, "each attempt is given up after a while, not {attempts}");

    // The connections that were accepted meanwhile are never answered: only their deadline ends them.
    proxy.set_unanswering(false);
    let since = Instant::now();
    flow.world.wait_rows(LONG, wanted);
    assert_soon(since, RECOVERY, &sink);
    flow.assert_complete(&sink);
}

#[test]
fn a_database_that_was_read_only_for_long_is_written_to_within_seconds() {
    const LASTS: Duration = Duration::from_secs(40);
    let mut flow = Flow::new("read_only");
    let sink = flow.world.sink();
    flow.write(1_000);

    flow.read_only("on");
    let began = Instant::now();
    let wanted = flow.produce(1_000);
    sink.wait_not_ready(LONG, &["25006"]);
    // Long enough for any backoff to reach its limit.
    wait::until(LONG, "the outage has lasted", || began.elapsed() >= LASTS);
    assert!(flow.world.rows() < wanted);
    flow.read_only("off");
    let since = Instant::now();
    flow.world.wait_rows(LONG, wanted);
    assert_soon(since, RECOVERY, &sink);
    flow.assert_complete(&sink);
}
