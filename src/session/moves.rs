//! The part of a session that moves: what its statements have set, by the server's trackers and by their texts.

use crate::metrics::label::BoundReason;
use std::rc::Rc;

use crate::parser::{Effect, Facts, Hazards, Literal, SqlMode, StatementKind, effects, facts, uses_table};
use crate::pool::{Changes, Link, RESULTS_ALONE, canonical, coupled, is_movable, user_variables};

use super::driver::Session;
use super::holds::{OF_SCHEMA, is_own};
use super::route::TARGET_VARIABLE;
use super::seen::Seen;

impl Seen {
    /// Whether a statement may have changed something that moves.
    pub fn changes_state(&self, facts: Facts) -> bool {
        !self.effects.is_empty()
            || !self.variables.is_empty()
            || self.state_change
            || self.error.is_some()
            || facts.hazards.intersects(Hazards::CALL | Hazards::UNSURE)
    }
}

/// A statement that was prepared as text, as far as it is known what it does.
#[derive(Debug)]
pub(super) struct TextPrepared {
    facts: Facts,
    effects: Vec<Effect>,
    uses_table: bool,
}

impl Session {
    /// What a text does, by name, and what the statements do that it executes, which are taken into its facts.
    pub fn effects_of(&mut self, text: &[u8], mode: SqlMode, of_text: &mut Facts) -> Vec<Effect> {
        let ends = of_text.hazards.contains(Hazards::MULTI)
            || matches!(of_text.kind, StatementKind::Ddl | StatementKind::Unlock | StatementKind::Other);
        let unseen = self.holds.may_begin_unseen();
        let may_end = self.holds.has_names() && ends;
        if !(of_text.has_effects() || unseen || may_end) {
            return Vec::new();
        }
        let mut all = effects(text, mode);
        if of_text.hazards.contains(Hazards::TEXT_PREPARE) {
            let inner = SqlMode { one_statement: true, ..mode };
            for at in 0..all.len() {
                self.execute_text(at, &mut all, inner, of_text);
            }
        }
        all
    }

    /// Whether a text uses a table, or one that it prepares or executes. One that is not known may.
    pub fn uses_table(&self, text: &[u8], mode: SqlMode, all: &[Effect]) -> bool {
        let inner = SqlMode { one_statement: true, ..mode };
        let of_effect = |effect: &Effect| match effect {
            Effect::Prepare { text, .. } | Effect::ExecuteImmediate(text) => {
                text.as_ref().is_none_or(|text| uses_table(text, inner))
            }
            Effect::Execute(name) => self.text_prepared.get(name).is_none_or(|prepared| prepared.uses_table),
            _ => false,
        };
        uses_table(text, mode) || all.iter().any(of_effect)
    }

    /// Follows PREPARE and EXECUTE among the effects of a text.
    fn execute_text(&mut self, at: usize, all: &mut Vec<Effect>, mode: SqlMode, of_text: &mut Facts) {
        let read = |text: &[u8]| TextPrepared {
            facts: facts(text, mode),
            effects: effects(text, mode),
            uses_table: uses_table(text, mode),
        };
        let executed = match all.get(at) {
            Some(Effect::Prepare { name, text }) => {
                let (name, Some(text)) = (name.clone(), text) else {
                    self.text_prepared.remove(name);
                    return;
                };
                let text = read(text);
                // A MySQL makes the variables by then.
                let made = text.effects.iter().filter_map(|effect| match effect {
                    Effect::UserVariable { name, .. } => {
                        Some(Effect::UserVariable { name: name.clone(), value: None })
                    }
                    _ => None,
                });
                all.extend(made);
                self.text_prepared.insert(name, Rc::new(text));
                return;
            }
            Some(Effect::Deallocate(name)) => {
                self.text_prepared.remove(name);
                return;
            }
            Some(Effect::Execute(name)) => self.text_prepared.get(name).cloned(),
            Some(Effect::ExecuteImmediate(text)) => text.as_deref().map(|text| Rc::new(read(text))),
            _ => return,
        };
        match executed {
            Some(executed) => {
                of_text.hazards |= executed.facts.hazards;
                if !of_text.hazards.contains(Hazards::MULTI) {
                    of_text.kind = executed.facts.kind;
                }
                all.extend(executed.effects.iter().cloned());
            }
            // It may be anything.
            None => of_text.hazards |= Hazards::UNSURE,
        }
    }

