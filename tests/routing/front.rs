//! Another Athena in front of the servers of a stage, and a table that tells which server was read.

use athena_perf::lab::{APP_PASSWORD, APP_USER};
use athena_perf::proxy::{Athena, AthenaConfig};

use super::common::cluster::{ClusterStage, LOOK_INTERVAL_MS, split};
use super::common::{PATIENCE, TestResult};

/// The name of the primary in the table of [`name_servers`].
pub const PRIMARY: &str = "primary";

/// The names of the replicas there, in the order of the file.
pub const REPLICAS: [&str; 2] = ["replica 1", "replica 2"];

/// A read that tells which server it ran on.
pub const WHO: &str = "SELECT name FROM who";

/// Makes the table `test.who`, in which every server has its own name: replication does not know of it.
pub fn name_servers(stage: &ClusterStage) -> TestResult {
    stage.servers.primary.sql("CREATE TABLE test.who (name VARCHAR(20) PRIMARY KEY)")?;
    stage.servers.wait_for_replicas(PATIENCE)?;
    for (server, name) in stage.servers.all().zip([PRIMARY, REPLICAS[0], REPLICAS[1]]) {
        server.sql(&format!("SET sql_log_bin = 0; INSERT INTO test.who VALUES ('{name}')"))?;
    }
    Ok(())
}

/// A configuration that splits reads among these servers; `of_replica` gives more lines for the replica of this number.
pub fn config(stage: &ClusterStage, of_replica: impl Fn(usize) -> String) -> AthenaConfig {
    let mut config = split(AthenaConfig::new(stage.servers.primary.port()))
        .set("pool", "connect_timeout_ms", "20000")
        .set("health", "interval_ms", LOOK_INTERVAL_MS)
        .set("health", "timeout_ms", "2000");
    for (n, replica) in stage.servers.replicas.iter().enumerate() {
        let (port, more) = (replica.port(), of_replica(n));
        config = config.text(&format!("[[backend.replicas]]\nhost = \"127.0.0.1\"\nport = {port}\n{more}\n"));
    }
    config
}

/// A login to Athena of its own for the application.
pub fn user(more: &str) -> String {
    format!("[[users]]\nname = \"{APP_USER}\"\npassword = \"{APP_PASSWORD}\"\n{more}\n")
}

/// Puts another Athena in the place of the stage's.
pub fn front(stage: &mut ClusterStage, config: &AthenaConfig) -> TestResult {
    stage.athena = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), stage.lab.folder(), config)?;
    Ok(())
}
