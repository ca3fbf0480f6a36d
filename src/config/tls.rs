//! TLS on both sides: from the files that the configuration names to what connections are made with.
//!
//! Towards clients: a certificate and its key, and who signs the certificates of clients. Towards servers: how much a
//! server has to prove. No session is resumed across a reload, since the keys of its tickets go with the old files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};

use super::document::Document;
use super::model::{Acceptor, Connector, LinkTls, ServerTls};
use super::problem::Reason;
use super::section::Section;
use super::verifier;

/// A file that can't be used: the key that names it, and why.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {path}: {reason}")]
pub struct TlsError {
    key: &'static str,
    path: String,
    reason: String,
}

impl TlsError {
    fn new(key: &'static str, path: &Path, reason: impl Into<String>) -> Self {
        Self { key, path: path.display().to_string(), reason: reason.into() }
    }
}

/// The files of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// A certificate and those between it and its authority, and its private key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
    /// The authorities that sign the certificates of the other side, under the name of its key.
    pub(super) authorities: Option<(&'static str, PathBuf)>,
}

impl ServerTls {
    /// Reads the files again.
    ///
    /// # Errors
    /// The first that can't be used.
    pub fn reload(&self) -> Result<Acceptor, TlsError> {
        acceptor(&self.files, self.client_certificates)
    }
}

/// The section `[server.tls]`.
pub(super) fn of_clients(document: &Document<'_>) -> Option<ServerTls> {
    let section = Section::open(document, "server.tls");
    let files = TlsFiles {
        own: section.path("cert").zip(section.path("key")),
        authorities: section.path("client_ca").map(|path| ("client_ca", path)),
    };
    let every_client = section.choice("client_certificates") == "required";
    let required = section.choice("mode") == "required";
    if !section.is_present() {
        return None;
    }
    if section.gives("client_certificates") && files.authorities.is_none() {
        section.refuse("client_certificates", Reason::Needs("client_ca"));
    }
    if every_client && !required && section.gives("mode") {
        section.refuse("mode", Reason::CertificatesNeedTls);
    }
    files.own.as_ref()?;
    match acceptor(&files, every_client) {
        Ok(acceptor) => Some(ServerTls {
            files,
            acceptor,
            required: required || every_client,
            client_certificates: every_client,
        }),
        Err(TlsError { key, path, reason }) => {
            section.refuse(key, Reason::TlsFile { path, reason });
            None
        }
    }
}

/// The keys about TLS in `[backend]`.
pub(super) fn of_links(section: &Section<'_>, host: &str, unix_socket: bool) -> LinkTls {
    let mode = section.choice("tls");
    let (certificate, key) = (section.path("cert"), section.path("key"));
    for (given, missing) in [("cert", "key"), ("key", "cert")] {
        if section.gives(given) && !section.gives(missing) {
            section.refuse(given, Reason::Needs(missing));
        }
    }
    let authorities = section.path("ca").map(|path| ("ca", path));
    let verifies = matches!(mode, "verify_ca" | "verify_identity");
    if verifies && authorities.is_none() {
        section.refuse("tls", Reason::NeedsAuthorities(mode));
        return LinkTls::Disabled;
    }
    if unix_socket && mode != "disabled" {
        section.refuse("tls", Reason::TlsOnUnixSocket);
        return LinkTls::Disabled;
    }
    let files = TlsFiles { own: certificate.zip(key), authorities };
    let config = match connector(&files, mode) {
        Ok(config) => config,
        Err(TlsError { key, path, reason }) => {
            section.refuse(key, Reason::TlsFile { path, reason });
            return LinkTls::Disabled;
        }
    };
    if mode == "disabled" {
        return LinkTls::Disabled;
    }
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        // A host that is wrong in any case has been reported.
        section.refuse("tls", Reason::NotACertificateName(host.to_owned()));
        return LinkTls::Disabled;
    };
    let connector = Connector { config, name };
    if mode == "preferred" { LinkTls::Preferred(connector) } else { LinkTls::Demanded(connector) }
}

fn acceptor(files: &TlsFiles, every_client: bool) -> Result<Acceptor, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| TlsError::new("cert", Path::new(""), error.to_string()))?;
    let builder = match &files.authorities {
        None => builder.with_no_client_auth(),
        Some((key, path)) => {
            let roots = Arc::new(authorities(key, path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = if every_client { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|error| TlsError::new(key, path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let Some((certificate, key)) = &files.own else {
        return Err(TlsError::new("cert", Path::new(""), "no certificate"));
    };
    let (chain, private) = own(certificate, key)?;
    let built = builder.with_single_cert(chain, private);
    let mut config = built.map_err(|error| own_error(error, certificate, key))?;
    // Tickets, not a store: nothing is kept for a client that does not come back, and cores share no table.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer =
        aws_lc_rs::Ticketer::new().map_err(|error| TlsError::new("cert", certificate, error.to_string()))?;
    config.send_tls13_tickets = 1;
    Ok(Acceptor(Arc::new(config)))
}

fn connector(files: &TlsFiles, mode: &str) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| TlsError::new("tls", Path::new(""), error.to_string()))?;
    let roots = match &files.authorities {
        Some((key, path)) => authorities(key, path)?,
        None => RootCertStore::empty(),
    };
    let builder = match mode {
        "verify_identity" => builder.with_root_certificates(roots),
        "verify_ca" => {
            builder.dangerous().with_custom_certificate_verifier(verifier::chain_only(provider, roots))
        }
        _ => builder.dangerous().with_custom_certificate_verifier(verifier::unverified(provider)),
    };
    let mut config = match &files.own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, private) = own(certificate, key)?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|error| own_error(error, certificate, key))?
        }
    };
    // Links are opened seldom, and a store of sessions would be shared by the cores.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn own(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates("cert", certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        TlsError::new("key", key, pem_error(error, "no private key in it (an encrypted one can't be read)"))
    })?;
    Ok((chain, private))
}

fn own_error(error: rustls::Error, certificate: &Path, key: &Path) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let reason = format!("it is not the key of the certificate in {}", certificate.display());
            TlsError::new("key", key, reason)
        }
        rustls::Error::InvalidCertificate(_) => TlsError::new("cert", certificate, error.to_string()),
        error => TlsError::new("key", key, error.to_string()),
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const NONE: &str = "no certificate in it";
    let refused = |error| TlsError::new(key, path, pem_error(error, NONE));
    let read = CertificateDer::pem_file_iter(path).map_err(refused)?;
    let chain: Vec<_> = read.collect::<Result<_, _>>().map_err(refused)?;
    if chain.is_empty() { Err(TlsError::new(key, path, NONE)) } else { Ok(chain) }
}

fn authorities(key: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, path)? {
        roots.add(certificate).map_err(|error| TlsError::new(key, path, error.to_string()))?;
    }
    Ok(roots)
}

fn pem_error(error: pem::Error, nothing: &str) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => nothing.to_owned(),
        error => error.to_string(),
    }
}

impl PartialEq for Acceptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Acceptor {}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Eq for Connector {}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?})", self.name)
    }
}
