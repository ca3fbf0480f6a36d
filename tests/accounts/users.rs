//! The `[[users]]` of the configuration.

use std::thread;

use athena_perf::lab::APP_USER;
use athena_perf::proxy::AthenaConfig;

use crate::common::stage::Stage;
use crate::common::wire::{Greeting, Login, PacketStream, Plugin, capability};
use crate::common::{TestResult, eventually, join};
use crate::{SECRET_NATIVE, create, current_user, on_both, refusal};

fn users(config: AthenaConfig) -> AthenaConfig {
    config.text(&format!(
        "[[users]]\nname = \"plain\"\npassword = \"p\"\n\
         [[users]]\nname = \"hashed\"\npassword_hash = \"{SECRET_NATIVE}\"\ndefault_database = \"test\"\n\
         [[users]]\nname = \"none\"\npassword = \"\"\n\
         [[users]]\nname = \"few\"\npassword = \"p\"\nmax_connections = 2\n\
         [[users]]\nname = \"far\"\npassword = \"p\"\nallowed_addresses = [\"10.0.0.0/8\", \"192.0.2.1\"]\n\
         [[users]]\nname = \"near\"\npassword = \"p\"\nallowed_addresses = [\"localhost\"]\n\
         [[users]]\nname = \"sealed\"\npassword = \"p\"\ntls = \"required\"\n\
         [[users]]\nname = \"one\"\npassword = \"p\"\nbackend_user = \"one_there\"\nbackend_password = \"1\"\n\
         [[users]]\nname = \"two\"\npassword = \"p\"\nbackend_user = \"two_there\"\nbackend_password = \"2\"\n\
         [[users]]\nname = \"lost\"\npassword = \"p\"\nbackend_user = \"nobody_there\"\nbackend_password = \"\"\n"
    ))
}

#[test]
fn each_account_has_its_own_way_in() -> TestResult {
    on_both("users", users, |stage| {
        for (user, password) in [("plain", "p"), ("hashed", "secret"), ("none", ""), ("near", "p")] {
            let mut client = stage.login(&Login::new(user, password))?;
            assert_eq!(current_user(&mut client)?, format!("{APP_USER}@%"), "{user}");
            let database = client.scalar("SELECT IFNULL(DATABASE(), '-')")?;
            assert_eq!(database, if user == "hashed" { "test" } else { "-" });
        }
        let wrong =
            [("plain", "P"), ("plain", ""), ("hashed", "Secret"), ("hashed", SECRET_NATIVE), ("none", "x")];
        let locked_out = [("far", "p"), ("sealed", "p"), ("nobody", "p"), (APP_USER, "app")];
        for (user, password) in wrong.into_iter().chain(locked_out) {
            let error = refusal(stage, &Login::new(user, password))?.to_string();
            let using = if password.is_empty() { "NO" } else { "YES" };
            let words = format!("Access denied for user '{user}'@'127.0.0.1' (using password: {using})");
            assert_eq!(error, format!("ERROR 1045 (28000): {words}"));
        }
        stage.login(&Login::new("plain", "p")).map(drop)?;
        Ok(())
    })
}

#[test]
fn an_account_has_no_more_clients_than_it_may() -> TestResult {
    on_both("users_limit", users, |stage| {
        let few = Login::new("few", "p");
        let first = stage.login(&few)?;
        let second = stage.login(&few)?;
        let error = refusal(stage, &few)?;
        assert_eq!(
            error.to_string(),
            "ERROR 1226 (42000): User 'few' has exceeded the 'max_user_connections' resource (current value: 2)"
        );
        let mut other = stage.login(&Login::new("plain", "p"))?;
        assert_eq!(other.change_user(&few).map_err(|error| error.code()), Err(Some(1226)));
        first.quit()?;
        let third = eventually("a place is free", crate::common::PATIENCE, || {
            stage.login(&few).map_err(|error| error.to_string())
        });
        assert_eq!(refusal(stage, &few)?.code(), Some(1226));
        drop((second, third));
        Ok(())
    })
}

/// Two accounts, two connections to the server at most, many clients: nobody ever runs as the other.
#[test]
fn links_are_of_the_account_of_their_client() -> TestResult {
    let configure = |config| {
        users(config).set("pool", "max_connections", "2").set("runtime", "cpus", "\"0\"").set(
            "pool",
            "checkout_timeout_ms",
            "30000",
        )
    };
    on_both("users_links", configure, |stage| {
        create(stage, "one_there", "1")?;
        create(stage, "two_there", "2")?;
        thread::scope(|scope| {
            let client = |user: &'static str, at: usize| {
                move || -> TestResult {
                    let mut client = stage.login(&Login::new(user, "p"))?;
                    for round in 0..30 {
                        assert_eq!(current_user(&mut client)?, format!("{user}_there@%"));
                        if (round + at).is_multiple_of(7) {
                            client.run("BEGIN")?;
                            assert_eq!(current_user(&mut client)?, format!("{user}_there@%"));
                            client.run("COMMIT")?;
                        }
                    }
                    Ok(())
                }
            };
            let threads: Vec<_> = (0..6)
                .flat_map(|at| [client("one", at), client("two", at)])
                .map(|work| scope.spawn(work))
                .collect();
            threads.into_iter().try_for_each(join)
        })?;
        let error = stage.login(&Login::new("lost", "p"))?.query("SELECT 1").map(drop);
        assert_eq!(error.map_err(|error| error.code()), Err(Some(1045)), "the server's own words");
        let mut one = stage.login(&Login::new("one", "p"))?;
        assert_eq!(current_user(&mut one)?, "one_there@%", "others are served on");
        Ok(())
    })
}

