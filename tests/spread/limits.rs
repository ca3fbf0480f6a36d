//! As many come in as may, whichever cores they come by.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Error, Greeting, Login, PacketStream, frame};
use crate::common::{TestResult, eventually, join, timed};
use crate::{NOTICED, assert_even, at_once, by_metric, connections, count, stage_on, wait_for};

const CON_COUNT: u16 = 1040;
const CORES: u32 = 8;

/// Those that got in; fails unless the others were told that there are too many, by the key of that name.
fn let_in(outcomes: Vec<Result<Connection, Error>>, key: &str) -> Vec<Connection> {
    let mut clients = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(client) => clients.push(client),
            Err(Error::Server { code: CON_COUNT, message, .. }) if message.contains(key) => {}
            Err(error) => panic!("neither in nor one too many: {error}"),
        }
    }
    clients
}

fn refused(stage: &Stage, reason: &str) -> usize {
    count(stage, "athena_connections_refused_total", &[("reason", reason)])
}

/// A client behind a proxy, which says where it is.
fn from(stage: &Stage, address: &str) -> Result<Connection, Error> {
    let login = Login::app();
    let mut stream = PacketStream::connect(stage.athena.port())?;
    let greeting = Greeting::read(&mut stream)?;
    let (family, here) = if address.contains(':') { ("TCP6", "::1") } else { ("TCP4", "127.0.0.1") };
    let header = format!("PROXY {family} {address} {here} 4711 3307\r\n");
    stream.write_raw(&[header.as_bytes(), &frame(1, &login.response(&greeting))].concat())?;
    // The refusal does not wait for the login.
    stream.expect_any_sequence();
    login.finish(&mut stream)?;
    Ok(Connection::after_login(stream, greeting, &login))
}

#[test]
fn the_maximum_is_exact_over_all_cores() -> TestResult {
    let stage = stage_on(CORES, "limits_all", |config| config.set("server", "max_connections", "20"))?;
    let mut clients = let_in(at_once(60, || stage.connect()), "[server] max_connections)");
    assert_eq!(clients.len(), 20);
    assert_eq!(refused(&stage, "limit"), 40);
    assert_even(&stage, &mut clients, CORES);
    for left in [15, 1, 0] {
        clients.truncate(left);
        wait_for(&stage, left);
        clients.append(&mut let_in(at_once(40, || stage.connect()), "[server] max_connections)"));
        assert_eq!(clients.len(), 20);
        clients.iter_mut().try_for_each(|client| client.ping().map(drop))?;
    }
    Ok(())
}

