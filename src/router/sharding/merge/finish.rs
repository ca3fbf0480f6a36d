//! Merged groups on their way to the client's rows: the table of their values that a server is asked about, and the rows made
//! of its answer. See [`Finish`].

use std::borrow::Cow;
use std::fmt::Write;
use std::rc::Rc;

use super::convert;
use super::error::MergeError;
use super::exact::Exact;
use super::key::{self, Kind};
use super::layout::{described, is_like, name, type_name};
use super::merger::Whole;
use crate::protocol::buf::Malformed;
use crate::protocol::column_definition::{
    BINARY, ColumnDefinition, DECIMALS_NOT_FIXED, column_type as kinds,
};
use crate::protocol::row::{Cell, RowEncoding, RowWriter, locate};
use crate::router::sharding::{Finish, Input, Origin};

/// Bytes of a character by which lengths of texts are counted: 4 of utf8mb4, 3 of utf8mb3.
const CHARACTER_LEN: u32 = 3;

/// Longer texts are LONGTEXT in the table of groups: a row of it may not be longer than 65535 bytes.
const VARCHAR_MAX: u32 = 1000;

/// The most digits of a DECIMAL.
const PRECISION_MAX: u32 = 65;

/// Groups, and what the server says of them.
#[derive(Debug)]
pub struct Finisher {
    finish: Rc<Finish>,
    encoding: RowEncoding,
    /// Payloads of the definitions of the groups' columns, and their `MYSQL_TYPE_*`.
    columns: Vec<Vec<u8>>,
    types: Vec<u8>,
    groups: Vec<Vec<u8>>,
    /// Payloads of the definitions of the result's columns.
    described: Vec<Vec<u8>>,
    /// `MYSQL_TYPE_*` of the columns of the answer about groups.
    answered: Vec<u8>,
}

impl Finisher {
    /// Of groups, or whatever rows shards have given, with the definitions of their columns.
    ///
    /// # Errors
    /// Where a definition is malformed.
    pub fn new(
        finish: Rc<Finish>,
        encoding: RowEncoding,
        Whole { columns, rows: groups }: Whole,
    ) -> Result<Finisher, MergeError> {
        let kind = |column: &Vec<u8>| Ok::<_, MergeError>(ColumnDefinition::parse(column)?.kind);
        let types = columns.iter().map(kind).collect::<Result<_, _>>()?;
        let (described, answered) = (Vec::new(), Vec::new());
        Ok(Finisher { finish, encoding, columns, types, groups, described, answered })
    }

    /// The groups as a table, to stand in FROM. `utf8`: texts are in it, as the client gets them.
    ///
    /// # Errors
    /// For values of which the table can't have exact ones.
    pub fn table(&self, utf8: bool) -> Result<Vec<u8>, MergeError> {
        let mut inputs = Vec::new();
        for input in &self.finish.inputs {
            let mut column = ColumnDefinition::parse(self.column(input.column)?)?;
            check_input(&column, utf8)?;
            if let Some((sum, _)) = input.average {
                column.decimals = average_digits(&column, &ColumnDefinition::parse(self.column(sum)?)?)?;
            }
            inputs.push((*input, column));
        }
        let (mut cells, mut json) = (Vec::new(), b"[".to_vec());
        for (at, group) in self.groups.iter().enumerate() {
            locate(self.encoding, &self.types, group, &mut cells)?;
            json.extend_from_slice(if at == 0 { b"[" } else { b",[" });
            for (at, (input, column)) in inputs.iter().enumerate() {
                if at > 0 {
                    json.push(b',');
                }
                let value = match input.average {
                    Some(of) => self.average(of, column, &cells, group)?,
                    None => cell(&cells, input.column, group)
                        .map(|value| convert::text(column, self.encoding, value))
                        .transpose()?,
                };
                match value {
                    None => json.extend_from_slice(b"null"),
                    Some(text) => {
                        check_value(*input, column, &text)?;
                        put_json(&mut json, &text)?;
                    }
                }
            }
            json.push(b']');
        }
        json.push(b']');
        let mut text = String::with_capacity(json.len() * 2 + 200);
        text.push_str("JSON_TABLE(CONVERT(x'");
        for byte in json {
            let _ = write!(text, "{byte:02X}");
        }
        text.push_str("' USING utf8mb4), '$[*]' COLUMNS (athena_row FOR ORDINALITY");
        for (at, (input, column)) in inputs.iter().enumerate() {
            let kind = self.declared(*input, column)?;
            let _ = write!(text, ", athena_{at} {kind} PATH '$[{at}]' ERROR ON ERROR");
        }
        text.push_str("))");
        Ok(text.into_bytes())
    }

