//! Statements with many rows of parameters: a prepared INSERT of several rows, and MariaDB's bulk execution.

use super::common::TestResult;
use super::common::random::Random;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Login, Reply, Result, Statement, Value, capability, command};
use super::faults::{code, four_shards};
use super::{PLAIN, SHARDED, chosen};

const REFUSED: u16 = 1235;
const DUPLICATE: u16 = 1062;

/// `STMT_BULK_FLAG_CLIENT_SEND_TYPES`
const SEND_TYPES: u16 = 128;

const TABLE: &str = "CREATE TABLE users (user_id BIGINT PRIMARY KEY, n INT DEFAULT 5, name VARCHAR(40)) DEFAULT CHARSET utf8mb4";
const ALL: &str = "SELECT user_id, n, name FROM users ORDER BY user_id";

/// The same table twice: sharded through Athena, and as one.
fn both(stage: &Stage, bulk: bool) -> TestResult<[Connection; 2]> {
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}; CREATE DATABASE {PLAIN}"))?;
    let login = |schema: &str| {
        let login = Login::app().database(schema);
        if bulk { login.with_extended(capability::EXTENDED_STMT_BULK) } else { login }
    };
    let mut sides = [stage.login(&login(SHARDED))?, stage.direct(&login(PLAIN))?];
    for side in &mut sides {
        side.run(TABLE)?;
    }
    Ok(sides)
}

/// What a reply without rows says, but for its status.
fn told(outcome: &Result<Reply>) -> std::result::Result<(u64, u16), Option<u16>> {
    match outcome {
        Ok(Reply::Ok(ok)) => Ok((ok.affected_rows, ok.warnings)),
        Ok(Reply::Rows(rows)) => panic!("{rows:?}"),
        Err(error) => Err(error.code()),
    }
}

