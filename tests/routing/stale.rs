//! Sessions that write and read at once, while the replicas fall behind by up to half a second again and again: no read is older
//! than it may be, and those that may be old are.
//!
//! `ATHENA_STALE_SECONDS` makes each run as long as it says, `ATHENA_STALE_SEED` chooses the run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use athena_perf::lab::{Flavor, Server};

use super::chosen;
use super::common::cluster::{ClusterStage, on_each_cluster, split};
use super::common::random::Random;
use super::common::wire::{self, Connection, Login, Reply, Statement, Value, capability, command, status};
use super::common::{PATIENCE, TestResult, join};
use super::front::{PRIMARY, config, front, name_servers};
use super::{execute_all, root, run_all};

const SESSIONS: usize = 16;

/// The longest that a replica applies nothing.
const HOLD_MS_MAX: usize = 500;
/// The time that it then has to catch up.
const GAP_MS: [usize; 2] = [50, 300];
/// Between a read and the next write of its session.
const PAUSE_MS_MAX: usize = 4;

/// Who has to find a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Off,
    Session,
    Global,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Session => "session",
            Self::Global => "global",
        }
    }

    /// For how long, unless the environment says it.
    fn seconds(self) -> u64 {
        match self {
            Self::Off => 2,
            Self::Session => 8,
            Self::Global => 4,
        }
    }
}

/// How a session's counter is raised by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Autocommit,
    Prepared,
    Transaction,
    PreparedInTransaction,
    Several,
    TransactionInOneText,
    WithoutAutocommit,
    Procedure,
    Function,
    /// DO with a function that writes.
    Do,
    Upsert,
    TextPrepared,
    Xa,
    LockedTable,
    /// The transaction ends by a statement that is no COMMIT.
    EndedByLock,
    EndedByAutocommit,
    /// It commits before it fails.
    EndedByFailure,
    /// An error behind the write, of which no transaction is told.
    FailsBehind,
    ProcedureFails,
    /// Behind another session that has left a link to be reset.
    OnResetLink,
    /// The session itself starts anew behind it.
    BeforeReset,
    /// The rows of a write; MariaDB only.
    Returning,
    /// The next statement ends the transaction.
    LeftOpen,
}

const WRITES: [Write; 23] = [
    Write::Autocommit,
    Write::Prepared,
    Write::Transaction,
    Write::PreparedInTransaction,
    Write::Several,
    Write::TransactionInOneText,
    Write::WithoutAutocommit,
    Write::Procedure,
    Write::Function,
    Write::Do,
    Write::Upsert,
    Write::TextPrepared,
    Write::Xa,
    Write::LockedTable,
    Write::EndedByLock,
    Write::EndedByAutocommit,
    Write::EndedByFailure,
    Write::FailsBehind,
    Write::ProcedureFails,
    Write::OnResetLink,
    Write::BeforeReset,
    Write::LeftOpen,
    Write::Returning,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Text,
    Prepared,
    Several,
    InTransaction,
}

const READS: [Read; 4] = [Read::Text, Read::Prepared, Read::Several, Read::InTransaction];

const SCHEMA: [&str; 5] = [
    "CREATE TABLE counters (id INT PRIMARY KEY, n INT NOT NULL)",
    "CREATE PROCEDURE raise_it(which INT) UPDATE counters SET n = n + 1 WHERE id = which",
    "CREATE PROCEDURE raise_and_fail(which INT) BEGIN UPDATE counters SET n = n + 1 WHERE id = which; \
     SIGNAL SQLSTATE '45000'; END",
    "CREATE FUNCTION raised(which INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN \
     UPDATE counters SET n = n + 1 WHERE id = which; RETURN 1; END",
    "INSERT INTO counters VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), \
     (10, 0), (11, 0), (12, 0), (13, 0), (14, 0), (15, 0)",
];

/// A connection with its statements about one counter.
struct Client {
    connection: Connection,
    port: u16,
    id: usize,
    update: Statement,
    select: Statement,
}

