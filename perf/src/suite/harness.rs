//! Runs tests.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::outcome::{Outcome, Verdict, parse};
use super::stage::{Route, Stage};
use crate::error::{Error, Result};

/// The environment variable that names the suite's folder.
const FOLDER_VARIABLE: &str = "ATHENA_MYSQL_TEST";
/// Tests that one `mysql-test-run` gets; it stops at the first that fails.
const BATCH: usize = 40;
/// How long a test may take, in minutes; the least that can be said.
const TEST_MINUTES: u32 = 1;

/// The folder that `perf/mysql-test.sh` makes.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Its `usr`.
    tree: PathBuf,
}

/// What came of running tests through Athena.
#[derive(Debug, Default)]
pub struct Verification {
    pub passed: Vec<Outcome>,
    /// Passed on a server of their own, after they had failed on one with others.
    pub unsteady: Vec<Outcome>,
    /// Fail here without Athena, too.
    pub not_here: Vec<Outcome>,
    /// Fail through Athena only.
    pub failed: Vec<Outcome>,
}

impl Suite {
    /// The folder in `$ATHENA_MYSQL_TEST`, or `mysql-test` in the workspace's target folder.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none.
    pub fn find() -> Result<Self> {
        let folder = std::env::var_os(FOLDER_VARIABLE).map_or_else(default_folder, PathBuf::from);
        let missing = |_| Error::Missing(format!("{} (`make mysql-test` makes it)", folder.display()));
        let tree = folder.join("usr").canonicalize().map_err(missing)?;
        Ok(Self { tree })
    }

    /// The names of all tests of the suite `main`, in order.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn tests(&self) -> Result<Vec<String>> {
        let folder = self.tests_folder().join("main");
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Error::file(&folder))? {
            let name = entry.map_err(Error::file(&folder))?.file_name();
            names.extend(name.to_string_lossy().strip_suffix(".test").map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Runs `tests` on `workers` stages at a time, and calls `report` with each outcome. Tests that end the run before
    /// they have an outcome count as failed.
    ///
    /// # Errors
    /// When a server, Athena or the suite can't be started.
    pub fn run(
        &self,
        route: Route<'_>,
        tests: &[String],
        workers: usize,
        report: &(dyn Fn(&Outcome) + Sync),
    ) -> Result<Vec<Outcome>> {
        let batches: VecDeque<&[String]> = tests.chunks(BATCH).collect();
        let batches = Mutex::new(batches);
        let next = || batches.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let work = || {
            let mut outcomes = Vec::new();
            let mut stage = None;
            while let Some(batch) = next() {
                self.run_batch(route, batch, &mut stage, &mut |outcome| {
                    report(&outcome);
                    outcomes.push(outcome);
                })?;
            }
            Ok(outcomes)
        };
        let results: Vec<Result<Vec<Outcome>>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(work)).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
            };
            threads.into_iter().map(join).collect()
        });
        let mut outcomes: Vec<Outcome> = results.into_iter().collect::<Result<Vec<_>>>()?.concat();
        outcomes.sort_by(|a, b| a.test.cmp(&b.test));
        Ok(outcomes)
    }

    /// Runs `tests` through the Athena program `athena`. Those that fail run again, each on a server of its own, and then
    /// without Athena.
    ///
    /// # Errors
    /// As [`Suite::run`].
    pub fn verify(
        &self,
        athena: &Path,
        tests: &[String],
        workers: usize,
        report: &(dyn Fn(&Outcome) + Sync),
    ) -> Result<Verification> {
        let mut verification = Verification::default();
        for outcome in self.run(Route::Through(athena), tests, workers, report)? {
            if outcome.verdict == Verdict::Passed {
                verification.passed.push(outcome);
                continue;
            }
            let alone = std::slice::from_ref(&outcome.test);
            let passes = |route| -> Result<bool> {
                let again = self.run(route, alone, 1, &|_| {})?;
                Ok(again.iter().all(|outcome| outcome.verdict == Verdict::Passed))
            };
            if passes(Route::Through(athena))? {
                verification.unsteady.push(outcome);
            } else if passes(Route::Direct)? {
                verification.failed.push(outcome);
            } else {
                verification.not_here.push(outcome);
            }
        }
        Ok(verification)
    }

    /// Runs `tests` in order. `stage` goes from batch to batch, and is left empty after a failure.
    fn run_batch(
        &self,
        route: Route<'_>,
        mut tests: &[String],
        stage: &mut Option<Stage>,
        take: &mut dyn FnMut(Outcome),
    ) -> Result<()> {
        while let Some(first) = tests.first() {
            let on = match stage.take() {
                Some(stage) => stage,
                None => Stage::start(route, &self.tree)?,
            };
            let output = self.mysql_test_run(&on, tests)?;
            let mut outcomes = parse(&output);
            outcomes.retain(|outcome| tests.contains(&outcome.test));
            let alive = on.is_alive();
            if outcomes.is_empty() {
                let verdict = Verdict::Failed;
                outcomes.push(Outcome { test: first.clone(), verdict, milliseconds: 0, output });
            }
            if let Some(last) = outcomes.last_mut()
                && !alive
            {
                last.verdict = Verdict::Failed;
                last.output += "the server or Athena has ended\n";
                last.output += &on.log();
            }
            let done = outcomes.iter().filter_map(|o| tests.iter().position(|test| *test == o.test)).max();
            tests = tests.get(done.unwrap_or(0) + 1..).unwrap_or_default();
            if outcomes.iter().all(|outcome| outcome.verdict != Verdict::Failed) {
                *stage = Some(on);
            }
            outcomes.into_iter().for_each(&mut *take);
        }
        Ok(())
    }

    /// What `mysql-test-run` prints, which ends at the first test that fails.
    fn mysql_test_run(&self, stage: &Stage, tests: &[String]) -> Result<String> {
        let program = "mysql-test-run";
        let mut command = Command::new("perl");
        command.current_dir(self.tests_folder()).arg("mariadb-test-run.pl");
        for option in ["host=127.0.0.1", "protocol=tcp", "user=root", &format!("port={}", stage.port())] {
            command.args(["--extern", option]);
        }
        command.arg(format!("--vardir={}", stage.var().display()));
        command.arg(format!("--testcase-timeout={TEST_MINUTES}"));
        command.args(["--suite=main", "--noreorder"]);
        command.args(tests.iter().map(|test| format!("main.{test}")));
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let output =
            command.output().map_err(|source| Error::Spawn { program: program.to_owned(), source })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn tests_folder(&self) -> PathBuf {
        self.tree.join("share/mysql/mysql-test")
    }
}

fn default_folder() -> PathBuf {
    crate::lab::target_folder().join("mysql-test")
}
