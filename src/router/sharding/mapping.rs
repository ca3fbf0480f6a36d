//! From keys and conditions to shards.

use std::fmt::{self, Write};
use std::hash::Hasher;

use bigdecimal::{BigDecimal, RoundingMode};
use fnv::FnvHasher;

use super::Rule;
use super::key::{self, KeyError, Reading};
use super::plan::{Bound, Condition, Operand};
use super::shard_set::ShardSet;
use super::value::Value;
use crate::config::sharding::{Algorithm, Key, KeyType};

/// A range with fewer whole numbers for each shard is looked at number by number.
const NUMBERS_PER_SHARD: i128 = 4;

/// The values of operands; an error makes a condition on one say nothing.
pub type Values<'a> = &'a mut dyn FnMut(&Operand) -> Result<Value, KeyError>;

/// Where rows with this key are.
pub fn shard_of(rule: &Rule, key: &Key) -> u32 {
    let shards = rule.shards.max(1);
    match (&rule.algorithm, key) {
        (Algorithm::Range(boundaries), key) => behind(boundaries, key),
        (Algorithm::Mod, Key::Integer(number)) => {
            u32::try_from(number.rem_euclid(shards.into())).unwrap_or_default()
        }
        (Algorithm::Mod | Algorithm::Hash, key) => {
            u32::try_from(hash_of(key) % u64::from(shards)).unwrap_or_default()
        }
    }
}

/// FNV-1a, 64 bits, of the key's canonical text.
pub fn hash_of(key: &Key) -> u64 {
    let mut hasher = Hashed(FnvHasher::default());
    match key {
        // The same as below, without making the text.
        Key::Integer(number) if write!(hasher, "{number}").is_ok() => {}
        key => hasher.0.write(&key.canonical()),
    }
    hasher.0.finish()
}

/// Where an INSERT of this value puts its row.
///
/// # Errors
/// Where the value tells no key, or the column may round it into another shard.
pub fn place(rule: &Rule, value: &Value, reading: Reading) -> Result<u32, KeyError> {
    let key = key::stored(rule.key_type, value, reading)?;
    let (low, high) = match &key {
        Key::Decimal(number) if !number.is_integer() => {
            let to = |mode| Some(Key::decimal(&number.with_scale_round(0, mode)));
            (to(RoundingMode::Floor), to(RoundingMode::Ceiling))
        }
        Key::DateTime(moment) if moment.has_fraction() => {
            (Some(Key::DateTime(moment.whole_second())), moment.next_second().map(Key::DateTime))
        }
        _ => return Ok(shard_of(rule, &key)),
    };
    // In a range all that is between two keys of one shard is there, too.
    let shard = |key: Option<Key>| key.map(|key| shard_of(rule, &key));
    match (&rule.algorithm, shard(low), shard(high)) {
        (Algorithm::Range(_), Some(low), Some(high)) if low == high => Ok(low),
        _ => Err(KeyError::Rounded { value: key::shown(value), key_type: rule.key_type }),
    }
}

/// The shards where rows can be for which the condition holds. What can't be told is on all of them: each server
/// looks at the condition itself.
pub fn evaluate(rule: &Rule, condition: &Condition, values: Values<'_>, reading: Reading) -> ShardSet {
    Evaluation { rule, values, reading }.of(condition)
}

struct Hashed(FnvHasher);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// How many boundaries a key has behind it.
fn behind(boundaries: &[Key], key: &Key) -> u32 {
    u32::try_from(boundaries.partition_point(|boundary| boundary <= key)).unwrap_or_default()
}

struct Evaluation<'a> {
    rule: &'a Rule,
    values: Values<'a>,
    reading: Reading,
}

/// What all keys of a condition are between. Both ends may be further out than it says.
#[derive(Default)]
struct Interval {
    low: Option<Key>,
    /// The end itself is in it, or not.
    high: Option<(Key, bool)>,
    /// There is no such key.
    is_empty: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Low,
    High,
}

