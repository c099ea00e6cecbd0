//! Who keeps a writer from a lock: the server says it only while the writer waits, so another session has to ask.

use std::time::Duration;

use super::PostgresControl;
use crate::messages::progress::Phase;
use crate::postgres::failure::Failure;
use crate::postgres::locks::{self, LockWait};

/// Transactions that have been open for less are not looked at. It is less than the shortest lock timeout of a writer by more
/// than a tick, so that no wait ends unseen.
const OPEN_FOR: Duration = Duration::from_millis(80);

impl PostgresControl {
    /// Notes for each writer that waits for a lock which table it waits for, and for whom.
    pub(super) fn note_lock_waits(&mut self) {
        let open: Vec<i32> = self
            .context
            .all_progress
            .lock()
            .iter()
            .filter_map(|progress| progress.open_for(OPEN_FOR))
            .collect();
        if open.is_empty() {
            return;
        }
        let Some(connection) = self.connection.as_mut() else { return };
        self.progress.enter(Phase::Session);
        let waits = locks::lock_waits(connection, &open);
        self.progress.enter(Phase::Idle);
        match waits {
            Ok(waits) => {
                let all_progress = self.context.all_progress.lock();
                for LockWait { waiting, text } in waits {
                    all_progress.iter().for_each(|progress| progress.waits_for_lock(waiting, text.clone()));
                }
            }
            Err(error) => tracing::debug!(%error, "cannot look for what the writers wait for"),
        }
    }

    /// Adds the session that has locked one of the sink's own tables to a failure for want of the lock.
    pub(super) fn name_lock_holder(&mut self, failure: Failure) -> Failure {
        self.step();
        let Some(connection) = self.connection.as_mut() else { return failure };
        let own = [self.shared.offsets.table(), self.shared.dead_letters.table()];
        locks::name_holder(connection, &own, failure)
    }
}
