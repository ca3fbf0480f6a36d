//! How servers name a column after the text of its select item: without the marks around code in comments, and without
//! code that is meant for others (measured on MariaDB 10.11 and MySQL 9.7).

use std::borrow::Cow;

use memchr::{memchr, memmem};

use super::lexer::{Lexer, SqlMode, TokenKind, foreign_comment_len, plain_comment_len};
use super::server::Comment;

/// The name of an item that begins and ends with a token. `in_code`: it begins with code in a comment.
pub(super) fn column_name(item: &[u8], mode: SqlMode, in_code: bool) -> Cow<'_, [u8]> {
    if memmem::find(item, b"*/").is_none() && memmem::find(item, b"/*").is_none() {
        return Cow::Borrowed(item);
    }
    let mut name = Vec::with_capacity(item.len());
    let mut lexer = Lexer::of_piece(item, mode, in_code);
    let mut copied = 0;
    loop {
        let token = lexer.token();
        let end = item.len() - lexer.left();
        let start = end - token.text.len();
        while copied < start {
            copied += between_tokens(&mut name, item.get(copied..).unwrap_or_default(), mode);
        }
        name.extend_from_slice(token.text);
        copied = end;
        if token.kind == TokenKind::End {
            return Cow::Owned(name);
        }
    }
}

/// Adds what the name has of a blank, a comment or a mark that `text` begins with; how long that is.
fn between_tokens(name: &mut Vec<u8>, text: &[u8], mode: SqlMode) -> usize {
    let is_blank = |byte: Option<&u8>| byte.is_none_or(|byte| byte.is_ascii_whitespace() || *byte == 0x0B);
    let kept = match text {
        [b'*', b'/', after @ ..] => {
            // For MySQL, code in a comment is a word by itself.
            let joins = !is_blank(after.first()) && !is_blank(name.last());
            if joins && !mode.server.mariadb {
                name.push(b' ');
            }
            return 2;
        }
        [b'/', b'*', ..] => match mode.server.comment(text) {
            Comment::Plain => plain_comment_len(text),
            Comment::Foreign => return foreign_comment_len(text),
            Comment::Code(mark) | Comment::Doubtful(mark) => return mark,
        },
        [b'#' | b'-', ..] => memchr(b'\n', text).unwrap_or(text.len()),
        _ => 1,
    };
    name.extend_from_slice(text.get(..kept).unwrap_or_default());
    kept
}

#[cfg(test)]
mod tests {
    use super::super::server::Server;
    use super::*;

    #[test]
    fn names_are_those_of_the_servers() {
        for (item, on_mariadb, on_mysql) in [
            ("1 + a", "1 + a", "1 + a"),
            ("1 /*!40000 + 1 */ + 1", "1  + 1  + 1", "1  + 1  + 1"),
            ("1/*!40000+1*/+1", "1+1+1", "1+1 +1"),
            ("1/*!40000*/+1", "1+1", "1 +1"),
            ("1 /*!99999 +5*/+ 1", "1 + 1", "1 + 1"),
            ("1/*!99999 +5 /* c */*/+1", "1+1", "1+1"),
            ("1 /* c */ + '/*!40000 */'", "1 /* c */ + '/*!40000 */'", "1 /* c */ + '/*!40000 */'"),
            ("1 /*M!40000 + 1 */ + 1", "1  + 1  + 1", "1 /*M!40000 + 1 */ + 1"),
            ("1 */+ 1", "1 + 1", "1 + 1"),
            ("0*/*!40000 1*/+1", "0* 1+1", "0* 1 +1"),
            ("1 +/*!40000 1 /* c */ + 1 */ +1", "1 + 1 /* c */ + 1  +1", "1 + 1 /* c */ + 1  +1"),
            ("1 # /*!40000\n /*! + */ 1", "1 # /*!40000\n  +  1", "1 # /*!40000\n  +  1"),
            ("1/*!40000 *//*!40000 +1 */+1", "1  +1 +1", "1  +1 +1"),
            ("1+/*!99999 c*/ /*!99999 c*/1", "1+ 1", "1+ 1"),
        ] {
            let in_code = item.starts_with("1 */");
            let name =
                |server| column_name(item.as_bytes(), SqlMode { server, ..SqlMode::default() }, in_code);
            let mariadb = Server { mariadb: true, version: 101119 };
            let mysql = Server { mariadb: false, version: 90704 };
            assert_eq!(name(mariadb), on_mariadb.as_bytes(), "{item}");
            assert_eq!(name(mysql), on_mysql.as_bytes(), "{item}");
        }
    }
}
