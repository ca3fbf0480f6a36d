//! TLS towards servers: how much they have to prove, and what they see.

use std::thread;
use std::time::Duration;

use athena_perf::lab::{Certificates, Flavor, Lab, ServerOptions};
use athena_perf::proxy::AthenaConfig;

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::{LARGE, carry, cipher, tls_server};

/// A stage whose links have TLS in `mode`, to a server with the certificate `name`.
fn linked(name: &str, certificate: &str, mode: &str) -> TestResult<(Stage, Certificates)> {
    let (lab, certificates) = lab(name)?;
    let server = tls_server(&lab, &certificates, certificate)?;
    let ca = format!("{:?}", certificates.certificate("ca"));
    let stage = Stage::start_on(lab, server, |config| {
        let config = config.set("backend", "tls", &format!("{mode:?}")).set("backend", "ca", &ca);
        config.set("pool", "max_connections", "8").set("runtime", "cpus", "\"0\"")
    })?;
    Ok((stage, certificates))
}

fn lab(name: &str) -> TestResult<(Lab, Certificates)> {
    let lab = Lab::new(name)?;
    let certificates = Certificates::new(&lab.folder().join("certificates"))?;
    certificates.signed("ca", "elsewhere", "DNS:elsewhere.example")?;
    certificates.signed("other-ca", "stranger", "DNS:localhost,IP:127.0.0.1")?;
    Ok((lab, certificates))
}

/// The error that a client gets whose link can't be opened.
fn refusal(stage: &Stage) -> String {
    stage.connect().expect_err("no link").to_string()
}

#[test]
fn a_server_that_proves_everything() -> TestResult {
    for mode in ["preferred", "required", "verify_ca", "verify_identity"] {
        let (stage, _) = linked(&format!("link_{mode}"), "server", mode)?;
        let cipher = cipher(&stage.athena.client())?;
        assert!(cipher.starts_with("TLS_"), "{mode}: '{cipher}'");
    }
    let (stage, _) = linked("link_disabled", "server", "disabled")?;
    assert_eq!(cipher(&stage.athena.client())?, "");
    Ok(())
}

#[test]
fn a_server_without_tls() -> TestResult {
    for (mode, served) in [("preferred", true), ("required", false)] {
        let stage = Stage::start_with(&format!("link_without_{mode}"), |config| {
            config.set("backend", "tls", &format!("{mode:?}"))
        })?;
        if served {
            assert_eq!(cipher(&stage.athena.client())?, "");
        } else {
            let error = refusal(&stage);
            assert!(error.contains("ERROR 3168") && error.contains("the server offers no TLS"), "{error}");
        }
    }
    Ok(())
}

#[test]
fn certificates_that_prove_too_little() -> TestResult {
    let cases = [
        ("stranger", "required", None),
        ("stranger", "verify_ca", Some("UnknownIssuer")),
        ("stranger", "verify_identity", Some("UnknownIssuer")),
        ("elsewhere", "verify_ca", None),
        ("elsewhere", "verify_identity", Some("not valid for")),
    ];
    for (certificate, mode, expected) in cases {
        let (stage, _) = linked(&format!("link_{certificate}_{mode}"), certificate, mode)?;
        match expected {
            None => assert!(!cipher(&stage.athena.client())?.is_empty(), "{certificate}, {mode}"),
            Some(reason) => {
                let error = refusal(&stage);
                assert!(error.contains("ERROR 3168"), "{error}");
                assert!(error.contains(reason) && error.contains("[backend] tls"), "{error}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_server_that_asks_for_a_certificate() -> TestResult {
    let (lab, certificates) = lab("link_certificate")?;
    let server = tls_server(&lab, &certificates, "server")?;
    server.sql("ALTER USER app REQUIRE X509")?;
    let ca = format!("{:?}", certificates.certificate("ca"));
    let config =
        |config: AthenaConfig| config.set("backend", "tls", "\"verify_identity\"").set("backend", "ca", &ca);
    let stage = Stage::start_on(lab, server, |base| {
        config(base).set("backend", "cert", &format!("{:?}", certificates.certificate("client"))).set(
            "backend",
            "key",
            &format!("{:?}", certificates.key("client")),
        )
    })?;
    assert!(!cipher(&stage.athena.client())?.is_empty());
    let Stage { athena, server, lab } = stage;
    drop(athena);
    let stage = Stage::start_on(lab, server, config)?;
    assert!(refusal(&stage).contains("1045"), "the account asks for a certificate");
    Ok(())
}

#[test]
fn idle_links_are_used_again() -> TestResult {
    let (stage, _) = linked("link_idle", "server", "verify_ca")?;
    let opened = || stage.athena.metric("athena_links_opened_total", &[]);
    let client = stage.athena.client();
    client.run("SELECT 1")?;
    let first = opened()?;
    // After a large result no receive is armed, so the pool looks by itself.
    for sql in ["SELECT 2", "SELECT 3", "SELECT REPEAT('x', 3000000)", "SELECT 4"] {
        // The pool looks its idle links over once a second.
        thread::sleep(Duration::from_millis(1200));
        client.run(sql)?;
        assert_eq!(opened()?, first, "before {sql} the link was taken for dead");
    }
    Ok(())
}

#[test]
fn a_server_that_goes_is_noticed() -> TestResult {
    let (stage, _) = linked("link_gone", "server", "required")?;
    stage.assert_serves()?;
    stage.server.stop()?;
    assert!(refusal(&stage).contains("ERROR"), "nobody is there");
    stage.server.start()?;
    crate::common::eventually("served again", Duration::from_secs(10), || {
        stage.assert_serves().map_err(|error| error.to_string())
    });
    Ok(())
}

#[test]
fn much_through_encrypted_links() -> TestResult {
    let (stage, _) = linked("link_much", "server", "verify_identity")?;
    let before = stage.settled_census();
    carry(&stage.athena.client(), LARGE)?;
    stage.assert_back_to(before);
    Ok(())
}

/// MySQL makes its own certificates, and its accounts want the password itself at the first login.
#[test]
fn a_real_mysql() -> TestResult {
    let lab = Lab::new("link_mysql")?;
    let Some(server) = lab.mysql_server(ServerOptions::default())? else {
        eprintln!("skipped: no MySQL here, see docs/LAB.md");
        return Ok(());
    };
    assert_eq!(server.flavor(), Flavor::MySql);
    let ca = server.data_folder().join("ca.pem");
    let stage = Stage::start_on(lab, server, |config| {
        config.set("backend", "tls", "\"verify_ca\"").set("backend", "ca", &format!("{ca:?}"))
    })?;
    assert!(cipher(&stage.athena.client())?.starts_with("TLS_"));
    Ok(())
}
