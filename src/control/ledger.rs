//! The ledgers of the clusters, and the limits that they keep.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::circuit::{Ledger, Limits, Order, Resource};
use crate::config::{Cluster, Config};
use crate::net::Sender;
use crate::worker::{Filed, Message, classes};

/// The limits of every cluster.
pub(super) struct Ledgers {
    cores: Vec<Sender<Message>>,
    clusters: RefCell<Vec<(Numbers, Ledger<Resource>)>>,
}

/// The limits of one cluster.
struct Numbers {
    classes: Vec<Limits>,
    links: usize,
}

impl Numbers {
    fn new(cluster: &Cluster) -> Self {
        Self { classes: classes(&cluster.circuit).limits(), links: cluster.pool.max_connections }
    }
}

impl Ledgers {
    pub fn new(config: &Config, cores: Vec<Sender<Message>>) -> Rc<Self> {
        let ledger = || Ledger::new(cores.len());
        let clusters = config.clusters.iter().map(|cluster| (Numbers::new(cluster), ledger())).collect();
        Rc::new(Self { cores, clusters: RefCell::new(clusters) })
    }

    /// Takes in what cores report, and sends them orders, until the cores have ended.
    pub async fn keep(self: Rc<Self>, reports: async_channel::Receiver<Filed>) {
        while let Ok(filed) = reports.recv().await {
            self.take_in(filed);
        }
    }

    fn take_in(&self, filed: Filed) {
        let Filed { core, cluster, of, report } = filed;
        let mut clusters = self.clusters.borrow_mut();
        let Some((numbers, ledger)) = clusters.get_mut(cluster) else { return };
        let limit = of.limit(&numbers.classes, numbers.links);
        for (core, order) in ledger.report(core, of, limit, report) {
            self.send(core, cluster, of, order);
        }
    }

    /// The numbers have changed; which limits there are has not.
    pub fn revise(&self, config: &Config) {
        let mut clusters = self.clusters.borrow_mut();
        for (cluster, ((numbers, ledger), now)) in clusters.iter_mut().zip(&config.clusters).enumerate() {
            *numbers = Numbers::new(now);
            let told = Arc::new(classes(&now.circuit));
            self.cores.iter().for_each(|core| core.send(Message::Limits { cluster, classes: told.clone() }));
            for (of, core, order) in ledger.revise(|of| of.limit(&numbers.classes, numbers.links)) {
                self.send(core, cluster, of, order);
            }
        }
    }

    /// A core has ended.
    pub fn retire(&self, core: usize) {
        for (cluster, (_, ledger)) in self.clusters.borrow_mut().iter_mut().enumerate() {
            for (of, core, order) in ledger.retire(core) {
                self.send(core, cluster, of, order);
            }
        }
    }

    fn send(&self, core: usize, cluster: usize, of: Resource, order: Order) {
        if let Some(core) = self.cores.get(core) {
            core.send(Message::Order { cluster, of, order });
        }
    }
}
