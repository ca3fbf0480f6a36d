//! The session state blob of an OK packet: what the statement changed in the session.
//!
//! Protocol section: "OK_Packet", Session State Information. The blob is read in place, without allocation.

use bitflags::bitflags;

use super::buf::{Malformed, Reader, WriteExt};

bitflags! {
    /// Kinds of changes that a session can have reported or not, by variables of its own.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct TrackedKinds: u8 {
        /// `session_track_schema`
        const SCHEMA = 1;
        /// `session_track_state_change`
        const STATE_CHANGE = 1 << 1;
        /// `session_track_transaction_info = 'STATE'`, or `'CHARACTERISTICS'`.
        const TRANSACTION_STATE = 1 << 2;
        /// `session_track_transaction_info = 'CHARACTERISTICS'`
        const TRANSACTION_CHARACTERISTICS = 1 << 3;
        /// The state of transactions where one begins or ends.
        const TRANSACTION_BOUNDS = 1 << 4;
    }
}

impl TrackedKinds {
    /// By the values of `session_track_schema`, `session_track_state_change` and `session_track_transaction_info`.
    pub fn of_variables(schema: &[u8], state_change: &[u8], transaction_info: &[u8]) -> TrackedKinds {
        let mut kinds = match transaction_info {
            b"STATE" => Self::TRANSACTION_STATE,
            b"CHARACTERISTICS" => Self::TRANSACTION_STATE | Self::TRANSACTION_CHARACTERISTICS,
            _ => Self::empty(),
        };
        kinds.set(Self::SCHEMA, schema == b"1");
        kinds.set(Self::STATE_CHANGE, state_change == b"1");
        kinds
    }

    /// Whether entries of this kind are reported; those that have no variable here always are.
    fn has(self, kind: u8) -> bool {
        self.contains(match kind {
            SCHEMA => Self::SCHEMA,
            STATE_CHANGE => Self::STATE_CHANGE,
            TRANSACTION_CHARACTERISTICS => Self::TRANSACTION_CHARACTERISTICS,
            TRANSACTION_STATE => Self::TRANSACTION_STATE,
            _ => Self::empty(),
        })
    }

    /// Those that hold for this session state: its characteristics tell of a transaction's begin or end.
    fn of(self, session_state: &[u8]) -> Result<TrackedKinds, Malformed> {
        if !self.contains(Self::TRANSACTION_BOUNDS) || self.contains(Self::TRANSACTION_STATE) {
            return Ok(self);
        }
        let mut entries = Entries(Reader::new(session_state));
        while let Some((kind, _)) = entries.next()? {
            if kind == TRANSACTION_CHARACTERISTICS {
                return Ok(self | Self::TRANSACTION_STATE);
            }
        }
        Ok(self)
    }

    /// Appends what of a session state is of these kinds, each change as it stands there.
    pub fn keep(self, session_state: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let kinds = self.of(session_state)?;
        let mut entries = Entries(Reader::new(session_state));
        while let Some((kind, data)) = entries.next()? {
            if kinds.has(kind) {
                out.push(kind);
                out.put_lenenc_bytes(data);
            }
        }
        Ok(())
    }

    /// Whether [`TrackedKinds::keep`] would leave something out.
    pub fn leaves_out(self, session_state: &[u8]) -> Result<bool, Malformed> {
        let kinds = self.of(session_state)?;
        let mut entries = Entries(Reader::new(session_state));
        while let Some((kind, _)) = entries.next()? {
            if !kinds.has(kind) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The entries of a session state as they stand there.
struct Entries<'a>(Reader<'a>);

impl<'a> Entries<'a> {
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        match self.0.is_empty() {
            true => Ok(None),
            false => Ok(Some((self.0.u8()?, self.0.lenenc_bytes()?))),
        }
    }
}

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

const SYSTEM_VARIABLES: u8 = 0;
const SCHEMA: u8 = 1;
const STATE_CHANGE: u8 = 2;
const GTIDS: u8 = 3;
const TRANSACTION_CHARACTERISTICS: u8 = 4;
const TRANSACTION_STATE: u8 = 5;

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
        STATE_CHANGE => Tracker::StateChange(reader.lenenc_bytes()? == b"1"),
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
    fn kinds_that_were_not_asked_for_are_left_out() {
        let blob =
            b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x02\x02\x011\x03\x04\x00\x02a1\x04\x02\x01;\
                     \x05\x09\x08T_R__sS_\x63\x01x";
        let kept = |kinds: TrackedKinds, blob: &[u8]| {
            let mut out = Vec::new();
            kinds.keep(blob, &mut out).map(|()| out)
        };
        assert_eq!(kept(TrackedKinds::all(), blob).as_deref(), Ok(&blob[..]));
        assert_eq!(TrackedKinds::all().leaves_out(blob), Ok(false));
        let by_default = TrackedKinds::of_variables(b"1", b"0", b"OFF");
        assert_eq!(by_default, TrackedKinds::SCHEMA);
        let left = b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x03\x04\x00\x02a1\x63\x01x";
        assert_eq!(kept(by_default, blob).as_deref(), Ok(&left[..]));
        assert_eq!((by_default.leaves_out(blob), by_default.leaves_out(left)), (Ok(true), Ok(false)));
        let state = TrackedKinds::of_variables(b"0", b"1", b"STATE");
        assert_eq!(
            kept(state, b"\x04\x02\x01;\x05\x02\x01T\x02\x02\x011").as_deref(),
            Ok(&b"\x05\x02\x01T\x02\x02\x011"[..])
        );
        let bounds = by_default | TrackedKinds::TRANSACTION_BOUNDS;
        assert_eq!(kept(bounds, b"\x05\x02\x01T\x04\x02\x01;").as_deref(), Ok(&b"\x05\x02\x01T"[..]));
        assert_eq!(kept(bounds, b"\x05\x02\x01T").as_deref(), Ok(&b""[..]));
        assert!(kept(by_default, b"\x05\x09\x08T").is_err() && by_default.leaves_out(b"\x01\x09").is_err());
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
