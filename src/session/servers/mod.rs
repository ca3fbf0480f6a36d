//! One session on several servers, where `[[shards]]` have servers of their own.
//!
//! - `visit` goes from server to server: a session sits at one at a time, and what can't move waits at the others.
//! - `branches` has a transaction go on at a further server; `commit` ends it on all of them by two phases, and `recovery` ends
//!   what a crash has left in doubt; `savepoints` are on all of them.

mod branches;
mod commit;
mod recovery;
mod savepoints;
mod visit;

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

pub(super) use branches::{Ending, Global};
pub use recovery::recover;
pub(super) use visit::{Errand, Opening, Seat};

/// One of several that are waited for together.
type Asked<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Waits for all of these at the same time.
async fn all<T>(futures: Vec<Asked<'_, T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Some(future), None)).collect();
    std::future::poll_fn(move |cx| {
        let mut waits = false;
        for (future, output) in &mut running {
            let Some(unfinished) = future else { continue };
            match unfinished.as_mut().poll(cx) {
                Poll::Ready(ready) => (*future, *output) = (None, Some(ready)),
                Poll::Pending => waits = true,
            }
        }
        match waits {
            true => Poll::Pending,
            false => Poll::Ready(running.drain(..).filter_map(|(_, output)| output).collect()),
        }
    })
    .await
}
