//! Prepared statements.

use super::bytes::{Bytes, push_length};
use super::reply::Value;
use super::{Error, Result};

/// Cursors are not used.
const NO_CURSOR: u8 = 0;

/// A prepared statement of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    pub id: u32,
    pub parameters: u16,
    pub columns: u16,
}

/// Whether the types of the parameters go with their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Types {
    Sent,
    /// Those of the last execution hold.
    AsBefore,
}

impl Statement {
    /// The first packet of the answer to a PREPARE.
    pub(super) fn parse(payload: &[u8]) -> Result<Self> {
        let mut bytes = Bytes(payload);
        if bytes.u8()? != 0 {
            return Err(Error::Protocol("a PREPARE is answered by 0 or an ERR".to_owned()));
        }
        let id = bytes.u32()?;
        let columns = bytes.u16()?;
        Ok(Self { id, columns, parameters: bytes.u16()? })
    }

    /// The arguments of EXECUTE, with the types of the parameters.
    pub fn execution(&self, parameters: &[Value]) -> Vec<u8> {
        self.execution_with(parameters, Types::Sent)
    }

    pub(super) fn execution_with(&self, parameters: &[Value], types: Types) -> Vec<u8> {
        let mut payload = self.id.to_le_bytes().to_vec();
        payload.push(NO_CURSOR);
        payload.extend_from_slice(&1_u32.to_le_bytes()); // iterations
        if parameters.is_empty() {
            return payload;
        }
        let mut nulls = vec![0_u8; parameters.len().div_ceil(8)];
        for (index, _) in parameters.iter().enumerate().filter(|(_, value)| **value == Value::Null) {
            nulls[index / 8] |= 1 << (index % 8);
        }
        payload.extend_from_slice(&nulls);
        payload.push(u8::from(types == Types::Sent));
        if types == Types::Sent {
            payload.extend(parameters.iter().flat_map(|value| [value.parameter_type(), 0]));
        }
        parameters.iter().for_each(|value| push_value(&mut payload, value));
        payload
    }
}

fn push_value(payload: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::LongData => {}
        Value::Int(value) => payload.extend_from_slice(&value.to_le_bytes()),
        Value::Double(value) => payload.extend_from_slice(&value.to_le_bytes()),
        Value::Bytes(bytes) => {
            push_length(payload, bytes.len());
            payload.extend_from_slice(bytes);
        }
    }
}
