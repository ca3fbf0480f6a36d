//! COM_SET_OPTION: what a client changes of its connection's dialect after the login.

use crate::net::Payload;
use crate::protocol::capability::Capabilities;
use crate::protocol::packet::HEADER_LEN;
use crate::protocol::reply::Reply;

use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::link::NO_SQL;
use super::seen::Seen;

/// `MYSQL_OPTION_MULTI_STATEMENTS_ON` and `_OFF`, int<2>.
const MULTI_STATEMENTS_ON: [u8; 2] = [0, 0];
const MULTI_STATEMENTS_OFF: [u8; 2] = [1, 0];

impl Session {
    /// Allows or forbids several statements in one text. That is part of a link's identity: from now on the session uses
    /// other links. The one that it has, or that knows of its last statement, is told and goes with it.
    pub async fn set_option(&mut self, command: Payload) -> Result<Payload, Stop> {
        let option = command.get(HEADER_LEN + 1..).and_then(<[u8]>::first_chunk);
        let allowed = match option {
            Some(&MULTI_STATEMENTS_ON) => true,
            Some(&MULTI_STATEMENTS_OFF) => false,
            Some(_) => return Err(Refusal::unknown_command().into()),
            None => return Err(Refusal::malformed().into()),
        };
        let mut identity = self.identity.clone();
        identity.flags.set(Capabilities::MULTI_STATEMENTS, allowed);
        if self.bound.is_none() {
            self.identity = identity;
            return Ok(self.eof());
        }
        let mut link = self.take_link(NO_SQL).await?;
        let mut reply =
            Reply::to_query(self.capabilities, self.status).with_warnings(self.repeated_warnings());
        let mut seen = Seen::default();
        let outcome = self.relay(&mut link, command, &mut reply, &mut seen).await;
        if outcome.is_ok() && seen.error.is_none() {
            self.identity.clone_from(&identity);
            link.lease().identity = identity;
            seen.warnings = self.warnings;
        }
        self.finish(link, NO_SQL, &seen, outcome)
    }
}
