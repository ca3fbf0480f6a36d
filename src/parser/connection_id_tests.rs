use super::*;

const DEFAULT: SqlMode =
    SqlMode { ansi_quotes: false, no_backslash_escapes: false, unsafe_charset: false, one_statement: false };

fn rewritten(sql: &str, mode: SqlMode) -> String {
    let text =
        String::from_utf8(with_connection_id(sql.as_bytes(), mode, 7).expect("a clear text")).expect("text");
    text.replace(&as_function(7), ID).replace(&as_variable(7), ID)
}

#[test]
fn the_id_is_written_as_the_checksum_of_four_bytes() {
    for id in [0, 1, 7, 1234, 0x8000_0001, u32::MAX] {
        let text = as_function(id);
        let digits = text.strip_prefix("CRC32(0x").and_then(|rest| rest.strip_suffix(')')).expect("a call");
        let mut state = u32::MAX;
        for byte in u32::from_str_radix(digits, 16).expect("a number").to_be_bytes() {
            state ^= u32::from(byte);
            for _ in 0..8 {
                state = if state & 1 == 1 { state >> 1 ^ 0xEDB8_8320 } else { state >> 1 };
            }
        }
        assert_eq!(!state, id, "{text}");
    }
    assert_eq!(rewritten("KILL CONNECTION_ID()", DEFAULT), "KILL 7");
    let sql = b"KILL CONNECTION_ID()";
    assert_eq!(with_connection_id(sql, DEFAULT, 7).expect("clear"), b"KILL 7", "nothing but the number");
}

/// What is written for the id.
const ID: &str = "<7>";

