//! The PROXY protocol, from proxies in front and towards the server.

use athena_perf::lab::{Lab, ServerOptions};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Greeting, Login, PacketStream, frame};
use crate::current_user;

/// A client whose connection begins with `header`, after the greeting.
fn behind_proxy(stage: &Stage, header: &[u8], login: &Login, cut: usize) -> TestResult<Connection> {
    let mut stream = PacketStream::connect(stage.athena.port())?;
    let greeting = Greeting::read(&mut stream)?;
    let bytes = [header, &frame(1, &login.response(&greeting))].concat();
    let (first, second) = bytes.split_at(cut);
    stream.write_raw(first)?;
    std::thread::sleep(std::time::Duration::from_millis(20));
    stream.write_raw(second)?;
    // An error may come before the login has been read.
    stream.expect_any_sequence();
    login.finish(&mut stream)?;
    Ok(Connection::after_login(stream, greeting, login))
}

const FAR: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 3307\r\n";

#[test]
fn the_client_of_a_trusted_proxy_counts() -> TestResult {
    let users = "[[users]]\nname = \"far\"\npassword = \"p\"\nallowed_addresses = [\"192.0.2.0/24\"]\n";
    let stage = Stage::start_with("proxy_clients", |config| {
        config.text(users).set("server", "proxy_protocol", "[\"localhost\"]")
    })?;
    let far = Login::new("far", "p");
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\x12\x34\x0c\xeb";
    for header in [FAR, v2] {
        for cut in [0, 1, 5, header.len(), header.len() + 2] {
            behind_proxy(&stage, header, &far, cut)?.ping()?;
        }
    }
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b""] {
        let error = behind_proxy(&stage, header, &far, header.len()).map(drop).expect_err("the proxy itself");
        assert!(error.to_string().contains("'far'@'127.0.0.1'"), "{error}");
    }
    let wrong = Login::new("far", "x");
    let error = behind_proxy(&stage, FAR, &wrong, 3).map(drop).expect_err("refused").to_string();
    assert!(error.contains("'far'@'192.0.2.7'"), "{error}");
    Ok(())
}

#[test]
fn others_may_not_say_where_they_are() -> TestResult {
    let stage = Stage::start_with("proxy_strangers", |config| {
        config.set("server", "proxy_protocol", "[\"10.0.0.0/8\"]")
    })?;
    let error = behind_proxy(&stage, FAR, &Login::app(), 0).map(drop).expect_err("refused").to_string();
    assert!(error.contains("PROXY header"), "{error}");
    stage.assert_serves()
}

#[test]
fn the_server_knows_the_address_of_the_client() -> TestResult {
    let lab = Lab::new("proxy_backend")?;
    let server = lab.server(ServerOptions::default().argument("--proxy-protocol-networks=127.0.0.1"))?;
    server.sql("CREATE USER app@'192.0.2.%' IDENTIFIED BY 'app'; GRANT ALL ON *.* TO app@'192.0.2.%'")?;
    let stage = Stage::start_on(lab, server, |config| {
        config.set("server", "proxy_protocol", "[\"localhost\"]").set("backend", "proxy_protocol", "true")
    })?;
    let mut near = stage.connect()?;
    let user = |client: &mut Connection| -> TestResult<String> { Ok(client.scalar("SELECT USER()")?) };
    assert!(user(&mut near)?.ends_with("@127.0.0.1"));
    let password = athena_perf::lab::APP_PASSWORD;
    stage.server.sql(&format!("ALTER USER app@'192.0.2.%' IDENTIFIED BY '{password}'"))?;
    let mut far = behind_proxy(&stage, FAR, &Login::app(), 0)?;
    for _ in 0..10 {
        assert!(user(&mut near)?.ends_with("@127.0.0.1"));
        assert!(user(&mut far)?.ends_with("@192.0.2.7"));
        assert_eq!(current_user(&mut far)?, "app@192.0.2.%");
    }
    Ok(())
}
