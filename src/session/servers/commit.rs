//! The end of a transaction on several servers, by two phases.
//!
//! ```text
//! prepare    XA END, XA PREPARE         on every branch, at the same time
//! decide     INSERT the decision        in the transaction of the first server,
//!            COMMIT                     by which the decision is there if and only if that transaction is
//! finish     XA COMMIT                  on every branch
//! ```
//!
//! Before the decision everything is rolled back that fails; behind it everything is committed, by the recovery if not by this
//! session. A decision that is not there is kept from coming later by its absence being written down, see `recovery`.

use std::time::Duration;

use crate::metrics::label::{CrossShard, ErrorKind};
use crate::net::Payload;
use crate::pool::{Lease, LinkError, SmallReply, Told};
use crate::protocol::capability::StatusFlags;
use crate::protocol::error::ErrorCode;

use super::super::context::Phase;
use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::leave::{COMMIT, ROLLBACK};
use super::super::link::{Held, Use};
use super::branches::{Ending, Global};
use super::recovery::{DUPLICATE, Decision, decision, recording};
use super::{Asked, Seat, all};

/// The table of decisions on each server.
pub(super) const DECISIONS: &str = "athena.xa_decisions";

/// Between two attempts to learn what was decided.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How the decision came out.
enum Decided {
    Committed,
    /// Whether the link of the first server is still in order.
    RolledBack(Refusal, bool),
    /// Nobody knows, until the first server is there again.
    Unknown(Stop),
}

impl Session {
    /// COMMIT, ROLLBACK, or what commits before it does something else: then there is no reply yet. `sql` is the statement.
    pub async fn end_branches(&mut self, ending: Ending, sql: &[u8]) -> Result<Option<Payload>, Stop> {
        if ending == Ending::Mark {
            return self.mark_on_all(sql).await.map(Some);
        }
        let Some(global) = self.global.take() else { return Ok(None) };
        self.begins_branch = false;
        if !self.unread.is_empty() {
            // What the last statement has left there is asked for while the transaction can still be.
            let read = self.read_out().await;
            if let Err(stop) = read {
                self.global = Some(global);
                self.drop_branches();
                return Err(stop);
            }
        }
        self.sit(global.decides);
        let (branches, others) = std::mem::take(&mut self.seats)
            .into_iter()
            .partition(|seat| global.branches.iter().any(|at| seat.is_at(*at)));
        self.seats = others;
        let outcome = match ending {
            Ending::RollBack => self.roll_back_all(branches).await,
            Ending::Commit | Ending::CommitFirst | Ending::Mark => self.commit_all(&global, branches).await,
        };
        self.opening = Default::default();
        self.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
        outcome?;
        (self.before.row_count, self.warnings, self.is_last) = (0, 0, false);
        Ok((ending != Ending::CommitFirst).then(|| self.ok()))
    }

    /// The link of the first server, which is the session's own.
    fn deciding_link(&mut self) -> Result<Use, Stop> {
        match self.bound.take() {
            Some(bound) => Ok(Use { held: Held::Bound(bound), permit: self.permit.take() }),
            None => {
                self.holds.forget_transaction();
                Err(LinkError::Closed.into())
            }
        }
    }

    async fn roll_back_all(&mut self, branches: Vec<Seat>) -> Result<(), Stop> {
        // A branch that is not prepared goes with its connection; there is nothing to wait for.
        branches.into_iter().for_each(|seat| self.leave_branch(seat, false));
        self.ctx.metrics.cross_shard.of(CrossShard::RolledBack).inc();
        let mut link = self.deciding_link()?;
        match self.backend(link.lease().query(ROLLBACK)).await {
            Ok(_) => {
                self.end_deciding(link);
                Ok(())
            }
            // It is rolled back with its connection.
            Err(stop) => {
                self.holds.forget_transaction();
                match self.lost(link, stop) {
                    Stop::Refuse(refusal) if !refusal.fatal => Ok(()),
                    stop => Err(stop),
                }
            }
        }
    }

