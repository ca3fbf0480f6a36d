//! LOAD DATA LOCAL: the rows of a file go where they belong, and everything is as with one table.

use std::time::Duration;

use super::common::random::Random;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Error, Login, Result, Value, capability, command, frame};
use super::common::{TestResult, eventually};
use super::faults::four_shards;
use super::servers::{in_transaction, on_each_spread, two_phase};
use super::{PLAIN, SHARDED, chosen, sharded};

const REFUSED: u16 = 1235;
const INTERRUPTED: u16 = 1317;

/// What Athena may take for a file of any size.
const GROWTH_MAX: u64 = 48 << 20;

const TABLE: &str = "CREATE TABLE users (user_id BIGINT, n INT DEFAULT 5, name VARCHAR(40), born DATE DEFAULT '2000-01-01', \
     UNIQUE (user_id, n)) DEFAULT CHARSET utf8mb4";
const ALL: &str = "SELECT user_id, n, HEX(name), born FROM users ORDER BY user_id, n, name, born";

/// The same table twice: sharded through Athena, and as one.
fn both(stage: &Stage) -> TestResult<[Connection; 2]> {
    stage
        .server
        .sql(&format!("SET GLOBAL local_infile = 1; CREATE DATABASE {SHARDED}; CREATE DATABASE {PLAIN}"))?;
    let login = |schema: &str| Login::app().database(schema).with(capability::LOCAL_FILES);
    let mut sides = [stage.login(&login(SHARDED))?, stage.direct(&login(PLAIN))?];
    for side in &mut sides {
        side.run(TABLE)?;
    }
    Ok(sides)
}

/// What a server says of a load: rows affected, warnings, and its text.
type Told = (u64, u16, String);

/// Gives the file in pieces, and its end. The last packet of the reply.
pub(super) fn load_file(client: &mut Connection, sql: &str, pieces: &[&[u8]]) -> Result<Vec<u8>> {
    client.send(command::QUERY, sql.as_bytes())?;
    let first = client.stream().read_payload()?;
    if first.first() != Some(&0xfb) {
        return Ok(first);
    }
    for piece in pieces.iter().filter(|piece| !piece.is_empty()).chain(&[&b""[..]]) {
        client.stream().write_payload(piece)?;
    }
    client.stream().read_payload()
}

fn load(client: &mut Connection, sql: &str, pieces: &[&[u8]]) -> Result<std::result::Result<Told, u16>> {
    told(&load_file(client, sql, pieces)?)
}

fn told(payload: &[u8]) -> Result<std::result::Result<Told, u16>> {
    match payload {
        [0xff, a, b, ..] => Ok(Err(u16::from_le_bytes([*a, *b]))),
        [0, rest @ ..] => {
            let (affected, rest) = match rest {
                [0xfc, a, b, rest @ ..] => (u64::from(u16::from_le_bytes([*a, *b])), rest),
                [0xfd, a, b, c, rest @ ..] => (u64::from(u32::from_le_bytes([*a, *b, *c, 0])), rest),
                [small, rest @ ..] => (u64::from(*small), rest),
                [] => return Err(Error::Protocol("an OK packet that is cut".into())),
            };
            let [0, _, _, a, b, info @ ..] = rest else {
                return Err(Error::Protocol(format!("{payload:?}")));
            };
            // With its length before it where sessions are tracked.
            let words = info.iter().position(u8::is_ascii_uppercase).unwrap_or(info.len());
            let info = String::from_utf8_lossy(&info[words..]).into_owned();
            Ok(Ok((affected, u16::from_le_bytes([*a, *b]), info)))
        }
        other => Err(Error::Protocol(format!("{other:?}"))),
    }
}

/// Loads the same on both sides, and looks at what is there then.
fn load_both(
    sides: &mut [Connection; 2],
    sql: &str,
    file: &[u8],
    piece: usize,
) -> TestResult<std::result::Result<Told, u16>> {
    let pieces: Vec<_> = file.chunks(piece.max(1)).collect();
    let [ours, theirs] = sides;
    let outcomes = [load(ours, sql, &pieces)?, load(theirs, sql, &pieces)?];
    let shown = String::from_utf8_lossy(file).chars().take(2000).collect::<String>();
    assert_eq!(outcomes[0], outcomes[1], "{sql}\n{shown}");
    assert_eq!(ours.query(ALL)?.rows()?.rows, theirs.query(ALL)?.rows()?.rows, "{sql}\n{shown}");
    let [outcome, _] = outcomes;
    Ok(outcome)
}

