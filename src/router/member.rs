//! One server of a cluster: what the looks at it come to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Health, Instance};

use super::damping::Damping;
use super::lag::History;
use super::look::{Channel, Look, Part, Receives};
use super::primary::NoWrites;
use super::topology::Unfit;

/// Of a new latency so much goes into the smoothed one: one part in four.
const SMOOTHING: u32 = 4;

/// What a server counts itself is in whole seconds, and one of them may be the wrong one.
const COUNTED_MIN: Duration = Duration::from_secs(2);

/// What is known of one server.
#[derive(Debug)]
pub(super) struct Watched {
    /// Where others may say that they follow it.
    host: String,
    port: u16,
    pub addresses: Arc<[SocketAddr]>,
    pub weight: u32,
    pub is_near: bool,
    pub is_draining: bool,
    pub damping: Damping,
    /// The last that was seen of it.
    pub look: Option<Look>,
    pub latency: Duration,
    pub lag: Option<Duration>,
    pub unfit: Option<Unfit>,
    /// It was seen to be read-only since it took writes the last time.
    was_read_only: bool,
    is_lagging: bool,
    /// Since when it gets nothing from its source while there is a primary.
    cut_off: Option<Instant>,
}

impl Watched {
    pub fn new(instance: &Instance, weight: u32, is_near: bool, is_draining: bool) -> Self {
        Self {
            host: instance.host.clone(),
            port: instance.port,
            addresses: Arc::new([]),
            weight,
            is_near,
            is_draining,
            damping: Damping::default(),
            look: None,
            latency: Duration::ZERO,
            lag: None,
            unfit: Some(if is_draining { Unfit::Draining } else { Unfit::Unknown }),
            was_read_only: false,
            is_lagging: false,
            cut_off: None,
        }
    }

    /// Takes a look in; `None` is one that failed. True if it is up now and was not, or the other way round.
    pub fn note(&mut self, look: Option<(Look, Duration)>, health: &Health) -> bool {
        let changed = self.damping.note(look.is_some(), health);
        if let Some((look, latency)) = look {
            self.was_read_only |= !look.is_writable;
            self.latency = match self.latency {
                Duration::ZERO => latency,
                before => before - before / SMOOTHING + latency / SMOOTHING,
            };
            self.look = Some(look);
        }
        changed
    }

    /// It is the primary now.
    pub fn takes_office(&mut self) {
        self.was_read_only = false;
    }

    /// Whether it may take writes. `is_guess` is true where nobody has been the primary yet, or this one was the last; replication
    /// that is `harmless` does not speak against it.
    pub fn claim(&self, is_guess: bool, harmless: impl Fn(&Channel) -> bool) -> Result<(), NoWrites> {
        let Some(look) = self.look.as_ref().filter(|_| self.damping.is_up()) else {
            return Err(NoWrites::Down);
        };
        match look.group {
            Some(Part::Apart) => return Err(NoWrites::Apart),
            Some(Part::Secondary) => return Err(NoWrites::ReadOnly),
            Some(Part::Primary | Part::Synced) | None => {}
        }
        if !look.is_writable {
            return Err(NoWrites::ReadOnly);
        }
        if look.group.is_some() {
            return Ok(());
        }
        match &look.channels {
            Some(channels) if channels.iter().any(|one| one.is_active() && !harmless(one)) => {
                Err(NoWrites::Replicates)
            }
            // It might be a replica that somebody forgot to make read-only.
            None if !is_guess && !self.was_read_only => Err(NoWrites::Replicates),
            _ => Ok(()),
        }
    }

    /// Several of a group may take writes.
    pub fn shares(&self) -> bool {
        self.look.as_ref().is_some_and(|look| matches!(look.group, Some(Part::Primary | Part::Synced)))
    }

    /// Whether this is whom a channel replicates from.
    pub fn is_source_of(&self, channel: &Channel) -> bool {
        let host = match channel.host.as_str() {
            host if host.eq_ignore_ascii_case("localhost") => "127.0.0.1",
            host => host,
        };
        let by_address = |address: &SocketAddr| address.ip().to_string() == host;
        let by_name =
            || self.host.eq_ignore_ascii_case(host) || self.host.eq_ignore_ascii_case(&channel.host);
        channel.port == self.port && (by_name() || self.addresses.iter().any(by_address))
    }

    /// Finds out how far it is behind. `has_primary` is false while nobody writes anything that it could get.
    pub fn measure(&mut self, history: &History, has_primary: bool, now: Instant) {
        let Some(look) = &self.look else { return };
        let channels = || look.channels.iter().flatten();
        let receives = channels().any(|channel| channel.receives == Receives::Yes);
        match has_primary && !receives && channels().next().is_some() {
            true => _ = self.cut_off.get_or_insert(now),
            false => self.cut_off = None,
        }
        let measured = look.executed.as_ref().and_then(|executed| history.lag(executed, now));
        let counted = channels().filter_map(|channel| channel.behind).max();
        self.lag = match (measured, counted) {
            (Some(measured), Some(counted)) if counted >= COUNTED_MIN => Some(measured.max(counted)),
            (Some(measured), _) => Some(measured),
            (None, Some(counted)) => Some(counted),
            // It gets nothing, so it can't know what it lacks.
            (None, None) => self.cut_off.map(|since| now.saturating_duration_since(since)),
        };
    }

    /// It is up, and takes writes or might.
    pub fn is_open_to_writes(&self) -> bool {
        self.damping.is_up() && self.look.as_ref().is_some_and(|look| look.is_writable)
    }

    /// Judges whether it may have reads. True if that has changed. `is_primary` is `None` while nobody has ever been it.
    pub fn judge(&mut self, is_primary: Option<bool>, max_lag: Duration) -> bool {
        if is_primary == Some(true) {
            self.lag = None;
        }
        self.is_lagging = match self.lag {
            // Back in only when it is well below, or it would go in and out.
            Some(lag) if self.is_lagging => lag >= max_lag / 4 * 3,
            Some(lag) => lag > max_lag,
            None => false,
        };
        let unfit = self.reason(is_primary);
        std::mem::replace(&mut self.unfit, unfit) != unfit
    }

    fn reason(&self, is_primary: Option<bool>) -> Option<Unfit> {
        if self.is_draining {
            return Some(Unfit::Draining);
        }
        let Some(look) = self.look.as_ref().filter(|_| self.damping.is_up()) else {
            return Some(if self.damping.is_known() { Unfit::Down } else { Unfit::Unknown });
        };
        match is_primary {
            Some(true) => return None,
            Some(false) => {}
            // It may be about to become the primary.
            None if look.is_writable && !look.is_replicating() => return Some(Unfit::Unknown),
            None => {}
        }
        // A source that is away is no reason: that is when reads are needed most.
        let replicates = match (&look.group, &look.channels) {
            (Some(Part::Apart), _) => return Some(Unfit::Apart),
            (Some(_), _) | (None, None) => true,
            (None, Some(channels)) => !channels.is_empty() && channels.iter().all(|channel| channel.applies),
        };
        match replicates {
            false => Some(Unfit::NotReplicating),
            true => self.is_lagging.then_some(Unfit::Lagging),
        }
    }
}
