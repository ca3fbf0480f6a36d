//! What drivers and frameworks send when they connect, and while they work, keeps no link, and holds wherever their
//! statements run.
//!
//! The files in `orm/` have it as it was sent. `-- == title` begins a connection, other lines after `--` say what is meant;
//! a line is a statement, or one of these: `\flags` are those of the login, `\reset` is COM_RESET_CONNECTION, `\ping` COM_PING,
//! `\database` COM_INIT_DB, `\prepared` prepares a statement, executes it once and closes it, `\probe` names what is looked at
//! beside the usual variables. What one kind of server refuses, it has to refuse through Athena as well.

use std::thread;
use std::time::Duration;

use athena_perf::lab::{Flavor, Lab, Server, ServerOptions};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{self, Column, Connection, Login, Reply, ResultSet, Value, capability, command};
use crate::{configure, holder, unbound};

const FILES: [(&str, &str); 11] = [
    ("dotnet", include_str!("orm/dotnet.sql")),
    ("go", include_str!("orm/go.sql")),
    ("java", include_str!("orm/java.sql")),
    ("node", include_str!("orm/node.sql")),
    ("perl", include_str!("orm/perl.sql")),
    ("php", include_str!("orm/php.sql")),
    ("python", include_str!("orm/python.sql")),
    ("ruby", include_str!("orm/ruby.sql")),
    ("rust", include_str!("orm/rust.sql")),
    ("tools", include_str!("orm/tools.sql")),
    ("work", include_str!("orm/work.sql")),
];

/// One for a holder, one for the sessions that are looked at.
const LINKS: usize = 2;

/// Between statements: none, and long enough for what only the link knows to be read from it.
const PAUSES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(10)];

/// What a session is made of, as far as these statements change it; then what it makes of expressions.
const PROBE: &str = "@@autocommit, @@sql_mode, @@time_zone, @@character_set_client, @@character_set_connection, \
     @@character_set_results, @@collation_connection, @@character_set_server, @@collation_server, @@wait_timeout, \
     @@net_read_timeout, @@net_write_timeout, @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@sql_auto_is_null, \
     @@foreign_key_checks, @@unique_checks, @@group_concat_max_len, @@sql_select_limit, @@max_error_count, @@lc_time_names, \
     @@default_storage_engine, @@sql_quote_show_create, @@session_track_system_variables, DATABASE(), \
     FROM_UNIXTIME(86400), 1 || 2, COLLATION('x'), HEX('é')";

/// By their names on MariaDB and MySQL.
const ISOLATION: [&str; 2] =
    ["@@tx_isolation, @@tx_read_only", "@@transaction_isolation, @@transaction_read_only"];

/// What differs between two connections, or from one statement to the next.
const MOMENTARY: [&str; 13] = [
    "error_count",
    "gtid_next",
    "identity",
    "in_transaction",
    "insert_id",
    "last_gtid",
    "last_insert_id",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "statement_id",
    "timestamp",
    "warning_count",
];

/// Makes sessions begin with other values than those of a new server: what a session has not set goes back to these.
const OTHER_GLOBALS: &str = "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED;
    SET GLOBAL character_set_server = latin1, collation_server = latin1_german1_ci, foreign_key_checks = 0,
        group_concat_max_len = 5000, interactive_timeout = 4321, lc_time_names = de_DE, max_error_count = 7,
        sql_mode = 'PIPES_AS_CONCAT,NO_ZERO_DATE', time_zone = '+05:00', unique_checks = 0, wait_timeout = 1234";

#[test]
fn what_orms_send_at_connect_binds_no_link() -> TestResult {
    check_on_mariadb("")
}

#[test]
fn what_orms_send_at_connect_binds_no_link_to_a_mysql() -> TestResult {
    check_on_mysql("")
}

#[test]
fn sessions_begin_as_their_server_has_them_begin() -> TestResult {
    check_on_mariadb(OTHER_GLOBALS)
}

#[test]
fn sessions_begin_as_their_mysql_has_them_begin() -> TestResult {
    check_on_mysql(OTHER_GLOBALS)
}

fn check_on_mariadb(globals: &str) -> TestResult {
    let lab = Lab::new("state_orm")?;
    let server = lab.server(ServerOptions::default())?;
    check_all(lab, server, globals)
}

fn check_on_mysql(globals: &str) -> TestResult {
    let lab = Lab::new("state_orm")?;
    match lab.mysql_server(ServerOptions::default())? {
        Some(server) => check_all(lab, server, globals),
        None => Ok(()),
    }
}

