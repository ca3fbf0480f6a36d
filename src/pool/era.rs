//! What new connections begin with, and when that changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the changes to global variables and accounts that clients made through Athena, for the whole process. A server
/// gives these to a connection when it logs in: a session that begins after such a change must not get a link that
/// logged in before it.
///
/// Read when a client or a link logs in, and nowhere on the path of a query.
#[derive(Debug, Clone, Default)]
pub struct Eras(Arc<AtomicU32>);

/// The time between two of those changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Era(u32);

impl Eras {
    pub fn now(&self) -> Era {
        Era(self.0.load(Ordering::Acquire))
    }

    /// Something changed: what logs in from now on is of a new era.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Era {
    /// The first, for what is made before anything can have changed.
    pub const FIRST: Self = Self(0);

    /// Whether this one was over when `other` began. The count may wrap.
    pub fn is_before(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0).cast_signed() > 0
    }
}

/// When a link logged in: what began to hold in between it may have or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoginSpan {
    /// Before the login began.
    pub first: Era,
    /// After it was done.
    pub last: Era,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_era_is_before_those_that_follow() {
        let eras = Eras::default();
        let first = eras.now();
        eras.clone().begin();
        let second = eras.now();
        assert!(first.is_before(second) && !second.is_before(first) && !first.is_before(first));
        assert!(Era(u32::MAX).is_before(Era(0)) && !Era(0).is_before(Era(u32::MAX)));
    }
}
