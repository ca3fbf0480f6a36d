//! The time that a server has for a statement, and what becomes of one that takes longer.
//!
//! ```text
//! Within ──query_timeout_ms──▶ Over: KILL QUERY ──the reply ends──▶ the client has the error of the time-out, all else stays
//!                                └──query_kill_timeout_ms without an answer──▶ the link is closed
//! ```
//!
//! The KILL goes the way of a client's: the reply is held until the server has answered it, so it can't hit the next
//! statement, and nobody else gets the link.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::metrics::label::ErrorKind;
use crate::net::{Buf, Exchange, Payload};
use crate::parser::{Facts, Hazards, StatementKind};
use crate::protocol::error::ErrorCode;
use crate::protocol::packet::HEADER_LEN;
use crate::protocol::response::ErrPacket;

use super::context::Phase;
use super::driver::{Session, Waited};
use super::failure::Refusal;
use super::seen::Seen;

/// What servers say of a statement that was ended: `ER_FILSORT_ABORT`, `ER_QUERY_INTERRUPTED`.
pub(super) const INTERRUPTED: [u16; 2] = [1028, 1317];

/// Bytes of an ERR packet in front of its message: header byte, code, marker and SQLSTATE.
const ERR_HEAD: usize = 9;

/// A statement with any of these does more than to read, so what the server says of it must not be replaced.
const NOT_JUST_READ: Hazards = Hazards::WRITES
    .union(Hazards::CALL)
    .union(Hazards::MAY_CALL)
    .union(Hazards::MULTI)
    .union(Hazards::SEQUENCE_NEXT)
    .union(Hazards::TEXT_PREPARE)
    .union(Hazards::UNSURE);

/// Whether a statement does nothing but read.
pub(super) fn only_reads(facts: Facts) -> bool {
    facts.kind == StatementKind::Select && !facts.hazards.intersects(NOT_JUST_READ)
}

/// The clock of one statement.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Zero is without limit.
    limit: Duration,
    /// How long the server may take to say that it has ended the statement.
    to_end: Duration,
    /// What is on its way by then may go to a client that takes it for so much longer.
    to_drain: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Within { until: Instant },
    Over { since: Instant },
}

impl Clock {
    pub fn new(limit: Duration, to_end: Duration, to_drain: Duration, now: Instant) -> Self {
        Self { limit, to_end, to_drain, state: State::Within { until: now + limit } }
    }

    /// The clock of the next part of the same statement; `None` if its time has passed.
    pub fn of_next_part(&self, now: Instant) -> Option<Self> {
        (!self.is_over() && !self.is_due(now)).then(|| self.clone())
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over { .. })
    }

    /// Whether the time has just passed.
    fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Within { until } if !self.limit.is_zero() && now >= until)
    }

    fn end(&mut self, now: Instant) {
        self.state = State::Over { since: now };
    }

    /// Whether the server goes on as if it had not been told.
    pub fn is_hopeless(&self, now: Instant) -> bool {
        let limit = self.to_end + self.to_drain;
        matches!(self.state, State::Over { since } if now.saturating_duration_since(since) >= limit)
    }

    /// How long to wait for the server now; zero is without limit.
    fn left(&self, now: Instant) -> Duration {
        /// Zero would be no limit.
        const LEAST: Duration = Duration::from_millis(1);
        match self.state {
            State::Within { .. } if self.limit.is_zero() => Duration::ZERO,
            State::Within { until } => until.saturating_duration_since(now).max(LEAST),
            State::Over { .. } => self.to_end.max(LEAST),
        }
    }
}

impl Session {
    /// A statement is sent: its time begins.
    pub(super) fn clock(&self) -> Clock {
        let cluster = self.cluster();
        let to_end = cluster.pool().settings.query_kill_timeout;
        let to_drain = self.ctx.config.server.write_timeout;
        Clock::new(cluster.query_timeout, to_end, to_drain, self.timer.now())
    }

    /// Has the server end the statement if its time has passed.
    fn look_at(&self, clock: &mut Clock) {
        if clock.is_due(self.timer.now()) {
            clock.end(self.timer.now());
            tracing::info!(target: "athena::session", id = self.id, user = %self.account.name, limit = ?clock.limit, "a statement takes longer than it may ([pool] query_timeout_ms)");
            self.end_on_server();
        }
    }

