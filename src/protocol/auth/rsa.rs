//! RSA-OAEP as MySQL uses it: SHA-1 as digest and in MGF1, keys as PEM (SubjectPublicKeyInfo).

use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use aws_lc_rs::{encoding::AsDer, encoding::PublicKeyX509Der};
use pem::{EncodeConfig, LineEnding, Pem};
use thiserror::Error;

/// A key that is none, or a text that does not fit it. The reasons behind it are kept back on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RsaError {
    #[error("an RSA key could not be made")]
    Generate,
    #[error("the server's public key is not an RSA key of 2048 to 8192 bits in PEM")]
    PublicKey,
    #[error("the password is too long for the server's public key")]
    Encrypt,
    #[error("not encrypted with this key")]
    Decrypt,
}

const PEM_TAG: &str = "PUBLIC KEY";

/// The key pair of a server. One is made at start-up (tens of milliseconds of CPU) and shared by all sessions.
#[derive(Debug)]
pub struct RsaKeyPair {
    private: OaepPrivateDecryptingKey,
    public_pem: Vec<u8>,
}

impl RsaKeyPair {
    /// A new key of 2048 bits.
    pub fn generate() -> Result<RsaKeyPair, RsaError> {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| RsaError::Generate)?;
        let der: PublicKeyX509Der<'_> = private.public_key().as_der().map_err(|_| RsaError::Generate)?;
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        let public_pem = pem::encode_config(&Pem::new(PEM_TAG, der.as_ref()), config).into_bytes();
        let private = OaepPrivateDecryptingKey::new(private).map_err(|_| RsaError::Generate)?;
        Ok(RsaKeyPair { private, public_pem })
    }

    /// The public key as it is sent to clients.
    pub fn public_pem(&self) -> &[u8] {
        &self.public_pem
    }

    /// What was encrypted with the public key.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, RsaError> {
        let mut plain = vec![0; self.private.min_output_size()];
        let plain = self
            .private
            .decrypt(&OAEP_SHA1_MGF1SHA1, ciphertext, &mut plain, None)
            .map_err(|_| RsaError::Decrypt)?;
        Ok(plain.to_vec())
    }
}

/// Encrypts `plain` with the public key in `pem`. A key of n bytes holds n - 42 bytes of text.
pub fn encrypt(pem: &[u8], plain: &[u8]) -> Result<Vec<u8>, RsaError> {
    let pem = pem::parse(pem).ok().filter(|pem| pem.tag() == PEM_TAG).ok_or(RsaError::PublicKey)?;
    let key = PublicEncryptingKey::from_der(pem.contents()).map_err(|_| RsaError::PublicKey)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| RsaError::PublicKey)?;
    let mut out = vec![0; key.ciphertext_size()];
    let out = key.encrypt(&OAEP_SHA1_MGF1SHA1, plain, &mut out, None).map_err(|_| RsaError::Encrypt)?;
    Ok(out.to_vec())
}
