//! What a session keeps prepared. Each prepared statement costs the server memory for as long as the session keeps it, so
//! there is a limit, and the one that was used longest ago makes room for another.

use std::collections::HashMap;

/// Prepared statements by their SQL.
#[derive(Debug)]
pub(crate) struct Prepared<T> {
    entries: HashMap<String, (T, u64)>,
    limit: usize,
    uses: u64,
    /// Entries used since are in use: they make no room.
    pinned: u64,
}

impl<T: Clone> Prepared<T> {
    /// None yet, and at most `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), limit, uses: 0, pinned: u64::MAX }
    }

    /// The statement for this SQL, if it is prepared.
    pub(crate) fn get(&mut self, sql: &str) -> Option<T> {
        self.uses += 1;
        let (statement, used) = self.entries.get_mut(sql)?;
        *used = self.uses;
        Some(statement.clone())
    }

    /// Whatever is used from now on makes no room for others, until this is called again.
    pub(crate) fn pin(&mut self) {
        self.pinned = self.uses + 1;
    }

    /// Makes room for one more: returns the statement that must go, if one must. False: all of them are in use.
    pub(crate) fn make_room(&mut self) -> (bool, Option<T>) {
        if self.entries.len() < self.limit {
            return (true, None);
        }
        let oldest = self.entries.iter().min_by_key(|(_, (_, used))| *used);
        let Some(oldest) = oldest.filter(|(_, (_, used))| *used < self.pinned).map(|(sql, _)| sql.clone())
        else {
            return (false, None);
        };
        (true, self.entries.remove(&oldest).map(|(statement, _)| statement))
    }

    /// Keeps a statement, for which there is room.
    pub(crate) fn keep(&mut self, sql: String, statement: T) {
        self.uses += 1;
        self.entries.insert(sql, (statement, self.uses));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_two() -> Prepared<u32> {
        let mut prepared = Prepared::new(2);
        for (sql, statement) in [("a", 1), ("b", 2)] {
            assert_eq!(prepared.make_room(), (true, None));
            prepared.keep(sql.to_owned(), statement);
        }
        prepared
    }

    #[test]
    fn the_statement_used_longest_ago_makes_room() {
        let mut prepared = of_two();
        assert_eq!(prepared.get("a"), Some(1));
        assert_eq!(prepared.make_room(), (true, Some(2)));
        prepared.keep("c".to_owned(), 3);
        assert_eq!((prepared.get("a"), prepared.get("b"), prepared.get("c")), (Some(1), None, Some(3)));
    }

    #[test]
    fn a_statement_in_use_makes_no_room() {
        let mut prepared = of_two();
        prepared.pin();
        assert_eq!(prepared.get("a"), Some(1));
        assert_eq!(prepared.make_room(), (true, Some(2)));
        prepared.keep("c".to_owned(), 3);
        assert_eq!(prepared.make_room(), (false, None));
        prepared.pin();
        assert_eq!(prepared.make_room(), (true, Some(1)));
    }
}
