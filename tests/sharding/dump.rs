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
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}; CREATE DATABASE again; CREATE DATABASE listed"))?;
    let mut talk = stage.login(&Login::app().database(SHARDED))?;
    talk.run("CREATE TABLE users (name VARCHAR(20), user_id BIGINT PRIMARY KEY, born DATE) DEFAULT CHARSET utf8mb4")?;
    talk.run("CREATE TABLE places (place INT PRIMARY KEY, name VARCHAR(20))")?;
    let rows: Vec<_> =
        (0..50).map(|id| format!("({id}, 'n''{id}\\n', '2026-01-{:02}')", 1 + id % 28)).collect();
    talk.run(&format!("INSERT INTO users (user_id, name, born) VALUES {}", rows.join(", ")))?;
    talk.run("INSERT INTO places VALUES (1, 'here')")?;
    reload(&stage, &[], "again", "INSERT INTO `users` VALUES")?;
    reload(&stage, &["--complete-insert"], "listed", "INSERT INTO `users` (")?;
    for schema in [SHARDED, "again", "listed"] {
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
    for schema in ["again", "listed"] {
        assert_eq!(talk.query(&sum(SHARDED))?.rows()?.rows, talk.query(&sum(schema))?.rows()?.rows);
    }
    Ok(())
}

/// Dumps the sharded schema with these options more, and loads that into another one.
fn reload(stage: &Stage, options: &[&str], into: &str, says: &str) -> TestResult {
    let dump = client(stage, "mariadb-dump")?
        .args(["--single-transaction", "--skip-add-locks"])
        .args(options)
        .arg(SHARDED)
        .output()?;
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let text = String::from_utf8_lossy(&dump.stdout);
    assert!(!text.contains("users_") && text.contains(says), "{text}");
    let mut load = client(stage, "mariadb")?
        .arg(into)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(&mut load.stdin.take().ok_or("no pipe")?, &dump.stdout)?;
    let loaded = load.wait_with_output()?;
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    Ok(())
}

/// The file of a LOAD DATA comes from MariaDB's own program, in packets of its size, compressed or not.
#[test]
fn an_import_is_split_by_rows() -> TestResult {
    let stage = Stage::start_with("sharding_import", |config| {
        sharded(config, "mod", "shard_count = 4\n").set("backend", "compression", "\"zlib\"")
    })?;
    stage.server.sql(&format!("SET GLOBAL local_infile = 1; CREATE DATABASE {SHARDED}"))?;
    let mut talk = stage.login(&Login::app().database(SHARDED))?;
    talk.run("CREATE TABLE users (name VARCHAR(40), user_id BIGINT PRIMARY KEY)")?;
    let folder = std::env::temp_dir().join(format!("athena_import_{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("users.txt");
    let rows: String = (0..50_000).map(|id| format!("name\\tof {id}\t{id}\n")).collect();
    std::fs::write(&file, rows)?;
    for options in [&[][..], &["--compress"], &["--columns=name,user_id", "--ignore"]] {
        let import = client(&stage, "mariadb-import")?
            .args(["--local", "--delete"])
            .args(options)
            .arg(SHARDED)
            .arg(&file)
            .output()?;
        let (said, error) =
            (String::from_utf8_lossy(&import.stdout), String::from_utf8_lossy(&import.stderr));
        assert!(import.status.success(), "{options:?}: {error}");
        assert!(said.contains("Records: 50000  Deleted: 0  Skipped: 0  Warnings: 0"), "{options:?}: {said}");
        for shard in 0..4 {
            let sql = format!(
                "SELECT COUNT(*) = 12500 AND SUM(user_id % 4 = {shard}) = 12500 FROM {SHARDED}.users_{shard}"
            );
            assert_eq!(stage.server.sql(&sql)?, "1");
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
