//! Clients that die leave nothing behind: no link, no permit, no file descriptor.

use std::thread;
use std::time::Duration;

use athena_perf::proxy::AthenaConfig;

use crate::common::random::Random;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Greeting, Login, PacketStream, Value, command, frame};
use crate::common::{TestResult, eventually, join};

const VICTIMS: usize = 200;
const VICTIMS_AT_A_TIME: usize = 10;
/// Fewer than clients at a time, so that some die in a queue.
const LINKS: &str = "6";
const PERMITS: &str = "4";

#[test]
fn a_client_that_dies_in_mid_result() -> TestResult {
    let stage = Stage::start_with("client_result", limited)?;
    warm_up(&stage)?;
    let before = stage.settled_census();
    for _ in 0..10 {
        let mut client = stage.connect()?;
        client.start_rows("SELECT REPEAT('x', 1048576) FROM seq_1_to_1024")?;
        let mut row = Vec::new();
        for _ in 0..3 {
            assert!(client.next_row(&mut row)?);
        }
        // Dropping it closes the socket, with bytes unread: the peer sees a reset.
    }
    stage.assert_back_to(before);
    stage.assert_serves()
}

#[test]
fn a_client_that_dies_in_a_transaction() -> TestResult {
    let stage = Stage::start_with("client_transaction", limited)?;
    stage.server.sql("CREATE TABLE test.t (a INT PRIMARY KEY)")?;
    warm_up(&stage)?;
    let before = stage.settled_census();
    for _ in 0..10 {
        let mut client = stage.connect()?;
        client.run("BEGIN")?;
        // It waits for the lock of the one before it unless that was rolled back.
        client.run("INSERT INTO t VALUES (1)")?;
    }
    stage.assert_back_to(before);
    assert_eq!(stage.server.sql("SELECT COUNT(*) FROM test.t")?, "0");
    Ok(())
}

