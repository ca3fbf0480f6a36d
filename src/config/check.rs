//! Values that are each fine and can't stand together, in the file or on the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::document::Document;
use super::model::{Config, Instance, Pool};
use super::problem::Reason;

/// From the port of the clients to the default port of the HTTP endpoint.
pub(super) const METRICS_OFFSET: u16 = 1000;

/// Reports contradictions between values of the file that are otherwise in order.
pub(super) fn contradictions(document: &Document<'_>, config: &Config) {
    metrics_port(document, config);
    endpoints(document, config);
    for cluster in &config.clusters {
        let is_home = cluster.name == "default";
        let (own, of_replicas) =
            if is_home { ("backend", "backend.replicas") } else { ("shards", "shards.replicas") };
        if is_home {
            pool(document, &cluster.pool);
        }
        proxy_loop(document, config, &cluster.primary, own);
        for replica in &cluster.replicas {
            proxy_loop(document, config, &replica.instance, of_replicas);
        }
    }
}

fn pool(document: &Document<'_>, pool: &Pool) {
    let limit = pool.max_connections;
    for (name, value) in [("min_idle", pool.min_idle), ("max_connecting", pool.max_connecting)] {
        let key = format!("pool.{name}");
        if value > limit && document.sound(&["pool.max_connections", &key]) {
            let reason = Reason::MoreThan { value, limit_key: "max_connections", limit };
            document.report(document.line_of("pool", name), key, reason);
        }
    }
}

fn metrics_port(document: &Document<'_>, config: &Config) {
    let port = u32::from(config.server.listen.port()) + u32::from(METRICS_OFFSET);
    let defaulted = config.metrics.is_some() && !document.gives("metrics", "listen_port");
    if defaulted && port > u32::from(u16::MAX) && document.sound(&["server.listen_port", "metrics.enabled"]) {
        let line = document.line_of("server", "listen_port");
        document.report(line, "server.listen_port".to_owned(), Reason::MetricsPortTooHigh(port));
    }
}

const ADDRESSES: [&str; 6] = [
    "server.listen_addr",
    "server.listen_port",
    "metrics.listen_addr",
    "metrics.listen_port",
    "backend.host",
    "backend.port",
];

fn endpoints(document: &Document<'_>, config: &Config) {
    let Some(metrics) = config.metrics else { return };
    if collide(config.server.listen, metrics) && document.sound(&ADDRESSES[..4]) {
        let line = document.line_of("metrics", "listen_port");
        let reason = Reason::MetricsOnListener(metrics.to_string());
        document.report(line, "metrics.listen_port".to_owned(), reason);
    }
}

fn proxy_loop(document: &Document<'_>, config: &Config, instance: &Instance, own: &str) {
    if !document.sound(&ADDRESSES) {
        return;
    }
    if let Some(path) = &instance.unix_socket {
        if config.server.unix_socket.as_ref() == Some(path) {
            let reason = Reason::BackendIsSelf(path.display().to_string(), "[server]");
            document.report(document.line_of(own, "unix_socket"), format!("{own}.unix_socket"), reason);
        }
        return;
    }
    let addresses: Vec<IpAddr> = match instance.host.parse() {
        Ok(address) => vec![address],
        Err(_) if instance.host.eq_ignore_ascii_case("localhost") => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        // A name says nothing before it is resolved, and may mean something else by then.
        Err(_) => return,
    };
    let listeners = [(Some(config.server.listen), "[server]"), (config.metrics, "[metrics]")];
    for (listener, section) in listeners {
        let Some(listener) = listener else { continue };
        let here = |address: &IpAddr| covers(listener, (*address, instance.port).into());
        if addresses.iter().any(here) {
            let reason = Reason::BackendIsSelf(format!("{}:{}", instance.host, instance.port), section);
            document.report(document.line_of(own, "host"), format!("{own}.host"), reason);
        }
    }
}

/// True when two sockets can't listen side by side.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// True when a socket that listens on `listener` takes what is sent to `target`. An address
/// of all interfaces covers the loopback ones; those of other interfaces are not known here.
fn covers(listener: SocketAddr, target: SocketAddr) -> bool {
    let (own, other) = (listener.ip().to_canonical(), target.ip().to_canonical());
    let local = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    let either_is_all = own.is_unspecified() || other.is_unspecified();
    listener.port() == target.port() && (own == other || (either_is_all && local(own) && local(other)))
}
