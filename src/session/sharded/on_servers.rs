//! A statement on shards of several servers: one server after the other, all of it in one transaction.

use crate::net::Payload;
use crate::parser::{Effect, Facts};
use crate::pool::SmallReply;
use crate::router::sharding::{Merger, ShardSet};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::{Held, Use};
use super::super::overtime::{Clock, only_reads};
use super::super::seen::Seen;
use super::super::servers::{Ending, Errand};
use super::beside::Gathering;
use super::done::Done;
use super::several::{Leg, SAVEPOINT, TRANSACTION};

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

impl Session {
    /// The legs by their servers.
    fn by_server(&self, legs: Vec<Leg>) -> Vec<OnServer> {
        let mut servers: Vec<OnServer> = Vec::new();
        for leg in legs {
            let at = self.server_of(leg.shard);
            match servers.iter_mut().find(|server| server.at == at) {
                Some(server) => server.legs.push(leg),
                None => servers.push(OnServer { at, legs: vec![leg] }),
            }
        }
        servers
    }

    /// The session's link on a server, with the legs' statements prepared there.
    async fn link_on(
        &mut self,
        server: &OnServer,
        link: Option<Use>,
        statement: &Statement<'_>,
        seen: &Seen,
    ) -> Result<Use, Stop> {
        let mut link = match link {
            Some(link) if server.at == self.at => link,
            Some(link) => self.go_on_at(server.at, link, statement.facts, seen, statement.effects).await?,
            None => self.link_for_several(statement.facts, statement.shards.iter()).await?,
        };
        match self.prepare_legs(&mut link, &server.legs).await {
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
    ) -> Result<Payload, Stop> {
        let alone = self.writes_alone();
        let servers = self.by_server(legs);
        let mut seen = statement.seen();
        let mut visited = Vec::new();
        let written = self.write_each(&statement, servers, alone, &mut done, &mut seen, &mut visited).await;
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
        let reply = self.done(&done, &mut seen);
        self.before.row_count = i64::try_from(done.affected_rows).unwrap_or(i64::MAX);
        self.warnings = done.warnings;
        self.is_last = false;
        Ok(reply)
    }

    /// Says the legs of each server there. What fails is in `seen`, or the error; `visited` are the servers that have something.
    async fn write_each(
        &mut self,
        statement: &Statement<'_>,
        servers: Vec<OnServer>,
        alone: bool,
        done: &mut Done,
        seen: &mut Seen,
        visited: &mut Vec<usize>,
    ) -> Result<(), Stop> {
        let clock = self.clock();
        let mut link = None;
        for server in servers {
            let mut here = self.link_on(&server, link.take(), statement, seen).await?;
            *seen = statement.seen();
            let begin = match (alone, visited.is_empty()) {
                (true, true) => Some(TRANSACTION[0]),
                // Its branch has just begun.
                (true, false) => None,
                (false, _) => Some(SAVEPOINT[0]),
            };
            visited.push(server.at);
            let written = self.write_here(&mut here, server.legs, begin, &clock, done, seen).await;
            if let Err(stop) = written {
                return Err(self.lost(here, stop));
            }
            if seen.error.is_some() {
                self.settle(here, statement.facts, seen);
                return Ok(());
            }
            link = Some(here);
        }
        if let Some(link) = link {
            self.settle(link, statement.facts, seen);
        }
        Ok(())
    }

    async fn write_here(
        &mut self,
        link: &mut Use,
        legs: Vec<Leg>,
        begin: Option<&str>,
        clock: &Clock,
        done: &mut Done,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        if let Some(begin) = begin {
            self.say(link, begin, seen).await?;
        }
        for leg in legs {
            if seen.error.is_some() {
                break;
            }
            self.write_leg(link, leg, clock, done, seen).await?;
        }
        Ok(())
    }

    /// Ends the transaction that the statement has for itself.
    async fn end_alone(&mut self, ending: Ending) -> Result<(), Stop> {
        if self.is_branched() {
            return self.end_branches(ending).await.map(drop);
        }
        // It has failed on its first server.
        let Some(bound) = self.bound.take() else { return Ok(()) };
        let mut link = Use { held: Held::Bound(bound), permit: self.permit.take() };
        match self.backend(link.lease().query(TRANSACTION[2])).await {
            Ok(_) => {
                self.end_deciding(link);
                Ok(())
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// Takes back what a statement has done that fails, on each server that has something of it.
    async fn undo_on(&mut self, visited: &[usize]) -> Result<(), Stop> {
        for at in visited {
            if !self.holds.in_transaction() && self.global_is_gone() {
                // The error has ended the transaction.
                return Ok(());
            }
            self.go_to(*at, Errand::Question).await?;
            let Some(bound) = self.bound.take() else { continue };
            let mut link = Use { held: Held::Bound(bound), permit: self.permit.take() };
            match self.backend(link.lease().query(SAVEPOINT[2])).await {
                Ok(SmallReply::Ok(_)) => self.keep_or_give_back(link),
                // Nobody knows what is there by now.
                Ok(_) => return Err(self.lost(link, crate::pool::LinkError::Closed.into())),
                Err(stop) => return Err(self.lost(link, stop)),
            }
        }
        Ok(())
    }

    /// Reads from several servers one after the other, in the session's transaction.
    pub(super) async fn read_on_servers(
        &mut self,
        statement: Statement<'_>,
        legs: Vec<Leg>,
        merger: Merger,
    ) -> Result<Payload, Stop> {
        let servers = self.by_server(legs);
        let gathering = Gathering::new(Vec::new(), merger, &self.timer, self.cluster().query_timeout);
        let clock = self.clock();
        let mut seen = statement.seen();
        let (mut link, mut warnings) = (None, 0u16);
        for server in servers {
            let mut here = self.link_on(&server, link.take(), &statement, &seen).await?;
            seen = statement.seen();
            for leg in server.legs {
                if seen.has_failed() || gathering.has_failed() || gathering.has_enough() {
                    break;
                }
                let Some(clock) = clock.of_next_part(self.timer.now()) else {
                    gathering.fail(self.took_too_long());
                    break;
                };
                if let Err(stop) = self.read_part(&mut here, leg, &gathering, clock, &mut seen).await {
                    return Err(self.lost(here, stop));
                }
            }
            warnings = warnings.saturating_add(seen.warnings);
            link = Some(here);
            if seen.has_failed() || gathering.has_failed() || gathering.has_enough() {
                break;
            }
        }
        let Some(link) = link else { return Err(Refusal::malformed().into()) };
        seen.warnings = warnings;
        let failure = gathering.failure();
        let merged = gathering.take_merger().filter(|_| failure.is_none() && !seen.has_failed());
        let merged = merged.map(|merger| self.result(merger, &mut seen).map_err(Refusal::merge)).transpose();
        match (failure, merged) {
            (None, Ok(Some(reply))) => self.finish_several(link, statement.facts, &seen, reply),
            (None, Ok(None)) => {
                let error = self.error_of(&seen);
                self.finish_several(link, statement.facts, &seen, error)
            }
            (Some(refusal), _) | (None, Err(refusal)) => {
                self.finish_several(link, statement.facts, &seen, Payload::from(Vec::new()))?;
                Err(refusal.into())
            }
        }
    }
}
