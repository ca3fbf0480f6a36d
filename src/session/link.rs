//! Getting a link for a command: a permit first, then the session's own link, or one from the pool.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::circuit::{Key, Permit};
use crate::metrics::label::{ClosedReason, ErrorKind, RateLimitReason};
use crate::parser::{Charset, Facts, Hazards, Ids, Server, SqlMode, StatementKind};
use crate::pool::{Bound, Brought, Lease, Link, PoolError, SmallReply, StatelessPool, Want};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::response::ErrPacket;
use crate::router::sharding::cluster_of_copy;

use super::context::{HOME_SHARD, Phase};
use super::driver::{Session, Waited};
use super::failure::{End, Refusal, Stop};

/// What asks about the statement before.
pub(super) const ASKS_BACK: Hazards =
    Hazards::READS_DIAGNOSTICS.union(Hazards::FOUND_ROWS).union(Hazards::ROW_COUNT);

/// What may read LAST_INSERT_ID(): in the text itself, or unseen.
pub(super) const INSERT_ID: Hazards =
    Hazards::LAST_INSERT_ID.union(Hazards::CALL).union(Hazards::TEXT_PREPARE).union(Hazards::UNSURE);

/// What may set LAST_INSERT_ID().
const MAY_INSERT: Hazards =
    Hazards::WRITES.union(Hazards::CALL).union(Hazards::MULTI).union(Hazards::TEXT_PREPARE);

/// Commands that are no SQL leave nothing behind but what trackers tell.
pub(super) const NO_SQL: Facts =
    Facts { kind: StatementKind::Command, hazards: Hazards::empty(), ids: Ids::NONE };

/// How many links are tried in turn where servers refuse to bring them to a session's state.
const BRING_ATTEMPTS: usize = 3;

/// A session that waits for a link keeps its permit for so long.
const PERMIT_KEPT: Duration = Duration::from_millis(20);

/// A link in use by a command. Dropped, it closes the link.
pub(super) struct Use {
    pub held: Held,
    pub permit: Option<Permit>,
}

pub(super) enum Held {
    Free(Lease),
    Bound(Bound),
}

impl Use {
    pub fn lease(&mut self) -> &mut Lease {
        match &mut self.held {
            Held::Free(lease) => lease,
            Held::Bound(bound) => bound.lease(),
        }
    }

    pub fn into_lease(self) -> Lease {
        match self.held {
            Held::Free(lease) => lease,
            Held::Bound(bound) => bound.release(),
        }
    }

    /// Nobody is to get the link any more.
    fn close(self) {
        self.into_lease().close(ClosedReason::Dirty);
    }
}

impl Session {
    /// A permit and a link in the session's schema and state, for a statement with these facts.
    pub async fn take_link(&mut self, facts: Facts) -> Result<Use, Stop> {
        self.entry.wait();
        if self.is_elsewhere() {
            Box::pin(self.leave_link()).await?;
        } else if self.may_have_fallen_behind() {
            // What that knows of the statement before is taken along, and the link is given back.
            Box::pin(self.read_out()).await?;
        }
        let mut permit = self.permit.take();
        if self.is_branched() {
            self.check_branch()?;
        } else {
            permit = self.permitted(permit).await?;
        }
        let mut link = match self.bound.take() {
            Some(bound) => Use { held: Held::Bound(bound), permit },
            None => self.free_link(permit).await?,
        };
        if std::mem::take(&mut self.comes_back) && matches!(link.held, Held::Bound(_)) {
            link = Box::pin(self.in_state_again(link)).await?;
        }
        if std::mem::take(&mut self.begins_branch) {
            link = Box::pin(self.begin_branch(link)).await?;
        }
        if self.has_opening_along() {
            link = Box::pin(self.begin_along(link)).await?;
        }
        if std::mem::take(&mut self.takes_transaction_along) {
            link = Box::pin(self.begin_read_only(link)).await?;
        }
        if self.needs_insert_id(facts, link.lease()) {
            link = Box::pin(self.bring_insert_id(link)).await?;
        }
        if !self.entry.go_on() {
            self.keep_or_give_back(link);
            return Err(Refusal::interrupted().into());
        }
        if self.is_split() {
            self.count_route();
        }
        if facts.hazards.contains(Hazards::NEW_ERA) {
            // Once more when it is answered: whoever logs in meanwhile may have it either way.
            self.cluster().pool().eras.begin();
        }
        Ok(link)
    }

