//! Every mix of capabilities sees what it would see on the server itself, command by command.

use std::fmt::Write as _;

use athena_perf::lab::Flavor;
use athena_perf::proxy::AthenaConfig;

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Error, Login, Result, capability as cap, command, status};
use crate::{direct, on_each_server, on_each_server_with};

/// SERVER_SESSION_STATE_CHANGED
const STATE_CHANGED: u16 = 0x4000;
/// What an EOF packet in front of rows is compared by: IN_TRANS and AUTOCOMMIT. The rest a server tells behind them, too.
const OF_THE_SESSION: u16 = 0x0003;
/// SERVER_QUERY_NO_INDEX_USED, _NO_GOOD_INDEX_USED, _WAS_SLOW: they depend on the moment.
const OF_THE_PLAN: u16 = 0x0830;

/// What comes back, and how it is read.
#[derive(Clone, Copy)]
enum Kind {
    Results,
    Prepared,
    Rows,
    /// Columns, and the end of a result whose rows a cursor has.
    Cursor,
}

/// A client that writes down what it reads.
struct Reader<'a> {
    connection: &'a mut Connection,
    flags: u32,
    lines: Vec<String>,
    /// The id of the statement that was prepared last.
    statement: u32,
}

impl Reader<'_> {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn packet(&mut self) -> Result<Vec<u8>> {
        self.connection.stream().read_payload()
    }

    /// Runs a command whose arguments are text.
    fn run(&mut self, kind: Kind, byte: u8, arguments: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(arguments).into_owned();
        self.run_hidden(kind, byte, arguments, &text)
    }

    /// The same with ids in the arguments, which need not be equal.
    fn run_hidden(&mut self, kind: Kind, byte: u8, arguments: &[u8], what: &str) -> Result<()> {
        self.lines.push(format!("--- {byte:#x} {what}"));
        self.connection.send(byte, arguments)?;
        match kind {
            Kind::Results => self.results(),
            Kind::Prepared => self.prepared(),
            Kind::Rows => self.rows().map(drop),
            Kind::Cursor => self.cursor(),
        }
    }

    fn cursor(&mut self) -> Result<()> {
        let first = self.packet()?;
        if first[0] == 0xff {
            return self.error(&first);
        }
        for _ in 0..first[0] {
            let definition = self.packet()?;
            self.lines.push(format!("definition {definition:?}"));
        }
        let end = self.packet()?;
        self.end("CURSOR", &end).map(drop)
    }

    fn results(&mut self) -> Result<()> {
        loop {
            let first = self.packet()?;
            let status = match first.first() {
                Some(0) => self.end("OK", &first)?,
                Some(0xfe) if first.len() < 9 => self.end("END", &first)?,
                Some(0xff) => return self.error(&first),
                Some(0xfb) => {
                    self.lines.push(format!("file {:?}", String::from_utf8_lossy(&first[1..])));
                    self.connection.stream().write_payload(b"101\tone\n102\ttwo\n")?;
                    self.connection.stream().write_payload(b"")?;
                    continue;
                }
                _ => {
                    self.lines.push(format!("{} columns", first[0]));
                    self.definitions(first[0].into())?;
                    self.rows()?
                }
            };
            if status & status::MORE_RESULTS == 0 {
                return Ok(());
            }
        }
    }

    /// Definitions, and the EOF behind them for who gets one.
    fn definitions(&mut self, count: u16) -> Result<()> {
        for _ in 0..count {
            let definition = self.packet()?;
            self.lines.push(format!("definition {definition:?}"));
        }
        if count > 0 && !self.has(cap::DEPRECATE_EOF) {
            let eof = self.packet()?;
            if eof.len() != 5 || eof[0] != 0xfe {
                return Err(Error::Protocol(format!("{eof:?} is no EOF")));
            }
            let status = u16::from_le_bytes([eof[3], eof[4]]);
            self.lines.push(format!("EOF {:#x}", status & OF_THE_SESSION));
        }
        Ok(())
    }

    fn rows(&mut self) -> Result<u16> {
        loop {
            let row = self.packet()?;
            match row.first() {
                Some(0xff) => return self.error(&row).map(|()| 0),
                Some(0xfe) if row.len() < 0xff_ffff && (self.has(cap::DEPRECATE_EOF) || row.len() < 9) => {
                    return self.end("END", &row);
                }
                _ => self.lines.push(format!("row {row:?}")),
            }
        }
    }

    fn prepared(&mut self) -> Result<()> {
        let first = self.packet()?;
        if first[0] == 0xff {
            return self.error(&first);
        }
        self.statement = u32::from_le_bytes([first[1], first[2], first[3], first[4]]);
        self.lines.push(format!("prepared {:?}", &first[5..]));
        self.definitions(u16::from_le_bytes([first[7], first[8]]))?;
        self.definitions(u16::from_le_bytes([first[5], first[6]]))
    }

    fn error(&mut self, packet: &[u8]) -> Result<()> {
        self.lines.push(format!("ERR {:?}", String::from_utf8_lossy(&packet[1..])));
        Ok(())
    }

    /// An OK, or what ends rows: an EOF of five bytes for old clients.
    fn end(&mut self, name: &str, packet: &[u8]) -> Result<u16> {
        if packet[0] == 0xfe && !self.has(cap::DEPRECATE_EOF) {
            assert_eq!(packet.len(), 5, "{packet:?}");
            let status = u16::from_le_bytes([packet[3], packet[4]]);
            let warnings = u16::from_le_bytes([packet[1], packet[2]]);
            self.lines.push(format!("{name} {:#x}, {warnings} warnings", status & !OF_THE_PLAN));
            return Ok(status);
        }
        let mut rest = &packet[1..];
        let affected = length_encoded(&mut rest);
        let id = length_encoded(&mut rest);
        let status = u16::from_le_bytes([rest[0], rest[1]]);
        let warnings = u16::from_le_bytes([rest[2], rest[3]]);
        rest = &rest[4..];
        let mut line = format!("{name} {affected}, id {id}, {warnings} warnings");
        let (shown, mut told) = (status & !OF_THE_PLAN, String::new());
        if self.has(cap::SESSION_TRACK) {
            let info = if rest.is_empty() { &b""[..] } else { string(&mut rest) };
            let _ = write!(line, ", {:?}", String::from_utf8_lossy(info));
            if status & STATE_CHANGED != 0 {
                told = trackers(string(&mut rest));
            }
            assert!(rest.is_empty(), "{packet:?}");
        } else {
            assert_eq!(status & STATE_CHANGED, 0, "trackers were not asked for: {packet:?}");
            let info = match rest {
                [length, text @ ..] if usize::from(*length) == text.len() => text,
                text => text,
            };
            let _ = write!(line, ", {:?}", String::from_utf8_lossy(info));
        }
        self.lines.push(format!("{line}, {shown:#x}{told}"));
        Ok(status)
    }
}

