//! Names to addresses. The system's resolver blocks, so it runs on a thread of its own.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Instance;

/// How often a name is looked up again.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// All addresses of the instance, IPv4 first: a `localhost` that is also `::1` mostly has its server on 127.0.0.1.
/// Empty if the name is unknown.
pub fn resolve(instance: &Instance) -> Arc<[SocketAddr]> {
    if instance.unix_socket.is_some() {
        return Arc::new([]);
    }
    let found = (instance.host.as_str(), instance.port).to_socket_addrs();
    let mut addresses: Vec<SocketAddr> = match found {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            tracing::warn!(target: "athena::resolver", host = %instance.host, %error, "the name can't be resolved");
            Vec::new()
        }
    };
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    addresses.into()
}

/// Whether looking it up again can change anything.
pub(super) fn is_name(instance: &Instance) -> bool {
    instance.unix_socket.is_none() && instance.host.parse::<std::net::IpAddr>().is_err()
}
