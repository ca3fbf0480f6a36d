//! Prepared statements: ids and types belong to a session, though links share what is prepared on them.

use crate::common::TestResult;
use crate::common::random::Random;
use crate::common::wire::{Connection, Statement, Value, command};
use crate::{crowd, on_each_server, on_mariadb};

/// Where an EXECUTE says whether it opens a cursor.
const CURSOR_TYPE: usize = 4;

#[test]
fn equal_texts_with_different_types() -> TestResult {
    on_mariadb("isolation_types", 1, &[], |stage| {
        let (mut numbers, mut texts) = (stage.connect()?, stage.connect()?);
        let sql = "SELECT ? AS v";
        let (number, text) = (numbers.prepare(sql)?, texts.prepare(sql)?);
        assert_eq!(scalar(&mut numbers, &number, Value::Int(0x3031_3233))?, Value::Int(0x3031_3233));
        for round in 0..20 {
            let (expected, word) = (Value::Int(round), Value::text(&format!("text {round}")));
            assert_eq!(scalar(&mut texts, &text, word.clone())?, word);
            // Without types: those of this session hold, not those of the last execution on the link.
            let found = numbers.execute_as_before(&number, std::slice::from_ref(&expected))?;
            assert_eq!(found.rows()?.scalar()?, expected);
            let found = texts.execute_as_before(&text, std::slice::from_ref(&word))?;
            assert_eq!(found.rows()?.scalar()?, word);
            assert_eq!(scalar(&mut numbers, &number, Value::Double(0.5))?, Value::Double(0.5));
            assert_eq!(scalar(&mut numbers, &number, Value::Null)?, Value::Null);
            assert_eq!(scalar(&mut numbers, &number, expected.clone())?, expected);
        }
        Ok(())
    })
}

/// MySQL converts parameters to the types that a statement had first, for the session that executed it first alone.
#[test]
fn the_first_types_are_those_of_the_session() -> TestResult {
    on_each_server("isolation_first", 2, &[], |stage| {
        crowd(6, |session| {
            let mut client = stage.connect()?;
            let statement = client.prepare("SELECT ? AS v")?;
            for round in 0..30 {
                let value = match session % 3 {
                    0 => Value::Int(round),
                    1 => Value::Double(round as f64 + 0.5),
                    _ => Value::text(&format!("text {round}")),
                };
                assert_eq!(scalar(&mut client, &statement, value.clone())?, value);
            }
            Ok(())
        })
    })
}

#[test]
fn closing_ones_statement_leaves_that_of_others() -> TestResult {
    on_each_server("isolation_close", 1, &[], |stage| {
        let (mut first, mut second) = (stage.connect()?, stage.connect()?);
        let sql = "SELECT ? AS v";
        let kept = second.prepare(sql)?;
        for round in 0..10 {
            let closed = first.prepare(sql)?;
            let twin = first.prepare(sql)?;
            assert_ne!(closed.id, twin.id, "two statements of one session");
            first.close(&closed)?;
            assert_eq!(scalar(&mut first, &twin, Value::Int(round))?, Value::Int(round));
            assert_eq!(scalar(&mut second, &kept, Value::Int(-round))?, Value::Int(-round));
            first.close(&twin)?;
        }
        drop(first);
        assert_eq!(scalar(&mut second, &kept, Value::Int(7))?, Value::Int(7));
        Ok(())
    })
}

/// The same text means another table in another database.
#[test]
fn equal_texts_in_different_databases() -> TestResult {
    on_each_server("isolation_schemas", 2, &[], |stage| {
        for database in ["test", "sbtest"] {
            stage.server.sql(&format!(
                "CREATE TABLE {database}.t (name TEXT); INSERT INTO {database}.t VALUES ('{database}')"
            ))?;
        }
        let mut clients = Vec::new();
        for database in ["test", "sbtest"] {
            let mut client = stage.login(&crate::common::wire::Login::app().database(database))?;
            let statement = client.prepare("SELECT name FROM t")?;
            clients.push((database, client, statement));
        }
        for _ in 0..10 {
            for (database, client, statement) in &mut clients {
                let found = client.execute(statement, &[])?.rows()?.scalar()?;
                assert_eq!(found, Value::text(database));
            }
        }
        Ok(())
    })
}

/// A statement means what it meant where it was prepared, also on a link that does not have it yet.
#[test]
fn a_statement_stays_in_its_database() -> TestResult {
    on_each_server("isolation_moved", 2, &[], |stage| {
        for database in ["test", "sbtest"] {
            stage.server.sql(&format!(
                "CREATE TABLE {database}.t (name TEXT); INSERT INTO {database}.t VALUES ('{database}')"
            ))?;
        }
        let mut client = stage.connect()?;
        let statement = client.prepare("SELECT name, DATABASE() FROM t")?;
        client.run("USE sbtest")?;
        // Takes the link that has the statement, so that the other client needs another.
        let mut other = stage.connect()?;
        other.run("BEGIN")?;
        for _ in 0..3 {
            let found = client.execute(&statement, &[])?.rows()?.rows.remove(0);
            assert_eq!(found[0], Value::text("test"));
            assert_eq!(client.scalar("SELECT name FROM t")?, "sbtest");
            // On the other link, too.
            client.run("BEGIN")?;
            other.run("COMMIT")?;
            let found = client.execute(&statement, &[])?.rows()?.rows.remove(0);
            assert_eq!(found[0], Value::text("test"));
            assert_eq!(client.scalar("SELECT name FROM t")?, "sbtest");
            other.run("BEGIN")?;
            client.run("COMMIT")?;
        }
        Ok(())
    })
}

