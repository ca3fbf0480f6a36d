//! The prepared statements of a session, and the texts that all sessions of a core share.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};

use foldhash::HashSet;

use crate::parser::{Effect, Facts, Hazards, SqlMode, digest};
use crate::pool::{OnLink, State, StatementKey};
use crate::protocol::statement::LAST_PREPARED;

use super::failure::Refusal;
use super::sharded::ShardedStatement;

/// A statement's text in a schema and a state: what a link has prepared, or has to.
#[derive(Debug)]
pub(super) struct StatementText {
    pub key: StatementKey,
    pub schema: Option<Rc<[u8]>>,
    /// What the session had set that first prepared it.
    pub state: State,
    pub text: Box<[u8]>,
    pub facts: Facts,
    /// What it does when it is executed, as far as its text tells.
    pub effects: Vec<Effect>,
    /// Once somebody has needed it.
    digest: Cell<Option<u64>>,
}

impl StatementText {
    /// What limits tell it by.
    pub fn digest(&self, mode: SqlMode) -> u64 {
        let digest = self.digest.get().unwrap_or_else(|| digest(&self.text, mode));
        self.digest.set(Some(digest));
        digest
    }
}

/// What a text means depends on the schema and the dialect in which it is prepared.
type Place = (Option<Rc<[u8]>>, Box<[u8]>, Box<[u8]>);

/// The texts of the statements that sessions of this core have prepared, each once. A text goes with its last session;
/// the list is cleaned as it grows.
#[derive(Default)]
pub struct TextStore {
    texts: RefCell<HashMap<Place, Weak<StatementText>>>,
    next_key: Cell<StatementKey>,
    /// The size at which the list is cleaned next.
    clean_at: Cell<usize>,
}

/// What a text means to the session that prepares it.
pub(super) struct Meant<'a> {
    pub schema: Option<&'a Rc<[u8]>>,
    pub state: &'a State,
    pub facts: Facts,
    pub effects: &'a [Effect],
}

const CLEAN_MIN: usize = 1024;

/// Longer texts are not shared: few are the same, and the list would keep them for a while after their last session.
const SHARED_LEN_MAX: usize = 4096;

impl TextStore {
    pub(super) fn get(&self, meant: &Meant<'_>, text: &[u8]) -> Rc<StatementText> {
        // Its variables have types of their own.
        let alone = meant.facts.hazards.contains(Hazards::USER_VARIABLE);
        if text.len() > SHARED_LEN_MAX || alone {
            return self.own(meant, text);
        }
        let facts = meant.facts;
        let mut texts = self.texts.borrow_mut();
        let place = (meant.schema.cloned(), meant.state.dialect().into(), Box::from(text));
        if let Some(known) = texts.get(&place).and_then(Weak::upgrade).filter(|known| known.facts == facts) {
            return known;
        }
        if texts.len() >= self.clean_at.get().max(CLEAN_MIN) {
            texts.retain(|_, text| text.strong_count() > 0);
            self.clean_at.set(texts.len() * 2);
        }
        let shared = self.own(meant, text);
        texts.insert(place, Rc::downgrade(&shared));
        shared
    }

    /// The same for one statement alone: a session that has a text prepared twice needs both on its link, since each may
    /// have a cursor or parameters sent ahead.
    pub(super) fn own(&self, meant: &Meant<'_>, text: &[u8]) -> Rc<StatementText> {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        Rc::new(StatementText {
            key,
            schema: meant.schema.cloned(),
            state: meant.state.clone(),
            text: text.into(),
            facts: meant.facts,
            effects: meant.effects.to_vec(),
            digest: Cell::new(None),
        })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.texts.borrow().len()
    }
}

/// A statement as its session knows it.
#[derive(Debug)]
pub(super) struct Statement {
    pub text: Rc<StatementText>,
    pub params: u16,
    /// The parameter types that the client sent last; empty before the first EXECUTE.
    pub types: Vec<u8>,
    /// Those by which it was settled on the link where it ran first, see `executions_stick`.
    pub settled: Vec<u8>,
    /// For a statement about sharded tables, of which `text` is that of the shard where it ran last.
    pub sharded: Option<Rc<ShardedStatement>>,
    /// Why parameters sent ahead did not arrive: said at EXECUTE, as they have no reply of their own.
    pub long_data_failure: Option<Refusal>,
    /// Those of a statement about sharded tables, whose shards are not known before.
    pub sent_ahead: BTreeMap<u16, Vec<u8>>,
}

impl Statement {
    /// Whether EXECUTE on a link gives what it would on the session's own connection, as far as types go.
    pub fn is_settled_as(&self, on_link: &OnLink) -> bool {
        let ours = if self.settled.is_empty() { &self.types } else { &self.settled };
        on_link.settled.is_empty() || on_link.settled == *ours
    }

