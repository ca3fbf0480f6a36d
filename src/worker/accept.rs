//! Taking clients in.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::net::{Accepted, Listener, Timer};
use crate::session::{Context, TooMany, receive};

/// First and longest pause after a failed accept (out of file descriptors, mostly).
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Clients that are being told why they are turned away; further ones are closed without a word.
const TURNING_AWAY_MAX: usize = 64;
/// Whoever doesn't read it in time is closed all the same.
const TURNING_AWAY_TIME: Duration = Duration::from_secs(1);

/// The way in of a core, by whichever listener.
pub(super) struct Entrance {
    ctx: Rc<Context>,
    /// How many are being told that they can't stay.
    turning_away: Rc<Cell<usize>>,
}

impl Entrance {
    pub fn new(ctx: Rc<Context>) -> Self {
        Self { ctx, turning_away: Rc::default() }
    }

    /// Accepts for as long as it is polled: one client in a turn of the core's loop, so that a flood of them leaves time
    /// for others.
    pub async fn accept(&self, listener: Listener) {
        let timer = Timer::new(&self.ctx.core.timers);
        let mut pause = PAUSE_MIN;
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    pause = PAUSE_MIN;
                    self.take_in(accepted);
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(target: "athena::accept", %error, ?pause, "can't accept clients");
                    timer.sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn take_in(&self, accepted: Accepted) {
        self.ctx.metrics.connections_opened.inc();
        if let Err((accepted, too_many)) = receive(&self.ctx, accepted) {
            self.turn_away(accepted, too_many);
        }
    }

    /// It has no place among the clients, so it must not cost what one costs.
    fn turn_away(&self, accepted: Accepted, too_many: TooMany) {
        self.ctx.metrics.connections_refused.of(too_many.reason()).inc();
        let Some(counted) = TurnedAway::new(&self.turning_away) else { return };
        let socket = accepted.on(&self.ctx.core.ring);
        let timer = Timer::new(&self.ctx.core.timers);
        let packet = too_many.error().packet_before_login(0);
        self.ctx.core.spawn(async move {
            let _ = timer.within(TURNING_AWAY_TIME, socket.send(packet)).await;
            drop(counted);
        });
    }
}

/// The client was gone before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNABORTED | libc::EPROTO | libc::EINTR | libc::ECONNRESET | libc::ETIMEDOUT)
    )
}

/// Counts somebody who is being turned away.
struct TurnedAway(Rc<Cell<usize>>);

impl TurnedAway {
    /// `None` where there are too many of them already.
    fn new(count: &Rc<Cell<usize>>) -> Option<Self> {
        let more = count.get() + 1;
        (more <= TURNING_AWAY_MAX).then(|| {
            count.set(more);
            Self(count.clone())
        })
    }
}

impl Drop for TurnedAway {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
