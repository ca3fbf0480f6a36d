//! The sharded tables of a cluster, and the plans of statements about them, on one core.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use foldhash::HashMap;
use lru::LruCache;

use crate::config;
use crate::parser::{Sketch, SketchKind, SqlMode};
use crate::protocol::reply::Renames;
use crate::router::sharding::{
    Action, Budget, Edit, GLOBAL, Limit, Operand, Piece, Plan, Reading, Reason, Row, Rules, ShardSet, Value,
    Verdict, Window, cluster_of_copy, copy_at, evaluate, physical, place, planner,
};

use super::super::failure::Refusal;
use super::finish::literal;

/// Longer texts, such as INSERTs of many rows, are planned each time: few are alike, and the list would fill with them.
const KEPT_MAX: usize = 4096;

/// The cluster of `[backend]`, behind which those of `[[shards]]` come.
const HOME: usize = 0;

/// What a cluster's sharded tables are. A core has its own.
pub struct ShardedTables {
    pub(super) rules: Rules,
    pub(super) budget: Budget,
    /// The cluster of each shard; empty where all are at home.
    servers: Vec<usize>,
    /// Those of global tables.
    copies: ShardSet,
    /// Transactions may be on several of them.
    pub(in crate::session) branches: bool,
    /// Ids that a core takes at a time.
    pub(super) sequence_block: u64,
    /// Links that a read of several shards uses at a time.
    pub(super) max_fan_out: usize,
    /// By the key of a text's sketch.
    plans: RefCell<LruCache<Box<[u8]>, Known>>,
    sketch: RefCell<Sketch>,
}

/// What is known of all texts of one key.
struct Known {
    verdict: Verdict,
    /// By the shards that a statement is for.
    renames: RefCell<HashMap<ShardSet, Renames>>,
}

/// Sets of shards of which the names are kept, for each plan: each shard alone, and some others.
const NAMES_MAX: usize = 300;

/// The values of a statement that runs.
pub(super) struct Values<'a> {
    pub sql: &'a [u8],
    pub sketch: &'a Sketch,
    pub mode: SqlMode,
    /// Of a prepared statement.
    pub parameters: &'a [Value],
    /// Drawn for the rows of an INSERT.
    pub ids: &'a [Option<u64>],
}

