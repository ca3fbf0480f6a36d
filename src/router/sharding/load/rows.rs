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

/// A file while it comes.
#[derive(Debug)]
pub struct FileRows {
    format: FileFormat,
    /// Values that a row has; what is behind them on its line is left out.
    columns: usize,
    /// Which of them is the sharding column's.
    key: usize,
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
    pub fn new(format: FileFormat, columns: usize, key: usize, skip: u64, utf8: bool) -> Self {
        Self { format, columns, key, skip, utf8, is_broken: false, bytes: Vec::new(), at: 0, wanted: 0 }
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

    /// The next row, and its sharding column; `None` until more of the file has come. `over`: that was all of it.
    pub fn next(&mut self, over: bool) -> Option<(Range<usize>, Field)> {
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
            return match cursor.row(self.columns, self.key) {
                Ok(key) => {
                    let range = self.at..self.at + cursor.at;
                    self.pass(range.len());
                    self.wanted = 0;
                    key.map(|key| (range, key))
                }
                Err(Short) => self.wait(),
            };
        }
    }

    /// Once twice as much is there: so a long row is not looked at for each piece of it.
    fn wait(&mut self) -> Option<(Range<usize>, Field)> {
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

    /// A row, and the field that is asked for; `None` where the file is over.
    fn row(&mut self, columns: usize, key: usize) -> Result<Option<Field>, Short> {
        if !self.format.line_start.is_empty() && !self.line_start()? {
            return Ok(None);
        }
        let mut found = Field::Missing;
        for column in 0..columns {
            let Some((end, field)) = self.field(column == key)? else {
                return Ok((column > 0).then_some(found));
            };
            if column == key {
                found = field;
            }
            if end != End::Field {
                return Ok(Some(found));
            }
        }
        self.rest_of_line()?;
        Ok(Some(found))
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
