//! What a session has set by then decides how Athena's own statements on its links work: they leave it as it is.

use std::thread;
use std::time::Duration;

use athena_perf::lab::Flavor;

use crate::common::TestResult;
use crate::common::wire::{Value, status};
use crate::{on_each_server, on_mysql};

/// A session that wants no rows is asked all the same what it has set, and its link goes back.
#[test]
fn no_rows_are_wanted() -> TestResult {
    on_each_server("isolation_no_rows", 1, &[("checkout_timeout_ms", "5000")], |stage| {
        let (mut one, mut other) = (stage.connect()?, stage.connect()?);
        one.run("SET sql_select_limit = 0")?;
        one.run("SET @a = LOWER('KEPT')")?;
        assert_eq!(other.scalar("SELECT @a IS NULL")?, "1");
        one.run("SET sql_select_limit = DEFAULT")?;
        assert_eq!(one.scalar("SELECT @a")?, "kept");
        Ok(())
    })
}

/// A statement is prepared anew in the middle of a transaction, in the character set that it was prepared in: the transaction
/// goes on, though autocommit was on in those days.
#[test]
fn a_transaction_outlives_what_is_prepared_in_it() -> TestResult {
    on_each_server("isolation_visit", 1, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT)")?;
        let (mut one, mut other) = (stage.connect()?, stage.connect()?);
        let statement = one.prepare("SELECT HEX('é')")?;
        one.run("SET NAMES latin1, autocommit = 0")?;
        // Takes a reset when it goes, which forgets the statement.
        other.run("SET @a = 1")?;
        one.run("INSERT INTO test.t VALUES (1)")?;
        let text = one.execute(&statement, &[])?.rows()?.scalar()?;
        assert_eq!(text, Value::text("C3A9"));
        one.run("ROLLBACK")?;
        assert_eq!(one.scalar("SELECT COUNT(*) FROM test.t")?, "0");
        Ok(())
    })
}

/// Without autocommit a savepoint comes before the transaction that it belongs to, of which no reply tells.
#[test]
fn a_savepoint_before_its_transaction() -> TestResult {
    on_each_server("isolation_savepoint", 2, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT)")?;
        let (mut one, mut other) = (stage.connect()?, stage.connect()?);
        one.run("SET autocommit = 0")?;
        one.run("SAVEPOINT a")?;
        // Has the link on which that was said, if it may.
        other.run("BEGIN")?;
        other.run("SELECT * FROM test.t")?;
        one.run("INSERT INTO test.t VALUES (1)")?;
        one.run("ROLLBACK TO SAVEPOINT a")?;
        one.run("COMMIT")?;
        assert_eq!(one.scalar("SELECT COUNT(*) FROM test.t")?, "0");
        Ok(())
    })
}

/// The list of roles is in quotes or not, by the session's variables.
#[test]
fn roles_without_quotes() -> TestResult {
    on_mysql("isolation_roles", 1, &[], |stage| {
        stage.server.sql("CREATE ROLE first_role, other_role; GRANT first_role, other_role TO app")?;
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        for mode in ["sql_quote_show_create = 0", "sql_mode = 'ANSI_QUOTES'", "sql_quote_show_create = 1"] {
            client.run(&format!("SET {mode}"))?;
            client.run("SET ROLE first_role, other_role")?;
            assert_eq!(other.scalar("SELECT CURRENT_ROLE()")?, "NONE", "{mode}");
            let roles = client.scalar("SELECT CURRENT_ROLE()")?.replace(['`', '"'], "");
            assert_eq!(roles, "first_role@%,other_role@%", "{mode}");
        }
        Ok(())
    })
}

/// What a role had allowed to set, nobody sets back without it: that link is for nobody else.
#[test]
fn a_link_that_can_not_be_brought_back() -> TestResult {
    on_mysql("isolation_refused", 1, &[], |stage| {
        stage
            .server
            .sql("CREATE ROLE admin; GRANT SESSION_VARIABLES_ADMIN ON *.* TO admin; GRANT admin TO app")?;
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET ROLE admin")?;
        client.run("SET max_error_count = 9")?;
        client.run("SET ROLE NONE")?;
        assert_eq!(other.scalar("SELECT @@max_error_count")?, "1024");
        assert_eq!(other.scalar("SELECT CURRENT_ROLE()")?, "NONE");
        Ok(())
    })
}

