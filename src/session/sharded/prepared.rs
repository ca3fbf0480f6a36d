//! Prepared statements about sharded tables. They are planned once, when they are prepared; each EXECUTE is for the shards
//! of its parameters, on which the statement is prepared in their words the first time.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::metrics::label::ErrorKind;
use crate::net::Payload;
use crate::parser::{Effect, Facts, Ids, Sketch, SketchKind, SqlMode, digest};
use crate::protocol::error::ErrorCode;
use crate::protocol::execution::{Execution as Sent, Given, bulk_rows};
use crate::protocol::packet::{HEADER_LEN, MAX_PAYLOAD, command_packet};
use crate::protocol::parameter::raw_parameters;
use crate::protocol::row::RowEncoding;
use crate::protocol::statement::ExecuteHeader;
use crate::router::sharding::{Action, Plan, Reason, ShardSet, Value};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::Use;
use super::super::prepared::patch_id;
use super::super::statements::{Meant, StatementText};
use super::bulk::id_value;
use super::sequences::Wanted;
use super::several::{Execute, Leg, Say};
use super::tables::{ShardedTables, Targets, Values};
use super::text::{How, OF_ONE_LINK};

/// A statement about sharded tables, as it was prepared.
#[derive(Debug)]
pub(in crate::session) struct ShardedStatement {
    pub(super) plan: Rc<Plan>,
    sql: Box<[u8]>,
    sketch: Sketch,
    mode: SqlMode,
    /// That of the text as the client knows it.
    pub(in crate::session) digest: u64,
    /// By shard, and whether it is a part of a read of several.
    texts: RefCell<HashMap<(u32, bool), Rc<StatementText>>>,
}

/// Such a statement when it is prepared.
pub(in crate::session) struct Planned {
    pub statement: Rc<ShardedStatement>,
    /// In the words of a shard that is asked about its parameters and columns.
    pub words: Vec<u8>,
    pub shard: u32,
}

/// A statement of the session that a link needs in the words of a shard.
pub(super) struct Prepared {
    pub id: u32,
    pub text: Rc<StatementText>,
    /// The types of its parameters, where it is executed with values of its own.
    pub own: Option<Rc<[u8]>>,
}

/// What an EXECUTE of such a statement is.
pub(in crate::session) enum Execution {
    /// On one shard, of which the statement has the text now.
    One(Rc<StatementText>),
    Several(OnSeveral),
}

/// An EXECUTE on several shards.
pub(in crate::session) struct OnSeveral {
    facts: Facts,
    effects: Vec<Effect>,
    legs: Vec<Leg>,
    how: How,
}

/// An execution while its shards are looked for.
pub(super) struct Executed<'a> {
    pub id: u32,
    pub payload: &'a [u8],
    pub header: &'a ExecuteHeader,
    pub sharded: &'a ShardedStatement,
    /// What the statement is prepared as now.
    pub prepared: Rc<StatementText>,
    /// Of its parameters, two bytes each.
    pub types: &'a [u8],
}

impl Session {
    /// The plan of a text that is prepared, and the command in the words of the first shard: that knows its parameters and
    /// columns.
    pub(in crate::session) async fn prepare_sharded(
        &mut self,
        sql: &[u8],
        mode: SqlMode,
        facts: Facts,
    ) -> Result<Option<Planned>, Stop> {
        let Some(mut plan) = self.sharded(sql, mode)? else { return Ok(None) };
        if matches!(plan.action, Action::Unlisted { .. }) {
            // It is asked where the statement is going to run.
            self.place(facts, Vec::new)?;
        }
        let listed = self.listed(sql, &plan).await?;
        let sql = listed.as_deref().unwrap_or(sql);
        if listed.is_some() {
            plan = self.sharded(sql, mode)?.ok_or_else(Refusal::malformed)?;
        }
        if matches!(plan.action, Action::Load(_)) {
            return Err(Refusal::sharding(&Reason::from(
                "LOAD DATA into a sharded table cannot be prepared: send it as text",
            ))
            .into());
        }
        let Some(tables) = self.home().tables.clone() else { return Ok(None) };
        let sketch = Sketch::clone(&tables.sketch());
        let values = Values { sql, sketch: &sketch, mode, parameters: &[], ids: &[] };
        let shard = tables.model_shard(&plan, self.at);
        self.check_beside(&plan, ShardSet::of(shard))?;
        self.renames = tables.renames(&plan, &values, ShardSet::of(shard));
        let words = tables.words(&plan, &plan.edits, &values, shard);
        let (texts, digest) = (RefCell::default(), digest(sql, mode));
        let sharded = ShardedStatement { plan, sql: sql.into(), sketch, mode, digest, texts };
        Ok(Some(Planned { statement: Rc::new(sharded), words, shard }))
    }

