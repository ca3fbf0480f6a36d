//! The breaker of a backend: fast errors while it is gone, everybody served as soon as it is back, and no error of anybody's
//! own opens it.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use athena_perf::lab::{Lab, ServerOptions};
use athena_perf::proxy::{AthenaConfig, sum_metric};

use crate::common::stage::{Stage, on_each_server};
use crate::common::wire::{Connection, Login};
use crate::common::{PATIENCE, TestResult, eventually, join, timed};

const NET_READ_INTERRUPTED: u16 = 1159;
const NOT_AVAILABLE: u16 = 3168;
const CLIENTS: usize = 8;
/// `[pool] connect_timeout_ms`: what an answer must not take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// `[pool] checkout_timeout_ms` by default.
const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(5);
/// What it may take on a busy machine. The longest that Athena waits for a link to come back is 250 ms.
const AT_ONCE: Duration = Duration::from_millis(900);
/// `[circuit] breaker_open_max_ms` by default, and some time for a machine that is busy.
const BACK_BY: Duration = Duration::from_millis(4000);

#[test]
fn a_server_that_dies_under_load() -> TestResult {
    on_each_server("breaker_load", configure, |stage| {
        let over = AtomicBool::new(false);
        let killed = Instant::now() + Duration::from_secs(1);
        let answers = thread::scope(|scope| -> TestResult<Vec<Answer>> {
            let load: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| answers(stage, &over))).collect();
            thread::sleep(killed.saturating_duration_since(Instant::now()));
            stage.server.kill();
            thread::sleep(Duration::from_secs(3));
            stage.server.start()?;
            let start = Instant::now();
            eventually("clients get through", PATIENCE, || {
                stage.assert_serves().map_err(|error| error.to_string())
            });
            assert!(start.elapsed() < BACK_BY, "took {:?}", start.elapsed());
            thread::sleep(BACK_BY);
            over.store(true, Ordering::Relaxed);
            Ok(load.into_iter().map(join).collect::<TestResult<Vec<_>>>()?.concat())
        })?;
        let opened = |answer: &&Answer| answer.text.contains("a connection is tried");
        assert!(answers.iter().filter(opened).count() > CLIENTS, "{} answers", answers.len());
        let address = format!("127.0.0.1:{}", stage.server.port());
        for answer in answers.iter().filter(opened) {
            assert!(answer.took < AT_ONCE, "{answer:?}");
            assert!(answer.text.contains(&address), "{answer:?}");
            assert!(
                answer.text.contains("breaker_open_ms") && answer.code == Some(NOT_AVAILABLE),
                "{answer:?}"
            );
        }
        // Everybody is served at the end, on connections that never broke.
        assert_eq!(answers.iter().filter(|answer| answer.is_last && answer.text == "1").count(), CLIENTS);
        assert_opened(stage, |opened| opened >= 1.0)?;
        assert!(stage.athena.metric("athena_breaker_rejected_total", &[])? >= 1.0);
        assert_eq!(states(stage)?, [1.0, 0.0, 0.0]);
        let log = stage.athena.log()?;
        assert!(log.contains("breaker open") && log.contains("breaker closed"), "the log says so");
        Ok(())
    })
}

/// What a client was told.
#[derive(Debug, Clone)]
struct Answer {
    text: String,
    code: Option<u16>,
    took: Duration,
    is_last: bool,
}

