//! Ids of sequences: all shards have each of them once.

use std::collections::BTreeSet;

use athena_perf::lab::Flavor;
use athena_perf::proxy::{Athena, AthenaConfig};

use super::SHARDED;
use super::batches::{Bulk, bulk};
use super::common::wire::{Connection, Login, OkPacket, Plugin, Value, capability};
use super::common::{TestResult, join};
use super::faults::code;
use super::load::load_file;
use super::servers::{Spread, assert_refused, on_each_spread, two_phase};
use super::shows::column;

const REFUSED: u16 = 1235;
const DUPLICATE: u16 = 1062;
const NO_IDS: u16 = 1467;
const NO_SUCH_TABLE: u16 = 1146;
const OUT_OF_RANGE: u16 = 1264;

/// `events` by their own ids, `notes` by their users.
fn with_sequences(config: AthenaConfig) -> AthenaConfig {
    let rule = |name: &str, column: &str, sequence: &str| {
        format!(
            "[[sharding]]\nname = \"{name}\"\ntable_pattern = \"{name}\"\nshard_column = \"{column}\"\nshard_count = 4\n\
             sequence_column = \"{sequence}\"\n"
        )
    };
    two_phase(config)
        .set("sharding_defaults", "sequence_block", "10")
        .text(&rule("events", "event_id", "event_id"))
        .text(&rule("notes", "user_id", "id"))
}

/// On one core, whose blocks follow each other.
fn on_one_core(config: AthenaConfig) -> AthenaConfig {
    with_sequences(config).set("runtime", "cpus", "\"0\"")
}

fn tables(stage: &Spread) -> TestResult<Connection> {
    for server in stage.shards.iter().chain([&stage.home]) {
        server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    }
    let mut client = stage.connect()?;
    client.run(
        "CREATE TABLE events (event_id BIGINT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20) UNIQUE, n INT)",
    )?;
    client.run("CREATE TABLE notes (id BIGINT AUTO_INCREMENT PRIMARY KEY, user_id BIGINT NOT NULL, note VARCHAR(20))")?;
    Ok(client)
}

/// Has all servers take files; who logs in so may give them.
fn allow_files(stage: &Spread) -> TestResult<Login> {
    for server in stage.shards.iter().chain([&stage.home]) {
        server.sql("SET GLOBAL local_infile = 1")?;
    }
    Ok(Login::app().with(capability::LOCAL_FILES).by(Plugin::CachingSha2Rsa))
}

/// What an INSERT tells of: affected rows, the id, and LAST_INSERT_ID() behind it.
fn told(client: &mut Connection, sql: &str) -> TestResult<(u64, u64, String)> {
    let ok = client.query(sql)?.ok()?;
    Ok((ok.affected_rows, ok.last_insert_id, client.scalar("SELECT LAST_INSERT_ID()")?))
}

fn events(client: &mut Connection) -> TestResult<String> {
    let sql = "SELECT CONCAT(event_id, what) FROM events ORDER BY event_id";
    Ok(column(client, sql, 0)?.join(" "))
}

