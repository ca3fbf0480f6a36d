//! Every reply here is translated twice: by the machine, cut into chunks in every way, and by a [`Translator`] that has
//! the whole of it and takes packet after packet. Both must give the client the same bytes.

use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::protocol::buf::{Malformed, Reader};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::packet::{HEADER_LEN, Header, MAX_PAYLOAD, PacketReader, write_packet};
use crate::protocol::response::{EofPacket, ErrPacket, OkPacket};
use crate::protocol::statement::PrepareOk;
use crate::protocol::tracked::{Tracked, TrackedKinds, TrackedNames};

const OLD: Capabilities = Capabilities::PROTOCOL_41;
const NO_TRACK: Capabilities = OLD.union(Capabilities::DEPRECATE_EOF);
const NO_DEPRECATE: Capabilities = OLD.union(Capabilities::SESSION_TRACK);
const MODERN: Capabilities = NO_TRACK.union(Capabilities::SESSION_TRACK);
const CLIENTS: [Capabilities; 4] = [OLD, NO_TRACK, NO_DEPRECATE, MODERN];

/// The status before the reply, with flags of an earlier statement that must not come again.
const BEFORE: StatusFlags = StatusFlags::IN_TRANS
    .union(StatusFlags::CURSOR_EXISTS)
    .union(StatusFlags::MORE_RESULTS_EXISTS)
    .union(StatusFlags::PS_OUT_PARAMS)
    .union(StatusFlags::QUERY_WAS_SLOW);

/// The id under which clients know every prepared statement.
const CLIENT_ID: u32 = 0xAABB_CCDD;

const DEFINITION: &[u8] = b"\x03def\x01c";
const OK: &[u8] = b"\0\x01\0\x02\0\0\0";
const OK_MORE: &[u8] = b"\0\x01\0\x0A\0\0\0";
/// USE test, with a text before the tracker.
const OK_TRACKED: &[u8] = b"\0\0\0\x02\x40\x03\0\x02hi\x07\x01\x05\x04test";
const END: &[u8] = b"\xFE\0\0\x02\0\x07\0";
const END_MORE: &[u8] = b"\xFE\0\0\x0A\0\0\0";
const END_TRACKED: &[u8] = b"\xFE\0\0\x02\x40\0\0\0\x07\x01\x05\x04test";
const END_CURSOR: &[u8] = b"\xFE\0\0\x42\0\0\0";
const ERR: &[u8] = b"\xFF\x15\x04#28000no";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Query,
    /// With a cursor asked for.
    Execute,
    Prepare,
    FieldList,
    Statistics,
}

impl Kind {
    fn reply(self, client: Capabilities) -> Reply {
        match self {
            Kind::Query => Reply::to_query(client, BEFORE),
            Kind::Execute => Reply::to_execute(client, BEFORE, true),
            Kind::Prepare => Reply::to_prepare(client, BEFORE),
            Kind::FieldList => Reply::to_field_list(client, BEFORE),
            Kind::Statistics => Reply::to_statistics(client, BEFORE),
        }
    }
}

/// What an observer was told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Ok { header: u8, status: StatusFlags, warnings: u16, session_state: Vec<u8> },
    Err(u16),
    Prepared(PrepareOk),
}

impl Told {
    fn of(ok: &OkPacket<'_>) -> Told {
        let session_state = ok.session_state.to_vec();
        Told::Ok { header: ok.header, status: ok.status, warnings: ok.warnings, session_state }
    }
}

impl Observer for Vec<Told> {
    fn ok(&mut self, ok: &OkPacket<'_>, _: Option<u64>) {
        self.push(Told::of(ok));
    }

    fn err(&mut self, err: &ErrPacket) {
        self.push(Told::Err(err.code));
    }

    fn prepared(&mut self, ok: &PrepareOk) -> u32 {
        self.push(Told::Prepared(*ok));
        CLIENT_ID
    }
}

/// The packets of a reply as they come over the wire.
fn wire(payloads: &[&[u8]]) -> Vec<u8> {
    let (mut out, mut seq) = (Vec::new(), 1);
    for payload in payloads {
        seq = write_packet(&mut out, seq, payload);
    }
    out
}

/// Makes the client's reply out of the whole of the backend's. Numbers packets anew instead of shifting their ids.
struct Translator {
    packets: VecDeque<Vec<u8>>,
    kind: Kind,
    client: Capabilities,
    status: StatusFlags,
    out: Vec<u8>,
    seq: u8,
    told: Vec<Told>,
}

impl Translator {
    fn translate(kind: Kind, client: Capabilities, backend: &[u8]) -> (Vec<u8>, Vec<Told>) {
        let (mut reader, mut input) = (PacketReader::new(1, usize::MAX), backend);
        let packets = std::iter::from_fn(|| reader.feed(&mut input).unwrap()).map(|p| p.payload).collect();
        let mut this =
            Translator { packets, kind, client, status: BEFORE, out: Vec::new(), seq: 1, told: Vec::new() };
        match kind {
            Kind::Query | Kind::Execute => while this.result() {},
            Kind::Prepare => this.prepare(),
            Kind::FieldList => _ = this.rows(),
            Kind::Statistics => _ = this.packet_or_error(),
        }
        assert!(this.packets.is_empty() && input.is_empty(), "the reply has an end");
        (this.out, this.told)
    }

