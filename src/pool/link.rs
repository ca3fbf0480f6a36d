//! A logged-in connection to a server, and the small commands that Athena itself sends on it.

use std::rc::Rc;
use std::time::Instant;

use crate::net::Socket;
use crate::protocol::buf::Reader;
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::command::Command;
use crate::protocol::response::{ErrPacket, OkPacket};
use crate::protocol::resultset::ascii;
use crate::protocol::statement::PrepareOk;
use crate::protocol::tracked::Tracked;

use super::base::Base;
use super::connect::{Connected, query, query_of};
use super::conversation::Conversation;
use super::era::LoginSpan;
use super::error::LinkError;
use super::identity::{Identity, Want};
use super::state::{State, States};
use super::statements::{OnLink, StatementKey, Statements};
use super::trackers::{Gtids, SELECT_TRACKED, Trackers, in_order, tracked};

/// A packet that ends a connection in the way that servers like.
const QUIT: [u8; 5] = [1, 0, 0, 0, Command::Quit as u8];

/// The reply to a command of Athena's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmallReply {
    Ok(StatusFlags),
    /// The last row of a result set, a value or NULL for each column; empty without a row.
    Row(Vec<Option<Vec<u8>>>),
    Err(ErrPacket),
}

/// A link. Between two uses nothing is on its way in either direction.
pub struct Link {
    pub socket: Socket,
    pub identity: Identity,
    /// The default schema, kept true by the server's trackers.
    pub schema: Option<Rc<[u8]>>,
    /// As of the last OK packet.
    pub status: StatusFlags,
    /// What sessions have set here, beyond the login; `None` if that is not known, and a reset has to come first.
    pub carries: Option<State>,
    /// A session has chosen a role here.
    pub has_had_role: bool,
    /// The mark of the session whose warnings or errors the server may still list here: a statement without a table
    /// does not clear them on MariaDB. `None` if the list is empty.
    pub warnings_of: Option<u32>,
    /// What LAST_INSERT_ID() is here; `None` in doubt.
    pub insert_id: Option<u64>,
    /// Nobody else must get the link: a KILL was aimed at a statement here and may come too late, or the server was told
    /// that the client is gone.
    pub doomed: bool,
    /// The server tells of the GTIDs of transactions, if it has any.
    pub tells_gtids: bool,
    /// The server's id of this connection.
    pub connection_id: u32,
    /// What it began with.
    pub base: Rc<Base>,
    /// When it logged in.
    pub(super) login: LoginSpan,
    /// Counts the links of a core.
    pub(super) serial: u64,
    pub(super) opened: Instant,
    pub(super) idle_since: Instant,
    pub(super) set_names: Option<String>,
    /// The server has judged the password itself at the login.
    pub(super) gave_password: bool,
    pub(super) trackers: Trackers,
    statements: Statements,
}

impl Link {
    /// `want` is what it was opened for.
    pub(super) fn new(
        connected: Connected,
        want: &Want,
        login: LoginSpan,
        serial: u64,
        max_statements: usize,
        now: Instant,
        states: &States,
    ) -> Self {
        Self {
            socket: connected.socket,
            identity: want.identity.clone(),
            schema: want.schema.clone(),
            status: connected.status,
            carries: Some(states.empty()),
            has_had_role: false,
            // An error of the last question.
            warnings_of: connected.base.is_unknown().then_some(Self::NO_SESSION),
            insert_id: Some(0),
            doomed: false,
            tells_gtids: true,
            connection_id: connected.connection_id,
            login,
            serial,
            opened: now,
            idle_since: now,
            set_names: connected.set_names,
            gave_password: connected.gave_password,
            trackers: connected.trackers,
            statements: Statements::new(max_statements),
            base: connected.base,
        }
    }

    /// The mark that no session has, of commands of Athena's own.
    pub(super) const NO_SESSION: u32 = 0;

    /// Empties the server's list of warnings: any statement that reads a table does, and on a MySQL any other.
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn clear_warnings(&mut self) -> Result<SmallReply, LinkError> {
        let by_table = self.trackers.reports().mariadb;
        let sql = if by_table { "SELECT 1 FROM information_schema.SCHEMATA LIMIT 0" } else { "DO 0" };
        let reply = self.query(sql).await?;
        if !matches!(reply, SmallReply::Err(_)) {
            self.warnings_of = None;
        }
        Ok(reply)
    }

    /// Has the server report what a session has asked for, and nothing else, until [`Link::track_all`].
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn track_only(&mut self, asked: &Tracked) -> Result<SmallReply, LinkError> {
        let sql = self.trackers.statement_of(asked, Gtids::With);
        match self.query(&sql).await? {
            SmallReply::Err(_) => {
                let sql = self.trackers.statement_of(asked, Gtids::Without);
                self.query(&sql).await
            }
            reply => {
                self.tells_gtids = false;
                Ok(reply)
            }
        }
    }

