//! KILL: the ids are those that clients know, the sessions may be on any core.
//!
//! A statement that runs is ended by the server, which is told so on another link of the same account. From the moment
//! that this KILL is on its way the link belongs to the killed session alone: its reply is held until the server has
//! answered, and when the session no longer needs the link it is closed. So a KILL that comes too late meets nobody else.

use std::rc::Rc;

use crate::net::Payload;
use crate::parser::{Kill, KillError, KillScope, SqlMode, kill};
use crate::pool::{Identity, Lease, StatelessPool, Told};
use crate::protocol::packet::HEADER_LEN;

use super::context::{Context, Phase};
use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::post::{Answer, Request};
use super::registry::{LinkId, Who};
use super::statements::StatementText;

/// `ER_NO_SUCH_THREAD`: the link is gone, and its statement with it.
const NO_SUCH_THREAD: u16 = 1094;

/// Whether the backend account may do as it likes with the sessions of others.
const MAY_KILL: &str = "'SUPER', 'CONNECTION ADMIN', 'CONNECTION_ADMIN'";

/// A KILL on its way to the core of its session.
pub(super) struct KillOrder {
    id: u32,
    scope: KillScope,
    soft: bool,
    cluster: usize,
    account: Box<str>,
    /// The account has the right to end any session.
    any: bool,
}

impl KillOrder {
    /// Whether the killer has the right to a session of this account. A server lets everybody end what runs under its
    /// own name, which to a client is that of its login: who else has the same backend account is not its affair.
    fn may_end(&self, account: &str) -> bool {
        self.any || *self.account == *account
    }
}

/// What became of it.
pub(super) enum Killed {
    Done,
    /// No session has this id.
    Unknown,
    /// It belongs to somebody else.
    Denied,
    /// The server could not be told, or refused.
    Failed(String),
}

/// Carries out a KILL on the core of the session that it is for.
pub(super) async fn carry_out(ctx: &Rc<Context>, order: KillOrder) -> Killed {
    let Some(entry) = ctx.registry.session(order.id) else { return Killed::Unknown };
    let who = entry.who();
    if who.cluster != order.cluster {
        return Killed::Unknown;
    }
    if !order.may_end(&who.account) {
        return Killed::Denied;
    }
    tracing::info!(target: "athena::session", id = order.id, by = %order.account, scope = ?order.scope, "killed");
    let Some(aim) = entry.aim(order.scope) else { return Killed::Done };
    let sql = statement(order.scope, order.soft, aim.link.id.into());
    let Some((pool, identity)) = ctx.where_to_kill(&who, aim.link) else { return Killed::Done };
    let told = pool.kill(identity, &sql).await;
    drop(aim);
    match told {
        Ok(Told::Err(err)) if err.code != NO_SUCH_THREAD => {
            Killed::Failed(String::from_utf8_lossy(&err.message).into_owned())
        }
        Ok(_) => Killed::Done,
        Err(error) => Killed::Failed(error.to_string()),
    }
}

impl Context {
    /// Who tells the server of a link that it is to end something there, and as whom.
    fn where_to_kill(&self, who: &Who, link: LinkId) -> Option<(Rc<StatelessPool>, Identity)> {
        let cluster = self.clusters.get(link.cluster)?;
        let pool = cluster.members.get(link.member)?.clone();
        Some((pool, cluster.identity_on(link.member, &who.identity)))
    }
}

impl Session {
    /// Has the server end the statement that runs on the link in use. From here on that is as with a KILL of somebody's.
    pub(super) fn end_on_server(&self) {
        if self.entry.link().is_none() {
            return;
        }
        let Some(aim) = self.entry.aim(KillScope::Query) else { return };
        let id = self.id;
        let Some((pool, identity)) = self.ctx.where_to_kill(&self.entry.who(), aim.link) else { return };
        self.ctx.core.spawn(async move {
            let sql = statement(KillScope::Query, false, aim.link.id.into());
            let told = pool.kill(identity, &sql).await;
            drop(aim);
            match told {
                Ok(Told::Err(err)) if err.code != NO_SUCH_THREAD => {
                    let error = String::from_utf8_lossy(&err.message);
                    tracing::warn!(target: "athena::session", id, %error, "the backend does not end a statement whose time is over");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(target: "athena::session", id, %error, "the backend could not be told to end a statement whose time is over");
                }
            }
        });
    }
}

