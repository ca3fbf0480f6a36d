//! `make suite`: MariaDB's own tests through Athena. Also chooses which of them are the set.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use athena_perf::suite::{
    Exception, Outcome, Route, Suite, Verdict, Verification, read_exceptions, read_tests,
};
use athena_perf::{Error, Result};
use clap::{Parser, Subcommand};

/// Tests that take longer, in milliseconds, are not in the set.
const MILLISECONDS_MAX: u64 = 15_000;
/// How often a test has to pass directly to be in the set.
const DIRECT_RUNS: usize = 2;
/// Beside this package.
const LISTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suite");
const LIST_HEAD: &str = "\
# Tests of the suite `main` in Debian's mariadb-test that pass on a plain MariaDB of the lab, each time in under 15 s.
# Made by `cargo run --release -p athena-perf --bin suite -- choose`.
";

/// Runs MariaDB's own tests, directly or through Athena.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// Servers at a time.
    #[arg(long, default_value_t = 2, global = true)]
    workers: usize,
}

#[derive(Subcommand)]
enum Task {
    /// Runs all tests directly, twice, and writes the list of those that pass.
    Choose,
    /// Runs the set, or the tests that are named, through Athena. Fails when a test fails that is no exception.
    Run {
        /// Some tests, instead of the set.
        tests: Vec<String>,
        /// The Athena program; beside this one unless given.
        #[arg(long)]
        athena: Option<PathBuf>,
        /// Where to write what the tests that fail print.
        #[arg(long)]
        report: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let suite = Suite::find()?;
    match arguments.task {
        Task::Choose => choose(&suite, arguments.workers),
        Task::Run { tests, athena, report } => {
            let athena = match athena {
                Some(athena) => athena,
                None => beside_this_program("athena")?,
            };
            run(&suite, &athena, tests, arguments.workers, report.as_deref())
        }
    }
}

fn choose(suite: &Suite, workers: usize) -> Result<()> {
    let mut tests = suite.tests()?;
    for round in 1..=DIRECT_RUNS {
        println!("== round {round}: {} tests directly", tests.len());
        let outcomes = suite.run(Route::Direct, &tests, workers, &tell)?;
        let good = |test: &String| {
            let mut own = outcomes.iter().filter(|outcome| outcome.test == *test).peekable();
            own.peek().is_some()
                && own.all(|o| o.verdict == Verdict::Passed && o.milliseconds < MILLISECONDS_MAX)
        };
        tests.retain(good);
    }
    let path = Path::new(LISTS).join("main.txt");
    let list = tests.iter().fold(LIST_HEAD.to_owned(), |list, test| list + test + "\n");
    fs::write(&path, list).map_err(|source| Error::File { path: path.clone(), source })?;
    println!("== {} tests pass; their names are in {}", tests.len(), path.display());
    Ok(())
}

fn run(
    suite: &Suite,
    athena: &Path,
    tests: Vec<String>,
    workers: usize,
    report: Option<&Path>,
) -> Result<()> {
    let exceptions = read_exceptions(&Path::new(LISTS).join("exceptions.txt"))?;
    let tests = if tests.is_empty() { read_tests(&Path::new(LISTS).join("main.txt"))? } else { tests };
    println!("== {} tests through Athena", tests.len());
    let verification = suite.verify(athena, &tests, workers, &tell)?;
    let (text, failures) = summary(&verification, &exceptions);
    println!("{text}");
    if let Some(path) = report {
        let words = verification.failed.iter().chain(&verification.unsteady).chain(&verification.not_here);
        let words: String = words.map(|outcome| outcome.output.clone()).collect();
        fs::write(path, words).map_err(|source| Error::File { path: path.to_owned(), source })?;
    }
    match failures {
        0 => Ok(()),
        count => Err(Error::Unexpected(format!("{count} tests fail through Athena only"))),
    }
}

/// What came of it, and how many tests fail that are no exceptions.
fn summary(verification: &Verification, exceptions: &[Exception]) -> (String, usize) {
    let mut text = format!("== {} passed\n", verification.passed.len());
    let mut list = |title: &str, outcomes: &[Outcome]| {
        if !outcomes.is_empty() {
            let names: Vec<_> = outcomes.iter().map(|outcome| outcome.test.as_str()).collect();
            let _ = writeln!(text, "== {} {title}: {}", names.len(), names.join(" "));
        }
    };
    list("passed on a server of their own only", &verification.unsteady);
    list("fail here without Athena, too", &verification.not_here);
    let excepted = |outcome: &&Outcome| exceptions.iter().any(|exception| exception.test == outcome.test);
    let (expected, failures): (Vec<Outcome>, Vec<Outcome>) =
        verification.failed.iter().cloned().partition(|outcome| excepted(&outcome));
    list("fail as tests/suite/exceptions.txt says", &expected);
    list("fail through Athena only", &failures);
    let passes = |exception: &&Exception| verification.passed.iter().any(|o| o.test == exception.test);
    for exception in exceptions.iter().filter(passes) {
        let _ = writeln!(text, "== {} is an exception, but passes", exception.test);
    }
    (text, failures.len())
}

fn tell(outcome: &Outcome) {
    match outcome.verdict {
        Verdict::Passed => println!("{:40} {} ms", outcome.test, outcome.milliseconds),
        Verdict::Skipped => println!("{:40} skipped", outcome.test),
        Verdict::Failed => println!("{}", outcome.output),
    }
}

fn beside_this_program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().map_err(|source| Error::File { path: name.into(), source })?;
    let program = this.with_file_name(name);
    if program.is_file() { Ok(program) } else { Err(Error::Missing(program.display().to_string())) }
}
