//! Statements that read what the statement before left in the diagnostics area: its warnings and errors.
//!
//! Manual sections: "SHOW WARNINGS Statement", "SHOW ERRORS Statement", "GET DIAGNOSTICS Statement".

use crate::protocol::warnings::RowRange;

use super::lexer::{Lexer, SqlMode, Token, TokenKind};

/// A statement about the diagnostics area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnostics {
    ShowWarnings(RowRange),
    ShowErrors(RowRange),
    /// SHOW COUNT(*) WARNINGS.
    CountWarnings,
    /// SHOW COUNT(*) ERRORS.
    CountErrors,
    Get(GetDiagnostics),
}

/// GET DIAGNOSTICS, whose targets are user variables, as they are written with their `@`, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GetDiagnostics {
    Statement(Vec<(Vec<u8>, StatementItem)>),
    Condition { number: ConditionNumber, items: Vec<(Vec<u8>, ConditionItem)> },
}

/// Which condition, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionNumber {
    Literal(u64),
    /// A variable or another literal, as it is written: the server knows its value.
    Expression(Vec<u8>),
}

/// What is known of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementItem {
    /// How many conditions there are: a `BIGINT UNSIGNED`.
    Number,
    /// A signed `BIGINT`.
    RowCount,
}

/// What is known of a condition: text in `utf8mb3`, but for two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionItem {
    ClassOrigin,
    SubclassOrigin,
    ConstraintCatalog,
    ConstraintSchema,
    ConstraintName,
    CatalogName,
    SchemaName,
    TableName,
    ColumnName,
    CursorName,
    MessageText,
    /// A `BIGINT UNSIGNED`.
    MysqlErrno,
    ReturnedSqlstate,
    /// A `BIGINT UNSIGNED`. MariaDB's from 10.7 on; other servers refuse the statement.
    RowNumber,
}

const STATEMENT_ITEMS: [(&[u8], StatementItem); 2] =
    [(b"number", StatementItem::Number), (b"row_count", StatementItem::RowCount)];

const CONDITION_ITEMS: [(&[u8], ConditionItem); 14] = [
    (b"class_origin", ConditionItem::ClassOrigin),
    (b"subclass_origin", ConditionItem::SubclassOrigin),
    (b"constraint_catalog", ConditionItem::ConstraintCatalog),
    (b"constraint_schema", ConditionItem::ConstraintSchema),
    (b"constraint_name", ConditionItem::ConstraintName),
    (b"catalog_name", ConditionItem::CatalogName),
    (b"schema_name", ConditionItem::SchemaName),
    (b"table_name", ConditionItem::TableName),
    (b"column_name", ConditionItem::ColumnName),
    (b"cursor_name", ConditionItem::CursorName),
    (b"message_text", ConditionItem::MessageText),
    (b"mysql_errno", ConditionItem::MysqlErrno),
    (b"returned_sqlstate", ConditionItem::ReturnedSqlstate),
    (b"row_number", ConditionItem::RowNumber),
];

/// Reads a text that is one such statement, in the grammar that both servers share. `None`: it is another, or not alone,
/// or a server may read it in another way. Left out are MariaDB's other ways to write a limit, and GET STACKED
/// DIAGNOSTICS, which is an error outside of a handler.
pub fn diagnostics(sql: &[u8], mode: SqlMode) -> Option<Diagnostics> {
    let mut lexer = Lexer::new(sql, mode);
    let first = lexer.token();
    let mut reader = Reader { lexer, token: first };
    let statement = if reader.take(b"show") { reader.show() } else { reader.get() }?;
    if reader.token.kind == TokenKind::Byte(b';') {
        reader.advance();
    }
    let over = reader.token.kind == TokenKind::End && !reader.lexer.misreadable;
    over.then_some(statement)
}

/// Stands on one token.
struct Reader<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
}