    /// The ids of the rows of an INSERT that is executed.
    pub(in crate::session) async fn ids_of_execution(
        &mut self,
        id: u32,
        command: &Payload,
        header: &ExecuteHeader,
        sharded: &ShardedStatement,
    ) -> Result<Vec<Option<u64>>, Stop> {
        let Action::Insert { ids: Some(ids), .. } = &sharded.plan.action else { return Ok(Vec::new()) };
        let Some(statement) = self.statements.get(id) else { return Err(Refusal::malformed().into()) };
        let types = statement.types.clone();
        let payload = command.get(HEADER_LEN..).unwrap_or_default();
        let of_row =
            |parameters: Vec<Value>| Wanted::new(ids, &sharded.values(&parameters), self.zero_draws());
        let wanted = match header.is_bulk() {
            true => {
                let mut wanted = Wanted::default();
                for row in bulk_rows(payload, header, &types).map_err(|_| Refusal::malformed())? {
                    wanted.extend(of_row(row.values.iter().map(id_value).collect())?);
                }
                wanted
            }
            false => {
                let raw = raw_parameters(payload, header, &types).map_err(|_| Refusal::malformed())?;
                of_row(raw.into_iter().map(Value::of_parameter).collect())?
            }
        };
        Ok(self.drawn(ids, wanted).await?.ids)
    }