/// Statements, and what becomes of them; `{}` is [`ID`].
const REPLACED: &[(&str, &str)] = &[
    ("SELECT CONNECTION_ID()", "SELECT {} AS `CONNECTION_ID()`"),
    ("select connection_id ( ) ;", "select {} AS `connection_id ( )` ;"),
    ("SELECT Connection_Id/* x */(\n)", "SELECT {} AS `Connection_Id/* x */(\n)`"),
    ("SELECT `connection_id`()", "SELECT {} AS ```connection_id``()`"),
    ("SELECT /* a */ CONNECTION_ID() /* b */, 2", "SELECT /* a */ {} AS `CONNECTION_ID()` /* b */, 2"),
    ("SELECT 1, CONNECTION_ID() FROM t", "SELECT 1, {} AS `CONNECTION_ID()` FROM t"),
    ("SELECT DISTINCT CONNECTION_ID() LIMIT 1", "SELECT DISTINCT {} AS `CONNECTION_ID()` LIMIT 1"),
    ("SELECT CONNECTION_ID() AS id", "SELECT {} AS id"),
    ("SELECT CONNECTION_ID() id, 1", "SELECT {} id, 1"),
    ("SELECT CONNECTION_ID() 'id'", "SELECT {} 'id'"),
    ("SELECT CONNECTION_ID()+1", "SELECT {}+1 AS `CONNECTION_ID()+1`"),
    ("SELECT (CONNECTION_ID())", "SELECT ({}) AS `(CONNECTION_ID())`"),
    ("SELECT 1 + CONNECTION_ID() x", "SELECT 1 + {} x"),
    ("SELECT a = CONNECTION_ID() FROM t", "SELECT a = {} AS `a = CONNECTION_ID()` FROM t"),
    ("SELECT CONNECTION_ID() = a FROM t", "SELECT {} = a AS `CONNECTION_ID() = a` FROM t"),
    ("SELECT CAST(CONNECTION_ID() AS CHAR)", "SELECT CAST({} AS CHAR) AS `CAST(CONNECTION_ID() AS CHAR)`"),
    ("SELECT CONCAT('a,b', CONNECTION_ID(), 1) c", "SELECT CONCAT('a,b', {}, 1) c"),
    ("SELECT CONNECTION_ID() UNION SELECT 1", "SELECT {} AS `CONNECTION_ID()` UNION SELECT 1"),
    ("(SELECT CONNECTION_ID())", "(SELECT {} AS `CONNECTION_ID()`)"),
    (
        "SELECT * FROM (SELECT CONNECTION_ID()) t WHERE a = CONNECTION_ID()",
        "SELECT * FROM (SELECT {} AS `CONNECTION_ID()`) t WHERE a = {}",
    ),
    (
        "SELECT (SELECT CONNECTION_ID())",
        "SELECT (SELECT {} AS `CONNECTION_ID()`) AS `(SELECT CONNECTION_ID())`",
    ),
    (
        "SELECT EXISTS(SELECT CONNECTION_ID() x, 1)",
        "SELECT EXISTS(SELECT {} x, 1) AS `EXISTS(SELECT CONNECTION_ID() x, 1)`",
    ),
    ("SELECT 1 WHERE CONNECTION_ID() IN (SELECT id FROM t)", "SELECT 1 WHERE {} IN (SELECT id FROM t)"),
    (
        "INSERT INTO t VALUES (1, CONNECTION_ID()), (CONNECTION_ID(), 2)",
        "INSERT INTO t VALUES (1, {}), ({}, 2)",
    ),
    ("INSERT INTO t SELECT CONNECTION_ID()", "INSERT INTO t SELECT {} AS `CONNECTION_ID()`"),
    ("UPDATE t SET a = CONNECTION_ID(), b = 2", "UPDATE t SET a = {}, b = 2"),
    ("DELETE FROM t WHERE id = connection_id()", "DELETE FROM t WHERE id = {}"),
    ("SET @a = CONNECTION_ID()", "SET @a = {}"),
    ("DO CONNECTION_ID()", "DO {}"),
    ("CALL p(CONNECTION_ID())", "CALL p({})"),
    ("KILL CONNECTION_ID()", "KILL 7"),
    ("KILL QUERY CONNECTION_ID();", "KILL QUERY 7;"),
    ("SELECT 1; SELECT CONNECTION_ID(); SELECT 2", "SELECT 1; SELECT {} AS `CONNECTION_ID()`; SELECT 2"),
    ("EXPLAIN SELECT CONNECTION_ID()", "EXPLAIN SELECT {} AS `CONNECTION_ID()`"),
    ("WITH a AS (SELECT CONNECTION_ID() x) SELECT * FROM a", "WITH a AS (SELECT {} x) SELECT * FROM a"),
    ("CREATE TABLE t AS SELECT CONNECTION_ID() c", "CREATE TABLE t AS SELECT {} c"),
    ("SELECT ?, CONNECTION_ID()", "SELECT ?, {} AS `CONNECTION_ID()`"),
    ("SELECT CONNECTION_ID() INTO @a", "SELECT {} AS `CONNECTION_ID()` INTO @a"),
    ("SELECT /*!40000 CONNECTION_ID() */, 1", "SELECT /*!40000 {} AS `CONNECTION_ID()` */, 1"),
    ("SELECT 'processlist', CONNECTION_ID() c", "SELECT 'processlist', {} c"),
    ("SELECT @@pseudo_thread_id", "SELECT {} AS `@@pseudo_thread_id`"),
    ("SELECT @@session . `pseudo_thread_id`, 1", "SELECT {} AS `@@session . ``pseudo_thread_id```, 1"),
    ("SELECT @@local.pseudo_thread_id p", "SELECT {} p"),
    ("SET @a = @@pseudo_thread_id, @b = 1", "SET @a = {}, @b = 1"),
    (
        "SET @@pseudo_thread_id = 3, @@session.pseudo_thread_id = @@pseudo_thread_id",
        "SET @@pseudo_thread_id = 3, @@session.pseudo_thread_id = {}",
    ),
    ("SET @a = f(1, @@pseudo_thread_id)", "SET @a = f(1, {})"),
    (
        "SELECT id - CONNECTION_ID() AND b FROM t",
        "SELECT id - {} AND b AS `id - CONNECTION_ID() AND b` FROM t",
    ),
    ("SELECT CONNECTION_ID() IS NULL", "SELECT {} IS NULL AS `CONNECTION_ID() IS NULL`"),
    ("SELECT CASE 1 WHEN CONNECTION_ID() THEN 2 END a", "SELECT CASE 1 WHEN {} THEN 2 END a"),
    (
        "SELECT CASE CONNECTION_ID() WHEN 1 THEN 2 END",
        "SELECT CASE {} WHEN 1 THEN 2 END AS `CASE CONNECTION_ID() WHEN 1 THEN 2 END`",
    ),
    ("SELECT CONNECTION_ID() end", "SELECT {} end"),
    ("SELECT CONNECTION_ID() returning, 1", "SELECT {} returning, 1"),
    (
        "INSERT INTO t SELECT CONNECTION_ID() ON DUPLICATE KEY UPDATE a = CONNECTION_ID() RETURNING a, CONNECTION_ID()",
        "INSERT INTO t SELECT {} AS `CONNECTION_ID()` ON DUPLICATE KEY UPDATE a = {} RETURNING a, {} AS `CONNECTION_ID()`",
    ),
    ("SELECT CONNECTION_ID() LOCK IN SHARE MODE", "SELECT {} AS `CONNECTION_ID()` LOCK IN SHARE MODE"),
    (
        "SET STATEMENT a = 1 FOR SELECT CONNECTION_ID() x, @@pseudo_thread_id y",
        "SET STATEMENT a = 1 FOR SELECT {} x, {} y",
    ),
    (
        "BEGIN NOT ATOMIC CREATE TABLE t (a INT); DO CONNECTION_ID(); END",
        "BEGIN NOT ATOMIC CREATE TABLE t (a INT); DO {}; END",
    ),
    ("SELECT t.from, CONNECTION_ID() FROM t", "SELECT t.from, {} AS `CONNECTION_ID()` FROM t"),
];

