//! Looking after a server: a connection of its own, and the questions that are asked on it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::Instance;
use crate::net::Ring;
use crate::protocol::buf::Reader;
use crate::protocol::capability::Capabilities;
use crate::protocol::response::ErrPacket;

use super::connect::{Connected, ServerProfile, connect, query};
use super::conversation::Conversation;
use super::era::Era;
use super::errand::{REPLY_MAX, Table, Told, read_table};
use super::error::{ConnectError, LinkError};
use super::identity::{BackendAccount, Identity, Want};
use super::link::over;
use super::replay::Overheard;
use super::state::States;

/// What a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// Whether it takes writes, and what it has executed.
    Settings,
    /// Whom it follows.
    Replication,
    /// Its part in Group Replication; where the plugin is.
    Group,
    /// Its part in a Galera cluster; where it is in one.
    Galera,
}

/// A row, each value with the name of its column.
type NamedRow = Vec<(String, Option<Vec<u8>>)>;

/// The rows of an answer, or the server's refusal.
pub type Answer = Result<Vec<NamedRow>, ErrPacket>;

/// A connection on which a server is asked how it is.
pub struct Probe {
    connected: Connected,
    flags: Capabilities,
    /// Those that make sense here, with their statements.
    questions: Vec<(Question, &'static str)>,
}

/// The first MySQL that speaks of replicas. What it says is the same.
const REPLICA_STATUS_SINCE: [u32; 3] = [8, 0, 22];

const MARIADB_SETTINGS: &str = "SELECT @@global.read_only AS read_only, @@global.gtid_current_pos AS gtid_current_pos, \
                                @@global.gtid_binlog_pos AS gtid_binlog_pos";
const MYSQL_SETTINGS: &str = "SELECT @@global.read_only AS read_only, @@global.super_read_only AS super_read_only, \
                              @@global.gtid_mode AS gtid_mode, @@global.gtid_executed AS gtid_executed";

/// A server that is in no Galera cluster mostly has its variables all the same.
const IN_GALERA: &str =
    "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'WSREP_ON'";
const GALERA: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state')";

const IN_GROUP: &str = "SELECT IF(COUNT(*), 'ON', 'OFF') FROM information_schema.PLUGINS \
                        WHERE PLUGIN_NAME = 'group_replication' AND PLUGIN_STATUS = 'ACTIVE'";
const GROUP: &str = "SELECT MEMBER_STATE AS member_state, MEMBER_ROLE AS member_role, \
                     @@global.group_replication_group_name AS group_name \
                     FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@global.server_uuid";

impl Probe {
    /// Connects and logs in. `known` is what the server has said of itself before.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(
        ring: &Rc<Ring>,
        addresses: &Arc<[SocketAddr]>,
        instance: &Instance,
        account: &Rc<BackendAccount>,
        known: Option<&ServerProfile>,
    ) -> Result<Self, ConnectError> {
        let want = Want {
            identity: Identity::usual(account.clone(), Identity::DEFAULT_COLLATION),
            schema: None,
            era: Era::FIRST,
            state: States::default().empty(),
        };
        let connected = connect(ring, addresses, instance, &want, known).await?;
        let flags = want.identity.flags;
        let mut probe = Self { connected, flags, questions: Vec::new() };
        let mariadb = probe.is_mariadb();
        let (settings, in_group, more) = match mariadb {
            true => (MARIADB_SETTINGS, IN_GALERA, (Question::Galera, GALERA)),
            false => (MYSQL_SETTINGS, IN_GROUP, (Question::Group, GROUP)),
        };
        let replication = match mariadb {
            true => "SHOW ALL SLAVES STATUS",
            false if is_at_least(&probe.connected.profile.version, REPLICA_STATUS_SINCE) => {
                "SHOW REPLICA STATUS"
            }
            false => "SHOW SLAVE STATUS",
        };
        probe.questions = vec![(Question::Settings, settings), (Question::Replication, replication)];
        let told = probe.ask(&[in_group]).await?;
        if told.iter().flatten().flatten().flatten().any(|(_, value)| value.as_deref() == Some(b"ON")) {
            probe.questions.push(more);
        }
        Ok(probe)
    }

    pub fn is_mariadb(&self) -> bool {
        self.connected.profile.is_mariadb()
    }

    pub fn profile(&self) -> &ServerProfile {
        &self.connected.profile
    }

    /// Asks all questions, in one round trip.
    ///
    /// # Errors
    /// After any, and when the future is dropped, the connection can't be used any more.
    pub async fn look(&mut self) -> Result<Vec<(Question, Answer)>, LinkError> {
        let statements: Vec<&str> = self.questions.iter().map(|(_, sql)| *sql).collect();
        let answers = self.ask(&statements).await?;
        Ok(self.questions.iter().map(|(question, _)| *question).zip(answers).collect())
    }

    /// Ready when the server has closed the connection.
    pub async fn closed(&self) {
        self.connected.socket.closed().await;
    }

    async fn ask(&self, statements: &[&str]) -> Result<Vec<Answer>, LinkError> {
        let mut conversation = Conversation::new(&self.connected.socket, 0).with_packets_up_to(REPLY_MAX);
        for sql in statements {
            conversation.send(0, &query(sql, self.flags));
        }
        let mut answers = Vec::with_capacity(statements.len());
        for _ in statements {
            conversation.expect_reply();
            answers.push(match read_table(&mut conversation, &mut Overheard::default()).await? {
                Told::Ok => Ok(Vec::new()),
                Told::Err(err) => Err(err),
                Told::Table(table) => Ok(named(table)?),
            });
        }
        over(&conversation)?;
        Ok(answers)
    }
}

/// Gives each value the name of its column.
fn named(table: Table) -> Result<Vec<NamedRow>, LinkError> {
    let names = table.columns.iter().map(|column| column_name(column)).collect::<Result<Vec<_>, _>>()?;
    Ok(table.rows.into_iter().map(|row| names.iter().cloned().zip(row).collect()).collect())
}

/// Protocol section: "Column Definition"; catalog, schema, table and original table stand before the name.
fn column_name(definition: &[u8]) -> Result<String, LinkError> {
    const BEFORE_NAME: usize = 4;
    let mut reader = Reader::new(definition);
    for _ in 0..BEFORE_NAME {
        reader.lenenc_bytes()?;
    }
    Ok(String::from_utf8_lossy(reader.lenenc_bytes()?).into_owned())
}

/// Whether a version like `8.0.36-debug` is of this one or newer.
fn is_at_least(version: &[u8], wanted: [u32; 3]) -> bool {
    let text = String::from_utf8_lossy(version);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let has: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    has >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, new) in [
            ("8.0.22", true),
            ("8.0.36-28.1", true),
            ("9.7.0", true),
            ("10.1", true),
            ("8.0.21-debug", false),
            ("8.0", false),
            ("5.7.44-log", false),
        ] {
            assert_eq!(is_at_least(version.as_bytes(), REPLICA_STATUS_SINCE), new, "{version}");
        }
    }

    #[test]
    fn columns_are_named_by_their_definitions() {
        let definition = b"\x03def\x00\x01t\x02tt\x04name\x05other\x0c\x3f\x00";
        assert_eq!(column_name(definition).expect("a name"), "name");
        assert!(column_name(b"\x03def\x00\x05t").is_err());
    }
}