    fn emit(&mut self, payload: &[u8]) {
        self.seq = write_packet(&mut self.out, self.seq, payload);
    }

    fn next(&mut self) -> Vec<u8> {
        self.packets.pop_front().expect("the reply goes on")
    }

    /// A packet that goes on as it is. False if it is an error.
    fn packet_or_error(&mut self) -> bool {
        let packet = self.next();
        self.emit(&packet);
        if packet.first() == Some(&0xFF) {
            self.told.push(Told::Err(ErrPacket::parse(&packet).unwrap().code));
        }
        packet.first() != Some(&0xFF)
    }

    fn eof(&mut self, status: StatusFlags) {
        if !self.client.contains(Capabilities::DEPRECATE_EOF) {
            self.emit(&EofPacket { warnings: 0, status }.encode());
        }
    }

    /// The status between columns and rows: what is true of the session, whatever the statement.
    fn lasting_status(&self) -> StatusFlags {
        let mut status = self.status;
        status.remove(StatusFlags::CURSOR_EXISTS | StatusFlags::LAST_ROW_SENT | StatusFlags::PS_OUT_PARAMS);
        status.remove(StatusFlags::MORE_RESULTS_EXISTS | StatusFlags::QUERY_WAS_SLOW);
        status
    }

    /// One result of a query. True if there is another.
    fn result(&mut self) -> bool {
        match self.packets[0][0] {
            0xFF => self.packet_or_error(),
            0x00 | 0xFE => self.end(),
            _ => {
                let count = Reader::new(&self.packets[0]).lenenc_int().unwrap();
                self.packet_or_error();
                for _ in 0..count {
                    if !self.packet_or_error() {
                        return false;
                    }
                }
                let next = OkPacket::parse(&self.packets[0], MODERN);
                let cursor = StatusFlags::CURSOR_EXISTS;
                let opens = self.kind == Kind::Execute
                    && self.packets[0].first() == Some(&0xFE)
                    && next.is_ok_and(|ok| ok.status & (cursor | StatusFlags::MORE_RESULTS_EXISTS) == cursor);
                let failed = self.kind == Kind::Execute && self.packets[0].first() == Some(&0xFF);
                if !opens && !failed {
                    self.eof(self.lasting_status());
                }
                self.rows()
            }
        }
    }

    /// Rows to their end. True if there is another result.
    fn rows(&mut self) -> bool {
        loop {
            match self.packets[0].first() {
                Some(0xFE) if self.packets[0].len() < MAX_PAYLOAD => return self.end(),
                Some(0xFF) => return self.packet_or_error(),
                _ => _ = self.packet_or_error(),
            }
        }
    }

    /// The packet that ends a result. True if there is another.
    fn end(&mut self) -> bool {
        let packet = self.next();
        let ok = OkPacket::parse(&packet, Capabilities::SESSION_TRACK).unwrap();
        self.told.push(Told::of(&ok));
        self.status = ok.status;
        if ok.header == 0xFE && !self.client.contains(Capabilities::DEPRECATE_EOF) {
            self.emit(&EofPacket { warnings: ok.warnings, status: ok.status }.encode());
        } else {
            self.emit(&ok.encode(self.client));
        }
        ok.status.contains(StatusFlags::MORE_RESULTS_EXISTS)
    }

    fn prepare(&mut self) {
        if self.packets[0][0] == 0xFF {
            self.packet_or_error();
            return;
        }
        let ok = PrepareOk::parse(&self.next()).unwrap();
        self.told.push(Told::Prepared(ok));
        self.emit(&PrepareOk { statement_id: CLIENT_ID, ..ok }.encode());
        for count in [ok.params, ok.columns] {
            for _ in 0..count {
                if !self.packet_or_error() {
                    return;
                }
            }
            if count > 0 {
                self.eof(self.lasting_status());
            }
        }
    }
}

/// What became of a reply that came in chunks.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    to_client: Vec<u8>,
    told: Vec<Told>,
    result: Result<bool, ReplyError>,
}

/// Sends `chunks` through `reply` and checks what must hold after each of them.
fn relay<'a>(mut reply: Reply, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome { to_client: Vec::new(), told: Vec::new(), result: Ok(false) };
    let mut edits = Edits::default();
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        edits.clear();
        match reply.scan(&mut chunk, &mut edits, &mut outcome.told) {
            Ok(scanned) => {
                assert!(!scanned.done || scanned.relay == chunk.len(), "nothing is held back at the end");
                outcome.result = Ok(scanned.done);
                outcome.to_client.extend(carried_out(&chunk[..scanned.relay], &edits));
            }
            Err(error) => {
                outcome.result = Err(error);
                break;
            }
        }
        assert_client_stands(&reply, &outcome.to_client);
    }
    assert_client_stands(&reply, &outcome.to_client);
    outcome
}

