//! The OK packets of a statement's parts, as one.

use crate::protocol::capability::Capabilities;
use crate::protocol::response::OkPacket;

/// What all parts together did.
#[derive(Debug, Default, Clone)]
pub(super) struct Done {
    /// For an INSERT of several rows: whether it has IGNORE. A part of one row has no text of its own then.
    pub rows: Option<Ignore>,
    /// The first id that was drawn for its rows.
    pub drawn: Option<u64>,
    /// There is one row, which may be an update of another one.
    pub is_upsert: bool,
    /// They were a file's: LAST_INSERT_ID() is that id then, and no packet tells of it.
    pub of_file: bool,
    pub affected_rows: u64,
    /// That of the first part that drew one.
    pub last_insert_id: u64,
    pub warnings: u16,
    /// `Records: 3  Duplicates: 0  Warnings: 0`: the same words with the sums.
    pub info: String,
}

impl Done {
    /// What the client is told of ids.
    pub fn told_id(&self) -> u64 {
        self.drawn_id().filter(|_| !self.of_file).unwrap_or(self.last_insert_id)
    }

    /// What LAST_INSERT_ID() may be now, where parts tell it.
    pub fn insert_id(&self) -> Option<u64> {
        match self.drawn {
            Some(_) => self.drawn_id(),
            None => Some(self.last_insert_id).filter(|id| *id != 0),
        }
    }

    /// The first id that was drawn, where a row has got it.
    fn drawn_id(&self) -> Option<u64> {
        let is_inserted = if self.is_upsert { self.affected_rows == 1 } else { self.affected_rows > 0 };
        self.drawn.filter(|_| is_inserted)
    }

    /// One more part, by its OK packet; one that can't be read has failed.
    pub fn leg(&mut self, packet: Vec<u8>) {
        let Ok(ok) = OkPacket::parse(&packet, Capabilities::SESSION_TRACK) else { return };
        self.affected_rows += ok.affected_rows;
        self.warnings = self.warnings.saturating_add(ok.warnings);
        if self.last_insert_id == 0 {
            self.last_insert_id = ok.last_insert_id;
        }
        let info = match self.rows {
            Some(ignore) if ok.info.is_empty() => one_row(&ok, ignore).into(),
            _ => String::from_utf8_lossy(ok.info),
        };
        self.info = if self.info.is_empty() { info.into_owned() } else { sum(&self.info, &info) };
    }
}

/// Whether rows that are there already are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ignore {
    Yes,
    No,
}

/// What servers say of an INSERT of several rows, for one row.
fn one_row(ok: &OkPacket<'_>, ignore: Ignore) -> String {
    let duplicates = match ignore {
        Ignore::Yes => 1 - ok.affected_rows.min(1),
        // One for the row, and one for each that it replaces.
        Ignore::No => ok.affected_rows.saturating_sub(1),
    };
    format!("Records: 1  Duplicates: {duplicates}  Warnings: {}", ok.warnings)
}

/// Two texts of the same words with numbers between them, as one with the sums.
fn sum(one: &str, other: &str) -> String {
    let mut others = numbers(other);
    let mut out = String::with_capacity(one.len() + 4);
    let mut rest = one;
    while let Some(at) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (words, after) = rest.split_at(at);
        let end = after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len());
        let (digits, behind) = after.split_at(end);
        let number = digits.parse::<u64>().unwrap_or(u64::MAX);
        out.push_str(words);
        out.push_str(&number.saturating_add(others.next().unwrap_or(0)).to_string());
        rest = behind;
    }
    out + rest
}

fn numbers(text: &str) -> impl Iterator<Item = u64> {
    let parts = text.split(|letter: char| !letter.is_ascii_digit());
    parts.filter(|digits| !digits.is_empty()).map(|digits| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::capability::StatusFlags;

    fn ok(affected_rows: u64, last_insert_id: u64, warnings: u16, info: &str) -> Vec<u8> {
        let ok = OkPacket {
            header: OkPacket::HEADER,
            affected_rows,
            last_insert_id,
            status: StatusFlags::AUTOCOMMIT,
            warnings,
            info: info.as_bytes(),
            ..OkPacket::END_OF_ROWS
        };
        ok.encode(Capabilities::empty())
    }

    #[test]
    fn parts_add_up() {
        let mut done = Done::default();
        done.leg(ok(2, 0, 1, "Records: 2  Duplicates: 0  Warnings: 1"));
        done.leg(ok(3, 7, 0, "Records: 13  Duplicates: 1  Warnings: 0"));
        done.leg(ok(1, 9, 0, "Records: 1  Duplicates: 0  Warnings: 0"));
        assert_eq!((done.affected_rows, done.last_insert_id, done.warnings), (6, 7, 1));
        assert_eq!(done.info, "Records: 16  Duplicates: 1  Warnings: 1");
    }

    #[test]
    fn rows_alone_count_as_well() {
        let mut done = Done { rows: Some(Ignore::No), ..Done::default() };
        done.leg(ok(2, 0, 0, ""));
        done.leg(ok(3, 0, 0, "Records: 3  Duplicates: 0  Warnings: 0"));
        assert_eq!(done.info, "Records: 4  Duplicates: 1  Warnings: 0");
        let mut done = Done { rows: Some(Ignore::Yes), ..Done::default() };
        done.leg(ok(0, 0, 1, ""));
        done.leg(ok(1, 0, 0, ""));
        assert_eq!(done.info, "Records: 2  Duplicates: 1  Warnings: 1");
    }

    #[test]
    fn some_say_nothing() {
        let mut done = Done::default();
        done.leg(ok(1, 0, 0, ""));
        done.leg(ok(1, 0, 0, ""));
        assert_eq!((done.affected_rows, done.info.as_str()), (2, ""));
    }
}
