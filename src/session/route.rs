//! Which server a statement is for: the primary, or a replica.
//!
//! ```text
//! hint in the text ─▶ what the session has on a link ─▶ @athena_target ─▶ the account ─▶ [routing]
//! ```
//!
//! The first that says something decides, and none of them sends to a replica what does more than read.

use crate::config::ReadYourWrites;
use crate::metrics::label::{ErrorKind, RouteReason, Target};
use crate::parser::{Effect, Facts, Hazards, Literal, NotRead, StatementKind, access, is_server_schema};
use crate::protocol::error::ErrorCode;

use super::driver::Session;
use super::failure::Refusal;
use super::link::ASKS_BACK;

/// Where a statement goes, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub to: Target,
    pub reason: RouteReason,
    /// The statement does nothing that lasts, so it may be said once more elsewhere.
    pub reads: bool,
}

impl Route {
    pub fn primary(reason: RouteReason) -> Self {
        Self { to: Target::Primary, reason, reads: false }
    }

    fn replica(reason: RouteReason) -> Self {
        Self { to: Target::Replica, reason, reads: true }
    }

    pub fn is_to_replica(self) -> bool {
        self.to == Target::Replica
    }
}

/// What `@athena_target` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Primary,
    Replica,
}

/// The user variable by which a session overrides where its statements go.
pub(super) const TARGET_VARIABLE: &[u8] = b"athena_target";

impl Wish {
    /// The value of the variable: `primary`, `replica`, or `auto`, which is no wish. `None` for anything else.
    pub fn parse(value: &[u8]) -> Option<Option<Self>> {
        match value {
            b"" | b"auto" => Some(None),
            b"primary" => Some(Some(Self::Primary)),
            b"replica" => Some(Some(Self::Replica)),
            _ => None,
        }
    }
}

/// What a read may have all the same if its author says that a replica will do.
const BY_HINT: [NotRead; 5] = [
    NotRead::StoredFunction,
    NotRead::ServerTables,
    NotRead::SystemVariable,
    NotRead::StateFunction,
    NotRead::Explain,
];

/// What would outlive a read-only transaction on the replica that it runs on. Behind the first of several statements
/// anything might: one that ends the transaction, and then a write.
const OUTLIVES: Hazards = Hazards::TEMPORARY_TABLE
    .union(Hazards::NAMED_LOCK)
    .union(Hazards::HANDLER)
    .union(Hazards::TEXT_PREPARE)
    .union(Hazards::UNREPLAYABLE_SET)
    .union(Hazards::SEQUENCE_NEXT)
    .union(Hazards::INTO_FILE)
    .union(Hazards::OTHER_KIND)
    .union(Hazards::UNSURE);

impl Session {
    /// Whether statements may go to different servers.
    pub fn is_split(&self) -> bool {
        self.cluster().members.len() > 1
    }

    /// Where a command goes that is no statement: to the link that the session has, or to the primary.
    pub fn route_of_command(&self) -> Route {
        match self.bound.is_some() && self.on_replica {
            true => Route { to: Target::Replica, reason: RouteReason::Kept, reads: false },
            false => Route::primary(RouteReason::Command),
        }
    }

    /// Decides where a statement goes.
    pub fn decide(&mut self, facts: Facts, effects: impl FnOnce() -> Vec<Effect>) -> Result<(), Refusal> {
        self.route = self.routed(facts, effects)?;
        Ok(())
    }

    fn routed(&mut self, facts: Facts, effects: impl FnOnce() -> Vec<Effect>) -> Result<Route, Refusal> {
        let hints = facts.hazards & (Hazards::HINT_PRIMARY | Hazards::HINT_REPLICA);
        if facts.hazards.contains(Hazards::HINT_UNKNOWN) || hints.bits().count_ones() > 1 {
            return Err(Refusal::bad_hint());
        }
        let mut not_read = access(facts).err();
        if let Some(calls @ (NotRead::StoredFunction | NotRead::Call)) = not_read
            && self.all_just_read(&effects(), calls == NotRead::Call)
        {
            not_read = None;
        }
        if self.bound.is_some() && self.holds.reason().is_some() {
            return self.routed_where_kept(facts, not_read);
        }
        if self.is_branched() || self.has_opening_along() {
            return Ok(Route::primary(RouteReason::Transaction));
        }
        if self.bound.is_some() && facts.hazards.intersects(ASKS_BACK) {
            // The server that knows is the one that it asks about.
            let kept = self.route_of_command();
            return Ok(Route { reason: RouteReason::Kept, ..kept });
        }
        if self.goes_to_primary_now {
            return Ok(Route { reads: not_read.is_none(), ..Route::primary(RouteReason::NotCaughtUp) });
        }
        if hints.contains(Hazards::HINT_PRIMARY) {
            return Ok(Route {
                reads: does_nothing_yet(facts, not_read),
                ..Route::primary(RouteReason::Hint)
            });
        }
        if hints.contains(Hazards::HINT_REPLICA) {
            return self.routed_by_hint(facts, not_read);
        }
        let mut route = self.routed_by_text(facts, not_read);
        route.reads = does_nothing_yet(facts, not_read);
        Ok(route)
    }

