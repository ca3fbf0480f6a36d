//! The sequence ids of the plain packets inside compressed ones, which nobody keeps.
//!
//! Inside compression peers look at the ids of compressed packets only. MariaDB's clients number every piece of a large
//! command 0; servers number a reply on from the compressed packets of the command, and begin the next result where
//! those have come to. Whoever is behind Athena without compression would take that for packets out of order, so the
//! ids are made what they would be without it.

use super::super::packet::{HEADER_LEN, Header};
use super::stream::Role;

/// Numbers what is received on one connection.
#[derive(Debug)]
pub struct Numbering {
    role: Role,
    /// The id of the last packet, in whichever direction that went.
    last: u8,
    sent: Walk,
    received: Walk,
    commands: Commands,
}

impl Numbering {
    pub fn new(role: Role) -> Self {
        Numbering {
            role,
            last: 0,
            sent: Walk::default(),
            received: Walk::default(),
            commands: Commands::default(),
        }
    }

    /// What the client sends next is a file.
    pub fn file_begins(&mut self) {
        self.commands.file_begins();
    }

    /// Follows what is sent, cut anywhere. In the role of the client [`Numbering::reply_begins`] tells what matters.
    pub fn send(&mut self, plain: &[u8]) {
        if self.role == Role::Server {
            let mut at = 0;
            while let Some((_, header)) = self.sent.next(plain, &mut at) {
                self.last = header.seq;
            }
        }
    }

    /// What comes now answers a packet with the id `last`.
    pub fn reply_begins(&mut self, last: u8) {
        self.last = last;
    }

    /// Numbers what was received, cut anywhere.
    pub fn receive(&mut self, plain: &mut [u8]) {
        let mut at = 0;
        while let Some((place, header)) = self.received.next(plain, &mut at) {
            let is_command = self.role == Role::Server && self.commands.begins(header);
            self.commands.pass(header);
            self.last = if is_command { 0 } else { self.last.wrapping_add(1) };
            if let Some(id) = plain.get_mut(place) {
                *id = self.last;
            }
        }
    }
}

/// Tells what begins a command in the packets of a client: an id of 0, unless it numbers a further piece of a command or
/// a packet of a file, whose ids may begin at any number and come past 255.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// The packet before, if there was one.
    before: Option<Header>,
    /// A file is under way, to its empty packet.
    file: bool,
}

impl Commands {
    /// The id of the packet before.
    pub fn last(&self) -> u8 {
        self.before.map_or(0, |before| before.seq)
    }

    /// The server has asked for a file: only its end says when commands come again.
    pub fn file_begins(&mut self) {
        self.file = true;
    }

    /// Whether the packet of this header, which is the next, begins a command.
    pub fn begins(&self, header: Header) -> bool {
        header.seq == 0 && !self.file && !self.goes_on()
    }

    /// The next packet is that of this header.
    pub fn pass(&mut self, header: Header) {
        self.file &= header.len > 0 || self.goes_on();
        self.before = Some(header);
    }

    /// The packet before was a full one: the next belongs to it.
    fn goes_on(&self) -> bool {
        self.before.is_some_and(Header::continues)
    }
}

/// Goes from header to header.
#[derive(Debug, Default)]
struct Walk {
    head: [u8; HEADER_LEN],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes of payload that have not come yet.
    left: usize,
}

impl Walk {
    /// Goes on from `at` to the end of the next header: where its id stands, and the header. `None`, with all of
    /// `plain` gone over, if there is no other that ends here.
    fn next(&mut self, plain: &[u8], at: &mut usize) -> Option<(usize, Header)> {
        let skipped = self.left.min(plain.len().saturating_sub(*at));
        *at += skipped;
        self.left -= skipped;
        if self.left > 0 {
            return None;
        }
        for slot in self.head.iter_mut().skip(self.have) {
            *slot = *plain.get(*at)?;
            *at += 1;
            self.have += 1;
        }
        self.have = 0;
        let header = Header::parse(self.head);
        self.left = header.len as usize;
        Some((*at - 1, header))
    }
}
