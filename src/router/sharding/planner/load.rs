//! LOAD DATA.

use super::super::plan::{Action, Edit, Ids, Load, Piece, Reason};
use super::super::rules::{GLOBAL, quote};
use super::text::Text;
use super::write::folded;
use super::{Tables, Use};
use crate::parser::SketchKind;

const UNREADABLE: &str = "LOAD DATA is not supported with sharded tables in this form: LOAD DATA LOCAL INFILE 'file' INTO TABLE \
     table [CHARACTER SET ...] [FIELDS ...] [LINES ...] [IGNORE ... LINES] [(columns)] [SET ...], without partitions";

/// The statement from its beginning on.
struct Reader<'a> {
    text: &'a Text<'a>,
    at: u32,
}

/// LOAD DATA, where a sharded table's name is in it.
pub(super) fn load(text: &Text<'_>, tables: &dyn Tables) -> Result<Use, Reason> {
    let mut reader = Reader { text, at: 1 };
    let is_data = reader.skip(&["DATA"]);
    reader.skip(&["LOW_PRIORITY", "CONCURRENT"]);
    let local = reader.skip(&["LOCAL"]);
    let infile = reader.skip(&["INFILE"]);
    let file = reader.at;
    reader.at += 1;
    reader.skip(&["REPLACE", "IGNORE"]);
    if !is_data || !infile || !is_string(text, file) || !reader.skip(&["INTO"]) || !reader.skip(&["TABLE"]) {
        return Err(UNREADABLE.into());
    }
    let (table, schema) = text.table_at(reader.at);
    let name = text.name(table).ok_or(UNREADABLE)?;
    if tables.known(name.as_bytes()) == Some(GLOBAL) && !text.is_of_server(schema) {
        return Err(
            "LOAD DATA cannot write a global table, of which every server has a copy: INSERT the rows".into(),
        );
    }
    let Some(rule) = tables.rule_of(name.as_bytes()).filter(|_| !text.is_of_server(schema)) else {
        return reader.other_table(table + 1, tables);
    };
    if !local {
        return Err("LOAD DATA of a file on the server cannot be split by rows: say LOAD DATA LOCAL INFILE, with a file of the \
             client"
            .into());
    }
    reader.at = table + 1;
    let mut load = Load { file, table, schema, ..Load::default() };
    let mut edits = vec![Edit { tokens: table..table + 1, with: vec![Piece::Table(name.as_str().into())] }];
    reader.options(&mut load)?;
    let skips = reader.at;
    if reader.skip(&["IGNORE"]) {
        load.skip = Some(reader.at);
        let is_number = text.kind(reader.at) == Some(SketchKind::Number);
        reader.at += 1;
        if !is_number || !reader.skip(&["LINES", "ROWS"]) {
            return Err(UNREADABLE.into());
        }
        // Athena skips them.
        edits.push(Edit { tokens: skips..reader.at, with: Vec::new() });
    }
    let behind = reader.at - 1;
    let (key, sequence) = (tables.column(rule), tables.sequence(rule));
    let list = reader.list(key, sequence, &mut load)?;
    let columns = [Some((key, "sharding")), sequence.map(|column| (column, "sequence's"))];
    reader.assignments(&columns, tables)?;
    let Some(open) = list else {
        let action = Action::Unlisted { table, schema, behind };
        return Ok(Use::Sharded { rule, action, edits: Vec::new(), beside: None, of_this_text: false });
    };
    if let Some((ids, at)) = &mut load.ids {
        (ids.table, ids.schema) =
            (name.into(), schema.and_then(|schema| text.name(schema)).map(|schema| (&*schema).into()));
        if at.is_none() {
            // Its values are put in front of the others.
            let first = vec![Piece::Text(format!("{}, ", quote(&ids.column)).into())];
            edits.push(Edit { tokens: open + 1..open + 1, with: first });
        }
    }
    Ok(Use::Sharded { rule, action: Action::Load(Box::new(load)), edits, beside: None, of_this_text: false })
}

fn is_string(text: &Text<'_>, token: u32) -> bool {
    text.kind(token) == Some(SketchKind::String)
        && text.str(token).starts_with(['\'', '"'])
        && text.kind(token + 1) != Some(SketchKind::String)
}

