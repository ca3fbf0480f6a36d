//! A read of several shards: its parts run on the session's link and on others beside it, and while they answer the client gets
//! one result.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::net::{Payload, Timer};
use crate::parser::{Effect, Facts};
use crate::router::sharding::Merging;

use super::super::context::Phase;
use super::super::driver::Session;
use super::super::failure::{End, Refusal, Stop};
use super::super::link::{Held, INSERT_ID, Use};
use super::super::overtime::{Clock, only_reads};
use super::super::seen::Seen;
use super::collect::{Asking, Of, TakeBytes};
use super::finish::Finishing;
use super::gathering::{ABOUT_TO_END, Ends, Gathering, Reading};
use super::outgoing::{Outgoing, Wrote};
use super::several::{Leg, Say};

impl Session {
    /// Reads from several shards, and gives the client one result.
    pub(super) async fn read_several(
        &mut self,
        mut link: Use,
        facts: Facts,
        legs: Vec<Leg>,
        merging: Merging<Payload>,
        finishing: Option<Box<Finishing>>,
        mut seen: Seen,
    ) -> Result<Payload, Stop> {
        seen.only_reads = only_reads(facts);
        // What a stored function does, it does to its link.
        let tasks = if seen.effects.is_empty() { self.tasks_beside(facts, &link, &legs) } else { 0 };
        let elsewhere = self.tasks_elsewhere(&legs);
        let (timers, limit) = (&self.ctx.core.timers, self.cluster().query_timeout);
        let gathering = Gathering::new(legs, merging, &self.timer, timers, limit);
        let _ends = Ends(gathering.clone());
        if tasks > 0 {
            let pool = link.lease().pool().clone();
            self.gather_beside(&pool, &gathering, tasks);
        }
        for (at, tasks) in elsewhere {
            self.gather_elsewhere(at, &gathering, tasks);
        }
        if finishing.is_some() {
            gathering.hold_back();
        }
        let mut out = Outgoing::new(self);
        let clock = self.clock();
        let read = self.read_parts(&mut link, &gathering, &mut out, &mut seen).await;
        self.go_on_reading((link, facts, seen), &gathering, out, read, finishing, &clock).await
    }

    /// The parts on the session's own links have been read.
    pub(super) async fn go_on_reading(
        &mut self,
        (link, facts, seen): (Use, Facts, Seen),
        gathering: &Gathering,
        mut out: Outgoing,
        read: Result<(), Stop>,
        finishing: Option<Box<Finishing>>,
        clock: &Clock,
    ) -> Result<Payload, Stop> {
        let read = match (read, &finishing) {
            (Ok(()), Some(_)) => self.await_parts(gathering).await,
            (Ok(()), None) => self.write_rest(gathering, &mut out).await,
            (stop, _) => stop,
        };
        match finishing {
            Some(finishing) if read.is_ok() && !seen.has_failed() && !gathering.has_failed() => {
                self.finish_by_query(link, facts, seen, gathering, *finishing, clock).await
            }
            _ => self.finish_read(link, facts, seen, gathering, out, read).await,
        }
    }

    /// All groups are there: what the server makes of them is the result.
    async fn finish_by_query(
        &mut self,
        mut link: Use,
        facts: Facts,
        mut seen: Seen,
        gathering: &Gathering,
        finishing: Finishing,
        clock: &Clock,
    ) -> Result<Payload, Stop> {
        seen.warnings = gathering.warnings();
        gathering.listed().into_iter().for_each(|list| seen.list(list));
        let groups = match gathering.take_rows() {
            Ok(groups) => groups,
            Err(error) => {
                self.finish_several(link, facts, &seen, Payload::from(Vec::new()))?;
                return Err(Refusal::merge(error).into());
            }
        };
        let finished = match self.finish_groups(&mut link, finishing, groups, clock, &mut seen).await {
            Ok(finished) => self.cut_warnings(&mut link, &mut seen).await.map(|()| finished),
            Err(stop) => Err(stop),
        };
        match finished {
            Ok(Ok(Some(reply))) => self.finish_several(link, facts, &seen, reply),
            Ok(Ok(None)) => {
                let error = self.error_of(&seen, 1);
                self.finish_several(link, facts, &seen, error)
            }
            Ok(Err(refusal)) => {
                self.finish_several(link, facts, &seen, Payload::from(Vec::new()))?;
                Err(refusal.into())
            }
            Err(stop) => {
                seen.status = None;
                self.finish(link, facts, &seen, Err(stop))
            }
        }
    }

