//! The tables in which servers keep their accounts, read.

use serde_json::Value;

use crate::pool::{StatelessPool, Told};
use crate::protocol::auth::Credential;
use crate::protocol::resultset::TextValue;

use super::denied::Transport;
use super::directory::DirectoryError;

/// More accounts are not read: those that are left out might be the ones that fit.
const ACCOUNTS_MAX: usize = 65_536;

/// `ER_TABLEACCESS_DENIED_ERROR`, `ER_COLUMNACCESS_DENIED_ERROR`.
const NOT_GRANTED: [u16; 2] = [1142, 1143];
/// `ER_NO_SUCH_TABLE`.
const NOT_THERE: u16 = 1146;

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
    /// What a client has to show besides its password.
    demand: Demand,
    /// All that the server has of the account in this table: locks, expiry, global privileges and the rest.
    state: Vec<u8>,
}

/// `REQUIRE ...` of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    Nothing,
    /// SSL.
    Encryption,
    /// X509.
    Certificate,
    /// SUBJECT, ISSUER or CIPHER, which Athena can't check for the server.
    Particular,
}

impl Demand {
    /// By the name in MySQL's tables, or the number in MariaDB's.
    fn of(text: &[u8]) -> Self {
        match text {
            b"" | b"0" => Self::Nothing,
            b"ANY" | b"1" => Self::Encryption,
            b"X509" | b"2" => Self::Certificate,
            _ => Self::Particular,
        }
    }
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

    /// Whether a client that has come so may log in. The link is another connection, of which the server can't tell.
    pub fn lets_in(&self, transport: Transport) -> bool {
        match (self.demand, transport) {
            (Demand::Nothing, _) | (Demand::Encryption, Transport::Tls { .. }) => true,
            (Demand::Certificate, Transport::Tls { certificate }) => certificate,
            (Demand::Encryption | Demand::Certificate | Demand::Particular, _) => false,
        }
    }
}

/// Reads the accounts of the server.
pub(super) async fn read(pool: &std::rc::Rc<StatelessPool>) -> Result<Vec<Stored>, DirectoryError> {
    let mariadb = pool.profile().is_some_and(|profile| profile.is_mariadb());
    let limit = ACCOUNTS_MAX + 1;
    let of_mariadb = format!("SELECT User, Host, Priv FROM mysql.global_priv LIMIT {limit}");
    // Before 10.4 there is no such table, nor are there accounts that are locked. Later this is a view that tells less.
    let of_old_mariadb = format!(
        "SELECT u.User, u.Host, u.plugin, u.authentication_string, u.ssl_type, 'N', u.password_expired, u.is_role, u.* FROM \
         mysql.user u LIMIT {limit}"
    );
    let of_mysql = format!(
        "SELECT u.User, u.Host, u.plugin, u.authentication_string, u.ssl_type, u.account_locked, u.password_expired, 'N', u.* \
         FROM mysql.user u LIMIT {limit}"
    );
    let (first, second) = if mariadb { (of_mariadb, Some(of_old_mariadb)) } else { (of_mysql, None) };
    let mut told = pool.errand(None, &first).await?;
    if let (Told::Err(err), Some(second)) = (&told, second)
        && err.code == NOT_THERE
    {
        told = pool.errand(None, &second).await?;
    }
    match told {
        Told::Table(table) if table.rows.len() > ACCOUNTS_MAX => Err(DirectoryError::TooMany(ACCOUNTS_MAX)),
        Told::Table(table) => Ok(table.rows.iter().filter_map(|row| account(row)).collect()),
        Told::Ok => Err(DirectoryError::Unreadable),
        Told::Err(err) => {
            if NOT_GRANTED.contains(&err.code) {
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
        return of_json(user, host, &json, text(2));
    }
    let (locked, expired, role) = (text(5) == b"Y", text(6) == b"Y", text(7) == b"Y");
    // MySQL's roles are accounts that nobody can use.
    if role || (locked && expired && text(3).is_empty()) {
        return None;
    }
    let all: Vec<&[u8]> = (0..row.len()).map(text).collect();
    let state = all.join(&b' ');
    let methods = vec![(text(2).to_vec(), text(3).to_vec())];
    Some(Stored { user, host, methods, demand: Demand::of(text(4)), state })
}

/// MariaDB's form: `{"access":0,"plugin":"...","authentication_string":"...","auth_or":[{},{...}],"account_locked":true}`.
/// An empty object among those of `auth_or` stands for the method outside.
fn of_json(user: Box<[u8]>, host: Box<str>, json: &Value, raw: &[u8]) -> Option<Stored> {
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
    let demand = json.get("ssl_type").map_or(Demand::Nothing, |kind| Demand::of(kind.to_string().as_bytes()));
    Some(Stored { user, host, methods, demand, state: raw.to_vec() })
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
        let rights = |access: u8| row(&["a", "%", &format!(r#"{{"access":{access}}}"#)]);
        assert_ne!(rights(0), rights(1));
    }

    #[test]
    fn what_an_account_requires_is_asked_of_the_client() {
        let secured = |certificate| Transport::Tls { certificate };
        let lets_in = |account: Option<Stored>| {
            let account = account.expect("an account");
            [Transport::Tcp, Transport::UnixSocket, secured(false), secured(true)]
                .map(|transport| account.lets_in(transport))
        };
        let of_mysql =
            |kind: &str| lets_in(row(&["a", "%", "caching_sha2_password", "", kind, "N", "N", "N"]));
        let of_mariadb =
            |kind: &str| lets_in(row(&["a", "%", &format!(r#"{{"access":0,"ssl_type":{kind}}}"#)]));
        for (kind, number, expected) in [
            ("", "0", [true, true, true, true]),
            ("ANY", "1", [false, false, true, true]),
            ("X509", "2", [false, false, false, true]),
            ("SPECIFIED", "3", [false; 4]),
        ] {
            assert_eq!(of_mysql(kind), expected, "{kind}");
            assert_eq!(of_mariadb(number), expected, "{number}");
        }
    }

    #[test]
    fn accounts_of_mysql() {
        let with = |locked: &str, expired: &str, text: &str| {
            row(&["a", "%", "caching_sha2_password", text, "", locked, expired, "N", "2026-01-01 00:00:00"])
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
