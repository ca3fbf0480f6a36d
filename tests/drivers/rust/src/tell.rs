//! Prints what the driver tells.

use std::fmt::{Debug, Write};

use mysql_async::prelude::{Protocol, Queryable};
use mysql_async::{Column, Conn, Error, Params, QueryResult, Row, Value};
use sha2::{Digest, Sha256};

/// Longer values are printed as a digest.
const LONGEST_SHOWN: usize = 300;

pub fn say(what: &str, value: impl Debug) {
    println!("   {what}: {}", shortened(format!("{value:?}")));
}

/// Runs a statement in the text protocol, tells all of its results.
pub async fn query(conn: &mut impl Queryable, sql: &str) -> Result<Vec<Row>, Error> {
    println!("-- {}", shortened(format!("{sql:?}")));
    let result = conn.query_iter(sql).await?;
    tell(result).await
}

/// Runs a prepared statement, tells all of its results.
pub async fn exec(
    conn: &mut impl Queryable,
    sql: &str,
    params: impl Into<Params> + Send,
) -> Result<Vec<Row>, Error> {
    println!("-- {}", shortened(format!("{sql:?}")));
    let result = conn.exec_iter(sql, params).await?;
    tell(result).await
}

/// Both protocols, as text and as a prepared statement.
pub async fn both(conn: &mut Conn, sql: &str) -> Result<Vec<Row>, Error> {
    query(conn, sql).await?;
    exec(conn, sql, ()).await
}

async fn tell<P: Protocol>(mut result: QueryResult<'_, '_, P>) -> Result<Vec<Row>, Error> {
    let mut all = Vec::new();
    loop {
        for column in result.columns_ref() {
            say("column", described(column));
        }
        let rows: Vec<Row> = result.collect().await?;
        for row in &rows {
            let values: Vec<String> = (0..row.len()).map(|index| shown(&row[index])).collect();
            println!("   row: {}", values.join(", "));
        }
        say("done", (result.affected_rows(), result.last_insert_id(), result.warnings(), result.info()));
        all.extend(rows);
        if result.is_empty() {
            // An error in the place of a result counts as none.
            result.drop_result().await?;
            return Ok(all);
        }
    }
}

fn described(column: &Column) -> impl Debug {
    (
        (column.name_str().into_owned(), column.org_name_str().into_owned()),
        (
            column.table_str().into_owned(),
            column.org_table_str().into_owned(),
            column.schema_str().into_owned(),
        ),
        (
            column.column_type(),
            column.flags(),
            column.character_set(),
            column.column_length(),
            column.decimals(),
        ),
    )
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => shortened(format!("{text:?}")),
            Err(_) => shortened(format!("<{}>", hex(bytes))),
        },
        other => format!("{other:?}"),
    }
}

/// The statement has to fail with this code.
pub fn refused<T: Debug>(code: u16, result: Result<T, Error>) {
    let error = result.expect_err("a refusal");
    let Error::Server(server) = &error else { panic!("wanted error {code}, got {error}") };
    say("error", (server.code, &server.state, &server.message));
    assert_eq!(server.code, code, "{error}");
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}

fn shortened(text: String) -> String {
    if text.len() <= LONGEST_SHOWN {
        return text;
    }
    format!("<{}, {}>", text.len(), hex(&Sha256::digest(&text)))
}
