//! How much is held, within what may be.

use super::error::MergeError;
use super::merger::Budget;

#[derive(Debug)]
pub(super) struct Held {
    budget: Budget,
    rows: usize,
    bytes: usize,
}

impl Held {
    pub fn new(budget: Budget) -> Held {
        Held { budget, rows: 0, bytes: 0 }
    }

    pub fn add_row(&mut self, bytes: usize) -> Result<(), MergeError> {
        self.rows += 1;
        self.grow(bytes.cast_signed())
    }

    pub fn grow(&mut self, bytes: isize) -> Result<(), MergeError> {
        self.bytes = self.bytes.saturating_add_signed(bytes);
        self.budget.check(self.rows, self.bytes)
    }
}

impl Budget {
    /// Whether so much may be held.
    pub(super) fn check(&self, rows: usize, bytes: usize) -> Result<(), MergeError> {
        if rows > self.max_rows {
            let setting = "[sharding_defaults] max_merge_rows";
            return Err(MergeError::TooMuch { setting, max: self.max_rows });
        }
        if bytes > self.max_bytes {
            return Err(MergeError::too_many_bytes(self.max_bytes));
        }
        Ok(())
    }
}
