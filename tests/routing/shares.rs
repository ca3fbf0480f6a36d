//! How reads are shared among replicas, and what becomes of them when replicas come and go: counted by the names that the servers
//! themselves answer with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use athena_perf::lab::{Flavor, Server};
use athena_perf::process::Signal;

use super::common::cluster::{ClusterStage, on_each_cluster, split};
use super::common::wire::{Connection, Statement};
use super::common::{PATIENCE, TestResult, join};
use super::front::{PRIMARY, REPLICAS, WHO, config, front, name_servers};

const CONNECTIONS: usize = 8;

/// Of reads that are counted.
const READS: usize = 2000;

/// `ER_SERVER_ISNT_AVAILABLE`
const NOT_AVAILABLE: u16 = 3168;

/// `ER_LOCK_DEADLOCK`, by which clients know that a transaction is to be said again.
const DEADLOCK: u16 = 1213;

/// Reads by the names of the servers that had them.
type Shares = BTreeMap<String, usize>;

/// What a connection does when it reads.
#[derive(Debug)]
enum Reader {
    Text,
    Prepared(Statement),
    /// Replicas have to be brought to its state.
    WithState,
    /// Replicas have to have what it has just written.
    AfterWrites(usize),
}

impl Reader {
    fn new(client: &mut Connection, number: usize) -> TestResult<Self> {
        Ok(match number % 4 {
            0 => Self::Text,
            1 => Self::Prepared(client.prepare(WHO)?),
            2 => Self::WithState,
            _ => Self::AfterWrites(number),
        })
    }

    fn read(&self, client: &mut Connection, turn: usize) -> TestResult<String> {
        let reply = match self {
            Self::Text => client.query(WHO)?,
            Self::Prepared(statement) => client.execute(statement, &[])?,
            Self::WithState => {
                client.run(&format!("SET @turn = {turn}, group_concat_max_len = {}", 1000 + turn % 3))?;
                client.query(&format!("{WHO} WHERE @turn = {turn}"))?
            }
            Self::AfterWrites(number) => {
                client.run(&format!("UPDATE written SET n = {turn} WHERE id = {number}"))?;
                client.query(WHO)?
            }
        };
        Ok(reply.rows()?.scalar()?.to_string())
    }
}

/// Reads by text and prepared, on several connections at once.
fn shares(stage: &ClusterStage, reads: usize) -> TestResult<Shares> {
    let one = |number: usize| -> TestResult<Shares> {
        let mut client = stage.connect()?;
        let reader = Reader::new(&mut client, number % 2)?;
        let mut shares = Shares::new();
        for turn in 0..reads / CONNECTIONS {
            *shares.entry(reader.read(&mut client, turn)?).or_default() += 1;
        }
        Ok(shares)
    };
    thread::scope(|scope| {
        let one = &one;
        let readers: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || one(number))).collect();
        readers.into_iter().map(join).try_fold(Shares::new(), |all, shares| Ok(sum(all, shares?)))
    })
}

/// Reads of all kinds for as long as `work` takes. Every error that a client saw is in the result.
fn shares_during(
    stage: &ClusterStage,
    work: impl FnOnce() -> TestResult,
) -> TestResult<(Shares, Vec<String>)> {
    let end = AtomicBool::new(false);
    let one = |number: usize| -> TestResult<(Shares, Vec<String>)> {
        let mut client = stage.connect()?;
        let reader = Reader::new(&mut client, number)?;
        let (mut shares, mut errors) = (Shares::new(), Vec::new());
        for turn in 0.. {
            if end.load(Ordering::Relaxed) {
                break;
            }
            match reader.read(&mut client, turn) {
                Ok(name) => *shares.entry(name).or_default() += 1,
                Err(error) => {
                    errors.push(format!("{reader:?}: {error}"));
                    break;
                }
            }
        }
        Ok((shares, errors))
    };
    thread::scope(|scope| {
        let one = &one;
        let readers: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || one(number))).collect();
        let worked = work();
        end.store(true, Ordering::Relaxed);
        let (mut all, mut all_errors) = (Shares::new(), Vec::new());
        for reader in readers {
            let (shares, errors) = join(reader)?;
            all = sum(all, shares);
            all_errors.extend(errors);
        }
        worked?;
        Ok((all, all_errors))
    })
}

