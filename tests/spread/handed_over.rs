//! A client that another core has accepted is a client like any other.

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use athena_perf::lab::{Certificates, Lab, ServerOptions};
use athena_perf::process::Signal;

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Error, Greeting, Login, PacketStream, Value, frame};
use crate::common::{TestResult, join};
use crate::{assert_even, at_once, count, stage_on, wait_for, with_cores};

const SERVER_SHUTDOWN: u16 = 1053;

/// Those that the kernel puts where they belong are few among so many cores.
const CORES: u32 = 8;

fn assert_handed_over(stage: &Stage) {
    assert!(count(stage, "athena_connections_handed_over_total", &[]) >= 4);
}

#[test]
fn sessions_do_all_that_sessions_do() -> TestResult {
    let stage = stage_on(CORES, "handed_sessions", |config| config)?;
    stage.server.sql("CREATE TABLE test.t (a INT PRIMARY KEY)")?;
    let mut clients = (0..24).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    assert_handed_over(&stage);
    for (number, client) in clients.iter_mut().enumerate() {
        client.run("BEGIN")?;
        client.run(&format!("INSERT INTO t VALUES ({number})"))?;
        let statement = client.prepare("SELECT a + ? FROM t WHERE a = ?")?;
        let text = number.to_string();
        let rows = client.execute(&statement, &[Value::text("0"), Value::text(&text)])?.rows()?;
        assert_eq!(rows.rows.len(), 1);
        client.run("COMMIT")?;
    }
    assert_eq!(stage.server.sql("SELECT COUNT(*) FROM test.t")?, "24");
    // From core to core, by the ids that the clients have.
    let victim = clients.pop().expect("24");
    for client in &mut clients {
        assert!(client.query("SHOW PROCESSLIST")?.rows()?.rows.len() >= 24);
    }
    clients[0].run(&format!("KILL {}", victim.greeting().connection_id))?;
    wait_for(&stage, 23);
    Ok(())
}

#[test]
fn with_tls_and_compression() -> TestResult {
    let lab = Lab::new("handed_tls")?;
    let certificates = Certificates::new(&lab.folder().join("certificates"))?;
    let server = lab.server(ServerOptions::default())?;
    let stage = Stage::start_on(lab, server, |config| {
        with_cores(config, CORES)
            .set("server.tls", "cert", &format!("{:?}", certificates.certificate("server")))
            .set("server.tls", "key", &format!("{:?}", certificates.key("server")))
            .set("server.tls", "mode", "\"required\"")
    })?;
    let ca = format!("--ssl-ca={}", certificates.certificate("ca").display());
    let client = stage.athena.client().argument("--ssl").argument("--ssl-verify-server-cert").argument(&ca);
    for client in [client.clone(), client.argument("--compress")] {
        thread::scope(|scope| {
            let asks = |number: u32| {
                let client = &client;
                scope.spawn(move || client.run(&format!("SELECT {number}, SLEEP(0.5), REPEAT('x', 100000)")))
            };
            let threads: Vec<_> = (0..12).map(asks).collect();
            for (number, thread) in threads.into_iter().enumerate() {
                let answer = join(thread)?;
                assert!(answer.starts_with(&format!("{number}\t0\tx")) && answer.len() > 100_000);
            }
            TestResult::Ok(())
        })?;
    }
    assert_handed_over(&stage);
    Ok(())
}

