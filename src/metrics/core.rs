//! What one core counts.

use std::time::Duration;

use super::cell::{Age, ByLabel, Counter, Gauge, Peak};
use super::histogram::Histogram;
use super::label::{
    BoundReason, BreakerState, CatchUp, ClosedReason, CrossShard, Direction, ErrorKind, LinkState,
    RateLimitReason, RefusedReason, RetryReason, RouteReason, Sharded, Target,
};
use crate::protocol::command::Command;

type Counters<L, const N: usize> = ByLabel<L, Counter, N>;
type Gauges<L, const N: usize> = ByLabel<L, Gauge, N>;

/// The cells of one core. `docs/METRICS.md` says what each family means; the fields are named after the families.
#[derive(Debug, Clone, Default)]
pub struct CoreMetrics {
    /// Client connections accepted.
    pub connections_opened: Counter,
    /// Client connections that the core has now.
    pub connections: Gauge,
    /// Client connections that the core has accepted and given to another.
    pub connections_handed_over: Counter,
    pub connections_refused: Counters<RefusedReason, { RefusedReason::COUNT }>,

    /// Commands answered; [`CoreMetrics::query`] counts them.
    pub queries: Counters<Command, { Command::ALL.len() }>,
    /// How long statements took; [`CoreMetrics::query`] records them.
    pub query_duration: Histogram,
    pub queries_routed: Counters<Target, { Target::COUNT }>,
    pub sharded: Counters<Sharded, { Sharded::COUNT }>,
    pub cross_shard: Counters<CrossShard, { CrossShard::COUNT }>,
    /// Statements that went to the primary, where there are replicas.
    pub routed_to_primary: Counters<RouteReason, { RouteReason::COUNT }>,
    pub routed_to_replica: Counters<RouteReason, { RouteReason::COUNT }>,
    pub caught_up: Counters<CatchUp, { CatchUp::COUNT }>,
    /// How long reads waited for a replica.
    pub catch_up_wait: Histogram,
    pub retried: Counters<RetryReason, { RetryReason::COUNT }>,
    /// How long statements waited for a primary.
    pub primary_wait: Histogram,
    /// Transactions that ended since their server was no longer the primary, or gone.
    pub transactions_lost: Counter,
    /// Errors that Athena itself answered.
    pub errors: Counters<ErrorKind, { ErrorKind::COUNT }>,
    /// ERR packets of servers passed on to clients.
    pub server_errors: Counter,
    pub bytes: Counters<Direction, { Direction::COUNT }>,

    pub rate_limit_rejected: Counters<RateLimitReason, { RateLimitReason::COUNT }>,
    /// Statements that wait for a permit of the rate limit.
    pub rate_limit_queued: Gauge,
    /// Statements that hold a permit of the rate limit.
    pub rate_limit_running: Gauge,

    /// Breakers of backends by where they stand.
    pub breakers: Gauges<BreakerState, { BreakerState::COUNT }>,
    pub breaker_opened: Counter,
    /// Those who needed a new link while none was tried.
    pub breaker_rejected: Counter,

    pub links: Gauges<LinkState, { LinkState::COUNT }>,
    /// Bound links by what binds them; their sum is `links` in the state `Bound`.
    pub links_bound: Gauges<BoundReason, { BoundReason::COUNT }>,
    /// How long the link is bound that has been for the longest time.
    pub links_bound_oldest: Age,
    pub links_opened: Counter,
    pub links_closed: Counters<ClosedReason, { ClosedReason::COUNT }>,
    pub link_resets: Counter,
    pub statements_reprepared: Counter,
    /// Links brought to a session's schema and state before its statement.
    pub state_replays: Counter,
    /// Links read out before they were given back.
    pub state_readouts: Counter,
    /// How long sessions waited for a link.
    pub checkout_wait: Histogram,

    /// Longest time between two waits of the core's loop.
    pub core_stall: Peak,
    /// Longest wait of the core's loop in which a task could have run.
    pub core_neglect: Peak,
    /// Times that the core went through its loop.
    pub core_turns: Counter,
    /// `io_uring_enter` calls of the core.
    pub core_enters: Counter,
    /// Receive buffers that the kernel may fill.
    pub buffers_free: Gauge,
}

/// What a core had counted at one moment: plain data that may go to another thread.
#[derive(Debug, Clone)]
pub struct Snapshot(CoreMetrics);

impl CoreMetrics {
    /// Counts a command that has been answered. `elapsed` runs from its last byte received to the last byte of the
    /// reply handed to the client's socket. Only statements that run enter the histogram: a ping or the closing
    /// of a statement, answered in no time, would make every percentile look better than what users see.
    pub fn query(&self, command: Command, elapsed: Duration) {
        self.queries.of(command).inc();
        if matches!(
            command,
            Command::Query | Command::StmtExecute | Command::StmtFetch | Command::StmtBulkExecute
        ) {
            self.query_duration.record(elapsed);
        }
    }

    /// A link is now bound for this reason. The state is kept with it, so that the two families always agree.
    pub fn link_bound(&self, reason: BoundReason) {
        self.links.of(LinkState::Bound).inc();
        self.links_bound.of(reason).inc();
    }

    /// A link that was bound for this reason is no longer.
    pub fn link_unbound(&self, reason: BoundReason) {
        self.links.of(LinkState::Bound).dec();
        self.links_bound.of(reason).dec();
    }

    /// What has been counted so far. Costs one copy of some 1.5 KB.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.clone())
    }
}

impl Snapshot {
    /// The numbers, to be read.
    pub(super) fn cells(&self) -> &CoreMetrics {
        &self.0
    }
}
