//! Attempts to open a link, as far as the instance's breaker allows them, and those who wait for their outcome.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::circuit::{self, Breaker, Stance};
use crate::config;
use crate::metrics::CoreMetrics;
use crate::metrics::label::BreakerState;
use crate::net::{Elapsed, Timer};

use super::error::{ConnectError, PoolError};
use super::identity::Want;
use super::lease::Lease;
use super::link::Link;
use super::stateless::StatelessPool;
use super::waiting::Waiting;

/// While no link can be opened, one that is in use may come back, and the probe may succeed: who needs one waits so long
/// for that.
pub(super) const HOPE_MAX: Duration = Duration::from_millis(250);

/// The breaker of a pool's instance.
pub(super) struct Guard {
    breaker: RefCell<Breaker>,
    /// What the last failure was.
    reason: RefCell<Rc<str>>,
    /// Somebody else looks after the server, and finds it there.
    vouched_for: Cell<bool>,
}

impl Guard {
    pub fn new(settings: config::Breaker, now: Instant, metrics: &CoreMetrics) -> Self {
        metrics.breakers.of(BreakerState::Closed).inc();
        let seed = RandomState::new().build_hasher().finish();
        Self {
            breaker: RefCell::new(Breaker::new(settings, seed, now)),
            reason: RefCell::new("".into()),
            vouched_for: Cell::new(false),
        }
    }
}

/// The permission to open a link. Dropped without an outcome, it was given up.
pub(super) struct Attempt {
    pool: Rc<StatelessPool>,
    kind: circuit::Attempt,
    is_over: bool,
}

impl Attempt {
    fn end(mut self, outcome: &Result<Link, ConnectError>) {
        self.is_over = true;
        let (kind, now) = (self.kind, self.pool.core.timers.now());
        match outcome {
            Ok(_) => self.pool.change_breaker(|breaker| breaker.opened(now)),
            // Of a server that is known to be there, a time-out says nothing but that this one took too long.
            Err(ConnectError::Timeout(_)) if self.pool.guard.vouched_for.get() => {
                self.pool.change_breaker(|breaker| breaker.abandoned(kind, now));
            }
            Err(error) if error.finds_no_server() => self.pool.failure(&error.to_string(), |breaker| {
                breaker.failed(kind, now);
            }),
            Err(_) => self.pool.change_breaker(|breaker| breaker.answered(kind, now)),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_over {
            let (kind, now) = (self.kind, self.pool.core.timers.now());
            self.pool.change_breaker(|breaker| breaker.abandoned(kind, now));
        }
    }
}

impl StatelessPool {
    /// Whether those who look after the server find it there.
    pub fn vouch(&self, is_up: bool) {
        self.guard.vouched_for.set(is_up);
    }

    /// Permission to open a link; `None` while the breaker is open, or somebody else's attempt decides.
    pub(super) fn attempt(self: &Rc<Self>) -> Option<Attempt> {
        let now = self.core.timers.now();
        let mut kind = circuit::Attempt::Refused;
        self.change_breaker(|breaker| kind = breaker.begin(now));
        (kind != circuit::Attempt::Refused).then(|| Attempt { pool: self.clone(), kind, is_over: false })
    }

    /// Opens a link by this permission.
    pub(super) async fn open(&self, want: &Want, attempt: Attempt) -> Result<Link, ConnectError> {
        let opened = self.open_link(want).await;
        attempt.end(&opened);
        opened
    }

    /// Opens a link that is not the pool's, if one may be opened now.
    pub(super) async fn open_extra(self: &Rc<Self>, want: &Want) -> Result<Link, ConnectError> {
        match self.attempt() {
            Some(attempt) => self.open(want, attempt).await,
            None => {
                self.metrics.breaker_rejected.inc();
                Err(self.suspension(self.stance()))
            }
        }
    }

    /// Where the breaker stands.
    pub(super) fn stance(&self) -> Stance {
        self.guard.breaker.borrow().stance(self.core.timers.now())
    }

    /// Whether a link may be opened now.
    pub(super) fn may_try(&self) -> bool {
        self.guard.breaker.borrow().may_begin(self.core.timers.now())
    }

    /// A link has come back from a statement.
    #[inline]
    pub(super) fn note_work(&self, now: Instant) {
        self.guard.breaker.borrow_mut().worked(now);
    }

    /// A lease was dropped in the middle of something. If it is the server that has closed the link, and nobody has aimed a
    /// KILL at it, that is a failure; a client that leaves is none.
    pub(super) fn note_break(&self, link: &Link) {
        if link.socket.has_ended() && !link.doomed {
            let (opened, now) = (link.opened, self.core.timers.now());
            self.failure("it has closed a connection under a statement", |breaker| {
                breaker.broke(opened, now)
            });
        }
    }

