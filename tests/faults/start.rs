//! Ports that others have, or had.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use athena_perf::port::Port;
use athena_perf::proxy::{AthenaConfig, http_get};

use crate::common::stage::Stage;
use crate::common::{PATIENCE, TestResult, eventually};

/// The kernel remembers a connection for a minute after its end, on the side that closed first.
#[test]
fn a_port_that_a_server_has_left_just_now_is_free() -> TestResult {
    let port = Port::free()?;
    leave_a_connection_behind(&port)?;
    let stage = Stage::start_with("start_left_port", |config| with_metrics_on(config, &port))?;
    assert!(http_get(port.number(), "/health")?.contains("\"status\""));
    stage.assert_serves()
}

#[test]
fn a_port_that_somebody_listens_on_is_not_shared() -> TestResult {
    let port = Port::free()?;
    let _somebody = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))?;
    let started = Stage::start_with("start_taken_port", |config| with_metrics_on(config, &port));
    let error = started.expect_err("there can be one only").to_string();
    assert!(error.contains("can't listen on") && error.contains("[metrics]"), "{error}");
    Ok(())
}

fn with_metrics_on(config: AthenaConfig, port: &Port) -> AthenaConfig {
    config.set("metrics", "listen_port", &port.number().to_string())
}

fn leave_a_connection_behind(port: &Port) -> TestResult {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    drop(listener.accept()?);
    assert_eq!(client.read(&mut [0])?, 0, "the server closes first");
    Ok(())
}

#[test]
fn there_can_be_more_cores_than_cpus() -> TestResult {
    let stage = Stage::start_with("start_cores", |config| {
        config.set("runtime", "cpus", "\"0\"").set("runtime", "cores_per_cpu", "8")
    })?;
    let turns = |core: usize| {
        let turns = stage.athena.metric("athena_core_turns_total", &[("core", &core.to_string())]);
        turns.map_err(|error| error.to_string())
    };
    for core in 0..8 {
        // They share a CPU: one may be asked before its first turn is over.
        eventually("the core turns", PATIENCE, || match turns(core)? {
            0.0 => Err(format!("core {core} of 8")),
            _ => Ok(()),
        });
    }
    assert_eq!(turns(8)?, 0.0);
    stage.assert_serves()
}
