//! Taking clients in.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::metrics::CoreMetrics;
use crate::metrics::label::RefusedReason;
use crate::net::{Listener, Socket, Timer};
use crate::protocol::error::{ErrorCode, ServerError};
use crate::session::{Context, Shared, serve};

/// First and longest pause after a failed accept (out of file descriptors, mostly).
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Accepts for as long as it is polled; each client gets a task of its own.
pub(super) async fn accept(ctx: Rc<Context>, listener: Listener) {
    let timer = Timer::new(&ctx.core.timers);
    let mut pause = PAUSE_MIN;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                pause = PAUSE_MIN;
                ctx.metrics.connections_opened.inc();
                let client = Client::new(&ctx);
                let ctx = ctx.clone();
                ctx.clone().core.spawn(async move {
                    if client.is_one_too_many(&ctx) {
                        turn_away(&ctx, &socket).await;
                    } else {
                        serve(ctx, socket, peer).await;
                    }
                    drop(client);
                });
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

/// The client was gone before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNABORTED | libc::EPROTO | libc::EINTR | libc::ECONNRESET | libc::ETIMEDOUT)
    )
}

async fn turn_away(ctx: &Context, socket: &Socket) {
    ctx.metrics.connections_refused.of(RefusedReason::Limit).inc();
    let error = ServerError::new(ErrorCode::ConCount, "Too many connections ([server] max_connections)");
    let timer = Timer::new(&ctx.core.timers);
    // Whoever doesn't read it in time is closed all the same.
    let _ = timer.within(Duration::from_secs(1), socket.send(error.packet_before_login(0))).await;
}

/// Counts a client for as long as it is there.
struct Client {
    shared: Arc<Shared>,
    metrics: Rc<CoreMetrics>,
    /// How many there were with it.
    number: usize,
}

impl Client {
    fn new(ctx: &Context) -> Self {
        ctx.metrics.connections.inc();
        let shared = ctx.shared.clone();
        let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Self { shared, metrics: ctx.metrics.clone(), number }
    }

    fn is_one_too_many(&self, ctx: &Context) -> bool {
        self.number > ctx.config.server.max_connections
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connections.dec();
    }
}