    /// The average of a group, to the last digit.
    fn average(
        &self,
        (sum, count): (usize, usize),
        column: &ColumnDefinition<'_>,
        cells: &[Cell],
        group: &[u8],
    ) -> Result<Option<Vec<u8>>, MergeError> {
        let (Some(sum_of), Some(count_of)) = (cell(cells, sum, group), cell(cells, count, group)) else {
            return Ok(None);
        };
        let count = key::signed(self.encoding, count_of)?;
        if count == 0 {
            return Ok(None);
        }
        Ok(Some(match column.kind {
            kinds::DOUBLE => {
                let sum = key::double(self.encoding, sum_of)?;
                format!("{:e}", sum / count as f64).into_bytes()
            }
            _ => {
                let quotient = Exact::parse(sum_of)?.quotient(i128::from(count), u32::from(column.decimals));
                quotient.text().into_bytes()
            }
        }))
    }

    /// How a column of the table is declared.
    fn declared(&self, input: Input, column: &ColumnDefinition<'_>) -> Result<String, MergeError> {
        let unsigned = if column.is_unsigned() { " UNSIGNED" } else { "" };
        let (length, decimals) = (column.length, u32::from(column.decimals));
        Ok(match column.kind {
            kinds::TINY => format!("TINYINT{unsigned}"),
            kinds::SHORT => format!("SMALLINT{unsigned}"),
            kinds::INT24 => format!("MEDIUMINT{unsigned}"),
            kinds::LONG => format!("INT{unsigned}"),
            kinds::LONGLONG => format!("BIGINT{unsigned}"),
            kinds::YEAR => "YEAR".to_owned(),
            kinds::DOUBLE => "DOUBLE".to_owned(),
            kinds::DECIMAL | kinds::NEWDECIMAL => {
                format!("DECIMAL({},{decimals}){unsigned}", precision(input, column))
            }
            kinds::DATE => "DATE".to_owned(),
            kinds::DATETIME | kinds::TIMESTAMP => format!("DATETIME({decimals})"),
            kinds::TIME => format!("TIME({decimals})"),
            _ => {
                let kind = match length.div_ceil(CHARACTER_LEN) {
                    length if length > VARCHAR_MAX => "LONGTEXT".to_owned(),
                    length => format!("VARCHAR({})", length.max(1)),
                };
                match self.collation(input)? {
                    Some(collation) => {
                        let character_set = collation.split('_').next().unwrap_or_default();
                        format!("{kind} CHARACTER SET {character_set} COLLATE {collation}")
                    }
                    // There is no row, or nothing but NULL.
                    None => kind,
                }
            }
        })
    }

    /// The collation of a text, as the first group that has one says it: all have the same.
    fn collation(&self, input: Input) -> Result<Option<String>, MergeError> {
        let mut cells = Vec::new();
        let Some(at) = input.collation else { return Ok(None) };
        for group in &self.groups {
            locate(self.encoding, &self.types, group, &mut cells)?;
            let Some(collation) = cell(&cells, at, group) else { continue };
            let collation = String::from_utf8_lossy(collation).into_owned();
            let is_name = collation.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return if is_name { Ok(Some(collation)) } else { Err(Malformed::Field("collation").into()) };
        }
        Ok(None)
    }

    fn column(&self, at: usize) -> Result<&[u8], MergeError> {
        let columns = self.columns.len();
        let column = self.columns.get(at).map(Vec::as_slice);
        column.ok_or(MergeError::NoSuchColumn { column: at, columns })
    }

    /// The columns of the statement itself.
    ///
    /// # Errors
    /// Where these are not the columns of the plan.
    pub fn describe(&mut self, definitions: Vec<Vec<u8>>) -> Result<(), MergeError> {
        let (count, columns) = (self.finish.items.len(), definitions.len());
        if count != columns {
            return Err(MergeError::NoSuchColumn { column: count, columns });
        }
        self.described = definitions;
        for (described, origin) in self.described.iter().zip(&self.finish.items) {
            let Origin::Group(from) = origin else { continue };
            let (ours, theirs) =
                (ColumnDefinition::parse(described)?, ColumnDefinition::parse(self.column(*from)?)?);
            // Both are of the very expression; a value is copied as it is.
            if is_like(&ours).0 != is_like(&theirs).0 {
                return Err(other_type(&ours, &theirs));
            }
        }
        Ok(())
    }

