//! What the parts of a statement warn of. A server tells it of the last statement of a link only, so it is asked right behind each
//! part that has any.

use crate::pool::Told;
use crate::protocol::reply::Renames;
use crate::protocol::warnings::WarningList;

use super::super::driver::Session;
use super::super::failure::Stop;
use super::super::link::{NO_SQL, Use};
use super::super::seen::Seen;
use super::super::settle::closes_link;

/// How many warnings a server lists, where nothing else is set.
const LISTED: &[u8] = b"max_error_count";

/// More than that it can't be set to.
const LISTED_MAX: usize = 65_535;

impl Session {
    /// The warnings of the part that has just run on the link, in the client's names for tables.
    pub(super) async fn warnings_of_part(&self, link: &mut Use) -> Result<WarningList, Stop> {
        let list = self.backend(link.lease().warnings()).await?;
        Ok(in_known_names(list.unwrap_or_default(), &self.renames))
    }

    /// Takes in the warnings of a part of several that run one after the other, of which `seen` is what the last one said. The
    /// error of one that failed is told of by itself.
    pub(super) async fn note_warnings(&mut self, link: &mut Use, seen: &mut Seen) -> Result<(), Stop> {
        let is_gone = seen.out_of_time.is_some() || closes_link(NO_SQL, seen);
        if is_gone || (seen.warnings == 0 && seen.error.is_none()) {
            return Ok(());
        }
        let mut list = self.warnings_of_part(link).await?;
        let last = list.code(list.rows.len() as u64);
        if seen.error.is_some() && last == seen.error {
            list.rows.pop();
        }
        seen.list(list);
        Ok(())
    }

    /// Leaves as many of all parts' warnings as one statement has.
    pub(super) async fn cut_warnings(&mut self, link: &mut Use, seen: &mut Seen) -> Result<(), Stop> {
        let is_gone = closes_link(NO_SQL, seen);
        let listed = seen.listed.as_mut().filter(|list| !list.rows.is_empty() && !is_gone);
        let Some(list) = listed else { return Ok(()) };
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<usize>().ok();
        let max = match self.state.variable(LISTED) {
            Some(set) => number(set),
            None => {
                let question = [b"SELECT @@", LISTED].concat();
                let (told, _) = self.backend(link.lease().ask_all(&[question])).await?;
                told.into_iter().find_map(|told| match told {
                    Told::Table(table) => number(table.rows.first()?.first()?.as_deref()?),
                    Told::Ok | Told::Err(_) => None,
                })
            }
        };
        list.rows.truncate(max.unwrap_or(usize::MAX));
        Ok(())
    }
}

impl Seen {
    /// More warnings of the same statement.
    pub(super) fn list(&mut self, more: WarningList) {
        let list = self.listed.get_or_insert_default();
        if list.columns.is_empty() {
            list.columns = more.columns;
        }
        let left = LISTED_MAX.saturating_sub(list.rows.len());
        list.rows.extend(more.rows.into_iter().take(left));
    }
}

/// Messages name the tables of a shard.
pub(super) fn in_known_names(mut list: WarningList, renames: &Renames) -> WarningList {
    for message in list.rows.iter_mut().filter_map(|row| row.last_mut()?.as_mut()) {
        if let Some(known) = renames.message(message) {
            *message = known;
        }
    }
    list
}
