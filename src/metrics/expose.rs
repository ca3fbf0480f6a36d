//! From snapshots to the text that a scrape gets.

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::core::Snapshot;
use super::family::{FAMILIES, Family, Read};
use super::histogram::{BOUNDS_NANOS, Histogram};

/// The content type of what [`expose`] returns.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// What is known about the process as a whole. What the system did not tell is `None` and left out of the text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProcessFacts {
    pub version: &'static str,
    /// Whether clients are accepted and a backend is reachable.
    pub ready: bool,
    pub log_lines_dropped: u64,
    /// Seconds since 1970-01-01 UTC.
    pub start_time_seconds: Option<f64>,
    pub cpu_seconds: Option<f64>,
    pub resident_memory_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
}

/// All families in Prometheus' text format 0.0.4: sums over the cores or the greatest of them, and per-core values under
/// the core's number.
/// A family without a sample (no core has answered) is left out.
pub fn expose(cores: &[(usize, Snapshot)], process: &ProcessFacts) -> String {
    let families: Vec<MetricFamily> = FAMILIES
        .iter()
        .map(|family| build(family, cores, process))
        .filter(|f| !f.get_metric().is_empty())
        .collect();
    // The encoder fails on a family without a name or sample, and on a failing writer: none of which can be here.
    TextEncoder::new().encode_to_string(&families).unwrap_or_default()
}

fn build(family: &Family, cores: &[(usize, Snapshot)], process: &ProcessFacts) -> MetricFamily {
    let number = |label: Option<(&str, &str)>, value: f64| number(family.kind, label.as_slice(), value);
    let cells = || cores.iter().map(|(_, snapshot)| snapshot.cells());
    let metrics = match family.read {
        Read::Sum(read) => vec![number(None, cells().map(read).sum::<u64>() as f64)],
        Read::SumByLabel(label, read) => {
            let mut sums: Vec<(&'static str, u64)> = Vec::new();
            for core in cells() {
                // Every core visits the same values in the same order.
                let mut at = 0;
                read(core, &mut |value, n| {
                    match sums.get_mut(at) {
                        Some(sum) => sum.1 += n,
                        None => sums.push((value, n)),
                    }
                    at += 1;
                });
            }
            sums.into_iter().map(|(value, sum)| number(Some((label, value)), sum as f64)).collect()
        }
        Read::SumByLabels(labels, read) => {
            let mut sums: Vec<([&'static str; 2], u64)> = Vec::new();
            for core in cells() {
                let mut at = 0;
                read(core, &mut |values, n| {
                    match sums.get_mut(at) {
                        Some(sum) => sum.1 += n,
                        None => sums.push((values, n)),
                    }
                    at += 1;
                });
            }
            let pairs = |values: [&'static str; 2]| [(labels[0], values[0]), (labels[1], values[1])];
            let of_pairs = |(values, sum): ([&'static str; 2], u64)| {
                self::number(family.kind, &pairs(values), sum as f64)
            };
            sums.into_iter().map(of_pairs).collect()
        }
        Read::Max(read) => vec![number(None, cells().map(read).fold(0.0, f64::max))],
        Read::PerCore(read) => cores
            .iter()
            .map(|(core, snapshot)| number(Some(("core", &core.to_string())), read(snapshot.cells())))
            .collect(),
        Read::Histogram(read) => {
            let sum = Histogram::default();
            cells().for_each(|core| sum.merge(read(core)));
            vec![durations(&sum)]
        }
        Read::Process(read) => read(process).map(|value| number(None, value)).into_iter().collect(),
        Read::Version => vec![number(Some(("version", process.version)), 1.0)],
    };
    let mut built = MetricFamily::default();
    built.set_name(family.name.to_owned());
    built.set_help(family.help.to_owned());
    built.set_field_type(family.kind);
    built.set_metric(metrics);
    built
}

fn number(kind: MetricType, labels: &[(&str, &str)], value: f64) -> Metric {
    let mut metric = Metric::from_label(labels.iter().map(|(name, value)| pair(name, value)).collect());
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn durations(histogram: &Histogram) -> Metric {
    let buckets = BOUNDS_NANOS.iter().zip(histogram.cumulative()).map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(seconds(*bound));
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut built = prometheus::proto::Histogram::default();
    built.set_bucket(buckets.collect());
    built.set_sample_count(histogram.count());
    built.set_sample_sum(seconds(histogram.sum_nanos()));
    let mut metric = Metric::default();
    metric.set_histogram(built);
    metric
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
