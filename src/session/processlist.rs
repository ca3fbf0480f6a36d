//! SHOW PROCESSLIST and COM_PROCESS_INFO: the clients' sessions, by the ids that they can be killed with.
//!
//! What a session does on the server only that knows: its row in the server's own list is found by the link that the
//! session uses. A link goes from hand to hand, so the sessions are asked before and after the server, and a row counts
//! only for a session that had the link for one and the same command all the while.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use crate::net::Payload;
use crate::pool::{Table, Told};
use crate::protocol::command::Command;
use crate::protocol::resultset::{TextValue, text_resultset};

use super::context::{Context, Phase};
use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::post::{Answer, Request};
use super::registry::LinkId;

/// Characters of a statement that the list shows without FULL.
const INFO_CHARS: usize = 100;

/// The columns of every server: Id, User, Host, db, Command, Time, State, Info. Others follow.
const COLUMNS_MIN: usize = 8;

const MAY_SEE: &str = "'PROCESS', 'SUPER'";

/// A session as it looks from another core.
pub(super) struct Listed {
    id: u32,
    account: String,
    host: String,
    schema: Option<Vec<u8>>,
    command: Option<Command>,
    time: Duration,
    waiting: bool,
    link: Option<(LinkId, u32)>,
}

/// Those of this core and this cluster.
pub(super) fn sessions(ctx: &Rc<Context>, cluster: usize) -> Vec<Listed> {
    let now = ctx.core.timers.now();
    ctx.registry.collect(|entry| {
        let who = entry.who();
        let (command, since) = entry.doing();
        let host = entry.peer.map(|peer| format!("{}:{}", peer.ip(), peer.port()));
        (who.cluster == cluster).then(|| Listed {
            id: entry.id,
            account: who.account.to_string(),
            host: host.unwrap_or_else(|| "localhost".to_owned()),
            schema: entry.schema().map(|schema| schema.to_vec()),
            command,
            time: now.saturating_duration_since(since),
            waiting: entry.is_waiting(),
            link: entry.link(),
        })
    })
}

impl Session {
    /// COM_PROCESS_INFO.
    pub(super) async fn process_info(&mut self) -> Result<Payload, Stop> {
        self.process_list(false, None).await
    }

    /// `text` is the statement itself.
    pub(super) async fn process_list(&mut self, full: bool, text: Option<&[u8]>) -> Result<Payload, Stop> {
        let before = self.all_sessions().await?;
        let primary = (self.account.cluster, self.home().view.last_primary());
        let table = self.servers_list(primary, full).await?;
        let mut sessions = self.all_sessions().await?;
        sessions.sort_by_key(|session| session.id);
        let others = sessions.iter().any(|session| !self.is_ours(session));
        let all = others && self.has_privilege(MAY_SEE).await?;
        sessions.retain(|session| all || self.is_ours(session));
        let held: HashMap<u32, (LinkId, u32)> =
            before.iter().filter_map(|session| Some((session.id, session.link?))).collect();
        let columns = table.columns.len();
        let others: BTreeSet<(usize, usize)> = held
            .values()
            .map(|(link, _)| (link.cluster, link.member))
            .filter(|one| *one != primary)
            .collect();
        let mut lists = vec![(primary, table.rows)];
        for member in others {
            // Of a server that does not answer, sessions are listed without what it would say of them.
            if let Ok(list) = self.servers_list(member, full).await {
                lists.push((member, list.rows));
            }
        }
        let of_server = |((cluster, member), rows): &((usize, usize), Vec<Vec<TextValue>>)| {
            let (cluster, member) = (*cluster, *member);
            let row = |row: &Vec<TextValue>| Some((LinkId { cluster, member, id: id_of(row)? }, row.clone()));
            rows.iter().filter_map(row).collect::<Vec<_>>()
        };
        let by_id: HashMap<LinkId, Vec<TextValue>> = lists.iter().flat_map(of_server).collect();
        let own_text = text.map(|text| if full { text.to_vec() } else { cut(text) });
        let rows: Vec<_> = sessions
            .iter()
            .map(|session| {
                let link = session.link.filter(|link| held.get(&session.id) == Some(link));
                let servers = link.and_then(|(link, _)| by_id.get(&link));
                let own = (session.id == self.id).then(|| own_text.clone()).flatten();
                row(session, servers, own, columns)
            })
            .collect();
        let status = self.own_status();
        Ok(text_resultset(self.capabilities, status, &table.columns, &rows).into())
    }

    fn is_ours(&self, session: &Listed) -> bool {
        *session.account == *self.account.name
    }

    async fn all_sessions(&self) -> Result<Vec<Listed>, Stop> {
        let mut all = Vec::new();
        for core in 0..self.ctx.cores() {
            match self.ask_core(core, Request::Sessions { cluster: self.account.cluster }).await? {
                Answer::Sessions(sessions) => all.extend(sessions),
                Answer::Killed(_) => return Err(Refusal::core_silent(core).into()),
            }
        }
        Ok(all)
    }

