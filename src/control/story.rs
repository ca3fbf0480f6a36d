//! The story of a cluster's servers, in lines of the log that can be read without knowing how it came to them.

use std::collections::HashSet;

use crate::pool::Question;
use crate::protocol::response::ErrPacket;
use crate::router::{Event, NoWrites, Unfit};

/// Tells what has happened. `instances` are the names of the cluster's servers.
pub(super) fn tell(cluster: &str, instances: &[String], event: &Event) {
    let name = |member: usize| instances.get(member).map_or("?", String::as_str);
    match event {
        Event::Up { member } => {
            tracing::info!(target: "athena::topology", cluster, "{} is up", name(*member))
        }
        Event::Down { member, reason } => {
            tracing::warn!(target: "athena::topology", cluster, %reason, "{} is down", name(*member));
        }
        Event::Fit { member, lag } => {
            let lag = lag.map(tracing::field::debug);
            tracing::info!(target: "athena::topology", cluster, lag, "{} may have reads", name(*member));
        }
        Event::Unfit { member, why, lag } => unfit(cluster, name(*member), *why, *lag),
        Event::PrimaryLost { member, why } => {
            let why = match why {
                NoWrites::Down => "is down",
                NoWrites::ReadOnly => "is read-only now",
                NoWrites::Replicates => "replicates from another server now",
                NoWrites::Apart => "has left its group",
            };
            tracing::warn!(target: "athena::topology", cluster, "{} {why}: no primary, writes wait", name(*member));
        }
        Event::PrimaryFound { member, epoch, is_new, after, others } => {
            let again = if *is_new { "the primary now" } else { "the primary again" };
            tracing::info!(
                target: "athena::topology", cluster,
                "{} is {again} (epoch {epoch}), after {} ms without one", name(*member), after.as_millis()
            );
            for other in others {
                two_writers(cluster, name(*other), name(*member));
            }
        }
        Event::TwoWriters { member, primary } => two_writers(cluster, name(*member), name(*primary)),
    }
}

fn unfit(cluster: &str, instance: &str, why: Unfit, lag: Option<std::time::Duration>) {
    let reason = match why {
        Unfit::Unknown => "nothing is known of it",
        Unfit::Down => "it is down",
        Unfit::Apart => "it is not part of its group at the moment",
        Unfit::NotReplicating => "it is not applying what a primary writes",
        Unfit::Lagging => "it is too far behind the primary ([routing] max_replica_lag_ms)",
        Unfit::Draining => "it is draining by the configuration",
    };
    let lag = lag.map(tracing::field::debug);
    tracing::warn!(target: "athena::topology", cluster, lag, "{instance} gets no reads: {reason}");
}

fn two_writers(cluster: &str, other: &str, primary: &str) {
    tracing::warn!(
        target: "athena::topology", cluster,
        "{other} takes writes, too, and follows nobody: {primary} stays the primary; make the other read-only, or have it replicate"
    );
}

/// What is said once, not at every look.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Servers that let nobody look.
    shut_out: HashSet<usize>,
    /// Questions that a server does not answer.
    not_told: HashSet<(usize, Question)>,
}

impl Notices {
    /// A server lets nobody in.
    pub fn shut_out(&mut self, cluster: &str, member: usize, instance: &str, reason: &str) {
        if self.shut_out.insert(member) {
            tracing::warn!(
                target: "athena::topology", cluster, %reason,
                "{instance} lets nobody look; what was known of it stays, until it does ([health] user and password say who looks)"
            );
        }
    }

    /// It does.
    pub fn let_in(&mut self, member: usize) {
        self.shut_out.remove(&member);
    }

    /// A server does not answer a question.
    pub fn not_told(
        &mut self,
        cluster: &str,
        member: usize,
        instance: &str,
        question: Question,
        err: &ErrPacket,
    ) {
        if !self.not_told.insert((member, question)) {
            return;
        }
        let (needs, follows) = match question {
            Question::Replication => (
                "REPLICATION CLIENT (MariaDB from 10.5 on: REPLICA MONITOR)",
                "its lag is known from GTIDs alone, and that it has stopped applying is not seen",
            ),
            Question::Group => (
                "SELECT on performance_schema.replication_group_members",
                "its part in the group is unknown, and it counts as a server without one",
            ),
            Question::Settings | Question::Galera => ("PROCESS", "its part in the cluster is unknown"),
        };
        let error = format!("ERROR {}: {}", err.code, String::from_utf8_lossy(&err.message));
        tracing::warn!(
            target: "athena::topology", cluster, %error,
            "{instance} does not tell all of itself: the account that looks ([health] user, or that of links) needs the privilege {needs}; until then {follows}"
        );
    }
}
