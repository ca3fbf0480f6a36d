//! The connection phase: the server's greeting, the client's response, and the switch to another plugin.
//!
//! Protocol sections: "Protocol::HandshakeV10", "Protocol::HandshakeResponse41", "Protocol::SSLRequest",
//! "Protocol::AuthSwitchRequest", "Protocol::AuthMoreData".

use thiserror::Error;

use super::buf::{Malformed, Reader, WriteExt};
use super::capability::{Capabilities, StatusFlags};

/// Bytes of a scramble, the random challenge of an authentication.
pub const SCRAMBLE_LEN: usize = 20;

/// Bytes of an SSLRequest: a handshake response that stops before the user name.
const SSL_REQUEST_LEN: usize = 32;

/// A greeting or response that no login can be built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HandshakeError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the server speaks protocol version {0}, only 10 is supported")]
    ProtocolVersion(u8),
    /// The peer lacks `CLIENT_PROTOCOL_41`: older than MySQL 4.1.
    #[error("the peer speaks the protocol from before MySQL 4.1")]
    Pre41,
}

/// The first packet of a server. It may send an ERR packet instead (first byte 0xFF, no SQLSTATE), which is for the
/// caller to test: see [`super::response::ErrPacket`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    pub version: Vec<u8>,           // string<NUL>
    pub connection_id: u32,         // int<4>
    pub scramble: [u8; 20],         // string<8>, and string<13> with a NUL further on
    pub capabilities: Capabilities, // int<2> low half, int<2> high half and int<4> extended further on
    pub collation: u8,              // int<1>
    pub status: StatusFlags,        // int<2>
    /// Empty without `PLUGIN_AUTH`.
    pub auth_plugin: Vec<u8>, // string<NUL>
}

impl Greeting {
    pub fn parse(payload: &[u8]) -> Result<Greeting, HandshakeError> {
        let mut reader = Reader::new(payload);
        match reader.u8()? {
            10 => {}
            version => return Err(HandshakeError::ProtocolVersion(version)),
        }
        let version = reader.nul_bytes()?.to_vec();
        let connection_id = reader.u32()?;
        let first: [u8; 8] = reader.array()?;
        reader.bytes(1)?;
        let low = reader.u16()?;
        if !Capabilities::from_bits_retain(u64::from(low)).contains(Capabilities::PROTOCOL_41) {
            return Err(HandshakeError::Pre41);
        }
        let collation = reader.u8()?;
        let status = StatusFlags::from_bits_retain(reader.u16()?);
        let high = reader.u16()?;
        let auth_data_len = usize::from(reader.u8()?);
        reader.bytes(6)?;
        let ([a, b], [c, d]) = (low.to_le_bytes(), high.to_le_bytes());
        let capabilities = Capabilities::from_wire([a, b, c, d], reader.array()?);
        let mut second = Reader::new(reader.bytes(auth_data_len.saturating_sub(8).max(13))?);
        let mut scramble = [0; SCRAMBLE_LEN];
        scramble[..8].copy_from_slice(&first);
        scramble[8..].copy_from_slice(&second.array::<12>()?);
        let auth_plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            reader.nul_bytes_or_rest().to_vec()
        } else {
            Vec::new()
        };
        Ok(Greeting { version, connection_id, scramble, capabilities, collation, status, auth_plugin })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.version.len() + self.auth_plugin.len());
        let ([low_a, low_b, high_a, high_b], extended) = self.capabilities.to_wire();
        let (first, second) = self.scramble.split_at(8);
        out.push(10);
        out.put_nul_bytes(&self.version);
        out.put_u32(self.connection_id);
        out.put_nul_bytes(first);
        out.extend_from_slice(&[low_a, low_b, self.collation]);
        out.put_u16(self.status.bits());
        out.extend_from_slice(&[high_a, high_b]);
        out.push(SCRAMBLE_LEN as u8 + 1);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&extended);
        out.put_nul_bytes(second);
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH) {
            out.put_nul_bytes(&self.auth_plugin);
        }
        out
    }
}

/// The first packet of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientHello {
    /// The client wants TLS now, and repeats itself inside.
    SslRequest(Capabilities),
    Response(HandshakeResponse),
}

