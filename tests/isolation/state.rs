//! Each kind of session state: set by one, unseen by others while it lives and after it is gone.

use std::time::Duration;

use crate::common::stage::Stage;
use crate::common::wire::{self, Connection, Login, ResultSet, Value, capability, command};
use crate::common::{TestResult, eventually};
use crate::{clients_on_every_link, on_each_server, stage};

const LINKS: usize = 2;

/// Something that a session sets, and how anybody looks for it.
struct State {
    set: &'static [&'static str],
    probe: &'static str,
    /// What the session itself finds.
    own: &'static str,
}

const STATES: [State; 20] = [
    State { set: &["SET @a = 42"], probe: "SELECT @a", own: "42" },
    State { set: &["SELECT @b := 42"], probe: "SELECT @b", own: "42" },
    State { set: &["SELECT 42 INTO @c"], probe: "SELECT @c", own: "42" },
    State { set: &["/*! SET @d = 42 */"], probe: "SELECT @d", own: "42" },
    State { set: &["CALL set_e(42)"], probe: "SELECT @e", own: "42" },
    State { set: &["SET sql_mode = 'ANSI_QUOTES'"], probe: "SELECT @@sql_mode", own: "ANSI_QUOTES" },
    State { set: &["SET SESSION lock_wait_timeout = 77"], probe: "SELECT @@lock_wait_timeout", own: "77" },
    State { set: &["SET @@max_error_count = 3, @f = 1"], probe: "SELECT @@max_error_count", own: "3" },
    State { set: &["SET NAMES latin1"], probe: "SELECT @@character_set_client", own: "latin1" },
    State { set: &["SET time_zone = '+07:00'"], probe: "SELECT @@time_zone", own: "+07:00" },
    State { set: &["SET timestamp = 1"], probe: "SELECT @@timestamp = 1", own: "1" },
    State { set: &["SET insert_id = 4242"], probe: "SELECT @@insert_id", own: "4242" },
    State { set: &["USE sbtest"], probe: "SELECT DATABASE()", own: "sbtest" },
    State { set: &["SET autocommit = 0"], probe: "SELECT @@autocommit", own: "0" },
    State {
        set: &["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
        probe: "SELECT @@tx_isolation",
        own: "SERIALIZABLE",
    },
    State { set: &["SET SESSION TRANSACTION READ ONLY"], probe: "SELECT @@tx_read_only", own: "1" },
    State { set: &["CREATE TEMPORARY TABLE leak (a INT)"], probe: "SELECT COUNT(*) FROM leak", own: "0" },
    State { set: &["PREPARE p FROM 'SELECT 42'"], probe: "EXECUTE p", own: "42" },
    State {
        set: &["SELECT GET_LOCK('leak', 0)"],
        // NULL and not 0 where the lock is free, which is as well.
        probe: "SELECT COALESCE(IS_USED_LOCK('leak') = CONNECTION_ID(), 0)",
        own: "1",
    },
    State {
        set: &["LOCK TABLES t READ"],
        // Whoever has tables locked can use no others.
        probe: "SELECT COUNT(*) FROM other",
        own: "error 1100",
    },
];

#[test]
fn what_one_session_sets_no_other_sees() -> TestResult {
    let stage = stage("isolation_state", LINKS)?;
    stage.server.sql(
        "CREATE TABLE test.t (a INT PRIMARY KEY); CREATE TABLE test.other (a INT);
         CREATE PROCEDURE test.set_e(value INT) SET @e = value;",
    )?;
    for state in &STATES {
        let what = state.set[0];
        let pristine = probe(&mut stage.connect()?, state)?;
        assert_ne!(pristine, state.own, "{what}: nothing to tell");
        let mut owner = stage.connect()?;
        for sql in state.set {
            owner.query(sql).map_err(|error| format!("{sql}: {error}"))?;
        }
        let mut other = stage.connect()?;
        for _ in 0..2 {
            assert_eq!(probe(&mut owner, state)?, state.own, "{what}: its owner");
            assert_eq!(probe(&mut other, state)?, pristine, "{what}: another session");
        }
        drop((owner, other));
        for client in &mut clients_on_every_link(&stage, LINKS)? {
            assert_eq!(probe(client, state)?, pristine, "{what}: after its owner is gone");
        }
    }
    Ok(())
}

/// A login can set variables by its flags, and MariaDB's reset forgets that it did.
#[test]
fn a_link_is_as_its_login_made_it_when_it_is_lent_again() -> TestResult {
    on_each_server("isolation_flags", 1, &[], |stage| {
        stage.server.sql("SET GLOBAL interactive_timeout = 12345; CREATE ROLE kept; GRANT kept TO app")?;
        let login = Login::app().with(capability::IGNORE_SPACE | capability::INTERACTIVE);
        for owner in 0..3 {
            let mut client = stage.login(&login)?;
            let found =
                client.scalar("SELECT CONCAT(@@sql_mode LIKE '%IGNORE_SPACE%', ' ', @@wait_timeout)")?;
            assert_eq!(found, "1 12345", "session {owner}");
            client.run("SET @a = 1, sql_mode = '', wait_timeout = 77")?;
        }
        Ok(())
    })
}

/// MariaDB's reset forgets the character set of the schema that it keeps.
#[test]
fn files_are_read_by_the_character_set_of_the_schema() -> TestResult {
    on_each_server("isolation_charset", 1, &[], |stage| {
        stage.server.sql("CREATE DATABASE sorted CHARACTER SET koi8r COLLATE koi8r_bin")?;
        for owner in 0..3 {
            let mut client = stage.login(&Login::app().database("sorted"))?;
            assert_eq!(client.scalar("SELECT @@collation_database")?, "koi8r_bin", "session {owner}");
            client.run("SET @a = 1")?;
        }
        Ok(())
    })
}

/// What a client's own reset leaves of its login is what its kind of server leaves.
#[test]
fn a_reset_session_is_as_the_server_makes_it() -> TestResult {
    on_each_server("isolation_reset", LINKS, &[], |stage| {
        stage.server.sql("SET GLOBAL interactive_timeout = 12345; CREATE ROLE kept; GRANT kept TO app")?;
        let login = Login::app().with(capability::IGNORE_SPACE | capability::INTERACTIVE);
        let found = |client: &mut Connection| {
            client.scalar(
                "SELECT CONCAT_WS(' ', @@sql_mode, @@wait_timeout, @@collation_connection, DATABASE(), CURRENT_ROLE())",
            )
        };
        let mut direct = stage.direct(&login)?;
        let mut through = stage.login(&login)?;
        assert_eq!(found(&mut through)?, found(&mut direct)?, "after the login");
        for client in [&mut direct, &mut through] {
            client.run("SET ROLE kept")?;
            client.command(command::RESET_CONNECTION, b"")?.ok()?;
        }
        assert_eq!(found(&mut through)?, found(&mut direct)?, "after the reset");
        Ok(())
    })
}

/// What a session finds; an error that the server answers is a finding, too.
fn probe(client: &mut Connection, state: &State) -> wire::Result<String> {
    match client.scalar(state.probe) {
        Err(wire::Error::Server { code, .. }) => Ok(format!("error {code}")),
        other => other,
    }
}

/// `SET TRANSACTION` without SESSION holds for the next transaction of its session, and for no other's.
#[test]
fn one_shot_characteristics_do_not_wait_for_somebody_else() -> TestResult {
    on_each_server("isolation_one_shot", LINKS, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (a INT AUTO_INCREMENT PRIMARY KEY)")?;
        let mut owner = stage.connect()?;
        owner.run("SET TRANSACTION READ ONLY")?;
        let mut other = stage.connect()?;
        other.run("INSERT INTO t VALUES ()")?;
        other.run("BEGIN")?;
        other.run("INSERT INTO t VALUES ()")?;
        other.run("COMMIT")?;
        owner.run("BEGIN")?;
        let error = owner.run("INSERT INTO t VALUES ()").expect_err("a transaction that only reads");
        assert_eq!(error.code(), Some(1792), "{error}");
        owner.run("ROLLBACK")?;
        owner.run("SET TRANSACTION READ ONLY")?;
        drop((owner, other));
        for client in &mut clients_on_every_link(stage, LINKS)? {
            client.run("INSERT INTO t VALUES ()")?;
        }
        Ok(())
    })
}

