//! The tables in which servers keep their accounts, read.

use serde_json::Value;

use crate::pool::{StatelessPool, Told};
use crate::protocol::auth::Credential;
use crate::protocol::resultset::TextValue;

use super::directory::DirectoryError;

/// More accounts are not looked at.
const ACCOUNTS_MAX: usize = 65_536;

/// `ER_TABLEACCESS_DENIED_ERROR`, `ER_COLUMNACCESS_DENIED_ERROR`, `ER_NO_SUCH_TABLE`.
const NOT_THERE: [u16; 3] = [1142, 1143, 1146];

/// Plugins that ask elsewhere are not among these: a text that can't be read, or a client that is who it is without a
/// password, is no reason to ask for one.
const KNOWN_PLUGINS: [&[u8]; 8] = [
    b"",
    b"mysql_native_password",
    b"caching_sha2_password",
    b"sha256_password",
    b"ed25519",
    b"unix_socket",
    b"auth_socket",
    b"mysql_no_login",
];

/// What a server stores of an account, as far as it matters to a login. While it is the same, so is what a login has
/// taught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub user: Box<[u8]>,
    pub host: Box<str>,
    /// Plugins with what they store, in the order in which they are tried.
    methods: Vec<(Vec<u8>, Vec<u8>)>,
    /// Locked, expired, last changed.
    state: Vec<u8>,
}

impl Stored {
    /// By the first method that Athena can check. Where there is a single one that it can't, the server will have to.
    pub fn credential(&self) -> Option<Credential> {
        let checked = self.methods.iter().find_map(|(plugin, text)| Credential::stored(plugin, text));
        match &self.methods[..] {
            [(plugin, _)] if !KNOWN_PLUGINS.contains(&&plugin[..]) => checked.or(Some(Credential::ByServer)),
            _ => checked,
        }
    }
}

/// Reads the accounts of the server.
pub(super) async fn read(pool: &std::rc::Rc<StatelessPool>) -> Result<Vec<Stored>, DirectoryError> {
    let mariadb = pool.profile().is_some_and(|profile| profile.is_mariadb());
    let of_mariadb = format!("SELECT User, Host, Priv FROM mysql.global_priv LIMIT {ACCOUNTS_MAX}");
    // A view of it, for accounts that may read that alone.
    let of_view = format!(
        "SELECT User, Host, plugin, authentication_string, 'N', password_expired, is_role FROM mysql.user LIMIT {ACCOUNTS_MAX}"
    );
    let of_mysql = format!(
        "SELECT User, Host, plugin, authentication_string, account_locked, password_expired, password_last_changed FROM \
         mysql.user LIMIT {ACCOUNTS_MAX}"
    );
    let (first, second) = if mariadb { (of_mariadb, Some(of_view)) } else { (of_mysql, None) };
    let mut told = pool.errand(None, &first).await?;
    if let (Told::Err(err), Some(second)) = (&told, second)
        && NOT_THERE.contains(&err.code)
    {
        told = pool.errand(None, &second).await?;
    }
    match told {
        Told::Table(table) => Ok(table.rows.iter().filter_map(|row| account(row)).collect()),
        Told::Ok => Err(DirectoryError::Unreadable),
        Told::Err(err) => {
            if NOT_THERE.contains(&err.code) {
                let table = if mariadb { "mysql.global_priv" } else { "mysql.user" };
                let user = &pool.instance.user;
                tracing::error!(target: "athena::login", user, "the accounts of the server can't be read ([auth] source = \"backend\"): GRANT SELECT ON {table} TO the account of [backend]");
            }
            Err(DirectoryError::Refused(err))
        }
    }
}

/// An account of a row; `None` of a role, and of what can't be read.
fn account(row: &[TextValue]) -> Option<Stored> {
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    let user = text(0).into();
    let host = std::str::from_utf8(text(1)).ok()?.into();
    if row.len() == 3 {
        let json = serde_json::from_slice(text(2)).ok()?;
        return of_json(user, host, &json);
    }
    let (locked, expired, role) = (text(4) == b"Y", text(5) == b"Y", text(6) == b"Y");
    // MySQL's roles are accounts that nobody can use.
    if role || (locked && expired && text(3).is_empty()) {
        return None;
    }
    let state = [text(4), text(5), text(6)].join(&b' ');
    Some(Stored { user, host, methods: vec![(text(2).to_vec(), text(3).to_vec())], state })
}

/// MariaDB's form: `{"access":0,"plugin":"...","authentication_string":"...","auth_or":[{},{...}],"account_locked":true}`.
/// An empty object among those of `auth_or` stands for the method outside.
fn of_json(user: Box<[u8]>, host: Box<str>, json: &Value) -> Option<Stored> {
    if json.get("is_role").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let text = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec()
    };
    let method = |value: &Value| (text(value, "plugin"), text(value, "authentication_string"));
    let methods = match json.get("auth_or").and_then(Value::as_array) {
        Some(list) => list
            .iter()
            .map(|value| if value.get("plugin").is_some() { method(value) } else { method(json) })
            .collect(),
        None => vec![method(json)],
    };
    let state = ["account_locked", "password_last_changed", "password_lifetime"].map(|name| json.get(name));
    Some(Stored { user, host, methods, state: format!("{state:?}").into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[&str]) -> Option<Stored> {
        let row: Vec<TextValue> = values.iter().map(|value| Some(value.as_bytes().to_vec())).collect();
        account(&row)
    }

    #[test]
    fn accounts_of_mariadb() {
        let hash = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
        let plain = row(&[
            "a",
            "%",
            &format!(r#"{{"plugin":"mysql_native_password","authentication_string":"{hash}"}}"#),
        ]);
        assert!(matches!(plain.and_then(|stored| stored.credential()), Some(Credential::Native(_))));
        let or = format!(
            r#"{{"plugin":"mysql_native_password","authentication_string":"{hash}","auth_or":[{{"plugin":"unix_socket"}},{{}}]}}"#
        );
        let or = row(&["a", "%", &or]).expect("an account");
        assert!(matches!(or.credential(), Some(Credential::Native(_))));
        assert_eq!(row(&["r", "", r#"{"is_role":true}"#]), None);
        let empty = row(&["e", "%", r#"{"access":0}"#]).and_then(|stored| stored.credential());
        assert_eq!(empty, Some(Credential::password(b"")));
        let locked = |state: &str| row(&["a", "%", &format!(r#"{{"account_locked":{state}}}"#)]);
        assert_ne!(locked("true"), locked("false"));
        assert_eq!(
            row(&["a", "%", r#"{"plugin":"unix_socket"}"#]).and_then(|stored| stored.credential()),
            None
        );
        let by = |plugin: &str| row(&["a", "%", plugin]).and_then(|stored| stored.credential());
        assert_eq!(by(r#"{"plugin":"pam","authentication_string":"mysql"}"#), Some(Credential::ByServer));
        assert_eq!(by(r#"{"plugin":"pam","auth_or":[{"plugin":"unix_socket"},{}]}"#), None);
        assert_eq!(row(&["a", "%", "no json"]), None);
    }

    #[test]
    fn accounts_of_mysql() {
        let with = |locked: &str, expired: &str, text: &str| {
            row(&["a", "%", "caching_sha2_password", text, locked, expired, "2026-01-01 00:00:00"])
        };
        assert_eq!(with("Y", "Y", ""), None, "a role");
        assert!(with("Y", "N", "").is_some());
        assert_eq!(
            with("N", "N", "").and_then(|stored| stored.credential()),
            Some(Credential::password(b""))
        );
        assert_eq!(with("N", "N", "rubbish").and_then(|stored| stored.credential()), None);
    }
}
