//! Rows in chunks that are cut anywhere, and taken whenever, against all of them.

use super::lane::Chunk;
use super::{Budget, Flow, Step, Stream, Window};
use crate::protocol::column_definition::{ColumnDefinition, column_type};
use crate::protocol::packet::{PacketReader, write_packet};
use crate::protocol::result_reader::{ResultPart, ResultReader};
use crate::protocol::row::RowEncoding;
use crate::router::sharding::{Column, Compared, Merge, OrderKey, Rows};

const PLENTY: Budget = Budget { max_rows: usize::MAX, max_bytes: usize::MAX };
const NOTHING: Budget = Budget { max_rows: 0, max_bytes: 0 };

/// More than a window.
const LONG: usize = 200_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

fn merge(is_sorted: bool) -> Merge {
    let value = Column::Visible(0);
    let order = OrderKey { by: Compared { value, weight: value }, descending: false };
    let order = if is_sorted { vec![order] } else { Vec::new() };
    Merge { hidden: 0, rows: Rows::Each, order, limit: None }
}

fn columns() -> Vec<Vec<u8>> {
    let column = |name: &'static str, kind| {
        let kind = ColumnDefinition { kind, ..definition(name.as_bytes()) };
        kind.encode()
    };
    vec![column("n", column_type::LONGLONG), column("s", column_type::VAR_STRING)]
}

fn definition(name: &[u8]) -> ColumnDefinition<'_> {
    ColumnDefinition { org_name: name, length: 20, ..ColumnDefinition::of_no_table(name, 0) }
}

fn row(number: usize, len: usize) -> Vec<u8> {
    let digits = number.to_string();
    let mut row = vec![digits.len() as u8];
    row.extend(digits.bytes());
    match len {
        0..251 => row.push(len as u8),
        _ => row.extend([0xFD, len as u8, (len >> 8) as u8, (len >> 16) as u8]),
    }
    row.resize(row.len() + len, b'x');
    row
}

/// The reply of a shard that is still to come, and what of the result was given.
struct Shard {
    reply: Vec<u8>,
    at: usize,
    reader: ResultReader,
    lane: usize,
}

impl Shard {
    fn new(rows: &[Vec<u8>], lane: usize) -> Self {
        let (mut reply, mut seq) = (Vec::new(), 1);
        let columns = columns();
        for packet in [vec![columns.len() as u8]].iter().chain(&columns).chain(rows) {
            seq = write_packet(&mut reply, seq, packet);
        }
        write_packet(&mut reply, seq, b"\xFE\0\0\x02\0\0\0");
        Self { reply, at: 0, reader: ResultReader::default(), lane }
    }

    fn arrive(&mut self, len: usize, stream: &mut Stream<Vec<u8>>) -> Flow {
        let chunk = &self.reply[self.at..self.reply.len().min(self.at + len)];
        self.at += chunk.len();
        let (mut at, mut flow, mut definitions) = (0, Flow::More, columns());
        while let Some(part) = self.reader.next(chunk, &mut at).expect("a reply") {
            match part {
                ResultPart::Column(_) | ResultPart::Ok(_) => {}
                ResultPart::Columns => {
                    let definitions = std::mem::take(&mut definitions);
                    stream.columns(self.lane, self.lane, &definitions).expect("alike");
                }
                ResultPart::Rows(region) => {
                    let bytes = [region.before.bytes(), &chunk[region.range]].concat();
                    flow = stream.push(self.lane, bytes, region.rows, false).expect("alike");
                }
                ResultPart::End(_) => stream.end(self.lane),
            }
        }
        flow
    }

    fn is_over(&self) -> bool {
        self.at == self.reply.len()
    }
}

#[test]
fn rows_that_come_in_any_chunks_go_out_whole() {
    for round in 0..400u64 {
        let random = &mut Random(round);
        let is_sorted = random.below(2) == 0;
        let long = if round % 8 == 0 { LONG } else { 300 };
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for _ in 0..1 + random.below(4) {
            let mut numbers: Vec<_> = (0..random.below(40)).map(|_| random.below(1000)).collect();
            numbers.sort_unstable();
            parts.push(numbers);
        }
        let all: Vec<_> = parts.concat();
        let window = (random.below(2) == 0)
            .then(|| Window { offset: random.below(20) as u64, count: random.below(40) as u64 });
        let mut stream = Stream::<Vec<u8>>::new(merge(is_sorted), RowEncoding::Text, window, NOTHING);
        let mut shards: Vec<_> = parts
            .iter()
            .map(|part| {
                let rows: Vec<_> = part.iter().map(|number| row(*number, random.below(long))).collect();
                Shard::new(&rows, stream.begin())
            })
            .collect();
        stream.all_begun();
        let (mut wire, mut begun, mut enough) = (Vec::new(), false, false);
        loop {
            begun = begun || stream.head().expect("alike").is_some();
            let mut out = Vec::new();
            let step = if begun { stream.step(&mut out).expect("good rows") } else { Step::Wait };
            wire.extend(out);
            match step {
                Step::End => break,
                Step::Chunk(chunk) => wire.extend(chunk),
                Step::Full => {}
                Step::Wait => {
                    assert!(!enough, "round {round}: what is there does");
                    let open: Vec<_> = shards
                        .iter_mut()
                        .filter(|shard| !shard.is_over() && stream.has_room(shard.lane))
                        .collect();
                    let one = random.below(open.len());
                    let shard = open.into_iter().nth(one).expect("somebody may send");
                    let len = 1 + random.below(if long == LONG { 16_384 } else { 500 });
                    enough = shard.arrive(len, &mut stream) == Flow::Enough;
                }
            }
        }
        let (mut reader, mut rest, mut found) = (PacketReader::new(1, usize::MAX), &wire[..], Vec::new());
        while let Some(packet) = reader.feed(&mut rest).expect("numbered on") {
            let digits =
                std::str::from_utf8(&packet.payload[1..1 + packet.payload[0] as usize]).expect("digits");
            found.push(digits.parse::<usize>().expect("a number"));
        }
        assert!(rest.is_empty(), "round {round}");
        let Window { offset, count } = window.unwrap_or(Window { offset: 0, count: u64::MAX });
        let wanted =
            all.len().saturating_sub(offset as usize).min(usize::try_from(count).unwrap_or(usize::MAX));
        assert_eq!((found.len(), stream.passed()), (wanted, wanted as u64), "round {round}");
        if is_sorted {
            let mut sorted = all;
            sorted.sort_unstable();
            assert_eq!(found, sorted[(offset as usize).min(sorted.len())..][..wanted], "round {round}");
        } else {
            let mut left = all;
            for number in found {
                let at = left.iter().position(|known| *known == number).expect("each once");
                left.swap_remove(at);
            }
        }
    }
}

