//! The session state blob of an OK packet: what the statement changed in the session.
//!
//! Protocol section: "OK_Packet", Session State Information. The blob is read in place, without allocation.

use super::buf::{Malformed, Reader};

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracker<'a> {
    SystemVariable {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// The current default schema, empty for none. MariaDB repeats it unchanged inside transactions.
    Schema(&'a [u8]),
    /// Something changed in the session that has no tracker of its own, such as a user variable.
    StateChange(bool),
    /// MySQL's GTIDs, as text.
    Gtids(&'a [u8]),
    /// The statements that would start the pending or running transaction; empty for none.
    TransactionCharacteristics(&'a [u8]),
    /// Eight letters and underscores, such as `T_R__sS_`.
    TransactionState(&'a [u8]),
    /// A tracker from a newer server.
    Other {
        kind: u8,
        data: &'a [u8],
    },
}

pub(super) const SYSTEM_VARIABLES: u8 = 0;
pub(super) const SCHEMA: u8 = 1;
pub(super) const STATE_CHANGE: u8 = 2;
pub(super) const GTIDS: u8 = 3;
pub(super) const TRANSACTION_CHARACTERISTICS: u8 = 4;
pub(super) const TRANSACTION_STATE: u8 = 5;

/// Iterates over the changes of a blob. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Trackers<'a> {
    blob: Reader<'a>,
    /// Name and value pairs left in the current system variables entry: MariaDB puts several into one.
    variables: Reader<'a>,
}

impl<'a> Trackers<'a> {
    pub fn new(session_state: &'a [u8]) -> Self {
        Trackers { blob: Reader::new(session_state), variables: Reader::new(&[]) }
    }

    fn read(&mut self) -> Result<Option<Tracker<'a>>, Malformed> {
        loop {
            if !self.variables.is_empty() {
                let name = self.variables.lenenc_bytes()?;
                let value = self.variables.lenenc_bytes()?;
                return Ok(Some(Tracker::SystemVariable { name, value }));
            }
            if self.blob.is_empty() {
                return Ok(None);
            }
            let kind = self.blob.u8()?;
            let data = self.blob.lenenc_bytes()?;
            if kind != SYSTEM_VARIABLES {
                return entry(kind, data).map(Some);
            }
            self.variables = Reader::new(data);
        }
    }
}

impl<'a> Iterator for Trackers<'a> {
    type Item = Result<Tracker<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read().transpose();
        if let Some(Err(_)) = item {
            *self = Trackers::new(&[]);
        }
        item
    }
}

/// An entry that holds one change.
fn entry(kind: u8, data: &[u8]) -> Result<Tracker<'_>, Malformed> {
    let mut reader = Reader::new(data);
    Ok(match kind {
        SCHEMA => Tracker::Schema(reader.lenenc_bytes()?),
        // The documentation has a length before it, the servers send the one letter.
        STATE_CHANGE => Tracker::StateChange(matches!(data, b"1" | b"\x011")),
        GTIDS => {
            // The encoding; 0, text, is the only one there is.
            match reader.u8()? {
                0 => Tracker::Gtids(reader.lenenc_bytes()?),
                _ => Tracker::Other { kind, data },
            }
        }
        TRANSACTION_CHARACTERISTICS => Tracker::TransactionCharacteristics(reader.lenenc_bytes()?),
        TRANSACTION_STATE => Tracker::TransactionState(reader.lenenc_bytes()?),
        _ => Tracker::Other { kind, data },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(blob: &[u8]) -> Vec<Result<Tracker<'_>, Malformed>> {
        Trackers::new(blob).collect()
    }

    #[test]
    fn every_kind_of_change_is_read() {
        let blob =
            b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x02\x02\x011\x03\x04\x00\x02a1\x04\x02\x01;\
                     \x05\x09\x08T_R__sS_\x63\x01x";
        let expected = [
            Tracker::SystemVariable { name: b"autocommit", value: b"OFF" },
            Tracker::Schema(b"test"),
            Tracker::StateChange(true),
            Tracker::Gtids(b"a1"),
            Tracker::TransactionCharacteristics(b";"),
            Tracker::TransactionState(b"T_R__sS_"),
            Tracker::Other { kind: 0x63, data: b"x" },
        ];
        assert_eq!(all(blob), expected.map(Ok));
    }

    #[test]
    fn one_entry_may_hold_several_variables() {
        let blob = b"\x00\x08\x01a\x011\x01b\x012\x01\x01\x00";
        let expected = [
            Tracker::SystemVariable { name: b"a", value: b"1" },
            Tracker::SystemVariable { name: b"b", value: b"2" },
            Tracker::Schema(b""),
        ];
        assert_eq!(all(blob), expected.map(Ok));
    }

    #[test]
    fn a_broken_blob_ends_in_one_error() {
        let blob = b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test";
        for cut in 1..blob.len() {
            let items = all(&blob[..cut]);
            let errors = items.iter().filter(|item| item.is_err()).count();
            let whole_first_entry = cut == 17;
            assert_eq!(errors, usize::from(!whole_first_entry), "cut at {cut}");
            assert!(items.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
