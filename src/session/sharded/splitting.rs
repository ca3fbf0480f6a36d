//! The rows of a file that is loaded, by their shards.

use crate::router::sharding::{
    Field, FileFormat, FileRow, FileRows, KeyType, Load, Reading, Reason, RowShape, Rule, Value, is_of_bytes,
    keeps, place, stored,
};

use super::super::driver::Session;
use super::super::failure::Refusal;
use super::columns::TableColumn;
use super::file_ids::FileIds;
use super::load::Words;

/// Rows of a shard that make a statement of their own.
const PART_BYTES: usize = 1 << 20;

/// Rows of all shards that are kept: beyond, the shard with the most gets its rows.
const KEPT_BYTES: usize = 8 << 20;

/// Character sets in which no character has a byte of ASCII but for ASCII itself.
const CHARSETS: [&str; 28] = [
    "utf8", "utf8mb3", "utf8mb4", "binary", "ascii", "latin1", "latin2", "latin5", "latin7", "cp1250",
    "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "dec8", "hp8", "koi8r", "koi8u", "greek",
    "hebrew", "armscii8", "geostd8", "keybcs2", "macce", "macroman", "tis620",
];

/// The file while it comes, and the rows that no shard has yet.
pub(super) struct Splitting {
    pub rows: FileRows,
    pub rule: Rule,
    /// Where the table has a sequence.
    pub ids: Option<FileIds>,
    reading: Reading,
    /// The sharding column's.
    kind: Box<str>,
    /// The file's texts are in UTF-8.
    utf8: bool,
    /// Rows so far.
    pub count: u64,
    parts: Vec<Vec<u8>>,
    kept: usize,
    /// A row may be as long.
    pub row_max: usize,
}

impl Session {
    /// How the file is split.
    pub(super) fn splitting(
        &self,
        words: &Words,
        load: &Load,
        default_charset: &str,
        columns: &[TableColumn],
    ) -> Result<Splitting, Refusal> {
        let rule = words.tables.rules.rule(words.plan.rule).cloned().ok_or_else(Refusal::malformed)?;
        let charset = match load.charset {
            Some(token) => {
                String::from_utf8_lossy(words.text(token)).trim_matches(['\'', '"', '`']).to_owned()
            }
            None => default_charset.to_owned(),
        };
        let charset = charset.to_ascii_lowercase();
        if !CHARSETS.contains(&charset.as_str()) {
            return Err(Refusal::loading(&format!(
                "a file in the character set {charset}: have it in utf8mb4, and say CHARACTER SET utf8mb4"
            )));
        }
        let option = |token: Option<u32>| token.map(|token| words.literal(token)).transpose();
        let escaped = match option(load.escaped)? {
            Some(escaped) => escaped,
            None if words.mode.no_backslash_escapes => Vec::new(),
            None => b"\\".to_vec(),
        };
        let format = FileFormat::new(
            option(load.field_end)?,
            &option(load.enclosed)?.unwrap_or_default(),
            &escaped,
            option(load.line_start)?.unwrap_or_default(),
            option(load.line_end)?,
        )
        .and_then(|format| if load.ids.is_some() { format.takes_numbers() } else { Ok(format) })
        .map_err(|error| Refusal::loading(&error.to_string()))?;
        let skip = load.skip.map(|token| std::str::from_utf8(words.text(token)).unwrap_or_default().parse());
        let skip = skip.transpose().map_err(|_| Refusal::loading("IGNORE with no number of lines"))?;
        let is_key = |column: &&TableColumn| column.name.eq_ignore_ascii_case(&rule.column);
        let kind = columns.iter().find(is_key).map(|column| column.kind.clone());
        let kind = kind.ok_or_else(|| Refusal::loading("a table without its sharding column"))?;
        let ids = load.ids.as_ref();
        let shape = RowShape { columns: load.columns, key: load.key, id: ids.and_then(|(_, place)| *place) };
        Ok(Splitting {
            rows: FileRows::new(format, shape, skip.unwrap_or(0), charset.starts_with("utf8")),
            ids: ids.map(|(ids, place)| FileIds::new(ids.clone(), place.is_some())),
            parts: vec![Vec::new(); rule.shards as usize],
            // What is in `binary` is taken as it is.
            reading: Reading { utf8: charset.starts_with("utf8") || charset == "binary" },
            utf8: charset.starts_with("utf8") || !is_of_bytes(&kind),
            kind,
            rule,
            count: 0,
            kept: 0,
            row_max: self.ctx.config.server.command_buffer_bytes,
        })
    }
}

