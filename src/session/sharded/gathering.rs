//! A read of several shards while it runs: what is still to be said, and what has come and is not the client's yet.
//!
//! ```text
//!  legs ──▶ the session's link, or one beside it ──▶ lanes, or groups ──▶ the client
//! ```
//!
//! A part waits where its lane is full. Whatever ends the read ends its parts: a failure, the rows that do, the session.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::net::{Payload, Poker, Timer, Timers};
use crate::pool::LinkError;
use crate::protocol::reply::Renames;
use crate::protocol::result_reader::{ResultPart, ResultReader};
use crate::protocol::resultset::ResultsetWriter;
use crate::protocol::rows::RowCutter;
use crate::protocol::warnings::WarningList;
use crate::router::sharding::{
    Chunk, FULL_BYTES, Flow, MergeError, Merged, MergedRows, Merger, Merging, Step, Stream, Whole,
};

use super::super::failure::Refusal;
use super::collect::each_row;
use super::several::Leg;

/// How long parts may go on whose rows are not needed any more: mostly they are about to end, and their links stay.
pub(super) const ABOUT_TO_END: Duration = Duration::from_millis(20);

/// How long a part with a full lane waits for others to get their links, before its rows are kept for their sake: where there are no
/// links to be had, others may wait for the one that it has.
const ABOUT_TO_BEGIN: Duration = Duration::from_millis(300);

impl Chunk for Payload {
    fn keep(&mut self, range: Range<usize>) {
        Payload::keep(self, range);
    }
}

pub(super) struct Gathering {
    legs: RefCell<VecDeque<Leg>>,
    sink: RefCell<Sink>,
    /// The client gets nothing of it as it comes.
    holds_back: Cell<bool>,
    /// The rows that there are do: nothing more is read.
    enough: Cell<bool>,
    /// Parts that have not ended.
    left: Cell<usize>,
    /// Rows that are the client's.
    passed: Cell<u64>,
    /// Tasks that may get a link still.
    opening: Cell<usize>,
    patient_until: Instant,
    timers: Rc<Timers>,
    /// Parts that wait for room in their lanes.
    waiting: RefCell<Vec<Option<Waker>>>,
    warnings: Cell<u16>,
    /// What they are, by shard.
    listed: RefCell<Vec<(u32, WarningList)>>,
    /// Why the read fails; the first reason counts.
    failure: RefCell<Option<Refusal>>,
    /// It has failed, for this reason or one that the session knows.
    failed: Cell<bool>,
    /// The session waits for nothing more.
    over: Cell<bool>,
    /// The tasks, and the session.
    tasks: RefCell<Vec<Poker>>,
    session: Poker,
    pub limit: Duration,
    /// When its time has passed; `None` is without limit.
    until: Option<Instant>,
}

enum Sink {
    Groups(Merger),
    /// The groups are complete.
    Merged(MergedRows),
    Rows(Stream<Payload>),
    /// It has failed.
    Nothing,
}

/// One part, as far as it was read.
pub(super) struct Reading {
    pub lane: usize,
    pub shard: u32,
    /// Of its columns, where nobody has renamed them before.
    renames: Renames,
    reader: ResultReader,
    columns: Vec<Vec<u8>>,
    /// For groups.
    cutter: RowCutter,
}

impl Gathering {
    pub fn new(
        legs: Vec<Leg>,
        merging: Merging<Payload>,
        timer: &Timer,
        timers: &Rc<Timers>,
        limit: Duration,
    ) -> Rc<Self> {
        Rc::new(Self {
            opening: Cell::new(0),
            patient_until: timer.now() + ABOUT_TO_BEGIN,
            timers: timers.clone(),
            left: Cell::new(legs.len()),
            passed: Cell::new(0),
            legs: RefCell::new(legs.into()),
            sink: RefCell::new(match merging {
                Merging::Groups(merger) => Sink::Groups(merger),
                Merging::Rows(stream) => Sink::Rows(stream),
            }),
            holds_back: Cell::new(false),
            enough: Cell::new(false),
            waiting: RefCell::default(),
            warnings: Cell::new(0),
            listed: RefCell::default(),
            failure: RefCell::default(),
            failed: Cell::new(false),
            over: Cell::new(false),
            tasks: RefCell::default(),
            session: timer.poker(),
            limit,
            until: (!limit.is_zero()).then(|| timer.now() + limit),
        })
    }

