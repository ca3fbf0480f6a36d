//! The server's own accounts (`[auth] source = "backend"`).

use std::thread;
use std::time::Duration;

use athena_perf::lab::{APP_USER, SqlClient};
use athena_perf::proxy::AthenaConfig;

use crate::common::stage::Stage;
use crate::common::wire::{Login, Plugin};
use crate::common::{PATIENCE, TestResult, eventually, join};
use crate::{create, current_user, on_both, refusal};

fn of_server(config: AthenaConfig) -> AthenaConfig {
    config.set("auth", "source", "\"backend\"").set("auth", "refresh_min_interval_ms", "300").set(
        "server",
        "auth_plugin",
        "\"caching_sha2_password\"",
    )
}

/// Lets Athena read the accounts.
fn grant(stage: &Stage) -> TestResult {
    let table = if is_mariadb(stage)? { "mysql.global_priv" } else { "mysql.user" };
    stage.server.sql(&format!("GRANT SELECT ON {table} TO {APP_USER}@'%'"))?;
    Ok(())
}

fn is_mariadb(stage: &Stage) -> TestResult<bool> {
    Ok(stage.server.sql("SELECT VERSION()")?.contains("MariaDB"))
}

/// A login that serves both families: the password itself is sent where it is asked for.
fn login(user: &str, password: &str) -> Login {
    Login::new(user, password).by(Plugin::CachingSha2Rsa)
}

#[test]
fn clients_log_in_as_the_server_knows_them() -> TestResult {
    on_both("backend_accounts", of_server, |stage| {
        grant(stage)?;
        create(stage, "one", "1")?;
        create(stage, "none", "")?;
        stage.server.sql("CREATE USER pointed@'127.0.0.1' IDENTIFIED BY 'near'; CREATE USER pointed@'%' IDENTIFIED BY 'far'")?;
        stage.server.sql("CREATE USER elsewhere@'10.%' IDENTIFIED BY 'e'; CREATE USER locked IDENTIFIED BY 'l' ACCOUNT LOCK")?;
        stage.server.sql("CREATE ROLE IF NOT EXISTS part")?;
        for (user, password, account) in
            [("one", "1", "one@%"), ("none", "", "none@%"), ("pointed", "near", "pointed@127.0.0.1")]
        {
            for _ in 0..3 {
                let mut client = stage.login(&login(user, password))?;
                assert_eq!(current_user(&mut client)?, account);
            }
        }
        let wrong = [
            ("one", "2"),
            ("one", ""),
            ("none", "x"),
            ("pointed", "far"),
            ("elsewhere", "e"),
            ("part", ""),
            ("nobody", "n"),
        ];
        for (user, password) in wrong {
            let error = refusal(stage, &login(user, password))?;
            assert_eq!(error.code(), Some(1045), "{user}: {error}");
        }
        let locked = refusal(stage, &login("locked", "l"))?;
        let words = SqlClient::on_port(stage.server.port(), "locked", "l").argument("--ssl=0");
        let direct = words.run("SELECT 1").expect_err("locked").to_string();
        if is_mariadb(stage)? {
            assert!(
                direct.contains(&format!("ERROR {}", locked.code().unwrap_or_default())),
                "{locked} {direct}"
            );
        } else {
            assert_eq!(locked.code(), Some(3118), "{locked}");
        }
        Ok(())
    })
}

/// New accounts, new passwords, new grants and accounts that are gone, while Athena runs.
#[test]
fn changes_of_accounts_are_seen() -> TestResult {
    on_both("backend_changes", of_server, |stage| {
        grant(stage)?;
        assert_eq!(refusal(stage, &login("late", "1"))?.code(), Some(1045));
        create(stage, "late", "1")?;
        let mut old = stage.login(&login("late", "1"))?;
        assert_eq!(current_user(&mut old)?, "late@%");
        stage.server.sql("ALTER USER late@'%' IDENTIFIED BY '2'")?;
        let mut new = stage.login(&login("late", "2"))?;
        assert_eq!(current_user(&mut new)?, "late@%");
        thread::sleep(Duration::from_millis(400));
        assert_eq!(refusal(stage, &login("late", "1"))?.code(), Some(1045));

        let denied = new.query("CREATE TABLE sbtest.t (a INT)").map(drop).map_err(|error| error.code());
        assert_eq!(denied, Err(Some(1142)));
        stage.server.sql("GRANT ALL ON sbtest.* TO late@'%'")?;
        eventually("the grant holds", PATIENCE, || {
            let mut client = stage.login(&login("late", "2")).map_err(|error| error.to_string())?;
            client.run("CREATE TABLE IF NOT EXISTS sbtest.t (a INT)").map_err(|error| error.to_string())
        });
        stage.server.sql("DROP USER late@'%'")?;
        thread::sleep(Duration::from_millis(400));
        assert_eq!(refusal(stage, &login("late", "2"))?.code(), Some(1045));
        Ok(())
    })
}

/// With few links and many clients of several accounts, each is itself all the time.
#[test]
fn nobody_runs_as_somebody_else() -> TestResult {
    let few = |config| {
        of_server(config).set("pool", "max_connections", "3").set("runtime", "cpus", "\"0\"").set(
            "pool",
            "checkout_timeout_ms",
            "30000",
        )
    };
    on_both("backend_crowd", few, |stage| {
        grant(stage)?;
        let users = ["ann", "bob", "eve", "kim"];
        users.iter().try_for_each(|user| create(stage, user, user))?;
        thread::scope(|scope| {
            let work = |user: &'static str| {
                move || -> TestResult {
                    let mut client = stage.login(&login(user, user))?;
                    for _ in 0..25 {
                        assert_eq!(current_user(&mut client)?, format!("{user}@%"));
                    }
                    Ok(())
                }
            };
            let threads: Vec<_> =
                (0..3).flat_map(|_| users.map(work)).map(|work| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(join)
        })
    })
}

