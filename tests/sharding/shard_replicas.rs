//! A server of shards has replicas of its own: reads are split there, find what their session has written, and outlive its primary.

use athena_perf::lab::{Lab, Replicated, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig, sum_metric};

use super::SHARDED;
use super::common::cluster::{LOOK_INTERVAL_MS, create_watcher, split};
use super::common::wire::{Connection, Login};
use super::common::{PATIENCE, TestResult, eventually};
use super::faults::four_shards;
use super::servers::two_phase;

/// `[backend]` has shards 0 and 1, a primary with a replica the others.
struct Stage {
    athena: Athena,
    home: Server,
    shards: Replicated,
    _lab: Lab,
}

impl Stage {
    fn start(lab: Lab, home: Server, shards: Replicated) -> TestResult<Self> {
        for primary in [&home, &shards.primary] {
            create_watcher(primary)?;
            primary.sql(&format!("CREATE DATABASE {SHARDED}"))?;
            if primary.flavor() == athena_perf::lab::Flavor::MySql {
                primary.sql("GRANT XA_RECOVER_ADMIN ON *.* TO app@'%'")?;
            }
        }
        shards.wait_for_replicas(PATIENCE)?;
        let config = AthenaConfig::new(home.port())
            .set("pool", "connect_timeout_ms", "20000")
            .set("health", "interval_ms", LOOK_INTERVAL_MS)
            .text(&format!(
                "[[shards]]\nname = \"own\"\nindexes = [0, 1]\n\
                 [[shards]]\nname = \"far\"\nindexes = [2, 3]\nhost = \"127.0.0.1\"\nport = {}\n\
                 [[shards.replicas]]\nhost = \"127.0.0.1\"\nport = {}\n",
                shards.primary.port(),
                shards.replicas[0].port()
            ));
        let config = two_phase(split(four_shards(config)));
        let athena = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), lab.folder(), &config)?;
        Ok(Self { athena, home, shards, _lab: lab })
    }

    fn connect(&self) -> TestResult<Connection> {
        Ok(Connection::login(self.athena.port(), &Login::app().database(SHARDED))?)
    }

    fn wait(&self, name: &str, port: u16, value: f64) {
        eventually(&format!("{name} of {port} is {value}"), PATIENCE, || {
            let page = self.athena.metrics().map_err(|error| error.to_string())?;
            let now =
                sum_metric(&page, name, &[("instance", &format!("127.0.0.1:{port}")), ("cluster", "far")]);
            if now == value { Ok(()) } else { Err(now.to_string()) }
        });
    }
}

fn run(mut stage: Stage) -> TestResult {
    let mut client = stage.connect()?;
    client.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(200))")?;
    client.run("INSERT INTO users (user_id, name) VALUES (0, 'a'), (1, 'b'), (2, 'c'), (3, 'd')")?;
    stage.wait("athena_instance_reads", stage.shards.replicas[0].port(), 1.0);
    let port = "SELECT @@port FROM users WHERE user_id = ";
    let hinted = format!("{} /* athena:replica */", port.to_owned() + "2");
    assert_eq!(client.scalar(&hinted)?, stage.shards.replicas[0].port().to_string());
    let to_replicas = || stage.athena.metric("athena_routing_decisions_total", &[("target", "replica")]);
    let before = to_replicas()?;
    for _ in 0..10 {
        assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 2")?, "c");
        assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "b");
    }
    assert_eq!(to_replicas()? - before, 10.0, "reads of the shard that has a replica");
    assert_eq!(client.scalar(&format!("{port}1"))?, stage.home.port().to_string());
    for round in 0..50 {
        for key in [1, 2, 3] {
            client.run(&format!("UPDATE users SET name = 'n{round}' WHERE user_id = {key}"))?;
            let sql = format!("SELECT name FROM users WHERE user_id = {key}");
            assert_eq!(client.scalar(&sql)?, format!("n{round}"), "it finds what it has written");
        }
    }
    client.run("BEGIN")?;
    client.run("UPDATE users SET name = 'both' WHERE user_id = 1")?;
    assert_eq!(client.scalar(&format!("{port}2"))?, stage.shards.primary.port().to_string());
    client.run("UPDATE users SET name = 'both' WHERE user_id = 2")?;
    client.run("COMMIT")?;
    for key in [1, 2] {
        assert_eq!(client.scalar(&format!("SELECT name FROM users WHERE user_id = {key}"))?, "both");
    }
    stage.shards.switch_over(0)?;
    client.run("UPDATE users SET name = 'switched' WHERE user_id = 2")?;
    assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 2")?, "switched");
    let moved = stage.shards.primary.sql(&format!("SELECT name FROM {SHARDED}.users_2"))?;
    assert_eq!(moved.trim(), "switched");
    assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "both", "the other has not moved");
    stage.shards.wait_for_replicas(PATIENCE)?;
    stage.shards.primary.kill();
    stage.shards.promote(0)?;
    client.run("UPDATE users SET name = 'promoted' WHERE user_id IN (1, 2)")?;
    for key in [1, 2] {
        assert_eq!(client.scalar(&format!("SELECT name FROM users WHERE user_id = {key}"))?, "promoted");
    }
    Ok(())
}

#[test]
fn a_server_of_shards_has_replicas_and_fails_over() -> TestResult {
    let options = ServerOptions::default();
    let lab = Lab::new("shards_replicas")?;
    let home = lab.server(options.clone())?;
    let shards = lab.primary_with_replicas(1, &options)?;
    run(Stage::start(lab, home, shards)?)?;
    let lab = Lab::new("shards_replicas")?;
    let (Some(home), Some(shards)) =
        (lab.mysql_server(options.clone())?, lab.mysql_primary_with_replicas(1, &options)?)
    else {
        return Ok(());
    };
    run(Stage::start(lab, home, shards)?).map_err(|error| format!("on MySQL: {error}").into())
}