/// `chunk` with the edits carried out in both ways, which must agree.
fn carried_out(chunk: &[u8], edits: &Edits) -> Vec<u8> {
    let mut spliced = chunk.to_vec();
    let mut below = chunk.len();
    for (range, bytes) in edits.backwards() {
        assert!(range.start <= range.end && range.end <= below, "edits rise and don't overlap");
        below = range.start;
        spliced.splice(range, bytes.iter().copied());
    }
    let copied = edits.copied(chunk);
    assert!(copied == spliced, "both ways to carry out edits agree");
    assert!(!edits.is_empty() || copied == chunk);
    copied
}

/// The reply knows whether the client has whole packets, and the number of the last.
fn assert_client_stands(reply: &Reply, mut to_client: &[u8]) {
    let (mut seq, mut mid_packet) = (0, false);
    while let Some((header, rest)) = to_client.split_first_chunk::<HEADER_LEN>() {
        let header = Header::parse(*header);
        seq = header.seq;
        let len = header.len as usize;
        mid_packet = rest.len() < len || header.continues();
        to_client = rest.get(len..).unwrap_or_default();
    }
    assert!(to_client.is_empty(), "headers are never sent in part");
    assert_eq!((reply.next_seq(), reply.mid_packet()), (seq.wrapping_add(1), mid_packet));
}

/// Sends `backend` through in one piece, and in pieces cut at every place, at every two places (if it is short) and
/// everywhere; returns what the client got, which must be what the translator says.
fn assert_translated(kind: Kind, client: Capabilities, backend: &[u8]) -> Vec<u8> {
    let (to_client, told) = Translator::translate(kind, client, backend);
    let expected = Outcome { to_client, told, result: Ok(true) };
    let check = |chunks: &[&[u8]]| {
        let outcome = relay(kind.reply(client), chunks.iter().copied());
        let lengths = || chunks.iter().map(|chunk| chunk.len()).collect::<Vec<_>>();
        assert!(outcome == expected, "{client:?}, chunks of {:?}:\n{outcome:?}\n{expected:?}", lengths());
        let (_, all_but_last) = chunks.split_last().expect("a chunk");
        let early = relay(kind.reply(client), all_but_last.iter().copied());
        assert_eq!(early.result, Ok(false), "done before the end");
    };
    check(&[backend]);
    check(&backend.chunks(1).collect::<Vec<_>>());
    for cut in 1..backend.len() {
        let (a, b) = backend.split_at(cut);
        check(&[a, b]);
        check(&[a, &[], b]);
        if backend.len() <= 100 {
            for second in 1..b.len() {
                check(&[a, &b[..second], &b[second..]]);
            }
        }
    }
    expected.to_client
}

/// As [`assert_translated`], for every kind of client.
fn assert_translated_for_all(kind: Kind, payloads: &[&[u8]]) {
    for client in CLIENTS {
        assert_translated(kind, client, &wire(payloads));
    }
}

fn query(client: Capabilities, payloads: &[&[u8]]) -> Vec<u8> {
    assert_translated(Kind::Query, client, &wire(payloads))
}

fn error_of(kind: Kind, backend: &[u8]) -> Result<bool, ReplyError> {
    let whole = relay(kind.reply(OLD), [backend]);
    let bytewise = relay(kind.reply(OLD), backend.chunks(1));
    assert_eq!(whole.result, bytewise.result);
    assert!(whole.to_client.is_empty() || whole.result.is_ok(), "nothing of a broken chunk goes on");
    whole.result
}

#[test]
fn ok_and_err_pass() {
    assert_translated_for_all(Kind::Query, &[OK]);
    assert_translated_for_all(Kind::Query, &[ERR]);
    assert_eq!(query(OLD, &[OK]), wire(&[OK]));
    assert_eq!(query(OLD, &[ERR]), wire(&[ERR]));
}

#[test]
fn trackers_are_stripped_for_clients_without_them() {
    assert_translated_for_all(Kind::Query, &[OK_TRACKED]);
    assert_eq!(query(MODERN, &[OK_TRACKED]), wire(&[OK_TRACKED]));
    assert_eq!(query(NO_TRACK, &[OK_TRACKED]), wire(&[b"\0\0\0\x02\0\x03\0\x02hi"]));
    let result: &[&[u8]] = &[b"\x01", DEFINITION, b"\x011", END_TRACKED];
    assert_translated_for_all(Kind::Query, result);
    assert_eq!(query(NO_TRACK, result), wire(&[b"\x01", DEFINITION, b"\x011", b"\xFE\0\0\x02\0\0\0"]));
    // A flag without trackers.
    let empty = b"\0\0\0\x02\x40\0\0";
    assert_eq!(query(NO_TRACK, &[empty]), wire(&[b"\0\0\0\x02\0\0\0"]));
}

#[test]
fn the_ok_that_stands_for_eof_alone_becomes_one() {
    // COM_SET_OPTION.
    assert_translated_for_all(Kind::Query, &[END]);
    assert_eq!(query(NO_DEPRECATE, &[END]), wire(&[b"\xFE\x07\0\x02\0"]));
}

