//! Which limits a statement has.

use std::rc::Rc;
use std::time::Duration;

use super::key::Limits;

/// The limits of the statements that fit.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Those of this user; `None` is everybody.
    pub user: Option<String>,
    /// Those on this shard; `None` is any.
    pub shard: Option<u32>,
    /// Those with this digest; `None` is all.
    pub digest: Option<u64>,
    pub limits: Limits,
    /// How long one waits in the queue.
    pub queue_timeout: Duration,
}

/// All limits of a cluster: class 0 has the usual ones, the others those of a rule each.
#[derive(Debug, Clone)]
pub struct Classes {
    usual: (Limits, Duration),
    rules: Vec<Rule>,
}

impl Classes {
    pub fn new(usual: Limits, queue_timeout: Duration, rules: Vec<Rule>) -> Self {
        Self { usual: (usual, queue_timeout), rules }
    }

    /// The numbers of each class.
    pub fn limits(&self) -> Vec<Limits> {
        std::iter::once(self.usual.0).chain(self.rules.iter().map(|rule| rule.limits)).collect()
    }

    /// How long a statement of a class waits in the queue.
    pub fn queue_timeout(&self, class: u32) -> Duration {
        let rule = (class as usize).checked_sub(1).and_then(|at| self.rules.get(at));
        rule.map_or(self.usual.1, |rule| rule.queue_timeout)
    }

    /// The classes of a user's statements.
    pub fn of_user(&self, user: &str) -> UserClasses {
        let fits = |rule: &Rule| rule.user.as_deref().is_none_or(|name| name == user);
        let rules = self.rules.iter().zip(1..).filter(|(rule, _)| fits(rule));
        let class = |(rule, number): (&Rule, u32)| Class { shard: rule.shard, digest: rule.digest, number };
        UserClasses(rules.map(class).collect())
    }
}

/// The classes of one user's statements, in the order of the rules.
#[derive(Debug, Clone, Default)]
pub struct UserClasses(Rc<[Class]>);

/// For which of a user's statements a class is.
#[derive(Debug)]
struct Class {
    shard: Option<u32>,
    digest: Option<u64>,
    number: u32,
}

impl UserClasses {
    /// Whether digests matter at all.
    pub fn need_digest(&self) -> bool {
        self.0.iter().any(|class| class.digest.is_some())
    }

    /// The class of a statement on a shard: that of the first rule that fits. `digest` is `None` for what is no statement.
    pub fn of(&self, shard: u32, digest: Option<u64>) -> u32 {
        let fits = |class: &&Class| {
            class.shard.is_none_or(|number| number == shard)
                && (class.digest.is_none() || class.digest == digest)
        };
        self.0.iter().find(fits).map_or(0, |class| class.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let limits = |max_concurrent| Limits { max_concurrent, queue_size: 0 };
        let rule = |user: Option<&str>, digest, max| Rule {
            user: user.map(str::to_owned),
            shard: None,
            digest,
            limits: limits(max),
            queue_timeout: Duration::from_millis(max as u64),
        };
        let rules = vec![
            rule(Some("ann"), Some(7), 1),
            rule(None, Some(8), 2),
            rule(Some("bob"), None, 3),
            rule(None, Some(9), 4),
            Rule { shard: Some(1), ..rule(None, None, 5) },
        ];
        let classes = Classes::new(limits(10), Duration::from_secs(5), rules);
        let [ann, bob, eve] = ["ann", "bob", "eve"].map(|user| classes.of_user(user));
        let of = |user: &UserClasses| [7, 8, 9, 6].map(|digest| user.of(0, Some(digest)));
        assert_eq!(of(&ann), [1, 2, 4, 0]);
        assert_eq!(of(&bob), [3, 2, 3, 3]);
        assert_eq!(of(&eve), [0, 2, 4, 0]);
        assert_eq!([eve.of(1, None), eve.of(1, Some(9)), eve.of(2, None), bob.of(1, None)], [5, 4, 0, 3]);
        assert!(!Classes::new(limits(1), Duration::ZERO, Vec::new()).of_user("ann").need_digest());
        assert_eq!(
            classes.limits().iter().map(|limits| limits.max_concurrent).collect::<Vec<_>>(),
            [10, 1, 2, 3, 4, 5]
        );
        assert_eq!([0, 3].map(|class| classes.queue_timeout(class).as_millis()), [5000, 3]);
    }
}