#[test]
fn an_address_has_a_maximum_of_its_own() -> TestResult {
    let folder = std::env::temp_dir().join(format!("athena-limits_address-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let path = folder.join("athena.sock");
    let stage = stage_on(CORES, "limits_address", |config| {
        config.set("server", "max_connections_per_address", "10").set(
            "server",
            "unix_socket",
            &format!("{path:?}"),
        )
    })?;
    let key = "from 127.0.0.1 ([server] max_connections_per_address)";
    let mut clients = let_in(at_once(40, || stage.connect()), key);
    assert_eq!(clients.len(), 10);
    assert_eq!(refused(&stage, "address_limit"), 30);
    // The socket has no address.
    let local =
        (0..12).map(|_| Connection::login_unix(&path, &Login::app())).collect::<Result<Vec<_>, _>>()?;
    clients.truncate(4);
    wait_for(&stage, 16);
    // Those that have not logged in count as well.
    let address = (Ipv4Addr::LOCALHOST, stage.athena.port());
    let silent = (0..6).map(|_| TcpStream::connect(address)).collect::<Result<Vec<_>, _>>()?;
    wait_for(&stage, 22);
    assert!(let_in(vec![stage.connect()], key).is_empty());
    drop((silent, local));
    wait_for(&stage, 4);
    clients.append(&mut let_in(at_once(40, || stage.connect()), key));
    assert_eq!(clients.len(), 10);
    stage.athena.terminate();
    fs::remove_dir_all(folder)?;
    Ok(())
}

#[test]
fn behind_a_proxy_the_address_of_the_client_counts() -> TestResult {
    let stage = stage_on(CORES, "limits_proxy", |config| {
        config.set("server", "max_connections_per_address", "3").set(
            "server",
            "proxy_protocol",
            "[\"localhost\"]",
        )
    })?;
    // The proxy itself has no limit: so it looks whether Athena is there.
    let mut proxy = (0..10).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    let mut clients = Vec::new();
    for address in ["192.0.2.7", "192.0.2.8", "2001:db8::1"] {
        let outcomes = at_once(12, || from(&stage, address));
        let network = address.replace("::1", "::/64");
        let key = format!("from {network} ([server] max_connections_per_address)");
        let mut admitted = let_in(outcomes, &key);
        assert_eq!(admitted.len(), 3, "{address}");
        clients.append(&mut admitted);
    }
    assert_eq!(refused(&stage, "address_limit"), 27);
    // One network of IPv6 is one client; the next one is another.
    let key = "from 2001:db8::/64 ([server]";
    assert!(let_in(vec![from(&stage, "2001:db8::ffff:0:0:2")], key).is_empty());
    from(&stage, "2001:db8:0:1::1")?.quit()?;
    wait_for(&stage, 19);
    assert_eq!(connections(&stage), by_metric(&stage, CORES).iter().sum::<usize>());
    clients.remove(0).quit()?;
    wait_for(&stage, 18);
    clients.push(from(&stage, "192.0.2.7")?);
    for client in proxy.iter_mut().chain(&mut clients) {
        client.ping()?;
    }
    Ok(())
}

/// Those that are there don't notice those that can't come in, and the process keeps nothing of them.
#[test]
fn a_flood_beyond_the_maximum_starves_nobody() -> TestResult {
    let stage = stage_on(2, "limits_flood", |config| config.set("server", "max_connections", "4"))?;
    let mut clients = (0..4).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    for client in &mut clients {
        client.ping()?;
    }
    let before = count(&stage, "process_open_fds", &[]);
    let over = AtomicBool::new(false);
    let address = (Ipv4Addr::LOCALHOST, stage.athena.port());
    let slowest = thread::scope(|scope| {
        let floods = || -> TestResult<usize> {
            // None of them reads.
            let mut held = Vec::new();
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                held.push(TcpStream::connect(address)?);
                number += 1;
                if held.len() == 200 {
                    held.clear();
                }
            }
            Ok(number)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(floods)).collect();
        let mut slowest = Duration::ZERO;
        for round in 0..400_u32 {
            for client in &mut clients {
                let (answer, took) = timed(|| client.scalar(&format!("SELECT {round}")));
                assert_eq!(answer?, round.to_string());
                slowest = slowest.max(took);
            }
        }
        let most = count(&stage, "process_open_fds", &[]);
        over.store(true, Ordering::Relaxed);
        let floods = threads.into_iter().map(join).sum::<TestResult<usize>>()?;
        assert!(most < before + 2 * 64 + 32, "{most} open files, {before} before");
        assert!(floods > 200, "{floods} came");
        TestResult::Ok(slowest)
    })?;
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(connections(&stage), 4);
    eventually("what they had open is closed", NOTICED, || {
        let now = count(&stage, "process_open_fds", &[]);
        if now <= before + 1 { Ok(()) } else { Err(format!("{now}, before: {before}")) }
    });
    Ok(())
}

/// Clients that connect and say nothing.
fn silent(stage: &Stage, number: usize) -> TestResult<Vec<PacketStream>> {
    let streams = (0..number).map(|_| PacketStream::connect(stage.athena.port()));
    Ok(streams.collect::<Result<_, _>>()?)
}

/// How many of these were ended, with the reason that they don't speak.
fn ended(streams: &mut [PacketStream]) -> usize {
    let ended = streams.iter_mut().filter_map(|stream| {
        stream.set_read_timeout(Duration::from_millis(100)).ok()?;
        Greeting::read(stream).ok()?;
        stream.expect_any_sequence();
        stream.read_payload().ok()
    });
    ended.inspect(|error| assert!(String::from_utf8_lossy(error).contains("max_logins"), "{error:?}")).count()
}

#[test]
fn clients_that_never_log_in_make_room() -> TestResult {
    let stage = stage_on(2, "limits_silent", |config| {
        config.set("server", "max_connections", "20").set("server", "login_timeout_ms", "60000")
    })?;
    let mut logged_in = (0..3).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let mut silent = silent(&stage, 12)?;
    wait_for(&stage, 15);
    stage.connect()?.quit()?;
    let gone = refused(&stage, "login_limit");
    assert!(gone == 0 || start.elapsed() > Duration::from_secs(1), "a moment is nothing: {gone}");
    thread::sleep(Duration::from_millis(1300));
    // Ten may be there, and the eleventh is the one that comes.
    logged_in.push(stage.connect()?);
    logged_in.push(stage.connect()?);
    eventually("some have gone", NOTICED, || match refused(&stage, "login_limit") {
        2 | 3 => Ok(()),
        number => Err(format!("{number} have gone")),
    });
    let gone = refused(&stage, "login_limit");
    assert_eq!(ended(&mut silent), gone);
    for client in &mut logged_in {
        client.ping()?;
    }
    // Those that are left may log in.
    wait_for(&stage, 17 - gone);
    Ok(())
}

#[test]
fn a_house_full_of_clients_that_never_log_in_is_open_a_second_later() -> TestResult {
    let stage = stage_on(CORES, "limits_full", |config| {
        config.set("server", "max_connections", "32").set("server", "login_timeout_ms", "60000")
    })?;
    let mut held = silent(&stage, 32)?;
    wait_for(&stage, 32);
    let error = stage.connect().expect_err("no place is left");
    assert!(error.to_string().contains("[server] max_connections)"), "{error}");
    // Some of them say something, but never enough.
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A long packet, byte by byte.
            for byte in [64, 0, 0, 1].into_iter().chain([b'x'; 60]) {
                for stream in &mut held {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // It may have been ended.
                    let _ = stream.write_raw(&[byte]);
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        thread::sleep(Duration::from_millis(1100));
        let connect = || stage.connect().map_err(|error| error.to_string());
        let mut client = eventually("there is room", Duration::from_secs(3), connect);
        let answer = client.scalar("SELECT 'in'").map_err(|error| error.to_string());
        over.store(true, Ordering::Relaxed);
        assert_eq!(answer.as_deref(), Ok("in"));
    });
    assert!((1..=32).contains(&refused(&stage, "login_limit")));
    drop(held);
    wait_for(&stage, 0);
    let mut clients = at_once(32, || stage.connect()).into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_even(&stage, &mut clients, CORES);
    Ok(())
}

#[test]
fn clients_that_log_in_together_are_not_too_many() -> TestResult {
    let stage = stage_on(2, "limits_together", |config| config.set("server", "max_logins", "1"))?;
    let mut clients = at_once(40, || stage.connect()).into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_even(&stage, &mut clients, 2);
    assert_eq!(refused(&stage, "login_limit"), 0);
    Ok(())
}