#[test]
fn rows_without_an_id_get_one() -> TestResult {
    on_each_spread("sequences_rows", on_one_core, |stage| {
        let mut client = tables(stage)?;
        let insert = "INSERT INTO events (what) VALUES";
        assert_eq!(told(&mut client, &format!("{insert} ('a')"))?, (1, 1, "1".into()));
        assert_eq!(told(&mut client, &format!("{insert} ('b'), ('c'), ('d')"))?, (3, 2, "2".into()));
        assert_eq!(told(&mut client, "INSERT INTO events VALUES (NULL, 'e', 1)")?, (1, 5, "5".into()));
        assert_eq!(told(&mut client, "INSERT INTO events SET event_id = 0, what = 'f'")?, (1, 6, "6".into()));
        let mixed =
            "INSERT INTO events (event_id, what) VALUES (8, 'h'), (DEFAULT, 'i'), ('11', 'k'), (0, 'j')";
        // Of the core's block of ten those are drawn that follow each other and are not given.
        assert_eq!(told(&mut client, mixed)?, (4, 9, "9".into()));
        assert_eq!(events(&mut client)?, "1a 2b 3c 4d 5e 6f 8h 9i 10j 11k");
        assert_eq!(stage.of(&stage.shards[0], "SELECT what FROM events_2 ORDER BY what")?, "b f j");
        client.run("SET sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")?;
        client.run("INSERT INTO events (event_id, what) VALUES (0, 'z')")?;
        assert_eq!(client.scalar("SELECT what FROM events WHERE event_id = 0")?, "z");
        client.run("SET sql_mode = DEFAULT")?;
        assert_eq!(
            told(
                &mut client,
                &format!("{insert} ('0'), ('1'), ('2'), ('3'), ('4'), ('5'), ('6'), ('7'), ('8'), ('9')")
            )?,
            (10, 12, "12".into())
        );
        let failed = client.query("INSERT INTO events (event_id, what) VALUES (NULL, 'l'), (1, 'x')");
        assert_eq!(code(&failed), Some(DUPLICATE), "{failed:?}");
        assert_eq!(client.scalar("SELECT COUNT(*) FROM events WHERE what = 'l'")?, "0");
        client.run("INSERT INTO events (event_id, what) VALUES (1000, 'm')")?;
        let after =
            told(&mut client, &format!("{insert} ('n'), ('o'), ('p'), ('q'), ('r'), ('s'), ('t'), ('u')"))?;
        assert_eq!(after, (8, 23, "23".into()));
        let after = told(&mut client, "REPLACE INTO events (what) VALUES ('v'), ('w')")?;
        assert_eq!(after, (2, 1001, "1001".into()), "the next block begins behind what was given");
        let plan = client.query("EXPLAIN ATHENA INSERT INTO events (what) VALUES ('v')")?.rows()?.rows;
        assert_eq!(plan.len(), 1);
        assert!(!client.query("EXPLAIN INSERT INTO events (what) VALUES ('v')")?.rows()?.rows.is_empty());
        let computed = client.query("INSERT INTO events (event_id, what) VALUES (1 + 1, 'x')");
        assert_refused(&computed, REFUSED, &["event_id"]);
        Ok(())
    })
}

#[test]
fn ids_beside_the_sharding_column() -> TestResult {
    on_each_spread("sequences_beside", on_one_core, |stage| {
        let mut client = tables(stage)?;
        let four = "INSERT INTO notes (user_id, note) VALUES (0, 'a'), (1, 'b'), (2, 'c'), (3, 'd')";
        assert_eq!(told(&mut client, four)?, (4, 1, "1".into()));
        client.run("BEGIN")?;
        assert_eq!(
            told(&mut client, "INSERT INTO notes (user_id, note) VALUES (5, 'e')")?,
            (1, 5, "5".into())
        );
        // A row of the other table that refers to it.
        client.run("INSERT INTO events (event_id, what, n) VALUES (1, 'x', LAST_INSERT_ID())")?;
        client.run("ROLLBACK")?;
        client.run("INSERT INTO notes (user_id, note) VALUES (1, 'f')")?;
        let told = told(
            &mut client,
            "INSERT INTO notes (id, user_id, note) VALUES (4, 2, 'h'), (NULL, 2, 'g') ON DUPLICATE KEY UPDATE note = 'u'",
        );
        assert_eq!(told?.1, 7);
        let all = column(&mut client, "SELECT CONCAT(id, note) FROM notes ORDER BY id, note", 0)?;
        assert_eq!(all, ["1a", "2b", "3c", "4d", "4h", "6f", "7g"], "4h is on another shard than 4d");
        let both = "INSERT INTO notes (user_id, note) VALUES (0, 'v'), (4, 'w')";
        assert!(!client.query(&format!("EXPLAIN {both}"))?.rows()?.rows.is_empty());
        // What the column has no room for is an error of its server, and no next id.
        let huge = client.query("INSERT INTO notes (id, user_id) VALUES (18446744073709551615, 1)");
        assert_eq!(code(&huge), Some(OUT_OF_RANGE), "{huge:?}");
        assert_refused(
            &client.query("INSERT INTO notes (id, user_id) VALUES (7.5, 1)"),
            REFUSED,
            &["`id`", "whole"],
        );
        // A row that is there already gets none.
        client.run("ALTER TABLE notes ADD COLUMN n INT, ADD UNIQUE (note)")?;
        let again = "INTO notes (user_id, note) VALUES (2, 'g')";
        let upsert = format!("INSERT {again} ON DUPLICATE KEY UPDATE n = 1");
        let set = "INSERT INTO notes SET user_id = 2, note = 'g' ON DUPLICATE KEY UPDATE n = 2".to_owned();
        for (sql, affected) in [(upsert, 2), (set, 2), (format!("INSERT IGNORE {again}"), 0)] {
            assert_eq!(client.query(&sql)?.ok()?.affected_rows, affected);
            assert_eq!(client.scalar("SELECT LAST_INSERT_ID()")?, "7", "{sql}");
        }
        client.run("INSERT INTO events (what, n) VALUES ('y', LAST_INSERT_ID())")?;
        assert_eq!(client.scalar("SELECT n FROM events WHERE what = 'y'")?, "7");
        Ok(())
    })
}

