//! SET, and system variables.
//!
//! Manual section: "SET Syntax for Variable Assignment". Without a scope of its own an assignment counts as one for the
//! session, also behind `GLOBAL a = 1,`, although that scope carries over to it (measured on MariaDB 10.11).

use super::facts::{Hazards, StatementKind};
use super::keyword::Keyword;
use super::lexer::TokenKind;
use super::scan::Scanner;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Unstated,
    Session,
    /// GLOBAL and PERSIST: other sessions, not this one.
    Global,
}

fn scope_of(keyword: Option<Keyword>) -> Scope {
    match keyword {
        Some(Keyword::Session | Keyword::Local) => Scope::Session,
        Some(Keyword::Global | Keyword::Persist | Keyword::PersistOnly) => Scope::Global,
        _ => Scope::Unstated,
    }
}

impl<'a> Scanner<'a> {
    /// SET, whose first word is passed.
    pub(super) fn set(&mut self) -> StatementKind {
        loop {
            self.assignment();
            self.pass_until(|scanner| scanner.is(b','));
            if self.at_end() {
                return StatementKind::Set;
            }
            self.advance();
        }
    }

    /// The left side of an assignment, or what stands in its place.
    fn assignment(&mut self) {
        match self.token.kind {
            TokenKind::UserVariable => {
                self.hazards |= Hazards::USER_VARIABLE | Hazards::USER_VARIABLE_WRITE;
                self.advance();
            }
            TokenKind::SystemVariable => {
                self.advance();
                let (scope, name) = self.variable();
                let once = scope == Scope::Unstated && is_transaction_characteristic(name);
                self.assign(scope, name);
                // Written as @@name these are for the next transaction only.
                if once {
                    self.hazards |= Hazards::SET_TRANSACTION;
                }
            }
            _ => self.named_assignment(),
        }
    }

    fn named_assignment(&mut self) {
        let scope = scope_of(self.keyword());
        if scope != Scope::Unstated {
            self.advance();
        }
        match (self.keyword(), scope) {
            (Some(Keyword::Transaction), Scope::Unstated) => self.clause_of(Hazards::SET_TRANSACTION),
            (Some(Keyword::Transaction), Scope::Session) => self.clause_of(Hazards::SET_SESSION),
            (Some(Keyword::Transaction), Scope::Global) => self.clause_of(Hazards::NEW_ERA),
            (Some(Keyword::Role), Scope::Unstated) => self.clause_of(Hazards::ROLE),
            (Some(Keyword::Resource), Scope::Unstated) => self.clause_of(Hazards::RESOURCE_GROUP),
            // SET DEFAULT ROLE, SET PASSWORD: the account's, not the session's.
            (Some(Keyword::Default | Keyword::Password), Scope::Unstated) => {
                self.clause_of(Hazards::WRITES | Hazards::NEW_ERA);
            }
            (Some(Keyword::Names | Keyword::Character | Keyword::Charset), Scope::Unstated) => {
                self.hazards |= Hazards::SET_SESSION;
                self.advance();
            }
            _ => {
                let name = self.take_name();
                self.assign(scope, name);
            }
        }
    }

    /// The rest of the statement is one clause, whose commas separate no assignments.
    fn clause_of(&mut self, hazards: Hazards) {
        self.hazards |= hazards;
        self.pass_until(|_| false);
    }

    fn assign(&mut self, scope: Scope, name: &[u8]) {
        if scope == Scope::Global {
            self.hazards |= Hazards::NEW_ERA;
            return;
        }
        // `a.b` is a variable of its own, whatever the first part is called.
        let name = if self.is(b'.') { &[] } else { name };
        self.hazards |= match Keyword::of(name) {
            Some(Keyword::Autocommit) => Hazards::AUTOCOMMIT_SET,
            Some(
                Keyword::GtidNext
                | Keyword::GtidSeqNo
                | Keyword::InsertId
                | Keyword::PseudoReplicaMode
                | Keyword::PseudoSlaveMode
                | Keyword::PseudoThreadId
                | Keyword::RandSeed1
                | Keyword::RandSeed2
                | Keyword::SqlLogBin
                | Keyword::Timestamp,
            ) => Hazards::SET_SESSION | Hazards::UNREPLAYABLE_SET,
            Some(Keyword::QueryCacheType) => Hazards::SET_SESSION | Hazards::QUERY_CACHE,
            Some(Keyword::LastInsertId | Keyword::Identity) => {
                Hazards::SET_SESSION | Hazards::LAST_INSERT_ID_SET
            }
            Some(keyword) if chooses_trackers(keyword) => Hazards::SET_SESSION | Hazards::TRACKERS,
            _ => Hazards::SET_SESSION,
        };
    }

    /// Passes `scope.name` or `name`, behind `@@`.
    fn variable(&mut self) -> (Scope, &'a [u8]) {
        let name = self.take_name();
        let scope = scope_of(Keyword::of(name));
        if scope == Scope::Unstated || !self.is(b'.') {
            return (Scope::Unstated, name);
        }
        self.advance();
        (scope, self.take_name())
    }

    /// A system variable that is read, behind its `@@`.
    pub(super) fn read_variable(&mut self) {
        self.hazards |= Hazards::SYSTEM_VARIABLE;
        let (scope, name) = self.variable();
        if scope == Scope::Global {
            return;
        }
        self.hazards |= match Keyword::of(name) {
            Some(Keyword::WarningCount | Keyword::ErrorCount) => Hazards::READS_DIAGNOSTICS,
            Some(Keyword::Identity | Keyword::LastInsertId) => Hazards::LAST_INSERT_ID,
            Some(Keyword::PseudoThreadId) => Hazards::CONNECTION_ID,
            Some(keyword) if chooses_trackers(keyword) => Hazards::TRACKERS,
            _ => Hazards::empty(),
        };
    }
}

fn chooses_trackers(variable: Keyword) -> bool {
    matches!(
        variable,
        Keyword::SessionTrackGtids
            | Keyword::SessionTrackSchema
            | Keyword::SessionTrackStateChange
            | Keyword::SessionTrackSystemVariables
            | Keyword::SessionTrackTransactionInfo
    )
}

fn is_transaction_characteristic(name: &[u8]) -> bool {
    matches!(
        Keyword::of(name),
        Some(
            Keyword::TransactionIsolation
                | Keyword::TransactionReadOnly
                | Keyword::TxIsolation
                | Keyword::TxReadOnly
        )
    )
}
