//! Connections to PostgreSQL: the pool, what every session sets, and who it says it is.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use postgres::{Client, NoTls};
use r2d2::{HandleError, ManageConnection};
use r2d2_postgres::PostgresConnectionManager;

use crate::postgres::connect::Connector;
use crate::postgres::failure::Failure;
use crate::postgres::schema_grants::{self, TO_CREATE, TO_USE};
use crate::postgres::sql::{TableName, literal};

type Pool = r2d2::Pool<Manager>;
/// A connection taken from the pool.
pub(crate) type Connection = r2d2::PooledConnection<Manager>;

/// Makes the pool's connections.
pub(crate) struct Manager {
    /// Connects, with passwords and certificates as they are then.
    connector: Arc<Connector>,
    /// How many connections are being made.
    running: Arc<AtomicUsize>,
    /// What connections are asked. It makes none, so it has no settings.
    inner: PostgresConnectionManager<NoTls>,
}

/// A client that can be marked as not to be used again: after an error inside COPY, the state of the connection is
/// uncertain.
pub(crate) struct Link {
    client: Client,
    discarded: bool,
}

impl Link {
    /// The pool closes it when it comes back, whatever the client says of itself.
    pub(crate) fn discard(&mut self) {
        self.discarded = true;
    }
}

impl Deref for Link {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl ManageConnection for Manager {
    type Connection = Link;
    type Error = Failure;

    fn connect(&self) -> Result<Link, Failure> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let client = self.connector.open();
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(Link { client: client?, discarded: false })
    }

    /// A session may have ended while it was idle. The pool then takes another one.
    fn is_valid(&self, link: &mut Link) -> Result<(), Failure> {
        Ok(link.client.is_valid(GET_TIMEOUT)?)
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        link.discarded || self.inner.has_broken(&mut link.client)
    }
}

/// How long [`open`] waits for the pool. Short, so that shutdown is noticed between two tries.
const GET_TIMEOUT: Duration = Duration::from_millis(500);

/// The pool, and why it last failed to connect: r2d2 itself keeps only a text.
#[derive(Clone)]
pub(crate) struct Connections {
    pool: Pool,
    last_error: Arc<Mutex<Option<Failure>>>,
    running: Arc<AtomicUsize>,
}

impl Connections {
    /// A pool of at most `size` connections that are made when they are asked for. It does not connect yet.
    ///
    /// It runs threads that own PostgreSQL clients, which own runtimes: never make or drop one inside async code.
    pub(crate) fn new(connector: &Arc<Connector>, size: u32) -> Self {
        let last_error = Arc::new(Mutex::new(None));
        let running = Arc::new(AtomicUsize::new(0));
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .test_on_check_out(true)
            .connection_timeout(GET_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .error_handler(Box::new(Remember(Arc::clone(&last_error))))
            .build_unchecked(Manager {
                connector: Arc::clone(connector),
                running: Arc::clone(&running),
                inner: PostgresConnectionManager::new(postgres::Config::new(), NoTls),
            });
        Self { pool, last_error, running }
    }

    /// A connection that answers, or why there is none. Waits half a second at most for one, and as long for its answer.
    pub(crate) fn open(&self) -> Result<Connection, Failure> {
        match self.pool.get() {
            Ok(connection) => {
                *self.last_error.lock() = None;
                Ok(connection)
            }
            Err(error) => Err(self.last_error.lock().clone().unwrap_or_else(|| {
                if self.is_connecting() {
                    Failure::connecting()
                } else {
                    Failure::transient(format!("no connection to PostgreSQL: {error}"))
                }
            })),
        }
    }

    /// Whether a connection is being made, or has just been made. An attempt ends at its time limits.
    fn is_connecting(&self) -> bool {
        self.running.load(Ordering::SeqCst) > 0 || self.pool.state().idle_connections > 0
    }

    /// `(idle, in use)` connections.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.idle_connections, state.connections - state.idle_connections)
    }
}

#[derive(Debug)]
struct Remember(Arc<Mutex<Option<Failure>>>);

impl HandleError<Failure> for Remember {
    fn handle_error(&self, failure: Failure) {
        tracing::debug!(reason = %failure, "cannot connect to PostgreSQL");
        *self.0.lock() = Some(failure);
    }
}