fn length_encoded(rest: &mut &[u8]) -> u64 {
    let (first, after) = rest.split_first().expect("an integer");
    let length = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        small => {
            *rest = after;
            return u64::from(*small);
        }
    };
    let mut value = [0; 8];
    value[..length].copy_from_slice(&after[..length]);
    *rest = &after[length..];
    u64::from_le_bytes(value)
}

fn string<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::try_from(length_encoded(rest)).expect("short");
    let (text, after) = rest.split_at(length);
    *rest = after;
    text
}

/// Everything that is told of the session.
fn trackers(mut blob: &[u8]) -> String {
    let mut told = String::new();
    while let Some((kind, rest)) = blob.split_first() {
        blob = rest;
        let data = string(&mut blob);
        let _ = write!(told, ", tracker {kind} {:?}", String::from_utf8_lossy(data));
    }
    told
}

/// All that this client reads, in the order of the commands; OUT parameters of a prepared CALL only if they are the same:
/// a MySQL has other flags for them, and one packet less, where it sends EOF packets, and links have none.
fn transcript(connection: &mut Connection, flags: u32, out_parameters: bool) -> Result<Vec<String>> {
    let mut reader = Reader { connection, flags, lines: Vec::new(), statement: 0 };
    let texts = [
        "SELECT 1, 'a', NULL, ''",
        "SELECT 1 FROM mixed WHERE id < 0",
        "INSERT INTO mixed (content) VALUES ('x'), ('y')",
        "UPDATE mixed SET content = 'x'",
        "SELECT id, content FROM mixed ORDER BY id",
        "SELECT nothing",
        "SELECT CAST('x' AS SIGNED)",
        "SELECT 1; DELETE FROM mixed WHERE id = 2; SELECT 2, 3; SELECT nothing; SELECT 4",
        "CALL two_results()",
        "BEGIN",
        "SELECT COUNT(*) FROM mixed",
        "COMMIT",
        "SET NAMES utf8mb4",
        "USE sbtest",
        "USE test",
        "USE nowhere",
        "PREPARE p FROM 'SELECT ? + 1'",
        "SET @a = 4",
        "EXECUTE p USING @a",
        "DEALLOCATE PREPARE p",
        "CALL gives(@out)",
        "SELECT @out",
        "LOAD DATA LOCAL INFILE 'the file' INTO TABLE mixed",
        "SELECT 5; LOAD DATA LOCAL INFILE 'the file' REPLACE INTO TABLE mixed; SELECT 6",
        "",
    ];
    for text in texts {
        reader.run(Kind::Results, command::QUERY, text.as_bytes())?;
    }
    for schema in ["sbtest", "test", "nowhere"] {
        reader.run(Kind::Results, command::INIT_DB, schema.as_bytes())?;
    }
    for table in ["mixed\0", "mixed\0con%", "nothing\0"] {
        reader.run(Kind::Rows, command::FIELD_LIST, table.as_bytes())?;
    }
    // A MySQL repeats the number of warnings of the statement before.
    for text in ["SELECT CAST('x' AS SIGNED)", "SELECT nothing", "SELECT 1 FROM mixed"] {
        reader.run(Kind::Results, command::QUERY, text.as_bytes())?;
        reader.run(Kind::Results, command::PING, b"")?;
        reader.run(Kind::Results, command::INIT_DB, b"test")?;
        reader.run(Kind::Results, command::SET_OPTION, &[1, 0])?;
    }
    for text in [
        "SELECT ?, id FROM mixed ORDER BY id",
        "SELECT 7",
        "SELECT FROM",
        "CALL two_results()",
        "CALL gives(?)",
    ] {
        reader.run(Kind::Prepared, command::STMT_PREPARE, text.as_bytes())?;
        let id = reader.statement.to_le_bytes();
        let parameter: &[u8] =
            if text.contains('?') { &[0, 1, 0x08, 0, 9, 0, 0, 0, 0, 0, 0, 0] } else { b"" };
        let execute = |cursor: u8| [&id[..], &[cursor, 1, 0, 0, 0], parameter].concat();
        if text == "SELECT FROM" || (text == "CALL gives(?)" && !out_parameters) {
            continue;
        }
        reader.run_hidden(Kind::Results, command::STMT_EXECUTE, &execute(0), text)?;
        if text.starts_with("SELECT ?") {
            reader.run_hidden(Kind::Cursor, command::STMT_EXECUTE, &execute(1), "cursor")?;
            for _ in 0..2 {
                reader.run_hidden(
                    Kind::Rows,
                    command::STMT_FETCH,
                    &[&id[..], &[2, 0, 0, 0]].concat(),
                    "fetch",
                )?;
            }
            reader.run_hidden(Kind::Results, command::STMT_RESET, &id, "reset")?;
        }
    }
    Ok(reader.lines)
}

