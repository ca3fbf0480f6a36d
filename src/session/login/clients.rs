//! The clients of all cores, counted under one lock: it is taken when a client comes and when it goes, never on the path
//! of a query.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Origin, Server};
use crate::metrics::label::RefusedReason;
use crate::protocol::error::{ErrorCode, ServerError};

/// Who is there, logged in or not.
pub struct Clients {
    max: usize,
    max_logins: usize,
    /// `None` where a network may have as many as all together.
    max_of_network: Option<usize>,
    /// They are not where their clients are.
    proxies: Vec<Origin>,
    counted: Mutex<Counted>,
}

struct Counted {
    all: usize,
    /// Those of them that have not logged in.
    logging_in: usize,
    cores: Box<[OfCore]>,
    /// Only those that have any, and none where they are not limited.
    networks: HashMap<Network, usize>,
}

struct OfCore {
    /// Those that it has, and those that are on their way to it.
    clients: usize,
    /// It takes more.
    open: bool,
}

/// What counts as one address: that of IPv4, and of IPv6 the first half, since whoever has one address there has all of
/// its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
            v4 => v4,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// There are as many clients as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// Of all together.
    Clients,
    /// Of this one's.
    OfNetwork(Network),
    /// Of those that have not logged in: this one was slow.
    Logins,
}

impl TooMany {
    pub fn reason(self) -> RefusedReason {
        match self {
            Self::Clients => RefusedReason::Limit,
            Self::OfNetwork(_) => RefusedReason::AddressLimit,
            Self::Logins => RefusedReason::LoginLimit,
        }
    }

    pub fn error(self) -> ServerError {
        let message = match self {
            Self::Clients => "Too many connections ([server] max_connections)".to_owned(),
            Self::OfNetwork(network) => {
                format!("Too many connections from {network} ([server] max_connections_per_address)")
            }
            Self::Logins => {
                "Too many logins at a time, and this one waits for its client ([server] max_logins)"
                    .to_owned()
            }
        };
        ServerError::new(ErrorCode::ConCount, message)
    }
}

impl Clients {
    /// None yet, on so many cores.
    pub fn new(server: &Server, cores: usize) -> Arc<Self> {
        let cores = (0..cores).map(|_| OfCore { clients: 0, open: true });
        let counted = Counted { all: 0, logging_in: 0, cores: cores.collect(), networks: HashMap::new() };
        Arc::new(Self {
            max: server.max_connections,
            max_logins: server.max_logins,
            max_of_network: server.max_connections_per_address,
            proxies: server.proxy_protocol.clone(),
            counted: Mutex::new(counted),
        })
    }

    /// A client has come to the core `here`. Its place is on the core that has the fewest: this one, if no other has
    /// fewer. The choice and the place are one step, so that two cores never choose by the same numbers.
    ///
    /// It is one more of its address, unless that is a proxy's, or it has none (`None`).
    pub fn admit(self: &Arc<Self>, here: u32, peer: Option<IpAddr>) -> Result<Ticket, TooMany> {
        let is_proxy = |address: &IpAddr| self.proxies.iter().any(|origin| origin.covers(Some(*address)));
        let peer = peer.filter(|address| !is_proxy(address));
        let mut counted = self.counted();
        if counted.all >= self.max {
            return Err(TooMany::Clients);
        }
        let network = peer.map(|address| counted.come_from(address, self.max_of_network)).transpose()?;
        let open = counted.cores.iter().zip(0..).filter(|(core, _)| core.open);
        let fewest = open.min_by_key(|(core, number)| (core.clients, *number != here));
        let core = fewest.map_or(here, |(_, number)| number);
        counted.all += 1;
        counted.logging_in += 1;
        counted.of(core, |core| core.clients += 1);
        drop(counted);
        let (core, network) = (Cell::new(core), Cell::new(network.flatten()));
        Ok(Ticket { clients: self.clone(), core, network, logs_in: Cell::new(true) })
    }

