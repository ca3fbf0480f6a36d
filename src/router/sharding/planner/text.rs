//! A statement's text as the planner sees it: the tokens of the sketch, and where a node of the syntax tree stands among
//! them.

use sqlparser::ast::{Expr, Ident, Statement, UnaryOperator, Value, ValueWithSpan};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::super::plan::{Operand, Reason};
use crate::parser::{Sketch, SketchKind, is_server_schema};

/// Operators in one expression: the tree of a chain is as deep as it is long.
const CHAIN_MAX: usize = 400;

/// Tokens without a comma among them, which bounds chains of whatever else there is.
const RUN_MAX: usize = 1600;

/// How deep expressions and queries are nested in each other: the parser needs up to 80 KiB of the stack for each where it is not optimized.
const DEPTH_MAX: usize = 20;

/// Joined tables in one statement. A server takes 61.
const JOINS_MAX: usize = 64;

/// Words that make a chain longer.
const CHAIN_WORDS: [&str; 15] = [
    "NOT",
    "CASE",
    "AND",
    "OR",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "IS",
    "LIKE",
    "IN",
    "BETWEEN",
    "DIV",
    "MOD",
    "COLLATE",
    "REGEXP",
];

/// Line and column, and the token that begins there.
type Place = ((u64, u64), u32);

pub(super) struct Text<'a> {
    pub(super) sql: &'a str,
    pub(super) sketch: &'a Sketch,
    /// The tokens that are `?`.
    parameters: Vec<u32>,
    /// Line and column of what the parser calls a token, and its number here; in order.
    places: Vec<Place>,
}

/// The error of a text that the syntax tree cannot be made of.
pub(super) fn unreadable(trouble: &str) -> Reason {
    format!("{trouble}; write it so that Athena can read it, or address the physical tables").into()
}

impl<'a> Text<'a> {
    pub(super) fn new(sql: &'a str, sketch: &'a Sketch) -> Text<'a> {
        let parameters =
            sketch.tokens.iter().zip(0..).filter(|(token, _)| token.kind == SketchKind::Parameter);
        let parameters = parameters.map(|(_, at)| at).collect();
        Text { sql, sketch, parameters, places: Vec::new() }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.sketch.tokens.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn kind(&self, token: u32) -> Option<SketchKind> {
        self.sketch.tokens.get(token as usize).map(|token| token.kind)
    }