impl Values<'_> {
    pub fn get(&self, operand: &Operand) -> Value {
        match operand {
            Operand::Null => Value::Null,
            Operand::Parameter(number) => {
                self.parameters.get(*number as usize).cloned().unwrap_or(Value::Other)
            }
            Operand::Literal { token, negative } => {
                let text = self.sketch.text(self.sql, *token);
                Value::of_literal(text, *negative, !self.mode.no_backslash_escapes)
            }
        }
    }

    /// The id that was drawn for a row.
    pub fn id(&self, row: usize) -> Option<u64> {
        self.ids.get(row).copied().flatten()
    }

    /// What stands there in the text.
    fn written(&self, tokens: std::ops::Range<u32>) -> &[u8] {
        let at = |token: u32| self.sketch.tokens.get(token as usize);
        let (first, last) = (at(tokens.start), tokens.end.checked_sub(1).and_then(at));
        match (first, last) {
            (Some(first), Some(last)) => {
                self.sql.get(first.start as usize..last.end as usize).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// A number of rows; what is none is for the server to refuse.
    pub fn count(&self, operand: &Operand) -> u64 {
        match self.get(operand) {
            Value::Integer(number) => u64::try_from(number).unwrap_or(if number < 0 { 0 } else { u64::MAX }),
            _ => u64::MAX,
        }
    }
}

/// Where a statement goes.
pub(super) enum Targets {
    One(u32),
    Several(ShardSet),
    /// The rows of an INSERT, each with its shard.
    Rows(Vec<u32>),
}

impl Targets {
    /// All shards among them.
    pub fn all(&self) -> ShardSet {
        match self {
            Self::One(shard) => ShardSet::of(*shard),
            Self::Several(set) => *set,
            Self::Rows(shards) => {
                shards.iter().fold(ShardSet::EMPTY, |set, shard| set.union(ShardSet::of(*shard)))
            }
        }
    }
}

impl ShardedTables {
    /// `None` where no table is sharded.
    pub fn new(sharding: &config::Sharding) -> Option<Self> {
        let rules = Rules::new(sharding);
        let max_plans = NonZeroUsize::new(sharding.max_plans).unwrap_or(NonZeroUsize::MIN);
        let budget = Budget { max_rows: sharding.max_merge_rows, max_bytes: sharding.max_merge_bytes };
        let copies = sharding.servers.iter().chain(&[HOME]);
        let copies = copies.fold(ShardSet::EMPTY, |set, at| set.union(ShardSet::of(copy_at(*at))));
        (!rules.is_empty()).then(|| Self {
            rules,
            copies,
            budget,
            servers: sharding.servers.clone(),
            branches: sharding.two_phase && !sharding.servers.is_empty(),
            sequence_block: sharding.sequence_block,
            max_fan_out: sharding.max_fan_out,
            plans: RefCell::new(LruCache::new(max_plans)),
            sketch: RefCell::default(),
        })
    }

    /// Whether shards are on servers of their own.
    pub(in crate::session) fn has_servers(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The clusters that have shards, but for `home`.
    pub(super) fn further_servers(&self, home: usize) -> BTreeSet<usize> {
        self.servers.iter().copied().filter(|server| *server != home).collect()
    }

    /// The cluster that has a shard or a copy; `home` where that is that of all.
    pub(super) fn server_of(&self, shard: u32, home: usize) -> usize {
        if let Some(at) = cluster_of_copy(shard) {
            return at;
        }
        self.servers.get(shard as usize).copied().unwrap_or(home)
    }

    /// Whether the shards of a rule are on several servers.
    pub(super) fn is_spread(&self, rule: usize, home: usize) -> bool {
        let shards = self.rules.rule(rule).map_or(1, |rule| rule.shards);
        (1..shards).any(|shard| self.server_of(shard, home) != self.server_of(0, home))
    }

    /// The shard or copy of a plan's tables that is asked what all of them are like: one that is `at` this cluster, or the first.
    pub(super) fn model_shard(&self, plan: &Plan, at: usize) -> u32 {
        match plan.rule {
            GLOBAL => copy_at(at),
            rule => self.shard_of_rule_at(rule, at),
        }
    }

    /// The same by a table's name.
    pub(super) fn shard_at(&self, table: &str, at: usize) -> u32 {
        self.rules.rule_of(table.as_bytes()).map_or(0, |rule| self.shard_of_rule_at(rule, at))
    }

    /// How many shards a table has.
    pub(super) fn shards_of(&self, table: &str) -> u32 {
        let rule = self.rules.rule_of(table.as_bytes()).and_then(|rule| self.rules.rule(rule));
        rule.map_or(0, |rule| rule.shards)
    }

    fn shard_of_rule_at(&self, rule: usize, at: usize) -> u32 {
        let shards = self.rules.rule(rule).map_or(1, |rule| rule.shards);
        (0..shards).find(|shard| self.servers.get(*shard as usize) == Some(&at)).unwrap_or(0)
    }

    /// What is done with a text. The sketch of it is there until the next text is looked at.
    pub(super) fn look_at(&self, sql: &[u8], mode: SqlMode) -> Verdict {
        let mut sketch = self.sketch.borrow_mut();
        sketch.read(sql, mode);
        if !self.mentions(sql, &sketch) {
            return Verdict::Home;
        }
        if let Some(known) = self.plans.borrow_mut().get(&sketch.key[..]) {
            return known.verdict.clone();
        }
        let verdict = match std::str::from_utf8(sql) {
            Ok(text) => planner::plan(text, &sketch, &self.rules),
            Err(_) => {
                return Verdict::Refused(
                    "The statement uses a sharded table and is not in UTF-8: SET NAMES utf8mb4".into(),
                );
            }
        };
        let is_of_key = match &verdict {
            Verdict::Sharded(plan) => !plan.of_this_text,
            // Why may have a value in it.
            Verdict::Refused(_) => false,
            Verdict::Home => true,
        };
        if is_of_key && sketch.key.len() <= KEPT_MAX {
            let known = Known { verdict: verdict.clone(), renames: RefCell::default() };
            self.plans.borrow_mut().put(sketch.key.as_slice().into(), known);
        }
        verdict
    }

    /// Whether a name of a sharded or global table is in a text, as whatever.
    fn mentions(&self, sql: &[u8], sketch: &Sketch) -> bool {
        (0..).zip(&sketch.tokens).any(|(at, token)| match token.kind {
            SketchKind::Word => self.rules.known(sketch.text(sql, at)).is_some(),
            SketchKind::Quoted => sketch.name(sql, at).is_some_and(|name| self.rules.known(&name).is_some()),
            _ => false,
        })
    }

    /// The sketch of the text that was looked at last: of a session's own only until it waits for anything, since all sessions
    /// of the core share it.
    pub(super) fn sketch(&self) -> Ref<'_, Sketch> {
        self.sketch.borrow()
    }

    /// The same of this text, which was looked at before.
    pub(super) fn sketch_of(&self, sql: &[u8], mode: SqlMode) -> Ref<'_, Sketch> {
        self.sketch.borrow_mut().read(sql, mode);
        self.sketch.borrow()
    }

    /// Which shards a statement is for. One that any of them can answer is best answered `at` that cluster.
    pub(super) fn targets(
        &self,
        plan: &Plan,
        values: &Values<'_>,
        reading: Reading,
        at: usize,
    ) -> Result<Targets, Refusal> {
        if plan.rule == GLOBAL {
            return Ok(match plan.action {
                Action::EachCopy { .. } | Action::Definition => one_or_several(self.copies),
                _ => Targets::One(copy_at(at)),
            });
        }
        let Some(rule) = self.rules.rule(plan.rule) else { return Ok(Targets::One(0)) };
        let all = ShardSet::full(rule.shards);
        let groups = match plan.action.explained() {
            Action::Read { groups, .. } | Action::Write { groups, .. } => groups,
            Action::Describe | Action::Unlisted { .. } | Action::Explain { .. } | Action::AnyCopy => {
                return Ok(Targets::One(self.model_shard(plan, at)));
            }
            Action::Definition | Action::Load(_) | Action::EachCopy { .. } => return Ok(one_or_several(all)),
            Action::Insert { rows, ids, .. } => {
                let is_key = ids.as_ref().is_some_and(|ids| ids.is_key);
                if is_key && values.ids.is_empty() {
                    // Nothing is drawn for an EXPLAIN.
                    return Ok(Targets::One(self.model_shard(plan, at)));
                }
                let shard = |(at, row): (usize, &Row)| {
                    let drawn = values.id(at).filter(|_| is_key).map(|id| Value::Integer(id.into()));
                    place(rule, &drawn.unwrap_or_else(|| values.get(&row.key)), reading)
                };
                let shards = rows.iter().enumerate().map(shard);
                let shards = shards.collect::<Result<Vec<_>, _>>().map_err(Refusal::key)?;
                // With ids in it the statement is another one for each shard, and its reply.
                let is_plain = values.ids.iter().all(Option::is_none);
                return Ok(match shards.split_first() {
                    Some((first, rest)) if is_plain && rest.iter().all(|shard| shard == first) => {
                        Targets::One(*first)
                    }
                    _ => Targets::Rows(shards),
                });
            }
        };
        let sets: Vec<_> = groups
            .iter()
            .map(|group| evaluate(rule, group, &mut |operand| Ok(values.get(operand)), reading))
            .filter(|set| !set.is_empty())
            .collect();
        let Some((first, rest)) = sets.split_first() else { return Ok(Targets::One(0)) };
        if rest.iter().all(|set| set == first) && (rest.is_empty() || first.single().is_some()) {
            return Ok(one_or_several(*first));
        }
        Err(Refusal::sharding(&Reason::from(
            "The statement uses sharded tables whose rows are not on one shard: compare the sharding columns of all of them \
             with the same value, or with each other",
        )))
    }

    /// The words for one shard.
    pub(super) fn words(&self, plan: &Plan, edits: &[Edit], values: &Values<'_>, shard: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(values.sql.len() + 64);
        plan.text(edits, values.sql, values.sketch, shard, &|piece, out| fill(piece, values, out), &mut out);
        out
    }

    /// The words of the query about groups, before and behind the table of these.
    pub(super) fn words_around_groups(
        &self,
        plan: &Plan,
        edits: &[Edit],
        values: &Values<'_>,
    ) -> (Vec<u8>, Vec<u8>) {
        let (mut out, middle) = (Vec::with_capacity(values.sql.len() + 64), Cell::new(0));
        let fill = |piece: &Piece, out: &mut Vec<u8>| match piece {
            Piece::Groups => middle.set(out.len()),
            piece => fill(piece, values, out),
        };
        plan.text(edits, values.sql, values.sketch, 0, &fill, &mut out);
        let behind = out.split_off(middle.get());
        (out, behind)
    }

    /// The words of an INSERT for one shard, with the rows that are for it. `id` writes those that were drawn.
    pub(super) fn words_of_rows(
        &self,
        plan: &Plan,
        values: &Values<'_>,
        shard: u32,
        keep: &dyn Fn(usize) -> bool,
        id: &dyn Fn(u64) -> String,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(values.sql.len() + 64);
        let fill = |piece: &Piece, out: &mut Vec<u8>| {
            let Piece::Id(row) = piece else { return fill(piece, values, out) };
            let row = *row as usize;
            match (values.id(row), plan.action.explained()) {
                (Some(drawn), _) => out.extend_from_slice(id(drawn).as_bytes()),
                (None, Action::Insert { ids: Some(ids), .. }) => {
                    let tokens = ids.rows.get(row).map(|row| row.tokens.clone()).unwrap_or_default();
                    let is_missing = tokens.is_empty();
                    out.extend_from_slice(if is_missing { b"DEFAULT" } else { values.written(tokens) });
                }
                (None, _) => {}
            }
        };
        plan.insert_text(values.sql, values.sketch, shard, keep, &fill, &mut out);
        out
    }

    /// What the tables of these shards are to the client, and the texts that stand for them.
    pub(super) fn renames(&self, plan: &Plan, values: &Values<'_>, shards: ShardSet) -> Renames {
        let plans = self.plans.borrow();
        let known = plans.peek(&values.sketch.key[..]).map(|known| &known.renames);
        if let Some(renames) = known.and_then(|known| known.borrow().get(&shards).cloned()) {
            return renames;
        }
        let mut names: Vec<&str> = plan.edits.iter().flat_map(|edit| &edit.with).filter_map(table).collect();
        names.sort_unstable();
        names.dedup();
        let each = |name: &str| {
            shards.iter().map(|shard| (physical(name, shard).into(), name.into())).collect::<Vec<_>>()
        };
        let tables: Vec<_> = names.into_iter().flat_map(each).collect();
        let texts = plan.edits.iter().filter(|edit| !edit.with.is_empty()).flat_map(|edit| {
            let written = values.written(edit.tokens.clone()).to_vec();
            shards.iter().map(move |shard| (plan.pieces(edit, shard), written.clone()))
        });
        let renames = Renames::new(tables, texts);
        if let Some(known) = known.filter(|known| known.borrow().len() < NAMES_MAX) {
            known.borrow_mut().insert(shards, renames.clone());
        }
        renames
    }
}

fn one_or_several(set: ShardSet) -> Targets {
    set.single().map_or(Targets::Several(set), Targets::One)
}

fn table(piece: &Piece) -> Option<&str> {
    match piece {
        Piece::Table(name) => Some(name),
        Piece::Text(_) | Piece::Sum(_) | Piece::Parameter(_) | Piece::Groups | Piece::Id(_) => None,
    }
}

/// Writes a piece that is made of values.
fn fill(piece: &Piece, values: &Values<'_>, out: &mut Vec<u8>) {
    match piece {
        Piece::Sum(operands) => {
            let sum = operands.iter().fold(0u64, |sum, operand| sum.saturating_add(values.count(operand)));
            out.extend_from_slice(sum.to_string().as_bytes());
        }
        Piece::Parameter(number) => {
            let literal = literal(values.parameters.get(*number as usize));
            out.extend_from_slice(literal.as_deref().unwrap_or("NULL").as_bytes());
        }
        _ => {}
    }
}

/// Which rows the client gets of all that there are.
pub(super) fn window(limit: Option<&Limit>, values: &Values<'_>) -> Option<Window> {
    let limit = limit?;
    let offset = limit.offset.as_ref().map_or(0, |offset| values.count(offset));
    Some(Window { offset, count: values.count(&limit.count) })
}
