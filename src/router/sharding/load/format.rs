//! How a file tells its fields and lines apart.

/// The options of FIELDS and LINES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFormat {
    pub(super) field_end: Vec<u8>,
    pub(super) enclosed: Option<u8>,
    pub(super) escaped: Option<u8>,
    /// Empty: a line begins where it begins.
    pub(super) line_start: Vec<u8>,
    pub(super) line_end: Vec<u8>,
}

/// Why a file can't be split by rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("fields without a text that ends them: say FIELDS TERMINATED BY")]
    FixedFields,
    #[error(
        "lines without a text of their own that ends them: say LINES TERMINATED BY another text than fields end with"
    )]
    NoLines,
    #[error("a text between fields or lines that is not ASCII: use other ones")]
    NotAscii,
    #[error("ENCLOSED BY and ESCAPED BY are one character, or none")]
    NotOne,
    #[error("ids of a sequence are put in, and fields or lines begin or end with a digit: use other texts")]
    Digits,
}

impl FileFormat {
    /// With the texts of the options that are given.
    ///
    /// # Errors
    /// Where rows can't be told apart as a server does.
    pub fn new(
        field_end: Option<Vec<u8>>,
        enclosed: &[u8],
        escaped: &[u8],
        line_start: Vec<u8>,
        line_end: Option<Vec<u8>>,
    ) -> Result<Self, FormatError> {
        let one = |text: &[u8]| match text {
            [] => Ok(None),
            [byte] => Ok(Some(*byte)),
            _ => Err(FormatError::NotOne),
        };
        let format = Self {
            field_end: field_end.unwrap_or_else(|| b"\t".to_vec()),
            enclosed: one(enclosed)?,
            escaped: one(escaped)?,
            line_start,
            line_end: line_end.unwrap_or_else(|| b"\n".to_vec()),
        };
        let mut all = format.field_end.iter().chain(&format.line_start).chain(&format.line_end);
        let bytes = format.enclosed.iter().chain(&format.escaped);
        match &format {
            _ if !all.all(u8::is_ascii) || !bytes.into_iter().all(u8::is_ascii) => Err(FormatError::NotAscii),
            format if format.field_end.is_empty() => Err(FormatError::FixedFields),
            format if format.line_end.is_empty() || format.line_end == format.field_end => {
                Err(FormatError::NoLines)
            }
            _ => Ok(format),
        }
    }

    /// # Errors
    /// Where a number may be read as something else.
    pub fn takes_numbers(self) -> Result<Self, FormatError> {
        let texts = self.field_end.iter().chain(&self.line_start).chain(&self.line_end);
        match texts.chain(&self.enclosed).chain(&self.escaped).any(u8::is_ascii_digit) {
            true => Err(FormatError::Digits),
            false => Ok(self),
        }
    }
}