/// A user variable that a MySQL does not know yet when a statement is prepared has a type by its place there.
#[test]
fn a_variable_that_comes_after_the_statement() -> TestResult {
    on_mysql("isolation_later", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        let statement = client.prepare("SELECT @a + 1")?;
        for value in ["1", "'7'"] {
            client.run(&format!("SET @a = {value}"))?;
            // Takes a reset when it goes, which forgets the statement.
            other.run("SET @b = 1")?;
            let found = client.execute(&statement, &[])?.rows()?.scalar()?;
            assert!(matches!(found, Value::Int(_)), "{value}: {found:?}");
        }
        Ok(())
    })
}

/// To prepare a statement with an assignment makes the variable, of a collation.
#[test]
fn preparing_makes_variables() -> TestResult {
    on_mysql("isolation_made", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET NAMES latin1")?;
        client.prepare("SELECT @a := ?")?;
        client.run("PREPARE p FROM 'SET @b = ?'")?;
        client.run("DEALLOCATE PREPARE p")?;
        client.run("SET NAMES utf8mb4")?;
        assert_eq!(other.scalar("SELECT COLLATION(@a)")?, "binary");
        for variable in ["@a", "@b"] {
            let collation = client.scalar(&format!("SELECT COLLATION({variable})"))?;
            assert_eq!(collation, "latin1_swedish_ci", "{variable}");
        }
        Ok(())
    })
}

/// To prepare a statement has warnings of its own, and leaves ROW_COUNT() as it was: what was read from the link meanwhile
/// is no statement of the session's.
#[test]
fn what_is_asked_behind_prepare() -> TestResult {
    on_mysql("isolation_behind", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.prepare("SELECT SQL_CALC_FOUND_ROWS 1")?;
        other.run("SELECT 1")?;
        assert_eq!(client.scalar("SELECT @@warning_count")?, "1");
        client.run("BEGIN")?;
        client.run("SET @a = LOWER('A')")?;
        client.prepare("SELECT 1")?;
        assert_eq!(client.scalar("SELECT ROW_COUNT()")?, "0");
        Ok(())
    })
}

/// Athena's own questions take no link that has a role: that would stay, and the next session would have it.
#[test]
fn a_role_that_an_errand_would_leave() -> TestResult {
    on_each_server("isolation_errand", 1, &[("checkout_timeout_ms", "5000")], |stage| {
        stage.server.sql("CREATE ROLE kept; GRANT kept TO app")?;
        let (mut one, mut other) = (stage.connect()?, stage.connect()?);
        one.run("SET ROLE kept")?;
        one.run("SET @a = 1")?;
        // Until what only the link knows has been read.
        thread::sleep(Duration::from_millis(100));
        assert!(!other.query("SHOW PROCESSLIST")?.rows()?.rows.is_empty());
        assert_eq!(other.scalar("SELECT COALESCE(CURRENT_ROLE(), 'NONE')")?, "NONE");
        assert_eq!(one.scalar("SELECT CURRENT_ROLE() LIKE '%kept%'")?, "1");
        Ok(())
    })
}

/// What is not there did nothing when it is executed; a MySQL puts the error behind those of the statement before, where it
/// was executed by a number.
#[test]
fn executing_what_is_not_there() -> TestResult {
    on_each_server("isolation_nothing", 1, &[("checkout_timeout_ms", "5000")], |stage| {
        let mysql = stage.server.flavor() == Flavor::MySql;
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        assert_eq!(client.run("EXECUTE nothing").unwrap_err().code(), Some(1243));
        other.run("SELECT 1")?;
        let statement = client.prepare("SELECT 1")?;
        client.close(&statement)?;
        assert_eq!(client.run("SELECT nothing").unwrap_err().code(), Some(1054));
        assert_eq!(client.execute(&statement, &[]).unwrap_err().code(), Some(1243));
        other.run("SELECT 1")?;
        assert_eq!(client.scalar("SHOW COUNT(*) ERRORS")?, if mysql { "2" } else { "1" });
        Ok(())
    })
}

/// A condition that there is none of leaves ROW_COUNT() as after an error on a MySQL.
#[test]
fn a_condition_that_is_not_there() -> TestResult {
    on_mysql("isolation_condition", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET @b = 1")?;
        client.run("GET DIAGNOSTICS CONDITION 1 @a = MYSQL_ERRNO")?;
        other.run("SELECT 1")?;
        assert_eq!(client.scalar("SELECT ROW_COUNT()")?, "-1");
        Ok(())
    })
}

