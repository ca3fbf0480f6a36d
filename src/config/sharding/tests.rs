//! Rules, from the file to what is made of them.

use super::super::tests::{LEAST, bad, good};
use super::*;

/// A rule of four shards, with these lines in it.
fn rule(name: &str, pattern: &str, more: &str) -> String {
    format!("[[sharding]]\nname = \"{name}\"\ntable_pattern = {pattern}\nshard_column = \"id\"\n{more}\n")
}

fn sharding(text: &str) -> Sharding {
    good(&format!("{LEAST}{text}")).clusters.remove(0).sharding
}

#[test]
fn nothing_is_sharded_unless_the_file_says_so() {
    let expected = Sharding {
        rules: Vec::new(),
        servers: Vec::new(),
        global_tables: Vec::new(),
        two_phase: false,
        sequence_block: 1000,
        max_fan_out: 8,
        max_merge_rows: 1_000_000,
        max_merge_bytes: 64 << 20,
        max_plans: 4096,
    };
    assert_eq!(sharding(""), expected);
    let own = sharding(
        "[sharding_defaults]\nmax_fan_out = 3\nmax_merge_rows = 10\nmax_merge_bytes = 2048\nmax_plans = 7\n",
    );
    assert_eq!((own.max_fan_out, own.max_merge_rows, own.max_merge_bytes, own.max_plans), (3, 10, 2048, 7));
}

#[test]
fn global_tables_are_not_sharded_as_well() {
    let rules =
        [rule("a", "\"users\"", "shard_count = 4"), rule("b", "\"log_*\"", "shard_count = 4")].concat();
    let with = |tables: &str| format!("{LEAST}{rules}[sharding_defaults]\nglobal_tables = {tables}\n");
    let read = good(&with("[\"countries\", \"rate*\"]")).clusters.remove(0).sharding.global_tables;
    assert_eq!(read, [TablePattern::Exact("countries".to_owned()), TablePattern::Prefix("rate".to_owned())]);
    for (tables, expected) in [
        ("[\"*\"]", "\"*\" is no name of a table"),
        ("[\"user*\"]", "\"user*\" covers tables that \"users\" of the rule of line"),
        ("[\"ok\", \"log_a\"]", "\"log_a\" covers tables that \"log_*\" of the rule of line"),
    ] {
        let problems = bad(&with(tables));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{tables}: {problems:?}");
        assert!(problems[0].contains("sharding_defaults.global_tables: "), "{problems:?}");
    }
}

#[test]
fn a_sequence_has_integers() {
    let with = |more: &str| rule("a", "\"users\"", &format!("shard_count = 4\nsequence_column = {more}"));
    assert_eq!(sharding(&with("\"id\"")).rules[0].sequence.as_deref(), Some("id"));
    assert_eq!(sharding(&with("\"n\"\nkey_type = \"text\"")).rules[0].sequence.as_deref(), Some("n"));
    let problems = bad(&format!("{LEAST}{}", with("\"ID\"\nkey_type = \"text\"")));
    let expected = "sharding.sequence_column: is the shard_column, whose key_type is \"text\"";
    assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
    let block =
        sharding(&format!("{}[sharding_defaults]\nsequence_block = 5\n", with("\"id\""))).sequence_block;
    assert_eq!(block, 5);
}

#[test]
fn rules_are_read_in_their_order() {
    let text = [
        rule("a", "\"users\"", "shard_count = 4"),
        rule("b", "[\"log_*\", \"event\"]", "algorithm = \"hash\"\nkey_type = \"text\"\nshard_count = 256"),
        rule("c", "\"x\"", "algorithm = \"range\"\nboundaries = [-5, \"7\", 0x10]"),
        rule(
            "d",
            "\"y\"",
            "algorithm = \"range\"\nkey_type = \"date\"\nboundaries = [\"2026-01-01\"]\nshard_count = 2",
        ),
        rule("e", "\"z\"", "algorithm = \"range\"\nboundaries = []"),
    ];
    let rules = sharding(&text.concat()).rules;
    let exact = |name: &str| TablePattern::Exact(name.to_owned());
    let first = ShardingRule {
        name: "a".to_owned(),
        tables: vec![exact("users")],
        column: "id".to_owned(),
        sequence: None,
        key_type: KeyType::Integer,
        algorithm: Algorithm::Mod,
        shards: 4,
    };
    assert_eq!(rules[0], first);
    assert_eq!(rules[1].tables, [TablePattern::Prefix("log_".to_owned()), exact("event")]);
    assert_eq!(
        (&rules[1].algorithm, rules[1].key_type, rules[1].shards),
        (&Algorithm::Hash, KeyType::Text, 256)
    );
    let keys = [-5, 7, 16].map(Key::Integer).to_vec();
    assert_eq!((&rules[2].algorithm, rules[2].shards), (&Algorithm::Range(keys), 4));
    assert_eq!((rules[3].key_type, rules[3].shards), (KeyType::Date, 2));
    assert_eq!((&rules[4].algorithm, rules[4].shards), (&Algorithm::Range(Vec::new()), 1));
}

