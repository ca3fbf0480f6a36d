//! Opening links: for those who wait, within the bounds, and what becomes of those who wait when it fails.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::circuit::Stance;
use crate::metrics::label::{ClosedReason, LinkState};
use crate::net::Timer;

use super::attempt::HOPE_MAX;
use super::connect::connect;
use super::era::LoginSpan;
use super::error::{ConnectError, PoolError};
use super::identity::Want;
use super::link::Link;
use super::stateless::{State, StatelessPool};
use super::waiting::{Answer, Waiter};

/// After a failed attempt, while other links still work, openers pause for this time.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How long a server may take to close a connection that has said goodbye.
const GOODBYE_MAX: Duration = Duration::from_millis(250);

impl State {
    /// Those who wait and whose accounts may have more links.
    fn open_to(&self) -> impl Iterator<Item = &Rc<Waiter>> {
        self.waiters.iter().filter(|waiter| !self.accounts.is_full(&waiter.want.identity.account))
    }

    /// See [`StatelessPool::wanted`].
    fn wanted(&self) -> usize {
        self.open_to().count().saturating_sub(self.connecting)
    }
}

impl StatelessPool {
    /// A link has said goodbye. Its place is free when the server has closed: until then it counts there.
    pub(super) fn part_with(self: &Rc<Self>, link: Box<Link>) {
        self.state.borrow_mut().leaving += 1;
        let pool = self.clone();
        self.core.spawn(async move {
            let timer = Timer::new(&pool.core.timers);
            let _ = timer.within(GOODBYE_MAX, link.socket.closed()).await;
            drop(link);
            pool.state.borrow_mut().leaving -= 1;
            pool.leave_quota();
            pool.open_for_waiters();
        });
    }

    /// There is one link less: for who waits here, or for another core.
    pub(super) fn leave_quota(&self) {
        self.quota.leave();
        let wanted = self.wanted();
        if wanted == 0 || self.quota.is_overdue(self.core.timers.now()) {
            self.quota.give_back(wanted);
        }
    }

    /// Those who wait for a link that is not being opened yet.
    pub(super) fn wanted(&self) -> usize {
        self.state.borrow().wanted()
    }

    /// Starts openers for those who wait and are not waited for yet, within the bounds.
    pub(super) fn open_for_waiters(self: &Rc<Self>) {
        loop {
            let mut state = self.state.borrow_mut();
            state.accounts.ask_again(self.core.timers.now());
            let Some(want) = state.open_to().nth(state.connecting).map(|waiter| waiter.want.clone()) else {
                return;
            };
            let paused = state.retry_after.is_some_and(|at| self.core.timers.now() < at);
            if state.closed || paused || !self.may_try() || state.connecting >= self.settings.max_connecting {
                return;
            }
            if !self.quota.take() {
                // An idle link that fits nobody who waits stands in the way of one that does.
                let is_short = state.wanted() > state.leaving;
                let in_the_way = (is_short && !state.idle.is_empty()).then(|| state.idle.remove(0));
                drop(state);
                self.quota.ask(self.wanted());
                let Some(link) = in_the_way else { return };
                self.close_idle(link, ClosedReason::Mismatch);
                continue;
            }
            drop(state);
            if !self.start_opener(want) {
                return;
            }
        }
    }

    /// Opens one link more in a task of its own. Room for it has been taken, and is given back if no link may be tried now: then
    /// it returns false.
    pub(super) fn start_opener(self: &Rc<Self>, want: Want) -> bool {
        let Some(attempt) = self.attempt() else {
            self.leave_quota();
            return false;
        };
        {
            let mut state = self.state.borrow_mut();
            state.open += 1;
            state.connecting += 1;
            state.accounts.count_in(&want.identity.account);
        }
        self.metrics.links.of(LinkState::Connecting).inc();
        let pool = self.clone();
        self.core.spawn(async move {
            let own = pool.is_own(&want.identity);
            let opened =
                pool.open(&want, attempt).await.map_err(|error| if own { error } else { error.of_account() });
            pool.state.borrow_mut().connecting -= 1;
            pool.metrics.links.of(LinkState::Connecting).dec();
            pool.note_contact(opened.as_ref().map_or_else(ConnectError::is_of_account, |_| true));
            match opened {
                Ok(link) => {
                    pool.metrics.links_opened.inc();
                    pool.metrics.links.of(LinkState::Busy).inc();
                    pool.put(Box::new(link));
                    // There is room for the next one to connect.
                    pool.open_for_waiters();
                }
                Err(error) => pool.failed(error, &want),
            }
        });
        true
    }