#[test]
fn text_rows_pass_whatever_they_begin_with() {
    let result: &[&[u8]] = &[b"\x02", DEFINITION, DEFINITION, b"\0\0", b"\xFB\xFB", b"\0\x01a", END];
    assert_translated_for_all(Kind::Query, result);
    assert_eq!(query(MODERN, result), wire(result));
    let expected = wire(&[
        b"\x02",
        DEFINITION,
        DEFINITION,
        b"\xFE\0\0\x01\0",
        b"\0\0",
        b"\xFB\xFB",
        b"\0\x01a",
        b"\xFE\x07\0\x02\0",
    ]);
    assert_eq!(query(NO_DEPRECATE, result), expected);
}

#[test]
fn a_result_without_rows_has_both_ends() {
    assert_translated_for_all(Kind::Query, &[b"\x01", DEFINITION, END]);
    let expected = wire(&[b"\x01", DEFINITION, b"\xFE\0\0\x01\0", b"\xFE\x07\0\x02\0"]);
    assert_eq!(query(OLD, &[b"\x01", DEFINITION, END]), expected);
}

#[test]
fn a_cursor_ends_columns_and_result_at_once() {
    let result: &[&[u8]] = &[b"\x01", DEFINITION, END_CURSOR];
    assert_translated_for_all(Kind::Execute, result);
    let (to_client, _) = Translator::translate(Kind::Execute, OLD, &wire(result));
    assert_eq!(to_client, wire(&[b"\x01", DEFINITION, b"\xFE\0\0\x42\0"]));
    // As a MariaDB answers where the rows can't be made.
    let failed: &[&[u8]] = &[b"\x01", DEFINITION, ERR];
    assert_translated_for_all(Kind::Execute, failed);
    let (to_client, _) = Translator::translate(Kind::Execute, OLD, &wire(failed));
    assert_eq!(to_client, wire(failed));
}

/// As for `FOR r IN (SELECT ...) DO SELECT ... LIMIT 0; END FOR` on MariaDB.
#[test]
fn a_cursor_within_a_program_is_none_of_the_clients() {
    const END_CURSOR_MORE: &[u8] = b"\xFE\0\0\x4A\0\0\0";
    let result: &[&[u8]] = &[b"\x01", DEFINITION, END_CURSOR_MORE, OK];
    assert_translated_for_all(Kind::Query, result);
    assert_translated_for_all(Kind::Execute, result);
    let ends: &[&[u8]] = &[b"\x01", DEFINITION, b"\xFE\0\0\x01\0", b"\xFE\0\0\x4A\0", OK];
    assert_eq!(query(NO_DEPRECATE, result), wire(ends));
    assert_translated_for_all(Kind::Query, &[b"\x01", DEFINITION, END_CURSOR]);
}

#[test]
fn binary_rows_pass() {
    let result: &[&[u8]] =
        &[b"\x02", DEFINITION, DEFINITION, b"\0\x0C\x01a", b"\0\0\xFE\xFF\xFF\xFF\x01x", END];
    assert_translated_for_all(Kind::Query, result);
}

#[test]
fn empty_packets_are_rows_and_definitions_like_others() {
    assert_translated_for_all(Kind::Query, &[b"\x01", DEFINITION, b"", b"", b"\x011", b"", END]);
    assert_translated_for_all(Kind::Query, &[b"\x02", b"", b"", b"", END]);
    assert_translated_for_all(Kind::Query, &[b"\x01", b"", ERR]);
    assert_translated_for_all(Kind::Prepare, &[b"\0\x01\0\0\0\x01\0\x01\0\0\0\0", b"", b""]);
    assert_translated_for_all(Kind::Statistics, &[b""]);
}

#[test]
fn an_error_may_come_at_any_place() {
    assert_translated_for_all(Kind::Query, &[b"\x01", ERR]);
    assert_translated_for_all(Kind::Query, &[b"\x02", DEFINITION, ERR]);
    assert_translated_for_all(Kind::Query, &[b"\x01", DEFINITION, ERR]);
    assert_translated_for_all(Kind::Query, &[b"\x01", DEFINITION, b"\x011", ERR]);
    assert_translated_for_all(Kind::Query, &[OK_MORE, ERR]);
    assert_translated_for_all(Kind::Prepare, &[ERR]);
    assert_translated_for_all(Kind::Prepare, &[b"\0\x01\0\0\0\x01\0\x01\0\0\0\0", DEFINITION, ERR]);
    assert_translated_for_all(Kind::FieldList, &[DEFINITION, ERR]);
    assert_translated_for_all(Kind::Statistics, &[ERR]);
}

