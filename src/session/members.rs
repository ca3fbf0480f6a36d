//! Getting a link to the right server of a cluster that has several: waiting for a primary, choosing a replica, and having
//! that catch up with what the session has written.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::circuit::Permit;
use crate::config::ReadYourWrites;
use crate::metrics::label::{CatchUp, ClosedReason, ErrorKind, RouteReason};
use crate::pool::{Identity, SmallReply, StatelessPool, Want};
use crate::protocol::error::ErrorCode;
use crate::protocol::resultset::ascii;
use crate::router::GtidSet;

use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::link::{Held, Use};
use super::route::Route;

/// How long to wait for news of a primary that can't be reached, before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What a read is to find on a replica.
enum ToFind {
    /// What its session has written.
    Own,
    /// What anybody has.
    All(Rc<GtidSet>),
    /// The primary does not tell what that is.
    Unknown,
}

impl Session {
    /// What the session wants of a link to this member.
    pub fn want(&self, member: usize) -> Want {
        Want {
            identity: self.cluster().identity_on(member, &self.identity),
            schema: self.schema.clone(),
            era: self.era,
            state: self.state.clone(),
        }
    }

    /// The session's rights on the server of this pool.
    pub fn identity_on(&self, pool: &StatelessPool) -> Identity {
        self.cluster().identity_on(pool.member, &self.identity)
    }

    /// A link to where the statement goes, if there is one at once: mostly there is. Else the replica that was chosen for it.
    pub fn link_at_once(&mut self, permit: &mut Option<Permit>) -> Result<Use, Option<usize>> {
        self.follow_primary();
        let cluster = self.cluster();
        let member = if !self.route.is_to_replica() {
            cluster.view.primary().ok_or(None)?
        } else if cluster.routing.read_your_writes == ReadYourWrites::Global {
            return Err(None);
        } else {
            let chosen = self.chosen(&[], None).ok_or(None)?;
            if !self.written.is_on(chosen, &cluster.view.topology()) {
                return Err(Some(chosen));
            }
            chosen
        };
        let chosen = Some(member).filter(|_| self.route.is_to_replica());
        let pool = cluster.members.get(member).ok_or(None)?;
        let lease = pool.try_checkout(&self.want(member)).ok_or(chosen)?;
        self.link_epoch = cluster.view.epoch();
        self.on_replica = self.route.is_to_replica();
        if self.on_replica && self.written.gtids().is_some() {
            self.ctx.metrics.caught_up.of(CatchUp::Known).inc();
        }
        Ok(Use { held: Held::Free(lease), permit: permit.take() })
    }

    /// A link to where the statement goes; to this replica first.
    pub async fn link_to_member(
        &mut self,
        permit: Option<Permit>,
        chosen: Option<usize>,
    ) -> Result<Use, Stop> {
        if self.route.is_to_replica() {
            self.replica_link(permit, chosen).await
        } else {
            self.primary_link(permit).await
        }
    }

    /// Takes in that there is another primary.
    fn follow_primary(&mut self) {
        let topology = self.cluster().view.topology();
        self.written.follow(&topology);
    }

    async fn primary_link(&mut self, mut permit: Option<Permit>) -> Result<Use, Stop> {
        let since = self.timer.now();
        loop {
            if let Some(member) = self.cluster().view.primary() {
                let pool = self.cluster().members[member].clone();
                self.link_epoch = self.cluster().view.epoch();
                match self.checked_out_of(&pool, permit.take()).await {
                    Err(Stop::Refuse(refusal)) if refusal.is_about_server() => {
                        self.cluster().view.suspect(member);
                        if self.is_over(since) {
                            return Err(Stop::Refuse(refusal));
                        }
                    }
                    // The primary has changed while it was waited for.
                    Ok(mut link) if self.link_epoch != self.cluster().view.epoch() => {
                        permit = link.permit.take();
                        link.into_lease().close(ClosedReason::Demoted);
                        continue;
                    }
                    outcome => {
                        // What is written from now on is this one's, not what it had when it was found.
                        self.follow_primary();
                        self.note_wait(since);
                        return outcome;
                    }
                }
            }
            // Others may run meanwhile.
            drop(permit.take());
            self.wait_for_primary(since).await?;
            permit = self.admitted().await?;
        }
    }

    fn is_over(&self, since: Instant) -> bool {
        self.timer.now().saturating_duration_since(since) >= self.cluster().routing.failover_wait
    }

