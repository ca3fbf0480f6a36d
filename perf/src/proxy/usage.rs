//! What a process costs, as `/proc` tells it.

use std::fs;
use std::time::Duration;

/// The kernel counts CPU time for user space in hundredths of a second on every architecture that Athena runs on.
const TICKS_PER_SECOND: u64 = 100;

/// A process to read from; every reading is 0 once it has ended.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pid: u32,
}

impl Usage {
    /// The readings of the process `pid`.
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// User and system time of all its threads so far, in ticks of 10 ms.
    pub fn cpu_ticks(&self) -> u64 {
        let text = self.read("stat");
        // The second field is the program's name in brackets and may hold anything; the 14th and 15th are the times.
        let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    }

    /// [`Usage::cpu_ticks`] as a time.
    pub fn cpu_time(&self) -> Duration {
        Duration::from_millis(self.cpu_ticks() * 1000 / TICKS_PER_SECOND)
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.read("status")
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
            .map_or(0, |kib| kib * 1024)
    }

    /// Open file descriptors.
    pub fn fds(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap_or_default()
    }
}
