//! Random statements about the oracle's tables.

use super::common::random::Random;
use super::schema::{FIELDS, Field, names, row};
use super::shapes::Shapes;

/// Keys are drawn from so many, so that statements meet.
const KEYS: usize = 40;

/// A statement, and what is asked of its answer.
pub struct Said {
    pub sql: String,
    /// Its rows have an order.
    pub ordered: bool,
}

/// Writes statements whose keys are of one kind.
pub struct Grammar {
    pub random: Random,
    /// How a key is written.
    pub key: fn(usize) -> String,
}

impl Grammar {
    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.random.below(of.len())]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.random.below(count) == 0
    }

    fn key(&mut self) -> String {
        (self.key)(self.random.below(KEYS))
    }

    fn field(&mut self) -> &'static Field {
        &FIELDS[self.random.below(FIELDS.len())]
    }

    fn field_that(&mut self, fits: impl Fn(&Field) -> bool) -> &'static Field {
        loop {
            let field = self.field();
            if fits(field) {
                return field;
            }
        }
    }

    fn value_of(&mut self, field: &'static Field) -> &'static str {
        field.values[self.random.below(field.values.len())]
    }

    /// A condition about the sharding column.
    fn on_key(&mut self, column: &str) -> String {
        let (one, two, three) = (self.key(), self.key(), self.key());
        match self.random.below(9) {
            0..=2 => format!("{column} = {one}"),
            3 => format!("{column} IN ({one}, {two}, {three})"),
            4 => format!("{column} BETWEEN {one} AND {two}"),
            5 => format!("({column} = {one} OR {column} = {two})"),
            6 => format!("{column} > {one}"),
            7 => format!("{one} = {column} AND {column} <> {two}"),
            _ => format!("({column} = {one} AND {column} = {two})"),
        }
    }

    /// A condition about anything.
    fn condition(&mut self, table: &str) -> String {
        let field = self.field();
        let value = self.value_of(field);
        let name = format!("{table}{}", field.name);
        match self.random.below(6) {
            0 => format!("{name} IS NULL"),
            1 => format!("{name} IS NOT NULL"),
            2 if value != "NULL" => format!("NOT ({name} = {value})"),
            3 if value != "NULL" => format!("{name} >= {value}"),
            4 => format!("{table}n < {}", self.random.below(12)),
            _ => format!("{name} <=> {value}"),
        }
    }

    /// A WHERE clause, or none.
    fn filter(&mut self) -> String {
        match self.random.below(6) {
            0 => String::new(),
            1 | 2 => format!(" WHERE {}", self.on_key("user_id")),
            3 => format!(" WHERE {}", self.condition("")),
            4 => format!(" WHERE {} AND {}", self.on_key("users.user_id"), self.condition("users.")),
            _ => format!(" WHERE {} OR {}", self.on_key("user_id"), self.condition("")),
        }
    }

    fn list(&mut self, count: usize, fits: impl Fn(&Field) -> bool + Copy) -> Vec<&'static str> {
        (0..1 + self.random.below(count)).map(|_| self.field_that(fits).name).collect()
    }

    fn plain(&mut self) -> Said {
        let columns = match self.random.below(5) {
            0 => "*".to_owned(),
            1 => "users.*".to_owned(),
            2 => "user_id, n, v AS text, d * 2, CONCAT(v, '-', n) AS both_of_them".to_owned(),
            _ => format!("user_id, n, {}", self.list(4, |_| true).join(", ")),
        };
        let filter = self.filter();
        let mut sql = format!("SELECT {columns} FROM users{filter}");
        let ordered = !self.one_in(3);
        if ordered {
            let keys: Vec<_> = self
                .list(3, |field| field.orders)
                .into_iter()
                .map(|name| format!("{name}{}", if self.one_in(2) { " DESC" } else { "" }))
                .collect();
            sql += &format!(" ORDER BY {}, user_id, n", keys.join(", "));
            if self.one_in(2) {
                let (count, offset) = (self.random.below(20), self.random.below(10));
                sql += &match self.random.below(3) {
                    0 => format!(" LIMIT {count}"),
                    1 => format!(" LIMIT {offset}, {count}"),
                    _ => format!(" LIMIT {count} OFFSET {offset}"),
                };
            }
        }
        Said { sql, ordered }
    }

    fn aggregate(&mut self) -> String {
        // Of texts that are equal and not the same any may be the least.
        let is_one =
            |field: &Field| field.orders && !matches!(field.name, "c" | "v" | "vb" | "vl" | "vu" | "x");
        let (any, adds) = (self.field_that(is_one).name, self.field_that(|field| field.adds).name);
        match self.random.below(9) {
            0 => "COUNT(*)".to_owned(),
            1 => format!("COUNT({any})"),
            2 => format!("SUM({adds})"),
            3 => format!("MIN({any})"),
            4 => format!("MAX({any})"),
            5 => format!("AVG({adds})"),
            6 => "COUNT(DISTINCT user_id)".to_owned(),
            7 => self.pick(&["BIT_OR(su)", "BIT_AND(su)", "BIT_XOR(su)"]).to_owned(),
            _ => format!("MAX({adds}) AS most"),
        }
    }

    fn aggregates(&mut self) -> Said {
        let items: Vec<_> = (0..1 + self.random.below(4)).map(|_| self.aggregate()).collect();
        Said { sql: format!("SELECT {} FROM users{}", items.join(", "), self.filter()), ordered: false }
    }

    fn grouped(&mut self) -> Said {
        // Of values that a collation takes for the same a server shows any, so these are shown by their weights.
        let by = self.field_that(|field| !matches!(field.name, "c" | "v" | "vb" | "vl" | "vu" | "x"));
        let (name, aggregate, filter) = (by.name, self.aggregate(), self.filter());
        let mut sql = format!("SELECT {name}, {aggregate}, COUNT(*) FROM users{filter} GROUP BY {name}");
        let ordered = self.one_in(2);
        if ordered {
            sql += &format!(" ORDER BY {name}{}", if self.one_in(2) { " DESC" } else { "" });
            if self.one_in(2) {
                sql += &format!(" LIMIT {}", 1 + self.random.below(6));
            }
        }
        Said { sql, ordered }
    }

    fn of_texts(&mut self) -> Said {
        let name = self.pick(&["c", "v", "vb", "vl", "vu", "x"]);
        let sql = match self.random.below(3) {
            0 => format!("SELECT COUNT(*), MIN(n) FROM users GROUP BY {name}"),
            1 => format!("SELECT COUNT(*) AS many FROM users{} GROUP BY {name}", self.filter()),
            _ => format!(
                "SELECT COUNT(*), MIN(n) FROM users GROUP BY user_id, {name} HAVING COUNT(*) > 1 OR MIN(n) > 3"
            ),
        };
        Said { sql, ordered: false }
    }

    fn distinct(&mut self) -> Said {
        let is_one =
            |field: &Field| field.orders && !matches!(field.name, "c" | "v" | "vb" | "vl" | "vu" | "x");
        let mut names = self.list(3, is_one);
        names.dedup();
        let ordered = self.one_in(2);
        let order = if ordered { format!(" ORDER BY {}", names.join(", ")) } else { String::new() };
        Said {
            sql: format!("SELECT DISTINCT {} FROM users{}{order}", names.join(", "), self.filter()),
            ordered,
        }
    }

    fn join(&mut self) -> Said {
        let on = self
            .pick(&["users.user_id = orders.user_id", "orders.user_id = users.user_id AND orders.nr < 5"]);
        let kind = self.pick(&["JOIN", "LEFT JOIN"]);
        let (condition, order) = (self.condition("users."), self.one_in(2));
        let key =
            if self.one_in(2) { format!(" AND {}", self.on_key("users.user_id")) } else { String::new() };
        let sql = match self.random.below(4) {
            0 => format!(
                "SELECT users.user_id, users.n, nr, price FROM users {kind} orders ON {on} WHERE {condition}{key}"
            ),
            1 => format!(
                "SELECT COUNT(*), SUM(price), MAX(note) FROM users {kind} orders ON {on} WHERE {condition}{key}"
            ),
            2 => "SELECT u.user_id, u.n, o.nr, p.name FROM users AS u JOIN orders o ON u.user_id = o.user_id JOIN places p ON p.place = u.su WHERE u.n < 9".to_owned(),
            _ => format!(
                "SELECT u.user_id, u.n, p.name FROM users u LEFT JOIN places p ON p.place = u.ti WHERE {}",
                self.on_key("u.user_id")
            ),
        };
        let ordered = order && !sql.starts_with("SELECT COUNT");
        let tie = if sql.contains("orders") { "nr" } else { "3" };
        let prefix = if sql.contains("users AS u") || sql.contains("users u") { "u" } else { "users" };
        let sql = if ordered { format!("{sql} ORDER BY {prefix}.user_id, {prefix}.n, {tie}") } else { sql };
        Said { sql, ordered }
    }

    fn subquery(&mut self) -> Said {
        let key = self.key();
        let sql = match self.random.below(5) {
            0 => format!(
                "SELECT n FROM users WHERE user_id = {key} AND EXISTS (SELECT 1 FROM orders WHERE user_id = users.user_id)"
            ),
            1 => format!(
                "SELECT n, (SELECT COUNT(*) FROM orders WHERE user_id = {key}) FROM users WHERE user_id = {key}"
            ),
            2 => format!("SELECT COUNT(*) FROM (SELECT n FROM users WHERE user_id = {key}) AS part"),
            3 => format!(
                "SELECT n FROM users WHERE user_id = {key} UNION SELECT nr FROM orders WHERE user_id = {key}"
            ),
            _ => {
                format!("SELECT name FROM places WHERE place IN (SELECT su FROM users WHERE user_id = {key})")
            }
        };
        Said { sql, ordered: false }
    }

    fn shapes(&mut self, of: impl FnOnce(Shapes<'_>) -> Said) -> Said {
        let key = self.key;
        let mut key = |random: &mut Random| key(random.below(KEYS));
        of(Shapes { random: &mut self.random, key: &mut key })
    }

    /// A statement that reads.
    pub fn read(&mut self) -> Said {
        if self.one_in(2) {
            return self.shapes(|mut shapes| shapes.read());
        }
        match self.random.below(12) {
            0..=3 => self.plain(),
            4 | 5 => self.aggregates(),
            6 | 7 => self.grouped(),
            8 => self.of_texts(),
            9 => self.distinct(),
            10 => self.join(),
            _ => self.subquery(),
        }
    }

    fn insert(&mut self) -> String {
        let verb = self.pick(&["INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO", "INSERT INTO"]);
        let count = 1 + self.random.below(4);
        let rows: Vec<_> = (0..count)
            .map(|_| {
                let (key, n) = (self.key(), self.random.below(12));
                format!("({key}, {n}, {})", row(&mut self.random))
            })
            .collect();
        let more = match (verb, self.random.below(3)) {
            ("INSERT INTO", 0) => " ON DUPLICATE KEY UPDATE su = 1, v = 'changed'",
            _ => "",
        };
        format!("{verb} users (user_id, n, {}) VALUES {}{more}", names(), rows.join(", "))
    }

    fn insert_order(&mut self) -> String {
        let (key, nr, cents) = (self.key(), self.random.below(9), self.random.below(10_000));
        match self.random.below(3) {
            0 => format!(
                "INSERT INTO orders SET user_id = {key}, nr = {nr}, price = {cents} / 100, note = 'note {nr}'"
            ),
            1 => format!(
                "INSERT IGNORE INTO orders (user_id, nr, price) SELECT user_id, n, su FROM users WHERE {}",
                self.on_key("user_id")
            ),
            _ => format!("INSERT INTO orders (nr, user_id, price, note) VALUES ({nr}, {key}, {cents}, NULL)"),
        }
    }

    /// Of a table that is not sharded, or global.
    fn write_place(&mut self) -> String {
        let (place, other) = (self.random.below(12), self.random.below(12));
        match self.random.below(6) {
            0 => format!("INSERT INTO places (place, name) VALUES ({place}, 'at {other}')"),
            1 => format!(
                "INSERT INTO places VALUES ({place}, 'new'), ({other}, UPPER('other')) ON DUPLICATE KEY UPDATE name = CONCAT(name, '!')"
            ),
            2 => format!("REPLACE INTO places SET place = {place}, name = 'replaced'"),
            3 => format!("UPDATE places SET name = CONCAT(name, '{place}') WHERE place < {other}"),
            4 => format!("UPDATE places SET place = place + 1 WHERE place = {place} ORDER BY place"),
            _ => format!("DELETE FROM places WHERE place IN ({place}, {other})"),
        }
    }

    /// A statement that writes.
    pub fn write(&mut self) -> Said {
        if self.one_in(4) {
            return self.shapes(|mut shapes| shapes.write());
        }
        let field = self.field_that(|field| !matches!(field.name, "ts"));
        let value = self.value_of(field);
        let sql = match self.random.below(9) {
            0..=2 => self.insert(),
            8 => self.write_place(),
            3 => self.insert_order(),
            4 => format!("UPDATE users SET {} = {value}{}", field.name, self.filter()),
            5 => format!("UPDATE users SET n = n + 20 WHERE {} AND n < 3", self.on_key("user_id")),
            6 => format!("DELETE FROM users WHERE {} AND {}", self.on_key("user_id"), self.condition("")),
            _ => format!("DELETE FROM orders WHERE {}", self.on_key("orders.user_id")),
        };
        Said { sql, ordered: false }
    }
}
