//! The values of an execution taken apart, and put together for another text of the statement: one that has not all of its
//! parameters, or that gets some of its rows.
//!
//! Protocol sections: "COM_STMT_EXECUTE", MariaDB's "COM_STMT_BULK_EXECUTE", "COM_STMT_SEND_LONG_DATA".

use std::collections::BTreeMap;
use std::ops::Range;

use super::buf::{Malformed, Reader, WriteExt};
use super::parameter::{NULL, RawParameter, UNSIGNED, bytes};
use super::statement::ExecuteHeader;

/// What stands in front of the number of values: the command, the statement's id, flags and the iteration count.
const HEAD_LEN: usize = 10;

/// The type of a number of eight bytes.
const LONGLONG: u8 = 8;
/// That of a text.
const VAR_STRING: u8 = 253;

/// Types whose values are sent as texts, which a parameter that is sent ahead can have.
fn is_sent_as_text(kind: u8) -> bool {
    matches!(kind, 0 | 15 | 245..=254)
}

/// A COM_STMT_EXECUTE, value by value.
#[derive(Debug)]
pub struct Execution<'a> {
    head: &'a [u8],
    /// Values have names; those behind the statement's parameters are attributes.
    named: bool,
    params: usize,
    values: Vec<Sent<'a>>,
}

/// A value as it is sent.
#[derive(Debug, Clone, Copy)]
struct Sent<'a> {
    kind: [u8; 2],
    name: &'a [u8],
    is_null: bool,
    bytes: Bytes<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Bytes<'a> {
    /// With the length before it, if its type has one.
    Encoded(&'a [u8]),
    Ahead(&'a [u8]),
}

/// What a parameter of another text gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The value of the parameter of this number.
    Parameter(usize),
    /// This number.
    Id(u64),
}

impl<'a> Execution<'a> {
    /// `types` are those of the parameters, two bytes each; of those in `ahead` the values have come before.
    ///
    /// # Errors
    /// Where the packet is too short, has a type that no client sends, or attributes without their types.
    pub fn parse(
        payload: &'a [u8],
        header: &ExecuteHeader,
        types: &'a [u8],
        ahead: &'a BTreeMap<u16, Vec<u8>>,
    ) -> Result<Self, Malformed> {
        let head = payload.get(..HEAD_LEN).ok_or(Malformed::Short { missing: HEAD_LEN as u64 })?;
        let nulls = payload.get(header.null_bitmap.clone()).unwrap_or_default();
        let kinds = kinds(payload, header, types)?;
        let mut reader = Reader::new(payload.get(header.values..).unwrap_or_default());
        let mut values = Vec::with_capacity(header.count);
        for (at, (kind, name)) in kinds.into_iter().enumerate() {
            let ahead = u16::try_from(at).ok().and_then(|at| ahead.get(&at)).filter(|_| at < header.params);
            let is_null = ahead.is_none() && nulls.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
            let bytes = match ahead {
                Some(value) if is_sent_as_text(kind[0]) => Bytes::Ahead(value),
                Some(_) => return Err(Malformed::Field("type of a parameter that was sent ahead")),
                None if is_null => Bytes::Encoded(&[]),
                None => Bytes::Encoded(encoded(&mut reader, kind[0])?),
            };
            values.push(Sent { kind, name, is_null, bytes });
        }
        Ok(Self { head, named: header.named, params: header.params, values })
    }

    /// The same execution with all values in it: see [`Execution::encode`].
    pub fn encode_all(&self) -> (Vec<u8>, Vec<u8>) {
        self.encode((0..self.params).map(Given::Parameter))
    }

