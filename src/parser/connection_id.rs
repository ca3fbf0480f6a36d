//! CONNECTION_ID() and `@@pseudo_thread_id`, which mean the client's own connection: its id is written in their place, as an
//! expression of the same type. A plain number would have another one, and mean a column in ORDER BY.
//!
//! A server names the column of a select item after its text, so an item in which something was replaced gets its old
//! text for an alias, unless it has an alias or may have one.

use super::lexer::{Lexer, SqlMode, Token, TokenKind};

/// A server may read the text in another way, so nothing can be replaced in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclear;

/// Longer texts of select items are no names any more.
const NAME_LEN_MAX: usize = 200;

/// What may stand between SELECT and its first item.
const MODIFIERS: [&[u8]; 11] = [
    b"all",
    b"distinct",
    b"distinctrow",
    b"high_priority",
    b"straight_join",
    b"sql_small_result",
    b"sql_big_result",
    b"sql_buffer_result",
    b"sql_no_cache",
    b"sql_cache",
    b"sql_calc_found_rows",
];

/// What ends a list of select items.
const CLAUSES: [&[u8]; 17] = [
    b"from",
    b"into",
    b"where",
    b"group",
    b"having",
    b"window",
    b"order",
    b"limit",
    b"offset",
    b"fetch",
    b"procedure",
    b"for",
    b"lock",
    b"on",
    b"union",
    b"except",
    b"intersect",
];

/// Words in an expression that need something behind them.
const OPERATORS: [&[u8]; 18] = [
    b"and", b"or", b"xor", b"not", b"div", b"mod", b"is", b"like", b"in", b"between", b"regexp", b"rlike",
    b"collate", b"binary", b"case", b"when", b"then", b"else",
];

/// Whose text is kept by the server, to run later and for others.
const STORED: [&[u8]; 6] = [b"view", b"procedure", b"function", b"trigger", b"event", b"package"];

/// Where a server tells its own ids: what stands beside them in the same text is compared with them.
const SERVERS_IDS: [&[u8]; 5] =
    [b"is_used_lock", b"processlist", b"performance_schema", b"innodb_trx", b"metadata_lock_info"];

/// `sql` with `id` in the place of every CONNECTION_ID() and every `@@pseudo_thread_id` that is read. The text of views
/// and stored programs, and what a table definition says of columns, stays as it is; so does a text that also names
/// something that tells ids of the server, such as `information_schema.PROCESSLIST`.
pub fn with_connection_id(sql: &[u8], mode: SqlMode, id: u32) -> Result<Vec<u8>, Unclear> {
    if mode.unsafe_charset && !sql.is_ascii() {
        return Err(Unclear);
    }
    if names_servers_ids(sql, mode) {
        return Ok(sql.to_vec());
    }
    let mut writer = Writer::new(sql, mode, id);
    while writer.step() {}
    if writer.lexer.misreadable {
        return Err(Unclear);
    }
    writer.out.extend_from_slice(sql.get(writer.copied..).unwrap_or_default());
    Ok(writer.out)
}

fn names_servers_ids(sql: &[u8], mode: SqlMode) -> bool {
    let mut lexer = Lexer::new(sql, mode);
    loop {
        let token = lexer.token();
        if token.kind == TokenKind::End {
            return false;
        }
        if SERVERS_IDS.iter().any(|name| is_name(token, name)) {
            return true;
        }
    }
}

/// What a statement lets be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// No word of it has been read.
    Start,
    /// SET: what it assigns to stays.
    Set,
    /// KILL, which takes a number.
    Kill,
    /// A definition, up to a SELECT that runs now.
    Definition,
    /// A definition that is stored.
    Stored,
    Anywhere,
}

/// How a token may stand in an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// It needs something behind it.
    Operator,
    /// A word, a quoted name or a string: it may be an alias.
    Name,
    /// It ends an expression and is no alias.
    Operand,
}

/// A select item as far as it has been read.
struct Item {
    /// Where its first token begins and its last one ends.
    range: Option<(usize, usize)>,
    has_as: bool,
    /// CASEs without their END.
    cases: u32,
    before_last: Shape,
    last: Shape,
}

impl Item {
    fn new() -> Self {
        Self { range: None, has_as: false, cases: 0, before_last: Shape::Operator, last: Shape::Operator }
    }

    fn may_have_alias(&self) -> bool {
        self.has_as || (self.last == Shape::Name && self.before_last != Shape::Operator)
    }
}

/// What one level of parentheses holds.
#[derive(Default)]
struct Level {
    /// The current select item, in a select list.
    item: Option<Item>,
    /// Something was replaced in the current item, or in a level that is no list.
    replaced: bool,
    /// Something was replaced in an item before.
    replaced_before: bool,
}

struct Writer<'a> {
    sql: &'a [u8],
    id: u32,
    lexer: Lexer<'a>,
    out: Vec<u8>,
    /// How much of the text has been copied.
    copied: usize,
    place: Place,
    previous: TokenKind,
    /// The last token was SET, or a comma between its assignments.
    assigns: bool,
    /// The outermost is the first.
    levels: Vec<Level>,
}

