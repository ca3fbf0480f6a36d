//! Links that are held by nobody's session, so that the number of free links stays what it is.
//!
//! A session that is going to need a link for itself takes a token, and the ballast that held a link for it lets go; when
//! the session has ended all that it held, the ballast takes a link again. So Athena's pool has exactly the links of
//! sessions that may be bound, and the few that all others share.

use crate::common::wire::Login;
use crate::common::wire::{Connection, Result, capability as cap};

/// The tokens of one thread.
pub struct Ballast {
    /// Connections through Athena; each holds a link while it is here.
    holding: Vec<Connection>,
    free: Vec<Connection>,
}

impl Ballast {
    pub fn new(port: u16, tokens: usize) -> Result<Self> {
        let mut ballast = Self { holding: Vec::new(), free: Vec::new() };
        for _ in 0..tokens {
            // The identity of all sessions: otherwise links would be closed for each other.
            let login = Login::app().with(cap::MULTI_STATEMENTS);
            ballast.free.push(Connection::login(port, &login)?);
            ballast.give_back()?;
        }
        Ok(ballast)
    }

    /// Takes a token; false if there is none.
    pub fn take(&mut self) -> Result<bool> {
        let Some(mut connection) = self.holding.pop() else { return Ok(false) };
        connection.run("ROLLBACK")?;
        self.free.push(connection);
        Ok(true)
    }

    /// Gives one back.
    ///
    /// # Errors
    /// When no link comes free for it: somebody keeps one without a reason.
    pub fn give_back(&mut self) -> Result<()> {
        let Some(mut connection) = self.free.pop() else { return Ok(()) };
        connection.run("BEGIN")?;
        connection.run("SELECT id FROM test.ballast")?;
        self.holding.push(connection);
        Ok(())
    }
}
