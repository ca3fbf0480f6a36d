//! Waiting for a link, in the order of arrival.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::error::PoolError;
use super::identity::Want;
use super::lease::Lease;
use super::link::Link;
use super::stateless::StatelessPool;

/// A session that waits for a link.
pub(super) struct Waiter {
    pub want: Want,
    pub since: Instant,
    pub answer: RefCell<Answer>,
}

pub(super) enum Answer {
    None(Option<Waker>),
    Link(Box<Link>),
    Failed(PoolError),
    Taken,
}

impl Waiter {
    pub fn give(&self, answer: Answer) {
        if let Answer::None(Some(waker)) = self.answer.replace(answer) {
            waker.wake();
        }
    }
}

/// A place in the queue. Dropping it leaves the queue, or passes on what had come already.
pub(super) struct Waiting {
    pub pool: Rc<StatelessPool>,
    pub waiter: Rc<Waiter>,
}

impl Future for Waiting {
    type Output = Result<Lease, PoolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = self.waiter.answer.borrow_mut();
        if let Answer::None(waker) = &mut *answer {
            *waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match std::mem::replace(&mut *answer, Answer::Taken) {
            Answer::Link(link) => Poll::Ready(Ok(Lease::new(&self.pool, link))),
            Answer::Failed(error) => Poll::Ready(Err(error)),
            Answer::None(_) | Answer::Taken => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let answer = self.waiter.answer.replace(Answer::Taken);
        match answer {
            Answer::None(_) => {
                self.pool.leave_queue(&self.waiter);
            }
            Answer::Link(link) => self.pool.put(link),
            Answer::Failed(_) | Answer::Taken => {}
        }
    }
}