fn run_both(sides: &mut [Connection; 2], sql: &str) -> TestResult {
    for side in sides {
        side.run(sql)?;
    }
    Ok(())
}

#[test]
fn files_of_many_kinds() -> TestResult {
    on_each_server("sharding_load", four_shards, |stage| {
        let mut sides = both(stage)?;
        let tabs = "LOAD DATA LOCAL INFILE 'f' INTO TABLE users (user_id, n, name)";
        let csv = "LOAD DATA LOCAL INFILE 'f' INTO TABLE users CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' \
             OPTIONALLY ENCLOSED BY '\"' LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES (name, user_id, @n) SET n = @n + 1";
        let cases: [(&str, &str); 16] = [
            (tabs, "1\t2\tone\n2\t3\ttwo\n3\t\\N\tthree\n-1\t5\t\\N\n"),
            (tabs, "4\t1\ta\\tb\\\\c\\\nd\\0\\x\n5\t1\tlast line without its end"),
            (tabs, "6\n7\t1\n8\t1\tx\tmore\tand more\n9\tno number\tx\n"),
            (tabs, ""),
            (
                csv,
                "name,user_id,n\r\n\"a, \"\"b\"\"\r\nc\",10,1\r\nNULL,11,2\r\n\"NULL\",\"12\",3\r\n\"it\"s\",13,\\N\r\n",
            ),
            (csv, "only a head\r\n"),
            (
                csv,
                "h
\"a\",14,\"an end that is missing,1
",
            ),
            (
                "LOAD DATA LOCAL INFILE 'f' INTO TABLE users FIELDS TERMINATED BY '||' ESCAPED BY '' LINES STARTING BY '>>' TERMINATED BY ';;' (user_id, name)",
                "x>>20||a\\|b;;this is left out;;>>21||;;;>>22||>>;;>>23||;",
            ),
            (
                "LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE users FIELDS ENCLOSED BY '\\'' ESCAPED BY '\\'' (user_id, n, name)",
                "'1'\t'2'\t'it''s'\n'2'\t'3'\t'\\n'\n'40'\t'1'\t'x'\n",
            ),
            (
                "LOAD DATA LOCAL INFILE 'f' IGNORE INTO TABLE users (user_id, n, name)",
                "1\t2\tagain\n41\t1\tnew\n",
            ),
            // Without a list: all columns, in the order that the server has.
            ("LOAD DATA LOCAL INFILE 'f' INTO TABLE users", "50\t1\tx\t2026-01-31\n51\t2\ty\tno day\n"),
            (
                "LOAD DATA LOCAL INFILE 'f' INTO TABLE users IGNORE 2 LINES SET born = '2026-02-03'",
                "a\nb\n52\t1\tz\t2026-01-31\n",
            ),
            (
                "LOAD DATA LOCAL INFILE 'f' INTO TABLE users CHARACTER SET latin1 (user_id, name)",
                "60\t\u{e9}t\u{e9}\n",
            ),
            (
                "LOAD DATA LOCAL INFILE 'f' INTO TABLE users CHARACTER SET binary (user_id, name)",
                "61\t\u{e9}t\u{e9}\n",
            ),
            (
                "LOAD DATA LOCAL INFILE 'f' INTO TABLE users (@skipped, user_id, @a, @b) SET name = CONCAT(@a, '/', @b), n = LENGTH(@a)",
                "x\t70\ta\tb\n\\N\t71\tccc\td\te\n",
            ),
            (
                "LOAD DATA LOW_PRIORITY LOCAL INFILE 'f' INTO TABLE users LINES TERMINATED BY 0x0A (user_id, n, name);",
                "80\t1\tlong names are cut, since it is LOCAL: xxxxxxxxxxxxxxxxxxxxx\n",
            ),
        ];
        for (sql, file) in cases {
            for piece in [file.len(), 1, 3] {
                let done = load_both(&mut sides, sql, file.as_bytes(), piece)?;
                assert!(done.is_ok(), "{sql}: {done:?}");
                run_both(&mut sides, "DELETE FROM users WHERE user_id > 5")?;
            }
        }
        assert_eq!(
            sides[0].scalar("SELECT COUNT(*) FROM users WHERE user_id = -1")?,
            sides[1].scalar("SELECT COUNT(*) FROM users WHERE user_id = -1")?
        );
        // Other modes.
        run_both(&mut sides, "SET sql_mode = 'NO_BACKSLASH_ESCAPES'")?;
        load_both(&mut sides, tabs, b"1\t9\ta\\tb\n2\t9\t\\\n", 2)?.expect("it is loaded");
        run_both(&mut sides, "SET sql_mode = DEFAULT")?;
        // What a session may ask about it.
        for sql in ["SELECT ROW_COUNT()", "SELECT @@warning_count", "SHOW COUNT(*) WARNINGS"] {
            for side in &mut sides {
                load(side, tabs, &[b"90\t1\ta\n91\tx\tb\n92\t1\tc\n"])?.expect("it is loaded");
            }
            assert_eq!(sides[0].scalar(sql)?, sides[1].scalar(sql)?, "{sql}");
            run_both(&mut sides, "DELETE FROM users WHERE user_id > 5")?;
        }
        // All parts' warnings.
        for side in &mut sides {
            load(side, tabs, &[b"90\tx\ta\n91\ty\tb\n92\tz\tc\n93\t1\td\n"])?.expect("it is loaded");
        }
        let lists =
            sides.iter_mut().map(|side| side.query("SHOW WARNINGS")?.rows()).collect::<Result<Vec<_>>>()?;
        let messages = |at: usize| -> Vec<_> {
            let text = |row: &Vec<Value>| row[2].to_string().replace(PLAIN, SHARDED);
            // Rows are counted for each part.
            let mut all: Vec<_> = lists[at].rows.iter().map(text).collect();
            all.iter_mut().for_each(|text| text.truncate(text.find(" at row").unwrap_or(text.len())));
            all.sort();
            all
        };
        assert_eq!(messages(0), messages(1));
        assert_eq!(messages(0).len(), 3);
        Ok(())
    })
}

