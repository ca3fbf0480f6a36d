//! MariaDB's COM_STMT_BULK_EXECUTE: one statement, many rows of parameters.

use athena_perf::proxy::AthenaConfig;

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login, Reply, Result, Statement, Value, capability, command};

const MIB: usize = 1024 * 1024;
const LONGLONG: u8 = 0x08;
const VAR_STRING: u8 = 0xfd;
/// STMT_BULK_FLAG_CLIENT_SEND_TYPES
const WITH_TYPES: u8 = 0x80;
/// The id of the statement that was prepared last.
const LAST: u32 = u32::MAX;

fn login() -> Login {
    Login::app().with_extended(capability::EXTENDED_STMT_BULK)
}

/// One link for all clients.
fn stage(name: &str) -> TestResult<Stage> {
    let one_link =
        |config: AthenaConfig| config.set("runtime", "cpus", "\"0\"").set("pool", "max_connections", "1");
    let stage = Stage::start_with(name, one_link)?;
    stage.server.sql("CREATE TABLE test.bulk (id BIGINT PRIMARY KEY, content LONGTEXT DEFAULT 'default')")?;
    Ok(stage)
}

/// A value with the byte before it that says what it is.
fn number(value: u64) -> Vec<u8> {
    [&[0][..], &value.to_le_bytes()].concat()
}

fn text(value: &[u8]) -> Vec<u8> {
    [&[0, 0xfe][..], &(value.len() as u64).to_le_bytes(), value].concat()
}

const NULL: &[u8] = &[1];
const DEFAULT: &[u8] = &[2];

/// The arguments of the command: `types` go with the values if there are any.
fn arguments(id: u32, types: &[u8], rows: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = id.to_le_bytes().to_vec();
    payload.extend_from_slice(&[if types.is_empty() { 0 } else { WITH_TYPES }, 0]);
    payload.extend(types.iter().flat_map(|column_type| [*column_type, 0]));
    payload.extend(rows.concat());
    payload
}

fn run(client: &mut Connection, statement: &Statement, types: &[u8], rows: &[Vec<u8>]) -> Result<Reply> {
    client.command_binary(command::STMT_BULK_EXECUTE, &arguments(statement.id, types, rows))
}

fn insert(client: &mut Connection) -> Result<Statement> {
    client.prepare("INSERT INTO bulk VALUES (?, ?)")
}

#[test]
fn rows_arrive_and_ids_are_the_sessions_own() -> TestResult {
    let stage = stage("bulk_rows")?;
    let mut other = stage.login(&login())?;
    for sql in ["SELECT ?", "SELECT ?, ?", "SELECT 3"] {
        other.prepare(sql)?;
    }
    let mut client = stage.login(&login())?;
    let statement = insert(&mut client)?;
    let rows = [
        [number(1), text(b"one")].concat(),
        [number(2), NULL.to_vec()].concat(),
        [number(3), DEFAULT.to_vec()].concat(),
    ];
    let reply = run(&mut client, &statement, &[LONGLONG, VAR_STRING], &rows)?;
    assert_eq!(reply.ok()?.affected_rows, 3);
    let content = "SELECT GROUP_CONCAT(COALESCE(content, 'NULL') ORDER BY id) FROM bulk";
    assert_eq!(client.scalar(content)?, "one,NULL,default");
    // RETURNING gives one result with all rows.
    let returning = client.prepare("INSERT INTO bulk VALUES (?, ?) RETURNING id")?;
    let rows = [[number(4), text(b"four")].concat(), [number(5), text(b"five")].concat()];
    let found = run(&mut client, &returning, &[LONGLONG, VAR_STRING], &rows)?.rows()?.rows;
    assert_eq!(found, [[Value::Int(4)], [Value::Int(5)]]);
    assert_eq!(client.scalar("SELECT COUNT(*) FROM bulk")?, "5");
    Ok(())
}

/// A client sends types once; the link has served another one since, which has others.
#[test]
fn types_are_each_sessions_own() -> TestResult {
    let stage = stage("bulk_types")?;
    let (mut client, mut other) = (stage.login(&login())?, stage.login(&login())?);
    let (mine, others) = (insert(&mut client)?, insert(&mut other)?);
    run(&mut client, &mine, &[LONGLONG, VAR_STRING], &[[number(1), text(b"one")].concat()])?;
    run(&mut other, &others, &[VAR_STRING, LONGLONG], &[[text(b"2"), number(22)].concat()])?;
    run(&mut client, &mine, &[], &[[number(3), text(b"three")].concat()])?;
    run(&mut other, &others, &[], &[[text(b"4"), number(44)].concat()])?;
    // They hold for a single execution, too, and its types for a bulk one.
    client.execute_as_before(&mine, &[Value::Int(5), Value::text("five")])?.ok()?;
    other.execute(&others, &[Value::Int(6), Value::Int(66)])?.ok()?;
    run(&mut client, &mine, &[], &[[number(7), text(b"seven")].concat()])?;
    run(&mut other, &others, &[], &[[number(8), number(88)].concat()])?;
    let content = client.scalar("SELECT GROUP_CONCAT(id, content ORDER BY id) FROM bulk")?;
    assert_eq!(content, "1one,222,3three,444,5five,666,7seven,888");
    Ok(())
}

