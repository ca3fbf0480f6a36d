//! Getting a link for a command: a permit first, then the session's own link, or one from the pool.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::circuit::{Key, Permit};
use crate::metrics::label::{BoundReason, ErrorKind, RateLimitReason};
use crate::parser::{Facts, Hazards, SqlMode, StatementKind};
use crate::pool::{Bound, Lease, PoolError, SmallReply, Want};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::response::ErrPacket;

use super::context::Phase;
use super::driver::{Session, Waited};
use super::failure::{End, Refusal, Stop};

/// What asks about the statement before, on whichever link it ran.
pub(super) const ASKS_BACK: Hazards =
    Hazards::READS_DIAGNOSTICS.union(Hazards::FOUND_ROWS).union(Hazards::ROW_COUNT).union(Hazards::PROFILES);

/// What may read LAST_INSERT_ID(): in the text itself, or unseen.
const INSERT_ID: Hazards =
    Hazards::LAST_INSERT_ID.union(Hazards::CALL).union(Hazards::TEXT_PREPARE).union(Hazards::UNSURE);

/// What can't be set anew once another statement has run.
const COUNTS: Hazards = Hazards::FOUND_ROWS.union(Hazards::ROW_COUNT);

/// What reads something of earlier statements that other sessions overwrite on a link that they share.
const RECALLS: Hazards = INSERT_ID.union(Hazards::FOUND_ROWS).union(Hazards::READS_DIAGNOSTICS);

/// Commands that are no SQL leave nothing behind but what trackers tell.
pub(super) const NO_SQL: Facts = Facts { kind: StatementKind::Empty, hazards: Hazards::empty() };

/// Collations of character sets in which the second byte of a character may look like a backslash or a quote:
/// big5, sjis, gbk, cp932, gb18030.
const UNSAFE_COLLATIONS: [u8; 11] = [1, 84, 13, 88, 28, 87, 95, 96, 248, 249, 250];

/// How often a statement waits for a link and a permit in turn before it gives up: each time others were quicker.
const BOTH_ATTEMPTS: usize = 8;

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
}

impl Session {
    /// A permit and a link that has the session's schema, for a statement with these facts.
    pub async fn take_link(&mut self, facts: Facts) -> Result<Use, Stop> {
        self.entry.wait();
        let permit = match self.permit.take() {
            Some(permit) => Some(permit),
            None => self.admit().await?,
        };
        let mut link = match self.bound.take() {
            Some(bound) => Use { held: Held::Bound(bound), permit },
            None => self.free_link(facts, permit).await?,
        };
        if facts.hazards.intersects(RECALLS) {
            link = Box::pin(self.recall(link, facts)).await?;
        }
        if self.entry.go_on() {
            return Ok(link);
        }
        self.keep_or_give_back(link);
        Err(Refusal::interrupted().into())
    }

    /// A link from the pool in the session's schema.
    async fn free_link(&mut self, facts: Facts, permit: Option<Permit>) -> Result<Use, Stop> {
        if facts.hazards.intersects(ASKS_BACK) {
            let same = self.trace.and_then(|trace| self.cluster().pool.try_checkout_same(trace));
            let lease = same.ok_or_else(|| self.asks_elsewhere())?;
            return Ok(Use { held: Held::Free(lease), permit });
        }
        let want = Want { identity: self.identity.clone(), schema: self.schema.clone(), era: self.era };
        let (mut lease, permit) = match self.cluster().pool.try_checkout(&want) {
            Some(lease) => (lease, permit),
            None => Box::pin(self.wait_for_both(&want, permit)).await?,
        };
        if self.schema.is_some() && self.schema != lease.schema {
            lease = Box::pin(self.move_to_schema(lease)).await?;
        }
        Ok(Use { held: Held::Free(lease), permit })
    }

