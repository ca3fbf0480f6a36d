//! Which tables are sharded, and by which rule.

use foldhash::{HashMap, HashMapExt};

use super::Rule;
use super::planner::Tables;
use crate::config::sharding::{Sharding, TablePattern};

/// In the place of a rule's number: the table is global, each server has a copy of it.
pub const GLOBAL: usize = usize::MAX;

/// All rules. Names of tables are told apart by their case.
#[derive(Debug, Default)]
pub struct Rules {
    list: Vec<Rule>,
    /// The number of a rule, or [`GLOBAL`].
    exact: HashMap<Box<[u8]>, usize>,
    prefixes: Vec<(Box<[u8]>, usize)>,
    /// A bit for each byte that the name of such a table can begin with: most names begin with another one.
    first_bytes: [u64; 4],
}

impl Rules {
    pub fn new(sharding: &Sharding) -> Self {
        let mut exact = HashMap::new();
        let mut prefixes = Vec::new();
        let mut first_bytes = [0u64; 4];
        let of_rules = sharding.rules.iter().enumerate();
        let of_rules =
            of_rules.flat_map(|(number, rule)| rule.tables.iter().map(move |table| (number, table)));
        // On one server they are tables like others.
        let global = sharding.global_tables.iter().filter(|_| !sharding.servers.is_empty());
        for (number, pattern) in of_rules.chain(global.map(|table| (GLOBAL, table))) {
            let (TablePattern::Exact(name) | TablePattern::Prefix(name)) = pattern;
            let bytes: Box<[u8]> = name.as_bytes().into();
            if let Some(first) = bytes.first() {
                first_bytes[usize::from(first / 64)] |= 1 << (first % 64);
            }
            match pattern {
                TablePattern::Exact(_) => _ = exact.insert(bytes, number),
                TablePattern::Prefix(_) => prefixes.push((bytes, number)),
            }
        }
        Self { list: sharding.rules.clone(), exact, prefixes, first_bytes }
    }

    /// Whether no table is sharded.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of the rule of a table, which is named without quotes.
    pub fn rule_of(&self, table: &[u8]) -> Option<usize> {
        self.known(table).filter(|rule| *rule != GLOBAL)
    }

    /// The same, and [`GLOBAL`] for a global table.
    pub fn known(&self, table: &[u8]) -> Option<usize> {
        let first = table.first()?;
        if self.first_bytes[usize::from(first / 64)] >> (first % 64) & 1 == 0 {
            return None;
        }
        self.exact.get(table).copied().or_else(|| {
            let covers = |(prefix, _): &&(Box<[u8]>, usize)| table.starts_with(prefix);
            self.prefixes.iter().find(covers).map(|(_, number)| *number)
        })
    }

    /// The rule of that number.
    pub fn rule(&self, number: usize) -> Option<&Rule> {
        self.list.get(number)
    }
}

impl Tables for Rules {
    fn rule_of(&self, table: &[u8]) -> Option<usize> {
        Rules::rule_of(self, table)
    }

    fn known(&self, table: &[u8]) -> Option<usize> {
        Rules::known(self, table)
    }

    fn column(&self, rule: usize) -> &str {
        self.rule(rule).map_or("", |rule| &rule.column)
    }

    fn sequence(&self, rule: usize) -> Option<&str> {
        self.rule(rule)?.sequence.as_deref()
    }

    fn shards(&self, rule: usize) -> u32 {
        self.rule(rule).map_or(1, |rule| rule.shards)
    }
}

/// The name of the table that a shard has: `users_3`.
pub fn physical(table: &str, shard: u32) -> String {
    format!("{table}_{shard}")
}

/// A name in backticks.
pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
