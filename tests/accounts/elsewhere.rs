//! Accounts of the server whose passwords are checked elsewhere, so that only the server can tell.

use athena_perf::lab::{Certificates, Lab, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig};

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login, Plugin};
use crate::common::{PATIENCE, TestResult, eventually};
use crate::tls::Tls;
use crate::{current_user, refusal};

fn quoted(path: &std::path::Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// The server's example of a plugin that wants the password in clear text stands for PAM and LDAP.
#[test]
fn the_server_has_the_last_word() -> TestResult {
    let lab = Lab::new("elsewhere")?;
    let Some(plugins) = lab.mariadb_plugins() else {
        eprintln!("skipped: the plugin is missing (make mysql-test)");
        return Ok(());
    };
    let certificates = Certificates::new(&lab.folder().join("certificates"))?;
    let (cert, key) = (certificates.certificate("server"), certificates.key("server"));
    let server = lab.server(
        ServerOptions::default()
            .argument(format!("--plugin-dir={}", plugins.display()))
            .argument("--plugin-maturity=unknown")
            .argument("--plugin-load-add=auth_test_plugin")
            .argument(format!("--ssl-cert={}", cert.display()))
            .argument(format!("--ssl-key={}", key.display())),
    )?;
    server.sql("CREATE USER reader IDENTIFIED BY 'r'; GRANT SELECT ON mysql.global_priv TO reader")?;
    server.sql("CREATE USER ext IDENTIFIED VIA cleartext_plugin_server USING 'first'")?;
    server.sql("CREATE USER peer IDENTIFIED VIA unix_socket")?;
    let port = server.port();
    let config = |tls: &str| {
        AthenaConfig::new(port)
            .account("reader", "r")
            .set("auth", "source", "\"backend\"")
            .set("auth", "refresh_min_interval_ms", "200")
            .set("backend", "tls", &format!("{tls:?}"))
            .set("server.tls", "cert", &quoted(&cert))
            .set("server.tls", "key", &quoted(&key))
    };
    let mut stage = Stage::start_on(lab, server, |_| config("required"))?;
    let tls = Tls::new(&certificates, rustls::ALL_VERSIONS);
    let refused =
        |stage: &Stage, login: &Login| tls.login(stage, login).map(drop).map_err(|error| error.code());
    for plugin in [Plugin::Native, Plugin::ClearText, Plugin::CachingSha2Clear] {
        let login = Login::new("ext", "first").by(plugin);
        for _ in 0..2 {
            let mut client: Connection = tls.login(&stage, &login)?;
            assert_eq!(current_user(&mut client)?, "ext@%");
        }
        for password in ["First", ""] {
            let wrong = Login { password: password.to_owned(), ..login.clone() };
            assert_eq!(refused(&stage, &wrong), Err(Some(1045)), "{plugin:?} {password:?}");
        }
    }
    let by_program = stage.athena.client_of("ext", "first").argument("--ssl");
    assert_eq!(by_program.run("SELECT CURRENT_USER()")?, "ext@%");

    let log = stage.athena.log()?;
    assert!(!log.contains("have to come by TLS"), "{log}");
    for plugin in [Plugin::Native, Plugin::ClearText, Plugin::CachingSha2Rsa] {
        assert_eq!(refusal(&stage, &Login::new("ext", "first").by(plugin))?.code(), Some(1045));
    }
    eventually("the log says why", PATIENCE, || match stage.athena.log() {
        Ok(log) if log.contains("have to come by TLS") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(refused(&stage, &Login::new("peer", "x").by(Plugin::ClearText)), Err(Some(1045)));

    stage.server.sql("ALTER USER ext IDENTIFIED VIA cleartext_plugin_server USING 'second'")?;
    let old = Login::new("ext", "first").by(Plugin::ClearText);
    assert_eq!(refused(&stage, &old), Err(Some(1045)), "nothing is remembered");
    tls.login(&stage, &Login::new("ext", "second").by(Plugin::ClearText))?.ping()?;

    // Links that were opened while the account had more rights serve nobody who logs in now.
    let second = Login::new("ext", "second").by(Plugin::ClearText);
    stage.server.sql("GRANT ALL ON *.* TO ext")?;
    std::thread::sleep(std::time::Duration::from_millis(400));
    for _ in 0..4 {
        tls.login(&stage, &second)?.run("CREATE DATABASE IF NOT EXISTS of_ext")?;
    }
    stage.server.sql("REVOKE ALL ON *.* FROM ext")?;
    std::thread::sleep(std::time::Duration::from_millis(400));
    for _ in 0..4 {
        let made = tls.login(&stage, &second)?.run("CREATE DATABASE IF NOT EXISTS of_ext").map(drop);
        assert_eq!(made.map_err(|error| error.code()), Err(Some(1044)));
    }

    stage.athena.terminate();
    let binary = env!("CARGO_BIN_EXE_athena").as_ref();
    stage.athena = Athena::start(binary, stage.lab.folder(), &config("disabled"))?;
    let error = tls.login(&stage, &Login::new("ext", "second").by(Plugin::ClearText)).map(drop);
    let error = error.expect_err("the link could be read").to_string();
    assert!(error.contains("clear text"), "{error}");
    Ok(())
}