fn check_all(lab: Lab, server: Server, globals: &str) -> TestResult {
    server.sql("CREATE TABLE test.things (id INT PRIMARY KEY, name VARCHAR(10) NOT NULL)")?;
    server.sql(globals)?;
    let stage = Stage::start_on(lab, server, |config| configure(config, LINKS))?;
    let profiles = FILES.iter().flat_map(|(file, text)| profiles(file, text));
    let failures: Vec<String> = profiles
        .flat_map(|profile| {
            PAUSES.map(|pause| (check(&stage, &profile, pause), pause, profile.title.clone()))
        })
        .filter_map(|(result, pause, title)| Some(format!("{title}, pauses of {pause:?}: {}", result.err()?)))
        .collect();
    assert!(failures.is_empty(), "{} profiles fail\n{}", failures.len(), failures.join("\n"));
    let closed = stage.athena.metric("athena_links_closed_total", &[("reason", "dirty")])?;
    assert_eq!(closed, 0.0, "links that could not be used again");
    Ok(())
}

/// What one kind of client does when it connects.
struct Profile {
    title: String,
    login: Login,
    steps: Vec<Step>,
    /// The whole list of what is looked at.
    probes: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Query(&'static str),
    Prepared(&'static str),
    Database(&'static str),
    Reset,
    Ping,
}

fn profiles(file: &str, text: &'static str) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("-- == ") {
            let title = format!("{file}: {title}");
            profiles.push(Profile { title, login: Login::app(), steps: Vec::new(), probes: vec![PROBE] });
        }
        let Some(profile) = profiles.last_mut().filter(|_| !line.is_empty() && !line.starts_with("--"))
        else {
            assert!(line.is_empty() || line.starts_with("--"), "{file}: {line:?} belongs to no connection");
            continue;
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            r"\flags" => profile.login = Login::app().with(rest.split(' ').map(flag).sum()),
            r"\probe" => profile.probes.push(rest),
            r"\reset" => profile.steps.push(Step::Reset),
            r"\ping" => profile.steps.push(Step::Ping),
            r"\database" => profile.steps.push(Step::Database(rest)),
            r"\prepared" => profile.steps.push(Step::Prepared(rest)),
            _ => profile.steps.push(Step::Query(line)),
        }
    }
    profiles
}

fn flag(name: &str) -> u32 {
    match name {
        "found_rows" => capability::FOUND_ROWS,
        "ignore_space" => capability::IGNORE_SPACE,
        "multi_statements" => capability::MULTI_STATEMENTS,
        "multi_results" => capability::MULTI_RESULTS,
        "session_track" => capability::SESSION_TRACK,
        other => panic!("no flag of a login: {other}"),
    }
}

/// A session as a client of this kind sets it up, and one that sets nothing, take turns on each of the links.
fn check(stage: &Stage, profile: &Profile, pause: Duration) -> TestResult {
    let mut session = stage.login(&profile.login)?;
    // A MySQL has the password in its cache once a link has logged in.
    session.run("SELECT 1")?;
    let server = || Connection::login(stage.server.port(), &profile.login);
    let (mut own, mut plain) = (server()?, server()?);
    // One after the other: they would wait for each other's locks.
    let expected: Vec<_> = profile.steps.iter().map(|step| step.run(&mut own)).collect();
    for (step, expected) in profile.steps.iter().zip(expected) {
        thread::sleep(pause);
        match (step.run(&mut session), expected) {
            (Ok(found), Ok(expected)) if found == expected => {}
            (Err(found), Err(expected)) if found.code() == expected.code() && found.code().is_some() => {}
            (found, expected) => return Err(format!("{step:?}: {found:?}, directly {expected:?}").into()),
        }
    }
    unbound(stage)?;

    let mut other = stage.login(&profile.login)?;
    let isolation = ISOLATION[usize::from(stage.server.flavor() == Flavor::MySql)];
    let probe = format!("SELECT {isolation}, {}", profile.probes.join(", "));
    let mut pairs = [
        Pair::new("the session", &mut session, &mut own, &probe)?,
        Pair::new("another", &mut other, &mut plain, &probe)?,
    ];
    let mut first = holder(stage, &profile.login)?;
    take_turns(&mut pairs).map_err(|error| format!("on one link, {error}"))?;
    let mut second = holder(stage, &profile.login)?;
    first.run("COMMIT")?;
    take_turns(&mut pairs).map_err(|error| format!("on the other link, {error}"))?;
    second.run("COMMIT")?;
    for pair in &mut pairs {
        pair.compare_all_variables().map_err(|error| format!("at the end, {error}"))?;
    }
    unbound(stage)
}

fn take_turns(pairs: &mut [Pair; 2]) -> TestResult {
    (0..3).try_for_each(|_| pairs.iter_mut().try_for_each(Pair::compare))
}

impl Step {
    fn run(self, client: &mut Connection) -> wire::Result<Option<Reply>> {
        match self {
            Self::Query(sql) => {
                let reply = client.query(sql)?;
                // Ids are Athena's own.
                Ok(Some(reply).filter(|_| !sql.contains("CONNECTION_ID()")))
            }
            Self::Prepared(sql) => {
                let statement = client.prepare(sql)?;
                let reply = client.execute(&statement, &[])?;
                client.close(&statement)?;
                Ok(Some(reply))
            }
            Self::Database(name) => client.command(command::INIT_DB, name.as_bytes()).map(Some),
            Self::Reset => client.command(command::RESET_CONNECTION, b"").map(Some),
            Self::Ping => client.ping().map(|ok| Some(Reply::Ok(ok))),
        }
    }
}

/// A session through Athena and one at the server that have sent the same.
struct Pair<'a> {
    who: &'static str,
    through: &'a mut Connection,
    direct: &'a mut Connection,
    probe: &'a str,
    /// The same by a prepared statement, which has to follow its session.
    prepared: [wire::Statement; 2],
}