/// The lines of each command.
fn by_command(lines: &[String]) -> impl Iterator<Item = &[String]> {
    lines.chunk_by(|_, next| !next.starts_with("---"))
}

fn prepare(stage: &Stage) -> TestResult {
    stage.server.sql("CREATE TABLE test.mixed (id INT AUTO_INCREMENT PRIMARY KEY, content VARCHAR(20))")?;
    let mut client = stage.connect()?;
    client.run("CREATE PROCEDURE two_results() BEGIN SELECT 1; SELECT 2, 3; END")?;
    client.run("CREATE PROCEDURE gives(OUT number INT) BEGIN SET number = 42; END")?;
    Ok(())
}

#[test]
fn replies_are_those_of_the_server() -> TestResult {
    on_each_server("mixes", |stage| {
        stage.server.sql("SET GLOBAL local_infile = 1")?;
        prepare(stage)?;
        let sets = [
            cap::DEPRECATE_EOF,
            cap::SESSION_TRACK,
            cap::MULTI_RESULTS | cap::PS_MULTI_RESULTS,
            cap::MULTI_STATEMENTS | cap::LOCAL_FILES,
        ];
        for mix in 0..16_u32 {
            let mut flags = sets
                .iter()
                .enumerate()
                .filter(|(bit, _)| mix >> bit & 1 == 1)
                .fold(0, |all, (_, set)| all | set);
            // Those of the login, in turn.
            flags |= if mix % 2 == 0 { cap::CONNECT_ATTRS } else { cap::FOUND_ROWS };
            if mix % 3 == 0 {
                flags |= cap::PLUGIN_AUTH_LENENC;
            }
            let all = sets.iter().fold(0, |all, set| all | set);
            let mut login = Login::app().without(all).with(flags);
            if mix % 4 == 3 && stage.server.flavor() == Flavor::MariaDb {
                login = login.without(cap::PLUGIN_AUTH | cap::PLUGIN_AUTH_LENENC);
            }
            let same_out = stage.server.flavor() == Flavor::MariaDb || flags & cap::DEPRECATE_EOF != 0;
            stage.server.sql("TRUNCATE test.mixed")?;
            let expected = transcript(&mut direct(stage, &login)?, flags, same_out)?;
            stage.server.sql("TRUNCATE test.mixed")?;
            let found = transcript(&mut stage.login(&login)?, flags, same_out)?;
            for (found, expected) in by_command(&found).zip(by_command(&expected)) {
                assert_eq!(found, expected, "flags {flags:#x}");
            }
            assert_eq!(found.len(), expected.len(), "flags {flags:#x}");
        }
        Ok(())
    })
}

