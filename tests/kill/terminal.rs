//! Ctrl-C in the command-line clients: they open a second connection and send KILL QUERY with the id that they know.

use std::path::{Path, PathBuf};
use std::process::Command;

use athena_perf::lab::{APP_PASSWORD, APP_USER};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::configure;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kill/interrupt.py");

/// Runs a client in a terminal, and fails unless Ctrl-C ended its statement and nothing else.
fn interrupt(stage: &Stage, client: &[&str]) -> TestResult {
    let port = stage.athena.port().to_string();
    let mut command = Command::new("timeout");
    command.args(["90", "/usr/bin/python3", SCRIPT]).args(client);
    command.args(["-h", "127.0.0.1", "-P", &port, "-u", APP_USER, &format!("-p{APP_PASSWORD}"), "test"]);
    let output = command.output()?;
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    let killed = stage.athena.log()?.matches("killed").count();
    assert!(killed > 0, "no KILL came to Athena: {shown}");
    Ok(())
}

#[test]
fn ctrl_c_in_the_mariadb_client() -> TestResult {
    interrupt(&Stage::start_with("ctrl_c", configure)?, &["mariadb", "--no-defaults"])
}

#[test]
fn ctrl_c_in_the_mysql_client() -> TestResult {
    let Some(root) = mysql_root() else { return Ok(()) };
    let sha2 = |config| configure(config).set("server", "auth_plugin", "\"caching_sha2_password\"");
    let Some(stage) = Stage::start_on_mysql("ctrl_c", sha2)? else { return Ok(()) };
    let root = root.display().to_string();
    interrupt(&stage, &["chroot", &root, "mysql", "--no-defaults", "--ssl-mode=DISABLED"])
}

/// The root folder of the lab's MySQL, which has its client, too.
fn mysql_root() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mysql-root");
    let root = std::env::var_os("ATHENA_LAB_MYSQL_ROOT").map_or_else(beside, PathBuf::from);
    root.join("usr/bin/mysql").is_file().then(|| root.canonicalize().ok()).flatten()
}