    /// Waits for the parts beside the session's link.
    async fn await_parts(&self, gathering: &Gathering) -> Result<(), Stop> {
        self.wait_beside(gathering, |_| match gathering.is_complete() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        })
        .await
    }

    /// Waits for something of a read, without its own link: until somebody interrupts it, or its client goes.
    async fn wait_beside(
        &self,
        gathering: &Gathering,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<(), Stop>>,
    ) -> Result<(), Stop> {
        self.wait_for_client(|cx| {
            if self.entry.is_interrupted() {
                // The link of the session has nothing to do with it.
                gathering.fail(Refusal::interrupted());
            }
            match poll(cx) {
                Poll::Pending if self.client_is_gone(cx) => Poll::Ready(Err(End::Quit.into())),
                polled => polled,
            }
        })
        .await
    }

    async fn wait_for_client(
        &self,
        poll: impl FnMut(&mut Context<'_>) -> Poll<Result<(), Stop>>,
    ) -> Result<(), Stop> {
        self.entry.wait();
        let waited = self.wait(Duration::ZERO, Phase::Ending, std::future::poll_fn(poll)).await;
        self.entry.go_on();
        waited.unwrap_or_else(|_| Err(self.ended().into()))
    }

    /// All parts are over, or the session waits for nothing more.
    pub(super) async fn finish_read(
        &mut self,
        mut link: Use,
        facts: Facts,
        mut seen: Seen,
        gathering: &Gathering,
        mut out: Outgoing,
        read: Result<(), Stop>,
    ) -> Result<Payload, Stop> {
        if out.has_passed() {
            self.attempts.forget();
        }
        (seen.warnings, seen.rows) = (gathering.warnings(), Some(gathering.passed()));
        gathering.listed().into_iter().for_each(|list| seen.list(list));
        let read = match read {
            Ok(()) if !out.is_answered() => self.cut_warnings(&mut link, &mut seen).await,
            read => read,
        };
        match read {
            Err(stop) if out.is_answered() => self.lost_behind_answer(link, stop),
            Err(stop) => {
                // What was read so far is worth nothing: the statement may be said again as a whole, unless the client has some.
                seen.status = None;
                let stop = self.behind_rows(stop, &mut out, gathering).await;
                self.finish(link, facts, &seen, Err(stop))
            }
            Ok(()) if out.is_answered() => {
                // The server may have ended a part whose rows were not needed: that is no error of the statement.
                (seen.error, seen.out_of_time) = (None, None);
                seen.status.get_or_insert(self.status);
                self.finish_several(link, facts, &seen, Payload::from(Vec::new()))
            }
            Ok(()) => self.end_of_read(link, facts, seen, gathering, out),
        }
    }

    /// All parts have ended, or one has failed.
    fn end_of_read(
        &mut self,
        link: Use,
        facts: Facts,
        mut seen: Seen,
        gathering: &Gathering,
        mut out: Outgoing,
    ) -> Result<Payload, Stop> {
        let seq = out.seq_of_error();
        match gathering.failure() {
            Some(refusal) if refusal.is_lost_link() && self.is_split() && !out.has_passed() => {
                seen.status = None;
                self.finish(link, facts, &seen, Err(refusal.into()))
            }
            Some(refusal) => {
                // What the server says of having been told to stop is not for the client.
                self.finish_several(link, facts, &seen, Payload::from(Vec::new()))?;
                Err(Refusal { seq, ..refusal }.into())
            }
            None if seen.has_failed() => {
                let error = self.error_of(&seen, seq.unwrap_or(1));
                self.finish_several(link, facts, &seen, error)
            }
            None => {
                let last = out.end(seen.status.unwrap_or(self.status), seen.warnings);
                self.finish_several(link, facts, &seen, last)
            }
        }
    }

    /// How many further links a read may have. One that is bound to its link stays there: only that has what it has done.
    fn tasks_beside(&self, facts: Facts, link: &Use, legs: &[Leg]) -> usize {
        let most = self.home().tables.as_ref().map_or(1, |tables| tables.max_fan_out);
        let is_here = |leg: &Leg| self.is_as_prepared(leg);
        // Then the session has it only to ask it about the statement before, if at all.
        let holds_nothing =
            self.holds.reason().is_none() && self.unread.knows_state() && !self.unread.transaction;
        match &link.held {
            // Without autocommit a read begins a transaction, on each link that it is on.
            _ if self.holds.may_begin_unseen() => 0,
            // Only this one has the session's LAST_INSERT_ID().
            _ if facts.hazards.intersects(INSERT_ID) => 0,
            Held::Bound(_) if !holds_nothing => 0,
            _ if legs.iter().all(is_here) => {
                legs.iter().filter(|leg| leg.at == self.at).count().min(most).saturating_sub(1)
            }
            _ => 0,
        }
    }

    /// Whether a part may run on any link: elsewhere it would have to be prepared in another schema or state.
    fn is_as_prepared(&self, leg: &Leg) -> bool {
        match &leg.say {
            Say::Text(_) => true,
            Say::Execute(execute) => execute.text.schema == self.schema && execute.text.state == self.state,
        }
    }

    /// Whether the parts of a read that other servers have can run there by themselves: they are in no transaction, and need and
    /// leave nothing on a link.
    pub(super) fn may_gather_elsewhere(&self, facts: Facts, effects: &[Effect], legs: &[Leg]) -> bool {
        let in_transaction =
            self.is_branched() || self.holds.in_transaction() || self.holds.may_begin_unseen();
        !in_transaction
            && effects.is_empty()
            && !facts.hazards.intersects(INSERT_ID)
            && legs.iter().all(|leg| self.is_as_prepared(leg))
    }

    /// How many links a read has on each other server: one at least.
    fn tasks_elsewhere(&self, legs: &[Leg]) -> BTreeMap<usize, usize> {
        let most = self.home().tables.as_ref().map_or(1, |tables| tables.max_fan_out);
        let mut tasks: BTreeMap<usize, usize> = BTreeMap::new();
        for leg in legs.iter().filter(|leg| leg.at != self.at) {
            *tasks.entry(leg.at).or_default() += 1;
        }
        let each = most.checked_div(tasks.len() + 1).unwrap_or(1).max(1);
        tasks.values_mut().for_each(|tasks| *tasks = (*tasks).min(each));
        tasks
    }

    /// Reads the parts that nobody else has begun on the session's own link; all the while the client gets what there is.
    pub(super) async fn read_parts(
        &mut self,
        link: &mut Use,
        gathering: &Gathering,
        out: &mut Outgoing,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        let clock = self.clock();
        // Renamed they are where the link's replies are followed.
        while !seen.has_failed()
            && let Some((leg, reading)) = gathering.begin(self.at, Default::default())
        {
            let Some(clock) = clock.of_next_part(self.timer.now()) else {
                gathering.fail(self.took_too_long());
                break;
            };
            match self.command_of(link, leg) {
                Ok(command) => {
                    // That costs the link, which the session may hold something on.
                    let may_tell = matches!(link.held, Held::Free(_)) || self.holds.reason().is_none();
                    let told = Cell::new(false);
                    let part = self.read_part(link, command, reading, gathering, clock, seen, &told);
                    self.write_beside(part, gathering, out, &told, may_tell).await?;
                }
                Err(refusal) => gathering.fail(refusal),
            }
        }
        Ok(())
    }

    /// Reads one part on the session's own link.
    #[expect(clippy::too_many_arguments, reason = "they are the state of one read")]
    async fn read_part(
        &self,
        link: &mut Use,
        command: Payload,
        mut reading: Reading,
        gathering: &Gathering,
        clock: Clock,
        seen: &mut Seen,
        told: &Cell<bool>,
    ) -> Result<(), Stop> {
        let (lane, shard) = (reading.lane, reading.shard);
        let take: &mut TakeBytes<'_> = &mut |bytes| gathering.take(&mut reading, bytes).map(|_| None);
        let of = Some(Of { gathering, lane, told });
        let asking = Asking { reply: self.collected_reply(), clock, of, file: None };
        seen.warnings = 0;
        let collected = self.take_reply(link, command, asking, seen, take).await?;
        gathering.add_warnings(seen.warnings);
        if seen.warnings > 0 && !seen.has_failed() {
            gathering.list(shard, self.warnings_of_part(link).await?);
        }
        if gathering.is_enough() {
            return Ok(());
        }
        if seen.has_failed() {
            gathering.stop();
        } else if collected.killed {
            gathering.fail(Refusal::interrupted());
        }
        gathering.end_part(&reading);
        Ok(())
    }

    /// Runs a part while the client gets what there is. Once that is all that it wants, a part that does not end by itself is ended
    /// by its server, if it may be told so.
    async fn write_beside(
        &self,
        part: impl Future<Output = Result<(), Stop>>,
        gathering: &Gathering,
        out: &mut Outgoing,
        told: &Cell<bool>,
        may_tell: bool,
    ) -> Result<(), Stop> {
        let mut part = std::pin::pin!(part);
        let last = Timer::new(&self.ctx.core.timers);
        let to_end = self.cluster().pool().settings.query_kill_timeout;
        let mut tell_at: Option<Instant> = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(read) = part.as_mut().poll(cx) {
                return Poll::Ready(read);
            }
            if out.is_answered() {
                if let Poll::Ready(Err(stop)) = out.poll_sent(cx, self) {
                    return Poll::Ready(Err(stop));
                }
            } else {
                match out.poll(cx, self, gathering) {
                    Poll::Ready(Ok(Wrote::All)) if gathering.is_enough() => {
                        out.answer(self, gathering.warnings());
                        tell_at = Some(self.timer.now() + ABOUT_TO_END);
                        if let Poll::Ready(Err(stop)) = out.poll_sent(cx, self) {
                            return Poll::Ready(Err(stop));
                        }
                    }
                    Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
                    Poll::Ready(Ok(_)) | Poll::Pending => {}
                }
            }
            while let Some(at) = tell_at.filter(|_| may_tell) {
                if last.poll_at(at, cx).is_pending() {
                    break;
                }
                if told.replace(true) {
                    // It goes on as if it had not been told: nobody is to have that link.
                    return Poll::Ready(Err(Refusal::backend_timeout(to_end).into()));
                }
                self.end_on_server();
                tell_at = Some(self.timer.now() + to_end.max(ABOUT_TO_END));
            }
            Poll::Pending
        })
        .await
    }

    /// Gives the client the rest of what the parts beside the session's link answer.
    pub(super) async fn write_rest(&self, gathering: &Gathering, out: &mut Outgoing) -> Result<(), Stop> {
        match out.is_answered() {
            true => self.wait_for_client(|cx| out.poll_sent(cx, self)).await,
            false => self.wait_beside(gathering, |cx| out.poll(cx, self, gathering).map_ok(drop)).await,
        }
    }

    /// An error of the session's own link, at the place that there is for it: behind a whole row, if the client has some.
    pub(super) async fn behind_rows(&self, stop: Stop, out: &mut Outgoing, gathering: &Gathering) -> Stop {
        let Stop::Refuse(refusal) = stop else { return stop };
        if out.has_passed() {
            gathering.stop();
            let settled = std::future::poll_fn(|cx| out.poll(cx, self, gathering));
            if let Ok(Err(stop)) = self.wait(Duration::ZERO, Phase::Ending, settled).await {
                return stop;
            }
        }
        let seq = refusal.seq.and(out.seq_of_error());
        Refusal { seq, fatal: refusal.fatal || seq.is_none(), ..*refusal }.into()
    }

    /// The client has its answer, and the link was lost behind it.
    fn lost_behind_answer(&mut self, link: Use, stop: Stop) -> Result<Payload, Stop> {
        match self.lost(link, stop) {
            Stop::Refuse(refusal) if !refusal.fatal => Ok(Payload::from(Vec::new())),
            Stop::Refuse(refusal) => Err(Refusal { seq: None, ..*refusal }.into()),
            end => Err(end),
        }
    }
}
