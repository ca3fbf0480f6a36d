//! Which columns keep the value of a sharding column. For LOAD DATA LOCAL a server makes values fit, whatever the sql_mode: what
//! is too large becomes the largest, and what is too long is cut. The row would have another key then.

use crate::config::sharding::{Key, KeyType};

/// Whether a column of this kind, as SHOW COLUMNS tells it, keeps a value as it is. `text` is what the file has for it.
pub fn keeps(kind: &str, key_type: KeyType, key: &Key, text: &[u8]) -> bool {
    let kind = kind.to_ascii_lowercase();
    let word = kind.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
    match (key_type, key) {
        (KeyType::Integer, Key::Integer(number)) => integer(word, kind.contains("unsigned"), *number),
        (KeyType::Text | KeyType::Binary, _) => {
            let len = match is_of_bytes(&kind) {
                true => text.len(),
                // Texts of one byte for each character are at least as short.
                false => std::str::from_utf8(text).map_or(text.len(), |text| text.chars().count()),
            };
            longest(word, &kind).is_some_and(|longest| len <= longest)
        }
        (KeyType::Decimal, Key::Decimal(_)) => decimal(word, &kind, key),
        (KeyType::Date, _) => word == "date",
        (KeyType::DateTime, _) => word == "datetime",
        _ => false,
    }
}

/// Whether a column has bytes, and no texts.
pub fn is_of_bytes(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    ["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"]
        .iter()
        .any(|word| kind.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('(')))
}

fn integer(word: &str, unsigned: bool, number: i128) -> bool {
    let bits = match word {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" | "integer" => 32,
        "bigint" => 64,
        _ => return false,
    };
    let (low, high) = match unsigned {
        true => (0, (1_i128 << bits) - 1),
        false => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
    };
    (low..=high).contains(&number)
}

/// Characters of a text, or bytes.
fn longest(word: &str, kind: &str) -> Option<usize> {
    match word {
        "char" | "varchar" | "binary" | "varbinary" => arguments(kind).next()?,
        "tinytext" | "tinyblob" => Some(255 / 4),
        "text" | "blob" => Some(65_535 / 4),
        "mediumtext" | "mediumblob" | "longtext" | "longblob" => Some((1 << 24) / 4),
        _ => None,
    }
}

/// Digits in front of the point; what is behind it has been looked at where it decides a shard.
fn decimal(word: &str, kind: &str, key: &Key) -> bool {
    let mut sizes = arguments(kind);
    let (Some(Some(digits)), behind) = (sizes.next(), sizes.next().flatten().unwrap_or(0)) else {
        return false;
    };
    let text = key.canonical();
    let negative = text.starts_with(b"-");
    let before = text.iter().skip(usize::from(negative)).take_while(|byte| byte.is_ascii_digit());
    let before = before.skip_while(|byte| **byte == b'0').count();
    word == "decimal" && before <= digits.saturating_sub(behind) && !(negative && kind.contains("unsigned"))
}

/// The numbers in parentheses.
fn arguments(kind: &str) -> impl Iterator<Item = Option<usize>> {
    let inner =
        kind.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inner, _)| inner);
    inner.split(',').map(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sharding;

    #[test]
    fn numbers_that_columns_have_room_for() {
        let fits = |kind: &str, number: i128| {
            keeps(kind, KeyType::Integer, &Key::Integer(number), number.to_string().as_bytes())
        };
        for (kind, low, high) in [
            ("tinyint(4)", -128, 127),
            ("tinyint(3) unsigned", 0, 255),
            ("mediumint", -(1 << 23), (1 << 23) - 1),
            ("int(10) unsigned zerofill", 0, (1 << 32) - 1),
            ("INT", -(1 << 31), (1 << 31) - 1),
            ("bigint(20)", i64::MIN.into(), i64::MAX.into()),
            ("bigint unsigned", 0, u64::MAX.into()),
        ] {
            assert!(fits(kind, low) && fits(kind, high), "{kind}");
            assert!(!fits(kind, low - 1) && !fits(kind, high + 1), "{kind}");
        }
        assert!(!fits("year(4)", 70) && !fits("varchar(9)", 1) && !fits("decimal(9,0)", 1));
        let decimal = |kind: &str, text: &str| {
            let number = sharding::decimal(text.as_bytes()).expect("a decimal");
            keeps(kind, KeyType::Decimal, &Key::decimal(&number), text.as_bytes())
        };
        assert!(decimal("decimal(5,2)", "-999.12") && decimal("decimal(5,2) unsigned", "0.5"));
        assert!(!decimal("decimal(5,2)", "1000") && !decimal("decimal(5,2) unsigned", "-1"));
        assert!(!decimal("int(11)", "1"));
    }

    #[test]
    fn texts_that_columns_have_room_for() {
        let fits = |kind: &str, text: &str| {
            keeps(kind, KeyType::Binary, &Key::binary(text.as_bytes()), text.as_bytes())
        };
        assert!(fits("varchar(3)", "abc") && fits("char(3)", "äöü") && fits("varbinary(6)", "äöü"));
        assert!(!fits("varchar(3)", "abcd") && !fits("binary(5)", "äöü") && !fits("enum('a','b')", "a"));
        assert!(fits("longtext", "a") && !fits("tinytext", &"a".repeat(256)));
        assert!(is_of_bytes("VARBINARY(3)") && is_of_bytes("blob") && !is_of_bytes("varchar(3)"));
    }
}
