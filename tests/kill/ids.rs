//! CONNECTION_ID() is the id that the client was greeted with, wherever its statements run.

use crate::common::wire::{Connection, Login, Reply, Value, command};
use crate::common::{TestResult, join};
use crate::{CORES, NOT_SUPPORTED_YET, client_on, id_of, is_mariadb, on_each_server};

const NET_PACKET_TOO_LARGE: u16 = 1153;

#[test]
fn connection_id_is_that_of_the_greeting() -> TestResult {
    on_each_server("own_id", |stage| {
        stage.server.sql("CREATE TABLE test.ids (a BIGINT, b VARCHAR(40))")?;
        for core in 0..CORES {
            let mut client = client_on(stage, core)?;
            let id = id_of(&client).to_string();
            let rows = client
                .query("SELECT CONNECTION_ID(), connection_id ( ) + 0 x, @@pseudo_thread_id")?
                .rows()?;
            let names: Vec<&str> = rows.columns.iter().map(|column| &*column.name).collect();
            assert_eq!(names, ["CONNECTION_ID()", "x", "@@pseudo_thread_id"]);
            assert_eq!(rows.rows, [vec![Value::text(&id), Value::text(&id), Value::text(&id)]]);
            client.run("INSERT INTO ids VALUES (CONNECTION_ID(), 'CONNECTION_ID()')")?;
            let found = format!("SELECT b FROM ids WHERE a = {id} AND a = CONNECTION_ID()");
            assert_eq!(client.scalar(&found)?, "CONNECTION_ID()", "a string is a string");
            client.run("SET @id = CONNECTION_ID()")?;
            assert_eq!(client.scalar("SELECT @id")?, id);
            client.run("BEGIN")?;
            assert_eq!(client.scalar("SELECT CONNECTION_ID() FROM ids LIMIT 1")?, id);
            client.run("COMMIT")?;
            client.command(command::RESET_CONNECTION, &[])?.ok()?;
            assert_eq!(client.scalar("SELECT CONNECTION_ID()")?, id);
        }
        Ok(())
    })
}

/// A prepared text has the id in it, so no two sessions share it.
#[test]
fn prepared_statements_have_the_id_of_their_session() -> TestResult {
    on_each_server("own_id_prepared", |stage| {
        let mut clients = (0..8).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
        let statements = clients
            .iter_mut()
            .map(|client| client.prepare("SELECT CONNECTION_ID(), ?"))
            .collect::<Result<Vec<_>, _>>()?;
        for round in 0..3 {
            std::thread::scope(|scope| {
                let threads: Vec<_> = clients
                    .iter_mut()
                    .zip(&statements)
                    .map(|(client, statement)| {
                        scope.spawn(move || -> TestResult {
                            let rows = client.execute(statement, &[Value::Int(round)])?.rows()?;
                            let id = Value::Int(id_of(client).into());
                            assert_eq!(rows.rows, [vec![id, Value::Int(round)]]);
                            assert_eq!(rows.columns[0].name, "CONNECTION_ID()");
                            Ok(())
                        })
                    })
                    .collect();
                threads.into_iter().try_for_each(join)
            })?;
        }
        Ok(())
    })
}

#[test]
fn a_text_that_is_not_read_whole_is_refused_with_it() -> TestResult {
    on_each_server("own_id_long", |stage| {
        let mut client: Connection = stage.connect()?;
        let sql = format!("SELECT CONNECTION_ID(), '{}'", "x".repeat(17 << 20));
        assert_eq!(client.run(&sql).err().and_then(|error| error.code()), Some(NOT_SUPPORTED_YET));
        let doubtful = "SELECT CONNECTION_ID() /*!40000 + 1";
        assert_eq!(client.run(doubtful).err().and_then(|error| error.code()), Some(NOT_SUPPORTED_YET));
        assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
        Ok(())
    })
}

