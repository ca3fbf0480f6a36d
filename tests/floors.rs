//! The rules of the house that a compiler does not know: who may import from whom, where `unsafe` and glommio's I/O may
//! stand, what a room's `mod.rs` holds, how long a file may be.
//!
//! Sources are read as tokens, without comments and literals; names are not resolved. That sees every import written
//! in one of the usual ways, and is not meant to withstand somebody who wants to cheat.

use std::fs;
use std::path::Path;

/// The rooms, lowest floor first.
const FLOORS: [&[&str]; 6] = [
    &["protocol", "config", "metrics"],
    &["net", "parser", "circuit"],
    &["router", "pool"],
    &["session"],
    &["worker", "control", "main"],
    // Declares the rooms, so it may name them all.
    &["lib"],
];

/// Imports between rooms of one floor: who, from where, and why that is no knot.
const SAME_FLOOR: [(&str, &str, &str); 5] = [
    (
        "config",
        "protocol",
        "the file may hold a password as the protocol's own hash; the protocol reads no file",
    ),
    ("metrics", "protocol", "commands are a label; the protocol counts nothing, so it never imports back"),
    ("main", "worker", "main starts the cores, and nothing imports main"),
    (
        "control",
        "worker",
        "the control executor speaks to the cores in their messages, and no core imports it",
    ),
    ("main", "control", "main starts the control executor, and nothing imports main"),
];

/// Rooms that may wait elsewhere than in a core's ring, because no core runs them.
const OFF_THE_CORES: [&str; 3] = ["control", "main", "lib"];

/// The room that may be `unsafe`.
const UNSAFE_ROOM: &str = "net";

const LINES_MAX: usize = 600;

/// A file below `src`.
struct Source {
    /// From the repository's root, with slashes: `src/net/ring.rs`.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// The modules that the path spells: `net`, `ring`.
    fn modules(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').collect()
    }

    fn room(&self) -> &str {
        self.modules()[0]
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    fn is_face_of_room(&self) -> bool {
        self.path == format!("src/{}/mod.rs", self.room())
    }

    /// How many `super` lead from the file's own module to the root of the crate.
    fn depth(&self) -> usize {
        // `buf_tests.rs` is the module `tests` of `buf.rs`, put there with `#[path]`.
        self.modules().len() + usize::from(self.path.ends_with("_tests.rs"))
    }
}

// --- The rules ---------------------------------------------------------------------------------------------------

/// Everything that is wrong with a file, each as `path:line: rule`.
fn violations(source: &Source) -> Vec<String> {
    let tokens = mark_tests(lex(&source.text));
    let paths = paths(&tokens);
    let mut found = Vec::new();
    imports_fall(source, &paths, &mut found);
    unsafe_has_a_room(source, &tokens, &mut found);
    cores_wait_in_the_ring(source, &paths, &mut found);
    faces_hold_no_code(source, &tokens, &mut found);
    files_are_short(source, &mut found);
    found.sort_by_key(|(line, _)| *line);
    found.into_iter().map(|(line, rule)| format!("{}:{line}: {rule}", source.path)).collect()
}

/// Lines and the rules they break.
type Found = Vec<(usize, String)>;

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn imports_fall(source: &Source, paths: &[PathInCode<'_>], found: &mut Found) {
    let room = source.room();
    let Some(floor_of_file) = floor(room) else {
        found.push((1, format!("room `{room}` has no floor: give it one in tests/floors.rs")));
        return;
    };
    for path in paths {
        let Some(target) = imported_room(source, path) else { continue };
        if target == "*" {
            found.push((path.line, "a glob import of the whole crate hides the rooms it needs".to_owned()));
            continue;
        }
        // What is no room is an item of lib.rs.
        let Some(floor_of_target) = floor(target).filter(|_| target != room) else { continue };
        let names = format!("`{room}` (floor {floor_of_file}) imports `{target}` (floor {floor_of_target})");
        if floor_of_target > floor_of_file {
            found.push((path.line, format!("{names}: a file imports from lower floors only")));
        } else if floor_of_target == floor_of_file && !may_import_beside(room, target) {
            let rule = "rooms of one floor don't import each other unless SAME_FLOOR says why";
            found.push((path.line, format!("{names}: {rule}")));
        }
    }
}

fn may_import_beside(room: &str, target: &str) -> bool {
    SAME_FLOOR.iter().any(|(from, to, _)| (*from, *to) == (room, target))
}

/// The first name below the crate's root, if `path` begins there: a room, or an item of lib.rs.
fn imported_room<'a>(source: &Source, path: &PathInCode<'a>) -> Option<&'a str> {
    let supers = path.segments.iter().take_while(|segment| **segment == "super").count();
    match path.segments.first() {
        Some(&"crate") => path.segments.get(1).copied(),
        // main.rs is a crate of its own.
        Some(&"athena") if source.room() == "main" => path.segments.get(1).copied(),
        Some(&"super") if supers == source.depth() + path.inside => path.segments.get(supers).copied(),
        _ => None,
    }
}

