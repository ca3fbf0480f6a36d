//! The rows of a result, cell by cell.
//!
//! Protocol sections: "Text Resultset Row" and "Binary Protocol Resultset Row".

use std::ops::Range;

use super::buf::{Malformed, Reader, WriteExt};
use super::column_definition::column_type as kinds;

/// How the cells of rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowEncoding {
    /// As texts: the answer to COM_QUERY.
    Text,
    /// By their types: the answer to COM_STMT_EXECUTE.
    Binary,
}

/// What stands for NULL in a text row.
const NULL: u8 = 0xFB;

/// The bits that a binary row's list of NULLs has before that of its first column.
const FIRST_NULL_BIT: usize = 2;

/// Where a cell is in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// With the length before it; empty for NULL in a binary row.
    pub whole: Range<usize>,
    /// Without it; `None` is NULL.
    pub value: Option<Range<usize>>,
}

impl Cell {
    pub fn value<'a>(&self, row: &'a [u8]) -> Option<&'a [u8]> {
        row.get(self.value.clone()?)
    }
}

/// Finds the cells of a row whose columns are of these `MYSQL_TYPE_*`.
///
/// # Errors
/// Where the row has fewer bytes than its cells say, or more.
pub fn locate(
    encoding: RowEncoding,
    types: &[u8],
    row: &[u8],
    cells: &mut Vec<Cell>,
) -> Result<(), Malformed> {
    cells.clear();
    let mut reader = Reader::new(row);
    let nulls = match encoding {
        RowEncoding::Text => &[],
        RowEncoding::Binary => {
            reader.u8()?;
            reader.bytes(bitmap_len(types.len()))?
        }
    };
    for (at, kind) in types.iter().enumerate() {
        let start = row.len() - reader.remaining();
        let value = match encoding {
            RowEncoding::Text => text_cell(&mut reader)?,
            RowEncoding::Binary if is_null(nulls, at) => None,
            RowEncoding::Binary => Some(binary_cell(&mut reader, *kind)?),
        };
        let end = row.len() - reader.remaining();
        let value = value.map(|bytes| end - bytes.len()..end);
        cells.push(Cell { whole: start..end, value });
    }
    if reader.is_empty() { Ok(()) } else { Err(Malformed::Field("end of a row")) }
}

fn text_cell<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let mut ahead = *reader;
    if ahead.u8()? == NULL {
        *reader = ahead;
        return Ok(None);
    }
    reader.lenenc_bytes().map(Some)
}

fn binary_cell<'a>(reader: &mut Reader<'a>, kind: u8) -> Result<&'a [u8], Malformed> {
    match shape(kind)? {
        Shape::Fixed(len) => reader.bytes(len),
        Shape::Moment => {
            let len = reader.u8()?;
            reader.bytes(usize::from(len))
        }
        Shape::Bytes => reader.lenenc_bytes(),
    }
}

/// How a value is written in a binary row.
enum Shape {
    Fixed(usize),
    /// Behind one byte of length.
    Moment,
    /// Behind a length-encoded integer.
    Bytes,
}

fn shape(kind: u8) -> Result<Shape, Malformed> {
    Ok(match kind {
        kinds::TINY => Shape::Fixed(1),
        kinds::SHORT | kinds::YEAR => Shape::Fixed(2),
        kinds::LONG | kinds::INT24 | kinds::FLOAT => Shape::Fixed(4),
        kinds::LONGLONG | kinds::DOUBLE => Shape::Fixed(8),
        kinds::TIMESTAMP | kinds::DATE | kinds::TIME | kinds::DATETIME => Shape::Moment,
        kinds::DECIMAL | kinds::VARCHAR..=kinds::TIME2 | kinds::VECTOR..=kinds::GEOMETRY => Shape::Bytes,
        _ => return Err(Malformed::Field("column type")),
    })
}

/// Bytes of a binary row's list of NULLs.
fn bitmap_len(columns: usize) -> usize {
    (columns + FIRST_NULL_BIT).div_ceil(8)
}

fn is_null(nulls: &[u8], column: usize) -> bool {
    let bit = column + FIRST_NULL_BIT;
    nulls.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

/// Writes one row, cell by cell.
#[derive(Debug)]
pub struct RowWriter<'a> {
    encoding: RowEncoding,
    out: &'a mut Vec<u8>,
    column: usize,
}

impl<'a> RowWriter<'a> {
    /// Replaces what `out` holds with a row of so many columns.
    pub fn new(encoding: RowEncoding, columns: usize, out: &'a mut Vec<u8>) -> Self {
        out.clear();
        if encoding == RowEncoding::Binary {
            out.resize(1 + bitmap_len(columns), 0);
        }
        RowWriter { encoding, out, column: 0 }
    }

    /// The next cell, as it is in another row of the same encoding.
    pub fn copy(&mut self, row: &[u8], cell: &Cell) {
        match cell.value {
            Some(_) => self.out.extend_from_slice(row.get(cell.whole.clone()).unwrap_or_default()),
            None => self.null(),
        }
        self.column += 1;
    }

