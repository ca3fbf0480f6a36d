//! The host of an account of the server: what it covers, and how specific it is.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// Where an account's clients may come from, as the server's tables say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    Localhost,
    Address(IpAddr),
    /// `10.0.0.0/255.0.0.0`, or `10.0.0.0/8` on MySQL.
    Network(IpNet),
    /// With `%` and `_`, in lower case.
    Pattern(String),
    /// A name: Athena looks up no names of clients, so it covers none.
    Name,
}

impl HostPattern {
    pub fn parse(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        if text == "localhost" {
            return Self::Localhost;
        }
        // No host at all means any.
        if text.is_empty() {
            return Self::Pattern("%".to_owned());
        }
        if text.contains(['%', '_']) {
            return Self::Pattern(text);
        }
        let masked = || {
            let (address, mask) = text.split_once('/')?;
            let (address, mask) = (address.parse::<Ipv4Addr>().ok()?, mask.parse::<Ipv4Addr>().ok()?);
            IpNet::with_netmask(address.into(), mask.into()).ok()
        };
        let address = text.parse().ok().map(Self::Address);
        let network = || masked().or_else(|| text.parse().ok()).map(Self::Network);
        address.or_else(network).unwrap_or(Self::Name)
    }

    /// Whether a client comes from there; `None` is a Unix socket. A loopback address is `localhost`, too.
    pub fn covers(&self, address: Option<IpAddr>) -> bool {
        let address = address.map(|address| address.to_canonical());
        let local = address.is_none_or(|address| address.is_loopback());
        match self {
            Self::Localhost => local,
            Self::Address(own) => address == Some(*own),
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Pattern(pattern) => {
                let by_address = address
                    .is_some_and(|address| is_like(address.to_string().as_bytes(), pattern.as_bytes()));
                by_address || (local && is_like(b"localhost", pattern.as_bytes()))
            }
            Self::Name => false,
        }
    }

    /// The more specific of two comes first in the server's order, and is the higher here.
    pub fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Localhost | Self::Address(_) | Self::Name => (2, 0),
            Self::Network(network) => (1, usize::from(network.prefix_len())),
            Self::Pattern(pattern) => (0, pattern.find(['%', '_']).unwrap_or(pattern.len())),
        }
    }
}

/// SQL's LIKE over bytes, without an escape.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    // Where the last `%` was, and how much of the text it had taken.
    let mut back: Option<(usize, usize)> = None;
    let (mut at, mut in_pattern) = (0, 0);
    while at < text.len() {
        match (pattern.get(in_pattern), text.get(at)) {
            (Some(b'%'), _) => {
                back = Some((in_pattern, at));
                in_pattern += 1;
            }
            (Some(wanted), Some(found)) if *wanted == b'_' || wanted == found => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((percent, taken)) = back else { return false };
                back = Some((percent, taken + 1));
                (in_pattern, at) = (percent + 1, taken + 1);
            }
        }
    }
    pattern.get(in_pattern..).unwrap_or_default().iter().all(|byte| *byte == b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_cover_what_they_do_on_a_server() {
        let covers = |host: &str, address: &str| HostPattern::parse(host).covers(address.parse().ok());
        for (host, address) in [
            ("%", "10.1.2.3"),
            ("%", "socket"),
            ("", "::1"),
            ("localhost", "socket"),
            ("LOCALHOST", "127.0.0.1"),
            ("localhost", "::1"),
            ("10.%", "10.1.2.3"),
            ("10.1.2._", "10.1.2.3"),
            ("%.3", "10.1.2.3"),
            ("10.1.2.3", "::ffff:10.1.2.3"),
            ("10.1.0.0/255.255.0.0", "10.1.2.3"),
            ("10.1.0.0/16", "10.1.2.3"),
            ("2001:db8::1", "2001:db8::1"),
            ("local%", "127.0.0.1"),
        ] {
            assert!(covers(host, address), "{host} {address}");
        }
        for (host, address) in [
            ("10.2.%", "10.1.2.3"),
            ("10.1.2._", "10.1.2.33"),
            ("localhost", "10.1.2.3"),
            ("10.1.2.3", "socket"),
            ("10.1.0.0/255.255.0.0", "10.2.2.3"),
            ("db.example.com", "10.1.2.3"),
            ("%.4", "10.1.2.3"),
        ] {
            assert!(!covers(host, address), "{host} {address}");
        }
    }

    #[test]
    fn the_more_specific_host_comes_first() {
        let hosts = ["10.1.2.3", "10.1.2.0/255.255.255.0", "10.0.0.0/8", "10.1.%", "10.%", "%"];
        let order: Vec<_> = hosts.iter().map(|host| HostPattern::parse(host).specificity()).collect();
        assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
    }
}
