//! Who may end and see whom, by the rights that the backend accounts have on the server.

use athena_perf::lab::{APP_PASSWORD, APP_USER};
use athena_perf::proxy::AthenaConfig;

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login, Plugin, command};
use crate::{FIRST_ID, KILL_DENIED, NO_SUCH_THREAD, configure, id_of, is_mariadb, on_each_server_with};

fn listed(client: &mut Connection, id: u32) -> TestResult<bool> {
    let list = client.query("SHOW PROCESSLIST")?.rows()?;
    Ok(list.rows.iter().any(|row| row[0].to_string() == id.to_string()))
}

/// The application has PROCESS, but neither has CONNECTION ADMIN until it is granted.
#[test]
fn sessions_of_other_accounts_need_the_servers_privileges() -> TestResult {
    let users = format!(
        "[[users]]\nname = \"{APP_USER}\"\npassword = \"{APP_PASSWORD}\"\n\n[[users]]\nname = \"bob\"\n\
         password = \"bob\"\nbackend_user = \"bob\"\nbackend_password = \"bob\"\n"
    );
    let stage = Stage::start_with("kill_rights", |config| configure(config).text(&users))?;
    stage.server.sql("CREATE USER bob@'%' IDENTIFIED BY 'bob'; GRANT ALL ON test.* TO bob@'%'")?;
    let (mut app, mut bob) = (stage.connect()?, stage.login(&Login::new("bob", "bob").database("test"))?);
    let (app_id, bob_id) = (id_of(&app), id_of(&bob));
    for (killer, id) in [(&mut app, bob_id), (&mut bob, app_id)] {
        for sql in [format!("KILL {id}"), format!("KILL QUERY {id}")] {
            assert_eq!(killer.run(&sql).err().and_then(|error| error.code()), Some(KILL_DENIED), "{sql}");
        }
    }
    assert!(listed(&mut app, bob_id)? && listed(&mut app, app_id)?, "with PROCESS");
    assert!(listed(&mut bob, bob_id)? && !listed(&mut bob, app_id)?, "without PROCESS");
    stage.server.sql("GRANT CONNECTION ADMIN ON *.* TO bob@'%'")?;
    bob.run(&format!("KILL {app_id}"))?;
    assert!(app.scalar("SELECT 1").is_err());
    Ok(())
}

/// Ann and Bob share an account of the server; that of the others may do more.
fn accounts(config: AthenaConfig) -> AthenaConfig {
    configure(config)
        .set("runtime", "cpus", "\"0\"")
        .text(
            "[[users]]\nname = \"ann\"\npassword = \"p\"\nbackend_user = \"plain\"\nbackend_password = \"s\"\n\
             [[users]]\nname = \"bob\"\npassword = \"p\"\nbackend_user = \"plain\"\nbackend_password = \"s\"\n\
             [[users]]\nname = \"boss\"\npassword = \"p\"\nbackend_user = \"the@boss\"\nbackend_password = \"b\"\n",
        )
}

/// The sessions that a client is shown.
fn seen_by(client: &mut Connection) -> TestResult<Vec<String>> {
    let list = client.query("SHOW PROCESSLIST")?.rows()?;
    Ok(list.rows.iter().map(|row| row[0].to_string()).collect())
}

#[test]
fn accounts_are_apart_though_they_share_an_account_of_the_server() -> TestResult {
    on_each_server_with("kill_shared", accounts, |stage| {
        stage.server.sql("CREATE USER plain@'%' IDENTIFIED BY 's'; GRANT ALL ON test.* TO plain@'%'")?;
        let login = |name| stage.login(&Login::new(name, "p"));
        let (mut ann, mut bob) = (login("ann")?, login("bob")?);
        let (anns, bobs) = (id_of(&ann).to_string(), id_of(&bob).to_string());
        let right = if is_mariadb(&ann) { "SUPER" } else { "CONNECTION_ADMIN" };
        stage.server.sql(&format!(
            "CREATE USER `the@boss`@'%' IDENTIFIED BY 'b'; GRANT {right}, PROCESS ON *.* TO `the@boss`@'%'"
        ))?;
        assert_eq!(seen_by(&mut ann)?, [anns.as_str()]);
        for scope in ["QUERY", "CONNECTION"] {
            let denied = ann.run(&format!("KILL {scope} {bobs}")).expect_err("not hers");
            assert_eq!(denied.code(), Some(KILL_DENIED), "{denied}");
        }
        let denied = ann.command(command::PROCESS_KILL, &id_of(&bob).to_le_bytes()).expect_err("not hers");
        assert_eq!(denied.code(), Some(KILL_DENIED), "{denied}");
        let mut again = login("ann")?;
        ann.run(&format!("KILL {}", id_of(&again)))?;
        again.run("DO 1").expect_err("it was killed");
        let mut boss = login("boss")?;
        let all = seen_by(&mut boss)?;
        assert!(all.contains(&anns) && all.contains(&bobs), "{all:?}");
        boss.run(&format!("KILL QUERY {anns}"))?;
        boss.run(&format!("KILL {bobs}"))?;
        bob.run("DO 1").expect_err("it was killed");
        assert_eq!(ann.scalar("SELECT 'here'")?, "here");
        Ok(())
    })
}

