//! One replica of several for a read.

use std::time::Duration;

use crate::config::ReplicaChoice;

use super::topology::{Member, Topology};

/// Replicas whose times differ by less than this part are as near as each other: it is not worth the imbalance.
const ALIKE: u32 = 4;
/// Nor is less than this.
const ALIKE_MIN: Duration = Duration::from_micros(500);

/// What a core remembers from one choice to the next.
#[derive(Debug, Default)]
pub struct Choice {
    /// How far each member is behind its share of the reads (smooth weighted round robin).
    credits: Vec<i64>,
}

/// Statements under way on each member, as far as the core that asks knows.
pub type Outstanding<'a> = &'a dyn Fn(usize) -> usize;

impl Choice {
    /// The member for a read among those that `may` have it. Near ones go before the others. `None` if there is none.
    pub fn choose(
        &mut self,
        topology: &Topology,
        by: ReplicaChoice,
        may: impl Fn(usize, &Member) -> bool,
        outstanding: Outstanding<'_>,
    ) -> Option<usize> {
        self.credits.resize(topology.members.len(), 0);
        let fit = |(number, member): &(usize, &Member)| {
            Some(*number) != topology.primary
                && member.unfit.is_none()
                && member.weight > 0
                && may(*number, member)
        };
        let members = || topology.members.iter().enumerate().filter(fit);
        let near = members().any(|(_, member)| member.is_near);
        let candidates = || members().filter(|(_, member)| member.is_near || !near);
        match by {
            ReplicaChoice::Weighted => self.in_turn(candidates()),
            ReplicaChoice::LeastOutstanding => {
                // As a fraction of the weights, compared without dividing.
                let load = |number: usize| outstanding(number) as u64 + 1;
                let least = candidates().min_by(|(a, one), (b, other)| {
                    let (one, other) = (load(*a) * u64::from(other.weight), load(*b) * u64::from(one.weight));
                    one.cmp(&other)
                })?;
                let as_little = |(number, member): &(usize, &Member)| {
                    load(*number) * u64::from(least.1.weight) == load(least.0) * u64::from(member.weight)
                };
                self.in_turn(candidates().filter(as_little))
            }
            ReplicaChoice::Latency => {
                let least = candidates().map(|(_, member)| member.latency).min()?;
                let most = least + (least / ALIKE).max(ALIKE_MIN);
                self.in_turn(candidates().filter(|(_, member)| member.latency <= most))
            }
        }
    }

    /// Each gets its share, as evenly in time as can be: everybody gains its weight, and who has most pays for all.
    fn in_turn<'a>(&mut self, candidates: impl Iterator<Item = (usize, &'a Member)>) -> Option<usize> {
        let (mut total, mut most) = (0, None);
        for (number, member) in candidates {
            let credit = self.credits.get_mut(number)?;
            *credit += i64::from(member.weight);
            total += i64::from(member.weight);
            if most.is_none_or(|(_, highest)| *credit > highest) {
                most = Some((number, *credit));
            }
        }
        let (number, _) = most?;
        *self.credits.get_mut(number)? -= total;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::topology::Unfit;
    use super::*;

    fn topology(weights: &[u32]) -> Topology {
        let member = |weight: &u32| Member {
            unfit: None,
            is_up: true,
            weight: *weight,
            is_near: false,
            lag: None,
            latency: Duration::from_millis(1),
            executed: None,
        };
        Topology { epoch: 1, primary: Some(0), members: weights.iter().map(member).collect() }
    }

    /// How often each member is chosen in `rounds`.
    fn shares(
        topology: &Topology,
        by: ReplicaChoice,
        rounds: usize,
        outstanding: Outstanding<'_>,
    ) -> Vec<usize> {
        let mut choice = Choice::default();
        let mut counts = vec![0; topology.members.len()];
        for _ in 0..rounds {
            if let Some(number) = choice.choose(topology, by, |_, _| true, outstanding) {
                counts[number] += 1;
            }
        }
        counts
    }

    #[test]
    fn reads_go_by_weight_and_never_to_the_primary_or_the_unfit() {
        let by = ReplicaChoice::Weighted;
        let mut topology = topology(&[9, 1, 3, 0, 4]);
        assert_eq!(shares(&topology, by, 800, &|_| 0), [0, 100, 300, 0, 400]);
        topology.members[4].unfit = Some(Unfit::Lagging);
        assert_eq!(shares(&topology, by, 800, &|_| 0), [0, 200, 600, 0, 0]);
        topology.members[1].is_near = true;
        assert_eq!(shares(&topology, by, 10, &|_| 0), [0, 10, 0, 0, 0]);
        topology.primary = Some(1);
        assert_eq!(shares(&topology, by, 8, &|_| 0), [6, 0, 2, 0, 0]);
        topology.members[0].unfit = Some(Unfit::Down);
        topology.members[2].unfit = Some(Unfit::Draining);
        assert_eq!(shares(&topology, by, 8, &|_| 0), [0; 5]);
    }

    #[test]
    fn the_least_busy_for_its_weight_goes_first() {
        let by = ReplicaChoice::LeastOutstanding;
        let topology = topology(&[1, 1, 1, 2]);
        assert_eq!(shares(&topology, by, 10, &|number| [0, 5, 1, 4][number]), [0, 0, 10, 0]);
        assert_eq!(shares(&topology, by, 10, &|number| [0, 5, 1, 2][number]), [0, 0, 0, 10]);
        assert_eq!(shares(&topology, by, 10, &|number| [0, 0, 0, 9][number]), [0, 5, 5, 0]);
        assert_eq!(shares(&topology, by, 30, &|number| [0, 0, 0, 1][number]), [0, 8, 7, 15].map(|n| n));
    }

    #[test]
    fn the_nearest_share_by_weight() {
        let by = ReplicaChoice::Latency;
        let mut topology = topology(&[1, 1, 2, 1]);
        topology.members[3].latency = Duration::from_millis(3);
        topology.members[2].latency = Duration::from_micros(1200);
        assert_eq!(shares(&topology, by, 30, &|_| 0), [0, 10, 20, 0]);
        topology.members[1].latency = Duration::from_millis(30);
        assert_eq!(shares(&topology, by, 30, &|_| 0), [0, 0, 30, 0]);
    }
}
