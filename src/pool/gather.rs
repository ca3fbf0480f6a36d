//! The end of a result that was taken by somebody else than a client.

use crate::protocol::capability::Capabilities;
use crate::protocol::response::{ErrPacket, OkPacket};
use crate::protocol::result_reader::ResultError;

use super::error::LinkError;
use super::link::Link;

/// How a result ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Gathered {
    /// With so many warnings.
    Done {
        warnings: u16,
    },
    Failed(ErrPacket),
}

impl Link {
    /// Takes in the last packet of a result.
    ///
    /// # Errors
    /// Where it is malformed.
    pub fn gathered(&mut self, end: &[u8]) -> Result<Gathered, LinkError> {
        if end.first() == Some(&ErrPacket::HEADER) {
            self.warnings_of = Some(Self::NO_SESSION);
            return Ok(Gathered::Failed(ErrPacket::parse(end)?));
        }
        let ok = OkPacket::parse(end, Capabilities::SESSION_TRACK)?;
        self.status = ok.status;
        if ok.warnings > 0 {
            self.warnings_of = Some(Self::NO_SESSION);
        }
        Ok(Gathered::Done { warnings: ok.warnings })
    }
}

impl From<ResultError> for LinkError {
    fn from(error: ResultError) -> Self {
        match error {
            ResultError::Packet(error) => error.into(),
            ResultError::Malformed(error) => error.into(),
        }
    }
}