/// In the words that the server is told.
fn statement(scope: KillScope, soft: bool, id: u64) -> String {
    let soft = if soft { "SOFT " } else { "" };
    let scope = match scope {
        KillScope::Query => "QUERY ",
        KillScope::Connection => "",
    };
    format!("KILL {soft}{scope}{id}")
}

impl Session {
    /// KILL as a text.
    pub(super) async fn kill_by_text(&mut self, sql: &[u8], mode: SqlMode) -> Result<Payload, Stop> {
        let order = kill(sql, mode).map_err(Refusal::kill_form)?;
        self.kill(order).await
    }

    /// COM_PROCESS_KILL.
    pub(super) async fn process_kill(&mut self, command: Payload) -> Result<Payload, Stop> {
        let id = command.get(HEADER_LEN + 1..).and_then(|bytes| bytes.first_chunk().copied());
        let id = u32::from_le_bytes(id.ok_or_else(Refusal::malformed)?);
        self.kill(Kill { scope: KillScope::Connection, soft: false, id: id.into() }).await
    }

    /// EXECUTE of a KILL that was prepared.
    pub(super) async fn execute_kill(&mut self, text: &StatementText) -> Result<Payload, Stop> {
        let mode = SqlMode { one_statement: true, ..self.sql_mode() };
        self.kill_by_text(&text.text, mode).await
    }

    async fn kill(&mut self, kill: Kill) -> Result<Payload, Stop> {
        let Ok(id) = u32::try_from(kill.id) else { return Err(Refusal::unknown_thread(kill.id).into()) };
        let Some(core) = self.ctx.core_of(id) else { return self.kill_on_server(kill).await };
        if id == self.id {
            return Err(match kill.scope {
                KillScope::Query => Refusal::interrupted().into(),
                KillScope::Connection if self.is_on_mariadb() => Refusal::connection_killed().into(),
                KillScope::Connection => Refusal::interrupted().fatal().into(),
            });
        }
        match self.order(kill, id, core, false).await? {
            Killed::Denied if self.has_privilege(MAY_KILL).await? => {}
            killed => return self.killed(id, killed),
        }
        let killed = self.order(kill, id, core, true).await?;
        self.killed(id, killed)
    }

    async fn order(&self, kill: Kill, id: u32, core: u32, any: bool) -> Result<Killed, Stop> {
        let order = KillOrder {
            id,
            scope: kill.scope,
            soft: kill.soft,
            cluster: self.account.cluster,
            account: (*self.account.name).into(),
            any,
        };
        match self.ask_core(core, Request::Kill(order)).await? {
            Answer::Killed(killed) => Ok(killed),
            Answer::Sessions(_) => Err(Refusal::core_silent(core).into()),
        }
    }

    /// KILL of an id that is the server's own: of a link, an event, a replica. The server judges by the backend account,
    /// so accounts that may share one must have the right to end anything: else they would end each other's links.
    async fn kill_on_server(&mut self, kill: Kill) -> Result<Payload, Stop> {
        if !self.may_kill_on_server().await? {
            return Err(Refusal::unknown_thread(kill.id).into());
        }
        let sql = statement(kill.scope, kill.soft, kill.id);
        let pool = self.cluster().pool().clone();
        let errand = pool.kill(self.identity_on(&pool), &sql);
        match self.wait(std::time::Duration::ZERO, Phase::Ending, errand).await {
            Ok(Ok(Told::Err(err))) => Err(Refusal::of_server(err).into()),
            Ok(Ok(_)) => Ok(self.ok()),
            Ok(Err(error)) => Err(Refusal::kill_failed(&error.to_string()).into()),
            Err(_) => Err(self.ended().into()),
        }
    }

    async fn may_kill_on_server(&self) -> Result<bool, Stop> {
        Ok(self.ctx.directory.is_some() || self.has_privilege(MAY_KILL).await?)
    }