    async fn commit_all(&mut self, global: &Global, mut branches: Vec<Seat>) -> Result<(), Stop> {
        let mut link = match self.deciding_link() {
            Ok(link) => link,
            Err(stop) => {
                branches.into_iter().for_each(|seat| self.leave_branch(seat, false));
                return Err(stop);
            }
        };
        let prepared = self.prepare_all(global, &mut link, &mut branches).await;
        let decided = match prepared {
            Ok(()) => self.decide_commit(global, &mut link).await,
            Err((refusal, in_order)) => Decided::RolledBack(refusal, in_order),
        };
        let decided = match decided {
            Decided::Unknown(stop) => self.learn(global, stop).await,
            decided => decided,
        };
        let metrics = &self.ctx.metrics.cross_shard;
        match decided {
            Decided::Committed => {
                metrics.of(CrossShard::Committed).inc();
                // The recovery needs the decision for a branch that is not committed yet.
                if self.finish_all(global, branches, true).await {
                    self.ctx.decisions.borrow_mut().push((global.decides, global.gtrid.clone()));
                }
                self.written.doubt();
                self.end_deciding(link);
                Ok(())
            }
            Decided::RolledBack(refusal, in_order) => {
                metrics.of(CrossShard::RolledBack).inc();
                self.finish_all(global, branches, false).await;
                if !in_order {
                    self.holds.forget_transaction();
                    drop(link);
                    return Err(refusal.into());
                }
                match self.backend(link.lease().query(ROLLBACK)).await {
                    Ok(_) => self.end_deciding(link),
                    Err(_) => {
                        self.holds.forget_transaction();
                        drop(link);
                    }
                }
                Err(refusal.into())
            }
            Decided::Unknown(stop) => {
                metrics.of(CrossShard::Unknown).inc();
                // Prepared branches outlive their connections.
                branches.into_iter().for_each(|seat| self.leave_branch(seat, false));
                self.holds.forget_transaction();
                drop(link);
                Err(stop)
            }
        }
    }

    /// The first phase, everywhere at the same time.
    async fn prepare_all(
        &self,
        global: &Global,
        link: &mut Use,
        branches: &mut [Seat],
    ) -> Result<(), (Refusal, bool)> {
        let mut asked: Vec<Asked<'_, Result<(), Refusal>>> = Vec::new();
        // Whether the first transaction is still there: in the place of one that its server has given up, the decision would be
        // one of its own.
        asked.push(Box::pin(async {
            match link.lease().query("DO 0").await {
                Ok(SmallReply::Ok(status)) if status.contains(StatusFlags::IN_TRANS) => Ok(()),
                Ok(_) => Err(Refusal::branch_gone(Some("the first one has no transaction any more"))),
                Err(error) => Err(Refusal::branch_gone(Some(&error.to_string()))),
            }
        }));
        for seat in branches {
            let xid = global.xid(&self.ctx.clusters[seat.at()].name);
            asked.push(Box::pin(async move {
                let Some(lease) = seat.lease() else {
                    return Err(Refusal::branch_gone(Some("its connection is gone")));
                };
                let questions =
                    [format!("XA END {xid}"), format!("XA PREPARE {xid}")].map(String::into_bytes);
                match lease.ask_all(&questions).await {
                    Ok((told, _)) => {
                        let failed = told.into_iter().find_map(|told| match told {
                            Told::Err(err) => Some(err),
                            Told::Ok | Told::Table(_) => None,
                        });
                        match failed {
                            Some(err) => {
                                Err(Refusal::branch_gone(Some(&String::from_utf8_lossy(&err.message))))
                            }
                            None => {
                                seat.set_prepared();
                                Ok(())
                            }
                        }
                    }
                    Err(error) => Err(Refusal::branch_gone(Some(&error.to_string()))),
                }
            }));
        }
        let limit = self.limit_of_phase();
        match self.timer.within(limit, all(asked)).await {
            Ok(outcomes) => {
                let in_order = outcomes.first().is_some_and(Result::is_ok);
                outcomes.into_iter().collect::<Result<(), _>>().map_err(|refusal| (refusal, in_order))
            }
            Err(_) => Err((Refusal::branch_gone(Some("no answer in time")), false)),
        }
    }

    /// How long a phase may take: a statement's time, or that of a connect where statements have none.
    fn limit_of_phase(&self) -> Duration {
        let of_statement = self.cluster().query_timeout;
        let of_connect = self.cluster().pool().settings.connect_timeout;
        of_statement.max(of_connect)
    }