    /// Finds the shards of an EXECUTE. `ids` are drawn for the rows of an INSERT.
    pub(in crate::session) fn execution(
        &mut self,
        id: u32,
        command: &mut Payload,
        header: &mut ExecuteHeader,
        sharded: &ShardedStatement,
        ids: &[Option<u64>],
    ) -> Result<Execution, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Err(Refusal::malformed().into()) };
        let Some(statement) = self.statements.get(id) else { return Err(Refusal::malformed().into()) };
        let (prepared, params) = (statement.text.clone(), statement.params);
        let types: Rc<[u8]> = Rc::from(&statement.types[..]);
        let payload = command.get(HEADER_LEN..).unwrap_or_default();
        if header.is_bulk() {
            let executed = Executed { id, payload, header, sharded, prepared, types: &types };
            return match ids.iter().any(Option::is_some) {
                true => self.bulk_with_ids(&tables, &executed, ids),
                false => self.bulk_execution(&tables, &executed),
            };
        }
        let raw = raw_parameters(payload, header, &types).map_err(|_| Refusal::malformed())?;
        let parameters: Vec<_> = raw.into_iter().map(Value::of_parameter).collect();
        let values = Values { ids, ..sharded.values(&parameters) };
        let targets = tables.targets(&sharded.plan, &values, self.reading(), self.at)?;
        self.check_beside(&sharded.plan, targets.all())?;
        if !matches!(targets, Targets::One(_)) && prepared.facts.hazards.intersects(OF_ONE_LINK) {
            return Err(Refusal::of_one_link().into());
        }
        let set = match targets {
            Targets::One(shard) => return Ok(self.execution_of_one(&tables, id, sharded, &prepared, shard)),
            Targets::Several(set) => set,
            Targets::Rows(_) if matches!(sharded.plan.action, Action::Explain { .. }) => ShardSet::EMPTY,
            Targets::Rows(shards) => {
                let how = super::text::how(&tables, &sharded.plan, &values, RowEncoding::Binary, 0)?;
                let executed = Executed { id, payload, header, sharded, prepared, types: &types };
                let legs = self.legs_of_rows(&tables, &executed, &values, &shards)?;
                return Ok(Execution::Several(several(&executed.prepared, legs, how)));
            }
        };
        if matches!(sharded.plan.action, Action::Explain { .. }) {
            return Err(Refusal::sharding(&Reason::from(
                "EXPLAIN on several shards cannot be prepared: send it as text, or say the sharding column's value",
            ))
            .into());
        }
        self.check_row_limit(&sharded.plan, &sharded.sql)?;
        let how = super::text::how(&tables, &sharded.plan, &values, RowEncoding::Binary, self.first_of(set))?;
        self.renames = tables.renames(&sharded.plan, &values, set);
        let is_read = matches!(sharded.plan.action, Action::Read { .. });
        let texts: Vec<_> = set
            .iter()
            .map(|shard| (shard, self.text_of_shard(&tables, sharded, &prepared, shard, is_read)))
            .collect();
        // The rows are merged at once: there is nothing to fetch from.
        header.decline_cursor(command.get_mut(HEADER_LEN..).unwrap_or_default());
        let payload: Rc<[u8]> = Rc::from(command.get(HEADER_LEN..).unwrap_or_default());
        let header = Rc::new(header.clone());
        let leg = |(shard, text): (u32, Rc<StatementText>)| {
            let (payload, header, types) = (payload.clone(), header.clone(), types.clone());
            let at = self.server_of(shard);
            Leg {
                shard,
                at,
                say: Say::Execute(Execute { id, text, payload, header, types, params, own: false }),
            }
        };
        Ok(Execution::Several(several(&prepared, texts.into_iter().map(leg).collect(), how)))
    }

    /// The statement goes on in the words of one shard.
    pub(super) fn execution_of_one(
        &mut self,
        tables: &ShardedTables,
        id: u32,
        sharded: &ShardedStatement,
        prepared: &StatementText,
        shard: u32,
    ) -> Execution {
        let text = self.text_of_shard(tables, sharded, prepared, shard, false);
        self.renames = tables.renames(&sharded.plan, &sharded.values(&[]), ShardSet::of(shard));
        self.shard = shard;
        Execution::One(self.go_to_text(id, text))
    }

    /// The statement in the words of a shard: of a part of a read of several, if `scattered`.
    pub(super) fn text_of_shard(
        &self,
        tables: &ShardedTables,
        sharded: &ShardedStatement,
        prepared: &StatementText,
        shard: u32,
        scattered: bool,
    ) -> Rc<StatementText> {
        let edits = match &sharded.plan.action {
            Action::Read { scatter: Ok(scatter), .. } if scattered => &scatter.edits,
            _ => &sharded.plan.edits,
        };
        let new = || {
            self.ctx
                .texts
                .get(&meant(prepared), &tables.words(&sharded.plan, edits, &sharded.values(&[]), shard))
        };
        sharded.texts.borrow_mut().entry((shard, scattered)).or_insert_with(new).clone()
    }

    /// An INSERT of several rows: each shard gets a text with its rows, and their parameters.
    fn legs_of_rows(
        &mut self,
        tables: &ShardedTables,
        executed: &Executed<'_>,
        values: &Values<'_>,
        shards: &[u32],
    ) -> Result<Vec<Leg>, Stop> {
        let sharded = executed.sharded;
        let none = BTreeMap::new();
        let sent = Sent::parse(executed.payload, executed.header, executed.types, &none)
            .map_err(|_| Refusal::malformed())?;
        let set = Targets::Rows(shards.to_vec()).all();
        self.renames = tables.renames(&sharded.plan, values, set);
        let Action::Insert { rows, ids, .. } = &sharded.plan.action else {
            return Err(Refusal::malformed().into());
        };
        let places = sharded.parameter_places();
        let mut legs = Vec::new();
        for shard in set.iter() {
            let keeps_row = |row: usize| shards.get(row) == Some(&shard);
            let words = tables.words_of_rows(&sharded.plan, values, shard, &keeps_row, &|_| "?".to_owned());
            let is_left_out = |place: u32| {
                let mut all = rows.iter().enumerate();
                all.any(|(at, row)| row.tokens.contains(&place) && !keeps_row(at))
            };
            let drawn = ids.iter().flat_map(|ids| ids.rows.iter().enumerate());
            let drawn = drawn
                .filter(|(row, _)| keeps_row(*row))
                .filter_map(|(row, of_row)| Some((of_row.tokens.clone(), Given::Id(values.id(row)?))));
            let drawn: Vec<_> = drawn.collect();
            let stays =
                |place: u32| !is_left_out(place) && !drawn.iter().any(|(tokens, _)| tokens.contains(&place));
            let parameters = places.iter().enumerate().filter(|(_, place)| stays(**place));
            let parameters = parameters.map(|(number, place)| (*place, Given::Parameter(number)));
            let of_ids = drawn.iter().map(|(tokens, id)| (tokens.start, *id));
            let mut given: Vec<_> = parameters.chain(of_ids).collect();
            given.sort_by_key(|(place, _)| *place);
            let (payload, types) = sent.encode(given.into_iter().map(|(_, given)| given));
            let text = self.ctx.texts.get(&meant(&executed.prepared), &words);
            legs.push(self.own_leg(executed.id, shard, text, payload, types)?);
        }
        Ok(legs)
    }

    /// A part with values of its own, in a payload that has their types.
    pub(super) fn own_leg(
        &self,
        id: u32,
        shard: u32,
        text: Rc<StatementText>,
        payload: Vec<u8>,
        types: Vec<u8>,
    ) -> Result<Leg, Refusal> {
        let params = u16::try_from(types.len() / 2).map_err(|_| Refusal::malformed())?;
        let header = ExecuteHeader::parse(&payload, params, self.has_attributes())
            .map_err(|_| Refusal::malformed())?;
        if payload.len() >= MAX_PAYLOAD {
            return Err(Refusal::outgrown("the types of its parameters"));
        }
        let (payload, header, types) = (payload.into(), Rc::new(header), types.into());
        let at = self.server_of(shard);
        Ok(Leg {
            shard,
            at,
            say: Say::Execute(Execute { id, text, payload, header, types, params, own: true }),
        })
    }

    /// The statement is executed in another text from now on; what it had open in the one before is gone.
    fn go_to_text(&mut self, id: u32, text: Rc<StatementText>) -> Rc<StatementText> {
        let before = self.statements.get(id).map(|statement| statement.text.clone());
        let Some(before) = before.filter(|before| before.key != text.key) else { return text };
        self.end_statement(id, before.key);
        let text = if self.statements.has_text(text.key) { self.text_of_its_own(&text) } else { text };
        self.statements.set_text(id, text.clone());
        text
    }

    fn text_of_its_own(&self, text: &StatementText) -> Rc<StatementText> {
        self.ctx.texts.own(&meant(text), &text.text)
    }

    pub(in crate::session) async fn execute_on_several(
        &mut self,
        OnSeveral { facts, effects, legs, how }: OnSeveral,
    ) -> Result<Payload, Stop> {
        self.on_several(facts, effects, legs, how).await
    }

    /// Has the statement prepared on the link in the words of all these shards, as far as its server has them.
    pub(super) async fn prepare_legs(&mut self, link: &mut Use, legs: &[Leg]) -> Result<(), Stop> {
        let texts = legs.iter().filter(|leg| leg.at == self.at).filter_map(Leg::prepared);
        let texts: Vec<_> = texts.collect();
        self.prepare_texts(link, &texts).await
    }

    pub(super) async fn prepare_texts(&mut self, link: &mut Use, texts: &[Prepared]) -> Result<(), Stop> {
        /// To prepare one may take a reset of the link, after which it has none of those before.
        const ATTEMPTS: usize = 3;
        link.lease().keep_statements(texts.len());
        for _ in 0..ATTEMPTS {
            for prepared in texts {
                if !prepared.is_there(link) {
                    self.have_prepared(link, prepared.id, &prepared.text, false).await?;
                }
            }
            if texts.iter().all(|prepared| link.lease().statement(prepared.text.key).is_some()) {
                return Ok(());
            }
        }
        Err(Refusal::unprepared_part().into())
    }

    /// The command for one of them.
    pub(super) fn command_of(&mut self, link: &mut Use, leg: Leg) -> Result<Payload, Refusal> {
        match leg.say {
            Say::Text(command) => Ok(command),
            Say::Execute(Execute { id, text, payload, header, types, own, .. }) => {
                if link.lease().statement(text.key).is_none() {
                    // The server has something else by that id.
                    return Err(Refusal::unprepared_part());
                }
                let mut command = command_packet(&payload);
                if let Some(on_link) = link.lease().statement(text.key).filter(|_| own) {
                    on_link.types = types.to_vec();
                    if on_link.settled.is_empty() {
                        on_link.settled = types.to_vec();
                    }
                    patch_id(&mut command, on_link.id);
                    return Ok(command.into());
                }
                self.bound_to_link(link, id, &text, command.into(), &header)
            }
        }
    }
}