impl Reader<'_> {
    fn advance(&mut self) {
        self.token = self.lexer.token();
    }

    /// Passes the token if it is this word.
    fn take(&mut self, word: &[u8]) -> bool {
        let found = self.is(word);
        if found {
            self.advance();
        }
        found
    }

    fn is(&self, word: &[u8]) -> bool {
        self.token.kind == TokenKind::Word && self.token.text.eq_ignore_ascii_case(word)
    }

    fn take_byte(&mut self, byte: u8) -> Option<()> {
        let found = self.token.kind == TokenKind::Byte(byte);
        found.then(|| self.advance())
    }

    /// SHOW, which is passed.
    fn show(&mut self) -> Option<Diagnostics> {
        if self.take(b"warnings") {
            return self.limit().map(Diagnostics::ShowWarnings);
        }
        if self.take(b"errors") {
            return self.limit().map(Diagnostics::ShowErrors);
        }
        let behind_count = self.lexer.left();
        if !self.take(b"count") {
            return None;
        }
        // With a blank it is no call, but under IGNORE_SPACE.
        let adjacent = behind_count == self.lexer.left() + 1;
        self.take_byte(b'(').filter(|()| adjacent)?;
        self.take_byte(b'*')?;
        self.take_byte(b')')?;
        if self.take(b"warnings") {
            Some(Diagnostics::CountWarnings)
        } else {
            self.take(b"errors").then_some(Diagnostics::CountErrors)
        }
    }

    /// LIMIT n, LIMIT m, n or LIMIT n OFFSET m, or nothing.
    fn limit(&mut self) -> Option<RowRange> {
        if !self.take(b"limit") {
            return Some(RowRange::ALL);
        }
        let first = self.number()?;
        let (offset, count) = if self.take_byte(b',').is_some() {
            (first, self.number()?)
        } else if self.take(b"offset") {
            (self.number()?, first)
        } else {
            (0, first)
        };
        Some(RowRange { offset, count })
    }

    /// Decimal digits.
    fn number(&mut self) -> Option<u64> {
        let number = decimal(self.token)?;
        self.advance();
        Some(number)
    }

    /// GET [CURRENT] DIAGNOSTICS.
    fn get(&mut self) -> Option<Diagnostics> {
        if !self.take(b"get") {
            return None;
        }
        self.take(b"current");
        if !self.take(b"diagnostics") {
            return None;
        }
        let statement = if self.take(b"condition") {
            let number = self.condition_number()?;
            GetDiagnostics::Condition { number, items: self.items(&CONDITION_ITEMS)? }
        } else {
            GetDiagnostics::Statement(self.items(&STATEMENT_ITEMS)?)
        };
        Some(Diagnostics::Get(statement))
    }

    /// One literal or variable. A name alone is a variable of a stored program.
    fn condition_number(&mut self) -> Option<ConditionNumber> {
        if let Some(number) = decimal(self.token) {
            self.advance();
            return Some(ConditionNumber::Literal(number));
        }
        let mut text = self.token.text.to_vec();
        let whole = match self.token.kind {
            TokenKind::Number | TokenKind::String | TokenKind::UserVariable => true,
            TokenKind::SystemVariable => false,
            _ if self.is(b"null") || self.is(b"true") || self.is(b"false") => true,
            _ => return None,
        };
        self.advance();
        // The name of a system variable, and what qualifies it.
        let mut named = whole;
        while !named {
            match self.token.kind {
                TokenKind::Word | TokenKind::Quoted => text.extend_from_slice(self.token.text),
                _ => return None,
            }
            self.advance();
            named = self.take_byte(b'.').is_none();
            if !named {
                text.push(b'.');
            }
        }
        Some(ConditionNumber::Expression(text))
    }

    /// `@a = ITEM, ...`
    fn items<Item: Copy>(&mut self, names: &[(&[u8], Item)]) -> Option<Vec<(Vec<u8>, Item)>> {
        let mut items = Vec::new();
        loop {
            let target = self.token.text;
            if self.token.kind != TokenKind::UserVariable || target.len() < 2 {
                return None;
            }
            self.advance();
            self.take_byte(b'=')?;
            let (_, item) = names.iter().find(|(name, _)| self.is(name))?;
            self.advance();
            items.push((target.to_vec(), *item));
            if self.take_byte(b',').is_none() {
                return Some(items);
            }
        }
    }
}

/// The value of a number that is nothing but digits.
fn decimal(token: Token<'_>) -> Option<u64> {
    let digits = token.kind == TokenKind::Number && token.text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(token.text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
#[path = "diagnostics_tests.rs"]
mod tests;