    /// The server's list in the character set of this session.
    async fn servers_list(&self, of: (usize, usize), full: bool) -> Result<Table, Stop> {
        let sql = if full { "SHOW FULL PROCESSLIST" } else { "SHOW PROCESSLIST" };
        let (cluster, member) = (&self.ctx.clusters[of.0], of.1);
        let pool = cluster.members[member].clone();
        let identity = cluster.identity_on(member, &self.identity);
        let errand = pool.errand(Some(identity), sql);
        match self.wait(Duration::ZERO, Phase::Ending, errand).await {
            Ok(Ok(Told::Table(table))) if table.columns.len() >= COLUMNS_MIN => Ok(table),
            Ok(Ok(Told::Err(err))) => Err(Refusal::of_server(err).into()),
            Ok(Ok(_)) => Err(Refusal::list_failed("an answer that is no list").into()),
            Ok(Err(error)) => Err(Refusal::list_failed(&error.to_string()).into()),
            Err(_) => Err(self.ended().into()),
        }
    }
}

fn id_of(row: &[TextValue]) -> Option<u32> {
    std::str::from_utf8(row.first()?.as_deref()?).ok()?.parse().ok()
}

/// A row of the client's list: the server's with the client's names in it, or one that Athena makes.
fn row(
    session: &Listed,
    servers: Option<&Vec<TextValue>>,
    own_text: Option<Vec<u8>>,
    columns: usize,
) -> Vec<TextValue> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let names = [text(&session.id.to_string()), text(&session.account), text(&session.host)];
    if let Some(servers) = servers {
        return names.into_iter().chain(servers.iter().skip(3).cloned()).collect();
    }
    let state = if session.waiting { "Waiting for a backend connection" } else { "" };
    let rest = [
        session.schema.clone(),
        text(command_name(session.command)),
        text(&session.time.as_secs().to_string()),
        text(state),
        own_text,
    ];
    // What follows counts: rows sent, rows examined, progress.
    let others = (COLUMNS_MIN..columns).map(|_| text("0"));
    names.into_iter().chain(rest).chain(others).collect()
}

/// The first characters of a text, by UTF-8 where it is that.
fn cut(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().take(INFO_CHARS).collect::<String>().into_bytes(),
        Err(_) => text.get(..INFO_CHARS).unwrap_or(text).to_vec(),
    }
}

/// As servers call commands in their lists.
fn command_name(command: Option<Command>) -> &'static str {
    match command {
        None => "Sleep",
        Some(Command::Quit) => "Quit",
        Some(Command::InitDb) => "Init DB",
        Some(Command::FieldList) => "Field List",
        Some(Command::Statistics) => "Statistics",
        Some(Command::ProcessInfo) => "Processlist",
        Some(Command::ProcessKill) => "Kill",
        Some(Command::Ping) => "Ping",
        Some(Command::ChangeUser) => "Change user",
        Some(Command::BinlogDump | Command::BinlogDumpGtid) => "Binlog Dump",
        Some(Command::StmtPrepare) => "Prepare",
        Some(Command::StmtExecute | Command::StmtBulkExecute) => "Execute",
        Some(Command::StmtSendLongData) => "Long Data",
        Some(Command::StmtClose) => "Close stmt",
        Some(Command::StmtReset) => "Reset stmt",
        Some(Command::StmtFetch) => "Fetch",
        Some(Command::ResetConnection) => "Reset connection",
        Some(Command::SetOption) => "Set option",
        Some(Command::Debug) => "Debug",
        Some(_) => "Query",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_clients_names_and_as_many_columns_as_the_servers() {
        let session = Listed {
            id: 7,
            account: "app".to_owned(),
            host: "10.0.0.1:5".to_owned(),
            schema: Some(b"test".to_vec()),
            command: None,
            time: Duration::from_millis(2999),
            waiting: false,
            link: None,
        };
        let text = |row: Vec<TextValue>| {
            let values = row
                .into_iter()
                .map(|value| value.map_or("NULL".to_owned(), |v| String::from_utf8(v).unwrap()));
            values.collect::<Vec<_>>().join("|")
        };
        assert_eq!(text(row(&session, None, None, 9)), "7|app|10.0.0.1:5|test|Sleep|2||NULL|0");
        let servers = ["99", "root", "athena:1", "test", "Query", "3", "User sleep", "SELECT SLEEP(9)"];
        let servers = servers.map(|value| Some(value.as_bytes().to_vec())).to_vec();
        let expected = "7|app|10.0.0.1:5|test|Query|3|User sleep|SELECT SLEEP(9)";
        assert_eq!(text(row(&session, Some(&servers), None, 8)), expected);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("é".repeat(150).as_bytes()), "é".repeat(100).as_bytes());
        assert_eq!(cut(&[0xFF; 150]), [0xFF; 100]);
        assert_eq!(cut(b"short"), b"short");
    }
}
