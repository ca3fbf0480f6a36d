//! The list of warnings that a statement left, as a server listed it, and the replies to later questions about it.
//!
//! Manual sections: "SHOW WARNINGS Statement", "SHOW ERRORS Statement".

use super::buf::WriteExt;
use super::capability::{Capabilities, StatusFlags};
use super::resultset::{RowFormat, TextValue, ascii, resultset, text_resultset};

/// The result set of SHOW WARNINGS without a limit, which SHOW ERRORS has the same columns as. It holds for the character
/// set of results in which it was read; a session that chooses another needs it read again.
///
/// A session whose statement left no warnings has read no columns: a server answers for it, on any link that has no
/// warnings either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WarningList {
    /// Column definitions as the server sent them: Level, Code, Message.
    pub columns: Vec<Vec<u8>>,
    pub rows: Vec<Vec<TextValue>>,
}

/// Which rows, as LIMIT says it: without one, [`RowRange::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    pub offset: u64,
    pub count: u64,
}

impl RowRange {
    pub const ALL: RowRange = RowRange { offset: 0, count: u64::MAX };
}

/// What SHOW COUNT(*) counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Warnings,
    Errors,
}

impl WarningList {
    /// Rows of an EXECUTE: the code is a number.
    pub const BINARY: RowFormat = RowFormat::Binary { numbers: &[1] };

    /// The reply to SHOW WARNINGS.
    pub fn show_warnings(
        &self,
        capabilities: Capabilities,
        status: StatusFlags,
        range: RowRange,
        format: RowFormat,
    ) -> Vec<u8> {
        let rows = picked(self.rows.iter(), range);
        resultset(capabilities, status, &self.columns, &rows, format)
    }

    /// The reply to SHOW ERRORS. A limit counts errors on a MySQL, and every row on a MariaDB.
    pub fn show_errors(
        &self,
        capabilities: Capabilities,
        status: StatusFlags,
        range: RowRange,
        format: RowFormat,
        mariadb: bool,
    ) -> Vec<u8> {
        let errors = |row: &&Vec<TextValue>| is_error(row);
        let rows = if mariadb {
            picked(self.rows.iter(), range).into_iter().filter(|row| is_error(row)).collect()
        } else {
            picked(self.rows.iter().filter(errors), range)
        };
        resultset(capabilities, status, &self.columns, &rows, format)
    }

    /// The errors that are listed. `@@error_count` and SHOW COUNT(*) also count those beyond `max_error_count`.
    pub fn errors(&self) -> usize {
        self.rows.iter().filter(|row| is_error(row)).count()
    }

    /// The number of a condition, which is counted from 1.
    pub fn code(&self, condition: u64) -> Option<u16> {
        let row = self.rows.get(usize::try_from(condition.checked_sub(1)?).ok()?)?;
        let text = ascii(row.get(1)?.as_deref()?);
        std::str::from_utf8(&text).ok()?.parse().ok()
    }

    /// Its message, in the character set of results.
    pub fn message(&self, condition: u64) -> Option<&[u8]> {
        let row = self.rows.get(usize::try_from(condition.checked_sub(1)?).ok()?)?;
        row.get(2)?.as_deref()
    }
}

/// The reply to SHOW COUNT(*) WARNINGS or ERRORS, in a character set of results that has ASCII as ASCII. In the others
/// (UCS-2, UTF-16, UTF-32) a server answers: a SELECT of the constant with the column's name for an alias.
pub fn count_resultset(
    capabilities: Capabilities,
    status: StatusFlags,
    counted: Counted,
    count: u64,
) -> Vec<u8> {
    let name: &[u8] = match counted {
        Counted::Warnings => b"@@session.warning_count",
        Counted::Errors => b"@@session.error_count",
    };
    let mut column = b"\x03def\0\0\0".to_vec(); // catalog, schema, table, original table
    column.put_lenenc_bytes(name);
    column.push(0); // no original name
    if capabilities.contains(Capabilities::MARIADB_EXTENDED_METADATA) {
        column.push(0); // nothing to say of the type
    }
    // binary, 21 characters wide, BIGINT with BINARY and UNSIGNED, no decimals
    column.extend_from_slice(b"\x0c\x3f\0\x15\0\0\0\x08\xa0\0\0\0\0");
    let row = vec![Some(count.to_string().into_bytes())];
    text_resultset(capabilities, status, &[column], &[row])
}