#[test]
fn locks_of_a_session_end_with_it() -> TestResult {
    on_each_server("isolation_locks", LINKS, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (a INT AUTO_INCREMENT PRIMARY KEY)")?;
        let mut owner = stage.connect()?;
        let mut other = stage.connect()?;
        assert_eq!(owner.scalar("SELECT GET_LOCK('mine', 0)")?, "1");
        assert_eq!(other.scalar("SELECT GET_LOCK('mine', 0)")?, "0", "taken");
        assert_eq!(other.scalar("SELECT RELEASE_LOCK('mine')")?, "0", "another's lock");
        assert_eq!(owner.scalar("SELECT RELEASE_LOCK('mine')")?, "1", "its own lock");
        assert_eq!(owner.scalar("SELECT GET_LOCK('mine', 0)")?, "1");
        drop(owner);
        eventually("the lock ends with its session", Duration::from_secs(10), || {
            match other.scalar("SELECT GET_LOCK('mine', 0)") {
                Ok(got) if got == "1" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        drop(other);
        let mut owner = stage.connect()?;
        owner.run("LOCK TABLES t WRITE")?;
        owner.run("INSERT INTO t VALUES ()")?;
        drop(owner);
        for client in &mut clients_on_every_link(stage, LINKS)? {
            client.run("INSERT INTO t VALUES ()")?;
        }
        Ok(())
    })
}

#[test]
fn transactions_stay_with_their_session() -> TestResult {
    let stage = stage("isolation_transactions", LINKS)?;
    stage.server.sql("CREATE TABLE test.t (a INT PRIMARY KEY)")?;
    let count = |client: &mut Connection| client.scalar("SELECT COUNT(*) FROM t");
    for start in ["SET autocommit = 0", "BEGIN", "START TRANSACTION", "/* a comment */ begin work"] {
        let mut writer = stage.connect()?;
        let mut reader = stage.connect()?;
        writer.run(start)?;
        writer.run("INSERT INTO t VALUES (1)")?;
        assert_eq!((count(&mut writer)?, count(&mut reader)?), ("1".into(), "0".into()), "{start}");
        writer.run("ROLLBACK")?;
        assert_eq!(count(&mut writer)?, "0", "{start}");
        // With autocommit off the next transaction has begun by itself.
        writer.run(start)?;
        writer.run("INSERT INTO t VALUES (2)")?;
        reader.run("INSERT INTO t VALUES (3)")?;
        writer.run("COMMIT")?;
        assert_eq!(count(&mut reader)?, "2", "{start}");
        writer.run(start)?;
        writer.run("DELETE FROM t")?;
        drop(writer);
        eventually("what was not committed is rolled back", Duration::from_secs(10), || {
            // It waits for the locks of the one that is gone.
            reader
                .run("SET STATEMENT lock_wait_timeout = 5 FOR DELETE FROM t")
                .map_err(|error| error.to_string())
        });
        assert_eq!(stage.server.sql("SELECT COUNT(*) FROM test.t")?, "0");
    }
    Ok(())
}

#[test]
fn the_last_insert_id_is_ones_own() -> TestResult {
    on_each_server("isolation_insert_id", LINKS, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, owner INT)")?;
        let mut first = stage.connect()?;
        let mut second = stage.connect()?;
        for round in 0..20 {
            let ids = [&mut first, &mut second].map(|client| {
                let sql = format!("INSERT INTO t (owner) VALUES ({round})");
                Ok::<_, wire::Error>(client.query(&sql)?.ok()?.last_insert_id)
            });
            // In turns: each after the other's INSERT.
            for (client, id) in [&mut first, &mut second].into_iter().zip(ids) {
                let id = id?.to_string();
                assert_eq!(client.scalar("SELECT LAST_INSERT_ID()")?, id, "round {round}");
                assert_eq!(client.scalar("SELECT @@last_insert_id")?, id, "round {round}");
                assert_eq!(client.scalar("SELECT 'something else'")?, "something else");
            }
        }
        drop((first, second));
        for client in &mut clients_on_every_link(stage, LINKS)? {
            assert_eq!(client.scalar("SELECT LAST_INSERT_ID()")?, "0", "nothing inserted");
        }
        Ok(())
    })
}

