//! The aggregates of several shards as one.

use foldhash::HashSet;

use super::concat::{Concatenation, Texts};
use super::double;
use super::error::MergeError;
use super::exact::Exact;
use super::key::{self, Kind};
use super::layout::{Columns, KeyPart, Layout, name, put_all};
use super::variance::Variance;
use crate::protocol::buf::Malformed;
use crate::protocol::column_definition::{ColumnDefinition, column_type};
use crate::protocol::row::{Cell, RowEncoding};
use crate::router::sharding::{Aggregate, Column, Compared, Deviation};

/// What is done with the values of one column.
#[derive(Debug)]
pub(super) struct Fold {
    column: usize,
    how: How,
}

#[derive(Debug)]
enum How {
    Count(Kind),
    Sum(Kind),
    Extreme {
        largest: bool,
        part: KeyPart,
    },
    Average {
        sum: Addend,
        count: Addend,
    },
    Bits(BitOperation, Kind),
    /// The number of different values, or the sum of the column with one row for each of them.
    Distinct {
        parts: Vec<KeyPart>,
        sum: Option<Kind>,
    },
    Concat(Concatenation),
    Deviation {
        count: Addend,
        mean: Addend,
        variance: Addend,
        kind: Deviation,
    },
}

/// A column of numbers.
#[derive(Debug, Clone, Copy)]
struct Addend {
    column: usize,
    kind: Kind,
}

impl Addend {
    fn read(&self, encoding: RowEncoding, row: &[u8], cells: &[Cell]) -> Result<Option<Total>, MergeError> {
        let value = cells.get(self.column).and_then(|cell| cell.value(row));
        Ok(value.map(|bytes| Total::read(self.kind, encoding, bytes)).transpose()?)
    }
}

#[derive(Debug, Clone, Copy)]
enum BitOperation {
    And,
    Or,
    Xor,
}

impl BitOperation {
    fn of<T>(self, a: T, b: T) -> T
    where
        T: std::ops::BitAnd<Output = T> + std::ops::BitOr<Output = T> + std::ops::BitXor<Output = T>,
    {
        match self {
            BitOperation::And => a & b,
            BitOperation::Or => a | b,
            BitOperation::Xor => a ^ b,
        }
    }
}

/// What of a column has been folded in one group.
#[derive(Debug)]
pub(super) enum State {
    /// `None` where all were NULL.
    Sum(Option<Total>),
    Extreme(Option<Best>),
    Average {
        sum: Option<Total>,
        count: i128,
    },
    Bits(Option<u64>),
    Bytes(Option<Vec<u8>>),
    Distinct {
        seen: HashSet<Box<[u8]>>,
        sum: Option<Total>,
    },
    Concat(Texts),
    Deviation(Variance),
}

/// Takes in what tells a row apart. How many bytes more are held by that: none if there was such a row.
pub(super) fn see(
    seen: &mut HashSet<Box<[u8]>>,
    parts: &[KeyPart],
    encoding: RowEncoding,
    row: &[u8],
    cells: &[Cell],
) -> Result<usize, MergeError> {
    /// Bytes that a value takes besides its own.
    const OVERHEAD: usize = 2 * size_of::<Box<[u8]>>();
    let mut key = Vec::new();
    put_all(parts, &mut key, encoding, row, cells)?;
    let grown = key.len() + OVERHEAD;
    Ok(if seen.insert(key.into()) { grown } else { 0 })
}

#[derive(Debug)]
pub(super) enum Total {
    Integer(i128),
    Exact(Exact),
    Double(f64),
}

/// The least or the largest value yet.
#[derive(Debug)]
pub(super) struct Best {
    key: Vec<u8>,
    value: Vec<u8>,
    weight: Option<Vec<u8>>,
}

impl Best {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len() + self.weight.as_ref().map_or(0, Vec::len)
    }
}

/// What a column's value becomes; `None` is NULL.
pub(super) type Changed = (usize, Option<Vec<u8>>);