/// The process id of a connection's backend.
pub(crate) fn backend_pid(client: &mut Client) -> Result<i32, postgres::Error> {
    // Without a name: behind a pooler, the statement of another session may have that name.
    let rows = client.query_typed("SELECT pg_catalog.pg_backend_pid()", &[])?;
    Ok(rows.first().expect("a SELECT without FROM has one row").get(0))
}

/// What is wrong if sessions and backends are not the same.
pub(crate) const POOLER: &str =
    "a pooler assigns connections by transaction (pgbouncer: pool_mode = transaction)";
/// What to do then.
pub(crate) const NO_POOLER: &str =
    "connect to the server itself, or set pool_mode = session for this database";
/// Questions to two sessions. A pooler may answer them by different backends.
const POOLER_ATTEMPTS: usize = 3;

/// Whether a session has several backends, or shares one with the other session: a pooler assigns it for one transaction. What a
/// session sets and prepares is then another one's.
pub(crate) fn is_pooled(one: &mut Client, mut other: Option<&mut Client>) -> Result<bool, postgres::Error> {
    let first = backend_pid(one)?;
    for _ in 0..POOLER_ATTEMPTS {
        // Twice in a row: a pooler that uses its backends by turns gives two alternating sessions always the same ones.
        let own = [backend_pid(one)?, backend_pid(one)?];
        let others = other.as_deref_mut().map(backend_pid).transpose()?;
        if own.iter().any(|pid| *pid != first || Some(*pid) == others) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs `ddl` unless `table` (quoted) exists: a role that may write but not create needs no CREATE then.
pub(crate) fn create_unless_there(client: &mut Client, table: &str, ddl: &str) -> Result<(), Failure> {
    let name = TableName::parse(table);
    match exists(client, table) {
        Ok(true) => Ok(()),
        Ok(false) => client.batch_execute(ddl).map_err(|error| {
            let failure = Failure::from(error);
            let failure =
                Failure { message: format!("{name} cannot be created: {}", failure.message), ..failure };
            schema_grants::name_missing(client, &name, TO_CREATE, failure)
        }),
        Err(error) => Err(schema_grants::name_missing(client, &name, TO_USE, error.into())),
    }
}

/// Whether `table` (quoted) exists.
pub(crate) fn exists(client: &mut Client, table: &str) -> Result<bool, postgres::Error> {
    let sql = format!("SELECT pg_catalog.to_regclass({}) IS NOT NULL", literal(table));
    Ok(client.query_one(&sql, &[])?.get(0))
}

/// Ends the sessions that keep the backends `waiting` from their locks, if they are older sessions of the same role
/// and the same connector, and not among `ours`: frozen owners of positions that have been given to us since.
/// Returns the pids that were ended.
pub(crate) fn end_frozen_owners(
    client: &mut Client,
    waiting: &[i32],
    ours: &[i32],
) -> Result<Vec<i32>, postgres::Error> {
    // Not in a condition: the planner may try one condition before another, and this one ends whatever it is tried on.
    let rows = client.query(
        "WITH frozen AS MATERIALIZED (SELECT DISTINCT owner.pid FROM unnest($1::int[]) w(pid) \
         JOIN pg_catalog.pg_stat_activity me ON me.pid = w.pid \
         CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(w.pid)) b(pid) \
         JOIN pg_catalog.pg_stat_activity owner ON owner.pid = b.pid \
         WHERE owner.usename = me.usename AND owner.application_name = me.application_name \
           AND owner.backend_start < me.backend_start AND owner.pid <> ALL ($2::int[])) \
         SELECT pid, pg_catalog.pg_terminate_backend(pid) FROM frozen",
        &[&waiting, &ours],
    )?;
    Ok(rows.iter().filter(|row| row.get(1)).map(|row| row.get(0)).collect())
}

/// Ends one backend, if it belongs to this role and connector.
pub(crate) fn end_backend(client: &mut Client, pid: i32) -> Result<(), postgres::Error> {
    client.execute(
        "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a \
         WHERE a.pid = $1 AND a.usename = current_user AND a.application_name = current_setting('application_name')",
        &[&pid],
    )?;
    Ok(())
}
