//! A statement on several shards: one part for each, on one link of the session.

use std::rc::Rc;

use crate::net::Payload;
use crate::parser::{Effect, Facts, Hazards};
use crate::pool::LinkError;
use crate::protocol::capability::StatusFlags;
use crate::protocol::command::Command;
use crate::protocol::packet::{command_packet, write_packet};
use crate::protocol::response::OkPacket;
use crate::protocol::statement::ExecuteHeader;
use crate::router::sharding::{ShardSet, cluster_of_copy};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::leave::{COMMIT, ROLLBACK};
use super::super::link::{Held, Use};
use super::super::overtime::{Clock, INTERRUPTED};
use super::super::seen::Seen;
use super::super::statements::StatementText;
use super::collect::{Part, Take};
use super::done::Done;
use super::prepared::Prepared;

/// What a shard is told.
pub(super) struct Leg {
    pub shard: u32,
    /// The cluster that has the shard.
    pub at: usize,
    pub say: Say,
}

/// The command for a shard.
pub(super) enum Say {
    /// A whole COM_QUERY, with its header.
    Text(Payload),
    /// A COM_STMT_EXECUTE.
    Execute(Execute),
}

/// The execution of a prepared statement in the words of a shard.
#[derive(Clone)]
pub(super) struct Execute {
    /// That of the session's statement.
    pub id: u32,
    pub text: Rc<StatementText>,
    /// As the client sent it, without the header.
    pub payload: Rc<[u8]>,
    pub header: Rc<ExecuteHeader>,
    /// Those of the parameters, two bytes each.
    pub types: Rc<[u8]>,
    pub params: u16,
    /// The values are those of this part alone: the payload has their types.
    pub own: bool,
}

impl Leg {
    /// The same to be said once more.
    pub(super) fn again(&self) -> Self {
        let say = match &self.say {
            Say::Text(command) => Say::Text(command.to_vec().into()),
            Say::Execute(execute) => Say::Execute(execute.clone()),
        };
        Self { shard: self.shard, at: self.at, say }
    }

    /// Whether it is a bulk execution.
    pub(super) fn is_bulk(&self) -> bool {
        matches!(&self.say, Say::Execute(execute) if execute.header.is_bulk())
    }

    /// The prepared statement that it executes, if it does.
    pub(super) fn prepared(&self) -> Option<Prepared> {
        match &self.say {
            Say::Execute(Execute { id, text, types, own, .. }) => {
                Some(Prepared { id: *id, text: text.clone(), own: own.then(|| types.clone()) })
            }
            Say::Text(_) => None,
        }
    }
}

/// How a statement's parts on several shards are one.
pub(super) const SAVEPOINT: [&str; 3] = [
    "SAVEPOINT athena_statement",
    "RELEASE SAVEPOINT athena_statement",
    "ROLLBACK TO SAVEPOINT athena_statement",
];
pub(super) const TRANSACTION: [&str; 3] = ["BEGIN", COMMIT, ROLLBACK];

impl Session {
    /// Permits and a link for a statement on these shards.
    pub(super) async fn link_for_several(
        &mut self,
        facts: Facts,
        mut shards: impl Iterator<Item = u32>,
    ) -> Result<Use, Stop> {
        self.shard = shards.next().unwrap_or(self.shard);
        // Permits are for shards, of which a copy is none.
        let shards = shards.filter(|shard| cluster_of_copy(*shard).is_none());
        self.further_shards = shards.fold(ShardSet::EMPTY, |set, shard| set.union(ShardSet::of(shard)));
        let mut link = self.take_link(facts).await?;
        if self.unread.found_rows && matches!(link.held, Held::Bound(_)) {
            // Parts may be asked for their warnings, which has rows.
            if let Err(stop) = self.read_before_own(&mut link).await {
                return Err(self.lost_on_the_way(link, stop));
            }
        }
        match self.clear_warnings(&mut link).await {
            Ok(_) => Ok(link),
            Err(stop) => Err(self.lost_on_the_way(link, stop)),
        }
    }