impl<'a> Writer<'a> {
    fn new(sql: &'a [u8], mode: SqlMode, id: u32) -> Self {
        Self {
            sql,
            id,
            lexer: Lexer::new(sql, mode),
            out: Vec::with_capacity(sql.len() + 64),
            copied: 0,
            place: Place::Start,
            previous: TokenKind::End,
            assigns: false,
            levels: vec![Level::default()],
        }
    }

    /// Passes one token with what belongs to it; false at the end.
    fn step(&mut self) -> bool {
        let token = self.lexer.token();
        let end = self.position();
        let start = end - token.text.len();
        if self.begins_or_ends_item(token) {
            self.after(token);
            return token.kind != TokenKind::End;
        }
        let replaced = self.may_replace() && self.replace(token, start);
        let end = self.position();
        let shape = match token.kind {
            _ if replaced => Shape::Operand,
            TokenKind::Word if is_one_of(token, &OPERATORS) => Shape::Operator,
            TokenKind::Word if self.ends_case(token) => Shape::Operand,
            TokenKind::Word | TokenKind::Quoted | TokenKind::String => Shape::Name,
            TokenKind::Number | TokenKind::UserVariable | TokenKind::Byte(b')') => Shape::Operand,
            _ => Shape::Operator,
        };
        self.enter_or_leave(token, replaced);
        self.extend_item(token, (start, end), shape);
        self.after(token);
        true
    }

    /// Parentheses; a replaced call has taken its own along.
    fn enter_or_leave(&mut self, token: Token<'_>, replaced: bool) {
        let left = match token.kind {
            TokenKind::Byte(b')') if self.levels.len() > 1 => self.levels.pop(),
            _ => None,
        };
        if let Some(level) = self.levels.last_mut() {
            level.replaced |= replaced || left.is_some_and(|left| left.replaced || left.replaced_before);
        }
    }

    fn position(&self) -> usize {
        self.sql.len() - self.lexer.left()
    }

    fn may_replace(&self) -> bool {
        match self.place {
            Place::Start | Place::Set | Place::Kill | Place::Anywhere => {
                self.previous != TokenKind::Byte(b'.')
            }
            Place::Definition | Place::Stored => false,
        }
    }

    /// Lists of select items, as far as words and separators tell. True if `token` is no part of an item.
    fn begins_or_ends_item(&mut self, token: Token<'_>) -> bool {
        let word = |list: &[&[u8]]| is_one_of(token, list);
        let qualified = self.previous == TokenKind::Byte(b'.');
        if !qualified && (word(&[b"select"]) || (word(&[b"returning"]) && self.begins_returning())) {
            self.close_item();
            self.begin_item();
            return true;
        }
        let fresh = self.item().is_some_and(|item| item.range.is_none());
        let listed = self.item().is_some();
        match token.kind {
            TokenKind::Word if fresh && word(&MODIFIERS) => true,
            TokenKind::Word if listed && !qualified && word(&CLAUSES) => {
                self.close_item();
                true
            }
            TokenKind::Byte(b',') if listed => {
                self.close_item();
                self.begin_item();
                true
            }
            TokenKind::Byte(b')') => {
                self.close_item();
                false
            }
            TokenKind::Byte(b';') | TokenKind::End => {
                self.close_item();
                self.levels.truncate(1);
                self.close_item();
                true
            }
            _ => false,
        }
    }

    /// Whether something follows MariaDB's RETURNING, which is a name on a MySQL.
    fn begins_returning(&self) -> bool {
        let mut ahead = self.lexer;
        let next = ahead.token();
        !matches!(next.kind, TokenKind::End | TokenKind::Byte(b',' | b')' | b';' | b'.'))
            && !is_one_of(next, &CLAUSES)
    }

    /// Counts the CASEs of the item; true at the END of one.
    fn ends_case(&mut self, token: Token<'_>) -> bool {
        let ends = is_one_of(token, &[b"end"]);
        let Some(item) = self.item().filter(|item| ends && item.cases > 0) else { return false };
        item.cases -= 1;
        true
    }

    fn item(&mut self) -> Option<&mut Item> {
        self.levels.last_mut().and_then(|level| level.item.as_mut())
    }