#[test]
fn behind_a_proxy() -> TestResult {
    let users = "[[users]]\nname = \"far\"\npassword = \"p\"\nallowed_addresses = [\"192.0.2.0/24\"]\n";
    let stage = stage_on(CORES, "handed_proxy", |config| {
        config.text(users).set("server", "proxy_protocol", "[\"localhost\"]")
    })?;
    let far = Login::new("far", "p");
    let mut clients = Vec::new();
    for _ in 0..24 {
        let mut stream = PacketStream::connect(stage.athena.port())?;
        // A proxy does not wait for the greeting: the header is there before the socket has its core.
        stream.write_raw(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 3307\r\n")?;
        let greeting = Greeting::read(&mut stream)?;
        stream.write_raw(&frame(1, &far.response(&greeting)))?;
        stream.expect_any_sequence();
        far.finish(&mut stream)?;
        clients.push(Connection::after_login(stream, greeting, &far));
    }
    for client in &mut clients {
        client.ping()?;
    }
    assert_handed_over(&stage);
    Ok(())
}

#[test]
fn whoever_is_gone_before_leaves_nothing_behind() -> TestResult {
    let stage = stage_on(CORES, "handed_gone", |config| config)?;
    // Half of the cores have one already, and hand over whoever comes to them.
    let mut staying = (0..CORES / 2).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    staying.iter_mut().try_for_each(|client| client.ping().map(drop))?;
    let before = stage.settled_census();
    let address = (Ipv4Addr::LOCALHOST, stage.athena.port());
    thread::scope(|scope| {
        let come_and_go = || -> io::Result<()> {
            (0..300).try_for_each(|number| {
                let stream = TcpStream::connect(address)?;
                // One that closes with the greeting unread resets the connection.
                thread::sleep(Duration::from_micros(100 * (number % 4)));
                drop(stream);
                Ok(())
            })
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(come_and_go)).collect();
        threads.into_iter().try_for_each(join)
    })?;
    stage.assert_back_to(before);
    wait_for(&stage, staying.len());
    assert_handed_over(&stage);
    stage.assert_serves()
}

/// Whatever the moment: a client is served, told of the end, or closed. None waits for a core that is gone.
#[test]
fn a_drain_loses_nobody() -> TestResult {
    for round in 0..6 {
        let stage = stage_on(CORES, &format!("handed_drain_{round}"), |config| {
            config.set("server", "drain_timeout_ms", "20000")
        })?;
        // Some cores end at once, others only after this.
        let mut busy = stage.connect()?;
        busy.run("BEGIN")?;
        busy.scalar("SELECT COUNT(*) FROM information_schema.SCHEMATA")?;
        let until = Instant::now() + Duration::from_millis(600);
        let endings = thread::scope(|scope| {
            let comes = || {
                let mut served = 0_u32;
                while Instant::now() < until {
                    match come(&stage) {
                        Ok(()) => served += 1,
                        Err(error) => assert_ends(&error),
                    }
                }
                served
            };
            let threads: Vec<_> = (0..12).map(|_| scope.spawn(comes)).collect();
            thread::sleep(Duration::from_millis(150 + 20 * round));
            stage.athena.signal(Signal::SIGTERM);
            threads.into_iter().map(join).sum::<u32>()
        });
        assert!(endings > 0, "some were served before");
        busy.run("COMMIT")?;
        let status = stage.athena.wait(Duration::from_secs(10)).and_then(|status| status.code());
        assert_eq!(status, Some(0), "{}", stage.athena.log()?);
    }
    Ok(())
}

/// One client; nothing that it waits for takes long.
fn come(stage: &Stage) -> Result<(), Error> {
    let login = Login::app();
    let mut stream = PacketStream::connect(stage.athena.port())?;
    stream.set_read_timeout(Duration::from_secs(5))?;
    let greeting = match Greeting::read(&mut stream) {
        // A listener that closes while the last packet of a handshake is on its way can make the kernel forget the
        // connection without telling the client. It says so as soon as the client speaks: nobody holds the other end.
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
            stream.write_raw(&[0])?;
            Greeting::read(&mut stream)?
        }
        greeting => greeting?,
    };
    stream.write_payload(&login.response(&greeting))?;
    // The word of the end may cross what the client says.
    stream.expect_any_sequence();
    login.finish(&mut stream)?;
    Connection::after_login(stream, greeting, &login).quit()
}

fn assert_ends(error: &Error) {
    let refused = matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    let told = error.code() == Some(SERVER_SHUTDOWN) || matches!(error, Error::Sequence { found: 0, .. });
    assert!(refused || told || error.is_close(), "{error}");
}

#[test]
fn a_busy_proxy_keeps_its_balance() -> TestResult {
    let stage = stage_on(CORES, "handed_busy", |config| config)?;
    thread::scope(|scope| {
        let asks = || {
            for _ in 0..20 {
                let mut client = stage.connect()?;
                for number in 0..20_u32 {
                    assert_eq!(client.scalar(&format!("SELECT {number}"))?, number.to_string());
                }
                client.quit()?;
            }
            TestResult::Ok(())
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(asks)).collect();
        threads.into_iter().try_for_each(join)
    })?;
    wait_for(&stage, 0);
    let mut clients = at_once(16, || stage.connect()).into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_even(&stage, &mut clients, CORES);
    Ok(())
}
