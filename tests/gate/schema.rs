//! What every session finds on both servers: schemas of its own, with the same in them.

use crate::common::TestResult;
use crate::common::wire::{Connection, Login};

/// As root, once for each server.
pub fn accounts(mysql: bool) -> String {
    let admin = if mysql { "" } else { " WITH ADMIN CURRENT_USER" };
    format!(
        "CREATE ROLE gate_role{admin}; CREATE ROLE gate_other{admin}; \
         GRANT SELECT ON sbtest.* TO gate_role; \
         GRANT gate_role TO app@'%'; GRANT gate_other TO app@'%'; \
         CREATE TABLE test.ballast (id INT PRIMARY KEY); INSERT INTO test.ballast VALUES (1);"
    )
}

/// Makes the schemas of a session anew.
pub fn create(port: u16, session: usize, mysql: bool) -> TestResult {
    let mut connection = Connection::login(port, &Login::app())?;
    connection.run("SET lock_wait_timeout = 20")?;
    for sql in statements(session, mysql) {
        connection.run(&sql).map_err(|error| format!("{sql}: {error}"))?;
    }
    connection.quit()?;
    Ok(())
}

fn statements(session: usize, mysql: bool) -> Vec<String> {
    let mut all = vec![
        "DROP DATABASE IF EXISTS $".to_owned(),
        "DROP DATABASE IF EXISTS $x".to_owned(),
        "CREATE DATABASE $ CHARACTER SET utf8mb4".to_owned(),
        "CREATE DATABASE $x CHARACTER SET latin1".to_owned(),
        "CREATE TABLE $.t1 (id INT AUTO_INCREMENT PRIMARY KEY, a INT UNIQUE, b VARCHAR(20), c TINYINT, d DATETIME, \
         ts TIMESTAMP NULL) AUTO_INCREMENT = FIRST1000"
            .to_owned(),
        "CREATE TABLE $.t2 (id BIGINT AUTO_INCREMENT PRIMARY KEY, t1_id INT) AUTO_INCREMENT = FIRST3000".to_owned(),
        "CREATE TABLE $.t3 (id INT AUTO_INCREMENT PRIMARY KEY, a INT) AUTO_INCREMENT = FIRST5000".to_owned(),
        "CREATE TABLE $.log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(50)) AUTO_INCREMENT = 501".to_owned(),
        "CREATE VIEW $.v1 AS SELECT id, b FROM $.t1".to_owned(),
        // Ids of rows that a trigger or a function inserts are not the session's to ask for.
        "CREATE TRIGGER $.t1_logged AFTER INSERT ON $.t1 FOR EACH ROW INSERT INTO $.log (what) VALUES ('t1')".to_owned(),
        // What a trigger sets nobody sees: none of these sets a variable.
        "CREATE TRIGGER $.t3_changed BEFORE INSERT ON $.t3 FOR EACH ROW SET NEW.a = NEW.a + 1".to_owned(),
        "CREATE PROCEDURE $.p_variables(number INT) BEGIN DO (SELECT COUNT(*) FROM $.t1); \
         SET @p = number; SELECT number + 1 INTO @q; SET SESSION sql_select_limit = 3, lc_time_names = 'fr_FR'; END"
            .to_owned(),
        "CREATE PROCEDURE $.p_temporary() BEGIN \
         DROP TEMPORARY TABLE IF EXISTS $.made; CREATE TEMPORARY TABLE $.made AS SELECT 'made' AS v; END"
            .to_owned(),
        "CREATE PROCEDURE $.p_results() BEGIN SELECT 1; SELECT 2, 3; SELECT id FROM $.t1 ORDER BY id LIMIT 2; END"
            .to_owned(),
        "CREATE PROCEDURE $.p_out(OUT number INT, INOUT word VARCHAR(200)) BEGIN DO (SELECT COUNT(*) FROM $.t1); \
         SET number = 42, word = CONCAT(COALESCE(word, ''), 'é'); END"
            .to_owned(),
        "CREATE PROCEDURE $.p_warns() BEGIN DO (SELECT COUNT(*) FROM $.t1); SELECT CAST('1x' AS SIGNED); SELECT CAST('2x' AS SIGNED); END".to_owned(),
        "CREATE PROCEDURE $.p_fails() BEGIN DO (SELECT COUNT(*) FROM $.t1); SET @p = 'before'; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'failed'; END"
            .to_owned(),
        "CREATE PROCEDURE $.p_inserts() BEGIN INSERT INTO $.t3 (a) VALUES (1); INSERT INTO $.log (what) VALUES ('p'); END"
            .to_owned(),
        "CREATE FUNCTION $.f_sets(number INT) RETURNS INT DETERMINISTIC BEGIN SET @f = number; RETURN number; END"
            .to_owned(),
        "CREATE FUNCTION $.f_pure(number INT) RETURNS INT DETERMINISTIC RETURN number + 1".to_owned(),
        "CREATE FUNCTION $.f_inserts(number INT) RETURNS INT MODIFIES SQL DATA BEGIN \
         INSERT INTO $.log (what) VALUES (number); RETURN number; END"
            .to_owned(),
        "INSERT INTO $.t1 (id, a, b) VALUES (1, 1, 'one'), (2, 2, 'two'), (3, 3, 'été'), (4, 4, 'four'), (5, 5, NULL)"
            .to_owned(),
        "INSERT INTO $.t2 (id, t1_id) VALUES (1, 1), (2, 1), (3, 2), (4, NULL)".to_owned(),
    ];
    // A MySQL has none: a connection that has had a COM_RESET_CONNECTION looks at foreign keys later than others, after it has
    // drawn an id and looked for duplicates, and tells of them in other quotes (9.7).
    if !mysql {
        all.extend([
            "ALTER TABLE $.t2 ADD FOREIGN KEY (t1_id) REFERENCES t1 (id)".to_owned(),
            "CREATE SEQUENCE $.seq".to_owned(),
        ]);
    }
    // Ids of its own: whether a statement that failed has drawn one shows only where that is not the link's before.
    let (name, first) = (format!("s{session}"), (session + 1).to_string());
    all.into_iter().map(|sql| sql.replace('$', &name).replace("FIRST", &first)).collect()
}
