//! The tables of the oracle: every type of column, several collations, NULLs, keys that are compared in every way.

use super::common::random::Random;

/// Columns of `users` behind its key, each with how it is declared and the values that it may get.
pub struct Field {
    pub name: &'static str,
    pub declared: &'static str,
    pub values: &'static [&'static str],
    /// The server's order of it can be told from its values.
    pub orders: bool,
    /// It can be added up exactly.
    pub adds: bool,
}

const fn field(name: &'static str, declared: &'static str, values: &'static [&'static str]) -> Field {
    Field { name, declared, values, orders: true, adds: false }
}

const fn number(name: &'static str, declared: &'static str, values: &'static [&'static str]) -> Field {
    Field { name, declared, values, orders: true, adds: true }
}

pub const FIELDS: &[Field] = &[
    number("ti", "TINYINT", &["NULL", "-128", "-1", "0", "1", "7", "127"]),
    number("su", "SMALLINT UNSIGNED NOT NULL", &["0", "1", "300", "65535"]),
    number("mi", "MEDIUMINT", &["NULL", "-5", "0", "5", "8388607"]),
    number("i", "INT UNSIGNED", &["NULL", "0", "3", "4294967295"]),
    number("b", "BIGINT", &["NULL", "-9223372036854775808", "-1", "0", "9223372036854775807"]),
    number("bu", "BIGINT UNSIGNED", &["NULL", "0", "1", "18446744073709551615"]),
    number(
        "d",
        "DECIMAL(30,6)",
        &["NULL", "-1.5", "0", "0.000001", "1.10", "123456789012345678901234.654321"],
    ),
    number("d0", "DECIMAL(10,0) NOT NULL", &["0", "-7", "12", "9999999999"]),
    field("f", "FLOAT", &["NULL", "-1.5", "0", "0.5", "2048", "16777215", "16777214", "0.3", "0.30000004"]),
    // Sums of these are exact in whatever order they are added.
    number("db", "DOUBLE", &["NULL", "-0.25", "0", "0.5", "1024", "3"]),
    field("bi", "BIT(9)", &["NULL", "b'0'", "b'1'", "b'101'", "b'111111111'"]),
    field("y", "YEAR", &["NULL", "1901", "2000", "2155"]),
    field("da", "DATE", &["NULL", "'1000-01-01'", "'2024-02-29'", "'2024-12-31'", "'9999-12-31'"]),
    field("dt", "DATETIME(3)", &["NULL", "'2024-02-29 00:00:00'", "'2024-02-29 12:34:56.789'"]),
    field("ts", "TIMESTAMP NULL", &["NULL", "'2024-02-29 12:34:56'", "'2037-01-01 00:00:00'"]),
    field("t", "TIME(2)", &["NULL", "'-838:59:59'", "'-00:00:01'", "'00:00:00.50'", "'100:00:00'"]),
    field("c", "CHAR(6)", &["NULL", "''", "'a'", "'A'", "'b'", "'ä'", "'Ab'", "'zz'"]),
    field(
        "v",
        "VARCHAR(20) NOT NULL",
        &["''", "'a'", "'A'", "'a '", "'b'", "'ß'", "'ss'", "'É'", "'e'", "'zebra'", "'a\\tb'"],
    ),
    field("vb", "VARCHAR(20) COLLATE utf8mb4_bin", &["NULL", "'a'", "'A'", "'a '", "'é'", "'_'", "'z'"]),
    field(
        "vl",
        "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
        &["NULL", "'a'", "'A'", "'ü'", "'y'", "'b'"],
    ),
    field("vu", "VARCHAR(20) COLLATE utf8mb4_unicode_ci", &["NULL", "'a'", "'À'", "'b'", "'ss'", "'ß'"]),
    field("x", "TEXT", &["NULL", "''", "'text'", "'TEXT'", "'other text'"]),
    field("bn", "BINARY(4)", &["NULL", "'a'", "x'00FF'", "'abcd'"]),
    field("vy", "VARBINARY(8)", &["NULL", "''", "x'00'", "'a'", "'A'", "'a '"]),
    field("bl", "BLOB", &["NULL", "''", "x'DEADBEEF'", "'blob'"]),
    Field {
        orders: false,
        ..field("e", "ENUM('small','medium','large')", &["NULL", "'small'", "'medium'", "'large'"])
    },
    Field { orders: false, ..field("s", "SET('q','b','z')", &["NULL", "''", "'q'", "'b,z'"]) },
];

/// Statements that make the tables, in whichever schema they are said.
pub fn definitions(key: &str) -> Vec<String> {
    let columns: Vec<_> = FIELDS.iter().map(|field| format!("{} {}", field.name, field.declared)).collect();
    vec![
        format!(
            "CREATE TABLE users (user_id {key} NOT NULL, n INT NOT NULL, {}, PRIMARY KEY (user_id, n), KEY by_v (v)) DEFAULT CHARSET utf8mb4",
            columns.join(", ")
        ),
        format!(
            "CREATE TABLE orders (user_id {key} NOT NULL, nr INT NOT NULL, price DECIMAL(12,2) NOT NULL, note VARCHAR(30), \
             PRIMARY KEY (user_id, nr)) DEFAULT CHARSET utf8mb4"
        ),
        format!(
            "CREATE TABLE items (user_id {key} NOT NULL, nr INT NOT NULL, price DECIMAL(12,2) NOT NULL DEFAULT 9, \
             PRIMARY KEY (user_id, nr)) DEFAULT CHARSET utf8mb4"
        ),
        format!("CREATE TABLE notes (user_id {key}, word VARCHAR(20)) DEFAULT CHARSET utf8mb4"),
        "CREATE TABLE places (place INT PRIMARY KEY, name VARCHAR(20)) DEFAULT CHARSET utf8mb4".to_owned(),
        "INSERT INTO places VALUES (0, 'nowhere'), (1, 'here'), (7, 'there'), (300, 'far')".to_owned(),
    ]
}

/// A row of `users` without its key.
pub fn row(random: &mut Random) -> String {
    let values: Vec<_> = FIELDS.iter().map(|field| field.values[random.below(field.values.len())]).collect();
    values.join(", ")
}

/// The columns that such a row is for.
pub fn names() -> String {
    FIELDS.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
}
