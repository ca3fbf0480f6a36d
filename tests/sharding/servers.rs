//! Shards on servers of their own: each statement goes where its shard is, and a session is on one server after the other as
//! if it were one.

use athena_perf::lab::{Flavor, Lab, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig};

use super::common::wire::{self, Connection, Login, Plugin, Value, command, status};
use super::common::{PATIENCE, TestResult, eventually};
use super::faults::{code, four_shards};
use super::shows::column;
use super::{SHARDED, chosen};

const REFUSED: u16 = 1235;
/// Where an EXECUTE says that it wants a cursor.
const CURSOR_TYPE: usize = 4;
const READ_ONLY: u16 = 1792;
const UNAVAILABLE: u16 = 3168;

/// Transactions may be on several servers.
pub(super) fn two_phase(config: AthenaConfig) -> AthenaConfig {
    config.set("sharding_defaults", "cross_shard_transactions", "\"xa\"")
}

/// `[backend]`, and two servers with two shards each. Dropped in this order: proxy, servers, files.
pub(super) struct Spread {
    pub athena: Athena,
    pub home: Server,
    /// Shards 0 and 2, then 1 and 3.
    pub shards: Vec<Server>,
    pub config: AthenaConfig,
    pub lab: Lab,
}

/// Which shards are on the servers.
const INDEXES: [&str; 2] = ["[0, 2]", "[1, 3]"];

impl Spread {
    pub fn start(
        lab: Lab,
        mut servers: Vec<Server>,
        configure: &impl Fn(AthenaConfig) -> AthenaConfig,
    ) -> TestResult<Self> {
        for server in servers.iter().filter(|server| server.flavor() == Flavor::MySql) {
            server.sql("GRANT XA_RECOVER_ADMIN ON *.* TO app@'%'")?;
        }
        let home = servers.remove(0);
        let mut config = AthenaConfig::new(home.port()).set("pool", "connect_timeout_ms", "20000");
        config = configure(config);
        for (number, (server, indexes)) in servers.iter().zip(INDEXES).enumerate() {
            config = config.text(&format!(
                "[[shards]]\nname = \"s{number}\"\nindexes = {indexes}\nhost = \"127.0.0.1\"\nport = {}\n",
                server.port()
            ));
        }
        let athena = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), lab.folder(), &config)?;
        Ok(Self { athena, home, shards: servers, config, lab })
    }

    /// A connection to one of the servers.
    pub fn direct(&self, server: &Server) -> wire::Result<Connection> {
        Connection::login(server.port(), &Login::app().database(SHARDED).by(Plugin::CachingSha2Rsa))
    }

    pub fn login(&self, login: &Login) -> wire::Result<Connection> {
        Connection::login(self.athena.port(), login)
    }

    pub fn connect(&self) -> wire::Result<Connection> {
        Connection::login(self.athena.port(), &Login::app().database(SHARDED))
    }

    /// What a statement gives on one of the servers.
    pub fn of(&self, server: &Server, sql: &str) -> TestResult<String> {
        Ok(server.sql(&format!("USE {SHARDED}; {sql}"))?.trim().replace('\n', " "))
    }
}

/// Runs `test` on servers of MariaDB, and of MySQL where there is one.
pub(super) fn on_each_spread(
    name: &str,
    configure: impl Fn(AthenaConfig) -> AthenaConfig,
    test: impl Fn(&Spread) -> TestResult,
) -> TestResult {
    let lab = Lab::new(name)?;
    let servers = lab.shard_servers(3, &ServerOptions::default())?;
    test(&Spread::start(lab, servers, &configure)?)?;
    let lab = Lab::new(name)?;
    let servers = (0..3).map(|_| lab.mysql_server(ServerOptions::default()));
    let servers: Vec<Server> =
        servers.collect::<athena_perf::Result<Vec<_>>>()?.into_iter().flatten().collect();
    if servers.is_empty() {
        eprintln!("skipped on MySQL: there is none");
        return Ok(());
    }
    test(&Spread::start(lab, servers, &configure)?).map_err(|error| format!("on MySQL: {error}").into())
}

