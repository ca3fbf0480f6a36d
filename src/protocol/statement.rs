//! Prepared statements: the reply to PREPARE, and the commands that name a statement by its id.
//!
//! Protocol sections: "COM_STMT_PREPARE", "COM_STMT_EXECUTE", MariaDB's "COM_STMT_BULK_EXECUTE",
//! "COM_STMT_SEND_LONG_DATA", "COM_STMT_CLOSE". Payloads
//! begin with the command byte. Where `QUERY_ATTRIBUTES` is agreed on (`attributes` here), EXECUTE has the number of its
//! values, of which those beyond the statement's parameters are attributes, and each type has a name behind it.

use std::ops::Range;

use super::buf::{Malformed, Reader, WriteExt};
use super::command::Command;

/// Where the statement id stands in the payload of EXECUTE, FETCH, SEND_LONG_DATA, CLOSE and RESET.
const STATEMENT_ID: Range<usize> = 1..5;

/// Where the flags of a bulk execution stand.
const BULK_FLAGS: Range<usize> = 5..7;

/// The first packet of a successful reply to COM_STMT_PREPARE; the definitions of parameters and columns follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareOk {
    pub statement_id: u32, // int<4>
    pub columns: u16,      // int<2>
    pub params: u16,       // int<2>, then a reserved byte
    pub warnings: u16,     // int<2>
}

impl PrepareOk {
    pub const HEADER: u8 = 0x00;

    pub fn parse(payload: &[u8]) -> Result<PrepareOk, Malformed> {
        let mut reader = Reader::new(payload);
        match reader.u8()? {
            Self::HEADER => {}
            found => return Err(Malformed::PacketType { packet: "COM_STMT_PREPARE_OK", found }),
        }
        let statement_id = reader.u32()?;
        let columns = reader.u16()?;
        let params = reader.u16()?;
        reader.bytes(1)?;
        Ok(PrepareOk { statement_id, columns, params, warnings: reader.u16()? })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12);
        out.push(Self::HEADER);
        out.put_u32(self.statement_id);
        out.put_u16(self.columns);
        out.put_u16(self.params);
        out.push(0);
        out.put_u16(self.warnings);
        out
    }
}

/// The statement id in the payload of EXECUTE, FETCH, SEND_LONG_DATA, CLOSE or RESET.
pub fn statement_id(payload: &[u8]) -> Result<u32, Malformed> {
    let mut reader = Reader::new(payload);
    reader.u8()?;
    reader.u32()
}

/// Writes another statement id into the payload of such a command.
pub fn set_statement_id(payload: &mut [u8], id: u32) -> Result<(), Malformed> {
    let missing = STATEMENT_ID.end.saturating_sub(payload.len()) as u64;
    let place = payload.get_mut(STATEMENT_ID).ok_or(Malformed::Short { missing })?;
    place.copy_from_slice(&id.to_le_bytes());
    Ok(())
}

/// By this id a MariaDB knows the statement that was prepared last on the connection.
pub const LAST_PREPARED: u32 = u32::MAX;

/// COM_STMT_EXECUTE or COM_STMT_BULK_EXECUTE up to the values of its parameters. Ranges are offsets into the payload.
///
/// A bulk execution has several rows of values, with the NULLs among them, and its flags say whether types come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecuteHeader {
    pub statement_id: u32,    // int<4>
    pub flags: u8,            // int<1>, int<2> in a bulk execution
    pub iteration_count: u32, // int<4>
    /// One bit for each parameter that is NULL; empty without parameters.
    pub null_bitmap: Range<usize>, // string<(params + 7) / 8>
    /// Whether the types are in this packet. If not, those of the last EXECUTE on the same connection hold.
    pub new_params_bound: bool, // int<1>
    /// Two bytes for each value, each with a name if there are attributes; empty unless `new_params_bound`.
    pub types: Range<usize>,
    /// Where the values begin.
    pub values: usize,
    /// Values in the packet: the statement's parameters, and attributes.
    pub(super) count: usize,
    pub(super) params: usize,
    pub(super) named: bool,
    bulk: bool,
}