/// What the same statements give on a connection to the server itself, but for the id.
#[test]
fn statements_mean_what_they_mean_on_the_server() -> TestResult {
    on_each_server("own_id_meaning", |stage| {
        stage.server.sql(
            "CREATE TABLE test.two (a INT PRIMARY KEY, b BIGINT); INSERT INTO test.two VALUES (1, 20), (2, 10)",
        )?;
        let mut client = stage.connect()?;
        let mut direct = stage.direct(&Login::app())?;
        let mariadb = is_mariadb(&client);
        let of_both = [
            "SELECT a FROM two ORDER BY CONNECTION_ID(), b",
            "SELECT a FROM two GROUP BY CONNECTION_ID(), a ORDER BY a",
            "SELECT MAX(a) FROM two GROUP BY CONNECTION_ID()",
            "SELECT GROUP_CONCAT(a ORDER BY CONNECTION_ID(), b) x FROM two",
            "SELECT a, ROW_NUMBER() OVER (ORDER BY CONNECTION_ID(), b) n FROM two ORDER BY a",
            "INSERT INTO two SELECT 1, CONNECTION_ID() ON DUPLICATE KEY UPDATE b = 7",
            "INSERT INTO two SELECT 1, CONNECTION_ID() > 0 ON DUPLICATE KEY UPDATE b = b + a",
            "SELECT b FROM two ORDER BY a",
            "SELECT CONNECTION_ID() > 0 AND a FROM two ORDER BY a",
            "SELECT CASE WHEN CONNECTION_ID() THEN 1 ELSE 2 END FROM two",
            "SELECT CONNECTION_ID() IS NULL, CONNECTION_ID() > 0 IS TRUE",
            "SELECT CONNECTION_ID() > 0 LOCK IN SHARE MODE",
            "SELECT DISTINCT CONNECTION_ID() > 0 y FROM two WHERE CONNECTION_ID() > 0 HAVING y",
            "SELECT CONNECTION_ID() DIV CONNECTION_ID(), CONNECTION_ID() IN (1, -1) x",
            "SELECT CONNECTION_ID() /*!50701 > 0 AND 5 */ > 0, /*!90000 CONNECTION_ID() > 0, */ 2",
            "SELECT CONNECTION_ID()/*!40000>0*/, 1 /*M!100100 + CONNECTION_ID()/*!999999 c*/ */> 0",
            "SELECT 0*/*!40000 CONNECTION_ID()*/+1, 0*/*!40000 CONNECTION_ID() /* c */*/ +2, 3",
        ];
        let of_mariadb = [
            "INSERT INTO two VALUES (3, CONNECTION_ID()) RETURNING a, b > 0",
            "DELETE FROM two WHERE a = 2 AND b <> CONNECTION_ID() + 9999 RETURNING a, CONNECTION_ID() > 0",
        ];
        for sql in of_both.iter().chain(of_mariadb.iter().filter(|_| mariadb)) {
            // Each on the same rows.
            let rows = "DELETE FROM test.two; INSERT INTO test.two VALUES (1, 20), (2, 10)";
            stage.server.sql(rows)?;
            let found = outcome(&mut client, sql);
            stage.server.sql(rows)?;
            let expected = outcome(&mut direct, sql);
            assert_eq!(found, expected, "{sql}");
        }
        Ok(())
    })
}

/// Names and rows, or what else the server answered.
fn outcome(client: &mut Connection, sql: &str) -> String {
    match client.query(sql) {
        Ok(Reply::Rows(set)) => {
            let names: Vec<_> = set.columns.iter().map(|column| &column.name).collect();
            format!("{names:?} {:?}", set.rows)
        }
        Ok(Reply::Ok(ok)) => format!("{} rows", ok.affected_rows),
        Err(error) => format!("{:?}", error.code()),
    }
}

