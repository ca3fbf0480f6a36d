//! What a server has said of itself at one look, read from the rows of its answers.
//!
//! MariaDB manual: "SHOW REPLICA STATUS", "Global Transaction ID", "Galera Cluster Status Variables". MySQL manual: "SHOW REPLICA STATUS
//! Statement", "The replication_group_members Table".

use std::sync::Arc;
use std::time::Duration;

use super::gtid::GtidSet;

/// A row with the names of its columns.
pub type NamedRow = Vec<(String, Option<Vec<u8>>)>;

/// The rows of the answers to one look.
#[derive(Debug, Default)]
pub struct Answers {
    pub mariadb: bool,
    /// Global variables, in one row.
    pub settings: Vec<NamedRow>,
    /// A row for each source that it replicates from; `None` if the account may not see that.
    pub replication: Option<Vec<NamedRow>>,
    /// Its own row of Group Replication's members; `None` where there is no such plugin.
    pub group: Option<Vec<NamedRow>>,
    /// Galera's status, a row for each variable; `None` where there is no Galera.
    pub galera: Option<Vec<NamedRow>>,
}

/// What a server has said of itself at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Ordinary accounts may write.
    pub is_writable: bool,
    /// What it has executed; `None` where there are no GTIDs that all servers agree on.
    pub executed: Option<Arc<GtidSet>>,
    /// What it replicates from; `None` if the account may not see that.
    pub channels: Option<Vec<Channel>>,
    /// Its part in a group of servers that elect their primary themselves, or have several.
    pub group: Option<Part>,
}

/// Replication from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    pub host: String,
    pub port: u16,
    pub receives: Receives,
    /// Its SQL thread runs.
    pub applies: bool,
    /// As the server counts it; `None` if it does not know.
    pub behind: Option<Duration>,
}

/// What the thread does that gets events from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receives {
    Yes,
    /// It would, and the source is not there.
    Tries,
    No,
}

/// A server's part in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// None at the moment, or only to be one.
    Apart,
    /// Group Replication: it follows.
    Secondary,
    /// Group Replication: it takes writes, maybe beside others.
    Primary,
    /// Galera: it has all that the others have.
    Synced,
}

impl Look {
    /// Reads the answers. `None` if they are not what was asked for.
    pub fn read(answers: &Answers) -> Option<Self> {
        let settings = answers.settings.first()?;
        let off = |name| is_off(value(settings, name));
        let is_writable = off("read_only")? && off("super_read_only").unwrap_or(true);
        let rows = answers.replication.as_ref();
        let channels: Option<Vec<Channel>> = rows.map(|rows| rows.iter().filter_map(channel).collect());
        let galera = answers.galera.as_deref().map(galera);
        let group = galera.or_else(|| group(answers.group.as_deref()?));
        let follows = channels.iter().flatten().any(Channel::is_active);
        // Each node of a Galera cluster has GTIDs of its own.
        let executed = || executed(settings, answers.mariadb, follows).map(Arc::new);
        let executed = if galera.is_some() { None } else { executed() };
        Some(Self { is_writable, executed, channels, group })
    }

    /// It replicates from somebody, as far as it tells.
    pub fn is_replicating(&self) -> bool {
        self.channels.iter().flatten().any(Channel::is_active)
    }
}

impl Channel {
    /// A source is configured, and one of the threads runs.
    pub fn is_active(&self) -> bool {
        self.applies || self.receives != Receives::No
    }
}

fn value<'a>(row: &'a NamedRow, name: &str) -> Option<&'a [u8]> {
    let (_, value) = row.iter().find(|(column, _)| column.eq_ignore_ascii_case(name))?;
    value.as_deref()
}

fn text(row: &NamedRow, names: [&str; 2]) -> Option<String> {
    let found = names.iter().find_map(|name| value(row, name))?;
    Some(String::from_utf8_lossy(found).into_owned())
}

