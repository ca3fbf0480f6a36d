//! A statement on shards of several servers: one server after the other, all of it in one transaction.

use crate::net::Payload;
use crate::parser::{Effect, Facts};
use crate::pool::SmallReply;
use crate::protocol::capability::StatusFlags;
use crate::router::sharding::{Merging, ShardSet};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::{Held, Use};
use super::super::overtime::{Clock, only_reads};
use super::super::seen::Seen;
use super::super::servers::{Ending, Errand};
use super::copies::Copies;
use super::done::Done;
use super::finish::Finishing;
use super::gathering::{Ends, Gathering};
use super::outgoing::Outgoing;
use super::prepared::Prepared;
use super::several::{Leg, SAVEPOINT, TRANSACTION};

/// `ER_SP_DOES_NOT_EXIST`, which servers say of savepoints too.
const NO_SAVEPOINT: u16 = 1305;

/// The legs that are for one server.
pub(super) struct OnServer {
    at: usize,
    legs: Vec<Leg>,
}

/// What a statement runs with, on whichever server.
pub(super) struct Statement<'a> {
    pub facts: Facts,
    pub effects: &'a [Effect],
    /// All that it is for.
    pub shards: ShardSet,
}

impl Statement<'_> {
    fn seen(&self) -> Seen {
        Seen { uses_table: Some(true), only_reads: only_reads(self.facts), ..Seen::of(self.effects.to_vec()) }
    }
}

/// A write while it goes from server to server.
struct Write<'a> {
    statement: Statement<'a>,
    /// Where it is the same on all of them.
    copies: Option<Copies>,
    /// It is a transaction by itself.
    alone: bool,
    /// What the server has said that it is on.
    seen: Seen,
    /// Those that have something of it.
    visited: Vec<usize>,
}

impl Session {
    /// The legs by their servers.
    fn by_server(&self, legs: Vec<Leg>) -> Vec<OnServer> {
        let mut servers: Vec<OnServer> = Vec::new();
        for leg in legs {
            match servers.iter_mut().find(|server| server.at == leg.at) {
                Some(server) => server.legs.push(leg),
                None => servers.push(OnServer { at: leg.at, legs: vec![leg] }),
            }
        }
        servers
    }

    /// The session's link on a server, with these statements prepared there.
    async fn link_at(
        &mut self,
        at: usize,
        link: Option<Use>,
        statement: &Statement<'_>,
        seen: &Seen,
        texts: &[Prepared],
    ) -> Result<Use, Stop> {
        let mut link = match link {
            Some(link) if at == self.at => link,
            Some(link) => self.go_on_at(at, link, statement.facts, seen, statement.effects).await?,
            None => self.link_for_several(statement.facts, statement.shards.iter()).await?,
        };
        match self.prepare_texts(&mut link, texts).await {
            Ok(()) => Ok(link),
            Err(stop) => Err(self.unprepared(link, stop)),
        }
    }

    /// Writes to several servers, all or nothing, and gives the client one OK.
    pub(super) async fn write_on_servers(
        &mut self,
        statement: Statement<'_>,
        legs: Vec<Leg>,
        mut done: Done,
        copies: Option<Copies>,
    ) -> Result<Payload, Stop> {
        let (alone, facts) = (self.is_alone(), statement.facts);
        let servers = self.by_server(legs);
        let mut write = Write { statement, copies, alone, seen: Seen::default(), visited: Vec::new() };
        let written = self.write_each(&mut write, servers, &mut done).await;
        let Write { mut seen, visited, .. } = write;
        let failure = match written {
            Ok(()) => seen.error.map(|_| self.failure_of(&seen)),
            Err(Stop::Refuse(refusal)) if !refusal.fatal => Some(*refusal),
            Err(stop) => return Err(stop),
        };
        if alone {
            let ending = if failure.is_some() { Ending::RollBack } else { Ending::Commit };
            self.end_alone(ending).await?;
        } else if failure.is_some() {
            self.undo_on(&visited).await?;
        }
        if let Some(refusal) = failure {
            self.answered_with_error(&refusal.error, false);
            return Err(refusal.into());
        }
        seen.status = Some(self.status);
        let reply = self.done(&done, &mut seen, 1);
        self.told_of_parts(&done, facts);
        Ok(reply)
    }

