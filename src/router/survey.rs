//! From looks at single servers to the topology of their cluster, and to the story of what has happened there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Cluster, Health};

use super::lag::History;
use super::look::{Channel, Look};
use super::member::Watched;
use super::primary::{Change, NoWrites, Office, Standing};
use super::topology::{Member, Topology, Unfit};

/// What one look brought.
#[derive(Debug, Clone)]
pub enum Seen {
    /// An answer, and how long it took.
    Look(Look, Duration),
    /// Nobody answered.
    Failed(String),
    /// A server that lets nobody look: it is there, and that is all that is known. Too many connections are no reason to take
    /// a server out.
    Refused(String),
}

/// What has happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Up {
        member: usize,
    },
    Down {
        member: usize,
        reason: String,
    },
    Fit {
        member: usize,
        lag: Option<Duration>,
    },
    Unfit {
        member: usize,
        why: Unfit,
        lag: Option<Duration>,
    },
    PrimaryLost {
        member: usize,
        why: NoWrites,
    },
    PrimaryFound {
        member: usize,
        epoch: u64,
        /// It was another one before, or none ever.
        is_new: bool,
        /// For how long there was none.
        after: Duration,
        /// Others that take writes, too.
        others: Vec<usize>,
    },
    /// A server takes writes beside the primary.
    TwoWriters {
        member: usize,
        primary: usize,
    },
}

/// What is known of a cluster that is looked after.
#[derive(Debug)]
pub struct Survey {
    health: Health,
    max_lag: Duration,
    members: Vec<Watched>,
    office: Office,
    history: History,
}

impl Survey {
    pub fn new(cluster: &Cluster, now: Instant) -> Self {
        let replicas = cluster.replicas.iter();
        let replicas = replicas.map(|replica| {
            Watched::new(&replica.instance, replica.weight, replica.is_near, replica.draining)
        });
        Self {
            health: cluster.health.clone(),
            max_lag: cluster.routing.max_replica_lag,
            members: std::iter::once(Watched::new(&cluster.primary, 1, false, false))
                .chain(replicas)
                .collect(),
            office: Office::new(now),
            history: History::default(),
        }
    }

    /// Takes over what may change while Athena runs: weights, who is taken out, how far replicas may be behind.
    pub fn revise(&mut self, cluster: &Cluster) -> Vec<Event> {
        self.max_lag = cluster.routing.max_replica_lag;
        for (member, replica) in self.members.iter_mut().skip(1).zip(&cluster.replicas) {
            (member.weight, member.is_draining) = (replica.weight, replica.draining);
        }
        self.judge()
    }

    /// Where a member is found now.
    pub fn set_addresses(&mut self, member: usize, addresses: Arc<[SocketAddr]>) {
        if let Some(member) = self.members.get_mut(member) {
            member.addresses = addresses;
        }
    }

    /// Takes in what a look at a member brought.
    pub fn take_in(&mut self, number: usize, seen: Seen, now: Instant) -> Vec<Event> {
        let Some(member) = self.members.get_mut(number) else { return Vec::new() };
        let (look, reason) = match seen {
            Seen::Look(look, latency) => (Some((look, latency)), None),
            Seen::Refused(_) if member.damping.is_known() => return Vec::new(),
            Seen::Failed(reason) | Seen::Refused(reason) => (None, Some(reason)),
        };
        let is_look = look.is_some();
        let mut events = Vec::new();
        if member.note(look, &self.health) {
            events.push(match reason {
                None => Event::Up { member: number },
                Some(reason) => Event::Down { member: number, reason },
            });
        }
        let standings: Vec<Standing> = (0..self.members.len()).map(|member| self.standing(member)).collect();
        for change in self.office.decide(&standings, now) {
            events.push(self.changed(change, now));
        }
        let holder = self.office.holder;
        if is_look && let Some(member) = self.members.get_mut(number) {
            match holder {
                Some(holder) if holder == number => {
                    if let Some(executed) = member.look.as_ref().and_then(|look| look.executed.as_ref()) {
                        self.history.note(executed, now);
                    }
                }
                _ => member.measure(&self.history, holder.is_some(), now),
            }
        }
        events.extend(self.judge());
        events
    }