#[test]
fn results_follow_one_another() {
    assert_translated_for_all(Kind::Query, &[OK_MORE, OK_MORE, OK]);
    let call: &[&[u8]] =
        &[b"\x01", DEFINITION, b"\x011", END_MORE, b"\x01", DEFINITION, END_MORE, OK_TRACKED];
    assert_translated_for_all(Kind::Query, call);
    let expected = wire(&[
        b"\x01",
        DEFINITION,
        b"\xFE\0\0\x01\0",
        b"\x011",
        b"\xFE\0\0\x0A\0",
        b"\x01",
        DEFINITION,
        // The status of the result before, without its MORE_RESULTS.
        b"\xFE\0\0\x02\0",
        b"\xFE\0\0\x0A\0",
        b"\0\0\0\x02\0\x03\0\x02hi",
    ]);
    assert_eq!(query(OLD, call), expected);
}

#[test]
fn sequence_ids_wrap() {
    let mut payloads: Vec<&[u8]> = vec![b"\x01", DEFINITION];
    payloads.resize(600, b"\x011");
    payloads.push(END);
    let to_client = query(OLD, &payloads);
    let mut reader = PacketReader::new(1, 100);
    let mut input = &to_client[..];
    let mut packets = 0;
    while reader.feed(&mut input).expect("ids count up").is_some() {
        packets += 1;
    }
    assert_eq!(packets, 602);
    query(MODERN, &payloads);
}

#[test]
fn a_prepared_statement_gets_the_clients_id() {
    for (params, columns) in [(0, 0), (1, 0), (0, 2), (2, 1), (3, 3)] {
        let ok = PrepareOk { statement_id: 5, columns, params, warnings: 1 }.encode();
        let mut payloads = vec![&ok[..]];
        payloads.resize(1 + usize::from(params + columns), DEFINITION);
        assert_translated_for_all(Kind::Prepare, &payloads);
    }
    let ok = b"\0\x05\0\0\0\x01\0\x02\0\0\0\0";
    let renamed = b"\0\xDD\xCC\xBB\xAA\x01\0\x02\0\0\0\0";
    let backend = wire(&[ok, DEFINITION, DEFINITION, DEFINITION]);
    let expected = wire(&[renamed, DEFINITION, DEFINITION, DEFINITION]);
    assert_eq!(assert_translated(Kind::Prepare, MODERN, &backend), expected);
    let eof = b"\xFE\0\0\x01\0";
    let expected = wire(&[renamed, DEFINITION, DEFINITION, eof, DEFINITION, eof]);
    assert_eq!(assert_translated(Kind::Prepare, OLD, &backend), expected);
}

#[test]
fn field_lists_fetched_rows_and_statistics_have_nothing_in_front() {
    assert_translated_for_all(Kind::FieldList, &[DEFINITION, DEFINITION, END]);
    assert_translated_for_all(Kind::FieldList, &[b"\0\0\x01a", b"\0\0\x01b", b"\xFE\0\0\xC2\0\0\0"]);
    assert_translated_for_all(Kind::FieldList, &[END]);
    assert_translated_for_all(Kind::Statistics, &[b"Uptime: 1"]);
}

/// Cuts a long reply around the headers of its pieces only, where something can go wrong.
fn assert_long_translated(payloads: &[&[u8]]) {
    let backend = wire(payloads);
    let mut cuts = Vec::new();
    let mut at = 0;
    while let Some((header, _)) = backend.get(at..).and_then(<[u8]>::split_first_chunk::<HEADER_LEN>) {
        cuts.extend((at..at + HEADER_LEN + 2).filter(|cut| (1..backend.len()).contains(cut)));
        at += HEADER_LEN + Header::parse(*header).len as usize;
    }
    cuts.sort_unstable();
    cuts.dedup();
    for client in [OLD, MODERN] {
        let (to_client, told) = Translator::translate(Kind::Query, client, &backend);
        let check = |chunks: &[&[u8]]| {
            let outcome = relay(Kind::Query.reply(client), chunks.iter().copied());
            assert!(outcome.to_client == to_client && outcome.told == told && outcome.result == Ok(true));
        };
        check(&[&backend]);
        check(&backend.chunks(1 << 16).collect::<Vec<_>>());
        let (mut from, mut chunks) = (0, Vec::new());
        for cut in cuts.iter().chain([&backend.len()]) {
            chunks.push(&backend[from..*cut]);
            from = *cut;
        }
        check(&chunks);
        for cut in cuts.iter().step_by(5) {
            let (a, b) = backend.split_at(*cut);
            check(&[a, b]);
        }
    }
}

#[test]
fn rows_of_16_mib_go_on_in_the_next_packet() {
    // A first value of 16 MiB: 0xFE and eight bytes of length, and what begins the second piece looks like an ERR.
    let mut longer = vec![0xFF; MAX_PAYLOAD + 3];
    longer[..9].copy_from_slice(b"\xFE\xFA\xFF\xFF\0\0\0\0\0");
    assert_long_translated(&[b"\x01", DEFINITION, b"\x011", &longer, b"\x011", END]);
    // Exactly full pieces: an empty one ends the row.
    let mut full = vec![0xFE; MAX_PAYLOAD];
    full[..9].copy_from_slice(b"\xFE\xF6\xFF\xFF\0\0\0\0\0");
    assert_long_translated(&[b"\x01", DEFINITION, &full, END]);
    assert_long_translated(&[b"\x01", &full, b"\x011", END]);
}