    /// A link from the pool in the session's schema and state. One that can't be brought there (an account may lower some
    /// variables and not raise them again) is closed, for another.
    async fn free_link(&mut self, mut permit: Option<Permit>) -> Result<Use, Stop> {
        let mut attempts = BRING_ATTEMPTS;
        loop {
            attempts -= 1;
            let link = self.checked_out(permit).await?;
            match self.brought(link).await? {
                Ok(link) => return Ok(link),
                Err((link, err)) if attempts == 0 => {
                    link.close();
                    return Err(Refusal::not_replayed(err).into());
                }
                Err((mut link, _)) => {
                    permit = link.permit.take();
                    link.close();
                }
            }
        }
    }

    /// A link from the pool.
    async fn checked_out(&mut self, permit: Option<Permit>) -> Result<Use, Stop> {
        if self.is_split() {
            let mut permit = permit;
            return match self.link_at_once(&mut permit) {
                Ok(link) => Ok(link),
                Err(chosen) => Box::pin(self.link_to_member(permit, chosen)).await,
            };
        }
        let pool = self.cluster().pool().clone();
        self.checked_out_of(&pool, permit).await
    }

    /// The link in the session's schema and state: without them no statement of the session runs there. Else what the server
    /// refused.
    async fn brought(&mut self, mut link: Use) -> Result<Result<Use, (Use, ErrPacket)>, Stop> {
        let lease = link.lease();
        let fits = lease.carries.as_ref() == Some(&self.state)
            && (self.schema.is_none() || self.schema == lease.schema);
        if fits { Ok(Ok(link)) } else { Box::pin(self.bring(link)).await }
    }

    /// The session's own link, in the state that the session has by now.
    async fn in_state_again(&mut self, mut link: Use) -> Result<Use, Stop> {
        // What is on a link of which the state is not known would not survive a reset.
        if link.lease().carries.is_none() {
            return Ok(link);
        }
        match self.brought(link).await? {
            Ok(link) => Ok(link),
            Err((link, err)) => {
                self.keep_or_give_back(link);
                Err(Refusal::not_replayed(err).into())
            }
        }
    }

    async fn bring(&mut self, mut link: Use) -> Result<Result<Use, (Use, ErrPacket)>, Stop> {
        let lease = link.lease();
        let brought =
            self.backend(lease.bring(self.schema.as_ref(), &self.state, &self.cluster().pool().states)).await;
        let brought = match brought {
            Ok(brought) => brought,
            Err(stop) => return Err(self.lost_on_the_way(link, stop)),
        };
        match brought {
            Brought::Already => Ok(Ok(link)),
            Brought::Done => {
                self.ctx.metrics.state_replays.inc();
                if let Some(schema) = &self.schema {
                    self.ctx.note_schema(&self.identity.account, schema, true);
                }
                Ok(Ok(link))
            }
            Brought::NoSchema(err) => {
                if let Some(schema) = &self.schema {
                    self.ctx.note_schema(&self.identity.account, schema, false);
                }
                let refusal = Refusal::of_server(err);
                self.refused_on_the_way(&refusal);
                self.keep_or_give_back(link);
                Err(refusal.into())
            }
            Brought::Refused(err) => Ok(Err((link, err))),
        }
    }