impl Client {
    fn connect(stage: &ClusterStage, id: usize) -> TestResult<Self> {
        let login = Login::app().with(capability::MULTI_STATEMENTS);
        let mut connection = match id % 4 {
            1 => stage.login(&login.with(capability::SESSION_TRACK))?,
            2 => stage.login(&login.without(capability::DEPRECATE_EOF))?,
            3 => {
                // Its own trackers are not Athena's.
                let mut connection = stage.login(&login.with(capability::SESSION_TRACK))?;
                connection.run(match stage.servers.primary.flavor() {
                    Flavor::MariaDb => "SET session_track_system_variables = ''",
                    Flavor::MySql => "SET session_track_gtids = 'OFF', session_track_system_variables = ''",
                })?;
                connection
            }
            _ => stage.login(&login)?,
        };
        let update = connection.prepare(&update(id))?;
        let select = connection.prepare(&select(id))?;
        Ok(Self { connection, port: stage.athena.port(), id, update, select })
    }

    fn write(&mut self, how: Write) -> TestResult {
        let (id, sql) = (self.id, update(self.id));
        let connection = &mut self.connection;
        let values = format!("INSERT INTO counters VALUES ({id}, 1) ON DUPLICATE KEY UPDATE n = n + 1");
        match how {
            Write::Autocommit => connection.run(&sql)?,
            Write::Prepared => execute_all(connection, &self.update)?,
            Write::Transaction => all(connection, &["BEGIN", &sql, "COMMIT"])?,
            Write::PreparedInTransaction => {
                connection.run("START TRANSACTION")?;
                execute_all(connection, &self.update)?;
                connection.run("COMMIT")?;
            }
            Write::Several => run_all(connection, &format!("SELECT 1; {sql}; SELECT 2"))?,
            Write::TransactionInOneText => run_all(connection, &format!("BEGIN; {sql}; COMMIT"))?,
            Write::WithoutAutocommit => {
                all(connection, &["SET autocommit = 0", &sql, "COMMIT", "SET autocommit = 1"])?;
            }
            Write::Procedure => run_all(connection, &format!("CALL raise_it({id})"))?,
            Write::Function => connection.run(&format!("SELECT raised({id})"))?,
            Write::Upsert => connection.run(&values)?,
            Write::Returning => connection.run(&format!("{values} RETURNING n"))?,
            Write::Do => connection.run(&format!("DO raised({id})"))?,
            Write::TextPrepared => {
                all(
                    connection,
                    &[&format!("PREPARE raise FROM '{sql}'"), "EXECUTE raise", "DEALLOCATE PREPARE raise"],
                )?;
            }
            Write::Xa => {
                let xa = |verb: &str| format!("XA {verb} 'x{id}'");
                all(connection, &[&xa("START"), &sql, &xa("END"), &xa("PREPARE"), &xa("COMMIT")])?;
            }
            Write::LockedTable => all(connection, &["LOCK TABLES counters WRITE", &sql, "UNLOCK TABLES"])?,
            Write::EndedByLock => all(connection, &["BEGIN", &sql, "LOCK TABLES who READ", "UNLOCK TABLES"])?,
            Write::EndedByAutocommit => {
                all(connection, &["SET autocommit = 0", &sql, "SET autocommit = 1"])?;
            }
            Write::EndedByFailure => {
                all(connection, &["BEGIN", &sql])?;
                fails(connection.run("LOCK TABLES nothing READ"))?;
            }
            Write::FailsBehind => fails(run_all(connection, &format!("{sql}; SELECT nothing")))?,
            Write::ProcedureFails => fails(run_all(connection, &format!("CALL raise_and_fail({id})")))?,
            Write::OnResetLink => {
                let mut other = Connection::open(self.port)?;
                all(&mut other, &["CREATE TEMPORARY TABLE mine (id INT)", "DROP TEMPORARY TABLE mine"])?;
                other.run(&format!("SELECT GET_LOCK('lock {id}', 0)"))?;
                drop(other);
                connection.run(&sql)?;
            }
            Write::BeforeReset => {
                connection.run(&sql)?;
                connection.command(command::RESET_CONNECTION, &[])?.ok()?;
                self.update = connection.prepare(&sql)?;
                self.select = connection.prepare(&select(id))?;
            }
            Write::LeftOpen => all(connection, &["BEGIN", &sql])?,
        }
        Ok(())
    }

