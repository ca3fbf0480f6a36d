//! Passwords: from the text, from a file or from the environment, in exactly one of these ways.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::model::Secret;
use super::problem::Reason;
use super::section::Section;

/// How a variable of the environment is looked up.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Longer than any server takes (MySQL: 256 bytes for `caching_sha2_password`); a bound for what a file can bring.
const BYTES_MAX: usize = 1024;

/// The keys of a password: in the text, in a file, in the environment.
pub(super) type Ways = [&'static str; 3];

pub(super) const OWN: Ways = ["password", "password_file", "password_env"];
pub(super) const OF_BACKEND: Ways = ["backend_password", "backend_password_file", "backend_password_env"];

/// The password of a section; an empty one stands in where there is a problem.
pub(super) fn resolve(section: &Section<'_>, env: Env<'_>) -> Secret {
    resolve_by(section, OWN, env)
}

/// As [`resolve`], for a password with keys of its own.
pub(super) fn resolve_by(section: &Section<'_>, ways: Ways, env: Env<'_>) -> Secret {
    let mut given = ways.into_iter().filter(|way| section.gives(way));
    let Some(way) = given.next() else {
        if section.is_present() {
            section.refuse(ways[0], Reason::NoPassword(ways));
        }
        return Secret::new("");
    };
    for other in given {
        section.refuse(other, Reason::PasswordTwice(way));
    }
    let Some(text) = section.text(way) else { return Secret::new("") };
    let [plain, file, _] = ways;
    let fetched = match way {
        way if way == plain => Ok(text.into_bytes()),
        way if way == file => from_file(section.document.path, &text),
        _ => from_env(env, text),
    };
    match fetched.and_then(checked) {
        Ok(bytes) => Secret::new(bytes),
        Err(reason) => {
            section.refuse(way, reason);
            Secret::new("")
        }
    }
}

/// The content without the newline that editors and `echo` leave at its end. A relative path starts from the folder
/// of the configuration file, so that it does not depend on where Athena was started.
fn from_file(config: &Path, path: &str) -> Result<Vec<u8>, Reason> {
    let full = config.parent().unwrap_or(Path::new("")).join(path);
    let path = full.display().to_string();
    let mut bytes = Vec::new();
    // Room for the newline, and one byte to see that there is too much.
    let read = File::open(&full).and_then(|file| file.take(BYTES_MAX as u64 + 3).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(Reason::PasswordFile { path, reason: error.to_string() });
    }
    if bytes.pop_if(|last| *last == b'\n').is_some() {
        bytes.pop_if(|last| *last == b'\r');
    }
    if bytes.is_empty() { Err(Reason::PasswordEmpty(path)) } else { Ok(bytes) }
}

fn from_env(env: Env<'_>, name: String) -> Result<Vec<u8>, Reason> {
    match env(&name) {
        None => Err(Reason::PasswordEnv(name)),
        Some(value) if value.is_empty() => Err(Reason::PasswordEmpty(name)),
        Some(value) => Ok(value.into_bytes()),
    }
}

fn checked(bytes: Vec<u8>) -> Result<Vec<u8>, Reason> {
    if bytes.contains(&0) {
        Err(Reason::PasswordNul)
    } else if bytes.len() > BYTES_MAX {
        Err(Reason::PasswordTooLong(BYTES_MAX))
    } else {
        Ok(bytes)
    }
}