/// Hashes of `caching_sha2_password` are what a real server prints; the first login has to send the password itself.
#[test]
fn an_account_with_a_hash_of_caching_sha2_password() -> TestResult {
    let lab = athena_perf::lab::Lab::new("users_sha2")?;
    let Some(server) = lab.mysql_server(athena_perf::lab::ServerOptions::default())? else {
        eprintln!("skipped: there is no MySQL");
        return Ok(());
    };
    let mut text = String::new();
    for (user, password) in
        [("brief", "s"), ("lengthy", "a password of more than thirty-two bytes, even of more than 64")]
    {
        let sql = format!(
            "CREATE USER {user} IDENTIFIED WITH caching_sha2_password BY '{password}'; SET SESSION \
             print_identified_with_as_hex = ON; SELECT CONCAT('0x', HEX(authentication_string)) FROM mysql.user WHERE user \
             = '{user}'"
        );
        let hash = server.sql(&sql)?;
        text += &format!("[[users]]\nname = \"{user}\"\npassword_hash = \"{hash}\"\n");
    }
    text += &format!("[[users]]\nname = \"native\"\npassword_hash = \"{SECRET_NATIVE}\"\n");
    let stage = Stage::start_on(lab, server, |config| {
        config
            .text(&text)
            .set("server", "auth_plugin", "\"caching_sha2_password\"")
            .set("runtime", "cpus", "\"0\"")
    })?;
    let long = "a password of more than thirty-two bytes, even of more than 64";
    for (user, password) in [("brief", "s"), ("lengthy", long)] {
        let fast = Login::new(user, password).by(Plugin::CachingSha2);
        let wants = refusal(&stage, &fast)?.to_string();
        assert!(wants.contains("wants the password itself"), "{wants}");
        stage.login(&Login::new(user, password).by(Plugin::CachingSha2Rsa))?.ping()?;
        let client = stage.athena.client_of(user, "wrong");
        assert!(client.run("SELECT 1").is_err());
        assert_eq!(stage.athena.client_of(user, password).run("SELECT 1")?, "1");
        stage.login(&fast)?.ping()?;
        let wrong = Login::new(user, "wrong").by(Plugin::CachingSha2);
        assert!(refusal(&stage, &wrong)?.to_string().contains("wants the password itself"));
    }
    assert_eq!(stage.athena.client_of("native", "secret").run("SELECT 1")?, "1");
    assert!(stage.athena.client_of("native", "wrong").run("SELECT 1").is_err());
    Ok(())
}

/// What a stranger sees of an account that is there is what it sees of one that is not.
#[test]
fn unknown_users_look_like_others() -> TestResult {
    on_both(
        "users_unknown",
        |config| users(config).set("server", "auth_plugin", "\"caching_sha2_password\""),
        |stage| {
            for user in ["plain", "hashed", "far", "sealed", "nobody", "somebody"] {
                let login = Login::new(user, "wrong").by(Plugin::CachingSha2);
                let wants = refusal(stage, &login)?.to_string();
                assert!(wants.contains("wants the password itself"), "{user}: {wants}");
                let error = stage.athena.client_of(user, "wrong").run("SELECT 1").map(drop);
                let error = error.expect_err("refused").to_string();
                assert!(error.contains(&format!("Access denied for user '{user}'@'127.0.0.1'")), "{error}");
            }
            Ok(())
        },
    )
}

/// The same packet by packet, by whatever the client begins with and whatever is offered.
#[test]
fn strangers_get_the_packets_that_others_get() -> TestResult {
    for offered in ["mysql_native_password", "caching_sha2_password"] {
        let name = format!("users_packets_{offered}");
        let quoted = format!("{offered:?}");
        let stage = Stage::start_with(&name, |config| users(config).set("server", "auth_plugin", &quoted))?;
        for plugin in [Plugin::Native, Plugin::CachingSha2] {
            for (password, flags) in [("wrong", 0), ("", 0), ("wrong", capability::PLUGIN_AUTH)] {
                let seen = |user: &str| -> TestResult<Vec<Vec<u8>>> {
                    let login = Login::new(user, password).by(plugin).without(flags);
                    let packets = everything_said(&stage, &login)?;
                    let name = user.as_bytes();
                    let neutral =
                        |packet: Vec<u8>| match packet.windows(name.len()).position(|part| part == name) {
                            Some(at) => [&packet[..at], b"?", &packet[at + name.len()..]].concat(),
                            None => packet,
                        };
                    Ok(packets.into_iter().map(neutral).collect())
                };
                // Passwords that are known and hashes of the native plugin look alike.
                let known = seen("plain")?;
                for user in
                    ["hashed", "far", "sealed", "nobody", "somebody", "a'b", "\u{fc}", &"n".repeat(4000)]
                {
                    assert_eq!(seen(user)?, known, "{offered} {plugin:?} {password:?} {flags} {user}");
                }
            }
        }
    }
    Ok(())
}

/// All packets of the server in a login that fails, but for salts and keys.
fn everything_said(stage: &Stage, login: &Login) -> TestResult<Vec<Vec<u8>>> {
    let mut stream = PacketStream::connect(stage.athena.port())?;
    let greeting = Greeting::read(&mut stream)?;
    stream.write_payload(&login.response(&greeting))?;
    let mut said = Vec::new();
    loop {
        let packet = stream.read_payload()?;
        let first = packet.first().copied();
        said.push(if first == Some(0xfe) { packet[..packet.len() - 21].to_vec() } else { packet });
        match first {
            Some(0xff) => return Ok(said),
            Some(0xfe) => stream.write_payload(&[7; 20])?,
            Some(1) => stream.write_payload(b"wrong\0")?,
            other => return Err(format!("{other:?} in a login that must fail").into()),
        }
    }
}
