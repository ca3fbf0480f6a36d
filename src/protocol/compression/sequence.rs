//! The sequence ids of compressed packets.
//!
//! A command begins at 0 and everything else continues from the packet before it, in whichever direction that went.
//! Compressed packets count apart from the plain packets inside them, so where a command begins can be seen only by
//! following the headers of what a client sends.

use std::collections::VecDeque;

use super::super::packet::{HEADER_LEN, Header};
use super::numbering::Commands;
use super::stream::Role;

/// Commands sent whose replies have not begun; more than a client of Athena's ever has under way.
const MAX_PENDING_COMMANDS: usize = 64;

/// Follows the plain packets that a client sends.
#[derive(Debug)]
pub(super) struct Follower {
    stage: Stage,
    commands: Commands,
}

#[derive(Debug)]
enum Stage {
    Header { bytes: [u8; HEADER_LEN], have: usize },
    Payload { left: usize },
}

impl Follower {
    pub fn new() -> Self {
        Follower { stage: Stage::Header { bytes: [0; HEADER_LEN], have: 0 }, commands: Commands::default() }
    }

    /// What is sent next is a file.
    pub fn file_begins(&mut self) {
        self.commands.file_begins();
    }

    /// Between two packets: the next byte is the first of a header.
    pub fn is_between_packets(&self) -> bool {
        matches!(self.stage, Stage::Header { have: 0, .. })
    }

    /// Goes over `plain` up to the next beginning of a command, but past one at its front, and not into a header that
    /// is not there as a whole. Returns the bytes gone over, and whether a command began with the first of them.
    pub fn run(&mut self, plain: &[u8]) -> (usize, bool) {
        let mut at = 0;
        let mut command_at_front = false;
        loop {
            let rest = plain.get(at..).unwrap_or_default();
            if self.is_between_packets() {
                let Some(&header) = rest.first_chunk() else { break };
                if self.commands.begins(Header::parse(header)) {
                    if at > 0 {
                        break;
                    }
                    command_at_front = true;
                }
            }
            let gone = self.step(rest);
            if gone == 0 {
                break;
            }
            at += gone;
        }
        (at, command_at_front)
    }

    /// Goes over all of `plain`.
    pub fn run_over(&mut self, plain: &[u8]) {
        let mut at = 0;
        while let Some(rest) = plain.get(at..)
            && !rest.is_empty()
        {
            at += self.step(rest);
        }
    }

    /// Goes over the next header or payload, or what there is of it; returns the bytes.
    fn step(&mut self, plain: &[u8]) -> usize {
        match &mut self.stage {
            Stage::Header { bytes, have } => {
                let mut gone = 0;
                for (slot, &byte) in bytes.iter_mut().skip(*have).zip(plain) {
                    *slot = byte;
                    gone += 1;
                }
                *have += gone;
                if *have == HEADER_LEN {
                    let header = Header::parse(*bytes);
                    self.commands.pass(header);
                    self.stage = Stage::Payload { left: header.len as usize };
                    self.end_if_complete();
                }
                gone
            }
            Stage::Payload { left } => {
                let gone = plain.len().min(*left);
                *left -= gone;
                self.end_if_complete();
                gone
            }
        }
    }

    fn end_if_complete(&mut self) {
        if matches!(self.stage, Stage::Payload { left: 0 }) {
            self.stage = Stage::Header { bytes: [0; HEADER_LEN], have: 0 };
        }
    }
}

/// Where a reply begins.
#[derive(Debug, Clone, Copy)]
struct Begin {
    /// The id of its first compressed packet.
    id: u8,
    /// The id of the last plain packet before it.
    after: u8,
}

/// Which ids come next, in both directions.
#[derive(Debug)]
pub(super) struct Sequence {
    role: Role,
    /// The id after the last packet in either direction.
    next: u8,
    /// Role of the client: where the replies to commands begin that have not begun yet, in the order of the commands.
    /// A command without a reply leaves one behind, until a later reply begins.
    replies: VecDeque<Begin>,
    /// A reply has begun: the id of the last plain packet that it answers.
    begun: Option<u8>,
    /// The id after the last packet received, if there was one.
    reply: Option<u8>,
    /// What the client sends: to us in the role of the server, by us in the other.
    pub commands: Follower,
}

impl Sequence {
    pub fn new(role: Role) -> Self {
        Sequence {
            role,
            next: 0,
            replies: VecDeque::new(),
            begun: None,
            reply: None,
            commands: Follower::new(),
        }
    }

    /// The id of the next packet to send.
    pub fn send(&mut self, begins_command: bool) -> u8 {
        let id = if begins_command { 0 } else { self.next };
        self.next = id.wrapping_add(1);
        if self.role == Role::Client {
            let after = self.commands.commands.last();
            let begin = Begin { id: self.next, after };
            match self.replies.back_mut() {
                Some(reply) if !begins_command => *reply = begin,
                _ => self.replies.push_back(begin),
            }
            if !begins_command {
                // Data that a reply asked for: what comes next answers it.
                self.reply = None;
            }
            if self.replies.len() > MAX_PENDING_COMMANDS {
                self.replies.pop_front();
            }
        }
        id
    }

    /// Checks the id of a packet that arrived; the error is the id that was expected.
    pub fn receive(&mut self, id: u8) -> Result<(), u8> {
        let in_order = match self.role {
            Role::Server => id == self.next || (id == 0 && self.commands.is_between_packets()),
            Role::Client => self.receive_reply(id),
        };
        if !in_order {
            return Err(self.next);
        }
        self.next = id.wrapping_add(1);
        self.reply = Some(self.next);
        Ok(())
    }

    /// Role of the client: the id of the last plain packet before the reply that has just begun; once.
    pub fn take_begun(&mut self) -> Option<u8> {
        self.begun.take()
    }

    /// A reply under way goes on, or the reply to a later command begins.
    fn receive_reply(&mut self, id: u8) -> bool {
        if self.reply == Some(id) {
            return true;
        }
        let begun = self.replies.iter().position(|begin| begin.id == id);
        if let Some(begun) = begun {
            self.begun = self.replies.drain(..=begun).next_back().map(|begin| begin.after);
        }
        begun.is_some()
    }
}
