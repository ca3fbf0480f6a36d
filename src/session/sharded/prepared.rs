//! Prepared statements about sharded tables. They are planned once, when they are prepared; each EXECUTE is for the shards
//! of its parameters, on which the statement is prepared in their words the first time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::metrics::label::ErrorKind;
use crate::net::Payload;
use crate::parser::{Sketch, SqlMode, digest};
use crate::protocol::command::Command;
use crate::protocol::error::ErrorCode;
use crate::protocol::packet::{HEADER_LEN, write_packet};
use crate::protocol::parameter::raw_parameters;
use crate::protocol::row::RowEncoding;
use crate::protocol::statement::ExecuteHeader;
use crate::router::sharding::{Action, Edit, Plan, Reason, ShardSet, Value};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::Use;
use super::super::statements::{Meant, StatementText};
use super::several::{Execute, Leg, Say};
use super::tables::{Targets, Values};
use super::text::OF_ONE_LINK;

/// A statement about sharded tables, as it was prepared.
#[derive(Debug)]
pub(in crate::session) struct ShardedStatement {
    plan: Rc<Plan>,
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

/// A statement of the session, and its text for a shard.
pub(super) type Prepared = (u32, Rc<StatementText>);

/// What an EXECUTE of such a statement is.
pub(in crate::session) enum Execution {
    /// On one shard, of which the statement has the text now.
    One(Rc<StatementText>),
    Several(Vec<(u32, Rc<StatementText>)>),
}

impl Session {
    /// The plan of a text that is prepared, and the command in the words of the first shard: that knows its parameters and
    /// columns.
    pub(in crate::session) fn prepare_sharded(
        &mut self,
        sql: &[u8],
        mode: SqlMode,
    ) -> Result<Option<Planned>, Refusal> {
        let Some(plan) = self.sharded(sql, mode)? else { return Ok(None) };
        let Some(tables) = self.home().tables.clone() else { return Ok(None) };
        let sketch = Sketch::clone(&tables.sketch());
        let values = Values { sql, sketch: &sketch, mode, parameters: &[] };
        let shard = tables.model_shard(&plan, self.at);
        self.check_beside(&plan, ShardSet::of(shard))?;
        self.renames = tables.renames(&plan, &values, ShardSet::of(shard));
        let words = tables.words(&plan, &plan.edits, &values, shard);
        let (texts, digest) = (RefCell::default(), digest(sql, mode));
        let sharded = ShardedStatement { plan, sql: sql.into(), sketch, mode, digest, texts };
        Ok(Some(Planned { statement: Rc::new(sharded), words, shard }))
    }

