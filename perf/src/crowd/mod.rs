//! Thousands of clients on few links, each with a state of its own, which every answer shows.
//!
//! A client sets its time zone, SQL mode, character set and user variables once, then sends a mix of point selects (text and
//! prepared), looks at its state, inserts, questions about the statement before and small transactions in a closed loop. What it should be answered follows from
//! its number alone, so that an answer made on somebody else's state is found at once. One thread drives all of them.

mod client;
mod own;
mod script;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::error::{Error, Result};
use crate::histogram::Histogram;
use client::Client;

/// What the server must have before; one statement each. The tables belong to the default database.
pub const SCHEMA: [&str; 3] = [
    "CREATE TABLE crowd_words (id INT PRIMARY KEY, word VARCHAR(20) NOT NULL) CHARACTER SET utf8mb4",
    "CREATE TABLE crowd_log (id INT AUTO_INCREMENT PRIMARY KEY, owner INT NOT NULL, zone VARCHAR(10) NOT NULL) \
     CHARACTER SET utf8mb4",
    "INSERT INTO crowd_words WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 1000) \
     SELECT id, CONCAT('word ', id) FROM n",
];

/// Rows that were written with somebody else's state: the answer is 0.
pub const WRONG_ROWS: &str =
    "SELECT COUNT(*) FROM (SELECT owner FROM crowd_log GROUP BY owner HAVING COUNT(DISTINCT zone) > 1) AS t";

/// Give up when nothing at all arrives for this long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How many of the complaints are kept.
const COMPLAINTS_KEPT: usize = 10;
const READ_SIZE: usize = 16 * 1024;

/// What to do.
#[derive(Debug, Clone)]
pub struct CrowdOptions {
    /// The proxy on 127.0.0.1.
    pub port: u16,
    /// An account with an empty password.
    pub user: String,
    /// The database that has the tables of [`SCHEMA`].
    pub database: String,
    /// Clients, each with one statement in flight.
    pub clients: usize,
    /// How long they work.
    pub duration: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct CrowdReport {
    /// Statements that were answered.
    pub queries: u64,
    /// Answers that were errors, or showed a state that is not the client's.
    pub wrong: u64,
    /// The first of those, in words.
    pub complaints: Vec<String>,
    /// How long it took, without logins.
    pub elapsed: Duration,
    /// Latencies of the answers.
    pub latencies: Histogram,
}

impl CrowdReport {
    fn take(&mut self, client: usize, latency: Duration, outcome: std::result::Result<(), String>) {
        self.queries += 1;
        self.latencies.record(latency);
        if let Err(complaint) = outcome {
            self.wrong += 1;
            if self.complaints.len() < COMPLAINTS_KEPT {
                self.complaints.push(format!("client {client}: {complaint}"));
            }
        }
    }
}

impl fmt::Display for CrowdReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = self.queries as f64 / self.elapsed.as_secs_f64();
        let micros = |percent| self.latencies.percentile(percent).as_micros();
        let (queries, wrong) = (self.queries, self.wrong);
        write!(formatter, "{queries} queries, {wrong} wrong, {per_second:.0}/s, ")?;
        write!(formatter, "p50 {} µs, p99 {} µs", micros(50), micros(99))?;
        self.complaints.iter().try_for_each(|complaint| write!(formatter, "\n{complaint}"))
    }
}

/// Logs all clients in, has each set its state, then lets them work. `on_begin` is called between the two.
///
/// # Errors
/// When a login or a setting fails, a connection breaks, or nothing arrives for 30 seconds.
pub fn run(options: &CrowdOptions, on_begin: impl FnOnce()) -> Result<CrowdReport> {
    let mut poll = Poll::new().map_err(Error::network("make an epoll"))?;
    let mut clients = Vec::with_capacity(options.clients);
    for number in 0..options.clients {
        let login = || Client::login(options, number);
        let mut client =
            login().map_err(Error::network(format!("set up client {number} on port {}", options.port)))?;
        poll.registry()
            .register(client.stream(), Token(number), Interest::READABLE)
            .map_err(Error::network("watch a connection"))?;
        clients.push(client);
    }
    on_begin();
    let begin = Instant::now();
    clients.iter_mut().try_for_each(Client::send).map_err(Error::network("send"))?;
    let mut report = CrowdReport::default();
    drive(&mut poll, &mut clients, &mut report, begin + options.duration)?;
    report.elapsed = begin.elapsed();
    Ok(report)
}

fn drive(poll: &mut Poll, clients: &mut [Client], report: &mut CrowdReport, deadline: Instant) -> Result<()> {
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; READ_SIZE];
    while Instant::now() < deadline {
        match poll.poll(&mut events, Some(STALL_TIMEOUT)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(Error::network("wait for events"))?,
        }
        if events.is_empty() {
            return Err(Error::Timeout(format!("no reply for {STALL_TIMEOUT:?}")));
        }
        for event in &events {
            let number = event.token().0;
            if let Some(client) = clients.get_mut(number) {
                client
                    .turn(&mut scratch, |latency, outcome| report.take(number, latency, outcome))
                    .map_err(Error::network(format!("client {number}")))?;
            }
        }
    }
    Ok(())
}
