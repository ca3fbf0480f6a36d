//! Which server reads a text, and what that makes of code in comments.
//!
//! Manual sections: "Comments" (MySQL), "Comment Syntax" (MariaDB).

/// A server by its family and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Server {
    pub mariadb: bool,
    /// As in the comments: 101119 is 10.11.19. Zero if it is not known.
    pub version: u32,
}

/// From this version on, servers disagree whether the code in `/*!nnnnn ... */` is code: each runs what is meant for
/// itself, and MariaDB takes what lies between these for MySQL's.
const FIRST_OF_MYSQL: u32 = 50700;
const LAST_OF_MYSQL: u32 = 99999;

/// This one is code for a MariaDB that is a node of a Galera cluster.
const GALERA: u32 = 99997;

/// MariaDB has left MySQL's versions out since then at the latest.
const MARIADB_10_1: u32 = 100100;

/// How MySQL reads six digits and quotes of dollars is known since then.
const MYSQL_9: u32 = 90000;

/// What a comment is to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment {
    /// It ends with the first `*/`.
    Plain,
    /// Code meant for others: it may hold comments.
    Foreign,
    /// Code, behind a mark of this length.
    Code(usize),
    /// Code or not; if it is code, then behind a mark of this length.
    Doubtful(usize),
}

impl Server {
    /// Reads the version of a server's greeting. Other servers than MySQL's and MariaDB's own are not known.
    pub fn of_version(text: &[u8]) -> Self {
        let has = |name: &[u8]| text.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name));
        let mariadb = has(b"MariaDB");
        let strange = [&b"TiDB"[..], b"Vitess", b"OceanBase"].iter().any(|name| has(name));
        // MariaDB puts a version before its own that replicas of MySQL accept.
        let own = text.strip_prefix(b"5.5.5-").filter(|_| mariadb).unwrap_or(text);
        let version = if strange { None } else { number(own) };
        Server { mariadb, version: version.unwrap_or(0) }
    }

    /// Whether `$tag$` is a quote; `None` if that is not known.
    pub(super) fn dollar_quotes(self) -> Option<bool> {
        match self.version {
            0 => None,
            _ if self.mariadb => Some(false),
            // They came with a release of 8.0.
            80000..MYSQL_9 => None,
            version => Some(version >= MYSQL_9),
        }
    }

    /// Only MySQL has none.
    pub(super) fn has_sequences(self) -> bool {
        self.mariadb || self.version == 0
    }

    /// What a comment is that `text` begins with.
    pub(super) fn comment(self, text: &[u8]) -> Comment {
        let mark = match text {
            [b'/', b'*', b'!', ..] => 3,
            [b'/', b'*', b'M', b'!', ..] => 4,
            _ => return Comment::Plain,
        };
        let behind = text.get(mark..).unwrap_or_default();
        let count = behind.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        let digits = if count < 5 { 0 } else { count };
        match self {
            Server { version: 0, .. } => {
                let doubtful = mark == 4 || value(behind, digits) >= FIRST_OF_MYSQL;
                if doubtful { Comment::Doubtful(mark + digits) } else { Comment::Code(mark + digits) }
            }
            Server { mariadb: true, version } => of_mariadb(version, behind, mark, digits),
            Server { mariadb: false, .. } if mark == 4 => Comment::Plain,
            Server { mariadb: false, version } => of_mysql(version, behind, mark, digits),
        }
    }
}

fn of_mariadb(version: u32, behind: &[u8], mark: usize, digits: usize) -> Comment {
    let wanted = value(behind, digits);
    let for_mysql = mark == 3 && (FIRST_OF_MYSQL..=LAST_OF_MYSQL).contains(&wanted);
    let end = mark + digits;
    match wanted {
        // Newer ones may take it for a mark of its own.
        _ if behind.first() == Some(&b'!') => Comment::Doubtful(end),
        GALERA => Comment::Doubtful(end),
        _ if for_mysql && wanted <= version && version < MARIADB_10_1 => Comment::Doubtful(end),
        _ if for_mysql || wanted > version => Comment::Foreign,
        _ => Comment::Code(end),
    }
}

