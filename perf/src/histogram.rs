//! Latencies in logarithmic buckets: constant cost to record, quantiles at most 1/32 too high.

use std::time::Duration;

/// Values below this have a bucket each; from there on a power of two has half as many.
const STEPS: u32 = 64;
const STEPS_LOG2: u32 = 6;
/// Up to 2^40 ns, about 18 minutes.
const BUCKETS: usize = (STEPS + STEPS / 2 * (40 - STEPS_LOG2)) as usize;

/// Counts of latencies.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        let bucket = bucket(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)).min(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency that `percent` of all stay below; zero when nothing was counted.
    pub fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.total * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && *count > 0 {
                return Duration::from_nanos(upper_bound(bucket));
            }
        }
        Duration::ZERO
    }
}

/// The highest six bits of a value choose its bucket.
fn bucket(nanos: u64) -> usize {
    let shift = (63 - (nanos | u64::from(STEPS - 1)).leading_zeros()).saturating_sub(STEPS_LOG2 - 1);
    let row = u64::from(shift) * u64::from(STEPS / 2);
    usize::try_from(row + (nanos >> shift)).unwrap_or(usize::MAX)
}

fn upper_bound(bucket: usize) -> u64 {
    let half = u64::from(STEPS / 2);
    let bucket = bucket as u64;
    if bucket < u64::from(STEPS) {
        return bucket;
    }
    let shift = bucket / half - 1;
    ((bucket - shift * half + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_are_close() {
        for nanos in (0..200).chain((1..35).map(|power| (1 << power) + 7)) {
            let bound = upper_bound(bucket(nanos));
            assert!(bound >= nanos && bound <= nanos + nanos / 31, "{nanos}: {bound}");
            assert!(bucket(nanos) < BUCKETS);
        }
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        assert_eq!(histogram.total(), 1000);
        for percent in [1, 50, 95, 99, 100] {
            let (found, exact) = (histogram.percentile(percent).as_nanos(), u128::from(percent) * 10_000);
            assert!(found >= exact && found <= exact + exact / 31, "{percent}: {found}");
        }
        assert_eq!(Histogram::default().percentile(50), Duration::ZERO);
    }
}
