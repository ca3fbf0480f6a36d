//! What SIGHUP reads again: the files of certificates, and the numbers of the configuration that may change.

use std::path::Path;

use crate::config::{Circuit, Config};
use crate::net::Sender;
use crate::worker::Message;

use super::ledger::Ledgers;
use super::topology::Topologies;

/// Reads certificates and keys again, and hands them to the cores for connections to come.
pub(super) async fn certificates(config: &Config, cores: &[Sender<Message>]) {
    let Some(tls) = config.server.tls.clone() else { return };
    match glommio::executor().spawn_blocking(move || tls.reload()).await {
        Ok(acceptor) => {
            cores.iter().for_each(|core| core.send(Message::Acceptor(acceptor.clone())));
            tracing::info!(target: "athena::control", "SIGHUP: certificates of [server.tls] reloaded; connections that are there keep theirs");
        }
        Err(error) => {
            tracing::error!(target: "athena::control", %error, "SIGHUP: [server.tls] can't be reloaded, what was there stays");
        }
    }
}

/// Reads the file again, and puts the numbers of `[circuit]`, `[[limits]]` and `[pool] max_connections` into force, the weights of
/// replicas, who of them drains, and how far they may be behind. Returns the configuration as it is from now on; `None`
/// leaves it as it was.
pub(super) async fn numbers(
    config: &Config,
    path: &Path,
    ledgers: &Ledgers,
    topologies: &Topologies,
) -> Option<Config> {
    let file = path.to_owned();
    let load = move || Config::load(&file, &|name| std::env::var(name).ok());
    let read = match glommio::executor().spawn_blocking(load).await {
        Ok(read) => read,
        Err(problems) => {
            tracing::error!(target: "athena::control", "SIGHUP: the configuration is refused, limits stay as they were:\n{problems}");
            return None;
        }
    };
    let mut next = config.clone();
    for (now, read) in next.clusters.iter_mut().zip(&read.clusters) {
        now.pool.max_connections = read.pool.max_connections;
        if are_alike(&now.circuit, &read.circuit) {
            now.circuit.clone_from(&read.circuit);
        }
        now.routing.max_replica_lag = read.routing.max_replica_lag;
        for (now, read) in now.replicas.iter_mut().zip(&read.replicas) {
            if now.instance.to_string() == read.instance.to_string() {
                (now.weight, now.draining) = (read.weight, read.draining);
            }
        }
    }
    if needs_restart(&next, read) {
        tracing::warn!(target: "athena::control", "SIGHUP: the file has changes that take a restart; by a signal Athena takes over the numbers of [circuit], [[limits]] and [pool] max_connections, [routing] max_replica_lag_ms, weight and draining of replicas, and certificates");
    }
    if next != *config {
        ledgers.revise(&next);
        topologies.revise(&next);
        tracing::info!(target: "athena::control", "SIGHUP: limits and replicas are as the file has them now; what is above a limit ends by itself");
    }
    Some(next)
}

/// Whether these limit the same statements, by whatever numbers.
fn are_alike(one: &Circuit, other: &Circuit) -> bool {
    let whose = |circuit: &Circuit| {
        let rules = circuit.overrides.iter();
        rules.map(|rule| (rule.user.clone(), rule.shard, rule.statement.clone())).collect::<Vec<_>>()
    };
    one.enabled == other.enabled && whose(one) == whose(other)
}

/// Whether more has changed than what is in force now. Certificates are compared by nobody.
fn needs_restart(now: &Config, mut read: Config) -> bool {
    if let (Some(tls), Some(was)) = (&mut read.server.tls, &now.server.tls) {
        tls.acceptor = was.acceptor.clone();
    }
    for (read, now) in read.clusters.iter_mut().zip(&now.clusters) {
        read.primary.tls = now.primary.tls.clone();
        for (read, now) in read.replicas.iter_mut().zip(&now.replicas) {
            read.instance.tls = now.instance.tls.clone();
        }
    }
    read != *now
}
