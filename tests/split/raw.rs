//! What no client program can be made to say, said by the client of these tests.

use crate::common::TestResult;
use crate::common::wire::capability::LOCAL_FILES;
use crate::common::wire::{Connection, Login, Plugin, Statement, Value, capability, command};
use crate::layers::{Algorithm, Way};

const SESSION_TRACK: u32 = 1 << 23;
const FIELD_LIST: u8 = 0x04;
const READ_ONLY_CURSOR: u8 = 1;
/// Where the flags stand among the arguments of an EXECUTE.
const FLAGS: usize = 4;
/// Longer than the beginning of a command that Athena collects.
const LONG: usize = 200 * 1024;

/// The ways in which a client may want its replies, by the names of their databases.
pub fn dialects() -> [(&'static str, Login); 3] {
    let login = |database| Login::app().database(database).with(capability::MULTI_STATEMENTS | LOCAL_FILES);
    [
        ("split_old", login("split_old").without(capability::DEPRECATE_EOF)),
        ("split_plain", login("split_plain")),
        ("split_track", login("split_track").with(SESSION_TRACK)),
    ]
}

/// The ways on which a short conversation is held, by the names of its databases.
pub fn ways() -> [(&'static str, Way); 5] {
    [
        ("split_zlib", Way::PLAIN.compressed(Algorithm::Zlib)),
        ("split_zstd", Way::PLAIN.compressed(Algorithm::Zstd)),
        ("split_tls", Way::TLS),
        ("split_tls_zlib", Way::TLS.compressed(Algorithm::Zlib)),
        ("split_key", Way::BY_KEY),
    ]
}

/// The client of the short conversation.
pub fn short_login(database: &str) -> Login {
    // Whoever sends the password itself has begun with this plugin.
    let login = Login::app().database(database).by(Plugin::CachingSha2Rsa);
    login.with(capability::MULTI_STATEMENTS | LOCAL_FILES)
}

/// A little of everything.
pub fn converse_shortly(port: u16, login: &Login) -> TestResult {
    let mut client = Connection::login(port, login)?;
    client.run("DROP TABLE IF EXISTS t")?;
    client.run("CREATE TABLE t (a INT PRIMARY KEY AUTO_INCREMENT, b LONGTEXT)")?;
    client.run("INSERT INTO t (b) VALUES (''), (NULL), (REPEAT('r', 300))")?;
    client.query("SELECT b FROM t ORDER BY a")?;
    client.query("SELECT nonsense").expect_err("no such column");
    client.ping()?;
    client.send(command::QUERY, b"SELECT 1; SELECT 'b' UNION SELECT 'c'; DO 0")?;
    for _ in 0..3 {
        client.read_reply()?;
    }
    let statement = client.prepare("SELECT ? AS v, LENGTH(?) AS w")?;
    client.send_long_data(&statement, 1, &[b'd'; 90])?;
    client.execute(&statement, &[Value::Int(42), Value::LongData])?;
    client.close(&statement)?;
    client.query(&format!("SELECT LENGTH('{}')", "l".repeat(3000)))?;
    file(&mut client)?;
    another_user(&mut client, login)?;
    file(&mut client)?;
    client.quit()?;
    Ok(())
}

/// Every kind of command and reply once.
pub fn converse(port: u16, login: &Login) -> TestResult {
    let mut client = Connection::login(port, login)?;
    text(&mut client)?;
    prepared(&mut client)?;
    cursor(&mut client)?;
    whole_session(&mut client, login)?;
    file(&mut client)?;
    another_user(&mut client, login)?;
    client.quit()?;
    Ok(())
}

fn text(client: &mut Connection) -> TestResult {
    client.run("DROP TABLE IF EXISTS t")?;
    client.run("CREATE TABLE t (a INT PRIMARY KEY AUTO_INCREMENT, b LONGTEXT)")?;
    client.run("INSERT INTO t (b) VALUES (''), (NULL), ('\u{fb}\u{fe}\u{ff}'), (REPEAT('r', 300))")?;
    client.query("SELECT b FROM t ORDER BY a")?;
    client.query("SELECT '' UNION ALL SELECT NULL UNION ALL SELECT 'x'")?;
    client.query("SELECT a FROM t WHERE a < 0")?;
    client.query("SELECT REPEAT('w', 70000)")?;
    client.query("SELECT nonsense").expect_err("no such column");
    client.query("SELECT a, (SELECT a FROM t) FROM t").expect_err("more than one row");
    // No UTF-8: an error on one server, a value on the other.
    let _ = client.query_bytes(b"SELECT '\xff\xfe'");
    client.ping()?;
    client.command(command::INIT_DB, b"nowhere").expect_err("no such database");
    client.command(command::INIT_DB, b"test")?;
    client.scalar("SELECT DATABASE()")?;
    client.command(0x7f, b"nothing").expect_err("no such command");
    client.query(&format!("SELECT LENGTH('{}')", "l".repeat(LONG)))?;
    client.send(command::QUERY, b"SELECT 1; SELECT 'b' UNION SELECT 'c'; DO 0; SELECT nonsense")?;
    for _ in 0..3 {
        client.read_reply()?;
    }
    client.read_reply().expect_err("no such column");
    Ok(())
}

fn prepared(client: &mut Connection) -> TestResult {
    client.run("SET @before = 1")?;
    let statement = client.prepare("SELECT ? AS v, ? AS w")?;
    client.execute(&statement, &[Value::Int(42), Value::Null])?;
    client.execute_as_before(&statement, &[Value::Int(43), Value::Null])?;
    client.execute(&statement, &[Value::text("text"), Value::Double(1.5)])?;
    let long = client.prepare("SELECT LENGTH(?), CONCAT(?)")?;
    client.send_long_data(&long, 0, b"")?;
    client.send_long_data(&long, 0, &[b'd'; 90])?;
    client.send_long_data(&long, 1, b"other")?;
    client.execute(&long, &[Value::LongData, Value::LongData])?;
    client.send_long_data(&long, 0, b"forgotten")?;
    client.command(command::STMT_RESET, &long.id.to_le_bytes())?;
    client.execute(&long, &[Value::text("short"), Value::text("er")])?;
    client.execute(&long, &[Value::Bytes(vec![b'p'; LONG]), Value::Null])?;
    client.close(&statement)?;
    client.execute(&statement, &[Value::Int(1), Value::Int(2)]).expect_err("closed");
    client.prepare("SELECT FROM").expect_err("no statement");
    let no_parameters = client.prepare("SELECT 'none'")?;
    client.execute(&no_parameters, &[])?;
    let no_columns = client.prepare("DO 0")?;
    client.execute(&no_columns, &[])?;
    client.close(&long)?;
    client.close(&no_parameters)?;
    client.close(&no_columns)?;
    Ok(())
}

fn cursor(client: &mut Connection) -> TestResult {
    let rows = "SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5";
    let statement = client.prepare(rows)?;
    let mut arguments = statement.execution(&[]);
    arguments[FLAGS] = READ_ONLY_CURSOR;
    client.send(command::STMT_EXECUTE, &arguments)?;
    // The columns, and one packet that says that rows are to be fetched.
    for _ in 0..3 {
        client.stream().read_payload()?;
    }
    for count in [2_u32, 2, 2] {
        fetch(client, &statement, count)?;
    }
    client.command(command::STMT_RESET, &statement.id.to_le_bytes())?;
    client.send(command::STMT_FETCH, &[statement.id.to_le_bytes(), 1_u32.to_le_bytes()].concat())?;
    client.read_reply().expect_err("no open cursor");
    client.close(&statement)?;
    Ok(())
}

fn fetch(client: &mut Connection, statement: &Statement, count: u32) -> TestResult {
    client.send(command::STMT_FETCH, &[statement.id.to_le_bytes(), count.to_le_bytes()].concat())?;
    let mut row = Vec::new();
    while client.next_row(&mut row)? {}
    Ok(())
}

/// What changes the session, or needs a link of its own.
fn whole_session(client: &mut Connection, login: &Login) -> TestResult {
    let database = login.database.as_deref().unwrap_or_default();
    client.command(command::INIT_DB, database.as_bytes())?;
    client.run("BEGIN")?;
    client.run("INSERT INTO t (b) VALUES ('in a transaction')")?;
    client.scalar("SELECT LAST_INSERT_ID() > 0")?;
    client.run("ROLLBACK")?;
    client.run("SET sql_mode = 'ANSI_QUOTES'")?;
    client.query("SELECT \"a\" FROM t ORDER BY a LIMIT 1")?;
    client.run("DROP PROCEDURE IF EXISTS p")?;
    client.run("CREATE PROCEDURE p() BEGIN SELECT 1; SELECT a FROM t ORDER BY a; END")?;
    client.send(command::QUERY, b"CALL p()")?;
    for _ in 0..3 {
        client.read_reply()?;
    }
    client.send(FIELD_LIST, b"t\0")?;
    let mut definition = Vec::new();
    while client.next_row(&mut definition)? {}
    client.command(command::RESET_CONNECTION, &[])?;
    client.scalar("SELECT @before IS NULL")?;
    Ok(())
}

/// A file that the server asks for, alone and after other results.
fn file(client: &mut Connection) -> TestResult {
    const LOAD: &str = "LOAD DATA LOCAL INFILE 'f' INTO TABLE t (b)";
    client.run("DELETE FROM t")?;
    for (before, after) in [("", ""), ("SELECT 1; ", "; SELECT 'after'")] {
        client.send(command::QUERY, format!("{before}{LOAD}{after}").as_bytes())?;
        if !before.is_empty() {
            client.read_reply()?;
        }
        client.stream().read_payload()?;
        for packet in [&b"one\ntw"[..], b"o\n", &[b'x'; 120], b""] {
            client.stream().write_payload(packet)?;
        }
        client.read_reply()?;
        if !after.is_empty() {
            client.read_reply()?;
        }
    }
    client.scalar("SELECT SUM(LENGTH(b)) FROM t")?;
    Ok(())
}

/// Logins on a connection that is logged in: what was there is gone.
fn another_user(client: &mut Connection, login: &Login) -> TestResult {
    client.run("SET @before = 1")?;
    client.change_user(&login.clone().database("test"))?;
    client.query("SELECT @before, DATABASE()")?;
    client.change_user(login)?;
    client.query("SELECT @before, DATABASE()")?;
    Ok(())
}
