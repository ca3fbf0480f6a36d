//! What a session may ask about its statement before: kept here, since the link on which that ran may have gone to
//! others by then.

use crate::parser::{Facts, Hazards, StatementKind};
use crate::protocol::warnings::WarningList;

use super::seen::Seen;
use super::unread::Unread;

/// A MariaDB has counted rows: INTO, or a subquery, found more than one.
const MORE_THAN_ONE: [u16; 2] = [1172, 1242];
/// It may have: a value was out of range.
const OUT_OF_RANGE: u16 = 1690;

/// The answers to ROW_COUNT(), FOUND_ROWS(), SHOW WARNINGS and their like.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub row_count: i64,
    pub found_rows: u64,
    /// The warnings and errors, once they have been read from the link.
    pub warnings: WarningList,
    /// The character set of their messages, where that is known.
    pub charset: Option<Box<[u8]>>,
    /// Those that were there before a GET DIAGNOSTICS failed, which adds to them; it ran on a link without them.
    pub kept: Vec<Vec<Option<Vec<u8>>>>,
    /// The last statement with any failed.
    pub failed: bool,
    /// Its error, with the SQLSTATE that it came with.
    pub error: Option<(u16, [u8; 5])>,
    /// How many there are; a list has no more than `max_error_count`.
    pub warning_count: u64,
    /// How many of them are errors, where the server was asked.
    pub errors: Option<u64>,
}

impl Before {
    /// Takes in what a reply showed. What it did not show is unread.
    pub fn after(&mut self, facts: Facts, seen: &Seen, unread: &mut Unread, mariadb: bool) {
        if seen.error.is_some() || seen.status.is_some() {
            self.count_rows(facts, seen, unread, mariadb);
        }
        let failed = seen.error.is_some();
        let adds = gets_diagnostics(facts);
        let counted = std::mem::take(&mut self.errors);
        if let Some(list) = &seen.listed {
            unread.warnings = false;
            self.kept.clear();
            self.charset = None;
            (self.warning_count, self.warnings) = (list.rows.len() as u64, list.clone());
        } else if !failed
            && ((seen.warned && facts.hazards.contains(Hazards::MULTI))
                || (mariadb && facts.kind == StatementKind::Call))
        {
            // Of which statement they are, and whether a procedure uses a table, only the server knows.
            self.warnings = WarningList::default();
            (unread.warnings, self.warning_count, self.failed) = (true, 0, false);
            self.kept.clear();
        } else if failed || (seen.warnings > 0 && (!asks_for_list(facts) || adds || seen.prepared.is_some()))
        {
            unread.warnings = true;
            // What was there before, on another link.
            let mut others = 0;
            if !adds {
                self.kept.clear();
                self.error = seen.error.map(|code| (code, seen.sqlstate));
            } else if failed || !self.kept.is_empty() {
                others = self.warning_count;
            }
            self.failed = failed;
            self.warning_count = others + if failed { 1 } else { u64::from(seen.warnings) };
        } else if !keeps_warnings(facts, seen, mariadb) {
            unread.warnings = false;
            self.kept.clear();
            (self.warnings, self.warning_count, self.failed) = (WarningList::default(), 0, false);
        } else {
            self.errors = counted;
        }
    }

    fn count_rows(&mut self, facts: Facts, seen: &Seen, unread: &mut Unread, mariadb: bool) {
        let failed = seen.error.is_some();
        let get_diagnostics = gets_diagnostics(facts);
        self.row_count = match seen.rows {
            _ if failed => -1,
            Some(_) => -1,
            None if get_diagnostics && seen.warnings == 0 => self.row_count,
            // There is no such condition.
            None if get_diagnostics => -1,
            None => i64::try_from(seen.affected_rows).unwrap_or(i64::MAX),
        };
        if failed && facts.hazards.contains(Hazards::MULTI) && seen.had_rows {
            unread.found_rows = true;
        } else if !failed {
            self.count_found_rows(facts, seen, unread, mariadb);
        } else if (mariadb && seen.error.is_some_and(|code| has_counted(code, facts, seen)))
            || (seen.calls() && !seen.did_nothing(true))
        {
            unread.found_rows = true;
        }
    }

