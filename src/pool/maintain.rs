//! What keeps a pool in order while nobody looks: once a second, in a task of the core.

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::metrics::label::ClosedReason;
use crate::net::Timer;

use super::identity::{Identity, Want};
use super::stateless::StatelessPool;

const INTERVAL: Duration = Duration::from_secs(1);

/// A server that has not been heard of for so long is spoken to, so that its state is known.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Runs until the core ends.
pub async fn maintain(pool: Rc<StatelessPool>) {
    let timer = Timer::new(&pool.core.timers);
    pool.quota.set_poker(timer.poker());
    // The first grant is worth asking for.
    pool.quota.ask(1);
    loop {
        tidy(&pool);
        ask(&pool, &timer).await;
        pool.quota.correct(pool.wanted());
        // What could not be opened for want of room is opened as soon as there is some.
        let news = std::future::poll_fn(|_| match pool.quota.take_news() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let _ = timer.within(INTERVAL, news).await;
    }
}

/// Closes links that are dead, old, or idle for too long; opens some if too few are ready.
fn tidy(pool: &Rc<StatelessPool>) {
    let now = pool.core.timers.now();
    let min_idle = pool.settings.min_idle;
    let idle = pool.sweep(|link, left| {
        if !link.socket.is_quiet() {
            return Some(ClosedReason::ServerClosed);
        }
        if pool.is_old(link) {
            return Some(ClosedReason::Age);
        }
        let unused = now.saturating_duration_since(link.idle_since) > pool.settings.idle_timeout;
        (unused && left > min_idle).then_some(ClosedReason::Idle)
    });
    pool.tell_the_hopeless();
    pool.open_for_waiters();
    for _ in idle + pool.connecting()..min_idle {
        if !pool.take_room() || !pool.start_opener(usual(pool)) {
            return;
        }
    }
}

/// Finds out whether the server answers, if nothing has told for a while (or the last attempt failed).
async fn ask(pool: &Rc<StatelessPool>, timer: &Timer) {
    let now = pool.core.timers.now();
    let fresh =
        pool.contact().is_some_and(|(at, good)| good && now.saturating_duration_since(at) < SILENCE_MAX);
    if fresh && !pool.take_suspicion() {
        return;
    }
    let Some(mut lease) = pool.usual_want().and_then(|want| pool.try_checkout(&want)) else {
        if !pool.has_lent() && pool.take_room() {
            pool.start_opener(usual(pool));
        }
        return;
    };
    let ping = [crate::protocol::command::Command::Ping as u8];
    match timer.within(pool.settings.connect_timeout, lease.command(&ping)).await {
        Ok(Ok(_)) => {
            pool.note_contact(true);
            lease.give_back();
        }
        _ => pool.note_contact(false),
    }
}

/// What a session will most likely want, of those that log in as the instance's own account.
fn usual(pool: &StatelessPool) -> Want {
    let own = |want: &Want| pool.is_own(&want.identity);
    pool.usual_want().filter(own).or_else(|| pool.last_want().filter(own)).unwrap_or_else(|| {
        pool.plain_want(pool.profile().map_or(Identity::DEFAULT_COLLATION, |profile| profile.collation))
    })
}
