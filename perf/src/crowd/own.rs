//! The state that a client has set, which follows from its number.

/// Character sets with a collation that is no default. Two of them have backslashes as second bytes.
const COLLATIONS: [(&str, &str); 9] = [
    ("utf8mb4", "utf8mb4_bin"),
    ("latin1", "latin1_german1_ci"),
    ("utf8mb4", "utf8mb4_unicode_ci"),
    ("cp1251", "cp1251_bin"),
    ("gbk", "gbk_bin"),
    ("latin2", "latin2_bin"),
    ("koi8r", "koi8r_bin"),
    ("sjis", "sjis_bin"),
    ("greek", "greek_bin"),
];

/// In the order in which servers list them.
const MODES: [&str; 8] = [
    "PIPES_AS_CONCAT",
    "ANSI_QUOTES",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_BACKSLASH_ESCAPES",
    "STRICT_TRANS_TABLES",
    "NO_ZERO_IN_DATE",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_ENGINE_SUBSTITUTION",
];

/// The moment that clients look at by their own clocks: a day after the first.
pub const MOMENT: i64 = 86_400;

/// What one client has set.
#[derive(Debug)]
pub struct Own {
    pub number: usize,
    /// Minutes east of Greenwich.
    minutes: i64,
    modes: usize,
    charset: &'static str,
    collation: &'static str,
}

impl Own {
    pub fn of(number: usize) -> Self {
        let (charset, collation) = COLLATIONS[number % COLLATIONS.len()];
        // From -12:45 to +13:00, by quarters of an hour.
        let quarters = i64::try_from(number % 104).unwrap_or(0) - 51;
        // Neighbours differ in several modes.
        let modes = number.wrapping_mul(0x9e37_79b9) >> 7;
        Self { number, minutes: quarters * 15, modes, charset, collation }
    }

    /// What sets it.
    pub fn statements(&self) -> [String; 3] {
        let (number, zone, modes) = (self.number, self.zone(), self.modes());
        [
            format!("SET NAMES {} COLLATE {}", self.charset, self.collation),
            format!("SET time_zone = '{zone}', sql_mode = '{modes}'"),
            format!("SET @mine = {number}, @name = 'client {number}'"),
        ]
    }

    pub fn zone(&self) -> String {
        let sign = if self.minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", self.minutes.abs() / 60, self.minutes.abs() % 60)
    }

    fn modes(&self) -> String {
        let chosen = MODES.iter().enumerate().filter(|(bit, _)| self.modes >> bit & 1 == 1);
        chosen.map(|(_, mode)| *mode).collect::<Vec<_>>().join(",")
    }

    fn has(&self, mode: &str) -> bool {
        MODES.iter().position(|name| *name == mode).is_some_and(|bit| self.modes >> bit & 1 == 1)
    }

    /// [`MOMENT`] by the client's clock.
    pub fn moment(&self) -> String {
        let minutes = MOMENT / 60 + self.minutes;
        format!("1970-01-{:02} {:02}:{:02}:00", minutes / 1440 + 1, minutes / 60 % 24, minutes % 60)
    }

    /// A statement that shows all of it, and the one value that it gives.
    pub fn look(&self) -> (String, String) {
        let sql = format!(
            r#"SELECT CONCAT_WS('|', @@time_zone, @@sql_mode, @@character_set_client, @@character_set_results,
            @@collation_connection, @mine, HEX(@name), FROM_UNIXTIME({MOMENT}), 1 || 1, LENGTH('\n'), CHARSET('x'), "mine")
            FROM (SELECT 'column' AS mine) AS t"#
        );
        let name: String =
            format!("client {}", self.number).bytes().map(|byte| format!("{byte:02X}")).collect();
        let (charset, collation, number) = (self.charset, self.collation, self.number);
        let pipes = if self.has("PIPES_AS_CONCAT") { "11" } else { "1" };
        let backslash = if self.has("NO_BACKSLASH_ESCAPES") { "2" } else { "1" };
        let quoted = if self.has("ANSI_QUOTES") { "column" } else { "mine" };
        let (zone, modes, moment) = (self.zone(), self.modes(), self.moment());
        let value = format!(
            "{zone}|{modes}|{charset}|{charset}|{collation}|{number}|{name}|{moment}|{pipes}|{backslash}|{charset}|{quoted}"
        );
        (sql, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_follows_from_its_number() {
        let own = Own::of(51);
        assert_eq!((own.zone().as_str(), own.moment().as_str()), ("+00:00", "1970-01-02 00:00:00"));
        let east = Own::of(103);
        assert_eq!((east.zone().as_str(), east.moment().as_str()), ("+13:00", "1970-01-02 13:00:00"));
        let west = Own::of(0);
        assert_eq!((west.zone().as_str(), west.moment().as_str()), ("-12:45", "1970-01-01 11:15:00"));
    }

    #[test]
    fn states_are_different() {
        let mut looks: Vec<_> = (0..2000).map(|number| Own::of(number).look().1).collect();
        looks.sort();
        looks.dedup();
        assert_eq!(looks.len(), 2000);
        let mut modes: Vec<_> = (0..2000).map(|number| Own::of(number).modes()).collect();
        modes.sort();
        modes.dedup();
        assert!(modes.len() > 100, "{}", modes.len());
    }
}
