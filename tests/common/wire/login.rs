//! Greeting and login.

use athena_perf::lab::{APP_PASSWORD, APP_USER};
use aws_lc_rs::digest::{SHA256, SHA512, digest};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use sha1::{Digest, Sha1};

use super::bytes::Bytes;
use super::reply::server_error;
use super::{Error, PacketStream, Result, capability};

/// By what a client proves its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    Native,
    /// As far as the server has the password in its cache: this client never sends the password itself.
    CachingSha2,
    /// The same, sending the password with the server's public key where it is asked for.
    CachingSha2Rsa,
    /// The same, sending the password as it is, for connections that nobody can read.
    CachingSha2Clear,
    /// MariaDB's signature.
    Ed25519,
    /// The password as it is, where the server asks for it.
    ClearText,
}

impl Plugin {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Native => b"mysql_native_password",
            Self::CachingSha2 | Self::CachingSha2Rsa | Self::CachingSha2Clear => b"caching_sha2_password",
            Self::Ed25519 => b"client_ed25519",
            Self::ClearText => b"mysql_clear_password",
        }
    }

    pub fn of_name(name: &[u8]) -> Result<Self> {
        let all = [Self::Native, Self::CachingSha2, Self::Ed25519, Self::ClearText];
        let named = all.into_iter().find(|plugin| plugin.name() == name);
        named.ok_or_else(|| Error::Protocol(format!("plugin {}", String::from_utf8_lossy(name))))
    }

    /// What proves the password where the server has sent this salt.
    pub fn proof(self, salt: &[u8], password: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519 => signature(salt, password),
            Self::ClearText => [password, b"\0"].concat(),
            _ if password.is_empty() => Vec::new(),
            Self::Native => native_password(salt, password),
            Self::CachingSha2 | Self::CachingSha2Rsa | Self::CachingSha2Clear => {
                let once = digest(&SHA256, password);
                let twice = digest(&SHA256, once.as_ref());
                let mask = digest(&SHA256, &[twice.as_ref(), salt].concat());
                once.as_ref().iter().zip(mask.as_ref()).map(|(byte, mask)| byte ^ mask).collect()
            }
        }
    }
}

const SALT_LENGTH: usize = 20;
const NONCE_LENGTH: usize = 32;
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
    /// What the client begins with.
    pub plugin: Plugin,
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
            plugin: Plugin::Native,
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

    #[must_use]
    pub fn by(mut self, plugin: Plugin) -> Self {
        self.plugin = plugin;
        self
    }

    /// What follows the command byte of COM_CHANGE_USER.
    pub fn change(&self, greeting: &Greeting) -> Vec<u8> {
        let mut payload = self.user.as_bytes().to_vec();
        payload.push(0);
        let proof = self.plugin.proof(&greeting.salt, self.password.as_bytes());
        payload.push(u8::try_from(proof.len()).expect("64 at most"));
        payload.extend_from_slice(&proof);
        payload.extend_from_slice(self.database.as_deref().unwrap_or_default().as_bytes());
        payload.push(0);
        payload.extend_from_slice(&u16::from(UTF8MB4).to_le_bytes());
        if self.capabilities & capability::PLUGIN_AUTH != 0 {
            payload.extend_from_slice(self.plugin.name());
            payload.push(0);
        }
        payload
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
        let proof = self.plugin.proof(&greeting.salt, self.password.as_bytes());
        payload.push(u8::try_from(proof.len()).expect("64 at most"));
        payload.extend_from_slice(&proof);
        if let Some(database) = &self.database {
            payload.extend_from_slice(database.as_bytes());
            payload.push(0);
        }
        if self.capabilities & capability::PLUGIN_AUTH != 0 {
            payload.extend_from_slice(self.plugin.name());
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
        self.finish_after(stream, &greeting.salt)
    }

    /// Reads the answer to [`Login::response`]; follows a request for another plugin.
    pub fn finish(&self, stream: &mut PacketStream) -> Result<()> {
        self.finish_after(stream, &[])
    }

    /// The same where the password may be asked for, which is masked with the salt of the greeting.
    pub fn finish_after(&self, stream: &mut PacketStream, salt: &[u8]) -> Result<()> {
        let mut salt = salt.to_vec();
        loop {
            let payload = stream.read_payload()?;
            match payload.first() {
                Some(0) => return Ok(()),
                Some(0xff) => return Err(server_error(&payload)),
                Some(1) if payload == [1, 3] => {}
                Some(1) if payload == [1, 4] && self.plugin == Plugin::CachingSha2Rsa => {
                    stream.write_payload(&[2])?
                }
                Some(1) if payload == [1, 4] && self.plugin == Plugin::CachingSha2Clear => {
                    stream.write_payload(&[self.password.as_bytes(), b"\0"].concat())?;
                }
                Some(1) if payload.starts_with(b"\x01-----BEGIN") => {
                    stream.write_payload(&encrypted(&payload[1..], self.password.as_bytes(), &salt)?)?;
                }
                Some(1) => return Err(Error::Protocol("the server wants the password itself".to_owned())),
                Some(0xfe) => {
                    let (answer, new_salt) = self.switch(&payload)?;
                    salt = new_salt;
                    stream.write_payload(&answer)?;
                }
                other => return Err(Error::Protocol(format!("{other:?} answers a login"))),
            }
        }
    }

    /// The answer to a request for another plugin, and the salt that holds from here on.
    fn switch(&self, payload: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut bytes = Bytes(&payload[1..]);
        let plugin = Plugin::of_name(bytes.null_terminated())?;
        let salt = match plugin {
            Plugin::Ed25519 => bytes.take(NONCE_LENGTH)?.to_vec(),
            _ => bytes.take(SALT_LENGTH)?.to_vec(),
        };
        Ok((plugin.proof(&salt, self.password.as_bytes()), salt))
    }
}

/// The password and its NUL, masked with the salt, for the holder of the key in `pem`.
pub fn encrypted(pem: &[u8], password: &[u8], salt: &[u8]) -> Result<Vec<u8>> {
    let failed = |_| Error::Protocol("a public key that is none".to_owned());
    let pem = pem::parse(pem).map_err(|error| Error::Protocol(error.to_string()))?;
    let key = PublicEncryptingKey::from_der(pem.contents()).map_err(|_| failed(()))?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| failed(()))?;
    let mask = salt.iter().cycle();
    let masked: Vec<u8> = password.iter().chain(&[0]).zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let mut out = vec![0; key.ciphertext_size()];
    let out = key.encrypt(&OAEP_SHA1_MGF1SHA1, &masked, &mut out, None).map_err(|_| failed(()))?;
    Ok(out.to_vec())
}

/// That of the nonce, by the key that the password makes.
fn signature(nonce: &[u8], password: &[u8]) -> Vec<u8> {
    let seed = digest(&SHA512, password).as_ref().try_into().expect("64 bytes");
    let key = ExpandedSecretKey::from_bytes(&seed);
    raw_sign::<sha2::Sha512>(&key, nonce, &VerifyingKey::from(&key)).to_bytes().to_vec()
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
