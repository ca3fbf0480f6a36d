//! The stateless pool of one core: idle links, those who wait for one, and the numbers that bound both.
//!
//! ```text
//!  (none) --opener--> connecting --logged in--> idle --check-out--> lent --give back--> idle
//!                         |                       |                   |---dirty---> reset --> idle
//!                         +------ failed ---------+--- idle, old -----+--- broken -------> closed
//! ```
//!
//! A session that finds no link waits in a queue; links come to it from others, or from an opener, a task that opens
//! one link. There are never more openers than `max_connecting`, than waiters, or than the pool has room for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::circuit::{Gate, Stance};
use crate::config::{self, Instance};
use crate::metrics::CoreMetrics;
use crate::metrics::label::{ClosedReason, LinkState};
use crate::net::{Executor, Timer};
use crate::protocol::auth::Secret;
use crate::protocol::command::Command;

use super::accounts::Accounts;
use super::attempt::Guard;
use super::base::Bases;
use super::connect::ServerProfile;
use super::era::{Era, Eras};
use super::error::PoolError;
use super::fitting::{fit, take_fitting};
use super::identity::{BackendAccount, Fit, Identity, Want};
use super::lease::Lease;
use super::link::Link;
use super::on_call::OnCall;
use super::quota::Quota;
use super::state::States;
use super::transaction::BoundSince;
use super::waiting::{Answer, Waiter};

/// A waiter for whom no idle link fits is passed over by those behind it for no longer than this.
const PASSED_OVER_MAX: Duration = Duration::from_millis(50);

/// The pool of one instance on one core.
pub struct StatelessPool {
    pub instance: Instance,
    /// The number of its cluster.
    pub cluster: usize,
    /// Its number among the members of that.
    pub member: usize,
    /// The instance's own account: of sessions that have no other, of Athena itself.
    pub account: Rc<BackendAccount>,
    /// `min_idle` and `max_connecting` are this core's slice of the process's; how many links there may be, [`Quota`] knows.
    pub settings: config::Pool,
    pub(super) core: Rc<Executor>,
    pub(super) metrics: Rc<CoreMetrics>,
    pub(super) addresses: RefCell<Arc<[SocketAddr]>>,
    /// Those of the whole process.
    pub eras: Eras,
    /// What sessions have set on this core, whichever member they have set it on.
    pub states: Rc<States>,
    pub(super) state: RefCell<State>,
    /// Sessions whose links only need to be read out.
    pub on_call: OnCall,
    /// What the server said of itself the last time.
    pub(super) profile: RefCell<Option<Rc<ServerProfile>>>,
    /// What links began with that there are.
    pub(super) bases: Bases,
    /// When that was.
    pub(super) profile_era: Cell<Era>,
    /// When a link was last opened, or an attempt failed, and whether it went well.
    contact: Cell<Option<(Instant, bool)>>,
    /// A link broke: the server may be gone.
    suspect: Cell<bool>,
    pub(super) errands: Gate,
    /// How many links there may be on this core.
    pub quota: Quota,
    pub(super) guard: Guard,
    /// Of the links that sessions keep.
    pub bound_since: BoundSince,
}

#[derive(Default)]
pub(super) struct State {
    /// The most recently used is last.
    #[expect(clippy::vec_box, reason = "a link goes from hand to hand: by its address, not its bytes")]
    pub(super) idle: Vec<Box<Link>>,
    /// Links that exist: idle, lent, being reset, being opened.
    pub(super) open: usize,
    pub(super) connecting: usize,
    /// Links that have said goodbye, and whose server has not closed yet.
    pub(super) leaving: usize,
    pub(super) waiters: VecDeque<Rc<Waiter>>,
    pub(super) next_serial: u64,
    pub(super) retry_after: Option<Instant>,
    pub(super) accounts: Accounts,
    pub(super) last_want: Option<Want>,
    pub(super) closed: bool,
}

