//! What limits cost, and whom: permits that sit on other cores, a user that floods, a limiter that does not limit.
//!
//! All that is compared takes turns within seconds in each round, and ratios are formed within a round.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::loader::{LoadFigures, LoadLimit, Loader};
use super::machine;
use super::median::Spread;
use super::stack::start_null;
use crate::error::{Error, Result};
use crate::lab::{APP_USER, Lab, Server, ServerOptions};
use crate::process::run as run_program;
use crate::proxy::{Athena, AthenaConfig};
use crate::sysbench::Sysbench;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct LimitsPlan {
    /// The Athena program (a release build).
    pub athena: PathBuf,
    /// The load generator program.
    pub load: PathBuf,
    /// The null backend program.
    pub null_backend: PathBuf,
    /// How long each measurement takes.
    pub duration: Duration,
    /// How often each is repeated.
    pub rounds: usize,
    /// The CPU of Athena's cores.
    pub proxy_cpu: String,
    /// The CPUs of load and backend, as taskset takes them.
    pub load_cpus: String,
}

const CORES: u32 = 8;
const CLIENTS: usize = 200;
const LIMITS: [usize; 3] = [1, 3, 10];
/// The limit of the user that floods, and its clients: ten times as many.
const FLOOD_LIMIT: usize = 10;
const FLOOD_CLIENTS: usize = 100;
/// The accounts besides the lab's own.
const ACCOUNTS: [&str; 2] = ["flood", "other"];