impl Fold {
    pub fn new(columns: &Columns<'_>, column: usize, aggregate: &Aggregate) -> Result<Fold, MergeError> {
        let extreme = |largest, weight| {
            let part = columns.key_part(Compared { value: Column::Visible(column), weight })?;
            Ok::<_, MergeError>(How::Extreme { largest, part })
        };
        let addend = |column| Ok::<_, MergeError>(Addend { column, kind: number(columns.get(column)?)? });
        let bits = |operation| Ok::<_, MergeError>(How::Bits(operation, bit_kind(columns.get(column)?)?));
        let how = match aggregate {
            Aggregate::Count => How::Count(addend(column)?.kind),
            Aggregate::Sum => How::Sum(addend(column)?.kind),
            Aggregate::Min { weight } => extreme(false, *weight)?,
            Aggregate::Max { weight } => extreme(true, *weight)?,
            Aggregate::Avg { sum, count } => {
                number(columns.get(column)?)?;
                let [sum, count] = [columns.place(*sum)?, columns.place(*count)?];
                How::Average { sum: addend(sum)?, count: addend(count)? }
            }
            Aggregate::BitAnd => bits(BitOperation::And)?,
            Aggregate::BitOr => bits(BitOperation::Or)?,
            Aggregate::BitXor => bits(BitOperation::Xor)?,
            Aggregate::CountDistinct { of } => {
                number(columns.get(column)?)?;
                let parts = of.iter().map(|of| columns.group_part(*of)).collect::<Result<_, _>>()?;
                How::Distinct { parts, sum: None }
            }
            Aggregate::SumDistinct { of } => {
                let sum = Some(number(columns.get(column)?)?);
                How::Distinct { parts: vec![columns.group_part(*of)?], sum }
            }
            Aggregate::Deviation { count, mean, variance, kind } => {
                number(columns.get(column)?)?;
                let places = [columns.place(*count)?, columns.place(*mean)?, columns.place(*variance)?];
                let [count, mean, variance] = places;
                How::Deviation {
                    count: addend(count)?,
                    mean: addend(mean)?,
                    variance: addend(variance)?,
                    kind: *kind,
                }
            }
            Aggregate::Concat(concat) => How::Concat(Concatenation::new(columns, column, concat)?),
        };
        Ok(Fold { column, how })
    }

    pub fn start(&self) -> State {
        match self.how {
            How::Count(_) => State::Sum(Some(Total::Integer(0))),
            How::Sum(_) => State::Sum(None),
            How::Extreme { .. } => State::Extreme(None),
            How::Average { .. } => State::Average { sum: None, count: 0 },
            How::Bits(_, Kind::Bytes) => State::Bytes(None),
            How::Bits(..) => State::Bits(None),
            How::Distinct { .. } => State::Distinct { seen: HashSet::default(), sum: None },
            How::Concat(_) => State::Concat(Texts::default()),
            How::Deviation { .. } => State::Deviation(Variance::default()),
        }
    }

    /// Takes the values of one more row. Returns the bytes that the state has become larger, or smaller.
    pub fn fold(
        &self,
        state: &mut State,
        layout: &Layout,
        row: &[u8],
        cells: &[Cell],
    ) -> Result<isize, MergeError> {
        let encoding = layout.encoding;
        let value = |column: usize| cells.get(column).and_then(|cell| cell.value(row));
        match (&self.how, state) {
            (How::Count(kind) | How::Sum(kind), State::Sum(total)) => {
                if let Some(bytes) = value(self.column) {
                    add(total, Total::read(*kind, encoding, bytes)?);
                }
            }
            (How::Average { sum, count }, State::Average { sum: total, count: rows }) => {
                if let Some(more) = sum.read(encoding, row, cells)? {
                    add(total, more);
                }
                if let Some(Total::Integer(number)) = count.read(encoding, row, cells)? {
                    *rows += number;
                }
            }
            (How::Extreme { largest, part }, State::Extreme(best)) => {
                return self.compare(best, *largest, part, encoding, row, cells);
            }
            (How::Bits(operation, kind), State::Bits(bits)) => {
                if let Some(bytes) = value(self.column) {
                    let number = match kind {
                        Kind::Signed => key::signed(encoding, bytes)?.cast_unsigned(),
                        _ => key::unsigned(encoding, bytes)?,
                    };
                    *bits = Some(bits.map_or(number, |bits| operation.of(bits, number)));
                }
            }
            (How::Bits(operation, _), State::Bytes(known)) => {
                if let Some(bytes) = value(self.column) {
                    return self.bit_strings(known, *operation, layout, bytes);
                }
            }
            (How::Distinct { parts, sum }, State::Distinct { seen, sum: total }) => {
                if parts.iter().any(|part| value(part.value).is_none()) {
                    return Ok(0);
                }
                let grown = see(seen, parts, encoding, row, cells)?;
                if let (Some(kind), Some(bytes), true) = (sum, value(self.column), grown > 0) {
                    add(total, Total::read(*kind, encoding, bytes)?);
                }
                return Ok(grown.cast_signed());
            }
            (How::Deviation { count, mean, variance, .. }, State::Deviation(known)) => {
                let read = |of: &Addend| {
                    Ok::<_, MergeError>(of.read(encoding, row, cells)?.map(|total| total.to_f64()))
                };
                if let (Some(count), Some(mean), Some(variance)) =
                    (read(count)?, read(mean)?, read(variance)?)
                {
                    known.add(Variance { count, mean, variance });
                }
            }
            (How::Concat(concatenation), State::Concat(texts)) => {
                return concatenation.add(texts, encoding, row, cells);
            }
            // A state is made by `start`, for the fold that it is of.
            _ => {}
        }
        Ok(0)
    }

