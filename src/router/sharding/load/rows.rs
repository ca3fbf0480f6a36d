//! Rows out of the bytes of a file, however they are cut: by the rules of MySQL's and MariaDB's LOAD DATA.

use std::ops::Range;

use super::format::FileFormat;

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The line ends before it.
    Missing,
    Null,
    /// Without what encloses it, and without escapes.
    Text(Vec<u8>),
}

/// What is looked for in each row.
#[derive(Debug, Clone, Copy)]
pub struct RowShape {
    /// Values that a row has; what is behind them on its line is left out.
    pub columns: usize,
    /// Which of them is the sharding column's.
    pub key: Option<usize>,
    /// And which is that of a sequence.
    pub id: Option<usize>,
}

/// A row, by its places among the bytes that have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    pub range: Range<usize>,
    /// Where its first value begins.
    pub first: usize,
    /// Of the sharding column.
    pub key: Field,
    /// Of the sequence's column, and where that is.
    pub id: Field,
    pub id_place: Range<usize>,
}

/// A file while it comes.
#[derive(Debug)]
pub struct FileRows {
    format: FileFormat,
    shape: RowShape,
    /// Lines that are still to be skipped.
    skip: u64,
    /// It is in UTF-8: of bytes that are none, servers may take the end of a line for a part.
    utf8: bool,
    is_broken: bool,
    bytes: Vec<u8>,
    /// Where the next row begins.
    at: usize,
    /// So many bytes have to be there before the row at `at` is looked at again: it was not whole.
    wanted: usize,
}

/// How a field ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Field,
    Line,
    File,
}

/// More of the file is needed.
#[derive(Debug)]
struct Short;

impl FileRows {
    pub fn new(format: FileFormat, shape: RowShape, skip: u64, utf8: bool) -> Self {
        Self { format, shape, skip, utf8, is_broken: false, bytes: Vec::new(), at: 0, wanted: 0 }
    }

    /// Writes a row that has this number for its sequence's column: in place of its value, or in front of all others.
    pub fn with_id(&self, row: &FileRow, id: u64, out: &mut Vec<u8>) {
        let place = match self.shape.id {
            Some(_) => row.id_place.clone(),
            None => row.first..row.first,
        };
        out.extend_from_slice(self.bytes(row.range.start..place.start));
        out.extend_from_slice(id.to_string().as_bytes());
        if self.shape.id.is_none() {
            out.extend_from_slice(&self.format.field_end);
        }
        out.extend_from_slice(self.bytes(place.end..row.range.end));
    }

    /// Whether what was read so far is no UTF-8, and should be: then servers may see other rows.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The bytes in front of the next row are passed.
    fn pass(&mut self, count: usize) {
        let passed = self.bytes.get(self.at..self.at + count).unwrap_or_default();
        self.is_broken |= self.utf8 && std::str::from_utf8(passed).is_err();
        self.at += count;
    }

    /// The next bytes of the file. Ranges of rows before are not valid any more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that no row has been made of.
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next row; `None` until more of the file has come. `over`: that was all of it.
    pub fn next(&mut self, over: bool) -> Option<FileRow> {
        if !over && self.pending() < self.wanted {
            return None;
        }
        loop {
            let mut cursor = Cursor {
                format: &self.format,
                bytes: self.bytes.get(self.at..).unwrap_or_default(),
                at: 0,
                over,
            };
            if self.skip > 0 {
                match cursor.rest_of_line() {
                    Ok(()) => {
                        let passed = cursor.at;
                        self.pass(passed);
                        self.skip -= 1;
                        if self.pending() == 0 {
                            return None;
                        }
                        continue;
                    }
                    Err(Short) => return self.wait(),
                }
            }
            return match cursor.row(self.shape) {
                Ok(row) => {
                    let (start, len) = (self.at, cursor.at);
                    self.pass(len);
                    self.wanted = 0;
                    row.map(|row| row.behind(start, len))
                }
                Err(Short) => self.wait(),
            };
        }
    }

    /// Once twice as much is there: so a long row is not looked at for each piece of it.
    fn wait(&mut self) -> Option<FileRow> {
        self.wanted = 2 * self.pending();
        None
    }

    /// What has come is of no use.
    pub fn clear(&mut self) {
        (self.bytes, self.at, self.wanted) = (Vec::new(), 0, 0);
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }
}

impl FileRow {
    /// The same of so many bytes, behind others.
    fn behind(self, start: usize, len: usize) -> Self {
        let id_place = self.id_place.start + start..self.id_place.end + start;
        Self { range: start..start + len, first: self.first + start, id_place, ..self }
    }
}

/// Goes through bytes from the beginning of a line.
struct Cursor<'a> {
    format: &'a FileFormat,
    bytes: &'a [u8],
    at: usize,
    /// The end of the bytes is that of the file.
    over: bool,
}