    /// Waits for the server as long as the statement may take, then for its end.
    pub(super) async fn wait_in_time<F: Future>(
        &self,
        clock: &mut Clock,
        answer: F,
    ) -> Result<F::Output, Waited> {
        let mut answer = pin!(answer);
        loop {
            self.look_at(clock);
            let was_over = clock.is_over();
            match self.wait(clock.left(self.timer.now()), Phase::Ending, answer.as_mut()).await {
                Err(Waited::Elapsed) if !was_over => {}
                other => return other,
            }
        }
    }

    /// The same while the client is sent a part of the reply, for which it has `write_timeout`.
    pub(super) async fn exchange_in_time(
        &self,
        exchange: &mut Exchange,
        clock: &mut Clock,
    ) -> Result<Option<Buf>, Waited> {
        let taken_by = self.timer.now() + self.ctx.config.server.write_timeout;
        loop {
            self.look_at(clock);
            let (sent, was_over) = (exchange.is_sent(), clock.is_over());
            let left = clock.left(self.timer.now());
            let to_take = taken_by.saturating_duration_since(self.timer.now());
            let limit = match left {
                left if sent => left,
                Duration::ZERO => to_take,
                left => left.min(to_take),
            };
            match self.part_of_exchange(exchange, limit, Phase::Ending).await {
                Err(Waited::Elapsed) if sent && was_over => return Err(Waited::Elapsed),
                Err(Waited::Elapsed) if !exchange.is_sent() && self.timer.now() >= taken_by => {
                    return Err(Waited::Unread);
                }
                // It is sent by now, or the statement's time has passed.
                Err(Waited::Elapsed) => {}
                other => return other,
            }
        }
    }

    /// The end of a reply that came after the time of its statement. `passed` says whether the client has got any of it.
    /// What was interrupted is answered with an error that says by what. A statement that got done is answered as it is,
    /// unless it only reads: a MySQL has ended SLEEP() and the like without an error.
    pub(super) fn out_of_time(&self, clock: &Clock, last: Payload, seen: &mut Seen, passed: bool) -> Payload {
        let at = match seen.error {
            Some(code) if INTERRUPTED.contains(&code) => {
                let len = HEADER_LEN + ERR_HEAD + seen.message.len();
                last.len().checked_sub(len).filter(|at| last.get(at + HEADER_LEN) == Some(&ErrPacket::HEADER))
            }
            None => (!passed && seen.only_reads && seen.had_rows && !seen.opened_cursor).then_some(0),
            Some(_) => None,
        };
        let Some((before, seq)) = at.and_then(|at| Some((last.get(..at)?, *last.get(at + HEADER_LEN - 1)?)))
        else {
            return last;
        };
        let refusal = Refusal::out_of_time(clock.limit, self.is_on_mariadb());
        if let Some(kind) = refusal.kind {
            self.ctx.metrics.errors.of(kind).inc();
        }
        let bytes = [before, &refusal.error.packet(seq)].concat();
        seen.out_of_time = Some(refusal.error);
        bytes.into()
    }
}

impl Refusal {
    /// The server has ended the statement: in the numbers that its family has for a limit of its own.
    pub fn out_of_time(limit: Duration, mariadb: bool) -> Self {
        let code = if mariadb { ErrorCode::StatementTimeout } else { ErrorCode::QueryTimeout };
        let message = format!(
            "Query execution was interrupted: it took longer than {} ms ([pool] query_timeout_ms)",
            limit.as_millis()
        );
        Self::new(ErrorKind::BackendTimeout, code, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);
    const TO_END: Duration = Duration::from_millis(30);
    const TO_DRAIN: Duration = Duration::from_millis(500);

    #[test]
    fn a_statement_has_its_time_and_a_server_some_to_end_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock::new(LIMIT, TO_END, TO_DRAIN, start);
        assert_eq!(clock.left(at(40)), Duration::from_millis(60));
        assert!(!clock.is_due(at(99)) && clock.is_due(at(100)));
        assert!(clock.of_next_part(at(99)).is_some() && clock.of_next_part(at(100)).is_none());
        clock.end(at(101));
        assert!(clock.is_over() && !clock.is_due(at(200)), "once");
        assert!(clock.of_next_part(at(50)).is_none());
        assert_eq!(clock.left(at(150)), TO_END, "for each part of what is on its way");
        assert!(!clock.is_hopeless(at(630)) && clock.is_hopeless(at(631)));
    }

    #[test]
    fn without_a_limit_there_is_no_end() {
        let start = Instant::now();
        let clock = Clock::new(Duration::ZERO, TO_END, TO_DRAIN, start);
        let later = start + Duration::from_secs(86_400);
        assert!(!clock.is_due(later) && !clock.is_hopeless(later));
        assert_eq!(clock.left(later), Duration::ZERO);
    }
}
