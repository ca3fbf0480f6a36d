//! A part of MariaDB's own test suite passes through Athena. `make suite` runs all of the set.

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;

use athena_perf::suite::{Exception, Suite, Verdict, read_exceptions, read_tests};
use common::TestResult;

/// Beside this file.
const LISTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite");
/// Every so many tests of the set are the part that runs here.
const STEP: usize = 4;
const WORKERS: usize = 2;
/// The set has at least so many tests.
const TESTS_MIN: usize = 300;
/// And at most this share of them, in percent, are exceptions.
const EXCEPTIONS_MAX: usize = 2;

fn lists() -> TestResult<(Vec<String>, Vec<Exception>)> {
    let folder = Path::new(LISTS);
    Ok((read_tests(&folder.join("main.txt"))?, read_exceptions(&folder.join("exceptions.txt"))?))
}

#[test]
fn the_set_is_large_and_its_exceptions_are_few() -> TestResult {
    let (tests, exceptions) = lists()?;
    assert!(tests.len() >= TESTS_MIN, "{} tests", tests.len());
    assert!(exceptions.len() * 100 <= tests.len() * EXCEPTIONS_MAX, "{} exceptions", exceptions.len());
    for Exception { test, reason } in exceptions {
        assert!(tests.contains(&test), "{test} is no test of the set");
        assert!(reason.len() > 20, "{test}: '{reason}' says too little");
    }
    Ok(())
}

#[test]
fn a_part_of_the_set_passes() -> TestResult {
    let (tests, exceptions) = lists()?;
    let excepted = |test: &String| exceptions.iter().any(|exception| exception.test == *test);
    let part: Vec<String> = tests.into_iter().filter(|test| !excepted(test)).step_by(STEP).collect();
    let athena = Path::new(env!("CARGO_BIN_EXE_athena"));
    let verification = Suite::find()?.verify(athena, &part, WORKERS, &|outcome| {
        if outcome.verdict != Verdict::Passed {
            eprintln!("{}", outcome.output);
        }
    })?;
    let names = |outcomes: &[athena_perf::suite::Outcome]| {
        outcomes.iter().map(|outcome| outcome.test.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&verification.failed), Vec::<String>::new(), "fail through Athena only");
    eprintln!(
        "{} of {} tests passed, {} of them alone; without Athena fail here: {:?}",
        part.len() - verification.not_here.len(),
        part.len(),
        verification.unsteady.len(),
        names(&verification.not_here)
    );
    Ok(())
}