    fn routed_by_hint(&self, facts: Facts, not_read: Option<NotRead>) -> Result<Route, Refusal> {
        let reason = RouteReason::Hint;
        match not_read {
            None | Some(NotRead::ReadOnlyTransaction) => Ok(Route::replica(reason)),
            Some(other) if BY_HINT.contains(&other) => Ok(Route::replica(reason)),
            Some(NotRead::Administration) if facts.kind == StatementKind::Show => Ok(Route::replica(reason)),
            Some(other) => Err(Refusal::not_for_replica(other)),
        }
    }

    fn routed_by_text(&self, facts: Facts, not_read: Option<NotRead>) -> Route {
        let wish = match self.wish {
            Some(Wish::Primary) => return Route::primary(RouteReason::Variable),
            Some(Wish::Replica) => true,
            None => self.account.read_write_split.unwrap_or(self.cluster().routing.read_write_split),
        };
        if !wish {
            return Route::primary(RouteReason::NotSplit);
        }
        match not_read {
            Some(NotRead::ReadOnlyTransaction) if self.cluster().routing.splits_transactions => {
                return Route::replica(RouteReason::ReadOnlyTransaction);
            }
            Some(other) => return Route::primary(reason_of(other)),
            None => {}
        }
        if self.holds.may_begin_unseen() {
            // Without autocommit it begins a transaction.
            return Route::primary(RouteReason::Transaction);
        }
        if self.written.is_untracked() {
            return Route::primary(RouteReason::Untracked);
        }
        if self.schema.as_deref().is_some_and(is_server_schema) || facts.kind == StatementKind::Empty {
            return Route::primary(RouteReason::ServerTables);
        }
        Route::replica(RouteReason::Read)
    }

    /// The session has something on its link, and its statements follow it there.
    fn routed_where_kept(&mut self, facts: Facts, not_read: Option<NotRead>) -> Result<Route, Refusal> {
        let in_transaction = self.holds.in_transaction();
        if !self.on_replica {
            let reason = if in_transaction { RouteReason::Transaction } else { RouteReason::Kept };
            return Ok(Route::primary(reason));
        }
        let kept = Route { to: Target::Replica, reason: RouteReason::ReadOnlyTransaction, reads: false };
        if !in_transaction {
            // It was kept there for nothing that the session knows of: what just reads may stay.
            return Ok(match not_read {
                None if self.cluster().routing.read_your_writes == ReadYourWrites::Global => {
                    Route { reads: true, ..Route::primary(RouteReason::NotCaughtUp) }
                }
                None => Route { reason: RouteReason::Kept, ..kept },
                Some(other) => Route::primary(reason_of(other)),
            });
        }
        use NotRead as N;
        match not_read {
            _ if facts.hazards.intersects(OUTLIVES) => Err(Refusal::not_in_transaction(not_read)),
            // The server itself refuses writes, and goes on with everything else.
            None | Some(N::Write | N::LockingRead | N::UserVariableWrite | N::Explain) => Ok(kept),
            // Some end the transaction, others are refused in it: the primary knows.
            Some(N::Definition) => {
                self.takes_transaction_along = true;
                Ok(Route::primary(RouteReason::Transaction))
            }
            Some(N::SystemVariable | N::StateFunction | N::ServerTables | N::StoredFunction) => Ok(kept),
            Some(N::ReadOnlyTransaction) => Ok(kept),
            Some(N::Transaction) if facts.hazards.contains(Hazards::MULTI) => {
                Err(Refusal::not_in_transaction(not_read))
            }
            Some(N::Transaction) if facts.kind != StatementKind::Begin => Ok(kept),
            Some(N::Administration) if matches!(facts.kind, StatementKind::Show | StatementKind::Other) => {
                Ok(kept)
            }
            Some(N::SessionState)
                if matches!(facts.kind, StatementKind::Set | StatementKind::Use | StatementKind::Do) =>
            {
                Ok(kept)
            }
            // They end the transaction before they begin, there as well as anywhere.
            Some(N::Transaction | N::SessionState | N::Administration)
                if !facts.hazards.contains(Hazards::MULTI) =>
            {
                Ok(Route::primary(RouteReason::Transaction))
            }
            Some(_) => Err(Refusal::not_in_transaction(not_read)),
        }
    }

    /// A link with an open cursor is kept, and the next statement may be a write: that is for the primary.
    pub fn route_cursor(&mut self) {
        if self.route.is_to_replica() && self.bound.is_none() {
            self.route = Route { reads: self.route.reads, ..Route::primary(RouteReason::Cursor) };
        }
    }

