//! TLS towards clients: what is offered, required, shown, and renewed.

use std::fs;
use std::thread;
use std::time::Duration;

use athena_perf::lab::APP_PASSWORD;
use athena_perf::process::Signal;
use rustls::version::{TLS12, TLS13};

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login, capability};
use crate::common::{TestResult, eventually, join};
use crate::tls::{Tls, greeted, request};
use crate::{LARGE, carry, stage, tls_client};

/// `ER_HANDSHAKE_ERROR`, `ER_ACCESS_DENIED_ERROR`, `ER_SECURE_TRANSPORT_REQUIRED`.
const HANDSHAKE_ERROR: u16 = 1043;
const ACCESS_DENIED: u16 = 1045;
const TLS_REQUIRED: u16 = 3159;

#[test]
fn both_kinds_of_clients_are_served() -> TestResult {
    let (stage, certificates) = stage("tls_optional", |config, _| config)?;
    let before = stage.settled_census();
    let client = tls_client(&stage, &certificates);
    for version in ["TLSv1.2", "TLSv1.3"] {
        let status = client.clone().argument(&format!("--tls-version={version}")).run("status")?;
        assert!(status.contains("Cipher in use is "), "{version}: {status}");
    }
    assert!(!stage.athena.client().argument("--skip-ssl").run("status")?.contains("Cipher in use"));
    carry(&client, LARGE)?;
    stage.assert_back_to(before);
    Ok(())
}

#[test]
fn nothing_is_offered_without_a_certificate() -> TestResult {
    let stage = Stage::start("tls_none")?;
    let (mut stream, greeting) = greeted(&stage)?;
    assert_eq!(greeting.capabilities & capability::SSL, 0);
    let login = Login::app();
    stream.write_payload(&request(&login, &greeting))?;
    let error = login.finish(&mut stream).expect_err("no TLS here");
    assert_eq!(error.code(), Some(HANDSHAKE_ERROR), "{error}");
    Ok(())
}

#[test]
fn clients_without_tls_are_refused_where_it_is_required() -> TestResult {
    let (stage, certificates) =
        stage("tls_required", |config, _| config.set("server.tls", "mode", "\"required\""))?;
    let tls = Tls::new(&certificates, &[&TLS13]);
    let mut said = Vec::new();
    for login in [Login::app(), Login::new("nobody", "x"), Login::new("app", "wrong")] {
        let error = stage.login(&login).expect_err("clear text");
        assert_eq!(error.code(), Some(TLS_REQUIRED), "{error}");
        said.push(error.to_string());
    }
    assert!(said.iter().all(|words| *words == said[0]), "{said:?}");
    assert!(said[0].contains("(HY000): Connections using insecure transport are prohibited"), "{said:?}");
    assert_eq!(tls.login(&stage, &Login::app())?.scalar("SELECT 7")?, "7");
    let error = tls.login(&stage, &Login::new("app", "wrong")).expect_err("a wrong password");
    assert_eq!(error.code(), Some(ACCESS_DENIED), "{error}");
    assert_eq!(tls_client(&stage, &certificates).run("SELECT 8")?, "8");
    Ok(())
}

#[test]
fn certificates_of_clients() -> TestResult {
    for (demand, served_without) in [("optional", true), ("required", false)] {
        let (stage, certificates) = stage(&format!("tls_client_{demand}"), |config, certificates| {
            let ca = format!("{:?}", certificates.certificate("ca"));
            config.set("server.tls", "client_ca", &ca).set(
                "server.tls",
                "client_certificates",
                &format!("{demand:?}"),
            )
        })?;
        let before = stage.settled_census();
        certificates.signed("other-ca", "stranger", "DNS:stranger")?;
        for versions in [[&TLS12], [&TLS13]] {
            let login = |identity: Option<&str>| {
                Tls::with_identity(&certificates, &versions, identity).login(&stage, &Login::app())
            };
            assert_eq!(login(Some("client"))?.scalar("SELECT 1")?, "1");
            assert_eq!(login(None).is_ok(), served_without, "{demand}, without a certificate");
            let error = login(Some("stranger")).expect_err("nobody trusts it");
            assert!(error.code().is_none(), "it fails below the protocol: {error}");
        }
        let plain = stage.login(&Login::app());
        assert_eq!(plain.err().and_then(|error| error.code()), (!served_without).then_some(TLS_REQUIRED));
        let client = tls_client(&stage, &certificates);
        let shown = client
            .argument(&format!("--ssl-cert={}", certificates.certificate("client").display()))
            .argument(&format!("--ssl-key={}", certificates.key("client").display()));
        assert_eq!(shown.run("SELECT 2")?, "2");
        stage.assert_back_to(before);
    }
    Ok(())
}

