use std::collections::HashSet;
use std::time::Duration;

use super::cell::{Counter, Gauge, Peak};
use super::histogram::{BOUNDS_NANOS, Histogram};
use super::label::{
    BoundReason, ClosedReason, Direction, ErrorKind, Label, LinkState, RateLimitReason, RefusedReason, Target,
};
use super::{ClusterFacts, CoreMetrics, InstanceFacts, ProcessFacts, Snapshot, expose, names};
use crate::protocol::command::Command;

fn facts() -> ProcessFacts {
    let server = |port: u16, lag| InstanceFacts {
        cluster: "default".to_owned(),
        instance: format!("db:{port}"),
        up: true,
        primary: port == 3306,
        unfit: vec![("down", false), ("lagging", port == 3308)],
        lag,
        probe: Duration::from_millis(2),
        transitions: vec![("up", 3), ("down", 2)],
    };
    let lag = Some(Duration::from_millis(1500));
    let cluster = ClusterFacts {
        cluster: "default".to_owned(),
        failovers: 4,
        without_primary: Duration::from_millis(250),
    };
    ProcessFacts {
        version: "1.2.3",
        ready: true,
        open_fds: Some(17),
        instances: vec![server(3306, None), server(3308, lag)],
        clusters: vec![cluster],
        ..ProcessFacts::default()
    }
}

/// The value of the sample whose name and labels are `series`.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[test]
fn a_snapshot_may_go_to_another_thread() {
    fn send<T: Send + 'static>() {}
    send::<Snapshot>();
}

