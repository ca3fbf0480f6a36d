//! The report: medians over rounds, ratios within rounds.

use std::fmt::Write;
use std::time::Duration;

use super::Plan;
use super::idle::{self, IdleCost};
use super::machine;
use super::measure::{Sample, Workload};
use super::median::{Spread, median};
use super::stack::{Backend, Target};
use super::syscalls::SyscallCount;

/// Calls rarer than this per query are not worth a word.
const RARE: f64 = 0.01;

pub(super) fn write(plan: &Plan, samples: &[Sample], syscalls: &[SyscallCount], idle: &[IdleCost]) -> String {
    let mut text = String::from("# Athena beside its peers\n\n");
    preamble(plan, &mut text);
    for &workload in &plan.workloads {
        let _ = writeln!(text, "## {}\n", workload.title());
        figures(plan, samples, workload, &mut text);
        ratios(plan, samples, workload, &mut text);
    }
    if !syscalls.is_empty() {
        text += "## System calls per query (null backend, `strace -c -f`)\n\n";
        text +=
            "strace slows a proxy down, so at many clients these counts show its habits, not its rate.\n\n";
        text += "| load | clients | proxy | all | by name |\n|---|---|---|---|---|\n";
        syscalls.iter().for_each(|count| syscall_line(count, &mut text));
        text.push('\n');
    }
    if !idle.is_empty() {
        let _ = writeln!(
            text,
            "## Idle clients\n\nResident memory for each of {} clients that are logged in.\n",
            idle::CLIENTS
        );
        text += "| proxy | bytes per client |\n|---|---|\n";
        for cost in idle {
            let _ = writeln!(text, "| {} | {:.0} |", cost.target, cost.bytes);
        }
        text.push('\n');
    }
    text
}

fn preamble(plan: &Plan, text: &mut String) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "Made by `{}`.\n", plan.command_line);
    for line in machine::describe(&plan.athena) {
        let _ = writeln!(text, "- {line}");
    }
    let place = |cpus: &Option<String>| {
        cpus.as_ref().map_or_else(|| "anywhere".to_owned(), |cpus| format!("CPU {cpus}"))
    };
    let _ = writeln!(
        text,
        "- proxies: {} (HAProxy `mode tcp`{}; Athena `[pool] max_connections = {}`, `[circuit] enabled = false`); \
         load and backend: {}",
        place(&plan.proxy_cpu),
        if plan.proxy_cpu.is_some() { ", `nbthread 1`" } else { "" },
        plan.pool,
        place(&plan.load_cpus),
    );
    let _ = writeln!(
        text,
        "- {} rounds of {:?} for every cell; within a round the targets take turns, each round begins with another\n",
        plan.rounds, plan.duration
    );
    text.push_str(
        "Figures are medians over rounds. A ratio is formed within a round, then the median is taken: on shared cores only \
         figures of the same minute compare. CPU is user and system time of the proxy's process, from `/proc`, over the \
         whole run (with sysbench logins and PREPAREs included). Percentiles are of a statement, for oltp_read_only of a \
         transaction of 16. Direct figures at few clients flatter: load and backend, on one CPU, hand over without waking another.\n\n",
    );
    if plan.workloads.iter().any(|load| load.backend() == Backend::Null) {
        text.push_str(
            "The null backend answers every statement at once with one row of 119 bytes; by hand, in three shells:\n\n\
             ```\ntarget/release/null-backend --port 3306\nathena --config athena.toml\n\
             target/release/load --port 3307 --user app --connections 64 --seconds 5 [--prepared]\n```\n\n",
        );
    }
    if plan.workloads.iter().any(|load| load.backend() == Backend::MariaDb) {
        text.push_str(
            "```\nsysbench oltp_point_select --mysql-host=127.0.0.1 --mysql-port=3307 --mysql-user=app \
             --mysql-password=app-secret --mysql-db=sbtest --tables=1 --table-size=10000 --threads=64 --time=5 --histogram run\n\
             ```\n\n",
        );
    }
}

fn figures(plan: &Plan, samples: &[Sample], workload: Workload, text: &mut String) {
    *text += "| clients | target | queries/s | p50 µs | p95 µs | p99 µs | proxy CPU µs/query |\n";
    *text += "|---|---|---|---|---|---|---|\n";
    for &clients in &plan.clients {
        for target in Target::ALL {
            let of = |value: &dyn Fn(&Sample) -> Option<f64>| {
                let chosen = select(samples, workload, target, clients);
                median(chosen.filter_map(value).collect())
            };
            let rate = of(&|sample| Some(sample.queries_per_second)).unwrap_or(0.0);
            let percentile =
                |index: usize| of(&|sample| sample.percentiles.get(index).map(micros)).unwrap_or(0.0);
            let cpu = of(&|sample| sample.cpu_us_per_query)
                .map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.1}"));
            let _ = writeln!(
                text,
                "| {clients} | {target} | {rate:.0} | {:.0} | {:.0} | {:.0} | {cpu} |",
                percentile(0),
                percentile(1),
                percentile(2)
            );
        }
    }
    text.push('\n');
}

fn ratios(plan: &Plan, samples: &[Sample], workload: Workload, text: &mut String) {
    *text += "| clients | Athena / HAProxy: queries/s | p50 | p99 | CPU per query (least–greatest of the rounds) |\n";
    *text += "|---|---|---|---|---|\n";
    for &clients in &plan.clients {
        let of = |value: &dyn Fn(&Sample) -> Option<f64>| -> Vec<f64> {
            select(samples, workload, Target::Athena, clients)
                .filter_map(|athena| {
                    let mut peers = select(samples, workload, Target::Haproxy, clients);
                    let haproxy = peers.find(|sample| sample.round == athena.round)?;
                    Some(value(athena)? / value(haproxy)?)
                })
                .collect()
        };
        let middle = |values: Vec<f64>| median(values).unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {clients} | {:.2} | {:.2} | {:.2} | {} |",
            middle(of(&|sample| Some(sample.queries_per_second))),
            middle(of(&|sample| Some(micros(&sample.percentiles[0])))),
            middle(of(&|sample| Some(micros(&sample.percentiles[2])))),
            Spread::of(of(&|sample| sample.cpu_us_per_query)),
        );
    }
    text.push('\n');
}

fn syscall_line(count: &SyscallCount, text: &mut String) {
    let all: f64 = count.per_query.values().sum();
    let mut calls: Vec<_> = count.per_query.iter().filter(|(_, calls)| **calls >= RARE).collect();
    calls.sort_by(|a, b| b.1.total_cmp(a.1));
    let names: Vec<_> = calls.iter().map(|(name, calls)| format!("{name} {calls:.2}")).collect();
    let load = if count.workload == Workload::NullPrepared { "prepared" } else { "text" };
    let _ =
        writeln!(text, "| {load} | {} | {} | {all:.2} | {} |", count.clients, count.target, names.join(", "));
}

fn select(
    samples: &[Sample],
    workload: Workload,
    target: Target,
    clients: usize,
) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |sample| {
        sample.workload == workload && sample.target == target && sample.clients == clients
    })
}

fn micros(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