    /// What the client is told of a write on several servers is what the session knows of it.
    pub(super) fn told_of_parts(&mut self, done: &Done, facts: Facts) {
        // One that the text gives is not what LAST_INSERT_ID() is.
        if let Some(id) = done.insert_id().filter(|id| !facts.ids.may_be(*id)) {
            (self.last_insert_id, self.unread.insert_id) = (id, false);
        }
        self.before.row_count = i64::try_from(done.affected_rows).unwrap_or(i64::MAX);
        self.warnings = done.warnings;
        self.before.warning_count = self.before.warning_count.max(u64::from(done.warnings));
        self.is_last = false;
    }

    /// Says the legs of each server there. What fails is in what was seen, or the error.
    async fn write_each(
        &mut self,
        write: &mut Write<'_>,
        servers: Vec<OnServer>,
        done: &mut Done,
    ) -> Result<(), Stop> {
        let clock = self.clock();
        let mut link = None;
        for server in servers {
            let texts: Vec<_> = server.legs.iter().filter_map(Leg::prepared).collect();
            let here = self.link_at(server.at, link.take(), &write.statement, &write.seen, &texts).await;
            let mut here = here.map_err(|stop| self.with_shard(stop))?;
            let listed = write.seen.listed.take();
            write.seen = Seen { listed, of_several_parts: true, ..write.statement.seen() };
            let begin = match (write.alone, write.visited.is_empty()) {
                (true, true) => Some(TRANSACTION[0]),
                // Its branch has just begun.
                (true, false) => None,
                (false, _) => Some(SAVEPOINT[0]),
            };
            if let Err(stop) = self.write_here(&mut here, server.legs, begin, &clock, write, done).await {
                return Err(self.lost(here, stop));
            }
            if write.seen.error.is_some() {
                self.settle(here, write.statement.facts, &write.seen);
                return Ok(());
            }
            link = Some(here);
        }
        if let Some(mut link) = link {
            let cut = self.cut_warnings(&mut link, &mut write.seen).await;
            let charset = self.results_charset(link.lease());
            self.settle(link, write.statement.facts, &write.seen);
            self.note_list_of_parts(charset, &write.seen);
            cut?;
        }
        Ok(())
    }

    async fn write_here(
        &mut self,
        link: &mut Use,
        legs: Vec<Leg>,
        begin: Option<&str>,
        clock: &Clock,
        write: &mut Write<'_>,
        done: &mut Done,
    ) -> Result<(), Stop> {
        let seen = &mut write.seen;
        if let Some(begin) = begin {
            self.say(link, begin, seen).await?;
        }
        if write.alone || seen.error.is_none() {
            // A savepoint that could not be set may be there from before.
            write.visited.push(self.at);
        }
        for leg in legs {
            if seen.error.is_some() {
                break;
            }
            match &mut write.copies {
                Some(copies) => self.write_copy(link, leg, copies, clock, done, seen).await?,
                None => self.write_leg(link, leg, clock, done, seen).await?,
            }
        }
        Ok(())
    }

