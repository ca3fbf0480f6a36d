//! A transaction that goes on at a further server.
//!
//! It is an ordinary one where it has begun. Each further server gets a branch of it, which can be prepared (XA); what the first
//! one does with its own transaction decides for all.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use fnv::FnvHasher;
use std::hash::Hasher;

use crate::metrics::label::{BoundReason, ErrorKind};
use crate::parser::{Facts, Hazards, StatementKind};
use crate::pool::SmallReply;
use crate::protocol::error::ErrorCode;

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::{Held, Use};
use super::commit::DECISIONS;
use super::recovery::have_decisions;

/// What the names of all transactions of any Athena begin with.
pub(super) const PREFIX: &str = "athena-";

/// Errors behind which a server has rolled the whole transaction back: `ER_LOCK_DEADLOCK`, `ER_XA_RBROLLBACK`, `ER_XA_RBTIMEOUT`,
/// `ER_XA_RBDEADLOCK`.
const ROLLED_BACK: [u16; 4] = [1213, 1402, 1613, 1614];

/// Statements before which a server commits, among those that may.
const COMMITS_FIRST: [StatementKind; 5] = [
    StatementKind::Begin,
    StatementKind::Ddl,
    StatementKind::Lock,
    StatementKind::Admin,
    StatementKind::Flush,
];

/// A transaction on several servers.
#[derive(Debug)]
pub(in crate::session) struct Global {
    /// Its name on all of them. It says which cluster decides: the recovery has nothing else.
    pub(super) gtrid: String,
    /// The cluster on which it has begun.
    pub(super) decides: usize,
    /// Those on which it has branches.
    pub(super) branches: Vec<usize>,
}

/// What becomes of the transaction before a statement, or by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Ending {
    Commit,
    RollBack,
    /// The server would commit by itself; the statement goes on behind that.
    CommitFirst,
    /// It goes on, with a savepoint more or less, or back to one.
    Mark,
}

impl Global {
    /// The name of a branch.
    pub(super) fn xid(&self, cluster: &str) -> String {
        xid(&self.gtrid, cluster)
    }
}

pub(super) fn xid(gtrid: &str, cluster: &str) -> String {
    format!("'{gtrid}','{}'", mark(cluster))
}

/// A name for transactions that nobody has had: that of this process, and a number.
fn new_gtrid(decides: &str) -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| {
        let mut bytes = [0; 8];
        // Without randomness it is still told apart from others by its time.
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            bytes = now.map_or(0, |now| now.as_nanos() as u64).to_le_bytes();
        }
        u64::from_le_bytes(bytes)
    });
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{:016x}-{number:x}-{}", *PROCESS, mark(decides))
}

/// A cluster's name in that of a transaction, however long it is.
pub(super) fn mark(cluster: &str) -> String {
    let mut hasher = FnvHasher::default();
    hasher.write(cluster.as_bytes());
    format!("{:016x}", hasher.finish())
}

impl Session {
    /// Whether a transaction may go on at a further server.
    pub fn may_branch(&self) -> bool {
        self.home().tables.as_ref().is_some_and(|tables| tables.branches)
    }

    /// Whether the transaction goes on at this cluster by a branch, which is made when it is `None` of those that there are.
    pub(super) fn join(&mut self, at: usize) -> Result<bool, Refusal> {
        if let Some(global) = &self.global {
            let is_new = global.decides != at && !global.branches.contains(&at);
            if is_new {
                self.check_may_branch()?;
            }
            self.sit(at);
            self.begins_branch = is_new;
            return Ok(true);
        }
        if !self.may_branch() || !self.holds.has_work() || self.holds.locks_tables() {
            return Ok(false);
        }
        self.check_may_branch()?;
        let decides = self.at;
        let gtrid = new_gtrid(&self.cluster().name);
        self.global = Some(Global { gtrid, decides, branches: Vec::new() });
        self.sit(at);
        self.begins_branch = true;
        Ok(true)
    }

    /// Whether a read may be on several servers: a transaction that it is in has to be, then.
    pub fn may_read_on_servers(&self) -> bool {
        self.may_branch() || !(self.holds.in_transaction() || self.holds.may_begin_unseen())
    }

    /// What can't be said of a branch.
    fn check_may_branch(&self) -> Result<(), Refusal> {
        let is_own_xa = self.global.is_none() && self.holds.has_xa();
        let chains = self.state.variable(b"completion_type").is_some();
        match self.opening.is_special() || is_own_xa || chains {
            true => Err(Refusal::not_branched()),
            false => Ok(()),
        }
    }

    /// Whether the transaction on several servers is on the one that the session is at.
    pub fn is_member_here(&self) -> bool {
        self.global
            .as_ref()
            .is_some_and(|global| global.decides == self.at || global.branches.contains(&self.at))
    }