    /// Writes to several shards, all or none of it, and gives the client one OK.
    pub(super) async fn write_several(
        &mut self,
        mut link: Use,
        facts: Facts,
        legs: Vec<Leg>,
        mut done: Done,
        mut seen: Seen,
    ) -> Result<Payload, Stop> {
        let alone = self.is_alone();
        // One part is all or nothing by itself.
        let bracket = (legs.len() > 1).then(|| self.bracket());
        let clock = self.clock();
        let outcome = async {
            if let Some([begin, ..]) = bracket {
                self.say(&mut link, begin, &mut seen).await?;
            }
            // A savepoint that could not be set may be there from before.
            let begun = alone || seen.error.is_none();
            for leg in legs {
                if seen.error.is_some() {
                    break;
                }
                self.write_leg(&mut link, leg, &clock, &mut done, &mut seen).await?;
            }
            if let Some([_, end, undo]) = bracket {
                if seen.error.is_none() {
                    self.say(&mut link, end, &mut seen).await?;
                }
                if seen.error.is_some() && begun {
                    self.undo(&mut link, undo, &mut seen).await?;
                }
            }
            self.cut_warnings(&mut link, &mut seen).await
        };
        if let Err(stop) = outcome.await {
            return self.finish(link, facts, &seen, Err(stop));
        }
        let reply =
            if seen.error.is_some() { self.error_of(&seen, 1) } else { self.done(&done, &mut seen, 1) };
        self.finish_several(link, facts, &seen, reply)
    }

    /// Whether a write of several parts has to be a transaction by itself.
    pub(super) fn is_alone(&self) -> bool {
        self.status.contains(StatusFlags::AUTOCOMMIT)
            && !self.is_branched()
            && !self.holds.may_have_begun()
            && !self.holds.locks_tables()
    }

    /// One part of a write; what it fails of is in `seen`.
    pub(super) async fn write_leg(
        &mut self,
        link: &mut Use,
        leg: Leg,
        clock: &Clock,
        done: &mut Done,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        if let Some((ok, killed)) = self.say_leg(link, leg, clock, seen).await? {
            self.note_warnings(link, seen).await?;
            done.leg(ok);
            if killed && seen.error.is_none() {
                seen.fail(&Refusal::interrupted());
            }
        }
        Ok(())
    }

    /// The OK packet of a part, which is empty where it has failed, and whether somebody has ended it; `None` if it was not said.
    pub(super) async fn say_leg(
        &mut self,
        link: &mut Use,
        leg: Leg,
        clock: &Clock,
        seen: &mut Seen,
    ) -> Result<Option<(Vec<u8>, bool)>, Stop> {
        match (self.command_of(link, leg), clock.of_next_part(self.timer.now())) {
            (Ok(command), Some(clock)) => {
                return self.collect_ok(link, command, clock, seen).await.map(Some);
            }
            (Ok(_), None) => seen.fail(&self.took_too_long()),
            (Err(refusal), _) => seen.fail(&refusal),
        }
        Ok(None)
    }

    /// What is said before the parts of a write, behind them, and where one fails.
    pub(super) fn bracket(&self) -> [&'static str; 3] {
        if self.is_alone() { TRANSACTION } else { SAVEPOINT }
    }

    /// Takes back what a write has done that fails. Its error stays the one that the client is told.
    pub(super) async fn undo(&mut self, link: &mut Use, undo: &str, seen: &mut Seen) -> Result<(), Stop> {
        /// A KILL may meet this as well.
        const ATTEMPTS: usize = 3;
        let error = (seen.error.take(), seen.sqlstate, std::mem::take(&mut seen.message));
        for _ in 0..ATTEMPTS {
            seen.error = None;
            self.say(link, undo, seen).await?;
            // After a deadlock nothing is left to be undone, and the server says so.
            if seen.error.is_none_or(|code| !INTERRUPTED.contains(&code)) {
                (seen.error, seen.sqlstate, seen.message) = error;
                return Ok(());
            }
        }
        Err(LinkError::Closed.into())
    }

