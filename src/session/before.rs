//! What a session may ask about its statement before: kept here, since the link on which that ran may have gone to
//! others by then.

use crate::parser::{Facts, Hazards, StatementKind};
use crate::protocol::warnings::WarningList;

use super::seen::Seen;
use super::unread::Unread;

/// The answers to ROW_COUNT(), FOUND_ROWS(), SHOW WARNINGS and their like.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub row_count: i64,
    pub found_rows: u64,
    /// The warnings and errors, once they have been read from the link.
    pub warnings: WarningList,
    /// The last statement with any failed.
    pub failed: bool,
    /// How many there are; a list has no more than `max_error_count`.
    pub warning_count: u64,
}

impl Before {
    /// As a connection begins.
    pub fn of_login(mariadb: bool) -> Self {
        Self { found_rows: u64::from(mariadb), ..Self::default() }
    }

    /// Takes in what a reply showed. What it did not show is unread.
    pub fn after(&mut self, facts: Facts, seen: &Seen, unread: &mut Unread, mariadb: bool) {
        if seen.error.is_some() || seen.status.is_some() {
            self.count_rows(facts, seen, unread, mariadb);
        }
        let failed = seen.error.is_some();
        if let Some(list) = &seen.listed {
            unread.warnings = false;
            (self.warning_count, self.warnings) = (list.rows.len() as u64, list.clone());
        } else if failed || seen.warnings > 0 && !keeps_warnings(facts, seen, mariadb) {
            unread.warnings = true;
            self.failed = failed;
            self.warning_count = if failed { 1 } else { u64::from(seen.warnings) };
        } else if !keeps_warnings(facts, seen, mariadb) {
            unread.warnings = false;
            (self.warnings, self.warning_count, self.failed) = (WarningList::default(), 0, false);
        }
    }

    fn count_rows(&mut self, facts: Facts, seen: &Seen, unread: &mut Unread, mariadb: bool) {
        use StatementKind as S;
        let failed = seen.error.is_some();
        let get_diagnostics = facts.kind == S::Other && facts.hazards.contains(Hazards::READS_DIAGNOSTICS);
        self.row_count = match seen.rows {
            _ if failed => -1,
            Some(_) => -1,
            None if get_diagnostics && seen.warnings == 0 => self.row_count,
            None => i64::try_from(seen.affected_rows).unwrap_or(i64::MAX),
        };
        let unclear = Hazards::SQL_CALC_FOUND_ROWS
            | Hazards::OTHER_FOUND_ROWS
            | Hazards::USER_VARIABLE_WRITE
            | Hazards::MULTI
            | Hazards::UNSURE;
        match (facts.kind, seen.rows) {
            // The link has to be read out anyway.
            _ if failed => unread.found_rows = true,
            _ if facts.hazards.intersects(unclear) || seen.opened_cursor => unread.found_rows = true,
            (S::Select | S::With, Some(rows)) => self.found(rows, unread),
            // The text says how many were selected.
            (S::Insert | S::Replace, None) if seen.records.is_some() => {
                self.found(seen.records.unwrap_or(0), unread);
            }
            (S::Update, None) if !mariadb => match seen.records {
                Some(matched) => self.found(matched, unread),
                None => unread.found_rows = true,
            },
            (S::Do, _) if !mariadb => self.found(1, unread),
            (S::Do, _) => unread.found_rows |= seen.uses_table != Some(false),
            (S::Show | S::Explain, _) if facts.hazards.contains(Hazards::READS_DIAGNOSTICS) => {}
            (S::Show | S::Explain | S::Call | S::Execute | S::Values | S::With | S::Select | S::Ddl, _) => {
                unread.found_rows = true;
            }
            (S::Update | S::Delete, _) if mariadb && seen.records.is_none() && facts.kind == S::Update => {
                unread.found_rows = true;
            }
            _ => {}
        }
    }

    /// A list may have been cut.
    pub fn error_count(&self) -> u64 {
        let listed = self.warnings.errors() as u64;
        if self.warnings.rows.len() as u64 == listed { listed.max(u64::from(self.failed)) } else { listed }
    }

    fn found(&mut self, rows: u64, unread: &mut Unread) {
        self.found_rows = rows;
        unread.found_rows = false;
    }
}

/// Whether a statement leaves the list of warnings as it was: those that ask about it do, commands that are no statements,
/// and on MariaDB all that use no table.
fn keeps_warnings(facts: Facts, seen: &Seen, mariadb: bool) -> bool {
    let asks = facts.hazards.contains(Hazards::READS_DIAGNOSTICS);
    match facts.kind {
        StatementKind::Show | StatementKind::Other if asks => true,
        StatementKind::Empty if seen.prepared.is_none() => true,
        _ => mariadb && seen.uses_table == Some(false),
    }
}
