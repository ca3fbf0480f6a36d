//! A relay between Athena and its server that spoils one of the statements by which Athena moves a session's state: the
//! gate has to notice.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::common::TestResult;
use crate::common::wire::command;

/// Before each text of a client of the gate: what comes without it is Athena's own.
pub const MARK: &[u8] = b"/*gate*/ ";

const HEADER_LENGTH: usize = 4;

/// What is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prey {
    /// A `SET` of Athena's own. It becomes a `DO 0` of the same length, which succeeds and sets nothing.
    Set,
    /// A COM_INIT_DB, of Athena's or of a client. It becomes a COM_PING.
    Schema,
}

/// A relay to one port of 127.0.0.1.
#[derive(Debug)]
pub struct Saboteur {
    port: u16,
    deeds: Arc<Deeds>,
}

#[derive(Debug)]
struct Deeds {
    prey: Prey,
    /// So many are let through before.
    spared: usize,
    met: AtomicUsize,
    stopped: AtomicBool,
}

impl Saboteur {
    /// Spoils each one after the first `spared`.
    pub fn start(target: u16, prey: Prey, spared: usize) -> TestResult<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let deeds = Deeds { prey, spared, met: AtomicUsize::new(0), stopped: AtomicBool::new(false) };
        let saboteur = Self { port: listener.local_addr()?.port(), deeds: Arc::new(deeds) };
        let deeds = saboteur.deeds.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if deeds.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let joined = client.and_then(|client| join(client, target, &deeds));
                joined.unwrap_or_else(|error| eprintln!("saboteur before port {target}: {error}"));
            }
        });
        Ok(saboteur)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many were spoilt.
    pub fn spoilt(&self) -> usize {
        self.deeds.met.load(Ordering::Relaxed).saturating_sub(self.deeds.spared)
    }
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        self.deeds.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn join(client: TcpStream, target: u16, deeds: &Arc<Deeds>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut &from_server, &mut &to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let deeds = deeds.clone();
    thread::spawn(move || {
        // A connection that breaks is the clients' affair: they notice.
        let _ = pass(&client, &server, &deeds);
        let _ = server.shutdown(Shutdown::Write);
    });
    Ok(())
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, deeds: &Deeds) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut packets = Vec::new();
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        packets.extend_from_slice(&buffer[..read]);
        let mut start = 0;
        while let [a, b, c, sequence, rest @ ..] = &mut packets[start..] {
            let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
            let Some(payload) = rest.get_mut(..length) else { break };
            if *sequence == 0 && deeds.is_prey(payload) {
                spoil(payload);
            }
            start += HEADER_LENGTH + length;
        }
        // Whole packets: what is sent together stays together.
        to.write_all(&packets[..start])?;
        packets.drain(..start);
    }
}

impl Deeds {
    fn is_prey(&self, payload: &[u8]) -> bool {
        let is = match (self.prey, payload) {
            // A link's own trackers are no session's state.
            (Prey::Set, [command::QUERY, sql @ ..]) => {
                sql.starts_with(b"SET ") && !sql.windows(14).any(|part| part == b"session_track_")
            }
            (Prey::Schema, [command::INIT_DB, ..]) => true,
            _ => false,
        };
        is && self.met.fetch_add(1, Ordering::Relaxed) >= self.spared
    }
}

fn spoil(payload: &mut [u8]) {
    if payload[0] == command::QUERY {
        payload[1..].fill(b' ');
        payload[1..5].copy_from_slice(b"DO 0");
    } else {
        payload[0] = command::PING;
    }
}
