//! A writer's connection with what it has prepared on it; all of it is gone when the connection is.

use std::collections::{HashMap, HashSet};

use postgres::{Client, Statement};

use crate::batch::rows::{Rows, Tuple};
use crate::batch::shape::Carried;
use crate::positions::stored::Offsets;
use crate::postgres::failure::Failure;
use crate::postgres::session::{self, Connection};
use crate::postgres::settings;
use crate::postgres::sql::TableName;
use crate::postgres::sqlstate::Class;
use crate::table::catalog;
use crate::table::plan::Plan;
use crate::writer::copy;
use crate::writer::defaults::DefaultValues;
use crate::writer::prepared::Prepared;
use crate::writer::stage::{self, Stage, StageTable, Staged};

/// Statements of the client that a session keeps prepared, and those by EXECUTE. With the fence they are below 100.
const MAX_STATEMENTS: usize = 60;
const MAX_NAMED: usize = 30;

/// Keys of a batch that show what the next will bring.
const NOTEWORTHY: u64 = 100;
/// Bytes of a table in which staged rows are surely looked up by the index, in their order. A few pages are read as a whole
/// instead, in their own order, so that two writers could wait for each other's rows.
const LARGE: i64 = 1 << 20;

/// A session that is ready to write.
pub(crate) struct WriterConnection {
    connection: Connection,
    /// Its process on the server.
    pub backend_pid: i32,
    statements: Prepared<Statement>,
    named: Prepared<String>,
    names: u64,
    stages: HashMap<String, Stage>,
    /// Fingerprints of large tables for which most rows of the last batch were updates.
    updated_first: HashSet<String>,
    /// Functions of a table have run in this session since everything that is set in it was set last.
    functions_ran: bool,
    /// The same since the settings that decide what is written were last set.
    settings_unsure: bool,
    /// Fingerprints of tables whose functions change how text is read: rows are read into the stage before any of these runs.
    read_first: HashSet<String>,
    /// A COPY into such a table read some of its rows after its functions had run.
    misread: bool,
    buffer: Vec<u8>,
}

impl WriterConnection {
    /// Prepares a fresh connection for the fence.
    pub(crate) fn new(mut connection: Connection, offsets: &Offsets) -> Result<Self, Failure> {
        connection.batch_execute("DEALLOCATE ALL; DISCARD TEMP")?;
        offsets.prepare_fence(&mut connection)?;
        let backend_pid = session::backend_pid(&mut connection)?;
        Ok(Self {
            connection,
            backend_pid,
            statements: Prepared::new(MAX_STATEMENTS),
            named: Prepared::new(MAX_NAMED),
            names: 0,
            stages: HashMap::new(),
            updated_first: HashSet::new(),
            functions_ran: false,
            settings_unsure: false,
            read_first: HashSet::new(),
            misread: false,
            buffer: Vec::new(),
        })
    }

    /// Closes the connection instead of giving it back.
    pub(crate) fn discard(mut self) {
        self.connection.discard();
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.connection
    }

