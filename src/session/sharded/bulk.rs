//! MariaDB's bulk executions of prepared statements about sharded tables: each shard gets its rows.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::protocol::execution::{BulkRow, BulkValue, bulk_of, bulk_rows, bulk_with_texts};
use crate::protocol::row::RowEncoding;
use crate::router::sharding::{Action, Plan, Reason, ShardSet, Value};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::prepared::{Executed, Execution, meant, several};
use super::sequences::id_text;
use super::tables::{ShardedTables, Targets, Values};
use super::text::{How, OF_ONE_LINK, ignore};

impl Session {
    /// A bulk execution: each shard gets its rows.
    pub(super) fn bulk_execution(
        &mut self,
        tables: &ShardedTables,
        executed: &Executed<'_>,
    ) -> Result<Execution, Stop> {
        let Executed { id, payload, header, sharded, ref prepared, types } = *executed;
        if !matches!(
            sharded.plan.action,
            Action::Insert { .. } | Action::Write { .. } | Action::EachCopy { .. }
        ) {
            return Err(Refusal::bulk_of_shards().into());
        }
        let rows = bulk_rows(payload, header, types).map_err(|_| Refusal::malformed())?;
        let mut by_shard: BTreeMap<u32, Vec<Range<usize>>> = BTreeMap::new();
        let mut all = ShardSet::EMPTY;
        for row in &rows {
            let parameters: Vec<_> = row.values.iter().map(bulk_value).collect();
            let targets =
                tables.targets(&sharded.plan, &sharded.values(&parameters), self.reading(), self.at)?;
            self.check_beside(&sharded.plan, targets.all())?;
            if matches!(targets, Targets::Rows(_)) {
                return Err(Refusal::bulk_of_shards().into());
            }
            let set = targets.all();
            all = all.union(set);
            set.iter().for_each(|shard| by_shard.entry(shard).or_default().push(row.range.clone()));
        }
        if let Some(shard) = all.single() {
            return Ok(self.execution_of_one(tables, id, sharded, prepared, shard));
        }
        if all.is_empty() || header.wants_unit_results() {
            return Err(Refusal::bulk_of_shards().into());
        }
        if prepared.facts.hazards.intersects(OF_ONE_LINK) {
            return Err(Refusal::of_one_link().into());
        }
        let values = sharded.values(&[]);
        let mut how =
            super::text::how(tables, &sharded.plan, &values, RowEncoding::Binary, self.first_of(all))?;
        of_rows(&mut how, &sharded.plan, &values, rows.len());
        self.renames = tables.renames(&sharded.plan, &values, all);
        let leg = |(shard, rows): (u32, Vec<Range<usize>>)| {
            let text = self.text_of_shard(tables, sharded, prepared, shard, false);
            self.own_leg(id, shard, text, bulk_of(payload, header, types, &rows), types.to_vec())
        };
        let legs = by_shard.into_iter().map(leg).collect::<Result<_, _>>()?;
        Ok(Execution::Several(several(&executed.prepared, legs, how)))
    }