    /// Whether a statement is to find the session's LAST_INSERT_ID() on a link that may have another.
    pub fn needs_insert_id(&self, facts: Facts, link: &Link) -> bool {
        use StatementKind::{Insert, Replace, Update};
        let told = matches!(facts.kind, Insert | Replace | Update);
        // What may set it and does not tell: if it does not, the session's must be there.
        let silent = (facts.hazards.contains(Hazards::LAST_INSERT_ID_SET) && !told)
            || facts.hazards.contains(Hazards::RETURNING)
            || facts.kind == StatementKind::Load;
        let lost = link.insert_id.is_none() && !self.unread.insert_id && facts.hazards.intersects(MAY_INSERT);
        (facts.hazards.intersects(INSERT_ID) || silent || lost) && self.has_other_insert_id(link)
    }

    /// Whether LAST_INSERT_ID() may be another one on the link than it is for the session.
    pub fn has_other_insert_id(&self, link: &Link) -> bool {
        let has = if self.unread.insert_id { self.unread.insert_id_before } else { link.insert_id };
        has != Some(self.last_insert_id)
    }

    pub async fn bring_insert_id(&mut self, mut link: Use) -> Result<Use, Stop> {
        self.is_last = false;
        if !self.unread.is_empty() {
            self.read_link(&mut link).await?;
        }
        if !self.has_other_insert_id(link.lease()) {
            return Ok(link);
        }
        let sql = format!("SET last_insert_id={}", self.last_insert_id);
        match self.backend(link.lease().query(&sql)).await {
            Ok(SmallReply::Err(err)) => {
                self.keep_or_give_back(link);
                Err(Refusal::not_replayed(err).into())
            }
            Ok(_) => {
                link.lease().insert_id = Some(self.last_insert_id);
                Ok(link)
            }
            Err(stop) => Err(self.lost_on_the_way(link, stop)),
        }
    }

    /// Athena is about to ask the session's own link something: what that knows of the session's last statement is read
    /// first.
    pub async fn read_before_own(&mut self, link: &mut Use) -> Result<(), Stop> {
        self.is_last = false;
        let unread = &self.unread;
        if unread.warnings || unread.found_rows || unread.transaction || !unread.knows_state() {
            return self.read_link(link).await;
        }
        Ok(())
    }

    /// Waits for a link, and holds its permit for a moment only: sessions that have links of their own need permits to get
    /// on, and to give those links back. Nor is a link held while waiting for a permit. While others are quicker each time, it
    /// goes on for as long as a link may be waited for.
    pub async fn wait_for_both(
        &self,
        pool: &Rc<StatelessPool>,
        want: &Want,
        mut permit: Option<Permit>,
    ) -> Result<(Lease, Option<Permit>), Stop> {
        let limit = pool.settings.checkout_timeout;
        let since = self.timer.now();
        while limit.is_zero() || self.timer.now().saturating_duration_since(since) < limit {
            let lease = self.wait_for_link(pool, want, &mut permit).await?;
            if permit.is_some() {
                return Ok((lease, permit));
            }
            if let Some(permit) = self.try_admit().await {
                return Ok((lease, permit));
            }
            lease.give_back();
            permit = self.admitted().await?;
            if let Some(lease) = pool.try_checkout(want) {
                return Ok((lease, permit));
            }
        }
        Err(PoolError::Timeout(limit).into())
    }

    /// Waits for a link, and takes the permit away if that lasts. Without the moment in which it keeps both, sessions could
    /// take turns in having one of the two for ever.
    pub async fn wait_for_link(
        &self,
        pool: &Rc<StatelessPool>,
        want: &Want,
        permit: &mut Option<Permit>,
    ) -> Result<Lease, Stop> {
        let timer = crate::net::Timer::new(&self.ctx.core.timers);
        let mut checkout = pin!(pool.checkout(want, &timer));
        if permit.is_some() {
            if let Some(lease) = self.in_queue(PERMIT_KEPT, checkout.as_mut()).await? {
                return Ok(lease?);
            }
            *permit = None;
        }
        // The pool itself bounds the wait.
        match self.in_queue(Duration::ZERO, checkout).await? {
            Some(lease) => Ok(lease?),
            None => Err(PoolError::Timeout(pool.settings.checkout_timeout).into()),
        }
    }

