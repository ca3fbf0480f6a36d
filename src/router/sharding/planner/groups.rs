//! Occurrences of sharded tables whose sharding columns are equal to each other.

use super::super::plan::Condition;
use super::condition::all;
use super::walk::Occurrence;

/// Two ways of belonging together. In a class all rows that matter have one and the same value in their sharding column.
/// Where one occurrence follows another, its rows matter only beside those of the leader with the same value: the leader
/// decides for both, whatever else is said of the follower.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Of each occurrence, another one of its class that is nearer to the class's first, or itself.
    classes: Vec<usize>,
    /// Follower and leader.
    follows: Vec<(usize, usize)>,
}

impl Groups {
    pub(super) fn add(&mut self) {
        self.classes.push(self.classes.len());
    }

    pub(super) fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.class(one), self.class(other));
        if let Some(class) = self.classes.get_mut(one.max(other)) {
            *class = one.min(other);
        }
    }

    pub(super) fn follow(&mut self, follower: usize, leader: usize) {
        self.follows.push((follower, leader));
    }

    /// The first of the class.
    fn class(&self, of: usize) -> usize {
        let mut at = of;
        while let Some(next) = self.classes.get(at).filter(|next| **next < at) {
            at = *next;
        }
        at
    }

    /// The class that decides for an occurrence.
    pub(super) fn leader(&self, of: usize) -> usize {
        let mut class = self.class(of);
        // Each step leads to another class; a circle ends after as many.
        for _ in 0..self.follows.len() {
            let mut steps =
                self.follows.iter().map(|(follower, leader)| (self.class(*follower), self.class(*leader)));
            match steps.find(|(follower, leader)| *follower == class && *leader != class) {
                Some((_, leader)) => class = leader,
                None => break,
            }
        }
        class
    }

    /// The classes that decide, each by its first member.
    pub(super) fn leaders(&self) -> Vec<usize> {
        let mut leaders = Vec::new();
        for occurrence in 0..self.classes.len() {
            let leader = self.leader(occurrence);
            if !leaders.contains(&leader) {
                leaders.push(leader);
            }
        }
        leaders
    }

    pub(super) fn members(&self, class: usize) -> Vec<usize> {
        (0..self.classes.len()).filter(|member| self.class(*member) == class).collect()
    }

    /// What is known of each deciding class. `domains` holds the parent of each.
    pub(super) fn conditions(&self, occurrences: &[Occurrence], domains: &[Option<usize>]) -> Vec<Condition> {
        let domain_of = |occurrence: &usize| occurrences.get(*occurrence).map(|occurrence| occurrence.domain);
        let of_class = |class: usize| {
            let members: Vec<_> = self.members(class).iter().filter_map(domain_of).collect();
            let decided = (0..self.classes.len()).filter(|occurrence| self.leader(*occurrence) == class);
            // A condition on followers counts where no row of the leaders stays without theirs: what an outer join or a
            // sub-query says of its inner side holds for nothing beside that.
            let holds = |domain: usize, of: usize| {
                members.iter().chain([&of]).all(|member| is_within(*member, domain, domains))
            };
            let decided = decided.filter_map(|occurrence| occurrences.get(occurrence));
            let conditions =
                decided.flat_map(|of| of.conditions.iter().map(move |condition| (condition, of.domain)));
            let holding = conditions.filter(|((_, domain), of)| holds(*domain, *of));
            all(holding.map(|((condition, _), _)| condition.clone()).collect())
        };
        self.leaders().into_iter().map(of_class).collect()
    }
}

fn is_within(inner: usize, outer: usize, domains: &[Option<usize>]) -> bool {
    let mut at = Some(inner);
    while let Some(domain) = at {
        if domain == outer {
            return true;
        }
        at = domains.get(domain).copied().flatten();
    }
    false
}