    fn compare(
        &self,
        best: &mut Option<Best>,
        largest: bool,
        part: &KeyPart,
        encoding: RowEncoding,
        row: &[u8],
        cells: &[Cell],
    ) -> Result<isize, MergeError> {
        let value = |column: usize| cells.get(column).and_then(|cell| cell.value(row));
        let Some(bytes) = value(self.column) else { return Ok(0) };
        let mut key = Vec::new();
        part.put(&mut key, encoding, row, cells)?;
        let is_better = match best {
            Some(best) if largest => key > best.key,
            Some(best) => key < best.key,
            None => true,
        };
        if !is_better {
            return Ok(0);
        }
        let weight = if part.is_weighed() { value(part.weight).map(<[u8]>::to_vec) } else { None };
        let better = Best { key, value: bytes.to_vec(), weight };
        let before = best.as_ref().map_or(0, Best::bytes);
        let grown = better.bytes().cast_signed() - before.cast_signed();
        *best = Some(better);
        Ok(grown)
    }

    /// Strings of one length, byte by byte.
    fn bit_strings(
        &self,
        known: &mut Option<Vec<u8>>,
        operation: BitOperation,
        layout: &Layout,
        bytes: &[u8],
    ) -> Result<isize, MergeError> {
        match known {
            Some(known) if known.len() == bytes.len() => {
                for (a, b) in known.iter_mut().zip(bytes) {
                    *a = operation.of(*a, *b);
                }
                Ok(0)
            }
            Some(_) => Err(MergeError::BitLengths { column: name(&layout.column(self.column)?) }),
            None => {
                *known = Some(bytes.to_vec());
                Ok(bytes.len().cast_signed())
            }
        }
    }

    /// What becomes of the group's row.
    pub fn finish(
        &self,
        state: State,
        layout: &Layout,
        changed: &mut Vec<Changed>,
    ) -> Result<(), MergeError> {
        let column = layout.column(self.column)?;
        let value = match state {
            State::Sum(None) | State::Average { sum: None, .. } | State::Average { count: 0, .. } => None,
            State::Sum(Some(total)) => Some(total.write(&column, layout.encoding)?),
            State::Average { sum: Some(sum), count } => {
                Some(sum.divide(count, &column)?.write(&column, layout.encoding)?)
            }
            State::Extreme(None) => None,
            State::Extreme(Some(best)) => {
                // Rows may be ordered by the same weight.
                if let How::Extreme { part, .. } = &self.how
                    && part.is_weighed()
                {
                    changed.push((part.weight, best.weight));
                }
                Some(best.value)
            }
            State::Bits(None) | State::Bytes(None) => None,
            State::Bits(Some(bits)) => {
                let number = match Kind::of(&column) {
                    Ok(Kind::Signed) => i128::from(bits.cast_signed()),
                    _ => i128::from(bits),
                };
                Some(Total::Integer(number).write(&column, layout.encoding)?)
            }
            State::Bytes(Some(bytes)) => Some(bytes),
            State::Concat(texts) => texts.finish(&column)?,
            State::Deviation(variance) => match &self.how {
                How::Deviation { kind, .. } => match variance.finish(*kind) {
                    Some(number) => Some(Total::Double(number).write(&column, layout.encoding)?),
                    None => None,
                },
                _ => None,
            },
            State::Distinct { seen, sum } => match (&self.how, sum) {
                (How::Distinct { sum: Some(_), .. }, None) => None,
                (How::Distinct { sum: Some(_), .. }, Some(sum)) => Some(sum.write(&column, layout.encoding)?),
                // No more than there are bytes of them.
                _ => Some(Total::Integer(seen.len() as i128).write(&column, layout.encoding)?),
            },
        };
        changed.push((self.column, value));
        Ok(())
    }
}

/// How to add up the numbers of a column.
fn number(column: &ColumnDefinition<'_>) -> Result<Kind, MergeError> {
    match Kind::of(column) {
        Ok(kind @ (Kind::Signed | Kind::Unsigned | Kind::Decimal | Kind::Float | Kind::Double)) => Ok(kind),
        _ => Err(no_number(column)),
    }
}

