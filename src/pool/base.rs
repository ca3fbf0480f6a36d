//! What the server gave a link at its login: the values of variables that applications set, so that a link can be brought
//! back to them.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::connect::is_mariadb;

/// A variable, and how it is read.
struct Variable {
    name: &'static str,
    /// It is told as ON and OFF, and read as 1 and 0.
    switch: bool,
}

const fn value(name: &'static str) -> Variable {
    Variable { name, switch: false }
}

const fn switch(name: &'static str) -> Variable {
    Variable { name, switch: true }
}

/// Those that every server has.
const VARIABLES: [Variable; 20] = [
    switch("autocommit"),
    value("character_set_client"),
    value("character_set_connection"),
    value("character_set_results"),
    value("collation_connection"),
    switch("foreign_key_checks"),
    value("group_concat_max_len"),
    value("innodb_lock_wait_timeout"),
    value("interactive_timeout"),
    value("lc_time_names"),
    value("lock_wait_timeout"),
    value("net_read_timeout"),
    value("net_write_timeout"),
    switch("sql_auto_is_null"),
    value("sql_mode"),
    switch("sql_safe_updates"),
    value("sql_select_limit"),
    value("time_zone"),
    switch("unique_checks"),
    value("wait_timeout"),
];

/// The characteristics of transactions: a MariaDB before 11.1 has them under the older names.
const TRANSACTION: [Variable; 2] = [value("transaction_isolation"), switch("transaction_read_only")];
const TX: [Variable; 2] = [value("tx_isolation"), switch("tx_read_only")];

/// The values with which a link began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    /// In the form in which trackers tell them: ON and OFF, and nothing for NULL. Empty if the server did not say.
    values: Vec<(&'static str, Vec<u8>)>,
    /// The server has run statements for this account before anything else.
    pub init_connect: bool,
}

impl Base {
    /// The value of a variable, by its name in any case; `None` if it was not read.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let (_, value) = self.values.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
        Some(value)
    }

    /// The server did not say.
    pub(super) fn is_unknown(&self) -> bool {
        self.values.is_empty()
    }

    /// All that was read.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.values.iter().map(|(name, value)| (*name, &value[..]))
    }

    /// Whether setting a variable to the value that it has leaves everything as it is.
    pub(super) fn can_be_set_again(name: &[u8]) -> bool {
        VARIABLES.iter().any(|variable| name.eq_ignore_ascii_case(variable.name.as_bytes()))
    }

    /// What is asked of a server of this version.
    pub(super) fn question(version: &[u8]) -> String {
        let mut sql = "SELECT @@global.init_connect <> ''".to_owned();
        for variable in variables(version) {
            sql += ", @@session.";
            sql += variable.name;
        }
        sql += " LIMIT 1";
        sql
    }

    /// By the row that answers [`Base::question`].
    pub(super) fn of_answer(version: &[u8], row: &[Option<Vec<u8>>]) -> Base {
        let Some((init_connect, values)) = row.split_first() else { return Base::default() };
        let values = variables(version).zip(values).map(|(variable, value)| {
            let value: &[u8] = match value.as_deref().unwrap_or_default() {
                b"1" if variable.switch => b"ON",
                b"0" if variable.switch => b"OFF",
                other => other,
            };
            (variable.name, value.to_vec())
        });
        Base { values: values.collect(), init_connect: init_connect.as_deref() == Some(b"1") }
    }
}

/// What the links of a pool began with: those that began alike share it.
#[derive(Default)]
pub(super) struct Bases(RefCell<Vec<Weak<Base>>>);

impl Bases {
    /// Puts what other links have in the place of a `base` that is equal.
    pub fn share(&self, base: &mut Rc<Base>) {
        let mut bases = self.0.borrow_mut();
        bases.retain(|known| known.strong_count() > 0);
        match bases.iter().filter_map(Weak::upgrade).find(|known| known == base) {
            Some(known) => *base = known,
            None => bases.push(Rc::downgrade(base)),
        }
    }
}

/// Those that a server of this version has.
fn variables(version: &[u8]) -> impl Iterator<Item = &'static Variable> {
    VARIABLES.iter().chain(if has_tx(version) { &TX } else { &TRANSACTION })
}

/// Whether this is a MariaDB before 11.1.
fn has_tx(version: &[u8]) -> bool {
    let version = version.strip_prefix(b"5.5.5-").unwrap_or(version);
    let mut numbers = version.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0)
    });
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    is_mariadb(version) && (major, minor) < (11, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_for_what_it_has() {
        for (version, tx) in [
            (&b"10.11.19-MariaDB-0+deb12u1"[..], true),
            (b"5.5.5-10.6.2-MariaDB", true),
            (b"11.0.9-MariaDB", true),
            (b"11.1.2-MariaDB", false),
            (b"12.0.1-MariaDB", false),
            (b"9.7.0", false),
            (b"8.0.40-0ubuntu", false),
        ] {
            let question = Base::question(version);
            assert_eq!(question.contains("@@session.tx_isolation"), tx, "{question}");
            assert_eq!(question.contains("@@session.transaction_isolation"), !tx, "{question}");
        }
    }

    #[test]
    fn links_that_began_alike_share_it() {
        let bases = Bases::default();
        let fresh = |init_connect| Rc::new(Base { values: Vec::new(), init_connect });
        let (mut first, mut second, mut other) = (fresh(false), fresh(false), fresh(true));
        [&mut first, &mut second, &mut other].into_iter().for_each(|base| bases.share(base));
        assert!(Rc::ptr_eq(&first, &second) && !Rc::ptr_eq(&first, &other));
    }

    #[test]
    fn values_are_told_as_trackers_tell_them() {
        let version = b"9.7.0";
        let count = Base::question(version).split(',').count();
        let mut row = vec![Some(b"5".to_vec()); count];
        row[0] = Some(b"0".to_vec());
        row[1] = Some(b"1".to_vec());
        row[4] = None;
        row[count - 1] = Some(b"0".to_vec());
        let base = Base::of_answer(version, &row);
        assert!(!base.init_connect);
        assert_eq!(base.value(b"AUTOCOMMIT"), Some(&b"ON"[..]));
        assert_eq!(base.value(b"character_set_results"), Some(&b""[..]));
        assert_eq!(base.value(b"transaction_read_only"), Some(&b"OFF"[..]));
        assert_eq!(base.value(b"group_concat_max_len"), Some(&b"5"[..]));
        assert_eq!(base.value(b"big_tables"), None);
        assert_eq!(base.values().count(), count - 1);
        assert_eq!(Base::of_answer(version, &[]), Base::default());
    }
}
