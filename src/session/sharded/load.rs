//! LOAD DATA LOCAL into a sharded table: Athena asks the client for the file, and gives each shard its rows.
//!
//! Rows are kept until there are enough of a shard for a LOAD DATA of their own, in one transaction; where shards have servers of
//! their own, the statement goes from server to server with them. Meanwhile nothing is received from the client, so that a file of any size takes bounded memory. What goes
//! wrong can be said only behind the file: until then the client does not read.

use std::rc::Rc;

use crate::metrics::label::Sharded;
use crate::net::Payload;
use crate::parser::{Effect, Facts, Hazards, Ids, Sketch, SqlMode};
use crate::pool::LinkError;
use crate::protocol::capability::Capabilities;
use crate::protocol::local_infile::LocalFile;
use crate::protocol::packet::{Header, write_packet};
use crate::protocol::reply::Renames;
use crate::router::sharding::{Action, Plan, ShardSet, Value};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::{NO_SQL, Use};
use super::super::seen::Seen;
use super::super::servers::Ending;
use super::collect::{Asking, TakeBytes};
use super::columns::name_at;
use super::done::Done;
use super::several::{SAVEPOINT, TRANSACTION};
use super::splitting::Splitting;
use super::tables::{ShardedTables, Values};
use super::text::{OF_ONE_LINK, query};

/// Asks a client for a file; its name follows.
const LOCAL_INFILE: u8 = 0xFB;

/// The statement, in the words of each shard.
pub(super) struct Words {
    pub tables: Rc<ShardedTables>,
    pub plan: Rc<Plan>,
    head: Vec<u8>,
    sql: Vec<u8>,
    sketch: Sketch,
    pub mode: SqlMode,
}

/// Where the statement is.
struct Loading {
    /// `None` once there is nothing more to be done.
    link: Option<Use>,
    facts: Facts,
    effects: Vec<Effect>,
    /// Where shards are on several servers: those that have something of the statement.
    visited: Option<Vec<usize>>,
    /// It is a transaction by itself.
    alone: bool,
}

impl Loading {
    fn seen(&self) -> Seen {
        Seen { uses_table: Some(true), of_several_parts: true, ..Seen::of(self.effects.clone()) }
    }
}

impl Session {
    /// COM_QUERY with LOAD DATA LOCAL into a sharded table.
    pub(super) async fn load(
        &mut self,
        command: Payload,
        mut facts: Facts,
        plan: Rc<Plan>,
    ) -> Result<Payload, Stop> {
        let Action::Load(load) = &plan.action else { return Err(Refusal::malformed().into()) };
        let Some(tables) = self.home().tables.clone() else { return Err(Refusal::malformed().into()) };
        let (head, sql) = self.head_and_text(&command)?;
        let (head, sql, sketch) = (head.to_vec(), sql.to_vec(), Sketch::clone(&tables.sketch()));
        self.go_to_one_of(&tables, &plan, facts).await?;
        let mode = self.sql_mode();
        let words = Words { tables, plan: plan.clone(), head, sql, sketch, mode };
        let (charset, may_load) = self.load_settings().await?;
        if !may_load || !self.capabilities.contains(Capabilities::LOCAL_FILES) {
            // The server has the words for that, and asks for nothing.
            self.renames = words.renames(ShardSet::of(0));
            self.shard = 0;
            return self.query_at_home(words.of(0)?, facts).await;
        }
        let (name, schema) = (words.name(load.table)?, load.schema.map(|at| words.name(at)).transpose()?);
        let columns = self.columns_of(&name, schema.as_deref()).await?;
        let splitting = self.splitting(&words, load, &charset, &columns);
        let splitting = splitting.inspect_err(|_| self.count_sharded(Sharded::Refused))?;
        let effects = self.effects_of(&words.sql, mode, &mut facts);
        if facts.hazards.intersects(OF_ONE_LINK - Hazards::USER_VARIABLE_WRITE) {
            return Err(Refusal::of_one_link().into());
        }
        if splitting.ids.is_some() {
            // An id that is told is one that was drawn.
            facts.ids = Ids::NONE;
        }
        let all = ShardSet::full(splitting.rule.shards);
        self.renames = words.renames(all);
        self.count_sharded(Sharded::Write);
        let link = self.link_for_several(facts, all.iter()).await?;
        let file = words.literal(load.file)?;
        let is_spread = words.tables.is_spread(words.plan.rule, self.account.cluster);
        let visited = is_spread.then(Vec::new);
        let loading = Loading { link: Some(link), facts, effects, visited, alone: self.is_alone() };
        self.load_rows(loading, (words, file), splitting).await
    }

