//! Greeting and login with `mysql_native_password`.

use athena_perf::lab::{APP_PASSWORD, APP_USER};
use aws_lc_rs::digest;
use sha1::{Digest, Sha1};

use super::bytes::Bytes;
use super::reply::server_error;
use super::{Error, PacketStream, Result, capability};

const NATIVE_PASSWORD: &[u8] = b"mysql_native_password";
const CACHING_SHA2_PASSWORD: &[u8] = b"caching_sha2_password";
const SALT_LENGTH: usize = 20;
const UTF8MB4: u8 = 45;

/// The server's first packet.
#[derive(Debug, Clone)]
pub struct Greeting {
    pub version: String,
    pub connection_id: u32,
    pub salt: Vec<u8>,
    pub capabilities: u32,
    /// MariaDB's capabilities from bit 32 on.
    pub extended: u32,
    pub plugin: Vec<u8>,
}

impl Greeting {
    /// Reads it; an ERR in its place is the server's refusal.
    pub fn read(stream: &mut PacketStream) -> Result<Self> {
        let payload = stream.read_payload()?;
        let mut bytes = Bytes(&payload);
        match bytes.u8()? {
            10 => {}
            0xff => return Err(server_error(&payload)),
            other => return Err(Error::Protocol(format!("protocol version {other}"))),
        }
        let version = String::from_utf8_lossy(bytes.null_terminated()).into_owned();
        let connection_id = bytes.u32()?;
        let mut salt = bytes.take(8)?.to_vec();
        bytes.take(1)?; // filler
        let lower = u32::from(bytes.u16()?);
        bytes.take(3)?; // character set, status
        let capabilities = lower | u32::from(bytes.u16()?) << 16;
        bytes.take(7)?; // length of the salt, reserved
        let extended = if capabilities & capability::LONG_PASSWORD == 0 {
            bytes.u32()?
        } else {
            bytes.take(4).map(|_| 0)?
        };
        salt.extend_from_slice(bytes.take(12)?);
        bytes.take(1)?; // the NUL after the salt
        let plugin = bytes.null_terminated().to_vec();
        Ok(Self { version, connection_id, salt, capabilities, extended, plugin })
    }
}

/// Who logs in, and what the client says it can do.
#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
    pub database: Option<String>,
    pub capabilities: u32,
    /// MariaDB's capabilities from bit 32 on.
    pub extended: u32,
}

impl Login {
    pub fn new(user: &str, password: &str) -> Self {
        use capability::{
            DEPRECATE_EOF, LONG_PASSWORD, MULTI_RESULTS, PLUGIN_AUTH, PROTOCOL_41, PS_MULTI_RESULTS,
            SECURE_CONNECTION, TRANSACTIONS,
        };
        let capabilities = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION;
        let capabilities = capabilities | MULTI_RESULTS | PS_MULTI_RESULTS | PLUGIN_AUTH | DEPRECATE_EOF;
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            database: None,
            capabilities,
            extended: 0,
        }
    }

    /// The lab's application, in the database `test`.
    pub fn app() -> Self {
        Self::new(APP_USER, APP_PASSWORD).database("test")
    }

    #[must_use]
    pub fn database(mut self, name: &str) -> Self {
        self.database = Some(name.to_owned());
        self.capabilities |= capability::CONNECT_WITH_DB;
        self
    }

    #[must_use]
    pub fn with(mut self, flags: u32) -> Self {
        self.capabilities |= flags;
        self
    }

    #[must_use]
    pub fn without(mut self, flags: u32) -> Self {
        self.capabilities &= !flags;
        self
    }

    /// With capabilities of MariaDB's own, which are known to be those by the absence of `LONG_PASSWORD`.
    #[must_use]
    pub fn with_extended(mut self, flags: u32) -> Self {
        self.capabilities &= !capability::LONG_PASSWORD;
        self.extended |= flags;
        self
    }

    /// The payload that answers `greeting`.
    pub fn response(&self, greeting: &Greeting) -> Vec<u8> {
        let mut payload = self.capabilities.to_le_bytes().to_vec();
        payload.extend_from_slice(&(1_u32 << 30).to_le_bytes()); // longest packet
        payload.push(UTF8MB4);
        payload.extend_from_slice(&[0; 19]);
        payload.extend_from_slice(&self.extended.to_le_bytes());
        payload.extend_from_slice(self.user.as_bytes());
        payload.push(0);
        let proof = native_password(&greeting.salt, self.password.as_bytes());
        payload.push(u8::try_from(proof.len()).expect("20 or none"));
        payload.extend_from_slice(&proof);
        if let Some(database) = &self.database {
            payload.extend_from_slice(database.as_bytes());
            payload.push(0);
        }
        if self.capabilities & capability::PLUGIN_AUTH != 0 {
            payload.extend_from_slice(NATIVE_PASSWORD);
            payload.push(0);
        }
        if self.capabilities & capability::CONNECT_ATTRS != 0 {
            let attributes = b"\x0cprogram_name\x06a test";
            payload.push(u8::try_from(attributes.len()).expect("short"));
            payload.extend_from_slice(attributes);
        }
        payload
    }

    /// Logs in after `greeting` has been read.
    pub fn run(&self, stream: &mut PacketStream, greeting: &Greeting) -> Result<()> {
        stream.write_payload(&self.response(greeting))?;
        self.finish(stream)
    }

    /// Reads the answer to [`Login::response`]; follows a request for another plugin: the native password, or
    /// `caching_sha2_password` where the server has the account in its cache.
    pub fn finish(&self, stream: &mut PacketStream) -> Result<()> {
        loop {
            let payload = stream.read_payload()?;
            match payload.first() {
                Some(0) => return Ok(()),
                // The fast path has succeeded; the OK follows.
                Some(1) if payload == [1, 3] => {}
                Some(0xff) => return Err(server_error(&payload)),
                Some(0xfe) => stream.write_payload(&self.switch(&payload)?)?,
                other => return Err(Error::Protocol(format!("{other:?} answers a login"))),
            }
        }
    }

    fn switch(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Bytes(&payload[1..]);
        let plugin = bytes.null_terminated();
        let salt = bytes.take(SALT_LENGTH)?;
        match plugin {
            NATIVE_PASSWORD => Ok(native_password(salt, self.password.as_bytes())),
            CACHING_SHA2_PASSWORD => Ok(caching_sha2_password(salt, self.password.as_bytes())),
            other => Err(Error::Protocol(format!("plugin {}", String::from_utf8_lossy(other)))),
        }
    }
}

/// SHA256(password) XOR SHA256(SHA256(SHA256(password)), salt); nothing for an empty password.
fn caching_sha2_password(salt: &[u8], password: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let sha256 = |parts: &[&[u8]]| digest::digest(&digest::SHA256, &parts.concat());
    let once = sha256(&[password]);
    let twice = sha256(&[once.as_ref()]);
    let mask = sha256(&[twice.as_ref(), salt]);
    once.as_ref().iter().zip(mask.as_ref()).map(|(byte, mask)| byte ^ mask).collect()
}

/// SHA1(password) XOR SHA1(salt, SHA1(SHA1(password))); nothing for an empty password.
fn native_password(salt: &[u8], password: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha1::digest(password);
    let twice = Sha1::digest(once);
    let mask = Sha1::new().chain_update(salt).chain_update(twice).finalize();
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}
