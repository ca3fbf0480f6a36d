//! What a session sends: one command, complete in itself, so that a trace of them can be sent again.

use std::fmt;

use crate::common::wire::Value;

/// Prepared statements that a session has at a time.
pub const SLOTS: usize = 5;

/// One command. Prepared statements are named by their slot: ids differ between connections.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Query(Vec<u8>),
    InitDb(Vec<u8>),
    Ping,
    ResetConnection,
    Prepare {
        slot: usize,
        sql: Vec<u8>,
    },
    Execute {
        slot: usize,
        parameters: Vec<Value>,
        /// Whether the types go with the values.
        types: bool,
        cursor: bool,
    },
    LongData {
        slot: usize,
        parameter: u16,
        piece: Vec<u8>,
    },
    Fetch {
        slot: usize,
        rows: u32,
    },
    Reset {
        slot: usize,
    },
    Close {
        slot: usize,
    },
    /// The client leaves without a word, and comes back.
    Reconnect,
}

impl Step {
    /// A text of the grammar: a statement, or the name of a command.
    pub fn from_text(text: &[u8]) -> Self {
        match text {
            b"COM_PING" => Self::Ping,
            b"COM_RESET_CONNECTION" => Self::ResetConnection,
            _ => match text.strip_prefix(b"COM_INIT_DB ") {
                Some(schema) => Self::InitDb(schema.to_vec()),
                None => Self::Query(text.to_vec()),
            },
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(sql) => write!(formatter, "{}", readable(sql)),
            Self::InitDb(schema) => write!(formatter, "COM_INIT_DB {}", readable(schema)),
            Self::Ping => formatter.write_str("COM_PING"),
            Self::ResetConnection => formatter.write_str("COM_RESET_CONNECTION"),
            Self::Prepare { slot, sql } => write!(formatter, "COM_STMT_PREPARE #{slot} {}", readable(sql)),
            Self::Execute { slot, parameters, types, cursor } => {
                let values: Vec<_> = parameters.iter().map(value).collect();
                write!(formatter, "COM_STMT_EXECUTE #{slot} ({})", values.join(", "))?;
                if !types && !parameters.is_empty() {
                    formatter.write_str(" without types")?;
                }
                if *cursor { formatter.write_str(" with a cursor") } else { Ok(()) }
            }
            Self::LongData { slot, parameter, piece } => {
                write!(formatter, "COM_STMT_SEND_LONG_DATA #{slot} {parameter}: {}", readable(piece))
            }
            Self::Fetch { slot, rows } => write!(formatter, "COM_STMT_FETCH #{slot} {rows}"),
            Self::Reset { slot } => write!(formatter, "COM_STMT_RESET #{slot}"),
            Self::Close { slot } => write!(formatter, "COM_STMT_CLOSE #{slot}"),
            Self::Reconnect => formatter.write_str("(closes, and connects again)"),
        }
    }
}

/// UTF-8 as it is, other bytes by their numbers.
pub fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|letter: char| letter.is_control()) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => format!("'{}'", readable(bytes)),
        other => other.to_string(),
    }
}
