//! mariadb-dump reads sharded tables, and what it wrote makes them anew.

use std::process::{Command, Stdio};

use athena_perf::lab::{APP_PASSWORD, APP_USER};
use athena_perf::process::find_program;

use super::common::TestResult;
use super::common::stage::Stage;
use super::common::wire::Login;
use super::{SHARDED, sharded};

/// A program of MariaDB's, as a client of Athena.
fn client(stage: &Stage, program: &str) -> TestResult<Command> {
    let mut command = Command::new(find_program(program).ok_or(program)?);
    command.args([
        "--no-defaults",
        "-h",
        "127.0.0.1",
        "-u",
        APP_USER,
        "-P",
        &stage.athena.port().to_string(),
    ]);
    command.arg(format!("-p{APP_PASSWORD}"));
    Ok(command)
}

#[test]
fn a_dump_makes_the_tables_anew() -> TestResult {
    let stage = Stage::start_with("sharding_dump", |config| sharded(config, "mod", "shard_count = 4\n"))?;
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}; CREATE DATABASE again"))?;
    let mut talk = stage.login(&Login::app().database(SHARDED))?;
    talk.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(20), born DATE) DEFAULT CHARSET utf8mb4")?;
    talk.run("CREATE TABLE places (place INT PRIMARY KEY, name VARCHAR(20))")?;
    let rows: Vec<_> =
        (0..50).map(|id| format!("({id}, 'n''{id}\\n', '2026-01-{:02}')", 1 + id % 28)).collect();
    talk.run(&format!("INSERT INTO users (user_id, name, born) VALUES {}", rows.join(", ")))?;
    talk.run("INSERT INTO places VALUES (1, 'here')")?;
    let dump = client(&stage, "mariadb-dump")?
        .args(["--single-transaction", "--complete-insert", "--skip-add-locks", SHARDED])
        .output()?;
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let text = String::from_utf8_lossy(&dump.stdout);
    assert!(!text.contains("users_") && text.contains("INSERT INTO `users` ("), "{text}");
    let mut load = client(&stage, "mariadb")?
        .arg("again")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(&mut load.stdin.take().ok_or("no pipe")?, &dump.stdout)?;
    let loaded = load.wait_with_output()?;
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    for schema in [SHARDED, "again"] {
        for shard in 0..4 {
            let sql = format!("SELECT COUNT(*), SUM(user_id % 4 = {shard}) FROM {schema}.users_{shard}");
            let counts = stage.server.sql(&sql)?;
            let numbers: Vec<_> = counts.split_whitespace().collect();
            assert_eq!(numbers[0], numbers[1], "{schema} {shard}");
        }
    }
    let sum = |schema: &str| {
        format!(
            "SELECT COUNT(*), BIT_XOR(CAST(CRC32(CONCAT_WS('/', user_id, name, born)) AS UNSIGNED)) FROM {schema}.users"
        )
    };
    assert_eq!(talk.query(&sum(SHARDED))?.rows()?.rows, talk.query(&sum("again"))?.rows()?.rows);
    Ok(())
}