    /// The same for an INSERT whose rows draw ids, which are one more parameter.
    pub(super) fn bulk_with_ids(
        &mut self,
        tables: &ShardedTables,
        executed: &Executed<'_>,
        drawn: &[Option<u64>],
    ) -> Result<Execution, Stop> {
        let Executed { id, payload, header, sharded, ref prepared, types } = *executed;
        let Action::Insert { rows: places, ids: Some(ids), .. } = &sharded.plan.action else {
            return Err(Refusal::bulk_of_shards().into());
        };
        let [of_row] = &ids.rows[..] else { return Err(Refusal::bulk_of_shards().into()) };
        if places.len() != 1 || header.wants_unit_results() {
            return Err(Refusal::bulk_of_shards().into());
        }
        if prepared.facts.hazards.intersects(OF_ONE_LINK) {
            return Err(Refusal::of_one_link().into());
        }
        let rows = bulk_rows(payload, header, types).map_err(|_| Refusal::malformed())?;
        let mut by_shard: BTreeMap<u32, Vec<(&BulkRow<'_>, String)>> = BTreeMap::new();
        for (row, drawn) in rows.iter().zip(drawn) {
            let parameters: Vec<_> = row.values.iter().map(bulk_value).collect();
            let of_ids: Vec<_> = row.values.iter().map(id_value).collect();
            let given = of_row.given.as_ref().map_or(Value::Null, |given| sharded.values(&of_ids).get(given));
            let text = id_text(*drawn, &given).ok_or_else(Refusal::malformed)?;
            let values = Values { ids: std::slice::from_ref(drawn), ..sharded.values(&parameters) };
            let targets = tables.targets(&sharded.plan, &values, self.reading(), self.at)?;
            let Some(shard) = targets.all().single() else { return Err(Refusal::bulk_of_shards().into()) };
            by_shard.entry(shard).or_default().push((row, text));
        }
        let all = by_shard.keys().fold(ShardSet::EMPTY, |all, shard| all.union(ShardSet::of(*shard)));
        self.check_beside(&sharded.plan, all)?;
        let first = drawn.iter().copied().flatten().next();
        let values = Values { ids: &[first], ..sharded.values(&[]) };
        let mut how =
            super::text::how(tables, &sharded.plan, &values, RowEncoding::Binary, self.first_of(all))?;
        of_rows(&mut how, &sharded.plan, &values, rows.len());
        self.renames = tables.renames(&sharded.plan, &values, all);
        // Where each parameter stands; the id is where the text has it, or is to get it.
        let stay = sharded.parameter_places().into_iter().zip(0..);
        let stay = stay.filter(|(place, _)| !of_row.tokens.contains(place));
        let stay = stay.map(|(place, number): (u32, usize)| (place, Some(number)));
        let mut parameters: Vec<_> = stay.chain([(of_row.tokens.start, None)]).collect();
        parameters.sort_by_key(|(place, _)| *place);
        let parameters: Vec<_> = parameters.into_iter().map(|(_, number)| number).collect();
        let leg = |(shard, rows): (u32, Vec<(&BulkRow<'_>, String)>)| {
            let words = tables.words_of_rows(&sharded.plan, &values, shard, &|_| true, &|_| "?".to_owned());
            let text = self.ctx.texts.get(&meant(prepared), &words);
            let rows: Vec<_> = rows.iter().map(|(row, text)| (*row, text.as_str())).collect();
            let (payload, types) = bulk_with_texts(payload, header, types, &parameters, &rows);
            self.own_leg(id, shard, text, payload, types)
        };
        let legs = by_shard.into_iter().map(leg).collect::<Result<_, _>>()?;
        Ok(Execution::Several(several(prepared, legs, how)))
    }
}

/// An INSERT in bulk is answered as one of so many rows.
fn of_rows(how: &mut How, plan: &Plan, values: &Values<'_>, rows: usize) {
    if let (How::Write(done), Action::Insert { .. }) = (how, &plan.action)
        && rows > 1
    {
        (done.rows, done.is_upsert) = (Some(ignore(values)), false);
    }
}

/// A value of a bulk execution, of a sequence's column: a default of the server's is no id of the sequence.
pub(super) fn id_value(value: &BulkValue<'_>) -> Value {
    value.raw().map_or(Value::Null, Value::of_parameter)
}

/// A value of a bulk execution, where it is known.
fn bulk_value(value: &BulkValue<'_>) -> Value {
    value.raw().map_or(Value::Other, Value::of_parameter)
}

impl Refusal {
    fn bulk_of_shards() -> Self {
        Self::sharding(&Reason::from(
            "A bulk execution on several shards is for INSERT, REPLACE, UPDATE and DELETE of one row of values, without results \
             for each row: execute it once for each row (the drivers have an option: useBulkStmts=false, bulk=false)",
        ))
    }
}
