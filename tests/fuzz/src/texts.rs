//! Statements, requests over HTTP, configuration files.

use std::path::Path;

use athena::config::Config;
use athena::control::http;
use athena::parser::{
    Answers, Charset, Server, SqlMode, access, diagnostics, effects, facts, kill, with_answers,
    with_connection_id,
};

use super::cuts::option;

/// A statement can be looked at in every mode, and says the same twice.
pub fn sql(bytes: &[u8]) {
    let (options, text) = option(bytes);
    let flag = |bit: u8| options >> bit & 1 == 1;
    let mode = SqlMode {
        ansi_quotes: flag(0),
        no_backslash_escapes: flag(1),
        charset: if flag(2) { charset(bytes) } else { Charset::Plain },
        server: if flag(4) { server(flag(5)) } else { Server::default() },
        one_statement: flag(3),
    };
    let first = facts(text, mode);
    assert_eq!(format!("{first:?}"), format!("{:?}", facts(text, mode)));
    let _ = kill(text, mode);
    let effects = effects(text, mode);
    // What just reads leaves nothing behind.
    assert!(access(first).is_err() || effects.is_empty(), "{effects:?} of a read, {first:?}");
    for effect in effects {
        // That each of the hazards has its effects, if only an unclear one, is how they are made.
        let hazards = effect.hazards();
        assert!(hazards.is_empty() || hazards.intersects(first.hazards), "{effect:?} is none of {first:?}");
    }
    let _ = diagnostics(text, mode);
    let answers = Answers {
        connection_id: None,
        row_count: Some(-1),
        found_rows: Some(1),
        warning_count: Some(2),
        error_count: Some(3),
        last_insert_id: Some(4),
    };
    if let Ok(known) = with_answers(text, mode, true, &answers) {
        assert_eq!(with_answers(&known, mode, true, &answers).as_deref(), Ok(&known[..]));
    }
    if let Ok(known) = with_connection_id(text, mode, 7) {
        // What stands for the function is no call of it.
        assert_eq!(with_connection_id(&known, mode, 7).as_deref(), Ok(&known[..]));
    }
}

/// One of those in which two bytes may be a character, by how long the text is.
fn charset(bytes: &[u8]) -> Charset {
    const CHARSETS: [Charset; 5] =
        [Charset::Big5, Charset::Cp932, Charset::Gb18030, Charset::Gbk, Charset::Sjis];
    CHARSETS.get(bytes.len() % CHARSETS.len()).copied().unwrap_or_default()
}

fn server(mariadb: bool) -> Server {
    Server { mariadb, version: if mariadb { 101119 } else { 90704 } }
}

/// A request's head is incomplete, or refused, up to its end, and the same with anything behind it.
pub fn http(bytes: &[u8]) {
    let parsed = http::parse(bytes);
    let Ok(Some((_, length))) = &parsed else { return };
    let head = bytes.get(..*length).expect("within the bytes");
    assert_eq!(http::parse(head), parsed);
    for cut in 0..*length {
        assert_eq!(http::parse(&bytes[..cut]), Ok(None), "cut at {cut} of {length}");
    }
}

/// Every text is a configuration or a list of problems, and the list says something.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let env = |name: &str| Some(name.to_owned());
    if let Err(problems) = Config::parse(Path::new("athena.toml"), text, &env) {
        assert!(!problems.to_string().is_empty());
    }
}