    /// Takes in what a statement has set. What is not told with its value has to be read from the link.
    pub fn take_in_state(&mut self, link: &mut Link, facts: Facts, seen: &Seen) {
        let mut changes = Changes::default();
        self.take_in_variables(&mut changes, link, facts, seen);
        let mut explained = !seen.variables.is_empty();
        let did_nothing = !facts.hazards.contains(Hazards::MULTI) && seen.did_nothing(self.schema.is_some());
        for effect in &seen.effects {
            match effect {
                Effect::UserVariable { name, value } => {
                    explained = true;
                    if seen.error.is_none() && name.eq_ignore_ascii_case(TARGET_VARIABLE) {
                        self.note_target(value.as_ref());
                    }
                    let expression = value.as_ref().filter(|_| seen.error.is_none());
                    match expression.and_then(|value| self.expression(link, name, value)) {
                        Some(expression) => {
                            self.unread.knows_user_variable(name);
                            changes.user_variables.push((name.clone().into(), Some(expression.into())));
                        }
                        None => self.unread.user_variable(name),
                    }
                }
                Effect::SetRole(_) => {
                    (explained, self.unread.role) = (true, true);
                    link.has_had_role = true;
                }
                Effect::SetVariable { .. }
                | Effect::CreateTemporary(_)
                | Effect::DropTable(_)
                | Effect::RenameTable { .. }
                | Effect::Prepare { .. }
                | Effect::Deallocate(_) => explained = true,
                Effect::NamedLock(_) | Effect::ReleaseNamedLock(_) => self.unread.locks = true,
                // It may have set anything, and servers tell of that only in part.
                Effect::StoredFunction { .. } | Effect::Call { .. } if did_nothing => {}
                Effect::StoredFunction { schema, name } if !self.may_move(schema.as_deref(), name) => {
                    self.holds.keep(BoundReason::Unknown);
                }
                Effect::Call { schema, name } if !self.may_move(schema.as_deref(), name) => {
                    self.holds.keep_in_doubt();
                }
                _ => {}
            }
        }
        // A temporary table that was altered is held by its name.
        let altered = facts.kind == StatementKind::Ddl && self.holds.has_temporary_tables();
        if seen.state_change && !explained && !altered {
            self.holds.keep(BoundReason::Unknown);
        }
        self.change_state(link, &changes);
    }

    fn take_in_variables(&mut self, changes: &mut Changes, link: &Link, facts: Facts, seen: &Seen) {
        // On a MariaDB other statements change variables in passing, and set them back without a word.
        let once = self.is_on_mariadb()
            && (seen.effects.contains(&Effect::OneShotVariables) || facts.kind != StatementKind::Set);
        let old = self.has_old_names();
        let by_text = |name: &[u8]| {
            seen.effects.iter().rev().find_map(|effect| match effect {
                Effect::SetVariable { name: set, default } if own_name(set, old) == name => Some(*default),
                _ => None,
            })
        };
        for (told, value) in &seen.variables {
            let name = canonical(told);
            let mut along = coupled(name).peekable();
            if name == b"last_insert_id" || name == b"identity" {
                self.unread.insert_id = true;
            } else if is_own(name) || (OF_SCHEMA.contains(&name) && by_text(told).is_none()) {
            } else if !is_movable(name) || OF_SCHEMA.contains(&name) {
                if by_text(told).is_none() {
                    self.holds.keep(BoundReason::SessionState);
                }
            } else if along.peek().is_some() {
                along.for_each(|name| self.unread.variable(name));
            } else if !value.is_ascii() {
                self.unread.variable(name);
            } else if once {
                self.unread.variable(name);
                changes.variables.push((name.into(), Some(value.clone())));
            } else if by_text(told) == Some(true)
                && !facts.hazards.contains(Hazards::MULTI)
                && !name.starts_with(b"character_set_")
                && link.base_value(name).is_none_or(|base| *base == **value)
            {
                changes.variables.push((name.into(), None));
            } else {
                changes.variables.push((name.into(), Some(value.clone())));
            }
        }
        let sets = |name: &[u8]| by_text(name).is_some();
        if sets(b"character_set_results") && seen.error.is_none() {
            let alone = !sets(b"collation_connection");
            changes.variables.push((RESULTS_ALONE.into(), alone.then(|| b"ON"[..].into())));
        }
        // Not everything is told; and while a client's own trackers are on the link, only what that has asked for.
        if seen.error.is_none() {
            for effect in &seen.effects {
                if let Effect::SetVariable { name, .. } = effect
                    && is_movable(name)
                    && !is_own(name)
                    && !OF_SCHEMA.contains(&&**name)
                {
                    let name = own_name(name, old);
                    if !seen.variables.iter().any(|(told, _)| **told == *name) {
                        let name = canonical(name);
                        self.unread.variable(name);
                        coupled(name).for_each(|along| self.unread.variable(along));
                    }
                }
            }
        }
        self.unread.after_error |= seen.error.is_some();
    }

