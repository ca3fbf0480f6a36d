//! Errands: small commands of Athena's own for which nobody has a link, and which must not wait for one.
//!
//! They run on a link that nobody uses, or else on a connection of their own beyond the pool's number: a KILL is wanted
//! most when every link is busy.

use std::rc::Rc;
use std::time::Duration;

use crate::circuit::{Gate, Key, Limits};
use crate::metrics::label::LinkState;
use crate::net::{Elapsed, Timer};
use crate::protocol::buf::Reader;
use crate::protocol::capability::Capabilities;
use crate::protocol::packet::PacketError;
use crate::protocol::response::{ErrPacket, OkPacket};
use crate::protocol::resultset::TextValue;
use crate::protocol::session_track::{Tracker, Trackers};

use super::conversation::Conversation;
use super::error::{ConnectError, LinkError};
use super::identity::{Identity, Want};
use super::lease::Lease;
use super::link::{Link, row};
use super::replay::{Brought, Overheard};
use super::stateless::StatelessPool;

/// Errands of one pool that run at once; so many connections beyond its number there may be.
const AT_ONCE_MAX: usize = 2;
/// Errands that wait for their turn.
const WAITING_MAX: usize = 1024;

/// How long a KILL may take beyond the time for a connection. A MariaDB tries for two seconds to wake the thread that it is
/// for, and other KILLs of that thread wait meanwhile.
const KILL_MAX: Duration = Duration::from_secs(10);

/// The longest reply of an errand, bytes: a list of processes has the texts of their statements.
pub(super) const REPLY_MAX: usize = 64 << 20;

/// The server's answer to an errand.
#[derive(Debug)]
pub enum Told {
    Ok,
    Err(ErrPacket),
    Table(Table),
}

/// A result set of text rows.
#[derive(Debug, Default)]
pub struct Table {
    /// Column definitions as they came.
    pub columns: Vec<Vec<u8>>,
    pub rows: Vec<Vec<TextValue>>,
}

/// Why an errand has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    #[error("too many commands like this wait for their turn")]
    QueueFull,
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("no answer of the backend in time")]
    Timeout(#[from] Elapsed),
}

/// The gate that every errand goes through.
pub(super) fn gate() -> Gate {
    Gate::alone(Limits { max_concurrent: AT_ONCE_MAX, queue_size: WAITING_MAX })
}

impl StatelessPool {
    /// Runs `sql` within `connect_timeout`, on a link in the state of its login. `identity` is that of the session for whom
    /// the rows are; without it any link of the instance's own account that speaks UTF-8 will do.
    ///
    /// # Errors
    /// See [`ErrandError`]. Whether the server has carried it out is not known then.
    pub async fn errand(self: &Rc<Self>, identity: Option<Identity>, sql: &str) -> Result<Told, ErrandError> {
        self.errand_within(self.settings.connect_timeout, identity, sql).await
    }

    /// The same for several statements that follow each other on one link, which is the instance's own account's.
    ///
    /// # Errors
    /// See [`StatelessPool::errand`].
    pub async fn errand_of_several(self: &Rc<Self>, questions: &[Vec<u8>]) -> Result<Vec<Told>, ErrandError> {
        self.errands_within(self.settings.connect_timeout, None, questions).await
    }

    /// The same for a KILL, within [`StatelessPool::kill_timeout`].
    ///
    /// # Errors
    /// See [`ErrandError`].
    pub async fn kill(self: &Rc<Self>, identity: Identity, sql: &str) -> Result<Told, ErrandError> {
        self.errand_within(self.kill_timeout(), Some(identity), sql).await
    }

    /// The longest that a KILL may take.
    pub fn kill_timeout(&self) -> Duration {
        self.settings.connect_timeout.saturating_add(KILL_MAX)
    }

    async fn errand_within(
        self: &Rc<Self>,
        limit: Duration,
        identity: Option<Identity>,
        sql: &str,
    ) -> Result<Told, ErrandError> {
        let mut told = self.errands_within(limit, identity, &[sql.as_bytes().to_vec()]).await?;
        Ok(told.pop().unwrap_or(Told::Ok))
    }

