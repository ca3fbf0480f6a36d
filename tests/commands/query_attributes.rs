//! MySQL's query attributes: they reach the server, and the statement behind them is seen.

use athena_perf::proxy::AthenaConfig;

use crate::common::TestResult;
use crate::common::random::Random;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login, Reply, Result, capability, command};

const MIB: usize = 1024 * 1024;
const VAR_STRING: u8 = 0xfd;
const LONGLONG: u8 = 0x08;
/// PARAMETER_COUNT_AVAILABLE
const COUNTED: u8 = 8;
const SELECT: &str = "SELECT mysql_query_attribute_string('a')";

fn login() -> Login {
    Login::app().with(capability::QUERY_ATTRIBUTES)
}

/// A MySQL with one link; `None` where there is no MySQL.
fn stage(name: &str) -> TestResult<Option<Stage>> {
    let one_link =
        |config: AthenaConfig| config.set("runtime", "cpus", "\"0\"").set("pool", "max_connections", "1");
    let stage = Stage::start_on_mysql(name, one_link)?;
    if let Some(stage) = &stage {
        stage.server.sql("INSTALL COMPONENT 'file://component_query_attributes'")?;
    }
    Ok(stage)
}

/// The payload of a COM_QUERY, behind the command byte, with one attribute of text.
fn with_attribute(name: &str, value: &str, sql: &[u8]) -> Vec<u8> {
    let mut payload = vec![1, 1, 0, 1, VAR_STRING, 0];
    for text in [name, value] {
        payload.push(u8::try_from(text.len()).expect("short"));
        payload.extend_from_slice(text.as_bytes());
    }
    [payload.as_slice(), sql].concat()
}

fn query(client: &mut Connection, sql: &str) -> Result<Reply> {
    client.command(command::QUERY, &[b"\0\x01", sql.as_bytes()].concat())
}

fn scalar(client: &mut Connection, sql: &str) -> Result<String> {
    Ok(query(client, sql)?.rows()?.scalar()?.to_string())
}

#[test]
fn attributes_reach_the_server() -> TestResult {
    let Some(stage) = stage("attributes_text")? else { return Ok(()) };
    let mut client = stage.login(&login())?;
    for value in ["one", "", "another"] {
        let found = client.command(command::QUERY, &with_attribute("a", value, SELECT.as_bytes()))?;
        assert_eq!(found.rows()?.scalar()?.to_string(), value);
        assert_eq!(scalar(&mut client, SELECT)?, "NULL", "they are of one statement only");
    }
    let error = client.command(command::QUERY, b"\x01\x01SELECT 1").expect_err("no attributes are there");
    assert_eq!(error.code(), Some(1835), "{error}");
    // Clients without attributes are served, too, on links of their own.
    assert_eq!(stage.connect()?.scalar("SELECT 1")?, "1");
    assert_eq!(scalar(&mut client, "SELECT 'next'")?, "next");
    Ok(())
}

#[test]
fn the_statement_behind_them_is_seen() -> TestResult {
    let Some(stage) = stage("attributes_facts")? else { return Ok(()) };
    let mut client = stage.login(&login())?;
    let into = with_attribute("a", "SELECT 1", b"SELECT 7 INTO @silent");
    client.command(command::QUERY, &into)?.ok()?;
    assert_eq!(scalar(&mut client, "SELECT @silent")?, "7");
    client.quit()?;
    // The link has been reset, in the format of its commands, and goes to the next.
    let mut next = stage.login(&login())?;
    assert_eq!(scalar(&mut next, "SELECT @silent")?, "NULL");
    Ok(())
}

/// What Athena itself runs on such a link: other schemas, another session's LAST_INSERT_ID().
#[test]
fn commands_of_athenas_own_have_the_format() -> TestResult {
    let Some(stage) = stage("attributes_own")? else { return Ok(()) };
    stage.server.sql("CREATE TABLE test.numbered (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")?;
    let (mut client, mut other) = (stage.login(&login())?, stage.login(&login().database("sbtest"))?);
    query(&mut client, "INSERT INTO numbered (v) VALUES (1)")?.ok()?;
    query(&mut other, "INSERT INTO test.numbered (v) VALUES (2)")?.ok()?;
    assert_eq!(scalar(&mut client, "SELECT LAST_INSERT_ID()")?, "1");
    assert_eq!(scalar(&mut other, "SELECT CONCAT(DATABASE(), LAST_INSERT_ID())")?, "sbtest2");
    assert_eq!(scalar(&mut client, "SELECT DATABASE()")?, "test");
    Ok(())
}