    /// FOUND_ROWS() after a statement that went well, as measured on MariaDB 10.11 and MySQL 9.7. It is left as it was where
    /// a statement surely or mostly leaves it: the link's may be another session's.
    fn count_found_rows(&mut self, facts: Facts, seen: &Seen, unread: &mut Unread, mariadb: bool) {
        use StatementKind as S;
        const OTHER: Hazards = Hazards::SQL_CALC_FOUND_ROWS.union(Hazards::OTHER_FOUND_ROWS);
        let several = facts.hazards.contains(Hazards::MULTI);
        match (facts.kind, seen.rows) {
            _ if seen.opened_cursor => unread.found_rows = true,
            (S::Select | S::With, Some(rows)) if !facts.hazards.intersects(OTHER) && !several => {
                self.found(rows, unread);
            }
            (S::Select | S::With, _) => unread.found_rows = true,
            (S::Call | S::Execute, _) => unread.found_rows |= seen.had_rows,
            _ if several => unread.found_rows |= seen.had_rows,
            (S::Show | S::Explain, Some(rows)) if facts.hazards.contains(Hazards::SHOWS_TABLE) => {
                self.found(rows, unread);
            }
            (S::Values, Some(rows)) if !mariadb => self.found(rows, unread),
            (S::Do, _) if !mariadb => self.found(1, unread),
            (S::Do | S::Set, _) if mariadb && seen.uses_table == Some(true) => unread.found_rows = true,
            // The text of the reply says how many were selected, or matched.
            (S::Insert | S::Replace, None) if facts.hazards.contains(Hazards::SELECTS) => {
                // Of a SELECT without a table a MariaDB has found none.
                unread.found_rows = mariadb && seen.records == Some(1);
                if unread.found_rows {
                    return;
                }
                self.found(seen.records.unwrap_or(0), unread);
            }
            // A table that was filled has records; a view has none.
            (S::Ddl, None)
                if mariadb && seen.records.is_some() && facts.hazards.contains(Hazards::SELECTS) =>
            {
                unread.found_rows = true;
            }
            (S::Update, None) if !mariadb => self.found(seen.records.unwrap_or(0), unread),
            _ => {}
        }
    }

    /// A statement was refused by Athena, in the place of a server. Its error may add to those that are there.
    pub fn refused(&mut self, code: u16, message: &str, adds: bool) {
        let row = ["Error", &code.to_string(), message].map(|value| Some(value.as_bytes().to_vec())).to_vec();
        self.row_count = -1;
        if !adds {
            (self.warnings, self.warning_count, self.charset) = (WarningList::default(), 0, None);
            self.kept.clear();
            self.errors = None;
        }
        self.errors = self.errors.map(|errors| errors + 1);
        self.warnings.rows.push(row);
        (self.warning_count, self.failed) = (self.warning_count + 1, true);
    }

    /// A list may have been cut.
    pub fn error_count(&self) -> u64 {
        if let Some(errors) = self.errors {
            return errors;
        }
        let listed = self.warnings.errors() as u64;
        if self.warnings.rows.len() as u64 == listed { listed.max(u64::from(self.failed)) } else { listed }
    }

    fn found(&mut self, rows: u64, unread: &mut Unread) {
        self.found_rows = rows;
        unread.found_rows = false;
    }
}

/// Whether a MariaDB has counted rows for a statement that failed. Without a SELECT in it none does, and what the link has may be
/// another session's.
fn has_counted(code: u16, facts: Facts, seen: &Seen) -> bool {
    use StatementKind as S;
    let selects = match facts.kind {
        S::Select | S::With => true,
        S::Execute => seen.uses_table != Some(false),
        _ => facts.hazards.contains(Hazards::SELECTS),
    };
    MORE_THAN_ONE.contains(&code) || (code == OUT_OF_RANGE && selects)
}

/// Whether it is GET DIAGNOSTICS, which adds to the list where it fails.
fn gets_diagnostics(facts: Facts) -> bool {
    facts.kind == StatementKind::Other && facts.hazards.contains(Hazards::READS_DIAGNOSTICS)
}

/// Whether a statement leaves the list of warnings as it was: those that ask about it do, commands that are no statements,
/// and on MariaDB all that use no table.
fn keeps_warnings(facts: Facts, seen: &Seen, mariadb: bool) -> bool {
    let prepares = seen.prepared.is_some();
    (asks_for_list(facts) && !prepares) || (mariadb && seen.uses_table == Some(false))
}

/// Whether it is SHOW WARNINGS or the like, or a command that is no statement.
pub(super) fn asks_for_list(facts: Facts) -> bool {
    let show = matches!(facts.kind, StatementKind::Show | StatementKind::Other);
    (show && facts.hazards.contains(Hazards::READS_DIAGNOSTICS)) || facts.kind == StatementKind::Command
}
