//! What lies below the protocol: TLS, compression and Unix sockets, towards clients and towards servers.

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod compression;
mod handshake;
mod links;
mod tls;
mod unix;

use athena_perf::lab::{APP_PASSWORD, APP_USER, Certificates, Lab, Server, ServerOptions, SqlClient};
use athena_perf::proxy::AthenaConfig;

use common::TestResult;
use common::stage::Stage;

/// Larger than any buffer on the way.
const LARGE: usize = 64 << 20;
/// Larger than one packet, for what takes long in a build for tests.
const OVER_A_PACKET: usize = 17 << 20;

/// A stage that offers TLS to clients, and the certificates that it was made with.
fn stage(
    name: &str,
    configure: impl FnOnce(AthenaConfig, &Certificates) -> AthenaConfig,
) -> TestResult<(Stage, Certificates)> {
    let lab = Lab::new(name)?;
    let certificates = Certificates::new(&lab.folder().join("certificates"))?;
    let server = lab.server(ServerOptions::default())?;
    let stage = Stage::start_on(lab, server, |config| {
        configure(offering(config, &certificates, "server"), &certificates)
    })?;
    Ok((stage, certificates))
}

/// `[server.tls]` with the certificate `name`.
fn offering(config: AthenaConfig, certificates: &Certificates, name: &str) -> AthenaConfig {
    config.set("server.tls", "cert", &format!("{:?}", certificates.certificate(name))).set(
        "server.tls",
        "key",
        &format!("{:?}", certificates.key(name)),
    )
}

/// The `mariadb` client with TLS, which checks the certificate and the name of whom it speaks to.
fn tls_client(stage: &Stage, certificates: &Certificates) -> SqlClient {
    let ca = certificates.certificate("ca");
    stage
        .athena
        .client()
        .argument("--ssl")
        .argument("--ssl-verify-server-cert")
        .argument(&format!("--ssl-ca={}", ca.display()))
}

/// Sends `length` bytes, and gets as many.
fn carry(client: &SqlClient, length: usize) -> TestResult {
    let answer = client.run(&format!("SELECT MD5(REPEAT('x', {length})), REPEAT('x', {length})"))?;
    let (_, text) = answer.split_once('\t').expect("two columns");
    assert!(text.len() == length && text.bytes().all(|byte| byte == b'x'), "{} bytes", text.len());
    let digest = client.run(&format!("SELECT MD5('{}')", "x".repeat(length)))?;
    assert!(answer.starts_with(&digest), "{digest}");
    let rows = client.run("SELECT seq, REPEAT('y', 100) FROM test.seq_1_to_300000")?;
    assert_eq!(rows.lines().count(), 300_000);
    let last = format!("300000\t{}", "y".repeat(100));
    assert_eq!(rows.lines().last(), Some(last.as_str()));
    Ok(())
}

/// The account of the lab at `server`, by its socket.
fn app_on_socket(path: &std::path::Path) -> SqlClient {
    SqlClient::on_socket(path, APP_USER, APP_PASSWORD)
}

/// The cipher that the server sees on the link of this statement; nothing without TLS.
fn cipher(client: &SqlClient) -> TestResult<String> {
    let shown = client.run("SHOW SESSION STATUS LIKE 'Ssl_cipher'")?;
    Ok(shown.split_once('\t').map_or("", |(_, cipher)| cipher).to_owned())
}

/// A server of `lab` that offers TLS with the certificate `name`.
fn tls_server(lab: &Lab, certificates: &Certificates, name: &str) -> TestResult<Server> {
    let options = ServerOptions::default()
        .argument(format!("--ssl-cert={}", certificates.certificate(name).display()))
        .argument(format!("--ssl-key={}", certificates.key(name).display()))
        .argument(format!("--ssl-ca={}", certificates.certificate("ca").display()));
    Ok(lab.server(options)?)
}