/// Bytes that mean something to some reader of files.
fn random_file(random: &mut Random, pieces: &[&[u8]], keys: &[&str]) -> Vec<u8> {
    let mut file = Vec::new();
    for _ in 0..random.below(5) {
        file.extend_from_slice(keys[random.below(keys.len())].as_bytes());
        for _ in 0..random.below(9) {
            file.extend_from_slice(pieces[random.below(pieces.len())]);
        }
        if random.below(12) > 0 {
            file.push(b'\n');
        }
    }
    file
}

#[test]
fn random_files() -> TestResult {
    on_each_server("sharding_load_random", four_shards, |stage| {
        let mut sides = both(stage)?;
        let mut random = Random::new(chosen("ATHENA_SHARDING_SEED", 1));
        let formats = [
            ("", "\t"),
            ("FIELDS TERMINATED BY ','", ","),
            ("FIELDS TERMINATED BY ',' ENCLOSED BY '\"'", ","),
            ("FIELDS TERMINATED BY ',,' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '\"'", ",,"),
            ("FIELDS TERMINATED BY ',' ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n'", ","),
            ("FIELDS TERMINATED BY 'ab' ESCAPED BY 'x' LINES TERMINATED BY 'a\\n'", "ab"),
        ];
        let texts = [
            "a",
            "b",
            ",",
            "\"",
            "\\",
            "\\N",
            "NULL",
            "\t",
            "x",
            "é",
            "\\\n",
            "\"\"",
            "ab",
            "0",
            ",,",
            "a\n",
            "\u{1F600}",
        ];
        // The beginnings of characters, too.
        let broken: [&[u8]; 3] = [b"\xC3", b"\xE2\x82", b"\xF0\x9F"];
        let pieces: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).chain(broken).collect();
        let mut loaded = 0;
        for round in 0..chosen("ATHENA_SHARDING_LOADS", 250) {
            let (options, end) = formats[random.below(formats.len())];
            let (one, two) = (format!("7{end}"), format!("\"8\"{end}"));
            let keys = [one.as_str(), two.as_str(), "9", &one, &one, &one];
            let file = random_file(&mut random, &pieces, &keys);
            let charset = ["", "CHARACTER SET utf8mb4", "CHARACTER SET latin1"][random.below(3)];
            let sql =
                format!("LOAD DATA LOCAL INFILE 'f' INTO TABLE users {charset} {options} (user_id, name, n)");
            let pieces: Vec<_> = file.chunks(1 + random.below(9)).collect();
            let [ours, theirs] = &mut sides;
            let outcome = load(ours, &sql, &pieces)?;
            // Where a key is none, or none that is kept, it is refused.
            if outcome != Err(REFUSED) {
                loaded += 1;
                let text = String::from_utf8_lossy(&file);
                assert_eq!(outcome, load(theirs, &sql, &pieces)?, "{round}: {sql}\n{text:?}");
                assert_eq!(
                    ours.query(ALL)?.rows()?.rows,
                    theirs.query(ALL)?.rows()?.rows,
                    "{round}: {sql}\n{text:?}"
                );
            }
            run_both(&mut sides, "DELETE FROM users")?;
        }
        assert!(loaded > 60, "{loaded}");
        Ok(())
    })
}

