//! Sharded tables: what an application sees of several tables is what it would see of one.

mod answer;
mod batches;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod copies;
mod crashes;
mod dump;
mod faults;
mod grammar;
mod groups;
mod links;
mod load;
mod oracle;
mod parameters;
mod schema;
mod sequences;
mod servers;
mod shapes;
mod shard_replicas;
mod shop;
mod shows;
mod storms;
mod streams;
mod sysbench;
mod two_phase;
mod warnings;
mod writes;

use athena_perf::proxy::AthenaConfig;

/// A schema whose tables are sharded through Athena, and one with the same tables as they are.
const SHARDED: &str = "sharded";
const PLAIN: &str = "plain";

/// The rule of `users` and `orders`.
fn sharded(config: AthenaConfig, algorithm: &str, more: &str) -> AthenaConfig {
    config.text(&format!(
        "[[sharding]]\nname = \"users\"\ntable_pattern = [\"users\", \"orders\", \"items\"]\nshard_column = \"user_id\"\n\
         algorithm = \"{algorithm}\"\n{more}"
    ))
}

/// A number from the environment.
fn chosen(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