/// Whether a statement that failed has ended the transaction, the server is asked.
#[test]
fn the_status_behind_an_error() -> TestResult {
    on_mysql("isolation_status", 1, &[], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT)")?;
        let mut client = stage.connect()?;
        client.run("SET autocommit = 0")?;
        client.run("LOCK TABLES test.t WRITE")?;
        client.run("SELECT * FROM test.t")?;
        assert!(client.run("FLUSH TABLES test.t WITH READ LOCK").is_err());
        assert_eq!(client.ping()?.status & status::IN_TRANSACTION, 0);
        Ok(())
    })
}

/// A MySQL gives a number as a text the collation that its connection had when the variable was set.
#[test]
fn numbers_have_a_collation() -> TestResult {
    on_mysql("isolation_numbers", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET NAMES latin1")?;
        client.run("SET @a = 5, @b = 1.5")?;
        client.run("SELECT COUNT(*) INTO @c FROM information_schema.SCHEMATA")?;
        client.run("SET NAMES gbk")?;
        client.run("SET @d = 1e0")?;
        client.run("SET NAMES utf8mb4 COLLATE utf8mb4_bin")?;
        for (variable, expected) in ["@a", "@b", "@c", "@d"]
            .into_iter()
            .zip(["latin1_swedish_ci"; 3].into_iter().chain(["gbk_chinese_ci"]))
        {
            // Takes a reset when it goes.
            other.run("SET @x = 1")?;
            let collation = client.scalar(&format!("SELECT COLLATION(CONCAT({variable}))"))?;
            assert_eq!(collation, expected, "{variable}");
            assert_eq!(client.scalar("SELECT @@collation_connection")?, "utf8mb4_bin");
        }
        Ok(())
    })
}

/// Without autocommit a MySQL calls it a transaction to look at its variables, and has none.
#[test]
fn looking_at_variables_is_no_transaction() -> TestResult {
    on_each_server("isolation_looks", 1, &[("checkout_timeout_ms", "5000")], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET autocommit = 0")?;
        client.query("SHOW VARIABLES LIKE 'sql_mode'")?;
        other.run("SELECT 1")?;
        Ok(())
    })
}

/// What Athena asks a link for has warnings of its own, which are nobody's.
#[test]
fn warnings_of_a_question() -> TestResult {
    on_mysql("isolation_question", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SELECT 1 UNION SELECT 2 LIMIT 1")?;
        other.run("SELECT 1")?;
        client.run("SELECT 1 UNION SELECT 2 LIMIT 1")?;
        // The link is read out for this one, who has said nothing that could have any.
        let mut third = stage.connect()?;
        assert_eq!(third.query("SHOW WARNINGS")?.rows()?.rows.len(), 0);
        Ok(())
    })
}

/// A statement that is refused for its text may have warnings beside the error: a MySQL counts both behind COM_PING.
#[test]
fn warnings_beside_an_error() -> TestResult {
    on_mysql("isolation_beside", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        assert!(client.run("SET NAMES ucs2 COLLATE utf8mb4_unicode_ci").is_err());
        other.run("SELECT 1")?;
        let warnings = client.ping()?.warnings;
        assert_eq!(i64::from(warnings), client.scalar("SELECT @@warning_count")?.parse::<i64>()?);
        assert_eq!(warnings, 2);
        Ok(())
    })
}

/// Without autocommit a statement that fails may begin a transaction all the same, also where the session's link was reset
/// before.
#[test]
fn an_error_begins_a_transaction() -> TestResult {
    on_each_server("isolation_error_begins", 1, &[("checkout_timeout_ms", "500")], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT PRIMARY KEY); INSERT INTO test.t VALUES (1)")?;
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET autocommit = 0")?;
        client.run("HANDLER test.t OPEN")?;
        client.run("HANDLER t CLOSE")?;
        other.run("SELECT 1")?;
        assert!(client.run("INSERT INTO test.t VALUES (1)").is_err());
        // The row is locked: the link is not anybody's.
        assert!(other.run("SELECT 1").is_err());
        assert_ne!(client.ping()?.status & status::IN_TRANSACTION, 0);
        client.run("ROLLBACK")?;
        other.run("SELECT 1")?;
        Ok(())
    })
}

/// A MySQL takes a text of nothing but comments for a statement, which has no warnings; a MariaDB's list stays.
#[test]
fn a_statement_of_comments() -> TestResult {
    on_each_server("isolation_comments", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SELECT CAST('x' AS SIGNED)")?;
        other.run("SELECT 1")?;
        client.run("/*!999999 SELECT 1 */")?;
        let listed = client.query("SHOW WARNINGS")?.rows()?.rows.len();
        assert_eq!(listed, usize::from(stage.server.flavor() == Flavor::MariaDb));
        Ok(())
    })
}