    /// The execution of a text that has these parameters: its payload, and their types. It has all values in it, and opens no
    /// cursor.
    pub fn encode(&self, parameters: impl Iterator<Item = Given>) -> (Vec<u8>, Vec<u8>) {
        let (of_parameters, attributes) = self.values.split_at(self.params.min(self.values.len()));
        let ids: Vec<_> = parameters
            .filter_map(|given| match given {
                Given::Parameter(number) => of_parameters.get(number).map(Err),
                Given::Id(id) => Some(Ok(id.to_le_bytes())),
            })
            .collect();
        let chosen = ids.iter().map(|given| match given {
            Err(value) => **value,
            Ok(id) => {
                Sent { kind: [LONGLONG, UNSIGNED], name: &[], is_null: false, bytes: Bytes::Encoded(id) }
            }
        });
        let chosen: Vec<_> = chosen.chain(attributes.iter().copied()).collect();
        let attributes = attributes.len();
        let params = chosen.len() - attributes;
        let mut out = self.head.to_vec();
        if let Some(flags) = out.get_mut(ExecuteHeader::FLAGS_AT) {
            *flags &= !ExecuteHeader::CURSOR_TYPES;
        }
        if let Some(flags) = out.get_mut(ExecuteHeader::FLAGS_AT).filter(|_| self.named) {
            if params == 0 && attributes > 0 {
                *flags |= ExecuteHeader::COUNT_AVAILABLE;
            }
            if params > 0 || *flags & ExecuteHeader::COUNT_AVAILABLE != 0 {
                out.put_lenenc_int(chosen.len() as u64);
            }
        }
        let types: Vec<u8> = chosen.iter().take(params).flat_map(|value| value.kind).collect();
        if chosen.is_empty() {
            return (out, types);
        }
        let mut nulls = vec![0u8; chosen.len().div_ceil(8)];
        for (at, _) in chosen.iter().enumerate().filter(|(_, value)| value.is_null) {
            nulls[at / 8] |= 1 << (at % 8);
        }
        out.extend_from_slice(&nulls);
        out.push(1);
        for value in &chosen {
            out.extend_from_slice(&value.kind);
            if self.named {
                out.put_lenenc_bytes(value.name);
            }
        }
        for value in chosen {
            match value.bytes {
                Bytes::Encoded(bytes) => out.extend_from_slice(bytes),
                Bytes::Ahead(bytes) => out.put_lenenc_bytes(bytes),
            }
        }
        (out, types)
    }
}

/// A type, and a name.
type Kind<'a> = ([u8; 2], &'a [u8]);

/// Those of each value.
fn kinds<'a>(payload: &'a [u8], header: &ExecuteHeader, types: &[u8]) -> Result<Vec<Kind<'a>>, Malformed> {
    if header.new_params_bound {
        let mut reader = Reader::new(payload.get(header.types.clone()).unwrap_or_default());
        let next = |_| {
            let kind = reader.array()?;
            Ok((kind, if header.named { reader.lenenc_bytes()? } else { &[][..] }))
        };
        return (0..header.count).map(next).collect();
    }
    let known: Vec<_> = types.chunks_exact(2).map(|kind| ([kind[0], kind[1]], &[][..])).collect();
    match known.len() == header.count && header.count == header.params {
        true => Ok(known),
        false => Err(Malformed::Field("parameter types")),
    }
}

/// A value with its length.
fn encoded<'a>(reader: &mut Reader<'a>, kind: u8) -> Result<&'a [u8], Malformed> {
    let start = *reader;
    bytes(reader, kind)?;
    let mut whole = start;
    whole.bytes(start.remaining() - reader.remaining())
}

/// What a bulk execution gives a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkValue<'a> {
    Value(RawParameter<'a>),
    Null,
    /// The column's default, or what it has: the server knows it.
    Unknown,
}

/// A row of a bulk execution.
#[derive(Debug)]
pub struct BulkRow<'a> {
    /// Where it stands in the payload.
    pub range: Range<usize>,
    pub values: Vec<BulkValue<'a>>,
    /// Where each value ends, of which the next one begins there with its indicator.
    ends: Vec<usize>,
}

impl BulkRow<'_> {
    /// Where a value stands in the payload, with its indicator.
    fn place(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before).copied());
        start.unwrap_or(self.range.start)..self.ends.get(number).copied().unwrap_or(self.range.end)
    }
}

/// The rows of a COM_STMT_BULK_EXECUTE. `types` are those of the parameters, two bytes each.
///
/// # Errors
/// Where the packet is too short, or has a type that no client sends.
pub fn bulk_rows<'a>(
    payload: &'a [u8],
    header: &ExecuteHeader,
    types: &[u8],
) -> Result<Vec<BulkRow<'a>>, Malformed> {
    let mut reader = Reader::new(payload.get(header.values..).unwrap_or_default());
    let offset = |reader: &Reader<'_>| payload.len() - reader.remaining();
    let mut rows = Vec::new();
    if types.is_empty() {
        return Err(Malformed::Field("parameter types"));
    }
    while !reader.is_empty() {
        let start = offset(&reader);
        let mut values = Vec::with_capacity(types.len() / 2);
        let mut ends = Vec::with_capacity(types.len() / 2);
        for kind in types.chunks_exact(2) {
            values.push(match reader.u8()? {
                0 => BulkValue::Value(RawParameter {
                    kind: kind[0],
                    unsigned: kind[1] & UNSIGNED != 0,
                    bytes: bytes(&mut reader, kind[0])?,
                }),
                1 => BulkValue::Null,
                2 | 3 => BulkValue::Unknown,
                _ => return Err(Malformed::Field("indicator")),
            });
            ends.push(offset(&reader));
        }
        rows.push(BulkRow { range: start..offset(&reader), values, ends });
    }
    Ok(rows)
}