/// Who the client is, and what it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeResponse {
    pub capabilities: Capabilities, // int<4>, int<4> extended further on
    pub max_packet_size: u32,       // int<4>
    pub collation: u8,              // int<1>, then 19 reserved bytes
    pub username: Vec<u8>,          // string<NUL>
    pub auth_response: Vec<u8>,     // string<lenenc>, int<1> + string, or string<NUL>
    /// `None` when absent or empty.
    pub database: Option<Vec<u8>>, // string<NUL>
    pub auth_plugin: Option<Vec<u8>>, // string<NUL>
    pub attributes: Vec<Attribute>, // int<lenenc> bytes of string<lenenc> pairs
    /// 1 to 22; of use with `ZSTD_COMPRESSION_ALGORITHM` alone.
    pub zstd_level: u8, // int<1>
}

/// The level of clients that name none, which is zstd's own default.
pub const ZSTD_LEVEL_DEFAULT: u8 = 3;

/// What a client tells about itself: a name and its value.
pub type Attribute = (Vec<u8>, Vec<u8>);

impl ClientHello {
    pub fn parse(payload: &[u8]) -> Result<ClientHello, HandshakeError> {
        let mut reader = Reader::new(payload);
        // Before 4.1 the flags had two bytes: look there before reading four.
        let low = Reader::new(payload).u16()?;
        if !Capabilities::from_bits_retain(u64::from(low)).contains(Capabilities::PROTOCOL_41) {
            return Err(HandshakeError::Pre41);
        }
        let basic: [u8; 4] = reader.array()?;
        let capabilities = Capabilities::from_wire(basic, [0; 4]);
        if payload.len() == SSL_REQUEST_LEN && capabilities.contains(Capabilities::SSL) {
            return Ok(ClientHello::SslRequest(capabilities));
        }
        let max_packet_size = reader.u32()?;
        let collation = reader.u8()?;
        reader.bytes(19)?;
        let capabilities = Capabilities::from_wire(basic, reader.array()?);
        let username = reader.nul_bytes()?.to_vec();
        let auth_response = auth_response(&mut reader, capabilities)?.to_vec();
        let database = if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            Some(reader.nul_bytes_or_rest().to_vec()).filter(|name| !name.is_empty())
        } else {
            None
        };
        let auth_plugin =
            capabilities.contains(Capabilities::PLUGIN_AUTH).then(|| reader.nul_bytes_or_rest().to_vec());
        let attributes = if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            attributes(reader.lenenc_bytes()?)?
        } else {
            Vec::new()
        };
        let zstd = capabilities.contains(Capabilities::ZSTD_COMPRESSION_ALGORITHM);
        let zstd_level = if zstd && !reader.is_empty() { reader.u8()? } else { ZSTD_LEVEL_DEFAULT };
        Ok(ClientHello::Response(HandshakeResponse {
            capabilities,
            max_packet_size,
            collation,
            username,
            auth_response,
            database,
            auth_plugin,
            attributes,
            zstd_level,
        }))
    }
}

fn auth_response<'a>(reader: &mut Reader<'a>, capabilities: Capabilities) -> Result<&'a [u8], Malformed> {
    if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
        reader.lenenc_bytes()
    } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
        let len = reader.u8()?;
        reader.bytes(usize::from(len))
    } else {
        reader.nul_bytes()
    }
}

fn attributes(block: &[u8]) -> Result<Vec<Attribute>, Malformed> {
    let mut reader = Reader::new(block);
    let mut pairs = Vec::new();
    while !reader.is_empty() {
        let key = reader.lenenc_bytes()?.to_vec();
        let value = reader.lenenc_bytes()?.to_vec();
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// COM_CHANGE_USER: a login on a connection that is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeUser {
    pub username: Vec<u8>,      // string<NUL>
    pub auth_response: Vec<u8>, // int<1> + string, or string<NUL>
    /// `None` when empty.
    pub database: Option<Vec<u8>>, // string<NUL>
    /// What follows may be missing, from any of it on.
    pub collation: Option<u16>, // int<2>
    pub auth_plugin: Option<Vec<u8>>, // string<NUL>
    pub attributes: Vec<Attribute>, // int<lenenc> bytes of string<lenenc> pairs
}

impl ChangeUser {
    /// Reads what follows the command byte, from a client with these capabilities.
    pub fn parse(arguments: &[u8], capabilities: Capabilities) -> Result<ChangeUser, Malformed> {
        let mut reader = Reader::new(arguments);
        let username = reader.nul_bytes()?.to_vec();
        let auth_response = if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let len = reader.u8()?;
            reader.bytes(usize::from(len))?.to_vec()
        } else {
            reader.nul_bytes()?.to_vec()
        };
        let database = Some(reader.nul_bytes_or_rest().to_vec()).filter(|name| !name.is_empty());
        let collation = if reader.is_empty() { None } else { Some(reader.u16()?) };
        let named = capabilities.contains(Capabilities::PLUGIN_AUTH) && !reader.is_empty();
        let auth_plugin = named.then(|| reader.nul_bytes_or_rest().to_vec());
        let told = capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty();
        let attributes = if told { attributes(reader.lenenc_bytes()?)? } else { Vec::new() };
        Ok(ChangeUser { username, auth_response, database, collation, auth_plugin, attributes })
    }
}