#[test]
fn prepared_statements_draw_ids() -> TestResult {
    on_each_spread("sequences_prepared", on_one_core, |stage| {
        let mut client = tables(stage)?;
        let two = client.prepare("INSERT INTO events (what, n) VALUES (?, ?), (?, 7)")?;
        let text = Value::text;
        for round in 0..3_u64 {
            let [one, other] = [format!("a{round}"), format!("b{round}")];
            let reply = client.execute(&two, &[text(&one), Value::Int(round as i64), text(&other)])?.ok()?;
            assert_eq!((reply.affected_rows, reply.last_insert_id), (2, 1 + 2 * round));
        }
        assert_eq!(events(&mut client)?, "1a0 2b0 3a1 4b1 5a2 6b2");
        let given = client.prepare("INSERT INTO events (event_id, what) VALUES (?, ?)")?;
        for (id, expected) in
            [(Value::Null, 7), (Value::Int(0), 8), (Value::Int(30), 30), (Value::text("0"), 9)]
        {
            let reply = client.execute(&given, &[id, text(&expected.to_string())])?.ok()?;
            assert_eq!((reply.affected_rows, reply.last_insert_id), (1, expected));
        }
        let set = client.prepare("INSERT INTO notes SET user_id = ?, note = ?")?;
        for key in 0..4_i64 {
            let reply = client.execute(&set, &[Value::Int(key), text("x")])?.ok()?;
            assert_eq!(reply.last_insert_id, key as u64 + 1);
        }
        assert_eq!(client.scalar("SELECT LAST_INSERT_ID()")?, "4");
        assert_eq!(stage.of(&stage.shards[1], "SELECT n FROM events_1 WHERE event_id = 5")?, "2");
        if stage.home.flavor() == Flavor::MariaDb {
            let login = Login::app().database(SHARDED).with_extended(capability::EXTENDED_STMT_BULK);
            let mut client = stage.login(&login)?;
            let row = |id, what: &str| vec![Bulk::Value(id), Bulk::Value(Value::text(what))];
            let insert = client.prepare("INSERT INTO events (event_id, what) VALUES (?, ?)")?;
            let reply = bulk(&mut client, &insert, &[row(Value::Int(100), "p"), row(Value::Int(101), "q")])?;
            assert_eq!(reply.ok()?.affected_rows, 2);
            let asks = client.prepare("INSERT INTO notes (user_id, note) VALUES (?, ROW_COUNT())")?;
            assert_refused(&client.execute(&asks, &[Value::Int(1)]), REFUSED, &["the statement before"]);
            assert_eq!(client.query("INSERT INTO events (what) VALUES ('t')")?.ok()?.last_insert_id, 10);
        }
        Ok(())
    })
}