/// What a session finds on the link of its transaction, on which others have been before.
#[test]
fn counts_of_others_are_not_found_in_a_transaction() -> TestResult {
    on_each_server("isolation_counts", 1, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY)")?;
        let mut other = stage.connect()?;
        let mut client = stage.connect()?;
        other.run("INSERT INTO t VALUES (), (), ()")?;
        assert_eq!(other.query("SELECT id FROM t")?.rows()?.rows.len(), 3);
        client.run("BEGIN")?;
        // What a new connection has, and not the three rows of the other.
        let mut direct = stage.direct(&Login::app())?;
        direct.run("BEGIN")?;
        for asked in ["SELECT FOUND_ROWS()", "SELECT CONCAT(ROW_COUNT(), LAST_INSERT_ID())"] {
            assert_eq!(client.scalar(asked)?, direct.scalar(asked)?, "{asked}");
        }
        let asked = client.prepare("SELECT LAST_INSERT_ID()")?;
        assert_eq!(client.execute(&asked, &[])?.rows()?.scalar()?, Value::Int(0));
        client.run("INSERT INTO t VALUES ()")?;
        assert_eq!(client.scalar("SELECT CONCAT_WS(' ', ROW_COUNT(), LAST_INSERT_ID())")?, "1 4");
        assert_eq!(client.query("SELECT id FROM t WHERE id < 3")?.rows()?.rows.len(), 2);
        assert_eq!(client.scalar("SELECT FOUND_ROWS()")?, "2");
        client.run("COMMIT")?;
        drop(client);
        assert_eq!(other.scalar("SELECT LAST_INSERT_ID()")?, "1");
        other.command(command::RESET_CONNECTION, b"")?.ok()?;
        assert_eq!(other.scalar("SELECT LAST_INSERT_ID()")?, "0", "after a reset");
        Ok(())
    })
}

