//! A whole result, taken packet by packet by somebody else than a client.

use crate::protocol::buf::Reader;
use crate::protocol::capability::Capabilities;
use crate::protocol::packet::MAX_PAYLOAD;
use crate::protocol::response::{ErrPacket, OkPacket};

use super::conversation::Conversation;
use super::error::LinkError;
use super::link::{Link, over};

/// A packet of a result, without its header.
#[derive(Debug, PartialEq, Eq)]
pub enum ResultPart {
    /// The definition of a column.
    Column(Vec<u8>),
    /// All columns are there.
    Columns,
    Row(Vec<u8>),
}

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
    /// Sends one command that is answered by rows, and gives them to `take`, as long as that returns true: what comes behind is
    /// read and forgotten.
    ///
    /// # Errors
    /// As [`Link::command`]. An OK packet where rows were due is none: then there are no columns.
    pub async fn gather(
        &mut self,
        payload: &[u8],
        mut take: impl FnMut(ResultPart) -> bool,
    ) -> Result<Gathered, LinkError> {
        let mut conversation = Conversation::new(&self.socket, 0).with_packets_up_to(usize::MAX);
        conversation.send(0, payload);
        conversation.expect_reply();
        let first = next(&mut conversation).await?;
        let mut takes = true;
        let end = match first.first() {
            Some(&ErrPacket::HEADER | &OkPacket::HEADER) => first,
            _ => {
                for _ in 0..Reader::new(&first).lenenc_int()? {
                    let column = next(&mut conversation).await?;
                    takes = takes && take(ResultPart::Column(column));
                }
                takes = takes && take(ResultPart::Columns);
                loop {
                    let packet = next(&mut conversation).await?;
                    if ends_rows(&packet) {
                        break packet;
                    }
                    takes = takes && take(ResultPart::Row(packet));
                }
            }
        };
        over(&conversation)?;
        if end.first() == Some(&ErrPacket::HEADER) {
            self.warnings_of = Some(Self::NO_SESSION);
            return Ok(Gathered::Failed(ErrPacket::parse(&end)?));
        }
        let ok = OkPacket::parse(&end, Capabilities::SESSION_TRACK)?;
        self.status = ok.status;
        if ok.warnings > 0 {
            self.warnings_of = Some(Self::NO_SESSION);
        }
        Ok(Gathered::Done { warnings: ok.warnings })
    }
}

/// The next packet that is no report of how far the statement has come.
async fn next(conversation: &mut Conversation<'_>) -> Result<Vec<u8>, LinkError> {
    loop {
        let packet = conversation.receive().await?.payload;
        if !ErrPacket::is_progress(&packet) {
            return Ok(packet);
        }
    }
}

/// Whether a packet behind columns is no row: rows begin with 0xFE only where their first value has 16 MiB.
fn ends_rows(packet: &[u8]) -> bool {
    match packet.first() {
        Some(&ErrPacket::HEADER) => true,
        Some(&OkPacket::EOF_HEADER) => packet.len() < MAX_PAYLOAD,
        _ => false,
    }
}