#[test]
fn an_ok_may_be_as_long_as_its_trackers_and_no_longer() {
    let ok = |len: usize| {
        let state = vec![b'x'; len];
        let status = StatusFlags::SESSION_STATE_CHANGED;
        OkPacket { header: 0, status, session_state: &state, ..OkPacket::END_OF_ROWS }
            .encode(Capabilities::SESSION_TRACK)
    };
    let backend = wire(&[&ok(100_000)]);
    let cut = relay(Kind::Query.reply(OLD), backend.chunks(4000));
    assert_eq!(cut, relay(Kind::Query.reply(OLD), [&backend[..]]));
    assert_eq!(cut.to_client.len(), HEADER_LEN + 7);
    let long = wire(&[&ok(1 << 20)]);
    assert_eq!(error_of(Kind::Query, &long), Err(ReplyError::TooLong(long.len() - HEADER_LEN)));
    // Refused by its header, before it is there.
    assert_eq!(error_of(Kind::Query, &long[..HEADER_LEN]), Err(ReplyError::TooLong(long.len() - HEADER_LEN)));
    assert_eq!(error_of(Kind::Query, b"\xFF\xFF\xFF\x01"), Err(ReplyError::TooLong(MAX_PAYLOAD)));
}

#[test]
fn a_local_file_is_never_sent() {
    assert_eq!(error_of(Kind::Query, &wire(&[b"\xFB/etc/passwd"])), Err(ReplyError::LocalInfile));
    assert_eq!(error_of(Kind::Query, &wire(&[OK_MORE, b"\xFBfile"])), Err(ReplyError::LocalInfile));
}

#[test]
fn progress_ends_nothing_where_it_was_asked_for() {
    const REPORT: &[u8] = b"\xFF\xFF\xFF\x01\x01\x02\xc3\x09\0\x04copy";
    let (mut told, mut edits) = (Vec::new(), Edits::default());
    for packets in [&[REPORT, REPORT, OK][..], &[REPORT, b"\x01", DEFINITION, REPORT, b"\x01a", REPORT, END]]
    {
        let backend = wire(packets);
        let mut chunk = backend.clone();
        let mut reply = Reply::to_query(MODERN | Capabilities::MARIADB_PROGRESS, BEFORE);
        edits.clear();
        let scanned = reply.scan(&mut chunk, &mut edits, &mut told).unwrap();
        assert_eq!((scanned.relay, scanned.done), (backend.len(), true));
        assert!(edits.is_empty() && chunk == backend);
    }
    assert!(told.iter().all(|told| matches!(told, Told::Ok { .. })), "{told:?}");
    assert_eq!(error_of(Kind::Query, &wire(&[REPORT, OK])), Err(ReplyError::BeyondEnd));
}

#[test]
fn a_local_file_comes_in_the_middle_of_a_reply() {
    let (files, mut told, mut edits) = (OLD | Capabilities::LOCAL_FILES, Vec::new(), Edits::default());
    let mut reply = Reply::to_query(files, BEFORE);
    // Two results of rows, so that an old client's sequence ids are ahead.
    let rows = [&b"\x01"[..], DEFINITION, b"\x01a", END_MORE].repeat(2);
    let mut asks = wire(&[&rows[..], &[b"\xFBfile"]].concat());
    let len = asks.len();
    let scanned = reply.scan(&mut asks, &mut edits, &mut told).unwrap();
    assert_eq!(scanned, Scanned { relay: len, done: false, awaits_file: true });
    let mut file = reply.local_file();
    let mut sent = [1, 0, 0, 12, b'x', 0, 0, 0, 13];
    assert_eq!(file.pass(&mut sent), Ok(sent.len()));
    assert_eq!((sent[3], sent[8]), (10, 11), "the backend has sent nine packets");
    reply.resume(&file);
    assert_eq!(reply.next_seq(), 14);
    let mut answer = [&[7, 0, 0, 12][..], OK].concat();
    edits.clear();
    let scanned = reply.scan(&mut answer, &mut edits, &mut told).unwrap();
    assert_eq!((scanned.done, scanned.awaits_file, answer[3]), (true, false, 14));
}

#[test]
fn bytes_beyond_the_end_are_refused() {
    assert_eq!(error_of(Kind::Query, &wire(&[OK, OK])), Err(ReplyError::BeyondEnd));
    assert_eq!(error_of(Kind::Query, &wire(&[ERR, b""])), Err(ReplyError::BeyondEnd));
    assert_eq!(error_of(Kind::Query, &wire(&[b"\x01", DEFINITION, END, OK])), Err(ReplyError::BeyondEnd));
    assert_eq!(error_of(Kind::Prepare, &wire(&[&[0; 12], DEFINITION])), Err(ReplyError::BeyondEnd));
    assert_eq!(error_of(Kind::Statistics, &wire(&[b"a", b"b"])), Err(ReplyError::BeyondEnd));
    let one_more = [&wire(&[OK])[..], b"\x07"].concat();
    assert_eq!(error_of(Kind::Query, &one_more), Err(ReplyError::BeyondEnd));
}

