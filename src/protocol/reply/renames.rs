//! Names that a server tells and its client knows others for: tables that stand for a part of another.

use std::rc::Rc;

use memchr::memmem;

use crate::protocol::buf::{Malformed, Reader, WriteExt};

/// Names of tables, each with the one that the client knows it by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renames(Option<Rc<Names>>);

#[derive(Debug, PartialEq, Eq)]
struct Names {
    tables: Box<[Pair]>,
    /// What stands in the text that the server got, and in the client's: a server calls a column by the text that makes it.
    texts: Box<[Pair]>,
}

/// The server's name, and the client's.
type Pair = (Box<[u8]>, Box<[u8]>);

impl Renames {
    /// Of tables, and of parts of the text.
    pub fn new(
        tables: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
        texts: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Self {
        let pair = |(from, to): (Vec<u8>, Vec<u8>)| (from.into(), to.into());
        let names = Names {
            tables: tables.into_iter().map(pair).collect(),
            texts: texts.into_iter().map(pair).collect(),
        };
        Self((!names.tables.is_empty()).then(|| Rc::new(names)))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn pairs(&self) -> &[Pair] {
        self.0.as_deref().map(|names| &*names.tables).unwrap_or_default()
    }

    /// The client's name for a server's.
    fn name<'a>(&'a self, name: &[u8]) -> Option<&'a [u8]> {
        self.pairs().iter().find(|(from, _)| **from == *name).map(|(_, to)| &**to)
    }

    /// A column definition (protocol section: "Column Definition 41") of the client's tables; `None` if it has no name of a
    /// server's.
    pub fn column(&self, payload: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let mut reader = Reader::new(payload);
        let (catalog, schema) = (reader.lenenc_bytes()?, reader.lenenc_bytes()?);
        let (table, org_table) = (reader.lenenc_bytes()?, reader.lenenc_bytes()?);
        let (new_table, new_org_table) = (self.name(table), self.name(org_table));
        let name = reader.lenenc_bytes()?;
        let new_name = self.column_name(name);
        if new_table.is_none() && new_org_table.is_none() && new_name.is_none() {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(payload.len());
        for name in [catalog, schema, new_table.unwrap_or(table), new_org_table.unwrap_or(org_table)] {
            out.put_lenenc_bytes(name);
        }
        out.put_lenenc_bytes(new_name.as_deref().unwrap_or(name));
        out.extend_from_slice(reader.rest());
        Ok(Some(out))
    }

    /// The name of a column whose text has others in it than the client's.
    fn column_name(&self, name: &[u8]) -> Option<Vec<u8>> {
        let texts = self.0.as_ref().map(|names| &*names.texts).unwrap_or_default();
        let mut new: Option<Vec<u8>> = None;
        for (from, to) in texts {
            let old = new.as_deref().unwrap_or(name);
            if let Some(at) = memmem::find(old, from) {
                let (before, behind) =
                    (old.get(..at).unwrap_or_default(), old.get(at + from.len()..).unwrap_or_default());
                new = Some([before, to, behind].concat());
            }
        }
        new
    }

    /// A message in which the server's names are the client's, wherever they stand as whole words; `None` if there are none.
    pub fn message(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.0.as_ref()?;
        let mut out = Vec::new();
        let mut rest = message;
        let mut before = None;
        while let Some((&first, after)) = rest.split_first() {
            let found = self.pairs().iter().find(|(from, _)| {
                !before.is_some_and(is_letter)
                    && rest
                        .strip_prefix(&**from)
                        .is_some_and(|end| !end.first().copied().is_some_and(is_letter))
            });
            match found {
                Some((from, to)) => {
                    out.extend_from_slice(to);
                    rest = rest.get(from.len()..).unwrap_or_default();
                    before = from.last().copied();
                }
                None => {
                    out.push(first);
                    rest = after;
                    before = Some(first);
                }
            }
        }
        (out != message).then_some(out)
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'_' | b'$')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renames() -> Renames {
        let tables = [(b"users_3".to_vec(), b"users".to_vec()), (b"orders_3".to_vec(), b"orders".to_vec())];
        Renames::new(tables, [(b"`users_3` AS `users`".to_vec(), b"users".to_vec())])
    }

    #[test]
    fn columns_are_of_the_tables_that_clients_know() {
        let column = |table: &[u8], org_table: &[u8]| {
            let mut out = Vec::new();
            for name in [&b"def"[..], b"test", table, org_table, b"id", b"id"] {
                out.put_lenenc_bytes(name);
            }
            out.extend_from_slice(b"\x0c rest");
            out
        };
        let renames = renames();
        assert_eq!(renames.column(&column(b"u", b"users_3")).unwrap(), Some(column(b"u", b"users")));
        assert_eq!(
            renames.column(&column(b"users_3", b"users_3")).unwrap(),
            Some(column(b"users", b"users"))
        );
        assert_eq!(renames.column(&column(b"u", b"users_33")).unwrap(), None);
        assert!(renames.column(b"\x03de").is_err());
    }

    #[test]
    fn columns_are_called_by_the_clients_text() {
        let name =
            |text: &str| renames().column_name(text.as_bytes()).map(|name| String::from_utf8(name).unwrap());
        let sub = name("(SELECT 1 FROM `users_3` AS `users` WHERE 1)");
        assert_eq!(sub.as_deref(), Some("(SELECT 1 FROM users WHERE 1)"));
        assert_eq!(name("a + 1"), None);
    }

    #[test]
    fn messages_name_the_tables_that_clients_know() {
        let of = |message: &str| {
            renames().message(message.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        let duplicate = of("Duplicate entry '1' for key 'users_3.PRIMARY'");
        assert_eq!(duplicate.as_deref(), Some("Duplicate entry '1' for key 'users.PRIMARY'"));
        let both = of("users_3, orders_3 and `users_3`");
        assert_eq!(both.as_deref(), Some("users, orders and `users`"));
        assert_eq!(of("Table 'test.users_33' and xusers_3 and users_3x"), None);
    }
}
