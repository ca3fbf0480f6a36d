//! Savepoints of a transaction on several servers: each of them has them all.

use crate::net::Payload;
use crate::pool::{LinkError, SmallReply};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::{Held, Use};
use super::Errand;

/// Statements about savepoints that are kept to be said at a further server; and their bytes, together.
const KEPT_MAX: usize = 256;
const KEPT_BYTES_MAX: usize = 16_384;

/// What a transaction has said about savepoints.
#[derive(Debug, Default)]
pub(in crate::session) struct Savepoints {
    said: Vec<Box<[u8]>>,
    /// The statement that runs.
    runs: Option<Box<[u8]>>,
    /// Some were not kept.
    pub(super) are_too_many: bool,
}

impl Savepoints {
    pub(super) fn begin_command(&mut self) {
        self.runs = None;
    }

    /// A statement about savepoints is to run, or a text that may have some in it if it is not alone.
    pub(super) fn run(&mut self, sql: &[u8], is_alone: bool) {
        match is_alone {
            true => self.runs = Some(sql.into()),
            false => self.are_too_many = true,
        }
    }

    /// It has run.
    pub(super) fn note(&mut self, failed: bool) {
        if let Some(sql) = self.runs.take().filter(|_| !failed) {
            self.keep(sql);
        }
    }

    fn keep(&mut self, sql: Box<[u8]>) {
        // Those that come and go, one after the other, leave nothing.
        if let Some((what, name)) = named(&sql)
            && let Some((What::Set, last)) = self.said.last().and_then(|last| named(last))
            && last == name
        {
            match what {
                What::Release => _ = self.said.pop(),
                What::Set | What::RollBack => {}
            }
            return;
        }
        let bytes: usize = self.said.iter().map(|sql| sql.len()).sum();
        match self.said.len() < KEPT_MAX && bytes + sql.len() <= KEPT_BYTES_MAX {
            true => self.said.push(sql),
            false => self.are_too_many = true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Set,
    Release,
    RollBack,
}

/// What a plain statement does, and its savepoint's name as it is written.
fn named(sql: &[u8]) -> Option<(What, &[u8])> {
    let words: Vec<&[u8]> = sql.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let is = |at: usize, word: &str| {
        words.get(at).is_some_and(|found: &&[u8]| found.eq_ignore_ascii_case(word.as_bytes()))
    };
    let (what, before) = match words.len() {
        2 if is(0, "savepoint") => (What::Set, 1),
        3 if is(0, "release") && is(1, "savepoint") => (What::Release, 2),
        3 if is(0, "rollback") && is(1, "to") => (What::RollBack, 2),
        4 if is(0, "rollback") && is(1, "to") && is(2, "savepoint") => (What::RollBack, 3),
        _ => return None,
    };
    words.get(before).map(|name| (what, *name))
}

impl Session {
    /// Says a statement about savepoints on all servers of the transaction.
    ///
    /// # Errors
    /// What the first server says; where others say something else the transaction is gone.
    pub(super) async fn mark_on_all(&mut self, sql: &[u8]) -> Result<Payload, Stop> {
        let Some(global) = &self.global else { return Ok(self.ok()) };
        let all: Vec<usize> =
            std::iter::once(global.decides).chain(global.branches.iter().copied()).collect();
        if !self.unread.is_empty() {
            self.read_out().await?;
        }
        for at in &all {
            self.go_to(*at, Errand::Question).await?;
            self.check_branch()?;
            let Some(bound) = self.bound.take() else { continue };
            let mut link = Use { held: Held::Bound(bound), permit: self.permit.take() };
            match self.backend(link.lease().query_text(sql)).await {
                Ok(SmallReply::Ok(_)) => self.keep_or_give_back(link),
                Ok(SmallReply::Err(err)) if Some(at) == all.first() => {
                    self.keep_or_give_back(link);
                    return Err(Refusal::of_server(err).into());
                }
                Ok(_) => return Err(self.lost(link, LinkError::Closed.into())),
                Err(stop) => return Err(self.lost(link, stop)),
            }
        }
        let savepoints = self.opening.savepoints();
        savepoints.run(sql, true);
        savepoints.note(false);
        (self.before.row_count, self.warnings, self.is_last) = (0, 0, false);
        Ok(self.ok())
    }

    /// Sets the savepoints of the transaction on the link of a branch that has just begun.
    pub(super) async fn have_savepoints(&mut self, mut link: Use) -> Result<Use, Stop> {
        for sql in self.opening.savepoints().said.clone() {
            match self.backend(link.lease().query_text(&sql)).await {
                Ok(SmallReply::Ok(_)) => {}
                Ok(_) => return Err(self.lost(link, LinkError::Closed.into())),
                Err(stop) => return Err(self.lost(link, stop)),
            }
        }
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(statements: &[&str]) -> Vec<String> {
        let mut savepoints = Savepoints::default();
        for sql in statements {
            savepoints.run(sql.as_bytes(), true);
            savepoints.note(false);
        }
        savepoints.said.iter().map(|sql| String::from_utf8_lossy(sql).into_owned()).collect()
    }

    #[test]
    fn what_comes_and_goes_is_not_kept() {
        assert_eq!(
            said(&["SAVEPOINT a", "rollback to a", "Savepoint  b", "RELEASE SAVEPOINT b"]),
            ["SAVEPOINT a"]
        );
        assert_eq!(said(&["SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO SAVEPOINT a"]).len(), 3);
        assert_eq!(said(&["SAVEPOINT a", "SAVEPOINT a", "RELEASE SAVEPOINT a"]), [""; 0]);
        assert_eq!(said(&["SAVEPOINT a", "RELEASE SAVEPOINT `a`"]).len(), 2);
        assert_eq!(said(&["SAVEPOINT /* a */ a", "RELEASE SAVEPOINT a"]).len(), 2);
    }

    #[test]
    fn those_that_failed_and_too_many() {
        let mut savepoints = Savepoints::default();
        savepoints.run(b"SAVEPOINT a", true);
        savepoints.note(true);
        savepoints.note(false);
        assert!(savepoints.said.is_empty());
        for number in 0..=KEPT_MAX {
            assert!(!savepoints.are_too_many);
            savepoints.run(format!("SAVEPOINT s{number}").as_bytes(), true);
            savepoints.note(false);
        }
        assert!(savepoints.are_too_many && savepoints.said.len() == KEPT_MAX);
        let mut several = Savepoints::default();
        several.run(b"SAVEPOINT a; SAVEPOINT b", false);
        assert!(several.are_too_many);
    }
}