#[test]
fn malformed_packets_are_refused() {
    let count = Malformed::Field("column count");
    let cases: [(Kind, &[&[u8]], Malformed); 10] = [
        (Kind::Query, &[b""], Malformed::Short { missing: 1 }),
        (Kind::Query, &[b"\0\0\0\x02"], Malformed::Short { missing: 1 }),
        (Kind::Query, &[b"\xFF\x01"], Malformed::Short { missing: 1 }),
        (Kind::Query, &[b"\xFC\x01"], Malformed::Short { missing: 1 }),
        (Kind::Query, &[b"\xFC\0\0"], count),
        (Kind::Query, &[b"\x01\x01"], count),
        (Kind::Query, &[b"\x01", DEFINITION, b"\xFE"], Malformed::Short { missing: 1 }),
        (Kind::Query, &[b"\x01", DEFINITION, b"\x011", b"\xFF"], Malformed::Short { missing: 2 }),
        (Kind::Prepare, &[b"\0\0\0"], Malformed::Short { missing: 2 }),
        (Kind::Prepare, &[b"\x01"], Malformed::PacketType { packet: "COM_STMT_PREPARE_OK", found: 1 }),
    ];
    for (kind, payloads, malformed) in cases {
        assert_eq!(error_of(kind, &wire(payloads)), Err(ReplyError::Malformed(malformed)), "{payloads:?}");
    }
}

#[test]
fn after_an_error_our_own_packet_follows_what_the_client_has() {
    let mut reply = Kind::Query.reply(OLD);
    let (mut edits, mut told) = (Edits::default(), Vec::new());
    reply.scan(&mut wire(&[b"\x01", DEFINITION]), &mut edits, &mut told).unwrap();
    // The EOF packet after the columns is owed still, and rows that come with the broken packet don't go on.
    assert_eq!(reply.next_seq(), 3);
    edits.clear();
    reply.scan(&mut wire(&[b"\x011", b"\x011", b"\xFE"]), &mut edits, &mut told).unwrap_err();
    assert_eq!((reply.next_seq(), reply.mid_packet()), (3, false));
}

/// Backends are expected to send none, but one that does is understood.
#[test]
fn a_real_eof_packet_ends_rows() {
    for client in CLIENTS {
        let backend = wire(&[b"\x01", DEFINITION, b"\x011", b"\xFE\x01\0\x02\0"]);
        let outcome = relay(Kind::Query.reply(client), [&backend[..]]);
        assert_eq!(outcome.result, Ok(true));
        assert!(outcome.to_client.ends_with(b"\xFE\x01\0\x02\0"));
        assert_eq!(outcome, relay(Kind::Query.reply(client), backend.chunks(1)));
    }
}

/// Bytes that are a reply or nearly: packets with the first bytes that mean something, some of them cut or too long.
fn nearly_a_reply(random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let known = [DEFINITION, OK, OK_MORE, OK_TRACKED, END, END_MORE, END_CURSOR, ERR, b"", b"\x01", b"\x02"];
    let mut bytes = Vec::new();
    for _ in 0..random(12) {
        match random(8) {
            0 => bytes.extend((0..random(9)).map(|_| random(256) as u8)),
            1 => {
                let first = [0, 1, 2, 0xFB, 0xFC, 0xFE, 0xFF][random(7)];
                let payload: Vec<u8> = std::iter::once(first).chain((0..random(20)).map(|_| 0)).collect();
                write_packet(&mut bytes, random(256) as u8, &payload);
            }
            2 => bytes.extend([0xFF, 0xFF, 0xFF, random(256) as u8]),
            _ => _ = write_packet(&mut bytes, random(256) as u8, known[random(known.len())]),
        }
    }
    bytes
}

#[test]
fn garbage_never_panics_and_means_the_same_however_it_is_cut() {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for round in 0..20_000 {
        let bytes = nearly_a_reply(&mut random);
        let kind = [Kind::Query, Kind::Execute, Kind::Prepare, Kind::FieldList, Kind::Statistics][random(5)];
        let client = CLIENTS[random(4)];
        let whole = relay(kind.reply(client), [&bytes[..]]);
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(1 + random(rest.len().min(20)));
            chunks.push(chunk);
            rest = after;
        }
        let cut = relay(kind.reply(client), chunks);
        assert_eq!((&whole.result, &whole.told), (&cut.result, &cut.told), "round {round}: {bytes:?}");
        // What follows an error in the same chunk does not go on, so there is less to compare.
        assert!(whole.result.is_err() || whole.to_client == cut.to_client, "round {round}: {bytes:?}");
    }
}

#[test]
fn edits_replace_insert_and_remove() {
    let mut edits = Edits::default();
    edits.replace(0..0, |out| out.extend_from_slice(b"<"));
    edits.replace(2..4, |out| out.extend_from_slice(b"XYZ"));
    edits.replace(4..5, |_| {});
    edits.replace(5..5, |out| out.extend_from_slice(b"1"));
    edits.replace(5..5, |out| out.extend_from_slice(b"2"));
    edits.packet(6..6, 9, b"p");
    assert_eq!((edits.len(), edits.is_empty()), (6, false));
    assert_eq!(carried_out(b"abcdef", &edits), b"<abXYZ12f\x01\0\0\x09p");
    edits.clear();
    assert_eq!((edits.len(), edits.is_empty()), (0, true));
    assert_eq!(carried_out(b"abcdef", &edits), b"abcdef");
}