    fn begin_item(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.replaced_before |= std::mem::take(&mut level.replaced);
            level.item = Some(Item::new());
        }
    }

    /// The item of this level, if any, has ended: it gets the alias that it needs. What was replaced in it counts for
    /// the item around it, too.
    fn close_item(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        let Some(item) = level.item.take() else { return };
        let replaced = level.replaced;
        let Some((start, end)) = item.range else { return };
        let name = self.sql.get(start..end).unwrap_or_default();
        if !replaced || item.may_have_alias() || name.len() > NAME_LEN_MAX {
            return;
        }
        self.copy_to(end);
        self.out.extend_from_slice(b" AS `");
        for byte in name {
            self.out.extend(std::iter::repeat_n(*byte, if *byte == b'`' { 2 } else { 1 }));
        }
        self.out.push(b'`');
    }

    /// Takes a token into the item of its level. What stands in parentheses is a part of the items around it as far as
    /// their closing parenthesis, which is a token of the outer level.
    fn extend_item(&mut self, token: Token<'_>, (start, end): (usize, usize), shape: Shape) {
        if let Some(item) = self.item() {
            let from = item.range.map_or(start, |(from, _)| from);
            item.range = Some((from, end));
            item.has_as |= is_one_of(token, &[b"as"]);
            item.cases += u32::from(is_one_of(token, &[b"case"]));
            (item.before_last, item.last) = (item.last, shape);
        }
        if token.kind == TokenKind::Byte(b'(') {
            self.levels.push(Level::default());
        }
    }

    /// Writes the id if what begins with `token` is to be replaced.
    fn replace(&mut self, token: Token<'_>, start: usize) -> bool {
        let mut ahead = self.lexer;
        let found = match token.kind {
            TokenKind::Word | TokenKind::Quoted => {
                is_name(token, b"connection_id")
                    && ahead.token().kind == TokenKind::Byte(b'(')
                    && ahead.token().kind == TokenKind::Byte(b')')
            }
            TokenKind::SystemVariable if !self.assigns => {
                let mut name = ahead.token();
                if [&b"session"[..], b"local"].iter().any(|scope| is_name(name, scope)) {
                    let dot = ahead.token().kind == TokenKind::Byte(b'.');
                    name = if dot { ahead.token() } else { name };
                }
                is_name(name, b"pseudo_thread_id")
            }
            _ => false,
        };
        if found {
            self.lexer = ahead;
            self.copy_to(start);
            let id = match token.kind {
                _ if self.place == Place::Kill => self.id.to_string(),
                TokenKind::SystemVariable => as_variable(self.id),
                _ => as_function(self.id),
            };
            self.out.extend_from_slice(id.as_bytes());
            self.copied = self.position();
        }
        found
    }

    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(self.sql.get(self.copied..end).unwrap_or_default());
        self.copied = self.copied.max(end);
    }

    /// What the token means for those behind it.
    fn after(&mut self, token: Token<'_>) {
        let word = |text: &[u8]| is_one_of(token, &[text]);
        let qualified = self.previous == TokenKind::Byte(b'.');
        let mut assigns = false;
        self.place = match self.place {
            // Nothing tells whether a `;` ends a stored program or one of its statements.
            Place::Stored => Place::Stored,
            _ if token.kind == TokenKind::Byte(b';') => Place::Start,
            // Also behind SET STATEMENT ... FOR, and in a block.
            _ if !qualified && (word(b"create") || word(b"alter")) => Place::Definition,
            Place::Start if word(b"set") => {
                assigns = true;
                Place::Set
            }
            Place::Start if word(b"kill") => Place::Kill,
            Place::Start if token.kind == TokenKind::Byte(b'(') => Place::Start,
            Place::Start => Place::Anywhere,
            Place::Definition if STORED.iter().any(|stored| word(stored)) => Place::Stored,
            Place::Definition if word(b"select") => Place::Anywhere,
            Place::Set if word(b"select") && self.levels.len() == 1 => Place::Anywhere,
            place => place,
        };
        if self.place == Place::Set && self.levels.len() == 1 && token.kind == TokenKind::Byte(b',') {
            assigns = true;
        }
        self.assigns = assigns;
        self.previous = token.kind;
    }
}

/// Whether a token is one of these words, and not in quotes.
fn is_one_of(token: Token<'_>, words: &[&[u8]]) -> bool {
    token.kind == TokenKind::Word && words.iter().any(|word| token.text.eq_ignore_ascii_case(word))
}

/// An expression with the value `id` and the type that servers give to CONNECTION_ID(): on MariaDB no literal and no cast is
/// an `INT(10) UNSIGNED NOT NULL`, but the checksum is, and every number is that of some four bytes.
fn as_function(id: u32) -> String {
    /// The polynomial of CRC-32, lowest bit first.
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let mut state = !id;
    for _ in 0..u32::BITS {
        let carried = state & (1 << 31) != 0;
        state = if carried { (state ^ POLYNOMIAL) << 1 | 1 } else { state << 1 };
    }
    format!("CRC32(0x{:08X})", (!state).swap_bytes())
}

/// The same for the type of `@@pseudo_thread_id`, `BIGINT UNSIGNED`.
fn as_variable(id: u32) -> String {
    format!("(0x{id:08X}|0)")
}

/// Whether a token is this word, also in quotes.
fn is_name(token: Token<'_>, name: &[u8]) -> bool {
    match (token.kind, token.text) {
        (TokenKind::Word, text) => text.eq_ignore_ascii_case(name),
        (TokenKind::Quoted, [_, text @ .., _]) => text.eq_ignore_ascii_case(name),
        _ => false,
    }
}

#[cfg(test)]
#[path = "connection_id_tests.rs"]
mod tests;