    /// Finds the shards of an EXECUTE.
    pub(in crate::session) fn execution(
        &mut self,
        id: u32,
        payload: &[u8],
        header: &ExecuteHeader,
        sharded: &ShardedStatement,
    ) -> Result<Execution, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Err(Refusal::malformed().into()) };
        if payload.first() == Some(&(Command::StmtBulkExecute as u8)) {
            return Err(Refusal::bulk_of_shards().into());
        }
        let Some(statement) = self.statements.get(id) else { return Err(Refusal::malformed().into()) };
        let prepared = statement.text.clone();
        let raw = raw_parameters(payload, header, &statement.types).map_err(|_| Refusal::malformed())?;
        let parameters: Vec<_> = raw.into_iter().map(Value::of_parameter).collect();
        let values = sharded.values(&parameters);
        let targets = tables.targets(&sharded.plan, &values, self.reading(), self.at)?;
        self.check_beside(&sharded.plan, targets.all())?;
        let meant = Meant {
            schema: prepared.schema.as_ref(),
            state: &prepared.state,
            facts: prepared.facts,
            effects: &prepared.effects,
        };
        let text = |shard: u32, edits: &[Edit], several: bool| {
            let mut texts = sharded.texts.borrow_mut();
            let new = || self.ctx.texts.get(&meant, &tables.words(&sharded.plan, edits, &values, shard));
            texts.entry((shard, several)).or_insert_with(new).clone()
        };
        let set = match targets {
            Targets::One(shard) => {
                let text = text(shard, &sharded.plan.edits, false);
                self.renames = tables.renames(&sharded.plan, &values, ShardSet::of(shard));
                self.shard = shard;
                return Ok(Execution::One(self.go_to_text(id, text)));
            }
            Targets::Several(set) => set,
            Targets::Rows(shards) => {
                super::text::how(&tables, &sharded.plan, &values, RowEncoding::Binary)?;
                let set = Targets::Rows(shards.clone()).all();
                self.renames = tables.renames(&sharded.plan, &values, set);
                let text = |shard: u32| {
                    let keep = |row: usize| shards.get(row) == Some(&shard);
                    let words = tables.words_of_rows(&sharded.plan, &values, shard, &keep);
                    (shard, self.ctx.texts.get(&meant, &words))
                };
                return Ok(Execution::Several(set.iter().map(text).collect()));
            }
        };
        if prepared.facts.hazards.intersects(OF_ONE_LINK) {
            return Err(Refusal::of_one_link().into());
        }
        self.check_row_limit(&sharded.plan, &sharded.sql)?;
        self.renames = tables.renames(&sharded.plan, &values, set);
        let edits = match &sharded.plan.action {
            Action::Read { scatter: Ok(scatter), .. } => &scatter.edits,
            _ => &sharded.plan.edits,
        };
        let is_read = matches!(sharded.plan.action, Action::Read { .. });
        Ok(Execution::Several(set.iter().map(|shard| (shard, text(shard, edits, is_read))).collect()))
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
        let meant = Meant {
            schema: text.schema.as_ref(),
            state: &text.state,
            facts: text.facts,
            effects: &text.effects,
        };
        self.ctx.texts.own(&meant, &text.text)
    }

    /// COM_STMT_EXECUTE on several shards.
    pub(in crate::session) async fn execute_on_several(
        &mut self,
        id: u32,
        mut command: Payload,
        mut header: ExecuteHeader,
        sharded: &ShardedStatement,
        texts: Vec<(u32, Rc<StatementText>)>,
    ) -> Result<Payload, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Err(Refusal::malformed().into()) };
        let Some((_, first)) = texts.first() else { return Err(Refusal::malformed().into()) };
        let (facts, effects) = (first.facts, first.effects.clone());
        // The rows are merged at once: there is nothing to fetch from.
        header.decline_cursor(command.get_mut(HEADER_LEN..).unwrap_or_default());
        let (types, params) = match self.statements.get(id) {
            Some(statement) => (Rc::from(&statement.types[..]), statement.params),
            None => (Rc::from(&[][..]), 0),
        };
        let payload: Rc<[u8]> = Rc::from(command.get(HEADER_LEN..).unwrap_or_default());
        let how = {
            let raw = raw_parameters(&payload, &header, &types).map_err(|_| Refusal::malformed())?;
            let parameters: Vec<_> = raw.into_iter().map(Value::of_parameter).collect();
            super::text::how(&tables, &sharded.plan, &sharded.values(&parameters), RowEncoding::Binary)?
        };
        let header = Rc::new(header);
        let leg = |(shard, text): (u32, Rc<StatementText>)| {
            let (payload, header, types) = (payload.clone(), header.clone(), types.clone());
            let at = self.server_of(shard);
            Leg { shard, at, say: Say::Execute(Execute { id, text, payload, header, types, params }) }
        };
        let legs: Vec<_> = texts.into_iter().map(leg).collect();
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
            for (id, text) in texts {
                self.have_prepared(link, *id, text, false).await?;
            }
            if texts.iter().all(|(_, text)| link.lease().statement(text.key).is_some()) {
                return Ok(());
            }
        }
        Err(Refusal::unprepared_part().into())
    }

    /// The command for one of them.
    pub(super) fn command_of(&mut self, link: &mut Use, leg: Leg) -> Result<Payload, Refusal> {
        match leg.say {
            Say::Text(command) => Ok(command),
            Say::Execute(Execute { id, text, payload, header, .. }) => {
                if link.lease().statement(text.key).is_none() {
                    // The server has something else by that id.
                    return Err(Refusal::unprepared_part());
                }
                let mut command = Vec::with_capacity(payload.len() + HEADER_LEN);
                write_packet(&mut command, 0, &payload);
                self.bound_to_link(link, id, &text, command.into(), &header)
            }
        }
    }
}

impl ShardedStatement {
    fn values<'a>(&'a self, parameters: &'a [Value]) -> Values<'a> {
        Values { sql: &self.sql, sketch: &self.sketch, mode: self.mode, parameters }
    }
}

impl Refusal {
    fn unprepared_part() -> Self {
        let message = "The statement could not be kept prepared for all of its shards: prepare it again";
        Self::new(ErrorKind::Internal, ErrorCode::UnknownStmtHandler, message)
    }

    fn bulk_of_shards() -> Self {
        Self::sharding(&Reason::from(
            "A bulk execution of a statement about a sharded table: execute it once for each row (the drivers have an option: \
             useBulkStmts=false, bulk=false)",
        ))
    }

    pub(in crate::session) fn oversized_of_shards() -> Self {
        Self::sharding(&Reason::from(
            "A statement about a sharded table that is longer than is collected: raise [server] command_buffer_bytes",
        ))
    }

    /// Parameters sent ahead go to a statement whose shard is known only when it is executed.
    pub(in crate::session) fn long_data_of_shards() -> Self {
        Self::sharding(&Reason::from(
            "Parameters sent ahead (COM_STMT_SEND_LONG_DATA) for a statement about a sharded table: send them with the EXECUTE",
        ))
    }
}