    /// Waits for a link, and holds no permit meanwhile: sessions that have links of their own need permits to get on, and
    /// to give those links back. Nor is a link held while waiting for a permit.
    async fn wait_for_both(
        &self,
        want: &Want,
        mut permit: Option<Permit>,
    ) -> Result<(Lease, Option<Permit>), Stop> {
        for _ in 0..BOTH_ATTEMPTS {
            drop(permit.take());
            let lease = self.wait_for_link(want).await?;
            if let Some(permit) = self.try_admit().await {
                return Ok((lease, permit));
            }
            lease.give_back();
            permit = self.admit().await?;
            if let Some(lease) = self.cluster().pool.try_checkout(want) {
                return Ok((lease, permit));
            }
        }
        Err(PoolError::Timeout(self.cluster().pool.settings.checkout_timeout).into())
    }

    /// The statement asks about one that ran elsewhere. From now on the session keeps its link, so that asking again,
    /// after the same statement, is answered.
    fn asks_elsewhere(&mut self) -> Stop {
        self.holds.keep(BoundReason::SessionState);
        Refusal::other_link().into()
    }

    /// Makes sure that what the statement reads of earlier ones is this session's, and not what another one left on
    /// the link.
    async fn recall(&mut self, mut link: Use, facts: Facts) -> Result<Use, Stop> {
        let ours = |mark: Option<u32>| mark == Some(self.mark);
        let (hazards, lease) = (facts.hazards, link.lease());
        let others_rows = hazards.contains(Hazards::FOUND_ROWS) && !ours(lease.found_rows_of);
        let others_warnings = hazards.contains(Hazards::READS_DIAGNOSTICS)
            && lease.warnings_of.is_some()
            && !ours(lease.warnings_of);
        let keeps_id = self.inserted && hazards.intersects(ASKS_BACK);
        let others_id = hazards.intersects(INSERT_ID) && !ours(lease.insert_id_of) && !keeps_id;
        let replaced = self.replace(lease, others_warnings, others_id).await;
        // What else the statement asks about has just been overwritten.
        let overwritten = others_id && hazards.intersects(ASKS_BACK)
            || others_warnings && (hazards.intersects(COUNTS) || facts.kind == StatementKind::Other);
        let stop = match replaced {
            Ok(None) if !others_rows && !overwritten => return Ok(link),
            Ok(None) => self.asks_elsewhere(),
            Ok(Some(err)) => Refusal::of_server(err).into(),
            Err(stop) => return Err(self.lost(link, stop)),
        };
        self.keep_or_give_back(link);
        Err(stop)
    }

    /// Puts this session's values in the place of another's. It has no warnings where others may be listed: its own
    /// would have taken their place.
    async fn replace(&self, lease: &mut Lease, warnings: bool, id: bool) -> Result<Option<ErrPacket>, Stop> {
        if warnings && let SmallReply::Err(err) = self.backend(lease.clear_warnings()).await? {
            return Ok(Some(err));
        }
        if id {
            let sql = format!("SET last_insert_id={}", self.last_insert_id);
            if let SmallReply::Err(err) = self.backend(lease.query(&sql)).await? {
                return Ok(Some(err));
            }
            lease.insert_id_of = Some(self.mark);
        }
        Ok(None)
    }

    async fn wait_for_link(&self, want: &Want) -> Result<Lease, Stop> {
        let timer = crate::net::Timer::new(&self.ctx.core.timers);
        let pool = &self.cluster().pool;
        let checkout = pool.checkout(want, &timer);
        // The pool itself bounds the wait.
        match self.in_queue(std::time::Duration::ZERO, checkout).await? {
            Some(lease) => Ok(lease?),
            None => Err(PoolError::Timeout(pool.settings.checkout_timeout).into()),
        }
    }