/// Most statements that fail leave FOUND_ROWS() as it was, which is another session's on a link that had others.
#[test]
fn counts_of_others_are_not_found_behind_an_error() -> TestResult {
    on_each_server("isolation_errors", 1, &[], |stage| {
        stage
            .server
            .sql("CREATE TABLE test.t (a BIGINT UNSIGNED); INSERT INTO test.t VALUES (1), (2), (3)")?;
        let (mut other, mut client) = (stage.connect()?, stage.connect()?);
        let mut direct = stage.direct(&Login::app().database("test"))?;
        for sql in [
            "SET @a = CAST(1 AS UNSIGNED) - 2",
            "SET @@sort_buffer_size = CAST(1 AS UNSIGNED) - 2",
            "INSERT INTO t VALUES (CAST(1 AS UNSIGNED) - 2)",
            "UPDATE t SET a = a - 3",
            "DELETE FROM t WHERE a - 3 > 7",
            "DELETE FROM t WHERE a = (SELECT 1 UNION SELECT 2)",
            "SET @a = (SELECT a FROM t)",
            "INSERT INTO t SELECT a - 3 FROM t",
            "SELECT a - 3 FROM t",
            "SELECT 1 UNION SELECT a - 3 FROM t",
            "SELECT a FROM t INTO @a",
        ] {
            let [ours, theirs] = [&mut client, &mut direct].map(|side| -> TestResult<_> {
                side.run("SELECT 7 UNION SELECT 8")?;
                assert_eq!(other.query("SELECT a FROM t")?.rows()?.rows.len(), 3);
                assert!(side.run(sql).is_err(), "{sql}");
                Ok(side.scalar("SELECT FOUND_ROWS()")?)
            });
            assert_eq!(ours?, theirs?, "{sql}");
        }
        Ok(())
    })
}

