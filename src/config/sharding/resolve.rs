//! From the sections of the file to the rules.

use super::super::document::Document;
use super::super::problem::Reason;
use super::super::section::Section;
use super::key::{Key, KeyType};
use super::model::{Algorithm, SHARDS_MAX, Sharding, ShardingRule, TablePattern};

/// Why a rule can't be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum RuleError {
    #[error(
        "\"{0}\" is no name of a table, nor the beginning of names with a * behind it, such as \"users*\""
    )]
    NotAPattern(String),
    #[error(
        "\"{own}\" covers tables that \"{other}\" of the rule of line {line} covers: a table is sharded or global"
    )]
    GlobalOverlap { own: String, other: String, line: usize },
    #[error("it names no table")]
    NoTable,
    #[error("the rule of line {0} has the same name")]
    DuplicateRule(usize),
    #[error(
        "\"{own}\" and \"{other}\" of line {line} cover the same tables: each table has one rule at most"
    )]
    Overlap { own: String, other: String, line: usize },
    #[error("the key is missing: \"{0}\" needs to know how many shards there are")]
    NoShardCount(&'static str),
    #[error(
        "{given} is not the number of shards that the boundaries make, {made}: remove it, or change one of the two"
    )]
    OtherShardCount { given: u64, made: usize },
    #[error("the key is missing: \"range\" needs the first keys of all shards but the first")]
    NoBoundaries,
    #[error("is for algorithm = \"range\": \"{0}\" has none")]
    BoundariesWithoutRange(&'static str),
    #[error("has {0} entries: at most {max} are possible, which makes {SHARDS_MAX} shards", max = SHARDS_MAX - 1)]
    TooManyBoundaries(usize),
    #[error("\"{text}\" is no key of type \"{key_type}\": that is {example}", example = .key_type.example())]
    NotAKey { text: String, key_type: KeyType },
    #[error("\"{0}\" is not above the boundary before it: boundaries ascend")]
    NotAscending(String),
    #[error("is the shard_column, whose key_type is \"{0}\": ids are of type \"integer\"")]
    SequenceOfKey(KeyType),
    #[error(
        "contradicts key_type = \"text\": the order of texts is that of a collation, which Athena does not know; use \
         key_type \"binary\" with a binary column, or another algorithm"
    )]
    RangeOfText,
}

/// `[[sharding]]` and `[sharding_defaults]`.
pub(in super::super) fn sharding(document: &Document<'_>) -> Sharding {
    let defaults = Section::open(document, "sharding_defaults");
    let sections = Section::open_all(document, "sharding");
    let mut rules: Vec<(ShardingRule, usize)> = Vec::new();
    for section in &sections {
        let rule = rule(section);
        let same_name =
            |(earlier, _): &&(ShardingRule, usize)| earlier.name == rule.name && !rule.name.is_empty();
        if let Some((_, line)) = rules.iter().find(same_name) {
            refuse(section, "name", RuleError::DuplicateRule(*line));
        }
        overlaps(section, &rule, &rules);
        rules.push((rule, section.line));
    }
    let global_tables = global_tables(&defaults, &rules);
    Sharding {
        global_tables,
        rules: rules.into_iter().map(|(rule, _)| rule).collect(),
        servers: Vec::new(),
        two_phase: defaults.choice("cross_shard_transactions") == "xa",
        sequence_block: defaults.number("sequence_block"),
        max_fan_out: defaults.count("max_fan_out"),
        max_merge_rows: defaults.count("max_merge_rows"),
        max_merge_bytes: defaults.count("max_merge_bytes"),
        max_plans: defaults.count("max_plans"),
    }
}

/// `global_tables`, of which none is sharded.
fn global_tables(defaults: &Section<'_>, rules: &[(ShardingRule, usize)]) -> Vec<TablePattern> {
    let patterns = patterns(defaults, "global_tables", defaults.list("global_tables").unwrap_or_default());
    for own in &patterns {
        for (rule, line) in rules {
            if let Some(other) = rule.tables.iter().find(|other| own.overlaps(other)) {
                let (own, other) = (own.to_string(), other.to_string());
                refuse(defaults, "global_tables", RuleError::GlobalOverlap { own, other, line: *line });
            }
        }
    }
    patterns
}