#[test]
fn prepared_inserts_of_several_rows() -> TestResult {
    on_each_server("sharding_batches", four_shards, |stage| {
        let mut sides = both(stage, false)?;
        let texts = [
            "INSERT INTO users (user_id, n, name) VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?)",
            "INSERT INTO users (name, user_id) VALUES (?,?),('it''s ?',7),(?,?),(CONCAT(?, '!'),?)",
            "INSERT IGNORE INTO users VALUES (?, ?, ?), (?, DEFAULT, ?)",
            "REPLACE INTO users (user_id, name) VALUES (?, ?), (?, ?), (?, ?), (?, ?), (?, ?)",
            "INSERT INTO users (user_id, n) VALUES (?, ?), (?, ?) ON DUPLICATE KEY UPDATE n = n + ?, name = ?",
        ];
        // Where the sharding column's values are among the parameters.
        let keys: [&[usize]; 5] = [&[0, 3, 6], &[1, 3, 5], &[0, 3], &[0, 2, 4, 6, 8], &[0, 2]];
        let mut random = Random::new(chosen("ATHENA_SHARDING_SEED", 1));
        let prepared: Vec<Vec<Statement>> = texts
            .iter()
            .map(|text| sides.iter_mut().map(|side| side.prepare(text)).collect::<Result<Vec<_>>>())
            .collect::<Result<_>>()?;
        let numbers: [&[usize]; 5] = [&[1, 4, 7], &[], &[1], &[], &[1, 3, 4]];
        for round in 0..120 {
            let which = random.below(texts.len());
            let params = texts[which].matches('?').count() - usize::from(which == 1);
            let mut value = |at: usize| match random.below(12) {
                _ if keys[which].contains(&at) => match random.below(3) {
                    0 => Value::text(&random.below(60).to_string()),
                    _ => Value::Int(i64::try_from(random.below(60)).unwrap()),
                },
                0 => Value::Null,
                _ if numbers[which].contains(&at) => Value::Int(i64::try_from(random.below(9)).unwrap()),
                1..=3 => Value::Int(i64::try_from(random.below(1000)).unwrap()),
                length => Value::text(&"é".repeat(length)),
            };
            let values: Vec<_> = (0..params).map(&mut value).collect();
            let outcomes: Vec<_> = sides
                .iter_mut()
                .zip(&prepared[which])
                .map(|(side, statement)| side.execute(statement, &values))
                .collect();
            let (ours, theirs) = (told(&outcomes[0]), told(&outcomes[1]));
            assert_eq!(ours, theirs, "{round}: {} {values:?} {outcomes:?}", texts[which]);
            let [ours, theirs] = &mut sides;
            assert_eq!(ours.query(ALL)?.rows()?.rows, theirs.query(ALL)?.rows()?.rows, "{}", texts[which]);
            if random.below(4) == 0 {
                sides.iter_mut().try_for_each(|side| side.run("DELETE FROM users WHERE user_id > 20"))?;
            }
        }
        let [client, _] = &mut sides;
        // With the types of before, all or nothing, and what no shard is known for.
        client.run("DELETE FROM users")?;
        let insert = client.prepare("INSERT INTO users (user_id, name) VALUES (?, ?), (?, ?)")?;
        let pair =
            |one: i64, two: i64| [Value::Int(one), Value::text("a"), Value::Int(two), Value::text("b")];
        client.execute(&insert, &pair(0, 1))?.ok()?;
        assert_eq!(client.execute_as_before(&insert, &pair(2, 3))?.ok()?.affected_rows, 2);
        assert_eq!(client.execute_as_before(&insert, &pair(4, 8))?.ok()?.affected_rows, 2);
        assert_eq!(client.execute_as_before(&insert, &pair(5, 9))?.ok()?.affected_rows, 2);
        assert_eq!(code(&client.execute_as_before(&insert, &pair(12, 3))), Some(DUPLICATE));
        let none = [Value::Int(12), Value::text("a"), Value::Null, Value::text("b")];
        assert_eq!(code(&client.execute(&insert, &none)), Some(REFUSED));
        client.run("BEGIN")?;
        client.execute(&insert, &pair(16, 17))?.ok()?;
        assert_eq!(code(&client.execute(&insert, &pair(20, 17))), Some(DUPLICATE));
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "10");
        client.run("ROLLBACK")?;
        assert_eq!(
            client.scalar("SELECT GROUP_CONCAT(user_id) FROM users WHERE user_id = 12").ok(),
            Some("NULL".into())
        );
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "8");
        if stage.server.sql("SELECT VERSION()")?.contains("MariaDB") {
            let returning =
                client.prepare("INSERT INTO users (user_id) VALUES (?), (?) RETURNING user_id")?;
            assert_eq!(code(&client.execute(&returning, &[Value::Int(30), Value::Int(31)])), Some(REFUSED));
            let rows = client.execute(&returning, &[Value::Int(30), Value::Int(34)])?.rows()?.rows;
            assert_eq!(rows.len(), 2);
        }
        Ok(())
    })
}

/// A value of a bulk execution.
#[derive(Debug, Clone)]
pub(super) enum Bulk {
    Value(Value),
    Default,
}

pub(super) fn bulk(client: &mut Connection, statement: &Statement, rows: &[Vec<Bulk>]) -> Result<Reply> {
    let mut arguments = statement.id.to_le_bytes().to_vec();
    arguments.extend_from_slice(&SEND_TYPES.to_le_bytes());
    let first = rows.first().map(Vec::as_slice).unwrap_or_default();
    for at in 0..first.len() {
        let is_text = rows.iter().any(|row| matches!(row[at], Bulk::Value(Value::Bytes(_))));
        arguments.extend_from_slice(&[if is_text { 253 } else { 8 }, 0]);
    }
    for value in rows.iter().flatten() {
        match value {
            Bulk::Value(Value::Int(number)) => {
                arguments.push(0);
                arguments.extend_from_slice(&number.to_le_bytes());
            }
            Bulk::Value(Value::Bytes(bytes)) => {
                arguments.extend_from_slice(&[0, u8::try_from(bytes.len()).unwrap()]);
                arguments.extend_from_slice(bytes);
            }
            Bulk::Value(_) => arguments.push(1),
            Bulk::Default => arguments.push(2),
        }
    }
    client.command_binary(command::STMT_BULK_EXECUTE, &arguments)
}