    /// Goes to a server that has shards.
    async fn go_to_one_of(&mut self, tables: &ShardedTables, plan: &Plan, facts: Facts) -> Result<(), Stop> {
        if tables.is_spread(plan.rule, self.account.cluster) && !self.may_branch() {
            return Err(Refusal::several_servers("LOAD DATA").into());
        }
        self.go_with(self.server_of(tables.model_shard(plan, self.at)), facts, Vec::new).await
    }

    /// The character set of a file that says none, and whether the server takes files.
    async fn load_settings(&mut self) -> Result<(String, bool), Stop> {
        let mut link = self.take_link(NO_SQL).await?;
        match self.asked(&mut link, "SELECT @@character_set_database, @@local_infile").await {
            Ok(told) => {
                self.give_back_asked(link);
                let row = told?.rows.into_iter().next().unwrap_or_default();
                let text = |at: usize| {
                    let value = row.get(at).and_then(Option::as_deref).unwrap_or_default();
                    String::from_utf8_lossy(value).into_owned()
                };
                Ok((text(0), text(1) == "1"))
            }
            Err(stop) => Err(self.lost_on_the_way(link, stop)),
        }
    }

    /// Asks the client for its file and gives the shards their rows, all or none.
    async fn load_rows(
        &mut self,
        mut loading: Loading,
        (words, name): (Words, Vec<u8>),
        mut splitting: Splitting,
    ) -> Result<Payload, Stop> {
        // Said once more, there would be no file.
        self.attempts.forget();
        let mut seen = loading.seen();
        if loading.visited.is_none()
            && let Some(link) = &mut loading.link
        {
            let begun = self.say(link, self.bracket()[0], &mut seen).await;
            if begun.is_err() || seen.error.is_some() {
                return self.loaded(loading, seen, Done::default(), (begun.err(), 1)).await;
            }
        }
        let mut request = Vec::new();
        let seq = write_packet(&mut request, 1, &[&[LOCAL_INFILE], &name[..]].concat());
        let (mut request, mut file) = (Some(request.into()), LocalFile::of_client(seq));
        self.socket.file_begins();
        let (mut done, mut lost) = (Done { of_file: true, ..Done::default() }, None);
        while !file.is_over() {
            self.entry.wait();
            let watched = loading.link.as_mut().filter(|_| lost.is_none());
            if let Err(stop) =
                self.next_of_file(watched, &mut request, &mut file, &mut splitting, &mut lost).await
            {
                return self.loaded(loading, seen, done, (Some(stop), file.next_seq())).await;
            }
            if !self.entry.go_on() && !seen.has_failed() {
                seen.fail(&Refusal::interrupted());
            }
            if lost.is_none() && !seen.has_failed() {
                let over = file.is_over();
                let loaded =
                    self.load_parts(&mut loading, &words, &mut splitting, over, (&mut seen, &mut done)).await;
                lost = loaded.err();
            }
            if lost.is_none() && !seen.has_failed() && file.is_over() {
                lost = self.end_load(&mut loading, &mut seen).await.err();
            }
            if seen.has_failed() && !splitting.is_over() {
                splitting.end();
                if lost.is_none() {
                    lost = self.undo_load(&mut loading, &mut seen).await.err();
                }
            }
        }
        let seq = file.next_seq();
        self.loaded(loading, seen, done, (lost.map(|stop| stop.at(seq)), seq)).await
    }

    /// All rows are where they belong: they are committed, if the statement is a transaction by itself.
    async fn end_load(&mut self, loading: &mut Loading, seen: &mut Seen) -> Result<(), Stop> {
        let end = self.bracket()[1];
        let Some(link) = &mut loading.link else { return Ok(()) };
        if loading.visited.is_none() {
            return self.say(link, end, seen).await;
        }
        self.cut_warnings(link, seen).await?;
        let charset = self.results_charset(link.lease());
        if let Some(link) = loading.link.take() {
            self.settle(link, loading.facts, seen);
            self.note_list_of_parts(charset, seen);
        }
        if loading.alone { self.end_alone(Ending::Commit).await } else { Ok(()) }
    }

    /// Takes back what there is of the statement, which has failed.
    async fn undo_load(&mut self, loading: &mut Loading, seen: &mut Seen) -> Result<(), Stop> {
        let undo = self.bracket()[2];
        let Some(visited) = &loading.visited else {
            return match &mut loading.link {
                Some(link) => self.undo(link, undo, seen).await,
                None => Ok(()),
            };
        };
        if let Some(link) = loading.link.take() {
            self.settle(link, loading.facts, seen);
        }
        match loading.alone {
            true => self.end_alone(Ending::RollBack).await,
            false => self.undo_on(visited).await,
        }
    }