#[test]
fn warnings_of_a_statement_before_are_nobodys() {
    for (client, own) in CLIENTS.into_iter().flat_map(|client| [(client, 0), (client, 1)]) {
        let mut reply = Reply::to_query(client, BEFORE).with_warnings(own);
        let (mut chunk, mut edits, mut told) = (wire(&[OK_TRACKED]), Edits::default(), Vec::new());
        let scanned = reply.scan(&mut chunk, &mut edits, &mut told).expect("an OK");
        assert!(scanned.done);
        let hidden = edits.copied(&chunk);
        let ok = OkPacket::parse(&hidden[HEADER_LEN..], client).expect("an OK");
        assert_eq!(ok.warnings, own);
        assert_eq!(ok.session_state.is_empty(), !client.contains(Capabilities::SESSION_TRACK));
        assert!(matches!(&told[..], [Told::Ok { warnings: 3, .. }]), "Athena itself is told");
    }
}

#[test]
fn changes_that_were_not_asked_for_are_left_out() {
    let of_client = |kinds: TrackedKinds, packet: &[u8]| {
        let mut reply = Reply::to_query(MODERN, BEFORE);
        reply.track(Tracked { kinds, variables: Rc::new(TrackedNames::of_value(b"*")) });
        let (mut chunk, mut edits, mut told) = (wire(&[packet]), Edits::default(), Vec::new());
        assert!(reply.scan(&mut chunk, &mut edits, &mut told).expect("an OK").done);
        assert_eq!(told, [Told::of(&OkPacket::parse(packet, MODERN).expect("an OK"))]);
        edits.copied(&chunk)[HEADER_LEN..].to_vec()
    };
    // USE test, as a server reports it that also tells of unnamed changes and of transactions.
    let all = b"\0\0\0\x02\x40\0\0\0\x16\x01\x05\x04test\x02\x02\x011\x05\x09\x08________";
    let schema = b"\0\0\0\x02\x40\0\0\0\x07\x01\x05\x04test";
    let none = b"\0\0\0\x02\0\0\0";
    assert_eq!(of_client(TrackedKinds::all(), all), all);
    assert_eq!(of_client(TrackedKinds::SCHEMA, all), schema);
    assert_eq!(of_client(TrackedKinds::SCHEMA, schema), schema);
    assert_eq!(of_client(TrackedKinds::empty(), all), none);
    assert_eq!(of_client(TrackedKinds::SCHEMA, none), none);
    // What can't be read is not touched.
    let broken = b"\0\0\0\x02\x40\0\0\0\x03\x01\x05\x04";
    assert_eq!(of_client(TrackedKinds::empty(), broken), broken);
}

#[test]
fn tables_have_the_clients_names_however_a_reply_is_cut() {
    const SERVERS: &[u8] = b"\x03def\x04test\x01u\x07users_3\x02id\x02id\x0c rest";
    const CLIENTS_OWN: &[u8] = b"\x03def\x04test\x01u\x05users\x02id\x02id\x0c rest";
    const ERR_SERVERS: &[u8] = b"\xFF\x7A\x04#42S02Table 'test.users_3' doesn't exist";
    const ERR_CLIENTS: &[u8] = b"\xFF\x7A\x04#42S02Table 'test.users' doesn't exist";
    let renamed = |client: Capabilities, packets: &[&[u8]], cut: usize| {
        let mut reply = Reply::to_query(client, BEFORE);
        reply.rename(Renames::new([(b"users_3".to_vec(), b"users".to_vec())], []));
        let (bytes, mut told, mut out) = (wire(packets), Vec::new(), Vec::new());
        for chunk in bytes.chunks(cut) {
            let (mut chunk, mut edits) = (chunk.to_vec(), Edits::default());
            let scanned = reply.scan(&mut chunk, &mut edits, &mut told).expect("a reply");
            chunk.truncate(scanned.relay);
            out.extend(edits.copied(&chunk));
        }
        out
    };
    for client in CLIENTS {
        for (server, own) in [
            (
                &[b"\x02", SERVERS, SERVERS, b"\x011\x012", END][..],
                &[b"\x02", CLIENTS_OWN, CLIENTS_OWN, b"\x011\x012", END][..],
            ),
            (&[ERR_SERVERS][..], &[ERR_CLIENTS][..]),
            (&[b"\x01", SERVERS, ERR_SERVERS][..], &[b"\x01", CLIENTS_OWN, ERR_CLIENTS][..]),
        ] {
            let expected = relay(Reply::to_query(client, BEFORE), [&wire(own)[..]]).to_client;
            for cut in 1..=wire(server).len() {
                assert_eq!(renamed(client, server, cut), expected, "cut at {cut}");
            }
        }
    }
}