/// Newer MariaDBs have more than two values of `read_only`, all but one of which forbid writes.
fn is_off(value: Option<&[u8]>) -> Option<bool> {
    value.map(|value| value == b"0" || value.eq_ignore_ascii_case(b"OFF"))
}

fn executed(settings: &NamedRow, mariadb: bool, follows: bool) -> Option<GtidSet> {
    if !mariadb {
        let on = value(settings, "gtid_mode")?.eq_ignore_ascii_case(b"ON");
        let set: Vec<u8> =
            value(settings, "gtid_executed")?.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        return if on { GtidSet::parse(&set, false) } else { None };
    }
    // What replication has applied and what this server has written itself: right for a replica, and for one that was promoted.
    let mut executed = GtidSet::parse(value(settings, "gtid_current_pos")?, true)?;
    // A server whose data came as a copy knows what others wrote from its binary log alone. On a replica that may be ahead of
    // what can be read there.
    if !follows && let Some(written) = GtidSet::parse(value(settings, "gtid_binlog_pos")?, true) {
        executed.add(&written);
    }
    Some(executed)
}

/// Group Replication's own channels are no replication from elsewhere.
const GROUP_CHANNELS: &str = "group_replication_";

fn channel(row: &NamedRow) -> Option<Channel> {
    let name = text(row, ["Channel_Name", "Connection_name"]).unwrap_or_default();
    if name.starts_with(GROUP_CHANNELS) {
        return None;
    }
    let receives = match text(row, ["Replica_IO_Running", "Slave_IO_Running"])?.to_ascii_lowercase().as_str()
    {
        "yes" => Receives::Yes,
        "no" => Receives::No,
        // "Connecting", and MariaDB's "Preparing".
        _ => Receives::Tries,
    };
    let behind = text(row, ["Seconds_Behind_Source", "Seconds_Behind_Master"]);
    Some(Channel {
        host: text(row, ["Source_Host", "Master_Host"])?,
        port: text(row, ["Source_Port", "Master_Port"])?.parse().ok()?,
        receives,
        applies: text(row, ["Replica_SQL_Running", "Slave_SQL_Running"])?.eq_ignore_ascii_case("yes"),
        behind: behind.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs),
    })
}

/// `None` if the plugin is there and no group was ever named.
fn group(rows: &[NamedRow]) -> Option<Part> {
    let row = rows.first()?;
    if value(row, "group_name").is_none_or(<[u8]>::is_empty) {
        return None;
    }
    let is = |column, wanted: &[u8]| value(row, column).is_some_and(|value| value == wanted);
    Some(match (is("member_state", b"ONLINE"), is("member_role", b"PRIMARY")) {
        (false, _) => Part::Apart,
        (true, true) => Part::Primary,
        (true, false) => Part::Secondary,
    })
}