    /// Whether more clients are logging in than should.
    pub(super) fn logins_are_crowded(&self) -> bool {
        self.counted().logging_in > self.max_logins
    }

    /// How many a core has.
    pub fn of_core(&self, core: u32) -> usize {
        self.counted().cores.get(core as usize).map_or(0, |core| core.clients)
    }

    /// The core takes no more.
    pub fn close(&self, core: u32) {
        self.counted().of(core, |core| core.open = false);
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn of(&mut self, core: u32, change: impl FnOnce(&mut OfCore)) {
        if let Some(core) = self.cores.get_mut(core as usize) {
            change(core);
        }
    }

    /// One more of an address, unless it has `max`. `None` where it does not matter.
    fn come_from(&mut self, address: IpAddr, max: Option<usize>) -> Result<Option<Network>, TooMany> {
        let Some(max) = max else { return Ok(None) };
        let network = Network::of(address);
        let count = self.networks.entry(network).or_default();
        if *count >= max {
            return Err(TooMany::OfNetwork(network));
        }
        *count += 1;
        Ok(Some(network))
    }

    fn leave(&mut self, network: Network) {
        let left = self.networks.get_mut(&network).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            self.networks.remove(&network);
        }
    }
}

/// A client's place, for as long as it lives.
pub struct Ticket {
    clients: Arc<Clients>,
    core: Cell<u32>,
    /// Whose it is, where that is limited.
    network: Cell<Option<Network>>,
    /// It counts among those that have not logged in.
    logs_in: Cell<bool>,
}

impl Ticket {
    /// The core that it is for.
    pub fn core(&self) -> u32 {
        self.core.get()
    }

    /// The client is served by another core than was chosen.
    pub fn change_core(&self, to: u32) {
        let from = self.core.replace(to);
        let mut counted = self.clients.counted();
        counted.of(from, |core| core.clients -= 1);
        counted.of(to, |core| core.clients += 1);
    }

    /// It is logged in, or never will be.
    pub(super) fn login_is_over(&self) {
        if self.logs_in.replace(false) {
            self.clients.counted().logging_in -= 1;
        }
    }

