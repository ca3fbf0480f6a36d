//! COM_CHANGE_USER: another login on the same connection, after which nothing of the session before is left.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::metrics::label::{Direction, ErrorKind, RefusedReason};
use crate::net::{Elapsed, Payload, Timer};
use crate::pool::Identity;
use crate::protocol::capability::Capabilities;
use crate::protocol::error::ErrorCode;
use crate::protocol::handshake::ChangeUser;
use crate::protocol::packet::{HEADER_LEN, PacketReader, write_packet};

use super::super::context::Phase;
use super::super::driver::{Session, Waited};
use super::super::failure::{End, Refusal, Stop};
use super::super::registry::Who;
use super::authenticate::{Admitted, Claim, Line, authenticate};
use super::denied::Denied;
use super::packets::PACKET_MAX;
use super::proof::prove;

/// After so many changes in vain a MariaDB takes no more of them.
const FAILED_CHANGES_MAX: u8 = 3;

impl Session {
    /// Becomes somebody else, or fails as the family of the backend does: MySQL closes the connection, MariaDB leaves it
    /// to the user that it was, without what it had.
    pub async fn change_user(&mut self, command: Payload) -> Result<Payload, Stop> {
        let arguments = command.get(HEADER_LEN + 1..).unwrap_or_default();
        let request = ChangeUser::parse(arguments, self.capabilities).map_err(|_| Refusal::malformed())?;
        drop(command);
        if self.failed_changes >= FAILED_CHANGES_MAX {
            return Err(Refusal::unknown_command().into());
        }
        self.start_anew().await;
        let mut line = CommandLine { session: self, next_seq: 1 };
        let changed = line.change(&request).await;
        let seq = line.next_seq;
        match changed {
            Ok(()) => {
                self.status = self.first_status();
                self.tracked = self.first_tracked();
                Ok(self.ok_at(seq))
            }
            Err(denied) => Err(self.stays(denied, seq)),
        }
    }

    /// What a refused change of user comes to.
    fn stays(&mut self, denied: Denied, seq: u8) -> Stop {
        if self.entry.is_killed() {
            let killed = self.ended();
            let seq = killed.seq.map(|_| seq);
            return Refusal { seq, ..killed }.into();
        }
        let Some(error) = denied.error else { return End::Quit.into() };
        self.ctx.metrics.connections_refused.of(denied.reason).inc();
        tracing::info!(target: "athena::login", id = self.id, reason = ?denied.reason, %error, "client may not change its user");
        self.failed_changes = self.failed_changes.saturating_add(1);
        // Between the packets of a login nobody knows where a command begins.
        let lost_count = matches!(denied.reason, RefusedReason::Handshake | RefusedReason::Timeout);
        let stays = self.is_on_mariadb() && !lost_count;
        let kind = match denied.reason {
            RefusedReason::Shutdown => Some(ErrorKind::Shutdown),
            _ => None,
        };
        let refusal = Refusal { kind, error, fatal: !stays || kind.is_some(), seq: Some(seq) };
        refusal.into()
    }
}

/// The connection of a session, between two packets of a change of user.
struct CommandLine<'a> {
    session: &'a mut Session,
    next_seq: u8,
}