/// MariaDB's bulk execution, against a table with AUTO_INCREMENT.
#[test]
fn bulk_executions_draw_ids() -> TestResult {
    // In one block ids that are given are passed as AUTO_INCREMENT passes them.
    let in_one_block = |config| on_one_core(config).set("sharding_defaults", "sequence_block", "100");
    on_each_spread("sequences_bulk", in_one_block, |stage| {
        if stage.home.flavor() != Flavor::MariaDb {
            return Ok(());
        }
        drop(tables(stage)?);
        stage.home.sql("CREATE DATABASE plain; CREATE TABLE plain.events (event_id BIGINT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20) UNIQUE, n INT)")?;
        let login = |schema| Login::app().database(schema).with_extended(capability::EXTENDED_STMT_BULK);
        let mut client = stage.login(&login(SHARDED))?;
        let mut plain = Connection::login(stage.home.port(), &login("plain"))?;
        let int = |number| Bulk::Value(Value::Int(number));
        let text = |text: &str| Bulk::Value(Value::text(text));
        let null = || Bulk::Value(Value::Null);
        let without = "INSERT INTO events (what, n) VALUES (?, ?)";
        let with = "INSERT INTO events (what, event_id, n) VALUES (?, ?, 5 + ?)";
        let executions = [
            (without, vec![vec![text("a"), int(1)], vec![text("b"), null()], vec![text("c"), Bulk::Default]]),
            (with, vec![vec![text("d"), null(), int(2)]]),
            (
                with,
                vec![
                    vec![text("e"), Bulk::Default, int(3)],
                    vec![text("f"), int(0), int(4)],
                    vec![null(), null(), int(5)],
                ],
            ),
            (with, vec![vec![text("g"), int(40), int(6)], vec![text("h"), int(41), int(7)]]),
            (without, vec![vec![text("i"), int(8)], vec![text("j"), int(9)]]),
            (with, vec![vec![text("k"), int(60), int(6)], vec![text("l"), null(), int(7)]]),
            (without, (0..25).map(|n| vec![text(&format!("many {n}")), int(n)]).collect()),
        ];
        for (sql, rows) in &executions {
            let [ours, theirs] = [&mut client, &mut plain].map(|side| -> TestResult<_> {
                let statement = side.prepare(sql)?;
                let ok = bulk(side, &statement, rows)?.ok()?;
                side.close(&statement)?;
                let rows = side.query("SELECT what, n FROM events ORDER BY event_id")?.rows()?.rows;
                let last = side.scalar("SELECT LAST_INSERT_ID()")?;
                Ok((ok.affected_rows, ok.last_insert_id, last, ok.warnings, rows))
            });
            assert_eq!(ours?, theirs?, "{sql} {rows:?}");
        }
        assert_eq!(client.scalar("SELECT COUNT(*) = COUNT(DISTINCT event_id) FROM events")?, "1");
        let beside = client.prepare("INSERT INTO notes (note, user_id) VALUES (?, ?)")?;
        let rows: Vec<_> = (0..6).map(|user| vec![text("x"), int(user % 3)]).collect();
        let reply = bulk(&mut client, &beside, &rows)?.ok()?;
        assert_eq!(reply.affected_rows, 6);
        let ids = "SELECT GROUP_CONCAT(id ORDER BY id) FROM notes WHERE user_id = 1";
        assert_eq!(client.scalar(ids)?, "2,5");
        let one = bulk(&mut client, &beside, &[vec![text("y"), int(1)], vec![text("z"), int(1)]])?.ok()?;
        assert_eq!((one.affected_rows, client.scalar(ids)?.as_str()), (2, "2,5,7,8"));
        let several = client.prepare("INSERT INTO notes (user_id) VALUES (?), (1)")?;
        assert_refused(&bulk(&mut client, &several, &[vec![int(1)]]), REFUSED, &["useBulkStmts"]);
        Ok(())
    })
}