    async fn move_to_schema(&self, mut lease: Lease) -> Result<Lease, Stop> {
        let Some(schema) = self.schema.clone() else { return Ok(lease) };
        let reply = self.backend(lease.use_schema(&schema)).await?;
        self.ctx.note_schema(&self.identity.account, &schema, matches!(reply, SmallReply::Ok(_)));
        if let SmallReply::Err(err) = reply {
            lease.give_back();
            return Err(Refusal::of_server(err).into());
        }
        Ok(lease)
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
            Err(_) => Err(Refusal::backend_timeout(limit).into()),
        }
    }

    /// A permit if there is one at once; `Some(None)` where statements are not limited.
    async fn try_admit(&self) -> Option<Option<Permit>> {
        let Some(gate) = &self.cluster().gate else { return Some(None) };
        let mut admission = gate.enter(self.permit_key());
        match std::future::poll_fn(|cx| Poll::Ready(pin!(&mut admission).poll(cx))).await {
            Poll::Ready(Ok(permit)) => Some(Some(permit)),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    fn permit_key(&self) -> Key {
        Key { user: self.account.index, shard: 0 }
    }

    /// Waits for a permit, if statements are limited.
    async fn admit(&self) -> Result<Option<Permit>, Stop> {
        let Some(gate) = self.cluster().gate.clone() else { return Ok(None) };
        let mut admission = gate.enter(self.permit_key());
        // Mostly there is one at once, and then there is nothing to wait for.
        let at_once = std::future::poll_fn(|cx| Poll::Ready(pin!(&mut admission).poll(cx))).await;
        let admitted = match at_once {
            Poll::Ready(admitted) => admitted,
            Poll::Pending => Box::pin(self.queue_for_permit(admission)).await?,
        };
        let Ok(permit) = admitted else {
            self.ctx.metrics.rate_limit_rejected.of(RateLimitReason::QueueFull).inc();
            return Err(Refusal::queue_full(&self.account.name).into());
        };
        Ok(Some(permit))
    }

    async fn queue_for_permit<F: Future>(&self, admission: F) -> Result<F::Output, Stop> {
        let limit = self.cluster().queue_timeout;
        let rejected = |reason| self.ctx.metrics.rate_limit_rejected.of(reason).inc();
        match self.in_queue(limit, admission).await {
            Ok(Some(admitted)) => Ok(admitted),
            Ok(None) => {
                rejected(RateLimitReason::Timeout);
                Err(Refusal::queue_timeout(&self.account.name, limit).into())
            }
            Err(Stop::Refuse(refusal)) if refusal.kind == Some(ErrorKind::Shutdown) => {
                rejected(RateLimitReason::Shutdown);
                Err(Stop::Refuse(refusal))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Waits in a queue, which a client that goes away leaves. `None` when `limit` passes first.
    async fn in_queue<F: Future>(
        &self,
        limit: std::time::Duration,
        turn: F,
    ) -> Result<Option<F::Output>, Stop> {
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
        let by_default = || self.cluster().pool.profile().is_some_and(|profile| profile.ansi_quotes);
        SqlMode {
            ansi_quotes: self.status.contains(StatusFlags::ANSI_QUOTES) || by_default(),
            no_backslash_escapes: self.status.contains(StatusFlags::NO_BACKSLASH_ESCAPES),
            unsafe_charset: self
                .holds
                .unsafe_charset()
                .unwrap_or_else(|| UNSAFE_COLLATIONS.contains(&self.identity.collation)),
            one_statement: !self.identity.flags.contains(Capabilities::MULTI_STATEMENTS),
        }
    }

    /// The session ends: its link goes back if a reset makes it clean, otherwise it closes.
    pub fn part_with_link(&mut self) {
        match self.give_up_link() {
            Some((lease, true)) => lease.give_back_dirty(),
            Some((lease, false)) => lease.close(crate::metrics::label::ClosedReason::Dirty),
            None => {}
        }
    }

    /// The same for a session that starts anew: what it held is free before it goes on.
    pub async fn part_with_link_first(&mut self) {
        let Some((lease, can_be_reset)) = self.give_up_link() else { return };
        let part = async {
            match can_be_reset {
                true => lease.reset_and_give_back().await,
                false => lease.reset_and_close().await,
            }
        };
        // The reset is bounded by itself. A session that ends meanwhile leaves its link to be closed.
        let _ = self.wait(std::time::Duration::ZERO, Phase::Ending, part).await;
    }

    /// The session's own link, of which it no longer knows, and whether a reset makes that clean.
    fn give_up_link(&mut self) -> Option<(Lease, bool)> {
        self.permit = None;
        let can_be_reset = self.holds.can_be_reset();
        self.holds.clear();
        Some((self.bound.take()?.release(), can_be_reset))
    }
}

/// A schema's name as sessions and links share it.
pub(super) fn schema_name(bytes: &[u8]) -> Rc<[u8]> {
    Rc::from(bytes)
}