/// Carries out the plan and returns a report, in Markdown. Says on standard error where it is.
///
/// # Errors
/// When a program is missing or fails, or any reply was an error.
pub fn run(plan: &LimitsPlan) -> Result<String> {
    let lab = Lab::new("bench_limits")?;
    let server = lab.server(ServerOptions::default())?;
    Sysbench::new("oltp_read_only", server.port())?.prepare()?;
    server.sql(&format!("ALTER USER {APP_USER}@'%' IDENTIFIED BY ''"))?;
    if let Some(pid) = server.pid() {
        run_program(Command::new("taskset").args(["-acp", &plan.load_cpus, &pid.to_string()]))?;
    }
    // Writing to a String can't fail.
    let mut text = String::from("# What limits cost\n\n");
    for line in machine::describe(&plan.athena) {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(text, "- {} rounds of {:?} for every cell\n", plan.rounds, plan.duration);
    text += &skew(plan, &lab, &server)?;
    text += &flood(plan, &lab, &server)?;
    text += &cost(plan, &lab)?;
    Ok(text)
}

/// All clients on one of eight cores, beside the same clients spread evenly.
fn skew(plan: &LimitsPlan, lab: &Lab, server: &Server) -> Result<String> {
    let mut text = format!(
        "{CLIENTS} clients with point selects, all on one of {CORES} cores, beside the same clients spread evenly (MariaDB). `Threads_running` is \
         the server's own, sampled without pause, less the connection that samples; it has threads whose reply is on its way, too.\n\n\
         | limit | one core / evenly, queries/s | most Threads_running |\n|---|---|---|\n"
    );
    for limit in LIMITS {
        let config = config(plan, server.port())
            .set("runtime", "cores_per_cpu", &CORES.to_string())
            .set("circuit", "max_concurrent_per_user_shard", &limit.to_string())
            .set("circuit", "queue_size", "1000")
            .set("circuit", "queue_timeout_ms", "60000");
        let athena = Athena::start(&plan.athena, lab.folder(), &config)?;
        let one_core = ["--core", "0", "--cores", &CORES.to_string()].map(str::to_owned);
        let (mut ratios, mut most) = (Vec::new(), 0);
        for round in 0..plan.rounds {
            let mut sides: [&[String]; 2] = [&one_core, &[]];
            sides.rotate_left(round % 2);
            let mut rates = [0.0; 2];
            for arguments in sides {
                let (figures, running) =
                    most_running(server, || load(plan, &athena, APP_USER, CLIENTS, arguments))?;
                most = most.max(running);
                rates[usize::from(arguments.is_empty())] = figures.queries_per_second;
            }
            eprintln!(
                "limit {limit}: one core {:.0}/s, evenly {:.0}/s, at most {most} ran",
                rates[0], rates[1]
            );
            ratios.push(rates[0] / rates[1]);
        }
        let _ = writeln!(text, "| {limit} | {} | {most} |", Spread::of(ratios));
    }
    Ok(text)
}

/// The latency of one user's point selects while another user floods, beside that without.
fn flood(plan: &LimitsPlan, lab: &Lab, server: &Server) -> Result<String> {
    for user in ACCOUNTS {
        server.sql(&format!("CREATE USER {user}@'%' IDENTIFIED BY ''"))?;
        server.sql(&format!("GRANT ALL ON *.* TO {user}@'%'"))?;
    }
    let accounts = ACCOUNTS.map(|user| format!("[[users]]\nname = {user:?}\npassword = \"\"\n")).concat();
    let config = config(plan, server.port())
        .set("circuit", "max_concurrent_per_user_shard", &FLOOD_LIMIT.to_string())
        .set("circuit", "queue_size", "1000")
        .set("circuit", "queue_timeout_ms", "60000")
        .text(&accounts);
    let athena = Athena::start(&plan.athena, lab.folder(), &config)?;
    let mut text = format!(
        "\nThe p99 of 4 clients' point selects while another user has {FLOOD_CLIENTS} clients for {FLOOD_LIMIT} places, beside that without \
         (MariaDB, one core of Athena).\n\n\
         | what floods | p99 with / without | p99 with {FLOOD_CLIENTS} clients / with {FLOOD_LIMIT} | p99 with a limit / without a limit |\n\
         |---|---|---|---|\n"
    );
    let free = Athena::start(
        &plan.athena,
        lab.folder(),
        &self::config(plan, server.port()).set("circuit", "enabled", "false").text(&accounts),
    )?;
    for (name, statement) in [("SELECT SLEEP(0.01)", Some("SELECT SLEEP(0.01)")), ("point selects", None)] {
        let (mut ratios, mut beyond, mut limited) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let alone = load(plan, &athena, ACCOUNTS[1], 4, &[])?;
            let at_limit = while_flooded(plan, &athena, FLOOD_LIMIT, statement)?;
            let flooded = while_flooded(plan, &athena, FLOOD_CLIENTS, statement)?;
            let unlimited = while_flooded(plan, &free, FLOOD_CLIENTS, statement)?;
            let p99 = |figures: &LoadFigures| figures.percentiles[2].as_secs_f64();
            let all = [&alone, &at_limit, &flooded, &unlimited].map(|figures| figures.percentiles[2]);
            eprintln!("{name}: p99 without, at the limit, beyond it, and without a limit: {all:?}");
            ratios.push(p99(&flooded) / p99(&alone));
            beyond.push(p99(&flooded) / p99(&at_limit));
            limited.push(p99(&flooded) / p99(&unlimited));
        }
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} |",
            Spread::of(ratios),
            Spread::of(beyond),
            Spread::of(limited)
        );
    }
    Ok(text)
}

fn while_flooded(
    plan: &LimitsPlan,
    athena: &Athena,
    clients: usize,
    statement: Option<&str>,
) -> Result<LoadFigures> {
    thread::scope(|scope| {
        let arguments: Vec<String> =
            statement.into_iter().flat_map(|sql| ["--statement".to_owned(), sql.to_owned()]).collect();
        let lasts = plan.duration + Duration::from_secs(2);
        let flooding = scope.spawn(move || {
            let arguments = &arguments;
            load_for(plan, athena, ACCOUNTS[0], clients, arguments, lasts)
        });
        thread::sleep(Duration::from_secs(1));
        let figures = load(plan, athena, ACCOUNTS[1], 4, &[]);
        flooding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        figures
    })
}

