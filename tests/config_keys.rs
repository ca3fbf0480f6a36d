//! The table of keys, the example file and the manual say the same: every key is in both, with its default, and
//! neither has a key that the table does not know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use athena::config::{Config, KEYS, Key};

/// What a page says of a key: its default, and the words that explain it.
type Said = BTreeMap<(String, String), (String, String)>;

/// Keys that the example sets to what the seed had, so that the file serves as it stands.
const REQUIRED: [(&str, &str); 4] =
    [("backend", "host"), ("backend", "user"), ("backend", "password"), ("users", "name")];

fn file(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, text)
}

/// Keys of the example, set or commented out. A key is a line `name = value`; the line above explains it.
fn example(text: &str) -> Said {
    let mut said = Said::new();
    let (mut section, mut above) = (String::new(), "");
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        if bare.starts_with('[') && bare.ends_with(']') {
            section = bare.trim_matches(['[', ']']).to_owned();
        } else if let Some((name, value)) = bare.split_once(" = ")
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            let explained = above.strip_prefix("# ").unwrap_or_default().to_owned();
            let earlier = said.insert((section.clone(), name.to_owned()), (value.to_owned(), explained));
            assert!(earlier.is_none(), "[{section}] {name} is there twice");
        }
        above = line;
    }
    said
}

/// Keys of the manual: rows `| `name` | default | effect |` of the tables under a heading "## `[section]` ...".
fn manual(text: &str) -> Said {
    let mut said = Said::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.split('`').nth(1).unwrap_or_default().trim_matches(['[', ']']).to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let (name, rest) = row.split_once("` | ").expect("a key in backticks and a bar");
            let (default, effect) = rest.split_once(" | ").expect("a default and a bar");
            let said_of_key = (default.trim_matches('`').to_owned(), effect.to_owned());
            let earlier = said.insert((section.clone(), name.to_owned()), said_of_key);
            assert!(earlier.is_none(), "[{section}] {name} is there twice");
        }
    }
    said
}

/// The words that tell where `said` and the table of keys part.
fn differences(said: &Said, differs: impl Fn(&Key, &str, &str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for key in KEYS {
        match said.get(&(key.section.to_owned(), key.name.to_owned())) {
            None => found.push(format!("[{}] {} is missing", key.section, key.name)),
            Some((default, words)) => {
                let difference = differs(key, default, words);
                found.extend(difference.map(|what| format!("[{}] {}: {what}", key.section, key.name)));
            }
        }
    }
    for (section, name) in said.keys() {
        if !KEYS.iter().any(|key| key.section == section && key.name == name) {
            found.push(format!("[{section}] {name} is unknown"));
        }
    }
    found
}

/// True when the default can be written as a value; otherwise the page gives an example.
fn is_a_value(default: &str) -> bool {
    default.starts_with('"') || matches!(default, "true" | "false") || default.parse::<u64>().is_ok()
}

#[test]
fn the_example_has_every_key_with_its_default_and_explanation() {
    let (_, text) = file("config/athena.toml");
    let found = differences(&example(&text), |key, value, words| {
        let default = key.default_text();
        let required = REQUIRED.contains(&(key.section, key.name));
        if is_a_value(&default) && value != default && !required {
            Some(format!("{value} is there, {default} is the default"))
        } else if words != key.doc {
            Some(format!("explained by \"{words}\", not \"{}\"", key.doc))
        } else {
            None
        }
    });
    assert!(found.is_empty(), "config/athena.toml:\n{}", found.join("\n"));
}

#[test]
fn the_manual_has_every_key_with_its_default() {
    let (_, text) = file("docs/CONFIGURATION.md");
    let found = differences(&manual(&text), |key, value, words| {
        let default = key.default_text();
        if value != default {
            Some(format!("{value} is there, {default} is the default"))
        } else if words.trim_matches(['|', ' ']).is_empty() {
            Some("has no explanation".to_owned())
        } else {
            None
        }
    });
    assert!(found.is_empty(), "docs/CONFIGURATION.md:\n{}", found.join("\n"));
}

#[test]
fn the_example_is_valid_as_it_stands() {
    let (path, _) = file("config/athena.toml");
    let config = Config::load(&path, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let cluster = &config.clusters[0];
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:3307");
    assert_eq!((cluster.primary.host.as_str(), cluster.primary.port), ("127.0.0.1", 3306));
    assert_eq!((cluster.primary.user.as_str(), cluster.primary.password.expose()), ("root", &b""[..]));
    assert!(cluster.circuit.enabled);
    assert_eq!((cluster.circuit.max_concurrent, cluster.circuit.queue_size), (10, 100));
    assert_eq!(cluster.circuit.queue_timeout.as_millis(), 5000);
}

/// A commented line is only an example if it can be used: with all of them on, and certificates where they are said to
/// be, nothing may be wrong but that the password is given in three ways.
#[test]
fn the_example_is_valid_with_every_line_uncommented() {
    let (_, text) = file("config/athena.toml");
    let on = |line: &str| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_key = bare.split_once(" = ").is_some_and(|(name, _)| KEYS.iter().any(|key| key.name == name));
        let secret = ["password_", "backend_password_"].iter().any(|way| bare.starts_with(way));
        if (is_key || bare.starts_with('[')) && !secret { bare.to_owned() } else { line.to_owned() }
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("every-key");
    athena_perf::lab::Certificates::new(&folder).expect("openssl makes certificates");
    let path = folder.join("every-key.toml");
    let text = text.lines().map(on).collect::<Vec<_>>().join("\n");
    // A replica that takes over what [backend] has needs no files of its own.
    let text = text.replace("\"as_backend\"", "\"disabled\"").replace("\"as_shard\"", "\"disabled\"");
    std::fs::write(&path, text.replace("/etc/athena", &folder.display().to_string())).expect("written");
    Config::load(&path, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
}