    pub(super) fn str(&self, token: u32) -> &'a str {
        std::str::from_utf8(self.sketch.text(self.sql.as_bytes(), token)).unwrap_or_default()
    }

    /// Whether a token is this word, not quoted.
    pub(super) fn is(&self, token: u32, word: &str) -> bool {
        self.kind(token) == Some(SketchKind::Word) && self.str(token).eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, token: u32, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(token, word))
    }

    pub(super) fn is_byte(&self, token: u32, byte: &str) -> bool {
        self.kind(token) == Some(SketchKind::Other) && self.str(token) == byte
    }

    pub(super) fn name(&self, token: u32) -> Option<String> {
        String::from_utf8(self.sketch.name(self.sql.as_bytes(), token)?).ok()
    }

    /// Whether `.` is before this token: it is no word, and no name of its own.
    pub(super) fn is_qualified(&self, token: u32) -> bool {
        token.checked_sub(1).is_some_and(|before| self.is_byte(before, "."))
    }

    /// The words of `tokens` as they stand, comments among them left out.
    pub(super) fn slice(&self, tokens: std::ops::Range<u32>) -> String {
        let mut text = String::new();
        let mut end = None;
        for token in tokens {
            let Some(at) = self.sketch.tokens.get(token as usize) else { break };
            if end.is_some_and(|end| end != at.start) {
                text.push(' ');
            }
            text.push_str(self.str(token));
            end = Some(at.end);
        }
        text
    }

    /// The first token at or behind `from` and before `until` that is at no greater depth of parentheses and one of
    /// `words`.
    pub(super) fn find(&self, from: u32, until: u32, words: &[&str]) -> Option<u32> {
        let mut depth = 0_i32;
        for token in from..until.min(self.len()) {
            if self.is_byte(token, "(") {
                depth += 1;
            } else if self.is_byte(token, ")") {
                depth -= 1;
                if depth < 0 {
                    return None;
                }
            } else if depth == 0 && self.is_any(token, words) && !self.is_qualified(token) {
                return Some(token);
            }
        }
        None
    }

    /// The tokens of a table's name, which begins here, and of what it is qualified with.
    pub(super) fn table_at(&self, at: u32) -> (u32, Option<u32>) {
        if self.is_byte(at + 1, ".") { (at + 2, Some(at)) } else { (at, None) }
    }

    /// Whether a table is one of the server itself, by what it is qualified with.
    pub(super) fn is_of_server(&self, schema: Option<u32>) -> bool {
        schema.and_then(|schema| self.name(schema)).is_some_and(|name| is_server_schema(name.as_bytes()))
    }

    /// Where the statement begins that an EXPLAIN is about; that of any other is at the beginning.
    pub(super) fn explained(&self) -> u32 {
        /// `EXPLAIN ANALYZE FORMAT = TREE`
        const BEFORE_MAX: u32 = 6;
        let verbs = ["SELECT", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE"];
        let explains = self.is_any(0, &["EXPLAIN", "DESCRIBE", "DESC"]);
        if explains { self.find(1, BEFORE_MAX, &verbs).unwrap_or(0) } else { 0 }
    }

    /// Where the statement ends: its length, or where a last `;` stands.
    pub(super) fn end(&self) -> u32 {
        let mut end = self.len();
        while end > 0 && self.is_byte(end - 1, ";") {
            end -= 1;
        }
        end
    }

    /// The number of the `?` that is this token.
    pub(super) fn parameter(&self, token: u32) -> Option<u32> {
        u32::try_from(self.parameters.binary_search(&token).ok()?).ok()
    }

    /// The token that begins at a location.
    pub(super) fn token(&self, at: Location) -> Option<u32> {
        let at = self.places.binary_search_by_key(&(at.line, at.column), |(place, _)| *place).ok()?;
        self.places.get(at).map(|(_, token)| *token)
    }

    /// The token of an identifier.
    pub(super) fn ident(&self, ident: &Ident) -> Result<u32, Reason> {
        let token =
            self.token(ident.span.start).filter(|token| self.name(*token).as_ref() == Some(&ident.value));
        token.ok_or_else(|| unreadable(&format!("the place of `{}` is not clear", ident.value)))
    }

    /// The value that an expression stands for: a literal, `?` or NULL.
    pub(super) fn operand(&self, expr: &Expr) -> Option<Operand> {
        match expr {
            Expr::Nested(inner) => self.operand(inner),
            Expr::Value(value) => self.literal(value, false),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
                Expr::Value(value) if matches!(value.value, Value::Number(..)) => self.literal(value, true),
                _ => None,
            },
            _ => None,
        }
    }

    fn literal(&self, value: &ValueWithSpan, negative: bool) -> Option<Operand> {
        let token = self.token(value.span.start)?;
        match &value.value {
            Value::Number(..) if self.kind(token)? == SketchKind::Number => {
                Some(Operand::Literal { token, negative })
            }
            Value::SingleQuotedString(_) | Value::DoubleQuotedString(_) => {
                let alone = self.kind(token + 1) != Some(SketchKind::String);
                let plain =
                    self.kind(token)? == SketchKind::String && self.str(token).starts_with(['\'', '"']);
                (alone && plain).then_some(Operand::Literal { token, negative })
            }
            Value::Placeholder(_) => self.parameter(token).map(Operand::Parameter),
            Value::Null => Some(Operand::Null),
            _ => None,
        }
    }

    /// The syntax tree of the text. Where two readers of it could differ, there is none.
    pub(super) fn parse(&mut self) -> Result<Statement, Reason> {
        self.check_operators()?;
        let dialect = MySqlDialect {};
        let tokens = Tokenizer::new(&dialect, self.sql)
            .with_unescape(false)
            .tokenize_with_location()
            .map_err(|error| unreadable(&format!("Athena cannot read this statement ({error})")))?;
        self.places = self.check_tokens(&tokens)?;
        let tokens = self.without_modifiers(tokens);
        let statements = Parser::new(&dialect)
            .with_recursion_limit(DEPTH_MAX)
            .with_tokens_with_locations(tokens)
            .parse_statements();
        let mut statements = statements
            .map_err(|error| unreadable(&format!("Athena cannot read this statement ({error})")))?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => Ok(statement),
            _ => Err("several statements in one text cannot use sharded tables: send them one by one".into()),
        }
    }

    /// Leaves out words that the parser does not know and that change nothing here: those behind UPDATE and DELETE, and
    /// LOCK IN SHARE MODE at the end, and how EXPLAIN shows a plan. What it knows by another name only gets that: MOD, and the commas of UPDATE.
    fn without_modifiers(&self, mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
        let is_word = |token: &TokenWithSpan, words: &[&str]| match &token.token {
            Token::Word(word) if word.quote_style.is_none() => {
                words.iter().any(|one| word.value.eq_ignore_ascii_case(one))
            }
            _ => false,
        };
        tokens.retain(|token| {
            !matches!(
                token.token,
                Token::Whitespace(
                    Whitespace::SingleLineComment { .. }
                        | Whitespace::Space
                        | Whitespace::Tab
                        | Whitespace::Newline
                )
            )
        });
        let lock = tokens.len().checked_sub(4).and_then(|at| tokens.get(at..)).is_some_and(|last| {
            let words = ["LOCK", "IN", "SHARE", "MODE"];
            last.iter().zip(words).all(|(token, word)| is_word(token, &[word]))
        });
        if lock {
            tokens.truncate(tokens.len() - 4);
        }
        let verb =
            usize::from(tokens.first().is_some_and(|first| is_word(first, &["EXPLAIN", "DESCRIBE", "DESC"])));
        let format = verb + usize::from(tokens.get(verb).is_some_and(|next| is_word(next, &["ANALYZE"])));
        if verb > 0 && tokens.get(format).is_some_and(|word| is_word(word, &["FORMAT"])) {
            let is_equal = tokens.get(format + 1).is_some_and(|next| next.token == Token::Eq);
            tokens.drain(format..(format + if is_equal { 3 } else { 2 }).min(tokens.len()));
        }
        while verb > 0 && tokens.get(verb).is_some_and(|word| is_word(word, &["EXTENDED", "PARTITIONS"])) {
            tokens.remove(verb);
        }
        if tokens.get(verb).is_some_and(|verb| is_word(verb, &["UPDATE", "DELETE"])) {
            let is_modifier = |token: &TokenWithSpan| is_word(token, &["LOW_PRIORITY", "QUICK", "IGNORE"]);
            while tokens.get(verb + 1).is_some_and(is_modifier) {
                tokens.remove(verb + 1);
            }
        }
        if tokens.get(verb).is_some_and(|verb| is_word(verb, &["UPDATE"])) {
            let set = tokens.iter().position(|token| is_word(token, &["SET"])).unwrap_or(0);
            let list = tokens.get_mut(..set).unwrap_or_default();
            // Beside joins a comma binds otherwise than they do.
            if !list
                .iter()
                .any(|token| is_word(token, &["JOIN", "STRAIGHT_JOIN"]) || token.token == Token::LParen)
            {
                let commas = list.iter_mut().filter(|token| token.token == Token::Comma);
                commas.for_each(|comma| comma.token = Token::make_keyword("JOIN"));
            }
        }
        for at in 1..tokens.len() {
            let is_call = tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
            let is_name = tokens.get(at - 1).is_some_and(|before| before.token == Token::Period);
            let operator =
                tokens.get_mut(at).filter(|token| is_word(token, &["MOD"]) && !is_call && !is_name);
            if let Some(operator) = operator {
                operator.token = Token::Mod;
            }
        }
        tokens
    }

    /// Whether a name may be that of a table, by the word before it.
    pub(super) fn may_be_table(&self, mut token: u32) -> bool {
        const BEFORE: [&str; 18] = [
            "FROM",
            "JOIN",
            "STRAIGHT_JOIN",
            "INTO",
            "UPDATE",
            "DELETE",
            "INSERT",
            "REPLACE",
            "TABLE",
            "IGNORE",
            "QUICK",
            "LOW_PRIORITY",
            "HIGH_PRIORITY",
            "DELAYED",
            "USING",
            "LATERAL",
            "OF",
            "ONLY",
        ];
        if self.is_qualified(token) {
            token = token.saturating_sub(2);
        }
        let Some(before) = token.checked_sub(1) else { return true };
        self.is_any(before, &BEFORE)
            || [",", "(", "{", "."].iter().any(|byte| self.is_byte(before, byte))
            || matches!(self.kind(before), Some(SketchKind::Quoted))
    }

    /// The tokens of the two readers are the same: no name, string or number begins or ends elsewhere.
    fn check_tokens(&self, tokens: &[TokenWithSpan]) -> Result<Vec<Place>, Reason> {
        let differs = || unreadable("Athena cannot tell where the words of this statement begin and end");
        let mut places = Vec::with_capacity(tokens.len());
        let mut cursor = Cursor { sql: self.sql, line: 1, column: 1, byte: 0 };
        let mut next = 0_u32;
        for token in tokens {
            if matches!(token.token, Token::Whitespace(_) | Token::EOF) {
                continue;
            }
            let start = cursor.byte(token.span.start).ok_or_else(differs)?;
            let end = cursor.byte(token.span.end).ok_or_else(differs)?;
            let mut at = self.sketch.tokens.get(next as usize).ok_or_else(differs)?;
            let kind = at.kind;
            let same = at.start as usize == start;
            places.push(((token.span.start.line, token.span.start.column), next));
            while (at.end as usize) < end {
                next += 1;
                at = self.sketch.tokens.get(next as usize).ok_or_else(differs)?;
                // What is one token there and several here is an operator or a variable.
                if kind != SketchKind::Other {
                    return Err(differs());
                }
            }
            next += 1;
            if !same || at.end as usize != end || !fits(&token.token, kind) {
                return Err(differs());
            }
        }
        (next == self.len()).then_some(places).ok_or_else(differs)
    }

    /// Operators that bind otherwise in the syntax tree than on a server, or by a session's settings.
    fn check_operators(&self) -> Result<(), Reason> {
        let (mut chain, mut run, mut joins) = (0, 0, 0);
        for token in 0..self.len() {
            if self.is_byte(token, ",") {
                (chain, run) = (0, 0);
            }
            if self.is_byte(token, "|") && self.is_byte(token + 1, "|") {
                return Err(
                    "|| is OR or a concatenation, as a session's sql_mode says: write OR or CONCAT()".into(),
                );
            }
            if self.is_byte(token, ":=") {
                return Err("a statement that assigns user variables cannot use sharded tables".into());
            }
            if self.is(token, "XOR") && !self.is_qualified(token) {
                return Err("XOR is not supported with sharded tables: write it with AND, OR and NOT".into());
            }
            if self.is(token, "BINARY")
                && !token.checked_sub(1).is_some_and(|before| self.is_any(before, &["AS", "SET"]))
            {
                return Err(
                    "the operator BINARY is not supported with sharded tables: write CAST(... AS BINARY)"
                        .into(),
                );
            }
            let byte =
                self.kind(token) == Some(SketchKind::Other) && "+-*/%&|^=<>~![:.".contains(self.str(token));
            run += 1;
            chain += usize::from(byte || self.is_any(token, &CHAIN_WORDS));
            joins += usize::from(self.is_any(token, &["JOIN", "STRAIGHT_JOIN"]));
            if chain > CHAIN_MAX || run > RUN_MAX || joins > JOINS_MAX {
                return Err("the statement is too complex for sharded tables: write it with fewer operators and joins".into());
            }
        }
        Ok(())
    }
}

