//! A primary and replicas that really replicate.

use std::time::{Duration, Instant};

use super::{Flavor, REPLICATION_PASSWORD, REPLICATION_USER, Server};
use crate::error::{Error, Result};

/// A primary with its replicas, which are `read_only`.
#[derive(Debug)]
pub struct Replicated {
    /// Takes the writes.
    pub primary: Server,
    /// Follow the primary.
    pub replicas: Vec<Server>,
    /// When the primary was last allowed to take writes.
    pub promoted: Instant,
}

impl Replicated {
    pub(super) fn connect(primary: Server, replicas: Vec<Server>) -> Result<Self> {
        for replica in &replicas {
            follow(replica, &primary)?;
        }
        let replicated = Self::of(primary, replicas);
        replicated.wait_for_replicas(Duration::from_secs(20))?;
        Ok(replicated)
    }

    /// Servers that replicate by arrangements of their own.
    pub fn of(primary: Server, replicas: Vec<Server>) -> Self {
        Self { primary, replicas, promoted: Instant::now() }
    }

    /// All servers, the primary first.
    pub fn all(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }

    /// The replicas that run.
    pub fn running_replicas(&self) -> impl Iterator<Item = &Server> {
        self.replicas.iter().filter(|replica| replica.pid().is_some())
    }