#[test]
fn large_files_in_bounded_memory() -> TestResult {
    // So many that all of them together have enough before one has.
    let shards = |config| sharded(config, "mod", "shard_count = 16\n");
    on_each_server("sharding_load_large", shards, |stage| {
        let mut sides = both(stage)?;
        run_both(&mut sides, "ALTER TABLE users MODIFY name LONGTEXT")?;
        let mut file = Vec::new();
        for id in 0..400_000 {
            file.extend_from_slice(format!("{}\t{id}\tname of {id}\t2026-01-31\n", id % 1000).as_bytes());
        }
        let wide = |id: i64| {
            [format!("{id}\t1\t").into_bytes(), vec![b'x'; 3 << 20], b"\t2026-01-31\n".to_vec()].concat()
        };
        for id in 0..30 {
            file.extend_from_slice(&wide(id));
        }
        let sql = "LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE users";
        let pieces: Vec<_> = file.chunks(300_001).collect();
        let before = stage.athena.usage().rss_bytes();
        let outcomes = sides.iter_mut().map(|side| load(side, sql, &pieces)).collect::<Result<Vec<_>>>()?;
        assert!(outcomes[0].is_ok() && outcomes[0] == outcomes[1], "{outcomes:?}");
        let growth = stage.athena.usage().rss_bytes().saturating_sub(before);
        assert!(growth < GROWTH_MAX, "grew by {growth} bytes for a file of {}", file.len());
        let sum = "SELECT COUNT(*), SUM(n), SUM(LENGTH(name)), BIT_XOR(CAST(CRC32(CONCAT(user_id, name)) AS UNSIGNED)) FROM users";
        let sums = sides.iter_mut().map(|side| side.query(sum)?.rows()).collect::<Result<Vec<_>>>()?;
        assert_eq!(sums[0].rows, sums[1].rows);
        let [client, _] = &mut sides;
        for shard in 0..16 {
            let sql = format!("SELECT COUNT(*) = SUM(user_id % 16 = {shard}) FROM {SHARDED}.users_{shard}");
            assert_eq!(stage.server.sql(&sql)?, "1");
        }
        // A row that is longer than is collected.
        client.run("DELETE FROM users")?;
        let row = [b"1\t1\t".to_vec(), vec![b'x'; 17 << 20]].concat();
        let pieces: Vec<_> = row.chunks(1 << 20).collect();
        assert_eq!(load(client, sql, &pieces)?, Err(REFUSED));
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "0");
        Ok(())
    })
}

