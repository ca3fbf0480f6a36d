//! The commands of prepared statements, and what a server says about one.

use athena::protocol::binlog;
use athena::protocol::command::Command;
use athena::protocol::query_attributes;
use athena::protocol::statement::{
    ExecuteHeader, PrepareOk, SendLongData, insert_types, set_statement_id, statement_id,
};

use super::cuts::option;

/// Headers are within the packet; types that are put in are found again, with the values as they were.
pub fn statements(bytes: &[u8]) {
    let (options, rest) = option(bytes);
    let (low, payload) = option(rest);
    let attributes = options & 1 == 1;
    let parameters = u16::from_le_bytes([low, options >> 2]);
    if let Ok(ok) = PrepareOk::parse(payload) {
        assert_eq!(PrepareOk::parse(&ok.encode()), Ok(ok));
    }
    if let Ok(long) = SendLongData::parse(payload) {
        assert!(payload.ends_with(long.data));
    }
    let mut renamed = payload.to_vec();
    if set_statement_id(&mut renamed, 7).is_ok() {
        assert_eq!(statement_id(&renamed), Ok(7));
    }
    if let Ok(offset) = query_attributes::text_offset(payload) {
        assert!(offset <= payload.len());
    }
    let _ = binlog::is_finite(Command::BinlogDump, payload);
    let _ = binlog::is_finite(Command::BinlogDumpGtid, payload);
    execute(payload, parameters, attributes);
}

fn execute(payload: &[u8], parameters: u16, attributes: bool) {
    let Ok(header) = ExecuteHeader::parse(payload, parameters, attributes) else { return };
    assert!(payload.get(header.null_bitmap.clone()).is_some());
    assert!(payload.get(header.types.clone()).is_some());
    assert!(header.param_types(payload).count() <= 2 * usize::from(parameters));
    let values = payload.get(header.values..).expect("within the packet");
    let types = vec![0x2A; 2 * usize::from(parameters)];
    // An EXECUTE with attributes of its own can't take other types.
    let Ok(typed) = insert_types(payload, parameters, &types, attributes) else {
        assert!(attributes);
        return;
    };
    let again = ExecuteHeader::parse(&typed, parameters, attributes).expect("still right");
    assert!(again.param_types(&typed).eq(types));
    assert_eq!(typed.get(again.values..), Some(values));
    assert_eq!(typed.get(again.null_bitmap), payload.get(header.null_bitmap));
}
