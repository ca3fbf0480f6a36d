//! `golden.txt` holds statements, each followed by its plan. `ATHENA_GOLDEN=write` writes the plans anew.

use std::fmt::Write;

use super::super::plan::*;
use super::super::rules::GLOBAL;
use super::{Tables, plan};
use crate::parser::{Sketch, SqlMode};

pub(super) const GOLDEN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/router/sharding/planner/golden.txt");

/// The shard whose text is shown.
const SHARD: u32 = 3;

/// `users`, `orders` and `items` by `user_id`; `accounts` and `transfers` by `account`; `notes_of` by `user_id` and with a sequence of `id`,
/// `events` by its own sequence; `currencies` and `rates` are global.
pub(super) struct Shop;

impl Tables for Shop {
    fn rule_of(&self, table: &[u8]) -> Option<usize> {
        match table {
            b"users" | b"orders" | b"items" => Some(0),
            b"accounts" | b"transfers" => Some(1),
            b"notes_of" => Some(2),
            b"events" => Some(3),
            _ => None,
        }
    }

    fn known(&self, table: &[u8]) -> Option<usize> {
        match table {
            b"currencies" | b"rates" => Some(GLOBAL),
            _ => self.rule_of(table),
        }
    }

    fn column(&self, rule: usize) -> &str {
        ["user_id", "account", "user_id", "event_id"][rule]
    }

    fn sequence(&self, rule: usize) -> Option<&str> {
        [None, None, Some("id"), Some("event_id")][rule]
    }

    fn shards(&self, _: usize) -> u32 {
        4
    }
}

/// A statement as the golden file shows it.
pub(super) struct Shown<'a> {
    pub(super) sql: &'a str,
    pub(super) sketch: Sketch,
}

