//! COM_QUERY with a text about sharded tables.

use std::rc::Rc;

use crate::metrics::label::{ErrorKind, Sharded};
use crate::net::Payload;
use crate::parser::{Effect, Facts, Hazards, Ids, SqlMode, StatementKind, effects};
use crate::protocol::command::Command;
use crate::protocol::error::ErrorCode;
use crate::protocol::packet::{HEADER_LEN, MAX_PAYLOAD, command_packet};
use crate::protocol::row::RowEncoding;
use crate::router::sharding::{
    Action, KeyError, MergeError, Merging, Plan, Reading, Reason, ShardSet, Verdict,
};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::ASKS_BACK;
use super::super::seen::Seen;
use super::super::servers::Errand;
use super::done::{Done, Ignore};
use super::finish::Finishing;
use super::on_servers::Statement;
use super::sequences::Wanted;
use super::several::{Leg, Say};
use super::show::show_tables;
use super::tables::{ShardedTables, Targets, Values, window};

/// What a statement on several shards can't have, since it is about one link.
pub(super) const OF_ONE_LINK: Hazards = Hazards::OF_SESSIONS
    .union(ASKS_BACK)
    .union(Hazards::NAMED_LOCK)
    .union(Hazards::USER_VARIABLE_WRITE)
    .union(Hazards::LAST_INSERT_ID_SET)
    .union(Hazards::TRACKERS)
    .union(Hazards::SEQUENCE_NEXT)
    .union(Hazards::SEQUENCE_VALUE)
    .union(Hazards::MULTI)
    .union(Hazards::UNSURE);

impl Session {
    /// What is done with a text; `None` if no sharded table is in it.
    pub(in crate::session) fn sharded(
        &self,
        text: &[u8],
        mode: SqlMode,
    ) -> Result<Option<Rc<Plan>>, Refusal> {
        let Some(tables) = &self.home().tables else { return Ok(None) };
        match tables.look_at(text, mode) {
            Verdict::Home => Ok(None),
            Verdict::Sharded(plan) => Ok(Some(plan)),
            Verdict::Refused(reason) => {
                self.count_sharded(Sharded::Refused);
                Err(Refusal::sharding(&reason))
            }
        }
    }

    pub(in crate::session) fn count_sharded(&self, what: Sharded) {
        self.ctx.metrics.sharded.of(what).inc();
    }