impl ExecuteHeader {
    /// `CURSOR_TYPE_READ_ONLY`, `_FOR_UPDATE` and `_SCROLLABLE`.
    pub(super) const CURSOR_TYPES: u8 = 0x07;
    /// Behind the command and the statement's id.
    pub(super) const FLAGS_AT: usize = 5;
    /// `PARAMETER_COUNT_AVAILABLE`: the number of values is there though the statement may have no parameters.
    pub(super) const COUNT_AVAILABLE: u8 = 0x08;
    /// `STMT_BULK_FLAG_CLIENT_SEND_TYPES`.
    pub(super) const BULK_TYPES: u8 = 0x80;
    /// `STMT_BULK_FLAG_SEND_UNIT_RESULTS`.
    const UNIT_RESULTS: u8 = 0x40;

    /// `num_params` is what PREPARE told of the statement.
    pub fn parse(payload: &[u8], num_params: u16, attributes: bool) -> Result<ExecuteHeader, Malformed> {
        let mut reader = Reader::new(payload);
        let offset = |reader: &Reader<'_>| payload.len() - reader.remaining();
        let bulk = reader.u8()? == Command::StmtBulkExecute as u8;
        let statement_id = reader.u32()?;
        if bulk {
            return Self::parse_bulk(statement_id, reader, usize::from(num_params));
        }
        let flags = reader.u8()?;
        let iteration_count = reader.u32()?;
        let params = usize::from(num_params);
        let count = match attributes && (params > 0 || flags & Self::COUNT_AVAILABLE != 0) {
            true => usize::try_from(reader.lenenc_int()?).unwrap_or(usize::MAX),
            false => params,
        };
        let start = offset(&reader);
        let mut header = ExecuteHeader {
            statement_id,
            flags,
            iteration_count,
            null_bitmap: start..start,
            new_params_bound: false,
            types: start..start,
            values: start,
            count,
            params,
            named: attributes,
            bulk: false,
        };
        if count == 0 {
            return Ok(header);
        }
        reader.bytes(count.div_ceil(8))?;
        header.null_bitmap.end = offset(&reader);
        header.new_params_bound = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Field("new_params_bound_flag")),
        };
        header.types = offset(&reader)..offset(&reader);
        if header.new_params_bound {
            for _ in 0..count {
                reader.u16()?;
                if attributes {
                    reader.lenenc_bytes()?;
                }
            }
            header.types.end = offset(&reader);
        }
        header.values = header.types.end;
        Ok(header)
    }

    /// What follows the statement id of a bulk execution.
    fn parse_bulk(
        statement_id: u32,
        mut reader: Reader<'_>,
        params: usize,
    ) -> Result<ExecuteHeader, Malformed> {
        let [flags, _] = reader.array()?;
        let start = BULK_FLAGS.end;
        let new_params_bound = flags & Self::BULK_TYPES != 0;
        let types_len = if new_params_bound { 2 * params } else { 0 };
        reader.bytes(types_len)?;
        Ok(ExecuteHeader {
            statement_id,
            flags,
            iteration_count: 1,
            null_bitmap: start..start,
            new_params_bound,
            types: start..start + types_len,
            values: start + types_len,
            count: params,
            params,
            named: false,
            bulk: true,
        })
    }

    /// The types of the statement's own parameters, two bytes each; none unless `new_params_bound`.
    pub fn param_types(&self, payload: &[u8]) -> impl Iterator<Item = u8> {
        let mut reader = Reader::new(payload.get(self.types.clone()).unwrap_or_default());
        let types = (0..self.params).map_while(move |_| {
            let [a, b] = reader.array().ok()?;
            if self.named {
                reader.lenenc_bytes().ok()?;
            }
            Some([a, b])
        });
        types.flatten()
    }

    /// Whether the client asks for a cursor, to be read with COM_STMT_FETCH.
    pub fn opens_cursor(&self) -> bool {
        !self.bulk && self.flags & Self::CURSOR_TYPES != 0
    }

    /// Whether it has several rows of values.
    pub fn is_bulk(&self) -> bool {
        self.bulk
    }

    /// Whether a bulk execution is to be answered with a row for each row.
    pub fn wants_unit_results(&self) -> bool {
        self.bulk && self.flags & Self::UNIT_RESULTS != 0
    }

    /// Takes that out of the payload, so that all rows come at once: servers, too, decide so for some statements.
    pub fn decline_cursor(&mut self, payload: &mut [u8]) {
        if let (true, Some(flags)) = (self.opens_cursor(), payload.get_mut(Self::FLAGS_AT)) {
            self.flags &= !Self::CURSOR_TYPES;
            *flags = self.flags;
        }
    }
}