#[test]
fn certificates_are_renewed_without_a_restart() -> TestResult {
    let (stage, certificates) = stage("tls_reload", |config, _| config)?;
    let client = tls_client(&stage, &certificates);
    let tls = Tls::new(&certificates, &[&TLS13]);
    let mut old = tls.login(&stage, &Login::app())?;
    assert_eq!(old.scalar("SELECT 1")?, "1");
    // The same files, signed by another: those who trust the first authority do not take it.
    certificates.signed("other-ca", "server", "DNS:localhost,IP:127.0.0.1")?;
    assert_eq!(client.run("SELECT 2")?, "2", "the files are not looked at before the signal");
    stage.athena.signal(Signal::SIGHUP);
    eventually("the new certificate is shown", Duration::from_secs(5), || match client.run("SELECT 3") {
        Ok(_) => Err("the old one is".to_owned()),
        Err(error) if error.to_string().contains("ERROR 2026") => Ok(()),
        Err(error) => Err(error.to_string()),
    });
    let other = certificates.certificate("other-ca");
    let newly = || {
        let client = stage.athena.client().argument("--ssl").argument("--ssl-verify-server-cert");
        client.argument(&format!("--ssl-ca={}", other.display())).run("SELECT 4")
    };
    assert_eq!(newly()?, "4");
    assert_eq!(old.scalar("SELECT 5")?, "5", "connections that are there go on");
    // Half of a pair: what was there stays.
    fs::write(certificates.key("server"), "not a key")?;
    stage.athena.signal(Signal::SIGHUP);
    eventually("the log says so", Duration::from_secs(5), || {
        let log = stage.athena.log().map_err(|error| error.to_string())?;
        let told = log.contains("can't be reloaded") && log.contains("no private key in it");
        if told { Ok(()) } else { Err(log) }
    });
    assert_eq!(newly()?, "4");
    assert_eq!(old.scalar("SELECT 6")?, "6");
    Ok(())
}

#[test]
fn many_clients_at_once() -> TestResult {
    let (stage, certificates) = stage("tls_many", |config, _| config)?;
    let before = stage.settled_census();
    let (tls12, tls13) = (Tls::new(&certificates, &[&TLS12]), Tls::new(&certificates, &[&TLS13]));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..48)
            .map(|number| {
                let (stage, tls) = (&stage, if number % 2 == 0 { &tls12 } else { &tls13 });
                scope.spawn(move || -> TestResult {
                    let mut client: Connection = match number % 4 {
                        3 => stage.connect()?,
                        _ => tls.login(stage, &Login::app())?,
                    };
                    for round in 0..30 {
                        let sql = format!("SELECT '{number} {round}', REPEAT('{}', 5000)", number % 10);
                        let row = client.query(&sql)?.rows()?.rows[0].clone();
                        assert_eq!(row[0].to_string(), format!("{number} {round}"));
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(join)
    })?;
    stage.assert_back_to(before);
    Ok(())
}

/// With `caching_sha2_password` a client whose scramble is not known is asked for the password itself, which TLS hides.
#[test]
fn a_password_may_go_as_it_is_inside_tls() -> TestResult {
    let (stage, certificates) =
        stage("tls_sha2", |config, _| config.set("server", "auth_plugin", "\"caching_sha2_password\""))?;
    let tls = Tls::new(&certificates, &[&TLS13]);
    for (password, right) in [(APP_PASSWORD, true), ("wrong", false)] {
        let (stream, greeting) = greeted(&stage)?;
        let mut stream = tls.encrypt(stream, &greeting)?;
        let login = Login::app().with(capability::SSL);
        let mut payload = login.response(&greeting)[..32].to_vec();
        payload.extend_from_slice(b"app\0\x20");
        payload.extend_from_slice(&[7; 32]); // no scramble of any password
        payload.extend_from_slice(b"test\0caching_sha2_password\0");
        stream.write_payload(&payload)?;
        assert_eq!(stream.read_payload()?, [1, 4], "the password itself is asked for");
        stream.write_payload(format!("{password}\0").as_bytes())?;
        let end = login.finish(&mut stream);
        assert_eq!(end.err().and_then(|error| error.code()), (!right).then_some(ACCESS_DENIED));
    }
    Ok(())
}