    /// A statement, prepared unless it is already.
    pub(crate) fn prepared(&mut self, sql: &str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement);
        }
        // The client closes a statement on the server when its last copy is dropped.
        drop(self.statements.make_room());
        let statement = self.connection.prepare(sql)?;
        self.statements.keep(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// The EXECUTE that returns the table's fingerprint; prepared at its first use.
    pub(crate) fn fingerprint_statement(&mut self, table: &TableName) -> Result<String, Failure> {
        self.execute(&catalog::fingerprint_query(table))
    }

    /// The EXECUTE that returns the fingerprint of the table's partitions; prepared at its first use.
    pub(crate) fn partitions_statement(&mut self, table: &TableName) -> Result<String, Failure> {
        self.execute(&catalog::partitions_query(table))
    }

    /// The EXECUTE of a query, for statements that go together in one round trip; the query itself where a transaction
    /// has more of them than are kept prepared.
    fn execute(&mut self, query: &str) -> Result<String, Failure> {
        if let Some(name) = self.named.get(query) {
            return Ok(format!("EXECUTE {name}"));
        }
        let (has_room, oldest) = self.named.make_room();
        if !has_room {
            return Ok(query.to_owned());
        }
        if let Some(oldest) = oldest {
            self.connection.batch_execute(&format!("DEALLOCATE {oldest}"))?;
        }
        self.names += 1;
        let name = format!("kafka_sink_table_{}", self.names);
        self.connection.batch_execute(&format!("PREPARE {name} AS {query}"))?;
        self.named.keep(query.to_owned(), name.clone());
        Ok(format!("EXECUTE {name}"))
    }

    /// Makes the plan's staging table for `rows`, if the role may have one. Outside the transaction: a rollback must not
    /// remove it unnoticed.
    pub(crate) fn create_stage(&mut self, plan: &Plan, rows: &Rows) -> Result<(), Failure> {
        let before = match self.stages.get(&plan.fingerprint) {
            Some(stage) if stage.holds(Carried::by(rows.shapes().iter()).some()) => return Ok(()),
            Some(Stage::Table(table)) => Some(table),
            Some(Stage::Arrays) | None => None,
        };
        let Some(columns) = stage::columns(plan, rows.shapes().iter(), before) else { return Ok(()) };
        let name = match before {
            Some(table) => table.name.clone(),
            None => format!("pg_temp.kafka_sink_stage_{}", self.stages.len()),
        };
        let drop = if before.is_some() { format!("DROP TABLE {name}; ") } else { String::new() };
        let may = "SELECT pg_catalog.has_database_privilege(current_database(), 'TEMP')";
        let stage = if self.connection.query_one(may, &[])?.get(0) {
            self.connection.batch_execute(&format!("{drop}{}", stage::create(&name, plan, &columns)))?;
            Stage::Table(StageTable::new(name, columns))
        } else {
            Stage::Arrays
        };
        self.stages.insert(plan.fingerprint.clone(), stage);
        Ok(())
    }

    /// Stages tuples: in the plan's table if they fit, else in arrays.
    pub(crate) fn stage(
        &mut self,
        plan: &Plan,
        rows: &Rows,
        tuples: &[(u32, Tuple)],
    ) -> Result<Staged, Failure> {
        self.restore_settings()?;
        let carried = Carried::by(tuples.iter().map(|(_, tuple)| rows.shapes().get(tuple.shape)));
        let table = match self.stages.get_mut(&plan.fingerprint) {
            Some(Stage::Table(table)) if table.columns.covers(carried.some()) => table,
            _ => return Ok(Staged::in_arrays(plan, rows, tuples, carried)),
        };
        let name = table.name.clone();
        if let Some(sql) = table.empty_for(tuples.len()) {
            self.connection.batch_execute(&sql)?;
        }
        let statement = self.prepared(&stage::copy_statement(&name, plan, &carried))?;
        let writer = self.connection.copy_in(&statement)?;
        stage::stream(writer, plan, rows, tuples, &carried, &mut self.buffer)?;
        Ok(Staged::in_table(name, carried))
    }

    /// Whether an UPDATE of all rows is to go before the look-up: most rows of the last batch were updates.
    pub(crate) fn updates_first(&self, plan: &Plan) -> bool {
        self.updated_first.contains(&plan.fingerprint)
    }

    /// So many rows of a batch with so many keys were updates.
    pub(crate) fn note_updated(&mut self, plan: &Plan, updated: u64, keys: u64) -> Result<(), Failure> {
        if !plan.may_update_first {
            return Ok(());
        }
        if updated * 2 < keys {
            self.updated_first.remove(&plan.fingerprint);
        } else if keys >= NOTEWORTHY && !self.updates_first(plan) {
            let size = self.prepared("SELECT pg_catalog.pg_relation_size($1::oid)")?;
            let size: Option<i64> = self.connection.query_one(&size, &[&plan.table_oid])?.get(0);
            if size.is_some_and(|bytes| bytes >= LARGE) {
                self.updated_first.insert(plan.fingerprint.clone());
            }
        }
        Ok(())
    }

    /// Whether rows of this table are to be read before any of its functions runs.
    pub(super) fn reads_first(&self, plan: &Plan) -> bool {
        self.read_first.contains(&plan.fingerprint)
    }

    /// A statement follows that runs the functions of this table, if it has some.
    pub(super) fn note_functions(&mut self, plan: &Plan) {
        self.functions_ran |= plan.runs_functions;
        self.settings_unsure |= plan.runs_functions;
    }

    /// The transaction is rolled back to a savepoint, where settings may have been different.
    pub(super) fn note_rolled_back(&mut self) {
        self.settings_unsure = self.functions_ran;
    }

    /// Sets again what decides which rows are written where and how values are read, if functions may have changed it; whether
    /// they had.
    pub(super) fn restore_settings(&mut self) -> Result<bool, Failure> {
        if !self.settings_unsure {
            return Ok(false);
        }
        let statement = self.prepared(&settings::restore())?;
        let changed: i64 = self.connection.query_one(&statement, &[])?.get(0);
        self.settings_unsure = false;
        Ok(changed > 0)
    }

    /// Undoes what functions have done to the session, between transactions.
    pub(super) fn restore_session(&mut self) -> Result<(), Failure> {
        if self.functions_ran {
            let statement = self.prepared(&settings::restore_between())?;
            let lost: bool = self.connection.query_one(&statement, &[])?.get(0);
            if lost {
                self.connection.batch_execute(&settings::restart())?;
            }
            (self.functions_ran, self.settings_unsure) = (false, false);
        }
        Ok(())
    }

    /// Rows were read while functions of the table ran. If they have changed how values are read, some may have been read
    /// wrongly: even a single one, if a function runs before the statement.
    pub(super) fn note_read(&mut self, plan: &Plan) -> Result<(), Failure> {
        if self.restore_settings()? {
            self.misread = self.read_first.insert(plan.fingerprint.clone());
        }
        Ok(())
    }

    /// Whether rows may have been read wrongly. They are not from now on.
    pub(super) fn take_misread(&mut self) -> bool {
        std::mem::take(&mut self.misread)
    }

    /// A transaction begins: staging tables are empty, and what it uses stays prepared until the next.
    pub(crate) fn begin(&mut self) {
        self.named.pin();
        for stage in self.stages.values_mut() {
            if let Stage::Table(table) = stage {
                table.begin();
            }
        }
    }

    /// Runs one COPY of the given tuples, which have the same columns.
    pub(crate) fn copy(
        &mut self,
        sql: &str,
        plan: &Plan,
        rows: &Rows,
        tuples: &[(u32, Tuple)],
    ) -> Result<u64, Failure> {
        self.restore_settings()?;
        self.note_functions(plan);
        let statement = self.prepared(sql)?;
        let writer = self.connection.copy_in(&statement).map_err(refused_before_rows)?;
        let copied = copy::stream(writer, plan, rows, tuples.iter().copied(), &mut self.buffer)?;
        self.note_read(plan)?;
        Ok(copied)
    }

    /// Runs one COPY of the given tuples. What they lack comes from `defaults`.
    pub(crate) fn copy_completed(
        &mut self,
        sql: &str,
        plan: &Plan,
        rows: &Rows,
        tuples: &[(u32, Tuple)],
        defaults: DefaultValues,
    ) -> Result<u64, Failure> {
        self.restore_settings()?;
        self.note_functions(plan);
        let statement = self.prepared(sql)?;
        let writer = self.connection.copy_in(&statement).map_err(refused_before_rows)?;
        let copied = defaults.stream(writer, plan, rows, tuples, &mut self.buffer)?;
        self.note_read(plan)?;
        Ok(copied)
    }
}

/// A COPY that the server does not even begin.
fn refused_before_rows(error: postgres::Error) -> Failure {
    let failure = Failure { before_rows: true, ..Failure::from(error) };
    if failure.class == Class::Record { failure.into_configuration() } else { failure }
}
