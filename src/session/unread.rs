//! What only a link knows of what its session has done: it is read out in one round trip before others get the link.
//!
//! A session whose statement left something of the kind keeps the link for a moment: mostly the next command comes at
//! once, and if it is the one that asks (`SHOW WARNINGS`, `FOUND_ROWS()`), the server answers it by itself.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::metrics::label::BoundReason;
use crate::pool::user_variables::Value;
use crate::pool::{
    Changes, Entry, Table, Told, canonical, coupled, is_movable, quote, quote_name, user_variables,
};
use crate::protocol::capability::StatusFlags;
use crate::protocol::resultset::ascii;
use crate::protocol::warnings::WarningList;

use super::context::Phase;
use super::driver::Session;
use super::failure::Stop;
use super::holds::{OF_SCHEMA, is_own};
use super::leave::ROLLBACK;
use super::link::{Held, Use};
use super::seen::LAST_GTID;

/// How long a link waits for its session's next command before it is read out.
const MOMENT: Duration = Duration::from_millis(3);

/// Variables that are asked for in one round trip; a session with more to tell keeps its link.
const NAMES_MAX: usize = 512;

/// How many warnings and errors there are. They count as statements with a row, and leave the list.
const COUNTS: [&[u8]; 2] = [b"SHOW COUNT(*) WARNINGS", b"SHOW COUNT(*) ERRORS"];

/// A statement that changes nothing, and has a MariaDB tell of what changed before.
const FLUSH: &[u8] = b"SET @@session.sql_notes=@@session.sql_notes";

/// The variable that it tells.
const FLUSHED: &[u8] = b"sql_notes";

/// What the session knows only by asking its link.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// The warnings and errors of the last statement.
    pub warnings: bool,
    /// What FOUND_ROWS() is.
    pub found_rows: bool,
    /// What LAST_INSERT_ID() is.
    pub insert_id: bool,
    /// What it was on the link before: if it is that still, nothing has set it, and the session's is its own.
    pub insert_id_before: Option<u64>,
    /// The id that the last statement told, where it may be a new one, and the same as another session's before.
    pub insert_id_told: Option<u64>,
    /// Which role is in force.
    pub role: bool,
    /// Whether a transaction is open, or locks are left.
    pub transaction: bool,
    /// Which of the named locks the session has.
    pub locks: bool,
    /// A statement failed, which may have set something before: the server tells so with a later reply.
    pub after_error: bool,
    /// System variables that changed, to a value that nobody told.
    pub variables: Vec<Box<[u8]>>,
    pub user_variables: Vec<Vec<u8>>,
}

impl Unread {
    pub fn is_empty(&self) -> bool {
        !self.warnings
            && !self.found_rows
            && !self.insert_id
            && !self.locks
            && !self.after_error
            && !self.transaction
            && !self.has_state()
    }

    /// Whether the link carries something that the session does not know of.
    pub fn has_state(&self) -> bool {
        self.role || !self.variables.is_empty() || !self.user_variables.is_empty()
    }

    /// Whether the session knows all that it has set.
    pub fn knows_state(&self) -> bool {
        !self.has_state() && !self.after_error
    }

    pub fn is_too_much(&self) -> bool {
        self.variables.len() + self.user_variables.len() > NAMES_MAX
    }

    pub fn variable(&mut self, name: &[u8]) {
        if !self.variables.iter().any(|known| **known == *name) {
            self.variables.push(name.into());
        }
    }

    pub fn user_variable(&mut self, name: &[u8]) {
        if !self.user_variables.iter().any(|known| known == name) {
            self.user_variables.push(name.to_vec());
        }
    }

    pub fn has_user_variable(&self, name: &[u8]) -> bool {
        self.user_variables.iter().any(|known| known == name)
    }

    /// The value of a user variable is known by now.
    pub fn knows_user_variable(&mut self, name: &[u8]) {
        self.user_variables.retain(|known| known != name);
    }

    /// The questions to a server, in an order in which none spoils the answer to another. Each says how many rows it wants:
    /// the session's `sql_select_limit` may be none.
    fn questions(&self, locks: &[Vec<u8>], mariadb: bool, counts: bool) -> Vec<Vec<u8>> {
        let mut questions = Vec::new();
        if self.warnings {
            questions.push(b"SHOW WARNINGS".to_vec());
        }
        if self.found_rows {
            questions.push(b"SELECT FOUND_ROWS() LIMIT 1".to_vec());
        }
        if counts {
            questions.extend(COUNTS.map(<[u8]>::to_vec));
        }
        if self.after_error || self.transaction {
            questions.push(FLUSH.to_vec());
        }
        let mut items: Vec<Vec<u8>> = Vec::new();
        if self.insert_id {
            items.push(b"LAST_INSERT_ID()".to_vec());
        }
        if self.role {
            items.push(b"CURRENT_ROLE()".to_vec());
        }
        items.extend(self.variables.iter().map(|name| [b"@@session.", &name[..]].concat()));
        items.extend(locks.iter().map(|name| {
            let mut item = b"IS_USED_LOCK(".to_vec();
            // As the session has written it: servers tell names apart by their bytes, in its own character set.
            match name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/ ".contains(byte)) {
                true => item.extend([b"'", &name[..], b"'"].concat()),
                false => quote(name, &mut item),
            }
            item.extend_from_slice(b")=CONNECTION_ID()");
            item
        }));
        if !items.is_empty() {
            questions.push([b"SELECT ", &items.join(&b","[..])[..], b" LIMIT 1"].concat());
        }
        if !self.user_variables.is_empty() {
            questions.push(user_variables::question(&self.user_variables, mariadb));
        }
        questions
    }
}

