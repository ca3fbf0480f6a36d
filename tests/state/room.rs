//! A server has room for so many prepared statements of all its connections together. Links keep some that nobody needs
//! just then: those give way.

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{self, Connection, Login, Statement, Value};
use crate::{configure, holder};

/// `ER_MAX_PREPARED_STMT_COUNT_REACHED`
const NO_ROOM: u16 = 1461;

/// What the server has room for.
const ROOM: usize = 4;

fn on_each_server(name: &str, links: usize, test: impl Fn(&Stage) -> TestResult) -> TestResult {
    test(&Stage::start_with(name, |config| configure(config, links))?)?;
    match Stage::start_on_mysql(name, |config| configure(config, links))? {
        Some(stage) => test(&stage).map_err(|error| format!("on MySQL: {error}").into()),
        None => Ok(()),
    }
}

fn make_room_for(statements: usize, stage: &Stage) -> TestResult {
    stage.server.sql(&format!("SET GLOBAL max_prepared_stmt_count = {statements}"))?;
    Ok(())
}

fn scalar(client: &mut Connection, statement: &Statement, parameters: &[Value]) -> wire::Result<Value> {
    client.execute(statement, parameters)?.rows()?.scalar()
}

#[test]
fn statements_on_idle_links_give_way() -> TestResult {
    on_each_server("state_room", 2, |stage| {
        make_room_for(ROOM, stage)?;
        let mut holder = holder(stage, &Login::app())?;
        let mut owner = stage.connect()?;
        let prepare = |number| owner.prepare(&format!("SELECT {number}"));
        let statements = (0..ROOM).map(prepare).collect::<wire::Result<Vec<_>>>()?;
        // The other link has all that there is room for, and is idle.
        let own = holder.prepare("SELECT 'new'")?;
        assert_eq!(scalar(&mut holder, &own, &[])?, Value::text("new"));
        for _ in 0..3 {
            for (number, statement) in (0..).zip(&statements) {
                assert_eq!(scalar(&mut owner, statement, &[])?, Value::Int(number), "prepared again");
            }
            assert_eq!(scalar(&mut holder, &own, &[])?, Value::text("new"));
        }
        holder.run("COMMIT")?;
        Ok(())
    })
}

/// A link whose own statements fill the server.
#[test]
fn statements_on_the_same_link_give_way() -> TestResult {
    on_each_server("state_room_own", 1, |stage| {
        make_room_for(ROOM, stage)?;
        let (mut one, mut two) = (stage.connect()?, stage.connect()?);
        let prepare = |client: &mut Connection, number| client.prepare(&format!("SELECT {number}"));
        let statements =
            (0..3 * ROOM).map(|number| prepare(&mut one, number)).collect::<wire::Result<Vec<_>>>()?;
        let other = prepare(&mut two, 100)?;
        for (number, statement) in (0..).zip(&statements) {
            assert_eq!(scalar(&mut one, statement, &[])?, Value::Int(number));
            assert_eq!(scalar(&mut two, &other, &[])?, Value::Int(100));
        }
        Ok(())
    })
}

#[test]
fn a_statement_with_a_parameter_sent_ahead_stays() -> TestResult {
    on_each_server("state_room_open", 1, |stage| {
        make_room_for(1, stage)?;
        let mut client = stage.connect()?;
        let open = client.prepare("SELECT ?")?;
        client.send_long_data(&open, 0, b"ahead")?;
        let error = client.prepare("SELECT 2").expect_err("there is no room for another");
        assert_eq!(error.code(), Some(NO_ROOM), "{error}");
        assert_eq!(scalar(&mut client, &open, &[Value::LongData])?, Value::text("ahead"));
        let next = client.prepare("SELECT 2")?;
        assert_eq!(scalar(&mut client, &next, &[])?, Value::Int(2));
        Ok(())
    })
}

#[test]
fn a_server_without_any_room_says_so() -> TestResult {
    on_each_server("state_room_none", 1, |stage| {
        let mut client = stage.connect()?;
        let statement = client.prepare("SELECT 1")?;
        assert_eq!(scalar(&mut client, &statement, &[])?, Value::Int(1));
        make_room_for(0, stage)?;
        let error = client.prepare("SELECT 2").expect_err("there is no room at all");
        assert_eq!(error.code(), Some(NO_ROOM), "{error}");
        assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
        make_room_for(1, stage)?;
        assert_eq!(scalar(&mut client, &statement, &[])?, Value::Int(1));
        Ok(())
    })
}