    /// The payload of a COM_QUERY: what stands before its text, and that.
    pub(super) fn head_and_text<'c>(&self, command: &'c Payload) -> Result<(&'c [u8], &'c [u8]), Refusal> {
        let payload = command.get(HEADER_LEN..).unwrap_or_default();
        let at = self.text_offset(payload).ok_or_else(Refusal::malformed)?;
        Ok(payload.split_at(at.min(payload.len())))
    }

    /// COM_QUERY with such a text, which was just looked at.
    pub(in crate::session) async fn sharded_query(
        &mut self,
        command: Payload,
        facts: Facts,
        plan: Rc<Plan>,
    ) -> Result<Payload, Stop> {
        let (command, plan) = match plan.action {
            Action::Unlisted { .. } => {
                let mode = self.sql_mode();
                Box::pin(self.listed_query(command, plan, mode)).await?
            }
            _ => (command, plan),
        };
        if matches!(plan.action, Action::Load(_)) {
            return Box::pin(self.load(command, facts, plan)).await;
        }
        let (ids, plan) = self.ids_of_text(&command, plan).await?;
        let parts =
            self.parts(&command, facts, &plan, &ids).inspect_err(|_| self.count_sharded(Sharded::Refused))?;
        match parts {
            Parts::One(shard, command)
                if plan.action == Action::Describe && facts.kind != StatementKind::Explain =>
            {
                let at = self.server_of(shard);
                self.go_to(at, Errand::Question).await?;
                self.describe(command, facts).await
            }
            Parts::One(shard, command) => {
                self.shard = shard;
                self.count_sharded(Sharded::One);
                let at = self.server_of(shard);
                if at != self.at {
                    let mode = self.sql_mode();
                    let text = self.text(command.get(HEADER_LEN..).unwrap_or_default()).unwrap_or_default();
                    Box::pin(self.go_with(at, facts, || effects(text, mode))).await?;
                }
                self.query_at_home(command, facts).await
            }
            Parts::Several(legs, how, effects) => self.on_several(facts, effects, legs, how).await,
        }
    }

    /// The ids of an INSERT's rows, and its plan; the text is the one that was looked at last also behind this.
    async fn ids_of_text(
        &mut self,
        command: &Payload,
        plan: Rc<Plan>,
    ) -> Result<(Vec<Option<u64>>, Rc<Plan>), Stop> {
        let Action::Insert { ids: Some(ids), .. } = &plan.action else { return Ok((Vec::new(), plan)) };
        let mode = self.sql_mode();
        let (_, sql) = self.head_and_text(command)?;
        let wanted = {
            let tables = self.home().tables.clone().ok_or_else(Refusal::malformed)?;
            let values = Values { sql, sketch: &tables.sketch(), mode, parameters: &[], ids: &[] };
            Wanted::new(ids, &values, self.zero_draws())
        };
        let wanted = wanted.inspect_err(|_| self.count_sharded(Sharded::Refused))?;
        let drawn = self.drawn(ids, wanted).await?;
        match drawn.has_waited {
            true => Ok((drawn.ids, self.sharded(sql, mode)?.ok_or_else(Refusal::malformed)?)),
            false => Ok((drawn.ids, plan)),
        }
    }

    /// COM_QUERY with SHOW TABLES, where tables are sharded; `None` for anything else.
    pub(in crate::session) async fn show_of_shards(
        &mut self,
        command: &Payload,
        facts: Facts,
    ) -> Result<Option<Payload>, Stop> {
        let Some(tables) = &self.home().tables else { return Ok(None) };
        let (head, sql) = self.head_and_text(command)?;
        let show = show_tables(sql, &tables.sketch_of(sql, self.sql_mode()));
        match show {
            Some(show) => self.show_tables(head, sql, facts, show?).await.map(Some),
            None => Ok(None),
        }
    }

    /// The statement in the words of each shard that it is for.
    pub(super) fn parts(
        &mut self,
        command: &Payload,
        facts: Facts,
        plan: &Plan,
        ids: &[Option<u64>],
    ) -> Result<Parts, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Err(Refusal::malformed().into()) };
        let (head, sql) = self.head_and_text(command)?;
        let sketch = tables.sketch();
        let values = Values { sql, sketch: &sketch, mode: self.sql_mode(), parameters: &[], ids };
        let targets = tables.targets(plan, &values, self.reading(), self.at)?;
        self.check_beside(plan, targets.all())?;
        let home = self.account.cluster;
        let leg = |shard: u32, text: Vec<u8>| {
            Ok::<_, Stop>(Leg {
                shard,
                at: tables.server_of(shard, home),
                say: Say::Text(query(head, &text)?),
            })
        };
        if let Targets::One(shard) = targets {
            self.renames = tables.renames(plan, &values, ShardSet::of(shard));
            let text = tables.words(plan, &plan.edits, &values, shard);
            return Ok(Parts::One(shard, query(head, &text)?));
        }
        if facts.hazards.intersects(OF_ONE_LINK) {
            return Err(Refusal::of_one_link().into());
        }
        self.check_row_limit(plan, sql)?;
        let first = self.first_of(targets.all());
        let how = how(&tables, plan, &values, RowEncoding::Text, first)?;
        self.renames = tables.renames(plan, &values, targets.all());
        let legs = match (&targets, &plan.action) {
            (Targets::Rows(shards), _) => {
                let set: std::collections::BTreeSet<_> = shards.iter().copied().collect();
                let texts = set.into_iter().map(|shard| {
                    let keep = |row: usize| shards.get(row) == Some(&shard);
                    leg(shard, tables.words_of_rows(plan, &values, shard, &keep, &|id| id.to_string()))
                });
                texts.collect::<Result<Vec<_>, _>>()?
            }
            (Targets::Several(set), action) => {
                let edits = match action.explained() {
                    Action::Read { scatter: Ok(scatter), .. } => &scatter.edits,
                    _ => &plan.edits,
                };
                let texts = set.iter().map(|shard| leg(shard, tables.words(plan, edits, &values, shard)));
                texts.collect::<Result<Vec<_>, _>>()?
            }
            (Targets::One(_), _) => Vec::new(),
        };
        let mut facts = facts;
        let effects = self.effects_of(sql, values.mode, &mut facts);
        Ok(Parts::Several(legs, how, effects))
    }

    /// The cluster that has a shard.
    pub(in crate::session) fn server_of(&self, shard: u32) -> usize {
        let home = self.account.cluster;
        self.home().tables.as_ref().map_or(home, |tables| tables.server_of(shard, home))
    }

    /// The first of some shards, as servers follow each other.
    pub(super) fn first_of(&self, shards: ShardSet) -> u32 {
        shards.iter().min_by_key(|shard| (self.server_of(*shard), *shard)).unwrap_or(0)
    }

    /// That what a statement uses beside sharded tables is where these are.
    pub(super) fn check_beside(&self, plan: &Plan, shards: ShardSet) -> Result<(), Refusal> {
        let Some(table) = &plan.beside else { return Ok(()) };
        let elsewhere =
            shards.iter().map(|shard| self.server_of(shard)).find(|at| *at != self.account.cluster);
        match elsewhere {
            Some(at) => Err(Refusal::not_beside(table, &self.ctx.clusters[at].name)),
            None => Ok(()),
        }
    }

    /// A statement on several shards.
    pub(super) async fn on_several(
        &mut self,
        facts: Facts,
        effects: Vec<Effect>,
        legs: Vec<Leg>,
        how: How,
    ) -> Result<Payload, Stop> {
        self.count_sharded(how.counted());
        let mut facts = facts;
        if let How::Write(Done { drawn: Some(_), .. }) = how {
            // Those that the text gives are not the one that is told.
            facts.ids = Ids::NONE;
        }
        let mut legs = legs;
        legs.sort_by_key(|leg| leg.at);
        let mut servers: Vec<_> = legs.iter().map(|leg| leg.at).collect();
        servers.dedup();
        match (servers.as_slice(), &how) {
            ([first], _) | ([first, ..], How::Define | How::Explain(_)) => {
                Box::pin(self.go_with(*first, facts, || effects.clone())).await?;
            }
            ([first, ..], How::Read(..)) if self.may_gather_elsewhere(facts, &effects, &legs) => {
                Box::pin(self.go_with(*first, facts, || effects.clone())).await?;
            }
            (_, How::Read(..)) if !self.may_read_on_servers() => {
                return Err(Refusal::several_servers("A read").into());
            }
            (_, How::Write(_)) if !self.may_branch() => {
                return Err(Refusal::several_servers("A write").into());
            }
            (_, How::EachCopy(table)) if !self.may_branch() => {
                return Err(Refusal::copies_need_two_phases(table).into());
            }
            ([first, ..], _) => {
                Box::pin(self.go_with(*first, facts, || effects.clone())).await?;
                let shards = legs.iter().fold(ShardSet::EMPTY, |set, leg| set.union(ShardSet::of(leg.shard)));
                let statement = Statement { facts, effects: &effects, shards };
                return match how {
                    How::Read(merging, finishing) => {
                        self.read_on_servers(statement, legs, *merging, finishing).await
                    }
                    How::Write(done) => self.write_on_servers(statement, legs, done, None).await,
                    How::EachCopy(table) => {
                        let copies = self.copies(&table)?;
                        self.write_on_servers(statement, legs, Done::default(), Some(copies)).await
                    }
                    How::Define | How::Explain(_) => Err(Refusal::of_one_link().into()),
                };
            }
            ([], _) => return Err(Refusal::malformed().into()),
        }
        let seen = Seen { uses_table: Some(true), ..Seen::of(effects.clone()) };
        let mut link = self.link_for_several(facts, legs.iter().map(|leg| leg.shard)).await?;
        if let Err(stop) = self.prepare_legs(&mut link, &legs).await {
            return Err(self.unprepared(link, stop));
        }
        match how {
            How::Read(merging, finishing) => {
                self.read_several(link, facts, legs, *merging, finishing, seen).await
            }
            How::Write(done) => self.write_several(link, facts, legs, done, seen).await,
            How::EachCopy(_) => self.write_several(link, facts, legs, Done::default(), seen).await,
            How::Define => self.define_on_all(link, facts, legs, seen, &effects).await,
            How::Explain(tables) => {
                Box::pin(self.explain_on_all(link, (facts, &effects), legs, &tables, seen)).await
            }
        }
    }

    /// Each shard would keep to the session's limit of rows for itself.
    pub(super) fn check_row_limit(&self, plan: &Plan, sql: &[u8]) -> Result<(), Refusal> {
        const NONE: &[u8] = b"18446744073709551615";
        let limited = self.state.variable(b"sql_select_limit").is_some_and(|limit| limit != NONE);
        let has = |word: &[u8]| sql.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
        match matches!(plan.action, Action::Read { .. }) && (limited || (has(b"/*+") && has(b"SET_VAR"))) {
            true => Err(Refusal::sharding(&Reason::from(
                "sql_select_limit and SET_VAR hold for each shard by itself: SET sql_select_limit = DEFAULT and use LIMIT, or \
                 say the sharding column's value",
            ))),
            false => Ok(()),
        }
    }

    /// How the client's literals are to be read.
    pub(super) fn reading(&self) -> Reading {
        Reading { utf8: self.is_utf8() }
    }
}