    fn standing(&self, number: usize) -> Standing {
        let nobody = Standing {
            is_known: true,
            is_fresh: false,
            claim: Err(NoWrites::Down),
            shares: false,
            followers: 0,
        };
        let Some(member) = self.members.get(number) else { return nobody };
        let is_guess = self.office.last.is_none_or(|last| last == number);
        let follows = |other: &&Watched| {
            let channels = other.look.iter().flat_map(|look| look.channels.iter().flatten());
            channels.filter(|channel| channel.is_active()).any(|channel| member.is_source_of(channel))
        };
        Standing {
            is_known: member.damping.is_known(),
            is_fresh: member.damping.is_fresh(),
            claim: member.claim(is_guess, |channel| self.is_ring(number, channel)),
            shares: member.shares(),
            followers: self.members.iter().filter(|other| other.damping.is_up()).filter(follows).count(),
        }
    }

    /// Whether a channel of a member comes from one that follows that member, too: in a ring, who takes writes replicates all the
    /// same. While both take writes, that tells nobody apart; the primary stays it.
    fn is_ring(&self, number: usize, channel: &Channel) -> bool {
        let Some(member) = self.members.get(number) else { return false };
        let is_free = self.office.holder == Some(number) || self.office.last.is_none();
        self.members.iter().filter(|other| other.is_source_of(channel)).any(|other| {
            let mut back = other.look.iter().flat_map(|look| look.channels.iter().flatten());
            back.any(|channel| channel.is_active() && member.is_source_of(channel))
                && (is_free || !other.is_open_to_writes())
        })
    }

    /// Does what follows from a change of the primary.
    fn changed(&mut self, change: Change, now: Instant) -> Event {
        match change {
            Change::Lost { member, why } => {
                self.history.stop(now);
                Event::PrimaryLost { member, why }
            }
            Change::Found { member, is_new, after, others } => {
                if is_new {
                    // What the last one had besides is lost, or on its way: nobody is behind it any more.
                    self.history.clear();
                }
                if let Some(member) = self.members.get_mut(member) {
                    member.takes_office();
                    if let Some(executed) = member.look.as_ref().and_then(|look| look.executed.as_ref()) {
                        self.history.note(executed, now);
                    }
                }
                Event::PrimaryFound { member, epoch: self.office.epoch, is_new, after, others }
            }
            Change::Rival { member } => {
                Event::TwoWriters { member, primary: self.office.holder.unwrap_or(member) }
            }
        }
    }

    /// Judges anew who may have reads.
    fn judge(&mut self) -> Vec<Event> {
        let (holder, max_lag) = (self.office.holder, self.max_lag);
        let is_decided = self.office.last.is_some();
        let mut events = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            if member.judge(is_decided.then_some(holder == Some(number)), max_lag) {
                let lag = member.lag;
                events.push(match member.unfit {
                    None => Event::Fit { member: number, lag },
                    Some(why) => Event::Unfit { member: number, why, lag },
                });
            }
        }
        events
    }

    /// What the cores are to know.
    pub fn topology(&self) -> Topology {
        let member = |member: &Watched| Member {
            unfit: member.unfit,
            is_up: member.damping.is_up(),
            weight: member.weight,
            is_near: member.is_near,
            lag: member.lag,
            latency: member.latency,
            executed: member.look.as_ref().and_then(|look| look.executed.clone()),
        };
        Topology {
            epoch: self.office.epoch,
            primary: self.office.holder,
            members: self.members.iter().map(member).collect(),
        }
    }

    /// The last primary that there was, or is.
    pub fn last_primary(&self) -> Option<usize> {
        self.office.last
    }

    /// For how long there was no primary, all in all.
    pub fn without_primary(&self, now: Instant) -> Duration {
        self.office.empty(now)
    }
}
