//! A writer's connection with what it has prepared on it; all of it is gone when the connection is.

use std::collections::HashMap;

use postgres::{Client, Statement};

use crate::batch::rows::{Rows, Tuple};
use crate::positions::stored::Offsets;
use crate::postgres::failure::Failure;
use crate::postgres::session::{self, Backend, Connection};
use crate::postgres::sql::TableName;
use crate::table::catalog;
use crate::table::plan::Plan;
use crate::writer::stage::{Stage, Staged};
use crate::writer::{copy, statements};

/// A session that is ready to write.
pub(crate) struct WriterConnection {
    connection: Connection,
    /// Its process on the server.
    pub backend: Backend,
    statements: HashMap<String, Statement>,
    named: HashMap<String, String>,
    stages: HashMap<String, Stage>,
    stage_used: bool,
    buffer: Vec<u8>,
}

impl WriterConnection {
    /// Prepares a fresh connection for the fence.
    pub(crate) fn new(mut connection: Connection, offsets: &Offsets) -> Result<Self, Failure> {
        connection.batch_execute("DEALLOCATE ALL; DISCARD TEMP")?;
        connection.batch_execute(&offsets.prepare_fence())?;
        let backend = session::backend(&mut connection)?;
        Ok(Self {
            connection,
            backend,
            statements: HashMap::new(),
            named: HashMap::new(),
            stages: HashMap::new(),
            stage_used: false,
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

    /// A statement, prepared at its first use.
    pub(crate) fn prepared(&mut self, sql: &str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.connection.prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
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

    /// The EXECUTE of a query, for statements that go together in one round trip.
    fn execute(&mut self, query: &str) -> Result<String, Failure> {
        if let Some(name) = self.named.get(query) {
            return Ok(format!("EXECUTE {name}"));
        }
        let name = format!("kafka_sink_table_{}", self.named.len());
        self.connection.batch_execute(&format!("PREPARE {name} AS {query}"))?;
        self.named.insert(query.to_owned(), name.clone());
        Ok(format!("EXECUTE {name}"))
    }

    /// Makes the plan's staging table, if the role may have one. Outside the transaction: a rollback must not
    /// remove it unnoticed.
    pub(crate) fn create_stage(&mut self, plan: &Plan) -> Result<(), Failure> {
        if self.stages.contains_key(&plan.fingerprint) {
            return Ok(());
        }
        let may = "SELECT pg_catalog.has_database_privilege(current_database(), 'TEMP')";
        let stage = if self.connection.query_one(may, &[])?.get(0) {
            let table = format!("pg_temp.kafka_sink_stage_{}", self.stages.len());
            self.connection.batch_execute(&statements::create_stage(&table, plan))?;
            Stage::Table(table)
        } else {
            Stage::Arrays
        };
        self.stages.insert(plan.fingerprint.clone(), stage);
        Ok(())
    }

    /// Stages tuples, all of one shape.
    pub(crate) fn stage(
        &mut self,
        plan: &Plan,
        rows: &Rows,
        tuples: &[(u32, Tuple)],
    ) -> Result<Staged, Failure> {
        let stage = self.stages.get(&plan.fingerprint).cloned();
        let columns = tuples.first().map_or(&[][..], |(_, tuple)| &rows.shapes().get(tuple.shape).columns);
        match stage.expect("the stage is made before the transaction that needs it") {
            Stage::Arrays => Ok(Staged::in_arrays(plan, rows, tuples, columns)),
            Stage::Table(table) => {
                self.empty_stage(&table)?;
                let sql = copy::statement(&table, plan, columns, true);
                self.copy(&sql, plan, rows, tuples, true)?;
                Ok(Staged::in_table(table))
            }
        }
    }

    /// Forgets that staging tables were used: a transaction begins, and they are empty.
    pub(crate) fn begin(&mut self) {
        self.stage_used = false;
    }

    /// Empties a staging table that this transaction has used already.
    fn empty_stage(&mut self, stage: &str) -> Result<(), Failure> {
        if std::mem::replace(&mut self.stage_used, true) {
            self.connection.batch_execute(&format!("DELETE FROM {stage}"))?;
        }
        Ok(())
    }

    /// Runs one COPY of the given tuples, all of one shape.
    pub(crate) fn copy(
        &mut self,
        sql: &str,
        plan: &Plan,
        rows: &Rows,
        tuples: &[(u32, Tuple)],
        ordinals: bool,
    ) -> Result<u64, Failure> {
        let statement = self.prepared(sql)?;
        let refused = |error| Failure { before_rows: true, ..Failure::from(error) };
        let writer = self.connection.copy_in(&statement).map_err(refused)?;
        copy::stream(writer, plan, rows, tuples.iter().copied(), ordinals, &mut self.buffer)
    }
}
