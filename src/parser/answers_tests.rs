use super::super::{Charset, Server};
use super::*;
use crate::parser::constant::{connection_id, count, found_rows, function, variable};

const DEFAULT: SqlMode = SqlMode {
    ansi_quotes: false,
    no_backslash_escapes: false,
    charset: Charset::Plain,
    server: Server { mariadb: false, version: 0 },
    one_statement: false,
};

fn rewritten(sql: &str, mode: SqlMode) -> String {
    let text =
        String::from_utf8(with_connection_id(sql.as_bytes(), mode, 7).expect("a clear text")).expect("text");
    text.replace(&connection_id(7, true), ID).replace(&variable(7), ID)
}

#[test]
fn a_kill_gets_nothing_but_the_number() {
    let sql = b"KILL CONNECTION_ID()";
    assert_eq!(with_connection_id(sql, DEFAULT, 7).expect("clear"), b"KILL 7");
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
}

#[test]
fn code_in_comments_is_no_part_of_a_name_where_it_is_no_code() {
    let mysql = SqlMode { server: Server { mariadb: false, version: 90704 }, ..DEFAULT };
    let mariadb = SqlMode { server: Server { mariadb: true, version: 101119 }, ..DEFAULT };
    let sql = "SELECT CONNECTION_ID() /*!50701 + 1 */ + 1, /*!90000 CONNECTION_ID(), */ 2";
    let on_mysql = format!(
        "SELECT {ID} /*!50701 + 1 */ + 1 AS `CONNECTION_ID()  + 1  + 1`, /*!90000 {ID} AS `CONNECTION_ID()`, */ 2"
    );
    let on_mariadb =
        format!("SELECT {ID} /*!50701 + 1 */ + 1 AS `CONNECTION_ID()  + 1`, /*!90000 CONNECTION_ID(), */ 2");
    assert_eq!(rewritten(sql, mysql), on_mysql);
    assert_eq!(rewritten(sql, mariadb), on_mariadb);
}

