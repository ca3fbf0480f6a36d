//! What the servers' general logs tell about who ran what.

use std::collections::HashSet;

use super::common::TestResult;
use super::common::cluster::ClusterStage;
use super::common::wire::Connection;
use super::root;

/// The general logs of a cluster, the primary's first.
pub struct Logs(Vec<Connection>);

/// What one server has run of the application: the command (`Query`, `Execute`) and the mark.
pub type Ran = HashSet<(String, String)>;

/// A comment by which a statement is found again; all are of one length.
pub fn mark(number: usize) -> String {
    format!("/* n{number:05} */")
}

/// The length of a mark.
const MARK_LENGTH: usize = 12;

impl Logs {
    /// From now on all servers write into the tables of their general logs.
    pub fn start(stage: &ClusterStage) -> TestResult<Self> {
        let mut all = Vec::new();
        for server in stage.servers.all() {
            let mut connection = root(server)?;
            connection.run("SET GLOBAL log_output = 'TABLE'")?;
            connection.run("SET GLOBAL general_log = ON")?;
            all.push(connection);
        }
        Ok(Self(all))
    }

    /// What each server has run for the application, of what was marked.
    pub fn read(&mut self) -> TestResult<Vec<Ran>> {
        let sql = format!(
            "SELECT DISTINCT command_type, CAST(LEFT(argument, {MARK_LENGTH}) AS CHAR) FROM mysql.general_log \
             WHERE user_host LIKE 'app[%' AND argument LIKE '/* n%'"
        );
        let read = |connection: &mut Connection| -> TestResult<Ran> {
            let rows = connection.query(&sql)?.rows()?.rows;
            Ok(rows.iter().map(|row| (row[0].to_string(), row[1].to_string())).collect())
        };
        self.0.iter_mut().map(read).collect()
    }

    /// The servers that have run the statement with this mark, 0 being the primary.
    pub fn places(&mut self, mark: &str) -> TestResult<Vec<usize>> {
        let ran = self.read()?;
        let has = |ran: &Ran| ran.iter().any(|(_, found)| found == mark);
        Ok((0..ran.len()).filter(|&server| has(&ran[server])).collect())
    }
}
