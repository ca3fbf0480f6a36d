//! COM_CHANGE_USER.

use std::thread;
use std::time::Duration;

use athena_perf::lab::{APP_USER, SqlClient};
use athena_perf::proxy::AthenaConfig;

use crate::common::TestResult;
use crate::common::wire::{Connection, Login, Plugin, capability, frame};
use crate::{create, current_user, on_both};

fn users(config: AthenaConfig) -> AthenaConfig {
    config.text(
        "[[users]]\nname = \"first\"\npassword = \"1\"\ndefault_database = \"test\"\n\
         [[users]]\nname = \"second\"\npassword = \"2\"\nbackend_user = \"second_there\"\nbackend_password = \"2\"\n\
         default_database = \"sbtest\"\n",
    )
}

#[test]
fn nothing_is_left_of_the_user_before() -> TestResult {
    on_both("change_user", users, |stage| {
        create(stage, "second_there", "2")?;
        stage.server.sql("GRANT ALL ON sbtest.* TO second_there@'%'")?;
        for old in [false, true] {
            let dialect = |login: Login| if old { login.without(capability::PLUGIN_AUTH) } else { login };
            let (first, second) = (dialect(Login::new("first", "1")), dialect(Login::new("second", "2")));
            let mut client = stage.login(&first)?;
            client.run("CREATE TABLE IF NOT EXISTS t (a INT)")?;
            client.run("SET @a = 5, sql_mode = 'ANSI_QUOTES'")?;
            client.run("CREATE TEMPORARY TABLE mine (a INT)")?;
            let statement = client.prepare("SELECT 1")?;
            client.run("BEGIN")?;
            client.run("INSERT INTO t VALUES (1)")?;

            client.change_user(&second)?;
            assert_eq!(current_user(&mut client)?, "second_there@%");
            assert_eq!(client.scalar("SELECT DATABASE()")?, "sbtest");
            assert_eq!(client.scalar("SELECT COUNT(*) FROM test.t")?, "0", "rolled back");
            assert_eq!(client.scalar("SELECT IFNULL(@a, \"none\")")?, "none");
            assert_eq!(
                client.query("SELECT * FROM test.mine").map_err(|error| error.code()).err(),
                Some(Some(1146))
            );
            let gone = client.execute(&statement, &[]).map(drop).map_err(|error| error.code());
            assert_eq!(gone, Err(Some(1243)));

            client.change_user(&first.clone().database("sbtest"))?;
            assert_eq!(current_user(&mut client)?, format!("{APP_USER}@%"));
            assert_eq!(client.scalar("SELECT DATABASE()")?, "sbtest");
        }
        Ok(())
    })
}

/// What is left of a connection after a change of user that failed: the code of the error, and whether it still serves.
fn after_failures(mut client: Connection, login: &Login) -> Vec<(Option<u16>, bool)> {
    let mut seen = Vec::new();
    for _ in 0..4 {
        let code = client.change_user(login).err().and_then(|error| error.code());
        let serves = client.scalar("SELECT 1").is_ok();
        seen.push((code, serves));
        if !serves {
            break;
        }
    }
    seen
}

/// A MariaDB leaves the connection to the user that it was, three times; a MySQL closes it.
#[test]
fn a_change_that_fails_ends_as_on_the_server() -> TestResult {
    on_both("change_user_failed", users, |stage| {
        create(stage, "first", "1")?;
        // Where passwords have to be sent once, this does it.
        let by_socket = SqlClient::on_socket(&stage.server.socket_path(), "first", "1");
        assert_eq!(by_socket.run("SELECT 1")?, "1");
        let plugin = match stage.server.sql("SELECT VERSION()")?.contains("MariaDB") {
            true => Plugin::Native,
            false => Plugin::CachingSha2,
        };
        let login = Login::new("first", "1").by(plugin);
        let wrong = Login { password: String::new(), ..login.clone() };
        let direct = after_failures(Connection::login(stage.server.port(), &login)?, &wrong);
        let through = after_failures(stage.login(&login)?, &wrong);
        eprintln!("{direct:?}");
        assert_eq!(through, direct);
        Ok(())
    })
}

/// What a client sends in the place of its proof is never taken for a command.
#[test]
fn a_broken_proof_ends_the_connection() -> TestResult {
    on_both("change_user_broken", users, |stage| {
        let login = Login::new("first", "1");
        let query = b"\x03CREATE TABLE test.smuggled (a INT)";
        let too_long = [0x70, 0x11, 0x01, 2];
        for first in [&too_long[..], &frame(9, b"x")] {
            let mut client = stage.login(&login)?;
            let change = login.change(client.greeting());
            client.send(0x11, &change)?;
            let stream = client.stream();
            assert_eq!(stream.read_payload()?.first(), Some(&0xfe), "it is asked for a proof");
            stream.write_raw(first)?;
            thread::sleep(Duration::from_millis(50));
            // It may be closed by now.
            let _ = stream.write_raw(&frame(0, query));
            stream.set_read_timeout(Duration::from_secs(10))?;
            let answer = stream.read_to_close()?;
            assert!(answer < 200, "{answer} bytes");
        }
        let found = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'smuggled'";
        assert_eq!(stage.server.sql(found)?, "0");
        Ok(())
    })
}
