//! The table of the families: name, help, kind, and how each is read.

use prometheus::proto::MetricType;

use super::cell::{ByLabel, Counter, Gauge};
use super::core::CoreMetrics;
use super::expose::{ClusterFacts, InstanceFacts, ProcessFacts};
use super::histogram::Histogram;
use super::label::Label;

/// Takes one value of a label and the number of its cell.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&'static str, u64);

/// The same for the values of two labels.
pub(super) type VisitPairs<'a> = &'a mut dyn FnMut([&'static str; 2], u64);

/// How a family is read.
pub(super) enum Read {
    /// One number, summed over the cores.
    Sum(fn(&CoreMetrics) -> u64),
    /// One number for each value of a label, summed over the cores.
    SumByLabel(&'static str, fn(&CoreMetrics, Visit<'_>)),
    /// One number for each pair of values of two labels, summed over the cores.
    SumByLabels([&'static str; 2], fn(&CoreMetrics, VisitPairs<'_>)),
    /// The greatest number of any core.
    Max(fn(&CoreMetrics) -> f64),
    /// One number for each core, under the label `core`.
    PerCore(fn(&CoreMetrics) -> f64),
    /// Durations, summed over the cores.
    Histogram(fn(&CoreMetrics) -> &Histogram),
    /// A fact about the process; `None` leaves the family out.
    Process(fn(&ProcessFacts) -> Option<f64>),
    /// The constant 1 with the version as its label.
    Version,
    /// A fact about each server that is looked after; `None` leaves the server out.
    Instance(fn(&InstanceFacts) -> Option<f64>),
    /// One number for each value of a label, for each server that is looked after.
    InstanceByLabel(&'static str, fn(&InstanceFacts) -> Vec<(&'static str, f64)>),
    /// A fact about each cluster that is looked after.
    Cluster(fn(&ClusterFacts) -> f64),
}

pub(super) struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricType,
    pub read: Read,
}

/// The names of all families, in the order in which they are exposed.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

const fn counter(name: &'static str, help: &'static str, read: Read) -> Family {
    Family { name, help, kind: MetricType::COUNTER, read }
}

const fn gauge(name: &'static str, help: &'static str, read: Read) -> Family {
    Family { name, help, kind: MetricType::GAUGE, read }
}

const fn histogram(name: &'static str, help: &'static str, read: fn(&CoreMetrics) -> &Histogram) -> Family {
    Family { name, help, kind: MetricType::HISTOGRAM, read: Read::Histogram(read) }
}

fn counters<L: Label, const N: usize>(cells: &ByLabel<L, Counter, N>, visit: Visit<'_>) {
    cells.iter().for_each(|(label, cell)| visit(label.name(), cell.get()));
}