    pub(super) async fn open_link(&self, want: &Want) -> Result<Link, ConnectError> {
        let addresses = self.addresses.borrow().clone();
        let first = self.eras.now();
        let timer = Timer::new(&self.core.timers);
        let limit = self.settings.connect_timeout;
        let known = self.profile();
        let connecting = connect(&self.core.ring, &addresses, &self.instance, want, known.as_deref());
        let mut connected =
            timer.within(limit, connecting).await.unwrap_or(Err(ConnectError::Timeout(limit)))?;
        self.bases.share(&mut connected.base);
        let known = self.profile.borrow().as_ref().is_some_and(|known| **known == connected.profile);
        if !known {
            self.profile.replace(Some(Rc::new(connected.profile.clone())));
        }
        let login = LoginSpan { first, last: self.eras.now() };
        if self.profile_era.get().is_before(first) {
            self.profile_era.set(first);
        }
        let serial = {
            let mut state = self.state.borrow_mut();
            state.next_serial += 1;
            state.next_serial
        };
        let now = self.core.timers.now();
        let max = self.settings.max_prepared_statements;
        Ok(Link::new(connected, want, login, serial, max, now, &self.states))
    }

    /// A link could not be opened. If the account may have no more, those who wait get the ones that it has. If it was for
    /// the schema or the account otherwise, who wanted that is told. Else, while other links exist, those who wait may still
    /// get one of them; if none does nobody will, and all are told. When the breaker has opened, links that sessions keep
    /// give no hope.
    fn failed(self: &Rc<Self>, error: ConnectError, want: &Want) {
        let user = String::from_utf8_lossy(&want.identity.account.user);
        tracing::warn!(target: "athena::pool", address = %self.instance, ?user, %error, "no link to the backend");
        let stance = self.stance();
        let mut state = self.state.borrow_mut();
        state.open -= 1;
        state.accounts.count_out(&want.identity.account);
        let of_account = error.is_of_account();
        let again = self.core.timers.now() + RETRY_PAUSE;
        let told: Vec<Rc<Waiter>> =
            if error.is_about_number() && state.accounts.has_links(&want.identity.account) {
                state.accounts.note_full(&want.identity.account, again);
                Vec::new()
            } else if of_account || error.is_about_schema() {
                let at = state.waiters.iter().position(|waiter| {
                    waiter.want.identity.account == want.identity.account
                        && (waiter.want.schema == want.schema || !error.is_about_schema())
                });
                at.and_then(|at| state.waiters.remove(at)).into_iter().collect()
            } else if state.open > state.connecting && (stance == Stance::Closed || self.is_hopeful(&state)) {
                state.retry_after = Some(again);
                self.retry_after(RETRY_PAUSE);
                Vec::new()
            } else {
                state.waiters.drain(..).collect()
            };
        drop(state);
        self.leave_quota();
        let error = match stance {
            Stance::Closed => error,
            Stance::Open(_) | Stance::HalfOpen if !error.finds_no_server() => error,
            Stance::Open(_) | Stance::HalfOpen => self.suspension(stance),
        };
        let error = PoolError::Connect(Rc::new(error));
        told.iter().for_each(|waiter| waiter.give(Answer::Failed(error.clone())));
        self.open_for_waiters();
    }

    /// Whether a link is in use by a statement, which may end, or by a session that gives it up when it is called.
    pub(super) fn has_hope(&self) -> bool {
        self.is_hopeful(&self.state.borrow())
    }

    fn is_hopeful(&self, state: &State) -> bool {
        let in_use = state.open > state.idle.len() + state.connecting + self.bound_since.len();
        in_use || !self.on_call.is_empty()
    }

    /// While no link can be opened, nobody waits for long: those are told who came before that.
    pub(super) fn tell_the_hopeless(&self) {
        let stance = self.stance();
        if !matches!(stance, Stance::Open(_)) {
            return;
        }
        let now = self.core.timers.now();
        let waits_long = |waiter: &Rc<Waiter>| now.saturating_duration_since(waiter.since) > HOPE_MAX;
        let (told, kept) = self.state.borrow_mut().waiters.drain(..).partition::<VecDeque<_>, _>(waits_long);
        self.state.borrow_mut().waiters = kept;
        let error = PoolError::Connect(Rc::new(self.suspension(stance)));
        self.metrics.breaker_rejected.add(told.len() as u64);
        told.iter().for_each(|waiter| waiter.give(Answer::Failed(error.clone())));
    }

    /// Takes room for one more link, if there is some and one may be opened now. For links that nobody waits for: they are no
    /// reason to close others on another core.
    pub(super) fn take_room(&self) -> bool {
        let state = self.state.borrow();
        if state.closed || state.connecting >= self.settings.max_connecting {
            return false;
        }
        self.quota.take()
    }
}
