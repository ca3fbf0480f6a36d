//! The text of the SET that brings a link to a state.

use std::io::Write;

use super::user_variables::{UNSET, null_of};

/// Those of which trackers tell NULL as nothing, and no empty value (measured on MariaDB 10.11 and MySQL 9.7).
const NULLABLE: [&[u8]; 8] = [
    b"character_set_client",
    b"character_set_connection",
    b"character_set_results",
    b"default_tmp_storage_engine",
    b"enforce_storage_engine",
    b"external_table_storage_engine",
    b"innodb_ft_user_stopword_table",
    b"innodb_tmpdir",
];

/// A MySQL sets these off where they are set to their default.
const NO_DEFAULT: [&[u8]; 2] = [b"foreign_key_checks", b"unique_checks"];

/// The text of a SET with several assignments.
pub(super) struct Assignments(pub Vec<u8>);

impl Assignments {
    fn begin(&mut self) {
        self.0.extend_from_slice(if self.0.is_empty() { b"SET " } else { b"," });
    }

    pub fn names(&mut self, [charset, collation]: [&[u8]; 2]) {
        self.begin();
        self.0.extend_from_slice(&[b"NAMES ", charset, b" COLLATE ", collation].concat());
    }

    /// `None`: what it is globally.
    pub fn variable(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.begin();
        self.0.extend_from_slice(b"@@session.");
        self.0.extend_from_slice(name);
        self.0.push(b'=');
        match value {
            None if NO_DEFAULT.contains(&name) => self.0.extend_from_slice(&[b"@@global.", name].concat()),
            None | Some(b"DEFAULT") => self.0.extend_from_slice(b"DEFAULT"),
            Some(b"") if NULLABLE.contains(&name) => self.0.extend_from_slice(b"NULL"),
            Some(number) if is_number(number) => self.0.extend_from_slice(number),
            Some(text) => quote(text, &mut self.0),
        }
    }

    /// The text of a SET of one variable.
    pub fn of_variable(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut assignments = Self(Vec::new());
        assignments.variable(name, Some(value));
        assignments.0
    }

    pub fn user_variable(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.begin();
        self.0.push(b'@');
        quote_name(name, &mut self.0);
        self.0.extend_from_slice(b":=");
        match value {
            Some(value) => self.0.extend_from_slice(value),
            None => self.0.extend_from_slice(&null_of(UNSET, name)),
        }
    }
}

/// `@` is followed by this.
pub fn quote_name(name: &[u8], out: &mut Vec<u8>) {
    out.push(b'`');
    for byte in name {
        out.push(*byte);
        if *byte == b'`' {
            out.push(b'`');
        }
    }
    out.push(b'`');
}

/// A server refuses a number in quotes for a variable that is one.
fn is_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let plain = digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    plain
        && digits.first().is_some_and(u8::is_ascii_digit)
        && digits.iter().filter(|byte| **byte == b'.').count() < 2
}

/// A string literal that means the same under any mode of quotes and any character set.
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&literal_in(b"utf8mb4", text));
}

/// The same of a text in this character set.
pub fn literal_in(charset: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = [b"_", charset].concat();
    if text.iter().all(|byte| (b' '..=b'~').contains(byte) && !matches!(byte, b'\'' | b'\\')) {
        out.push(b'\'');
        out.extend_from_slice(text);
    } else {
        out.extend_from_slice(b" X'");
        for byte in text {
            // Writing to a vector can't fail.
            let _ = write!(out, "{byte:02X}");
        }
    }
    out.push(b'\'');
    out
}