#[test]
fn all_of_a_file_or_nothing() -> TestResult {
    on_each_server("sharding_load_all", four_shards, |stage| {
        let [mut client, _] = both(stage)?;
        let sql = "LOAD DATA LOCAL INFILE 'f' INTO TABLE users (user_id, n, name)";
        let many: String =
            (0..80_000).map(|id| format!("{id}\t1\tname of {id}, which is not short\n")).collect();
        let refused = |row: &str| [many.as_bytes(), row.as_bytes(), many.as_bytes()].concat();
        for row in [
            "\t1\tempty\n",
            "\\N\t1\tnull\n",
            "7a\t1\tx\n",
            "7.5\t1\tx\n",
            "9223372036854775808\t1\tx\n",
            "\n",
        ] {
            let file = refused(row);
            let pieces: Vec<_> = file.chunks(60_000).collect();
            assert_eq!(load(&mut client, sql, &pieces)?, Err(REFUSED), "{row}");
            let warnings = client.query("SHOW WARNINGS")?.rows()?.rows;
            assert!(warnings[0][2].to_string().contains("row 80001 of the file"), "{warnings:?}");
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "0", "{row}");
        }
        // In a transaction only the statement is taken back.
        client.run("BEGIN")?;
        client.run("INSERT INTO users (user_id) VALUES (1), (2)")?;
        assert_eq!(load(&mut client, sql, &[refused("x\n").as_slice()])?, Err(REFUSED));
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "2");
        assert!(load(&mut client, sql, &[b"3\t1\tx\n4\t1\ty\n"])?.is_ok());
        client.run("ROLLBACK")?;
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "0");
        // An error of a shard's server.
        stage.server.sql(&format!("DROP TABLE {SHARDED}.users_3"))?;
        let (shard_0, shard_3) =
            (load(&mut client, sql, &[b"0\t1\tx\n"])?, load(&mut client, sql, &[many.as_bytes()])?);
        assert!(shard_0.is_ok() && shard_3 == Err(1146), "{shard_3:?}");
        assert_eq!(stage.server.sql(&format!("SELECT COUNT(*) FROM {SHARDED}.users_1"))?, "0");
        assert_eq!(client.scalar("SELECT 'in step'")?, "in step");
        assert_eq!(stage.server.sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX")?, "0");
        stage.assert_serves()
    })
}

#[test]
fn loads_that_end_early() -> TestResult {
    on_each_server("sharding_load_early", four_shards, |stage| {
        let [mut client, mut direct] = both(stage)?;
        let sql = "LOAD DATA LOCAL INFILE 'f' INTO TABLE users (user_id, n, name)";
        let many: String =
            (0..80_000).map(|id| format!("{id}\t1\tname of {id}, which is not short\n")).collect();
        // The client leaves in the middle.
        let mut leaving = stage.login(&Login::app().database(SHARDED).with(capability::LOCAL_FILES))?;
        leaving.send(command::QUERY, sql.as_bytes())?;
        leaving.stream().read_payload()?;
        leaving.stream().write_payload(many.as_bytes())?;
        drop(leaving);
        let nobody = || match stage.server.sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX") {
            Ok(count) if count == "0" => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually("nobody is in a transaction", Duration::from_secs(10), nobody);
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "0");
        // KILL QUERY while the client is slow, and in the middle of a part or not.
        let id = client.scalar("SELECT CONNECTION_ID()")?;
        client.send(command::QUERY, sql.as_bytes())?;
        client.stream().read_payload()?;
        client.stream().write_payload(many.as_bytes())?;
        std::thread::sleep(Duration::from_millis(300));
        stage.login(&Login::app())?.run(&format!("KILL QUERY {id}"))?;
        client.stream().write_payload(b"1000000\t1\tx\n")?;
        client.stream().write_payload(b"")?;
        assert_eq!(told(&client.stream().read_payload()?)?, Err(INTERRUPTED));
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "0");
        // The link is lost: that is said behind the file.
        client.send(command::QUERY, sql.as_bytes())?;
        client.stream().read_payload()?;
        client.stream().write_payload(many.as_bytes())?;
        std::thread::sleep(Duration::from_millis(300));
        let links =
            direct.query("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = 'sharded'")?.rows()?.rows;
        for link in links {
            direct.run(&format!("KILL {}", link[0])).ok();
        }
        client.stream().write_payload(many.as_bytes())?;
        client.stream().write_payload(b"")?;
        assert!(told(&client.stream().read_payload()?)?.is_err());
        let mut other = stage.login(&Login::app().database(SHARDED))?;
        assert_eq!(other.scalar("SELECT COUNT(*) FROM users")?, "0");
        stage.assert_serves()
    })
}

