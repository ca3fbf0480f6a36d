//! Who takes writes.
//!
//! Athena promotes nobody. It follows what an operator, Orchestrator, MariaDB's replication manager or Group Replication has
//! done, as far as the servers tell, and never has two: the one that there is stays for as long as it may take writes.

use std::time::{Duration, Instant};

/// Why a server takes no writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoWrites {
    Down,
    ReadOnly,
    /// It follows another one.
    Replicates,
    /// It is not part of its group at the moment.
    Apart,
}

/// A server, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Somebody has looked.
    pub is_known: bool,
    /// The last look found it there.
    pub is_fresh: bool,
    /// It may take writes, or why not.
    pub claim: Result<(), NoWrites>,
    /// It takes no harm if others of its group write, too.
    pub shares: bool,
    /// Servers that replicate from it.
    pub followers: usize,
}

/// What has happened to the office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Lost {
        member: usize,
        why: NoWrites,
    },
    Found {
        member: usize,
        /// It was another one before, or none ever.
        is_new: bool,
        /// For how long there was none.
        after: Duration,
        /// Others that might have been it.
        others: Vec<usize>,
    },
    /// Another one would take writes, too.
    Rival {
        member: usize,
    },
}

/// The office of the primary.
#[derive(Debug)]
pub(super) struct Office {
    /// How often it went to another server.
    pub epoch: u64,
    pub holder: Option<usize>,
    /// The last that there was, or is.
    pub last: Option<usize>,
    empty_since: Instant,
    /// For how long it was empty before that.
    was_empty: Duration,
    /// Those of whom it was said that they would take writes, too.
    rivals: Vec<usize>,
}

impl Office {
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: 0,
            holder: None,
            last: None,
            empty_since: now,
            was_empty: Duration::ZERO,
            rivals: Vec::new(),
        }
    }

    /// For how long there was no primary, all in all.
    pub fn empty(&self, now: Instant) -> Duration {
        let current = now.saturating_duration_since(self.empty_since);
        self.was_empty + if self.holder.is_none() { current } else { Duration::ZERO }
    }

    /// Looks at all servers anew.
    pub fn decide(&mut self, standings: &[Standing], now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let claim = |member: usize| standings.get(member).map_or(Err(NoWrites::Down), |one| one.claim);
        if let Some(member) = self.holder
            && let Err(why) = claim(member)
        {
            self.holder = None;
            self.empty_since = now;
            changes.push(Change::Lost { member, why });
        }
        if self.holder.is_none()
            && let Some((member, others)) = self.successor(standings)
        {
            let after = now.saturating_duration_since(self.empty_since);
            self.was_empty += after;
            self.holder = Some(member);
            let is_new = self.last != Some(member);
            if is_new {
                self.epoch += 1;
                self.last = Some(member);
            }
            // Of these is told now, and not again.
            self.rivals.clone_from(&others);
            changes.push(Change::Found { member, is_new, after, others });
        }
        changes.extend(self.new_rivals(standings));
        changes
    }

    /// Who is it next, and who might have been. That nothing is heard of one makes nobody else the primary: whoever becomes
    /// it has just said that it takes writes.
    fn successor(&self, standings: &[Standing]) -> Option<(usize, Vec<usize>)> {
        // The first to answer need not be the right one.
        if self.last.is_none() && !standings.iter().all(|one| one.is_known) {
            return None;
        }
        let may = |one: &Standing| one.is_fresh && one.claim.is_ok();
        let candidates = || standings.iter().enumerate().filter(|(_, one)| may(one));
        // Who comes back as it was has not been chosen by anybody.
        let rank = |(member, one): &(usize, &Standing)| {
            (one.followers, self.last != Some(*member), usize::MAX - member)
        };
        let (chosen, standing) = candidates().max_by_key(rank)?;
        let others =
            candidates().filter(|(member, one)| *member != chosen && !(one.shares && standing.shares));
        Some((chosen, others.map(|(member, _)| member).collect()))
    }

    fn new_rivals(&mut self, standings: &[Standing]) -> Vec<Change> {
        let Some(holder) = self.holder else {
            return Vec::new();
        };
        let shares = standings.get(holder).is_some_and(|one| one.shares);
        let mut new = Vec::new();
        for (member, one) in standings.iter().enumerate() {
            let is_rival = member != holder && one.claim.is_ok() && !(shares && one.shares);
            let was_rival = self.rivals.contains(&member);
            if is_rival && !was_rival && one.is_fresh {
                self.rivals.push(member);
                new.push(Change::Rival { member });
            } else if !is_rival && was_rival {
                self.rivals.retain(|rival| *rival != member);
            }
        }
        new
    }
}