    /// The transaction does not go on at this server: one that is on no further server is what it was before.
    pub fn stay_without_branch(&mut self) {
        self.begins_branch = false;
        if self.global.as_ref().is_some_and(|global| global.branches.is_empty()) {
            self.global = None;
        }
    }

    /// That the session has its link at a server where its transaction is.
    pub fn check_branch(&mut self) -> Result<(), Refusal> {
        match self.is_member_here() && self.bound.is_none() {
            // Whatever came about: nothing more is to run there as if it were alone.
            true => Err(self.rolled_back()),
            false => Ok(()),
        }
    }

    /// Begins the branch on a link, if one is to begin there.
    pub async fn begin_branch(&mut self, mut link: Use) -> Result<Use, Stop> {
        let Some(global) = &self.global else { return Ok(link) };
        if let Err(why) = have_decisions(&self.ctx, global.decides).await {
            link.into_lease().give_back();
            return Err(Refusal::no_decisions(why.as_deref().unwrap_or(b"no answer")).into());
        }
        let sql = format!("XA START {}", global.xid(&self.cluster().name));
        let at = self.at;
        match self.backend(link.lease().query(&sql)).await {
            Ok(SmallReply::Err(err)) => {
                link.into_lease().give_back_dirty();
                Err(Refusal::of_server(err).into())
            }
            Ok(_) => {
                self.holds.begin_branch();
                if let Some(global) = &mut self.global {
                    global.branches.push(at);
                }
                let link = self.bound_at_once(link);
                self.have_savepoints(link).await
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// The link is the session's own from now on: whatever is done there before the statement itself must not reset it.
    pub(super) fn bound_at_once(&self, link: Use) -> Use {
        Use { held: Held::Bound(self.bind(link.held, BoundReason::Transaction)), permit: link.permit }
    }

    /// Whether the session has a transaction on several servers. A link for it is had at once: nothing is waited for that those keep
    /// from others.
    pub fn is_branched(&self) -> bool {
        self.global.is_some()
    }

    /// What a statement does to a transaction on several servers.
    pub fn ending(&self, facts: Facts) -> Result<Option<Ending>, Refusal> {
        const REFUSED: Hazards = Hazards::MULTI
            .union(Hazards::CALL)
            .union(Hazards::TEXT_PREPARE)
            .union(Hazards::AUTOCOMMIT_SET)
            .union(Hazards::XA)
            .union(Hazards::CHAIN)
            .union(Hazards::RELEASE)
            .union(Hazards::UNSURE);
        if self.global.is_none() {
            return Ok(None);
        }
        if facts.hazards.intersects(REFUSED) {
            return Err(Refusal::not_in_branches());
        }
        Ok(match facts.kind {
            StatementKind::Commit => Some(Ending::Commit),
            StatementKind::Rollback => Some(Ending::RollBack),
            StatementKind::Savepoint => Some(Ending::Mark),
            kind if COMMITS_FIRST.contains(&kind) => Some(Ending::CommitFirst),
            _ => None,
        })
    }

    /// A statement has failed: what its server may have rolled back is so on all of them.
    pub fn note_failure(&mut self, error: Option<u16>) {
        if self.global.is_some() && error.is_some_and(|code| ROLLED_BACK.contains(&code)) {
            self.drop_branches();
            if let Some(bound) = self.bound.take() {
                drop(bound);
            }
            self.permit = None;
            self.holds.clear();
            self.forget_unread();
        }
    }

    /// The transaction is gone: servers roll back what is not prepared when its connection closes.
    pub fn drop_branches(&mut self) {
        let Some(global) = self.global.take() else { return };
        self.begins_branch = false;
        self.opening = Default::default();
        for seat in &mut self.seats {
            if seat.is_at(global.decides) || global.branches.iter().any(|at| seat.is_at(*at)) {
                seat.lose();
            }
        }
    }

    /// Whether a session that has lost one link of a transaction has lost nothing else.
    pub fn has_only_branches(&self) -> bool {
        self.global.is_some()
            && self.holds.is_only_branch()
            && self.seats.iter().all(|seat| seat.has_only_branch())
    }
}

impl Refusal {
    fn not_branched() -> Self {
        let message = "The transaction goes on at a further server of [[shards]], which it can't: it has begun with characteristics or \
                       has too many savepoints, it is an XA transaction, or completion_type is set; begin it without them";
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    fn no_decisions(why: &[u8]) -> Self {
        let why = String::from_utf8_lossy(why);
        let message = format!(
            "The transaction can't go on at a further server: the one that it has begun on has no table {DECISIONS}, and it can't be \
             made ({why}); docs/SHARDING.md has its definition"
        );
        Self::new(ErrorKind::Unavailable, ErrorCode::ErrorDuringCommit, message)
    }

    fn not_in_branches() -> Self {
        let message = "The statement can't be in a transaction that is on several servers of [[shards]], since it may end the transaction \
                       beside doing something else: COMMIT first";
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }
}
