//! Real drivers and clients see through Athena what they see directly.
//!
//! Each client is a program below `tests/drivers/` that works in an empty database, prints all that its driver tells it
//! and fails on what it did not expect. It runs once on the server and once through Athena, with the driver's own defaults;
//! both must print the same. In front of a MySQL, Athena asks its clients for `caching_sha2_password`, as MySQL does.
//!
//! `make deps` installs the drivers; what Debian has no package of comes from npm and PyPI, into folders below `target/`.

#[path = "drivers/clients.rs"]
mod clients;
#[path = "drivers/sqlalchemy.rs"]
mod sqlalchemy;
#[path = "drivers/stage.rs"]
mod stage;

use std::collections::BTreeMap;

use athena_perf::Result;
use athena_perf::lab::Server;
use clients::Target;
use stage::{DATABASE, Stage, assert_same};

/// The database beside its own that SQLAlchemy's suite wants.
const SECOND_SCHEMA: &str = "test_schema";
/// What SQLAlchemy's suite runs with.
const DIALECTS: [&str; 3] = ["pymysql", "mysqldb", "mysqlconnector"];
/// Fewer tests that pass mean that the suite was not found.
const SUITE_PASSED_MIN: usize = 900;
/// The database that a dump is loaded into.
const COPY: &str = "copy";
/// How the client prints results: as the tests of others read it; nothing but the values, from a result that is not stored;
/// with all that is known of each column.
const CLIENT_MODES: [&[&str]; 3] =
    [&[], &["--skip-column-names", "--raw", "--quick"], &["--table", "--column-type-info", "-vv"]];
/// Ways to make a dump: under `LOCK TABLES` in rows of many values, in one transaction with binary data in ASCII, and the
/// rest that is not in a dump by default.
const DUMP_MODES: [&[&str]; 3] =
    [&[], &["--single-transaction", "--hex-blob"], &["--routines", "--events", "--skip-extended-insert"]];

#[test]
fn pymysql_on_mariadb() -> Result<()> {
    compare(&Stage::on_mariadb("pymysql")?, clients::pymysql)
}

#[test]
fn pymysql_on_mysql() -> Result<()> {
    on_mysql("pymysql", |stage| compare(stage, clients::pymysql))
}

#[test]
fn mysqlclient_on_mariadb() -> Result<()> {
    compare(&Stage::on_mariadb("mysqlclient")?, clients::mysqlclient)
}

#[test]
fn mysqlclient_on_mysql() -> Result<()> {
    on_mysql("mysqlclient", |stage| compare(stage, clients::mysqlclient))
}

#[test]
fn connector_python_on_mariadb() -> Result<()> {
    compare_connector_python(&Stage::on_mariadb("connector_python")?)
}

#[test]
fn connector_python_on_mysql() -> Result<()> {
    on_mysql("connector_python", compare_connector_python)
}

#[test]
fn connector_j_on_mariadb() -> Result<()> {
    compare(&Stage::on_mariadb("connector_j")?, clients::connector_j)
}

#[test]
fn connector_j_on_mysql() -> Result<()> {
    on_mysql("connector_j", |stage| compare(stage, clients::connector_j))
}

#[test]
fn dbd_mariadb_on_mariadb() -> Result<()> {
    compare(&Stage::on_mariadb("dbd_mariadb")?, clients::dbd_mariadb)
}

#[test]
fn dbd_mariadb_on_mysql() -> Result<()> {
    on_mysql("dbd_mariadb", |stage| compare(stage, clients::dbd_mariadb))
}

#[test]
fn mysql_async_on_mariadb() -> Result<()> {
    compare(&Stage::on_mariadb("mysql_async")?, clients::mysql_async)
}

#[test]
fn mysql_async_on_mysql() -> Result<()> {
    on_mysql("mysql_async", |stage| compare(stage, clients::mysql_async))
}

#[test]
fn mysql2_on_mariadb() -> Result<()> {
    compare(&Stage::on_mariadb("mysql2")?, clients::mysql2)
}

#[test]
fn mysql2_on_mysql() -> Result<()> {
    on_mysql("mysql2", |stage| compare(stage, clients::mysql2))
}

#[test]
fn the_go_driver_on_mariadb() -> Result<()> {
    compare(&Stage::on_mariadb("go")?, clients::go_driver)
}

#[test]
fn the_go_driver_on_mysql() -> Result<()> {
    on_mysql("go", |stage| compare(stage, clients::go_driver))
}

#[test]
fn the_command_line_client_on_mariadb() -> Result<()> {
    compare_command_line(&Stage::on_mariadb("client")?)
}

#[test]
fn the_command_line_client_on_mysql() -> Result<()> {
    on_mysql("client", compare_command_line)
}

#[test]
fn dump_and_reload_on_mariadb() -> Result<()> {
    dump_and_reload(&Stage::on_mariadb("dump")?, &[])
}

#[test]
fn dump_and_reload_on_mysql() -> Result<()> {
    // mariadb-dump writes values for generated columns; MariaDB ignores them, MySQL refuses them.
    on_mysql("dump", |stage| dump_and_reload(stage, &["computed"]))
}

#[test]
fn sqlalchemy_on_mariadb() -> Result<()> {
    compare_suites(&Stage::on_mariadb("sqlalchemy")?, "mariadb+pymysql", sqlalchemy::DIALECTS)
}

#[test]
fn sqlalchemy_on_mysql() -> Result<()> {
    on_mysql("sqlalchemy", |stage| compare_suites(stage, "mysql+pymysql", sqlalchemy::DIALECTS))
}

