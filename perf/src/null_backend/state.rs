//! The system variables of a connection: as far as a proxy sets them, asks for them and is told of them.

use std::collections::BTreeMap;

use crate::wire::{self, STATUS_AUTOCOMMIT};

/// Status flag: the OK packet tells what has changed.
const STATUS_STATE_CHANGED: u16 = 1 << 14;
/// In an OK packet: system variables have changed.
const TRACKED_VARIABLES: u8 = 0;

/// What new connections have, in the words of trackers.
const DEFAULTS: [(&str, &str); 25] = [
    ("autocommit", "ON"),
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("collation_connection", "utf8mb4_general_ci"),
    ("foreign_key_checks", "ON"),
    ("group_concat_max_len", "1048576"),
    ("innodb_lock_wait_timeout", "50"),
    ("interactive_timeout", "28800"),
    ("lc_time_names", "en_US"),
    ("lock_wait_timeout", "86400"),
    ("max_allowed_packet", "16777216"),
    ("net_read_timeout", "30"),
    ("net_write_timeout", "60"),
    ("query_cache_type", "OFF"),
    ("skip_name_resolve", "ON"),
    ("sql_auto_is_null", "OFF"),
    ("sql_mode", "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"),
    ("sql_safe_updates", "OFF"),
    ("sql_select_limit", "18446744073709551615"),
    ("time_zone", "SYSTEM"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("tx_read_only", "OFF"),
    ("unique_checks", "ON"),
    ("wait_timeout", "28800"),
];

/// What has been set on a connection.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Takes in a SET; gives the payload of its OK packet, which tells of the variables if `tracked`.
    pub fn set(&mut self, text: &str, tracked: bool) -> Vec<u8> {
        let mut told = Vec::new();
        for item in items(text) {
            for (name, value) in assignments(item) {
                let value = if value == "DEFAULT" { default(&name).to_owned() } else { value };
                // A tracker of trackers is left out, and the collation goes with its character set.
                if !name.starts_with("session_track_") && name != "collation_connection" {
                    told.push((name.clone(), value.clone()));
                }
                self.0.insert(name, value);
            }
        }
        if told.is_empty() || !tracked {
            return wire::ok_payload(0);
        }
        let mut state = Vec::new();
        for (name, value) in &told {
            let mut entry = Vec::new();
            push_string(&mut entry, name.as_bytes());
            push_string(&mut entry, value.as_bytes());
            state.push(TRACKED_VARIABLES);
            push_string(&mut state, &entry);
        }
        let mut payload = vec![0, 0, 0]; // header, affected rows, last insert id
        payload.extend_from_slice(&(STATUS_AUTOCOMMIT | STATUS_STATE_CHANGED).to_le_bytes());
        payload.extend_from_slice(&[0, 0, 0]); // warnings, no message
        push_string(&mut payload, &state);
        payload
    }

    /// The values that a SELECT of variables asks for, one a column, and how each column is called. `None` if it asks for
    /// none.
    pub fn select(&self, text: &str) -> Option<Vec<(String, String)>> {
        let list = items(text.trim_start().get("select".len()..)?);
        let value = |item: &str| {
            let name = variable(item);
            self.0.get(&name).cloned().unwrap_or_else(|| default(&name).to_owned())
        };
        let values: Vec<_> = list.map(|item| (item.trim().to_owned(), value(item))).collect();
        text.contains("@@").then_some(values)
    }

    /// COM_RESET_CONNECTION.
    pub fn reset(&mut self) {
        self.0.clear();
    }
}

/// A value as a row of text has it, and as an OK packet does.
pub(super) fn push_string(out: &mut Vec<u8>, bytes: &[u8]) {
    match u16::try_from(bytes.len()) {
        Ok(length @ 0..=250) => out.extend_from_slice(&length.to_le_bytes()[..1]),
        // Nothing here is longer than a list of all variables.
        other => {
            out.push(0xfc);
            out.extend_from_slice(&other.unwrap_or(u16::MAX).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

fn default(name: &str) -> &'static str {
    DEFAULTS.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

/// `NAMES x COLLATE y`, `SESSION a = 'b'`, `@@session.a = b`: what it assigns. User variables are nobody's.
fn assignments(item: &str) -> Vec<(String, String)> {
    let item = item.trim().trim_end_matches(';');
    let words: Vec<&str> = item.split_whitespace().collect();
    match words[..] {
        [set, ..] if set.eq_ignore_ascii_case("set") => assignments(item.get("set".len()..).unwrap_or("")),
        [names, charset, ref rest @ ..] if names.eq_ignore_ascii_case("names") => {
            let charset = unquoted(charset);
            let names = ["character_set_client", "character_set_connection", "character_set_results"];
            let mut all: Vec<_> = names.map(|name| (name.to_owned(), charset.clone())).to_vec();
            let collation =
                if let [_, collation] = rest { unquoted(collation) } else { format!("{charset}_general_ci") };
            all.push(("collation_connection".to_owned(), collation));
            all
        }
        _ => match item.split_once('=') {
            Some((name, _)) if name.trim().starts_with('@') && !name.trim().starts_with("@@") => Vec::new(),
            Some((name, value)) => vec![(variable(name), unquoted(value.trim()))],
            None => Vec::new(),
        },
    }
}

/// The name of a system variable without what says that it is the session's.
fn variable(text: &str) -> String {
    let mut name = text.trim().trim_start_matches("@@").to_ascii_lowercase();
    for scope in ["session ", "local ", "session.", "local.", "global."] {
        if let Some(rest) = name.strip_prefix(scope) {
            name = rest.trim_start_matches("@@").trim().to_owned();
        }
    }
    name
}

fn unquoted(value: &str) -> String {
    let quoted = value.strip_prefix(['\'', '"']).and_then(|rest| rest.strip_suffix(['\'', '"']));
    quoted.unwrap_or(value).to_owned()
}

/// What stands between the commas that are neither quoted nor in brackets.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let (mut quote, mut depth) = (None, 0_u32);
    text.split(move |letter| {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') => return depth == 0,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_told_and_found() {
        let mut variables = Variables::default();
        let sql = "SET NAMES latin1 COLLATE latin1_bin, @@session.sql_mode='A,B', SESSION time_zone = '+01:00', @a=1";
        let told = variables.set(sql, true);
        for (name, value) in
            [("character_set_results", "latin1"), ("sql_mode", "A,B"), ("time_zone", "+01:00")]
        {
            let mut entry = Vec::new();
            push_string(&mut entry, name.as_bytes());
            push_string(&mut entry, value.as_bytes());
            assert!(told.windows(entry.len()).any(|part| part == entry), "{name}");
        }
        let found = variables.select("SELECT @@time_zone, @@sql_mode,@@collation_connection, @@autocommit");
        let values: Vec<_> = found.into_iter().flatten().map(|(_, value)| value).collect();
        assert_eq!(values, ["+01:00", "A,B", "latin1_bin", "ON"]);
        assert_eq!(variables.set("SET autocommit=1", false), wire::ok_payload(0));
        assert_eq!(variables.select("SELECT c FROM t"), None);
    }
}
