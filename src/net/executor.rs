//! The loop of a core: tasks counted, one driver that blocks.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::ring::Ring;
use super::timer::Timers;

/// What a core's tasks share: its ring, its timers, and the count of polls by which the driver knows that
/// nothing can run.
pub struct Executor {
    pub ring: Rc<Ring>,
    pub timers: Rc<Timers>,
    polls: Rc<Cell<u64>>,
    stopped: Cell<bool>,
    pub stats: LoopStats,
}

/// Figures of the loop, for metrics.
#[derive(Default)]
pub struct LoopStats {
    /// Times that the core has gone through its loop.
    pub turns: Cell<u64>,
    /// Longest time that the core was busy between two waits: how long a runnable task may have waited.
    pub longest_turn: Cell<Duration>,
    /// Longest time by which a wait went on after its deadline.
    pub longest_oversleep: Cell<Duration>,
    /// Longest wait in which a task could have run: it was polled afterwards although nothing had woken it. It is
    /// always zero, or the loop is wrong.
    pub longest_neglect: Cell<Duration>,
}

impl Executor {
    pub fn new(ring: Rc<Ring>) -> Rc<Self> {
        Rc::new(Self {
            ring,
            timers: Timers::new(),
            polls: Rc::default(),
            stopped: Cell::new(false),
            stats: LoopStats::default(),
        })
    }

    /// Starts a task on this core. Every task of a core is started here: the driver counts their polls.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        glommio::spawn_local(Counted { task, polls: self.polls.clone() }).detach();
    }

    /// Makes [`Executor::drive`] return when no task can run.
    pub fn stop(&self) {
        self.stopped.set(true);
    }

    /// Runs the core until [`Executor::stop`]: lets every task run that can, then submits what they queued and
    /// waits, in one `io_uring_enter`, for a completion or the earliest deadline. `spin` is how long it polls
    /// the ring before it lets the kernel put the thread to sleep.
    ///
    /// # Errors
    /// Only those of `io_uring_enter(2)` that mean a broken ring.
    pub async fn drive(&self, spin: Duration) -> io::Result<()> {
        let mut woke = Instant::now();
        self.timers.advance(woke);
        let mut unexplained = None;
        loop {
            let ran = self.run_tasks().await;
            if let Some(waited) = unexplained.filter(|_| ran) {
                raise(&self.stats.longest_neglect, waited);
            }
            if self.stopped.get() {
                return self.flush();
            }
            let now = Instant::now();
            self.stats.turns.set(self.stats.turns.get() + 1);
            raise(&self.stats.longest_turn, now.saturating_duration_since(woke));
            let timeout = self.timers.until_next(now);
            let reaped = self.wait(now, timeout, spin)?;
            woke = Instant::now();
            let waited = woke.saturating_duration_since(now);
            if let Some(timeout) = timeout {
                raise(&self.stats.longest_oversleep, waited.saturating_sub(timeout));
            }
            let fired = self.timers.advance(woke);
            unexplained = (reaped == 0 && fired == 0).then_some(waited);
        }
    }

    /// What the last tasks queued (goodbyes, closes) still reaches the kernel, and so does what that leads to: the end of
    /// an operation closes its descriptor.
    fn flush(&self) -> io::Result<()> {
        self.ring.enter(Some(Duration::ZERO))?;
        while self.ring.has_queued() {
            self.ring.enter(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Yields until a whole turn of the run queue has passed in which no task was polled. The queue is
    /// first-in-first-out and holds each task once, so then nothing runnable is left in it. True if any was polled.
    async fn run_tasks(&self) -> bool {
        let start = self.polls.get();
        loop {
            let before = self.polls.get();
            futures_lite::future::yield_now().await;
            if self.polls.get() == before {
                return before != start;
            }
        }
    }

    /// Returns how many completions came.
    fn wait(&self, now: Instant, timeout: Option<Duration>, spin: Duration) -> io::Result<usize> {
        if !spin.is_zero() {
            let until = now + timeout.map_or(spin, |t| t.min(spin));
            loop {
                let reaped = self.ring.enter(Some(Duration::ZERO))?;
                if reaped > 0 {
                    return Ok(reaped);
                }
                if Instant::now() >= until {
                    break;
                }
            }
        }
        self.ring.enter(timeout)
    }
}

fn raise(cell: &Cell<Duration>, value: Duration) {
    if value > cell.get() {
        cell.set(value);
    }
}

/// A task whose polls are counted.
struct Counted<F> {
    task: F,
    polls: Rc<Cell<u64>>,
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls.set(self.polls.get() + 1);
        // SAFETY: `task` is never moved out of the pinned wrapper, which has no Drop of its own and is not
        // `Unpin` unless `F` is.
        unsafe { self.map_unchecked_mut(|this| &mut this.task) }.poll(cx)
    }
}