    /// A definition on all shards, one after the other. Servers commit before and behind each, so what is done stays done: an
    /// error tells where.
    pub(super) async fn define_on_all(
        &mut self,
        mut link: Use,
        facts: Facts,
        legs: Vec<Leg>,
        mut seen: Seen,
        effects: &[Effect],
    ) -> Result<Payload, Stop> {
        let mut done = Done::default();
        let (mut finished, mut is_killed) = (Vec::new(), false);
        let all = legs.len();
        for leg in legs {
            let at = self.server_of(leg.shard);
            let shard = self.part_name(leg.shard);
            if at != self.at {
                link = match self.go_on_at(at, link, facts, &seen, effects).await {
                    Ok(link) => link,
                    Err(Stop::Refuse(refusal)) if !refusal.fatal => {
                        return Err(refusal.with(&report(&shard, &finished, all)).into());
                    }
                    Err(stop) => return Err(stop),
                };
                seen = Seen { uses_table: Some(true), ..Seen::of(effects.to_vec()) };
            }
            let command = match self.command_of(&mut link, leg) {
                Ok(_) if is_killed => Err(Refusal::interrupted()),
                command => command,
            };
            let command = match command {
                Ok(command) => command,
                Err(refusal) => {
                    seen.fail(&refusal);
                    let where_it_stands = report(&shard, &finished, all);
                    seen.message = [&seen.message[..], where_it_stands.as_bytes()].concat().into();
                    break;
                }
            };
            let clock = self.clock();
            let told = match self.collect_ok(&mut link, command, clock, &mut seen).await {
                Ok(told) => self.note_warnings(&mut link, &mut seen).await.map(|()| told),
                Err(stop) => Err(stop),
            };
            match told {
                Ok((ok, killed)) => {
                    done.leg(ok);
                    is_killed = killed;
                }
                Err(stop) => return self.finish(link, facts, &seen, Err(stop)),
            }
            if seen.error.is_some() {
                let where_it_stands = report(&shard, &finished, all);
                seen.message = [&seen.message[..], where_it_stands.as_bytes()].concat().into();
                break;
            }
            finished.push(shard);
        }
        if let Err(stop) = self.cut_warnings(&mut link, &mut seen).await {
            return self.finish(link, facts, &seen, Err(stop));
        }
        let reply =
            if seen.error.is_some() { self.error_of(&seen, 1) } else { self.done(&done, &mut seen, 1) };
        self.finish_several(link, facts, &seen, reply)
    }

    /// What a definition's report calls a shard, or the server of a copy.
    fn part_name(&self, shard: u32) -> String {
        match cluster_of_copy(shard) {
            Some(at) => self.ctx.clusters[at].described(),
            None => format!("shard {shard}"),
        }
    }

    /// Leaves a link, with what a statement has done there, for one to another server, on which it goes on.
    pub(super) async fn go_on_at(
        &mut self,
        at: usize,
        mut link: Use,
        facts: Facts,
        seen: &Seen,
        effects: &[Effect],
    ) -> Result<Use, Stop> {
        let permit = link.permit.take();
        self.settle(link, facts, seen);
        self.go_with(at, facts, || effects.to_vec()).await?;
        self.permit = permit;
        let mut link = self.take_link(facts).await?;
        match self.clear_warnings(&mut link).await {
            Ok(_) => Ok(link),
            Err(stop) => Err(self.lost_on_the_way(link, stop)),
        }
    }

    /// A statement of Athena's own between those of the client.
    pub(super) async fn say(&mut self, link: &mut Use, sql: &str, seen: &mut Seen) -> Result<(), Stop> {
        let attributes: &[u8] = if self.has_attributes() { &[0, 1] } else { &[] };
        let command = command_packet(&[&[Command::Query as u8], attributes, sql.as_bytes()].concat());
        let clock = self.clock();
        self.collect_ok(link, command.into(), clock, seen).await.map(drop)
    }