/// Statements that stay as they are.
const KEPT: &[&str] = &[
    "SELECT 'CONNECTION_ID()', \"connection_id()\"",
    "SELECT 1 /* CONNECTION_ID() */ -- CONNECTION_ID()",
    "SELECT test.connection_id(), a . `connection_id`()",
    "SELECT connection_id, connection_id(1), xconnection_id() FROM t",
    "SELECT @connection_id, @@global.pseudo_thread_id",
    "SET @@pseudo_thread_id = 5",
    "SET SESSION pseudo_thread_id = 5",
    "CREATE VIEW v AS SELECT CONNECTION_ID()",
    "CREATE OR REPLACE ALGORITHM=MERGE VIEW v AS SELECT CONNECTION_ID()",
    "SET STATEMENT a = 1 FOR CREATE VIEW v AS SELECT CONNECTION_ID()",
    "BEGIN NOT ATOMIC ALTER VIEW v AS SELECT CONNECTION_ID(); END",
    "CREATE FUNCTION f() RETURNS INT RETURN CONNECTION_ID()",
    "CREATE PROCEDURE p() BEGIN SELECT CONNECTION_ID(); SELECT CONNECTION_ID(); END",
    "CREATE TABLE t (a INT DEFAULT (CONNECTION_ID()))",
    "ALTER TABLE t ALTER a SET DEFAULT (CONNECTION_ID())",
    "PREPARE s FROM 'SELECT CONNECTION_ID()'",
    "SELECT IS_USED_LOCK('a') = CONNECTION_ID()",
    "SELECT STATE FROM information_schema.`PROCESSLIST` WHERE ID = CONNECTION_ID()",
    "SELECT * FROM performance_schema.threads WHERE PROCESSLIST_ID = CONNECTION_ID()",
    "",
    ")",
];

#[test]
fn the_id_stands_where_a_server_would_put_its_own() {
    for (sql, expected) in REPLACED {
        assert_eq!(rewritten(sql, DEFAULT), expected.replace("{}", ID), "{sql}");
    }
    for sql in KEPT {
        assert_eq!(rewritten(sql, DEFAULT), *sql);
    }
}

#[test]
fn quotes_are_read_as_the_session_has_set_them() {
    let ansi = SqlMode { ansi_quotes: true, ..DEFAULT };
    assert_eq!(
        rewritten("SELECT \"connection_id\"()", ansi),
        format!("SELECT {ID} AS `\"connection_id\"()`")
    );
    let sql = r"SELECT 'a\', CONNECTION_ID()";
    assert_eq!(rewritten(sql, DEFAULT), sql);
    let no_escapes = SqlMode { no_backslash_escapes: true, ..DEFAULT };
    assert_eq!(rewritten(sql, no_escapes), format!(r"SELECT 'a\', {ID} AS `CONNECTION_ID()`"));
}

#[test]
fn a_text_that_servers_read_in_two_ways_is_left_alone() {
    for sql in ["SELECT CONNECTION_ID() /*!50701 + 1 */", "SELECT /*!40000 CONNECTION_ID()"] {
        assert_eq!(with_connection_id(sql.as_bytes(), DEFAULT, 7), Err(Unclear), "{sql}");
    }
    let unsafe_charset = SqlMode { unsafe_charset: true, ..DEFAULT };
    assert_eq!(with_connection_id(b"SELECT '\xBF\\', CONNECTION_ID()", unsafe_charset, 7), Err(Unclear));
    assert_eq!(rewritten("DO CONNECTION_ID()", unsafe_charset), format!("DO {ID}"));
}

#[test]
fn a_long_item_gets_no_name() {
    let sql = format!("SELECT CONNECTION_ID() + {}", "1".repeat(300));
    assert_eq!(rewritten(&sql, DEFAULT), sql.replace("CONNECTION_ID()", ID));
}

#[test]
fn no_piece_of_any_text_panics_and_deep_nesting_takes_no_square_time() {
    for (sql, _) in REPLACED {
        for cut in 0..sql.len() {
            let _ = with_connection_id(&sql.as_bytes()[..cut], DEFAULT, 7);
            let _ = with_connection_id(&sql.as_bytes()[cut..], DEFAULT, 7);
        }
    }
    for piece in ["(", "(SELECT ", "CONNECTION_ID(", "SELECT CONNECTION_ID(),", ")"] {
        let _ = with_connection_id(piece.repeat(20_000).as_bytes(), DEFAULT, 7);
    }
}