#[test]
fn a_large_statement_with_attributes() -> TestResult {
    let Some(stage) = stage("attributes_large")? else { return Ok(()) };
    let mut client = stage.login(&login())?;
    let literal = Random::new(5).literal(17 * MIB);
    let sql =
        [b"SELECT CONCAT(mysql_query_attribute_string('a'), LENGTH('", literal.as_slice(), b"'))"].concat();
    let found = client.command(command::QUERY, &with_attribute("a", "large ", &sql))?.rows()?.scalar()?;
    assert_eq!(found.to_string(), format!("large {}", 17 * MIB));
    // Where the text can't be found nothing is run.
    let far = [&[1, 1, 0, 1, VAR_STRING, 0, 1, b'a', 0xfe][..], &(20 * MIB as u64).to_le_bytes()].concat();
    let far = [far.as_slice(), &vec![b'x'; 20 * MIB], b"SELECT 1"].concat();
    let error = client.command(command::QUERY, &far).expect_err("an attribute of 20 MiB");
    assert_eq!(error.code(), Some(1153), "{error}");
    assert_eq!(scalar(&mut client, "SELECT 'next'")?, "next");
    Ok(())
}

/// EXECUTE of a statement with one parameter: values with their types and names.
fn execution(id: u32, flags: u8, values: &[(u8, &str, &[u8])], bound: bool) -> Vec<u8> {
    let mut payload = id.to_le_bytes().to_vec();
    payload.extend_from_slice(&[flags, 1, 0, 0, 0, u8::try_from(values.len()).expect("few")]);
    if !values.is_empty() {
        payload.extend_from_slice(&[0, u8::from(bound)]);
    }
    for (column_type, name, _) in values.iter().filter(|_| bound) {
        payload.extend_from_slice(&[*column_type, 0, u8::try_from(name.len()).expect("short")]);
        payload.extend_from_slice(name.as_bytes());
    }
    values.iter().for_each(|(_, _, value)| payload.extend_from_slice(value));
    payload
}

#[test]
fn attributes_of_prepared_statements() -> TestResult {
    let Some(stage) = stage("attributes_prepared")? else { return Ok(()) };
    let (mut client, mut other) = (stage.login(&login())?, stage.login(&login())?);
    let text = "SELECT CONCAT(?, COALESCE(mysql_query_attribute_string('a'), '-'))";
    let (mine, others) = (client.prepare(text)?, other.prepare(text)?);
    let run = |client: &mut Connection, arguments: &[u8]| -> Result<String> {
        Ok(client.command_binary(command::STMT_EXECUTE, arguments)?.rows()?.scalar()?.to_string())
    };
    let seven = 7_u64.to_le_bytes();
    let (text_z, text_y) = ((VAR_STRING, "", &b"\x01z"[..]), (VAR_STRING, "", &b"\x01y"[..]));
    let number = (LONGLONG, "", &seven[..]);
    let attribute = (VAR_STRING, "a", &b"\x03att"[..]);
    for flags in [0, COUNTED] {
        assert_eq!(run(&mut client, &execution(mine.id, flags, &[text_z], true))?, "z-");
        assert_eq!(run(&mut client, &execution(mine.id, flags, &[text_z, attribute], true))?, "zatt");
        assert_eq!(run(&mut other, &execution(others.id, flags, &[number, attribute], true))?, "7att");
        // The types of before hold, though the link has served the other one since.
        assert_eq!(run(&mut client, &execution(mine.id, flags, &[text_y], false))?, "y-");
        assert_eq!(run(&mut other, &execution(others.id, flags, &[number], false))?, "7-");
    }
    let bare = client.prepare(SELECT)?;
    assert_eq!(run(&mut client, &execution(bare.id, COUNTED, &[attribute], true))?, "att");
    assert_eq!(run(&mut client, &execution(bare.id, COUNTED, &[], true))?, "NULL");
    // A parameter above what is collected, with an attribute behind it.
    let length = client.prepare("SELECT CONCAT(LENGTH(?), mysql_query_attribute_string('a'))")?;
    let content = [&[0xfe][..], &(17 * MIB as u64).to_le_bytes(), &vec![b'x'; 17 * MIB]].concat();
    let large = execution(length.id, COUNTED, &[(VAR_STRING, "", &content), attribute], true);
    assert_eq!(run(&mut client, &large)?, format!("{}att", 17 * MIB));
    assert_eq!(scalar(&mut client, "SELECT 'next'")?, "next");
    Ok(())
}