/// `users` with a row on each shard, and `notes` at home.
pub(super) fn users(stage: &Spread) -> TestResult<Connection> {
    for server in stage.shards.iter().chain([&stage.home]) {
        server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    }
    let mut client = stage.connect()?;
    client.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(200))")?;
    client.run("CREATE TABLE notes (id INT PRIMARY KEY, note VARCHAR(200))")?;
    for (key, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        client.run(&format!("INSERT INTO users (user_id, name) VALUES ({key}, '{name}')"))?;
    }
    client.run("INSERT INTO notes VALUES (1, 'n')")?;
    Ok(client)
}

pub(super) fn in_transaction(client: &mut Connection) -> TestResult<bool> {
    Ok(client.query("DO 0")?.status() & status::IN_TRANSACTION != 0)
}

/// The error's number, and that its text has these words.
pub(super) fn assert_refused(outcome: &wire::Result<wire::Reply>, number: u16, words: &[&str]) {
    assert_eq!(code(outcome), Some(number), "{outcome:?}");
    let text = outcome.as_ref().map_or_else(ToString::to_string, |_| String::new());
    assert!(words.iter().all(|word| text.contains(word)), "{text}: {words:?}");
}

#[test]
fn statements_go_where_their_shard_is() -> TestResult {
    on_each_spread("shards_where", four_shards, |stage| {
        let mut client = users(stage)?;
        assert_eq!(stage.of(&stage.shards[0], "SHOW TABLES")?, "users_0 users_2");
        assert_eq!(stage.of(&stage.shards[1], "SHOW TABLES")?, "users_1 users_3");
        assert_eq!(stage.of(&stage.home, "SHOW TABLES")?, "notes");
        assert_eq!(stage.of(&stage.shards[0], "SELECT name FROM users_2")?, "c");
        let names = client.prepare("SELECT name FROM users WHERE user_id = ?")?;
        let notes = client.prepare("SELECT note FROM notes WHERE id = ?")?;
        for (key, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let sql = format!("SELECT name FROM users WHERE user_id = {key}");
            assert_eq!(client.scalar(&sql)?, name);
            let rows = client.execute(&names, &[Value::Int(key as i64)])?;
            assert_eq!(rows.rows()?.scalar()?.to_string(), name);
            assert_eq!(client.scalar("SELECT note FROM notes")?, "n");
            let rows = client.execute(&notes, &[Value::Int(1)])?;
            assert_eq!(rows.rows()?.scalar()?.to_string(), "n");
        }
        assert_eq!(column(&mut client, "SHOW TABLES", 0)?, ["notes", "users"]);
        assert_eq!(client.query("DESCRIBE users")?.rows()?.rows.len(), 2);
        assert_refused(
            &client.query("SELECT * FROM users JOIN notes ON id = user_id WHERE user_id = 1"),
            REFUSED,
            &["`notes`", "[backend]", "\"s1\""],
        );
        let plan = column(&mut client, "EXPLAIN ATHENA SELECT * FROM users WHERE user_id = 3", 2)?;
        assert_eq!(plan, ["alone, on the server \"s1\" of [[shards]]"]);
        for begin in ["DO 0", "BEGIN"] {
            client.run(begin)?;
            client.run("UPDATE users SET name = 'b' WHERE user_id = 1")?;
            let mut tables =
                column(&mut client, "EXPLAIN FORMAT=TRADITIONAL SELECT * FROM users WHERE name > 'a'", 2)?;
            tables.sort();
            assert_eq!(tables, ["users_0", "users_1", "users_2", "users_3"], "{begin}");
            assert_eq!(in_transaction(&mut client)?, begin == "BEGIN");
        }
        client.run("COMMIT")?;
        client.run("ALTER TABLE users ADD COLUMN more INT")?;
        assert_eq!(client.query("DESCRIBE users")?.rows()?.rows.len(), 3);
        client.run("UPDATE users SET more = 7 WHERE user_id = 3")?;
        assert_eq!(stage.of(&stage.shards[1], "SELECT SUM(more) FROM users_3")?, "7");
        client.run("DROP TABLE users")?;
        assert_eq!(stage.of(&stage.shards[0], "SHOW TABLES")?, "");
        Ok(())
    })
}

