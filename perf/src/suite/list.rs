//! The lists that are checked in: which tests are the set, and which of them Athena may fail.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// A test that fails through Athena and why no proxy with a pool could pass it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    pub test: String,
    pub reason: String,
}

/// The tests in the file `path`, in its order: a name a line; `#` begins a comment.
///
/// # Errors
/// When the file can't be read.
pub fn read_tests(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).map_err(Error::file(path))?;
    Ok(text.lines().filter_map(without_comment).map(str::to_owned).collect())
}

/// The exceptions in the file `path`: a name a line, and the reason behind it.
///
/// # Errors
/// When the file can't be read, or a reason is missing.
pub fn read_exceptions(path: &Path) -> Result<Vec<Exception>> {
    let text = fs::read_to_string(path).map_err(Error::file(path))?;
    let exception = |line: &str| {
        let (test, reason) = line.split_once(char::is_whitespace).ok_or_else(|| {
            Error::Unexpected(format!("{}: no reason is given for '{line}'", path.display()))
        })?;
        Ok(Exception { test: test.to_owned(), reason: reason.trim().to_owned() })
    };
    text.lines().filter_map(without_comment).map(exception).collect()
}

fn without_comment(line: &str) -> Option<&str> {
    let line = line.trim();
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}