fn answers(stage: &Stage, over: &AtomicBool) -> TestResult<Vec<Answer>> {
    let mut client = stage.connect()?;
    let mut answers = Vec::new();
    loop {
        let is_last = over.load(Ordering::Relaxed);
        let (result, took) = timed(|| client.scalar("SELECT 1"));
        let (text, code) = match result {
            Ok(text) => (text, None),
            Err(error) if error.code().is_some() => (error.to_string(), error.code()),
            Err(error) => return Err(error.into()),
        };
        answers.push(Answer { text, code, took, is_last });
        if is_last {
            return Ok(answers);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Here no connection is refused: each attempt takes as long as it may.
#[test]
fn a_server_that_hangs() -> TestResult {
    let limited = |config| {
        configure(config).set("pool", "query_timeout_ms", "500").set("pool", "query_kill_timeout_ms", "300")
    };
    on_each_server("breaker_hang", limited, |stage| {
        let mut clients = (0..CLIENTS).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
        stage.server.pause();
        let first = ask_all(&mut clients);
        // The first attempt that fails answers all who wait, others may be under way: some are asked once more before it opens.
        eventually("the breaker opens", PATIENCE, || {
            match stage.athena.metric("athena_breaker_opened_total", &[]) {
                Ok(opened) if opened >= 1.0 => Ok(()),
                _ => Err(format!("{:?}", ask_all(&mut clients))),
            }
        });
        let then: Vec<_> = (0..10).flat_map(|_| ask_all(&mut clients)).collect();
        stage.server.resume();
        for (result, took) in &first {
            // One may have had a link that was idle, and then the others wait for that.
            let code = result.as_ref().err().and_then(|(code, _)| *code);
            assert!(matches!(code, Some(NOT_AVAILABLE | NET_READ_INTERRUPTED)), "{result:?}");
            assert!(*took < CHECKOUT_TIMEOUT + AT_ONCE, "took {took:?}");
        }
        for (result, took) in &then {
            let Err((code, text)) = result else { panic!("{result:?}") };
            assert!(*code == Some(NOT_AVAILABLE) && text.contains("a connection is tried"), "{text}");
            assert!(*took < AT_ONCE, "{took:?} of an answer while the breaker is open");
        }
        let start = Instant::now();
        for client in &mut clients {
            eventually("the next statement works", PATIENCE, || {
                client.scalar("SELECT 1").map_err(|error| error.to_string())
            });
        }
        // An attempt may be under way that began before.
        assert!(start.elapsed() < CONNECT_TIMEOUT + BACK_BY, "took {:?}", start.elapsed());
        Ok(())
    })
}

type Outcome = Result<String, (Option<u16>, String)>;

fn ask_all(clients: &mut [Connection]) -> Vec<(Outcome, Duration)> {
    thread::scope(|scope| {
        let ask = |client: &mut Connection| {
            let answer = client.scalar("SELECT 1");
            answer.map_err(|error| (error.code(), error.to_string()))
        };
        let asked: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(move || timed(|| ask(client)))).collect();
        asked.into_iter().map(join).collect()
    })
}

#[test]
fn errors_of_statements_and_logins_never_open_it() -> TestResult {
    let wrong = |config| {
        configure(config).text(
            "[[users]]\nname = \"app\"\npassword = \"app\"\n[[users]]\nname = \"lost\"\npassword = \"p\"\n\
             backend_user = \"nobody_there\"\nbackend_password = \"\"\n",
        )
    };
    on_each_server("breaker_errors", wrong, |stage| {
        let mut client = stage.login(&Login::new("app", "app"))?;
        for number in 0..1000 {
            let sql = match number % 3 {
                0 => "SELECT nonsense",
                1 => "SELECT * FROM nowhere.nothing",
                _ => "SIGNAL SQLSTATE '45000'",
            };
            let error = client.run(sql).expect_err("an error of SQL");
            assert_ne!(error.code(), Some(NOT_AVAILABLE), "{error}");
        }
        for _ in 0..30 {
            // The account of its links is unknown, the schema is none: the server refuses the link each time.
            let error = stage.login(&Login::new("lost", "p")).and_then(|mut client| client.run("SELECT 1"));
            assert!(error.expect_err("the server refuses").code().is_some());
            let error = stage.login(&Login::new("app", "app").database("nowhere"));
            assert!(error.expect_err("the server refuses").code().is_some());
        }
        assert_opened(stage, |opened| opened < 0.5)
    })
}

/// Each time all connections of the application are ended that have a statement.
#[test]
fn who_ends_connections_of_a_server_does_not_open_it() -> TestResult {
    on_each_server("breaker_kill", configure, |stage| {
        let mut clients = (0..CLIENTS).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..5 {
            thread::scope(|scope| -> TestResult {
                let asleep: Vec<_> =
                    clients.iter_mut().map(|client| scope.spawn(|| client.run("SELECT SLEEP(30)"))).collect();
                end_sleepers(stage)?;
                for client in asleep {
                    let error = join(client).err().and_then(|error| error.code());
                    assert_ne!(error, Some(NOT_AVAILABLE));
                }
                Ok(())
            })?;
            for client in &mut clients {
                assert_eq!(client.scalar("SELECT 'goes on'")?, "goes on");
            }
        }
        assert_opened(stage, |opened| opened < 0.5)
    })
}

/// Ends the connections of all clients, once all of them sleep.
fn end_sleepers(stage: &Stage) -> TestResult {
    let sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(30)%'";
    let ids = eventually("all sleep", PATIENCE, || {
        let ids = stage.server.sql(sql).map_err(|error| error.to_string())?;
        if ids.lines().count() == CLIENTS { Ok(ids) } else { Err(ids) }
    });
    let kills: Vec<String> = ids.lines().map(|id| format!("KILL {id};")).collect();
    stage.server.sql(&kills.join(" ")).map(drop)?;
    Ok(())
}

#[test]
fn links_that_work_are_used_while_it_is_open() -> TestResult {
    let lab = Lab::new("breaker_links")?;
    let server = lab.server(ServerOptions::default())?;
    let mut door = Door::open(server.port())?;
    let port = door.port.to_string();
    // With an opening that lasts, so that there is time to look.
    let stage = Stage::start_on(lab, server, |config| {
        configure(config).set("backend", "port", &port).set("circuit", "breaker_open_ms", "3000").set(
            "circuit",
            "breaker_open_max_ms",
            "3000",
        )
    })?;
    let (mut first, mut second) = (stage.connect()?, stage.connect()?);
    let mut holders = Vec::new();
    first.run("BEGIN")?;
    eventually("no link is idle", PATIENCE, || {
        let page = stage.athena.metrics().map_err(|error| error.to_string())?;
        let links = |state| sum_metric(&page, "athena_links", &[("state", state)]);
        let (idle, bound) = (links("idle"), links("bound"));
        let under_way = links("connecting") + links("busy");
        if idle + under_way < 0.5 && bound > 0.5 {
            return Ok(());
        }
        if idle < 0.5 {
            return Err(format!("{under_way} under way"));
        }
        let mut holder = stage.connect().map_err(|error| error.to_string())?;
        holder.run("BEGIN").map_err(|error| error.to_string())?;
        holders.push(holder);
        Err(format!("{idle} idle, {bound} bound"))
    });
    door.close();
    eventually("it is open", PATIENCE, || match second.scalar("SELECT 1") {
        Err(error) if error.to_string().contains("a connection is tried in") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    first.run("COMMIT")?;
    for _ in 0..50 {
        assert_eq!(second.scalar("SELECT 'works'")?, "works");
        assert_eq!(first.scalar("SELECT 'works'")?, "works");
    }
    assert!(states(&stage)?[0] < 0.5, "that these work closes nothing");
    door.reopen()?;
    first.run("BEGIN")?;
    eventually("new links are opened", PATIENCE, || {
        second.scalar("SELECT 1").map_err(|error| error.to_string())
    });
    assert_eq!(states(&stage)?, [1.0, 0.0, 0.0]);
    Ok(())
}

/// Lets connections through to a server, and can be shut for new ones.
struct Door {
    port: u16,
    server: u16,
    shut: Arc<AtomicBool>,
    keeper: Option<thread::JoinHandle<()>>,
}

impl Door {
    fn open(server: u16) -> TestResult<Self> {
        let mut door = Self { port: 0, server, shut: Arc::default(), keeper: None };
        door.reopen()?;
        Ok(door)
    }

    fn reopen(&mut self) -> TestResult {
        let listener = TcpListener::bind(("127.0.0.1", self.port))?;
        self.port = listener.local_addr()?.port();
        self.shut = Arc::default();
        let (shut, server) = (self.shut.clone(), self.server);
        self.keeper = Some(thread::spawn(move || {
            for client in listener.incoming() {
                if shut.load(Ordering::Relaxed) {
                    return;
                }
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) {
                    let _ = through(&client, &server);
                }
            }
        }));
        Ok(())
    }

    /// From now on connections are refused; those that are there go on.
    fn close(&mut self) {
        self.shut.store(true, Ordering::Relaxed);
        // It waits for one more.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(keeper) = self.keeper.take() {
            keeper.join().expect("the door");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.close();
        }
    }
}

fn through(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}

fn configure(config: AthenaConfig) -> AthenaConfig {
    config.set("runtime", "cpus", "\"0\"").set(
        "pool",
        "connect_timeout_ms",
        &CONNECT_TIMEOUT.as_millis().to_string(),
    )
}

/// How many breakers are closed, open and half open.
fn states(stage: &Stage) -> TestResult<[f64; 3]> {
    let page = stage.athena.metrics()?;
    Ok(["closed", "open", "half_open"]
        .map(|state| sum_metric(&page, "athena_breaker_state", &[("state", state)])))
}

fn assert_opened(stage: &Stage, expected: impl Fn(f64) -> bool) -> TestResult {
    let opened = stage.athena.metric("athena_breaker_opened_total", &[])?;
    assert!(expected(opened), "it opened {opened} times");
    Ok(())
}