#[test]
fn rows_of_a_bulk_execution_go_where_they_belong() -> TestResult {
    let stage = Stage::start_with("sharding_bulk", four_shards)?;
    let mut sides = both(&stage, true)?;
    let texts = [
        "INSERT INTO users (user_id, n, name) VALUES (?, ?, ?)",
        "INSERT IGNORE INTO users VALUES (?, ?, ?)",
        "REPLACE INTO users (user_id, n, name) VALUES (?, ?, ?)",
        "INSERT INTO users (user_id, n, name) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE n = n + 1",
        "UPDATE users SET n = ?, name = ? WHERE user_id = ?",
        "UPDATE users SET n = n + ?, name = ? WHERE user_id > ?",
        "DELETE FROM users WHERE user_id = ?",
    ];
    let prepared: Vec<Vec<Statement>> = texts
        .iter()
        .map(|text| sides.iter_mut().map(|side| side.prepare(text)).collect::<Result<Vec<_>>>())
        .collect::<Result<_>>()?;
    let mut random = Random::new(chosen("ATHENA_SHARDING_SEED", 1));
    for round in 0..150 {
        let which = random.below(texts.len());
        let rows: Vec<_> = (0..1 + random.below(12))
            .map(|_| {
                let mut number = |limit| Bulk::Value(Value::Int(i64::try_from(random.below(limit)).unwrap()));
                let (id, n) = (number(50), number(9));
                let n = match random.below(5) {
                    0 => Bulk::Value(Value::Null),
                    1 if which < 4 => Bulk::Default,
                    _ => n,
                };
                let name = match random.below(4) {
                    0 => Bulk::Value(Value::Null),
                    _ => Bulk::Value(Value::text(&format!("n{}", random.below(1000)))),
                };
                match which {
                    0..=3 => vec![id, n, name],
                    4 | 5 => vec![n, name, id],
                    _ => vec![id],
                }
            })
            .collect();
        // In a transaction, since a MariaDB that has no several shards commits each UPDATE by itself.
        let outcomes: Vec<_> = sides
            .iter_mut()
            .zip(&prepared[which])
            .map(|(side, statement)| {
                side.run("BEGIN")?;
                let outcome = bulk(side, statement, &rows);
                side.run("COMMIT")?;
                outcome
            })
            .collect();
        let (ours, theirs) = (told(&outcomes[0]), told(&outcomes[1]));
        assert_eq!(ours, theirs, "{round}: {} {rows:?} {outcomes:?}", texts[which]);
        let [ours, theirs] = &mut sides;
        assert_eq!(
            ours.query(ALL)?.rows()?.rows,
            theirs.query(ALL)?.rows()?.rows,
            "{} {rows:?}",
            texts[which]
        );
    }
    let [client, _] = &mut sides;
    client.run("DELETE FROM users")?;
    let int = |number| Bulk::Value(Value::Int(number));
    let insert = client.prepare(texts[0])?;
    let name = || Bulk::Value(Value::text("a"));
    let row = |id: i64| vec![int(id), int(1), name()];
    assert_eq!(bulk(client, &insert, &[row(0), row(1), row(5)])?.ok()?.affected_rows, 3);
    // All or nothing, in autocommit as well.
    assert_eq!(code(&bulk(client, &insert, &[row(2), row(4), row(1)])), Some(DUPLICATE));
    assert_eq!(code(&bulk(client, &insert, &[row(2), vec![Bulk::Default, int(1), name()]])), Some(REFUSED));
    let null = || Bulk::Value(Value::Null);
    assert_eq!(code(&bulk(client, &insert, &[row(2), vec![null(), int(1), name()]])), Some(REFUSED));
    let select = client.prepare("SELECT name FROM users WHERE user_id = ?")?;
    assert_eq!(code(&bulk(client, &select, &[vec![int(0)], vec![int(1)]])), Some(REFUSED));
    let returning = client.prepare("INSERT INTO users (user_id) VALUES (?) RETURNING user_id")?;
    assert_eq!(code(&bulk(client, &returning, &[vec![int(20)], vec![int(21)]])), Some(REFUSED));
    let pair = client.prepare("INSERT INTO users (user_id) VALUES (?), (?)")?;
    assert_eq!(code(&bulk(client, &pair, &[vec![int(20), int(21)]])), Some(REFUSED));
    assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "3");
    stage.assert_serves()
}