    /// Whether the server is a MariaDB that has the older names of two variables.
    fn has_old_names(&self) -> bool {
        let server = self.profile().map(|profile| profile.server);
        server.is_some_and(|server| server.mariadb && server.version < 110_100)
    }

    /// The value of a literal as a user variable takes it.
    fn expression(&self, link: &Link, name: &[u8], value: &Literal) -> Option<Vec<u8>> {
        // As it is known: a SET NAMES just before has to be read.
        let variable = |name: &[u8]| {
            let known = !self.unread.variables.iter().any(|unread| **unread == *name);
            self.state.variable(name).or_else(|| link.base_value(name)).filter(|_| known)
        };
        match value {
            Literal::Integer(digits) if self.is_on_mariadb() => Some(digits.clone()),
            Literal::Integer(digits) => {
                Some(user_variables::with_collation(digits.clone(), variable(b"collation_connection")?))
            }
            // It keeps the type that it had.
            Literal::Null => {
                let new = self.state.user_variable(name).is_none() && !self.unread.has_user_variable(name);
                new.then(|| user_variables::null_of(user_variables::UNSET, name))
            }
            Literal::Text(text) => {
                let (charset, collation) =
                    (variable(b"character_set_connection")?, variable(b"collation_connection")?);
                user_variables::literal(text, charset, collation)
            }
        }
    }

    /// Whether the operator has said that a procedure or a function leaves nothing behind but what servers tell.
    fn may_move(&self, schema: Option<&[u8]>, name: &[u8]) -> bool {
        // They only tell what the client has sent along.
        if schema.is_none() && name.eq_ignore_ascii_case(b"mysql_query_attribute_string") {
            return true;
        }
        if self.just_reads(schema, name) {
            return true;
        }
        let schema = schema.or(self.schema.as_deref());
        self.cluster().pool().settings.movable_routines.iter().any(|movable| movable.is(schema, name))
    }

    /// The session's state is another one now, and the link carries it.
    pub fn change_state(&mut self, link: &mut Link, changes: &Changes) {
        if !changes.is_empty() {
            match self.cluster().pool().states.changed(&self.state, changes) {
                Some(state) => {
                    if state.dialect() != self.state.dialect() {
                        // They are of the character set in which they were read.
                        self.before.warnings.columns.clear();
                    }
                    self.state = state;
                }
                None => self.holds.keep(BoundReason::SessionState),
            }
        }
        if self.unread.is_too_much() {
            self.holds.keep(BoundReason::SessionState);
        }
        link.carries = self.unread.knows_state().then(|| self.state.clone());
    }
}

/// A variable by the name that it has on a server with `old` names.
fn own_name(name: &[u8], old: bool) -> &[u8] {
    match name {
        b"transaction_isolation" if old => b"tx_isolation",
        b"transaction_read_only" if old => b"tx_read_only",
        name => name,
    }
}