fn unsafe_has_a_room(source: &Source, tokens: &[Token<'_>], found: &mut Found) {
    if source.room() == UNSAFE_ROOM {
        return;
    }
    for token in tokens.iter().filter(|token| token.text == "unsafe") {
        found.push((token.line, format!("`unsafe` stands below src/{UNSAFE_ROOM} only")));
    }
}

/// On a core glommio's reactor sleeps: what waits for its sockets, timers or channels may never wake up, and a thread
/// that sleeps takes every session of the core with it.
fn cores_wait_in_the_ring(source: &Source, paths: &[PathInCode<'_>], found: &mut Found) {
    if OFF_THE_CORES.contains(&source.room()) || source.is_test() {
        return;
    }
    for path in paths.iter().filter(|path| !path.test) {
        let what = match path.segments[..] {
            ["glommio", part @ ("net" | "timer" | "channels"), ..] => format!("glommio::{part}"),
            [.., "thread", "sleep"] => "std::thread::sleep".to_owned(),
            _ => continue,
        };
        found.push((path.line, format!("`{what}` on a core: it waits in its own ring only")));
    }
}

fn faces_hold_no_code(source: &Source, tokens: &[Token<'_>], found: &mut Found) {
    if !source.is_face_of_room() {
        return;
    }
    for token in tokens.iter().filter(|token| matches!(token.text, "fn" | "impl")) {
        let rule = "a room's mod.rs holds its story, declarations and re-exports";
        found.push((token.line, format!("`{}`: {rule}", token.text)));
    }
}

fn files_are_short(source: &Source, found: &mut Found) {
    let lines = source.text.lines().count();
    if lines > LINES_MAX && !source.is_test() {
        let rule = format!("{lines} lines: a file of more than {LINES_MAX} is two files");
        found.push((LINES_MAX + 1, rule));
    }
}

// --- Sources as tokens -------------------------------------------------------------------------------------------

/// A word, `::`, or one other character.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
    /// Only compiled for tests.
    test: bool,
}

/// The tokens of a source. Comments, literals and lifetimes are left out.
fn lex(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let len = skipped_len(rest).unwrap_or_else(|| {
            let len = token_len(rest);
            if !first.is_whitespace() {
                tokens.push(Token { text: &rest[..len], line, test: false });
            }
            len
        });
        let (token, after) = rest.split_at(len);
        line += token.matches('\n').count();
        rest = after;
    }
    tokens
}

fn token_len(rest: &str) -> usize {
    match word_len(rest) {
        0 if rest.starts_with("::") => 2,
        0 => rest.chars().next().map_or(0, char::len_utf8),
        len => len,
    }
}

fn word_len(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// The bytes of the comment, literal or lifetime that `rest` begins with.
fn skipped_len(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_len(rest));
    }
    let prefix = rest.bytes().take_while(|byte| matches!(byte, b'b' | b'c' | b'r')).count().min(2);
    let literal = &rest[prefix..];
    let raw = rest[..prefix].ends_with('r');
    let hashes = literal.bytes().take_while(|byte| *byte == b'#').count();
    if raw && literal[hashes..].starts_with('"') {
        let end = format!("\"{}", &literal[..hashes]);
        let body = prefix + hashes + 1;
        return Some(rest[body..].find(&end).map_or(rest.len(), |len| body + len + end.len()));
    }
    match literal.chars().next()? {
        '"' => Some(prefix + quoted_len(literal)),
        '\'' => Some(prefix + char_or_lifetime_len(literal)),
        _ => None,
    }
}

