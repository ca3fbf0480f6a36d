//! What is known of the clusters' servers: taken in from the prober, told to the cores, to the log and to `/metrics`.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Cluster, Config};
use crate::metrics::{ClusterFacts, InstanceFacts};
use crate::net::Sender;
use crate::router::{Event, Seen, Survey, Suspicion, Topology, Unfit};
use crate::worker::Message;

use super::http::BackendHealth;
use super::prober::{Observation, Order};
use super::story;

/// What a server may have become, as in `athena_health_transitions_total`.
const TRANSITIONS: [&str; 7] = ["up", "down", "fit", "apart", "not_replicating", "lagging", "draining"];

/// The clusters that are looked after.
pub(super) struct Topologies {
    cores: Vec<Sender<Message>>,
    /// Where the prober takes orders; `None` if nobody is looked after.
    prober: Option<Sender<Order>>,
    /// `None` for a cluster of one server.
    clusters: RefCell<Vec<Option<Watch>>>,
}

/// One cluster.
struct Watch {
    name: String,
    /// How its servers are called in the log.
    instances: Vec<String>,
    interval: Duration,
    survey: Survey,
    /// What the cores know, and since when.
    told: Arc<Topology>,
    told_at: Instant,
    /// The prober looks more often, because there is no primary.
    hurries: bool,
    /// How often each server became what [`TRANSITIONS`] names.
    transitions: Vec<[u64; TRANSITIONS.len()]>,
    /// What is said once only.
    notices: story::Notices,
}

impl Topologies {
    pub fn new(
        config: &Config,
        addresses: &[Vec<Arc<[SocketAddr]>>],
        cores: Vec<Sender<Message>>,
        prober: Option<Sender<Order>>,
    ) -> Rc<Self> {
        let now = Instant::now();
        let clusters = config.clusters.iter().zip(addresses);
        let clusters = clusters.map(|(cluster, addresses)| {
            (!cluster.replicas.is_empty()).then(|| Watch::new(cluster, addresses, now))
        });
        Rc::new(Self { cores, prober, clusters: RefCell::new(clusters.collect()) })
    }

    /// Takes in what is seen, for as long as somebody looks.
    pub async fn keep(self: Rc<Self>, observations: async_channel::Receiver<Observation>) {
        while let Ok(observation) = observations.recv().await {
            self.take_in(observation, Instant::now());
        }
    }

    /// Has the prober look where cores want it to, for as long as there are cores.
    pub async fn look_into(self: Rc<Self>, suspicions: async_channel::Receiver<Suspicion>) {
        while let Ok(Suspicion { cluster, member }) = suspicions.recv().await {
            self.order(Order::Look { cluster, member });
        }
    }

    /// Nobody needs to look any more.
    pub fn end(&self) {
        self.order(Order::End);
    }

    fn order(&self, order: Order) {
        if let Some(prober) = &self.prober {
            prober.send(order);
        }
    }

    fn take_in(&self, observation: Observation, now: Instant) {
        let Observation { cluster, member, seen, refused } = observation;
        let mut clusters = self.clusters.borrow_mut();
        let Some(Some(watch)) = clusters.get_mut(cluster) else { return };
        let instance = watch.instances.get(member).map_or("?", String::as_str);
        match &seen {
            Seen::Refused(reason) => watch.notices.shut_out(&watch.name, member, instance, reason),
            Seen::Look(..) => watch.notices.let_in(member),
            Seen::Failed(_) => {}
        }
        for (question, err) in &refused {
            watch.notices.not_told(&watch.name, member, instance, *question, err);
        }
        let events = watch.survey.take_in(member, seen, now);
        watch.note(&events);
        self.tell(cluster, watch, now);
    }

    /// The numbers in the configuration have changed.
    pub fn revise(&self, config: &Config) {
        let now = Instant::now();
        let mut clusters = self.clusters.borrow_mut();
        for (number, (watch, cluster)) in clusters.iter_mut().zip(&config.clusters).enumerate() {
            if let Some(watch) = watch {
                let events = watch.survey.revise(cluster);
                watch.note(&events);
                self.tell(number, watch, now);
            }
        }
    }

    /// A name means other addresses now.
    pub fn set_addresses(&self, cluster: usize, member: usize, addresses: Arc<[SocketAddr]>) {
        if let Some(Some(watch)) = self.clusters.borrow_mut().get_mut(cluster) {
            watch.survey.set_addresses(member, addresses.clone());
        }
        self.order(Order::Addresses { cluster, member, addresses });
    }

    /// Tells the cores what has changed, unless that can wait.
    fn tell(&self, cluster: usize, watch: &mut Watch, now: Instant) {
        let topology = watch.survey.topology();
        let is_due = now.saturating_duration_since(watch.told_at) >= watch.interval;
        if topology == *watch.told || !(is_due || is_urgent(&topology, &watch.told)) {
            return;
        }
        let hurry = topology.primary.is_none();
        if hurry != watch.hurries {
            watch.hurries = hurry;
            self.order(Order::Hurry { cluster, hurry });
        }
        watch.told = Arc::new(topology);
        watch.told_at = now;
        let message = || Message::Topology { cluster, topology: watch.told.clone() };
        self.cores.iter().for_each(|core| core.send(message()));
    }