impl Evaluation<'_> {
    fn of(&mut self, condition: &Condition) -> ShardSet {
        match condition {
            Condition::Any => self.all(),
            Condition::Never => ShardSet::EMPTY,
            Condition::Equals(operand) => self.equals(operand),
            Condition::Stored(operand) => {
                let placed = (self.values)(operand).and_then(|value| place(self.rule, &value, self.reading));
                placed.map_or_else(|_| self.all(), ShardSet::of)
            }
            Condition::InRow(operand) => match (self.values)(operand) {
                Ok(value) if key::is_of_kind(self.rule.key_type, &value) => {
                    place(self.rule, &value, self.reading).map_or_else(|_| self.all(), ShardSet::of)
                }
                _ => self.all(),
            },
            Condition::Between { .. } => self.all_of(std::slice::from_ref(condition)),
            Condition::And(conditions) => self.all_of(conditions),
            Condition::Or(conditions) => {
                let mut found = ShardSet::EMPTY;
                for condition in conditions {
                    found = found.union(self.of(condition));
                }
                found
            }
        }
    }

    fn all(&self) -> ShardSet {
        ShardSet::full(self.rule.shards)
    }

    fn equals(&mut self, operand: &Operand) -> ShardSet {
        let value = (self.values)(operand);
        match value.and_then(|value| key::compared(self.rule.key_type, &value, self.reading)) {
            Ok(Some(key)) => ShardSet::of(shard_of(self.rule, &key)),
            Ok(None) => ShardSet::EMPTY,
            Err(_) => self.all(),
        }
    }

    /// Ranges are one together, since two that are open on one side each may have few numbers between them.
    fn all_of(&mut self, conditions: &[Condition]) -> ShardSet {
        let mut found = self.all();
        let mut interval = Interval::default();
        for condition in conditions {
            match condition {
                Condition::Between { low, high } => {
                    self.narrow(&mut interval, low.as_ref(), high.as_ref());
                }
                other => found = found.intersect(self.of(other)),
            }
        }
        found.intersect(self.within(&interval))
    }

    /// A server compares both ends of a BETWEEN in one way, which depends on both: where one can't be told, none can.
    fn narrow(&mut self, interval: &mut Interval, low: Option<&Bound>, high: Option<&Bound>) {
        let mut ends = [None, None];
        let (mut as_numbers, mut as_floats) = (true, true);
        for (end, (bound, side)) in ends.iter_mut().zip([(low, Side::Low), (high, Side::High)]) {
            let Some(bound) = bound else { continue };
            let Ok(value) = (self.values)(&bound.value) else { return };
            if value == Value::Null {
                interval.is_empty = true;
                return;
            }
            let Some((key, inclusive)) = self.end(&value, bound.inclusive, side) else { return };
            as_numbers &= matches!(value, Value::Integer(_) | Value::Decimal(_));
            as_floats &= key::is_exact(&key);
            *end = Some((key, inclusive));
        }
        if self.rule.key_type == KeyType::Integer && !as_numbers && !as_floats {
            return;
        }
        let [low, high] = ends;
        if let Some((key, _)) = low
            && interval.low.as_ref().is_none_or(|low| *low < key)
        {
            interval.low = Some(key);
        }
        if let Some(end) = high
            && interval.high.as_ref().is_none_or(|high| end < *high)
        {
            interval.high = Some(end);
        }
    }

    fn end(&self, value: &Value, inclusive: bool, side: Side) -> Option<(Key, bool)> {
        match self.rule.key_type {
            KeyType::Integer => whole_bound(value, inclusive, side).map(|key| (key, true)),
            KeyType::Binary => binary_bound(value, self.reading, side).map(|key| (key, true)),
            other => key::bound(other, value, self.reading).map(|key| (key, inclusive)),
        }
    }

    fn within(&self, interval: &Interval) -> ShardSet {
        let Interval { low, high, is_empty } = interval;
        let crossed = low.as_ref().zip(high.as_ref()).is_some_and(|(low, (high, _))| low > high);
        if *is_empty || crossed {
            return ShardSet::EMPTY;
        }
        match (&self.rule.algorithm, low, high) {
            (Algorithm::Range(boundaries), low, high) => {
                let first = low.as_ref().map_or(0, |low| behind(boundaries, low));
                let last = high.as_ref().map_or(self.rule.shards.saturating_sub(1), |(high, inclusive)| {
                    let before = |key: &Key| key < high || (*inclusive && key == high);
                    u32::try_from(boundaries.partition_point(before)).unwrap_or_default()
                });
                ShardSet::span(first, last + 1)
            }
            (_, Some(Key::Integer(low)), Some((Key::Integer(high), _)))
                if high.saturating_sub(*low) < NUMBERS_PER_SHARD * i128::from(self.rule.shards) =>
            {
                let shard = |number| ShardSet::of(shard_of(self.rule, &Key::Integer(number)));
                (*low..=*high).map(shard).fold(ShardSet::EMPTY, ShardSet::union)
            }
            _ => self.all(),
        }
    }
}

/// The outermost whole number that a range has.
fn whole_bound(value: &Value, inclusive: bool, side: Side) -> Option<Key> {
    let number = match value {
        Value::Integer(number) => *number,
        Value::Decimal(number) if !number.is_integer() => return rounded(number, side).map(Key::Integer),
        Value::Decimal(number) => rounded(number, side)?,
        Value::Float(number) => match key::float_between(*number)? {
            (below, above) if below == above => below,
            (below, above) => return Some(Key::Integer(if side == Side::Low { above } else { below })),
        },
        _ => key::exact(value)?,
    };
    Some(Key::Integer(match side {
        _ if inclusive => number,
        Side::Low => number.saturating_add(1),
        Side::High => number.saturating_sub(1),
    }))
}

/// Inwards: there are only whole numbers.
fn rounded(number: &BigDecimal, side: Side) -> Option<i128> {
    let mode = if side == Side::Low { RoundingMode::Ceiling } else { RoundingMode::Floor };
    i128::try_from(number.with_scale_round(0, mode).into_bigint_and_exponent().0).ok()
}

/// An end that holds whether columns fill up with zeros, with spaces or not at all, and whatever of those keys leave
/// out at their ends.
fn binary_bound(value: &Value, reading: Reading, side: Side) -> Option<Key> {
    let bytes = match value {
        Value::Binary(bytes) => bytes,
        Value::Text(text) if reading.utf8 || text.is_ascii() => text,
        _ => return None,
    };
    match side {
        // A key that lacks such a byte is before those that have it.
        Side::Low => bytes.split(|byte| *byte <= b' ').next().map(Key::binary),
        Side::High => Some(Key::binary(&[bytes, &b"!"[..]].concat())),
    }
}