/// A statement that touches no table may leave the warnings of the one before, which was somebody else's.
#[test]
fn warnings_of_others_are_not_shown() -> TestResult {
    on_each_server("isolation_warnings", 1, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (a TEXT); INSERT INTO test.t VALUES ('x')")?;
        let mut other = stage.connect()?;
        let mut client = stage.connect()?;
        for before in ["SELECT 1", "DO 1", "BEGIN", "SET @a = 1", "SAVEPOINT s", "COMMIT"] {
            let mut client = stage.connect()?;
            other.run("SELECT CAST(a AS SIGNED) FROM t")?;
            client.run(before)?;
            match client.query("SHOW WARNINGS") {
                Ok(reply) => assert_eq!(reply.rows()?.rows.len(), 0, "{before}"),
                Err(error) => assert_eq!(error.code(), Some(1235), "{before}: {error}"),
            }
        }
        other.run("SELECT CAST(a AS SIGNED) FROM t")?;
        client.run("SELECT 1")?;
        match client.scalar("SELECT @@warning_count") {
            Ok(count) => assert_eq!(count, "0"),
            Err(error) => assert_eq!(error.code(), Some(1235), "{error}"),
        }
        // Its own it sees.
        client.run("SELECT CAST(a AS SIGNED) FROM t")?;
        assert_eq!(client.query("SHOW WARNINGS")?.rows()?.rows.len(), 1);
        Ok(())
    })
}

/// The database of a login, and one that is chosen by a command instead of a statement.
#[test]
fn the_default_database_is_ones_own() -> TestResult {
    on_each_server("isolation_database", LINKS, &[], |stage| {
        let mut moving = stage.connect()?;
        let mut staying = stage.connect()?;
        for _ in 0..5 {
            for database in ["sbtest", "information_schema", "test"] {
                moving.command(command::INIT_DB, database.as_bytes())?.ok()?;
                assert_eq!(moving.scalar("SELECT DATABASE()")?, database);
                assert_eq!(staying.scalar("SELECT DATABASE()")?, "test");
            }
        }
        let error = moving.command(command::INIT_DB, b"nowhere").expect_err("no such database");
        assert_eq!(error.code(), Some(1049), "{error}");
        assert_eq!(moving.scalar("SELECT DATABASE()")?, "test", "where it was");
        Ok(())
    })
}

/// Clients of both kinds share a link: those that take an EOF packet after the columns, and those that take none.
#[test]
fn replies_are_not_cut_short() -> TestResult {
    let stage = stage("isolation_replies", 1)?;
    let with_eof = Login::app().without(capability::DEPRECATE_EOF);
    let mut clients = [stage.connect()?, stage.login(&with_eof)?];
    // Rows that begin with the bytes of an OK, of a NULL, of an EOF and of an ERR packet.
    let rows = "SELECT '', 1 UNION ALL SELECT NULL, 2 UNION ALL SELECT REPEAT('x', 300), 3 UNION ALL \
        SELECT REPEAT('y', 254), 4 UNION ALL SELECT REPEAT('z', 70000), 5";
    for round in 0..20 {
        let client = &mut clients[round % 2];
        assert_rows(&client.query(rows)?.rows()?, |number| Value::text(&number.to_string()));
        let statement = client.prepare(rows)?;
        assert_rows(&client.execute(&statement, &[])?.rows()?, Value::Int);
        client.close(&statement)?;
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
    }
    Ok(())
}