    /// The servers of a cluster; `None` if nobody looks after it.
    pub fn health(&self, cluster: usize) -> Option<Vec<BackendHealth>> {
        let clusters = self.clusters.borrow();
        let watch = clusters.get(cluster)?.as_ref()?;
        let members = watch.instances.iter().zip(&watch.told.members);
        Some(
            members
                .map(|(address, member)| BackendHealth { address: address.clone(), up: member.is_up })
                .collect(),
        )
    }

    /// What `/metrics` shows.
    pub fn facts(&self) -> (Vec<InstanceFacts>, Vec<ClusterFacts>) {
        let now = Instant::now();
        let clusters = self.clusters.borrow();
        let watches = || clusters.iter().flatten();
        let instances = watches().flat_map(Watch::instance_facts).collect();
        let of_cluster = |watch: &Watch| ClusterFacts {
            cluster: watch.name.clone(),
            // The first primary took nobody's place.
            failovers: watch.told.epoch.saturating_sub(1),
            without_primary: watch.survey.without_primary(now),
        };
        (instances, watches().map(of_cluster).collect())
    }
}

/// Whether a statement may go elsewhere because of what has changed. The rest moves with every look.
fn is_urgent(now: &Topology, before: &Topology) -> bool {
    let place = |topology: &Topology| (topology.epoch, topology.primary);
    place(now) != place(before)
        || now.members.iter().zip(&before.members).any(|(now, before)| {
            (now.unfit, now.is_up, now.weight, now.is_near)
                != (before.unfit, before.is_up, before.weight, before.is_near)
        })
}

impl Watch {
    fn new(cluster: &Cluster, addresses: &[Arc<[SocketAddr]>], now: Instant) -> Self {
        let mut survey = Survey::new(cluster, now);
        for (member, addresses) in addresses.iter().enumerate() {
            survey.set_addresses(member, addresses.clone());
        }
        let instances: Vec<String> = cluster.instances().map(ToString::to_string).collect();
        Self {
            name: cluster.name.clone(),
            interval: cluster.health.interval,
            told: Arc::new(Topology::unknown(cluster)),
            told_at: now,
            hurries: false,
            survey,
            transitions: vec![[0; TRANSITIONS.len()]; instances.len()],
            instances,
            notices: story::Notices::default(),
        }
    }

    /// Counts what has happened, and tells it.
    fn note(&mut self, events: &[Event]) {
        for event in events {
            let (member, to) = match event {
                Event::Up { member } => (*member, "up"),
                Event::Down { member, .. } => (*member, "down"),
                Event::Fit { member, .. } => (*member, "fit"),
                // The event before said so.
                Event::Unfit { why: Unfit::Down, .. } => continue,
                Event::Unfit { member, why, .. } => (*member, why.name()),
                Event::PrimaryLost { .. } | Event::PrimaryFound { .. } | Event::TwoWriters { .. } => {
                    story::tell(&self.name, &self.instances, event);
                    continue;
                }
            };
            story::tell(&self.name, &self.instances, event);
            let place = TRANSITIONS.iter().position(|name| *name == to);
            if let Some((counts, place)) = self.transitions.get_mut(member).zip(place)
                && let Some(count) = counts.get_mut(place)
            {
                *count += 1;
            }
        }
    }

    fn instance_facts(&self) -> Vec<InstanceFacts> {
        let topology = self.survey.topology();
        let members = topology.members.iter().zip(&self.instances).zip(&self.transitions).enumerate();
        let facts = members.map(|(number, ((member, instance), transitions))| InstanceFacts {
            cluster: self.name.clone(),
            instance: instance.clone(),
            up: member.is_up,
            primary: topology.primary == Some(number),
            unfit: Unfit::ALL.map(|why| (why.name(), member.unfit == Some(why))).to_vec(),
            lag: member.lag,
            probe: member.latency,
            transitions: TRANSITIONS.iter().copied().zip(transitions.iter().copied()).collect(),
        });
        facts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Member;

    #[test]
    fn cores_hear_at_once_of_what_sends_statements_elsewhere() {
        let member = Member {
            unfit: None,
            is_up: true,
            weight: 1,
            is_near: false,
            lag: None,
            latency: Duration::ZERO,
            executed: None,
        };
        let before = Topology { epoch: 1, primary: Some(0), members: vec![member.clone(), member] };
        let urgent = |change: fn(&mut Topology)| {
            let mut now = before.clone();
            change(&mut now);
            assert_ne!(now, before);
            is_urgent(&now, &before)
        };
        assert!(urgent(|now| now.primary = None));
        assert!(urgent(|now| now.epoch = 2));
        assert!(urgent(|now| now.members[1].unfit = Some(Unfit::Lagging)));
        assert!(urgent(|now| now.members[1].is_up = false));
        assert!(urgent(|now| now.members[1].weight = 0));
        assert!(!urgent(|now| now.members[1].lag = Some(Duration::ZERO)));
        assert!(!urgent(|now| now.members[0].latency = Duration::from_millis(1)));
    }
}
