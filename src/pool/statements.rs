//! The statements that are prepared on a link.

use std::num::NonZeroUsize;

use lru::LruCache;

/// A statement's text in its schema, by the number that the core gave it.
pub type StatementKey = u64;

/// A statement as the server of one link knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnLink {
    /// The server's id.
    pub id: u32,
    /// The parameter types of the last EXECUTE, which hold for the next one that brings none; empty before the first.
    pub types: Vec<u8>,
    /// Those of the first EXECUTE, to which a MySQL converts all later ones; empty before it.
    pub settled: Vec<u8>,
    /// It was executed with a cursor.
    pub had_cursor: bool,
}

/// The most recently used statements of a link.
pub(super) struct Statements(LruCache<StatementKey, OnLink>);

impl Statements {
    /// Room for `max` statements.
    pub fn new(max: usize) -> Self {
        Self(LruCache::new(NonZeroUsize::new(max).unwrap_or(NonZeroUsize::MIN)))
    }

    /// Room for at least so many.
    pub fn make_room(&mut self, least: usize) {
        if let Some(least) = NonZeroUsize::new(least).filter(|least| *least > self.0.cap()) {
            self.0.resize(least);
        }
    }

    /// The statement, which becomes the most recently used.
    pub fn get(&mut self, key: StatementKey) -> Option<&mut OnLink> {
        self.0.get_mut(&key)
    }

    /// Puts a new statement in. Returns the server's id of one that has to be closed: it was the least recently used, or
    /// the same one, prepared before.
    pub fn insert(&mut self, key: StatementKey, id: u32) -> Option<u32> {
        let (_, old) =
            self.0.push(key, OnLink { id, types: Vec::new(), settled: Vec::new(), had_cursor: false })?;
        Some(old.id)
    }

    pub fn remove(&mut self, key: StatementKey) -> Option<OnLink> {
        self.0.pop(&key)
    }

    /// Takes out all of them, by the server's ids.
    pub fn drain(&mut self) -> Vec<u32> {
        let ids = self.0.iter().map(|(_, statement)| statement.id).collect();
        self.0.clear();
        ids
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_statement_is_to_be_closed() {
        let mut statements = Statements::new(2);
        assert_eq!(statements.insert(10, 1), None);
        assert_eq!(statements.insert(20, 2), None);
        assert_eq!(statements.get(10).map(|s| s.id), Some(1));
        assert_eq!(statements.insert(30, 3), Some(2));
        assert_eq!(statements.insert(10, 4), Some(1), "prepared anew: the earlier one is closed");
        assert_eq!(statements.get(10).map(|s| s.id), Some(4));
        assert_eq!(statements.get(20), None);
        assert_eq!(statements.remove(30).map(|s| s.id), Some(3));
        statements.make_room(3);
        statements.make_room(1);
        assert_eq!([40, 50].map(|key| statements.insert(key, 9)), [None, None]);
        statements.clear();
        assert_eq!(statements.get(10), None);
    }
}