/// Goes through a text, and says at which byte a line and column is. Columns are characters.
struct Cursor<'a> {
    sql: &'a str,
    line: u64,
    column: u64,
    byte: usize,
}

impl Cursor<'_> {
    /// The byte of a location that does not come before the last one asked for.
    fn byte(&mut self, at: Location) -> Option<usize> {
        let rest = self.sql.get(self.byte..)?;
        let mut characters = rest.char_indices();
        loop {
            let next = characters.next();
            if (self.line, self.column) == (at.line, at.column) {
                self.byte += next.map_or(rest.len(), |(offset, _)| offset);
                return Some(self.byte);
            }
            match next? {
                _ if self.line > at.line => return None,
                (_, '\n') => (self.line, self.column) = (self.line + 1, 1),
                _ => self.column += 1,
            }
        }
    }
}

/// Whether a token of one reader can be what the other calls it.
fn fits(token: &Token, kind: SketchKind) -> bool {
    match token {
        Token::Word(word) => match word.quote_style {
            Some(_) => kind == SketchKind::Quoted,
            None => matches!(kind, SketchKind::Word | SketchKind::Other),
        },
        Token::Number(..) => kind == SketchKind::Number,
        Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) | Token::NationalStringLiteral(_) => {
            kind == SketchKind::String
        }
        Token::HexStringLiteral(_) | Token::SingleQuotedByteStringLiteral(_) => {
            matches!(kind, SketchKind::Number | SketchKind::String)
        }
        Token::Placeholder(_) => kind == SketchKind::Parameter,
        _ => kind == SketchKind::Other,
    }
}