/// A server notices that the client of a statement has gone that waits for a lock, and ends it. It must through Athena, too.
#[test]
fn a_client_that_dies_while_its_statement_waits_for_a_lock() -> TestResult {
    let stage = Stage::start_with("client_lock", limited)?;
    let waiting = || {
        let states = "STATE IN ('User lock', 'User sleep')";
        stage.server.sql(&format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE {states}"))
    };
    let count = |expected: &str| {
        eventually("the number of statements that wait", Duration::from_secs(30), || {
            let count = waiting().map_err(|error| error.to_string())?;
            if count == expected { Ok(()) } else { Err(count) }
        });
    };
    let mut owner = stage.connect()?;
    assert_eq!(owner.scalar("SELECT GET_LOCK('dangling', 0)")?, "1");
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    client.send(command::QUERY, b"SELECT GET_LOCK('dangling', 3600)")?;
    count("1");
    drop(client);
    count("0");
    stage.assert_back_to(before);
    // One that only has nothing more to say gets its answer.
    let mut client = stage.connect()?;
    client.send(command::QUERY, b"SELECT SLEEP(2), 'still there'")?;
    count("1");
    client.stream().shutdown_write()?;
    let row = client.read_reply()?.rows()?.rows.remove(0);
    assert_eq!(row[1], Value::text("still there"));
    stage.assert_back_to(before);
    assert_eq!(owner.scalar("SELECT RELEASE_LOCK('dangling')")?, "1");
    Ok(())
}

#[test]
fn a_client_that_dies_while_its_statement_runs_or_waits() -> TestResult {
    let stage = Stage::start_with("client_waits", limited)?;
    warm_up(&stage)?;
    let before = stage.settled_census();
    let mut clients = (0..12).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    for client in &mut clients {
        client.send(command::QUERY, b"SELECT SLEEP(1)")?;
    }
    thread::sleep(Duration::from_millis(300));
    drop(clients);
    stage.assert_back_to(before);
    stage.assert_serves()
}

#[test]
fn clients_that_die_at_any_moment() -> TestResult {
    let stage = Stage::start_with("client_random", limited)?;
    stage.server.sql("CREATE TABLE test.t (a INT AUTO_INCREMENT PRIMARY KEY, b LONGTEXT)")?;
    warm_up(&stage)?;
    let before = stage.settled_census();
    let stage = &stage;
    thread::scope(|scope| {
        let starters: Vec<_> = (0..VICTIMS_AT_A_TIME)
            .map(|starter| {
                scope.spawn(move || {
                    (starter..VICTIMS).step_by(VICTIMS_AT_A_TIME).try_for_each(|seed| {
                        die_somewhere(stage.athena.port(), &mut Random::new(seed as u64))
                            .map_err(|error| format!("seed {seed}: {error}"))
                    })
                })
            })
            .collect();
        starters.into_iter().try_for_each(join)
    })?;
    stage.assert_back_to(before);
    assert!(stage.errors("internal")? < 1.0);
    stage.assert_serves()
}

/// Does one thing that clients do and goes away in the middle of it.
fn die_somewhere(port: u16, random: &mut Random) -> TestResult {
    let patience = Duration::from_millis(random.below(40) as u64);
    match random.below(9) {
        0 => drop(PacketStream::connect(port)?),
        1 => half_a_login(port, random)?,
        2 => drop(Connection::open(port)?),
        3 => die_after(port, "SELECT SLEEP(0.2)", patience)?,
        4 => die_after(port, "SELECT REPEAT('x', 100000) FROM seq_1_to_1000", patience)?,
        5 => die_after(port, "INSERT INTO t (b) SELECT REPEAT('y', 1000) FROM seq_1_to_100", patience)?,
        6 => die_in_transaction(port, patience)?,
        7 => die_with_statements(port)?,
        _ => half_a_statement(port, random)?,
    }
    Ok(())
}

fn half_a_login(port: u16, random: &mut Random) -> TestResult {
    let mut stream = PacketStream::connect(port)?;
    let greeting = Greeting::read(&mut stream)?;
    let packet = frame(1, &Login::app().response(&greeting));
    Ok(stream.write_raw(&packet[..random.below(packet.len())])?)
}

fn die_after(port: u16, sql: &str, patience: Duration) -> TestResult {
    let mut client = Connection::open(port)?;
    client.send(command::QUERY, sql.as_bytes())?;
    thread::sleep(patience);
    Ok(())
}

fn die_in_transaction(port: u16, patience: Duration) -> TestResult {
    let mut client = Connection::open(port)?;
    client.send(command::QUERY, b"BEGIN")?;
    // The queue of permits may end; then there is no transaction to die in.
    if client.read_reply().is_ok() {
        client.send(command::QUERY, b"INSERT INTO t (b) VALUES ('z')")?;
        thread::sleep(patience);
    }
    Ok(())
}

fn die_with_statements(port: u16) -> TestResult {
    let mut client = Connection::open(port)?;
    let statement = client.prepare("SELECT ? + 1")?;
    client.execute(&statement, &[Value::Int(1)])?;
    Ok(client.send_long_data(&statement, 0, &[b'7'; 5000])?)
}

/// Dies with a part of a long statement sent: Athena may have passed on what it got, or not.
fn half_a_statement(port: u16, random: &mut Random) -> TestResult {
    let mut client = Connection::open(port)?;
    let insert = [b"\x03INSERT INTO t (b) VALUES ('", random.literal(300_000).as_slice(), b"')"].concat();
    let packet = frame(0, &insert);
    Ok(client.stream().write_raw(&packet[..random.below(packet.len())])?)
}

/// Queues that every client gets through, and limits that make clients wait.
fn limited(config: AthenaConfig) -> AthenaConfig {
    config
        .set("pool", "max_connections", LINKS)
        .set("pool", "checkout_timeout_ms", "20000")
        .set("circuit", "max_concurrent_per_user_shard", PERMITS)
        .set("circuit", "queue_size", "100")
        .set("circuit", "queue_timeout_ms", "20000")
}

/// Lets Athena open what it opens on first use.
fn warm_up(stage: &Stage) -> TestResult {
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..12).map(|_| scope.spawn(|| stage.connect()?.run("SELECT SLEEP(0.1)"))).collect();
        clients.into_iter().try_for_each(join)
    })?;
    Ok(())
}
