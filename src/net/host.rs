//! Whether this host can serve: kernel, io_uring and limits, with the setting and the command that mends it.

use std::{fs, io};

use io_uring::{IoUring, cqueue, squeue};

/// The oldest kernel whose io_uring has everything that the ring uses (`DEFER_TASKRUN`).
const KERNEL_MIN: (u32, u32) = (6, 1);

/// Descriptors that a core needs besides its clients' and links'.
const DESCRIPTORS_MIN: u64 = 256;

/// Why this host can't serve.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("Linux {found} is too old: Athena needs {}.{} or newer for io_uring's DEFER_TASKRUN; boot a newer kernel (`uname -r` shows the running one)", KERNEL_MIN.0, KERNEL_MIN.1)]
    Kernel { found: String },
    #[error(
        "io_uring is switched off by kernel.io_uring_disabled = {value}; switch it on with `sysctl -w kernel.io_uring_disabled=0`"
    )]
    Disabled { value: String },
    #[error(
        "io_uring is refused by the system ({0}); a container's seccomp profile may forbid io_uring_setup: run with one that allows it"
    )]
    Refused(#[source] io::Error),
    #[error(
        "the memlock limit of {limit_kib} KiB is too small for {cores} cores ({source}); raise it with `ulimit -l unlimited`, or `LimitMEMLOCK=infinity` in the unit file"
    )]
    Memlock { limit_kib: u64, cores: usize, source: io::Error },
    #[error(
        "the limit of {limit} open files leaves no room for connections; raise it with `ulimit -n 65536`, or `LimitNOFILE=65536` in the unit file"
    )]
    OpenFiles { limit: u64 },
}

/// Raises the soft limit of open files to the hard one, then checks kernel, io_uring and limits. Returns the
/// limit of open files.
///
/// # Errors
/// The first thing found that keeps Athena from serving.
pub fn check(cores: usize, ring_entries: u32) -> Result<u64, HostError> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    check_kernel(release.trim())?;
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    check_ring(disabled.trim(), cores, ring_entries)?;
    let limit = raise_open_files();
    if limit < DESCRIPTORS_MIN { Err(HostError::OpenFiles { limit }) } else { Ok(limit) }
}

/// What keeps one of `cores` rings from being made, if it is the limit of locked memory.
pub fn explain(error: io::Error, cores: usize) -> HostError {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            HostError::Memlock { limit_kib: limit(libc::RLIMIT_MEMLOCK).0 / 1024, cores, source: error }
        }
        _ => HostError::Refused(error),
    }
}

fn check_kernel(release: &str) -> Result<(), HostError> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < KERNEL_MIN {
        return Err(HostError::Kernel { found: release.to_owned() });
    }
    Ok(())
}

fn check_ring(disabled: &str, cores: usize, entries: u32) -> Result<(), HostError> {
    let mut builder = IoUring::<squeue::Entry, cqueue::Entry>::builder();
    let probe = builder.setup_single_issuer().setup_defer_taskrun().setup_clamp().build(entries);
    match probe {
        Ok(_) => Ok(()),
        Err(_) if matches!(disabled, "1" | "2") => Err(HostError::Disabled { value: disabled.to_owned() }),
        Err(source) => Err(explain(source, cores)),
    }
}

/// Soft and hard value of a resource limit; the largest number for "unlimited".
fn limit(resource: libc::__rlimit_resource_t) -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is live and of the type that getrlimit(2) fills in.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

fn raise_open_files() -> u64 {
    let (soft, hard) = limit(libc::RLIMIT_NOFILE);
    let wanted = libc::rlimit { rlim_cur: hard, rlim_max: hard };
    // SAFETY: the structure is live; raising the soft limit to the hard one needs no privilege.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 { hard } else { soft }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        assert!(check_kernel("6.1.0-13-amd64").is_ok());
        assert!(check_kernel("6.18.44").is_ok());
        assert!(check_kernel("10.0").is_ok());
        let error = check_kernel("5.19.17-generic").unwrap_err().to_string();
        assert!(error.contains("5.19.17-generic") && error.contains("6.1"), "{error}");
    }

    #[test]
    fn this_host_serves() {
        assert!(check(1, 64).unwrap() >= DESCRIPTORS_MIN);
    }
}
