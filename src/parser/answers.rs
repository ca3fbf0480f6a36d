//! Constants in the place of what a statement asks about its own connection or the statement before, where Athena knows
//! better than the link that runs it: the client's connection id, counts of rows and warnings, the last insert id.
//!
//! A server names the column of a select item after its text, so an item in which something was replaced gets its old
//! text for an alias, unless it has an alias or may have one. What is written is no plain number: see `constant`.

use super::column_name::column_name;
use super::lexer::{Lexer, SqlMode, Token, TokenKind};
use super::question::{Answers, Question, is_name};

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

/// What begins a block of statements, besides BEGIN NOT ATOMIC.
const BLOCKS: [&[u8]; 6] = [b"if", b"case", b"loop", b"while", b"repeat", b"for"];

/// What begins a statement that leaves FOUND_ROWS() as it was (measured on both servers, also with triggers and stored
/// functions), if there is no SELECT in it. UPDATE and DO do not on MySQL.
const WITHOUT_ROWS: [&[u8]; 10] = [
    b"insert",
    b"replace",
    b"delete",
    b"begin",
    b"start",
    b"commit",
    b"rollback",
    b"savepoint",
    b"set",
    b"use",
];

/// What begins a statement that uses tables even without FROM.
const WITH_TABLES: [&[u8]; 6] = [b"insert", b"replace", b"update", b"delete", b"create", b"load"];

/// Where a server tells its own ids: what stands beside them in the same text is compared with them.
const SERVERS_IDS: [&[u8]; 5] =
    [b"is_used_lock", b"processlist", b"performance_schema", b"innodb_trx", b"metadata_lock_info"];

/// `sql` with constants in the place of what is asked for and known, as a statement that runs at once (what is prepared
/// asks when it is executed). `mariadb`: the server is one; else it is a MySQL.
///
/// All but the connection id is about the statement before, so it is replaced in the first statement of a text only;
/// in later ones it stays, and the server answers. Only FOUND_ROWS() is replaced up to the first statement that finds
/// rows. A MariaDB counts the warnings of the statement itself where that uses tables, so they stay. The text of views and stored programs, and what a table definition says of columns, stays as it is; so do
/// connection ids in a text that also names something that tells ids of the server, such as
/// `information_schema.PROCESSLIST`.
///
/// # Errors
/// [`Unclear`] also for questions in a block of statements (what ran before them is not known), and for a last insert id
/// that the statement itself may have set.
pub fn with_answers(sql: &[u8], mode: SqlMode, mariadb: bool, answers: &Answers) -> Result<Vec<u8>, Unclear> {
    let mut answers = *answers;
    if answers.connection_id.is_some() && names_servers_ids(sql, mode) {
        answers.connection_id = None;
    }
    if mariadb && uses_tables(sql, mode) {
        (answers.warning_count, answers.error_count) = (None, None);
    }
    let mut writer = Writer::new(sql, mode, mariadb, answers);
    while writer.step() {}
    if writer.lexer.misreadable || writer.unclear {
        return Err(Unclear);
    }
    writer.out.extend_from_slice(sql.get(writer.copied..).unwrap_or_default());
    Ok(writer.out)
}