/// Accounts that the account of `[backend]` may not read: clients are told, and the log says what is missing.
#[test]
fn accounts_that_can_not_be_read() -> TestResult {
    let blind = |config: AthenaConfig| of_server(config).account("blind", "b");
    on_both("backend_unreadable", blind, |stage| {
        create(stage, "blind", "b")?;
        let error = refusal(stage, &login("blind", "b"))?.to_string();
        assert!(error.contains("can't read the accounts of the server"), "{error}");
        // The log is written by a thread of its own.
        eventually("the log says what is missing", PATIENCE, || {
            let log = std::fs::read_to_string(stage.athena.log_path()).map_err(|error| error.to_string())?;
            if log.contains("GRANT SELECT ON mysql.") { Ok(()) } else { Err(log) }
        });
        Ok(())
    })
}

/// Guesses cost the server no more than a reading each interval and core.
#[test]
fn guesses_do_not_reach_the_server() -> TestResult {
    let slow = |config| of_server(config).set("runtime", "cpus", "\"0\"");
    on_both("backend_guesses", slow, |stage| {
        grant(stage)?;
        create(stage, "one", "1")?;
        stage.login(&login("one", "1"))?.ping()?;
        let opened = stage.athena.metric("athena_links_opened_total", &[])?;
        let questions = || -> TestResult<f64> {
            Ok(stage
                .server
                .sql("SHOW GLOBAL STATUS LIKE 'Connections'")?
                .split('\t')
                .next_back()
                .unwrap_or("0")
                .parse()?)
        };
        let before = questions()?;
        thread::scope(|scope| {
            let guess = |at: usize| move || refusal(stage, &login(["one", "two"][at % 2], "guess")).map(drop);
            let threads: Vec<_> = (0..24).map(guess).map(|guess| scope.spawn(guess)).collect();
            threads.into_iter().try_for_each(join)
        })?;
        assert!(questions()? - before < 8.0, "connections for guesses");
        assert!(stage.athena.metric("athena_links_opened_total", &[])? - opened < 4.0);
        Ok(())
    })
}

/// What the server changes of an account holds for those who log in from then on, whatever links there are of it.
#[test]
fn links_of_an_account_as_it_was_serve_nobody_new() -> TestResult {
    on_both("backend_old_links", of_server, |stage| {
        grant(stage)?;
        stage.server.sql(
            "CREATE DATABASE other; CREATE USER strong@'%' IDENTIFIED BY 's'; GRANT ALL ON *.* TO strong@'%'",
        )?;
        let before = || -> TestResult {
            for _ in 0..4 {
                stage.login(&login("strong", "s"))?.run("CREATE TABLE IF NOT EXISTS other.t (a INT)")?;
            }
            Ok(())
        };
        before()?;
        stage.server.sql("REVOKE ALL ON *.* FROM strong@'%'; GRANT SELECT ON test.* TO strong@'%'")?;
        thread::sleep(Duration::from_millis(400));
        for _ in 0..4 {
            let mut client = stage.login(&login("strong", "s"))?;
            let refused =
                client.query("CREATE TABLE other.u (a INT)").map(drop).map_err(|error| error.code());
            assert_eq!(refused, Err(Some(1142)));
        }
        stage.server.sql("ALTER USER strong@'%' ACCOUNT LOCK")?;
        thread::sleep(Duration::from_millis(400));
        let words = if is_mariadb(stage)? { 4151 } else { 3118 };
        for _ in 0..4 {
            assert_eq!(refusal(stage, &login("strong", "s"))?.code(), Some(words));
        }
        stage.server.sql("ALTER USER strong@'%' ACCOUNT UNLOCK; GRANT ALL ON *.* TO strong@'%'")?;
        thread::sleep(Duration::from_millis(400));
        before()
    })
}

/// `REQUIRE SSL` is about the client's connection, which the server does not see.
#[test]
fn what_an_account_requires_is_required_of_clients() -> TestResult {
    let encrypted = |config| of_server(config).set("backend", "tls", "\"required\"");
    let Some(stage) = Stage::start_on_mysql("backend_require", encrypted)? else {
        eprintln!("skipped: there is no MySQL");
        return Ok(());
    };
    grant(&stage)?;
    create(&stage, "free", "f")?;
    create(&stage, "strict", "s")?;
    stage.login(&login("strict", "s"))?.ping()?;
    stage.server.sql("ALTER USER strict@'%' REQUIRE SSL")?;
    thread::sleep(Duration::from_millis(400));
    let error = refusal(&stage, &login("strict", "s"))?;
    assert_eq!(error.code(), Some(1045), "{error}");
    stage.login(&login("free", "f"))?.ping()?;
    Ok(())
}

/// All who wait for the same reading hear that it failed, each at once and not one after the other.
#[test]
fn a_server_that_is_gone_is_told_to_all() -> TestResult {
    let slow = |config| {
        of_server(config).set("runtime", "cpus", "\"0\"").set("auth", "refresh_min_interval_ms", "1500")
    };
    let stage = Stage::start_with("backend_gone", slow)?;
    grant(&stage)?;
    create(&stage, "one", "1")?;
    stage.login(&login("one", "1"))?.ping()?;
    stage.server.kill();
    thread::sleep(Duration::from_millis(1600));
    let stage = &stage;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..24)
            .map(|_| {
                scope.spawn(move || -> TestResult {
                    let error = refusal(stage, &login("one", "1"))?.to_string();
                    assert!(error.contains("can't read the accounts of the server"), "{error}");
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(join)
    })
}