impl<'a> Pair<'a> {
    fn new(
        who: &'static str,
        through: &'a mut Connection,
        direct: &'a mut Connection,
        probe: &'a str,
    ) -> TestResult<Self> {
        let prepared = [through.prepare(probe)?, direct.prepare(probe)?];
        Ok(Self { who, through, direct, probe, prepared })
    }

    fn compare(&mut self) -> TestResult {
        let (who, probe) = (self.who, self.probe);
        let failed = |error: wire::Error| format!("{who}: {error}");
        let found = self.through.query(probe).map_err(failed)?.rows()?;
        differences(who, &found, &self.direct.query(probe)?.rows()?)?;
        let found = self.through.execute(&self.prepared[0], &[]).map_err(failed)?.rows()?;
        let expected = self.direct.execute(&self.prepared[1], &[])?.rows()?;
        differences(&format!("{who}, prepared"), &found, &expected)
    }

    fn compare_all_variables(&mut self) -> TestResult {
        let list = |client: &mut Connection| client.query("SHOW SESSION VARIABLES")?.rows();
        let (found, expected) = (list(self.through)?, list(self.direct)?);
        let lasting = |rows: &ResultSet| -> Vec<String> {
            let lines =
                rows.rows.iter().map(|row| row.iter().map(Value::to_string).collect::<Vec<_>>().join("="));
            let momentary =
                |line: &String| MOMENTARY.iter().any(|name| line.starts_with(&format!("{name}=")));
            lines.filter(|line| !momentary(line)).collect()
        };
        let (found, expected) = (lasting(&found), lasting(&expected));
        let differ: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
        let who = self.who;
        if differ.is_empty() && found.len() == expected.len() {
            return Ok(());
        }
        let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
        Err(format!("{who}: SHOW VARIABLES has {differ:?}, directly {missing:?}").into())
    }
}

/// Says which columns differ, in values or in what is told of them. Of user variables only the values count: no statement
/// makes a variable that was set what it was before.
fn differences(who: &str, found: &ResultSet, expected: &ResultSet) -> TestResult {
    let (Some(values), Some(direct)) = (found.rows.first(), expected.rows.first()) else {
        return Err(format!("{who}: no row").into());
    };
    let columns = found.columns.iter().zip(&expected.columns).zip(values.iter().zip(direct));
    let is_user_variable = |column: &Column| column.name.starts_with('@') && !column.name.starts_with("@@");
    let mut differ: Vec<String> = columns
        .filter(|((column, other), (value, direct))| {
            value != direct || (column != other && !is_user_variable(column))
        })
        .map(|((column, other), (value, direct))| format!("{column:?} {value}, directly {other:?} {direct}"))
        .collect();
    if found.status != expected.status {
        differ.push(format!("status {:#06x}, directly {:#06x}", found.status, expected.status));
    }
    if differ.is_empty() { Ok(()) } else { Err(format!("{who}: {}", differ.join("; ")).into()) }
}
