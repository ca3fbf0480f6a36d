//! Statements that ask about the statement before. While its link is still the session's, the server answers; else Athena
//! does, from what was read from that link.

use crate::net::Payload;
use crate::parser::{
    Answers, ConditionItem, ConditionNumber, Diagnostics, Facts, GetDiagnostics, Hazards, StatementItem,
    diagnostics, with_answers,
};
use crate::pool::{Link, SmallReply, Told, literal_in};
use crate::protocol::packet::{HEADER_LEN, MAX_PAYLOAD, command_packet};
use crate::protocol::resultset::RowFormat;
use crate::protocol::sqlstate::{origin, sqlstate};
use crate::protocol::warnings::{Counted, count_resultset};

use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::link::{ASKS_BACK, Held, NO_SQL, Use};
use super::statements::StatementText;

/// What became of such a statement.
pub(super) enum Asked {
    /// It is to run like any other: with answers written into it, or because the server has the same ones.
    Command(Payload),
    /// The same in other words, of whose own warnings the client is not told.
    InOtherWords(Payload),
    /// The whole reply.
    Reply(Payload),
}

impl Session {
    /// Whether the statement asks something that the server of the session's link would answer with somebody else's.
    pub fn asks_athena(&mut self, facts: Facts) -> bool {
        facts.hazards.intersects(ASKS_BACK) && !self.server_knows(facts)
    }

    /// A MariaDB keeps the list of warnings over statements that use no table.
    pub fn may_keep_warnings(&self) -> bool {
        (self.unread.warnings || !self.before.warnings.rows.is_empty()) && self.is_on_mariadb()
    }

    /// Whether the session's link would first have to prepare a statement that asks, which is the wrong one before it then.
    pub fn asks_in_vain(&mut self, text: &StatementText) -> bool {
        text.facts.hazards.intersects(ASKS_BACK)
            && self.bound.as_mut().is_some_and(|bound| bound.lease().statement(text.key).is_none())
    }

    fn server_knows(&mut self, facts: Facts) -> bool {
        let Some(mut bound) = self.bound.take() else { return false };
        let other_id =
            facts.hazards.contains(Hazards::LAST_INSERT_ID) && self.has_other_insert_id(bound.lease());
        let own_list = bound.lease().warnings_of.is_none_or(|mark| mark == self.mark);
        self.bound = Some(bound);
        let lists = (self.unread.warnings && self.before.kept.is_empty())
            || (own_list && self.before.warnings.rows.is_empty());
        let asks_for_list = facts.hazards.contains(Hazards::READS_DIAGNOSTICS);
        // Most statements leave FOUND_ROWS() as it was, which may have been another session's.
        let found = self.unread.found_rows || !facts.hazards.contains(Hazards::FOUND_ROWS);
        self.is_last && !other_id && found && (lists || !asks_for_list)
    }

    /// COM_QUERY whose text begins at `text_at` and asks Athena.
    pub async fn ask_back(&mut self, command: Payload, text_at: usize, facts: Facts) -> Result<Asked, Stop> {
        self.read_own_link().await?;
        let text = command.get(text_at..).unwrap_or_default();
        let mode = self.sql_mode();
        if facts.hazards.contains(Hazards::READS_DIAGNOSTICS)
            && let Some(question) = diagnostics(text, mode)
        {
            return self.ask_for_list(command, question, RowFormat::Text).await;
        }
        let text = with_answers(text, mode, self.is_on_mariadb(), &self.answers())
            .map_err(|_| Refusal::other_link())?;
        self.with_text(&command, text_at, &text).map(Asked::Command)
    }