    /// What the session has asked for meanwhile, which was `before`; `None` if the server does not tell.
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn tracked(&mut self, before: &Tracked) -> Result<Option<Tracked>, LinkError> {
        let SmallReply::Row(mut values) = self.query(SELECT_TRACKED).await? else { return Ok(None) };
        values.iter_mut().flatten().for_each(|value| *value = ascii(value));
        let Some(mut now) = tracked(&values, &before.variables) else { return Ok(None) };
        if let Some(sql) = self.trackers.asks_order(&now.variables) {
            let mut conversation = Conversation::new(&self.socket, 0);
            conversation.send(0, &query(&sql, self.identity.flags));
            conversation.expect_reply();
            let told = conversation.receive().await?.payload;
            over(&conversation)?;
            now.variables = Rc::new(in_order((*now.variables).clone(), &told));
        }
        Ok(Some(now))
    }

    /// Has the server report again what Athena needs, by whether the session uses the query cache now, and what the session
    /// has asked for.
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn track_all(&mut self, tracked: &Tracked) -> Result<SmallReply, LinkError> {
        let sql = self.trackers.statement_for(tracked, Gtids::With).into_owned();
        match self.query(&sql).await? {
            SmallReply::Err(_) => {
                let sql = self.trackers.statement_for(tracked, Gtids::Without).into_owned();
                self.query(&sql).await
            }
            reply => {
                self.tells_gtids = true;
                Ok(reply)
            }
        }
    }

    /// A prepared statement, if this link has it; it becomes the most recently used.
    pub fn statement(&mut self, key: StatementKey) -> Option<&mut OnLink> {
        self.statements.get(key)
    }

    /// Notes that `key` is now prepared here under the server's `id`, and closes the statement that gives way to it.
    pub fn add_statement(&mut self, key: StatementKey, id: u32) {
        if let Some(old) = self.statements.insert(key, id) {
            self.close_statement(old);
        }
    }

    /// Closes a statement, if this link has it.
    pub fn remove_statement(&mut self, key: StatementKey) {
        if let Some(statement) = self.statements.remove(key) {
            self.close_statement(statement.id);
        }
    }

    pub fn has_statements(&self) -> bool {
        !self.statements.is_empty()
    }

    /// Closes all statements.
    pub fn forget_statements(&mut self) {
        for id in self.statements.drain() {
            self.close_statement(id);
        }
    }

    /// What the login gave a variable, where that is known.
    pub fn base_value(&self, name: &[u8]) -> Option<&[u8]> {
        self.base.value(name)
    }

    /// What a session has set here can't be taken back: the server ran statements of its own at the login, which set
    /// nobody knows what, or is a MariaDB, which has no way back to the role of a login.
    pub fn is_settled(&self) -> bool {
        let set = |set: fn(&State) -> bool| self.carries.as_ref().is_none_or(set);
        let role = self.trackers.reports().mariadb && set(|state| state.role().is_some());
        // A reset takes user variables away, and leaves a role.
        let users = self.has_had_role && set(State::has_user_variables);
        role || users || (self.base.init_connect && set(|state| !state.is_empty()))
    }

    /// COM_STMT_CLOSE, which has no reply.
    fn close_statement(&self, id: u32) {
        let mut bytes = vec![5, 0, 0, 0, Command::StmtClose as u8];
        bytes.extend_from_slice(&id.to_le_bytes());
        self.socket.send_and_forget(bytes);
    }

    /// Sends one command and reads its reply, which must be small.
    ///
    /// # Errors
    /// After any, the link can't be used any more.
    pub async fn command(&mut self, payload: &[u8]) -> Result<SmallReply, LinkError> {
        let mut conversation = Conversation::new(&self.socket, 0);
        conversation.send(0, payload);
        conversation.expect_reply();
        let reply = read_reply(&mut conversation).await?;
        over(&conversation)?;
        match reply {
            SmallReply::Ok(status) => self.status = status,
            SmallReply::Err(_) => self.warnings_of = Some(Self::NO_SESSION),
            SmallReply::Row(_) => {}
        }
        Ok(reply)
    }

    /// As [`Link::command`], with COM_QUERY.
    pub async fn query(&mut self, sql: &str) -> Result<SmallReply, LinkError> {
        self.command(&query(sql, self.identity.flags)).await
    }

    /// The same for a text in whatever character set.
    pub async fn query_text(&mut self, sql: &[u8]) -> Result<SmallReply, LinkError> {
        self.command(&query_of(sql, self.identity.flags)).await
    }

    /// Changes the default schema (COM_INIT_DB).
    pub async fn use_schema(&mut self, schema: &Rc<[u8]>) -> Result<SmallReply, LinkError> {
        let mut payload = vec![Command::InitDb as u8];
        payload.extend_from_slice(schema);
        let reply = self.command(&payload).await?;
        if matches!(reply, SmallReply::Ok(_)) {
            self.schema = Some(schema.clone());
        }
        Ok(reply)
    }