impl Splitting {
    /// Takes a row in, for which an `id` may have been drawn. A shard that is to get its rows now.
    pub(super) fn take(&mut self, row: &FileRow, id: Option<u64>) -> Result<Option<u32>, Refusal> {
        self.count += 1;
        if self.rows.is_broken() {
            return Err(self.broken());
        }
        let is_key = self.ids.as_ref().is_some_and(FileIds::are_keys);
        let shard = match id.filter(|_| is_key) {
            Some(id) => {
                let shard = place(&self.rule, &Value::Integer(id.into()), self.reading);
                shard.map_err(|error| error.to_string())
            }
            None => self.shard_of(&row.key),
        };
        let shard =
            shard.map_err(|why| Refusal::loading(&format!("row {} of the file: {why}", self.count)))?;
        if row.range.len() > self.row_max {
            return Err(self.long_row());
        }
        let Some(part) = self.parts.get_mut(shard as usize) else { return Err(Refusal::malformed()) };
        let before = part.len();
        match id {
            Some(id) => self.rows.with_id(row, id, part),
            None => part.extend_from_slice(self.rows.bytes(row.range.clone())),
        }
        self.kept += part.len() - before;
        if part.len() >= PART_BYTES {
            return Ok(Some(shard));
        }
        if self.kept < KEPT_BYTES {
            return Ok(None);
        }
        Ok((0..).zip(&self.parts).max_by_key(|(_, part)| part.len()).map(|(shard, _)| shard))
    }

    /// Where a row is. The server must keep its key as it is.
    fn shard_of(&self, key: &Field) -> Result<u32, String> {
        let key_type = self.rule.key_type;
        let text = match key {
            Field::Missing => return Err("it has no value for the sharding column".to_owned()),
            Field::Null => {
                return place(&self.rule, &Value::Null, self.reading).map_err(|error| error.to_string());
            }
            Field::Text(text) => text,
        };
        let value = Value::Text(text.clone());
        let shard = place(&self.rule, &value, self.reading).map_err(|error| error.to_string())?;
        let key = stored(key_type, &value, self.reading).map_err(|error| error.to_string())?;
        let is_whole = key_type != KeyType::Binary || !self.utf8 || std::str::from_utf8(text).is_ok();
        match is_whole && keeps(&self.kind, key_type, &key, text) {
            true => Ok(shard),
            false => Err(format!(
                "a column of the type {} does not keep the value '{}' as it is, and another one would be on another shard",
                self.kind,
                String::from_utf8_lossy(text)
            )),
        }
    }

    pub(super) fn len_of(&self, shard: u32) -> usize {
        self.parts.get(shard as usize).map_or(0, Vec::len)
    }

    /// The rows of a shard, which it is given.
    pub(super) fn part(&mut self, shard: u32) -> Vec<u8> {
        let part = self.parts.get_mut(shard as usize).map(std::mem::take).unwrap_or_default();
        self.kept -= part.len();
        part
    }

    /// Nothing more is split: what there was is of no use.
    pub(super) fn end(&mut self) {
        self.parts.clear();
        self.rows.clear();
        self.kept = 0;
    }

    pub(super) fn is_over(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn broken(&self) -> Refusal {
        Refusal::loading(&format!(
            "row {} of the file, or a line before it, is not in its character set, of which servers see the rows otherwise: say \
             CHARACTER SET with the one that it is in",
            self.count
        ))
    }

    pub(super) fn long_row(&self) -> Refusal {
        Refusal::loading(&format!(
            "a row of more than {} bytes ([server] command_buffer_bytes, which is 16 MiB at most)",
            self.row_max
        ))
    }
}

impl Refusal {
    pub(super) fn loading(what: &str) -> Self {
        Self::sharding(&Reason::from(format!("LOAD DATA into a sharded table: {what}")))
    }
}
