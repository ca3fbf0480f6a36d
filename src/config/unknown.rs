//! Everything in the file that the table of keys does not have.

use toml::de::{DeTable, DeValue};

use super::document::{Document, Value};
use super::keys::{self, KEYS, REPEATED, UNAVAILABLE};
use super::nearest::nearest;
use super::problem::Reason;

/// Reports sections and keys that are unknown, not built or not of the right shape.
pub(super) fn check(document: &Document<'_>) {
    for (key, value) in &document.root {
        let line = document.line(key.span());
        let name = key.get_ref();
        let report = |reason| document.report(line, name.to_string(), reason);
        if let Some(reason) = unavailable(name) {
            report(reason);
        } else if let Some(section) = KEYS.iter().map(|key| key.section).find(|section| section == name) {
            match tables(section, value) {
                Ok(tables) => tables.iter().for_each(|table| check_section(document, section, table)),
                Err(reason) => report(reason),
            }
        } else if is_section(value) {
            report(Reason::UnknownSection(nearest(name, KEYS.iter().map(|key| key.section))));
        } else {
            report(elsewhere(name).unwrap_or(Reason::OutsideSection));
        }
    }
}

/// The tables of a section; one, except where it can be repeated.
pub(super) fn tables<'a>(
    section: &'static str,
    value: &'a Value<'a>,
) -> Result<Vec<&'a DeTable<'a>>, Reason> {
    match (value.get_ref(), REPEATED.contains(&section)) {
        (DeValue::Table(table), false) => Ok(vec![table]),
        (DeValue::Array(list), true) => {
            let tables: Option<Vec<_>> = list.iter().map(|value| value.get_ref().as_table()).collect();
            tables.ok_or(Reason::NotAList(section))
        }
        (_, false) => Err(Reason::NotASection(section)),
        (_, true) => Err(Reason::NotAList(section)),
    }
}

fn check_section(document: &Document<'_>, section: &'static str, table: &DeTable<'_>) {
    for (key, value) in table {
        let name = key.get_ref();
        if keys::find(section, name).is_some() {
            continue;
        }
        let path = format!("{section}.{name}");
        if let Some(inner) = KEYS.iter().map(|key| key.section).find(|section| *section == path) {
            match tables(inner, value) {
                Ok(tables) => tables.iter().for_each(|table| check_section(document, inner, table)),
                Err(reason) => document.report(document.line(key.span()), path, reason),
            }
            continue;
        }
        let reason = unavailable(&path).unwrap_or_else(|| {
            let of_section = KEYS.iter().filter(|key| key.section == section).map(|key| key.name);
            match nearest(name, of_section) {
                Some(meant) => Reason::UnknownKey(Some(meant)),
                None => elsewhere(name).unwrap_or(Reason::UnknownKey(None)),
            }
        });
        document.report(document.line(key.span()), path, reason);
    }
}

fn unavailable(path: &str) -> Option<Reason> {
    UNAVAILABLE.iter().find(|(known, _)| *known == path).map(|(_, instead)| Reason::Unavailable(instead))
}

fn elsewhere(name: &str) -> Option<Reason> {
    KEYS.iter().find(|key| key.name == name).map(|key| Reason::KeyOfAnotherSection(key.section))
}

fn is_section(value: &Value<'_>) -> bool {
    match value.get_ref() {
        DeValue::Table(_) => true,
        DeValue::Array(list) => list.iter().any(|value| value.get_ref().is_table()),
        _ => false,
    }
}
