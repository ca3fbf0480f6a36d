//! One pass over a text that keeps where its tokens are, and makes of it a key that texts share which differ in their
//! values only: so a plan for one of them does for all.

use super::lexer::{Lexer, SqlMode, TokenKind};

/// What a token of a [`Sketch`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SketchKind {
    /// An identifier or keyword, not quoted.
    Word,
    /// An identifier in quotes.
    Quoted,
    /// A string literal, quotes included; also `N'...'`.
    String,
    /// A number, or a hexadecimal or bit literal.
    Number,
    /// `?`
    Parameter,
    /// `@x`, `@@`, `:=`, or one byte of anything else.
    Other,
}

/// Where a token stands, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SketchToken {
    pub start: u32,
    pub end: u32,
    pub kind: SketchKind,
}

/// The tokens of a text. Made once for each core and used again, so that a statement allocates nothing here.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    pub tokens: Vec<SketchToken>,
    /// Alike for texts of the same tokens but for the values of strings and decimal numbers.
    pub key: Vec<u8>,
    /// Servers may see other tokens than these.
    pub doubtful: bool,
    /// Some of them stand in comments that are code to this server.
    pub has_code: bool,
}

impl Sketch {
    /// Reads a text anew.
    pub fn read(&mut self, sql: &[u8], mode: SqlMode) {
        self.tokens.clear();
        self.key.clear();
        (self.doubtful, self.has_code) = (false, false);
        let mut lexer = Lexer::new(sql, mode);
        loop {
            let token = lexer.token();
            self.has_code |= lexer.is_in_code();
            let kind = match token.kind {
                TokenKind::End => break,
                TokenKind::Word => SketchKind::Word,
                TokenKind::Quoted => SketchKind::Quoted,
                TokenKind::String => SketchKind::String,
                TokenKind::Number => SketchKind::Number,
                TokenKind::Byte(b'?') => SketchKind::Parameter,
                _ => SketchKind::Other,
            };
            let end = sql.len() - lexer.left();
            let start = end - token.text.len();
            self.tokens.push(SketchToken { start: offset(start), end: offset(end), kind });
            match kind {
                SketchKind::String => self.key.extend_from_slice(b"\x01s"),
                SketchKind::Number
                    if token.text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') =>
                {
                    self.key.extend_from_slice(b"\x01n");
                }
                _ => {
                    self.key.push(0);
                    self.key.extend_from_slice(token.text);
                }
            }
        }
        self.doubtful |= lexer.misreadable;
    }

    /// The bytes of a token.
    pub fn text<'a>(&self, sql: &'a [u8], token: u32) -> &'a [u8] {
        let range = self.tokens.get(token as usize).map(|token| token.start as usize..token.end as usize);
        range.and_then(|range| sql.get(range)).unwrap_or_default()
    }

    /// The name that a token is, without its quotes, or `None` if it can be no name.
    pub fn name(&self, sql: &[u8], token: u32) -> Option<Vec<u8>> {
        let text = self.text(sql, token);
        match self.tokens.get(token as usize)?.kind {
            SketchKind::Word => Some(text.to_vec()),
            SketchKind::Quoted => {
                let (quote, inner) = (text.first()?, text.get(1..text.len().checked_sub(1)?)?);
                let mut name = Vec::with_capacity(inner.len());
                let mut bytes = inner.iter();
                while let Some(byte) = bytes.next() {
                    name.push(*byte);
                    if byte == quote {
                        bytes.next();
                    }
                }
                Some(name)
            }
            _ => None,
        }
    }
}

/// Where the statement begins that an EXPLAIN ATHENA is about; `None` for anything else.
pub fn is_explain_athena(sql: &[u8], mode: SqlMode) -> Option<usize> {
    let mut lexer = Lexer::new(sql, mode);
    let words = [&b"explain"[..], b"athena"];
    let is_all = words.iter().all(|word| lexer.token().text.eq_ignore_ascii_case(word));
    let first = lexer.token();
    is_all.then(|| sql.len() - lexer.left() - first.text.len())
}

/// Texts are shorter than 4 GiB: a packet's length is bounded by `max_packet_bytes`.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(sql: &str) -> Sketch {
        let mut sketch = Sketch::default();
        sketch.read(sql.as_bytes(), SqlMode::default());
        sketch
    }

    #[test]
    fn values_do_not_matter_and_all_else_does() {
        let one = sketch("SELECT c FROM t WHERE id = 7 AND s = 'a'");
        assert_eq!(one.key, sketch("SELECT  c FROM t /* x */ WHERE id=123 AND s = \"b''\"").key);
        for other in [
            "SELECT c FROM u WHERE id = 7 AND s = 'a'",
            "SELECT c FROM t WHERE id = '7' AND s = 'a'",
            "SELECT c FROM t WHERE id = ? AND s = 'a'",
            "SELECT c FROM t WHERE id = -7 AND s = 'a'",
            "SELECT c FROM `t` WHERE id = 7 AND s = 'a'",
            "SELECT c FROM t WHERE id = 0x7 AND s = 'a'",
            "SELECT c FROM t WHERE id = 7 AND s = 'a' OR 1",
        ] {
            assert_ne!(one.key, sketch(other).key, "{other}");
        }
    }

    #[test]
    fn explain_athena_is_told_from_explain() {
        let at = |sql: &str| is_explain_athena(sql.as_bytes(), SqlMode::default());
        assert_eq!(at("EXPLAIN /* x */ athena SELECT 1"), Some(23));
        assert_eq!(at("explain select 1"), None);
        assert_eq!(at("athena explain"), None);
    }

    #[test]
    fn tokens_know_where_they_are() {
        let sql = "SELECT `a``b`, 'x' FROM t";
        let sketch = sketch(sql);
        let texts: Vec<_> = (0..6).map(|token| sketch.text(sql.as_bytes(), token)).collect();
        assert_eq!(texts, [&b"SELECT"[..], b"`a``b`", b",", b"'x'", b"FROM", b"t"]);
        assert_eq!(sketch.name(sql.as_bytes(), 1).as_deref(), Some(&b"a`b"[..]));
        assert_eq!(sketch.name(sql.as_bytes(), 3), None);
        assert_eq!(sketch.text(sql.as_bytes(), 6), b"");
    }
}
