//! A client that says again what another has said, in pieces, and wants to hear the same.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;

use athena_perf::lab::APP_PASSWORD;
use rustls::ClientConfig;

use crate::common::wire::{Plugin, capability, encrypted};
use crate::common::{TestResult, join};
use crate::conversation::{Conversation, WHOLE};
use crate::layers::{Unpacker, Way, Wire, ZSTD_LEVEL};
use crate::relay::write_apart;

/// How much of two answers is shown where they differ.
const SHOWN: usize = 80;

const NATIVE_LENGTH: usize = 20;
const SHA2_LENGTH: usize = 32;
/// The part of the response to a greeting that asks for TLS.
const SSL_REQUEST_LENGTH: usize = 32;

/// Where conversations are held.
#[derive(Debug, Clone)]
pub struct Scene {
    pub port: u16,
    pub tls: Arc<ClientConfig>,
}

struct Replay<'a> {
    wire: Wire,
    /// Once the login is over, where the conversation is compressed.
    compression: Option<Unpacker>,
    /// Out of compression and not read.
    unpacked: Vec<u8>,
    conversation: &'a Conversation,
}

/// Holds the conversation again, cut by this number, and compares the answers.
pub fn replay(scene: &Scene, conversation: &Conversation, cut: usize) -> TestResult {
    let mut replay = Replay::login(scene, conversation, cut)?;
    for (number, turn) in conversation.turns.iter().enumerate() {
        turn.packets.iter().try_for_each(|packet| replay.say(packet))?;
        if turn.proves {
            // Whoever has to prove a password anew gets a salt for it.
            replay.prove(Vec::new(), &turn.answer)?;
            continue;
        }
        replay.expect(&turn.answer, &format!("turn {number}: {}", shown(&turn.packets.concat())))?;
    }
    replay.expect_end()
}

/// Sends all commands without waiting for answers, and compares those. Each segment reaches `overlap` bytes into the next
/// command; 0 makes it a single one.
pub fn replay_at_once(scene: &Scene, conversation: &Conversation, overlap: usize) -> TestResult {
    let mut replay = Replay::login(scene, conversation, WHOLE)?;
    let (mut commands, mut positions) = (Vec::new(), Vec::new());
    if let Some(compression) = &mut replay.compression {
        compression.take_any();
    }
    for packet in conversation.foreseen().flat_map(|turn| &turn.packets) {
        if overlap > 0 && !commands.is_empty() {
            positions.push(commands.len() + overlap);
        }
        commands.extend(replay.packed(packet)?);
    }
    positions.retain(|position| *position < commands.len());
    let answers: Vec<u8> = conversation.foreseen().flat_map(|turn| turn.answer.iter().copied()).collect();
    let writer = replay.wire.socket.try_clone()?;
    thread::scope(|scope| {
        // Neither side waits until the other has read.
        let writing = scope.spawn(|| write_apart(&writer, &commands, positions));
        replay.expect(&answers, "all commands at once")?;
        // The goodbye may still be on its way when everything has been answered.
        join(writing)?;
        replay.expect_end()
    })
}

impl<'a> Replay<'a> {
    /// Logs in as the recorded client did, but with this server's salt.
    fn login(scene: &Scene, conversation: &'a Conversation, cut: usize) -> TestResult<Self> {
        let way = conversation.way;
        let wire = Wire::connect(scene.port, cut)?;
        let mut replay = Self { wire, compression: None, unpacked: Vec::new(), conversation };
        let greeting = replay.read_packet()?;
        let salt = salt_of(&greeting).ok_or("a greeting without a salt")?;
        let mut response = with_proof(&conversation.response, &salt, way)?;
        if !conversation.packed {
            on_way(&mut response, way)?;
        }
        if way.tls {
            let payload = &response[4..4 + SSL_REQUEST_LENGTH];
            replay.say(&[&[32, 0, 0, 1], payload].concat())?;
            replay.wire.encrypt(&scene.tls)?;
            response[3] = 2;
        }
        replay.say(&response)?;
        replay.prove(salt, &conversation.welcome)?;
        replay.compression = way.compression.map(Unpacker::new);
        Ok(replay)
    }

    /// Proves the password until the server says `done`.
    fn prove(&mut self, mut salt: Vec<u8>, done: &[u8]) -> TestResult {
        loop {
            let packet = self.read_packet()?;
            let payload = packet.get(4..).unwrap_or_default();
            let answer = match payload {
                [0, ..] if Some(payload) == done.get(4..) => return Ok(()),
                [1, 3] => continue,
                [1, 4] if self.conversation.way.by_key => vec![2],
                [1, pem @ ..] if pem.starts_with(b"-----BEGIN") => {
                    encrypted(pem, APP_PASSWORD.as_bytes(), &salt)?
                }
                [0xfe, request @ ..] => {
                    let name = request.split(|byte| *byte == 0).next().unwrap_or_default();
                    let fresh = request.get(name.len() + 1..name.len() + 21).ok_or("a salt too short")?;
                    salt = fresh.to_vec();
                    Plugin::of_name(name)?.proof(&salt, APP_PASSWORD.as_bytes())
                }
                _ => return Err(format!("login: {}", shown(&packet)).into()),
            };
            let mut header = u32::try_from(answer.len())?.to_le_bytes();
            header[3] = packet[3].wrapping_add(1);
            self.say(&[&header[..], &answer].concat())?;
        }
    }