#[test]
fn a_row_that_is_under_way_can_be_ended() {
    let mut stream = Stream::<Vec<u8>>::new(merge(false), RowEncoding::Text, None, PLENTY);
    let rows: Vec<_> = (0..3).map(|number| row(number, 1000)).collect();
    let mut shard = Shard::new(&rows, stream.begin());
    stream.all_begun();
    for _ in 0..3 {
        let _ = shard.arrive(700, &mut stream);
    }
    assert!(stream.head().expect("columns").is_some());
    let mut wire = Vec::new();
    while let Step::Chunk(chunk) = stream.step(&mut wire).expect("rows") {
        wire.extend(chunk);
        if stream.is_within_row() {
            wire.extend(stream.rest_of_row().expect("it is here"));
            assert!(!stream.is_within_row());
        }
        let (mut reader, mut rest) = (PacketReader::new(1, usize::MAX), &wire[..]);
        while reader.feed(&mut rest).expect("numbered").is_some() {}
        assert_eq!(reader.next_seq(), stream.seq());
        assert_eq!(u64::from(reader.next_seq()), 1 + stream.passed(), "it ends with a row");
    }
    assert!(!wire.is_empty());
}

#[test]
fn a_window_is_held_of_each_shard() {
    let mut stream = Stream::<Vec<u8>>::new(merge(true), RowEncoding::Text, None, PLENTY);
    let [first, second] = [stream.begin(), stream.begin()];
    let push = |stream: &mut Stream<Vec<u8>>, lane| {
        let mut packet = Vec::new();
        write_packet(&mut packet, 0, &row(1, 10_000));
        stream.push(lane, packet, 1, true).expect("plenty")
    };
    for lane in [first, second] {
        stream.columns(lane, lane, &columns()).expect("alike");
    }
    for _ in 0..50 {
        assert_eq!(push(&mut stream, first), Flow::More);
    }
    stream.all_begun();
    assert!(!stream.has_room(first) && stream.has_room(second));
    assert_eq!(stream.step(&mut Vec::new()), Ok(Step::Wait), "the other may have the first row");
    assert_eq!(push(&mut stream, second), Flow::More);
    stream.end(second);
    let mut out = Vec::new();
    while !stream.has_room(first) {
        out.clear();
        assert_eq!(stream.step(&mut out), Ok(Step::Full));
    }
    assert!(stream.passed() >= 40);
}

/// A shard that has not begun waits for the connection of the first one.
#[test]
fn rows_without_an_order_go_out_early_where_nothing_may_be_kept() {
    for (is_sorted, holds_back) in [(false, false), (true, false), (false, true)] {
        let mut stream = Stream::<Vec<u8>>::new(merge(is_sorted), RowEncoding::Text, None, NOTHING);
        if holds_back {
            stream.hold_back();
        }
        let first = stream.begin();
        stream.columns(first, 0, &columns()).expect("the first");
        assert_eq!(stream.head(), Ok(None));
        let mut rows = Vec::new();
        write_packet(&mut rows, 0, &row(1, 10));
        let pushed = stream.push(first, rows.clone(), 1, true);
        if is_sorted || holds_back {
            assert!(pushed.is_err() && stream.head() == Ok(None));
            continue;
        }
        assert_eq!(pushed, Ok(Flow::More));
        assert_eq!(stream.head(), Ok(Some(columns())));
        assert!(matches!(stream.step(&mut Vec::new()), Ok(Step::Chunk(_))));
        assert_eq!(stream.step(&mut Vec::new()), Ok(Step::Wait));
        stream.end(first);
        assert_eq!(stream.step(&mut Vec::new()), Ok(Step::Wait), "another shard follows");
        let second = stream.begin();
        stream.all_begun();
        assert!(stream.columns(second, 1, &columns()[..1]).is_err(), "it is to have the same columns");
        stream.columns(second, 1, &columns()).expect("alike");
        assert_eq!(stream.push(second, rows, 1, false), Ok(Flow::More));
        assert!(matches!(stream.step(&mut Vec::new()), Ok(Step::Chunk(_))));
        stream.end(second);
        assert_eq!(stream.step(&mut Vec::new()), Ok(Step::End));
        assert_eq!(stream.passed(), 2);
    }
}

#[test]
fn a_part_of_a_vector_is_kept() {
    let mut bytes = b"abcdef".to_vec();
    bytes.keep(2..4);
    assert_eq!(bytes, b"cd");
}
