//! A primary that is there, and lets new connections wait.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use athena_perf::lab::{Lab, ServerOptions};

use super::common::cluster::{ClusterStage, split};
use super::common::{TestResult, join};

/// Passes connections on to a server, but for those that come while it holds them: they are taken and hear nothing.
struct Relay {
    port: u16,
    holds: Arc<AtomicBool>,
}

impl Relay {
    fn start(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let holds = Arc::new(AtomicBool::new(false));
        let held = holds.clone();
        thread::spawn(move || {
            let mut silent = Vec::new();
            for client in listener.incoming().flatten() {
                match held.load(Ordering::Relaxed) {
                    true => silent.push(client),
                    false => {
                        if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                            pass_on(&client, &server);
                            pass_on(&server, &client);
                        }
                    }
                }
            }
        });
        Ok(Self { port, holds })
    }
}

fn pass_on(from: &TcpStream, to: &TcpStream) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn a_primary_that_is_there_is_not_given_up_for_connections_that_time_out() -> TestResult {
    let lab = Lab::new("health_connects")?;
    let servers = lab.primary_with_replicas(1, &ServerOptions::default())?;
    let relay = Relay::start(servers.primary.port())?;
    let stage = ClusterStage::start(lab, servers, |config| {
        split(config)
            .set("backend", "port", &relay.port.to_string())
            .set("pool", "connect_timeout_ms", "200")
            .set("circuit", "breaker_failures", "2")
            .set("routing", "failover_wait_ms", "20000")
    })?;
    stage.wait_for_primary(Some(relay.port));
    stage.servers.primary.sql("CREATE TABLE test.written (n INT)")?;
    let mut clients = (0..4).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    let mut holders = (0..4).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    // Whatever connections there are, they are taken.
    for holder in &mut holders {
        holder.run("BEGIN")?;
    }
    relay.holds.store(true, Ordering::Relaxed);
    // Each needs another.
    thread::scope(|scope| {
        let writing: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || {
                    client.run("BEGIN")?;
                    client.run("INSERT INTO test.written VALUES (1)")?;
                    client.run("COMMIT")
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(2000));
        assert_eq!(stage.sum("athena_breaker_opened_total", &[]), 0.0, "time-outs alone open no breaker");
        assert_eq!(stage.of("athena_instance_primary", relay.port, &[]), 1.0);
        relay.holds.store(false, Ordering::Relaxed);
        writing.into_iter().try_for_each(join)
    })?;
    assert_eq!(stage.servers.primary.sql("SELECT COUNT(*) FROM test.written")?, "4");
    assert_eq!(stage.sum("athena_failovers_total", &[]), 0.0);
    Ok(())
}
