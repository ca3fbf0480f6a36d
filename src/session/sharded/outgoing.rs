//! What the client gets of a read of several shards, while the shards still answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::metrics::label::Direction;
use crate::net::{Payload, StartedSend, Timer};
use crate::protocol::capability::StatusFlags;
use crate::protocol::resultset::ResultsetWriter;
use crate::router::sharding::{FULL_BYTES, Step};

use super::super::driver::Session;
use super::super::failure::{End, Refusal, Stop};
use super::gathering::Gathering;

/// Rows that came together and are fewer bytes are copied behind others: that costs less than a send of their own.
const SMALL_BYTES: usize = 8192;

/// ```text
/// NoHead ──all columns are agreed──▶ written ──full, or nothing more has come──▶ sent ──▶ written ...
/// ```
pub(super) struct Outgoing {
    /// Since there is a head.
    writer: Option<ResultsetWriter>,
    /// There is a row in what is written.
    has_rows: bool,
    row: Vec<u8>,
    sending: Option<StartedSend>,
    /// To be sent behind that.
    next: Option<Payload>,
    /// The client has to take what is being sent by then.
    taken_by: Instant,
    timer: Timer,
    has_passed: bool,
    is_answered: bool,
}

/// How the writing of rows ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// All rows are written, or sent.
    All,
    /// The read has failed. What the client has ends with a row.
    Failed,
}

impl Outgoing {
    pub fn new(session: &Session) -> Self {
        Self {
            writer: None,
            has_rows: false,
            row: Vec::new(),
            sending: None,
            next: None,
            taken_by: session.timer.now(),
            timer: Timer::new(&session.ctx.core.timers),
            has_passed: false,
            is_answered: false,
        }
    }

    /// Whether the client has got something, so that the statement can't be said again.
    pub fn has_passed(&self) -> bool {
        self.has_passed
    }

    /// Whether its last packet is on its way.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// The sequence id of an error now; `None` if it is no place for one.
    pub fn seq_of_error(&self) -> Option<u8> {
        match &self.writer {
            Some(_) if self.sending.is_some() || self.next.is_some() => None,
            Some(writer) if self.has_passed => Some(writer.seq()),
            _ => Some(1),
        }
    }

    /// Sends what there is, until all rows are written: the last ones stay, for [`Outgoing::end`].
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        session: &Session,
        gathering: &Gathering,
    ) -> Poll<Result<Wrote, Stop>> {
        loop {
            match self.poll_sent(cx, session) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
                Poll::Pending => return Poll::Pending,
            }
            if gathering.has_failed() {
                if !self.settles(session, gathering) {
                    return Poll::Ready(Ok(Wrote::Failed));
                }
                continue;
            }
            match self.go_on(session, gathering) {
                Ok(Some(true)) => return Poll::Ready(Ok(Wrote::All)),
                Ok(Some(false)) => return Poll::Pending,
                Ok(None) => {}
                Err(refusal) => gathering.fail(refusal),
            }
        }
    }

    /// Goes on where nothing is being sent: true if all rows are written, false if there is nothing to do now.
    fn go_on(&mut self, session: &Session, gathering: &Gathering) -> Result<Option<bool>, Refusal> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let Some(columns) = gathering.head().map_err(Refusal::merge)? else { return Ok(Some(false)) };
                let status = session.status - StatusFlags::MORE_RESULTS_EXISTS;
                self.writer.insert(ResultsetWriter::begin(session.capabilities, status, 0, &columns))
            }
        };
        let written = writer.written().len();
        let step = gathering.step(writer, &mut self.row).map_err(Refusal::merge)?;
        self.has_rows |= writer.written().len() > written;
        match step {
            Step::End => return Ok(Some(true)),
            Step::Wait if !self.has_rows => return Ok(Some(false)),
            Step::Chunk(rows) if rows.len() <= SMALL_BYTES => {
                writer.written().extend_from_slice(&rows);
                self.has_rows = true;
                if writer.written().len() >= FULL_BYTES {
                    self.flush(session);
                }
            }
            Step::Chunk(rows) => {
                self.flush(session);
                self.next = Some(rows);
            }
            Step::Wait | Step::Full => self.flush(session),
        }
        Ok(None)
    }

    /// Brings what the client has to an end of a row. False: it is there.
    fn settles(&mut self, session: &Session, gathering: &Gathering) -> bool {
        let Some(writer) = self.writer.as_mut().filter(|_| self.has_passed) else { return false };
        if let Some(rest) = gathering.rest_of_row(writer) {
            writer.written().extend_from_slice(&rest);
        }
        if writer.written().is_empty() {
            return false;
        }
        self.flush(session);
        true
    }

    fn flush(&mut self, session: &Session) {
        let written = self.writer.as_mut().map(ResultsetWriter::take).unwrap_or_default();
        self.has_rows = false;
        if !written.is_empty() {
            self.start(session, written.into());
        }
    }

    fn start(&mut self, session: &Session, payload: Payload) {
        session.count(Direction::ClientOut, payload.len());
        self.taken_by = session.timer.now() + session.ctx.config.server.write_timeout;
        self.sending = Some(session.socket.start_send(payload));
        self.has_passed = true;
    }

    /// Waits until all that was given to be sent is, for which the client has its time.
    pub fn poll_sent(&mut self, cx: &mut Context<'_>, session: &Session) -> Poll<Result<(), Stop>> {
        loop {
            if let Some(sending) = &mut self.sending {
                match Pin::new(sending).poll(cx) {
                    Poll::Ready(Ok(())) => self.sending = None,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Lost(error).into())),
                    Poll::Pending => {
                        return match self.timer.poll_at(self.taken_by, cx) {
                            Poll::Ready(()) => Poll::Ready(Err(session.unread().into())),
                            Poll::Pending => Poll::Pending,
                        };
                    }
                }
            }
            let Some(next) = self.next.take() else { return Poll::Ready(Ok(())) };
            self.start(session, next);
        }
    }

    /// The last bytes of the result, behind what was sent.
    pub fn end(&mut self, status: StatusFlags, warnings: u16) -> Payload {
        let status = status - StatusFlags::MORE_RESULTS_EXISTS;
        let last = self.writer.take().map(|writer| writer.end_with(status, warnings));
        last.unwrap_or_default().into()
    }

    /// Sends them, while something is waited for that the client does not need.
    pub fn answer(&mut self, session: &Session, warnings: u16) {
        let last = self.end(session.status, warnings);
        self.is_answered = true;
        self.start(session, last);
    }
}
