//! What servers answer.

use std::rc::Rc;

use athena::protocol::capability::{Capabilities, StatusFlags};
use athena::protocol::packet::{PacketError, PacketReader};
use athena::protocol::reply::{Edits, Observer, Reply, ReplyError};
use athena::protocol::response::{EofPacket, ErrPacket, OkPacket};
use athena::protocol::resultset::text_resultset;
use athena::protocol::session_track::Trackers;
use athena::protocol::statement::PrepareOk;
use athena::protocol::tracked::{Tracked, TrackedKinds, TrackedNames};

use super::cuts::{cut, option};

/// OK, ERR and EOF packets say the same after they were written and read; trackers end.
pub fn responses(bytes: &[u8]) {
    let (options, payload) = option(bytes);
    let mut capabilities = Capabilities::PROTOCOL_41;
    capabilities.set(Capabilities::SESSION_TRACK, options & 1 == 1);
    if let Ok(mut ok) = OkPacket::parse(payload, capabilities) {
        // The flag is written exactly when a state goes with it.
        let has_state = !ok.session_state.is_empty();
        ok.status.set(StatusFlags::SESSION_STATE_CHANGED, has_state);
        assert_eq!(OkPacket::parse(&ok.encode(capabilities), capabilities), Ok(ok));
        let trackers = Trackers::new(ok.session_state);
        assert!(trackers.count() <= payload.len(), "more trackers than bytes");
        let names: [&[u8]; 4] = [b"*", b"", b"autocommit,time_zone", b"Autocommit,sql_mode"];
        let variables = Rc::new(TrackedNames::of_value(names[usize::from(options >> 6)]));
        let kinds = TrackedKinds::from_bits_truncate(options >> 1);
        leave_out(&Tracked { kinds, variables }, ok.session_state);
    }
    if let Ok(err) = ErrPacket::parse(payload) {
        assert_eq!(ErrPacket::parse(&err.encode(true)), Ok(err));
    }
    if let Ok(mut eof) = EofPacket::parse(payload) {
        // It has no place for a state.
        eof.status.remove(StatusFlags::SESSION_STATE_CHANGED);
        assert_eq!(EofPacket::parse(&eof.encode()), Ok(eof));
    }
}

/// Of a session state that is right all is kept, or something is left out or comes elsewhere. What is kept stays.
fn leave_out(tracked: &Tracked, state: &[u8]) {
    let mut kept = Vec::new();
    match (tracked.changes(state), tracked.keep(state, &mut kept)) {
        (Ok(false), Ok(())) => assert_eq!(Trackers::new(&kept).count(), Trackers::new(state).count()),
        (Ok(true), Ok(())) => {
            assert!(Trackers::new(&kept).count() <= Trackers::new(state).count());
            // A state of transactions may have stayed for the sake of what was left out.
            let settled = !tracked.kinds.contains(TrackedKinds::TRANSACTION_BOUNDS);
            assert!(!settled || tracked.changes(&kept) == Ok(false));
        }
        (Ok(true), Err(_)) => {}
        (Err(_), result) => assert!(result.is_err()),
        (Ok(false), Err(error)) => panic!("{error} where all is kept"),
    }
}

/// A client gets the same bytes, and Athena is told the same, however a reply is cut.
pub fn reply(bytes: &[u8]) {
    let (options, rest) = option(bytes);
    let (seed, wire) = option(rest);
    let whole = follow(options, &[wire]);
    assert_eq!(follow(options, &cut(wire, seed)), whole);
}

/// A result that Athena makes is a reply as a server would have sent it.
pub fn made(bytes: &[u8]) {
    let (options, rest) = option(bytes);
    let mut client = Capabilities::PROTOCOL_41;
    client.set(Capabilities::DEPRECATE_EOF, options & 1 == 1);
    let mut texts = rest.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    // Servers send no result without columns, nor an empty definition.
    let width = usize::from(options >> 1 & 3) + 1;
    let columns: Vec<_> =
        (0..width).map(|_| [b"\x03def", &texts.next().unwrap_or_default()[..]].concat()).collect();
    let values: Vec<_> = texts.map(|text| (text != b"NULL").then_some(text)).collect();
    let rows: Vec<_> = values.chunks_exact(width).map(<[_]>::to_vec).collect();
    let status = StatusFlags::AUTOCOMMIT;
    let wire = text_resultset(client, status, &columns, &rows);
    let mut read = wire.clone();
    // A server's own replies are in the new dialect, and read so; the old one is the client's.
    if client.contains(Capabilities::DEPRECATE_EOF) {
        let mut reply = Reply::to_query(client, status);
        let scanned = reply.scan(&mut read, &mut Edits::default(), &mut Told(Vec::new()));
        assert!(scanned.is_ok_and(|scanned| scanned.done && scanned.relay == wire.len()));
    }
    let packets = 1 + width + rows.len() + if options & 1 == 1 { 1 } else { 2 };
    let mut reader = PacketReader::new(1, 1 << 20);
    let mut input = &wire[..];
    let mut found = 0;
    while let Ok(Some(_)) = reader.feed(&mut input) {
        found += 1;
    }
    assert_eq!((found, input.len()), (packets, 0));
}

