//! What the HTTP endpoint shows, asked of the cores anew each time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::FutureExt;

use crate::config::Config;
use crate::metrics::{ProcessFacts, expose};
use crate::net::Sender;
use crate::worker::{Message, Report};

use super::http::{BackendHealth, Health, Pages, Status};
use super::topology::Topologies;
use super::{logging, process};

/// How long a page waits for the cores; it shows what has come by then.
const PATIENCE: Duration = Duration::from_secs(1);

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) struct View {
    pub cores: Vec<Sender<Message>>,
    pub config: std::sync::Arc<Config>,
    pub topologies: Rc<Topologies>,
    pub status: Rc<Cell<Status>>,
    pub started: Instant,
    pub log: logging::Losses,
}

impl View {
    async fn reports(&self) -> Vec<Report> {
        let (sender, receiver) = async_channel::bounded(self.cores.len().max(1));
        self.cores.iter().for_each(|core| core.send(Message::Report(sender.clone())));
        // The cores hold the only senders now: if one is gone, the channel ends without it.
        drop(sender);
        let mut reports = Vec::new();
        let all = async {
            while let Ok(report) = receiver.recv().await {
                reports.push(report);
            }
        };
        all.or(async {
            glommio::timer::sleep(PATIENCE).await;
        })
        .await;
        reports.sort_by_key(|report| report.core);
        reports
    }

    fn summary(&self, reports: &[Report]) -> Health {
        let backends = self.config.clusters.iter().enumerate().flat_map(|(index, cluster)| {
            if let Some(members) = self.topologies.health(index) {
                return members;
            }
            let mut told = reports.iter().filter_map(|report| report.backends.get(index).copied().flatten());
            let (host, port) = (&cluster.primary.host, cluster.primary.port);
            vec![BackendHealth { address: format!("{host}:{port}"), up: told.any(|good| good) }]
        });
        Health {
            status: self.status.get(),
            version: VERSION,
            uptime_seconds: self.started.elapsed().as_secs(),
            cores: self.cores.len(),
            backends: backends.collect(),
        }
    }
}

impl Pages for View {
    async fn metrics(&self) -> String {
        let reports = self.reports().await;
        let ready = self.summary(&reports).ready();
        let readings = process::read();
        let (instances, clusters) = self.topologies.facts();
        let facts = ProcessFacts {
            instances,
            clusters,
            version: VERSION,
            ready,
            log_lines_dropped: self.log.lines(),
            start_time_seconds: readings.start_time_seconds,
            cpu_seconds: readings.cpu_seconds,
            resident_memory_bytes: readings.resident_memory_bytes,
            open_fds: readings.open_fds,
            max_fds: readings.max_fds,
        };
        let cores: Vec<_> = reports.into_iter().map(|report| (report.core, report.snapshot)).collect();
        expose(&cores, &facts)
    }

    async fn health(&self) -> Health {
        let reports = self.reports().await;
        self.summary(&reports)
    }
}