#[test]
fn a_transaction_is_on_the_server_of_its_first_table() -> TestResult {
    on_each_spread("shards_transaction", four_shards, |stage| {
        let mut client = users(stage)?;
        let of_third = || stage.of(&stage.shards[0], "SELECT name FROM users_2");
        for begin in
            [&["BEGIN"][..], &["SET autocommit = 0"], &["SELECT 1", "START TRANSACTION", "SET @a = 1"]]
        {
            for sql in begin {
                client.run(sql)?;
            }
            client.run("UPDATE users SET name = 'x' WHERE user_id = 2")?;
            assert!(in_transaction(&mut client)?, "{begin:?}");
            client.run("UPDATE users SET name = CONCAT(name, 'y') WHERE user_id = 0")?;
            assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 2")?, "x");
            assert_eq!(of_third()?, "c", "{begin:?}: nobody sees it yet");
            for elsewhere in ["SELECT * FROM users WHERE user_id = 1", "DELETE FROM users WHERE user_id = 3"]
            {
                assert_refused(&client.query(elsewhere), REFUSED, &["\"s0\"", "\"s1\"", "COMMIT"]);
            }
            assert_refused(&client.query("SELECT * FROM notes"), REFUSED, &["\"s0\"", "[backend]"]);
            let elsewhere = client.prepare("SELECT name FROM users WHERE user_id = ?")?;
            assert_refused(&client.execute(&elsewhere, &[Value::Int(1)]), REFUSED, &["\"s1\""]);
            let here = client.execute(&elsewhere, &[Value::Int(2)])?;
            assert_eq!(here.rows()?.scalar()?.to_string(), "x");
            assert_eq!(client.query("DESCRIBE users")?.rows()?.rows.len(), 2);
            assert_eq!(client.scalar("SELECT 1 + 1")?, "2");
            client.run("ROLLBACK")?;
            assert!(!in_transaction(&mut client)?);
            client.run("SET autocommit = 1")?;
            assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 0")?, "a", "{begin:?}");
            assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "b");
        }
        client.run("BEGIN")?;
        client.run("UPDATE users SET name = 'kept' WHERE user_id = 2")?;
        client.run("COMMIT")?;
        assert_eq!(of_third()?, "kept");
        client.run("BEGIN")?;
        client.run("UPDATE notes SET note = 'm'")?;
        assert_refused(
            &client.query("SELECT * FROM users WHERE user_id = 1"),
            REFUSED,
            &["[backend]", "\"s1\""],
        );
        client.run("COMMIT")?;
        assert_eq!(stage.of(&stage.home, "SELECT note FROM notes")?, "m");
        Ok(())
    })
}

#[test]
fn what_a_transaction_begins_with_goes_along() -> TestResult {
    on_each_spread("shards_begin", four_shards, |stage| {
        let mut client = users(stage)?;
        client.run("START TRANSACTION READ ONLY")?;
        assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "b");
        let written = client.query("UPDATE users SET name = 'x' WHERE user_id = 1");
        assert_eq!(code(&written), Some(READ_ONLY), "{written:?}");
        client.run("COMMIT")?;
        client.run("SET TRANSACTION READ ONLY")?;
        let written = client.query("UPDATE users SET name = 'x' WHERE user_id = 1");
        assert_eq!(code(&written), Some(READ_ONLY), "{written:?}");
        client.run("ROLLBACK")?;
        client.run("SET TRANSACTION READ ONLY")?;
        assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "b");
        client.run("UPDATE users SET name = 'x' WHERE user_id = 1")?;
        client.run("BEGIN")?;
        client.run("SAVEPOINT one")?;
        client.run("UPDATE users SET name = 'y' WHERE user_id = 1")?;
        client.run("ROLLBACK TO SAVEPOINT one")?;
        assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "x");
        client.run("COMMIT")?;
        // A definition commits, wherever it is.
        client.run("BEGIN")?;
        client.run("UPDATE users SET name = 'z' WHERE user_id = 1")?;
        client.run("CREATE TABLE more (a INT)")?;
        assert!(!in_transaction(&mut client)?);
        assert_eq!(stage.of(&stage.shards[1], "SELECT name FROM users_1")?, "z");
        Ok(())
    })
}