    /// The OK packet of a command that has no rows, empty where it failed; and whether somebody has ended the statement.
    async fn collect_ok(
        &mut self,
        link: &mut Use,
        command: Payload,
        clock: Clock,
        seen: &mut Seen,
    ) -> Result<(Vec<u8>, bool), Stop> {
        let mut ok = Vec::new();
        let take: &mut Take<'_> = &mut |part| {
            if let Part::Ok(packet) = part {
                ok = packet;
            }
            Ok(())
        };
        let collected = self.collect(link, command, clock, seen, take).await?;
        Ok((ok, collected.killed))
    }

    /// The error that some part ended in.
    pub(super) fn error_of(&self, seen: &Seen, seq: u8) -> Payload {
        self.failure_of(seen).error.packet(seq).into()
    }

    /// The same as a refusal.
    pub(super) fn failure_of(&self, seen: &Seen) -> Refusal {
        let error = seen.out_of_time.clone().unwrap_or_else(|| seen.server_error());
        Refusal { kind: None, error, fatal: false, seq: Some(1) }
    }

    /// Its time has passed between two of its parts.
    pub(super) fn took_too_long(&self) -> Refusal {
        Refusal::out_of_time(self.cluster().query_timeout, self.is_on_mariadb())
    }

    /// One OK packet for all parts.
    pub(super) fn done(&self, done: &Done, seen: &mut Seen, seq: u8) -> Payload {
        (seen.affected_rows, seen.warnings) = (done.affected_rows, done.warnings);
        seen.warned = done.warnings > 0;
        seen.last_insert_id = done.insert_id();
        seen.of_several_parts = true;
        let status = seen.status.unwrap_or(self.status) - StatusFlags::MORE_RESULTS_EXISTS;
        let ok = OkPacket {
            header: OkPacket::HEADER,
            affected_rows: done.affected_rows,
            last_insert_id: done.told_id(),
            status,
            warnings: done.warnings,
            info: done.info.as_bytes(),
            ..OkPacket::END_OF_ROWS
        };
        let mut bytes = Vec::new();
        write_packet(&mut bytes, seq, &ok.encode(self.capabilities));
        bytes.into()
    }

    /// Where parts have warned, their list is that of the statement.
    pub(super) fn note_list_of_parts(&mut self, charset: Option<Box<[u8]>>, seen: &Seen) {
        if seen.listed.is_some() {
            // A list may have been cut.
            self.before.warning_count = self.before.warning_count.max(u64::from(seen.warnings));
            self.before.charset = charset;
            (self.before.failed, self.before.error) = (false, None);
        }
    }

    /// The end of a statement of several parts.
    pub(super) fn finish_several(
        &mut self,
        mut link: Use,
        facts: Facts,
        seen: &Seen,
        reply: Payload,
    ) -> Result<Payload, Stop> {
        let is_bound = matches!(link.held, Held::Bound(_));
        let charset = self.results_charset(link.lease());
        let outcome = self.finish(link, facts, seen, Ok(reply));
        // The server's own answers are about one part only, and of an error it may have been told something else since.
        self.is_last = false;
        self.note_list_of_parts(charset, seen);
        if seen.has_failed() {
            let error = seen.out_of_time.clone().unwrap_or_else(|| seen.server_error());
            self.before.error = seen.error.map(|code| (code, seen.sqlstate));
            self.answered_with_error(&error, seen.listed.is_some());
        }
        debug_assert!(!facts.hazards.contains(Hazards::MULTI) || is_bound, "one statement");
        outcome
    }
}

/// Where a definition stands that failed on one part of several.
fn report(failed: &str, finished: &[String], all: usize) -> String {
    match (finished, all - finished.len() - 1) {
        ([], _) => format!(" (on {failed}; no other has it)"),
        (finished, left) => format!(
            " (on {failed}; done on {}, not tried on {left} more: repeat it there once the cause is mended)",
            finished.join(", ")
        ),
    }
}