    /// The counter, and the name of the server that it was read on.
    fn read(&mut self, how: Read) -> TestResult<(u64, String)> {
        let sql = select(self.id);
        let connection = &mut self.connection;
        let reply = match how {
            Read::Text => connection.query(&sql)?,
            Read::Prepared => connection.execute(&self.select, &[])?,
            Read::Several => {
                let mut reply = connection.command(command::QUERY, format!("SELECT 1; {sql}").as_bytes())?;
                while reply.status() & status::MORE_RESULTS != 0 {
                    reply = connection.read_reply()?;
                }
                reply
            }
            Read::InTransaction => {
                connection.run("START TRANSACTION READ ONLY")?;
                let reply = connection.query(&sql)?;
                connection.run("COMMIT")?;
                reply
            }
        };
        found(reply)
    }
}

fn all(connection: &mut Connection, statements: &[&str]) -> wire::Result<()> {
    statements.iter().try_for_each(|sql| connection.run(sql))
}

/// An error of the server's is what is expected.
fn fails(outcome: wire::Result<()>) -> TestResult {
    match outcome {
        Err(error) if error.code().is_some() => Ok(()),
        other => Err(format!("an error expected, not {other:?}").into()),
    }
}

fn update(id: usize) -> String {
    format!("UPDATE counters SET n = n + 1 WHERE id = {id}")
}

fn select(id: usize) -> String {
    format!("SELECT n, name FROM counters, who WHERE id = {id}")
}

fn found(reply: Reply) -> TestResult<(u64, String)> {
    match reply.rows()?.rows.as_slice() {
        [row] => match row.as_slice() {
            [n @ (Value::Int(_) | Value::Bytes(_)), name] => Ok((n.to_string().parse()?, name.to_string())),
            other => Err(format!("a counter expected, not {other:?}").into()),
        },
        rows => Err(format!("one row expected, not {rows:?}").into()),
    }
}

