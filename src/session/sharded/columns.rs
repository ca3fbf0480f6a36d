//! What only the server knows of a sharded table's columns: in which order an INSERT without a list fills them.
//!
//! It is asked each time, and the list goes into the text: so what was decided and what is executed agree, whoever changes
//! the table meanwhile.

use std::rc::Rc;

use crate::metrics::label::ClosedReason;
use crate::net::Payload;
use crate::parser::{Sketch, SqlMode};
use crate::pool::{Table, Told};
use crate::protocol::capability::StatusFlags;
use crate::protocol::resultset::TextValue;
use crate::router::sharding::{Action, Plan, Reason, physical, quote};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::{Held, NO_SQL, Use};
use super::super::servers::Errand;
use super::text::query;

/// What the Extra of a column says.
const INVISIBLE: &[u8] = b"INVISIBLE";

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableColumn {
    pub name: Box<str>,
    /// As servers tell it: `int(11) unsigned`.
    pub kind: Box<str>,
    /// Neither `*` nor an INSERT without a list means it.
    pub is_invisible: bool,
}

impl Session {
    /// A text that was looked at, with the list of columns that it lacks; `None` if it lacks none.
    pub(in crate::session) async fn listed(
        &mut self,
        sql: &[u8],
        plan: &Plan,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Action::Unlisted { table, schema, behind } = plan.action else { return Ok(None) };
        let Some(tables) = self.home().tables.clone() else { return Err(Refusal::malformed().into()) };
        let (name, schema, end) = {
            let sketch = tables.sketch();
            let end = sketch.tokens.get(behind as usize).map_or(sql.len(), |token| token.end as usize);
            (name_at(sql, &sketch, table)?, schema.map(|at| name_at(sql, &sketch, at)).transpose()?, end)
        };
        let columns = self.columns_of(&name, schema.as_deref()).await?;
        let visible = columns.iter().filter(|column| !column.is_invisible);
        let list: Vec<_> = visible.map(|column| quote(&column.name)).collect();
        let (before, behind) = sql.split_at(end.min(sql.len()));
        Ok(Some([before, format!(" ({})", list.join(", ")).as_bytes(), behind].concat()))
    }

    /// COM_QUERY with the list of columns in it, and its plan.
    pub(super) async fn listed_query(
        &mut self,
        command: Payload,
        plan: Rc<Plan>,
        mode: SqlMode,
    ) -> Result<(Payload, Rc<Plan>), Stop> {
        let (head, sql) = self.head_and_text(&command)?;
        let (head, sql) = (head.to_vec(), sql.to_vec());
        let Some(text) = self.listed(&sql, &plan).await? else { return Ok((command, plan)) };
        let plan = self.sharded(&text, mode)?.ok_or_else(Refusal::malformed)?;
        Ok((query(&head, &text)?, plan))
    }

    /// The columns of a sharded table, in their order: those of the first shard.
    pub(super) async fn columns_of(
        &mut self,
        table: &str,
        schema: Option<&str>,
    ) -> Result<Vec<TableColumn>, Stop> {
        let of_schema = schema.map(|schema| format!(" FROM {}", quote(schema))).unwrap_or_default();
        let shard = self.home().tables.as_ref().map_or(0, |tables| tables.shard_at(table, self.at));
        let sql = format!("SHOW COLUMNS FROM {}{of_schema}", quote(&physical(table, shard)));
        self.go_to(self.server_of(shard), Errand::Question).await?;
        let mut link = self.take_link(NO_SQL).await?;
        let columns = match self.asked(&mut link, &sql).await {
            Ok(told) => {
                self.give_back_asked(link);
                let told = told.map_err(|refusal| refusal.about(table, &physical(table, shard)))?;
                let columns: Vec<_> = told.rows.iter().filter_map(|row| column(row)).collect();
                let is_known = columns.iter().all(|column| column.name.is_ascii()) || self.is_utf8();
                match is_known && columns.len() == told.rows.len() {
                    true => Ok(columns),
                    false => Err(Refusal::unreadable_columns().into()),
                }
            }
            Err(stop) => Err(self.lost_on_the_way(link, stop)),
        };
        if self.may_have_to_sit_back() {
            self.sit_back().await?;
        }
        columns
    }

    /// Asks a question of Athena's own between statements of the client.
    pub(super) async fn asked(&mut self, link: &mut Use, sql: &str) -> Result<Result<Table, Refusal>, Stop> {
        if matches!(link.held, Held::Bound(_)) {
            self.read_before_own(link).await?;
        }
        let (told, overheard) = self.backend(link.lease().ask_all(&[sql.as_bytes().to_vec()])).await?;
        if let Some(status) = overheard.status {
            link.lease().status = status;
        }
        self.is_last = false;
        Ok(match told.into_iter().next() {
            Some(Told::Table(table)) => Ok(table),
            Some(Told::Err(err)) => Err(Refusal::of_server(err)),
            Some(Told::Ok) | None => Ok(Table::default()),
        })
    }

    /// Without autocommit a question may have begun a transaction, which nobody is to find.
    pub(super) fn give_back_asked(&mut self, mut link: Use) {
        let begun = link.lease().status.contains(StatusFlags::IN_TRANS);
        match begun && self.holds.reason().is_none() {
            true => link.into_lease().close(ClosedReason::Dirty),
            false => self.keep_or_give_back(link),
        }
    }
}

/// The name that a token is.
pub(super) fn name_at(sql: &[u8], sketch: &Sketch, token: u32) -> Result<String, Refusal> {
    sketch.name(sql, token).and_then(|name| String::from_utf8(name).ok()).ok_or_else(Refusal::malformed)
}

fn is_invisible(row: &[TextValue]) -> bool {
    let extra = row.get(5).and_then(Option::as_deref).unwrap_or_default();
    extra.split(|byte| matches!(byte, b' ' | b',')).any(|word| word.eq_ignore_ascii_case(INVISIBLE))
}

/// A row of SHOW COLUMNS; `None` if it can't be read.
fn column(row: &[TextValue]) -> Option<TableColumn> {
    let text = |at: usize| String::from_utf8(row.get(at)?.clone()?).ok();
    Some(TableColumn { name: text(0)?.into(), kind: text(1)?.into(), is_invisible: is_invisible(row) })
}

impl Refusal {
    /// What a server says of the first shard's table, in the client's name for it.
    pub(super) fn about(mut self, table: &str, physical: &str) -> Self {
        self.error.message = self.error.message.replace(physical, table).into();
        self
    }

    fn unreadable_columns() -> Self {
        Self::sharding(&Reason::from(
            "the names of the table's columns cannot be read: SET NAMES utf8mb4, or name the columns",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: [&str; 6]) -> Vec<TextValue> {
        values.map(|value| Some(value.as_bytes().to_vec())).to_vec()
    }

    #[test]
    fn invisible_columns_are_known() {
        let is_invisible =
            |extra| column(&row(["a", "int", "NO", "", "", extra])).expect("a column").is_invisible;
        for extra in [
            "INVISIBLE",
            "auto_increment INVISIBLE",
            "VIRTUAL GENERATED, INVISIBLE",
            "on update x() INVISIBLE",
        ] {
            assert!(is_invisible(extra), "{extra}");
        }
        // What is generated counts: an INSERT says DEFAULT there.
        assert!(!is_invisible("auto_increment") && !is_invisible("STORED GENERATED"));
        assert_eq!(column(&[None]), None);
    }
}
