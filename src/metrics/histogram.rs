//! Durations counted in buckets.

use std::cell::Cell;
use std::time::Duration;

use super::cell::nanos;

/// Upper bounds of the buckets in nanoseconds, 50 µs to 10 s; what is longer counts in the total only. The steps are
/// 1, 2.5, 5 per decade: a percentile read from them is off by at most that step.
pub const BOUNDS_NANOS: [u64; 17] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// A histogram of durations, with the buckets of [`BOUNDS_NANOS`].
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// How many fell into each bucket and no lower one; not cumulative.
    buckets: [Cell<u64>; BOUNDS_NANOS.len()],
    count: Cell<u64>,
    sum_nanos: Cell<u64>,
}

impl Histogram {
    /// Counts one duration. Most are short, so the search from below ends after a few comparisons.
    pub fn record(&self, elapsed: Duration) {
        let nanos = nanos(elapsed);
        if let Some((_, bucket)) = BOUNDS_NANOS.iter().zip(&self.buckets).find(|(bound, _)| nanos <= **bound)
        {
            bucket.set(bucket.get() + 1);
        }
        self.count.set(self.count.get() + 1);
        self.sum_nanos.set(self.sum_nanos.get().saturating_add(nanos));
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// The sum of the durations counted, in nanoseconds.
    pub fn sum_nanos(&self) -> u64 {
        self.sum_nanos.get()
    }

    /// How many were at most as long as each bound of [`BOUNDS_NANOS`]; cumulative, as Prometheus wants it.
    pub fn cumulative(&self) -> [u64; BOUNDS_NANOS.len()] {
        let mut total = 0;
        std::array::from_fn(|at| {
            total += self.buckets[at].get();
            total
        })
    }

    /// Adds what another core counted.
    pub fn merge(&self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            mine.set(mine.get() + theirs.get());
        }
        self.count.set(self.count.get() + other.count.get());
        self.sum_nanos.set(self.sum_nanos.get().saturating_add(other.sum_nanos.get()));
    }
}
