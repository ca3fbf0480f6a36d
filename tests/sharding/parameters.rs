//! Makes parameters of literals beside the sharding column.

use super::common::random::Random;
use super::common::wire::Value;

const BEFORE: &[&str] = &[
    "user_id = ",
    "user_id IN (",
    "user_id BETWEEN ",
    "? AND ",
    "user_id > ",
    "user_id <= ",
    "user_id <=> ",
    "VALUES (",
    "SELECT ",
    "LIMIT ",
    "HAVING COUNT(*) > ",
    "HAVING k > ",
];

/// The statement with `?` for some of its literals, and their values, not always of the literal's own type.
pub fn with_parameters(sql: &str, random: &mut Random) -> (String, Vec<Value>) {
    let (mut text, mut values, mut rest) = (String::new(), Vec::new(), sql);
    while let Some(next) = rest.chars().next() {
        let may = BEFORE.iter().any(|before| text.ends_with(before));
        let literal = if may { literal(rest) } else { None };
        match literal.filter(|_| random.below(4) > 0) {
            Some(literal) => {
                values.push(value(literal, text.ends_with("LIMIT "), random));
                text.push('?');
                rest = &rest[literal.len()..];
            }
            None => {
                text.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    (text, values)
}

/// The literal that a text begins with, if it is a plain one.
fn literal(text: &str) -> Option<&str> {
    let end = match text.strip_prefix('\'') {
        Some(inside) => inside.find('\'')? + 2,
        None => text.find(|c: char| !c.is_ascii_digit() && c != '-' && c != '.').unwrap_or(text.len()),
    };
    let ends = text[end..].chars().next().is_none_or(|c| " ,)\n".contains(c));
    (ends && text[..end].contains(|c: char| c.is_ascii_digit())).then_some(&text[..end])
}

fn value(literal: &str, of_limit: bool, random: &mut Random) -> Value {
    let number = (literal.parse::<i64>().ok(), literal.parse::<f64>().ok());
    match (number, random.below(30)) {
        ((Some(number), _), _) if of_limit => Value::Int(number),
        (_, 0) => Value::Null,
        ((Some(number), _), 1..=18) => Value::Int(number),
        ((_, Some(number)), 19..=24) => Value::Double(number),
        _ => Value::text(literal.trim_matches('\'')),
    }
}
