//! A shop of several tables with joins on the key: the same transactions on four shards through Athena and on one unsharded
//! server leave the same rows.

use super::common::TestResult;
use super::common::random::Random;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Login, Value};
use super::{PLAIN, SHARDED, chosen};

const CUSTOMERS: usize = 30;
const ITEMS: usize = 20;
const TRANSACTIONS: u64 = 250;

const TABLES: [&str; 5] = [
    "CREATE TABLE customers (customer_id BIGINT PRIMARY KEY, name VARCHAR(30) NOT NULL, balance DECIMAL(14,2) NOT NULL, paid DECIMAL(14,2) NOT NULL) DEFAULT CHARSET utf8mb4",
    "CREATE TABLE orders (customer_id BIGINT, nr INT, state VARCHAR(10) NOT NULL, placed DATETIME NOT NULL, PRIMARY KEY (customer_id, nr)) DEFAULT CHARSET utf8mb4",
    "CREATE TABLE order_lines (customer_id BIGINT, nr INT, line INT, item INT NOT NULL, amount INT NOT NULL, price DECIMAL(10,2) NOT NULL, PRIMARY KEY (customer_id, nr, line)) DEFAULT CHARSET utf8mb4",
    "CREATE TABLE payments (customer_id BIGINT, at INT, amount DECIMAL(12,2) NOT NULL, PRIMARY KEY (customer_id, at)) DEFAULT CHARSET utf8mb4",
    // Not sharded.
    "CREATE TABLE stock (item INT PRIMARY KEY, price DECIMAL(10,2) NOT NULL, sold INT NOT NULL) DEFAULT CHARSET utf8mb4",
];

/// What is compared at the end, and now and then: each is one row or ordered.
const CHECKSUMS: [&str; 9] = [
    "SELECT COUNT(*), SUM(balance), SUM(paid), MIN(name), MAX(customer_id) FROM customers",
    "SELECT BIT_XOR(CAST(CRC32(CONCAT_WS('/', customer_id, nr, state, placed)) AS UNSIGNED)), COUNT(*) FROM orders",
    "SELECT BIT_XOR(CAST(CRC32(CONCAT_WS('/', customer_id, nr, line, item, amount, price)) AS UNSIGNED)), SUM(amount * price) FROM order_lines",
    "SELECT COUNT(*), SUM(amount), AVG(amount) FROM payments",
    "SELECT state, COUNT(*) FROM orders GROUP BY state ORDER BY state",
    "SELECT item, SUM(amount), AVG(price) FROM order_lines GROUP BY item ORDER BY 2 DESC, item LIMIT 7",
    "SELECT c.customer_id, c.name, COUNT(*), SUM(l.amount * l.price) FROM customers c JOIN orders o ON o.customer_id = c.customer_id JOIN order_lines l ON l.customer_id = o.customer_id AND l.nr = o.nr GROUP BY c.customer_id, c.name HAVING COUNT(*) > 2 ORDER BY c.customer_id",
    "SELECT c.customer_id, o.nr FROM customers c LEFT JOIN orders o ON o.customer_id = c.customer_id AND o.state = 'open' ORDER BY c.customer_id, o.nr",
    "SELECT l.customer_id, l.nr, l.line, s.price FROM order_lines l JOIN stock s ON s.item = l.item WHERE l.amount > 3 ORDER BY l.customer_id, l.nr, l.line",
];

/// The same said to both.
struct Both {
    sides: [Connection; 2],
}

impl Both {
    fn run(&mut self, sql: &str) -> TestResult<u64> {
        let mut affected = Vec::new();
        for side in &mut self.sides {
            let ok = side.query(sql).map_err(|error| format!("{sql}: {error}"))?.ok()?;
            affected.push(ok.affected_rows);
        }
        assert_eq!(affected[0], affected[1], "{sql}");
        Ok(affected[0])
    }

    fn rows(&mut self, sql: &str) -> TestResult<Vec<Vec<Value>>> {
        let mut all = Vec::new();
        for side in &mut self.sides {
            all.push(side.query(sql).map_err(|error| format!("{sql}: {error}"))?.rows()?.rows);
        }
        assert_eq!(all[0], all[1], "{sql}");
        Ok(all.remove(0))
    }

