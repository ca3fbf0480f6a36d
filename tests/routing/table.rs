//! The rows of `statements.tsv`.

const STATEMENTS: &str = include_str!("statements.tsv");

/// A statement, and where it may run.
#[derive(Debug, Clone)]
pub struct Row {
    /// The line of the file, from 1.
    pub line: usize,
    pub target: &'static str,
    pub reason: &'static str,
    pub sql: String,
}

/// What a server of this family is to run.
pub fn rows(mariadb: bool) -> Vec<Row> {
    let lines = STATEMENTS.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let row = |(index, line): (usize, &'static str)| {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns.as_slice() {
            [target, reason, sql, family] if is_of(family, mariadb) => {
                Some(Row { line: index + 1, target, reason, sql: sql.replace("\\n", "\n") })
            }
            [_, _, sql, family, "no-call"] if is_of(family, mariadb) => Some(Row {
                line: index + 1,
                target: "replica",
                reason: "no_call",
                sql: sql.replace("\\n", "\n"),
            }),
            [_, _, _, _] | [_, _, _, _, "parse-only" | "no-call"] => None,
            _ => panic!("columns of line {}: {line}", index + 1),
        }
    };
    lines.filter_map(row).collect()
}

/// What makes the schema of the rows.
pub fn schema(mariadb: bool) -> Vec<&'static str> {
    let of = |line: &'static str| {
        let both = line.strip_prefix("# schema: ");
        both.or_else(|| line.strip_prefix("# schema-mariadb: ").filter(|_| mariadb))
    };
    STATEMENTS.lines().filter_map(of).collect()
}

fn is_of(family: &str, mariadb: bool) -> bool {
    match family {
        "both" => true,
        "mariadb" => mariadb,
        "mysql" => !mariadb,
        other => panic!("there is no family {other}"),
    }
}