fn sum(mut all: Shares, more: Shares) -> Shares {
    for (name, reads) in more {
        *all.entry(name).or_default() += reads;
    }
    all
}

/// All reads, by nobody else than these.
fn all_by(names: &[&str], shares: &Shares) -> bool {
    shares.keys().all(|name| names.contains(&name.as_str())) && shares.values().sum::<usize>() > 0
}

fn sql_thread(server: &Server, verb: &str) -> TestResult {
    let word = if server.flavor() == Flavor::MariaDb { "SLAVE" } else { "REPLICA" };
    server.sql(&format!("{verb} {word} SQL_THREAD"))?;
    Ok(())
}

fn make_tables(stage: &ClusterStage) -> TestResult {
    name_servers(stage)?;
    stage.servers.primary.sql(
        "USE test; CREATE TABLE written (id INT PRIMARY KEY, n INT); INSERT INTO written VALUES (3, 0), (7, 0)",
    )?;
    stage.servers.wait_for_replicas(PATIENCE)?;
    Ok(())
}

#[test]
fn replicas_get_the_reads_that_the_configuration_gives_them() -> TestResult {
    on_each_cluster("routing_shares", split, |stage| {
        make_tables(stage)?;
        let flavor = stage.servers.primary.flavor();

        let weighted = config(stage, |n| format!("weight = {}", [3, 1][n]));
        front(stage, &weighted)?;
        stage.wait_until_well();
        let got = shares(stage, READS)?;
        eprintln!("{flavor:?}, weights 3 and 1: {got:?}");
        assert!(all_by(&REPLICAS, &got), "{got:?}");
        let first = got[REPLICAS[0]] as f64 / READS as f64;
        assert!((first - 0.75).abs() < 0.75 * 0.05, "{got:?}");

        let none = config(stage, |n| format!("weight = {}", [0, 1][n]));
        front(stage, &none)?;
        stage.wait_for_reads(stage.servers.replicas[1].port(), true);
        let got = shares(stage, 200)?;
        assert!(all_by(&REPLICAS[1..], &got), "weight 0: {got:?}");

        for choice in ["least_outstanding", "latency"] {
            let by =
                config(stage, |_| String::new()).set("routing", "replica_choice", &format!("{choice:?}"));
            front(stage, &by)?;
            stage.wait_until_well();
            let got = shares(stage, READS)?;
            eprintln!("{flavor:?}, {choice}: {got:?}");
            assert!(all_by(&REPLICAS, &got), "{choice}: {got:?}");
            // The nearer one may be the only one by its latency.
            assert!(choice == "latency" || got.len() == 2, "{choice}: {got:?}");
        }

        let near = config(stage, |n| format!("group = {:?}", ["here", "there"][n]));
        front(stage, &near.set("routing", "group", "\"here\""))?;
        stage.wait_until_well();
        let got = shares(stage, 200)?;
        assert!(all_by(&REPLICAS[..1], &got), "the group: {got:?}");
        sql_thread(&stage.servers.replicas[0], "STOP")?;
        stage.wait_for_reads(stage.servers.replicas[0].port(), false);
        let got = shares(stage, 200)?;
        assert!(all_by(&REPLICAS[1..], &got), "without the group: {got:?}");
        sql_thread(&stage.servers.replicas[0], "START")?;
        Ok(())
    })
}

/// Nobody sees an error while `work` goes on.
fn without_errors(stage: &ClusterStage, what: &str, work: impl FnOnce() -> TestResult) -> TestResult {
    let (got, errors) = shares_during(stage, work)?;
    eprintln!("{:?}, {what}: {got:?}", stage.servers.primary.flavor());
    assert!(errors.is_empty(), "{what}: {errors:?}");
    Ok(())
}

fn one_stops_to_apply(stage: &ClusterStage) -> TestResult {
    let replica = &stage.servers.replicas[0];
    without_errors(stage, "one stops and goes on", || {
        sql_thread(replica, "STOP")?;
        stage.wait_for_reads(replica.port(), false);
        let got = shares(stage, 200)?;
        assert!(all_by(&REPLICAS[1..], &got), "one has stopped: {got:?}");
        sql_thread(replica, "START")?;
        stage.wait_for_reads(replica.port(), true);
        Ok(())
    })?;
    assert_eq!(shares(stage, 200)?.len(), 2, "both are back");
    Ok(())
}