fn bit_kind(column: &ColumnDefinition<'_>) -> Result<Kind, MergeError> {
    match Kind::of(column) {
        Ok(kind @ (Kind::Signed | Kind::Unsigned | Kind::Bytes)) => Ok(kind),
        _ => Err(no_number(column)),
    }
}

fn no_number(column: &ColumnDefinition<'_>) -> MergeError {
    MergeError::NoNumber { column: name(column), kind: column_type::name(column.kind) }
}

fn add(total: &mut Option<Total>, more: Total) {
    *total = Some(match (total.take(), more) {
        // From zero, as the server does: no sum is -0.
        (None, Total::Double(number)) => Total::Double(0.0 + number),
        (None, more) => more,
        (Some(Total::Integer(a)), Total::Integer(b)) => Total::Integer(a.saturating_add(b)),
        (Some(Total::Exact(a)), Total::Exact(b)) => Total::Exact(a.add(b)),
        (Some(a), b) => Total::Double(a.to_f64() + b.to_f64()),
    });
}

impl Total {
    fn read(kind: Kind, encoding: RowEncoding, bytes: &[u8]) -> Result<Total, Malformed> {
        Ok(match kind {
            Kind::Signed => Total::Integer(i128::from(key::signed(encoding, bytes)?)),
            Kind::Unsigned => Total::Integer(i128::from(key::unsigned(encoding, bytes)?)),
            Kind::Decimal => Total::Exact(Exact::parse(bytes)?),
            _ => Total::Double(key::double(encoding, bytes)?),
        })
    }

    fn to_f64(&self) -> f64 {
        match self {
            Total::Integer(number) => *number as f64,
            Total::Exact(number) => number.text().parse().unwrap_or_default(),
            Total::Double(number) => *number,
        }
    }

    /// A quotient as the type of `column` says.
    fn divide(self, by: i128, column: &ColumnDefinition<'_>) -> Result<Total, MergeError> {
        let scale = u32::from(column.decimals);
        match (Kind::of(column), self) {
            (Ok(Kind::Decimal), Total::Exact(sum)) => Ok(Total::Exact(sum.divide(by, scale))),
            (Ok(Kind::Decimal), Total::Integer(sum)) => {
                Ok(Total::Exact(Exact::of_integer(sum).divide(by, scale)))
            }
            (Ok(Kind::Double | Kind::Float), sum) => Ok(Total::Double(sum.to_f64() / by as f64)),
            _ => Err(no_number(column)),
        }
    }

    /// The bytes of a value of this column.
    fn write(self, column: &ColumnDefinition<'_>, encoding: RowEncoding) -> Result<Vec<u8>, MergeError> {
        match (Kind::of(column), self, encoding) {
            (_, Total::Double(number), _) if !number.is_finite() => Err(out_of_range(column)),
            (Ok(Kind::Signed | Kind::Unsigned), Total::Integer(number), _) => {
                integer(number, column, encoding)
            }
            (Ok(Kind::Decimal), Total::Exact(number), _) => Ok(number.text().into_bytes()),
            (Ok(Kind::Decimal), Total::Integer(number), _) => Ok(number.to_string().into_bytes()),
            (Ok(Kind::Float | Kind::Double), total, RowEncoding::Text) => {
                Ok(double::text(total.to_f64(), column.decimals).into_bytes())
            }
            (Ok(Kind::Double), total, RowEncoding::Binary) => Ok(total.to_f64().to_le_bytes().to_vec()),
            (Ok(Kind::Float), total, RowEncoding::Binary) => {
                Ok((total.to_f64() as f32).to_le_bytes().to_vec())
            }
            _ => Err(no_number(column)),
        }
    }
}

fn out_of_range(column: &ColumnDefinition<'_>) -> MergeError {
    MergeError::OutOfRange { column: name(column), kind: column_type::name(column.kind) }
}

fn integer(
    number: i128,
    column: &ColumnDefinition<'_>,
    encoding: RowEncoding,
) -> Result<Vec<u8>, MergeError> {
    let len = match column.kind {
        column_type::TINY => 1,
        column_type::SHORT | column_type::YEAR => 2,
        column_type::LONG | column_type::INT24 => 4,
        _ => 8,
    };
    let range = match (column.is_unsigned(), 8 * len) {
        (true, bits) => 0..1i128 << bits,
        (false, bits) => -(1i128 << (bits - 1))..1i128 << (bits - 1),
    };
    if !range.contains(&number) {
        return Err(out_of_range(column));
    }
    Ok(match encoding {
        RowEncoding::Text => number.to_string().into_bytes(),
        RowEncoding::Binary => number.to_le_bytes().into_iter().take(len).collect(),
    })
}