#[test]
fn the_second_byte_of_a_character_is_no_quote() {
    let gbk = SqlMode { charset: Charset::Gbk, ..DEFAULT };
    let sql = b"SELECT '\xBF\\', CONNECTION_ID() + '\xBF`'";
    let expected = [
        b"SELECT '\xBF\\', ",
        connection_id(7, true).as_bytes(),
        b" + '\xBF`' AS `CONNECTION_ID() + '\xBF`'`",
    ]
    .concat();
    assert_eq!(with_connection_id(sql, gbk, 7), Ok(expected));
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

const KNOWN: Answers = Answers {
    connection_id: Some(1),
    row_count: Some(-1),
    found_rows: Some(3),
    warning_count: Some(4),
    error_count: Some(5),
    last_insert_id: Some(6),
};

fn answered(sql: &str, mariadb: bool) -> String {
    let text = with_answers(sql.as_bytes(), DEFAULT, mariadb, &KNOWN).unwrap_or_else(|_| panic!("{sql}"));
    String::from_utf8(text).expect("text")
}

/// Texts, and what becomes of them; the constants are spelled by names in braces.
const ANSWERED: &[(&str, &str)] = &[
    ("SELECT ROW_COUNT()", "SELECT {rows} AS `ROW_COUNT()`"),
    ("select found_rows ( ) n", "select {found} n"),
    ("SELECT LAST_INSERT_ID(), 1", "SELECT {id} AS `LAST_INSERT_ID()`, 1"),
    (
        "SELECT @@warning_count, @@session.warning_count w, @@local . error_count",
        "SELECT {warnings} AS `@@warning_count`, {warnings} w, {errors} AS `@@local . error_count`",
    ),
    (
        "SELECT @@identity, @@`last_insert_id`, @@error_count",
        "SELECT {@id} AS `@@identity`, {@id} AS `@@``last_insert_id```, {errors} AS `@@error_count`",
    ),
    ("INSERT INTO t VALUES (LAST_INSERT_ID(), 1)", "INSERT INTO t VALUES ({id}, 1)"),
    ("UPDATE t SET a = ROW_COUNT() WHERE b = @@identity", "UPDATE t SET a = {rows} WHERE b = {@id}"),
    (
        "SELECT @@error_count e, TRIM('a' FROM 'b') FROM DUAL",
        "SELECT {errors} e, TRIM('a' FROM 'b') FROM DUAL",
    ),
    ("SET @a = FOUND_ROWS(), @b = @@warning_count", "SET @a = {found}, @b = {warnings}"),
    ("DO ROW_COUNT(), CONNECTION_ID()", "DO {rows}, {connection}"),
    ("SELECT 1 ORDER BY FOUND_ROWS()", "SELECT 1 ORDER BY {found}"),
    ("CREATE TABLE t AS SELECT ROW_COUNT() a", "CREATE TABLE t AS SELECT {rows} a"),
    // Only the first statement asks about what ran before the text.
    (
        "SELECT ROW_COUNT() a; SELECT ROW_COUNT(), @@warning_count, LAST_INSERT_ID(), CONNECTION_ID() c",
        "SELECT {rows} a; SELECT ROW_COUNT(), @@warning_count, LAST_INSERT_ID(), {connection} c",
    ),
    ("SELECT 1; SELECT FOUND_ROWS()", "SELECT 1; SELECT FOUND_ROWS()"),
    ("(SELECT 1); BEGIN; SELECT FOUND_ROWS()", "(SELECT 1); BEGIN; SELECT FOUND_ROWS()"),
    ("SET @a = 1; COMMIT; SELECT FOUND_ROWS() a", "SET @a = 1; COMMIT; SELECT {found} a"),
    ("INSERT INTO t VALUES (1); SELECT FOUND_ROWS() a", "INSERT INTO t VALUES (1); SELECT {found} a"),
    ("SELECT 1; IF ROW_COUNT() THEN DO 1; END IF", "SELECT 1; IF ROW_COUNT() THEN DO 1; END IF"),
    // A block knows no more of its own connection than any other text.
    ("BEGIN NOT ATOMIC DO CONNECTION_ID(); END", "BEGIN NOT ATOMIC DO {connection}; END"),
    ("SET last_insert_id = LAST_INSERT_ID(9)", "SET last_insert_id = LAST_INSERT_ID(9)"),
    (
        "SELECT LAST_INSERT_ID(9); SELECT LAST_INSERT_ID()",
        "SELECT LAST_INSERT_ID(9); SELECT LAST_INSERT_ID()",
    ),
    ("GET DIAGNOSTICS @a = ROW_COUNT", "GET DIAGNOSTICS @a = ROW_COUNT"),
    ("SELECT row_count, t.row_count(), 'ROW_COUNT()'", "SELECT row_count, t.row_count(), 'ROW_COUNT()'"),
    ("SELECT @@global.identity, @warning_count", "SELECT @@global.identity, @warning_count"),
    (
        "CREATE FUNCTION f() RETURNS INT RETURN ROW_COUNT()",
        "CREATE FUNCTION f() RETURNS INT RETURN ROW_COUNT()",
    ),
    ("CREATE VIEW v AS SELECT FOUND_ROWS()", "CREATE VIEW v AS SELECT FOUND_ROWS()"),
    (
        "SELECT ROW_COUNT() a, CONNECTION_ID() FROM information_schema.processlist",
        "SELECT {rows} a, CONNECTION_ID() FROM information_schema.processlist",
    ),
];

#[test]
fn what_is_known_of_the_statement_before_is_written() {
    for (sql, expected) in ANSWERED {
        for mariadb in [false, true] {
            let expected = expected
                .replace("{connection}", &connection_id(1, mariadb))
                .replace("{rows}", &count(-1))
                .replace("{found}", &found_rows(3, mariadb))
                .replace("{warnings}", &variable(4))
                .replace("{errors}", &variable(5))
                .replace("{id}", &function(6))
                .replace("{@id}", &variable(6));
            assert_eq!(answered(sql, mariadb), expected, "{sql}");
        }
    }
}

#[test]
fn what_is_not_known_stays() {
    for (sql, _) in ANSWERED {
        let text = with_answers(sql.as_bytes(), DEFAULT, true, &Answers::default());
        assert_eq!(text.as_deref(), Ok(sql.as_bytes()));
    }
}

#[test]
fn a_question_about_no_certain_statement_is_unclear() {
    for sql in [
        "BEGIN NOT ATOMIC SELECT ROW_COUNT(); END",
        "BEGIN NOT ATOMIC DO 1; SELECT @@warning_count; END",
        "WHILE ROW_COUNT() DO DELETE FROM t LIMIT 1; END WHILE",
        "IF a THEN DO 1; ELSE SELECT FOUND_ROWS(); END IF",
        "a: LOOP DO LAST_INSERT_ID(); END LOOP",
        "UPDATE t SET a = 1; SELECT FOUND_ROWS()",
        "SET @a = (SELECT 1); SELECT FOUND_ROWS()",
        "SELECT LAST_INSERT_ID(5), LAST_INSERT_ID()",
        "SELECT @@identity, last_insert_id ( 5 )",
        "SET last_insert_id = 5, @a = LAST_INSERT_ID()",
        "SET SESSION identity = 5, @a = @@identity",
        "SET @@session.last_insert_id = 5, @a = @@last_insert_id",
    ] {
        assert_eq!(with_answers(sql.as_bytes(), DEFAULT, true, &KNOWN), Err(Unclear), "{sql}");
        let stays = Answers { connection_id: Some(1), ..Answers::default() };
        assert_eq!(with_answers(sql.as_bytes(), DEFAULT, true, &stays).as_deref(), Ok(sql.as_bytes()));
    }
}

#[test]
fn a_mariadb_counts_the_warnings_of_what_uses_tables() {
    for sql in [
        "SELECT @@warning_count w FROM t",
        "(SELECT (SELECT a FROM t) b, @@warning_count w)",
        "INSERT INTO t VALUES (@@warning_count)",
        "UPDATE t SET a = @@warning_count",
    ] {
        assert_eq!(answered(sql, true), sql);
        assert_eq!(answered(sql, false), sql.replace("@@warning_count", &variable(4)));
    }
}

#[test]
fn a_mysql_knows_row_count_without_quotes_only() {
    assert_eq!(answered("DO `row_count`()", true), format!("DO {}", count(-1)));
    assert_eq!(answered("DO `row_count`()", false), "DO `row_count`()");
    assert_eq!(answered("DO `found_rows`()", false), format!("DO {}", found_rows(3, false)));
}