/// The same for the connection id alone, which prepared statements keep.
pub fn with_connection_id(sql: &[u8], mode: SqlMode, id: u32) -> Result<Vec<u8>, Unclear> {
    with_answers(sql, mode, true, &Answers { connection_id: Some(id), ..Answers::default() })
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

/// Whether the first statement uses tables, for which a MariaDB forgets older warnings before it counts them.
fn uses_tables(sql: &[u8], mode: SqlMode) -> bool {
    let mut lexer = Lexer::new(sql, mode);
    let mut first = true;
    // For each level of parentheses: a FROM is one of a SELECT.
    let mut selects = vec![false];
    let mut previous = TokenKind::End;
    loop {
        let token = lexer.token();
        let mut ahead = lexer;
        match token.kind {
            TokenKind::End | TokenKind::Byte(b';') => return false,
            TokenKind::Byte(b'(') => selects.push(false),
            TokenKind::Byte(b')') => drop(selects.pop()),
            TokenKind::Word if first && is_one_of(token, &WITH_TABLES) => return true,
            TokenKind::Word if is_one_of(token, &[b"select"]) => {
                selects.pop();
                selects.push(true);
            }
            TokenKind::Word
                if is_one_of(token, &[b"from"])
                    && previous != TokenKind::Byte(b'.')
                    && selects.last() == Some(&true)
                    && !is_one_of(ahead.token(), &[b"dual"]) =>
            {
                return true;
            }
            _ => {}
        }
        first &= token.kind == TokenKind::Byte(b'(');
        previous = token.kind;
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

/// What the statements before this one, in the same text, did to FOUND_ROWS().
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Before {
    /// There are none.
    #[default]
    Nothing,
    /// They left it as it was.
    NoRows,
    Rows,
    Doubtful,
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
    /// It begins in a comment.
    in_code: bool,
    has_as: bool,
    /// CASEs without their END.
    cases: u32,
    before_last: Shape,
    last: Shape,
}

impl Item {
    fn new() -> Self {
        Self {
            range: None,
            in_code: false,
            has_as: false,
            cases: 0,
            before_last: Shape::Operator,
            last: Shape::Operator,
        }
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
    mariadb: bool,
    answers: Answers,
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
    before: Before,
    /// What this statement will have done.
    rows: Before,
    /// The text is a block of statements, or begins with one.
    block: bool,
    /// The statement sets the last insert id, and asks for it.
    sets_id: bool,
    asks_id: bool,
    unclear: bool,
}

impl<'a> Writer<'a> {
    fn new(sql: &'a [u8], mode: SqlMode, mariadb: bool, answers: Answers) -> Self {
        Self {
            sql,
            mariadb,
            answers,
            lexer: Lexer::new(sql, mode),
            out: Vec::with_capacity(sql.len() + 64),
            copied: 0,
            place: Place::Start,
            previous: TokenKind::End,
            assigns: false,
            levels: vec![Level::default()],
            before: Before::Nothing,
            rows: Before::Doubtful,
            block: false,
            sets_id: false,
            asks_id: false,
            unclear: false,
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
        self.sets_id |= self.names_id(token);
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
        let text = self.sql.get(start..end).unwrap_or_default();
        if !replaced || item.may_have_alias() || text.len() > NAME_LEN_MAX {
            return;
        }
        self.copy_to(end);
        let name = column_name(text, self.lexer.mode, item.in_code);
        self.out.extend_from_slice(b" AS `");
        let mut rest = &name[..];
        while !rest.is_empty() {
            let length = self.lexer.mode.charset.character_len(rest).min(rest.len());
            let (character, after) = rest.split_at(length);
            self.out.extend_from_slice(if character == b"`" { b"``" } else { character });
            rest = after;
        }
        self.out.push(b'`');
    }

    /// Takes a token into the item of its level. What stands in parentheses is a part of the items around it as far as
    /// their closing parenthesis, which is a token of the outer level.
    fn extend_item(&mut self, token: Token<'_>, (start, end): (usize, usize), shape: Shape) {
        let in_code = self.lexer.is_in_code();
        if let Some(item) = self.item() {
            item.in_code |= in_code && item.range.is_none();
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

    /// Writes the answer if what begins with `token` asks for one that is known.
    fn replace(&mut self, token: Token<'_>, start: usize) -> bool {
        let mut ahead = self.lexer;
        let question = match token.kind {
            TokenKind::Word | TokenKind::Quoted => self.called(token, &mut ahead),
            TokenKind::SystemVariable if !self.assigns => Question::of_variable(&mut ahead),
            _ => None,
        };
        let Some(answer) = question.and_then(|question| self.answer(question)) else { return false };
        self.lexer = ahead;
        self.copy_to(start);
        self.out.extend_from_slice(answer.as_bytes());
        self.copied = self.position();
        true
    }

    /// What a call asks whose name is `token`; `ahead` stands behind the name, and then behind the call.
    fn called(&mut self, token: Token<'_>, ahead: &mut Lexer<'_>) -> Option<Question> {
        let question = Question::of_function(token)?;
        // To a MySQL this name is a keyword: in quotes it is another function.
        if question == Question::RowCount && token.kind == TokenKind::Quoted && !self.mariadb {
            return None;
        }
        if ahead.token().kind != TokenKind::Byte(b'(') {
            return None;
        }
        let without_argument = ahead.token().kind == TokenKind::Byte(b')');
        self.sets_id |= question == Question::LastInsertId && !without_argument;
        without_argument.then_some(question)
    }

    /// In SET, outside of subqueries and calls: whether `token` is the variable that LAST_INSERT_ID() reads.
    fn names_id(&self, token: Token<'_>) -> bool {
        let variable = is_name(token, b"last_insert_id") || is_name(token, b"identity");
        let mut ahead = self.lexer;
        let sets = variable && self.place == Place::Set && self.levels.len() == 1;
        sets && ahead.token().kind != TokenKind::Byte(b'(')
    }

    /// The constant to write, if the answer is known here.
    fn answer(&mut self, question: Question) -> Option<String> {
        if self.place == Place::Kill && question == Question::ConnectionId {
            return self.answers.connection_id.map(|id| id.to_string());
        }
        let constant = self.answers.constant(question, self.mariadb);
        if constant.is_none() || question.is_of_connection() {
            return constant;
        }
        self.unclear |= self.block;
        let answered = match (question, self.before) {
            (_, Before::Nothing) | (Question::FoundRows, Before::NoRows) => true,
            (Question::FoundRows, Before::Doubtful) => {
                self.unclear = true;
                false
            }
            _ => false,
        };
        self.asks_id |= answered && question.is_of_id();
        constant.filter(|_| answered)
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
        if self.place == Place::Start {
            self.begin_statement(token);
        }
        if matches!(token.kind, TokenKind::Byte(b';') | TokenKind::End) {
            self.end_statement();
        }
        if word(b"select") && self.rows == Before::NoRows {
            self.rows = Before::Doubtful;
        }
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

    /// The first word of a statement, or what may stand before it.
    fn begin_statement(&mut self, token: Token<'_>) {
        let mut ahead = self.lexer;
        let next = ahead.token();
        let begins_block = is_one_of(token, &BLOCKS)
            || (is_one_of(token, &[b"begin"]) && is_one_of(next, &[b"not"]))
            || (token.kind == TokenKind::Word && next.kind == TokenKind::Byte(b':'));
        self.block |= begins_block && matches!(self.before, Before::Nothing | Before::NoRows);
        self.rows = match token.kind {
            _ if is_one_of(token, &[b"select"]) => Before::Rows,
            _ if is_one_of(token, &WITHOUT_ROWS) => Before::NoRows,
            _ => Before::Doubtful,
        };
    }

    fn end_statement(&mut self) {
        self.unclear |= self.sets_id && self.asks_id;
        (self.sets_id, self.asks_id) = (false, false);
        self.before = match (self.rows, self.before) {
            (Before::NoRows, Before::Nothing) => Before::NoRows,
            (Before::NoRows, before) => before,
            (rows, _) => rows,
        };
    }
}

/// Whether a token is one of these words, and not in quotes.
fn is_one_of(token: Token<'_>, words: &[&[u8]]) -> bool {
    token.kind == TokenKind::Word && words.iter().any(|word| token.text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