#[test]
fn a_file_in_bytes_and_the_next_command_at_once() -> TestResult {
    on_each_server("sharding_load_bytes", four_shards, |stage| {
        let [mut client, _] = both(stage)?;
        let file = b"1\t1\tx\n2\t2\ty\n";
        for begin in ["SELECT 1", "BEGIN"] {
            client.run(begin)?;
            client.send(command::QUERY, b"LOAD DATA LOCAL INFILE 'f' INTO TABLE users (user_id, n, name)")?;
            client.stream().read_payload()?;
            for (byte, sequence) in file.iter().zip(2..) {
                for part in frame(sequence, &[*byte]) {
                    client.stream().write_raw(&[part])?;
                }
            }
            let end = u8::try_from(file.len() + 2)?;
            let tail = [frame(end, b""), frame(0, b"\x03SELECT COUNT(*) FROM users")].concat();
            client.stream().write_raw(&tail)?;
            client.stream().expect_sequence(end + 1);
            assert_eq!(client.read_reply()?.ok()?.affected_rows, 2);
            assert_eq!(client.read_pipelined_reply()?.rows()?.scalar()?.to_string(), "2");
            client.run("DELETE FROM users")?;
            client.run("COMMIT")?;
        }
        Ok(())
    })
}

#[test]
fn loads_that_are_refused() -> TestResult {
    let text = |config| sharded(config, "hash", "shard_count = 4\nkey_type = \"binary\"\n");
    on_each_server("sharding_load_refused", text, |stage| {
        let [mut client, _] = both(stage)?;
        client.run("DROP TABLE users")?;
        client.run(
            "CREATE TABLE users (user_id VARCHAR(5) COLLATE utf8mb4_bin, n INT) DEFAULT CHARSET utf8mb4",
        )?;
        let load_of =
            |options: &str| format!("LOAD DATA LOCAL INFILE 'f' INTO TABLE users {options} (user_id, n)");
        // A server would cut these, and look for them on another shard then.
        for row in ["abcdef\t1\n", "a\u{e9}bcdef\t1\n"] {
            assert_eq!(load(&mut client, &load_of(""), &[row.as_bytes()])?, Err(REFUSED), "{row}");
        }
        assert_eq!(load(&mut client, &load_of("CHARACTER SET utf8mb4"), &[b"ab\xff\t1\n"])?, Err(REFUSED));
        assert_eq!(load(&mut client, &load_of("CHARACTER SET latin1"), &[b"ab\xe9\t1\n"])?, Err(REFUSED));
        let plain = load(
            &mut client,
            &load_of("CHARACTER SET utf8mb4"),
            &["\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\t1\n".as_bytes()],
        )?;
        assert!(plain.is_ok(), "{plain:?}");
        for sql in [
            load_of("CHARACTER SET ucs2"),
            load_of("CHARACTER SET sjis"),
            load_of("FIELDS TERMINATED BY ''"),
            load_of("LINES TERMINATED BY ''"),
            load_of("FIELDS TERMINATED BY '\u{e9}'"),
            "LOAD DATA LOCAL INFILE 'f' INTO TABLE users (n)".to_owned(),
            "LOAD DATA LOCAL INFILE 'f' INTO TABLE users (@user_id) SET user_id = @user_id".to_owned(),
            "LOAD DATA INFILE '/tmp/f' INTO TABLE users".to_owned(),
        ] {
            // Before the file is asked for.
            let error = client.run(&sql).expect_err(&sql);
            assert_eq!(error.code(), Some(REFUSED), "{sql}: {error}");
        }
        assert!(client.prepare(&load_of("")).is_err());
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "1");
        // Neither a client nor a server has to take files.
        let mut without = stage.login(&Login::app().database(SHARDED).without(capability::LOCAL_FILES))?;
        assert!(without.run(&load_of("")).is_err());
        stage.server.sql("SET GLOBAL local_infile = 0")?;
        let error = client.run(&load_of("")).expect_err("the server takes none");
        assert_ne!(error.code(), Some(REFUSED), "{error}");
        assert_eq!(client.query("SELECT n FROM users")?.rows()?.rows, [[Value::text("1")]]);
        stage.assert_serves()
    })
}