/// The CPU of a query where the limiter limits nothing, beside that without a limiter.
fn cost(plan: &LimitsPlan, lab: &Lab) -> Result<String> {
    let (_daemon, port) = start_null(&plan.null_backend, Some(&plan.load_cpus), lab)?;
    let start = |circuit: &str| {
        let config = config(plan, port.number()).set("circuit", "enabled", circuit).set(
            "circuit",
            "max_concurrent_per_user_shard",
            "1000",
        );
        Athena::start(&plan.athena, lab.folder(), &config)
    };
    let sides = [start("true")?, start("false")?];
    let mut text = String::from(
        "\nCPU of a query, 64 clients, with a limiter that has room for all, beside that without a limiter (null backend).\n\n\
         | statements | with / without |\n|---|---|\n",
    );
    for prepared in [false, true] {
        let arguments: &[String] = if prepared { &["--prepared".to_owned()] } else { &[] };
        let mut ratios = Vec::new();
        // Small differences take many rounds.
        for round in 0..plan.rounds * 3 {
            let mut cpu = [0.0; 2];
            for number in [round % 2, (round + 1) % 2] {
                let athena = &sides[number];
                let usage = athena.usage();
                let mut before = Duration::ZERO;
                let loader = loader(plan, APP_USER, 64, arguments);
                let limit = LoadLimit::Duration(plan.duration);
                let figures = loader.run(athena.port(), limit, || before = usage.cpu_time())?;
                let spent = usage.cpu_time().saturating_sub(before);
                cpu[number] = spent.as_secs_f64() * 1e6 / figures.queries.max(1) as f64;
            }
            eprintln!("prepared {prepared}: {:.2} us with, {:.2} us without", cpu[0], cpu[1]);
            ratios.push(cpu[0] / cpu[1]);
        }
        let name = if prepared { "prepared" } else { "text" };
        let _ = writeln!(text, "| {name} | {} |", Spread::of(ratios));
    }
    Ok(text)
}

fn config(plan: &LimitsPlan, backend_port: u16) -> AthenaConfig {
    AthenaConfig::new(backend_port)
        .account(APP_USER, "")
        .set("runtime", "cpus", &format!("{:?}", plan.proxy_cpu))
        .set("log", "level", "\"warn\"")
}

fn loader<'a>(plan: &'a LimitsPlan, user: &'a str, clients: usize, arguments: &'a [String]) -> Loader<'a> {
    Loader {
        program: &plan.load,
        cpus: Some(&plan.load_cpus),
        user,
        clients,
        prepared: false,
        setup: &[],
        arguments,
    }
}

fn load(
    plan: &LimitsPlan,
    athena: &Athena,
    user: &str,
    clients: usize,
    arguments: &[String],
) -> Result<LoadFigures> {
    load_for(plan, athena, user, clients, arguments, plan.duration)
}

fn load_for(
    plan: &LimitsPlan,
    athena: &Athena,
    user: &str,
    clients: usize,
    arguments: &[String],
    duration: Duration,
) -> Result<LoadFigures> {
    loader(plan, user, clients, arguments).run(athena.port(), LoadLimit::Duration(duration), || ())
}

/// The most threads that ran at a time on the server while `work` did.
fn most_running<T>(server: &Server, work: impl FnOnce() -> Result<T>) -> Result<(T, i64)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            // One client samples many times: a block of statements, since starting a client takes long.
            let sql = "DELIMITER //\nBEGIN NOT ATOMIC DECLARE n, most INT DEFAULT 0; DECLARE i INT DEFAULT 0; WHILE i < 500 DO \
                       SELECT VARIABLE_VALUE - 1 INTO n FROM information_schema.GLOBAL_STATUS \
                       WHERE VARIABLE_NAME = 'Threads_running'; SET most = GREATEST(most, n), i = i + 1; DO SLEEP(0.001); \
                       END WHILE; SELECT most; END//";
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                let told = server.sql(sql)?;
                most = most.max(told.trim().parse().map_err(|_| Error::Timeout(format!("a number, not {told}")))?);
            }
            Ok(most)
        });
        let value = work();
        done.store(true, Ordering::Relaxed);
        let most = sampling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((value?, most?))
    })
}
