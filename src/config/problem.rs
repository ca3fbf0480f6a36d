//! Every reason for which a configuration is refused, and the list of them that an operator sees.

use std::fmt;
use std::path::{Path, PathBuf};

use super::sharding::RuleError;
use super::shards::ShardsError;

/// All that is wrong with a configuration; shown as one line `path:line: key: reason` for each, in order of lines.
///
/// The line is left out where there is none (a file that can't be read).
#[derive(Debug)]
pub struct Problems {
    path: Option<PathBuf>,
    list: Vec<Problem>,
}

/// One refusal.
#[derive(Debug)]
pub(super) struct Problem {
    /// From 1.
    pub(super) line: Option<usize>,
    /// `section.name`; empty when the file as a whole is meant.
    pub(super) key: String,
    pub(super) reason: Reason,
}

impl Problems {
    pub(super) fn new(path: Option<&Path>, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.line);
        Self { path: path.map(Path::to_owned), list }
    }

    /// A file of which nothing is known but that it can't be used.
    pub(super) fn of_file(path: &Path, line: Option<usize>, reason: Reason) -> Self {
        Self::new(Some(path), vec![Problem { line, key: String::new(), reason }])
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, key, reason }) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (&self.path, line) {
                (Some(path), Some(line)) => write!(f, "{}:{line}: ", path.display())?,
                (Some(path), None) => write!(f, "{}: ", path.display())?,
                (None, _) => {}
            }
            if !key.is_empty() {
                write!(f, "{key}: ")?;
            }
            write!(f, "{reason}")?;
        }
        Ok(())
    }
}