/// A bulk execution with some of its rows, and with the parameters' types.
pub fn bulk_of(payload: &[u8], header: &ExecuteHeader, types: &[u8], rows: &[Range<usize>]) -> Vec<u8> {
    let mut out = bulk_head(payload, header, types);
    rows.iter().for_each(|row| out.extend_from_slice(payload.get(row.clone()).unwrap_or_default()));
    out
}

/// A bulk execution of a text that has other parameters: each is the one of a number, or, where there is none, the text that comes
/// with each row. Its payload, and their types.
pub fn bulk_with_texts(
    payload: &[u8],
    header: &ExecuteHeader,
    types: &[u8],
    parameters: &[Option<usize>],
    rows: &[(&BulkRow<'_>, &str)],
) -> (Vec<u8>, Vec<u8>) {
    let kind = |number: &Option<usize>| match number {
        Some(number) => types.chunks_exact(2).nth(*number).map_or([NULL, 0], |kind| [kind[0], kind[1]]),
        None => [VAR_STRING, 0],
    };
    let types: Vec<u8> = parameters.iter().flat_map(kind).collect();
    let mut out = bulk_head(payload, header, &types);
    for (row, text) in rows {
        for number in parameters {
            match number {
                Some(number) => out.extend_from_slice(payload.get(row.place(*number)).unwrap_or_default()),
                None => {
                    out.push(0);
                    out.put_lenenc_bytes(text.as_bytes());
                }
            }
        }
    }
    (out, types)
}

fn bulk_head(payload: &[u8], header: &ExecuteHeader, types: &[u8]) -> Vec<u8> {
    let mut out = payload.get(..header.types.start).unwrap_or_default().to_vec();
    if let Some(flags) = out.get_mut(ExecuteHeader::FLAGS_AT) {
        *flags |= ExecuteHeader::BULK_TYPES;
    }
    out.extend_from_slice(types);
    out
}

impl<'a> BulkValue<'a> {
    /// As a parameter; `None` where only the server knows it.
    pub fn raw(self) -> Option<RawParameter<'a>> {
        match self {
            Self::Value(value) => Some(value),
            Self::Null => Some(RawParameter { kind: NULL, unsigned: false, bytes: &[] }),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::parameter::raw_parameters;

    /// EXECUTE of statement 7 with (5, 'ab', NULL, 'c').
    const EXECUTE: &[u8] =
        b"\x17\x07\0\0\0\x01\x01\0\0\0\x04\x01\x03\0\xfd\0\x06\0\xfe\0\x05\0\0\0\x02ab\x01c";

    #[test]
    fn some_parameters_of_an_execution() {
        let header = ExecuteHeader::parse(EXECUTE, 4, false).unwrap();
        let types: Vec<_> = header.param_types(EXECUTE).collect();
        let none = BTreeMap::new();
        let execution = Execution::parse(EXECUTE, &header, &types, &none).unwrap();
        let (all, same) = execution.encode_all();
        assert_eq!((all.len(), &same), (EXECUTE.len(), &types));
        assert_eq!((all[5], &all[6..]), (0, &EXECUTE[6..]), "without its cursor");
        let (some, types) = execution.encode([0, 2, 3].map(Given::Parameter).into_iter());
        assert_eq!(some, *b"\x17\x07\0\0\0\0\x01\0\0\0\x02\x01\x03\0\x06\0\xfe\0\x05\0\0\0\x01c");
        assert_eq!(types, [3, 0, 6, 0, 0xfe, 0]);
        let (none_left, types) = execution.encode(std::iter::empty());
        assert_eq!((none_left.len(), types.len()), (10, 0));
        // With the types of before.
        let unbound = b"\x17\x07\0\0\0\0\x01\0\0\0\x04\0\x05\0\0\0\x02ab\x01c";
        let header = ExecuteHeader::parse(unbound, 4, false).unwrap();
        let types = [3, 0, 0xfd, 0, 6, 0, 0xfe, 0];
        let execution = Execution::parse(unbound, &header, &types, &none).unwrap();
        assert_eq!(execution.encode_all().0, all);
        assert!(Execution::parse(unbound, &header, &types[..6], &none).is_err());
        assert!(Execution::parse(&unbound[..unbound.len() - 1], &header, &types, &none).is_err());
    }

    #[test]
    fn numbers_come_between_parameters() {
        let header = ExecuteHeader::parse(EXECUTE, 4, false).unwrap();
        let none = BTreeMap::new();
        let execution = Execution::parse(EXECUTE, &header, &[], &none).unwrap();
        let given = [Given::Id(7), Given::Parameter(2), Given::Id(u64::MAX), Given::Parameter(3)];
        let (payload, types) = execution.encode(given.into_iter());
        assert_eq!(types, [8, 0x80, 6, 0, 8, 0x80, 0xfe, 0]);
        let header = ExecuteHeader::parse(&payload, 4, false).unwrap();
        let values = raw_parameters(&payload, &header, &types).unwrap();
        let bytes: Vec<_> = values.iter().map(|value| value.bytes).collect();
        assert_eq!(bytes, [&[7, 0, 0, 0, 0, 0, 0, 0][..], &[], &[0xFF; 8], b"c"]);
        assert!(values[0].unsigned && values[1].kind == NULL);
    }

    #[test]
    fn attributes_stay_with_every_part() {
        // (1, 2), and an attribute a = 'z'.
        let both = b"\x17\x07\0\0\0\x08\x01\0\0\0\x03\0\x01\x01\0\0\x01\0\0\xfe\0\x01a\x01\x02\x01z";
        let header = ExecuteHeader::parse(both, 2, true).unwrap();
        let none = BTreeMap::new();
        let execution = Execution::parse(both, &header, &[], &none).unwrap();
        let (second, types) = execution.encode(std::iter::once(Given::Parameter(1)));
        assert_eq!(second, *b"\x17\x07\0\0\0\x08\x01\0\0\0\x02\0\x01\x01\0\0\xfe\0\x01a\x02\x01z");
        assert_eq!(types, [1, 0]);
    }

    #[test]
    fn what_was_sent_ahead_is_put_in() {
        // (5, ahead, 'c'): the packet has no value of the second.
        let sent = b"\x17\x07\0\0\0\0\x01\0\0\0\0\x01\x03\0\xfc\0\xfe\0\x05\0\0\0\x01c";
        let header = ExecuteHeader::parse(sent, 3, false).unwrap();
        let ahead = BTreeMap::from([(1, vec![b'x'; 300])]);
        let execution = Execution::parse(sent, &header, &[], &ahead).unwrap();
        let (whole, types) = execution.encode_all();
        let header = ExecuteHeader::parse(&whole, 3, false).unwrap();
        let values = raw_parameters(&whole, &header, &types).unwrap();
        assert_eq!((values[1].bytes, values[2].bytes), (&[b'x'; 300][..], &b"c"[..]));
        // A number is not.
        let ahead = BTreeMap::from([(0, b"1".to_vec())]);
        assert!(Execution::parse(sent, &header, &[], &ahead).is_err());
    }

    #[test]
    fn rows_of_a_bulk_execution() {
        // (1, 'a'), (NULL, DEFAULT), (2, '')
        let bulk = b"\xfa\x07\0\0\0\x80\0\x03\0\xfd\0\0\x01\0\0\0\0\x01a\x01\x02\0\x02\0\0\0\0\0";
        let header = ExecuteHeader::parse(bulk, 2, false).unwrap();
        let types: Vec<_> = header.param_types(bulk).collect();
        let rows = bulk_rows(bulk, &header, &types).unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[1].values, [BulkValue::Null, BulkValue::Unknown]);
        assert_eq!(rows[2].values[0].raw().map(|raw| raw.bytes), Some(&[2, 0, 0, 0][..]));
        let all: Vec<_> = rows.iter().map(|row| row.range.clone()).collect();
        assert_eq!(bulk_of(bulk, &header, &types, &all), bulk);
        let two = bulk_of(bulk, &header, &types, &all[1..]);
        assert_eq!(two, *b"\xfa\x07\0\0\0\x80\0\x03\0\xfd\0\x01\x02\0\x02\0\0\0\0\0");
        assert!(bulk_rows(&bulk[..bulk.len() - 1], &header, &types).is_err());
        assert!(bulk_rows(bulk, &header, &[]).is_err());
        // A text in place of the first one, and behind the second.
        let texts = [(&rows[0], "12"), (&rows[1], "3")];
        let (with, types) = bulk_with_texts(bulk, &header, &types, &[None, Some(1), Some(0)], &texts);
        assert_eq!(types, [0xfd, 0, 0xfd, 0, 3, 0]);
        assert_eq!(
            with,
            *b"\xfa\x07\0\0\0\x80\0\xfd\0\xfd\0\x03\0\0\x0212\0\x01a\0\x01\0\0\0\0\x013\x02\x01"
        );
        let header = ExecuteHeader::parse(&with, 3, false).unwrap();
        assert_eq!(bulk_rows(&with, &header, &types).unwrap().len(), 2);
    }
}