    /// The next cell, of a column of the type `kind`. The bytes of a value are those that [`Cell::value`] has.
    pub fn value(&mut self, kind: u8, value: Option<&[u8]>) -> Result<(), Malformed> {
        match (value, self.encoding) {
            (None, _) => self.null(),
            (Some(value), RowEncoding::Text) => self.out.put_lenenc_bytes(value),
            (Some(value), RowEncoding::Binary) => match shape(kind)? {
                Shape::Fixed(len) if value.len() == len => self.out.extend_from_slice(value),
                Shape::Fixed(_) => return Err(Malformed::Field("length of a value")),
                // Both lengths are written alike: no date has more than 12 bytes.
                Shape::Moment | Shape::Bytes => self.out.put_lenenc_bytes(value),
            },
        }
        self.column += 1;
        Ok(())
    }

    fn null(&mut self) {
        let bit = self.column + FIRST_NULL_BIT;
        match self.encoding {
            RowEncoding::Text => self.out.push(NULL),
            RowEncoding::Binary => {
                if let Some(byte) = self.out.get_mut(1 + bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
    }
}

/// The row without all columns but the first `columns`; replaces what `out` holds.
pub fn shorten(encoding: RowEncoding, row: &[u8], cells: &[Cell], columns: usize, out: &mut Vec<u8>) {
    let kept = cells.get(..columns).unwrap_or(cells);
    let mut writer = RowWriter::new(encoding, kept.len(), out);
    for cell in kept {
        writer.copy(row, cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(encoding: RowEncoding, types: &[u8], row: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut cells = Vec::new();
        locate(encoding, types, row, &mut cells).expect("a row");
        cells.iter().map(|cell| cell.value(row).map(<[u8]>::to_vec)).collect()
    }

    /// Types, and a value of each as a binary row has it.
    const ALL: &[(u8, &[u8])] = &[
        (kinds::TINY, &[1]),
        (kinds::SHORT, &[1, 2]),
        (kinds::YEAR, &[3, 4]),
        (kinds::LONG, &[1, 2, 3, 4]),
        (kinds::INT24, &[1, 2, 3, 0]),
        (kinds::LONGLONG, &[1, 2, 3, 4, 5, 6, 7, 8]),
        (kinds::FLOAT, &[0, 0, 0, 1]),
        (kinds::DOUBLE, &[0, 0, 0, 0, 0, 0, 0, 1]),
        (kinds::DATE, &[]),
        (kinds::DATETIME, &[0xE8, 7, 1, 2]),
        (kinds::TIMESTAMP, &[0xE8, 7, 1, 2, 3, 4, 5]),
        (kinds::TIME, &[1, 34, 0, 0, 0, 22, 59, 59]),
        (kinds::NEWDECIMAL, b"-1.50"),
        (kinds::BIT, &[0, 1]),
        (kinds::JSON, b"{}"),
        (kinds::BLOB, b""),
        (kinds::VAR_STRING, b"text"),
        (kinds::STRING, &[b'x'; 300]),
        (kinds::GEOMETRY, b"g"),
    ];

    #[test]
    fn rows_of_all_types_round_trip() {
        let types: Vec<u8> = ALL.iter().map(|(kind, _)| *kind).collect();
        for encoding in [RowEncoding::Text, RowEncoding::Binary] {
            for null in [ALL.len(), 0, 5, 6, 7, 18] {
                let expected: Vec<_> =
                    ALL.iter().enumerate().map(|(at, cell)| (at != null).then(|| cell.1.to_vec())).collect();
                let mut row = Vec::new();
                let mut writer = RowWriter::new(encoding, types.len(), &mut row);
                for (kind, value) in types.iter().zip(&expected) {
                    writer.value(*kind, value.as_deref()).expect("it fits");
                }
                assert_eq!(values(encoding, &types, &row), expected, "{encoding:?} {null}");
                for cut in 0..row.len() {
                    assert!(locate(encoding, &types, &row[..cut], &mut Vec::new()).is_err());
                }
                row.push(0);
                assert!(locate(encoding, &types, &row, &mut Vec::new()).is_err());
                row.pop();
                let mut cells = Vec::new();
                locate(encoding, &types, &row, &mut cells).expect("a row");
                for columns in 0..types.len() {
                    let mut short = Vec::new();
                    shorten(encoding, &row, &cells, columns, &mut short);
                    assert_eq!(values(encoding, &types[..columns], &short), expected[..columns]);
                }
            }
        }
    }

    #[test]
    fn a_null_of_type_null_has_no_bytes() {
        assert_eq!(
            values(RowEncoding::Binary, &[kinds::NULL, kinds::TINY], &[0, 4, 9]),
            [None, Some(vec![9])]
        );
        assert!(locate(RowEncoding::Binary, &[kinds::NULL], &[0, 0], &mut Vec::new()).is_err());
    }
}
