//! Where a read runs depends on more than its text: on what the session has, on hints, on the account.

use super::common::cluster::{ClusterStage, on_each_cluster};
use super::common::wire::{Connection, Login, Value, capability, command, status};
use super::common::{PATIENCE, TestResult, eventually};
use super::front::{PRIMARY, REPLICAS, WHO, config, front, name_servers, user};
use super::log::{Logs, mark};
use super::{root, run_all, split_at_once};

/// `ER_NOT_SUPPORTED_YET`
const REFUSED: u16 = 1235;

/// `ER_NO_SUCH_TABLE`
const NO_SUCH_TABLE: u16 = 1146;

/// `ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION`
const READ_ONLY_TRANSACTION: u16 = 1792;

/// The flag of EXECUTE that opens a cursor: `CURSOR_TYPE_READ_ONLY`.
const CURSOR: u8 = 1;

/// The status flag of a reply behind whose columns no rows come: they are to be fetched.
const CURSOR_EXISTS: u16 = 0x40;

const SCHEMA: &str = "USE test; CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3); \
    CREATE FUNCTION just_reads(x INT) RETURNS INT DETERMINISTIC RETURN x + 1; \
    CREATE FUNCTION may_write(x INT) RETURNS INT DETERMINISTIC RETURN x + 1; CREATE PROCEDURE p() SELECT 1";

/// The server that a read of the session runs on.
fn place(client: &mut Connection) -> TestResult<String> {
    Ok(client.scalar(WHO)?)
}

#[track_caller]
fn assert_on_primary(client: &mut Connection, when: &str) -> TestResult {
    let place = place(client)?;
    assert_eq!(place, PRIMARY, "{when}");
    Ok(())
}

/// Gives the name of the replica.
#[track_caller]
fn assert_on_replica(client: &mut Connection, when: &str) -> TestResult<String> {
    let place = place(client)?;
    assert!(REPLICAS.contains(&place.as_str()), "{when}: on the {place}");
    Ok(place)
}

/// What `before` leaves in the session keeps reads on the primary, until `after`.
fn assert_keeps(client: &mut Connection, before: &str, after: &str) -> TestResult {
    assert_on_replica(client, "at first")?;
    client.run(before)?;
    assert_on_primary(client, before)?;
    client.run(after)?;
    assert_on_replica(client, after)?;
    Ok(())
}

fn code(client: &mut Connection, sql: &str) -> Option<u16> {
    client.run(sql).err().and_then(|error| error.code())
}

fn make_schema(stage: &ClusterStage) -> TestResult {
    name_servers(stage)?;
    stage.servers.primary.sql(SCHEMA)?;
    stage.servers.wait_for_replicas(PATIENCE)?;
    stage.wait_until_well();
    Ok(())
}

fn transactions(stage: &ClusterStage) -> TestResult {
    let mut client = stage.connect()?;
    assert_keeps(&mut client, "BEGIN", "COMMIT")?;
    assert_keeps(&mut client, "START TRANSACTION", "ROLLBACK")?;
    client.run("BEGIN")?;
    client.run("UPDATE t SET a = a + 1 WHERE id = 1")?;
    assert_on_primary(&mut client, "behind a write in a transaction")?;
    client.run("COMMIT AND CHAIN")?;
    assert_on_primary(&mut client, "in the next transaction of a chain")?;
    client.run("ROLLBACK")?;
    assert_on_replica(&mut client, "behind the chain")?;

    client.run("SET autocommit = 0")?;
    assert_on_primary(&mut client, "without autocommit")?;
    client.run("COMMIT")?;
    assert_on_primary(&mut client, "without autocommit, behind COMMIT")?;
    client.run("SET autocommit = 1")?;
    assert_on_replica(&mut client, "with autocommit again")?;
    Ok(())
}

