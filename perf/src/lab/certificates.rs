//! Certificates for tests of TLS, made by `openssl`: authorities, and what they sign.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};
use crate::process::run;

/// A folder of certificates and keys. Each name has `NAME.pem` and `NAME-key.pem`.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// An authority `ca`; signed by it `server`, for `localhost` and 127.0.0.1, and `client`. Beside them the authority
    /// `other-ca`, which nobody trusts.
    ///
    /// # Errors
    /// When `openssl` is missing or the folder can't be made.
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let made = Self { folder: folder.to_owned() };
        made.authority("ca")?;
        made.authority("other-ca")?;
        made.signed("ca", "server", "DNS:localhost,IP:127.0.0.1")?;
        made.signed("ca", "client", "DNS:client")?;
        Ok(made)
    }

    /// The certificate `name`.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// Its private key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-key.pem"))
    }

    /// Makes an authority, which signs itself.
    ///
    /// # Errors
    /// When `openssl` fails.
    pub fn authority(&self, name: &str) -> Result<()> {
        let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
        self.request(name)?;
        self.sign(name, extensions, &[("-signkey", self.key(name))])
    }

    /// Makes a certificate that `authority` signs, for the subject alternative names `names` (as `openssl` writes them).
    ///
    /// # Errors
    /// As [`Certificates::authority`].
    pub fn signed(&self, authority: &str, name: &str, names: &str) -> Result<()> {
        let extensions = format!("basicConstraints=CA:FALSE\nsubjectAltName={names}\n");
        self.request(name)?;
        let by = [("-CA", self.certificate(authority)), ("-CAkey", self.key(authority))];
        self.sign(name, &extensions, &by)
    }

    fn request(&self, name: &str) -> Result<()> {
        let mut command = Command::new("openssl");
        command.args(["req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        command.args(["-subj", &format!("/CN={name}")]);
        command.arg("-keyout").arg(self.key(name)).arg("-out").arg(self.folder.join(format!("{name}.csr")));
        run(&mut command).map(drop)
    }

    fn sign(&self, name: &str, extensions: &str, by: &[(&str, PathBuf)]) -> Result<()> {
        let file = self.folder.join(format!("{name}.ext"));
        fs::write(&file, extensions).map_err(Error::file(&file))?;
        let mut command = Command::new("openssl");
        command.args(["x509", "-req", "-days", "30", "-sha256", "-set_serial"]).arg(serial().to_string());
        command.arg("-in").arg(self.folder.join(format!("{name}.csr"))).arg("-extfile").arg(file);
        command.arg("-out").arg(self.certificate(name));
        for (option, file) in by {
            command.arg(option).arg(file);
        }
        run(&mut command).map(drop)
    }
}

fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
