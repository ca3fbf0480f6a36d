//! Who takes writes, when operators change it and when servers fail.

use super::common::cluster::{on_each_cluster, split, watched};
use super::common::{PATIENCE, TestResult, join};
use super::let_some_looks_pass;

#[test]
fn a_planned_switch_over_is_followed() -> TestResult {
    on_each_cluster("health_planned", watched, |stage| {
        stage.wait_until_well();
        let (old, new) = (stage.servers.primary.port(), stage.servers.replicas[1].port());
        stage.servers.primary.sql("SET GLOBAL read_only = ON")?;
        stage.wait_for_primary(None);
        stage.wait_for_line(&format!("127.0.0.1:{old} is read-only now: no primary, writes wait"));
        // Reads go on.
        stage.wait_for_reads(new, true);
        assert_eq!(stage.sum("athena_ready", &[]), 1.0);
        stage.servers.switch_over(1)?;
        stage.wait_until_well();
        assert_eq!(stage.servers.primary.port(), new);
        stage.wait_for_line(&format!("127.0.0.1:{new} is the primary now (epoch 2)"));
        assert_eq!(stage.sum("athena_failovers_total", &[]), 1.0);
        assert!(stage.sum("athena_no_primary_seconds_total", &[]) > 0.0);
        assert_eq!(stage.athena.client().run("SELECT @@port")?, new.to_string());
        // And back again.
        stage.servers.switch_over(1)?;
        stage.wait_until_well();
        assert_eq!(stage.sum("athena_failovers_total", &[]), 2.0);
        Ok(())
    })
}

#[test]
fn a_promotion_is_followed_and_who_comes_back_is_not() -> TestResult {
    on_each_cluster("health_promoted", watched, |stage| {
        stage.wait_until_well();
        let (old, new) = (stage.servers.primary.port(), stage.servers.replicas[0].port());
        stage.servers.primary.kill();
        stage.wait_for_primary(None);
        stage.wait("athena_instance_up", old, &[], 0.0);
        // Its replicas go on trying to reach it, and go on reading.
        let_some_looks_pass();
        stage.wait_for_reads(new, true);
        stage.wait_for_primary(None);
        stage.servers.promote(0)?;
        stage.wait_for_primary(Some(new));
        stage.wait_for_reads(stage.servers.replicas[1].port(), true);
        // It takes writes when it is back, and gets none.
        stage.servers.replicas[0].restart()?;
        stage.wait("athena_instance_up", old, &[], 1.0);
        stage.wait_for_line(&format!("127.0.0.1:{old} takes writes, too"));
        let_some_looks_pass();
        stage.wait_for_primary(Some(new));
        stage.wait_for_reads(old, false);
        assert_eq!(stage.sum("athena_failovers_total", &[]), 1.0);
        stage.servers.rejoin(0)?;
        stage.wait_until_well();
        Ok(())
    })
}

#[test]
fn a_primary_that_comes_back_is_the_primary_again() -> TestResult {
    on_each_cluster("health_crashed", watched, |stage| {
        stage.wait_until_well();
        stage.servers.primary.kill();
        stage.wait_for_primary(None);
        stage.servers.primary.restart()?;
        stage.wait_until_well();
        stage.wait_for_line("is the primary again (epoch 1)");
        assert_eq!(stage.sum("athena_failovers_total", &[]), 0.0);
        Ok(())
    })
}

/// What is written while there is no primary is written to the next one, and found.
#[test]
fn a_write_that_has_waited_for_its_primary_is_found() -> TestResult {
    on_each_cluster("health_waited", split, |stage| {
        stage.wait_until_well();
        let mut client = stage.connect()?;
        client.run("CREATE TABLE test.waited (n INT)")?;
        client.run("INSERT INTO test.waited VALUES (1)")?;
        stage.servers.wait_for_replicas(PATIENCE)?;
        stage.servers.primary.sql("SET GLOBAL read_only = ON")?;
        stage.wait_for_primary(None);
        // Nobody but the next primary gets what is written then.
        let mut locked = Vec::new();
        for server in [&stage.servers.primary, &stage.servers.replicas[0]] {
            let mut direct = stage.direct(server)?;
            direct.run("LOCK TABLES test.waited READ")?;
            locked.push(direct);
        }
        let found = std::thread::scope(|scope| {
            let waits = scope.spawn(|| -> TestResult<Vec<String>> {
                client.run("UPDATE test.waited SET n = 2")?;
                let mut read = || Ok(client.scalar("SELECT n FROM test.waited")?);
                (0..6).map(|_| read()).collect()
            });
            let_some_looks_pass();
            stage.servers.switch_over(1)?;
            join(waits)
        })?;
        assert_eq!(found, ["2"; 6]);
        drop(locked);
        stage.wait_until_well();
        Ok(())
    })
}