/// Athena has servers report more than clients do: that shows neither in replies nor in the variables.
#[test]
fn trackers_are_those_that_the_client_asked_for() -> TestResult {
    const VALUES: &str = "SELECT @@session_track_schema, @@session.session_track_state_change, @@session_track_transaction_info";
    const TEXTS: [&str; 30] = [
        VALUES,
        "SHOW VARIABLES LIKE 'session_track_%'",
        "SET @a = 1",
        "BEGIN",
        "SELECT COUNT(*) FROM mixed",
        "COMMIT",
        "SET session_track_state_change = 1",
        VALUES,
        "SET @a = 1",
        "SET NAMES utf8mb4",
        "USE sbtest",
        "BEGIN",
        "COMMIT",
        "SET SESSION session_track_transaction_info = 'STATE'",
        "BEGIN",
        "SELECT COUNT(*) FROM test.mixed",
        "COMMIT",
        "SET session_track_state_change = 0, @@session_track_transaction_info = 'CHARACTERISTICS'",
        VALUES,
        "SHOW SESSION VARIABLES LIKE 'session_track_%'",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "START TRANSACTION READ ONLY",
        "ROLLBACK",
        "SET @a = 2",
        "SET session_track_state_change = 'nonsense'",
        VALUES,
        "SET session_track_schema = OFF",
        "USE test",
        "SELECT DATABASE(), @@session_track_schema",
        "SET session_track_schema = ON, session_track_state_change = @@global.session_track_schema",
    ];
    let flags = cap::SESSION_TRACK | cap::DEPRECATE_EOF;
    on_each_server("own_trackers", |stage| {
        prepare(stage)?;
        let login = Login::app().with(flags);
        let run = |connection: &mut Connection| -> Result<Vec<String>> {
            let mut reader = Reader { connection, flags, lines: Vec::new(), statement: 0 };
            for text in TEXTS {
                reader.run(Kind::Results, command::QUERY, text.as_bytes())?;
            }
            reader.run(Kind::Prepared, command::STMT_PREPARE, VALUES.as_bytes())?;
            let execute = [&reader.statement.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
            reader.run_hidden(Kind::Results, command::STMT_EXECUTE, &execute, "execute")?;
            reader.run(Kind::Results, command::RESET_CONNECTION, b"")?;
            for text in [VALUES, "SET @a = 1"] {
                reader.run(Kind::Results, command::QUERY, text.as_bytes())?;
            }
            Ok(reader.lines)
        };
        let expected = run(&mut direct(stage, &login)?)?;
        let found = run(&mut stage.login(&login)?)?;
        for (found, expected) in by_command(&found).zip(by_command(&expected)) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.len(), expected.len());
        Ok(())
    })
}