    /// The columns of the answer about groups, of which the last is the number of the group.
    ///
    /// # Errors
    /// Where a value of it would not be one of the client's column.
    pub fn answer(&mut self, definitions: &[Vec<u8>]) -> Result<(), MergeError> {
        let (count, columns) = (self.described.len() + 1, definitions.len());
        if count != columns {
            return Err(MergeError::NoSuchColumn { column: count, columns });
        }
        for (described, (answered, origin)) in
            self.described.iter().zip(definitions.iter().zip(&self.finish.items))
        {
            let (ours, theirs) = (ColumnDefinition::parse(described)?, ColumnDefinition::parse(answered)?);
            if !matches!(origin, Origin::Group(_)) {
                check_answer(&ours, &theirs, *origin == Origin::Average, self.encoding)?;
            }
        }
        let kind = |column: &Vec<u8>| Ok::<_, MergeError>(ColumnDefinition::parse(column)?.kind);
        self.answered = definitions.iter().map(kind).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Payloads of the definitions of the client's columns.
    pub fn result_columns(&self) -> &[Vec<u8>] {
        &self.described
    }

    /// How many rows the groups are, where nothing is asked about them.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Puts the client's row into `out` that a group is.
    ///
    /// # Errors
    /// Where rows turn out to be malformed.
    pub fn row_of_group(&self, group: usize, out: &mut Vec<u8>) -> Result<(), MergeError> {
        self.write(group, &[], &[], out)
    }

    /// Puts the client's row into `out` that a text row of the answer is.
    ///
    /// # Errors
    /// Where it is malformed, or of no group.
    pub fn row(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), MergeError> {
        let mut cells = Vec::new();
        locate(RowEncoding::Text, &self.answered, payload, &mut cells)?;
        let number = cells.last().and_then(|cell| cell.value(payload));
        let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
        let group =
            number.and_then(|number| number.checked_sub(1)).ok_or(Malformed::Field("number of a group"))?;
        self.write(group, payload, &cells, out)
    }

    fn write(
        &self,
        group: usize,
        answer: &[u8],
        answers: &[Cell],
        out: &mut Vec<u8>,
    ) -> Result<(), MergeError> {
        let group = self.groups.get(group).ok_or(Malformed::Field("number of a group"))?;
        let mut cells = Vec::new();
        locate(self.encoding, &self.types, group, &mut cells)?;
        let mut writer = RowWriter::new(self.encoding, self.described.len(), out);
        for (at, (origin, described)) in self.finish.items.iter().zip(&self.described).enumerate() {
            let column = ColumnDefinition::parse(described)?;
            match origin {
                Origin::Group(from) => writer.value(column.kind, cell(&cells, *from, group))?,
                Origin::Query | Origin::Average => {
                    let value = cell(answers, at, answer);
                    let value = match (value, column.kind) {
                        (Some(text), kinds::NEWDECIMAL) if *origin == Origin::Average => {
                            Some(Cow::from(rounded(text, u32::from(column.decimals))?))
                        }
                        (value, _) => value.map(Cow::from),
                    };
                    let value = value.as_deref();
                    let value = value.map(|text| convert::value(&column, self.encoding, text)).transpose()?;
                    writer.value(column.kind, value.as_deref())?;
                }
            }
        }
        Ok(())
    }
}

fn cell<'r>(cells: &[Cell], at: usize, row: &'r [u8]) -> Option<&'r [u8]> {
    cells.get(at).and_then(|cell| cell.value(row))
}

/// That the table of groups can have a column with the very values of this one.
fn check_input(column: &ColumnDefinition<'_>, utf8: bool) -> Result<(), MergeError> {
    const ZEROFILL: u16 = 0x40;
    let not = |advice| Err(MergeError::NotComputed { column: name(column), kind: type_name(column), advice });
    match Kind::of(column) {
        _ if column.flags & ZEROFILL != 0 && column.kind != kinds::YEAR => not("take it + 0"),
        Ok(Kind::Float) => not("take it + 0e0"),
        Ok(Kind::Double) if column.decimals != DECIMALS_NOT_FIXED => not("take it + 0e0"),
        Ok(Kind::Bit) => not("take it + 0"),
        Ok(Kind::Bytes) if column.character_set == BINARY => not("take the HEX() of it"),
        Ok(Kind::Text) if !utf8 => not("SET NAMES utf8mb4"),
        Err(_) => not("take the CAST of it"),
        Ok(_) => Ok(()),
    }
}