fn read_only_transactions(stage: &ClusterStage, logs: &mut Logs) -> TestResult {
    let mut client = stage.connect()?;
    let (begin, commit) = (mark(1), mark(2));
    client.run(&format!("{begin} START TRANSACTION READ ONLY"))?;
    let one = assert_on_replica(&mut client, "in a read-only transaction")?;
    for _ in 0..4 {
        assert_eq!(assert_on_replica(&mut client, "in a read-only transaction")?, one);
    }
    let write = "UPDATE t SET a = 0";
    assert_eq!(code(&mut client, write), Some(READ_ONLY_TRANSACTION));
    let error = client.run("CALL p()").unwrap_err();
    assert_eq!(error.code(), Some(REFUSED), "{error}");
    assert!(error.to_string().contains("read_only_transactions"), "{error}");
    assert_eq!(assert_on_replica(&mut client, "behind errors")?, one);
    client.run(&format!("{commit} COMMIT"))?;
    let number = 1 + REPLICAS.iter().position(|name| *name == one).expect("one of them");
    assert_eq!(logs.places(&begin)?, [number]);
    assert_eq!(logs.places(&commit)?, [number]);
    client.run(write)?;

    client.run("START TRANSACTION READ ONLY")?;
    let one = assert_on_replica(&mut client, "in a read-only transaction")?;
    client.run("COMMIT AND CHAIN")?;
    assert_eq!(assert_on_replica(&mut client, "in the next of the chain")?, one);
    assert_eq!(code(&mut client, write), Some(READ_ONLY_TRANSACTION));
    client.run("ROLLBACK")?;

    client.run("START TRANSACTION READ ONLY")?;
    assert_on_replica(&mut client, "in a read-only transaction")?;
    client.run("BEGIN")?;
    assert_on_primary(&mut client, "in the transaction behind it")?;
    client.run(write)?;
    client.run("COMMIT")?;
    assert_on_replica(&mut client, "behind both")?;

    // The end that it is given there begins no other, which the next session would be in.
    client.run("SET completion_type = 'CHAIN'")?;
    client.run("START TRANSACTION READ ONLY")?;
    assert_on_replica(&mut client, "in a read-only transaction")?;
    client.run("BEGIN")?;
    client.run("ROLLBACK AND NO CHAIN")?;
    let mut other = stage.connect()?;
    for _ in 0..8 {
        let reply = other.query("SELECT * FROM who")?;
        assert_eq!(reply.status() & status::IN_TRANSACTION, 0);
    }
    Ok(())
}

/// Whatever they begin with: the transaction would be over before the write, and nobody but the replica's `read_only`
/// would keep that off.
fn several_in_a_read_only_transaction(stage: &ClusterStage) -> TestResult {
    let mut client = stage.login(&Login::app().with(capability::MULTI_STATEMENTS))?;
    let firsts = [
        "SET @x = 1",
        "DO 1",
        "USE test",
        "SHOW TABLES",
        "SELECT 1",
        "SELECT @@version",
        "UPDATE t SET a = 0",
    ];
    for first in firsts {
        client.run("START TRANSACTION READ ONLY")?;
        assert_on_replica(&mut client, "in a read-only transaction")?;
        let error = run_all(&mut client, &format!("{first}; COMMIT; UPDATE t SET a = 0")).unwrap_err();
        assert_eq!(error.code(), Some(REFUSED), "{first}: {error}");
        assert_on_replica(&mut client, "behind a text that was refused")?;
        run_all(&mut client, "SET @x = 1")?;
        client.run("COMMIT")?;
    }
    Ok(())
}

fn read_only_transactions_on_the_primary(stage: &ClusterStage) -> TestResult {
    let mut client = stage.connect()?;
    assert_keeps(&mut client, "START TRANSACTION READ ONLY", "COMMIT")?;
    client.run("START TRANSACTION READ ONLY")?;
    assert_eq!(code(&mut client, "UPDATE t SET a = 0"), Some(READ_ONLY_TRANSACTION));
    run_all(&mut client, "CALL p()")?;
    client.run("COMMIT")?;
    Ok(())
}