    /// The next part that nobody has begun, of those that this cluster has.
    pub fn begin(&self, at: usize, renames: Renames) -> Option<(Leg, Reading)> {
        if self.enough.get() || self.over.get() || self.has_failed() {
            return None;
        }
        let mut legs = self.legs.borrow_mut();
        let next = legs.iter().position(|leg| leg.at == at)?;
        let leg = legs.remove(next)?;
        let mut lane = 0;
        if let Sink::Rows(stream) = &mut *self.sink.borrow_mut() {
            lane = stream.begin();
            if legs.is_empty() {
                stream.all_begun();
            }
        }
        let shard = leg.shard;
        let (reader, cutter) = (ResultReader::default(), RowCutter::default());
        Some((leg, Reading { lane, shard, renames, reader, columns: Vec::new(), cutter }))
    }

    /// Takes bytes of a part's reply in. The packet that ends it, if they have that.
    ///
    /// # Errors
    /// Where they are not a reply with rows.
    pub fn take(&self, reading: &mut Reading, mut bytes: Payload) -> Result<Option<Vec<u8>>, LinkError> {
        let (mut at, mut rows, mut end) = (0, None, None);
        while let Some(part) = reading.reader.next(&bytes, &mut at)? {
            match part {
                ResultPart::Column(column) => {
                    let renamed = reading.renames.column(&column).ok().flatten();
                    reading.columns.push(renamed.unwrap_or(column));
                }
                ResultPart::Columns => self.columns(reading),
                ResultPart::Rows(region) => {
                    // Something that counts for nothing stands between them.
                    if let Some(before) = rows.replace(region) {
                        let rows = bytes.get(before.range).unwrap_or_default();
                        let rows = [before.before.bytes(), rows].concat();
                        self.rows(reading, rows.into(), before.rows);
                    }
                }
                ResultPart::Ok(ok) => {
                    self.fail(Refusal::unsupported("a statement without rows over several shards"));
                    end = Some(ok);
                }
                ResultPart::End(packet) => end = Some(packet),
            }
        }
        if let Some(region) = rows {
            bytes.keep(region.range);
            bytes.prepend(region.before.bytes());
            self.rows(reading, bytes, region.rows);
        }
        Ok(end)
    }

    fn columns(&self, reading: &mut Reading) {
        let columns = std::mem::take(&mut reading.columns);
        self.with_sink(|sink| match sink {
            Sink::Groups(merger) => merger.columns(reading.shard as usize, &columns).map(|()| Flow::More),
            Sink::Rows(stream) => {
                stream.columns(reading.lane, reading.shard as usize, &columns).map(|()| Flow::More)
            }
            Sink::Merged(_) | Sink::Nothing => Ok(Flow::More),
        });
    }

    fn rows(&self, reading: &mut Reading, bytes: Payload, rows: usize) {
        let Reading { cutter, lane, .. } = reading;
        self.with_sink(|sink| match sink {
            Sink::Groups(merger) => {
                let mut flow = Flow::More;
                each_row(cutter, &bytes, |row| {
                    flow = merger.row(row)?;
                    Ok(())
                })
                .map(|()| flow)
            }
            Sink::Rows(stream) => {
                let keeps = self.keeps(stream);
                stream.push(*lane, bytes, rows, keeps)
            }
            Sink::Merged(_) | Sink::Nothing => Ok(Flow::More),
        });
    }

    /// Something has come, unless nothing is wanted any more.
    fn with_sink(&self, take: impl FnOnce(&mut Sink) -> Result<Flow, MergeError>) {
        if self.is_done_with_parts() {
            return;
        }
        let taken = take(&mut self.sink.borrow_mut());
        match taken {
            Ok(Flow::More) => self.session.poke(),
            Ok(Flow::Enough) => self.be_enough(),
            Err(error) => self.fail(Refusal::merge(error)),
        }
    }

    /// A part has so many warnings of its own.
    pub fn add_warnings(&self, warnings: u16) {
        self.warnings.set(self.warnings.get().saturating_add(warnings));
    }

    /// The warnings of a part.
    pub fn list(&self, shard: u32, list: WarningList) {
        self.listed.borrow_mut().push((shard, list));
    }

    /// Those of all parts, in the order of the shards.
    pub fn listed(&self) -> Vec<WarningList> {
        let mut all = self.listed.take();
        all.sort_by_key(|(shard, _)| *shard);
        all.into_iter().map(|(_, list)| list).collect()
    }