    /// The reply to the statement, behind the file.
    async fn loaded(
        &mut self,
        mut loading: Loading,
        mut seen: Seen,
        done: Done,
        (mut lost, seq): (Option<Stop>, u8),
    ) -> Result<Payload, Stop> {
        let facts = loading.facts;
        if let (None, None, Some(link)) = (&lost, &loading.visited, &mut loading.link) {
            lost = self.cut_warnings(link, &mut seen).await.err().map(|stop| stop.at(seq));
        }
        if loading.visited.is_some() {
            seen.status = Some(self.status);
        }
        let outcome = match lost {
            Some(stop) => Err(stop),
            None if seen.has_failed() => Ok(self.error_of(&seen, seq)),
            None => Ok(self.done(&done, &mut seen, seq)),
        };
        match (loading.link, outcome) {
            (Some(link), Ok(reply)) => self.finish_several(link, facts, &seen, reply),
            (Some(link), Err(stop)) if loading.visited.is_none() => {
                self.finish(link, facts, &seen, Err(stop))
            }
            (Some(link), Err(stop)) => Err(self.lost(link, stop)),
            (None, outcome) => {
                if seen.has_failed() {
                    self.answered_with_error(&self.failure_of(&seen).error, false);
                } else if outcome.is_ok() {
                    self.told_of_parts(&done, facts);
                }
                outcome
            }
        }
    }

    /// The next bytes of the client's file; of one that is of no use any more they are dropped.
    async fn next_of_file(
        &mut self,
        watched: Option<&mut Use>,
        request: &mut Option<Payload>,
        file: &mut LocalFile,
        splitting: &mut Splitting,
        lost: &mut Option<Stop>,
    ) -> Result<(), Stop> {
        let takes = watched.is_some() && !splitting.is_over();
        let Some(mut chunk) = self.input.take_chunk() else {
            match self.receive_file(request.take(), watched).await? {
                Some(chunk) => self.input.push(chunk),
                None => *lost = Some(LinkError::Closed.into()),
            }
            return Ok(());
        };
        if let Some(request) = request.take() {
            self.send(request).await?;
        }
        let passed = file.pass_contents(&mut chunk, |bytes| {
            if takes {
                splitting.rows.push(bytes);
            }
        });
        let at = match passed {
            Ok(at) => at,
            Err(error) => return Err(Refusal { seq: Some(file.next_seq()), ..error.into() }.into()),
        };
        if at < chunk.len() {
            chunk.advance(at);
            self.input.push(chunk);
        }
        Ok(())
    }

    /// Gives the shards the rows that have come, as far as there are enough of them; all of them where the file is `over`.
    async fn load_parts(
        &mut self,
        loading: &mut Loading,
        words: &Words,
        splitting: &mut Splitting,
        over: bool,
        (seen, done): (&mut Seen, &mut Done),
    ) -> Result<(), Stop> {
        while let Some(row) = splitting.rows.next(over) {
            let id = match &mut splitting.ids {
                Some(ids) => self.id_of_row(ids, &row, splitting.count + 1).await,
                None => Ok(None),
            };
            let taken = match id {
                Ok(id) => {
                    done.drawn = done.drawn.or(id);
                    splitting.take(&row, id)
                }
                Err(Stop::Refuse(refusal)) if !refusal.fatal => Err(*refusal),
                Err(stop) => return Err(stop),
            };
            match taken {
                Ok(Some(shard)) => self.load_part(loading, words, splitting, shard, (seen, done)).await?,
                Ok(None) => {}
                Err(refusal) => seen.fail(&refusal),
            }
            if seen.has_failed() {
                return Ok(());
            }
        }
        if splitting.rows.is_broken() {
            seen.fail(&splitting.broken());
        }
        if splitting.rows.pending() > splitting.row_max {
            seen.fail(&splitting.long_row());
        }
        if !over || seen.has_failed() {
            return Ok(());
        }
        // A file without rows is loaded, too.
        let first = [0].into_iter().filter(|_| splitting.count == 0);
        let filled = (0..splitting.rule.shards).filter(|shard| splitting.len_of(*shard) > 0).chain(first);
        for shard in filled.collect::<Vec<_>>() {
            self.load_part(loading, words, splitting, shard, (seen, done)).await?;
            if seen.has_failed() {
                break;
            }
        }
        Ok(())
    }

