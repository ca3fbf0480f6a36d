//! Who may end and see whom, by the rights that the backend accounts have on the server.

use athena_perf::lab::{APP_PASSWORD, APP_USER};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login};
use crate::{KILL_DENIED, configure, id_of};

fn listed(client: &mut Connection, id: u32) -> TestResult<bool> {
    let list = client.query("SHOW PROCESSLIST")?.rows()?;
    Ok(list.rows.iter().any(|row| row[0].to_string() == id.to_string()))
}

/// The application has PROCESS, but neither has CONNECTION ADMIN until it is granted.
#[test]
fn sessions_of_other_accounts_need_the_servers_privileges() -> TestResult {
    let users = format!(
        "[[users]]\nname = \"{APP_USER}\"\npassword = \"{APP_PASSWORD}\"\n\n[[users]]\nname = \"bob\"\n\
         password = \"bob\"\nbackend_user = \"bob\"\nbackend_password = \"bob\"\n"
    );
    let stage = Stage::start_with("kill_rights", |config| configure(config).text(&users))?;
    stage.server.sql("CREATE USER bob@'%' IDENTIFIED BY 'bob'; GRANT ALL ON test.* TO bob@'%'")?;
    let (mut app, mut bob) = (stage.connect()?, stage.login(&Login::new("bob", "bob").database("test"))?);
    let (app_id, bob_id) = (id_of(&app), id_of(&bob));
    for (killer, id) in [(&mut app, bob_id), (&mut bob, app_id)] {
        for sql in [format!("KILL {id}"), format!("KILL QUERY {id}")] {
            assert_eq!(killer.run(&sql).err().and_then(|error| error.code()), Some(KILL_DENIED), "{sql}");
        }
    }
    assert!(listed(&mut app, bob_id)? && listed(&mut app, app_id)?, "with PROCESS");
    assert!(listed(&mut bob, bob_id)? && !listed(&mut bob, app_id)?, "without PROCESS");
    stage.server.sql("GRANT CONNECTION ADMIN ON *.* TO bob@'%'")?;
    bob.run(&format!("KILL {app_id}"))?;
    assert!(app.scalar("SELECT 1").is_err());
    Ok(())
}
