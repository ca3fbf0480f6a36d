//! The limits of the configuration as the limiter takes them.

use crate::circuit::{Classes, Limits, Rule};
use crate::config::Circuit;
use crate::parser::{SqlMode, digest};

/// The limits of a cluster's statements.
pub fn classes(circuit: &Circuit) -> Classes {
    let usual = Limits { max_concurrent: circuit.max_concurrent, queue_size: circuit.queue_size };
    let rules = circuit.overrides.iter().map(|rule| Rule {
        user: rule.user.clone(),
        shard: rule.shard,
        digest: rule.statement.as_ref().map(|sql| digest(sql.as_bytes(), SqlMode::default())),
        limits: Limits { max_concurrent: rule.max_concurrent, queue_size: rule.queue_size },
        queue_timeout: rule.queue_timeout,
    });
    Classes::new(usual, circuit.queue_timeout, rules.collect())
}