fn refuse(section: &Section<'_>, name: &str, error: RuleError) {
    section.refuse(name, Reason::Rule(error));
}

fn rule(section: &Section<'_>) -> ShardingRule {
    let word = section.choice("algorithm");
    let key_type = KeyType::of_word(section.choice("key_type"));
    let given = section.number_given("shard_count");
    let (algorithm, shards) = if word == "range" {
        let boundaries = boundaries(section, key_type);
        let made = boundaries.len() + 1;
        if let Some(given) = given.filter(|given| usize::try_from(*given) != Ok(made))
            && section.document.sound(&["sharding.boundaries"])
        {
            refuse(section, "shard_count", RuleError::OtherShardCount { given, made });
        }
        (Algorithm::Range(boundaries), u32::try_from(made).unwrap_or(u32::MAX))
    } else {
        if given.is_none() {
            refuse(section, "shard_count", RuleError::NoShardCount(word));
        }
        if section.scalars("boundaries").is_some_and(|list| !list.is_empty()) {
            refuse(section, "boundaries", RuleError::BoundariesWithoutRange(word));
        }
        let algorithm = if word == "hash" { Algorithm::Hash } else { Algorithm::Mod };
        (algorithm, given.and_then(|given| u32::try_from(given).ok()).unwrap_or(1))
    };
    let name = section.name("name").unwrap_or_default();
    let tables = tables(section);
    let column = section.name("shard_column").unwrap_or_default();
    let sequence = section.name("sequence_column");
    if sequence.as_ref().is_some_and(|sequence| sequence.eq_ignore_ascii_case(&column))
        && key_type != KeyType::Integer
    {
        refuse(section, "sequence_column", RuleError::SequenceOfKey(key_type));
    }
    ShardingRule { name, tables, column, sequence, key_type, algorithm, shards }
}

fn tables(section: &Section<'_>) -> Vec<TablePattern> {
    let Some(texts) = section.one_or_more("table_pattern") else { return Vec::new() };
    if texts.is_empty() && section.document.sound(&["sharding.table_pattern"]) {
        refuse(section, "table_pattern", RuleError::NoTable);
    }
    patterns(section, "table_pattern", texts)
}

fn patterns(section: &Section<'_>, name: &str, texts: Vec<String>) -> Vec<TablePattern> {
    let patterns = texts.into_iter().filter_map(|text| {
        let pattern = pattern(&text);
        if pattern.is_none() {
            refuse(section, name, RuleError::NotAPattern(text));
        }
        pattern
    });
    patterns.collect()
}

/// A lone `*` is none: it would cover the tables of the server itself.
fn pattern(text: &str) -> Option<TablePattern> {
    let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
    if name.is_empty() || name.contains('*') || name.chars().any(char::is_control) {
        return None;
    }
    let name = name.to_owned();
    Some(if is_prefix { TablePattern::Prefix(name) } else { TablePattern::Exact(name) })
}

fn overlaps(section: &Section<'_>, rule: &ShardingRule, earlier: &[(ShardingRule, usize)]) {
    for own in &rule.tables {
        for (other_rule, line) in earlier {
            if let Some(other) = other_rule.tables.iter().find(|other| own.overlaps(other)) {
                let error =
                    RuleError::Overlap { own: own.to_string(), other: other.to_string(), line: *line };
                refuse(section, "table_pattern", error);
            }
        }
    }
}

fn boundaries(section: &Section<'_>, key_type: KeyType) -> Vec<Key> {
    if key_type == KeyType::Text {
        refuse(section, "algorithm", RuleError::RangeOfText);
        return Vec::new();
    }
    let Some(texts) = section.scalars("boundaries") else {
        refuse(section, "boundaries", RuleError::NoBoundaries);
        return Vec::new();
    };
    if texts.len() >= SHARDS_MAX {
        refuse(section, "boundaries", RuleError::TooManyBoundaries(texts.len()));
        return Vec::new();
    }
    let mut keys: Vec<Key> = Vec::new();
    for text in texts {
        match Key::of_file(key_type, &text) {
            None => refuse(section, "boundaries", RuleError::NotAKey { text, key_type }),
            Some(key) if keys.last().is_some_and(|last| *last >= key) => {
                refuse(section, "boundaries", RuleError::NotAscending(text));
            }
            Some(key) => keys.push(key),
        }
    }
    keys
}