impl OnSeveral {
    /// The ids that its parameters may give.
    pub fn with_ids(mut self, ids: Ids) -> Self {
        self.facts.ids = ids;
        self
    }
}

pub(super) fn several(prepared: &StatementText, legs: Vec<Leg>, how: How) -> OnSeveral {
    OnSeveral { facts: prepared.facts, effects: prepared.effects.clone(), legs, how }
}

impl Prepared {
    /// Whether the link has the text, and can execute it with types of its own: a MySQL keeps those of the first EXECUTE.
    fn is_there(&self, link: &mut Use) -> bool {
        let Some(types) = &self.own else { return false };
        let lease = link.lease();
        let fits = lease.statement(self.text.key).map(|on_link| {
            !on_link.had_cursor && (on_link.settled.is_empty() || on_link.settled[..] == types[..])
        });
        if fits == Some(false) {
            lease.remove_statement(self.text.key);
        }
        fits == Some(true)
    }
}

/// What a text means where another of the same statement is prepared.
pub(super) fn meant(text: &StatementText) -> Meant<'_> {
    Meant { schema: text.schema.as_ref(), state: &text.state, facts: text.facts, effects: &text.effects }
}

impl ShardedStatement {
    pub(super) fn values<'a>(&'a self, parameters: &'a [Value]) -> Values<'a> {
        Values { sql: &self.sql, sketch: &self.sketch, mode: self.mode, parameters, ids: &[] }
    }

    /// By the number of each parameter, the token that it is.
    pub(super) fn parameter_places(&self) -> Vec<u32> {
        let tokens = self.sketch.tokens.iter().zip(0..);
        tokens.filter(|(token, _)| token.kind == SketchKind::Parameter).map(|(_, at)| at).collect()
    }
}

impl Refusal {
    fn unprepared_part() -> Self {
        let message = "The statement could not be kept prepared for all of its shards: prepare it again";
        Self::new(ErrorKind::Internal, ErrorCode::UnknownStmtHandler, message)
    }

    pub(in crate::session) fn oversized_of_shards() -> Self {
        Self::sharding(&Reason::from(
            "A statement about a sharded table that is longer than is collected: raise [server] command_buffer_bytes",
        ))
    }

    pub(in crate::session) fn long_data_of_shards() -> Self {
        Self::sharding(&Reason::from(
            "A parameter sent ahead (COM_STMT_SEND_LONG_DATA) for a statement about a sharded table must have the type of a \
             text or of bytes",
        ))
    }
}