    fn note_wait(&self, since: Instant) {
        let waited = self.timer.now().saturating_duration_since(since);
        if waited >= RETRY_PAUSE {
            self.ctx.metrics.primary_wait.record(waited);
        }
    }

    /// Waits until there may be another primary than before, as long as statements wait for one.
    async fn wait_for_primary(&self, since: Instant) -> Result<(), Stop> {
        let limit = self.cluster().routing.failover_wait;
        let left = limit.saturating_sub(self.timer.now().saturating_duration_since(since));
        let view = &self.cluster().view;
        let known = view.primary().is_some();
        if left.is_zero() {
            return Err(Refusal::no_primary(limit).into());
        }
        let part = if known { left.min(RETRY_PAUSE) } else { left };
        match self.in_queue(part, view.news()).await? {
            Some(()) => Ok(()),
            None if known => Ok(()),
            None => Err(Refusal::no_primary(limit).into()),
        }
    }

    /// A server that said it takes no writes is looked after at once; false when it has been waited for long enough.
    pub async fn wait_for_another(&self, member: usize, since: Instant) -> Result<bool, Stop> {
        let view = &self.cluster().view;
        view.suspect(member);
        if self.is_over(since) {
            return Ok(false);
        }
        if view.primary() == Some(member) {
            self.in_queue(RETRY_PAUSE, view.news()).await?;
        }
        Ok(true)
    }