    fn failure(&self, reason: &str, change: impl FnOnce(&mut Breaker)) {
        self.guard.reason.replace(reason.into());
        self.change_breaker(change);
    }

    /// All changes go through here, where they are seen.
    fn change_breaker(&self, change: impl FnOnce(&mut Breaker)) {
        let (before, after) = {
            let breaker = &mut *self.guard.breaker.borrow_mut();
            let before = breaker.state();
            change(breaker);
            (before, breaker.state())
        };
        if before == after {
            return;
        }
        self.metrics.breakers.of(before).dec();
        self.metrics.breakers.of(after).inc();
        let (address, reason) = (&self.instance, self.guard.reason.borrow().clone());
        match after {
            BreakerState::Closed => {
                tracing::info!(target: "athena::pool", %address, "the backend answers: links are opened again (breaker closed)");
            }
            BreakerState::Open => {
                let again_in = match self.stance() {
                    Stance::Open(left) => left,
                    Stance::HalfOpen | Stance::Closed => Duration::ZERO,
                };
                self.metrics.breaker_opened.inc();
                tracing::warn!(target: "athena::pool", %address, %reason, ?again_in, "no link to the backend is tried for a while (breaker open)");
            }
            BreakerState::HalfOpen => {
                tracing::debug!(target: "athena::pool", %address, "one link to the backend is tried (breaker half open)");
            }
        }
    }

    /// Whether a link may be had: there is one, or one may be opened.
    pub fn may_open(&self) -> bool {
        !matches!(self.stance(), Stance::Open(_)) || self.has_hope()
    }

    /// Why no link is opened now.
    pub(super) fn suspension(&self, stance: Stance) -> ConnectError {
        let when = match stance {
            Stance::Open(left) => format!("in {} ms", left.as_millis().max(1)),
            Stance::HalfOpen | Stance::Closed => "at the moment".to_owned(),
        };
        let (address, reason) = (self.instance.to_string(), self.guard.reason.borrow().to_string());
        ConnectError::Suspended { address, reason, when }
    }

    /// Waits for a link, in the order of arrival, for at most `checkout_timeout`. Its schema may still be another one.
    /// While none can be opened, and none is in use that could come back, the answer comes at once.
    pub async fn checkout(self: &Rc<Self>, want: &Want, timer: &Timer) -> Result<Lease, PoolError> {
        if let Some(lease) = self.try_checkout(want) {
            return Ok(lease);
        }
        let stance = self.stance();
        if matches!(stance, Stance::Open(_)) && !self.has_hope() {
            return Err(self.refused(stance));
        }
        let start = self.core.timers.now();
        let waiting = pin!(Waiting { pool: self.clone(), waiter: self.enqueue(want)? });
        let answer = self.wait_in_queue(waiting, timer, start).await;
        self.metrics.checkout_wait.record(self.core.timers.now().saturating_duration_since(start));
        answer
    }

    async fn wait_in_queue<F>(
        self: &Rc<Self>,
        mut waiting: Pin<&mut F>,
        timer: &Timer,
        start: Instant,
    ) -> Result<Lease, PoolError>
    where
        F: Future<Output = Result<Lease, PoolError>>,
    {
        let limit = self.settings.checkout_timeout;
        loop {
            self.open_for_waiters();
            let rest = limit.saturating_sub(self.core.timers.now().saturating_duration_since(start));
            if rest.is_zero() {
                return Err(PoolError::Timeout(limit));
            }
            let part = if self.stance() == Stance::Closed { rest } else { rest.min(HOPE_MAX) };
            match (timer.within(part, waiting.as_mut()).await, self.stance()) {
                (Ok(answer), _) => return answer,
                (Err(Elapsed), Stance::Closed) => {}
                // There is nobody whose attempt could succeed.
                (Err(Elapsed), Stance::HalfOpen) if self.connecting() == 0 => {}
                (Err(Elapsed), stance) => return Err(self.refused(stance)),
            }
        }
    }

    /// Tries for those who wait once the pause behind a failure is over.
    pub(super) fn retry_after(self: &Rc<Self>, pause: Duration) {
        let pool = self.clone();
        self.core.spawn(async move {
            Timer::new(&pool.core.timers).sleep(pause).await;
            pool.open_for_waiters();
        });
    }

    fn refused(&self, stance: Stance) -> PoolError {
        self.metrics.breaker_rejected.inc();
        PoolError::Connect(Rc::new(self.suspension(stance)))
    }
}
