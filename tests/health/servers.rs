//! Servers that come, go, and fall behind.

use std::time::{Duration, Instant};

use athena_perf::lab::{Flavor, Server};
use athena_perf::process::Signal;

use super::common::TestResult;
use super::common::cluster::{on_each_cluster, watched};
use super::let_some_looks_pass;

/// Ends or starts the thread that applies.
fn sql_thread(server: &Server, verb: &str) -> TestResult {
    let word = match server.flavor() {
        Flavor::MariaDb => "SLAVE",
        Flavor::MySql => "REPLICA",
    };
    server.sql(&format!("{verb} {word} SQL_THREAD"))?;
    Ok(())
}

#[test]
fn a_replica_that_stops_applying_has_no_reads_until_it_goes_on() -> TestResult {
    on_each_cluster("health_stopped", watched, |stage| {
        stage.wait_until_well();
        let replica = stage.servers.replicas[0].port();
        sql_thread(&stage.servers.replicas[0], "STOP")?;
        stage.wait("athena_instance_unfit", replica, &[("reason", "not_replicating")], 1.0);
        stage.wait_for_reads(replica, false);
        stage.wait_for_line(&format!("127.0.0.1:{replica} gets no reads: it is not applying"));
        stage.wait_for_reads(stage.servers.replicas[1].port(), true);
        sql_thread(&stage.servers.replicas[0], "START")?;
        stage.wait_for_reads(replica, true);
        stage.wait_for_line(&format!("127.0.0.1:{replica} may have reads"));
        assert_eq!(stage.sum("athena_failovers_total", &[]), 0.0);
        Ok(())
    })
}

#[test]
fn a_replica_that_is_killed_is_noticed_within_a_second() -> TestResult {
    on_each_cluster("health_killed", watched, |stage| {
        stage.wait_until_well();
        let replica = stage.servers.replicas[1].port();
        let killed = Instant::now();
        stage.servers.replicas[1].kill();
        stage.wait("athena_instance_up", replica, &[], 0.0);
        let noticed = killed.elapsed();
        eprintln!("noticed after {noticed:?}");
        assert!(noticed < Duration::from_secs(2), "{noticed:?}");
        stage.wait("athena_instance_unfit", replica, &[("reason", "down")], 1.0);
        // Its variable is as the file has it: it takes writes, but follows somebody.
        stage.servers.replicas[1].restart()?;
        stage.wait("athena_instance_up", replica, &[], 1.0);
        stage.wait_for_reads(replica, true);
        stage.wait_for_primary(Some(stage.servers.primary.port()));
        assert_eq!(stage.sum("athena_failovers_total", &[]), 0.0);
        Ok(())
    })
}

#[test]
fn lag_is_seen_although_the_server_does_not_count_it() -> TestResult {
    let configure = |config| watched(config).set("routing", "max_replica_lag_ms", "1500");
    on_each_cluster("health_lag", configure, |stage| {
        stage.wait_until_well();
        let replica = &stage.servers.replicas[0];
        // It applies all that comes, and nothing comes.
        let word = if replica.flavor() == Flavor::MariaDb { "SLAVE" } else { "REPLICA" };
        replica.sql(&format!("STOP {word} IO_THREAD"))?;
        stage.servers.primary.sql("CREATE TABLE test.lag (id INT)")?;
        stage.wait("athena_instance_unfit", replica.port(), &[("reason", "lagging")], 1.0);
        assert!(stage.of("athena_replica_lag_seconds", replica.port(), &[]) >= 1.5);
        replica.sql(&format!("START {word} IO_THREAD"))?;
        stage.wait_for_reads(replica.port(), true);
        Ok(())
    })
}

#[test]
fn without_the_privilege_a_server_is_up_and_the_log_says_what_is_missing() -> TestResult {
    // The application's account may not see replication.
    on_each_cluster(
        "health_rights",
        |config| config,
        |stage| {
            stage.wait_until_well();
            stage.wait_for_line("REPLICATION CLIENT");
            let_some_looks_pass();
            let log = stage.athena.log()?;
            assert_eq!(log.matches("needs the privilege").count(), 3, "{log}");
            Ok(())
        },
    )
}

#[test]
fn weights_and_draining_are_taken_over_by_a_signal() -> TestResult {
    on_each_cluster("health_reload", watched, |stage| {
        stage.wait_until_well();
        let [first, second] = [0, 1].map(|n: usize| stage.servers.replicas[n].port());
        let file = std::fs::read_to_string(stage.athena.config_path())?;
        let drained = file
            .replace(&format!("port = {first}\n"), &format!("port = {first}\ndraining = true\nweight = 7\n"));
        std::fs::write(stage.athena.config_path(), drained)?;
        stage.athena.signal(Signal::SIGHUP);
        stage.wait("athena_instance_unfit", first, &[("reason", "draining")], 1.0);
        stage.wait_for_reads(second, true);
        std::fs::write(stage.athena.config_path(), file)?;
        stage.athena.signal(Signal::SIGHUP);
        stage.wait_for_reads(first, true);
        assert!(!stage.athena.log()?.contains("take a restart"));
        Ok(())
    })
}
