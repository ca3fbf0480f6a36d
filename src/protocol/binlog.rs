//! Commands by which a replica has the binary log sent to it.
//!
//! Protocol sections: "COM_BINLOG_DUMP", "COM_BINLOG_DUMP_GTID". Payloads begin with the command byte.

use super::buf::{Malformed, Reader};
use super::command::Command;

/// `BINLOG_DUMP_NON_BLOCK`: the reply ends where the log ends, and does not wait for more.
const NON_BLOCK: u16 = 1;

/// Whether a dump ends by itself. A server also ends one for a program that has no server id.
pub fn is_finite(command: Command, payload: &[u8]) -> Result<bool, Malformed> {
    let mut reader = Reader::new(payload);
    reader.u8()?;
    if command == Command::BinlogDump {
        reader.u32()?; // position
    }
    let flags = reader.u16()?;
    Ok(flags & NON_BLOCK != 0 || reader.u32()? == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_without_an_end_is_known() {
        let finite = |flags: u8, id: u8| {
            let old = is_finite(Command::BinlogDump, &[0x12, 4, 0, 0, 0, flags, 0, id, 0, 0, 0, b'x']);
            let new = is_finite(Command::BinlogDumpGtid, &[0x1E, flags, 0, id, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(old, new);
            old
        };
        assert_eq!(finite(0, 1), Ok(false));
        assert_eq!(finite(2, 1), Ok(false));
        assert_eq!(finite(1, 1), Ok(true));
        assert_eq!(finite(0, 0), Ok(true));
        assert!(is_finite(Command::BinlogDump, &[0x12, 4, 0, 0, 0, 0]).is_err());
    }
}