/// What the reads of a session were like.
#[derive(Debug, Default)]
struct Tally {
    reads: usize,
    on_replicas: usize,
    stale: Vec<String>,
    times: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.on_replicas += other.on_replicas;
        self.stale.extend(other.stale);
        self.times.extend(other.times);
    }

    /// The time that this share of the reads took no more than.
    fn percentile(&mut self, share: f64) -> Duration {
        self.times.sort_unstable();
        let index = (self.times.len() as f64 * share) as usize;
        self.times.get(index.min(self.times.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// One session until the time is over. With [`Level::Global`] another one reads.
fn session(stage: &ClusterStage, level: Level, id: usize, until: Instant) -> TestResult<Tally> {
    let mut random = Random::new(chosen("ATHENA_STALE_SEED", 1) * 1000 + id as u64);
    let mut writer = Client::connect(stage, id)?;
    let mut other = if level == Level::Global { Some(Client::connect(stage, id)?) } else { None };
    let writes = match stage.servers.primary.flavor() {
        Flavor::MariaDb => &WRITES[..],
        Flavor::MySql => &WRITES[..WRITES.len() - 1],
    };
    let (mut n, _) = writer.read(Read::InTransaction)?;
    // Whatever a replica said, the primary knows it.
    let known = writer.connection.scalar(&format!("{} FOR UPDATE", select(id).replace(", name", "")));
    n = n.max(known?.parse()?);
    let mut tally = Tally::default();
    while Instant::now() < until {
        let (mut write, mut read) = (writes[random.below(writes.len())], READS[random.below(READS.len())]);
        match (write, level) {
            (Write::LeftOpen, Level::Global) => write = Write::Autocommit,
            (Write::LeftOpen, _) => read = Read::InTransaction,
            _ => {}
        }
        writer.write(write).map_err(|error| format!("{write:?}: {error}"))?;
        n += 1;
        // The second one may be on another replica.
        for read in [read, READS[random.below(READS.len())]] {
            let start = Instant::now();
            let reader = other.as_mut().unwrap_or(&mut writer);
            let (got, place) = reader.read(read).map_err(|error| format!("{write:?}, {read:?}: {error}"))?;
            tally.times.push(start.elapsed());
            tally.reads += 1;
            tally.on_replicas += usize::from(place != PRIMARY);
            if got < n {
                tally.stale.push(format!("session {id}: {write:?}, {read:?} on {place}: {got}, not {n}"));
            }
            assert!(got <= n, "session {id}: {got} is more than {n}");
        }
        thread::sleep(Duration::from_millis(random.below(PAUSE_MS_MAX) as u64));
    }
    Ok(tally)
}

/// Lets a replica apply nothing for a while, again and again: what has been read there before can still be read.
fn hold_back(replica: &Server, seed: u64, end: &AtomicBool) -> TestResult {
    let mut random = Random::new(seed);
    let mut connection = root(replica)?;
    let pause = |random: &mut Random, from: usize, to: usize| {
        thread::sleep(Duration::from_millis((from + random.below(to - from + 1)) as u64));
    };
    while !end.load(Ordering::Relaxed) {
        connection.run("LOCK TABLES test.counters READ")?;
        pause(&mut random, 0, HOLD_MS_MAX);
        connection.run("UNLOCK TABLES")?;
        pause(&mut random, GAP_MS[0], GAP_MS[1]);
    }
    Ok(())
}

/// All sessions at once, with replicas that are held back.
fn run(stage: &ClusterStage, level: Level) -> TestResult<Tally> {
    let until = Instant::now() + Duration::from_secs(chosen("ATHENA_STALE_SECONDS", level.seconds()));
    let end = AtomicBool::new(false);
    let end = &end;
    thread::scope(|scope| {
        let holders: Vec<_> = (0..)
            .zip(&stage.servers.replicas)
            .map(|(n, replica)| scope.spawn(move || hold_back(replica, 77 + n, end)))
            .collect();
        let sessions: Vec<_> =
            (0..SESSIONS).map(|id| scope.spawn(move || session(stage, level, id, until))).collect();
        let tallies: Vec<_> = sessions.into_iter().map(join).collect();
        end.store(true, Ordering::Relaxed);
        for holder in holders {
            join(holder)?;
        }
        let mut all = Tally::default();
        for tally in tallies {
            all.add(tally?);
        }
        Ok(all)
    })
}

fn print(stage: &ClusterStage, level: Level, tally: &mut Tally) {
    let (p50, p99) = (tally.percentile(0.5), tally.percentile(0.99));
    let share = 100.0 * tally.on_replicas as f64 / tally.reads as f64;
    eprintln!(
        "{:?}, {}: {} reads, {share:.1} % on replicas, {} stale; p50 {p50:?}, p99 {p99:?}",
        stage.servers.primary.flavor(),
        level.name(),
        tally.reads,
        tally.stale.len()
    );
    let page = stage.athena.metrics().expect("a page");
    let names = ["athena_routing_decisions_total", "athena_read_catch_ups_total"];
    for line in page.lines().filter(|line| names.iter().any(|name| line.starts_with(name))) {
        if !line.ends_with(" 0") {
            eprintln!("  {line}");
        }
    }
}

#[test]
fn no_read_is_older_than_it_may_be() -> TestResult {
    on_each_cluster("routing_stale", split, |stage| {
        name_servers(stage)?;
        let mut primary = root(&stage.servers.primary)?;
        for sql in ["SET GLOBAL log_bin_trust_function_creators = ON", "USE test"].iter().chain(&SCHEMA) {
            primary.run(sql)?;
        }
        for level in [Level::Off, Level::Session, Level::Global] {
            stage.servers.wait_for_replicas(PATIENCE)?;
            // Calls would keep the link to the primary, and all reads behind them there.
            let config = config(stage, |_| String::new()).set(
                "pool",
                "movable_routines",
                "[\"raise_it\", \"raise_and_fail\", \"raised\"]",
            );
            front(stage, &config.set("routing", "read_your_writes", &format!("{:?}", level.name())))?;
            stage.wait_until_well();
            let mut tally = run(stage, level)?;
            print(stage, level, &mut tally);
            assert!(tally.on_replicas > 0, "no read was on a replica");
            match level {
                // The test finds what it looks for.
                Level::Off => assert!(!tally.stale.is_empty(), "no stale read"),
                _ => assert!(tally.stale.is_empty(), "{}", tally.stale.join("\n")),
            }
        }
        Ok(())
    })
}
