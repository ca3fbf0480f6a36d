//! What is known of a cluster's servers. The control executor makes it, whenever something changes, and sends it to every
//! core; there it is looked at and never changed.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Cluster;

use super::gtid::GtidSet;

/// The servers of a cluster, as of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// How often the primary has changed. Two snapshots of one epoch have the same primary, or one of them none.
    pub epoch: u64,
    /// The member that takes writes; `None` while there is none.
    pub primary: Option<usize>,
    /// The server of `[backend]`, then its replicas in the order of the file.
    pub members: Vec<Member>,
}

/// One server of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Why it gets no reads; `None` if it may have some.
    pub unfit: Option<Unfit>,
    /// It answers: a link that can't be opened says nothing against it.
    pub is_up: bool,
    /// Its share of the reads.
    pub weight: u32,
    /// It goes before those that are not near.
    pub is_near: bool,
    /// How far it is behind the primary; `None` if that is not known.
    pub lag: Option<Duration>,
    /// The time that it takes to answer, smoothed.
    pub latency: Duration,
    /// What it has executed, as of the last look; `None` where the servers have no GTIDs.
    pub executed: Option<Arc<GtidSet>>,
}

/// Why a server gets no reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unfit {
    /// Nothing is known of it yet.
    Unknown,
    /// It does not answer.
    Down,
    /// It is not part of its group at the moment (Group Replication, Galera), or is only becoming one.
    Apart,
    /// It has stopped applying what its primary writes, or follows none.
    NotReplicating,
    /// It is further behind than `max_replica_lag_ms`.
    Lagging,
    /// The operator has taken it out.
    Draining,
}

impl Unfit {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Down, Self::Apart, Self::NotReplicating, Self::Lagging, Self::Draining];

    /// As in metrics and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Down => "down",
            Self::Apart => "apart",
            Self::NotReplicating => "not_replicating",
            Self::Lagging => "lagging",
            Self::Draining => "draining",
        }
    }
}

/// A core has seen something that speaks against what the topology says: the member is to be looked at now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    pub cluster: usize,
    pub member: usize,
}

impl Topology {
    /// Whether a member is known to have executed all of these.
    pub fn has(&self, member: usize, gtids: &GtidSet) -> bool {
        let executed = self.members.get(member).and_then(|member| member.executed.as_deref());
        executed.is_some_and(|executed| executed.contains(gtids))
    }

    /// Before anybody has looked. A server that has no replicas is the primary, whatever it says of itself.
    pub fn unknown(cluster: &Cluster) -> Self {
        let alone = cluster.replicas.is_empty();
        let member = |weight, is_near, draining: bool| Member {
            unfit: Some(if draining { Unfit::Draining } else { Unfit::Unknown }),
            is_up: false,
            weight,
            is_near,
            lag: None,
            latency: Duration::ZERO,
            executed: None,
        };
        let replicas = cluster.replicas.iter();
        let replicas = replicas.map(|replica| member(replica.weight, replica.is_near, replica.draining));
        Self {
            epoch: 0,
            primary: alone.then_some(0),
            members: std::iter::once(member(1, false, false)).chain(replicas).collect(),
        }
    }
}
