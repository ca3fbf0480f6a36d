//! Accounts that ask for TLS, and what a Unix socket counts as.

use athena_perf::lab::{Certificates, Lab, ServerOptions, SqlClient};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Greeting, Login, PacketStream, frame};

const USERS: &str = "[[users]]\nname = \"sealed\"\npassword = \"p\"\ntls = \"required\"\n\
     [[users]]\nname = \"shown\"\npassword = \"p\"\ntls = \"certificate\"\n\
     [[users]]\nname = \"local\"\npassword = \"p\"\nallowed_addresses = [\"localhost\"]\n\
     [[users]]\nname = \"far\"\npassword = \"p\"\nallowed_addresses = [\"192.0.2.0/24\"]\n";

#[test]
fn accounts_that_ask_for_tls_and_clients_by_a_socket() -> TestResult {
    let lab = Lab::new("encrypted")?;
    let certificates = Certificates::new(&lab.folder().join("certificates"))?;
    let server = lab.server(ServerOptions::default())?;
    let quoted = |path: std::path::PathBuf| format!("{:?}", path.display().to_string());
    let socket = std::env::temp_dir().join(format!("athena-encrypted-{}.sock", std::process::id()));
    let stage = Stage::start_on(lab, server, |config| {
        config
            .text(USERS)
            .set("server", "unix_socket", &quoted(socket.clone()))
            .set("server", "proxy_protocol", "[\"localhost\"]")
            .set("server.tls", "cert", &quoted(certificates.certificate("server")))
            .set("server.tls", "key", &quoted(certificates.key("server")))
            .set("server.tls", "client_ca", &quoted(certificates.certificate("ca")))
    })?;
    let by_tcp = |user: &str| stage.athena.client_of(user, "p");
    let option = |name: &str, file: std::path::PathBuf| format!("--ssl-{name}={}", file.display());
    let by_tls = |user: &str| by_tcp(user).argument("--ssl");
    let with_certificate = |user: &str| {
        by_tls(user)
            .argument(&option("cert", certificates.certificate("client")))
            .argument(&option("key", certificates.key("client")))
    };
    let by_socket = |user: &str| SqlClient::on_socket(&socket, user, "p").argument("--skip-ssl");
    let is_in = |client: SqlClient| -> TestResult {
        assert_eq!(client.run("SELECT 1")?, "1");
        Ok(())
    };
    let is_out = |client: SqlClient, user: &str| {
        let error = client.run("SELECT 1").expect_err("refused").to_string();
        assert!(error.contains("ERROR 1045") && error.contains(&format!("'{user}'@'")), "{error}");
    };
    is_in(by_tls("sealed"))?;
    is_in(with_certificate("sealed"))?;
    is_out(by_tcp("sealed").argument("--skip-ssl"), "sealed");
    is_out(by_socket("sealed"), "sealed");
    is_in(with_certificate("shown"))?;
    is_out(by_tls("shown"), "shown");
    is_out(by_socket("shown"), "shown");
    is_in(by_socket("local"))?;
    is_in(by_tcp("local").argument("--skip-ssl"))?;
    is_out(by_socket("far"), "far");

    // A proxy of the same host says by the socket where its client is.
    let behind_proxy = |header: &[u8], user: &str| -> TestResult<Connection> {
        let login = Login::new(user, "p");
        let mut stream = PacketStream::connect_unix(&socket)?;
        let greeting = Greeting::read(&mut stream)?;
        stream.write_raw(&[header, &frame(1, &login.response(&greeting))].concat())?;
        stream.expect_any_sequence();
        login.finish(&mut stream)?;
        Ok(Connection::after_login(stream, greeting, &login))
    };
    let far = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 3307\r\n";
    behind_proxy(far, "far")?.ping()?;
    let error = behind_proxy(far, "local").map(drop).expect_err("it is far").to_string();
    assert!(error.contains("'local'@'192.0.2.7'"), "{error}");
    behind_proxy(b"PROXY UNKNOWN\r\n", "local")?.ping()?;
    stage.athena.terminate();
    Ok(())
}