    /// What comes is for somebody else than the client.
    pub fn hold_back(&self) {
        self.holds_back.set(true);
        if let Sink::Rows(stream) = &mut *self.sink.borrow_mut() {
            stream.hold_back();
        }
    }

    /// Whether all parts are over, or count for nothing any more.
    pub fn is_complete(&self) -> bool {
        self.left.get() == 0 || self.is_done_with_parts()
    }

    /// The definitions of the columns and all rows, where they were held back.
    ///
    /// # Errors
    /// Where the parts don't make one result.
    pub fn take_rows(&self) -> Result<Whole, MergeError> {
        let mut stream = match self.sink.replace(Sink::Nothing) {
            Sink::Groups(merger) => return merger.finish().and_then(Merged::into_whole),
            Sink::Rows(stream) => stream,
            Sink::Merged(_) | Sink::Nothing => return Err(MergeError::NoColumns),
        };
        let columns = stream.head()?.ok_or(MergeError::NoColumns)?;
        let (mut cutter, mut rows, mut bytes) = (RowCutter::default(), Vec::new(), Vec::new());
        loop {
            let step = stream.step(&mut bytes)?;
            let (chunk, is_over) = match step {
                Step::Chunk(chunk) => (Some(chunk), false),
                Step::Full => (None, false),
                // Nothing more comes.
                Step::End | Step::Wait => (None, true),
            };
            for part in [&bytes[..], chunk.as_deref().unwrap_or_default()] {
                each_row(&mut cutter, part, |row| {
                    rows.push(row.to_vec());
                    Ok::<_, MergeError>(())
                })?;
            }
            bytes.clear();
            if is_over {
                return Ok(Whole { columns, rows });
            }
        }
    }

    /// A part has come to its end.
    pub fn end_part(&self, reading: &Reading) {
        self.left.set(self.left.get() - 1);
        if let Sink::Rows(stream) = &mut *self.sink.borrow_mut() {
            stream.end(reading.lane);
        }
        self.session.poke();
    }

    /// Whether a part that has not begun has to wait for one that has: nobody else will have a link for it.
    fn keeps(&self, stream: &Stream<Payload>) -> bool {
        if self.holds_back.get() {
            return true;
        }
        let left = self.legs.borrow().len();
        left > 0 && self.opening.get() < left && !stream.is_early()
    }

    /// Whether a part has to wait for room in its lane. While others are about to begin there is some for a while: then rows are kept
    /// for their sake, but for those that would be too many.
    fn is_full(&self, stream: &mut Stream<Payload>, lane: usize) -> bool {
        if stream.has_room(lane) || self.keeps(stream) {
            return false;
        }
        if self.legs.borrow().is_empty() || self.timers.now() < self.patient_until || stream.is_early() {
            return true;
        }
        let is_too_much = stream.check_budget().is_err();
        if is_too_much && stream.go_early() {
            self.session.poke();
        }
        is_too_much
    }