/// Block comments nest.
fn block_comment_len(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let (len, change) = match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += len;
        depth += change;
        if depth == 0 {
            break;
        }
    }
    at
}

/// A literal that ends in the quote it begins with.
fn quoted_len(literal: &str) -> usize {
    let bytes = literal.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != bytes[0] {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn char_or_lifetime_len(literal: &str) -> usize {
    let mut chars = literal.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted_len(literal),
        _ => 1 + word_len(&literal[1..]),
    }
}

/// Marks what stands behind a `#[cfg(test)]`, to the end of that item.
fn mark_tests(mut tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut at = 0;
    while at < tokens.len() {
        let attribute = closing(&tokens, at + 1).filter(|_| tokens[at].text == "#");
        let Some(end) = attribute else {
            at += 1;
            continue;
        };
        if is_cfg_test(&tokens[at + 2..end]) {
            let end_of_item = item_end(&tokens, end + 1);
            tokens[at..end_of_item].iter_mut().for_each(|token| token.test = true);
        }
        at = end + 1;
    }
    tokens
}

fn is_cfg_test(attribute: &[Token<'_>]) -> bool {
    let has = |word| attribute.iter().any(|token| token.text == word);
    attribute.first().is_some_and(|token| token.text == "cfg") && has("test") && !has("not")
}

/// Where the item ends that begins at `at`: behind its block, or behind its semicolon.
fn item_end(tokens: &[Token<'_>], at: usize) -> usize {
    let ends = tokens.iter().skip(at).position(|token| matches!(token.text, "{" | ";"));
    let Some(end) = ends.map(|len| at + len) else { return tokens.len() };
    closing(tokens, end).unwrap_or(end) + 1
}

/// Where the bracket closes that opens at `at`; `None` if none opens there.
fn closing(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(i).filter(|end| *end > at);
        }
    }
    None
}

/// A path as it is used or imported, groups taken apart: `use a::{b, c::d}` is `a::b` and `a::c::d`.
struct PathInCode<'a> {
    segments: Vec<&'a str>,
    line: usize,
    test: bool,
    /// How many modules it stands in that are written out in its file.
    inside: usize,
}