#[test]
fn state_goes_along_and_what_is_held_stays() -> TestResult {
    on_each_spread("shards_state", four_shards, |stage| {
        let mut client = users(stage)?;
        client.run("SET @a = 'found', @@sql_mode = 'ANSI_QUOTES', time_zone = '+03:00'")?;
        let state = "SELECT CONCAT(@a, @@sql_mode, @@time_zone) FROM users WHERE user_id = ";
        for key in 0..4 {
            assert_eq!(client.scalar(&format!("{state}{key}"))?, "foundANSI_QUOTES+03:00");
        }
        client.run("SET @@sql_mode = ''")?;
        client.run("CREATE TEMPORARY TABLE kept (a INT)")?;
        client.run("INSERT INTO kept VALUES (7)")?;
        assert_eq!(client.scalar("SELECT GET_LOCK('l', 1)")?, "1");
        for key in 0..4 {
            client.run(&format!("SET @a = 'n{key}'"))?;
            assert_eq!(
                client.scalar(&format!("SELECT @a FROM users WHERE user_id = {key}"))?,
                format!("n{key}")
            );
            assert_eq!(client.scalar("SELECT CONCAT(a, @a) FROM kept")?, format!("7n{key}"));
            client.run("BEGIN")?;
            client.run(&format!("UPDATE users SET name = @a WHERE user_id = {key}"))?;
            client.run("COMMIT")?;
        }
        let mut other = stage.connect()?;
        assert_eq!(other.scalar("SELECT IS_FREE_LOCK('l')")?, "0");
        assert_eq!(client.scalar("SELECT RELEASE_LOCK('l')")?, "1");
        client.run("INSERT INTO users (user_id, name) VALUES (8, 'i') ON DUPLICATE KEY UPDATE name = 'j'")?;
        client.run("INSERT IGNORE INTO users (user_id, name) VALUES (9, 'i'), (13, 'i'), (9, 'i')")?;
        assert_eq!(client.query("SHOW WARNINGS")?.rows()?.rows.len(), 1);
        assert_eq!(client.scalar("SELECT note FROM notes")?, "n");
        // A cursor stays where it is open.
        let cursor = client.prepare("SELECT name FROM users WHERE user_id = ?")?;
        let mut execution = cursor.execution(&[Value::Int(1)]);
        execution[CURSOR_TYPE] = 1;
        client.command_binary(command::STMT_EXECUTE, &execution)?;
        assert_eq!(client.scalar("SELECT note FROM notes")?, "n");
        client.send(command::STMT_FETCH, &[cursor.id.to_le_bytes(), 5_u32.to_le_bytes()].concat())?;
        let (mut row, mut rows) = (Vec::new(), 0);
        while client.next_row(&mut row)? {
            rows += 1;
        }
        assert_eq!(rows, 1);
        client.command(command::STMT_RESET, &cursor.id.to_le_bytes())?.ok()?;
        assert_eq!(client.scalar("SELECT note FROM notes")?, "n");
        drop(client);
        eventually("the lock is free", PATIENCE, || {
            let free = other.scalar("SELECT IS_FREE_LOCK('l')").map_err(|error| error.to_string())?;
            if free == "1" { Ok(()) } else { Err(free) }
        });
        Ok(())
    })
}

#[test]
fn a_server_that_is_down_is_missed_by_its_own_shards_only() -> TestResult {
    on_each_spread("shards_down", four_shards, |stage| {
        let mut client = users(stage)?;
        stage.shards[1].kill();
        for _ in 0..3 {
            for key in [0, 2] {
                client.scalar(&format!("SELECT name FROM users WHERE user_id = {key}"))?;
            }
            assert_eq!(client.scalar("SELECT note FROM notes")?, "n");
            for key in [1, 3] {
                let outcome = client.query(&format!("SELECT name FROM users WHERE user_id = {key}"));
                assert!(outcome.is_err());
                let text = format!("{outcome:?}");
                assert!(text.contains(&format!("shard {key}")) && text.contains("\\\"s1\\\""), "{text}");
            }
        }
        let refused = client.query("SELECT name FROM users WHERE user_id = 1");
        assert_eq!(code(&refused), Some(UNAVAILABLE), "{refused:?}");
        stage.shards[1].start()?;
        eventually("the shard is there again", PATIENCE, || {
            client.scalar("SELECT name FROM users WHERE user_id = 1").map_err(|error| error.to_string())
        });
        Ok(())
    })
}

#[test]
fn a_definition_that_fails_on_a_server_says_where() -> TestResult {
    on_each_spread("shards_define", four_shards, |stage| {
        let mut client = users(stage)?;
        stage.shards[1].sql(&format!("DROP TABLE {SHARDED}.users_3"))?;
        let outcome = client.query("ALTER TABLE users ADD COLUMN more INT");
        assert_refused(&outcome, 1146, &["on shard 3", "done on shard 0, shard 2, shard 1"]);
        assert_eq!(client.scalar("SELECT COUNT(more) FROM users WHERE user_id = 2")?, "0");
        Ok(())
    })
}

