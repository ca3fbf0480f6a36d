//! From snapshots to the text that a scrape gets.

use std::time::Duration;

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::core::{CoreMetrics, Snapshot};
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
    /// The servers that are looked after.
    pub instances: Vec<InstanceFacts>,
    /// Their clusters.
    pub clusters: Vec<ClusterFacts>,
}

/// What is known of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstanceFacts {
    pub cluster: String,
    /// `host:port`, or the path of its socket.
    pub instance: String,
    pub up: bool,
    pub primary: bool,
    /// All reasons why one gets no reads, and whether that one holds.
    pub unfit: Vec<(&'static str, bool)>,
    pub lag: Option<Duration>,
    /// How long it takes to answer, smoothed.
    pub probe: Duration,
    /// All that it may have become, and how often it did.
    pub transitions: Vec<(&'static str, u64)>,
}

/// What is known of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterFacts {
    pub cluster: String,
    /// How often another server became the primary.
    pub failovers: u64,
    pub without_primary: Duration,
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
    let number = |labels: &[(&str, &str)], value: f64| number(family.kind, labels, value);
    let cells = || cores.iter().map(|(_, snapshot)| snapshot.cells());
    let metrics = match family.read {
        Read::Sum(read) => vec![number(&[], cells().map(read).sum::<u64>() as f64)],
        Read::SumByLabel(label, read) => {
            let sums = summed(cells(), |core, visit| read(core, visit));
            sums.into_iter().map(|(value, sum)| number(&[(label, value)], sum as f64)).collect()
        }
        Read::SumByLabels([one, other], read) => {
            let sums = summed(cells(), |core, visit| read(core, visit));
            sums.into_iter().map(|([a, b], sum)| number(&[(one, a), (other, b)], sum as f64)).collect()
        }
        Read::Max(read) => vec![number(&[], cells().map(read).fold(0.0, f64::max))],
        Read::PerCore(read) => cores
            .iter()
            .map(|(core, snapshot)| number(&[("core", &core.to_string())], read(snapshot.cells())))
            .collect(),
        Read::Histogram(read) => {
            let sum = Histogram::default();
            cells().for_each(|core| sum.merge(read(core)));
            vec![durations(&sum)]
        }
        Read::Process(read) => read(process).map(|value| number(&[], value)).into_iter().collect(),
        Read::Version => vec![number(&[("version", process.version)], 1.0)],
        Read::Instance(read) => {
            let known = process.instances.iter().filter_map(|one| Some((one, read(one)?)));
            known.map(|(one, value)| number(&place(one), value)).collect()
        }
        Read::InstanceByLabel(label, read) => {
            let all = process.instances.iter().flat_map(|one| {
                let values = read(one).into_iter();
                values.map(move |(name, value)| number(&[&place(one)[..], &[(label, name)]].concat(), value))
            });
            all.collect()
        }
        Read::Cluster(read) => {
            let clusters = process.clusters.iter();
            clusters.map(|one| number(&[("cluster", &one.cluster)], read(one))).collect()
        }
    };
    let mut built = MetricFamily::default();
    built.set_name(family.name.to_owned());
    built.set_help(family.help.to_owned());
    built.set_field_type(family.kind);
    built.set_metric(metrics);
    built
}

/// The sums over the cores of what each visits: every core visits the same values in the same order.
fn summed<'a, T>(
    cores: impl Iterator<Item = &'a CoreMetrics>,
    read: impl Fn(&CoreMetrics, &mut dyn FnMut(T, u64)),
) -> Vec<(T, u64)> {
    let mut sums: Vec<(T, u64)> = Vec::new();
    for core in cores {
        let mut at = 0;
        read(core, &mut |value, n| {
            match sums.get_mut(at) {
                Some(sum) => sum.1 += n,
                None => sums.push((value, n)),
            }
            at += 1;
        });
    }
    sums
}

fn place(instance: &InstanceFacts) -> [(&str, &str); 2] {
    [("cluster", &instance.cluster), ("instance", &instance.instance)]
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
