//! What the control executor and a core say to each other.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::circuit::{Classes, Order, Resource};
use crate::config::Acceptor;
use crate::metrics::Snapshot;
use crate::router::Topology;
use crate::session::Letter;

/// To a core, through its inbox.
pub enum Message {
    /// Tell what has been counted.
    Report(async_channel::Sender<Report>),
    /// Where a member of a cluster is to be found now.
    Addresses { cluster: usize, member: usize, addresses: Arc<[SocketAddr]> },
    /// What is known of a cluster's servers now.
    Topology { cluster: usize, topology: Arc<Topology> },
    /// Certificates and keys for the clients that come from now on.
    Acceptor(Acceptor),
    /// From a session of another core, or the answer to one of this core.
    Letter(Letter),
    /// Of the ledger, about a limit of a cluster.
    Order { cluster: usize, of: Resource, order: Order },
    /// The limits of a cluster, with numbers that have changed.
    Limits { cluster: usize, classes: Arc<Classes> },
    /// Take no more clients; let work finish.
    Drain,
    /// End what still runs.
    End,
}

/// From a core, to the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Filed {
    /// The core's number.
    pub core: usize,
    pub cluster: usize,
    pub of: Resource,
    pub report: crate::circuit::Report,
}

/// From a core.
#[derive(Debug, Clone)]
pub struct Report {
    /// The core's number.
    pub core: usize,
    pub snapshot: Snapshot,
    /// For each cluster, whether its primary answered when it was last spoken to; `None` before the first time.
    pub backends: Vec<Option<bool>>,
}