/// A sixth digit belongs to the version only with a blank behind it; servers before 9.0 did it in other ways.
fn of_mysql(version: u32, behind: &[u8], mark: usize, digits: usize) -> Comment {
    let blank = behind.get(6).copied().unwrap_or(0);
    let (short, long) = (value(behind, digits.min(5)), value(behind, digits));
    let either = digits == 6 && (version < MYSQL_9 || !blank.is_ascii());
    if either && short <= version {
        return Comment::Doubtful(mark + 5);
    }
    let is_long = digits == 6 && matches!(blank, b' ' | b'\t'..=b'\r');
    let (wanted, digits) = if is_long { (long, 6) } else { (short, digits.min(5)) };
    if wanted > version { Comment::Foreign } else { Comment::Code(mark + digits) }
}

/// The value of this many digits.
fn value(text: &[u8], digits: usize) -> u32 {
    let digits = text.get(..digits).unwrap_or_default();
    digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

/// `10.11.19-...` as 101119.
fn number(text: &[u8]) -> Option<u32> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(text.len());
    let mut parts = std::str::from_utf8(text.get(..end)?).ok()?.split('.');
    let mut next = |below: u32| parts.next()?.parse().ok().filter(|part: &u32| *part < below);
    let (major, minor, patch) = (next(1000)?, next(100)?, next(100)?);
    Some(major * 10000 + minor * 100 + patch).filter(|version| *version >= 50500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_families_are_read() {
        for (text, mariadb, version) in [
            ("5.5.5-10.11.19-MariaDB-0+deb12u1", true, 101119),
            ("10.6.4-MariaDB-1:10.6.4+maria~focal-log", true, 100604),
            ("11.4.2-MariaDB", true, 110402),
            ("5.5.68-MariaDB", true, 50568),
            ("5.5.5-log", false, 50505),
            ("9.7.4", false, 90704),
            ("8.0.36-28.1", false, 80036),
            ("5.7.44-log", false, 50744),
            ("5.1.73", false, 0),
            ("8.0", false, 0),
            ("8.0.100", false, 0),
            ("8.0.99999999999", false, 0),
            ("8.0.11-TiDB-v7.5.1", false, 0),
            ("8.0.30-Vitess", false, 0),
            ("athena", false, 0),
            ("", false, 0),
        ] {
            assert_eq!(Server::of_version(text.as_bytes()), Server { mariadb, version }, "{text}");
        }
    }

    #[test]
    fn what_code_is_for_whom() {
        use Comment::{Code, Doubtful, Foreign, Plain};
        let unknown = Server::default();
        let mysql = Server { mariadb: false, version: 90704 };
        let mysql_8 = Server { mariadb: false, version: 80036 };
        let mariadb = Server { mariadb: true, version: 101119 };
        let mariadb_10_0 = Server { mariadb: true, version: 100038 };
        for (text, server, comment) in [
            ("/* c */", unknown, Plain),
            ("/*", mysql, Plain),
            ("/*!", mariadb, Code(3)),
            ("/*!4000 */", mysql, Code(3)),
            ("/*!40000 */", unknown, Code(8)),
            ("/*!050699 */", unknown, Code(9)),
            ("/*!50700 */", unknown, Doubtful(8)),
            ("/*M!40000 */", unknown, Doubtful(9)),
            ("/*!90704 */", mysql, Code(8)),
            ("/*!90705 */", mysql, Foreign),
            ("/*!090704 */", mysql, Code(9)),
            ("/*!090705 */", mysql, Foreign),
            ("/*!090705*/", mysql, Code(8)),
            ("/*!090705\u{a0}*/", mysql, Doubtful(8)),
            ("/*!4000012 */", mysql, Code(8)),
            ("/*M! */", mysql, Plain),
            ("/*!80036 */", mysql_8, Code(8)),
            ("/*!080000 */", mysql_8, Doubtful(8)),
            ("/*!901000 */", mysql_8, Foreign),
            ("/*!50699 */", mariadb, Code(8)),
            ("/*!50700 */", mariadb, Foreign),
            ("/*!99996 */", mariadb, Foreign),
            ("/*!99997 */", mariadb, Doubtful(8)),
            ("/*!101119 */", mariadb, Code(9)),
            ("/*!101120 */", mariadb, Foreign),
            ("/*!1011190 */", mariadb, Code(9)),
            ("/*M!50700 */", mariadb, Code(9)),
            ("/*M!101120 */", mariadb, Foreign),
            ("/*!!50000 */", mariadb, Doubtful(3)),
            ("/*!50700 */", mariadb_10_0, Doubtful(8)),
        ] {
            assert_eq!(server.comment(text.as_bytes()), comment, "{text} on {server:?}");
        }
    }
}
