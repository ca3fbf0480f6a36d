//! Getting a link for a command: a permit first, then the session's own link, or one from the pool.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::circuit::{Key, Permit};
use crate::metrics::label::{ErrorKind, RateLimitReason};
use crate::parser::{Facts, Hazards, SqlMode, StatementKind};
use crate::pool::{Bound, Lease, SmallReply, Want};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::error::ErrorCode;

use super::context::Phase;
use super::driver::{Session, Waited};
use super::failure::{End, Refusal, Stop};

/// What asks about the statement before, on whichever link it ran.
pub(super) const ASKS_BACK: Hazards =
    Hazards::READS_DIAGNOSTICS.union(Hazards::FOUND_ROWS).union(Hazards::ROW_COUNT);

/// Commands that are no SQL leave nothing behind but what trackers tell.
pub(super) const NO_SQL: Facts = Facts { kind: StatementKind::Empty, hazards: Hazards::empty() };

/// Collations of character sets in which the second byte of a character may look like a backslash or a quote:
/// big5, sjis, gbk, cp932, gb18030.
const UNSAFE_COLLATIONS: [u8; 11] = [1, 84, 13, 88, 28, 87, 95, 96, 248, 249, 250];

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
        let permit = match self.permit.take() {
            Some(permit) => Some(permit),
            None => self.admit().await?,
        };
        if let Some(bound) = self.bound.take() {
            return Ok(Use { held: Held::Bound(bound), permit });
        }
        let want = Want { identity: self.identity, schema: self.schema.clone() };
        let lease = match self.same_link(facts) {
            Some(lease) => lease,
            None if facts.hazards.intersects(ASKS_BACK) => {
                self.holds.keep(crate::metrics::label::BoundReason::SessionState);
                return Err(Refusal::other_link().into());
            }
            None => match self.cluster().pool.try_checkout(&want) {
                Some(lease) => self.prepare_link(lease, facts).await?,
                None => {
                    let lease = Box::pin(self.wait_for_link(&want)).await?;
                    self.prepare_link(lease, facts).await?
                }
            },
        };
        Ok(Use { held: Held::Free(lease), permit })
    }

    /// The link of the statement before, if this one asks about it and nobody came between.
    fn same_link(&self, facts: Facts) -> Option<Lease> {
        if !facts.hazards.intersects(ASKS_BACK | Hazards::LAST_INSERT_ID) {
            return None;
        }
        self.cluster().pool.try_checkout_same(self.trace?)
    }

    async fn wait_for_link(&self, want: &Want) -> Result<Lease, Stop> {
        let timer = crate::net::Timer::new(&self.ctx.core.timers);
        let pool = &self.cluster().pool;
        let checkout = pool.checkout(want, &timer);
        Ok(self.in_queue(std::time::Duration::ZERO, checkout).await??)
    }

    /// Brings a link from the pool to the session's schema, and to the value that LAST_INSERT_ID() is to return.
    async fn prepare_link(&self, lease: Lease, facts: Facts) -> Result<Lease, Stop> {
        let other_schema = self.schema.is_some() && self.schema != lease.schema;
        if other_schema || facts.hazards.contains(Hazards::LAST_INSERT_ID) {
            return Box::pin(self.adjust_link(lease, facts)).await;
        }
        Ok(lease)
    }

    async fn adjust_link(&self, mut lease: Lease, facts: Facts) -> Result<Lease, Stop> {
        if let Some(schema) = self.schema.clone().filter(|schema| lease.schema.as_ref() != Some(schema)) {
            let reply = self.backend(lease.use_schema(&schema)).await?;
            self.ctx.note_schema(&schema, matches!(reply, SmallReply::Ok(_)));
            lease = accepted(lease, reply)?;
        }
        if facts.hazards.contains(Hazards::LAST_INSERT_ID) {
            let sql = format!("SET last_insert_id={}", self.last_insert_id);
            let reply = self.backend(lease.query(&sql)).await?;
            lease = accepted(lease, reply)?;
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
            Err(Waited::Ended) => Err(Refusal::shutdown().into()),
            Err(_) => Err(Refusal::backend_timeout(limit).into()),
        }
    }

    /// Waits for a permit, if statements are limited.
    async fn admit(&self) -> Result<Option<Permit>, Stop> {
        let Some(gate) = self.cluster().gate.clone() else { return Ok(None) };
        let key = Key { user: self.account.index, shard: 0 };
        let mut admission = gate.enter(key);
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
            Err(Stop::Refuse(refusal)) if refusal.error.code == ErrorCode::LockWaitTimeout.number() => {
                rejected(RateLimitReason::Timeout);
                Err(Refusal::queue_timeout(&self.account.name, limit).into())
            }
            Err(Stop::Refuse(refusal)) => {
                rejected(RateLimitReason::Shutdown);
                Err(Stop::Refuse(refusal))
            }
            other => other,
        }
    }

    /// Waits in a queue, which a client that goes away leaves.
    async fn in_queue<F: Future>(&self, limit: std::time::Duration, turn: F) -> Result<F::Output, Stop> {
        let mut turn = pin!(turn);
        let mut gone = pin!(self.socket.closed());
        let waiting = std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = turn.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            gone.as_mut().poll(cx).map(|()| None)
        });
        match self.wait(limit, Phase::Ending, waiting).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) => Err(End::Quit.into()),
            Err(Waited::Ended) => Err(Refusal::shutdown().into()),
            Err(_) => Err(Refusal::new(ErrorKind::RateLimit, ErrorCode::LockWaitTimeout, "").into()),
        }
    }

    /// How the server reads this session's texts of statements.
    pub fn sql_mode(&self) -> SqlMode {
        let by_default = || self.cluster().pool.profile().is_some_and(|profile| profile.ansi_quotes);
        SqlMode {
            ansi_quotes: self.status.contains(StatusFlags::ANSI_QUOTES) || by_default(),
            no_backslash_escapes: self.status.contains(StatusFlags::NO_BACKSLASH_ESCAPES),
            unsafe_charset: UNSAFE_COLLATIONS.contains(&self.identity.collation),
            one_statement: !self.identity.flags.contains(Capabilities::MULTI_STATEMENTS),
        }
    }

    /// The session ends, or starts anew: its link goes back if a reset makes it clean, otherwise it closes.
    pub fn part_with_link(&mut self) {
        self.permit = None;
        let can_be_reset = self.holds.can_be_reset();
        self.holds.clear();
        let Some(bound) = self.bound.take() else { return };
        let lease = bound.release();
        if can_be_reset {
            lease.give_back_dirty();
        } else {
            lease.close(crate::metrics::label::ClosedReason::Dirty);
        }
    }
}

/// Gives the link back if the server refused.
fn accepted(lease: Lease, reply: SmallReply) -> Result<Lease, Stop> {
    match reply {
        SmallReply::Err(err) => {
            lease.give_back();
            Err(Refusal::of_server(err).into())
        }
        SmallReply::Ok(_) | SmallReply::Row(_) => Ok(lease),
    }
}

/// A schema's name as sessions and links share it.
pub(super) fn schema_name(bytes: &[u8]) -> Rc<[u8]> {
    Rc::from(bytes)
}