fn assert_rows(found: &ResultSet, number: impl Fn(i64) -> Value) {
    let texts = [Value::text(""), Value::Null];
    let long =
        [('x', 300), ('y', 254), ('z', 70_000)].map(|(letter, length)| letter.to_string().repeat(length));
    let texts = texts.into_iter().chain(long.iter().map(|text| Value::text(text)));
    let expected: Vec<_> = texts.zip(1..).map(|(text, place)| vec![text, number(place)]).collect();
    // Not assert_eq: it would print 70 kB.
    assert!(found.rows == expected, "{} rows, or another content", found.rows.len());
}

/// A text with two statements is how an injection works: only who asked for them gets them, whoever had the link before.
#[test]
fn several_statements_only_for_those_who_asked() -> TestResult {
    on_each_server("isolation_multi", 1, &[], |stage| {
        let mut plain = stage.connect()?;
        for _ in 0..3 {
            let mut asking = stage.login(&Login::app().with(capability::MULTI_STATEMENTS))?;
            // Whether this version has them is not the question here.
            asking.send(command::QUERY, b"SELECT 1; SELECT 2")?;
            drop(asking.read_reply());
            drop(asking);
            let error = plain.query("SELECT 1; SELECT 2").expect_err("it did not ask");
            assert_eq!(error.code(), Some(1064), "{error}");
        }
        Ok(())
    })
}

/// A later statement of a text asks about an earlier one of it, which ran on the same link.
#[test]
fn a_text_of_several_statements_knows_its_own_counts() -> TestResult {
    on_each_server("isolation_text", 1, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY)")?;
        let mut client = stage.login(&Login::app().with(capability::MULTI_STATEMENTS))?;
        for id in ["1", "2"] {
            let text =
                "INSERT INTO t VALUES (); SELECT id FROM t WHERE ROW_COUNT() = 1 AND id = LAST_INSERT_ID()";
            client.command(command::QUERY, text.as_bytes())?.ok()?;
            // The second result goes on with the sequence ids of the first.
            assert_eq!(client.read_reply()?.rows()?.scalar()?.to_string(), id);
        }
        Ok(())
    })
}

/// Reading the state of a link that is gone must not hurt the next.
#[test]
fn a_killed_link_takes_its_state_along() -> TestResult {
    let stage: Stage = stage("isolation_killed", LINKS)?;
    let mut owner = stage.connect()?;
    owner.run("SET @a = 42")?;
    let sql = "SELECT GROUP_CONCAT(CONCAT('KILL ', ID) SEPARATOR ';') FROM information_schema.PROCESSLIST \
        WHERE USER = 'app'";
    stage.server.sql(&stage.server.sql(sql)?)?;
    // Either the session is told that its state is lost, or it has it again; it never goes on without.
    match owner.scalar("SELECT @a") {
        Ok(value) => assert_eq!(value, "42"),
        Err(error) => assert!(error.is_refusal(), "{error}"),
    }
    for client in &mut clients_on_every_link(&stage, LINKS)? {
        assert_eq!(client.scalar("SELECT @a")?, "NULL");
    }
    Ok(())
}

/// When a reset is answered it is done: locks are free and the transaction is rolled back, whatever link is used next.
#[test]
fn a_reset_is_done_when_it_is_answered() -> TestResult {
    on_each_server("isolation_reset", LINKS, &[], |stage| {
        stage
            .server
            .sql("CREATE TABLE test.t (a INT PRIMARY KEY, b INT); INSERT INTO test.t VALUES (1, 0)")?;
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        for round in 0..200 {
            client.run("BEGIN")?;
            client.run("UPDATE t SET b = b + 1 WHERE a = 1")?;
            assert_eq!(client.scalar("SELECT GET_LOCK('held', 0)")?, "1", "round {round}");
            client.command(command::RESET_CONNECTION, &[])?.ok()?;
            let free = other.scalar("SELECT CONCAT(IS_FREE_LOCK('held'), ' ', b) FROM t FOR UPDATE NOWAIT");
            assert_eq!(free?, "1 0", "round {round}");
        }
        Ok(())
    })
}