/// The payload of an EXECUTE with `types` (two bytes for each parameter) put in: what a server needs that has not seen
/// them yet. If the payload has types already, they are replaced.
pub fn insert_types(
    payload: &[u8],
    num_params: u16,
    types: &[u8],
    attributes: bool,
) -> Result<Vec<u8>, Malformed> {
    let header = ExecuteHeader::parse(payload, num_params, attributes)?;
    if types.len() != 2 * usize::from(num_params) || header.count != usize::from(num_params) {
        return Err(Malformed::Field("parameter types"));
    }
    if num_params == 0 {
        return Ok(payload.to_vec());
    }
    let (head, values) = (&payload[..header.null_bitmap.end], &payload[header.values..]);
    if header.bulk {
        let mut out = [head, types, values].concat();
        out[BULK_FLAGS.start] |= ExecuteHeader::BULK_TYPES;
        return Ok(out);
    }
    let mut out = Vec::with_capacity(head.len() + 1 + 2 * types.len() + values.len());
    out.extend_from_slice(head);
    out.push(1);
    for kind in types.chunks(2) {
        out.extend_from_slice(kind);
        if attributes {
            out.push(0); // A parameter needs no name.
        }
    }
    out.extend_from_slice(values);
    Ok(out)
}

/// COM_STMT_SEND_LONG_DATA: a piece of one parameter's value. Has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLongData<'a> {
    pub statement_id: u32, // int<4>
    pub param: u16,        // int<2>
    pub data: &'a [u8],    // string<EOF>
}