    /// Reads what the session's own link still knows of its last statement.
    pub async fn read_own_link(&mut self) -> Result<(), Stop> {
        let Some(bound) = self.bound.take() else { return Ok(()) };
        let mut link = Use { held: Held::Bound(bound), permit: self.permit.take() };
        match self.read_before_own(&mut link).await {
            Ok(()) => {
                self.keep_or_give_back(link);
                Ok(())
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// What is known of the statement before.
    pub fn answers(&self) -> Answers {
        Answers {
            connection_id: None,
            row_count: Some(self.before.row_count),
            found_rows: Some(self.before.found_rows),
            warning_count: Some(self.before.warning_count),
            error_count: Some(self.before.error_count()),
            last_insert_id: None,
        }
    }

    pub async fn ask_for_list(
        &mut self,
        command: Payload,
        question: Diagnostics,
        format: RowFormat,
    ) -> Result<Asked, Stop> {
        let list = &self.before.warnings;
        if !matches!(question, Diagnostics::Get(_)) {
            if list.rows.is_empty() {
                // Any link without warnings gives the same answer.
                self.clears_warnings = true;
                return Ok(Asked::Command(command));
            }
            if list.columns.is_empty() {
                self.before.warnings.columns = self.columns_of_warnings().await?;
            }
            Box::pin(self.recode_warnings()).await?;
        }
        let list = &self.before.warnings;
        let (capabilities, status, mariadb) = (self.capabilities, self.own_status(), self.is_on_mariadb());
        let counted = question.clone();
        let reply = match question {
            Diagnostics::ShowWarnings(range) => list.show_warnings(capabilities, status, range, format),
            Diagnostics::ShowErrors(range) => list.show_errors(capabilities, status, range, format, mariadb),
            Diagnostics::CountWarnings => {
                count_resultset(capabilities, status, Counted::Warnings, self.before.warning_count)
            }
            Diagnostics::CountErrors => {
                count_resultset(capabilities, status, Counted::Errors, self.before.error_count())
            }
            Diagnostics::Get(get) => {
                let Some(text) = self.set_of(&get, mariadb) else {
                    self.clears_warnings = true;
                    self.before.kept.clone_from(&self.before.warnings.rows);
                    self.before.row_count = -1;
                    return Ok(Asked::Command(command));
                };
                let text_at = self.text_offset(command.get(HEADER_LEN..).unwrap_or_default());
                let text_at = HEADER_LEN + text_at.ok_or_else(Refusal::malformed)?;
                return self.with_text(&command, text_at, &text).map(Asked::InOtherWords);
            }
        };
        // It counts as a statement with rows, and without warnings.
        self.before.row_count = -1;
        self.warnings = 0;
        if matches!(counted, Diagnostics::CountWarnings | Diagnostics::CountErrors) {
            self.before.found_rows = 1;
        }
        Ok(Asked::Reply(reply.into()))
    }

    /// The columns of SHOW WARNINGS in the session's character set.
    async fn columns_of_warnings(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        let mut link = self.take_link(NO_SQL).await?;
        match self.backend(link.lease().warnings()).await {
            Ok(list) => {
                self.is_last = false;
                self.keep_or_give_back(link);
                Ok(list.map(|list| list.columns).unwrap_or_default())
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// GET DIAGNOSTICS as a SET of its targets. `None` if there is no such condition: a server has the words for that.
    fn set_of(&self, get: &GetDiagnostics, mariadb: bool) -> Option<Vec<u8>> {
        let mut assignments: Vec<Vec<u8>> = Vec::new();
        match get {
            GetDiagnostics::Statement(items) => {
                for (target, item) in items {
                    let value = match item {
                        StatementItem::Number => {
                            format!("CAST({} AS UNSIGNED)", self.before.warnings.rows.len())
                        }
                        StatementItem::RowCount => self.before.row_count.to_string(),
                    };
                    assignments.push([target, &b":="[..], value.as_bytes()].concat());
                }
            }
            GetDiagnostics::Condition { number, items } => {
                let number = match number {
                    ConditionNumber::Literal(number) => *number,
                    ConditionNumber::Expression(_) => return None,
                };
                for (target, item) in items {
                    let value = self.condition(number, *item, mariadb)?;
                    assignments.push([target, &b":="[..], &value].concat());
                }
            }
        }
        Some([b"SET ", &assignments.join(&b","[..])[..]].concat())
    }

    /// An item of a condition, as an expression.
    fn condition(&self, number: u64, item: ConditionItem, mariadb: bool) -> Option<Vec<u8>> {
        let list = &self.before.warnings;
        let code = list.code(number)?;
        let told = self.before.error.filter(|(error, _)| *error == code);
        let state = told.map_or_else(|| sqlstate(code, mariadb), |(_, state)| state);
        let charset = self.before.charset.as_deref().unwrap_or(b"utf8mb4");
        let text = |text: &[u8]| [b"CONVERT(", &literal_in(charset, text)[..], b" USING utf8mb3)"].concat();
        Some(match item {
            ConditionItem::MysqlErrno => format!("CAST({code} AS UNSIGNED)").into_bytes(),
            ConditionItem::RowNumber => b"CAST(0 AS UNSIGNED)".to_vec(),
            ConditionItem::ReturnedSqlstate => text(&state),
            ConditionItem::MessageText => text(list.message(number)?),
            ConditionItem::ClassOrigin | ConditionItem::SubclassOrigin if !mariadb => {
                text(origin(state).as_bytes())
            }
            _ => text(b""),
        })
    }

    /// The same command with another text.
    fn with_text(&self, command: &[u8], text_at: usize, text: &[u8]) -> Result<Payload, Stop> {
        let head = command.get(HEADER_LEN..text_at).unwrap_or_default();
        let payload = [head, text].concat();
        if payload.len() >= MAX_PAYLOAD {
            return Err(Refusal::outgrown("what it asks about the statement before it").into());
        }
        Ok(command_packet(&payload).into())
    }

    /// Empties the list of warnings of a link, if it is to answer as one that has none. Whether that took a statement.
    pub async fn clear_warnings(&mut self, link: &mut Use) -> Result<bool, Stop> {
        if !std::mem::take(&mut self.clears_warnings) || link.lease().warnings_of.is_none() {
            return Ok(false);
        }
        match Box::pin(self.backend(link.lease().clear_warnings())).await? {
            SmallReply::Err(err) => Err(Refusal::of_server(err).into()),
            _ => Ok(true),
        }
    }

    /// The character set in which a list of warnings is sent now.
    pub fn results_charset(&self, link: &Link) -> Option<Box<[u8]>> {
        const RESULTS: &[u8] = b"character_set_results";
        let charset = self.state.variable(RESULTS).or_else(|| link.base_value(RESULTS))?;
        // Nothing is converted: messages are in UTF-8.
        Some(if matches!(charset, b"" | b"binary") { b"utf8mb4" } else { charset }.into())
    }

    /// The messages in the character set that results have now, which may be another one than when they were read.
    async fn recode_warnings(&mut self) -> Result<(), Stop> {
        let messages = |row: &Vec<Option<Vec<u8>>>| row.last().cloned().flatten().unwrap_or_default();
        let all: Vec<_> = self.before.warnings.rows.iter().map(messages).collect();
        let Some(of_list) = self.before.charset.clone().filter(|_| !all.iter().all(|text| text.is_ascii()))
        else {
            return Ok(());
        };
        let mut link = self.take_link(NO_SQL).await?;
        let now = self.results_charset(link.lease());
        if now.as_ref() == Some(&of_list) {
            self.keep_or_give_back(link);
            return Ok(());
        }
        let items: Vec<_> = all.iter().map(|text| literal_in(&of_list, text)).collect();
        let question = [b"SELECT ", &items.join(&b","[..])[..], b" LIMIT 1"].concat();
        match self.backend(link.lease().ask_all(&[question])).await {
            Ok((told, _)) => {
                self.is_last = false;
                self.keep_or_give_back(link);
                if let Some(Told::Table(table)) = told.into_iter().next()
                    && let Some(recoded) = table.rows.into_iter().next()
                {
                    for (row, message) in self.before.warnings.rows.iter_mut().zip(recoded) {
                        row.pop();
                        row.push(message);
                    }
                    self.before.charset = now;
                }
                Ok(())
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }
}
