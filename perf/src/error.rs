//! What can go wrong in the lab and in the tools.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the lab or of a tool, with what a reader needs to act on it.
#[derive(thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written or made.
    #[error("{path}: {source}")]
    File {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A program could not be started at all (mostly: it is not installed).
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// The program's name or path.
        program: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// The program's name or path.
        program: String,
        /// How it ended.
        status: String,
        /// What it printed last.
        output: String,
    },
    /// A daemon ended, or did not get ready in time.
    #[error("{program} did not start ({reason}): {log}")]
    Start {
        /// The program's name or path.
        program: String,
        /// What was seen.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// Something that had to become true did not, in the time given.
    #[error("timed out: {0}")]
    Timeout(String),
    /// A program that is needed is not installed.
    #[error("{0} is not installed (`make deps` installs what is missing)")]
    Missing(String),
    /// Talking to a server failed.
    #[error("{what}: {source}")]
    Network {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A peer or a tool said something that could not be understood.
    #[error("unexpected: {0}")]
    Unexpected(String),
}

/// `main` and tests that end with an error print it this way; a log quoted in one line of escapes would help nobody.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Error {
    /// Wraps the failure of an operation on `path`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// Wraps a network failure, said in the words of `what`.
    pub(crate) fn network(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Network { what, source }
    }
}
