//! One section of the file, read a typed value at a time. A value that can't be used is reported, and something
//! within bounds stands in for it, so that reading goes on.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::keys::{self, Absent, Form};
use super::nearest::nearest;
use super::problem::Reason;

/// A section, present or absent.
#[derive(Clone)]
pub(super) struct Section<'a> {
    pub(super) document: &'a Document<'a>,
    name: &'static str,
    /// Where the section starts, for what is missing in it.
    pub(super) line: usize,
    /// `None` when the file does not have the section.
    table: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    /// The section of that name, written once.
    pub(super) fn open(document: &'a Document<'a>, name: &'static str) -> Self {
        let found = document.section(name);
        let table = found.and_then(|(_, value)| value.get_ref().as_table());
        let line = found.map_or(1, |(key, _)| document.line(key.span()));
        Self { document, name, line, table }
    }

    /// The sections of that name, written any number of times.
    pub(super) fn open_all(document: &'a Document<'a>, name: &'static str) -> Vec<Self> {
        let list = document.section(name).and_then(|(_, value)| value.get_ref().as_array());
        let sections = list.into_iter().flatten().filter_map(|value| {
            let table = value.get_ref().as_table()?;
            Some(Self { document, name, line: document.line(value.span()), table: Some(table) })
        });
        sections.collect()
    }

    /// The sections inside this one, written any number of times: `shards.replicas` of one of the `shards`.
    pub(super) fn open_inner(&self, name: &'static str) -> Vec<Self> {
        let inner = name.rsplit('.').next().unwrap_or(name);
        let list = self.value(inner).and_then(DeValue::as_array);
        let sections = list.into_iter().flatten().filter_map(|value| {
            let table = value.get_ref().as_table()?;
            let line = self.document.line(value.span());
            Some(Self { document: self.document, name, line, table: Some(table) })
        });
        sections.collect()
    }

    /// True when nothing is wrong with any of these keys, so far.
    pub(super) fn is_sound(&self, names: &[&str]) -> bool {
        let keys: Vec<_> = names.iter().map(|name| format!("{}.{name}", self.name)).collect();
        self.document.sound(&keys.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// True when the file has the section.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// True when the file has the key.
    pub(super) fn gives(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    /// Reports a problem with a key, on the line of its value, or where the section starts if it is absent.
    pub(super) fn refuse(&self, name: &str, reason: Reason) {
        let key = self.table.and_then(|table| table.get_key_value(name));
        let line = key.map_or(self.line, |(key, _)| self.document.line(key.span()));
        self.document.report(line, format!("{}.{name}", self.name), reason);
    }

    /// A string, or `None` when the key is absent and the table names no default for it.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let Form::Text(absent) = self.form(name) else { unreachable!("{name} is not a text") };
        match self.value(name) {
            Some(DeValue::String(text)) => Some(text.to_string()),
            Some(other) => {
                self.refuse(
                    name,
                    Reason::WrongType { expected: "a string in quotes", found: described(other) },
                );
                None
            }
            None => self.absent(name, absent).map(|text| (*text).to_owned()),
        }
    }

    /// A string that names something: not empty, no control characters.
    pub(super) fn name(&self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        if text.is_empty() {
            self.refuse(name, Reason::Empty);
        } else if text.chars().any(char::is_control) {
            self.refuse(name, Reason::ControlCharacter);
        }
        Some(text)
    }

    /// The path of a file. A relative one starts from the folder of the configuration file, so that it does not depend
    /// on where Athena was started.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let folder = self.document.path.parent().unwrap_or(Path::new(""));
        self.name(name).filter(|path| !path.is_empty()).map(|path| folder.join(path))
    }

    /// An IP address, or `None` as for [`Section::text`].
    pub(super) fn address(&self, name: &str) -> Option<IpAddr> {
        let text = self.text(name)?;
        let address = text.parse().ok();
        if address.is_none() {
            self.refuse(name, Reason::NotAnAddress(text));
        }
        address.or(Some(Ipv4Addr::UNSPECIFIED.into()))
    }

    /// A number, or `None` when the key is absent and the table names no default for it.
    pub(super) fn number_given(&self, name: &str) -> Option<u64> {
        let Form::Number { range, absent } = self.form(name) else { unreachable!("{name} is not a number") };
        let (min, max) = (*range.start(), *range.end());
        match self.value(name) {
            Some(DeValue::Integer(written)) => {
                let number = i128::from_str_radix(written.as_str(), written.radix()).ok();
                let number = number.and_then(|number| u64::try_from(number).ok());
                if let Some(number) = number.filter(|number| range.contains(number)) {
                    return Some(number);
                }
                self.refuse(name, Reason::OutOfBounds { value: written.to_string(), min, max });
            }
            Some(DeValue::Float(written)) => {
                self.refuse(name, Reason::OutOfBounds { value: written.to_string(), min, max });
            }
            Some(_) => self.refuse(name, Reason::NotANumber { min, max }),
            None => return self.absent(name, absent).copied(),
        }
        Some(min)
    }

    /// A number with a default.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.number_given(name).unwrap_or_default()
    }

    /// A number of things in memory.
    pub(super) fn count(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    /// A port; the table bounds it to 16 bits.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        self.number_given(name).and_then(|number| u16::try_from(number).ok())
    }

    /// A time in milliseconds.
    pub(super) fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    /// A time in milliseconds, of which 0 says that there is none.
    pub(super) fn millis_unless_zero(&self, name: &str) -> Option<Duration> {
        Some(self.millis(name)).filter(|time| !time.is_zero())
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> bool {
        let Form::Flag(default) = self.form(name) else { unreachable!("{name} is not a flag") };
        match self.value(name) {
            Some(DeValue::Boolean(flag)) => *flag,
            Some(other) => {
                self.refuse(name, Reason::WrongType { expected: "true or false", found: described(other) });
                *default
            }
            None => *default,
        }
    }

    /// One word of the key's list.
    pub(super) fn choice(&self, name: &str) -> &'static str {
        let Form::Choice { of, default, reserved } = self.form(name) else {
            unreachable!("{name} is no choice")
        };
        match self.value(name) {
            Some(DeValue::String(word)) => {
                if let Some(known) = of.iter().find(|known| *known == word) {
                    return known;
                }
                let reason = match reserved.iter().find(|(reserved, _)| reserved == word) {
                    Some((_, instead)) => Reason::Unavailable(instead),
                    None => {
                        let nearest = nearest(word, of.iter().copied());
                        Reason::NotAChoice { value: word.to_string(), of, nearest }
                    }
                };
                self.refuse(name, reason);
            }
            Some(other) => {
                self.refuse(
                    name,
                    Reason::WrongType { expected: "a string in quotes", found: described(other) },
                );
            }
            None => {}
        }
        default
    }

    /// A list of strings; `None` when the key is absent.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        let Form::List(_) = self.form(name) else { unreachable!("{name} is not a list") };
        let value = self.value(name)?;
        let items = value.as_array().map(|list| {
            list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if let Some(Some(items)) = items {
            return Some(items);
        }
        let found = if items.is_some() { "a list with something else" } else { described(value) };
        self.refuse(name, Reason::WrongType { expected: "a list of strings in quotes", found });
        Some(Vec::new())
    }

    /// A string or a list of them; `None` when the key is absent.
    pub(super) fn one_or_more(&self, name: &str) -> Option<Vec<String>> {
        let Form::OneOrMore = self.form(name) else { unreachable!("{name} is not one string or more") };
        let Some(value) = self.value(name) else {
            self.absent::<()>(name, &Absent::Refused);
            return None;
        };
        let items: Option<Vec<String>> = match value {
            DeValue::String(text) => Some(vec![text.to_string()]),
            DeValue::Array(list) => {
                list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        if items.is_none() {
            let found = if value.is_array() { "a list with something else" } else { described(value) };
            self.refuse(name, Reason::WrongType { expected: "a string in quotes or a list of such", found });
        }
        items
    }

    /// A list of strings and whole numbers, as texts; `None` when the key is absent.
    pub(super) fn scalars(&self, name: &str) -> Option<Vec<String>> {
        let Form::Scalars(_) = self.form(name) else { unreachable!("{name} is no list of scalars") };
        let value = self.value(name)?;
        let item = |item: &DeValue<'_>| match item {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(written) => {
                let number = i128::from_str_radix(written.as_str(), written.radix()).ok();
                number.map(|number| number.to_string())
            }
            _ => None,
        };
        let items = value
            .as_array()
            .map(|list| list.iter().map(|value| item(value.get_ref())).collect::<Option<Vec<_>>>());
        if let Some(Some(items)) = items {
            return Some(items);
        }
        let found = if items.is_some() { "a list with something else" } else { described(value) };
        let expected = "a list of whole numbers and strings in quotes";
        self.refuse(name, Reason::WrongType { expected, found });
        Some(Vec::new())
    }

    fn form(&self, name: &str) -> &'static Form {
        match keys::find(self.name, name) {
            Some(key) => &key.form,
            None => unreachable!("{}.{name} is not in the table of keys", self.name),
        }
    }

    fn value(&self, name: &str) -> Option<&'a DeValue<'a>> {
        Some(self.table?.get(name)?.get_ref())
    }

    /// What the table says for a key that the file does not have. A missing section is one problem, not one for
    /// each of its keys.
    fn absent<'t, T>(&self, name: &str, absent: &'t Absent<T>) -> Option<&'t T> {
        match absent {
            Absent::Means(default) => Some(default),
            Absent::Unset(_) => None,
            Absent::Refused => {
                if self.is_present() {
                    self.refuse(name, Reason::NoKey);
                }
                None
            }
        }
    }
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