/// Every driver that the suite is made for (`make drivers`).
#[test]
#[ignore = "takes many minutes"]
fn all_of_sqlalchemy_on_mariadb() -> Result<()> {
    let stage = Stage::on_mariadb("sqlalchemy_all")?;
    DIALECTS
        .iter()
        .try_for_each(|driver| compare_suites(&stage, &format!("mariadb+{driver}"), sqlalchemy::ALL))
}

#[test]
#[ignore = "takes many minutes"]
fn all_of_sqlalchemy_on_mysql() -> Result<()> {
    on_mysql("sqlalchemy_all", |stage| {
        DIALECTS
            .iter()
            .try_for_each(|driver| compare_suites(stage, &format!("mysql+{driver}"), sqlalchemy::ALL))
    })
}

/// Every test of the suite ends through Athena as it does directly.
fn compare_suites(stage: &Stage, dialect: &str, files: &[&str]) -> Result<()> {
    let run = |target: Target| -> Result<BTreeMap<String, String>> {
        stage.empty_database(DATABASE)?;
        stage.empty_database(SECOND_SCHEMA)?;
        Ok(sqlalchemy::outcomes(&target, dialect, files))
    };
    let (direct, through) = (run(stage.direct())?, run(stage.through())?);
    let passed = direct.values().filter(|outcome| *outcome == "PASSED").count();
    assert!(passed > SUITE_PASSED_MIN, "{dialect}: only {passed} tests pass directly");
    let names = direct.keys().chain(through.keys());
    let differ: Vec<String> = names
        .filter(|name| direct.get(*name) != through.get(*name))
        .map(|name| {
            format!("{name}: directly {:?}, through Athena {:?}", direct.get(name), through.get(name))
        })
        .collect();
    assert!(differ.is_empty(), "{dialect}\n{}", differ.join("\n"));
    Ok(())
}

#[test]
fn extras_on_mariadb() -> Result<()> {
    compare_extras(&Stage::with_extras_on_mariadb("extras")?)
}

#[test]
fn extras_on_mysql() -> Result<()> {
    match Stage::with_extras_on_mysql("extras")? {
        Some(stage) => compare_extras(&stage),
        None => {
            eprintln!("skipped: no MySQL root (perf/mysql-root.sh makes one)");
            Ok(())
        }
    }
}

/// TLS, compression, files, other accounts and kills, with the drivers that have them.
fn compare_extras(stage: &Stage) -> Result<()> {
    let clients: [fn(&Target) -> Vec<u8>; 4] = [
        clients::pymysql,
        clients::mysqlclient,
        |target| clients::connector_python(target, "pure"),
        |target| clients::connector_python(target, "extension"),
    ];
    for client in clients {
        stage.empty_database(DATABASE)?;
        let direct = client(&stage.direct_extras());
        stage.empty_database(DATABASE)?;
        assert_same(&direct, &client(&stage.through_extras()));
    }
    Ok(())
}

fn on_mysql(name: &str, test: impl Fn(&Stage) -> Result<()>) -> Result<()> {
    match Stage::on_mysql(name)? {
        Some(stage) => test(&stage),
        None => {
            eprintln!("skipped: no MySQL root (perf/mysql-root.sh makes one)");
            Ok(())
        }
    }
}

/// Runs `client` directly and through Athena, on an empty database each.
fn compare(stage: &Stage, client: impl Fn(&Target) -> Vec<u8>) -> Result<()> {
    stage.empty_database(DATABASE)?;
    let direct = client(&stage.direct());
    stage.empty_database(DATABASE)?;
    let through = client(&stage.through());
    assert_same(&direct, &through);
    Ok(())
}

fn compare_connector_python(stage: &Stage) -> Result<()> {
    for implementation in ["pure", "extension"] {
        compare(stage, |target| clients::connector_python(target, implementation))?;
    }
    Ok(())
}

fn compare_command_line(stage: &Stage) -> Result<()> {
    for mode in CLIENT_MODES {
        compare(stage, |target| clients::command_line(target, mode))?;
    }
    Ok(())
}

/// Dumps directly and through Athena, loads that dump through Athena, and compares the copy with the original: by the
/// server's checksums, and by its own dump, which has the views and triggers, too.
fn dump_and_reload(stage: &Stage, left_out: &[&str]) -> Result<()> {
    stage.empty_database(DATABASE)?;
    clients::load(&stage.direct(), &clients::folder().join("dump/schema.sql"));
    let original = checksums(&stage.server, DATABASE, left_out)?;
    for mode in DUMP_MODES {
        let direct = clients::dump(&stage.direct(), mode, left_out);
        let through = clients::dump(&stage.through(), mode, left_out);
        assert_same(&direct, &through);

        stage.empty_database(COPY)?;
        clients::load(&stage.through().database(COPY), &stage.file("dump.sql", &through));
        assert_eq!(checksums(&stage.server, COPY, &[])?, original, "the copy differs, dumped with {mode:?}");
        assert_same(&direct, &clients::dump(&stage.direct().database(COPY), mode, &[]));
    }
    Ok(())
}

/// `CHECKSUM TABLE` of every base table: lines of name and checksum.
fn checksums(server: &Server, database: &str, left_out: &[&str]) -> Result<Vec<String>> {
    let names = server.sql(&format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}' \
         AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME"
    ))?;
    let names = names.lines().filter(|name| !left_out.contains(name));
    let quoted: Vec<String> = names.map(|name| format!("`{}`", name.replace('`', "``"))).collect();
    let rows =
        server.app_client().database(database).run(&format!("CHECKSUM TABLE {}", quoted.join(", ")))?;
    let rows: Vec<String> = rows.lines().map(|row| row.replacen(&format!("{database}."), "", 1)).collect();
    assert!(rows.len() == quoted.len() && rows.len() > 5, "{rows:?}");
    assert!(rows.iter().all(|row| !row.ends_with("NULL")), "a table has no checksum: {rows:?}");
    Ok(rows)
}