/// A statement in the words of shards.
pub(super) enum Parts {
    One(u32, Payload),
    /// With what the statement does to its link.
    Several(Vec<Leg>, How, Vec<Effect>),
}

/// How the parts of a statement on several shards are one.
pub(super) enum How {
    /// With what is asked about merged groups.
    Read(Box<Merging<Payload>>, Option<Box<Finishing>>),
    /// With what is known of all parts before the first.
    Write(Done),
    /// With the name of a global table, of which each server has a copy: what is done on one is done on all.
    EachCopy(Box<str>),
    Define,
    /// What the plans of all shards say, one after the other; with what the sharded tables are called.
    Explain(Vec<Box<str>>),
}

impl How {
    fn counted(&self) -> Sharded {
        match self {
            Self::Read(..) | Self::Explain(_) => Sharded::Read,
            Self::Write(_) | Self::EachCopy(_) => Sharded::Write,
            Self::Define => Sharded::Definition,
        }
    }
}

/// Whether a statement may run on several shards, of which `first` is one, and how.
pub(super) fn how(
    tables: &ShardedTables,
    plan: &Plan,
    values: &Values<'_>,
    encoding: RowEncoding,
    first: u32,
) -> Result<How, Refusal> {
    match &plan.action {
        Action::Read { scatter: Ok(scatter), .. } => {
            let rows = window(scatter.merge.limit.as_ref(), values);
            let merging = Merging::new(scatter.merge.clone(), encoding, rows, tables.budget);
            let finishing = scatter.finish.as_ref();
            let finishing =
                finishing.map(|finish| Finishing::new(finish, tables, plan, values, encoding, first));
            Ok(How::Read(Box::new(merging), finishing.transpose()?.map(Box::new)))
        }
        Action::Read { scatter: Err(reason), .. } => Err(Refusal::sharding(reason)),
        Action::Write { several: Err(reason), .. } | Action::Insert { several: Err(reason), .. } => {
            Err(Refusal::sharding(reason))
        }
        Action::Write { .. } | Action::Load(_) => Ok(How::Write(Done::default())),
        Action::Insert { rows, ids, .. } => {
            let drawn = values.ids.iter().copied().flatten().next();
            let is_upsert = rows.len() == 1 && ids.as_ref().is_some_and(|ids| ids.updates);
            let rows = (rows.len() > 1).then(|| ignore(values));
            Ok(How::Write(Done { rows, drawn, is_upsert, ..Done::default() }))
        }
        Action::EachCopy { table } => Ok(How::EachCopy(table.clone())),
        Action::Definition => Ok(How::Define),
        Action::Explain { of, tables: named } => {
            // What can't run can't be explained.
            let of = Plan { action: (**of).clone(), ..plan.clone() };
            how(tables, &of, values, encoding, first)?;
            Ok(How::Explain(named.clone()))
        }
        Action::Describe | Action::Unlisted { .. } | Action::AnyCopy => Err(Refusal::of_one_link()),
    }
}