/// The operator takes one out, and puts it back.
fn one_is_drained(stage: &ClusterStage) -> TestResult {
    let port = stage.servers.replicas[1].port();
    let file = std::fs::read_to_string(stage.athena.config_path())?;
    without_errors(stage, "one is drained", || {
        let line = format!("port = {port}\n");
        let drained = file.replace(&line, &format!("{line}draining = true\n"));
        std::fs::write(stage.athena.config_path(), drained)?;
        stage.athena.signal(Signal::SIGHUP);
        stage.wait_for_reads(port, false);
        let got = shares(stage, 200)?;
        assert!(all_by(&REPLICAS[..1], &got), "one is drained: {got:?}");
        std::fs::write(stage.athena.config_path(), &file)?;
        stage.athena.signal(Signal::SIGHUP);
        stage.wait_for_reads(port, true);
        Ok(())
    })
}

fn all_stop(stage: &mut ClusterStage) -> TestResult {
    for replica in &stage.servers.replicas {
        sql_thread(replica, "STOP")?;
        stage.wait_for_reads(replica.port(), false);
    }
    let got = shares(stage, 200)?;
    assert!(all_by(&[PRIMARY], &got), "all have stopped: {got:?}");
    let strict = config(stage, |_| String::new()).set("routing", "no_replica", "\"error\"");
    front(stage, &strict)?;
    stage.wait_for_primary(Some(stage.servers.primary.port()));
    let error = stage.connect()?.run(WHO).unwrap_err();
    assert_eq!(error.code(), Some(NOT_AVAILABLE), "{error}");
    for replica in &stage.servers.replicas {
        sql_thread(replica, "START")?;
        stage.wait_for_reads(replica.port(), true);
    }
    let got = shares(stage, 200)?;
    assert!(all_by(&REPLICAS, &got), "all are back: {got:?}");
    Ok(())
}

/// Those reads that it has wait, and no others are given to it.
fn one_stands_still(stage: &mut ClusterStage) -> TestResult {
    let usual = config(stage, |_| String::new());
    front(stage, &usual.set("routing", "replica_choice", "\"least_outstanding\""))?;
    stage.wait_until_well();
    without_errors(stage, "one stands still", || {
        thread::sleep(Duration::from_millis(300));
        stage.servers.replicas[0].pause();
        thread::sleep(Duration::from_millis(1500));
        stage.servers.replicas[0].resume();
        thread::sleep(Duration::from_millis(300));
        Ok(())
    })
}

/// A client in a read-only transaction on this replica.
fn in_transaction_on(stage: &ClusterStage, name: &str) -> TestResult<Connection> {
    let mut client = stage.connect()?;
    loop {
        client.run("START TRANSACTION READ ONLY")?;
        if client.scalar(WHO)? == name {
            return Ok(client);
        }
        client.run("COMMIT")?;
    }
}

fn each_is_killed(stage: &mut ClusterStage) -> TestResult {
    let usual = config(stage, |_| String::new());
    front(stage, &usual)?;
    stage.wait_until_well();
    for (replica, name) in stage.servers.replicas.iter().zip(REPLICAS) {
        without_errors(stage, &format!("{name} is killed"), || {
            let mut client = in_transaction_on(stage, name)?;
            thread::sleep(Duration::from_millis(700));
            replica.kill();
            // What it has read is gone: its client says it all once more, and need not log in for that.
            let error = client.run(WHO).unwrap_err();
            assert_eq!(error.code(), Some(DEADLOCK), "{error}");
            client.run("START TRANSACTION READ ONLY")?;
            assert_ne!(client.scalar(WHO)?, name);
            client.run("COMMIT")?;
            thread::sleep(Duration::from_millis(1300));
            replica.start()?;
            stage.wait_for_reads(replica.port(), true);
            thread::sleep(Duration::from_millis(300));
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn reads_go_on_while_replicas_come_and_go() -> TestResult {
    on_each_cluster("routing_come_and_go", split, |stage| {
        make_tables(stage)?;
        stage.wait_until_well();
        one_stops_to_apply(stage)?;
        one_is_drained(stage)?;
        all_stop(stage)?;
        one_stands_still(stage)?;
        each_is_killed(stage)
    })
}