/// LOAD DATA LOCAL, against a table with AUTO_INCREMENT. (For so many rows a server takes no ids in advance.)
#[test]
fn rows_of_files_draw_ids() -> TestResult {
    let in_one_block = |config| on_one_core(config).set("sharding_defaults", "sequence_block", "200");
    on_each_spread("sequences_load", in_one_block, |stage| {
        drop(tables(stage)?);
        stage.home.sql(
            "CREATE DATABASE plain; CREATE TABLE plain.events (event_id BIGINT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20) UNIQUE, n INT)",
        )?;
        let login = allow_files(stage)?;
        let mut client = stage.login(&login.clone().database(SHARDED))?;
        let mut plain = Connection::login(stage.home.port(), &login.database("plain"))?;
        let load = "LOAD DATA LOCAL INFILE 'f'";
        let csv = "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ', ' ENCLOSED BY '\"' LINES STARTING BY '> ' TERMINATED BY '\r\n' IGNORE 1 LINES";
        let files = [
            (format!("{load} INTO TABLE events (what, n)"), "a\t1\nb\t2\nc\t\\N"),
            (format!("{load} INTO TABLE events (event_id, what)"), "\\N\td\n0\te\n\\N\tf\n"),
            (format!("{load} INTO TABLE events (what, @a, event_id) SET n = @a + 1"), "g\t1\t0\tmore\n"),
            (
                format!("{load} INTO TABLE events {csv} (what, n)"),
                "head\r\n> \"h, \"\"h\", 1\r\nno> i, 2\r\n> j\r\n> k\r\n> l\r\n> m, 3, 4\r\n> n, 7\r\nno",
            ),
            (format!("{load} INTO TABLE events"), "40\to\t1\n42\tp\t1\n"),
            (format!("{load} INTO TABLE events (what)"), "q\nr\ns\n"),
            (format!("{load} REPLACE INTO TABLE events (what, event_id)"), "t\t0\nu\t60\nv\t60\n"),
            (format!("{load} IGNORE INTO TABLE events (what, event_id)"), "w\t2\n"),
            (format!("{load} INTO TABLE events (what, n)"), ""),
        ];
        for (sql, file) in &files {
            let [ours, theirs] = [&mut client, &mut plain].map(|side| -> TestResult<_> {
                let packet = load_file(side, sql, &[file.as_bytes()])?;
                assert_eq!(packet.first(), Some(&0), "{sql}: {}", String::from_utf8_lossy(&packet));
                let ok = OkPacket::parse(&packet)?;
                let rows = side.query("SELECT what, n FROM events ORDER BY event_id")?.rows()?.rows;
                let last = side.scalar("SELECT LAST_INSERT_ID()")?;
                Ok((ok.affected_rows, ok.last_insert_id, last, ok.warnings, rows))
            });
            assert_eq!(ours?, theirs?, "{sql}");
        }
        assert_eq!(client.scalar("SELECT COUNT(*) = COUNT(DISTINCT event_id) FROM events")?, "1");
        let count = |client: &mut Connection| client.scalar("SELECT COUNT(*) FROM events");
        let before = count(&mut client)?;
        for (columns, file, reason) in [
            (
                "(what, event_id)",
                "x\t1000\ny\n",
                "row 2 of the file: it has no value for the sequence's column",
            ),
            (
                "(event_id, what)",
                "1001\tx\nseven\ty\n",
                "row 2 of the file: the value of the sequence's column",
            ),
        ] {
            let sql = format!("{load} INTO TABLE events {columns}");
            let packet = load_file(&mut client, &sql, &[file.as_bytes()])?;
            assert!(String::from_utf8_lossy(&packet).contains(reason), "{packet:?}");
        }
        let digits = client.query(&format!("{load} INTO TABLE events FIELDS TERMINATED BY '1' (what, n)"));
        assert_refused(&digits, REFUSED, &["digit"]);
        client.run("BEGIN")?;
        let packet = load_file(
            &mut client,
            &format!("{load} INTO TABLE notes (note, user_id)"),
            &[b"x\t1\ny\t2\nz\t1\n"],
        )?;
        assert_eq!(OkPacket::parse(&packet)?.affected_rows, 3);
        let ids = "SELECT GROUP_CONCAT(id ORDER BY id) FROM notes WHERE user_id = 1";
        assert_eq!(client.scalar(ids)?, "1,3");
        client.run("ROLLBACK")?;
        assert_eq!((client.scalar(ids)?.as_str(), count(&mut client)?), ("NULL", before));
        // Beyond the block, and more rows than one has.
        let many: String = (0..1000).map(|row| format!("many {row}\t{row}\n")).collect();
        let given =
            load_file(&mut client, &format!("{load} INTO TABLE events (event_id, what)"), &[b"5000\tfar\n"])?;
        assert_eq!(given.first(), Some(&0));
        let packet =
            load_file(&mut client, &format!("{load} INTO TABLE events (what, n)"), &[many.as_bytes()])?;
        assert_eq!(OkPacket::parse(&packet)?.affected_rows, 1000);
        assert_eq!(
            client.scalar("SELECT COUNT(DISTINCT event_id) FROM events WHERE what LIKE 'many%'")?,
            "1000"
        );
        assert_eq!(client.scalar("SELECT MAX(event_id) > 5000 FROM events")?, "1");
        Ok(())
    })
}