/// The same of variables by name: each change that the client wants, in the server's order, and no other.
#[test]
fn variables_are_told_as_the_client_asked_for() -> TestResult {
    const VALUE: &str = "SELECT @@session_track_system_variables, @@session_track_state_change";
    const CHANGES: [&str; 16] = [
        "SET NAMES latin1",
        "SET sql_mode = 'ANSI_QUOTES', time_zone = '+01:00', autocommit = 1",
        "SET sql_mode = ''",
        "SET lock_wait_timeout = 17, net_read_timeout = 18, wait_timeout = 100",
        "SET @a = 1",
        "SET character_set_results = NULL",
        "SET NAMES utf8mb4",
        "SET autocommit = 0",
        "SET autocommit = 1, time_zone = 'SYSTEM'",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SELECT sets_a_mode()",
        "SET sql_mode = 'nonsense'",
        "SHOW VARIABLES LIKE 'session_track_system%'",
        "SELECT variable_value FROM information_schema.session_variables WHERE variable_name LIKE 'session_track%' ORDER BY variable_name",
        "SELECT session_value FROM information_schema.`system_variables` WHERE variable_name LIKE 'session_track%' ORDER BY variable_name",
        "SELECT variable_value FROM performance_schema.session_variables WHERE variable_name LIKE 'session_track%' ORDER BY variable_name",
    ];
    let asked = [
        "",
        "SET session_track_system_variables = 'sql_mode'",
        "SET session_track_state_change = 1, session_track_system_variables = ''",
        "SET session_track_system_variables = 'nonsense'",
        "SET session_track_system_variables = 'sql_mode,nonsense'",
        "SET session_track_system_variables = ' SQL_MODE '",
        "SET session_track_state_change = 0, sql_mode = '', session_track_system_variables = '*'",
        "SET session_track_system_variables = DEFAULT",
        "SET SESSION session_track_system_variables = NULL",
        "SET session_track_system_variables = 'time_zone,lock_wait_timeout,sql_mode,net_read_timeout'",
    ];
    let flags = cap::SESSION_TRACK | cap::DEPRECATE_EOF;
    on_each_server("own_variables", |stage| {
        prepare(stage)?;
        let mut client = stage.connect()?;
        client.run("CREATE FUNCTION sets_a_mode() RETURNS INT NO SQL BEGIN SET SESSION net_write_timeout = 19; SET SESSION lock_wait_timeout = 20; RETURN 1; END")?;
        let login = Login::app().with(flags);
        let run = |connection: &mut Connection| -> Result<Vec<String>> {
            let mut reader = Reader { connection, flags, lines: Vec::new(), statement: 0 };
            for text in asked {
                let all = [text, VALUE].into_iter().chain(CHANGES);
                let start = reader.lines.len();
                for text in all.filter(|text| !text.is_empty()) {
                    reader.run(Kind::Results, command::QUERY, text.as_bytes())?;
                }
                if text.contains("'*'") {
                    // The order goes by all that was told before, to Athena as well.
                    reader.lines.iter_mut().skip(start).for_each(sort_trackers);
                }
            }
            reader.run(Kind::Results, command::RESET_CONNECTION, b"")?;
            for text in [VALUE, "SET sql_mode = '', time_zone = '+02:00'"] {
                reader.run(Kind::Results, command::QUERY, text.as_bytes())?;
            }
            Ok(reader.lines.iter().map(|line| without_statement_ids(line)).collect())
        };
        let expected = run(&mut direct(stage, &login)?)?;
        let found = run(&mut stage.login(&login)?)?;
        for (found, expected) in by_command(&found).zip(by_command(&expected)) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.len(), expected.len());
        Ok(())
    })
}