/// The file of a LOAD DATA LOCAL has the same end, and the backend gets the same bytes, however it is cut.
pub fn local_file(bytes: &[u8]) {
    let (seed, wire) = option(bytes);
    let whole = pass_file(&[wire]);
    assert_eq!(pass_file(&cut(wire, seed)), whole);
}

/// The backend's bytes, whether the file is over, and the error if there was one.
fn pass_file(chunks: &[&[u8]]) -> (Vec<u8>, bool, Option<PacketError>) {
    // An old client's ids are ahead of the backend's after a result with rows.
    let request = b"\x01\0\0\x01\x01\x02\0\0\x02\x01c\x07\0\0\x03\xfe\0\0\x0a\0\0\0\x02\0\0\x04\xfbf";
    let client = Capabilities::PROTOCOL_41 | Capabilities::LOCAL_FILES;
    let mut reply = Reply::to_query(client, StatusFlags::AUTOCOMMIT);
    let scanned = reply.scan(&mut request.to_vec(), &mut Edits::default(), &mut Told(Vec::new()));
    assert!(scanned.is_ok_and(|scanned| scanned.awaits_file));
    let mut file = reply.local_file();
    let mut backend = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        match file.pass(&mut chunk) {
            Ok(passed) => {
                assert!(passed == chunk.len() || file.is_over());
                backend.extend_from_slice(&chunk[..passed]);
            }
            Err(error) => return (Vec::new(), false, Some(error)),
        }
    }
    if file.is_over() {
        reply.resume(&file);
        assert_eq!(reply.next_seq(), file.next_seq());
    }
    (backend, file.is_over(), None)
}

/// What came of a reply.
#[derive(Debug, PartialEq, Eq)]
struct Followed {
    /// The client's bytes; after an error nobody asks for them.
    client: Vec<u8>,
    told: Vec<String>,
    done: bool,
    error: Option<ReplyError>,
    /// The sequence id of a packet that would follow, and whether one may follow.
    next: (u8, bool),
}

fn follow(options: u8, chunks: &[&[u8]]) -> Followed {
    let flag = |bit: u8| options >> bit & 1 == 1;
    let mut client = Capabilities::PROTOCOL_41;
    client.set(Capabilities::DEPRECATE_EOF, flag(0));
    client.set(Capabilities::SESSION_TRACK, flag(1));
    client.set(Capabilities::MARIADB_PROGRESS, flag(6));
    client.set(Capabilities::LOCAL_FILES, flag(7));
    let status = StatusFlags::AUTOCOMMIT;
    let mut reply = match options >> 2 & 3 {
        0 => Reply::to_execute(client, status, flag(4)),
        1 => Reply::to_prepare(client, status),
        2 if flag(4) => Reply::to_binlog_dump(client, status),
        2 => Reply::to_field_list(client, status),
        _ => Reply::to_statistics(client, status),
    };
    if flag(5) {
        reply = reply.with_warnings(1);
    }
    if flag(6) {
        reply.track(Tracked::by_default().and(TrackedKinds::TRANSACTION_BOUNDS));
    }
    let mut edits = Edits::default();
    let mut told = Told(Vec::new());
    let mut followed =
        Followed { client: Vec::new(), told: Vec::new(), done: false, error: None, next: (0, false) };
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        edits.clear();
        match reply.scan(&mut chunk, &mut edits, &mut told) {
            Ok(scanned) => {
                chunk.truncate(scanned.relay);
                followed.client.extend(edited(&edits, &chunk));
                followed.done = scanned.done;
            }
            Err(error) => {
                followed.error = Some(error);
                followed.client.clear();
                followed.done = false;
                break;
            }
        }
    }
    followed.told = told.0;
    if followed.error.is_none() {
        followed.next = (reply.next_seq(), reply.mid_packet());
    }
    followed
}

/// The chunk with the edits carried out, in both ways that there are.
fn edited(edits: &Edits, chunk: &[u8]) -> Vec<u8> {
    let copied = edits.copied(chunk);
    let mut spliced = chunk.to_vec();
    for (range, bytes) in edits.backwards() {
        spliced.splice(range, bytes.iter().copied());
    }
    assert_eq!(copied, spliced);
    assert!(copied.len() <= chunk.len() + edits.growth());
    copied
}

/// What an observer was told.
struct Told(Vec<String>);

impl Observer for Told {
    fn ok(&mut self, ok: &OkPacket<'_>, _: Option<u64>) {
        self.0.push(format!("{ok:?}"));
    }

    fn err(&mut self, err: &ErrPacket) {
        self.0.push(format!("error {}", err.code));
    }

    fn prepared(&mut self, ok: &PrepareOk) -> u32 {
        self.0.push(format!("{ok:?}"));
        0xAABB_CCDD
    }
}
