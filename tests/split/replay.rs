//! A client that says again what another has said, in pieces, and wants to hear the same.

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use athena_perf::lab::APP_PASSWORD;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::common::{TestResult, join};
use crate::conversation::{Conversation, Frames, position};
use crate::relay::write_apart;

/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How much of two answers is shown where they differ.
const SHOWN: usize = 80;

const NATIVE_LENGTH: usize = 20;
const SHA2_LENGTH: usize = 32;

/// How the client's packets go out.
#[derive(Debug, Clone, Copy)]
pub enum Pieces {
    /// As they are.
    Whole,
    /// Each cut at its position of this number.
    CutAt(usize),
}

struct Replay<'a> {
    stream: TcpStream,
    conversation: &'a Conversation,
    pieces: Pieces,
}

/// Holds the conversation again and compares the answers.
pub fn replay(port: u16, conversation: &Conversation, pieces: Pieces) -> TestResult {
    let mut replay = Replay::login(port, conversation, pieces)?;
    for (number, turn) in conversation.turns.iter().enumerate() {
        turn.packets.iter().try_for_each(|packet| replay.send(packet))?;
        replay.expect(&turn.answer, &format!("turn {number}: {}", shown(&turn.packets.concat())))?;
    }
    replay.expect_end()
}

/// Sends all commands without waiting for answers, and compares those. Each segment reaches `overlap` bytes into the next
/// command; 0 makes it a single one.
pub fn replay_at_once(port: u16, conversation: &Conversation, overlap: usize) -> TestResult {
    let mut replay = Replay::login(port, conversation, Pieces::Whole)?;
    let (mut commands, mut positions) = (Vec::new(), Vec::new());
    for packet in conversation.turns.iter().flat_map(|turn| &turn.packets) {
        if overlap > 0 && !commands.is_empty() {
            positions.push(commands.len() + overlap);
        }
        commands.extend_from_slice(packet);
    }
    positions.retain(|position| *position < commands.len());
    let writer = replay.stream.try_clone()?;
    thread::scope(|scope| {
        // Neither side waits until the other has read.
        let writing = scope.spawn(|| write_apart(&writer, &commands, positions.into_iter()));
        replay.expect(&conversation.answers(), "all commands at once")?;
        // The goodbye may still be on its way when everything has been answered.
        join(writing)?;
        replay.expect_end()
    })
}

impl<'a> Replay<'a> {
    /// Logs in as the recorded client did, but with this server's salt.
    fn login(port: u16, conversation: &'a Conversation, pieces: Pieces) -> TestResult<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut replay = Self { stream, conversation, pieces };
        let greeting = replay.read_packet()?;
        let salt = salt_of(&greeting).ok_or("a greeting without a salt")?;
        let response = with_proof(&conversation.response, &salt)?;
        replay.send(&response)?;
        loop {
            let packet = replay.read_packet()?;
            match packet.get(4..) {
                Some([0, ..]) if packet == conversation.welcome => return Ok(replay),
                Some([1, 3]) => {}
                Some([0xfe, request @ ..]) => {
                    let name = request.split(|byte| *byte == 0).next().unwrap_or_default();
                    let salt = request.get(name.len() + 1..name.len() + 21).ok_or("a salt too short")?;
                    let proof = if name.starts_with(b"mysql") { native(salt) } else { sha2(salt) };
                    let mut answer = u32::try_from(proof.len())?.to_le_bytes();
                    answer[3] = packet[3].wrapping_add(1);
                    replay.send(&[&answer[..], &proof].concat())?;
                }
                _ => return Err(format!("login: {}", shown(&packet)).into()),
            }
        }
    }

    fn send(&self, packet: &[u8]) -> TestResult {
        let cut = match self.pieces {
            Pieces::Whole => None,
            Pieces::CutAt(number) => position(packet.len(), number),
        };
        Ok(write_apart(&self.stream, packet, cut.into_iter())?)
    }

    fn read_packet(&mut self) -> TestResult<Vec<u8>> {
        let mut packet = vec![0; 4];
        self.stream.read_exact(&mut packet)?;
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
        packet.resize(4 + length, 0);
        self.stream.read_exact(&mut packet[4..])?;
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
            let read = self.stream.read(&mut buffer[..wanted]).map_err(complain)?;
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
        self.stream.shutdown(std::net::Shutdown::Write)?;
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        if rest.is_empty() { Ok(()) } else { Err(format!("more than was recorded: {}", shown(&rest)).into()) }
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
fn with_proof(response: &[u8], salt: &[u8]) -> TestResult<Vec<u8>> {
    const USER: usize = 4 + 32;
    let user = response[USER..].iter().position(|byte| *byte == 0).ok_or("a name without an end")?;
    let at = USER + user + 1;
    let length = usize::from(response[at]);
    let proof = match length {
        NATIVE_LENGTH => native(salt),
        SHA2_LENGTH => sha2(salt),
        other => return Err(format!("a proof of {other} bytes").into()),
    };
    let mut fresh = response.to_vec();
    fresh[at + 1..at + 1 + length].copy_from_slice(&proof);
    debug_assert_eq!(Frames::default().push(&fresh).len(), 1);
    Ok(fresh)
}

/// `mysql_native_password`: SHA1(password) XOR SHA1(salt, SHA1(SHA1(password))).
fn native(salt: &[u8]) -> Vec<u8> {
    let hash = |bytes: &[u8]| digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec();
    let once = hash(APP_PASSWORD.as_bytes());
    let mask = hash(&[salt, &hash(&once)].concat());
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

/// `caching_sha2_password`: SHA256(password) XOR SHA256(SHA256(SHA256(password)), salt).
fn sha2(salt: &[u8]) -> Vec<u8> {
    let hash = |bytes: &[u8]| digest::digest(&SHA256, bytes).as_ref().to_vec();
    let once = hash(APP_PASSWORD.as_bytes());
    let mask = hash(&[&hash(&once), salt].concat());
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}