/// Ids that rows of a file have of their own, in front of rows that draw some.
#[test]
fn a_file_draws_no_id_that_it_gives() -> TestResult {
    let small = |config| on_one_core(config).set("sharding_defaults", "sequence_block", "3");
    on_each_spread("sequences_given", small, |stage| {
        drop(tables(stage)?);
        let mut client = stage.login(&allow_files(stage)?.database(SHARDED))?;
        let sql = "LOAD DATA LOCAL INFILE 'f' INTO TABLE events (event_id, what)";
        let file = b"5\ta\n\\N\tb\n\\N\tc\n\\N\td\n\\N\te\n20\tf\n0\tg\n\\N\th\n\\N\ti\n";
        assert_eq!(OkPacket::parse(&load_file(&mut client, sql, &[file])?)?.affected_rows, 9);
        assert_eq!(events(&mut client)?, "5a 6b 7c 8d 9e 10g 11h 20f 21i");
        // One that is too large for its column does not hide the other.
        client.run("ALTER TABLE notes MODIFY id INT AUTO_INCREMENT")?;
        let sql = "LOAD DATA LOCAL INFILE 'f' INTO TABLE notes (id, user_id)";
        for file in [&b"500\t1\n99999999999\t2\n"[..], b"99999999998\t3\n600\t4\n"] {
            assert_eq!(OkPacket::parse(&load_file(&mut client, sql, &[file])?)?.warnings, 1);
        }
        let insert = "INSERT IGNORE INTO notes (id, user_id) VALUES (700, 1), (99999999999, 5)";
        assert_eq!(client.query(insert)?.ok()?.affected_rows, 2);
        assert_eq!(client.query("INSERT INTO notes (user_id) VALUES (7)")?.ok()?.last_insert_id, 701);
        Ok(())
    })
}

/// Rows that were there before the table had a sequence, several proxies, several cores.
#[test]
fn no_id_is_given_twice() -> TestResult {
    on_each_spread("sequences_unique", with_sequences, |stage| {
        let mut client = tables(stage)?;
        stage.of(
            &stage.shards[1],
            "INSERT INTO events_3 (event_id, what) VALUES (7, 'old'), (9999, 'older')",
        )?;
        let other = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), stage.lab.folder(), &stage.config)?;
        let ids = std::thread::scope(|scope| {
            let draws = |number: usize| {
                let port = if number.is_multiple_of(2) { stage.athena.port() } else { other.port() };
                move || -> TestResult<Vec<u64>> {
                    let mut client = Connection::login(port, &Login::app().database(SHARDED))?;
                    let mut ids = Vec::new();
                    for round in 0..25 {
                        let sql = format!(
                            "INSERT INTO events (what) VALUES ('{number} {round}'), ('{number}  {round}')"
                        );
                        let first = client.query(&sql)?.ok()?.last_insert_id;
                        assert_eq!(
                            client
                                .scalar(&format!("SELECT what FROM events WHERE event_id = {}", first + 1))?,
                            format!("{number}  {round}")
                        );
                        ids.extend([first, first + 1]);
                    }
                    Ok(ids)
                }
            };
            let running: Vec<_> = (0..8).map(|number| scope.spawn(draws(number))).collect();
            running.into_iter().map(join).collect::<TestResult<Vec<_>>>()
        })?;
        let all: BTreeSet<_> = ids.into_iter().flatten().collect();
        assert_eq!((all.len(), all.first()), (400, Some(&10_000)));
        assert_eq!(client.scalar("SELECT COUNT(*) FROM events")?, "402");
        let next = stage.home.sql("SELECT name, next_id FROM athena.sequences")?;
        assert!(next.starts_with(&format!("{SHARDED}.events\t")), "{next}");
        Ok(())
    })
}

#[test]
fn without_a_block_nothing_is_inserted() -> TestResult {
    on_each_spread("sequences_down", on_one_core, |stage| {
        let mut client = tables(stage)?;
        client.run("INSERT INTO events (what) VALUES ('a')")?;
        client.run("CREATE TABLE more (a INT)")?;
        stage.home.sql("DROP TABLE athena.sequences; CREATE VIEW athena.sequences AS SELECT 1 AS one")?;
        let ten = "INSERT INTO events (what) VALUES ('0'), ('1'), ('2'), ('3'), ('4'), ('5'), ('6'), ('7'), ('8'), ('9')";
        assert_refused(&client.query(ten), NO_IDS, &["`events`.`event_id`", "athena.sequences"]);
        client.run("INSERT INTO events (what) VALUES ('b')")?;
        stage.home.sql("DROP VIEW athena.sequences")?;
        assert_eq!(client.query(ten)?.ok()?.affected_rows, 10);
        assert_eq!(client.scalar("SELECT COUNT(DISTINCT event_id) FROM events")?, "12");
        let mut none = stage.login(&Login::app())?;
        assert_refused(
            &none.query("INSERT INTO events (what) VALUES ('c')"),
            NO_SUCH_TABLE,
            &["test.events"],
        );
        none.run(&format!("INSERT INTO {SHARDED}.events (what) VALUES ('c')"))?;
        Ok(())
    })
}