    fn order(&mut self, random: &mut Random, number: u64) -> TestResult {
        let customer = random.below(CUSTOMERS);
        self.run("BEGIN")?;
        let last = self.rows(&format!(
            "SELECT COALESCE(MAX(nr), 0) FROM orders WHERE customer_id = {customer} FOR UPDATE"
        ))?;
        let nr = last[0][0].to_string().parse::<u64>()? + 1;
        self.run(&format!(
            "INSERT INTO orders (customer_id, nr, state, placed) VALUES ({customer}, {nr}, 'open', '2026-01-01' + INTERVAL {number} MINUTE)"
        ))?;
        let lines: Vec<_> = (0..1 + random.below(4))
            .map(|line| {
                let (item, amount, cents) = (random.below(ITEMS), 1 + random.below(5), random.below(9999));
                format!("({customer}, {nr}, {line}, {item}, {amount}, {cents} / 100)")
            })
            .collect();
        self.run(&format!(
            "INSERT INTO order_lines (customer_id, nr, line, item, amount, price) VALUES {}",
            lines.join(", ")
        ))?;
        self.run(&format!(
            "UPDATE customers c JOIN (SELECT SUM(amount * price) AS due FROM order_lines WHERE customer_id = {customer} AND nr = {nr}) d \
             SET c.balance = c.balance - d.due WHERE c.customer_id = {customer}"
        ))?;
        self.run(&format!("UPDATE stock SET sold = sold + 1 WHERE item = {}", random.below(ITEMS)))?;
        self.run(if random.below(8) == 0 { "ROLLBACK" } else { "COMMIT" })?;
        Ok(())
    }

    fn payment(&mut self, random: &mut Random, number: u64) -> TestResult {
        let (customer, cents) = (random.below(CUSTOMERS), random.below(99_999));
        self.run("BEGIN")?;
        self.run(&format!(
            "INSERT INTO payments (customer_id, at, amount) VALUES ({customer}, {number}, {cents} / 100)"
        ))?;
        self.run(&format!(
            "UPDATE customers SET balance = balance + {cents} / 100, paid = paid + {cents} / 100 WHERE customer_id = {customer}"
        ))?;
        self.run("COMMIT")?;
        Ok(())
    }

    /// Of customers on several shards, in one transaction.
    fn delivery(&mut self, random: &mut Random) -> TestResult {
        let (one, other) = (random.below(CUSTOMERS), random.below(CUSTOMERS));
        self.run("BEGIN")?;
        self.run(&format!(
            "UPDATE orders SET state = 'sent' WHERE customer_id IN ({one}, {other}) AND state = 'open'"
        ))?;
        self.run(&format!("DELETE FROM order_lines WHERE customer_id IN ({one}, {other}) AND amount = 5"))?;
        self.run(if random.below(5) == 0 { "ROLLBACK" } else { "COMMIT" })?;
        Ok(())
    }
}

#[test]
fn the_same_transactions_leave_the_same_rows() -> TestResult {
    let configure = |config: athena_perf::proxy::AthenaConfig| {
        config.text(
            "[[sharding]]\nname = \"shop\"\ntable_pattern = [\"customers\", \"order*\", \"payments\"]\n\
             shard_column = \"customer_id\"\nalgorithm = \"hash\"\nshard_count = 4\n",
        )
    };
    on_each_server("sharding_shop", configure, run)
}

fn run(stage: &Stage) -> TestResult {
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}; CREATE DATABASE {PLAIN}"))?;
    let ours = stage.login(&Login::app().database(SHARDED))?;
    let mut both = Both { sides: [ours, stage.direct(&Login::app().database(PLAIN))?] };
    for sql in TABLES {
        both.run(sql)?;
    }
    let customers: Vec<_> = (0..CUSTOMERS).map(|id| format!("({id}, 'customer {id}', 0, 0)")).collect();
    both.run(&format!(
        "INSERT INTO customers (customer_id, name, balance, paid) VALUES {}",
        customers.join(", ")
    ))?;
    let items: Vec<_> = (0..ITEMS).map(|item| format!("({item}, {item}.99, 0)")).collect();
    both.run(&format!("INSERT INTO stock VALUES {}", items.join(", ")))?;
    let mut random = Random::new(chosen("ATHENA_SHARDING_SEED", 1));
    for number in 0..TRANSACTIONS {
        match random.below(10) {
            0..=5 => both.order(&mut random, number)?,
            6..=8 => both.payment(&mut random, number)?,
            _ => both.delivery(&mut random)?,
        }
        if number % 50 == 0 || number + 1 == TRANSACTIONS {
            for sql in CHECKSUMS {
                both.rows(sql)?;
            }
        }
    }
    Ok(())
}
