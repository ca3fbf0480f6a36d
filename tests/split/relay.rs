//! A relay on a port of its own: it writes down what passes, or cuts what a server sends.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::common::TestResult;
use crate::conversation::{Frames, WHOLE, cuts};

/// Longer than the kernel takes to deliver a segment on the loopback, so that each piece arrives by itself.
pub const APART: Duration = Duration::from_millis(1);

/// Who sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// What passed on one connection, in the order in which it did.
pub type Passed = Vec<(Side, Vec<u8>)>;

/// The number of the cut by which a server's packets are cut.
pub type Cut = Arc<AtomicUsize>;

/// What is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Packets. Those that are not all here yet are kept until they are.
    Packet,
    /// What the server sends at a time: records of TLS, compressed packets.
    Segment,
}

/// What a relay does besides relaying.
#[derive(Debug, Clone)]
enum Work {
    Record(Arc<Mutex<Vec<Passed>>>),
    Cut(Cut, Unit),
}

/// A relay to one port of 127.0.0.1.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    work: Work,
    open: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
}

impl Relay {
    /// Writes down what passes.
    pub fn recording(target: u16) -> TestResult<Self> {
        Self::start(target, Work::Record(Arc::default()))
    }

    /// Cuts what the server sends as `cut` says at the time.
    pub fn cutting(target: u16, cut: &Cut, unit: Unit) -> TestResult<Self> {
        Self::start(target, Work::Cut(cut.clone(), unit))
    }

    fn start(target: u16, work: Work) -> TestResult<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let relay =
            Self { port: listener.local_addr()?.port(), work, open: Arc::default(), stopped: Arc::default() };
        let (work, open, stopped) = (relay.work.clone(), relay.open.clone(), relay.stopped.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let joined = client.and_then(|client| join(client, target, &work, &open));
                joined.unwrap_or_else(|error| eprintln!("relay to port {target}: {error}"));
            }
        });
        Ok(relay)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What has passed, connection by connection.
    pub fn passed(&self) -> Vec<Passed> {
        match &self.work {
            Work::Record(passed) => passed.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Work::Cut(..) => Vec::new(),
        }
    }

    /// Closes all connections.
    pub fn close_all(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.close_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Relays a client to `target` in threads of its own, until one of them closes.
fn join(client: TcpStream, target: u16, work: &Work, open: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        open.lock().unwrap_or_else(PoisonError::into_inner).push(stream.try_clone()?);
    }
    let index = match work {
        Work::Record(passed) => {
            let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
            passed.push(Vec::new());
            passed.len() - 1
        }
        Work::Cut(..) => 0,
    };
    let ends = [(Side::Client, &client, &server), (Side::Server, &server, &client)];
    for (side, from, to) in ends {
        let (from, to, work) = (from.try_clone()?, to.try_clone()?, work.clone());
        thread::spawn(move || {
            // A connection that breaks is the clients' affair: they notice.
            let _ = pass(side, &from, &to, &work, index);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

fn pass(
    side: Side,
    mut from: &TcpStream,
    mut to: &TcpStream,
    work: &Work,
    connection: usize,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut frames = Frames::plain();
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let bytes = &buffer[..read];
        match work {
            Work::Record(passed) => {
                let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
                passed[connection].push((side, bytes.to_vec()));
                drop(passed);
                to.write_all(bytes)?;
            }
            Work::Cut(..) if side == Side::Client => to.write_all(bytes)?,
            Work::Cut(cut, unit) => match (cut.load(Ordering::Relaxed), unit) {
                (WHOLE, _) => to.write_all(bytes)?,
                (number, Unit::Segment) => write_apart(to, bytes, cuts(bytes.len(), number))?,
                (number, Unit::Packet) => frames
                    .push(bytes)
                    .iter()
                    .try_for_each(|packet| write_apart(to, packet, cuts(packet.len(), number)))?,
            },
        }
    }
}

/// Writes `bytes` cut at these positions, which rise, each piece by itself.
pub fn write_apart(mut to: &TcpStream, bytes: &[u8], positions: Vec<usize>) -> io::Result<()> {
    let mut start = 0;
    for position in positions {
        to.write_all(&bytes[start..position])?;
        thread::sleep(APART);
        start = position;
    }
    to.write_all(&bytes[start..])
}