    async fn replica_link(
        &mut self,
        mut permit: Option<Permit>,
        mut first: Option<usize>,
    ) -> Result<Use, Stop> {
        let wanted = match self.what_to_find().await? {
            ToFind::Own => None,
            ToFind::All(position) => Some(position),
            ToFind::Unknown => return self.instead_of_replica(permit, RouteReason::NotCaughtUp).await,
        };
        let mut tried = Vec::new();
        while let Some(member) = first.take().or_else(|| self.chosen(&tried, wanted.as_deref())) {
            tried.push(member);
            let pool = self.cluster().members[member].clone();
            permit = self.permitted(permit).await?;
            let mut link = match self.checked_out_of(&pool, permit.take()).await {
                Ok(link) => link,
                Err(Stop::Refuse(refusal)) if refusal.is_about_server() => {
                    self.cluster().view.suspect(member);
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            match self.catches_up(&mut link, member, wanted.as_deref()).await {
                Ok(true) => return Ok(link),
                Ok(false) => {}
                Err(Stop::Refuse(refusal)) if refusal.is_lost_link() => {
                    self.cluster().view.suspect(member);
                    permit = link.permit.take();
                    continue;
                }
                Err(stop) => return Err(stop),
            }
            // Another one would take as long: the primary has it.
            permit = link.permit.take();
            link.into_lease().give_back();
            return self.instead_of_replica(permit, RouteReason::NotCaughtUp).await;
        }
        if self.cluster().routing.fails_without_replica {
            return Err(Refusal::no_replica().into());
        }
        self.instead_of_replica(permit, RouteReason::NoReplica).await
    }

    async fn instead_of_replica(&mut self, permit: Option<Permit>, reason: RouteReason) -> Result<Use, Stop> {
        self.route = Route { reads: self.route.reads, ..Route::primary(reason) };
        let permit = self.permitted(permit).await?;
        self.primary_link(permit).await
    }

    /// The replica for the statement: one that is known to have what it is to find goes first.
    fn chosen(&self, tried: &[usize], wanted: Option<&GtidSet>) -> Option<usize> {
        let cluster = self.cluster();
        let topology = cluster.view.topology();
        let by = cluster.routing.replica_choice;
        let is_open = |member: usize| {
            !self.attempts.lost_on(member) && cluster.members.get(member).is_some_and(|pool| pool.may_open())
        };
        let outstanding = |member: usize| cluster.members.get(member).map_or(0, |pool| pool.busy());
        let mut choice = cluster.view.choice();
        let known = |member: usize| match wanted {
            None => self.written.is_on(member, &topology),
            Some(wanted) => topology.has(member, wanted),
        };
        if wanted.is_some() || self.written.gtids().is_some() {
            let may = |member: usize, _: &_| !tried.contains(&member) && is_open(member) && known(member);
            if let Some(member) = choice.choose(&topology, by, may, &outstanding) {
                return Some(member);
            }
        }
        choice.choose(&topology, by, |member, _| !tried.contains(&member) && is_open(member), &outstanding)
    }

    /// The servers' links for a part of a read, where the session is: a replica that has what it is to find, or the primary.
    pub fn pool_for_part(&self) -> Rc<StatelessPool> {
        let cluster = self.cluster();
        let asks = cluster.routing.read_your_writes == ReadYourWrites::Global;
        let replica = (self.route.is_to_replica() && self.is_split() && !asks)
            .then(|| self.chosen(&[], None))
            .flatten()
            .filter(|member| self.written.is_on(*member, &cluster.view.topology()));
        replica.and_then(|member| cluster.members.get(member)).unwrap_or_else(|| cluster.pool()).clone()
    }

    /// What the statement is to find.
    async fn what_to_find(&mut self) -> Result<ToFind, Stop> {
        let global = self.cluster().routing.read_your_writes == ReadYourWrites::Global;
        if !global && !self.written.is_unclear() {
            return Ok(ToFind::Own);
        }
        let limit = self.cluster().pool().settings.connect_timeout;
        let position =
            self.in_queue(limit, self.cluster().position_of_primary(|member| self.want(member))).await?;
        let Some(position) = position.flatten() else { return Ok(ToFind::Unknown) };
        if global {
            return Ok(ToFind::All(position));
        }
        self.written.make_clear(&position);
        Ok(ToFind::Own)
    }

    /// Whether the link's server has what the statement is to find, now or soon.
    async fn catches_up(
        &mut self,
        link: &mut Use,
        member: usize,
        wanted: Option<&GtidSet>,
    ) -> Result<bool, Stop> {
        let Some(set) = wanted.or(self.written.gtids()) else { return Ok(true) };
        let topology = self.cluster().view.topology();
        let is_known = match wanted {
            Some(wanted) => topology.has(member, wanted),
            None => self.written.is_on(member, &topology),
        };
        let metrics = &self.ctx.metrics.caught_up;
        if is_known {
            metrics.of(CatchUp::Known).inc();
            return Ok(true);
        }
        let since = self.timer.now();
        let limit = self.cluster().routing.read_your_writes_timeout.as_secs_f64();
        let function = if self.is_on_mariadb() { "MASTER_GTID_WAIT" } else { "WAIT_FOR_EXECUTED_GTID_SET" };
        let sql = format!("SELECT {function}(_latin1'{set}',{limit}) LIMIT 1");
        let reply = self.backend(link.lease().query(&sql)).await?;
        self.ctx.metrics.catch_up_wait.record(self.timer.now().saturating_duration_since(since));
        let has_it = matches!(&reply, SmallReply::Row(row) if matches!(row.as_slice(), [Some(zero)] if ascii(zero) == b"0"));
        metrics.of(if has_it { CatchUp::Waited } else { CatchUp::TimedOut }).inc();
        if has_it && wanted.is_none() {
            self.written.confirm(member);
        }
        Ok(has_it)
    }

    /// A link of this pool, by the queue if there is none.
    pub async fn checked_out_of(
        &mut self,
        pool: &Rc<StatelessPool>,
        permit: Option<Permit>,
    ) -> Result<Use, Stop> {
        let want = self.want(pool.member);
        let (lease, permit) = match pool.try_checkout(&want) {
            Some(lease) => (lease, permit),
            None if self.is_branched() => {
                (Box::pin(self.wait_for_link(pool, &want, &mut None)).await?, permit)
            }
            None => Box::pin(self.wait_for_both(pool, &want, permit)).await?,
        };
        self.on_replica = self.route.is_to_replica();
        Ok(Use { held: Held::Free(lease), permit })
    }
}

impl Refusal {
    /// Whether it is a server that can't be had, and not the account or the statement.
    pub fn is_about_server(&self) -> bool {
        matches!(self.kind, Some(ErrorKind::Unavailable | ErrorKind::ConnectTimeout)) && !self.fatal
    }

    fn no_primary(limit: Duration) -> Self {
        let message = format!(
            "Backend not available: no server of the cluster takes writes, and none did within {} ms ([routing] \
             failover_wait_ms)",
            limit.as_millis()
        );
        Self::new(ErrorKind::Unavailable, ErrorCode::ServerIsntAvailable, message)
    }

    fn no_replica() -> Self {
        let message =
            "Backend not available: no replica may have reads now ([routing] no_replica is \"error\")";
        Self::new(ErrorKind::Unavailable, ErrorCode::ServerIsntAvailable, message)
    }
}
