//! Deadlines of a core. They live here, not in the ring: the earliest of them only bounds the driver's wait.
//!
//! A [`Timer`] belongs to a task and is set again for each wait. Setting it later than before costs one store;
//! its entry in the heap fires early, sees the new deadline and moves there.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

/// Milliseconds of a core's clock, and of deadlines. Coarser than the wait needs, cheap to compare.
type Tick = u64;

const NEVER: Tick = Tick::MAX;

/// Entries of the heap that no slot stands behind any more are thrown out when there are more than this many for
/// each slot (and for [`STALE_MIN`] more): setting a deadline earlier leaves one behind.
const STALE_FACTOR: usize = 4;
const STALE_MIN: usize = 64;

struct Slot {
    deadline: Tick,
    /// The earliest tick at which the heap holds an entry for this slot; `NEVER` without one.
    queued: Tick,
    waker: Option<Waker>,
    generation: u32,
}

/// The timers of one core and its clock, which stands still during a turn of the core's loop.
pub struct Timers {
    start: Instant,
    now: Cell<Instant>,
    slots: RefCell<Slab<Slot>>,
    heap: RefCell<BinaryHeap<Reverse<(Tick, usize, u32)>>>,
    generation: Cell<u32>,
}

impl Timers {
    pub fn new() -> Rc<Self> {
        let start = Instant::now();
        Rc::new(Self {
            start,
            now: Cell::new(start),
            slots: RefCell::default(),
            heap: RefCell::default(),
            generation: Cell::new(0),
        })
    }

    /// The time at which the core's loop last came back from its wait.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Sets the clock and wakes the owners of the deadlines that have passed. Returns how many those are.
    pub(super) fn advance(&self, now: Instant) -> usize {
        self.now.set(now);
        let tick = self.tick(now, false);
        let mut fired = 0;
        loop {
            let mut heap = self.heap.borrow_mut();
            match heap.peek() {
                Some(Reverse((at, _, _))) if *at <= tick => {}
                _ => return fired,
            }
            let Some(Reverse((at, id, generation))) = heap.pop() else { return fired };
            let mut slots = self.slots.borrow_mut();
            let Some(slot) = slots.get_mut(id).filter(|s| s.generation == generation) else { continue };
            if slot.queued != at {
                continue;
            }
            slot.queued = NEVER;
            if slot.deadline <= tick {
                slot.deadline = NEVER;
                fired += 1;
                let waker = slot.waker.take();
                drop((slots, heap));
                if let Some(waker) = waker {
                    waker.wake();
                }
            } else if slot.deadline != NEVER {
                slot.queued = slot.deadline;
                heap.push(Reverse((slot.deadline, id, generation)));
            }
        }
    }

    /// How long the core may wait, counted from its clock; `None` without a deadline.
    pub(super) fn until_next(&self, now: Instant) -> Option<Duration> {
        let heap = self.heap.borrow();
        let Reverse((at, _, _)) = heap.peek()?;
        Some((self.start + Duration::from_millis(*at)).saturating_duration_since(now))
    }

    /// Rounded up for deadlines, so that none fires early; down for the clock.
    fn tick(&self, at: Instant, up: bool) -> Tick {
        let micros = at.saturating_duration_since(self.start).as_micros() as u64;
        if up { micros.div_ceil(1000) } else { micros / 1000 }
    }

    fn set(&self, id: usize, deadline: Tick) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(id) else { return };
        slot.deadline = deadline;
        if deadline < slot.queued {
            slot.queued = deadline;
            let mut heap = self.heap.borrow_mut();
            heap.push(Reverse((deadline, id, slot.generation)));
            if heap.len() > STALE_FACTOR * (slots.len() + STALE_MIN) {
                heap.retain(|Reverse((at, id, generation))| {
                    slots.get(*id).is_some_and(|slot| slot.generation == *generation && slot.queued == *at)
                });
            }
        }
    }

    /// Wakes the task that waits with the timer of this id, whatever it waits for.
    fn poke(&self, id: usize) {
        let waker = self.slots.borrow().get(id).and_then(|slot| slot.waker.clone());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// One task's deadline.
pub struct Timer {
    timers: Rc<Timers>,
    id: usize,
}

/// The deadline of a wait passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

impl Timer {
    pub fn new(timers: &Rc<Timers>) -> Self {
        let generation = timers.generation.get().wrapping_add(1);
        timers.generation.set(generation);
        let slot = Slot { deadline: NEVER, queued: NEVER, waker: None, generation };
        Self { timers: timers.clone(), id: timers.slots.borrow_mut().insert(slot) }
    }

    /// The core's clock.
    pub fn now(&self) -> Instant {
        self.timers.now()
    }

    /// Waits for `future`, at most for `limit` (zero: without limit). The future is dropped when time is up.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let deadline = match limit {
            Duration::ZERO => NEVER,
            limit => self.timers.tick(self.timers.now() + limit, true),
        };
        let mut armed = false;
        std::future::poll_fn(|cx: &mut Context<'_>| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if !armed {
                armed = true;
                self.timers.set(self.id, deadline);
            } else if self.fired(deadline) {
                return Poll::Ready(Err(Elapsed));
            }
            self.register(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Ready when this time has come; for whoever waits for several things.
    pub fn poll_at(&self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.timers.tick(at, true);
        if self.fired(deadline) {
            return Poll::Ready(());
        }
        self.timers.set(self.id, deadline);
        self.register(cx.waker());
        Poll::Pending
    }

    /// Something that wakes whoever waits with this timer.
    pub fn poker(&self) -> Poker {
        Poker { timers: self.timers.clone(), id: self.id }
    }

    /// Waits until `limit` has passed.
    pub async fn sleep(&self, limit: Duration) {
        let _ = self.within(limit.max(Duration::from_millis(1)), std::future::pending::<()>()).await;
    }

    fn fired(&self, deadline: Tick) -> bool {
        deadline != NEVER && self.timers.tick(self.timers.now(), false) >= deadline
    }

    fn register(&self, waker: &Waker) {
        if let Some(slot) = self.timers.slots.borrow_mut().get_mut(self.id) {
            match &slot.waker {
                Some(known) if known.will_wake(waker) => {}
                _ => slot.waker = Some(waker.clone()),
            }
        }
    }
}

/// Wakes the task that waits with one timer, to have it look at what has changed. The waits themselves go on.
pub struct Poker {
    timers: Rc<Timers>,
    id: usize,
}

impl Poker {
    pub fn poke(&self) {
        self.timers.poke(self.id);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timers.slots.borrow_mut().try_remove(self.id);
    }
}