    /// It is about to be executed on a link.
    pub fn settle_on(&mut self, on_link: &mut OnLink, cursor: bool) {
        on_link.had_cursor |= cursor;
        if on_link.settled.is_empty() {
            on_link.settled.clone_from(&self.types);
        }
        if self.settled != on_link.settled {
            self.settled.clone_from(&on_link.settled);
        }
    }
}

/// The statements of one session, by the ids that it was told.
#[derive(Debug, Default)]
pub(super) struct Statements {
    list: foldhash::HashMap<u32, Statement>,
    /// The texts that are in use.
    keys: HashSet<StatementKey>,
    last_id: u32,
    /// What [`LAST_PREPARED`] means; `None` if the last PREPARE failed.
    pub last_prepared: Option<u32>,
}

impl Statements {
    /// The session's id for one that a client names: MariaDB's clients may execute what they have just prepared before
    /// they know its id.
    pub fn resolve(&self, id: u32) -> u32 {
        if id == LAST_PREPARED { self.last_prepared.unwrap_or(id) } else { id }
    }

    /// The id that the next statement will have.
    pub fn next_id(&self) -> u32 {
        let mut id = self.last_id;
        loop {
            id = id.wrapping_add(1).max(1);
            if id != LAST_PREPARED && !self.list.contains_key(&id) {
                return id;
            }
        }
    }

    pub fn insert(&mut self, id: u32, statement: Statement) {
        self.last_id = id;
        self.keys.insert(statement.text.key);
        self.list.insert(id, statement);
    }

    pub fn get(&mut self, id: u32) -> Option<&mut Statement> {
        self.list.get_mut(&id)
    }

    /// The statement has another text from now on.
    pub fn set_text(&mut self, id: u32, text: Rc<StatementText>) {
        if let Some(statement) = self.list.get_mut(&id) {
            self.keys.remove(&statement.text.key);
            self.keys.insert(text.key);
            statement.text = text;
        }
    }

    pub fn remove(&mut self, id: u32) -> Option<Statement> {
        let removed = self.list.remove(&id)?;
        self.keys.remove(&removed.text.key);
        Some(removed)
    }

    /// Whether one of them has this text.
    pub fn has_text(&self, key: StatementKey) -> bool {
        self.keys.contains(&key)
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// What is kept of parameters that were sent ahead, for all of them.
    pub fn sent_ahead_bytes(&self) -> usize {
        self.list.values().flat_map(|statement| statement.sent_ahead.values()).map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{SqlMode, facts};
    use crate::pool::{Changes, States};

    #[test]
    fn a_text_is_shared_within_a_schema_and_a_dialect_and_goes_with_its_last_user() {
        let (store, states) = (TextStore::default(), States::default());
        let facts = facts(b"SELECT ?", SqlMode::default());
        let (a, b): (Rc<[u8]>, Rc<[u8]>) = (b"a"[..].into(), b"b"[..].into());
        let state = states.empty();
        let get = |schema: Option<&Rc<[u8]>>, state: &State, text: &[u8]| {
            store.get(&Meant { schema, state, facts, effects: &[] }, text)
        };
        let first = get(Some(&a), &state, b"SELECT ?");
        assert!(Rc::ptr_eq(&first, &get(Some(&a), &state, b"SELECT ?")));
        assert_ne!(get(Some(&b), &state, b"SELECT ?").key, first.key);
        assert_ne!(get(None, &state, b"SELECT ?").key, first.key);
        let set = |name: &[u8]| Changes {
            variables: vec![(name.into(), Some(b"1"[..].into()))],
            ..Changes::default()
        };
        let quotes = states.changed(&state, &set(b"sql_mode")).unwrap();
        assert_ne!(get(Some(&a), &quotes, b"SELECT ?").key, first.key);
        let zone = states.changed(&state, &set(b"time_zone")).unwrap();
        assert!(Rc::ptr_eq(&first, &get(Some(&a), &zone, b"SELECT ?")));
        for n in 0..3 * CLEAN_MIN {
            get(None, &state, n.to_string().as_bytes());
        }
        assert!(store.len() <= CLEAN_MIN + 1, "{}", store.len());
        assert!(Rc::ptr_eq(&first, &get(Some(&a), &state, b"SELECT ?")));
    }

    #[test]
    fn ids_wrap_and_skip_those_in_use() {
        let store = TextStore::default();
        let facts = facts(b"SELECT 1", SqlMode::default());
        let state = States::default().empty();
        let text = store.get(&Meant { schema: None, state: &state, facts, effects: &[] }, b"SELECT 1");
        let statement = || Statement {
            text: text.clone(),
            params: 0,
            types: Vec::new(),
            settled: Vec::new(),
            sharded: None,
            long_data_failure: None,
            sent_ahead: BTreeMap::new(),
        };
        let mut statements = Statements::default();
        assert_eq!(statements.next_id(), 1);
        statements.insert(1, statement());
        statements.insert(u32::MAX, statement());
        assert_eq!(statements.next_id(), 2);
        assert!(statements.remove(1).is_some() && statements.get(1).is_none());
        assert_eq!(statements.len(), 1);
    }
}
