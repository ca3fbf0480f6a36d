//! Group Replication: the group elects its primary, and Athena follows.

use athena_perf::lab::{Lab, REPLICATION_PASSWORD, REPLICATION_USER, Replicated, Server, ServerOptions};

use super::common::cluster::{ClusterStage, watched};
use super::common::{PATIENCE, TestResult, eventually};
use super::let_some_looks_pass;

const GROUP: &str = "6c2c5f4e-90f1-4c69-8a3b-6f2b8f6f0a11";

/// Where members of the group speak with each other is this far from where clients are.
const GROUP_PORT_OFFSET: u16 = 10_000;

fn options() -> ServerOptions {
    ServerOptions::default()
        .binlog(true)
        .argument("--performance-schema=ON")
        .argument("--report-host=127.0.0.1")
        .argument("--plugin-load-add=group_replication.so")
        .argument(format!("--loose-group-replication-group-name={GROUP}"))
        .argument("--loose-group-replication-start-on-boot=OFF")
        .argument("--loose-group-replication-member-expel-timeout=0")
        .argument("--loose-group-replication-recovery-get-public-key=ON")
}

/// Has a server enter the group, or found it.
fn join(server: &Server, members: &[u16], founds: bool) -> TestResult {
    let inside = |port: u16| format!("127.0.0.1:{}", port + GROUP_PORT_OFFSET);
    let seeds: Vec<String> = members.iter().map(|port| inside(*port)).collect();
    let founds = if founds { "ON" } else { "OFF" };
    server.sql(&format!(
        "SET GLOBAL group_replication_local_address = '{}'; SET GLOBAL group_replication_group_seeds = '{}'; \
         CHANGE REPLICATION SOURCE TO SOURCE_USER = '{REPLICATION_USER}', SOURCE_PASSWORD = '{REPLICATION_PASSWORD}' \
         FOR CHANNEL 'group_replication_recovery'; \
         SET GLOBAL group_replication_bootstrap_group = {founds}; START GROUP_REPLICATION; \
         SET GLOBAL group_replication_bootstrap_group = OFF",
        inside(server.port()),
        seeds.join(",")
    ))?;
    eventually("the server is in the group", PATIENCE, || {
        let state = server.sql(
            "SELECT MEMBER_STATE FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@server_uuid",
        );
        match state {
            Ok(state) if state == "ONLINE" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    Ok(())
}

#[test]
fn a_group_elects_its_primary_and_athena_follows() -> TestResult {
    let lab = Lab::new("health_group")?;
    let Some(primary) = lab.mysql_server(options())? else {
        eprintln!("skipped: there is no MySQL");
        return Ok(());
    };
    let mut replicas = Vec::new();
    while replicas.len() < 2 {
        replicas.extend(lab.mysql_server(options())?);
    }
    let servers = Replicated::of(primary, replicas);
    let ports: Vec<u16> = servers.all().map(Server::port).collect();
    join(&servers.primary, &ports, true)?;
    for replica in &servers.replicas {
        join(replica, &ports, false)?;
    }
    servers.primary.sql(
        "CREATE USER watcher@'%' IDENTIFIED BY 'watching'; GRANT REPLICATION CLIENT ON *.* TO watcher@'%'; \
         GRANT SELECT ON performance_schema.replication_group_members TO watcher@'%'",
    )?;
    let mut stage = ClusterStage::start(lab, servers, watched)?;
    stage.wait_until_well();
    // What the group has written, each member has executed.
    stage.servers.primary.sql("CREATE TABLE test.written (id INT PRIMARY KEY)")?;
    let_some_looks_pass();
    stage.wait_until_well();

    stage.servers.primary.kill();
    eventually("another one is elected", PATIENCE, || match stage.sum("athena_failovers_total", &[]) {
        1.0 => Ok(()),
        other => Err(format!("{other} failovers")),
    });
    let elected = stage
        .servers
        .replicas
        .iter()
        .position(|one| stage.of("athena_instance_primary", one.port(), &[]) == 1.0);
    let ClusterStage { servers, .. } = &mut stage;
    std::mem::swap(&mut servers.primary, &mut servers.replicas[elected.ok_or("no replica")?]);
    stage.wait_for_primary(Some(stage.servers.primary.port()));
    // Started again, it is in no group at first, and read-only in it.
    let old = &stage.servers.replicas[elected.unwrap_or(0)];
    old.restart()?;
    stage.wait("athena_instance_up", old.port(), &[], 1.0);
    stage.wait_for_reads(old.port(), false);
    join(old, &ports, false)?;
    stage.wait_until_well();
    assert_eq!(stage.sum("athena_failovers_total", &[]), 1.0);
    // A planned change, by the group.
    let next = stage.servers.replicas[0].sql("SELECT @@server_uuid")?;
    stage.servers.primary.sql(&format!("SELECT group_replication_set_as_primary('{next}')"))?;
    let ClusterStage { servers, .. } = &mut stage;
    std::mem::swap(&mut servers.primary, &mut servers.replicas[0]);
    stage.wait_until_well();
    assert!(!stage.athena.log()?.contains("takes writes, too"));
    Ok(())
}