/// A view that is made in the middle of something else keeps what it was made of, too.
#[test]
fn a_view_has_no_ones_id() -> TestResult {
    on_each_server("own_id_view", |stage| {
        let mut client = stage.connect()?;
        let mut definitions = vec!["CREATE OR REPLACE VIEW v AS SELECT CONNECTION_ID() AS id"];
        if is_mariadb(&client) {
            definitions.extend([
                "SET STATEMENT max_statement_time = 9 FOR CREATE OR REPLACE VIEW v AS SELECT CONNECTION_ID() AS id",
                "BEGIN NOT ATOMIC CREATE OR REPLACE VIEW v AS SELECT CONNECTION_ID() AS id; END",
                "/*!50001 CREATE OR REPLACE*/ /*!50001 VIEW v AS SELECT CONNECTION_ID() AS id */",
            ]);
        }
        for sql in definitions {
            client.run("CREATE OR REPLACE VIEW v AS SELECT 1 AS id")?;
            client.run(sql)?;
            let made = client.query("SHOW CREATE VIEW v")?.rows()?.rows[0][1].to_string();
            assert!(made.contains("connection_id()"), "{sql}: {made}");
        }
        Ok(())
    })
}

/// With the id in its place the text may be too long for one packet, in which the client has sent it.
#[test]
fn a_text_that_fills_a_packet() -> TestResult {
    on_each_server("own_id_full", |stage| {
        let mut client = stage.connect()?;
        for spare in [0, 2, 8, 20, 40, 60, 80] {
            let (head, tail) = ("SELECT CONNECTION_ID(), LENGTH('", "')");
            let filling = (1 << 24) - 3 - head.len() - tail.len() - spare;
            let sql = format!("{head}{}{tail}", "x".repeat(filling));
            match client.query(&sql) {
                Ok(reply) => assert_eq!(reply.rows()?.rows[0][1].to_string(), filling.to_string()),
                Err(error) => assert_eq!(error.code(), Some(NET_PACKET_TOO_LARGE), "{spare}: {error}"),
            }
            assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
        }
        Ok(())
    })
}

/// A backslash or a quote may be the second byte of a character, whether the session has its character set from its login
/// or not.
#[test]
fn a_string_ends_where_its_character_set_says() -> TestResult {
    // The first string ends behind the backslash; what follows is a string, too, or is none.
    const HIDDEN: &[u8] = b"SELECT CHAR_LENGTH('\xE5\x5C'), ' CONNECTION_ID() '";
    const SHOWN: &[u8] = b"SELECT CHAR_LENGTH('\xE5\x5C'), CONNECTION_ID(), ' \x5C' '";
    on_each_server("own_id_charset", |stage| {
        for charset in ["gbk", "sjis", "big5", "cp932", "gb18030"] {
            let mut client = stage.connect()?;
            let id = id_of(&client).to_string();
            if client.run(&format!("SET NAMES {charset}")).is_err() {
                assert!(is_mariadb(&client) && charset == "gb18030", "{charset} is not known");
                continue;
            }
            let check = |client: &mut Connection| -> TestResult {
                for (sql, second) in [(HIDDEN, " CONNECTION_ID() "), (SHOWN, &id)] {
                    let rows = client.query_bytes(sql)?.rows()?.rows;
                    assert_eq!(rows[0][0].to_string(), "1", "{charset}");
                    assert_eq!(rows[0][1].to_string(), second, "{charset}");
                }
                Ok(())
            };
            check(&mut client)?;
            assert_eq!(client.scalar("SELECT CONNECTION_ID()")?, id, "{charset}");
            client.run("SET NAMES utf8mb4")?;
            assert_eq!(client.scalar("SELECT CONNECTION_ID() FROM (SELECT 'é') a")?, id, "{charset}");
            client.run(&format!("SET character_set_client = {charset}"))?;
            check(&mut client)?;
            client.command(command::RESET_CONNECTION, &[])?.ok()?;
            assert_eq!(client.scalar("SELECT CONNECTION_ID() FROM (SELECT 'é') a")?, id, "{charset}");
        }
        Ok(())
    })
}