#[test]
fn many_sessions_do_not_meet() -> TestResult {
    let rounds = chosen("ATHENA_SHARDING_STATEMENTS", 60);
    let few = |config| four_shards(config).set("pool", "max_connections", "3");
    on_each_spread("shards_many", few, |stage| {
        users(stage)?;
        std::thread::scope(|scope| {
            let session = |number: u64| {
                move || -> TestResult {
                    let mut client = stage.connect()?;
                    client.run(&format!("SET @own = {number}"))?;
                    for round in 0..rounds {
                        let key = 100 * number + round % 4;
                        client.run("BEGIN")?;
                        client.run(&format!(
                            "INSERT INTO users (user_id, name) VALUES ({key}, CONCAT('of ', @own))"
                        ))?;
                        let sql =
                            format!("SELECT CONCAT(name, ' by ', @own) FROM users WHERE user_id = {key}");
                        assert_eq!(client.scalar(&sql)?, format!("of {number} by {number}"));
                        client.run(if round % 2 == 0 { "ROLLBACK" } else { "COMMIT" })?;
                        assert_eq!(
                            client.scalar("SELECT CONCAT(note, @own) FROM notes")?,
                            format!("n{number}")
                        );
                        client.run(&format!("DELETE FROM users WHERE user_id = {key}"))?;
                    }
                    Ok(())
                }
            };
            let running: Vec<_> = (1..9).map(|number| scope.spawn(session(number))).collect();
            running.into_iter().try_for_each(super::common::join)
        })
    })
}

/// All shards answer at the same time, wherever they are.
#[test]
fn a_read_of_several_servers_runs_on_all_of_them_at_the_same_time() -> TestResult {
    on_each_spread("shards_scatter", four_shards, |stage| {
        let mut client = users(stage)?;
        let all = client.prepare("SELECT COUNT(*), SUM(user_id) FROM users WHERE user_id < ?")?;
        for _ in 0..3 {
            let rows = client.query("SELECT user_id, name FROM users ORDER BY name DESC")?.rows()?.rows;
            let names: Vec<_> = rows.iter().map(|row| row[1].to_string()).collect();
            assert_eq!(names, ["d", "c", "b", "a"]);
            let row = client.execute(&all, &[Value::Int(3)])?.rows()?.rows;
            assert_eq!(row, [[Value::Int(3), Value::text("3")]]);
            assert_eq!(client.scalar("SELECT GROUP_CONCAT(note) FROM notes")?, "n");
            assert_eq!(client.query("SELECT user_id FROM users LIMIT 3")?.rows()?.rows.len(), 3);
        }
        client.send(command::QUERY, b"SELECT user_id, SLEEP(1.2) FROM users")?;
        eventually("all four run at the same time", PATIENCE, || {
            let sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(1.2)%' AND INFO NOT LIKE '%PROCESSLIST%'";
            let counts =
                stage.shards.iter().map(|server| server.sql(sql)).collect::<athena_perf::Result<Vec<_>>>();
            let counts = counts.map_err(|error| error.to_string())?.concat();
            if counts.split_whitespace().collect::<String>() == "22" { Ok(()) } else { Err(counts) }
        });
        assert_eq!(client.read_reply()?.rows()?.rows.len(), 4);
        client.run("SET autocommit = 0")?;
        assert_refused(&client.query("SELECT * FROM users"), REFUSED, &["several servers"]);
        client.run("SET autocommit = 1")?;
        assert_refused(&client.query("UPDATE users SET name = 'x'"), REFUSED, &["several servers"]);
        assert_eq!(client.query("SELECT * FROM users")?.rows()?.rows.len(), 4);
        stage.shards[1].kill();
        for _ in 0..3 {
            let outcome = client.query("SELECT * FROM users");
            let text = outcome.as_ref().map_or_else(ToString::to_string, |_| String::new());
            assert!(text.contains("\"s1\""), "{outcome:?}");
            assert_eq!(client.query("SELECT * FROM users WHERE user_id IN (0, 2)")?.rows()?.rows.len(), 2);
        }
        Ok(())
    })
}
