//! What a session has written, so that its reads find it on replicas.

use crate::config::ReadYourWrites;
use crate::parser::{Facts, Hazards};
use crate::router::{GtidSet, Topology};

use super::driver::Session;
use super::retry::leaves_transaction;
use super::seen::Seen;

/// Intervals of a session's own transactions that are kept apart; of more, all before the last have to be there.
const PARTS_MAX: usize = 32;

/// The transactions that a session has to find.
#[derive(Debug, Default)]
pub(super) struct Written {
    gtids: Option<GtidSet>,
    /// Members that have told that they have them, one bit for each.
    confirmed: u64,
    /// It has written what no server tells of.
    untracked: bool,
    /// A statement has failed that may have committed something before, and an error tells of no transactions: it is among those
    /// that the primary has by now.
    unclear: bool,
    /// As of which change of the primary.
    epoch: u64,
}

impl Written {
    pub fn is_untracked(&self) -> bool {
        self.untracked
    }

    /// What a member has to have; `None` if anything will do.
    pub fn gtids(&self) -> Option<&GtidSet> {
        self.gtids.as_ref()
    }

    pub fn is_unclear(&self) -> bool {
        self.unclear
    }

    /// It has written something that no reply has told of.
    pub fn doubt(&mut self) {
        self.unclear = true;
    }

    /// All that the primary has written by now, and that of the session with it.
    pub fn make_clear(&mut self, position: &GtidSet) {
        self.gtids = Some(position.clone());
        (self.unclear, self.confirmed) = (false, 0);
    }

    /// Whether it is known that a member has all of it.
    pub fn is_on(&self, member: usize, topology: &Topology) -> bool {
        if self.unclear {
            return false;
        }
        let Some(gtids) = &self.gtids else { return true };
        self.confirmed & bit(member) != 0 || topology.has(member, gtids)
    }

    /// A member has told that it has all of it.
    pub fn confirm(&mut self, member: usize) {
        self.confirmed |= bit(member);
    }

    fn add(&mut self, told: &[Box<[u8]>], mariadb: bool) {
        for text in told {
            let Some(more) = GtidSet::parse(text, mariadb).filter(|more| !more.is_empty()) else { continue };
            let gtids = self.gtids.get_or_insert_with(|| GtidSet::empty(mariadb));
            gtids.add(&more);
            if gtids.parts() > PARTS_MAX {
                gtids.fill();
            }
            self.confirmed = 0;
        }
    }

    /// There is another primary: of what was written before counts what that one has. The rest is gone, and nobody can
    /// wait for it.
    pub fn follow(&mut self, topology: &Topology) {
        if self.epoch == topology.epoch {
            return;
        }
        let Some(primary) = topology.primary.and_then(|primary| topology.members.get(primary)) else {
            return;
        };
        self.epoch = topology.epoch;
        self.confirmed = 0;
        if self.gtids.is_some() {
            self.gtids = primary.executed.as_deref().cloned();
        }
    }
}

fn bit(member: usize) -> u64 {
    1u64.checked_shl(u32::try_from(member).unwrap_or(u32::MAX)).unwrap_or(0)
}

/// What may write without a GTID where servers have none.
const MAY_WRITE: Hazards = Hazards::WRITES
    .union(Hazards::CALL)
    .union(Hazards::MAY_CALL)
    .union(Hazards::TEXT_PREPARE)
    .union(Hazards::SEQUENCE_NEXT)
    .union(Hazards::UNSURE);

impl Session {
    /// Takes in what a reply of the primary told of transactions, if its link `tells` of them.
    pub fn note_written(&mut self, facts: Facts, seen: &Seen, tells: bool) {
        if !self.is_split() || self.on_replica {
            return;
        }
        if self.cluster().routing.read_your_writes == ReadYourWrites::Off {
            return;
        }
        if seen.error.is_some() && !leaves_transaction(facts) && self.cluster().has_gtids() {
            self.written.unclear = true;
        }
        if !seen.gtids.is_empty() {
            let mariadb = self.is_on_mariadb();
            self.written.add(&seen.gtids, mariadb);
        } else if facts.hazards.intersects(MAY_WRITE) {
            let has_gtids = self.cluster().has_gtids();
            self.written.untracked |= !has_gtids;
            self.written.unclear |= has_gtids && !tells;
        }
    }

    /// The same for what was only told with a later reply.
    pub fn note_written_late(&mut self, gtids: Box<[u8]>) {
        if self.is_split() && self.cluster().routing.read_your_writes != ReadYourWrites::Off {
            self.written.add(&[gtids], true);
        }
    }
}