/// The same for executions that are passed on as they come.
#[test]
fn types_are_put_into_commands_that_are_not_collected() -> TestResult {
    let one_link = |config: AthenaConfig| {
        config.set("runtime", "cpus", "\"0\"").set("pool", "max_connections", "1").set(
            "server",
            "command_buffer_bytes",
            "163840",
        )
    };
    let stage = Stage::start_with("bulk_streamed", one_link)?;
    stage.server.sql("CREATE TABLE test.bulk (id BIGINT PRIMARY KEY, content LONGTEXT)")?;
    let (mut client, mut other) = (stage.login(&login())?, stage.login(&login())?);
    let (mine, others) = (insert(&mut client)?, insert(&mut other)?);
    let long = "x".repeat(MIB);
    client.execute(&mine, &[Value::Int(1), Value::text(&long)])?.ok()?;
    other.execute(&others, &[Value::text("2"), Value::Int(22)])?.ok()?;
    client.execute_as_before(&mine, &[Value::Int(3), Value::text(&long)])?.ok()?;
    other.execute_as_before(&others, &[Value::text("4"), Value::Int(44)])?.ok()?;
    run(&mut client, &mine, &[], &[[number(5), text(long.as_bytes())].concat()])?.ok()?;
    let content = client.scalar("SELECT GROUP_CONCAT(id, ':', LENGTH(content) ORDER BY id) FROM bulk")?;
    assert_eq!(content, format!("1:{MIB},2:2,3:{MIB},4:2,5:{MIB}"));
    Ok(())
}

#[test]
fn errors_are_the_servers() -> TestResult {
    let stage = stage("bulk_errors")?;
    let mut client = stage.login(&login())?;
    let statement = insert(&mut client)?;
    let rows = [[number(1), text(b"one")].concat(), [number(1), text(b"again")].concat()];
    let error = run(&mut client, &statement, &[LONGLONG, VAR_STRING], &rows).expect_err("twice the same key");
    assert_eq!(error.code(), Some(1062), "{error}");
    assert_eq!(client.scalar("SELECT COUNT(*) FROM bulk")?, "0");
    let unknown = Statement { id: 77, ..statement };
    let error = run(&mut client, &unknown, &[LONGLONG, VAR_STRING], &rows).expect_err("no such statement");
    assert_eq!(error.code(), Some(1243), "{error}");
    let error = client.command(command::STMT_BULK_EXECUTE, &[1, 0]).expect_err("it ends too early");
    assert_eq!(error.code(), Some(1835), "{error}");
    // Who has not said that it can do this does not have it.
    let mut without = stage.connect()?;
    let statement = insert(&mut without)?;
    let error = run(&mut without, &statement, &[LONGLONG, VAR_STRING], &rows).expect_err("not agreed on");
    assert_eq!(error.code(), Some(1047), "{error}");
    assert_eq!(client.scalar("SELECT 'next'")?, "next");
    Ok(())
}

#[test]
fn a_bulk_of_many_mebibytes() -> TestResult {
    let stage = stage("bulk_large")?;
    let mut client = stage.login(&login())?;
    let statement = insert(&mut client)?;
    for round in 0..2 {
        let row = |id: u64| [number(round * 40 + id), text(&vec![b'x'; MIB])].concat();
        let rows: Vec<_> = (1..=36).map(row).collect();
        let reply = run(&mut client, &statement, &[LONGLONG, VAR_STRING], &rows)?;
        assert_eq!(reply.ok()?.affected_rows, 36);
    }
    let sum = client.scalar("SELECT SUM(LENGTH(content)) FROM bulk")?;
    assert_eq!(sum, (72 * MIB).to_string());
    Ok(())
}

/// PREPARE and EXECUTE in one go, before the statement's id is known.
#[test]
fn the_statement_that_was_prepared_last() -> TestResult {
    let stage = stage("bulk_last")?;
    let mut client = stage.login(&login())?;
    client.prepare("SELECT 'another'")?;
    client.send(command::STMT_PREPARE, b"INSERT INTO bulk VALUES (?, ?)")?;
    let rows = [[number(1), text(b"one")].concat()];
    client.send(command::STMT_BULK_EXECUTE, &arguments(LAST, &[LONGLONG, VAR_STRING], &rows))?;
    client.stream().expect_sequence(1);
    client.read_statement()?;
    assert_eq!(client.read_pipelined_reply()?.ok()?.affected_rows, 1);
    let last = Statement { id: LAST, parameters: 2, columns: 0 };
    client.execute(&last, &[Value::Int(2), Value::text("two")])?.ok()?;
    client.prepare("SELECT FROM").expect_err("no statement");
    let error = client.execute(&last, &[Value::Int(3), Value::Null]).expect_err("none was prepared");
    assert_eq!(error.code(), Some(1243), "{error}");
    assert_eq!(client.scalar("SELECT COUNT(*) FROM bulk")?, "2");
    Ok(())
}

/// Whoever executes what was prepared last means the statement whose PREPARE is under way. If that is refused, by the
/// server or by Athena, an earlier one must not run in its place.
#[test]
fn a_refused_prepare_leaves_nothing_to_execute() -> TestResult {
    let stage = stage("bulk_refused")?;
    let mut client = stage.login(&login())?;
    for refused in ["KILL ?", "SHOW PROCESSLIST", "SELECT FROM"] {
        client.prepare("INSERT INTO bulk VALUES (1, 'wrong')")?;
        client.prepare(refused).expect_err(refused);
        let execute = [&LAST.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
        let error = client.command_binary(command::STMT_EXECUTE, &execute).expect_err(refused);
        assert_eq!(error.code(), Some(1243), "{refused}: {error}");
    }
    assert_eq!(client.scalar("SELECT COUNT(*) FROM bulk")?, "0");
    Ok(())
}
