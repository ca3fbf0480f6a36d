//! The accounts of the file.

use super::model::{Account, AccountTls, AuthPlugin, BackendLogin, Instance, Origin};
use super::password::{self, Env};
use super::problem::Reason;
use super::section::Section;
use crate::protocol::auth::Credential;

/// The `[[users]]`; without any, the backend's user is the one account.
pub(super) fn accounts(
    sections: &[Section<'_>],
    primary: &Instance,
    auth_plugin: AuthPlugin,
    env: Env<'_>,
) -> Vec<Account> {
    let mut seen: Vec<(String, usize)> = Vec::new();
    let resolved = sections.iter().map(|section| {
        let name = section.name("name").unwrap_or_default();
        match seen.iter().find(|(earlier, _)| *earlier == name && !name.is_empty()) {
            Some((_, line)) => section.refuse("name", Reason::DuplicateUser(*line)),
            None => seen.push((name.clone(), section.line)),
        }
        Account {
            name,
            credential: credential(section, auth_plugin, env),
            default_database: section.name("default_database").or_else(|| primary.database.clone()),
            max_connections: section
                .number_given("max_connections")
                .and_then(|max| usize::try_from(max).ok()),
            allowed: section
                .list("allowed_addresses")
                .map(|list| origins(section, "allowed_addresses", &list)),
            tls: match section.choice("tls") {
                "required" => AccountTls::Required,
                "certificate" => AccountTls::Certificate,
                _ => AccountTls::Optional,
            },
            backend: backend(section, env),
            read_write_split: match section.choice("routing") {
                "primary" => Some(false),
                "split" => Some(true),
                _ => None,
            },
        }
    });
    let mut accounts: Vec<Account> = resolved.collect();
    if accounts.is_empty() {
        accounts.push(Account {
            name: primary.user.clone(),
            credential: Credential::password(primary.password.expose()),
            default_database: primary.database.clone(),
            max_connections: None,
            allowed: None,
            tls: AccountTls::Optional,
            backend: None,
            read_write_split: None,
        });
    }
    accounts
}

/// The hash, or else the password.
fn credential(section: &Section<'_>, auth_plugin: AuthPlugin, env: Env<'_>) -> Credential {
    let Some(hash) = section.text("password_hash") else {
        return Credential::password(password::resolve(section, env).expose());
    };
    for other in password::OWN.into_iter().filter(|way| section.gives(way)) {
        section.refuse(other, Reason::PasswordTwice("password_hash"));
    }
    match Credential::parse_hash(&hash) {
        Some(Credential::Sha256(_) | Credential::Ed25519(_)) if auth_plugin == AuthPlugin::Native => {
            section.refuse("password_hash", Reason::HashNeedsSha2);
        }
        Some(credential) => return credential,
        None => section.refuse("password_hash", Reason::NotAHash),
    }
    Credential::password(b"")
}

/// The account of the server to which this one maps.
fn backend(section: &Section<'_>, env: Env<'_>) -> Option<BackendLogin> {
    let Some(user) = section.name("backend_user") else {
        for way in password::OF_BACKEND.into_iter().filter(|way| section.gives(way)) {
            section.refuse(way, Reason::NoBackendUser);
        }
        return None;
    };
    Some(BackendLogin { user, password: password::resolve_by(section, password::OF_BACKEND, env) })
}

/// Addresses, networks and `localhost`.
pub(super) fn origins(section: &Section<'_>, name: &str, list: &[String]) -> Vec<Origin> {
    let origins = list.iter().filter_map(|text| {
        let origin = Origin::parse(text);
        if origin.is_none() {
            section.refuse(name, Reason::NotAnOrigin(text.clone()));
        }
        origin
    });
    origins.collect()
}