fn held(stage: &ClusterStage, logs: &mut Logs) -> TestResult {
    let mut client = stage.connect()?;
    assert_keeps(&mut client, "CREATE TEMPORARY TABLE mine (id INT)", "DROP TEMPORARY TABLE mine")?;
    assert_keeps(&mut client, "LOCK TABLES who READ", "UNLOCK TABLES")?;
    assert_keeps(&mut client, "HANDLER t OPEN", "HANDLER t CLOSE")?;
    assert_keeps(&mut client, "PREPARE mine FROM 'SELECT 1'", "DEALLOCATE PREPARE mine")?;

    client.run("SELECT GET_LOCK('mine', 0)")?;
    assert_on_primary(&mut client, "with a lock")?;
    client.run("SELECT RELEASE_LOCK('mine')")?;
    // Whether it had the lock is asked in the first pause that the session makes.
    eventually("the lock is known to be free", PATIENCE, || {
        let place = place(&mut client).map_err(|error| error.to_string())?;
        if place == PRIMARY { Err(place) } else { Ok(()) }
    });

    for (number, schema) in [(10, "information_schema"), (11, "mysql")] {
        client.run(&format!("USE {schema}"))?;
        let mark = mark(number);
        client.run(&format!("{mark} SELECT 1"))?;
        assert_eq!(logs.places(&mark)?, [0], "in {schema}");
    }
    client.run("USE test")?;
    assert_on_replica(&mut client, "in test again")?;
    Ok(())
}

fn prepared(stage: &ClusterStage, logs: &mut Logs) -> TestResult {
    let mut client = stage.login(&Login::app().without(capability::DEPRECATE_EOF))?;
    let statement = client.prepare("SELECT name FROM who WHERE ? > 1 AND ? = 'x'")?;
    for number in 2..6 {
        let reply = client.execute(&statement, &[Value::Int(number), Value::text("x")])?;
        let name = reply.rows()?.scalar()?.to_string();
        assert!(REPLICAS.contains(&name.as_str()), "prepared: on the {name}");
    }
    assert!(client.execute(&statement, &[Value::Int(0), Value::text("x")])?.rows()?.rows.is_empty());

    let mark = mark(20);
    let statement = client.prepare(&format!("{mark} SELECT name FROM who"))?;
    let mut execution = statement.execution(&[]);
    execution[4] = CURSOR;
    client.send(command::STMT_EXECUTE, &execution)?;
    for _count_and_column in 0..2 {
        client.stream().read_payload()?;
    }
    let end = client.stream().read_payload()?;
    let status = u16::from_le_bytes([end[3], end[4]]);
    assert_ne!(status & CURSOR_EXISTS, 0, "{end:?}");
    let ran = logs.read()?;
    let executed = ("Execute".to_owned(), mark);
    let places: Vec<usize> = (0..ran.len()).filter(|&server| ran[server].contains(&executed)).collect();
    assert_eq!(places, [0], "a cursor");
    client.command(command::STMT_RESET, &statement.id.to_le_bytes())?;
    assert_on_replica(&mut client, "behind the cursor")?;
    Ok(())
}

fn hints(stage: &ClusterStage) -> TestResult {
    let mut client = stage.connect()?;
    let hinted = |client: &mut Connection, hint: &str| client.scalar(&format!("/* athena:{hint} */ {WHO}"));
    assert_eq!(hinted(&mut client, "primary")?, PRIMARY);
    assert!(REPLICAS.contains(&hinted(&mut client, "replica")?.as_str()));
    assert_eq!(hinted(&mut client, "nobody").unwrap_err().code(), Some(REFUSED));
    assert_eq!(hinted(&mut client, "primary */ /* athena:replica").unwrap_err().code(), Some(REFUSED));
    assert_eq!(code(&mut client, "/* athena:replica */ UPDATE t SET a = 1"), Some(REFUSED));
    assert_eq!(code(&mut client, "/* athena:replica */ SELECT * FROM nothing"), Some(NO_SUCH_TABLE));
    let id: u16 = client.scalar("/* athena:replica */ SELECT @@server_id")?.parse()?;
    assert!(stage.servers.replicas.iter().any(|replica| replica.port() == id), "{id}");

    client.run("SET @athena_target = 'primary'")?;
    assert_on_primary(&mut client, "by the variable")?;
    assert!(REPLICAS.contains(&hinted(&mut client, "replica")?.as_str()), "a hint goes before the variable");
    assert_eq!(code(&mut client, "SET @athena_target = 'nonsense'"), Some(REFUSED));
    assert_on_primary(&mut client, "by the variable, behind an error")?;
    for value in ["'auto'", "'replica'", "NULL"] {
        client.run("SET @athena_target = 'primary'")?;
        client.run(&format!("SET @athena_target = {value}"))?;
        assert_on_replica(&mut client, value)?;
    }
    Ok(())
}