    /// Waits for a small answer of the server, as long as a statement may take.
    pub async fn backend<T>(
        &self,
        answer: impl Future<Output = Result<T, crate::pool::LinkError>>,
    ) -> Result<T, Stop> {
        let limit = self.cluster().query_timeout;
        match self.wait(limit, Phase::Ending, answer).await {
            Ok(answer) => Ok(answer?),
            Err(Waited::Ended) => Err(self.ended().into()),
            Err(_) => {
                self.end_on_server();
                Err(Refusal::backend_timeout(limit).into())
            }
        }
    }

    /// A permit if there is one at once; `Some(None)` where statements are not limited.
    async fn try_admit(&self) -> Option<Option<Permit>> {
        let Some(gate) = &self.home().gate else { return Some(None) };
        let mut permits = Vec::new();
        for shard in std::iter::once(self.shard).chain(self.further_shards.iter()) {
            let mut admission = gate.enter(self.permit_key(shard));
            match std::future::poll_fn(|cx| Poll::Ready(pin!(&mut admission).poll(cx))).await {
                Poll::Ready(Ok(permit)) => permits.push(permit),
                Poll::Ready(Err(_)) | Poll::Pending => return None,
            }
        }
        let first = permits.pop();
        Some(first.map(|first| first.with(permits)))
    }

    /// Whose permits the statement that runs needs on a shard, and by which limits.
    fn permit_key(&self, shard: u32) -> Key {
        let shard = if cluster_of_copy(shard).is_some() { HOME_SHARD } else { shard };
        Key { user: self.account.index, shard, class: self.account.classes.of(shard, self.digest) }
    }

    /// The permit that there is, or a new one.
    pub async fn permitted(&self, permit: Option<Permit>) -> Result<Option<Permit>, Stop> {
        match permit {
            Some(permit) => Ok(Some(permit)),
            None => self.admitted().await,
        }
    }

    /// Waits for a permit, if statements are limited: for one of each shard, in the order of all sessions.
    pub async fn admitted(&self) -> Result<Option<Permit>, Stop> {
        let first = self.admitted_on(self.shard).await?;
        let Some(first) = first else { return Ok(None) };
        let mut more = Vec::new();
        for shard in self.further_shards.iter() {
            more.extend(self.admitted_on(shard).await?);
        }
        Ok(Some(first.with(more)))
    }

    /// The same on a certain shard.
    async fn admitted_on(&self, shard: u32) -> Result<Option<Permit>, Stop> {
        let Some(gate) = self.home().gate.clone() else { return Ok(None) };
        let key = self.permit_key(shard);
        let mut admission = gate.enter(key);
        // Mostly there is one at once, and then there is nothing to wait for.
        let at_once = std::future::poll_fn(|cx| Poll::Ready(pin!(&mut admission).poll(cx))).await;
        let admitted = match at_once {
            Poll::Ready(admitted) => admitted,
            Poll::Pending => Box::pin(self.queue_for_permit(key, admission)).await?,
        };
        let Ok(permit) = admitted else {
            self.ctx.metrics.rate_limit_rejected.of(RateLimitReason::QueueFull).inc();
            return Err(Refusal::queue_full(&self.account.name, shard, key.class).into());
        };
        Ok(Some(permit))
    }