    /// A proxy has said where its client is.
    pub(super) fn comes_from(&self, address: IpAddr) -> Result<(), TooMany> {
        let mut counted = self.clients.counted();
        let network = counted.come_from(address, self.clients.max_of_network)?;
        if let Some(before) = self.network.replace(network) {
            counted.leave(before);
        }
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counted = self.clients.counted();
        if let Some(network) = self.network.get() {
            counted.leave(network);
        }
        counted.all -= 1;
        counted.logging_in -= usize::from(self.logs_in.get());
        counted.of(self.core.get(), |core| core.clients -= 1);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Config;

    pub fn with(max: usize, cores: usize, change: impl FnOnce(&mut Server)) -> Arc<Clients> {
        let text = "[backend]\nhost = \"127.0.0.1\"\nuser = \"a\"\npassword = \"\"\n";
        let mut server = Config::parse("athena.toml".as_ref(), text, &|_| None).unwrap().server;
        server.max_connections = max;
        change(&mut server);
        Clients::new(&server, cores)
    }

    fn clients(max: usize, cores: usize) -> Arc<Clients> {
        with(max, cores, |_| {})
    }

    fn counts(clients: &Clients, cores: u32) -> Vec<usize> {
        (0..cores).map(|core| clients.of_core(core)).collect()
    }

    #[test]
    fn clients_go_where_the_fewest_are() {
        let clients = clients(100, 3);
        let tickets: Vec<_> = (0..7).map(|_| clients.admit(1, None).unwrap()).collect();
        let chosen: Vec<_> = tickets.iter().map(Ticket::core).collect();
        assert_eq!(chosen, [1, 0, 2, 1, 0, 2, 1], "the own core goes first among equals");
        drop(tickets);
        assert_eq!(counts(&clients, 3), [0, 0, 0]);
    }

    #[test]
    fn the_last_place_is_taken_once() {
        let clients = clients(2, 2);
        let first = clients.admit(0, None).unwrap();
        let second = clients.admit(0, None).unwrap();
        assert_eq!((first.core(), second.core()), (0, 1));
        assert_eq!(clients.admit(0, None).err(), Some(TooMany::Clients));
        drop(first);
        assert_eq!(clients.admit(1, None).unwrap().core(), 0, "where a place became free");
    }

    #[test]
    fn many_at_once_spread_evenly() {
        let clients = clients(8 * 100 + 3, 8);
        let tickets: Vec<Ticket> = std::thread::scope(|scope| {
            let comes = |core: u32| {
                let clients = &clients;
                scope.spawn(move || {
                    (0..101).filter_map(|_| clients.admit(core % 2, None).ok()).collect::<Vec<_>>()
                })
            };
            let threads: Vec<_> = (0..8).map(comes).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut counts = counts(&clients, 8);
        counts.sort_unstable();
        assert_eq!(counts, [100, 100, 100, 100, 100, 101, 101, 101]);
        drop(tickets);
        assert_eq!(clients.counted().all, 0);
    }

    #[test]
    fn a_core_that_ends_gets_none() {
        let clients = clients(100, 2);
        clients.close(1);
        let tickets: Vec<_> = (0..3).map(|_| clients.admit(0, None).unwrap()).collect();
        assert_eq!(counts(&clients, 2), [3, 0]);
        tickets[0].change_core(1);
        assert_eq!(counts(&clients, 2), [2, 1]);
        clients.close(0);
        assert_eq!(clients.admit(0, None).unwrap().core(), 0, "where else");
        drop(tickets);
        assert_eq!(counts(&clients, 2), [0, 0]);
    }

    #[test]
    fn an_address_has_its_limit() {
        let clients = with(100, 2, |server| {
            server.max_connections_per_address = Some(2);
            server.proxy_protocol = vec![Origin::parse("10.0.0.0/8").unwrap()];
        });
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let full = |text: &str| Some(TooMany::OfNetwork(Network::of(text.parse().unwrap())));
        let mut here: Vec<_> = (0..2).map(|_| clients.admit(0, address("192.0.2.7")).unwrap()).collect();
        let refused = clients.admit(0, address("192.0.2.7")).err();
        assert_eq!(refused, full("192.0.2.7"));
        assert!(refused.unwrap().error().message.contains("from 192.0.2.7 ("));
        assert_eq!(clients.admit(1, address("::ffff:192.0.2.7")).err(), refused, "the same by another name");
        assert!(clients.admit(0, address("192.0.2.8")).is_ok());
        assert!(clients.admit(0, None).is_ok());
        here.pop();
        here.push(clients.admit(1, address("192.0.2.7")).unwrap());
        let network: Vec<_> =
            ["2001:db8::1", "2001:db8::f:2"].map(|text| clients.admit(0, address(text)).unwrap()).into();
        let refused = clients.admit(0, address("2001:db8:0:0:ffff::")).err();
        assert!(refused.unwrap().error().message.contains("from 2001:db8::/64 ("));
        assert!(clients.admit(0, address("2001:db8:0:1::1")).is_ok(), "the network beside it");
        let proxied: Vec<_> = (0..5).map(|_| clients.admit(0, address("10.1.2.3")).unwrap()).collect();
        assert_eq!(proxied[0].comes_from(address("192.0.2.7").unwrap()).err(), full("192.0.2.7"));
        proxied[0].comes_from(address("192.0.2.9").unwrap()).unwrap();
        proxied[1].comes_from(address("192.0.2.9").unwrap()).unwrap();
        assert_eq!(proxied[2].comes_from(address("192.0.2.9").unwrap()).err(), full("192.0.2.9"));
        drop((here, network, proxied));
        let counted = clients.counted();
        assert_eq!((counted.all, counted.networks.len()), (0, 0), "nothing is kept of those who left");
    }
}