impl Shown<'_> {
    pub(super) fn new(sql: &str) -> Shown<'_> {
        let mut sketch = Sketch::default();
        sketch.read(sql.as_bytes(), SqlMode::default());
        Shown { sql, sketch }
    }

    fn verdict(&self) -> String {
        match plan(self.sql, &self.sketch, &Shop) {
            Verdict::Home => "  home\n".to_owned(),
            Verdict::Refused(reason) => format!("  refused: {reason}\n"),
            Verdict::Sharded(plan) => self.plan(&plan),
        }
    }

    fn plan(&self, plan: &Plan) -> String {
        let mut out = String::new();
        let rule = match plan.rule {
            0 => String::new(),
            GLOBAL => " global".to_owned(),
            rule => format!(" rule={rule}"),
        };
        let only = if plan.of_this_text { " of-this-text" } else { "" };
        match &plan.action {
            Action::Explain { of, tables } => {
                writeln!(out, "  explain [{}]", tables.join(", ")).unwrap();
                out.push_str(&self.plan(&Plan { action: (**of).clone(), ..plan.clone() }));
            }
            Action::Read { groups, scatter } => {
                writeln!(out, "  read{rule}{only} [{}]", self.groups(groups)).unwrap();
                writeln!(out, "  one: {}", self.text(plan, &plan.edits)).unwrap();
                match scatter {
                    Err(reason) => writeln!(out, "  several: refused: {reason}").unwrap(),
                    Ok(scatter) => {
                        if scatter.edits != plan.edits {
                            writeln!(out, "  several: {}", self.text(plan, &scatter.edits)).unwrap();
                        }
                        writeln!(out, "  merge: {}", self.merge(&scatter.merge)).unwrap();
                        if let Some(finish) = &scatter.finish {
                            out.push_str(&self.finish(plan, finish));
                        }
                    }
                }
            }
            Action::Write { groups, several } => {
                writeln!(out, "  write{rule}{only} [{}]", self.groups(groups)).unwrap();
                writeln!(out, "  one: {}", self.text(plan, &plan.edits)).unwrap();
                writeln!(out, "  several: {}", may(several)).unwrap();
            }
            Action::Insert { rows, ids, several } => {
                let keys: Vec<_> = rows.iter().map(|row| self.operand(&row.key)).collect();
                writeln!(out, "  insert{rule}{only} [{}]", keys.join(", ")).unwrap();
                if let Some(ids) = ids {
                    let given = |row: &IdOfRow| {
                        row.given.as_ref().map_or("draws".to_owned(), |given| self.operand(given))
                    };
                    let given: Vec<_> = ids.rows.iter().map(given).collect();
                    writeln!(out, "  ids{} [{}]", if ids.is_key { " as keys" } else { "" }, given.join(", "))
                        .unwrap();
                }
                for (label, odd) in [("even", 0), ("odd", 1)] {
                    if rows.len() > odd {
                        let mut text = Vec::new();
                        let keep = |row| row % 2 == odd;
                        let write_id = |piece: &Piece, out: &mut Vec<u8>| {
                            if let Piece::Id(row) = piece {
                                out.extend_from_slice(format!("<id {row}>").as_bytes());
                            }
                        };
                        plan.insert_text(
                            self.sql.as_bytes(),
                            &self.sketch,
                            SHARD,
                            keep,
                            &write_id,
                            &mut text,
                        );
                        writeln!(out, "  {label}: {}", String::from_utf8(text).unwrap().replace('\n', "\\n"))
                            .unwrap();
                    }
                }
                writeln!(out, "  several: {}", may(several)).unwrap();
            }
            Action::Load(load) => {
                writeln!(out, "  load{rule} {}", self.load(load)).unwrap();
                writeln!(out, "  one: {}", self.text(plan, &plan.edits)).unwrap();
            }
            Action::Unlisted { behind, .. } => {
                let behind = self.sketch.text(self.sql.as_bytes(), *behind);
                let behind = String::from_utf8_lossy(behind);
                writeln!(out, "  unlisted{rule}: the list of columns goes behind {behind}").unwrap();
            }
            Action::AnyCopy => writeln!(out, "  read of any copy").unwrap(),
            Action::EachCopy { table } => writeln!(out, "  write of each copy of {table}").unwrap(),
            Action::Definition if plan.rule == GLOBAL => {
                writeln!(out, "  definition of each copy").unwrap();
                writeln!(out, "  one: {}", self.text(plan, &plan.edits)).unwrap();
            }
            Action::Definition => {
                writeln!(out, "  definition{rule}\n  one: {}", self.text(plan, &plan.edits)).unwrap();
            }
            Action::Describe => {
                writeln!(out, "  describe{rule}\n  one: {}", self.text(plan, &plan.edits)).unwrap();
            }
        }
        out.replace("WEIGHT_STRING(", "WS(")
    }

    fn load(&self, load: &Load) -> String {
        let token = |token: Option<u32>| {
            let text = token.map(|token| self.sketch.text(self.sql.as_bytes(), token));
            String::from_utf8_lossy(text.unwrap_or(b"-")).into_owned()
        };
        let options = [
            load.charset,
            load.field_end,
            load.enclosed,
            load.escaped,
            load.line_start,
            load.line_end,
            load.skip,
        ];
        let options = options.map(token).join(" ");
        let place = |place: Option<usize>| place.map_or("none".to_owned(), |place| place.to_string());
        let ids = load.ids.as_ref().map(|(ids, at)| {
            let key = if ids.is_key { " (the key)" } else { "" };
            let schema = ids.schema.as_deref().unwrap_or("-");
            format!(" ids of {schema}.{}.{}{key}: {}", ids.table, ids.column, place(*at))
        });
        let (file, key, ids) = (token(Some(load.file)), place(load.key), ids.unwrap_or_default());
        format!("{file} {options} [{key} of {}]{ids}", load.columns)
    }

    fn text(&self, plan: &Plan, edits: &[Edit]) -> String {
        let fill = |piece: &Piece, out: &mut Vec<u8>| {
            let number = |operand: &Operand| self.operand(operand).parse::<u64>().unwrap();
            let text = match piece {
                Piece::Sum(operands) => operands.iter().map(number).sum::<u64>().to_string(),
                Piece::Parameter(number) => format!("?{number}"),
                _ => "GROUPS".to_owned(),
            };
            out.extend_from_slice(text.as_bytes());
        };
        let mut text = Vec::new();
        plan.text(edits, self.sql.as_bytes(), &self.sketch, SHARD, &fill, &mut text);
        let mut text = String::from_utf8(text).unwrap();
        // The long form of a weight is in one place of the planner.
        while let Some(at) = text.find("IF(COLLATION(") {
            let e_end = text[at..].find(") REGEXP").unwrap() + at;
            let e = text[at + 13..e_end].to_owned();
            let long = format!(
                "IF(COLLATION({e}) REGEXP '_0900_|nopad|^binary$', WEIGHT_STRING({e}), WEIGHT_STRING(CONCAT(RTRIM({e}), ' ')))"
            );
            assert!(text[at..].starts_with(&long), "{text}");
            text.replace_range(at..at + long.len(), &format!("WEIGHT<{e}>"));
        }
        text.replace('\n', "\\n")
    }

    fn finish(&self, plan: &Plan, finish: &Finish) -> String {
        let inputs = finish.inputs.iter().map(|input| match input.collation {
            _ if let Some((sum, count)) = input.average => format!("v{}=v{sum}/v{count}", input.column),
            Some(collation) => format!("v{}~v{collation}", input.column),
            None => format!("v{}", input.column),
        });
        let items = finish.items.iter().map(|item| match item {
            Origin::Group(column) => format!("v{column}"),
            Origin::Query => "query".to_owned(),
            Origin::Average => "average".to_owned(),
        });
        let [inputs, items] = [inputs.collect::<Vec<_>>(), items.collect()].map(|list| list.join(" "));
        let mut out = format!("  described: {}\n", self.text(plan, &finish.described));
        if let Some(query) = &finish.query {
            writeln!(out, "  query: {}\n  groups: {inputs}", self.text(plan, query)).unwrap();
        }
        writeln!(out, "  items: {items}").unwrap();
        out
    }

    fn operand(&self, operand: &Operand) -> String {
        match operand {
            Operand::Literal { token, negative } => {
                let text = std::str::from_utf8(self.sketch.text(self.sql.as_bytes(), *token)).unwrap();
                format!("{}{text}", if *negative { "-" } else { "" })
            }
            Operand::Parameter(number) => format!("?{number}"),
            Operand::Null => "NULL".to_owned(),
        }
    }

    fn groups(&self, groups: &[Condition]) -> String {
        groups.iter().map(|group| self.condition(group)).collect::<Vec<_>>().join("; ")
    }

    fn condition(&self, condition: &Condition) -> String {
        let join = |conditions: &[Condition], with: &str| {
            let parts: Vec<_> = conditions.iter().map(|one| self.condition(one)).collect();
            format!("({})", parts.join(with))
        };
        match condition {
            Condition::Any => "any".to_owned(),
            Condition::Never => "never".to_owned(),
            Condition::Equals(value) => format!("={}", self.operand(value)),
            Condition::Stored(value) => format!(":={}", self.operand(value)),
            Condition::InRow(value) => format!("in-row {}", self.operand(value)),
            Condition::Between { low, high } => {
                let mut text = String::new();
                for (bound, sign) in [(low, '>'), (high, '<')] {
                    if let Some(bound) = bound {
                        let equal = if bound.inclusive { "=" } else { "" };
                        write!(text, "{sign}{equal}{}", self.operand(&bound.value)).unwrap();
                    }
                }
                text
            }
            Condition::And(all) => join(all, " & "),
            Condition::Or(any) => join(any, " | "),
        }
    }

    fn merge(&self, merge: &Merge) -> String {
        let mut out = match &merge.rows {
            Rows::Each => "each".to_owned(),
            Rows::Grouped { by, aggregates } => {
                let by: Vec<_> = by.iter().map(compared).collect();
                format!("grouped by {} {}", by.join(","), all(aggregates))
            }
            Rows::One { aggregates } => format!("one {}", all(aggregates)),
        };
        if merge.hidden > 0 {
            write!(out, " hidden={}", merge.hidden).unwrap();
        }
        for key in &merge.order {
            let direction = if key.descending { "desc" } else { "asc" };
            write!(out, " order {} {direction}", compared(&key.by)).unwrap();
        }
        if let Some(limit) = &merge.limit {
            let offset = limit.offset.as_ref().map(|offset| format!("{}+", self.operand(offset)));
            write!(out, " limit {}{}", offset.unwrap_or_default(), self.operand(&limit.count)).unwrap();
        }
        out
    }
}