fn galera(rows: &[NamedRow]) -> Part {
    /// `wsrep_local_state` of a node that has caught up.
    const SYNCED: &[u8] = b"4";
    let status = |name: &[u8]| {
        let row = rows.iter().find(|row| {
            value(row, "Variable_name").is_some_and(|variable| variable.eq_ignore_ascii_case(name))
        })?;
        value(row, "Value")
    };
    let ready = status(b"wsrep_ready").is_some_and(|ready| ready.eq_ignore_ascii_case(b"ON"));
    if ready && status(b"wsrep_local_state") == Some(SYNCED) { Part::Synced } else { Part::Apart }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[(&str, &str)]) -> NamedRow {
        let value = |value: &str| (value != "NULL").then(|| value.as_bytes().to_vec());
        values.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect()
    }

    fn mariadb(read_only: &str, replication: &[NamedRow]) -> Answers {
        let settings = row(&[
            ("read_only", read_only),
            ("gtid_current_pos", "0-1-9"),
            ("gtid_binlog_pos", "0-1-9,1-5-3"),
        ]);
        Answers {
            mariadb: true,
            settings: vec![settings],
            replication: Some(replication.to_vec()),
            ..Answers::default()
        }
    }

    #[test]
    fn a_mariadb_tells_of_all_its_sources() {
        let source = |name: &str, port: &str, io: &str, sql: &str, behind: &str| {
            row(&[
                ("Connection_name", name),
                ("Master_Host", "db1"),
                ("Master_Port", port),
                ("Slave_IO_Running", io),
                ("Slave_SQL_Running", sql),
                ("Seconds_Behind_Master", behind),
            ])
        };
        let rows =
            [source("", "3306", "Yes", "Yes", "7"), source("other", "3307", "Connecting", "No", "NULL")];
        let look = Look::read(&mariadb("1", &rows)).expect("a look");
        assert!(!look.is_writable && look.is_replicating());
        let one = Channel {
            host: "db1".to_owned(),
            port: 3306,
            receives: Receives::Yes,
            applies: true,
            behind: Some(Duration::from_secs(7)),
        };
        let other =
            Channel { port: 3307, receives: Receives::Tries, applies: false, behind: None, ..one.clone() };
        assert_eq!(look.channels, Some(vec![one, other]));
        assert_eq!(look.executed.map(|set| set.to_string()).as_deref(), Some("0-1-9"));
        let primary = Look::read(&mariadb("0", &[])).expect("a look");
        assert!(primary.is_writable && !primary.is_replicating());
        assert_eq!(primary.executed.map(|set| set.to_string()).as_deref(), Some("0-1-9,1-5-3"));
        assert!(!Look::read(&mariadb("NO_LOCK", &[])).expect("a look").is_writable);
        assert_eq!(Look::read(&Answers::default()), None);
    }

    #[test]
    fn a_mysql_has_gtids_where_its_mode_is_on() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let answers = |mode: &str, read_only: &str| Answers {
            settings: vec![row(&[
                ("read_only", "0"),
                ("super_read_only", read_only),
                ("gtid_mode", mode),
                ("gtid_executed", &format!("{uuid}:1-5,\n{uuid}:7")),
            ])],
            ..Answers::default()
        };
        let look = Look::read(&answers("ON", "0")).expect("a look");
        assert!(look.is_writable && look.channels.is_none());
        assert_eq!(look.executed.map(|set| set.to_string()), Some(format!("{uuid}:1-5:7")));
        let look = Look::read(&answers("ON_PERMISSIVE", "1")).expect("a look");
        assert!(!look.is_writable && look.executed.is_none());
    }

    #[test]
    fn parts_in_groups() {
        let of_group = |name: &str, state: &str, role: &str| {
            let row = row(&[("MEMBER_STATE", state), ("MEMBER_ROLE", role), ("group_name", name)]);
            Look::read(&Answers { mariadb: false, group: Some(vec![row]), ..mariadb("0", &[]) })
                .and_then(|look| look.group)
        };
        assert_eq!(of_group("g", "ONLINE", "PRIMARY"), Some(Part::Primary));
        assert_eq!(of_group("g", "ONLINE", "SECONDARY"), Some(Part::Secondary));
        assert_eq!(of_group("g", "RECOVERING", "SECONDARY"), Some(Part::Apart));
        assert_eq!(of_group("", "OFFLINE", ""), None);
        let of_galera = |ready: &str, state: &str| {
            let status = |name: &str, value: &str| row(&[("Variable_name", name), ("Value", value)]);
            let galera = vec![status("wsrep_local_state", state), status("wsrep_ready", ready)];
            Look::read(&Answers { galera: Some(galera), ..mariadb("0", &[]) })
        };
        assert_eq!(of_galera("ON", "4").and_then(|look| look.group), Some(Part::Synced));
        assert_eq!(of_galera("ON", "2").and_then(|look| look.group), Some(Part::Apart));
        assert_eq!(of_galera("OFF", "4").and_then(|look| look.group), Some(Part::Apart));
        assert_eq!(of_galera("ON", "4").and_then(|look| look.executed), None);
    }
}
