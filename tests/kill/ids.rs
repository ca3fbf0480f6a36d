//! CONNECTION_ID() is the id that the client was greeted with, wherever its statements run.

use crate::common::wire::{Connection, Value, command};
use crate::common::{TestResult, join};
use crate::{CORES, NOT_SUPPORTED_YET, client_on, id_of, on_each_server};

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
        let doubtful = "SELECT CONNECTION_ID() /*!50701 + 1 */";
        assert_eq!(client.run(doubtful).err().and_then(|error| error.code()), Some(NOT_SUPPORTED_YET));
        assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
        Ok(())
    })
}