    /// Ends the transaction that the statement has for itself.
    pub(super) async fn end_alone(&mut self, ending: Ending) -> Result<(), Stop> {
        if self.is_branched() {
            return self.end_branches(ending, b"").await.map(drop);
        }
        // It has been on one server only.
        let Some(bound) = self.bound.take() else { return Ok(()) };
        let mut link = Use { held: Held::Bound(bound), permit: self.permit.take() };
        let end = TRANSACTION[if ending == Ending::RollBack { 2 } else { 1 }];
        match self.backend(link.lease().query(end)).await {
            Ok(told) => {
                self.end_deciding(link);
                self.opening = Default::default();
                self.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
                match told {
                    SmallReply::Err(err) if ending != Ending::RollBack => Err(Refusal::of_server(err).into()),
                    _ => Ok(()),
                }
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// Takes back what a statement has done that fails, on each server that has something of it.
    pub(super) async fn undo_on(&mut self, visited: &[usize]) -> Result<(), Stop> {
        for at in visited {
            if !self.holds.in_transaction() && !self.is_branched() {
                // The error has ended the transaction.
                return Ok(());
            }
            self.go_to(*at, Errand::Question).await?;
            let Some(bound) = self.bound.take() else { continue };
            let mut link = Use { held: Held::Bound(bound), permit: self.permit.take() };
            match self.backend(link.lease().query(SAVEPOINT[2])).await {
                Ok(SmallReply::Ok(_)) => self.keep_or_give_back(link),
                Ok(SmallReply::Err(err)) if err.code == NO_SAVEPOINT && !self.is_branched() => {
                    // The error has ended the transaction, as a deadlock does.
                    self.end_deciding(link);
                    self.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
                    return Ok(());
                }
                // Nobody knows what is there by now.
                Ok(_) => return Err(self.lost(link, crate::pool::LinkError::Closed.into())),
                Err(stop) => return Err(self.lost(link, stop)),
            }
        }
        Ok(())
    }

    /// Reads from several servers one after the other, each on the session's own link there: in its transaction, or since the
    /// statement needs or leaves something on its link.
    pub(super) async fn read_on_servers(
        &mut self,
        statement: Statement<'_>,
        legs: Vec<Leg>,
        merging: Merging<Payload>,
        finishing: Option<Box<Finishing>>,
    ) -> Result<Payload, Stop> {
        let facts = statement.facts;
        let servers = self.by_server(legs);
        let first = servers.first().map_or(self.at, |server| server.at);
        let of_server = |server: &OnServer| {
            let texts = server.legs.iter().filter_map(Leg::prepared);
            (server.at, texts.collect::<Vec<_>>())
        };
        let prepared: Vec<_> = servers.iter().map(of_server).collect();
        let legs = servers.into_iter().flat_map(|server| server.legs).collect();
        let (timers, limit) = (&self.ctx.core.timers, self.cluster().query_timeout);
        let gathering = Gathering::new(legs, merging, &self.timer, timers, limit);
        let _ends = Ends(gathering.clone());
        if finishing.is_some() {
            gathering.hold_back();
        }
        let mut out = Outgoing::new(self);
        let clock = self.clock();
        let mut seen = statement.seen();
        let mut link: Option<Use> = None;
        for (at, texts) in prepared {
            if gathering.is_enough() || gathering.has_failed() || seen.has_failed() {
                break;
            }
            let mut here = match self.link_at(at, link.take(), &statement, &seen, &texts).await {
                Ok(here) => here,
                Err(stop) => {
                    if out.has_passed() {
                        self.attempts.forget();
                    }
                    return Err(self.behind_rows(stop, &mut out, &gathering).await);
                }
            };
            seen = statement.seen();
            if let Err(stop) = self.read_parts(&mut here, &gathering, &mut out, &mut seen).await {
                return self.finish_read(here, facts, seen, &gathering, out, Err(stop)).await;
            }
            link = Some(here);
        }
        let Some(mut link) = link else { return Err(Refusal::malformed().into()) };
        if finishing.is_some() && first != self.at && !seen.has_failed() && !gathering.has_failed() {
            // What is asked about the groups is in the words of that server's shards.
            link = self.link_at(first, Some(link), &statement, &seen, &[]).await?;
            seen = statement.seen();
        }
        self.go_on_reading((link, facts, seen), &gathering, out, Ok(()), finishing, &clock).await
    }
}
