//! What the system knows of this process (`proc(5)`).

use std::fs;

/// Processor time is counted in hundredths of a second for user space (`sysconf(_SC_CLK_TCK)`), on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat` behind the program's name: utime, stime, starttime.
const UTIME: usize = 11;
const STIME: usize = 12;
const START: usize = 19;

#[derive(Debug, Default)]
pub(super) struct Readings {
    pub start_time_seconds: Option<f64>,
    pub cpu_seconds: Option<f64>,
    pub resident_memory_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
}

pub(super) fn read() -> Readings {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold anything, so the fields are counted from behind it.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let ticks = |at: usize| fields.get(at).map(|ticks| ticks / TICKS_PER_SECOND);
    let boot = value_of("/proc/stat", "btime").map(|seconds| seconds as f64);
    Readings {
        start_time_seconds: boot.zip(ticks(START)).map(|(boot, since)| boot + since),
        cpu_seconds: ticks(UTIME).zip(ticks(STIME)).map(|(user, system)| user + system),
        resident_memory_bytes: value_of("/proc/self/status", "VmRSS:").map(|kib| kib * 1024),
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|list| list.count() as u64),
        max_fds: max_fds(),
    }
}

/// The number that follows `name` in a file of names and values.
fn value_of(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn max_fds() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_is_known() {
        let readings = super::read();
        assert!(readings.resident_memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(readings.open_fds.is_some_and(|fds| fds >= 3));
        assert!(readings.max_fds.is_some_and(|fds| fds > 100));
        assert!(readings.cpu_seconds.is_some());
        let start = readings.start_time_seconds.unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((0.0..86_400.0).contains(&(now - start + 2.0)), "{start} {now}");
    }
}
