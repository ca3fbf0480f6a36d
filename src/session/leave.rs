//! Leaving the link that a session has for itself, where its statement is for another server, and what becomes of a transaction
//! whose server is gone.

use crate::config::ReadYourWrites;
use crate::metrics::label::{BoundReason, ClosedReason, ErrorKind, RouteReason};
use crate::pool::{Bound, SmallReply};
use crate::protocol::capability::StatusFlags;
use crate::protocol::error::ErrorCode;
use crate::router::Topology;

use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::link::{Held, Use};

/// Ends of a transaction, whatever `completion_type` is.
pub(super) const COMMIT: &str = "COMMIT AND NO CHAIN NO RELEASE";
pub(super) const ROLLBACK: &str = "ROLLBACK AND NO CHAIN NO RELEASE";

impl Session {
    /// Whether the session's own link is to another server than its statement is for.
    pub fn is_elsewhere(&self) -> bool {
        self.bound.is_some() && (self.on_replica != self.route.is_to_replica() || self.is_on_former_primary())
    }

    /// Whether the session's own link is to a replica, kept there by nothing but questions that can be asked now, and a read there
    /// could find less than it has to, or should be elsewhere by now.
    pub fn may_have_fallen_behind(&self) -> bool {
        let Some(member) = self.bound.as_ref().and_then(Bound::member) else { return false };
        if !self.on_replica || self.route.reason == RouteReason::Kept || self.holds.reason().is_some() {
            return false;
        }
        let is_fit = |topology: &Topology| topology.members.get(member).is_some_and(|it| it.unfit.is_none());
        self.cluster().routing.read_your_writes == ReadYourWrites::Global
            || !is_fit(&self.cluster().view.topology())
    }

    /// Whether the session has a link to a server that was the primary when it got it, and is no longer.
    pub fn is_on_former_primary(&self) -> bool {
        self.bound.is_some()
            && !self.on_replica
            && self.is_split()
            && self.link_epoch != self.cluster().view.epoch()
    }

    /// Leaves that link, with nothing of the session on it.
    pub async fn leave_link(&mut self) -> Result<(), Stop> {
        if self.is_on_former_primary() {
            return self.leave_former_primary();
        }
        if self.on_replica && self.holds.has_work() {
            // As the statement itself would do, which begins by that.
            self.end_transaction().await?;
        }
        if self.bound.is_some() {
            self.read_out().await?;
        }
        // What a read has left there that nobody knows is nothing that the session could miss.
        self.part_with_link_first().await;
        Ok(())
    }

    fn leave_former_primary(&mut self) -> Result<(), Stop> {
        if let Some(bound) = self.bound.take() {
            let link = Use { held: Held::Bound(bound), permit: self.permit.take() };
            let (state, lost) = (self.holds.has_state(), self.may_start_over());
            let unread = self.unread.has_state();
            self.holds.clear();
            self.forget_unread();
            link.into_lease().close(ClosedReason::Demoted);
            if lost && !unread {
                return Err(self.rolled_back().into());
            }
            if state || unread {
                return Err(Refusal::left_behind().fatal().into());
            }
        }
        Ok(())
    }

    /// The transaction that the session had on a replica, on a link to the primary.
    pub async fn begin_read_only(&mut self, mut link: Use) -> Result<Use, Stop> {
        match self.backend(link.lease().query("START TRANSACTION READ ONLY")).await {
            Ok(SmallReply::Err(err)) => {
                self.keep_or_give_back(link);
                Err(Refusal::of_server(err).into())
            }
            Ok(_) => {
                self.holds.begun();
                Ok(link)
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// COMMIT of a transaction that reads.
    pub async fn end_transaction(&mut self) -> Result<(), Stop> {
        let Some(bound) = self.bound.take() else { return Ok(()) };
        let mut link = Use { held: Held::Bound(bound), permit: self.permit.take() };
        match self.backend(link.lease().query(COMMIT)).await {
            Ok(_) => {
                self.holds.clear();
                self.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
                self.bound = Some(self.bind(link.held, BoundReason::Unread));
                self.permit = link.permit;
                Ok(())
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// Whether the session has lost no more than a transaction when it has lost its link, in a cluster in which another server may
    /// take over.
    pub fn may_start_over(&self) -> bool {
        self.is_split() && self.holds.is_only_transaction() && !self.unread.has_state()
    }

    /// What the client is told of a transaction that is gone.
    pub fn rolled_back(&mut self) -> Refusal {
        self.ctx.metrics.transactions_lost.inc();
        self.drop_branches();
        self.opening = Default::default();
        self.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
        self.transaction_is_lost = false;
        Refusal::rolled_back()
    }

    /// The link with the session's transaction is gone while no statement ran: the next one is told.
    pub fn lose_transaction(&mut self) {
        tracing::info!(target: "athena::session", id = self.id, user = %self.account.name, "a transaction is lost with its server");
        self.permit = None;
        self.holds.clear();
        self.forget_unread();
        if let Some(bound) = self.bound.take() {
            bound.release().close(ClosedReason::Demoted);
        }
        self.opening = Default::default();
        self.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
        self.transaction_is_lost = true;
    }
}

impl Refusal {
    /// The number by which drivers and frameworks know that a transaction is to be said once more.
    fn rolled_back() -> Self {
        let message = "Deadlock found when trying to get lock; try restarting transaction (its server is no longer the \
                       primary, or gone: the transaction was rolled back)";
        Self::new(ErrorKind::TransactionLost, ErrorCode::LockDeadlock, message)
    }

    fn left_behind() -> Self {
        let message = "Lost connection to the backend: it is no longer the primary, and had temporary tables, locks or \
                       variables of the session";
        Self::new(ErrorKind::LinkLost, ErrorCode::NetReadError, message)
    }
}
