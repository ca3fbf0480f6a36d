//! Writes of global tables, of which every server has a copy: each does the same, in one transaction.
//!
//! That of `[backend]` is written first, always: who waits there for another's locks finds what that has written everywhere. So copies
//! are as alike as if one write came after the other, as long as servers lock what a write has looked at, which READ COMMITTED does
//! not. The time is the same for all, and so is an id that the first copy has drawn.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::metrics::label::ErrorKind;
use crate::pool::{LinkError, SmallReply, Told};
use crate::protocol::error::ErrorCode;

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::Use;
use super::super::overtime::Clock;
use super::super::seen::Seen;
use super::done::Done;
use super::several::Leg;

const SAVEPOINT: [&str; 2] = ["SAVEPOINT athena_copy", "ROLLBACK TO SAVEPOINT athena_copy"];

const NO_TIME: &str = "SET timestamp = DEFAULT";

/// What all copies have in common.
pub(super) struct Copies {
    table: Box<str>,
    /// Says what the time of the statement is.
    time: String,
    /// Whose copy was the first, and what it said.
    first: Option<(String, Done)>,
}

impl Session {
    /// Of a write that is about to begin.
    pub(super) fn copies(&self, table: &str) -> Result<Copies, Refusal> {
        if self.has_state_of_one_link() {
            return Err(Refusal::state_beside_copies(table));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = format!("SET timestamp = {}.{:06}", now.as_secs(), now.subsec_micros());
        Ok(Copies { table: table.into(), time, first: None })
    }

    /// Writes the copy of the session's server. The client is told what the first one says; another one that says something else
    /// has failed.
    pub(super) async fn write_copy(
        &mut self,
        link: &mut Use,
        leg: Leg,
        copies: &mut Copies,
        clock: &Clock,
        done: &mut Done,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        if !self.locks_what_it_reads(link).await? {
            seen.fail(&Refusal::copies_need_locks(&copies.table));
            return Ok(());
        }
        let here = self.cluster().described();
        let Some((first_at, first)) = &copies.first else {
            let is_bulk = leg.is_bulk();
            *done = self.say_to_copy(link, leg, &copies.time, true, clock, seen).await?;
            if is_bulk && done.last_insert_id != 0 && seen.error.is_none() {
                seen.fail(&Refusal::bulk_of_copies(&copies.table));
            }
            copies.first = Some((here, done.clone()));
            return Ok(());
        };
        let draws = first.last_insert_id != 0;
        if draws {
            self.say(link, SAVEPOINT[0], seen).await?;
            if seen.error.is_some() {
                return Ok(());
            }
        }
        let again = draws.then(|| leg.again());
        let mut copy = self.say_to_copy(link, leg, &copies.time, false, clock, seen).await?;
        if seen.error.is_none()
            && copy.last_insert_id != first.last_insert_id
            && let Some(again) = again
        {
            // Ids that were given by the statement would be equal: both have drawn one, so this one draws what it is told to.
            self.say(link, SAVEPOINT[1], seen).await?;
            if seen.error.is_some() {
                return Ok(());
            }
            let drawing = format!("{}, insert_id = {}", copies.time, first.last_insert_id);
            copy = self.say_to_copy(link, again, &drawing, false, clock, seen).await?;
            if seen.error.is_some() || copy.last_insert_id != first.last_insert_id {
                // The id may still wait to be drawn.
                return Err(LinkError::Closed.into());
            }
        }
        let is_like =
            (copy.affected_rows, copy.last_insert_id) == (first.affected_rows, first.last_insert_id);
        if seen.error.is_none() && !is_like {
            seen.fail(&Refusal::copies_differ(&copies.table, (first_at, first), (&here, &copy)));
        }
        Ok(())
    }

    async fn say_to_copy(
        &mut self,
        link: &mut Use,
        leg: Leg,
        time: &str,
        is_first: bool,
        clock: &Clock,
        seen: &mut Seen,
    ) -> Result<Done, Stop> {
        let mut done = Done::default();
        if let SmallReply::Err(err) = self.backend(link.lease().query(time)).await? {
            seen.fail(&Refusal::of_server(err));
        }
        if seen.error.is_none()
            && let Some((ok, killed)) = self.say_leg(link, leg, clock, seen).await?
        {
            if is_first {
                self.note_warnings(link, seen).await?;
            }
            done.leg(ok);
            if killed && seen.error.is_none() {
                seen.fail(&Refusal::interrupted());
            }
        }
        self.let_time_go_on(link).await?;
        Ok(done)
    }

    async fn let_time_go_on(&mut self, link: &mut Use) -> Result<(), Stop> {
        /// A KILL may meet this as well.
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            if let SmallReply::Ok(_) = self.backend(link.lease().query(NO_TIME)).await? {
                return Ok(());
            }
        }
        Err(LinkError::Closed.into())
    }

    /// Whether the server locks all that a write looks at.
    async fn locks_what_it_reads(&mut self, link: &mut Use) -> Result<bool, Stop> {
        let variable = if self.is_on_mariadb() { "tx_isolation" } else { "transaction_isolation" };
        let question = format!("SELECT @@SESSION.{variable}").into_bytes();
        let (told, _) = self.backend(link.lease().ask_all(&[question])).await?;
        let locks = |told: Told| match told {
            Told::Table(table) => {
                let level = table.rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
                level.is_some_and(|level| !level.starts_with(b"READ-"))
            }
            Told::Ok | Told::Err(_) => false,
        };
        Ok(told.into_iter().any(locks))
    }
}

impl Refusal {
    pub(super) fn copies_need_two_phases(table: &str) -> Self {
        let message = format!(
            "The statement writes the global table `{table}`, of which every server has a copy: it needs [sharding_defaults] \
             cross_shard_transactions = \"xa\""
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    fn bulk_of_copies(table: &str) -> Self {
        let message = format!(
            "A bulk execution that gives or draws ids of an AUTO_INCREMENT of the global table `{table}` may draw others on each server: \
             execute it once for each row (the drivers have an option: useBulkStmts=false, bulk=false)"
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    fn copies_need_locks(table: &str) -> Self {
        let message = format!(
            "A write of the global table `{table}` needs the isolation level REPEATABLE READ or SERIALIZABLE on every server: SET \
             SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ before the transaction begins"
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    fn state_beside_copies(table: &str) -> Self {
        let message = format!(
            "The session has set something that is on one of its connections only (timestamp, insert_id and the like), and a write \
             of the global table `{table}` is for all servers: set it to DEFAULT before"
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    fn copies_differ(table: &str, first: (&str, &Done), other: (&str, &Done)) -> Self {
        let message = format!(
            "The statement would make the copies of the global table `{table}` differ: on {} it changes {} rows and draws the id {}, \
             on {} {} rows and {}; nothing was changed. Compare the copies, and make them equal",
            first.0,
            first.1.affected_rows,
            first.1.last_insert_id,
            other.0,
            other.1.affected_rows,
            other.1.last_insert_id
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::ErrorDuringCommit, message)
    }
}