/// Whether an INSERT has IGNORE, which stands in front of its table.
pub(super) fn ignore(values: &Values<'_>) -> Ignore {
    let has = (1..4).any(|token| values.sketch.text(values.sql, token).eq_ignore_ascii_case(b"ignore"));
    if has { Ignore::Yes } else { Ignore::No }
}

/// A COM_QUERY: `head` is what stands before its text.
pub(super) fn query(head: &[u8], text: &[u8]) -> Result<Payload, Refusal> {
    let payload = [head, text].concat();
    if payload.len() >= MAX_PAYLOAD {
        return Err(Refusal::outgrown("the names of a shard's tables"));
    }
    debug_assert_eq!(payload.first(), Some(&(Command::Query as u8)));
    Ok(command_packet(&payload).into())
}

impl Refusal {
    /// A statement that can't be routed or merged, and what to change.
    pub(super) fn sharding(reason: &Reason) -> Self {
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, reason.to_string())
    }

    pub(super) fn key(error: KeyError) -> Self {
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, error.to_string())
    }

    pub(super) fn merge(error: MergeError) -> Self {
        let kind = match &error {
            MergeError::TooMuch { .. } => ErrorKind::TooLarge,
            _ => ErrorKind::Unsupported,
        };
        Self::new(kind, ErrorCode::NotSupportedYet, error.to_string())
    }

    pub(super) fn of_one_link() -> Self {
        Self::sharding(&Reason::from(
            "The statement is for several shards, and has something that is about one connection to one server (a lock, a \
             variable that it sets, an id of a session, the statement before): compare the sharding column with a value, \
             or ask for that in a statement of its own",
        ))
    }
}