    /// Prepares `text` under `key`. The server's refusal, if it refuses.
    pub async fn prepare(&mut self, key: StatementKey, text: &[u8]) -> Result<Option<ErrPacket>, LinkError> {
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.push(Command::StmtPrepare as u8);
        payload.extend_from_slice(text);
        let mut conversation = Conversation::new(&self.socket, 0);
        conversation.send(0, &payload);
        conversation.expect_reply();
        let first = conversation.receive().await?;
        if first.payload.first() == Some(&ErrPacket::HEADER) {
            over(&conversation)?;
            self.warnings_of = Some(Self::NO_SESSION);
            return Ok(Some(ErrPacket::parse(&first.payload)?));
        }
        let ok = PrepareOk::parse(&first.payload)?;
        for _ in 0..u32::from(ok.params) + u32::from(ok.columns) {
            conversation.receive().await?;
        }
        over(&conversation)?;
        self.add_statement(key, ok.statement_id);
        Ok(None)
    }

    /// Keeps at least so many statements from now on: one command needs them all.
    pub fn keep_statements(&mut self, least: usize) {
        self.statements.make_room(least);
    }

    /// Whether the server reports on transactions, unless the session has chosen another use of the query cache.
    pub fn tracks_transactions(&self) -> bool {
        self.trackers.transactions
    }

    /// Brings the link back to how it was after its login, but for its schema: rolls back, releases, forgets
    /// (COM_RESET_CONNECTION), then sets the trackers and the character set again. False if that can't be done.
    pub(super) async fn reset(&mut self, states: &States) -> Result<bool, LinkError> {
        // A role survives.
        let Some(set_names) = self.set_names.clone().filter(|_| !self.has_had_role) else { return Ok(false) };
        let mut conversation = Conversation::new(&self.socket, 0);
        conversation.send(0, &[Command::ResetConnection as u8]);
        conversation.send(0, &query(self.trackers.statement(), self.identity.flags));
        conversation.send(0, &query(&set_names, self.identity.flags));
        if let Some(schema) = &self.schema {
            // MariaDB keeps the schema and forgets its character set, by which LOAD DATA reads files.
            conversation.send(0, &[&[Command::InitDb as u8], &schema[..]].concat());
        }
        let mut status = self.status;
        let mut done = true;
        for _ in 0..3 + usize::from(self.schema.is_some()) {
            conversation.expect_reply();
            match read_reply(&mut conversation).await? {
                SmallReply::Ok(now) => status = now,
                _ => done = false,
            }
        }
        over(&conversation)?;
        self.status = status;
        self.carries = Some(states.empty());
        self.forget();
        Ok(done)
    }

    /// The server forgets what it does at a reset.
    pub(super) fn forget(&mut self) {
        (self.insert_id, self.warnings_of, self.tells_gtids) = (Some(0), None, true);
        self.statements.clear();
    }

    /// Says goodbye; the drop that follows closes the socket.
    pub(super) fn quit(&self) {
        self.socket.send_and_forget(QUIT.to_vec());
    }
}

pub(super) fn over(conversation: &Conversation<'_>) -> Result<(), LinkError> {
    if conversation.is_over() { Ok(()) } else { Err(crate::protocol::reply::ReplyError::BeyondEnd.into()) }
}

/// Reads one reply on a link (which has `DEPRECATE_EOF` and `SESSION_TRACK`).
pub(super) async fn read_reply(conversation: &mut Conversation<'_>) -> Result<SmallReply, LinkError> {
    let first = conversation.receive().await?.payload;
    match first.first() {
        Some(&OkPacket::HEADER) => {
            return Ok(SmallReply::Ok(OkPacket::parse(&first, Capabilities::SESSION_TRACK)?.status));
        }
        Some(&ErrPacket::HEADER) => return Ok(SmallReply::Err(ErrPacket::parse(&first)?)),
        _ => {}
    }
    let columns = Reader::new(&first).lenenc_int()?;
    for _ in 0..columns {
        conversation.receive().await?;
    }
    let mut last = Vec::new();
    loop {
        let packet = conversation.receive().await?.payload;
        match packet.first() {
            Some(&OkPacket::EOF_HEADER) => return Ok(SmallReply::Row(last)),
            Some(&ErrPacket::HEADER) => return Ok(SmallReply::Err(ErrPacket::parse(&packet)?)),
            _ => last = row(&packet)?,
        }
    }
}

/// The values of a text row.
pub(super) fn row(payload: &[u8]) -> Result<Vec<Option<Vec<u8>>>, LinkError> {
    /// A NULL in a text row.
    const NULL: u8 = 0xFB;
    let mut reader = Reader::new(payload);
    let mut values = Vec::new();
    while !reader.is_empty() {
        let mut ahead = reader;
        if ahead.u8()? == NULL {
            reader = ahead;
            values.push(None);
        } else {
            values.push(Some(reader.lenenc_bytes()?.to_vec()));
        }
    }
    Ok(values)
}