/// Shards on servers of their own: one transaction on all of them.
#[test]
fn rows_go_to_servers_of_their_own() -> TestResult {
    on_each_spread(
        "load_servers",
        |config| two_phase(four_shards(config)),
        |stage| {
            for server in stage.shards.iter().chain([&stage.home]) {
                server.sql(&format!("SET GLOBAL local_infile = 1; CREATE DATABASE {SHARDED}"))?;
            }
            let mut client = stage.login(&Login::app().database(SHARDED).with(capability::LOCAL_FILES))?;
            client.run(TABLE)?;
            let sql = "LOAD DATA LOCAL INFILE 'x' INTO TABLE users (user_id, n)";
            let file = |range: std::ops::Range<u32>| -> String {
                range.map(|key| format!("{key}\t{key}\n")).collect()
            };
            let count = |client: &mut Connection| client.scalar("SELECT COUNT(*) FROM users");
            let loaded = load(&mut client, sql, &[file(0..1000).as_bytes()])?;
            assert_eq!(loaded, Ok((1000, 0, "Records: 1000  Deleted: 0  Skipped: 0  Warnings: 0".into())));
            assert!(!in_transaction(&mut client)?);
            assert_eq!(client.scalar("SELECT SUM(n) FROM users")?, "499500");
            assert_eq!(stage.of(&stage.shards[1], "SELECT COUNT(*) FROM users_3")?, "250");
            assert_eq!(
                load(&mut client, sql, &[b"1001\t7\n"])?.map(|told| told.0),
                Ok(1),
                "all on one server"
            );
            assert_eq!(stage.of(&stage.shards[1], "SELECT n FROM users_1 WHERE user_id = 1001")?, "7");
            assert_eq!(load(&mut client, sql, &[b"1003\t7\n7.5\t1\n"])?, Err(REFUSED));
            assert_eq!(count(&mut client)?, "1001");
            client.run("DELETE FROM users WHERE user_id = 1001")?;
            // More than the parts that shards get at a time, so that the statement comes back to servers.
            let big = file(1_000_000..1_800_000);
            let pieces: Vec<_> = big.as_bytes().chunks(100_000).collect();
            assert_eq!(load(&mut client, sql, &pieces)?.map(|told| told.0), Ok(800_000));
            assert_eq!(count(&mut client)?, "801000");
            client.run("DELETE FROM users WHERE user_id >= 1000000")?;
            // The last row is not one.
            let bad = format!("{}7.5\t0\n", file(2000..3000));
            assert_eq!(load(&mut client, sql, &[bad.as_bytes()])?, Err(REFUSED));
            assert!(!in_transaction(&mut client)?);
            assert_eq!(count(&mut client)?, "1000");
            client.run("BEGIN")?;
            client.run("INSERT INTO users (user_id, n) VALUES (5000, 1)")?;
            assert_eq!(load(&mut client, sql, &[file(2000..2010).as_bytes()])?.map(|told| told.0), Ok(10));
            assert_eq!(load(&mut client, sql, &[bad.as_bytes()])?, Err(REFUSED));
            assert!(in_transaction(&mut client)?);
            assert_eq!(count(&mut client)?, "1011", "what came before it is still there");
            client.run("ROLLBACK")?;
            assert_eq!(count(&mut client)?, "1000");
            client.run("BEGIN")?;
            assert_eq!(load(&mut client, sql, &[file(2000..2010).as_bytes()])?.map(|told| told.0), Ok(10));
            client.run("COMMIT")?;
            assert_eq!(count(&mut client)?, "1010");
            assert_eq!(load(&mut client, sql, &[])?.map(|told| told.0), Ok(0), "an empty file");
            let warned = load(&mut client, sql, &[b"3000\tx\n3001\ty\n3002\tz\n"])?;
            assert_eq!(warned.map(|told| told.1), Ok(3));
            assert_eq!(client.query("SHOW WARNINGS")?.rows()?.rows.len(), 3);
            stage.shards[1].kill();
            assert_eq!(load(&mut client, sql, &[file(4000..4010).as_bytes()])?, Err(3168));
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE user_id = 4000")?, "0");
            Ok(())
        },
    )
}