    /// A statement that sets `@athena_target` has to have the value in it.
    pub fn may_set_target(&self, effects: &[Effect]) -> Result<(), Refusal> {
        let is_bad = |effect: &Effect| match effect {
            Effect::UserVariable { name, value } if name.eq_ignore_ascii_case(TARGET_VARIABLE) => {
                wish_of(value.as_ref()).is_none()
            }
            _ => false,
        };
        if self.is_split() && effects.iter().any(is_bad) { Err(Refusal::bad_target()) } else { Ok(()) }
    }

    /// A statement has set the variable.
    pub fn note_target(&mut self, value: Option<&Literal>) {
        self.wish = wish_of(value).flatten();
    }

    /// Whether everything that a text calls is known to just read, among it the procedure of a CALL.
    fn all_just_read(&self, effects: &[Effect], is_call: bool) -> bool {
        let just_reads = |effect: &Effect| match effect {
            Effect::StoredFunction { schema, name } | Effect::Call { schema, name } => {
                self.just_reads(schema.as_deref(), name)
            }
            _ => false,
        };
        let has_call = effects.iter().any(|effect| matches!(effect, Effect::Call { .. }));
        effects.iter().all(just_reads) && has_call == is_call
    }

    /// Whether the operator has said so of a routine.
    pub fn just_reads(&self, schema: Option<&[u8]>, name: &[u8]) -> bool {
        let schema = schema.or(self.schema.as_deref());
        self.cluster().routing.read_only_routines.iter().any(|routine| routine.is(schema, name))
    }

    /// Counts where the statement went.
    pub fn count_route(&self) {
        let metrics = &self.ctx.metrics;
        match self.route.to {
            Target::Replica => metrics.routed_to_replica.of(self.route.reason).inc(),
            _ => metrics.routed_to_primary.of(self.route.reason).inc(),
        }
    }
}

/// Whether a statement that was lost with its connection has done nothing: a transaction that it began is gone.
fn does_nothing_yet(facts: Facts, not_read: Option<NotRead>) -> bool {
    let begins = facts.kind == StatementKind::Begin && !facts.hazards.contains(Hazards::MULTI);
    not_read.is_none() || begins
}

/// `None` for a value that is none of the words, or not known.
fn wish_of(value: Option<&Literal>) -> Option<Option<Wish>> {
    match value? {
        Literal::Null => Some(None),
        Literal::Text(text) => Wish::parse(text),
        Literal::Integer(_) => None,
    }
}

fn reason_of(not_read: NotRead) -> RouteReason {
    match not_read {
        NotRead::Write => RouteReason::Write,
        NotRead::LockingRead => RouteReason::LockingRead,
        NotRead::IntoFile => RouteReason::IntoFile,
        NotRead::UserVariableWrite => RouteReason::UserVariableWrite,
        NotRead::SystemVariable => RouteReason::SystemVariable,
        NotRead::StateFunction => RouteReason::StateFunction,
        NotRead::NamedLock => RouteReason::NamedLock,
        NotRead::Sequence => RouteReason::Sequence,
        NotRead::ServerTables => RouteReason::ServerTables,
        NotRead::Explain => RouteReason::Explain,
        NotRead::Transaction => RouteReason::Transaction,
        NotRead::ReadOnlyTransaction => RouteReason::ReadOnlyTransaction,
        NotRead::SessionState => RouteReason::SessionState,
        NotRead::Call => RouteReason::Call,
        NotRead::Definition => RouteReason::Definition,
        NotRead::Administration => RouteReason::Administration,
        NotRead::Several => RouteReason::Several,
        NotRead::Unsure => RouteReason::Unsure,
        NotRead::StoredFunction => RouteReason::StoredFunction,
    }
}

impl Refusal {
    fn bad_hint() -> Self {
        let message = "A comment that begins with athena: says athena:primary or athena:replica, and a statement has one of \
                       them";
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    fn not_for_replica(what: NotRead) -> Self {
        let message = format!(
            "The statement has {}, so it can't run on a replica: remove the comment athena:replica",
            what.describe()
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    fn not_in_transaction(what: Option<NotRead>) -> Self {
        let what = what.map_or("something that outlives it", NotRead::describe);
        let message = format!(
            "The statement has {what}, and the read-only transaction that it is in runs on a replica: begin that with \
             /* athena:primary */, or set [routing] read_only_transactions = \"primary\""
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    /// In the words of servers.
    pub fn read_only_transaction() -> Self {
        let message = "Cannot execute statement in a READ ONLY transaction";
        Self { kind: None, ..Self::new(ErrorKind::Unsupported, ErrorCode::ReadOnlyTransaction, message) }
    }

    /// The variable takes effect where Athena reads it, so its value has to be there to be read.
    pub fn bad_target() -> Self {
        let message =
            "@athena_target can be set to 'primary', 'replica' or 'auto', by SET and as it stands here";
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }
}