    async fn queue_for_permit<F: Future>(&self, key: Key, admission: F) -> Result<F::Output, Stop> {
        let limit = self.home().classes.borrow().queue_timeout(key.class);
        let rejected = |reason| self.ctx.metrics.rate_limit_rejected.of(reason).inc();
        match self.in_queue(limit, admission).await {
            Ok(Some(admitted)) => Ok(admitted),
            Ok(None) => {
                rejected(RateLimitReason::Timeout);
                Err(Refusal::queue_timeout(&self.account.name, key.shard, key.class, limit).into())
            }
            Err(Stop::Refuse(refusal))
                if matches!(refusal.kind, Some(ErrorKind::Shutdown | ErrorKind::DrainTimeout)) =>
            {
                rejected(RateLimitReason::Shutdown);
                Err(Stop::Refuse(refusal))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Waits in a queue, which a client that goes away leaves. `None` when `limit` passes first.
    pub async fn in_queue<F: Future>(&self, limit: Duration, turn: F) -> Result<Option<F::Output>, Stop> {
        let mut turn = pin!(turn);
        let mut gone = pin!(self.socket.closed());
        let waiting = std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = turn.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if self.entry.is_interrupted() {
                return Poll::Ready(None);
            }
            gone.as_mut().poll(cx).map(|()| None)
        });
        match self.wait(limit, Phase::Ending, waiting).await {
            Ok(Some(output)) => Ok(Some(output)),
            Ok(None) if self.entry.is_interrupted() => Err(Refusal::interrupted().into()),
            Ok(None) => Err(End::Quit.into()),
            Err(Waited::Ended) => Err(self.ended().into()),
            Err(_) => Ok(None),
        }
    }

    /// How the server reads this session's texts of statements.
    pub fn sql_mode(&self) -> SqlMode {
        let profile = self.profile();
        let reading = self.state.reading();
        let server = profile.as_ref().map_or_else(Server::default, |profile| profile.server);
        let default = profile.as_ref().map_or(0, |profile| profile.collation);
        let of_login = || {
            let by_default = profile.as_ref().is_some_and(|profile| profile.ansi_quotes);
            self.status.contains(StatusFlags::ANSI_QUOTES) || by_default
        };
        SqlMode {
            ansi_quotes: reading.ansi_quotes.unwrap_or_else(of_login),
            no_backslash_escapes: self.status.contains(StatusFlags::NO_BACKSLASH_ESCAPES),
            charset: reading
                .charset
                .unwrap_or_else(|| Charset::of_login(self.identity.collation, server, default)),
            server,
            one_statement: !self.identity.flags.contains(Capabilities::MULTI_STATEMENTS),
        }
    }

    /// Whether the client's literals are in UTF-8.
    pub fn is_utf8(&self) -> bool {
        match self.state.variable(b"character_set_client") {
            Some(name) => name.starts_with(b"utf8"),
            // utf8mb3, then utf8mb4.
            None => matches!(
                self.identity.collation,
                33 | 76 | 83 | 192..=215 | 223 | 45 | 46 | 224..=247 | 255
            ),
        }
    }

    /// The session ends: its link goes back if a reset makes it clean, otherwise it closes.
    pub fn part_with_link(&mut self) {
        self.leave_seats_behind();
        if self.holds.reason().is_none() && !self.holds.needs_reset() {
            self.forget_unread();
            if let Some(bound) = self.bound.take() {
                bound.release().give_back();
            }
            return;
        }
        match self.give_up_link() {
            Some((lease, true)) => lease.give_back_dirty(),
            Some((lease, false)) => lease.close(ClosedReason::Dirty),
            None => {}
        }
    }

    /// The same for a session that starts anew: what it held is free before it goes on.
    pub async fn part_with_link_first(&mut self) {
        self.leave_seats_behind();
        let Some((lease, can_be_reset)) = self.give_up_link() else { return };
        let part = async {
            match can_be_reset {
                true => lease.reset_and_give_back().await,
                false => lease.reset_and_close().await,
            }
        };
        // The reset is bounded by itself. A session that ends meanwhile leaves its link to be closed.
        let _ = self.wait(Duration::ZERO, Phase::Ending, part).await;
    }

    /// The session's own link, of which it no longer knows, and whether a reset makes that clean.
    fn give_up_link(&mut self) -> Option<(Lease, bool)> {
        self.permit = None;
        let can_be_reset = self.holds.can_be_reset();
        self.holds.clear();
        self.forget_unread();
        Some((self.bound.take()?.release(), can_be_reset))
    }
}

/// A schema's name as sessions and links share it.
pub(super) fn schema_name(bytes: &[u8]) -> Rc<[u8]> {
    Rc::from(bytes)
}