    /// Goes to the server of a shard, where shards are on several, and has the transaction there.
    async fn visit_for_load(
        &mut self,
        loading: &mut Loading,
        shard: u32,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        let at = self.server_of(shard);
        let Some(visited) = &loading.visited else { return Ok(()) };
        let is_first = visited.is_empty();
        if at != self.at
            && let Some(link) = loading.link.take()
        {
            self.shard = shard;
            let moved = self.go_on_at(at, link, loading.facts, seen, &loading.effects).await;
            *seen = Seen { listed: seen.listed.take(), ..loading.seen() };
            match moved {
                Ok(link) => loading.link = Some(link),
                Err(stop) => match self.with_shard(stop) {
                    Stop::Refuse(refusal) if !refusal.fatal => seen.fail(&refusal),
                    stop => return Err(stop),
                },
            }
        }
        let (Some(link), Some(visited)) = (&mut loading.link, &mut loading.visited) else { return Ok(()) };
        if visited.contains(&at) {
            return Ok(());
        }
        match (loading.alone, is_first) {
            (true, true) => self.say(link, TRANSACTION[0], seen).await?,
            // Its branch has just begun.
            (true, false) => {}
            (false, _) => self.say(link, SAVEPOINT[0], seen).await?,
        }
        if loading.alone || seen.error.is_none() {
            // A savepoint that could not be set may be there from before.
            visited.push(at);
        }
        Ok(())
    }

    /// A LOAD DATA with the rows that there are for a shard.
    async fn load_part(
        &mut self,
        loading: &mut Loading,
        words: &Words,
        splitting: &mut Splitting,
        shard: u32,
        (seen, done): (&mut Seen, &mut Done),
    ) -> Result<(), Stop> {
        if let Some(ids) = &mut splitting.ids {
            match self.pass_ids_of_rows(ids).await {
                Err(Stop::Refuse(refusal)) if !refusal.fatal => {
                    seen.fail(&refusal);
                    return Ok(());
                }
                passed => passed?,
            }
        }
        self.visit_for_load(loading, shard, seen).await?;
        let Some(link) = loading.link.as_mut().filter(|_| !seen.has_failed()) else { return Ok(()) };
        let mut bytes = Vec::new();
        let take: &mut TakeBytes<'_> = &mut |more| {
            bytes.extend_from_slice(&more);
            Ok(None)
        };
        let (reply, clock, file) = (self.collected_reply(), self.clock(), Some(splitting.part(shard)));
        let asking = Asking { reply, clock, of: None, file };
        let killed = self.take_reply(link, words.of(shard)?, asking, seen, take).await?.killed;
        self.note_warnings(link, seen).await?;
        if seen.error.is_none() {
            done.leg(last_packet(&bytes));
        }
        if killed && seen.error.is_none() {
            seen.fail(&Refusal::interrupted());
        }
        Ok(())
    }
}

/// The packet that ends a reply without rows, behind the reports of progress that there may be.
fn last_packet(mut bytes: &[u8]) -> Vec<u8> {
    let mut last = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let (payload, behind) = rest.split_at((Header::parse(*head).len as usize).min(rest.len()));
        (last, bytes) = (payload.to_vec(), behind);
    }
    last
}

impl Words {
    fn values(&self) -> Values<'_> {
        Values { sql: &self.sql, sketch: &self.sketch, mode: self.mode, parameters: &[], ids: &[] }
    }

    pub(super) fn text(&self, token: u32) -> &[u8] {
        self.sketch.text(&self.sql, token)
    }

    fn name(&self, token: u32) -> Result<String, Refusal> {
        name_at(&self.sql, &self.sketch, token)
    }

    /// The bytes of a literal.
    pub(super) fn literal(&self, token: u32) -> Result<Vec<u8>, Refusal> {
        match Value::of_literal(self.text(token), false, !self.mode.no_backslash_escapes) {
            Value::Text(bytes) | Value::Binary(bytes) => Ok(bytes),
            _ => Err(Refusal::loading("an option that is no string")),
        }
    }

    fn of(&self, shard: u32) -> Result<Payload, Refusal> {
        query(&self.head, &self.tables.words(&self.plan, &self.plan.edits, &self.values(), shard))
    }

    fn renames(&self, shards: ShardSet) -> Renames {
        self.tables.renames(&self.plan, &self.values(), shards)
    }
}

impl Stop {
    /// The same behind packets of the client.
    fn at(self, seq: u8) -> Self {
        match self {
            Self::Refuse(refusal) => {
                let seq = refusal.seq.map(|_| seq);
                Self::Refuse(Box::new(Refusal { seq, ..*refusal }))
            }
            end => end,
        }
    }
}
