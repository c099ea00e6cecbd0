//! A writer's connection with what it has prepared on it; all of it is gone when the connection is.

use std::collections::HashMap;

use postgres::{Client, Statement};

use crate::batch::rows::{Rows, Tuple};
use crate::failure::Failure;
use crate::offsets::Offsets;
use crate::plan::Plan;
use crate::session::{self, Backend, Connection};
use crate::sql::TableName;
use crate::writer::{copy, statements};

/// A session that is ready to write.
pub struct WriterConnection {
    connection: Connection,
    /// Who it is for the server.
    pub backend: Backend,
    statements: HashMap<String, Statement>,
    fingerprints: HashMap<TableName, String>,
    stages: HashMap<String, String>,
    stage_used: bool,
    buffer: Vec<u8>,
}

impl WriterConnection {
    /// Prepares a fresh connection for the fence.
    pub fn new(mut connection: Connection, offsets: &Offsets) -> Result<Self, Failure> {
        connection.batch_execute("DEALLOCATE ALL; DISCARD TEMP")?;
        connection.batch_execute(&offsets.prepare_fence())?;
        let backend = session::backend(&mut connection)?;
        Ok(Self {
            connection,
            backend,
            statements: HashMap::new(),
            fingerprints: HashMap::new(),
            stages: HashMap::new(),
            stage_used: false,
            buffer: Vec::new(),
        })
    }

    /// Closes the connection instead of giving it back.
    pub fn discard(mut self) {
        self.connection.discard();
    }

    /// The client itself.
    pub fn client(&mut self) -> &mut Client {
        &mut self.connection
    }

    /// A statement, prepared at its first use.
    pub fn prepared(&mut self, sql: &str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.connection.prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// The EXECUTE that returns the table's fingerprint; prepared at its first use.
    pub fn fingerprint_statement(&mut self, table: &TableName) -> Result<String, Failure> {
        if let Some(name) = self.fingerprints.get(table) {
            return Ok(format!("EXECUTE {name}"));
        }
        let name = format!("kafka_sink_table_{}", self.fingerprints.len());
        let query = crate::catalog::fingerprint_query(table);
        self.connection.batch_execute(&format!("PREPARE {name} AS {query}"))?;
        self.fingerprints.insert(table.clone(), name.clone());
        Ok(format!("EXECUTE {name}"))
    }

    /// Makes the plan's staging table. Outside the transaction: a rollback must not take it away unnoticed.
    pub fn create_stage(&mut self, plan: &Plan) -> Result<(), Failure> {
        if !self.stages.contains_key(&plan.fingerprint) {
            let stage = format!("pg_temp.kafka_sink_stage_{}", self.stages.len());
            self.connection.batch_execute(&statements::create_stage(&stage, plan))?;
            self.stages.insert(plan.fingerprint.clone(), stage);
        }
        Ok(())
    }

    /// The plan's staging table.
    pub fn stage_of(&self, plan: &Plan) -> String {
        self.stages
            .get(&plan.fingerprint)
            .cloned()
            .expect("the stage is made before the transaction that needs it")
    }

    /// Forgets that staging tables were used: a transaction begins, and they are empty.
    pub fn begin(&mut self) {
        self.stage_used = false;
    }

    /// Empties a staging table that this transaction has used already.
    pub fn empty_stage(&mut self, stage: &str) -> Result<(), Failure> {
        if std::mem::replace(&mut self.stage_used, true) {
            self.connection.batch_execute(&format!("DELETE FROM {stage}"))?;
        }
        Ok(())
    }

    /// Runs one COPY of the given tuples, all of one shape.
    pub fn copy(
        &mut self,
        sql: &str,
        plan: &Plan,
        rows: &Rows,
        tuples: &[(u32, Tuple)],
        ordinals: bool,
    ) -> Result<u64, Failure> {
        let statement = self.prepared(sql)?;
        let writer = self.connection.copy_in(&statement)?;
        copy::stream(writer, plan, rows, tuples.iter().copied(), ordinals, &mut self.buffer)
    }
}