/// Two statements of one session with one text have their parameters and cursors apart.
#[test]
fn one_text_prepared_twice() -> TestResult {
    on_each_server("isolation_twins", 1, &[], |stage| {
        let mut client = stage.connect()?;
        let sql = "SELECT ? AS v";
        let (one, two) = (client.prepare(sql)?, client.prepare(sql)?);
        client.send_long_data(&one, 0, b"for one")?;
        client.send_long_data(&two, 0, b"for two")?;
        assert_eq!(scalar(&mut client, &one, Value::LongData)?, Value::text("for one"));
        assert_eq!(scalar(&mut client, &two, Value::LongData)?, Value::text("for two"));
        client.close(&one)?;
        assert_eq!(scalar(&mut client, &two, Value::text("still"))?, Value::text("still"));
        Ok(())
    })
}

/// More statements than a link keeps, used in any order.
#[test]
fn statements_that_a_link_has_forgotten() -> TestResult {
    on_each_server("isolation_evicted", 1, &[("max_prepared_statements", "3")], |stage| {
        let mut client = stage.connect()?;
        let mut statements = Vec::new();
        for number in 0..12_i64 {
            statements.push((number, client.prepare(&format!("SELECT ? + {number} AS v"))?));
        }
        let mut random = Random::new(1);
        for _ in 0..200 {
            let (number, statement) = statements[random.below(statements.len())];
            assert_eq!(scalar(&mut client, &statement, Value::Int(100))?, Value::Int(100 + number));
        }
        let open = stage.server.sql("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")?;
        let open: u32 = open.rsplit('\t').next().unwrap_or_default().parse()?;
        assert!(open <= 3, "{open} statements are open on the server");
        Ok(())
    })
}

/// A piece of a long parameter stays with the session that sent it.
#[test]
fn long_data_of_two_sessions() -> TestResult {
    on_each_server("isolation_long_data", 2, &[], |stage| {
        let (mut first, mut second) = (stage.connect()?, stage.connect()?);
        let sql = "SELECT ? AS v";
        let (one, two) = (first.prepare(sql)?, second.prepare(sql)?);
        for _ in 0..5 {
            first.send_long_data(&one, 0, b"first ")?;
            second.send_long_data(&two, 0, b"second ")?;
            first.send_long_data(&one, 0, b"and last")?;
            assert_eq!(scalar(&mut second, &two, Value::LongData)?, Value::text("second "));
            assert_eq!(scalar(&mut first, &one, Value::LongData)?, Value::text("first and last"));
            assert_eq!(scalar(&mut first, &one, Value::text("short"))?, Value::text("short"));
        }
        Ok(())
    })
}

/// A MySQL gives no rows, and not even their end, for a statement that had a cursor when it is executed without one.
#[test]
fn a_cursor_is_ones_own() -> TestResult {
    on_each_server("isolation_cursor", 1, &[], |stage| {
        let (mut first, mut second) = (stage.connect()?, stage.connect()?);
        let sql = "SELECT ? AS v";
        let (one, two) = (first.prepare(sql)?, second.prepare(sql)?);
        for round in 0..3 {
            let mut with_cursor = two.execution(&[Value::Int(round)]);
            with_cursor[CURSOR_TYPE] = 1;
            let opened = second.command_binary(command::STMT_EXECUTE, &with_cursor)?.rows()?;
            assert_eq!((opened.columns.len(), opened.rows.len()), (1, 0), "rows are for FETCH");
            second.command(command::STMT_RESET, &two.id.to_le_bytes())?.ok()?;
            assert_eq!(scalar(&mut first, &one, Value::Int(round))?, Value::Int(round));
            assert_eq!(scalar(&mut second, &two, Value::Int(round))?, Value::Int(round), "the same session");
        }
        Ok(())
    })
}

#[test]
fn a_crowd_with_equal_texts() -> TestResult {
    on_mariadb("isolation_crowd", 4, &[("max_prepared_statements", "4")], |stage| {
        crowd(20, |session| {
            let mut random = Random::new(session as u64);
            for _ in 0..5 {
                let mut client = stage.connect()?;
                let statements = (0..6)
                    .map(|kind| client.prepare(&format!("SELECT ? AS v, {kind} AS kind")))
                    .collect::<Result<Vec<_>, _>>()?;
                for _ in 0..40 {
                    let kind = random.below(statements.len());
                    let value = some_value(session, &mut random);
                    let row = client
                        .execute(&statements[kind], std::slice::from_ref(&value))?
                        .rows()?
                        .rows
                        .remove(0);
                    assert_eq!(row, [value, Value::Int(i64::try_from(kind)?)], "session {session}");
                }
            }
            Ok(())
        })
    })
}

/// A value of any type that tells its session.
fn some_value(session: usize, random: &mut Random) -> Value {
    let number = i64::try_from(session * 1_000_000 + random.below(1_000_000)).expect("a small number");
    match random.below(4) {
        0 => Value::Int(number),
        1 => Value::Null,
        2 => Value::Double(number as f64 + 0.5),
        _ => Value::text(&format!("session {session}: {number}")),
    }
}

fn scalar(client: &mut Connection, statement: &Statement, value: Value) -> TestResult<Value> {
    Ok(client.execute(statement, &[value])?.rows()?.scalar()?)
}
