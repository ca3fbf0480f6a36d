//! The ids of a file's rows, for a table with a sequence: a row that has none of its own gets the next one, and those that rows have
//! are passed.

use crate::router::sharding::{Field, FileRow, Ids, Value};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::sequences::{Wanted, whole};

pub(super) struct FileIds {
    ids: Ids,
    /// The file has a value for them in each row.
    in_file: bool,
    /// The greatest one of those that rows have of their own, and of which the sequence is still to be told.
    given: Option<u64>,
}

impl FileIds {
    pub(super) fn new(ids: Ids, in_file: bool) -> Self {
        Self { ids, in_file, given: None }
    }

    /// Whether they are what the sharding column gets.
    pub(super) fn are_keys(&self) -> bool {
        self.ids.is_key
    }

    /// What a row has of its own.
    fn number(&self, row: &FileRow) -> Result<Option<i128>, String> {
        match &row.id {
            _ if !self.in_file => Ok(None),
            Field::Null => Ok(None),
            Field::Missing => Err(format!("it has no value for the sequence's column `{}`", self.ids.column)),
            Field::Text(text) => match whole(&Value::Text(text.clone())) {
                Some(number) => Ok(Some(number)),
                None => Err(format!(
                    "the value of the sequence's column `{}` must be a whole number, or NULL",
                    self.ids.column
                )),
            },
        }
    }
}

impl Session {
    /// The id that is drawn for a row, if one is. `number` is the row's, in the file.
    ///
    /// # Errors
    /// Where the row has no number, or `[backend]` gives no block.
    pub(super) async fn id_of_row(
        &mut self,
        ids: &mut FileIds,
        row: &FileRow,
        number: u64,
    ) -> Result<Option<u64>, Stop> {
        let given = ids.number(row);
        let given = given.map_err(|why| Refusal::loading(&format!("row {number} of the file: {why}")))?;
        match given {
            None => {}
            Some(0) if self.zero_draws() => {}
            Some(given) => {
                if let Ok(given) = u64::try_from(given)
                    && self.pass_id(&ids.ids, given)?
                    && self.fits(&ids.ids, given).await?
                {
                    ids.given = ids.given.max(Some(given));
                }
                return Ok(None);
            }
        }
        let drawn = self.drawn(&ids.ids, Wanted::one_behind(ids.given.take())).await?;
        Ok(drawn.ids.into_iter().flatten().next())
    }

    /// Has the sequence go on behind the ids that rows have of their own.
    pub(super) async fn pass_ids_of_rows(&mut self, ids: &mut FileIds) -> Result<(), Stop> {
        if let Some(given) = ids.given.take() {
            self.drawn(&ids.ids, Wanted::given(given)).await?;
        }
        Ok(())
    }
}