impl HandshakeResponse {
    /// What asks for TLS: the beginning of the response, which tells nothing of who the client is. The whole follows
    /// inside.
    pub fn encode_ssl_request(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SSL_REQUEST_LEN);
        self.encode_head(&mut out);
        out
    }

    /// Flags, longest packet and collation: [`SSL_REQUEST_LEN`] bytes.
    fn encode_head(&self, out: &mut Vec<u8>) {
        let (basic, extended) = self.capabilities.to_wire();
        out.extend_from_slice(&basic);
        out.put_u32(self.max_packet_size);
        out.push(self.collation);
        out.extend_from_slice(&[0; 19]);
        out.extend_from_slice(&extended);
    }

    /// The form is chosen by `self.capabilities`: a field whose flag is not set is left out. Without
    /// `PLUGIN_AUTH_LENENC_CLIENT_DATA` the authentication response is cut at 255 bytes, which no plugin reaches.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.encode_head(&mut out);
        out.put_nul_bytes(&self.username);
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            out.put_lenenc_bytes(&self.auth_response);
        } else if self.capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let len = u8::try_from(self.auth_response.len()).unwrap_or(u8::MAX);
            out.push(len);
            out.extend(self.auth_response.iter().take(usize::from(len)));
        } else {
            out.put_nul_bytes(&self.auth_response);
        }
        if self.capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            out.put_nul_bytes(self.database.as_deref().unwrap_or_default());
        }
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH) {
            out.put_nul_bytes(self.auth_plugin.as_deref().unwrap_or_default());
        }
        if self.capabilities.contains(Capabilities::CONNECT_ATTRS) {
            let mut block = Vec::new();
            for (key, value) in &self.attributes {
                block.put_lenenc_bytes(key);
                block.put_lenenc_bytes(value);
            }
            out.put_lenenc_bytes(&block);
        }
        if self.capabilities.contains(Capabilities::ZSTD_COMPRESSION_ALGORITHM) {
            out.push(self.zstd_level);
        }
        out
    }
}

/// The server wants the client to start over with another plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSwitchRequest {
    pub plugin: Vec<u8>, // string<NUL>
    /// The new scramble, without the NUL that follows it on the wire.
    pub data: Vec<u8>, // string<EOF>
}

impl AuthSwitchRequest {
    pub const HEADER: u8 = 0xFE;

    /// A payload of 0xFE alone is the switch to the password scheme from before MySQL 4.1, and an error here.
    pub fn parse(payload: &[u8]) -> Result<AuthSwitchRequest, HandshakeError> {
        let mut reader = Reader::new(payload);
        match reader.u8()? {
            Self::HEADER if reader.is_empty() => return Err(HandshakeError::Pre41),
            Self::HEADER => {}
            found => return Err(Malformed::PacketType { packet: "AuthSwitchRequest", found }.into()),
        }
        let plugin = reader.nul_bytes()?.to_vec();
        let data = reader.rest();
        let data = data.strip_suffix(&[0]).unwrap_or(data).to_vec();
        Ok(AuthSwitchRequest { plugin, data })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Self::encode_exact(&self.plugin, &self.data);
        out.push(0);
        out
    }

    /// Without the NUL after the data, which some plugins' clients do not take.
    pub fn encode_exact(plugin: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plugin.len() + data.len() + 3);
        out.push(Self::HEADER);
        out.put_nul_bytes(plugin);
        out.extend_from_slice(data);
        out
    }
}

/// First byte of an AuthMoreData packet: what a plugin of the server has to say in mid-authentication.
pub const AUTH_MORE_DATA: u8 = 0x01;

/// An AuthMoreData packet with `data`, as its plugin defines it.
pub fn encode_auth_more_data(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 1);
    out.push(AUTH_MORE_DATA);
    out.extend_from_slice(data);
    out
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