impl Reader<'_> {
    fn skip(&mut self, words: &[&str]) -> bool {
        let skipped = self.text.is_any(self.at, words);
        self.at += u32::from(skipped);
        skipped
    }

    /// A table that is not sharded may be loaded if sharded ones are not read.
    fn other_table(&self, from: u32, tables: &dyn Tables) -> Result<Use, Reason> {
        match (from..self.text.len()).any(|token| self.names_sharded(token, tables)) {
            true => Err("LOAD DATA cannot read sharded tables: load first, then UPDATE".into()),
            false => Ok(Use::Home),
        }
    }

    /// Whether a sharded table is named at this token, as a table or before its column.
    fn names_sharded(&self, token: u32, tables: &dyn Tables) -> bool {
        let named = self.text.name(token).is_some_and(|name| tables.rule_of(name.as_bytes()).is_some());
        named && (self.text.is_byte(token + 1, ".") || self.text.may_be_table(token))
    }

    /// A literal behind these words.
    fn literal(&mut self, words: &[&str]) -> Result<Option<u32>, Reason> {
        let are_there = words.iter().zip(self.at..).all(|(word, at)| self.text.is(at, word));
        if !are_there {
            return Ok(None);
        }
        let token = self.at + u32::try_from(words.len()).unwrap_or(0);
        let is_number = self.text.kind(token) == Some(SketchKind::Number)
            && !self.text.str(token).bytes().all(|byte| byte.is_ascii_digit());
        if !is_number && !is_string(self.text, token) {
            return Err(UNREADABLE.into());
        }
        self.at = token + 1;
        Ok(Some(token))
    }

    /// What stands between the table's name and IGNORE.
    fn options(&mut self, load: &mut Load) -> Result<(), Reason> {
        let charset = self.text.is(self.at, "CHARACTER") && self.text.is(self.at + 1, "SET");
        if charset || self.text.is(self.at, "CHARSET") {
            self.at += if charset { 2 } else { 1 };
            load.charset = Some(self.at);
            self.at += 1;
        }
        if self.skip(&["FIELDS", "COLUMNS"]) {
            self.each_option(|reader| {
                load.field_end = reader.literal(&["TERMINATED", "BY"])?.or(load.field_end);
                load.enclosed = reader.literal(&["OPTIONALLY", "ENCLOSED", "BY"])?.or(load.enclosed);
                load.enclosed = reader.literal(&["ENCLOSED", "BY"])?.or(load.enclosed);
                load.escaped = reader.literal(&["ESCAPED", "BY"])?.or(load.escaped);
                Ok(())
            })?;
        }
        if self.skip(&["LINES"]) {
            self.each_option(|reader| {
                load.line_end = reader.literal(&["TERMINATED", "BY"])?.or(load.line_end);
                load.line_start = reader.literal(&["STARTING", "BY"])?.or(load.line_start);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Reads options for as long as there are any, and one at least.
    fn each_option(&mut self, mut read: impl FnMut(&mut Self) -> Result<(), Reason>) -> Result<(), Reason> {
        let start = self.at;
        loop {
            let before = self.at;
            read(self)?;
            if self.at == before {
                break;
            }
        }
        if self.at == start { Err(UNREADABLE.into()) } else { Ok(()) }
    }

    /// The list of columns and variables, if there is one: where it begins.
    fn list(&mut self, key: &str, sequence: Option<&str>, load: &mut Load) -> Result<Option<u32>, Reason> {
        let open = self.at;
        if !self.text.is_byte(open, "(") {
            return Ok(None);
        }
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        loop {
            self.at += 1;
            let is_variable =
                self.text.str(self.at).starts_with('@') && !self.text.str(self.at).starts_with("@@");
            match self.text.name(self.at).filter(|_| !is_variable) {
                Some(name) => {
                    let is = |column: &str| folded(&name) == folded(column);
                    keys.extend(is(key).then_some(load.columns));
                    ids.extend(sequence.is_some_and(is).then_some(load.columns));
                }
                None if is_variable => {}
                None => return Err(UNREADABLE.into()),
            }
            load.columns += 1;
            self.at += 1;
            if !self.text.is_byte(self.at, ",") {
                break;
            }
        }
        if !self.text.is_byte(self.at, ")") {
            return Err(UNREADABLE.into());
        }
        self.at += 1;
        let is_key = sequence.is_some_and(|sequence| folded(sequence) == folded(key));
        load.key = match keys.as_slice() {
            [one] => Some(*one),
            [] if is_key => None,
            _ => {
                return Err(format!(
                    "LOAD DATA into a sharded table must have the sharding column `{key}` among its columns, once, and not by a \
                     variable"
                )
                .into());
            }
        };
        if ids.len() > 1 {
            return Err(UNREADABLE.into());
        }
        load.ids = sequence.map(|column| (Ids::of_column(column, is_key), ids.first().copied()));
        Ok(Some(open))
    }

    /// `SET column = expression, ...` up to the end: not of these columns, and without sharded tables.
    fn assignments(&mut self, columns: &[Option<(&str, &str)>], tables: &dyn Tables) -> Result<(), Reason> {
        let end = self.text.end();
        if self.at >= end {
            return Ok(());
        }
        if !self.skip(&["SET"]) {
            return Err(UNREADABLE.into());
        }
        let (mut depth, mut begins) = (0_i32, true);
        for token in self.at..end {
            if self.names_sharded(token, tables) {
                return Err("LOAD DATA into a sharded table cannot name sharded tables in SET: leave qualifiers out, and \
                     UPDATE afterwards"
                    .into());
            }
            if begins {
                let column = if self.text.is_byte(token + 1, ".") { token + 2 } else { token };
                let name = self.text.name(column);
                let is = |of: &str| name.as_ref().is_some_and(|name| folded(name) == folded(of));
                if let Some((column, whose)) = columns.iter().flatten().find(|(column, _)| is(column)) {
                    return Err(format!(
                        "the {whose} column `{column}` must be as the file has it: name it among the columns, not in SET"
                    )
                    .into());
                }
            }
            depth += i32::from(self.text.is_byte(token, "(")) - i32::from(self.text.is_byte(token, ")"));
            begins = depth == 0 && self.text.is_byte(token, ",");
        }
        Ok(())
    }
}
