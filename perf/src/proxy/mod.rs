//! Proxies under test: [`Athena`] and, to compare with, [`Haproxy`] in `mode tcp`.
//!
//! Each runs in the foreground with a generated configuration in a folder of its own, is ready when its constructor
//! returns, and ends when it is dropped. [`Usage`] reads what a process costs from `/proc`.

mod athena;
mod haproxy;
mod metrics;
mod usage;

use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

pub use athena::{Athena, AthenaConfig};
pub use haproxy::Haproxy;
pub use metrics::{http_get, sum_metric};
pub use usage::Usage;

/// How long a proxy may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Whether something accepts connections on `port` of 127.0.0.1.
fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(1)).is_ok()
}

/// Program and arguments that run `program` on the CPUs of `cpus` only (a `taskset` list), or anywhere.
fn pinned(
    program: &std::path::Path,
    arguments: Vec<String>,
    cpus: Option<&str>,
) -> (std::path::PathBuf, Vec<String>) {
    match cpus {
        None => (program.to_owned(), arguments),
        Some(cpus) => {
            let mut all = vec!["-c".to_owned(), cpus.to_owned(), program.display().to_string()];
            all.extend(arguments);
            ("taskset".into(), all)
        }
    }
}
