//! The lab starts real servers that do what its page promises.

use std::time::Duration;

use athena_perf::Result;
use athena_perf::lab::{Flavor, Lab, ServerOptions};
use athena_perf::proxy::{Haproxy, Usage};

#[test]
fn a_server_starts_with_its_accounts() -> Result<()> {
    let lab = Lab::new("accounts")?;
    let server = lab.server(ServerOptions::default())?;
    assert_eq!(server.sql("SELECT 1, 'x'")?, "1\tx");
    assert_eq!(
        server.app_client().database("sbtest").run("SELECT CURRENT_USER(), DATABASE()")?,
        "app@%\tsbtest"
    );
    let root = athena_perf::lab::SqlClient::on_port(server.port(), "root", "");
    assert_eq!(root.run("SELECT @@port, @@max_allowed_packet")?, format!("{}\t1073741824", server.port()));
    let error = server.sql("SELECT nothing").expect_err("there is no such column");
    assert!(error.to_string().contains("ERROR 1054 (42S22)"), "{error}");
    Ok(())
}

#[test]
fn a_killed_server_comes_back_with_its_data_and_port() -> Result<()> {
    let lab = Lab::new("restart")?;
    let server = lab.server(ServerOptions::default())?;
    server.sql("CREATE TABLE test.t (a INT PRIMARY KEY); INSERT INTO test.t VALUES (1)")?;
    let (port, pid) = (server.port(), server.pid());
    server.kill();
    assert_eq!(server.pid(), None);
    assert!(server.sql("SELECT 1").is_err());
    server.start()?;
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(server.sql("SELECT a FROM test.t")?, "1");
    server.stop()?;
    server.start()?;
    assert_eq!(server.sql("SELECT a FROM test.t")?, "1");
    Ok(())
}

#[test]
fn replicas_follow_their_primary() -> Result<()> {
    let lab = Lab::new("replication")?;
    let servers = lab.primary_with_replicas(2, &ServerOptions::default())?;
    servers.primary.sql("CREATE TABLE test.t (a INT PRIMARY KEY); INSERT INTO test.t VALUES (7)")?;
    servers.wait_for_replicas(Duration::from_secs(10))?;
    for replica in &servers.replicas {
        assert_eq!(replica.sql("SELECT a FROM test.t")?, "7");
        let refused = replica.app_client().run("INSERT INTO test.t VALUES (8)");
        assert!(refused.is_err_and(|error| error.to_string().contains("1290")));
    }
    Ok(())
}

#[test]
fn servers_end_with_the_thread_that_owns_them_and_not_before() -> Result<()> {
    let lab = Lab::new("threads")?;
    // Started by a thread that ends at once: the server must not end with it.
    let server = std::thread::scope(|scope| {
        let starter = scope.spawn(|| lab.server(ServerOptions::default()));
        starter.join().expect("the starting thread does not panic")
    })?;
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.sql("SELECT 1")?, "1");
    let pid = server.pid().expect("it runs");
    assert!(Usage::of(pid).rss_bytes() > 0);
    drop(server);
    assert_eq!(Usage::of(pid).rss_bytes(), 0);
    Ok(())
}

#[test]
fn haproxy_relays() -> Result<()> {
    let lab = Lab::new("haproxy")?;
    let server = lab.server(ServerOptions::default())?;
    let haproxy = Haproxy::start(lab.folder(), server.port(), 1, None)?;
    let client = athena_perf::lab::SqlClient::on_port(haproxy.port(), "app", "app-secret");
    assert_eq!(client.run("SELECT @@port")?, server.port().to_string());
    assert!(haproxy.usage().fds() > 0);
    Ok(())
}

#[test]
fn a_real_mysql_works_where_there_is_one() -> Result<()> {
    let lab = Lab::new("mysql")?;
    let Some(server) = lab.mysql_server(ServerOptions::default())? else {
        eprintln!("skipped: no MySQL root (perf/mysql-root.sh makes one)");
        return Ok(());
    };
    assert_eq!(server.flavor(), Flavor::MySql);
    assert!(!server.sql("SELECT VERSION()")?.contains("MariaDB"));
    assert_eq!(
        server
            .sql("SELECT user, host, plugin FROM mysql.user WHERE user IN ('root', 'app') ORDER BY 1, 2")?,
        "app\t%\tcaching_sha2_password\nroot\t127.0.0.1\tcaching_sha2_password\nroot\tlocalhost\tcaching_sha2_password"
    );
    let root = athena_perf::lab::SqlClient::on_port(server.port(), "root", "");
    assert_eq!(root.run("SELECT @@port")?, server.port().to_string());
    Ok(())
}