impl Cursor<'_> {
    /// `None` at the end of the file.
    fn get(&mut self) -> Result<Option<u8>, Short> {
        match self.bytes.get(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(Some(*byte))
            }
            None if self.over => Ok(None),
            None => Err(Short),
        }
    }

    /// Passes what a text has behind its first byte, which was passed before, if all of it is here.
    fn ends(&mut self, text: &[u8]) -> Result<bool, Short> {
        let behind = text.get(1..).unwrap_or_default();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(behind) {
            self.at += behind.len();
            return Ok(true);
        }
        match !self.over && behind.starts_with(rest) {
            true => Err(Short),
            false => Ok(false),
        }
    }

    fn is_end(&mut self, text: &[u8], byte: u8) -> Result<bool, Short> {
        if text.first() == Some(&byte) { self.ends(text) } else { Ok(false) }
    }

    /// A row that begins here; `None` where the file is over.
    fn row(&mut self, shape: RowShape) -> Result<Option<FileRow>, Short> {
        if !self.format.line_start.is_empty() && !self.line_start()? {
            return Ok(None);
        }
        let mut row =
            FileRow { range: 0..0, first: self.at, key: Field::Missing, id: Field::Missing, id_place: 0..0 };
        for column in 0..shape.columns {
            let (is_key, is_id) = (shape.key == Some(column), shape.id == Some(column));
            let start = self.at;
            let Some((end, field)) = self.field(is_key || is_id)? else {
                return Ok((column > 0).then_some(row));
            };
            if is_id {
                row.id_place = start..self.at - self.len_of(end);
                row.id.clone_from(&field);
            }
            if is_key {
                row.key = field;
            }
            if end != End::Field {
                return Ok(Some(row));
            }
        }
        self.rest_of_line()?;
        Ok(Some(row))
    }

    /// Of the text that a field has ended with.
    fn len_of(&self, end: End) -> usize {
        match end {
            End::Field => self.format.field_end.len(),
            End::Line => self.format.line_end.len(),
            End::File => 0,
        }
    }

    /// Passes all up to where a line begins.
    fn line_start(&mut self) -> Result<bool, Short> {
        let start = &self.format.line_start;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match memchr::memmem::find(rest, start) {
            Some(at) => {
                self.at += at + start.len();
                Ok(true)
            }
            None if self.over => {
                self.at = self.bytes.len();
                Ok(false)
            }
            None => Err(Short),
        }
    }

    /// Passes a line to its end. Here nothing is enclosed.
    fn rest_of_line(&mut self) -> Result<(), Short> {
        while let Some(byte) = self.get()? {
            if Some(byte) == self.format.escaped {
                self.get()?;
            } else if self.is_end(&self.format.line_end, byte)? {
                break;
            }
        }
        Ok(())
    }

    /// A field, with its text if that is `wanted`; `None` where the file is over.
    fn field(&mut self, wanted: bool) -> Result<Option<(End, Field)>, Short> {
        let format = self.format;
        let Some(first) = self.get()? else { return Ok(None) };
        let mut text = Vec::new();
        let mut has_null = false;
        let enclosed = format.enclosed.filter(|enclosed| *enclosed == first);
        if enclosed.is_none() {
            self.at -= 1;
        }
        let (end, is_closed) = loop {
            let Some(mut byte) = self.get()? else { break (End::File, false) };
            if Some(byte) == format.escaped {
                match self.get()? {
                    None => {
                        text.push(byte);
                        break (End::File, false);
                    }
                    Some(next) if format.escaped != format.enclosed || next == byte => {
                        has_null |= next == b'N';
                        text.push(unescaped(next));
                        continue;
                    }
                    // What escapes by being doubled does nothing else.
                    Some(_) => self.at -= 1,
                }
            }
            if let Some(quote) = enclosed {
                if byte == quote {
                    match self.get()? {
                        Some(next) if next == quote => {}
                        None => break (End::File, true),
                        Some(next) if self.is_end(&format.line_end, next)? => break (End::Line, true),
                        Some(next) if self.is_end(&format.field_end, next)? => break (End::Field, true),
                        Some(_) => {
                            self.at -= 1;
                            byte = quote;
                        }
                    }
                }
            } else if self.is_end(&format.line_end, byte)? {
                break (End::Line, false);
            } else if self.is_end(&format.field_end, byte)? {
                break (End::Field, false);
            }
            if wanted {
                text.push(byte);
            }
        };
        if let Some(quote) = enclosed.filter(|_| !is_closed) {
            text.insert(0, quote);
        }
        let word = format.enclosed.is_some() && !is_closed && text == b"NULL";
        let is_null = word || (has_null && text.len() == 1);
        Ok(Some((end, if is_null { Field::Null } else { Field::Text(text) })))
    }
}

/// What a character means behind the one that escapes.
fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'0' => 0,
        b'Z' => 0x1A,
        other => other,
    }
}
