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
}

impl Replicated {
    pub(super) fn connect(primary: Server, replicas: Vec<Server>) -> Result<Self> {
        for replica in &replicas {
            follow(replica, &primary)?;
        }
        let replicated = Self { primary, replicas };
        replicated.wait_for_replicas(Duration::from_secs(20))?;
        Ok(replicated)
    }

    /// Waits until every replica has applied everything that the primary has written so far.
    ///
    /// # Errors
    /// [`Error::Timeout`] when one has not by then.
    pub fn wait_for_replicas(&self, timeout: Duration) -> Result<()> {
        let position = match self.primary.flavor() {
            Flavor::MariaDb => self.primary.sql("SELECT @@gtid_binlog_pos")?,
            Flavor::MySql => self.primary.sql("SELECT @@gtid_executed")?.replace(char::is_whitespace, ""),
        };
        let deadline = Instant::now() + timeout;
        for replica in &self.replicas {
            let seconds = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
            let reached = match replica.flavor() {
                Flavor::MariaDb => {
                    replica.sql(&format!("SELECT MASTER_GTID_WAIT('{position}', {seconds:.1})"))?
                }
                Flavor::MySql => {
                    replica.sql(&format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {seconds:.1})"))?
                }
            };
            if reached != "0" {
                let port = replica.port();
                return Err(Error::Timeout(format!("the replica on port {port} has not reached {position}")));
            }
        }
        Ok(())
    }
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