    /// Sends a packet.
    fn say(&mut self, packet: &[u8]) -> TestResult {
        let bytes = self.packed(packet)?;
        if let (Some(compression), Some(id)) = (&mut self.compression, bytes.get(3)) {
            compression.answers(*id);
        }
        Ok(self.wire.write_all(&bytes)?)
    }

    /// The bytes that carry a packet.
    fn packed(&self, packet: &[u8]) -> TestResult<Vec<u8>> {
        match &self.compression {
            Some(compression) if !self.conversation.packed => compression.pack(packet),
            _ => Ok(packet.to_vec()),
        }
    }

    fn read_packet(&mut self) -> TestResult<Vec<u8>> {
        let mut packet = vec![0; 4];
        self.read_exact(&mut packet)?;
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
        packet.resize(4 + length, 0);
        self.read_exact(&mut packet[4..])?;
        Ok(packet)
    }

    /// Reads as much as `answer` and compares it.
    fn expect(&mut self, answer: &[u8], what: &str) -> TestResult {
        let mut buffer = vec![0; answer.len().min(64 * 1024)];
        let mut at = 0;
        while at < answer.len() {
            let wanted = buffer.len().min(answer.len() - at);
            let complain =
                |error: io::Error| format!("{what}: after {at} of {} bytes: {error}", answer.len());
            let read = self.read(&mut buffer[..wanted]).map_err(complain)?;
            let (got, expected) = (&buffer[..read], &answer[at..at + read]);
            if read == 0 || got != expected {
                let name = &self.conversation.name;
                let same = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
                let from = |bytes: &[u8]| shown(&bytes[same.saturating_sub(SHOWN / 2)..]);
                return Err(format!(
                    "{name}: {what}: differs at byte {} of {}\n- recorded: {}\n- now:      {}",
                    at + same,
                    answer.len(),
                    from(expected),
                    from(got),
                )
                .into());
            }
            at += read;
        }
        Ok(())
    }

    /// The server says nothing more. A client that did not say goodbye closes its side.
    fn expect_end(&mut self) -> TestResult {
        self.wire.finish()?;
        let mut rest = std::mem::take(&mut self.unpacked);
        self.wire.read_to_end(&mut rest)?;
        if rest.is_empty() { Ok(()) } else { Err(format!("more than was recorded: {}", shown(&rest)).into()) }
    }
}

/// Plain bytes.
impl Read for Replay<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(compression) = &mut self.compression else { return self.wire.read(buffer) };
        while self.unpacked.is_empty() {
            self.unpacked = compression.read(&mut self.wire).map_err(io::Error::other)?;
        }
        let count = buffer.len().min(self.unpacked.len());
        buffer[..count].copy_from_slice(&self.unpacked[..count]);
        self.unpacked.drain(..count);
        Ok(count)
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string()
}

/// The twenty bytes of a greeting's salt.
fn salt_of(greeting: &[u8]) -> Option<Vec<u8>> {
    let version = greeting.get(5..)?.iter().position(|byte| *byte == 0)?;
    let rest = greeting.get(5 + version + 1 + 4..)?;
    Some([rest.get(..8)?, rest.get(8 + 1 + 18..8 + 1 + 18 + 12)?].concat())
}

/// The recorded response with a proof for this salt in the place of the recorded one.
fn with_proof(response: &[u8], salt: &[u8], way: Way) -> TestResult<Vec<u8>> {
    const USER: usize = 4 + 32;
    let user = response[USER..].iter().position(|byte| *byte == 0).ok_or("a name without an end")?;
    let at = USER + user + 1;
    let length = usize::from(response[at]);
    let plugin = match length {
        NATIVE_LENGTH => Plugin::Native,
        SHA2_LENGTH => Plugin::CachingSha2,
        other => return Err(format!("a proof of {other} bytes").into()),
    };
    let mut fresh = response.to_vec();
    let proof = &mut fresh[at + 1..at + 1 + length];
    proof.copy_from_slice(&plugin.proof(salt, APP_PASSWORD.as_bytes()));
    if way.by_key {
        proof[0] ^= 1;
    }
    Ok(fresh)
}

/// Asks for the layers of `way` in the response of a client that did not.
fn on_way(response: &mut Vec<u8>, way: Way) -> TestResult {
    use crate::layers::Algorithm::{Zlib, Zstd};
    let flags = response.get_mut(4..8).ok_or("a short response")?;
    let mut set = u32::from_le_bytes(flags.try_into()?);
    set |= if way.tls { capability::SSL } else { 0 };
    set |= match way.compression {
        None => 0,
        Some(Zlib) => capability::COMPRESS,
        Some(Zstd) => capability::ZSTD,
    };
    flags.copy_from_slice(&set.to_le_bytes());
    if way.compression == Some(Zstd) {
        response.push(ZSTD_LEVEL);
        let length = u32::try_from(response.len() - 4)?.to_le_bytes();
        response[..3].copy_from_slice(&length[..3]);
    }
    Ok(())
}