fn gauges<L: Label, const N: usize>(cells: &ByLabel<L, Gauge, N>, visit: Visit<'_>) {
    cells.iter().for_each(|(label, cell)| visit(label.name(), cell.get()));
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

pub(super) static FAMILIES: &[Family] = &[
    gauge("athena_up", "1 while the process works.", Read::Process(|_| Some(1.0))),
    gauge(
        "athena_ready",
        "1 when Athena accepts clients and reaches a backend.",
        Read::Process(|facts| Some(flag(facts.ready))),
    ),
    gauge("athena_build_info", "1, with the version of this build.", Read::Version),
    counter(
        "athena_connections_total",
        "Client connections accepted.",
        Read::Sum(|core| core.connections_opened.get()),
    ),
    gauge(
        "athena_connections",
        "Client connections that exist now.",
        Read::Sum(|core| core.connections.get()),
    ),
    counter(
        "athena_connections_handed_over_total",
        "Client connections that went from the core that accepted them to one that had fewer.",
        Read::Sum(|core| core.connections_handed_over.get()),
    ),
    counter(
        "athena_connections_refused_total",
        "Client connections that were refused or ended before they were logged in.",
        Read::SumByLabel("reason", |core, visit| counters(&core.connections_refused, visit)),
    ),
    counter(
        "athena_queries_total",
        "Commands of clients answered.",
        Read::SumByLabel("command", |core, visit| counters(&core.queries, visit)),
    ),
    histogram(
        "athena_query_duration_seconds",
        "Time from a statement's last byte received to its reply's last byte sent.",
        |core| &core.query_duration,
    ),
    counter(
        "athena_queries_routed_total",
        "Commands by where they were answered.",
        Read::SumByLabel("target", |core, visit| counters(&core.queries_routed, visit)),
    ),
    counter(
        "athena_sharded_statements_total",
        "Statements about sharded tables, by what became of them.",
        Read::SumByLabel("shards", |core, visit| counters(&core.sharded, visit)),
    ),
    counter(
        "athena_cross_shard_transactions_total",
        "Transactions on several servers of shards, by how they ended.",
        Read::SumByLabel("outcome", |core, visit| counters(&core.cross_shard, visit)),
    ),
    counter(
        "athena_routing_decisions_total",
        "Statements in clusters with replicas, by where they went and why.",
        Read::SumByLabels(["target", "reason"], |core, visit| {
            counters(&core.routed_to_primary, &mut |reason, n| visit(["primary", reason], n));
            counters(&core.routed_to_replica, &mut |reason, n| visit(["replica", reason], n));
        }),
    ),
    counter(
        "athena_read_catch_ups_total",
        "Reads on replicas that had to find something, by how they found it.",
        Read::SumByLabel("outcome", |core, visit| counters(&core.caught_up, visit)),
    ),
    histogram(
        "athena_read_catch_up_seconds",
        "Time that reads waited for a replica to have what they had to find.",
        |core| &core.catch_up_wait,
    ),
    histogram(
        "athena_primary_wait_seconds",
        "Time that statements waited for a primary, where that was 50 ms or more.",
        |core| &core.primary_wait,
    ),
    counter(
        "athena_statements_retried_total",
        "Statements that were sent once more, of which the client was told nothing.",
        Read::SumByLabel("reason", |core, visit| counters(&core.retried, visit)),
    ),
    counter(
        "athena_transactions_lost_total",
        "Transactions that were rolled back since their server was gone, or no longer the primary.",
        Read::Sum(|core| core.transactions_lost.get()),
    ),
    counter(
        "athena_errors_total",
        "Errors that Athena itself answered.",
        Read::SumByLabel("kind", |core, visit| counters(&core.errors, visit)),
    ),
    counter(
        "athena_server_errors_total",
        "Errors of backends passed on to clients.",
        Read::Sum(|core| core.server_errors.get()),
    ),
    counter(
        "athena_bytes_total",
        "Bytes of the MySQL protocol received and sent.",
        Read::SumByLabel("direction", |core, visit| counters(&core.bytes, visit)),
    ),
    counter(
        "athena_rate_limit_rejected_total",
        "Statements that the rate limit turned away.",
        Read::SumByLabel("reason", |core, visit| counters(&core.rate_limit_rejected, visit)),
    ),
    gauge(
        "athena_rate_limit_queued",
        "Statements that wait for a permit of the rate limit.",
        Read::Sum(|core| core.rate_limit_queued.get()),
    ),
    gauge(
        "athena_rate_limit_running",
        "Statements that hold a permit of the rate limit.",
        Read::Sum(|core| core.rate_limit_running.get()),
    ),
    gauge(
        "athena_breaker_state",
        "Breakers of backends (one for each backend and core) by where they stand.",
        Read::SumByLabel("state", |core, visit| gauges(&core.breakers, visit)),
    ),
    counter(
        "athena_breaker_opened_total",
        "Times that a breaker opened.",
        Read::Sum(|core| core.breaker_opened.get()),
    ),
    counter(
        "athena_breaker_rejected_total",
        "Statements and Athena's own commands that needed a new backend connection while none was tried.",
        Read::Sum(|core| core.breaker_rejected.get()),
    ),
    gauge("athena_instance_up", "1 when the server answers.", Read::Instance(|one| Some(flag(one.up)))),
    gauge(
        "athena_instance_primary",
        "1 for the server that takes writes.",
        Read::Instance(|one| Some(flag(one.primary))),
    ),
    gauge(
        "athena_instance_reads",
        "1 when the server may have reads.",
        Read::Instance(|one| Some(flag(one.unfit.iter().all(|(_, holds)| !holds)))),
    ),
    gauge(
        "athena_instance_unfit",
        "1 for the reason why the server gets no reads.",
        Read::InstanceByLabel("reason", |one| {
            one.unfit.iter().map(|(reason, holds)| (*reason, flag(*holds))).collect()
        }),
    ),
    gauge(
        "athena_replica_lag_seconds",
        "How far the replica is behind the primary.",
        Read::Instance(|one| one.lag.map(|lag| lag.as_secs_f64())),
    ),
    gauge(
        "athena_health_probe_seconds",
        "How long the server takes to answer a look, smoothed.",
        Read::Instance(|one| Some(one.probe.as_secs_f64())),
    ),
    counter(
        "athena_health_transitions_total",
        "Times that the server became what the label says.",
        Read::InstanceByLabel("to", |one| one.transitions.iter().map(|(to, n)| (*to, *n as f64)).collect()),
    ),
    counter(
        "athena_failovers_total",
        "Times that another server became the primary.",
        Read::Cluster(|one| one.failovers as f64),
    ),
    counter(
        "athena_no_primary_seconds_total",
        "Time without a primary, since the start.",
        Read::Cluster(|one| one.without_primary.as_secs_f64()),
    ),
    gauge(
        "athena_links",
        "Backend connections by what they are doing.",
        Read::SumByLabel("state", |core, visit| gauges(&core.links, visit)),
    ),
    gauge(
        "athena_links_bound",
        "Backend connections that a session keeps, by reason.",
        Read::SumByLabel("reason", |core, visit| gauges(&core.links_bound, visit)),
    ),
    gauge(
        "athena_links_bound_oldest_seconds",
        "How long the backend connection has been kept that a session keeps for the longest time.",
        Read::Max(|core| core.links_bound_oldest.get().as_secs_f64()),
    ),
    counter(
        "athena_links_opened_total",
        "Backend connections that were logged in.",
        Read::Sum(|core| core.links_opened.get()),
    ),
    counter(
        "athena_links_closed_total",
        "Backend connections closed, by reason.",
        Read::SumByLabel("reason", |core, visit| counters(&core.links_closed, visit)),
    ),
    counter(
        "athena_link_resets_total",
        "Backend connections reset before they were lent again.",
        Read::Sum(|core| core.link_resets.get()),
    ),
    counter(
        "athena_statements_reprepared_total",
        "Prepared statements that had to be prepared again on another backend connection.",
        Read::Sum(|core| core.statements_reprepared.get()),
    ),
    counter(
        "athena_state_replays_total",
        "Statements for which a backend connection was first brought to the state of their session.",
        Read::Sum(|core| core.state_replays.get()),
    ),
    counter(
        "athena_state_readouts_total",
        "Times that a backend connection was asked for what only it knew of its session, to be given back.",
        Read::Sum(|core| core.state_readouts.get()),
    ),
    histogram(
        "athena_checkout_wait_seconds",
        "Time that sessions waited for a backend connection.",
        |core| &core.checkout_wait,
    ),
    gauge(
        "athena_core_connections",
        "Client connections that a core has now.",
        Read::PerCore(|core| core.connections.get() as f64),
    ),
    gauge(
        "athena_core_stall_seconds_max",
        "Longest time that a core was busy between two waits, since the start.",
        Read::PerCore(|core| core.core_stall.get().as_secs_f64()),
    ),
    gauge(
        "athena_core_neglect_seconds_max",
        "Longest time that a core slept while something could have run, since the start. Always 0.",
        Read::PerCore(|core| core.core_neglect.get().as_secs_f64()),
    ),
    counter(
        "athena_core_turns_total",
        "Times that a core went through its loop.",
        Read::PerCore(|core| core.core_turns.get() as f64),
    ),
    counter(
        "athena_core_enters_total",
        "System calls io_uring_enter that a core made.",
        Read::PerCore(|core| core.core_enters.get() as f64),
    ),
    gauge(
        "athena_buffers_free",
        "Receive buffers of a core that are free.",
        Read::PerCore(|core| core.buffers_free.get() as f64),
    ),
    counter(
        "athena_log_lines_dropped_total",
        "Log lines dropped because the log could not be written as fast as they came.",
        Read::Process(|facts| Some(facts.log_lines_dropped as f64)),
    ),
    gauge(
        "process_start_time_seconds",
        "Start of the process, in seconds since 1970-01-01 UTC.",
        Read::Process(|facts| facts.start_time_seconds),
    ),
    counter(
        "process_cpu_seconds_total",
        "CPU time of the process, user and system.",
        Read::Process(|facts| facts.cpu_seconds),
    ),
    gauge(
        "process_resident_memory_bytes",
        "Resident memory of the process.",
        Read::Process(|facts| facts.resident_memory_bytes.map(|bytes| bytes as f64)),
    ),
    gauge(
        "process_open_fds",
        "Open file descriptors of the process.",
        Read::Process(|facts| facts.open_fds.map(|fds| fds as f64)),
    ),
    gauge(
        "process_max_fds",
        "Limit of open file descriptors of the process.",
        Read::Process(|facts| facts.max_fds.map(|fds| fds as f64)),
    ),
];