    /// Waits until every replica that runs has applied everything that the primary has written so far.
    ///
    /// # Errors
    /// [`Error::Timeout`] when one has not by then.
    pub fn wait_for_replicas(&self, timeout: Duration) -> Result<()> {
        let position = executed(&self.primary)?;
        let deadline = Instant::now() + timeout;
        for replica in self.running_replicas() {
            wait_for(replica, &position, deadline.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// What an operator does when the primary is gone for good: `replicas[n]` applies what it has received and takes writes, and
    /// the other replicas that run follow it. It changes places with the primary, which is left alone, dead or alive.
    ///
    /// # Errors
    /// When a statement fails, or what was received is not applied in time.
    pub fn promote(&mut self, n: usize) -> Result<()> {
        let chosen = &self.replicas[n];
        stop_receiving(chosen)?;
        if let Some(received) = received(chosen)? {
            wait_for(chosen, &received, CATCH_UP_TIMEOUT)?;
        }
        self.enthrone(n)
    }

    /// The number of the replica that has received most of what the primary has written. None receives any more from then on: what a
    /// dead server had sent may still be on its way to one of them.
    ///
    /// # Errors
    /// When no replica runs, or one does not say.
    pub fn most_advanced(&self) -> Result<usize> {
        for replica in self.running_replicas() {
            stop_receiving(replica)?;
        }
        let mut most = None;
        for (n, replica) in self.replicas.iter().enumerate().filter(|(_, replica)| replica.pid().is_some()) {
            // Both families count the transactions of a source; what is received in order ends with the last.
            let received = received(replica)?.unwrap_or_default();
            let last = received.rsplit(['-', ':']).next().and_then(|last| last.trim().parse::<u64>().ok());
            if most.is_none_or(|(_, best)| last > best) {
                most = Some((n, last));
            }
        }
        most.map(|(n, _)| n).ok_or_else(|| Error::Timeout("no replica is left".to_owned()))
    }

    /// A planned switch-over to `replicas[n]`: the primary becomes read-only, the chosen one catches up and takes writes, and
    /// all others follow it, the old primary too. The two change places.
    ///
    /// # Errors
    /// When a statement fails, or the chosen one does not catch up in time.
    pub fn switch_over(&mut self, n: usize) -> Result<()> {
        forbid_writes(&self.primary)?;
        let position = executed(&self.primary)?;
        wait_for(&self.replicas[n], &position, CATCH_UP_TIMEOUT)?;
        self.enthrone(n)?;
        self.rejoin(n)
    }

    /// Makes `replicas[n]`, which may have been the primary, a read-only replica of the primary.
    ///
    /// # Errors
    /// When a statement fails: the server must run, and have nothing that the primary lacks.
    pub fn rejoin(&self, n: usize) -> Result<()> {
        let replica = &self.replicas[n];
        forbid_writes(replica)?;
        stop_replication(replica)?;
        if replica.flavor() == Flavor::MariaDb {
            // Replication goes on where the server's own writes end.
            replica.sql("SET GLOBAL gtid_slave_pos = @@gtid_current_pos")?;
        }
        follow(replica, &self.primary)
    }

    /// `replicas[n]`, which has all that it will ever get, takes the primary's place.
    fn enthrone(&mut self, n: usize) -> Result<()> {
        let chosen = &self.replicas[n];
        stop_replication(chosen)?;
        allow_writes(chosen)?;
        self.promoted = Instant::now();
        for (other, replica) in self.replicas.iter().enumerate() {
            if other != n && replica.pid().is_some() {
                stop_replication(replica)?;
                follow(replica, chosen)?;
            }
        }
        std::mem::swap(&mut self.primary, &mut self.replicas[n]);
        Ok(())
    }
}

/// How long a replica may take to apply what it has received.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(20);

/// What a server has executed, as GTIDs.
fn executed(server: &Server) -> Result<String> {
    match server.flavor() {
        Flavor::MariaDb => server.sql("SELECT @@gtid_binlog_pos"),
        Flavor::MySql => Ok(server.sql("SELECT @@gtid_executed")?.replace(char::is_whitespace, "")),
    }
}

/// Waits until a replica has executed all up to `position`.
fn wait_for(replica: &Server, position: &str, timeout: Duration) -> Result<()> {
    let seconds = timeout.as_secs_f64();
    let function = match replica.flavor() {
        Flavor::MariaDb => "MASTER_GTID_WAIT",
        Flavor::MySql => "WAIT_FOR_EXECUTED_GTID_SET",
    };
    match replica.sql(&format!("SELECT {function}('{position}', {seconds:.1})"))?.as_str() {
        "0" => Ok(()),
        _ => {
            let port = replica.port();
            Err(Error::Timeout(format!("the replica on port {port} has not reached {position}")))
        }
    }
}

/// Stops the thread that receives; what has come goes on being applied.
fn stop_receiving(replica: &Server) -> Result<()> {
    let sql = match replica.flavor() {
        Flavor::MariaDb => "STOP SLAVE IO_THREAD",
        Flavor::MySql => "STOP REPLICA IO_THREAD",
    };
    replica.sql(sql).map(drop)
}

/// What a replica has received, applied or not; `None` if nothing since it follows.
fn received(replica: &Server) -> Result<Option<String>> {
    let (sql, name) = match replica.flavor() {
        Flavor::MariaDb => ("SHOW SLAVE STATUS\\G", "Gtid_IO_Pos: "),
        Flavor::MySql => ("SHOW REPLICA STATUS\\G", "Retrieved_Gtid_Set: "),
    };
    let status = replica.socket_client().argument("--column-names").run(sql)?;
    // A MySQL's set may go over several lines; each but the last ends with a comma.
    let Some((_, rest)) = status.split_once(name) else {
        return Err(Error::Unexpected(format!("no {name}in {status}")));
    };
    let mut set = String::new();
    for line in rest.lines() {
        set += line.trim();
        if !line.trim_end().ends_with(',') {
            break;
        }
    }
    Ok(Some(set).filter(|set| !set.is_empty()))
}

/// Ends replication, and forgets whom it was from.
fn stop_replication(replica: &Server) -> Result<()> {
    let sql = match replica.flavor() {
        Flavor::MariaDb => "STOP SLAVE; RESET SLAVE ALL",
        Flavor::MySql => "STOP REPLICA; RESET REPLICA ALL",
    };
    replica.sql(sql).map(drop)
}

fn forbid_writes(server: &Server) -> Result<()> {
    let sql = match server.flavor() {
        Flavor::MariaDb => "SET GLOBAL read_only = ON",
        Flavor::MySql => "SET GLOBAL super_read_only = ON",
    };
    server.sql(sql).map(drop)
}

fn allow_writes(server: &Server) -> Result<()> {
    // A MySQL's super_read_only goes with it.
    server.sql("SET GLOBAL read_only = OFF").map(drop)
}

/// Makes `replica` follow `primary`.
fn follow(replica: &Server, primary: &Server) -> Result<()> {
    let port = primary.port();
    let sql = match replica.flavor() {
        Flavor::MariaDb => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = '{REPLICATION_USER}', \
             MASTER_PASSWORD = '{REPLICATION_PASSWORD}', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; \
             START SLAVE; SET GLOBAL read_only = ON"
        ),
        Flavor::MySql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, \
             SOURCE_USER = '{REPLICATION_USER}', SOURCE_PASSWORD = '{REPLICATION_PASSWORD}', \
             SOURCE_CONNECT_RETRY = 1, SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; \
             START REPLICA; SET GLOBAL read_only = ON"
        ),
    };
    replica.sql(&sql).map(drop)
}