    /// The decision, in the transaction of the first server, and its COMMIT.
    async fn decide_commit(&self, global: &Global, link: &mut Use) -> Decided {
        let insert = recording(&global.gtrid, Decision::Commit);
        let limit = self.limit_of_phase();
        let gone = |why: Option<&str>, in_order| Decided::RolledBack(Refusal::branch_gone(why), in_order);
        match self.timer.within(limit, link.lease().query(&insert)).await {
            Ok(Ok(SmallReply::Ok(status))) if status.contains(StatusFlags::IN_TRANS) => {}
            Ok(Ok(SmallReply::Err(err))) if err.code == DUPLICATE => {
                // It was given up by the recovery.
                return gone(Some("it took too long"), true);
            }
            Ok(Ok(SmallReply::Err(err))) => {
                // It may be gone by now.
                self.ctx.with_decisions.set(0);
                let refusal = Refusal::undecided(&String::from_utf8_lossy(&err.message));
                return Decided::RolledBack(refusal, true);
            }
            Ok(Ok(_)) => {
                // Committed by itself, alone: the transaction was gone between two statements.
                let undo = format!("UPDATE {DECISIONS} SET committed = 0 WHERE gtrid = '{}'", global.gtrid);
                let _ = self.timer.within(limit, link.lease().query(&undo)).await;
                return gone(None, false);
            }
            Ok(Err(error)) => return gone(Some(&error.to_string()), false),
            Err(_) => return gone(Some("no answer in time"), false),
        }
        match self.timer.within(limit, link.lease().query(COMMIT)).await {
            Ok(Ok(SmallReply::Ok(_))) => Decided::Committed,
            Ok(Ok(SmallReply::Err(err))) => Decided::Unknown(Refusal::of_server(err).into()),
            Ok(Ok(SmallReply::Row(_))) => Decided::Unknown(LinkError::Closed.into()),
            Ok(Err(error)) => Decided::Unknown(error.into()),
            Err(_) => Decided::Unknown(Refusal::backend_timeout(limit).into()),
        }
    }

    /// The answer to the COMMIT was lost: what the first server has, or whoever has taken its place.
    async fn learn(&self, global: &Global, stop: Stop) -> Decided {
        let since = self.timer.now();
        let cluster = &self.ctx.clusters[global.decides];
        let limit = cluster.routing.failover_wait;
        loop {
            match decision(cluster, &global.gtrid).await {
                Some(Decision::Commit) => return Decided::Committed,
                Some(Decision::RollBack) => return Decided::RolledBack(Refusal::branch_gone(None), false),
                None => {}
            }
            let waited = self.timer.now().saturating_duration_since(since);
            if waited >= limit || self.ctx.phase() == Phase::Ending {
                return Decided::Unknown(stop);
            }
            let _ = self.timer.within(ASK_AGAIN, std::future::pending::<()>()).await;
        }
    }

    /// The second phase. False if some branch is left to the recovery.
    async fn finish_all(&mut self, global: &Global, mut branches: Vec<Seat>, commit: bool) -> bool {
        let word = if commit { "COMMIT" } else { "ROLLBACK" };
        let finish = branches.iter_mut().filter(|seat| seat.was_prepared()).map(|seat| {
            let sql = format!("XA {word} {}", global.xid(&self.ctx.clusters[seat.at()].name));
            let finished: Asked<'_, ()> = Box::pin(async move {
                let told = match seat.lease() {
                    Some(lease) => lease.query(&sql).await,
                    None => return,
                };
                match told {
                    Ok(SmallReply::Ok(_)) => seat.set_finished(),
                    // The recovery does it.
                    told => {
                        tracing::warn!(target: "athena::session", sql, ?told, "a branch is left in doubt");
                    }
                }
            });
            finished
        });
        let finish: Vec<_> = finish.collect();
        let _ = self.timer.within(self.limit_of_phase(), all(finish)).await;
        let all_are = branches.iter().all(Seat::was_finished);
        for seat in branches {
            let is_finished = seat.was_finished();
            self.leave_branch(seat, is_finished);
        }
        all_are
    }

    /// Leaves the link of a branch: to others if it has `finished`, and has nothing else of the session.
    fn leave_branch(&mut self, mut seat: Seat, finished: bool) {
        if finished {
            seat.end_branch();
        } else {
            seat.lose();
        }
        self.seats.push(seat);
    }

    /// The first server's transaction is over.
    pub fn end_deciding(&mut self, mut link: Use) {
        link.lease().status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
        link.lease().warnings_of = None;
        self.holds.forget_transaction();
        self.keep_or_give_back(link);
    }
}

/// Whether a link may be used by others: the server says that it has no transaction.
pub(super) fn give_back(mut lease: Lease, needs_reset: bool) {
    lease.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
    lease.warnings_of = None;
    if needs_reset { lease.give_back_dirty() } else { lease.give_back() }
}

impl Refusal {
    /// The number by which drivers and frameworks know that a transaction is to be said once more.
    fn branch_gone(why: Option<&str>) -> Self {
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        let message = format!(
            "Deadlock found when trying to get lock; try restarting transaction (it was on several servers, one of them could \
             not commit it, and all have rolled it back{why})"
        );
        Self::new(ErrorKind::TransactionLost, ErrorCode::LockDeadlock, message)
    }

    fn undecided(why: &str) -> Self {
        let message = format!(
            "The transaction was rolled back on all servers: its decision could not be written to {DECISIONS} ({why}); the \
             account needs INSERT there, see docs/SHARDING.md"
        );
        Self::new(ErrorKind::Unavailable, ErrorCode::ErrorDuringCommit, message)
    }
}
