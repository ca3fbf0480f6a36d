//! What clients know of their writes, and whether the rows agree.

use std::collections::BTreeMap;
use std::fmt;

use athena_perf::lab::Server;

use super::common::TestResult;

/// How a write is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// COM_QUERY, committed by itself.
    Text,
    /// A prepared statement, committed by itself.
    Prepared,
    /// With a second row, both or none.
    Transaction,
}

/// What a client knows of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Acknowledged,
    /// The error says that it was not carried out.
    Failed(u16),
    /// The connection was lost with the answer, or the error leaves it open.
    Unknown,
}

/// A write, by its client and its number there.
pub type Write = (usize, u64);

/// All writes of all clients.
#[derive(Debug, Default)]
pub struct Ledger(pub BTreeMap<Write, (Way, Outcome)>);

impl Ledger {
    /// The tables of the writes, empty. Nothing in them keeps a row from being there twice.
    pub fn create(primary: &Server) -> TestResult {
        primary.sql(
            "DROP TABLE IF EXISTS test.written, test.pairs; \
             CREATE TABLE test.written (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT, n BIGINT, KEY (client, n)); \
             CREATE TABLE test.pairs (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT, n BIGINT, KEY (client, n))",
        )?;
        Ok(())
    }

    pub fn add(&mut self, other: &Ledger) {
        let next = self.0.keys().map(|(client, _)| client + 1).max().unwrap_or(0);
        self.0.extend(other.0.iter().map(|((client, n), entry)| ((next + client, *n), *entry)));
    }

    /// Holds the rows of a server against it.
    ///
    /// # Panics
    /// If a write that was acknowledged is not there once, or one that failed is there.
    pub fn check(&self, server: &Server) -> TestResult {
        let written = counts(server, "written")?;
        let pairs = counts(server, "pairs")?;
        let place = format!("{:?} on {}", server.flavor(), server.port());
        for (write, (way, outcome)) in &self.0 {
            let rows = written.get(write).copied().unwrap_or(0);
            match outcome {
                Outcome::Acknowledged => {
                    assert_eq!(rows, 1, "{write:?} by {way:?} was acknowledged: {place}")
                }
                Outcome::Failed(code) => {
                    assert_eq!(rows, 0, "{write:?} by {way:?} failed with {code}: {place}")
                }
                Outcome::Unknown => assert!(rows <= 1, "{write:?} by {way:?} is there {rows} times: {place}"),
            }
            let second = pairs.get(write).copied().unwrap_or(0);
            let wanted = if *way == Way::Transaction { rows } else { 0 };
            assert_eq!(second, wanted, "both rows of {write:?} by {way:?} or none: {place}");
        }
        let known = |write: &&Write| self.0.contains_key(*write);
        assert_eq!(
            written.keys().filter(known).count(),
            written.len(),
            "nobody has written the others: {place}"
        );
        Ok(())
    }

    /// How many writes of a kind were not acknowledged.
    pub fn failed(&self, way: Way) -> usize {
        self.failed_but(way, &[])
    }

    /// The same without those that failed with one of these errors.
    pub fn failed_but(&self, way: Way, codes: &[u16]) -> usize {
        let failed = |entry: &&(Way, Outcome)| match entry.1 {
            Outcome::Acknowledged => false,
            Outcome::Failed(code) => entry.0 == way && !codes.contains(&code),
            Outcome::Unknown => entry.0 == way,
        };
        self.0.values().filter(failed).count()
    }
}

/// How many rows there are of each write.
fn counts(server: &Server, table: &str) -> TestResult<BTreeMap<Write, u64>> {
    let rows = server.sql(&format!("SELECT client, n, COUNT(*) FROM test.{table} GROUP BY client, n"))?;
    let read = |line: &str| -> Option<(Write, u64)> {
        let mut numbers = line.split_whitespace();
        let client = numbers.next()?.parse().ok()?;
        let n = numbers.next()?.parse().ok()?;
        Some(((client, n), numbers.next()?.parse().ok()?))
    };
    rows.lines().map(|line| read(line).ok_or_else(|| format!("three numbers, not {line}").into())).collect()
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sums: BTreeMap<(Way, Outcome), usize> = BTreeMap::new();
        for entry in self.0.values() {
            *sums.entry(*entry).or_default() += 1;
        }
        for ((way, outcome), count) in sums {
            writeln!(f, "  {way:?} {outcome:?}: {count}")?;
        }
        Ok(())
    }
}
