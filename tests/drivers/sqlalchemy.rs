//! SQLAlchemy's own suite for dialects, test by test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::clients::{
    BUILD_TIMEOUT_S, Target, build_folder, finish, finish_with, folder, python_environment, timed,
};

/// The whole suite needs half a minute on a machine that does nothing else.
const SUITE_TIMEOUT_S: &str = "600";
/// Exit codes of pytest: all passed, some failed.
const RAN: [i32; 2] = [0, 1];
/// What its summary calls the outcomes that are compared.
const OUTCOMES: [&str; 3] = ["PASSED", "FAILED", "ERROR"];

/// How much of the suite runs: what every dialect has to do, or MySQL's own tests, too.
pub const DIALECTS: &[&str] = &["test/dialect/test_suite.py"];
pub const ALL: &[&str] = &["test/dialect/test_suite.py", "test/dialect/mysql"];

/// Each test's name with its outcome.
pub fn outcomes(target: &Target, dialect: &str, files: &[&str]) -> BTreeMap<String, String> {
    let mut command = timed(SUITE_TIMEOUT_S, python_environment());
    command.args([
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:logging",
        "-q",
        "-rA",
        "--tb=no",
        "--dburi",
    ]);
    command.arg(target.uri(dialect)).args(files).current_dir(source()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = finish_with(&mut command, &RAN);
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcomes = summary.lines().filter_map(|line| {
        let (outcome, name) = line.split_once(' ')?;
        let name = name.split(" - ").next()?;
        OUTCOMES.contains(&outcome).then(|| (name.to_owned(), outcome.to_owned()))
    });
    outcomes.collect()
}

/// The source of SQLAlchemy as it is on PyPI, unless it is there already: an installation lacks the tests.
fn source() -> PathBuf {
    static UNPACKED: OnceLock<PathBuf> = OnceLock::new();
    let unpack = || {
        let home = build_folder("sqlalchemy");
        let wanted = folder().join("sqlalchemy/requirements.txt");
        let content = std::fs::read_to_string(&wanted).expect("the version");
        let done = home.join("unpacked.txt");
        let (_, version) = content.trim_end().rsplit_once("==").expect("a version");
        if std::fs::read_to_string(&done).ok().as_ref() != Some(&content) {
            let mut command = timed(BUILD_TIMEOUT_S, python_environment());
            command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
            command.args(["--no-build-isolation", "--no-binary", "SQLAlchemy", "--requirement"]).arg(&wanted);
            finish(command.arg("--dest").arg(&home));
            let archive = home.join(format!("sqlalchemy-{version}.tar.gz"));
            finish(
                Command::new("tar").arg("--directory").arg(&home).arg("--extract").arg("--file").arg(archive),
            );
            std::fs::write(done, &content).expect("written");
        }
        home.join(format!("sqlalchemy-{version}"))
    };
    UNPACKED.get_or_init(unpack).clone()
}