/// Why something is refused. A text never holds the value of a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    // The file.
    #[error("no such file: name another with --config PATH")]
    NoFile,
    #[error("can't be read: {0}")]
    Unreadable(String),
    #[error("not UTF-8 text")]
    NotUtf8,
    #[error("{0}")]
    Syntax(String),

    // Names.
    #[error("unknown key{}", question(.0))]
    UnknownKey(Option<&'static str>),
    #[error("unknown key here: it belongs in [{0}]")]
    KeyOfAnotherSection(&'static str),
    #[error("unknown section{}", question(.0))]
    UnknownSection(Option<&'static str>),
    #[error("a key has to stand in a section, such as [server]")]
    OutsideSection,
    #[error("not available in this version: {0}")]
    Unavailable(&'static str),
    #[error("must be a section, written [{0}], once")]
    NotASection(&'static str),
    #[error("must be a list of sections, each written [[{0}]]")]
    NotAList(&'static str),

    // Absences.
    #[error("the section is missing, and nothing can be served without it")]
    NoSection,
    #[error("the key is missing: give host, or unix_socket")]
    NoHost,
    #[error("the key is missing: it has no default")]
    NoKey,
    #[error("the password is missing: give {}, {} or {} (none at all is {} = \"\")", .0[0], .0[1], .0[2], .0[0])]
    NoPassword([&'static str; 3]),

    // Values.
    #[error("must be {expected}, not {found}")]
    WrongType { expected: &'static str, found: &'static str },
    #[error("must be a number without quotes, between {min} and {max}")]
    NotANumber { min: u64, max: u64 },
    #[error("{value} is out of bounds: must be between {min} and {max}")]
    OutOfBounds { value: String, min: u64, max: u64 },
    #[error("\"{value}\" is none of {}{}", quoted(.of), question(.nearest))]
    NotAChoice { value: String, of: &'static [&'static str], nearest: Option<&'static str> },
    #[error("must not be empty")]
    Empty,
    #[error("must not hold a control character")]
    ControlCharacter,
    #[error("\"{0}\" is not an IP address, such as \"127.0.0.1\", \"0.0.0.0\" or \"::1\"")]
    NotAnAddress(String),
    #[error("\"{0}\" is neither a host name nor an IP address (the port is a key of its own)")]
    NotAHost(String),
    #[error("{0} is not a power of two")]
    NotAPowerOfTwo(u64),
    #[error("\"{0}\" is neither \"auto\" nor a list of CPUs such as \"2-7,10\"")]
    NotACpuList(String),
    #[error("CPU {0} is named twice")]
    DuplicateCpu(usize),
    #[error(
        "\"{0}\" is neither error, warn, info, debug, trace or off nor a filter such as \"info,athena=debug\""
    )]
    NotALevel(String),

    // Secrets.
    #[error("contradicts {0}: give the password in one way only")]
    PasswordTwice(&'static str),
    #[error("{path}: {reason}")]
    PasswordFile { path: String, reason: String },
    #[error("the environment variable {0} is not set")]
    PasswordEnv(String),
    #[error("{0} is empty (no password at all is password = \"\")")]
    PasswordEmpty(String),
    #[error("a password is at most {0} bytes long")]
    PasswordTooLong(usize),
    #[error("a password can't hold a NUL byte")]
    PasswordNul,

    // Certificates and keys.
    #[error("{path}: {reason}")]
    TlsFile { path: String, reason: String },
    #[error("it needs {0} as well")]
    Needs(&'static str),
    #[error(
        "\"{0}\" needs ca: the file with the certificates of those who sign for the server (\"required\" encrypts \
         without asking who is there)"
    )]
    NeedsAuthorities(&'static str),
    #[error("contradicts client_certificates = \"required\": a client without TLS shows none")]
    CertificatesNeedTls,
    #[error("a Unix socket does not leave the host: remove it, or unix_socket")]
    TlsOnUnixSocket,
    #[error("\"{0}\", the host, is no name that a certificate can bear")]
    NotACertificateName(String),
    #[error(
        "not a hash of MySQL: it begins with * (mysql_native_password), $A$ (caching_sha2_password) or 0x (the latter, as \
         SHOW CREATE USER prints it with print_identified_with_as_hex)"
    )]
    NotAHash,
    #[error("\"{0}\" is neither an IP address, nor a network such as \"10.0.0.0/8\", nor \"localhost\"")]
    NotAnOrigin(String),

    // Contradictions.
    #[error(
        "an account with such a hash can't log in by mysql_native_password: write [server] auth_plugin = \
         \"caching_sha2_password\""
    )]
    HashNeedsSha2,
    #[error("contradicts [[users]]: with \"backend\" the accounts are the server's own")]
    UsersOfBackend,
    #[error(
        "contradicts [server] auth_plugin = \"client_ed25519\": with \"backend\" the link's proof comes out of the client's, and a signature gives none away"
    )]
    SignatureOfBackend,
    #[error("is for links of an account of their own: give backend_user, too")]
    NoBackendUser,
    #[error("the user of line {0} has the same name")]
    DuplicateUser(usize),
    #[error("{0} is named twice among [backend], [[shards]] and their replicas")]
    DuplicateInstance(String),
    #[error("is another one than in [backend]: servers that replicate have the same databases")]
    OtherDatabase,
    #[error("there are no [[backend.replicas]] to which reads could go")]
    NoReplicas,
    #[error("no account of this file has this name")]
    NoSuchUser,
    #[error("changes a limit of [circuit], which limits nothing: write the section, with enabled = true")]
    NothingIsLimited,
    #[error(transparent)]
    Rule(RuleError),
    #[error(transparent)]
    Shards(ShardsError),
    #[error("{value} is more than {limit_key} = {limit}")]
    MoreThan { value: usize, limit_key: &'static str, limit: usize },
    #[error("{0} is where clients connect ([server]): give the HTTP endpoint another port")]
    MetricsOnListener(String),
    #[error("the default of {0}, [server] listen_port + 1000, is above 65535: give [metrics] listen_port")]
    MetricsPortTooHigh(u32),
    #[error("{0} is where Athena itself listens ({1}): it would be its own backend")]
    BackendIsSelf(String, &'static str),
}

impl Reason {
    /// True for what may be missing only because a syntax error hid it.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::NoSection | Self::NoKey | Self::NoHost | Self::NoPassword(_))
    }
}

fn question(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default()
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}