/// What is killed is the connection of a client of the server itself, which stands for its events and its replicas.
#[test]
fn ids_of_the_server_are_for_those_who_may_end_anything() -> TestResult {
    on_each_server_with("kill_servers", accounts, |stage| {
        stage.server.sql("CREATE USER plain@'%' IDENTIFIED BY 's'; GRANT ALL ON test.* TO plain@'%'")?;
        let login = |name| stage.login(&Login::new(name, "p"));
        let direct =
            || Connection::login(stage.server.port(), &Login::new("plain", "s").by(Plugin::CachingSha2Rsa));
        let (mut ann, mut here) = (login("ann")?, direct()?);
        assert!(id_of(&ann) >= FIRST_ID && id_of(&here) < FIRST_ID);
        let right = if is_mariadb(&ann) { "SUPER" } else { "CONNECTION_ADMIN" };
        stage.server.sql(&format!(
            "CREATE USER `the@boss`@'%' IDENTIFIED BY 'b'; GRANT {right}, PROCESS ON *.* TO `the@boss`@'%'"
        ))?;
        let id = id_of(&here);
        for sql in [format!("KILL {id}"), format!("KILL QUERY {id}")] {
            let unknown = ann.run(&sql).expect_err("she may share its account with others");
            assert_eq!(unknown.code(), Some(NO_SUCH_THREAD), "{sql}: {unknown}");
        }
        here.run("DO 1")?;
        let mut boss = login("boss")?;
        boss.run(&format!("KILL QUERY {id}"))?;
        boss.run(&format!("KILL CONNECTION {id}"))?;
        here.run("DO 1").expect_err("it was killed");
        let mut again = direct()?;
        boss.command(command::PROCESS_KILL, &id_of(&again).to_le_bytes())?;
        again.run("DO 1").expect_err("it was killed");
        let unknown = boss.run("KILL 999999").expect_err("the server has no such");
        assert_eq!(unknown.code(), Some(NO_SUCH_THREAD), "{unknown}");
        assert_eq!(boss.scalar("SELECT 'here'")?, "here");
        Ok(())
    })
}

/// A login that serves both families: the password itself is sent where it is asked for.
fn by_either(name: &str) -> Login {
    Login::new(name, "p").by(Plugin::CachingSha2Rsa)
}

#[test]
fn accounts_of_the_server_end_by_its_ids_what_is_theirs() -> TestResult {
    let config = |config| {
        let caching = "\"caching_sha2_password\"";
        configure(config).set("auth", "source", "\"backend\"").set("server", "auth_plugin", caching)
    };
    on_each_server_with("kill_backend", config, |stage| {
        let mariadb = stage.server.sql("SELECT VERSION()")?.contains("MariaDB");
        let table = if mariadb { "mysql.global_priv" } else { "mysql.user" };
        stage.server.sql(&format!("GRANT SELECT ON {table} TO {APP_USER}@'%'"))?;
        stage.server.sql("CREATE USER ann@'%' IDENTIFIED BY 'p'; CREATE USER bob@'%' IDENTIFIED BY 'p'")?;
        let direct = |name| Connection::login(stage.server.port(), &by_either(name));
        let (mut ann, mut anns, mut bobs) = (stage.login(&by_either("ann"))?, direct("ann")?, direct("bob")?);
        let denied = ann.run(&format!("KILL {}", id_of(&bobs))).expect_err("not hers");
        assert_eq!(denied.code(), Some(KILL_DENIED), "{denied}");
        bobs.run("DO 1")?;
        ann.run(&format!("KILL {}", id_of(&anns)))?;
        anns.run("DO 1").expect_err("it was killed");
        let mut another = direct("ann")?;
        ann.run(&format!("KILL {} + 1", id_of(&another) - 1))?;
        another.run("DO 1").expect_err("it was killed");
        Ok(())
    })
}