fn may(several: &Result<(), Reason>) -> String {
    several.as_ref().map_or_else(|reason| format!("refused: {reason}"), |()| "yes".to_owned())
}

fn column(column: &Column) -> String {
    match column {
        Column::Visible(at) => format!("v{at}"),
        Column::Hidden(at) => format!("h{at}"),
    }
}

fn compared(compared: &Compared) -> String {
    format!("{}~{}", column(&compared.value), column(&compared.weight))
}

fn all(aggregates: &[(usize, Aggregate)]) -> String {
    let one = |(at, aggregate): &(usize, Aggregate)| match aggregate {
        Aggregate::Count => format!("v{at}=count"),
        Aggregate::Sum => format!("v{at}=sum"),
        Aggregate::Min { weight } => format!("v{at}=min~{}", column(weight)),
        Aggregate::Max { weight } => format!("v{at}=max~{}", column(weight)),
        Aggregate::Avg { sum, count } => format!("v{at}=avg({},{})", column(sum), column(count)),
        Aggregate::BitAnd => format!("v{at}=and"),
        Aggregate::BitOr => format!("v{at}=or"),
        Aggregate::BitXor => format!("v{at}=xor"),
        Aggregate::CountDistinct { of } => {
            format!("v{at}=count-distinct({})", of.iter().map(compared).collect::<Vec<_>>().join(","))
        }
        Aggregate::Concat(concat) => {
            let list = |of: Vec<String>| of.join(",");
            let order = concat
                .order
                .iter()
                .map(|key| format!("{}{}", compared(&key.by), if key.descending { " desc" } else { "" }));
            let row = concat.row.map(|(text, count)| format!("{}*{} ", column(&text), column(&count)));
            let separator = concat.separator.as_ref().map(column).unwrap_or_default();
            format!(
                "v{at}=concat({}length {} max {} separator {separator} distinct {} order {})",
                row.unwrap_or_default(),
                column(&concat.length),
                column(&concat.max_len),
                list(concat.distinct.iter().map(compared).collect()),
                list(order.collect()),
            )
        }
        Aggregate::Deviation { count, mean, variance, kind } => format!(
            "v{at}={}variance{}({},{},{})",
            if kind.root { "root of " } else { "" },
            if kind.sample { " of a sample" } else { "" },
            column(count),
            column(mean),
            column(variance),
        ),
        Aggregate::SumDistinct { of } => format!("v{at}=sum-distinct({})", compared(of)),
    };
    aggregates.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Comments and blank lines of the golden file stay, plans are made anew. A statement is one line; `\n` in it is a line's
/// end.
fn recomputed(golden: &str) -> String {
    let mut out = String::new();
    for line in golden.lines().filter(|line| !line.starts_with("  ")) {
        writeln!(out, "{line}").unwrap();
        if !line.is_empty() && !line.starts_with('#') {
            let sql = line.replace("\\n", "\n");
            out.push_str(&Shown::new(&sql).verdict());
        }
    }
    out
}

#[test]
fn plans_are_as_written() {
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let new = recomputed(&golden);
    if std::env::var_os("ATHENA_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(GOLDEN, new).unwrap();
        return;
    }
    for (at, (old, new)) in golden.lines().zip(new.lines()).enumerate() {
        assert_eq!(old, new, "golden.txt:{}", at + 1);
    }
    assert_eq!(golden.lines().count(), new.lines().count());
}

/// Without edits a text is what it was; and whatever is cut off or out of a statement, planning it does not fail.
#[test]
fn texts_without_edits_stay() {
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let statements = golden.lines().filter(|line| !line.starts_with([' ', '#']) && !line.is_empty());
    for sql in statements {
        let shown = Shown::new(sql);
        let plan = Plan {
            rule: 0,
            action: Action::Definition,
            edits: Vec::new(),
            beside: None,
            of_this_text: false,
        };
        let mut text = Vec::new();
        plan.text(&[], sql.as_bytes(), &shown.sketch, 0, &|_, _| (), &mut text);
        assert_eq!(text, sql.as_bytes());
        for end in (0..sql.len()).step_by(7).filter(|end| sql.is_char_boundary(*end)) {
            Shown::new(&sql[..end]).verdict();
            Shown::new(&sql[end..]).verdict();
        }
    }
}

/// Edits are in order and do not overlap.
#[test]
fn edits_are_in_order() {
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    for sql in golden.lines().filter(|line| !line.starts_with([' ', '#'])) {
        let shown = Shown::new(sql);
        let Verdict::Sharded(plan) = plan(sql, &shown.sketch, &Shop) else { continue };
        let scattered = match plan.action.explained() {
            Action::Read { scatter: Ok(scatter), .. } => scatter.edits.clone(),
            _ => Vec::new(),
        };
        let finish = match &plan.action {
            Action::Read { scatter: Ok(scatter), .. } => scatter.finish.clone(),
            _ => None,
        };
        let described = finish.as_ref().map(|finish| finish.described.clone()).unwrap_or_default();
        let query = finish.and_then(|finish| finish.query.clone()).unwrap_or_default();
        for edits in [&plan.edits, &scattered, &described, &query] {
            for pair in edits.windows(2) {
                assert!(pair[0].tokens.end <= pair[1].tokens.start, "{sql}");
            }
        }
    }
}