/// What is said of a second rule with these lines, from a key on.
fn said(pattern: &str, more: &str) -> Vec<String> {
    let text = format!(
        "{LEAST}{}{}",
        rule("a", "[\"users\", \"log_*\"]", "shard_count = 2"),
        rule("b", pattern, more)
    );
    let problems = bad(&text);
    problems.iter().map(|line| line.split_once(": sharding.").expect("a key").1.to_owned()).collect()
}

#[test]
fn patterns_that_cover_the_same_tables_are_refused() {
    for (pattern, other) in [
        ("\"users\"", "users"),
        ("\"log_2026\"", "log_*"),
        ("\"log_*\"", "log_*"),
        ("\"lo*\"", "log_*"),
        ("\"log_a*\"", "log_*"),
        ("[\"y\", \"user*\"]", "users"),
    ] {
        let problems = said(pattern, "shard_count = 2");
        let expected = format!("and \"{other}\" of line 5 cover the same tables");
        assert!(problems.len() == 1 && problems[0].contains(&expected), "{pattern}: {problems:?}");
    }
    for pattern in ["\"user\"", "\"Users\"", "\"log\"", "\"users_*\"", "[\"y\", \"y*\"]"] {
        let text =
            [rule("a", "[\"users\", \"log_*\"]", "shard_count = 2"), rule("b", pattern, "shard_count = 2")];
        assert_eq!(sharding(&text.concat()).rules.len(), 2, "{pattern}");
    }
}

#[test]
fn what_names_no_table_is_refused() {
    for pattern in ["\"\"", "\"*\"", "\"a*b\"", "\"*a\"", "\"a**\"", "[\"x\", \"\"]", "\"a\\tb\""] {
        let problems = said(pattern, "shard_count = 2");
        assert!(
            problems.len() == 1 && problems[0].contains("is no name of a table"),
            "{pattern}: {problems:?}"
        );
    }
    assert_eq!(said("[]", "shard_count = 2"), ["table_pattern: it names no table"]);
    let wrong = "table_pattern: must be a string in quotes or a list of such, not ";
    assert_eq!(said("5", "shard_count = 2"), [format!("{wrong}a number")]);
    assert_eq!(said("[\"a\", 5]", "shard_count = 2"), [format!("{wrong}a list with something else")]);
}

#[test]
fn counts_and_boundaries_fit_the_algorithm() {
    let many: Vec<String> = (0..256).map(|number: u32| number.to_string()).collect();
    let many = format!("algorithm = \"range\"\nboundaries = [{}]", many.join(", "));
    let cases = [
        ("", "shard_count: the key is missing: \"mod\" needs to know"),
        ("algorithm = \"hash\"", "shard_count: the key is missing: \"hash\" needs"),
        ("shard_count = 0", "shard_count: 0 is out of bounds: must be between 1 and 256"),
        ("shard_count = 257", "shard_count: 257 is out of bounds"),
        ("shard_count = 2\nboundaries = [1]", "boundaries: is for algorithm = \"range\": \"mod\" has none"),
        ("algorithm = \"range\"", "boundaries: the key is missing"),
        (
            "algorithm = \"range\"\nboundaries = [1]\nshard_count = 3",
            "shard_count: 3 is not the number of shards that the boundaries make, 2",
        ),
        ("algorithm = \"range\"\nboundaries = [2, 1]", "boundaries: \"1\" is not above"),
        ("algorithm = \"range\"\nboundaries = [1, \"01\"]", "boundaries: \"01\" is not above"),
        ("algorithm = \"range\"\nboundaries = [\"a\"]", "boundaries: \"a\" is no key of type \"integer\""),
        ("algorithm = \"range\"\nboundaries = [18446744073709551616]", "boundaries: "),
        (
            "algorithm = \"range\"\nboundaries = [1.5]",
            "boundaries: must be a list of whole numbers and strings",
        ),
        (
            "algorithm = \"range\"\nkey_type = \"date\"\nboundaries = [\"2026-02-30\"]",
            "boundaries: \"2026-02-30\" is no key of type \"date\": that is a day of the calendar",
        ),
        (
            "algorithm = \"range\"\nkey_type = \"decimal\"\nboundaries = [\"9\", \"10.0\", 10]",
            "boundaries: \"10\" is not above",
        ),
        (
            "algorithm = \"range\"\nkey_type = \"binary\"\nboundaries = [\"0x8\"]",
            "boundaries: \"0x8\" is no key of type \"binary\"",
        ),
        (
            "algorithm = \"range\"\nkey_type = \"text\"\nboundaries = [\"m\"]",
            "algorithm: contradicts key_type = \"text\"",
        ),
        ("algorithm = \"rnage\"\nshard_count = 2", "algorithm: \"rnage\" is none of"),
        (&many, "boundaries: has 256 entries: at most 255"),
    ];
    for (more, expected) in cases {
        let problems = said("\"x\"", more);
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{more}: {problems:?}");
    }
}

#[test]
fn every_mistake_of_a_rule_is_reported() {
    let text = format!("{LEAST}{}[[sharding]]\nname = \"a\"\n", rule("a", "\"users\"", "shard_count = 2"));
    assert_eq!(
        bad(&text),
        [
            "10: sharding.shard_count: the key is missing: \"mod\" needs to know how many shards there are",
            "10: sharding.table_pattern: the key is missing: it has no default",
            "10: sharding.shard_column: the key is missing: it has no default",
            "11: sharding.name: the rule of line 5 has the same name",
        ]
    );
}
