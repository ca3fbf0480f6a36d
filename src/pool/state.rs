//! What a session has set for itself, and a link carries: the part of a session that moves from link to link.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::parser::Charset;

use super::assignments::Assignments;
use super::user_variables::number_collation;

/// Bytes of one state. A session that has more keeps its link.
const STATE_LEN_MAX: usize = 64 << 10;

/// States that are remembered before those that nobody has are forgotten.
const CLEAN_MIN: usize = 1024;

/// System variables of which a value can't be set again on another link to the same effect: they count up, are used up,
/// name the connection, or decide what is written to the binary log.
const UNMOVABLE: [&[u8]; 24] = [
    b"binlog_format",
    b"default_master_connection",
    b"gtid_domain_id",
    b"gtid_next",
    b"gtid_seq_no",
    b"identity",
    b"immediate_server_version",
    b"insert_id",
    b"last_insert_id",
    b"original_commit_timestamp",
    b"original_server_version",
    b"profiling",
    b"pseudo_replica_mode",
    b"pseudo_slave_mode",
    b"pseudo_thread_id",
    b"query_cache_type",
    b"rand_seed1",
    b"rand_seed2",
    b"require_row_format",
    b"server_id",
    b"skip_replication",
    b"sql_log_bin",
    b"timestamp",
    b"transaction_allow_batching",
];

/// Stands among the variables where the character set of results was set by itself, not by SET NAMES: then results have its
/// own collation. No variable has a blank in its name.
pub const RESULTS_ALONE: &[u8] = b"character_set_results alone";

const COLLATION: &[u8] = b"collation_connection";

/// Those of which one brings its own collation where it is set by itself.
const OF_ITSELF: [&[u8]; 2] = [b"character_set_client", b"character_set_results"];

/// What SET NAMES sets.
const OF_NAMES: [&[u8]; 4] =
    [b"character_set_client", b"character_set_connection", b"character_set_results", b"collation_connection"];

/// Those by which the text of a statement means one thing or another.
const DIALECT: [&[u8]; 7] = [
    b"character_set_client",
    b"character_set_connection",
    b"character_set_results",
    b"collation_connection",
    b"default_week_format",
    b"div_precision_increment",
    b"sql_mode",
];

/// Other names of the same variable, and the one under which it is kept.
const ALIASES: [(&[u8], &[u8]); 6] = [
    (b"alter_algorithm", b"old_alter_table"),
    (b"log_slow_min_examined_row_limit", b"min_examined_row_limit"),
    (b"log_slow_query", b"slow_query_log"),
    (b"log_slow_query_time", b"long_query_time"),
    (b"storage_engine", b"default_storage_engine"),
    (b"tmp_memory_table_size", b"tmp_table_size"),
];

/// Variables of which one changes along with the other, and servers tell only the one that was set. The first of each
/// is set before the second, which is set again then.
const COUPLED: [[&[u8]; 2]; 7] = [
    [b"character_set_connection", b"collation_connection"],
    [b"character_set_server", b"collation_server"],
    [b"log_queries_not_using_indexes", b"log_slow_filter"],
    [b"log_slow_admin_statements", b"log_slow_disabled_statements"],
    [b"log_slow_slave_statements", b"log_slow_disabled_statements"],
    [b"max_join_size", b"sql_big_selects"],
    [b"wsrep_causal_reads", b"wsrep_sync_wait"],
];

/// A name and what belongs to it.
pub type Entry = (Box<[u8]>, Box<[u8]>);

/// A name and what belongs to it now, if anything does.
pub type Change = (Box<[u8]>, Option<Box<[u8]>>);