    /// Whether the server is to read a KILL that has no number. If an id of Athena's comes of it, no thread there has it.
    pub(super) async fn leaves_kill_to_server(&self, sql: &[u8], mode: SqlMode) -> Result<bool, Stop> {
        match kill(sql, mode) {
            Err(KillError::NoNumber | KillError::QueryId) => self.may_kill_on_server().await,
            Ok(_) | Err(KillError::User) => Ok(false),
        }
    }

    fn killed(&self, id: u32, killed: Killed) -> Result<Payload, Stop> {
        match killed {
            Killed::Done => Ok(self.ok()),
            Killed::Unknown => Err(Refusal::unknown_thread(id.into()).into()),
            Killed::Denied => Err(Refusal::not_owner(id).into()),
            Killed::Failed(reason) => Err(Refusal::kill_failed(&reason).into()),
        }
    }

    /// Whether the backend account has one of the global privileges in the list.
    pub(super) async fn has_privilege(&self, list: &str) -> Result<bool, Stop> {
        // The name may have an `@` in it, the host has none.
        let host = "SUBSTRING_INDEX(CURRENT_USER(), '@', -1)";
        let sql = format!(
            "SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE IN ({list}) AND GRANTEE = \
             CONCAT('''', LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - CHAR_LENGTH({host}) - 1), '''@''', {host}, '''') \
             LIMIT 1"
        );
        let pool = self.cluster().pool().clone();
        match self
            .wait(std::time::Duration::ZERO, Phase::Ending, pool.errand(Some(self.identity_on(&pool)), &sql))
            .await
        {
            Ok(Ok(Told::Table(table))) => Ok(!table.rows.is_empty()),
            Ok(Ok(_)) => Ok(false),
            Ok(Err(error)) => Err(Refusal::kill_failed(&error.to_string()).into()),
            Err(_) => Err(self.ended().into()),
        }
    }

    /// A KILL was aimed at the link in use, whose reply is complete: waits until the server has answered it, so that it
    /// can't hit the next statement.
    pub(super) async fn kills_land(&self, lease: &mut Lease) {
        lease.doomed = true;
        let landed = std::future::poll_fn(|_| match self.entry.has_kill_under_way() {
            true => std::task::Poll::Pending,
            false => std::task::Poll::Ready(()),
        });
        // Where the session ends meanwhile its link does, too. The wait itself is bounded by the errand's time-out.
        let _ = self.wait(std::time::Duration::ZERO, Phase::Ending, landed).await;
    }

    /// Whether the server behind is a MariaDB.
    pub(super) fn is_on_mariadb(&self) -> bool {
        self.profile().is_some_and(|profile| profile.is_mariadb())
    }

    /// Why a wait of this session was ended.
    pub(super) fn ended(&self) -> Refusal {
        match self.entry.is_killed() {
            true if self.is_on_mariadb() => Refusal::connection_killed(),
            true => Refusal { seq: None, ..Refusal::connection_killed() },
            false if self.ctx.phase() == Phase::Ending => {
                Refusal::drain_timeout(self.ctx.config.server.drain_timeout)
            }
            false => Refusal::shutdown(),
        }
    }
}

impl Refusal {
    pub(super) fn kill_form(error: KillError) -> Self {
        let message = match error {
            KillError::User => {
                "KILL USER: Athena ends connections one by one; SHOW PROCESSLIST has their ids"
            }
            KillError::QueryId => {
                "KILL QUERY ID: ids of queries are the server's; use KILL QUERY and the id of the connection"
            }
            KillError::NoNumber => {
                "KILL of anything but one number or CONNECTION_ID(), or together with other statements"
            }
        };
        Self::unsupported(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_ones_own_account_may_be_ended() {
        let order = |any| KillOrder {
            id: 7,
            scope: KillScope::Query,
            soft: false,
            cluster: 0,
            account: "ann".into(),
            any,
        };
        assert!(order(false).may_end("ann") && !order(false).may_end("bob"));
        assert!(order(true).may_end("bob"), "with the privilege");
    }
}
