//! COM_SET_OPTION and the commands of administrators.

use crate::common::TestResult;
use crate::common::wire::{Connection, Login, Result, capability, command, status};
use crate::{on_each_server, on_each_server_with};

const ON: &[u8] = &[0, 0];
const OFF: &[u8] = &[1, 0];

/// Whether the client may send two statements at once.
fn takes_two(client: &mut Connection) -> Result<bool> {
    client.send(command::QUERY, b"SELECT 1; SELECT 2")?;
    match client.read_reply() {
        Ok(first) => {
            assert_ne!(first.status() & status::MORE_RESULTS, 0);
            assert_eq!(client.read_reply()?.rows()?.scalar()?.to_string(), "2");
            Ok(true)
        }
        Err(error) if error.code() == Some(1064) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends the option; the payload that answers, without the number of warnings, which a MySQL may have from elsewhere.
fn set_option(client: &mut Connection, option: &[u8]) -> Result<Vec<u8>> {
    client.send(command::SET_OPTION, option)?;
    let mut answer = client.stream().read_payload()?;
    match answer[..] {
        [0xfe, ..] if answer.len() == 5 => answer[1..3].fill(0),
        [0xfe, ..] => answer[5..7].fill(0),
        _ => {}
    }
    Ok(answer)
}

/// One core and one link: what is set on it must not reach the other client.
#[test]
fn several_statements_are_allowed_and_forbidden() -> TestResult {
    let one_link = |config: athena_perf::proxy::AthenaConfig| {
        config.set("runtime", "cpus", "\"0\"").set("pool", "max_connections", "1")
    };
    on_each_server_with("option_one", one_link, |stage| {
        let mut other = stage.connect()?;
        let mut client = stage.connect()?;
        for _ in 0..3 {
            assert!(!takes_two(&mut client)?);
            assert_eq!(set_option(&mut client, ON)?[0], 0xfe);
            assert!(takes_two(&mut client)?);
            assert!(!takes_two(&mut other)?);
            assert!(takes_two(&mut client)?);
            assert_eq!(set_option(&mut client, OFF)?[0], 0xfe);
        }
        assert!(!takes_two(&mut client)? && !takes_two(&mut other)?);
        Ok(())
    })
}

#[test]
fn a_link_that_is_bound_is_told() -> TestResult {
    on_each_server("option_bound", |stage| {
        let mut client = stage.connect()?;
        client.run("SET @kept = 7")?;
        set_option(&mut client, ON)?;
        assert!(takes_two(&mut client)?);
        assert_eq!(client.scalar("SELECT @kept")?, "7");
        set_option(&mut client, OFF)?;
        assert!(!takes_two(&mut client)?);
        assert_eq!(client.scalar("SELECT @kept")?, "7");
        // The link is reset and goes to others, who did not ask for it either.
        set_option(&mut client, ON)?;
        client.quit()?;
        let mut next = stage.connect()?;
        assert!(!takes_two(&mut next)?);
        assert_eq!(next.scalar("SELECT COALESCE(@kept, 'none')")?, "none");
        Ok(())
    })
}

/// What the statement before left is still there: the link that knows of it goes with the session.
#[test]
fn warnings_are_found_behind_an_option() -> TestResult {
    on_each_server("option_warnings", |stage| {
        let mut client = stage.connect()?;
        client.run("SELECT CAST('x' AS SIGNED)")?;
        set_option(&mut client, ON)?;
        assert_eq!(client.query("SHOW WARNINGS")?.rows()?.rows.len(), 1);
        Ok(())
    })
}

/// An EOF packet, or an OK that stands for one; the server answers in the same way.
#[test]
fn the_answer_is_in_the_clients_dialect() -> TestResult {
    on_each_server("option_dialect", |stage| {
        for login in [Login::app(), Login::app().without(capability::DEPRECATE_EOF)] {
            let mut direct = crate::direct(stage, &login)?;
            let mut client = stage.login(&login)?;
            // Without any link that knows the session, then with one.
            for option in [ON, OFF, ON, &[5, 0], OFF, ON] {
                let (found, expected) = (set_option(&mut client, option)?, set_option(&mut direct, option)?);
                assert_eq!(found, expected, "{option:?}");
                client.ping()?;
            }
            client.run("SELECT 1")?;
            assert_eq!(set_option(&mut client, ON)?, set_option(&mut direct, ON)?);
        }
        Ok(())
    })
}

/// COM_DEBUG and COM_REFRESH with an account that may, as root here: the same answers as the server's.
#[test]
fn commands_of_administrators_are_the_servers() -> TestResult {
    on_each_server_with(
        "option_admin",
        |config| config.account("root", ""),
        |stage| {
            for login in [Login::new("root", ""), Login::new("root", "").without(capability::DEPRECATE_EOF)] {
                let mut direct = crate::direct(stage, &login)?;
                let mut client = stage.login(&login)?;
                for (byte, arguments) in [(command::DEBUG, &b""[..]), (command::REFRESH, &[4])] {
                    client.send(byte, arguments)?;
                    direct.send(byte, arguments)?;
                    let (found, expected) =
                        (client.stream().read_payload()?, direct.stream().read_payload()?);
                    assert_eq!(found, expected, "{byte:#x}");
                }
                assert_eq!(client.scalar("SELECT 1")?, "1");
            }
            Ok(())
        },
    )
}

/// An application may not; and nobody shuts down through Athena the server of all.
#[test]
fn what_is_refused_is_refused_as_by_a_server() -> TestResult {
    on_each_server("option_refused", |stage| {
        let mut direct = crate::direct(stage, &Login::app())?;
        let mut client = stage.connect()?;
        for byte in [command::DEBUG, 0x00, 0x05, 0x06, 0x0b, 0x0f, 0x10, 0x13, 0x14, 0x1d] {
            let found = client.command(byte, b"x").expect_err("no such command").to_string();
            let expected = direct.command(byte, b"x").expect_err("no such command").to_string();
            assert_eq!(found, expected, "{byte:#x}");
        }
        let error = client.command(command::SHUTDOWN, &[0]).expect_err("others are served");
        assert_eq!(error.code(), Some(1235), "{error}");
        stage.server.sql("SELECT 1")?;
        Ok(())
    })
}

/// Whoever can't take several results gets none: the server says so.
#[test]
fn a_client_without_several_results() -> TestResult {
    on_each_server("option_results", |stage| {
        stage.server.sql("CREATE PROCEDURE test.rows_of() SELECT 1")?;
        let login = Login::app().without(capability::MULTI_RESULTS | capability::PS_MULTI_RESULTS);
        let mut with = stage.connect()?;
        with.send(command::QUERY, b"CALL rows_of()")?;
        assert_ne!(with.read_reply()?.status() & status::MORE_RESULTS, 0);
        with.read_reply()?.ok()?;
        let expected = crate::direct(stage, &login)?.query("CALL rows_of()").map_err(|error| error.code());
        let found = stage.login(&login)?.query("CALL rows_of()").map_err(|error| error.code());
        assert_eq!(found, expected);
        assert_eq!(found.err(), Some(Some(1312)));
        Ok(())
    })
}

/// What becomes of the option when the session starts anew is up to the server.
#[test]
fn an_option_and_a_new_start() -> TestResult {
    on_each_server("option_anew", |stage| {
        for login in [Login::app(), Login::app().with(capability::MULTI_STATEMENTS)] {
            for option in [ON, OFF] {
                let both = [stage.login(&login)?, crate::direct(stage, &login)?];
                let [found, expected] = both.map(|mut client| -> Result<(bool, bool)> {
                    set_option(&mut client, option)?;
                    client.command(command::RESET_CONNECTION, &[])?.ok()?;
                    let after_reset = takes_two(&mut client)?;
                    client.change_user(&login)?;
                    Ok((after_reset, takes_two(&mut client)?))
                });
                assert_eq!(found?, expected?, "{option:?}");
            }
        }
        Ok(())
    })
}