    /// Waits until more of a part is wanted, or nothing more at all.
    pub async fn room(&self, lane: usize) {
        let mut patience = None;
        std::future::poll_fn(|cx| {
            let full = match &mut *self.sink.borrow_mut() {
                Sink::Rows(stream) => self.is_full(stream, lane),
                _ => false,
            };
            if !full || self.is_done_with_parts() || self.over.get() {
                return Poll::Ready(());
            }
            if !self.legs.borrow().is_empty() {
                // Looked at again when that is over.
                let patience = patience.get_or_insert_with(|| Timer::new(&self.timers));
                let _ = patience.poll_at(self.patient_until, cx);
            }
            let mut waiting = self.waiting.borrow_mut();
            let least = waiting.len().max(lane + 1);
            waiting.resize(least, None);
            if let Some(place) = waiting.get_mut(lane) {
                *place = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Whether what parts still say counts for nothing.
    fn is_done_with_parts(&self) -> bool {
        self.enough.get() || self.has_failed()
    }

    pub fn is_enough(&self) -> bool {
        self.enough.get()
    }

    fn be_enough(&self) {
        self.enough.set(true);
        self.wake_all();
    }

    /// The session's own part fails, and the session knows why.
    pub fn stop(&self) {
        self.failed.set(true);
        self.wake_all();
    }

    pub fn fail(&self, refusal: Refusal) {
        self.failure.borrow_mut().get_or_insert(refusal);
        self.stop();
    }

    pub fn has_failed(&self) -> bool {
        self.failed.get()
    }

    pub fn failure(&self) -> Option<Refusal> {
        self.failure.borrow_mut().take()
    }

    /// The warnings of parts.
    pub fn warnings(&self) -> u16 {
        self.warnings.get()
    }

    /// Nothing more is waited for.
    pub fn end(&self) {
        self.over.set(true);
        self.wake_all();
        self.sink.replace(Sink::Nothing);
    }

    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// A task works for it, and gets itself a link until it drops what it is given.
    pub fn enter(self: &Rc<Self>, task: Poker) -> Opening {
        self.tasks.borrow_mut().push(task);
        Opening(self.clone())
    }

    /// So many will.
    pub fn expect(&self, tasks: usize) {
        self.opening.set(self.opening.get() + tasks);
    }

    fn wake_all(&self) {
        self.waiting.borrow_mut().iter_mut().filter_map(Option::take).for_each(Waker::wake);
        self.tasks.borrow().iter().for_each(Poker::poke);
        self.session.poke();
    }

    /// How long a part may still take; zero is without limit.
    pub fn left(&self, timer: &Timer) -> Duration {
        /// Zero would be no limit.
        const LEAST: Duration = Duration::from_millis(1);
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(timer.now()).max(LEAST))
    }
}

/// What the client gets.
impl Gathering {
    /// Its columns, once rows may follow.
    ///
    /// # Errors
    /// Where the parts don't make one result.
    pub fn head(&self) -> Result<Option<Vec<Vec<u8>>>, MergeError> {
        if self.holds_back.get() {
            return Ok(None);
        }
        let mut sink = self.sink.borrow_mut();
        match &mut *sink {
            Sink::Rows(stream) => {
                let head = stream.head()?;
                let is_enough = head.is_some() && stream.is_enough();
                drop(sink);
                if is_enough {
                    self.be_enough();
                }
                Ok(head)
            }
            Sink::Groups(_) if self.left.get() == 0 || self.enough.get() => {
                let Sink::Groups(merger) = std::mem::replace(&mut *sink, Sink::Nothing) else {
                    return Ok(None);
                };
                let Merged { columns, rows } = merger.finish()?;
                *sink = Sink::Merged(rows);
                Ok(Some(columns))
            }
            _ => Ok(None),
        }
    }

    /// Its next rows, behind what is written.
    ///
    /// # Errors
    /// Where rows are malformed.
    pub fn step(&self, writer: &mut ResultsetWriter, row: &mut Vec<u8>) -> Result<Step<Payload>, MergeError> {
        let mut sink = self.sink.borrow_mut();
        match &mut *sink {
            Sink::Rows(stream) => {
                stream.set_seq(writer.seq());
                let step = stream.step(writer.written())?;
                writer.set_seq(stream.seq());
                self.passed.set(stream.passed());
                self.wake_those_with_room(stream);
                drop(sink);
                if matches!(step, Step::End) && self.left.get() > 0 && !self.enough.get() {
                    self.be_enough();
                }
                Ok(step)
            }
            Sink::Merged(rows) => {
                while writer.written().len() < FULL_BYTES {
                    if !rows.next_into(row)? {
                        return Ok(Step::End);
                    }
                    writer.row(row);
                    self.passed.set(self.passed.get() + 1);
                }
                Ok(Step::Full)
            }
            Sink::Groups(_) | Sink::Nothing => Ok(Step::Wait),
        }
    }

    /// Rows that are the client's.
    pub fn passed(&self) -> u64 {
        self.passed.get()
    }

    /// The rest of a row of which the client has the beginning.
    pub fn rest_of_row(&self, writer: &mut ResultsetWriter) -> Option<Payload> {
        let mut sink = self.sink.borrow_mut();
        let Sink::Rows(stream) = &mut *sink else { return None };
        stream.set_seq(writer.seq());
        let rest = stream.rest_of_row();
        writer.set_seq(stream.seq());
        rest
    }

    fn wake_those_with_room(&self, stream: &Stream<Payload>) {
        for (lane, waiting) in self.waiting.borrow_mut().iter_mut().enumerate() {
            if waiting.is_some()
                && stream.has_room(lane)
                && let Some(waker) = waiting.take()
            {
                waker.wake();
            }
        }
    }
}

/// A task that may get a link still.
pub(super) struct Opening(Rc<Gathering>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.set(self.0.opening.get().saturating_sub(1));
        self.0.wake_all();
    }
}

/// However the session goes on, its tasks end.
pub(super) struct Ends(pub Rc<Gathering>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}