    async fn errands_within(
        self: &Rc<Self>,
        limit: Duration,
        identity: Option<Identity>,
        questions: &[Vec<u8>],
    ) -> Result<Vec<Told>, ErrandError> {
        let timer = Timer::new(&self.core.timers);
        let run = async {
            let all = Key::default();
            let _turn = self.errands.enter(all).await.map_err(|_| ErrandError::QueueFull)?;
            if let Some(mut lease) = self.take_any(identity.as_ref()) {
                if let Brought::Refused(err) = lease.bring(None, &self.states.empty(), &self.states).await? {
                    lease.give_back();
                    return Ok(vec![Told::Err(err)]);
                }
                let (told, _) = lease.ask_all(questions).await?;
                // They may have set it.
                lease.insert_id = lease.insert_id.filter(|_| questions.len() == 1);
                lease.give_back();
                return Ok(told);
            }
            let want = match identity {
                Some(identity) => {
                    Want { identity, schema: None, era: self.eras.now(), state: self.states.empty() }
                }
                None => self.plain_want(Identity::DEFAULT_COLLATION),
            };
            let mut link = self.open_extra(&want).await?;
            let (told, _) = link.ask_all(questions).await?;
            link.quit();
            Ok(told)
        };
        timer.within(limit, run).await?
    }

    /// Logs in as `want` says, and leaves. True if the server has asked for the password itself, and found it right.
    ///
    /// # Errors
    /// [`ErrandError::Connect`] with the server's own words where it refuses.
    pub async fn check_password(self: &Rc<Self>, want: &Want) -> Result<bool, ErrandError> {
        let link = self.open_extra(want).await?;
        let judged = link.gave_password;
        link.quit();
        Ok(judged)
    }

    /// A link that nobody uses, whatever its schema, unless it carries what can't be taken back from it.
    fn take_any(self: &Rc<Self>, identity: Option<&Identity>) -> Option<Lease> {
        loop {
            let fits = |link: &Link| match identity {
                Some(identity) => link.identity == *identity,
                // Names in a link's own character set would be others in that.
                None => self.is_own(&link.identity) && link.identity.collation == Identity::DEFAULT_COLLATION,
            };
            let link = self.take_idle(|link| fits(link) && !link.is_settled())?;
            self.metrics.links.of(LinkState::Idle).dec();
            if let Some(lease) = self.lend(link) {
                return Some(lease);
            }
        }
    }
}

/// The reply to a statement. What the server tells of variables with it goes to `overheard`.
pub(super) async fn read_table(
    conversation: &mut Conversation<'_>,
    overheard: &mut Overheard,
) -> Result<Told, LinkError> {
    let first = conversation.receive().await?.payload;
    match first.first() {
        Some(&OkPacket::HEADER) => {
            overhear(&first, overheard)?;
            return Ok(Told::Ok);
        }
        Some(&ErrPacket::HEADER) => return Ok(Told::Err(ErrPacket::parse(&first)?)),
        _ => {}
    }
    let mut table = Table::default();
    let mut len = 0;
    for _ in 0..Reader::new(&first).lenenc_int()? {
        let column = conversation.receive().await?.payload;
        len += column.len();
        table.columns.push(column);
        bounded(len)?;
    }
    loop {
        let packet = conversation.receive().await?.payload;
        match packet.first() {
            Some(&OkPacket::EOF_HEADER) if packet.len() < ROW_BEGINS_LIKE_EOF => {
                overhear(&packet, overheard)?;
                return Ok(Told::Table(table));
            }
            Some(&ErrPacket::HEADER) => return Ok(Told::Err(ErrPacket::parse(&packet)?)),
            _ => {
                len += packet.len();
                bounded(len)?;
                table.rows.push(row(&packet)?);
            }
        }
    }
}

fn overhear(ok: &[u8], overheard: &mut Overheard) -> Result<(), LinkError> {
    let ok = OkPacket::parse(ok, Capabilities::SESSION_TRACK)?;
    (overheard.status, overheard.warnings) = (Some(ok.status), ok.warnings);
    for tracker in Trackers::new(ok.session_state) {
        if let Tracker::SystemVariable { name, value } = tracker? {
            overheard.variables.push((name.to_ascii_lowercase().into(), value.into()));
        }
    }
    Ok(())
}

/// A row whose first value is of 16 MiB or more begins with the byte that ends rows; it is no shorter than this.
const ROW_BEGINS_LIKE_EOF: usize = 0xFF_FFFF;

fn bounded(len: usize) -> Result<(), LinkError> {
    match len > REPLY_MAX {
        true => Err(PacketError::TooLarge { len, max: REPLY_MAX }.into()),
        false => Ok(()),
    }
}