fn paths<'a>(tokens: &[Token<'a>]) -> Vec<PathInCode<'a>> {
    let mut found = Vec::new();
    // For each block that is open: whether it is a module's.
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => blocks.push(at >= 2 && tokens[at - 2].text == "mod"),
            "}" => _ = blocks.pop(),
            text if word_len(text) > 0 => {
                let inside = blocks.iter().filter(|module| **module).count();
                at = expand(tokens, at, &[], inside, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Takes apart the path that goes on at `at` behind the segments `before`. Returns where it ends.
fn expand<'a>(
    tokens: &[Token<'a>],
    at: usize,
    before: &[&'a str],
    inside: usize,
    found: &mut Vec<PathInCode<'a>>,
) -> usize {
    let Some(token) = tokens.get(at) else { return at };
    if token.text == "{" {
        let end = closing(tokens, at).unwrap_or(tokens.len());
        let mut element = at + 1;
        while element < end {
            // Commas, and `as name`, which is taken for a path and does no harm.
            element = expand(tokens, element, before, inside, found).max(element + 1);
        }
        return end + 1;
    }
    if token.text != "*" && word_len(token.text) == 0 {
        return at;
    }
    let segments = [before, &[token.text]].concat();
    if tokens.get(at + 1).is_some_and(|next| next.text == "::") {
        let known = found.len();
        let end = expand(tokens, at + 2, &segments, inside, found);
        if found.len() > known {
            return end;
        }
    }
    found.push(PathInCode { segments, line: token.line, test: token.test, inside });
    at + 1
}

// --- The checks --------------------------------------------------------------------------------------------------

/// All sources below `folder`, which is `path` from the repository's root.
fn read(folder: &Path, path: &str, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{path}: {error}"));
    for entry in entries {
        let entry = entry.expect("an entry").path();
        let name = entry.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        let path = format!("{path}/{name}");
        if entry.is_dir() {
            read(&entry, &path, sources);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&entry).unwrap_or_else(|error| panic!("{path}: {error}"));
            sources.push(Source { path, text });
        }
    }
}

#[test]
fn the_house_keeps_its_rules() {
    let mut sources = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut sources);
    assert!(sources.iter().any(|source| source.path == "src/protocol/buf.rs"), "sources are found");
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let found: Vec<String> = sources.iter().flat_map(violations).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The lines on which `text`, as the file `path`, breaks a rule that is described with `words`.
fn lines_found(path: &str, text: &str, words: &str) -> Vec<usize> {
    let found = violations(&Source::new(path, text));
    let line = |violation: &String| {
        let rest = violation.strip_prefix(&format!("{path}:")).expect("begins with the path");
        let (line, rule) = rest.split_once(": ").expect("a line and a rule");
        assert!(rule.contains(words), "{violation}");
        line.parse().expect("a line number")
    };
    found.iter().map(line).collect()
}

#[test]
fn a_rise_is_found_in_every_way_to_write_it() {
    let rises = |path: &str, text: &str| lines_found(path, text, "lower floors only");
    assert_eq!(rises("src/protocol/buf.rs", "use crate::net::Ring;"), [1]);
    assert_eq!(rises("src/protocol/buf.rs", "\nfn f() {\n    crate::session::run()\n}"), [3]);
    assert_eq!(
        rises("src/router/plan.rs", "use crate::{\n    parser::facts,\n    session::{A, B},\n};"),
        [3, 3]
    );
    assert_eq!(rises("src/pool/link.rs", "pub(crate) use crate::worker as w;"), [1]);
    assert_eq!(rises("src/config/model.rs", "use super::super::net::Ring;"), [1]);
    assert_eq!(rises("src/config/mod.rs", "use super::net;"), [1]);
    assert_eq!(rises("src/protocol/auth/client.rs", "use super::{super::{super::pool::Link, buf}};"), [1]);
    assert_eq!(
        rises("src/config/model.rs", "mod a {\n    mod b {}\n    use super::super::super::net;\n}"),
        [3]
    );
    assert_eq!(rises("src/protocol/buf_tests.rs", "use super::super::super::net::Ring;"), [1]);
    assert_eq!(rises("src/session/mod.rs", "type A = Vec<crate::control::Grant>;"), [1]);
    assert_eq!(lines_found("src/pool/link.rs", "use crate::*;", "glob"), [1]);
}

#[test]
fn rooms_of_one_floor_keep_apart_but_for_the_exceptions() {
    let beside = |path: &str, text: &str| lines_found(path, text, "one floor");
    assert_eq!(beside("src/parser/facts.rs", "use crate::circuit::Gate;"), [1]);
    assert_eq!(beside("src/pool/link.rs", "use crate::router::Plan;"), [1]);
    assert_eq!(beside("src/protocol/buf.rs", "use crate::metrics::CoreMetrics;"), [1]);
    assert_eq!(beside("src/worker/core.rs", "use crate::control::Grant;"), [1]);
    assert_eq!(beside("src/control/executor.rs", "use crate::worker::Message;"), []);
    assert_eq!(beside("src/metrics/core.rs", "use crate::protocol::command::Command;"), []);
    assert_eq!(beside("src/main.rs", "use athena::{control, worker};"), []);
}

#[test]
fn imports_that_fall_or_stay_are_fine() {
    for (path, text) in [
        ("src/session/driver.rs", "use crate::net::Socket; use crate::{pool::Link, config, VERSION};"),
        ("src/protocol/auth/client.rs", "use super::super::buf::Reader; use super::Plugin;"),
        ("src/protocol/buf.rs", "mod tests { use super::*; use super::super::packet::Header; }"),
        ("src/protocol/buf_tests.rs", "use super::super::packet::Header;"),
        (
            "src/protocol/buf.rs",
            "//! crate::net\n/* crate::net /* */ crate::net */ fn f() { g(\"crate::net\") }",
        ),
        ("src/protocol/buf.rs", "fn f<'a>(x: &'a str) { h('\"'); g(r#\"crate::net \" \"#); b'\\''; }"),
        ("src/lib.rs", "pub mod net; pub mod worker; use crate::worker::Core;"),
    ] {
        assert_eq!(violations(&Source::new(path, text)), [""; 0], "{text}");
    }
    assert_eq!(lines_found("src/kitchen/mod.rs", "", "no floor"), [1]);
    // What follows a literal is code again.
    let text = "fn f<'a>() { g('\"', '\\'', r#\"\"\"#, b\"\\\"\", '\\u{1F}') }\nuse crate::net::Ring;";
    assert_eq!(lines_found("src/protocol/buf.rs", text, "lower floors only"), [2]);
}

#[test]
fn unsafe_is_found_outside_its_room() {
    let found = |path: &str, text: &str| lines_found(path, text, "`unsafe` stands below src/net only");
    assert_eq!(found("src/pool/link.rs", "\nlet a = unsafe { f() };\nunsafe impl Send for A {}"), [2, 3]);
    assert_eq!(found("src/net/ring.rs", "unsafe { f() }"), []);
    assert_eq!(
        found("src/pool/link.rs", "// unsafe\n#![deny(unsafe_code)]\nconst A: &str = \"unsafe\";"),
        []
    );
}

#[test]
fn waits_outside_the_ring_are_found_on_cores() {
    let found = |path: &str, text: &str| lines_found(path, text, "on a core");
    let text = "use glommio::net::TcpStream;\nuse glommio::{spawn_local, timer::sleep, channels};\n\
                use std::thread;\nfn f() { thread::sleep(A) }\nuse std::thread::{self, sleep};";
    for room in ["net", "pool", "session", "worker"] {
        assert_eq!(found(&format!("src/{room}/a.rs"), text), [1, 2, 2, 4, 5]);
    }
    assert_eq!(found("src/control/http.rs", text), []);
    assert_eq!(found("src/net/tests.rs", text), []);
    assert_eq!(found("src/net/ring_tests.rs", text), []);
    let in_tests = format!("#[cfg(test)]\n#[allow(a)]\nmod tests {{\n{text}\n}}\nuse glommio::timer::sleep;");
    assert_eq!(found("src/worker/core.rs", &in_tests), [10]);
    let one_import = "#[cfg(test)]\nuse glommio::timer::sleep;\nuse glommio::timer::Timer;";
    assert_eq!(found("src/worker/core.rs", one_import), [3]);
    assert_eq!(found("src/worker/core.rs", "#[cfg(not(test))]\nuse glommio::timer::sleep;"), [2]);
    assert_eq!(found("src/worker/core.rs", "use glommio::{LocalExecutorBuilder, Placement};"), []);
}

#[test]
fn code_in_the_face_of_a_room_is_found() {
    let found = |path: &str, text: &str| lines_found(path, text, "re-exports");
    assert_eq!(found("src/pool/mod.rs", "//! A story.\nmod a;\nfn f() {}\nimpl A {}"), [3, 4]);
    assert_eq!(found("src/pool/mod.rs", "//! fn\nmod a;\npub use a::A;\npub const B: u8 = 1;"), []);
    assert_eq!(found("src/pool/link.rs", "fn f() {}"), []);
    assert_eq!(found("src/router/merge/mod.rs", "fn f() {}"), []);
}

#[test]
fn long_files_are_found() {
    let found = |path: &str, lines: usize| lines_found(path, &"\n".repeat(lines), "two files");
    assert_eq!(found("src/pool/link.rs", LINES_MAX + 1), [LINES_MAX + 1]);
    assert_eq!(found("src/pool/link.rs", LINES_MAX), []);
    assert_eq!(found("src/pool/tests.rs", LINES_MAX + 1), []);
    assert_eq!(found("src/pool/link_tests.rs", LINES_MAX + 1), []);
}

#[test]
fn exceptions_are_of_one_floor_and_have_no_way_back() {
    for (from, to, reason) in SAME_FLOOR {
        assert_eq!(floor(from), floor(to), "{from} and {to}");
        assert!(!may_import_beside(to, from) && !reason.is_empty(), "{from} and {to} know each other");
    }
}
