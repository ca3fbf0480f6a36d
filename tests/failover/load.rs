//! Clients that write as fast as they are answered, and know what became of each write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::common::TestResult;
use super::common::wire::{Connection, Error, Login, Statement, Value};
use super::ledger::{Ledger, Outcome, Way};

/// How many write at a time.
const CLIENTS: usize = 8;

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// Errors that say that nothing was done: the transaction was rolled back, no server was there to do it.
const NOT_DONE: [u16; 3] = [1213, 1290, 3168];

/// When writes were acknowledged, by client.
type Times = Vec<Vec<Instant>>;

/// The clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    times: Arc<Mutex<Times>>,
    clients: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Clients of an Athena on this port.
    pub fn start(port: u16) -> TestResult<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let times = Arc::new(Mutex::new(vec![Vec::new(); CLIENTS]));
        let clients = (0..CLIENTS).map(|number| {
            let (stop, times) = (stop.clone(), times.clone());
            thread::spawn(move || Client::new(port, number).work(&stop, &times))
        });
        Ok(Self { clients: clients.collect(), stop, times })
    }

    pub fn write_for(&self, time: Duration) {
        self.wait_for_writes_of_all(Instant::now(), super::PATIENCE);
        thread::sleep(time);
    }

    /// Waits until each client has had a write acknowledged since.
    pub fn wait_for_writes_of_all(&self, since: Instant, timeout: Duration) {
        super::eventually("each client writes", timeout, || {
            let times = lock(&self.times);
            let silent: Vec<usize> = (0..CLIENTS)
                .filter(|number| times[*number].last().is_none_or(|last| *last <= since))
                .collect();
            if silent.is_empty() { Ok(()) } else { Err(format!("{silent:?} do not")) }
        });
    }

    /// The last acknowledged write before a moment, and the first one after it.
    pub fn around(&self, moment: Instant) -> (Instant, Instant) {
        let times = lock(&self.times);
        let all = || times.iter().flatten().copied();
        let before = all().filter(|time| *time < moment).max().unwrap_or(moment);
        (before, all().filter(|time| *time >= moment).min().unwrap_or_else(Instant::now))
    }

    /// Ends the clients.
    pub fn finish(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for client in self.clients {
            let ledger = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.0.extend(ledger.0);
        }
        all
    }
}

fn lock(times: &Mutex<Times>) -> std::sync::MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Client {
    port: u16,
    number: usize,
    connection: Option<(Connection, Statement)>,
}

impl Client {
    fn new(port: u16, number: usize) -> Self {
        Self { port, number, connection: None }
    }

    fn work(mut self, stop: &AtomicBool, times: &Mutex<Times>) -> Ledger {
        let mut ledger = Ledger::default();
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let way = [Way::Text, Way::Prepared, Way::Transaction][n as usize % 3];
            let mut wrote = self.write(n, way);
            // One that was surely not done is done again, as a driver would.
            while let Outcome::Failed(_) = wrote
                && !stop.load(Ordering::Relaxed)
            {
                ledger.0.insert((self.number, n + (1 << 40)), (way, wrote));
                thread::sleep(PAUSE);
                wrote = self.write(n, way);
            }
            if wrote == Outcome::Acknowledged {
                lock(times)[self.number].push(Instant::now());
            }
            ledger.0.insert((self.number, n), (way, wrote));
        }
        ledger
    }

    fn write(&mut self, n: u64, way: Way) -> Outcome {
        let client = self.number;
        let Some((connection, insert)) = self.connected() else { return Outcome::Failed(0) };
        let values = format!("VALUES ({client}, {n})");
        let in_written = format!("INSERT INTO test.written (client, n) {values}");
        let (mut committing, result) = (
            true,
            match way {
                Way::Text => connection.run(&in_written),
                Way::Prepared => {
                    connection.execute(insert, &[Value::Int(client as i64), Value::Int(n as i64)]).map(drop)
                }
                Way::Transaction => Ok(()),
            },
        );
        let result = result.and_then(|()| {
            if way != Way::Transaction {
                return Ok(());
            }
            committing = false;
            connection.run("BEGIN")?;
            connection.run(&in_written)?;
            connection.run(&format!("INSERT INTO test.pairs (client, n) {values}"))?;
            committing = true;
            connection.run("COMMIT")
        });
        match result {
            Ok(()) => Outcome::Acknowledged,
            Err(Error::Server { code, .. }) if NOT_DONE.contains(&code) => Outcome::Failed(code),
            Err(Error::Server { code, .. }) if !committing => {
                self.connection = None;
                Outcome::Failed(code)
            }
            Err(error) => {
                self.connection = None;
                // A transaction that was not to be committed yet is gone with its connection.
                match (committing, error) {
                    (false, Error::Io(_)) => Outcome::Failed(1),
                    _ => Outcome::Unknown,
                }
            }
        }
    }

    fn connected(&mut self) -> Option<&mut (Connection, Statement)> {
        if self.connection.is_none() {
            let connection = Connection::login(self.port, &Login::app());
            let prepared = connection.and_then(|mut connection| {
                let insert = connection.prepare("INSERT INTO test.written (client, n) VALUES (?, ?)")?;
                Ok((connection, insert))
            });
            self.connection = prepared.ok();
        }
        self.connection.as_mut()
    }
}