fn check_label<L: Label + PartialEq + std::fmt::Debug>() {
    let mut seen = HashSet::new();
    for (at, &label) in L::ALL.iter().enumerate() {
        assert_eq!(label.index(), at, "{label:?}");
        assert!(seen.insert(label.name()), "{label:?} shares its name");
        assert!(label.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    }
}

#[test]
fn labels_have_one_place_and_one_name_each() {
    check_label::<Command>();
    check_label::<Target>();
    check_label::<RateLimitReason>();
    check_label::<RefusedReason>();
    check_label::<ErrorKind>();
    check_label::<Direction>();
    check_label::<LinkState>();
    check_label::<BoundReason>();
    check_label::<ClosedReason>();
}

#[test]
fn cells_keep_their_promises() {
    let counter = Counter::default();
    counter.inc();
    counter.add(4);
    assert_eq!(counter.get(), 5);
    counter.set_total(9);
    assert_eq!(counter.get(), 9);
    let gauge = Gauge::default();
    gauge.dec();
    assert_eq!(gauge.get(), 0);
    gauge.set(2);
    gauge.dec();
    gauge.inc();
    assert_eq!(gauge.get(), 2);
    let peak = Peak::default();
    peak.raise(Duration::from_millis(3));
    peak.raise(Duration::from_millis(1));
    assert_eq!(peak.get(), Duration::from_millis(3));
}

#[test]
fn a_bound_belongs_to_its_bucket_and_longer_counts_in_the_total_only() {
    let histogram = Histogram::default();
    for bound in BOUNDS_NANOS {
        histogram.record(Duration::from_nanos(bound));
    }
    histogram.record(Duration::ZERO);
    histogram.record(Duration::from_secs(3600));
    let cumulative = histogram.cumulative();
    for (at, count) in cumulative.iter().enumerate() {
        assert_eq!(*count, at as u64 + 2, "bucket {at}");
    }
    assert_eq!(histogram.count(), BOUNDS_NANOS.len() as u64 + 2);
    assert_eq!(histogram.sum_nanos(), BOUNDS_NANOS.iter().sum::<u64>() + 3_600_000_000_000);
    assert!(BOUNDS_NANOS.is_sorted());
}

#[test]
fn cores_are_summed_and_per_core_values_are_not() {
    let (one, two) = (CoreMetrics::default(), CoreMetrics::default());
    one.connections_opened.add(3);
    two.connections_opened.add(4);
    one.query(Command::Query, Duration::from_micros(80));
    two.query(Command::Query, Duration::from_millis(3));
    two.query(Command::Ping, Duration::from_micros(1));
    two.query(Command::StmtBulkExecute, Duration::from_secs(20));
    one.core_stall.raise(Duration::from_millis(250));
    two.buffers_free.set(128);
    one.link_bound(BoundReason::Transaction);
    two.link_bound(BoundReason::Cursor);
    two.link_unbound(BoundReason::Cursor);
    one.links_bound_oldest.set(Duration::from_millis(2500));
    two.links_bound_oldest.set(Duration::from_millis(500));
    let text = expose(&[(0, one.snapshot()), (7, two.snapshot())], &facts());
    let expected = [
        ("athena_connections_total", 7.0),
        ("athena_queries_total{command=\"query\"}", 2.0),
        ("athena_queries_total{command=\"ping\"}", 1.0),
        ("athena_queries_total{command=\"stmt_bulk_execute\"}", 1.0),
        ("athena_query_duration_seconds_bucket{le=\"0.00005\"}", 0.0),
        ("athena_query_duration_seconds_bucket{le=\"0.0001\"}", 1.0),
        ("athena_query_duration_seconds_bucket{le=\"0.005\"}", 2.0),
        ("athena_query_duration_seconds_bucket{le=\"10\"}", 2.0),
        ("athena_query_duration_seconds_bucket{le=\"+Inf\"}", 3.0),
        ("athena_query_duration_seconds_count", 3.0),
        ("athena_query_duration_seconds_sum", 20.00308),
        ("athena_core_stall_seconds_max{core=\"0\"}", 0.25),
        ("athena_core_stall_seconds_max{core=\"7\"}", 0.0),
        ("athena_buffers_free{core=\"7\"}", 128.0),
        ("athena_links{state=\"bound\"}", 1.0),
        ("athena_links_bound{reason=\"transaction\"}", 1.0),
        ("athena_links_bound{reason=\"cursor\"}", 0.0),
        ("athena_links_bound_oldest_seconds", 2.5),
        ("athena_build_info{version=\"1.2.3\"}", 1.0),
        ("athena_up", 1.0),
        ("athena_ready", 1.0),
        ("process_open_fds", 17.0),
        ("athena_instance_up{cluster=\"default\",instance=\"db:3308\"}", 1.0),
        ("athena_instance_primary{cluster=\"default\",instance=\"db:3306\"}", 1.0),
        ("athena_instance_primary{cluster=\"default\",instance=\"db:3308\"}", 0.0),
        ("athena_instance_reads{cluster=\"default\",instance=\"db:3306\"}", 1.0),
        ("athena_instance_reads{cluster=\"default\",instance=\"db:3308\"}", 0.0),
        ("athena_instance_unfit{cluster=\"default\",instance=\"db:3308\",reason=\"lagging\"}", 1.0),
        ("athena_replica_lag_seconds{cluster=\"default\",instance=\"db:3308\"}", 1.5),
        ("athena_health_transitions_total{cluster=\"default\",instance=\"db:3306\",to=\"down\"}", 2.0),
        ("athena_failovers_total{cluster=\"default\"}", 4.0),
        ("athena_no_primary_seconds_total{cluster=\"default\"}", 0.25),
    ];
    for (series, number) in expected {
        assert_eq!(value(&text, series), Some(number), "{series} in\n{text}");
    }
    let lag_of_primary = "athena_replica_lag_seconds{cluster=\"default\",instance=\"db:3306\"}";
    assert_eq!(value(&text, lag_of_primary), None, "nobody is behind itself");
    assert_eq!(value(&text, "process_resident_memory_bytes"), None, "what is not known is not exposed");
}

#[test]
fn a_snapshot_stands_still() {
    let core = CoreMetrics::default();
    let before = core.snapshot();
    core.connections_opened.inc();
    let text = expose(&[(0, before)], &facts());
    assert_eq!(value(&text, "athena_connections_total"), Some(0.0));
}

#[test]
fn every_line_is_well_formed_and_every_series_unique() {
    let text = expose(&[(0, CoreMetrics::default().snapshot())], &facts());
    let mut series = HashSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP ") || comment.starts_with("TYPE "), "{line}");
            continue;
        }
        let (name, number) = line.rsplit_once(' ').unwrap();
        assert!(number.parse::<f64>().is_ok(), "{line}");
        assert!(series.insert(name.to_owned()), "{line} twice");
    }
    let kinds: HashSet<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
    for name in names() {
        if !name.starts_with("process_") {
            assert!(kinds.iter().any(|kind| kind.split(' ').next() == Some(name)), "{name} is not exposed");
        }
    }
    assert!(kinds.contains("athena_query_duration_seconds histogram"));
}

#[test]
fn names_follow_the_conventions() {
    let mut seen = HashSet::new();
    for family in super::family::FAMILIES {
        assert!(seen.insert(family.name), "{} twice", family.name);
        assert!(!family.help.is_empty() && family.help.ends_with('.'), "{}", family.name);
        let counts = family.kind == prometheus::proto::MetricType::COUNTER;
        assert_eq!(family.name.ends_with("_total"), counts, "{}", family.name);
    }
}

#[test]
fn without_a_core_the_process_is_still_described() {
    let text = expose(&[], &ProcessFacts { ready: false, ..facts() });
    assert_eq!(value(&text, "athena_up"), Some(1.0));
    assert_eq!(value(&text, "athena_ready"), Some(0.0));
    assert!(!text.contains("athena_core_turns_total"));
}