impl<'a> SendLongData<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<SendLongData<'a>, Malformed> {
        let mut reader = Reader::new(payload);
        reader.u8()?;
        Ok(SendLongData { statement_id: reader.u32()?, param: reader.u16()?, data: reader.rest() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's EXECUTE of statement 7 with (NULL, int 5), as libmariadb sends it.
    const EXECUTE: &[u8] = b"\x17\x07\0\0\0\0\x01\0\0\0\x01\x01\x06\0\x03\0\x05\0\0\0";

    #[test]
    fn prepare_ok_round_trips() {
        let wire = b"\0\x02\x01\0\0\x03\0\x02\0\0\x05\0";
        let packet = PrepareOk::parse(wire).unwrap();
        assert_eq!(packet, PrepareOk { statement_id: 0x102, columns: 3, params: 2, warnings: 5 });
        assert_eq!(packet.encode(), wire);
        for cut in 0..wire.len() {
            assert!(PrepareOk::parse(&wire[..cut]).is_err());
        }
    }

    #[test]
    fn execute_header_finds_its_parts() {
        let header = ExecuteHeader::parse(EXECUTE, 2, false).unwrap();
        assert_eq!((header.statement_id, header.flags, header.iteration_count), (7, 0, 1));
        assert_eq!(EXECUTE[header.null_bitmap.clone()], [1]);
        assert_eq!(EXECUTE[header.types.clone()], [6, 0, 3, 0]);
        assert_eq!(EXECUTE[header.values..], [5, 0, 0, 0]);
        assert!(header.new_params_bound);
        assert!(!header.opens_cursor());
        for cut in 0..header.values {
            assert!(ExecuteHeader::parse(&EXECUTE[..cut], 2, false).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn execute_without_parameters_ends_after_the_count() {
        let header = ExecuteHeader::parse(b"\x17\x07\0\0\0\x01\x01\0\0\0", 0, false).unwrap();
        assert!(header.opens_cursor());
        assert!(header.null_bitmap.is_empty() && header.types.is_empty());
        assert_eq!(header.values, 10);
    }

    #[test]
    fn types_are_put_in_and_replaced() {
        let unbound = b"\x17\x07\0\0\0\0\x01\0\0\0\x01\0\x05\0\0\0";
        assert_eq!(insert_types(unbound, 2, &[6, 0, 3, 0], false).unwrap(), EXECUTE);
        assert_eq!(insert_types(EXECUTE, 2, &[6, 0, 3, 0], false).unwrap(), EXECUTE);
        assert_eq!(insert_types(unbound, 2, &[6, 0, 3], false), Err(Malformed::Field("parameter types")));
        let bare = b"\x17\x07\0\0\0\0\x01\0\0\0";
        assert_eq!(insert_types(bare, 0, &[], false).unwrap(), bare);
    }

    #[test]
    fn attributes_stand_behind_the_parameters() {
        // EXECUTE of a statement with one parameter: ('z'), and an attribute a = 'att'.
        let both = b"\x17\x07\0\0\0\x08\x01\0\0\0\x02\0\x01\xfd\0\0\xfe\0\x01a\x01z\x03att";
        let header = ExecuteHeader::parse(both, 1, true).unwrap();
        assert_eq!(header.param_types(both).collect::<Vec<_>>(), [0xfd, 0]);
        assert_eq!(both[header.values..], *b"\x01z\x03att");
        assert!(!header.opens_cursor());
        for cut in 0..header.values {
            assert!(ExecuteHeader::parse(&both[..cut], 1, true).is_err(), "cut at {cut}");
        }
        let bare = b"\x17\x07\0\0\0\x08\x01\0\0\0\x01\0\0\x01z";
        let typed = b"\x17\x07\0\0\0\x08\x01\0\0\0\x01\0\x01\xfd\0\0\x01z";
        assert_eq!(insert_types(bare, 1, &[0xfd, 0], true).unwrap(), typed);
        // The count stands there with parameters, and without them if the flag says so.
        assert_eq!(ExecuteHeader::parse(b"\x17\x07\0\0\0\0\x01\0\0\0", 0, true).unwrap().values, 10);
        assert_eq!(ExecuteHeader::parse(b"\x17\x07\0\0\0\x08\x01\0\0\0\0", 0, true).unwrap().values, 11);
        let huge = b"\x17\x07\0\0\0\x08\x01\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff";
        assert!(ExecuteHeader::parse(huge, 1, true).is_err());
    }

    #[test]
    fn a_bulk_execution_has_its_types_in_front_of_the_rows() {
        // Statement 7 with the rows (1), (NULL).
        let typed = b"\xfa\x07\0\0\0\x80\0\x03\0\0\x01\0\0\0\x01";
        let header = ExecuteHeader::parse(typed, 1, false).unwrap();
        assert_eq!((header.statement_id, header.new_params_bound, header.opens_cursor()), (7, true, false));
        assert_eq!(header.param_types(typed).collect::<Vec<_>>(), [3, 0]);
        assert_eq!(typed[header.values..], *b"\0\x01\0\0\0\x01");
        for cut in 0..header.values {
            assert!(ExecuteHeader::parse(&typed[..cut], 1, false).is_err(), "cut at {cut}");
        }
        let bare = b"\xfa\x07\0\0\0\0\0\0\x01\0\0\0\x01";
        assert_eq!(insert_types(bare, 1, &[3, 0], false).unwrap(), typed);
        assert_eq!(insert_types(typed, 1, &[3, 0], false).unwrap(), typed);
        assert!(insert_types(bare, 1, &[3], false).is_err());
    }

    #[test]
    fn the_id_is_read_and_patched_in_place() {
        let mut payload = EXECUTE.to_vec();
        set_statement_id(&mut payload, 0xAABB_CCDD).unwrap();
        assert_eq!(statement_id(&payload), Ok(0xAABB_CCDD));
        assert_eq!(payload[5..], EXECUTE[5..]);
        assert_eq!(set_statement_id(&mut [0x19, 0, 0], 1), Err(Malformed::Short { missing: 2 }));
    }

    #[test]
    fn long_data_may_be_empty() {
        let packet = SendLongData::parse(b"\x18\x07\0\0\0\x01\0").unwrap();
        assert_eq!(packet, SendLongData { statement_id: 7, param: 1, data: b"" });
        assert!(SendLongData::parse(b"\x18\x07\0\0\0\x01").is_err());
    }
}
