//! SHOW PROCESSLIST and COM_PROCESS_INFO.

use std::thread;

use athena_perf::lab::APP_USER;

use crate::common::wire::{Connection, Login, Reply, ResultSet, Value, capability, command};
use crate::common::{TestResult, join};
use crate::{
    CORES, UNSUPPORTED_PS, client_on, id_of, is_mariadb, on_each_server, wait_until_running, was_interrupted,
};

fn list(client: &mut Connection, sql: &str) -> TestResult<ResultSet> {
    Ok(client.query(sql)?.rows()?)
}

/// The row of a client, as text.
fn row_of(list: &ResultSet, id: u32) -> Vec<String> {
    let row = list.rows.iter().find(|row| row[0] == Value::text(&id.to_string()));
    row.unwrap_or_else(|| panic!("{id} is not in {list:?}")).iter().map(Value::to_string).collect()
}

fn names(list: &ResultSet) -> Vec<String> {
    list.columns.iter().map(|column| column.name.clone()).collect()
}

#[test]
fn sessions_of_all_cores_are_listed_with_ids_that_can_be_killed() -> TestResult {
    on_each_server("list", |stage| {
        let mut asker = client_on(stage, 0)?;
        let idle: Vec<Connection> =
            (0..CORES).map(|core| client_on(stage, core)).collect::<TestResult<_>>()?;
        let mut busy = (0..CORES).map(|core| client_on(stage, core)).collect::<TestResult<Vec<_>>>()?;
        let long = format!("SELECT SLEEP(15) /* {} */", "x".repeat(200));
        thread::scope(|scope| -> TestResult {
            let ids: Vec<u32> = busy.iter().map(id_of).collect();
            let running: Vec<_> =
                busy.iter_mut().map(|client| scope.spawn(|| client.scalar(&long))).collect();
            wait_until_running(stage, "SLEEP(15)", ids.len());
            for full in [false, true] {
                let sql = if full { "show full processlist" } else { "SHOW PROCESSLIST" };
                let list = list(&mut asker, sql)?;
                let columns = ["Id", "User", "Host", "db", "Command", "Time", "State", "Info", "Progress"];
                let count = if is_mariadb(&asker) { 9 } else { 8 };
                assert_eq!(names(&list), columns[..count], "the columns of the server");
                for client in &idle {
                    let row = row_of(&list, id_of(client));
                    assert_eq!(row[1..5], [APP_USER, &row[2], "test", "Sleep"]);
                    assert!(row[2].starts_with("127.0.0.1:"), "{row:?}");
                    assert_eq!(row[7], "NULL");
                }
                for id in &ids {
                    let row = row_of(&list, *id);
                    assert_eq!((&*row[1], &*row[3], &*row[4]), (APP_USER, "test", "Query"), "{row:?}");
                    assert_eq!(row[7], if full { &long } else { &long[..100] });
                    assert_ne!(row[6], "", "the server says what it does");
                }
                let own = row_of(&list, id_of(&asker));
                assert_eq!((&*own[4], &*own[7]), ("Query", sql));
            }
            for id in &ids {
                asker.run(&format!("KILL QUERY {id}"))?;
            }
            for outcome in running.into_iter().map(join) {
                assert!(was_interrupted(&outcome), "{outcome:?}");
            }
            Ok(())
        })?;
        let list = list(&mut asker, "SHOW PROCESSLIST")?;
        assert_eq!(row_of(&list, id_of(&busy[0]))[4], "Sleep");
        assert_eq!(asker.scalar("SELECT 'usable'")?, "usable");
        Ok(())
    })
}

/// Both dialects, and the command of its own; the prepared form is refused.
#[test]
fn every_client_can_read_the_list() -> TestResult {
    on_each_server("list_dialects", |stage| {
        for login in [Login::app(), Login::app().without(capability::DEPRECATE_EOF)] {
            let mut client = stage.login(&login)?;
            let id = id_of(&client);
            for (name, reply) in [
                ("Query", client.query("SHOW PROCESSLIST")?),
                ("Processlist", client.command(command::PROCESS_INFO, &[])?),
            ] {
                let Reply::Rows(list) = reply else { panic!("rows expected, not {reply:?}") };
                assert_eq!(row_of(&list, id)[4], name);
            }
            let prepared = client.prepare("SHOW FULL PROCESSLIST").err().and_then(|error| error.code());
            assert_eq!(prepared, Some(UNSUPPORTED_PS));
            assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
        }
        Ok(())
    })
}