/// The answers, one after the other.
struct Replies(std::vec::IntoIter<Told>);

impl Replies {
    fn raw_table(&mut self) -> Option<Table> {
        match self.0.next()? {
            Told::Table(table) => Some(table),
            Told::Ok | Told::Err(_) => None,
        }
    }

    /// A table of which all values are ASCII, if in a character set with several bytes for each letter.
    fn table(&mut self) -> Option<Table> {
        let mut table = self.raw_table()?;
        table.rows.iter_mut().flatten().flatten().for_each(|value| *value = ascii(value));
        Some(table)
    }
}

impl Session {
    /// Whether the link is kept for nothing but what it can be asked for, or for nothing any more.
    pub fn can_read_out(&self) -> bool {
        let for_nothing = self.holds.reason().is_none();
        self.bound.is_some()
            && (for_nothing || (!self.unread.is_empty() && self.holds.reason_but_locks().is_none()))
    }

    /// Waits for `next` as long as the link may stay with the session unread. `None`: read it out.
    pub async fn wait_a_moment<F: Future + Unpin>(&self, next: &mut F, until: Phase) -> Option<F::Output> {
        let pool = &self.cluster().pool();
        if pool.is_waited_for() {
            return None;
        }
        let called = pool.on_call.enter(self.timer.poker());
        let watched = std::future::poll_fn(|cx| match Pin::new(&mut *next).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if called.is_called() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        self.wait(MOMENT, until, watched).await.ok().flatten()
    }

    /// Reads out what only the link knows, and gives it back if nothing else is held there.
    pub async fn read_out(&mut self) -> Result<(), Stop> {
        let Some(bound) = self.bound.take() else { return Ok(()) };
        let permit = self.permit.take();
        let mut link = Use { held: Held::Bound(bound), permit };
        match self.read_link(&mut link).await {
            Ok(()) => {
                self.keep_or_give_back(link);
                Ok(())
            }
            Err(stop) => {
                let stateful = self.unread.has_state();
                self.unread = Unread::default();
                let stop = self.lost(link, stop);
                if stateful { Err(stop) } else { Ok(()) }
            }
        }
    }

    /// Asks the link what the session does not know yet.
    pub async fn read_link(&mut self, link: &mut Use) -> Result<(), Stop> {
        let unread = std::mem::take(&mut self.unread);
        let locks = if unread.locks { self.holds.locks().to_vec() } else { Vec::new() };
        // A short list may not have all of them. To ask a MySQL for FOUND_ROWS() empties it.
        let counts = unread.warnings
            && self.before.kept.is_empty()
            && self.state.variable(b"max_error_count").is_some()
            && (self.is_on_mariadb() || !unread.found_rows);
        let questions = unread.questions(&locks, self.is_on_mariadb(), counts);
        if questions.is_empty() {
            return Ok(());
        }
        self.ctx.metrics.state_readouts.inc();
        self.is_last = false;
        let (told, overheard) = match self.backend(link.lease().ask_all(&questions)).await {
            Ok(answers) => answers,
            Err(stop) => {
                self.unread = unread;
                return Err(stop);
            }
        };
        if unread.transaction {
            self.settle_transaction(link, overheard.status).await?;
        }
        if self.take_answers(link, &unread, &locks, counts, told, &overheard.variables).is_none() {
            // It has no answer to something: then it is better not to leave it.
            self.holds.keep(BoundReason::SessionState);
        }
        if self.unread.has_state() {
            // What changed before an error is known by name by now.
            return Box::pin(self.read_link(link)).await;
        }
        Ok(())
    }

    /// A transaction that is open stays; what is left of none is let go.
    async fn settle_transaction(&mut self, link: &mut Use, status: Option<StatusFlags>) -> Result<(), Stop> {
        if status.is_none_or(|status| status.contains(StatusFlags::IN_TRANS)) {
            self.holds.begun();
            self.status |= StatusFlags::IN_TRANS;
            return Ok(());
        }
        // A MariaDB has nothing left then, and a ROLLBACK of the session's own may have something to say of temporary tables.
        if self.is_on_mariadb() && self.holds.reason().is_some() {
            return Ok(());
        }
        self.backend(link.lease().query(ROLLBACK)).await.map(drop)
    }

    fn take_answers(
        &mut self,
        link: &mut Use,
        unread: &Unread,
        locks: &[Vec<u8>],
        counts: bool,
        told: Vec<Told>,
        overheard: &[Entry],
    ) -> Option<()> {
        let mut replies = Replies(told.into_iter());
        if unread.warnings {
            let Table { columns, rows } = replies.raw_table()?;
            let rows = [std::mem::take(&mut self.before.kept), rows].concat();
            self.before.warning_count = self.before.warning_count.max(rows.len() as u64);
            self.before.warnings = WarningList { columns, rows };
            self.before.charset = self.results_charset(link.lease());
        }
        if unread.found_rows {
            self.before.found_rows = number(replies.table()?.rows.first())?;
        }
        if counts {
            self.before.warning_count = number(replies.table()?.rows.first())?;
            self.before.errors = Some(number(replies.table()?.rows.first())?);
        }
        let mut changes = Changes::default();
        if unread.after_error || unread.transaction {
            replies.0.next();
            self.take_overheard(&mut changes, overheard);
        }
        if unread.insert_id || unread.role || !unread.variables.is_empty() || !locks.is_empty() {
            let table = replies.table()?;
            let mut values = table.rows.into_iter().next()?.into_iter();
            if unread.insert_id {
                let id = parse(&values.next()??)?;
                if unread.insert_id_before != Some(id) || unread.insert_id_told == Some(id) {
                    self.last_insert_id = id;
                }
                link.lease().insert_id = Some(id);
            }
            if unread.role {
                changes.role = Some(Some(role(values.next()?, self.is_on_mariadb()).into()));
            }
            for name in &unread.variables {
                let value = values.next()?.unwrap_or_default();
                changes.variables.push((name.clone(), Some(value.into())));
            }
            for name in locks {
                if values.next()?.as_deref() != Some(b"1") {
                    self.holds.lock_is_free(name);
                }
            }
        }
        if !unread.user_variables.is_empty() {
            let names = &unread.user_variables;
            let values = user_variables::values(names, &replies.table()?, self.is_on_mariadb())?;
            for (name, value) in names.iter().zip(values) {
                match value {
                    Value::Expression(value) => {
                        changes.user_variables.push((name.clone().into(), Some(value.into())));
                    }
                    Value::Unset => changes.user_variables.push((name.clone().into(), None)),
                    Value::Unmovable => self.holds.keep(BoundReason::SessionState),
                }
            }
        }
        self.change_state(link.lease(), &changes);
        Some(())
    }

    /// What changed before a statement failed.
    fn take_overheard(&mut self, changes: &mut Changes, overheard: &[Entry]) {
        for (name, value) in overheard {
            let name = canonical(name);
            if name == LAST_GTID {
                self.note_written_late(value.clone());
            }
            if name == FLUSHED && self.state.variable(FLUSHED).is_none()
                || is_own(name)
                || OF_SCHEMA.contains(&name)
            {
                continue;
            }
            let mut along = coupled(name).peekable();
            if !is_movable(name) {
                self.holds.keep(BoundReason::SessionState);
            } else if along.peek().is_some() {
                along.for_each(|name| self.unread.variable(name));
            } else if !value.is_ascii() {
                self.unread.variable(name);
            } else {
                changes.variables.push((name.into(), Some(value.clone())));
            }
        }
    }

    /// The link goes without having been asked: what the session left there nobody will want to know.
    pub fn forget_unread(&mut self) {
        self.unread = Unread::default();
    }
}

/// CURRENT_ROLE() as SET ROLE takes it: a MariaDB gives the bare name; a MySQL a list of names and hosts, quoted by the
/// session's sql_mode and, but for the hosts, by its `sql_quote_show_create`.
fn role(told: Option<Vec<u8>>, mariadb: bool) -> Vec<u8> {
    match told {
        None => b"NONE".to_vec(),
        Some(none) if none == b"NONE" => none,
        Some(name) if mariadb => {
            let mut quoted = Vec::new();
            quote_name(&name, &mut quoted);
            quoted
        }
        Some(mut list) => {
            let quote = list.iter().find(|byte| b"`\"".contains(byte));
            if quote == Some(&b'"') {
                list.iter_mut().filter(|byte| **byte == b'"').for_each(|byte| *byte = b'`');
            }
            list
        }
    }
}

fn number(row: Option<&Vec<Option<Vec<u8>>>>) -> Option<u64> {
    parse(row?.first()?.as_deref()?)
}

fn parse(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
