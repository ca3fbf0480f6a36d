//! Whether a server is there: one lost look changes nothing, and one lucky look neither.

use crate::config::Health;

/// What the looks so far come to.
#[derive(Debug, Default)]
pub(super) struct Damping {
    /// `None` before the first look.
    is_up: Option<bool>,
    /// Looks in a row that speak against it.
    against: usize,
    /// The last look failed.
    has_just_failed: bool,
}

impl Damping {
    /// Somebody has looked.
    pub fn is_known(&self) -> bool {
        self.is_up.is_some()
    }

    pub fn is_up(&self) -> bool {
        self.is_up == Some(true)
    }

    /// It is up, and so said the last look.
    pub fn is_fresh(&self) -> bool {
        self.is_up() && !self.has_just_failed
    }

    /// Takes one look in. The first decides at once; after it, so many in a row that say otherwise. True if it is up now and
    /// was not, or the other way round.
    pub fn note(&mut self, good: bool, health: &Health) -> bool {
        self.has_just_failed = !good;
        let enough = match self.is_up {
            None => 1,
            Some(true) => health.failures,
            Some(false) => health.recoveries,
        };
        if self.is_up == Some(good) {
            self.against = 0;
            return false;
        }
        self.against += 1;
        if self.against < enough {
            return false;
        }
        self.against = 0;
        self.is_up = Some(good);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_takes_several_looks_in_a_row() {
        let second = Duration::from_secs(1);
        let health = Health { interval: second, timeout: second, failures: 3, recoveries: 2, account: None };
        // Each look, and what is thought after it.
        for (looks, thought) in [
            ("+--+--", "++++++"),
            ("+---+-++", "+++----+"),
            ("-+-++", "----+"),
            ("---++", "----+"),
            ("+-+-+-+-", "++++++++"),
        ] {
            let mut damping = Damping::default();
            assert!(!damping.is_known() && !damping.is_up());
            let told = looks.chars().map(|look| {
                let before = damping.is_up;
                let changed = damping.note(look == '+', &health);
                assert_eq!(changed, before != damping.is_up);
                assert_eq!(damping.is_fresh(), damping.is_up() && look == '+');
                if damping.is_up() { '+' } else { '-' }
            });
            assert_eq!(told.collect::<String>(), thought, "{looks}");
        }
    }
}