fn picked<'a>(rows: impl Iterator<Item = &'a Vec<TextValue>>, range: RowRange) -> Vec<Vec<TextValue>> {
    let fitting = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    rows.skip(fitting(range.offset)).take(fitting(range.count)).cloned().collect()
}

fn is_error(row: &[TextValue]) -> bool {
    matches!(row.first(), Some(Some(level)) if ascii(level) == b"Error")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: StatusFlags = StatusFlags::AUTOCOMMIT;

    fn list() -> WarningList {
        let row = |level: &str, code: &str, message: &str| {
            [level, code, message].map(|text| Some(text.as_bytes().to_vec())).to_vec()
        };
        WarningList {
            columns: [&b"l"[..], b"c", b"m"].map(<[u8]>::to_vec).to_vec(),
            rows: vec![
                row("Warning", "1265", "a"),
                row("Note", "1051", "b"),
                row("Error", "1062", "c"),
                row("Error", "1022", "d"),
            ],
        }
    }

    /// The messages of the rows.
    fn messages(reply: &[u8]) -> String {
        let mut rest = reply;
        let mut found = String::new();
        while let [length, _, _, _, payload @ ..] = rest {
            let (packet, behind) = payload.split_at(usize::from(*length));
            // The last value of a row is a message of one letter.
            if let [.., 1, letter @ b'a'..=b'd'] = packet
                && packet.len() > 5
            {
                found.push(char::from(*letter));
            }
            rest = behind;
        }
        found
    }

    #[test]
    fn rows_are_picked_as_the_limit_says() {
        let range = |offset, count| RowRange { offset, count };
        for (range, warnings, errors, mariadb_errors) in [
            (RowRange::ALL, "abcd", "cd", "cd"),
            (range(0, 1), "a", "c", ""),
            (range(1, 1), "b", "d", ""),
            (range(2, 1), "c", "", "c"),
            (range(3, u64::MAX), "d", "", "d"),
            (range(u64::MAX, 1), "", "", ""),
            (range(0, 0), "", "", ""),
        ] {
            for capabilities in [Capabilities::empty(), Capabilities::DEPRECATE_EOF] {
                let list = list();
                assert_eq!(
                    messages(&list.show_warnings(capabilities, STATUS, range, RowFormat::Text)),
                    warnings
                );
                assert_eq!(
                    messages(&list.show_errors(capabilities, STATUS, range, RowFormat::Text, false)),
                    errors
                );
                assert_eq!(
                    messages(&list.show_errors(capabilities, STATUS, range, RowFormat::Text, true)),
                    mariadb_errors
                );
            }
        }
    }

    #[test]
    fn conditions_are_found_by_their_number_in_every_character_set() {
        let mut list = list();
        assert_eq!(list.errors(), 2);
        assert_eq!((list.code(3), list.message(3)), (Some(1062), Some(&b"c"[..])));
        assert_eq!((list.code(0), list.message(0)), (None, None));
        assert_eq!((list.code(5), list.message(5)), (None, None));
        for value in list.rows.iter_mut().flatten().flatten() {
            *value = value.iter().flat_map(|byte| [0, *byte]).collect();
        }
        assert_eq!((list.errors(), list.code(4)), (2, Some(1022)));
    }

    #[test]
    fn counts_are_sent_as_servers_send_them() {
        let old = count_resultset(Capabilities::empty(), STATUS, Counted::Warnings, 4);
        let column = b"\x03def\0\0\0\x17@@session.warning_count\0\x0c?\0\x15\0\0\0\x08\xa0\0\0\0\0";
        let expected = [
            &b"\x01\0\0\x01\x01\x2d\0\0\x02"[..],
            column,
            b"\x05\0\0\x03\xfe\0\0\x02\0\x02\0\0\x04\x014\x05\0\0\x05\xfe\0\0\x02\0",
        ];
        assert_eq!(old, expected.concat());
        let new = Capabilities::DEPRECATE_EOF | Capabilities::MARIADB_EXTENDED_METADATA;
        let new = count_resultset(new, STATUS, Counted::Errors, 1);
        let column = b"\x03def\0\0\0\x15@@session.error_count\0\0\x0c?\0\x15\0\0\0\x08\xa0\0\0\0\0";
        let expected = [
            &b"\x01\0\0\x01\x01\x2c\0\0\x02"[..],
            column,
            b"\x02\0\0\x03\x011\x07\0\0\x04\xfe\0\0\x02\0\0\0",
        ];
        assert_eq!(new, expected.concat());
    }
}