impl CommandLine<'_> {
    async fn change(&mut self, request: &ChangeUser) -> Result<(), Denied> {
        let ctx = self.session.ctx.clone();
        let salt = self.session.salt;
        let claim = Claim {
            user: &request.username,
            plugin: request.auth_plugin.as_deref(),
            response: &request.auth_response,
            salt: &salt,
            // As servers do.
            anew: self.session.knows_plugins,
            has_password: Cell::default(),
            peer: self.session.entry.peer,
            transport: self.session.transport,
        };
        let limit = ctx.config.server.login_timeout;
        let timer = Timer::new(&ctx.core.timers);
        let entry = self.session.entry.clone();
        let admitted = {
            let mut asking = pin!(authenticate(&ctx, self, &claim));
            // Not all that is waited for here is watched by the session itself.
            let watched = std::future::poll_fn(|cx| match asking.as_mut().poll(cx) {
                Poll::Pending if entry.is_killed() || ctx.phase() >= Phase::Ending => Poll::Ready(None),
                polled => polled.map(Some),
            });
            timer.within(limit, watched).await
        };
        let admitted = admitted.map_err(|Elapsed| too_slow(limit))?;
        let Admitted { account, backend, default_database, unproved } =
            admitted.unwrap_or_else(|| Err(Denied::shutdown()))?;
        let schema = request.database.as_deref().map(Rc::from).or(default_database);
        let collation = match request.collation.map(u8::try_from) {
            Some(Ok(collation)) if collation != 0 => collation,
            // Those beyond one byte are all of the default's character set.
            Some(_) => Identity::DEFAULT_COLLATION,
            None => self.session.identity.collation,
        };
        let mut identity = Identity::of_client(backend, collation, self.session.capabilities)
            .from_origin(ctx.told_origin(account.cluster, self.session.entry.peer));
        // COM_SET_OPTION is not of the user.
        let several = self.session.identity.flags.contains(Capabilities::MULTI_STATEMENTS);
        identity.flags.set(Capabilities::MULTI_STATEMENTS, several);
        let checked = prove(&ctx, &unproved, account.cluster, &identity, schema.as_ref());
        match self.session.wait(limit, Phase::Ending, checked).await {
            Ok(outcome) => outcome?,
            Err(Waited::Elapsed) => return Err(too_slow(limit)),
            Err(_) => return Err(Denied::shutdown()),
        }
        (self.session.account, self.session.identity, self.session.schema) = (account, identity, schema);
        let session = &self.session;
        session.entry.set_schema(session.schema.clone());
        session.entry.set_who(Who {
            account: session.account.name.clone(),
            cluster: session.account.cluster,
            identity: session.identity.clone(),
        });
        Ok(())
    }

    fn encode(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(payload.len() + HEADER_LEN);
        self.next_seq = write_packet(&mut bytes, self.next_seq, payload);
        self.session.count(Direction::ClientOut, bytes.len());
        bytes
    }
}

fn too_slow(limit: Duration) -> Denied {
    let message =
        format!("Change of user not finished within {} ms ([server] login_timeout_ms)", limit.as_millis());
    Denied::new(RefusedReason::Timeout, ErrorCode::NetReadInterrupted, message)
}

impl Line for CommandLine<'_> {
    async fn ask(&mut self, payload: &[u8]) -> Result<Vec<u8>, Denied> {
        self.say(payload).await?;
        let mut reader = PacketReader::new(self.next_seq, PACKET_MAX);
        let limit = self.session.ctx.config.server.login_timeout;
        loop {
            if let Some(mut chunk) = self.session.input.take_chunk() {
                let mut rest = &chunk[..];
                let packet = reader.feed(&mut rest).map_err(|error| Denied::handshake(format!("{error}")))?;
                let used = chunk.len() - rest.len();
                chunk.advance(used);
                self.session.input.keep(chunk);
                if let Some(packet) = packet {
                    self.next_seq = packet.seq.wrapping_add(1);
                    return Ok(packet.payload);
                }
                continue;
            }
            match self.session.wait(limit, Phase::Ending, self.session.socket.receive()).await {
                Ok(Ok(Some(chunk))) => {
                    self.session.count(Direction::ClientIn, chunk.len());
                    self.session.input.push(chunk);
                }
                Ok(_) => return Err(Denied::silent()),
                Err(Waited::Ended) => return Err(Denied::shutdown()),
                Err(_) => return Err(too_slow(limit)),
            }
        }
    }

    async fn say(&mut self, payload: &[u8]) -> Result<(), Denied> {
        let bytes: Payload = self.encode(payload).into();
        let limit = self.session.ctx.config.server.write_timeout;
        match self.session.timer.within(limit, self.session.socket.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Denied::silent()),
        }
    }
}
