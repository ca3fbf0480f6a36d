//! What a reader must know of the machine and the programs to judge the figures.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{find_program, run};

/// One line each: the machine, the kernel, the programs. No names of hosts, no paths.
pub(super) fn describe(athena: &Path) -> Vec<String> {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |text: &str, name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| key.trim() == name)
            .map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal");
    let memory_kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut lines = vec![
        format!("{count} CPUs, {}, {} GiB of memory", field(&processors, "model name"), memory_kib >> 20),
        format!("Linux {}", kernel.trim()),
    ];
    lines.extend(version(athena, "--version"));
    lines.extend(
        [("haproxy", "-v"), ("mariadbd", "--version"), ("sysbench", "--version")]
            .into_iter()
            .filter_map(|(name, argument)| version(&find_program(name)?, argument)),
    );
    lines
}

/// The first line that the program prints about itself, without its path and its links.
fn version(program: &Path, argument: &str) -> Option<String> {
    let text = run(Command::new(program).arg(argument)).ok()?;
    let line =
        text.lines().next()?.replace(&program.display().to_string(), &program.file_name()?.to_string_lossy());
    Some(line.split(" - http").next().unwrap_or(&line).trim().to_owned())
}
