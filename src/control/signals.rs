//! Signals, as messages.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM or SIGINT: end, in order the first time, at once the second.
    Stop,
    /// SIGHUP.
    Reload,
}

/// Starts the thread that waits for signals. Its channel holds a few; more of the same say nothing new.
///
/// # Errors
/// When the handlers can't be installed or the thread not be made.
pub(super) fn listen() -> io::Result<async_channel::Receiver<Signal>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (sender, receiver) = async_channel::bounded(8);
    std::thread::Builder::new().name("athena-signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let meaning = if signal == SIGHUP { Signal::Reload } else { Signal::Stop };
            let _ = sender.try_send(meaning);
        }
    })?;
    Ok(receiver)
}
