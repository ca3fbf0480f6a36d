//! Sets of transactions by their GTIDs, in the forms of both families.
//!
//! MariaDB manual: "Global Transaction ID"; a position has one GTID for each domain, `0-1-42,1-2-7`, and holds everything up
//! to it. MySQL manual: "GTID Sets"; `uuid[:tag]:1-5:7,...`.

use std::collections::BTreeMap;
use std::fmt;

/// Transactions that a server has executed, or that a session has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GtidSet {
    /// For each domain the last server and sequence number.
    MariaDb(BTreeMap<u32, (u32, u64)>),
    /// For each source (`uuid`, or `uuid:tag`, in lower case) intervals with both ends, in order and apart.
    MySql(BTreeMap<Box<str>, Vec<(u64, u64)>>),
}

impl GtidSet {
    /// Nothing, of a family.
    pub fn empty(mariadb: bool) -> Self {
        if mariadb { Self::MariaDb(BTreeMap::new()) } else { Self::MySql(BTreeMap::new()) }
    }

    /// Reads what a server says. `None` if that is no set.
    pub fn parse(text: &[u8], mariadb: bool) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let mut set = Self::empty(mariadb);
        for part in parts {
            match &mut set {
                Self::MariaDb(domains) => {
                    let mut numbers = part.split('-');
                    let domain = numbers.next()?.parse().ok()?;
                    let server = numbers.next()?.parse().ok()?;
                    let number = numbers.next()?.parse().ok()?;
                    if numbers.next().is_some() {
                        return None;
                    }
                    let last = domains.entry(domain).or_insert((server, number));
                    if last.1 < number {
                        *last = (server, number);
                    }
                }
                Self::MySql(sources) => read_source(part, sources)?,
            }
        }
        Some(set)
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::MariaDb(domains) => domains.is_empty(),
            Self::MySql(sources) => sources.is_empty(),
        }
    }

    /// Of how many parts it is, as a measure of its size.
    pub fn parts(&self) -> usize {
        match self {
            Self::MariaDb(domains) => domains.len(),
            Self::MySql(sources) => sources.values().map(Vec::len).sum(),
        }
    }

    /// Makes one interval of those of each source, from the first transaction to the last: a set that has less parts, and of
    /// which more has to be there.
    pub fn fill(&mut self) {
        if let Self::MySql(sources) = self {
            for intervals in sources.values_mut() {
                let last = intervals.iter().map(|(_, last)| *last).max();
                *intervals = last.map(|last| (1, last)).into_iter().collect();
            }
        }
    }

    /// Whether all of `other` is in it. Sets of different families have nothing in common.
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::MariaDb(has), Self::MariaDb(wanted)) => wanted
                .iter()
                .all(|(domain, (_, number))| has.get(domain).is_some_and(|(_, last)| last >= number)),
            (Self::MySql(has), Self::MySql(wanted)) => wanted.iter().all(|(source, wanted)| {
                has.get(source).is_some_and(|has| wanted.iter().all(|wanted| covers(has, *wanted)))
            }),
            _ => other.is_empty(),
        }
    }

    /// Takes all of `other` in. One of the other family takes the place of what was there: the servers are others.
    pub fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::MariaDb(domains), Self::MariaDb(more)) => {
                for (domain, gtid) in more {
                    let last = domains.entry(*domain).or_insert(*gtid);
                    if last.1 <= gtid.1 {
                        *last = *gtid;
                    }
                }
            }
            (Self::MySql(sources), Self::MySql(more)) => {
                for (source, intervals) in more {
                    let own = sources.entry(source.clone()).or_default();
                    own.extend(intervals);
                    join(own);
                }
            }
            _ => self.clone_from(other),
        }
    }
}

impl fmt::Display for GtidSet {
    /// As servers read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        match self {
            Self::MariaDb(domains) => {
                for (domain, (server, number)) in domains {
                    write!(f, "{comma}{domain}-{server}-{number}")?;
                    comma = ",";
                }
            }
            Self::MySql(sources) => {
                for (source, intervals) in sources {
                    write!(f, "{comma}{source}")?;
                    for (first, last) in intervals {
                        match first == last {
                            true => write!(f, ":{first}")?,
                            false => write!(f, ":{first}-{last}")?,
                        }
                    }
                    comma = ",";
                }
            }
        }
        Ok(())
    }
}

