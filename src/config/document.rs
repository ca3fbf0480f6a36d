//! The file's text as a tree in which every key and value knows its line, and the problems found so far.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;
use super::problem::{Problem, Problems, Reason};

/// A value of the tree.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// One file being read.
pub(super) struct Document<'a> {
    pub(super) path: &'a Path,
    pub(super) root: DeTable<'a>,
    lines: Lines<'a>,
    /// Lines that are not TOML: what the parser made of them is a guess, of which nothing more is said.
    broken: BTreeSet<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Document<'a> {
    /// Parses `text`. Syntax errors are kept with the other problems, since the rest can still be checked;
    /// only when the header of a section is broken, so that nobody knows where its keys belong, they are all.
    pub(super) fn parse(path: &'a Path, text: &'a str) -> Result<Self, Problems> {
        let lines = Lines::of(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut broken = BTreeSet::new();
        let mut headers_hold = true;
        let mut problems = Vec::new();
        for error in errors {
            let line = lines.at(&error.span().unwrap_or(0..0));
            let duplicate = error.message() == "duplicate key";
            headers_hold &= duplicate || !lines.text(line).starts_with('[');
            // Several errors on one line are one mistake seen several times.
            if broken.insert(line) {
                let reason = Reason::Syntax(format!("not valid TOML: {}", error.message()));
                problems.push(Problem { line: Some(line), key: lines.key(line), reason });
            }
        }
        if !headers_hold {
            return Err(Problems::new(Some(path), problems));
        }
        let problems = RefCell::new(problems);
        Ok(Self { path, root: root.into_inner(), lines, broken, problems })
    }

    /// The line, from 1, where `span` starts.
    pub(super) fn line(&self, span: Range<usize>) -> usize {
        self.lines.at(&span)
    }

    /// Adds a problem, unless a syntax error explains it.
    pub(super) fn report(&self, line: usize, key: String, reason: Reason) {
        let explained = self.broken.contains(&line) || (reason.is_absence() && !self.broken.is_empty());
        if !explained {
            self.problems.borrow_mut().push(Problem { line: Some(line), key, reason });
        }
    }

    /// True when nothing is wrong with any of `keys`, so that they can be compared.
    pub(super) fn sound(&self, keys: &[&str]) -> bool {
        self.broken.is_empty() && !self.problems.borrow().iter().any(|problem| keys.contains(&&*problem.key))
    }

    /// The line of `section.name`; without the key that of its section, else the first.
    pub(super) fn line_of(&self, section: &str, name: &str) -> usize {
        let Some((key, value)) = self.section(section) else { return 1 };
        let inner = value.get_ref().as_table().and_then(|table| table.get_key_value(name));
        self.line(inner.map_or(key.span(), |(key, _)| key.span()))
    }

    /// True when the file itself gives `section.name`.
    pub(super) fn gives(&self, section: &str, name: &str) -> bool {
        let table = self.section(section).and_then(|(_, value)| value.get_ref().as_table());
        table.is_some_and(|table| table.contains_key(name))
    }

    /// A section by its name, which has a dot where it stands inside another: `server.tls`.
    pub(super) fn section(&self, name: &str) -> Option<(&Spanned<Cow<'a, str>>, &Value<'a>)> {
        let mut parts = name.split('.');
        let mut found = self.root.get_key_value(parts.next()?)?;
        for part in parts {
            found = found.1.get_ref().as_table()?.get_key_value(part)?;
        }
        Some(found)
    }

    /// All that was found, or `value` when that is nothing.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Problems> {
        let problems = self.problems.into_inner();
        if problems.is_empty() { Ok(value) } else { Err(Problems::new(Some(self.path), problems)) }
    }
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The line of a span's first byte. A span that starts at the end of a text with a last newline is of the last
    /// line that has something on it: an editor shows no line after it.
    fn at(&self, span: &Range<usize>) -> usize {
        let line = self.starts.partition_point(|start| *start <= span.start);
        let past_the_end = span.start >= self.text.len() && self.text.ends_with('\n');
        if past_the_end { (line - 1).max(1) } else { line }
    }

    /// The text of a line, from 1, without white space around it.
    fn text(&self, line: usize) -> &'a str {
        self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim()
    }

    /// The key that a broken line was meant to set, if its name is known; else `syntax`. Names that are not known
    /// are not repeated, because the line may be the inside of a password.
    fn key(&self, line: usize) -> String {
        let name = self.text(line).split('=').next().unwrap_or_default().trim();
        let header = (1..line).rev().map(|above| self.text(above)).find(|text| text.starts_with('['));
        let section = header.unwrap_or_default().trim_matches(['[', ']', ' ']);
        match keys::find(section, name) {
            Some(key) => format!("{}.{}", key.section, key.name),
            None => "syntax".to_owned(),
        }
    }
}