/// What a session has set. Equal states of a core are one value, which makes comparing them cheap.
#[derive(Debug, Clone)]
pub struct State(Rc<Content>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Content {
    /// System variables by their names, with the values that the server told.
    variables: Vec<Entry>,
    /// User variables by their names, each with an SQL expression of its value.
    user_variables: Vec<Entry>,
    /// What SET ROLE is followed by.
    role: Option<Box<[u8]>>,
    /// What the variables say of how texts are read.
    reading: Reading,
    dialect: Box<[u8]>,
}

/// How a session's texts are read, as far as it has said so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Reading {
    pub charset: Option<Charset>,
    pub ansi_quotes: Option<bool>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for State {}

/// The states of the sessions and links of a core, each once.
#[derive(Debug)]
pub struct States {
    empty: State,
    known: RefCell<HashSet<ByContent>>,
    clean_at: Cell<usize>,
}

#[derive(Debug)]
struct ByContent(Rc<Content>);

impl PartialEq for ByContent {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for ByContent {}

impl Hash for ByContent {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl std::borrow::Borrow<Content> for ByContent {
    fn borrow(&self) -> &Content {
        &self.0
    }
}

impl Default for States {
    fn default() -> Self {
        let empty = State(Rc::default());
        let known = RefCell::new(HashSet::from([ByContent(empty.0.clone())]));
        Self { empty, known, clean_at: Cell::new(CLEAN_MIN) }
    }
}

impl States {
    /// That of a session which has set nothing.
    pub fn empty(&self) -> State {
        self.empty.clone()
    }

    /// `state` with these changes; `None` if it would be too much to carry around.
    pub fn changed(&self, state: &State, changes: &Changes) -> Option<State> {
        let is_so = |has: Option<&[u8]>, value: &Option<Box<[u8]>>| has == value.as_deref();
        if changes.variables.iter().all(|(name, value)| is_so(state.variable(name), value))
            && changes.user_variables.iter().all(|(name, value)| is_so(state.user_variable(name), value))
            && changes.role.as_ref().is_none_or(|role| is_so(state.role(), role))
        {
            return Some(state.clone());
        }
        let mut content = Content::clone(&state.0);
        for (name, value) in &changes.variables {
            set(&mut content.variables, name, value.as_deref());
        }
        for (name, value) in &changes.user_variables {
            set(&mut content.user_variables, name, value.as_deref());
        }
        if let Some(role) = &changes.role {
            content.role.clone_from(role);
        }
        (content.len() <= STATE_LEN_MAX).then(|| self.only(content))
    }

    fn only(&self, mut content: Content) -> State {
        (content.reading, content.dialect) = (content.reading(), content.dialect());
        let mut known = self.known.borrow_mut();
        if let Some(same) = known.get(&content) {
            return State(same.0.clone());
        }
        if known.len() >= self.clean_at.get() {
            known.retain(|state| Rc::strong_count(&state.0) > 1);
            self.clean_at.set((known.len() * 2).max(CLEAN_MIN));
        }
        let content = Rc::new(content);
        known.insert(ByContent(content.clone()));
        State(content)
    }
}

/// Names are in order. `None` takes one out.
fn set(entries: &mut Vec<Entry>, name: &[u8], value: Option<&[u8]>) {
    match (entries.binary_search_by(|entry| (*entry.0).cmp(name)), value) {
        (Ok(at), Some(value)) => entries[at].1 = value.into(),
        (Ok(at), None) => drop(entries.remove(at)),
        (Err(at), Some(value)) => entries.insert(at, (name.into(), value.into())),
        (Err(_), None) => {}
    }
}

/// What a statement has changed of a state.
#[derive(Debug, Default)]
pub struct Changes {
    /// System variables; `None` for one that is as if it had never been set.
    pub variables: Vec<Change>,
    /// User variables, by expressions of their values.
    pub user_variables: Vec<Change>,
    pub role: Option<Option<Box<[u8]>>>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty() && self.user_variables.is_empty() && self.role.is_none()
    }
}

impl Content {
    fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.variables.binary_search_by(|entry| (*entry.0).cmp(name)).ok()?;
        Some(&self.variables[at].1)
    }

    fn reading(&self) -> Reading {
        let ansi = |modes: &[u8]| modes.split(|byte| *byte == b',').any(|mode| mode == b"ANSI_QUOTES");
        Reading {
            charset: self.variable(b"character_set_client").map(Charset::by_name),
            ansi_quotes: self.variable(b"sql_mode").map(ansi),
        }
    }

    fn dialect(&self) -> Box<[u8]> {
        let set = DIALECT.iter().filter_map(|name| Some((name, self.variable(name)?)));
        set.flat_map(|(name, value)| [*name, value]).collect::<Vec<_>>().join(&0).into()
    }

    fn len(&self) -> usize {
        let entries = self.variables.iter().chain(&self.user_variables);
        entries.map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl State {
    /// The value of a system variable, if the session has set it.
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.variable(name)
    }

    /// What the session has set of that by which a statement means something else when it is prepared: equal for equal
    /// meanings.
    pub fn dialect(&self) -> &[u8] {
        &self.0.dialect
    }

    /// What makes this state read texts as `other` does; with `users`, also what has the other's user variables.
    pub fn reading_as(&self, other: &State, users: bool) -> Changes {
        let wanted = |name: &&[u8]| (Box::from(*name), other.variable(name).map(Box::from));
        let differs = |name: &&&[u8]| self.variable(name) != other.variable(name);
        let variables = DIALECT.iter().chain([&RESULTS_ALONE]).filter(differs).map(wanted).collect();
        let pairs = pairs(&self.0.user_variables, &other.0.user_variables).filter(|_| users);
        let user_variables = pairs.map(|(name, _, wants)| (name.into(), wants.map(Box::from))).collect();
        Changes { variables, user_variables, role: None }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.variable(name).is_some()
    }

    pub fn reading(&self) -> Reading {
        self.0.reading
    }

    pub fn is_empty(&self) -> bool {
        *self.0 == Content::default()
    }

    /// The expression of a user variable, if the session has set it.
    pub fn user_variable(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.0.user_variables.binary_search_by(|entry| (*entry.0).cmp(name)).ok()?;
        Some(&self.0.user_variables[at].1)
    }

    pub fn role(&self) -> Option<&[u8]> {
        self.0.role.as_deref()
    }

    pub fn has_user_variables(&self) -> bool {
        !self.0.user_variables.is_empty()
    }

    /// Whether there are user variables that `wanted` does not have.
    pub fn has_user_variables_beside(&self, wanted: &State) -> bool {
        pairs(&self.0.user_variables, &wanted.0.user_variables)
            .any(|(_, has, wants)| has.is_some() && wants.is_none())
    }

    /// The character set and the collation, where SET NAMES or the login can have set them: they bring their collation to
    /// results, too, and a character set that is set by itself brings its own.
    fn names<'a>(&'a self, base: &impl Fn(&[u8]) -> Option<&'a [u8]>) -> Option<[&'a [u8]; 2]> {
        let own = OF_NAMES.map(|name| self.variable(name));
        let [client, connection, results, collation] = match own {
            _ if self.variable(RESULTS_ALONE).is_some() => return None,
            [Some(_), _, Some(_), _] => own,
            _ => OF_NAMES.map(base),
        };
        let charset = client?;
        let all = connection == Some(charset) && results == Some(charset) && !charset.is_empty();
        all.then_some([charset, collation?])
    }

    /// The statements that bring a link from `self` to `wanted`; `base` is what its login gave a variable, where that
    /// is known. Empty if it is there already.
    pub fn way_to<'a>(&'a self, wanted: &'a State, base: impl Fn(&[u8]) -> Option<&'a [u8]>) -> Vec<Vec<u8>> {
        // A number has a collation, too: that of the connection when it was set.
        let collation = |state: &'a State| state.variable(COLLATION).or_else(|| base(COLLATION));
        let collated = collation(self) != collation(wanted);
        self.way(wanted, base, collated)
    }

    /// The same for a moment: user variables that both have stay as they are, which may be other than is known here.
    pub fn way_to_visit<'a>(
        &'a self,
        wanted: &'a State,
        base: impl Fn(&[u8]) -> Option<&'a [u8]>,
    ) -> Vec<Vec<u8>> {
        self.way(wanted, base, false)
    }

    fn way_of_variables<'a>(
        &'a self,
        wanted: &'a State,
        base: &impl Fn(&[u8]) -> Option<&'a [u8]>,
    ) -> Assignments {
        let mut assignments = Assignments(Vec::new());
        let alone = wanted.has(RESULTS_ALONE);
        let wanted_names = wanted.names(base);
        let names = wanted_names.filter(|names| self.names(base) != Some(*names));
        if let Some(names) = names {
            assignments.names(names);
        }
        let mut changed = [false; COUPLED.len()];
        for (name, has, wants) in pairs(&self.0.variables, &wanted.0.variables) {
            let by_login = base(name);
            let by_names = names.and_then(|[charset, collation]| {
                let of_names = OF_NAMES.contains(&name);
                of_names.then_some(if name == COLLATION { collation } else { charset })
            });
            if name == RESULTS_ALONE {
                continue;
            }
            let anew = alone && !self.has(RESULTS_ALONE) && OF_ITSELF.contains(&name);
            let along = COUPLED.iter().zip(changed).any(|([_, second], changed)| changed && *second == name);
            let differs = wants.or(by_login) != by_names.or(has).or(by_login);
            let undone = wants.is_none() && has.is_some() && by_login.is_none();
            if !(anew || along || differs || undone) {
                continue;
            }
            assignments.variable(name, wants.or(by_login));
            let firsts = COUPLED.iter().map(|[first, _]| *first == name);
            changed.iter_mut().zip(firsts).for_each(|(changed, is)| *changed |= is);
        }
        assignments
    }

    fn way<'a>(
        &'a self,
        wanted: &'a State,
        base: impl Fn(&[u8]) -> Option<&'a [u8]>,
        collated: bool,
    ) -> Vec<Vec<u8>> {
        if self == wanted {
            return Vec::new();
        }
        let assignments = self.way_of_variables(wanted, &base);
        let of_connection = wanted.variable(COLLATION).or_else(|| base(COLLATION));
        let mut users = Assignments(Vec::new());
        let mut elsewhere: Vec<(&[u8], Assignments)> = Vec::new();
        for (name, has, wants) in pairs(&self.0.user_variables, &wanted.0.user_variables) {
            let own = wants.and_then(number_collation);
            if has == wants && (own.is_some() || !collated || wants.is_none()) {
                continue;
            }
            let last = elsewhere.len();
            let assignments = match own.filter(|own| of_connection.is_some_and(|collation| collation != *own))
            {
                None => &mut users,
                Some(own) => {
                    let known = elsewhere.iter().position(|(collation, _)| *collation == own);
                    if known.is_none() {
                        elsewhere.push((own, Assignments(Vec::new())));
                    }
                    &mut elsewhere[known.unwrap_or(last)].1
                }
            };
            assignments.user_variable(name, wants);
        }
        let mut statements = Vec::new();
        if self.0.role != wanted.0.role {
            let role = wanted.0.role.as_deref().unwrap_or(b"DEFAULT");
            statements.push([b"SET ROLE ", role].concat());
        }
        statements.extend([assignments.0, users.0].into_iter().filter(|sql| !sql.is_empty()));
        let under = |collation: &[u8]| Assignments::of_variable(COLLATION, collation);
        let back = of_connection.filter(|_| !elsewhere.is_empty());
        statements.extend(elsewhere.into_iter().flat_map(|(own, users)| [under(own), users.0]));
        statements.extend(back.map(under));
        statements
    }
}

/// Whether a variable's value can be set on another link.
pub fn is_movable(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    name.iter().all(plain) && UNMOVABLE.binary_search(&name).is_err()
}

/// The name under which a variable is kept.
pub fn canonical(name: &[u8]) -> &[u8] {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

/// The variables that may have changed along with this one, itself among them; none if it stands alone.
pub fn coupled(name: &[u8]) -> impl Iterator<Item = &'static [u8]> {
    COUPLED.iter().filter(move |pair| pair.contains(&name)).flatten().copied()
}

/// The entries of both lists by their names.
fn pairs<'a>(
    has: &'a [Entry],
    wants: &'a [Entry],
) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>, Option<&'a [u8]>)> {
    let (mut has, mut wants) = (has.iter().peekable(), wants.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (has.peek(), wants.peek()) {
            (None, None) => return None,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(has), Some(wants)) => has.0.cmp(&wants.0),
        };
        let has = if order.is_le() { has.next() } else { None };
        let wants = if order.is_ge() { wants.next() } else { None };
        let name = &has.or(wants)?.0;
        Some((&**name, has.map(|entry| &*entry.1), wants.map(|entry| &*entry.1)))
    })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