/// `uuid[:tag]:1-5:7[:tag:3]`, of which each tag is a source of its own.
fn read_source(part: &str, sources: &mut BTreeMap<Box<str>, Vec<(u64, u64)>>) -> Option<()> {
    let mut words = part.split(':').map(str::trim);
    let uuid = words.next()?.to_ascii_lowercase();
    let is_uuid = uuid.len() == 36 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let mut source = uuid.clone();
    let mut had_any = false;
    for word in words {
        if !word.starts_with(|first: char| first.is_ascii_digit()) {
            source = format!("{uuid}:{}", word.to_ascii_lowercase());
            continue;
        }
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let interval = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let intervals = sources.entry(source.as_str().into()).or_default();
        intervals.push(interval);
        join(intervals);
        had_any = true;
    }
    (is_uuid && had_any).then_some(())
}

fn covers(has: &[(u64, u64)], (first, last): (u64, u64)) -> bool {
    has.iter().any(|(from, to)| *from <= first && last <= *to)
}

/// Puts intervals in order, and makes one of those that touch.
fn join(intervals: &mut Vec<(u64, u64)>) {
    intervals.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
    for (first, last) in intervals.drain(..) {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    *intervals = joined;
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn mysql(text: &str) -> GtidSet {
        GtidSet::parse(text.replace('A', A).replace('B', B).as_bytes(), false).expect("a set")
    }

    fn mariadb(text: &str) -> GtidSet {
        GtidSet::parse(text.as_bytes(), true).expect("a position")
    }

    #[test]
    fn a_position_holds_all_before_it_in_its_domains() {
        let has = mariadb("0-1-42,7-2-9");
        for (wanted, contained) in [
            ("", true),
            ("0-1-42", true),
            ("0-3-41", true),
            ("0-1-43", false),
            ("7-2-9,0-1-1", true),
            ("1-1-1", false),
        ] {
            assert_eq!(has.contains(&mariadb(wanted)), contained, "{wanted}");
        }
        let mut sum = mariadb("0-1-42");
        sum.add(&mariadb("0-2-43,1-1-1"));
        sum.add(&mariadb("0-1-5"));
        assert_eq!(sum.to_string(), "0-2-43,1-1-1");
    }

    #[test]
    fn sets_of_a_mysql_are_joined_and_compared() {
        let has = mysql("A:1-5:7:9-12,\nB:1");
        assert_eq!(has.to_string(), format!("{A}:1-5:7:9-12,{B}:1"));
        for (wanted, contained) in [
            ("", true),
            ("A:2-4", true),
            ("A:5-7", false),
            ("A:9-12:7,B:1", true),
            ("B:2", false),
            ("A:t:1", false),
        ] {
            assert_eq!(has.contains(&mysql(wanted)), contained, "{wanted}");
        }
        let mut sum = mysql("A:1-5:7");
        sum.add(&mysql("A:6,B:4"));
        sum.add(&mysql("A:tag:3:4"));
        assert_eq!(sum.to_string(), format!("{A}:1-7,{A}:tag:3-4,{B}:4"));
        assert_eq!(sum.parts(), 3);
        sum.fill();
        assert_eq!(sum.to_string(), format!("{A}:1-7,{A}:tag:1-4,{B}:1-4"));
        assert_eq!(mysql("A:1-3:tag:4:5").to_string(), format!("{A}:1-3,{A}:tag:4-5"));
    }

    #[test]
    fn what_is_no_set_is_none() {
        for text in ["0-1", "0-1-2-3", "a-1-2", "0-1--2", "0 1 2"] {
            assert_eq!(GtidSet::parse(text.as_bytes(), true), None, "{text}");
        }
        for text in ["A", "1-2", "x:1", "A:x", "A:1-", "A:-1", "\u{fc}:1"] {
            assert_eq!(GtidSet::parse(text.replace('A', A).as_bytes(), false), None, "{text}");
        }
        assert_eq!(GtidSet::parse(b"\xff", true), None);
        assert!(mariadb("").is_empty() && mysql(" ").is_empty());
        assert!(!mariadb("0-1-1").contains(&mysql("A:1")) && mariadb("").contains(&mysql("")));
    }
}
