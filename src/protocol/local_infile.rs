//! The file that a client sends for LOAD DATA LOCAL, followed by its packet headers while its bytes pass through.
//!
//! Protocol section: "LOCAL INFILE Request". The file comes in packets of any size and ends with an empty one; their
//! sequence ids go on from the request's.

use super::packet::{HEADER_LEN, Header, PacketError};

/// Where a file stands on its way from a client to a backend.
#[derive(Debug)]
pub struct LocalFile {
    /// The sequence id that the client's next header must have.
    next_seq: u8,
    /// By how much the client's sequence ids are ahead of the backend's.
    shift: u8,
    /// Bytes left of the current packet.
    left: usize,
    /// The current packet is a full 16 MiB piece: an empty one behind it is its end, not the file's.
    continues: bool,
    /// As much of a header as has come.
    head: [u8; HEADER_LEN],
    head_len: usize,
    over: bool,
}

impl LocalFile {
    /// The client has got the request, and its next packet will have the sequence id `next_seq`.
    pub(super) fn new(next_seq: u8, shift: u8) -> Self {
        Self { next_seq, shift, left: 0, continues: false, head: [0; HEADER_LEN], head_len: 0, over: false }
    }

    /// Athena itself has asked the client, whose next packet will have the sequence id `next_seq`.
    pub fn of_client(next_seq: u8) -> Self {
        Self::new(next_seq, 0)
    }

    /// The empty packet has come.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The sequence id of an answer to what has come.
    pub fn next_seq(&self) -> u8 {
        self.next_seq
    }

    /// Looks through the client's next bytes and writes the backend's sequence ids into them. Returns how many of them
    /// belong to the file; what follows is the client's next command.
    pub fn pass(&mut self, bytes: &mut [u8]) -> Result<usize, PacketError> {
        self.pass_contents(bytes, |_| {})
    }

    /// The same, giving away what is in the packets.
    pub fn pass_contents(
        &mut self,
        bytes: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<usize, PacketError> {
        let mut at = 0;
        while !self.over {
            let passed = self.left.min(bytes.len() - at);
            take(bytes.get(at..at + passed).unwrap_or_default());
            at += passed;
            self.left -= passed;
            let (Some(byte), Some(place)) = (bytes.get_mut(at), self.head.get_mut(self.head_len)) else {
                break;
            };
            *place = *byte;
            at += 1;
            self.head_len += 1;
            if self.head_len == HEADER_LEN {
                // The sequence id is the header's last byte, so it is in this chunk, however the header was cut.
                *byte = byte.wrapping_sub(self.shift);
                self.header(Header::parse(self.head))?;
            }
        }
        Ok(at)
    }

    fn header(&mut self, header: Header) -> Result<(), PacketError> {
        if header.seq != self.next_seq {
            return Err(PacketError::OutOfOrder { expected: self.next_seq, found: header.seq });
        }
        self.next_seq = header.seq.wrapping_add(1);
        self.head_len = 0;
        self.left = header.len as usize;
        self.over = header.len == 0 && !self.continues;
        self.continues = header.continues();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two packets, the empty one, and a command behind it.
    const FILE: [u8; 22] = [3, 0, 0, 255, 1, 2, 3, 1, 0, 0, 0, 9, 0, 0, 0, 1, 1, 0, 0, 0, 14, 0];

    #[test]
    fn the_end_is_found_and_ids_are_mended_wherever_it_is_cut() {
        let mut expected = FILE;
        (expected[3], expected[10], expected[15]) = (253, 254, 255);
        for cut in 0..FILE.len() {
            let mut bytes = FILE;
            let mut file = LocalFile::new(255, 2);
            let (first, second) = bytes.split_at_mut(cut);
            let mut passed = file.pass(first).unwrap();
            passed += file.pass(second).unwrap();
            assert_eq!((passed, file.is_over(), file.next_seq()), (16, true, 2), "cut at {cut}");
            assert_eq!(bytes, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_empty_packet_behind_a_full_one_ends_only_that() {
        let mut file = LocalFile::new(2, 0);
        assert_eq!(file.pass(&mut [0xff, 0xff, 0xff, 2]), Ok(4));
        let mut piece = vec![0; 0xff_ffff];
        assert_eq!(file.pass(&mut piece), Ok(0xff_ffff));
        assert_eq!(file.pass(&mut [0, 0, 0, 3]), Ok(4));
        assert!(!file.is_over());
        assert_eq!(file.pass(&mut [0, 0, 0, 4]), Ok(4));
        assert!(file.is_over());
    }

    #[test]
    fn a_packet_out_of_order_is_refused() {
        let found = LocalFile::new(2, 0).pass(&mut [1, 0, 0, 4, 9]);
        assert_eq!(found, Err(PacketError::OutOfOrder { expected: 2, found: 4 }));
    }
}