/// Who has not asked is told what the server's own setting says, as of the login.
#[test]
fn variables_are_told_as_the_server_is_set() -> TestResult {
    const CHANGES: [&str; 7] = [
        "SET NAMES latin1",
        "SET sql_mode = 'ANSI_QUOTES', time_zone = '+01:00', autocommit = 1",
        "SET lock_wait_timeout = 17, net_read_timeout = 18, time_zone = '+01:00', sql_mode = ''",
        "DO 0",
        "SELECT 1",
        "SELECT @@session_track_system_variables",
        "SHOW VARIABLES LIKE 'session_track_system%'",
    ];
    const NAMES: &str = "time_zone,sql_mode,lock_wait_timeout,net_read_timeout";
    let flags = cap::SESSION_TRACK | cap::DEPRECATE_EOF;
    let config = |config: AthenaConfig| config.account("root", "");
    on_each_server_with("set_variables", config, |stage| {
        let login = Login::new("root", "").with(flags);
        let run = |mut connection: Connection, all: bool| -> Result<Vec<String>> {
            let mut reader = Reader { connection: &mut connection, flags, lines: Vec::new(), statement: 0 };
            for text in CHANGES {
                reader.run(Kind::Results, command::QUERY, text.as_bytes())?;
            }
            let mut lines: Vec<String> =
                reader.lines.iter().map(|line| without_statement_ids(line)).collect();
            if all {
                lines.iter_mut().for_each(sort_trackers);
            }
            Ok(lines)
        };
        let mut old = stage.login(&login)?;
        for names in [NAMES, "", "*", "sql_mode"] {
            old.run(&format!("SET GLOBAL session_track_system_variables = '{names}'"))?;
            let expected = run(direct(stage, &login)?, names == "*")?;
            let found = run(stage.login(&login)?, names == "*")?;
            for (found, expected) in by_command(&found).zip(by_command(&expected)) {
                assert_eq!(found, expected, "{names}");
            }
            assert_eq!(found.len(), expected.len());
        }
        Ok(())
    })
}

/// A MySQL counts the statements of all its sessions.
fn without_statement_ids(line: &str) -> String {
    let mut parts: Vec<String> = line.split(", tracker ").map(str::to_owned).collect();
    for part in parts.iter_mut().filter(|part| part.contains("statement_id")) {
        "statement_id".clone_into(part);
    }
    parts.join(", tracker ")
}

fn sort_trackers(line: &mut String) {
    let mut parts: Vec<&str> = line.split(", tracker ").collect();
    if let Some(trackers) = parts.get_mut(1..) {
        trackers.sort_unstable();
    }
    *line = parts.join(", tracker ");
}
