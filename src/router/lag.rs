//! How far replicas are behind, by what the primary had executed when.
//!
//! Servers count the seconds themselves, but only while replication runs, and from the time of the event that is being applied: a
//! replica that receives nothing is not behind in its own eyes. What it has not executed of what the primary had is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gtid::GtidSet;

/// Positions that are kept. When there are more, one goes: what is long ago need not be known to the second.
const SAMPLES_MAX: usize = 512;

/// What the primary had executed, and when that was seen first.
#[derive(Debug, Default)]
pub(super) struct History {
    /// In order; each holds all that those before it do.
    samples: VecDeque<(Instant, Arc<GtidSet>)>,
    /// When the primary was lost: nobody gets further behind a server that is gone.
    stopped: Option<Instant>,
}

impl History {
    /// A look at the primary.
    pub fn note(&mut self, executed: &Arc<GtidSet>, now: Instant) {
        self.stopped = None;
        match self.samples.back() {
            Some((_, last)) if last.contains(executed) && executed.contains(last) => return,
            // It has gone back, or is another server: what was before says nothing any more.
            Some((_, last)) if !executed.contains(last) => self.samples.clear(),
            _ => {}
        }
        self.samples.push_back((now, executed.clone()));
        if self.samples.len() > SAMPLES_MAX {
            self.thin_out(now);
        }
    }

    /// Forgets the sample whose neighbours are the closest for their age: what is kept tells every lag to a few percent.
    fn thin_out(&mut self, now: Instant) {
        let apart = |at: usize| {
            let (before, after) = (self.samples.get(at.checked_sub(1)?)?, self.samples.get(at + 1)?);
            let age = now.saturating_duration_since(before.0).as_secs_f64();
            Some(after.0.saturating_duration_since(before.0).as_secs_f64() / age)
        };
        let inner = (0..self.samples.len()).filter_map(|at| Some((at, apart(at)?)));
        if let Some((at, _)) = inner.min_by(|(_, one), (_, other)| one.total_cmp(other)) {
            self.samples.remove(at);
        }
    }

    /// There is no primary from now on.
    pub fn stop(&mut self, now: Instant) {
        self.stopped.get_or_insert(now);
    }

    /// There is another one.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How long ago the primary had what a replica has not; `None` if nothing is known of the primary.
    pub fn lag(&self, executed: &GtidSet, now: Instant) -> Option<Duration> {
        self.samples.back()?;
        let has = self.samples.partition_point(|(_, sample)| executed.contains(sample));
        let now = self.stopped.unwrap_or(now);
        let since = self.samples.get(has).map_or(now, |(at, _)| *at);
        Some(now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(number: u64) -> Arc<GtidSet> {
        Arc::new(GtidSet::parse(format!("0-1-{number}").as_bytes(), true).expect("a position"))
    }

    #[test]
    fn lag_is_the_age_of_the_oldest_position_that_is_missing() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        assert_eq!(history.lag(&position(1), start), None);
        for second in 0..10 {
            // It writes nothing in between.
            history.note(&position(10 + second / 2), at(second));
        }
        for (has, lag) in [(14, 0), (99, 0), (13, 2), (12, 4), (1, 10)] {
            assert_eq!(history.lag(&position(has), at(10)), Some(Duration::from_secs(lag)), "{has}");
        }
        assert_eq!(history.lag(&position(13), at(100)), Some(Duration::from_secs(92)));
        history.stop(at(11));
        history.stop(at(20));
        assert_eq!(history.lag(&position(13), at(100)), Some(Duration::from_secs(3)));
        // Another primary, which lacks the last.
        history.note(&position(13), at(101));
        assert_eq!(history.lag(&position(13), at(101)), Some(Duration::ZERO));
        history.clear();
        assert_eq!(history.lag(&position(13), at(101)), None);
    }

    #[test]
    fn a_long_history_is_bounded_and_keeps_its_span() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        for second in 0..10_000 {
            history.note(&position(second), at(second));
        }
        assert!(history.samples.len() <= SAMPLES_MAX);
        let lag = history.lag(&position(1), at(10_000)).expect("known").as_secs();
        assert!((9_500..10_000).contains(&lag), "{lag}");
        let lag = history.lag(&position(9_989), at(10_000)).expect("known").as_secs();
        assert!((9..=10).contains(&lag), "{lag}");
    }
}