/// What a replica does not have yet is read on the primary, if a read may go without what was written at all.
fn not_there_yet(stage: &ClusterStage) -> TestResult {
    let mut client = stage.connect()?;
    let mut locks = Vec::new();
    for replica in &stage.servers.replicas {
        let mut lock = root(replica)?;
        lock.run("FLUSH TABLES WITH READ LOCK")?;
        locks.push(lock);
    }
    client.run("CREATE TABLE fresh (id INT)")?;
    client.run("INSERT INTO fresh VALUES (7)")?;
    assert_eq!(client.scalar("SELECT id FROM fresh")?, "7");
    let statement = client.prepare("SELECT id + ? FROM fresh")?;
    assert_eq!(client.execute(&statement, &[Value::Int(1)])?.rows()?.scalar()?.to_string(), "8");
    client.run("CREATE DATABASE fresh")?;
    client.run("CREATE TABLE fresh.inside (id INT)")?;
    client.run("USE fresh")?;
    assert!(client.query("SELECT id FROM inside")?.rows()?.rows.is_empty());
    assert_eq!(client.scalar("SELECT 1")?, "1");
    let mut other = stage.login(&Login::app().database("fresh"))?;
    assert!(other.query("SELECT id FROM inside")?.rows()?.rows.is_empty());
    let statement = other.prepare("SELECT id FROM inside")?;
    assert!(other.execute(&statement, &[])?.rows()?.rows.is_empty());
    assert_eq!(other.scalar("/* athena:replica */ SELECT 1")?, "1");
    drop(locks);
    client.run("USE test")?;
    assert_on_replica(&mut client, "behind it")?;
    Ok(())
}

#[test]
fn what_the_session_has_decides_as_well() -> TestResult {
    on_each_cluster("routing_context", split_at_once, |stage| {
        make_schema(stage)?;
        let mut logs = Logs::start(stage)?;
        transactions(stage)?;
        read_only_transactions(stage, &mut logs)?;
        several_in_a_read_only_transaction(stage)?;
        held(stage, &mut logs)?;
        prepared(stage, &mut logs)?;
        hints(stage)?;
        not_there_yet(stage)?;

        let usual = |stage: &ClusterStage| split_at_once(config(stage, |_| String::new()));
        let on_primary = usual(stage).set("routing", "read_only_transactions", "\"primary\"");
        front(stage, &on_primary)?;
        stage.wait_until_well();
        read_only_transactions_on_the_primary(stage)?;

        let account = usual(stage).text(&user("routing = \"primary\""));
        front(stage, &account)?;
        stage.wait_until_well();
        let mut client = stage.connect()?;
        assert_on_primary(&mut client, "an account of the primary")?;
        client.run("SET @athena_target = 'replica'")?;
        assert_on_replica(&mut client, "by the variable")?;

        let account = usual(stage)
            .set("routing", "read_write_split", "false")
            .set("routing", "read_only_routines", "[\"just_reads\"]")
            .text(&user("routing = \"split\""));
        front(stage, &account)?;
        stage.wait_until_well();
        let mut client = stage.connect()?;
        assert_on_replica(&mut client, "an account that is split")?;
        let name = client.scalar(&format!("{WHO} WHERE just_reads(1) = 2"))?;
        assert!(REPLICAS.contains(&name.as_str()), "{name}");
        let name = client.scalar(&format!("{WHO} WHERE may_write(1) = 2"))?;
        assert_eq!(name, PRIMARY);
        Ok(())
    })
}
