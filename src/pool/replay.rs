//! Bringing a link to where a session is, and reading out what only the link knows. Each is one round trip: all commands
//! go out at once.

use std::rc::Rc;

use crate::protocol::capability::StatusFlags;
use crate::protocol::command::Command;
use crate::protocol::response::ErrPacket;
use crate::protocol::warnings::WarningList;

use super::connect::{query, query_of};
use super::conversation::Conversation;
use super::errand::{REPLY_MAX, Told, read_table};
use super::error::LinkError;
use super::link::{Link, over};
use super::state::{Entry, State, States};

/// How a link was brought to a session's state.
#[derive(Debug)]
pub enum Brought {
    /// It was there.
    Already,
    Done,
    /// The server does not let it have the schema; the link has the one that it had.
    NoSchema(ErrPacket),
    /// The server refused to set something. What the link carries is not known any more.
    Refused(ErrPacket),
}

/// What the server told beside its answers.
#[derive(Debug, Default)]
pub struct Overheard {
    /// System variables, with their values.
    pub variables: Vec<Entry>,
    /// As of the last answer that was no error.
    pub status: Option<StatusFlags>,
    /// How many that one has.
    pub warnings: u16,
}

/// By which way a link comes to a state.
enum Way {
    Difference,
    /// From this state, the empty one, after a reset.
    Reset(State),
    /// For a moment.
    Visit,
}

impl Link {
    /// Brings the link to `schema` (any will do for a session without one) and `state`.
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn bring(
        &mut self,
        schema: Option<&Rc<[u8]>>,
        state: &State,
        states: &States,
    ) -> Result<Brought, LinkError> {
        if self.is_settled() && self.carries.as_ref() != Some(state) {
            // It is nobody else's: better none than one with somebody's role.
            return Err(LinkError::Closed);
        }
        // What was never set is of another type than what is NULL: only a reset takes a user variable away.
        let users = self.carries.as_ref().is_some_and(|carries| carries.has_user_variables_beside(state));
        let mut brought = self
            .bring_by(schema, state, if users { Way::Reset(states.empty()) } else { Way::Difference })
            .await?;
        if matches!(brought, Brought::Refused(_)) && !users && !self.has_had_role && self.set_names.is_some()
        {
            // Accounts may lower some variables, and not raise them again.
            self.carries = Some(states.empty());
            brought = self.bring_by(schema, state, Way::Reset(states.empty())).await?;
        }
        Ok(brought)
    }

    /// Brings a link to another state of its own session for a moment, whatever else is on it. What the session has set
    /// since comes back with the way back.
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn visit(&mut self, schema: Option<&Rc<[u8]>>, state: &State) -> Result<Brought, LinkError> {
        self.bring_by(schema, state, Way::Visit).await
    }

    async fn bring_by(
        &mut self,
        schema: Option<&Rc<[u8]>>,
        state: &State,
        by: Way,
    ) -> Result<Brought, LinkError> {
        let schema = schema.filter(|schema| self.schema.as_ref() != Some(schema));
        let Some(carries) = self.carries.clone() else { return Err(LinkError::Closed) };
        let mut commands = Vec::new();
        let way = match (by, self.set_names.as_deref()) {
            (Way::Reset(empty), Some(set_names)) => {
                commands.push(vec![Command::ResetConnection as u8]);
                commands.push(query(self.trackers.statement(), self.identity.flags));
                commands.push(query(set_names, self.identity.flags));
                empty.way_to(state, |name| self.base_value(name))
            }
            (Way::Visit, _) => carries.way_to_visit(state, |name| self.base_value(name)),
            _ => carries.way_to(state, |name| self.base_value(name)),
        };
        let resets = !commands.is_empty();
        commands.extend(way.iter().map(|sql| query_of(sql, self.identity.flags)));
        // A reset keeps the schema and forgets its character set, by which LOAD DATA reads files.
        let schema = schema.or(self.schema.as_ref().filter(|_| resets)).cloned();
        if let Some(schema) = &schema {
            commands.push([&[Command::InitDb as u8], &schema[..]].concat());
        }
        if commands.is_empty() {
            self.carries = Some(state.clone());
            return Ok(Brought::Already);
        }
        self.carries = None;
        if resets {
            self.forget();
        }
        let (mut told, _) = self.run(&commands).await?;
        let of_schema = schema.as_ref().and_then(|_| told.pop());
        for answer in told {
            if let Told::Err(err) = answer {
                return Ok(Brought::Refused(err));
            }
        }
        self.warnings_of = Some(Self::NO_SESSION);
        self.has_had_role |= state.role().is_some();
        self.carries = Some(state.clone());
        match of_schema {
            Some(Told::Err(err)) => return Ok(Brought::NoSchema(err)),
            Some(_) => self.schema = schema,
            None => {}
        }
        Ok(Brought::Done)
    }

    /// Asks several questions at once. Beside the answers, what the server told of variables with them.
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn ask_all(&mut self, questions: &[Vec<u8>]) -> Result<(Vec<Told>, Overheard), LinkError> {
        let commands: Vec<_> = questions.iter().map(|sql| query_of(sql, self.identity.flags)).collect();
        self.run(&commands).await
    }

    /// The warnings and errors of the last statement.
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn warnings(&mut self) -> Result<Option<WarningList>, LinkError> {
        let (told, _) = self.ask_all(&[b"SHOW WARNINGS".to_vec()]).await?;
        Ok(told.into_iter().find_map(|told| match told {
            Told::Table(table) => Some(WarningList { columns: table.columns, rows: table.rows }),
            Told::Ok | Told::Err(_) => None,
        }))
    }

    /// Sends all commands, then reads all answers.
    async fn run(&mut self, commands: &[Vec<u8>]) -> Result<(Vec<Told>, Overheard), LinkError> {
        let mut conversation = Conversation::new(&self.socket, 0).with_packets_up_to(REPLY_MAX);
        for command in commands {
            conversation.send(0, command);
        }
        let (mut told, mut overheard) = (Vec::with_capacity(commands.len()), Overheard::default());
        for _ in commands {
            conversation.expect_reply();
            told.push(read_table(&mut conversation, &mut overheard).await?);
        }
        over(&conversation)?;
        // To ask a MySQL for FOUND_ROWS() has one.
        if overheard.warnings > 0 || told.iter().any(|told| matches!(told, Told::Err(_))) {
            self.warnings_of = Some(Self::NO_SESSION);
        }
        Ok((told, overheard))
    }
}
