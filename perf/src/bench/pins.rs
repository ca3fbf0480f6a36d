//! What benchmarks with a pinned Athena are told on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::error::Result;
use crate::process::beside_this_program;

/// How long, how often, and on which CPUs.
#[derive(Debug, Clone, Args)]
pub struct Pins {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each is repeated.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The CPU of Athena's cores.
    #[arg(long, default_value = "0")]
    pub proxy_cpu: String,
    /// The CPUs of load and servers, as taskset takes them.
    #[arg(long, default_value = "1")]
    pub load_cpus: String,
    /// The Athena program; beside this one unless given.
    #[arg(long)]
    athena: Option<PathBuf>,
}

impl Pins {
    /// The Athena program.
    ///
    /// # Errors
    /// When there is none.
    pub fn athena(&self) -> Result<PathBuf> {
        beside_this_program("athena", self.athena.clone())
    }

    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }

    pub fn rounds(&self) -> usize {
        self.rounds.max(1)
    }
}
