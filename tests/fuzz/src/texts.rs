//! Statements, requests over HTTP, configuration files.

use std::path::Path;

use athena::config::Config;
use athena::control::http;
use athena::parser::{SqlMode, facts, kill, with_connection_id};

use super::cuts::option;

/// A statement can be looked at in every mode, and says the same twice.
pub fn sql(bytes: &[u8]) {
    let (options, text) = option(bytes);
    let flag = |bit: u8| options >> bit & 1 == 1;
    let mode = SqlMode {
        ansi_quotes: flag(0),
        no_backslash_escapes: flag(1),
        unsafe_charset: flag(2),
        one_statement: flag(3),
    };
    let first = facts(text, mode);
    assert_eq!(format!("{first:?}"), format!("{:?}", facts(text, mode)));
    let _ = kill(text, mode);
    if let Ok(known) = with_connection_id(text, mode, 7) {
        // What stands for the function is no call of it.
        assert_eq!(with_connection_id(&known, mode, 7).as_deref(), Ok(&known[..]));
    }
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