/// That a value which the server has computed of groups is one of the column that it would have computed of rows.
fn check_answer(
    ours: &ColumnDefinition<'_>,
    theirs: &ColumnDefinition<'_>,
    is_average: bool,
    encoding: RowEncoding,
) -> Result<(), MergeError> {
    let is_moment = |column: &ColumnDefinition<'_>| matches!(column.kind, kinds::DATETIME | kinds::TIMESTAMP);
    // Their texts are the same.
    let is_whole = |column: &ColumnDefinition<'_>| match column.kind {
        kinds::TINY | kinds::SHORT | kinds::INT24 | kinds::LONG | kinds::LONGLONG => true,
        kinds::DECIMAL | kinds::NEWDECIMAL => column.decimals == 0,
        _ => false,
    };
    let alike = is_like(ours) == is_like(theirs)
        || (is_moment(ours) && is_moment(theirs))
        || (is_whole(ours) && is_whole(theirs));
    let counts = matches!(
        ours.kind,
        kinds::NEWDECIMAL | kinds::DECIMAL | kinds::DOUBLE | kinds::DATETIME | kinds::TIMESTAMP | kinds::TIME
    );
    let has_more = is_average && ours.kind == kinds::NEWDECIMAL && ours.decimals < theirs.decimals;
    if !alike || (counts && ours.decimals != theirs.decimals && !has_more) {
        return Err(other_type(ours, theirs));
    }
    let is_rounded = match ours.kind {
        kinds::FLOAT => true,
        kinds::DOUBLE => ours.decimals != DECIMALS_NOT_FIXED,
        _ => false,
    };
    match is_rounded && encoding == RowEncoding::Binary {
        true => Err(MergeError::NotComputed {
            column: name(ours),
            kind: type_name(ours),
            advice: "its text has fewer digits than it has: take it + 0e0, or send the statement as a text",
        }),
        false => Ok(()),
    }
}

fn other_type(ours: &ColumnDefinition<'_>, theirs: &ColumnDefinition<'_>) -> MergeError {
    let type_of = |column| format!("{} with {} decimals", described(column), column.decimals);
    MergeError::OtherType { column: name(ours), described: type_of(ours), computed: type_of(theirs) }
}

/// How many digits behind the point a server goes on with of an average: as many as fill its words.
fn average_digits(column: &ColumnDefinition<'_>, sum: &ColumnDefinition<'_>) -> Result<u8, MergeError> {
    /// Digits of a word of the server's decimals.
    const WORD: u8 = 9;
    /// The most that a DECIMAL of MySQL has.
    const SCALE_MAX: u8 = 30;
    /// The least that plans count on.
    const DIGITS_MIN: u8 = 4;
    if Kind::of(column) != Ok(Kind::Decimal) {
        return Ok(column.decimals);
    }
    if column.decimals < DIGITS_MIN {
        let advice = "its div_precision_increment is below 4: SET div_precision_increment = DEFAULT";
        return Err(MergeError::NotComputed { column: name(column), kind: type_name(column), advice });
    }
    match sum.decimals.max(column.decimals).div_ceil(WORD).saturating_mul(WORD) {
        digits if digits <= SCALE_MAX => Ok(digits),
        _ => Err(MergeError::NotComputed {
            column: name(column),
            kind: type_name(column),
            advice: "it has too many digits behind the point: take the CAST of what it is the average of",
        }),
    }
}

/// A decimal with so many digits behind the point.
fn rounded(text: &[u8], scale: u32) -> Result<Vec<u8>, MergeError> {
    Ok(Exact::parse(text)?.divide(1, scale).text().into_bytes())
}

/// How many digits a decimal of the table of groups may have.
fn precision(input: Input, column: &ColumnDefinition<'_>) -> u32 {
    if input.average.is_some() {
        return PRECISION_MAX;
    }
    let decimals = u32::from(column.decimals);
    // A sign and a point are in the length.
    let beside = u32::from(decimals > 0) + u32::from(!column.is_unsigned());
    column.length.saturating_sub(beside).clamp(decimals.max(1), PRECISION_MAX)
}

/// That the table of groups has a value as it is: servers may change one that does not fit, and say nothing.
fn check_value(input: Input, column: &ColumnDefinition<'_>, text: &[u8]) -> Result<(), MergeError> {
    if Kind::of(column) == Ok(Kind::Decimal) {
        let (_, whole, _) = key::split_decimal(text)?;
        let digits = whole.iter().skip_while(|digit| **digit == b'0').count();
        if digits > (precision(input, column).saturating_sub(u32::from(column.decimals))) as usize {
            return Err(MergeError::OutOfRange { column: name(column), kind: type_name(column) });
        }
    }
    let is_moment = matches!(column.kind, kinds::DATE | kinds::DATETIME | kinds::TIMESTAMP);
    if is_moment && text.get(..10).is_some_and(|date| date.windows(3).any(|part| part == b"-00")) {
        let advice = "it has a date that the calendar does not have, which a CAST would change";
        return Err(MergeError::NotComputed { column: name(column), kind: type_name(column), advice });
    }
    Ok(())
}

/// A value as a string of JSON.
fn put_json(json: &mut Vec<u8>, text: &[u8]) -> Result<(), MergeError> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Field("text"))?;
    json.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend([b'\\', character as u8]),
            control if control.is_ascii_control() => {
                json.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            other => json.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    json.push(b'"');
    Ok(())
}

#[cfg(test)]
#[path = "finish_tests.rs"]
mod tests;
