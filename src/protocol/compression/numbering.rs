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
}

impl Numbering {
    pub fn new(role: Role) -> Self {
        Numbering { role, last: 0, sent: Walk::default(), received: Walk::default() }
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
        loop {
            let before = self.received.before;
            let Some((place, header)) = self.received.next(plain, &mut at) else { return };
            let is_command = self.role == Role::Server && begins_command(before, header);
            self.last = if is_command { 0 } else { self.last.wrapping_add(1) };
            if let Some(id) = plain.get_mut(place) {
                *id = self.last;
            }
        }
    }
}

/// Whether a header that a client sent begins a command: an id of 0 that is not a count that wrapped. Only the data of
/// a LOAD DATA LOCAL counts as far as 255 in packets of its own, and it ends in an empty one.
pub(super) fn begins_command(before: Option<Header>, header: Header) -> bool {
    let wrapped = before.is_some_and(|before| before.continues() || (before.seq == 255 && before.len > 0));
    header.seq == 0 && !wrapped
}

/// Goes from header to header.
#[derive(Debug, Default)]
struct Walk {
    head: [u8; HEADER_LEN],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes of payload that have not come yet.
    left: usize,
    /// The last header, as it was sent.
    before: Option<Header>,
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
        (self.left, self.before) = (header.len as usize, Some(header));
        Some((*at - 1, header))
    }
}