/// A variable that is set to NULL keeps the type that it had: not that of somebody else's on the link.
#[test]
fn a_null_has_a_type() -> TestResult {
    on_each_server("isolation_null", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET @a = NULL")?;
        other.run("SET @a = 5")?;
        // A number that is NULL would be taken for none.
        assert!(client.run("SET sql_mode = @a").is_err());
        Ok(())
    })
}

/// A SIGNAL chooses the SQLSTATE of its error.
#[test]
fn the_state_of_a_signal() -> TestResult {
    on_each_server("isolation_signal", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        assert!(client.run("SIGNAL SQLSTATE '45678' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000").is_err());
        other.run("SELECT 1")?;
        client.run("GET DIAGNOSTICS CONDITION 1 @state = RETURNED_SQLSTATE")?;
        assert_eq!(client.scalar("SELECT @state")?, "45678");
        Ok(())
    })
}

/// Where results are not converted, what Athena asks for comes in the character set of the connection.
#[test]
fn answers_in_several_bytes_a_letter() -> TestResult {
    on_each_server("isolation_wide", 1, &[("checkout_timeout_ms", "5000")], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET character_set_connection = ucs2, character_set_results = NULL")?;
        client.run("SET @a = LOWER('WIDE')")?;
        other.run("SELECT 1")?;
        client.run("SET NAMES utf8mb4")?;
        assert_eq!(client.scalar("SELECT CONVERT(@a USING utf8mb4)")?, "wide");
        Ok(())
    })
}

/// What is prepared as text uses no table, whatever quotes it has: a MariaDB's list of warnings stays.
#[test]
fn warnings_over_a_text_with_quotes() -> TestResult {
    on_each_server("isolation_quotes", 1, &[], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SELECT CAST('x' AS SIGNED)")?;
        other.run("SELECT 1")?;
        client.run("PREPARE s FROM 'SELECT ''\u{e9}'''")?;
        let listed = client.query("SHOW WARNINGS")?.rows()?.rows.len();
        assert_eq!(listed, usize::from(stage.server.flavor() == Flavor::MariaDb));
        Ok(())
    })
}

/// A table that is dropped takes its handler along, which can't be closed any more.
#[test]
fn a_handler_goes_with_its_table() -> TestResult {
    on_each_server("isolation_handler", 1, &[("checkout_timeout_ms", "5000")], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT)")?;
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("HANDLER test.t OPEN AS h")?;
        client.run("DROP TABLE test.t")?;
        assert!(client.run("HANDLER h CLOSE").is_err());
        other.run("SELECT 1")?;
        Ok(())
    })
}

/// A temporary table that was altered is the same one, and goes when it is dropped.
#[test]
fn a_temporary_table_is_altered() -> TestResult {
    on_each_server("isolation_altered", 1, &[("checkout_timeout_ms", "5000")], |stage| {
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("CREATE TEMPORARY TABLE test.t (id INT)")?;
        client.run("ALTER TABLE test.t ADD COLUMN v INT")?;
        client.run("DROP TEMPORARY TABLE test.t")?;
        other.run("SELECT 1")?;
        Ok(())
    })
}

/// Without autocommit a statement that reads no table may call itself a transaction: table locks stay where they are.
#[test]
fn table_locks_beside_no_transaction() -> TestResult {
    on_each_server("isolation_table_locks", 1, &[("checkout_timeout_ms", "500")], |stage| {
        stage.server.sql("CREATE TABLE test.t (id INT)")?;
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        client.run("SET autocommit = 0")?;
        client.run("LOCK TABLES test.t READ")?;
        client.run("COMMIT")?;
        client.query("SHOW VARIABLES LIKE 'sql_mode'")?;
        // There is one link, and it is not for others.
        assert!(other.run("SELECT 1").is_err());
        client.run("UNLOCK TABLES")?;
        client.run("COMMIT")?;
        other.run("SELECT 1")?;
        Ok(())
    })
}

/// A client that wants to be told of no schema is not, but Athena is: also where literals have two bytes for each letter, which a
/// MySQL takes for no value of its variables.
#[test]
fn a_schema_is_noticed_in_every_character_set() -> TestResult {
    on_each_server("isolation_ucs2", 2, &[], |stage| {
        stage.server.sql("CREATE DATABASE other")?;
        let mut client = stage.connect()?;
        client.run("SET character_set_connection = ucs2")?;
        client.run("SET session_track_schema = 0")?;
        client.run("USE other")?;
        client.command(crate::common::wire::command::RESET_CONNECTION, &[])?;
        assert_eq!(client.scalar("SELECT DATABASE()")?, "other");
        Ok(())
    })
}