impl StatelessPool {
    #[expect(
        clippy::too_many_arguments,
        reason = "what a pool is made of, named at the one place that makes pools"
    )]
    pub fn new(
        instance: Instance,
        (cluster, member): (usize, usize),
        settings: config::Pool,
        addresses: Arc<[SocketAddr]>,
        eras: Eras,
        states: Rc<States>,
        quota: Quota,
        core: &Rc<Executor>,
        metrics: &Rc<CoreMetrics>,
    ) -> Rc<Self> {
        let secret = Secret::password(instance.password.expose());
        let guard = Guard::new(settings.breaker.clone(), core.timers.now(), metrics);
        Rc::new(Self {
            account: BackendAccount::new(instance.user.as_bytes(), secret),
            instance,
            cluster,
            member,
            settings,
            core: core.clone(),
            metrics: metrics.clone(),
            addresses: RefCell::new(addresses),
            eras,
            states,
            state: RefCell::default(),
            on_call: OnCall::default(),
            profile: RefCell::default(),
            bases: Bases::default(),
            profile_era: Cell::new(Era::FIRST),
            contact: Cell::new(None),
            suspect: Cell::new(false),
            errands: super::errand::gate(),
            quota,
            guard,
            bound_since: BoundSince::default(),
        })
    }

    /// Where the instance's name points to now. Links that are open stay.
    pub fn set_addresses(&self, addresses: Arc<[SocketAddr]>) {
        self.addresses.replace(addresses);
    }

    /// What the server last said of itself; `None` before the first link.
    pub fn profile(&self) -> Option<Rc<ServerProfile>> {
        self.profile.borrow().clone()
    }

    /// The same, unless it was before the era that is now.
    pub fn profile_of_now(&self) -> Option<Rc<ServerProfile>> {
        self.profile().filter(|_| !self.profile_era.get().is_before(self.eras.now()))
    }

    /// When the server was last spoken to, and whether that went well; `None` before the first time.
    pub fn contact(&self) -> Option<(Instant, bool)> {
        self.contact.get()
    }

    /// Whether a link broke since this was last asked.
    pub(super) fn take_suspicion(&self) -> bool {
        self.suspect.replace(false)
    }

    pub(super) fn note_contact(&self, good: bool) {
        self.contact.set(Some((self.core.timers.now(), good)));
    }

    /// The fast way to a link: an idle one that fits.
    pub fn try_checkout(self: &Rc<Self>, want: &Want) -> Option<Lease> {
        loop {
            // Whoever waits found no link that fits, and one that comes back is theirs first: what is idle fits none of them.
            let link = take_fitting(&mut self.state.borrow_mut().idle, want)?;
            self.metrics.links.of(LinkState::Idle).dec();
            if let Some(lease) = self.lend(link) {
                return Some(lease);
            }
        }
    }

    pub(super) fn enqueue(&self, want: &Want) -> Result<Rc<Waiter>, PoolError> {
        let mut state = self.state.borrow_mut();
        if state.closed {
            return Err(PoolError::Closed);
        }
        let since = self.core.timers.now();
        let waiter = Rc::new(Waiter { want: want.clone(), since, answer: RefCell::new(Answer::None(None)) });
        state.waiters.push_back(waiter.clone());
        self.on_call.call_one();
        state.last_want = Some(want.clone());
        Ok(waiter)
    }

    /// The most recently used idle link for which `fits` holds. It is to be lent.
    pub(super) fn take_idle(&self, fits: impl Fn(&Link) -> bool) -> Option<Box<Link>> {
        let idle = &mut self.state.borrow_mut().idle;
        let at = idle.iter().rposition(|link| fits(link))?;
        Some(idle.remove(at))
    }

    /// A link leaves the idle ones, unless it turns out to be dead.
    pub(super) fn lend(self: &Rc<Self>, link: Box<Link>) -> Option<Lease> {
        self.metrics.links.of(LinkState::Busy).inc();
        if !link.socket.is_quiet() {
            self.closed(link, ClosedReason::ServerClosed);
            return None;
        }
        Some(Lease::new(self, link))
    }

    /// Takes a clean link back and passes it on.
    pub(super) fn put(self: &Rc<Self>, mut link: Box<Link>) {
        let now = self.core.timers.now();
        if self.is_old(&link) {
            link.quit();
            self.closed(link, ClosedReason::Age);
            return;
        }
        if link.doomed {
            link.quit();
            self.closed(link, ClosedReason::Killed);
            return;
        }
        if !link.socket.is_quiet() {
            // More than the reply has come, or the end: nobody must take it for an answer.
            self.closed(link, ClosedReason::ServerClosed);
            return;
        }
        link.idle_since = now;
        self.contact.set(Some((now, true)));
        self.note_work(now);
        let mut state = self.state.borrow_mut();
        if state.closed {
            drop(state);
            link.quit();
            self.closed(link, ClosedReason::Shutdown);
            return;
        }
        if self.quota.is_overdue(now) && self.may_try() {
            drop(state);
            link.quit();
            self.closed(link, ClosedReason::Elsewhere);
            return;
        }
        // No room is made where none can be used.
        match state.next_waiter(&link, now, !self.quota.has_idle() && self.may_try()) {
            Next::Serve(waiter) => {
                drop(state);
                waiter.give(Answer::Link(link));
            }
            Next::MakeRoom => {
                drop(state);
                link.quit();
                self.closed(link, ClosedReason::Mismatch);
            }
            Next::Nobody => {
                state.idle.push(link);
                drop(state);
                self.metrics.links.of(LinkState::Busy).dec();
                self.metrics.links.of(LinkState::Idle).inc();
            }
        }
    }

    /// A lent link is no more. Its socket closes here.
    pub(super) fn closed(self: &Rc<Self>, link: Box<Link>, reason: ClosedReason) {
        self.state.borrow_mut().accounts.count_out(&link.identity.account);
        if matches!(reason, ClosedReason::Error | ClosedReason::ServerClosed) {
            self.suspect.set(true);
        }
        self.metrics.links.of(LinkState::Busy).dec();
        self.metrics.links_closed.of(reason).inc();
        self.state.borrow_mut().open -= 1;
        match reason {
            ClosedReason::Error | ClosedReason::ServerClosed | ClosedReason::Shutdown => {
                drop(link);
                self.leave_quota();
            }
            _ => self.part_with(link),
        }
        self.open_for_waiters();
    }

    /// Each link gets an age of its own, up to an eighth below the limit, so that links opened together don't end
    /// together.
    pub(super) fn is_old(&self, link: &Link) -> bool {
        // While there can be no other in its place it is better than none.
        let Some(limit) = self.settings.max_lifetime.filter(|_| self.stance() == Stance::Closed) else {
            return false;
        };
        let eighth = u32::try_from(link.serial % 8).unwrap_or(0);
        self.core.timers.now().saturating_duration_since(link.opened) > limit - limit / 64 * eighth
    }

    /// Closes idle links for which `reason` gives one, and returns how many are left.
    pub(super) fn sweep(self: &Rc<Self>, reason: impl Fn(&Link, usize) -> Option<ClosedReason>) -> usize {
        let mut kept = Vec::new();
        let idle = std::mem::take(&mut self.state.borrow_mut().idle);
        let mut left = idle.len();
        for link in idle {
            match reason(&link, left) {
                Some(reason) => {
                    left -= 1;
                    self.close_idle(link, reason);
                }
                None => kept.push(link),
            }
        }
        let mut state = self.state.borrow_mut();
        // Closing may have brought others back meanwhile; they were used more recently.
        kept.append(&mut state.idle);
        state.idle = kept;
        state.idle.len()
    }

    pub(super) fn close_idle(self: &Rc<Self>, link: Box<Link>, reason: ClosedReason) {
        self.metrics.links.of(LinkState::Idle).dec();
        self.metrics.links.of(LinkState::Busy).inc();
        if reason != ClosedReason::ServerClosed {
            link.quit();
        }
        self.closed(link, reason);
    }

    /// The server has no room for more statements: closes those of the idle link that was used least recently of all that
    /// have any. False if none has. When this is done the server has its room back.
    pub async fn free_statements(self: &Rc<Self>) -> bool {
        loop {
            let at = self.state.borrow().idle.iter().position(|link| link.has_statements());
            let Some(at) = at else { return false };
            let link = self.state.borrow_mut().idle.remove(at);
            self.metrics.links.of(LinkState::Idle).dec();
            let Some(mut lease) = self.lend(link) else { continue };
            lease.forget_statements();
            // COM_STMT_CLOSE has no answer; what is sent behind it has one.
            let ping = [Command::Ping as u8];
            let timer = Timer::new(&self.core.timers);
            match timer.within(self.settings.connect_timeout, lease.command(&ping)).await {
                Ok(Ok(_)) => lease.give_back(),
                // The end of a link frees its statements, too.
                _ => drop(lease),
            }
            return true;
        }
    }

    /// Somebody waits no longer.
    pub(super) fn leave_queue(&self, waiter: &Rc<Waiter>) {
        self.state.borrow_mut().waiters.retain(|other| !Rc::ptr_eq(other, waiter));
    }

    /// Whether somebody waits for a link.
    pub fn is_waited_for(&self) -> bool {
        !self.state.borrow().waiters.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.borrow().closed
    }

    /// Closes the idle link that was used least recently, if it may go that was last used then.
    pub(super) fn close_least_used(
        self: &Rc<Self>,
        may_go: impl Fn(Instant) -> bool,
        reason: ClosedReason,
    ) -> bool {
        let mut state = self.state.borrow_mut();
        let first = state.idle.first().is_some_and(|link| may_go(link.idle_since));
        let link = first.then(|| state.idle.remove(0));
        drop(state);
        let closed = link.is_some();
        link.into_iter().for_each(|link| self.close_idle(link, reason));
        closed
    }

    /// Links on loan.
    pub fn busy(&self) -> usize {
        let state = self.state.borrow();
        state.open.saturating_sub(state.idle.len() + state.connecting)
    }

    pub fn timers(&self) -> &Rc<crate::net::Timers> {
        &self.core.timers
    }

    /// Links being opened.
    pub(super) fn connecting(&self) -> usize {
        self.state.borrow().connecting
    }

    /// Whether links are on loan, so that whoever has them will notice when the server is gone.
    pub(super) fn has_lent(&self) -> bool {
        let state = self.state.borrow();
        state.open > state.idle.len()
    }

    /// What the last session wanted that had to wait.
    pub(super) fn last_want(&self) -> Option<Want> {
        self.state.borrow().last_want.clone()
    }

    /// The identity and schema of the most recently used idle link.
    pub(super) fn usual_want(&self) -> Option<Want> {
        let state = self.state.borrow();
        state.idle.last().map(|link| Want {
            identity: link.identity.clone(),
            schema: link.schema.clone(),
            era: link.login.first,
            state: link.carries.clone().unwrap_or_else(|| self.states.empty()),
        })
    }

    /// Whether links of this identity log in as the instance's own account.
    pub(super) fn is_own(&self, identity: &Identity) -> bool {
        Rc::ptr_eq(&identity.account, &self.account) || identity.account == self.account
    }

    /// A want of Athena's own: nobody asks for more than a link.
    pub fn plain_want(&self, collation: u8) -> Want {
        Want {
            identity: Identity::usual(self.account.clone(), collation),
            schema: None,
            era: self.eras.now(),
            state: self.states.empty(),
        }
    }

    /// Closes what is idle at the moment.
    pub fn close_idle_links(self: &Rc<Self>, reason: ClosedReason) {
        self.sweep(|_, _| Some(reason));
    }

    /// Lends nothing from now on: idle links are closed, others as they come back, those who wait are told.
    pub fn close(self: &Rc<Self>) {
        let waiters = {
            let mut state = self.state.borrow_mut();
            state.closed = true;
            std::mem::take(&mut state.waiters)
        };
        waiters.iter().for_each(|waiter| waiter.give(Answer::Failed(PoolError::Closed)));
        self.sweep(|_, _| Some(ClosedReason::Shutdown));
    }
}

enum Next {
    Serve(Rc<Waiter>),
    /// The first in the queue has waited long, and this link is not for it: a new one has to take its place.
    MakeRoom,
    Nobody,
}

impl State {
    /// Who gets a link that has come back: the first whom it fits. If somebody before that has been passed over for long,
    /// and there is no room to open a link for it, this one makes room.
    fn next_waiter(&mut self, link: &Link, now: Instant, is_full: bool) -> Next {
        self.accounts.ask_again(now);
        let fits = |waiter: &Rc<Waiter>| fit(&waiter.want, link) != Fit::No;
        let at = self.waiters.iter().position(fits);
        let before = self
            .waiters
            .iter()
            .take(at.unwrap_or(usize::MAX))
            .find(|waiter| !self.accounts.is_full(&waiter.want.identity.account));
        let stuck = is_full && self.connecting == 0;
        let passed_over = |first: &Rc<Waiter>| now.saturating_duration_since(first.since) > PASSED_OVER_MAX;
        if stuck && before.is_some_and(|first| at.is_none() || passed_over(first)) {
            return Next::MakeRoom;
        }
        at.and_then(|at| self.waiters.remove(at)).map_or(Next::Nobody, Next::Serve)
    }
}
