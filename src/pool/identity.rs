//! Which links a session may use.

use std::net::IpAddr;
use std::rc::Rc;

use crate::protocol::auth::Secret;
use crate::protocol::capability::Capabilities;

use super::connect::ServerProfile;
use super::era::{Era, LoginSpan};
use super::state::State;

/// An account of the server, with what proves the right to it.
#[derive(Debug, PartialEq, Eq)]
pub struct BackendAccount {
    pub user: Box<[u8]>,
    pub secret: Secret,
    /// Tells it from the same name and password of before: links that were opened then have the rights of then, or
    /// would not be opened any more.
    generation: u64,
}

impl BackendAccount {
    pub fn new(user: &[u8], secret: Secret) -> Rc<Self> {
        Self::of_generation(user, secret, 0)
    }

    /// An account that no link has logged in with yet, whatever links there are of its name.
    pub fn of_generation(user: &[u8], secret: Secret, generation: u64) -> Rc<Self> {
        Rc::new(Self { user: user.into(), secret, generation })
    }
}

/// What is settled when a link logs in and can't be changed by a statement afterwards. A session uses links of its
/// own identity only.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account of the server. Sessions that share one mostly share the value.
    pub account: Rc<BackendAccount>,
    /// The client's address, where links tell it to the server.
    pub origin: Option<IpAddr>,
    /// The collation of the handshake: it sets the character sets of the session.
    pub collation: u8,
    /// Those of [`Identity::FLAGS`] that the client asked for.
    pub flags: Capabilities,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        let same_account = || Rc::ptr_eq(&self.account, &other.account) || self.account == other.account;
        self.collation == other.collation
            && self.flags == other.flags
            && self.origin == other.origin
            && same_account()
    }
}

impl Eq for Identity {}

impl Identity {
    /// The capabilities by which a server treats statements or describes columns in another way. `MULTI_STATEMENTS` is among them: a client
    /// that did not ask for it must not get it, or an injected `;` becomes a statement.
    pub const FLAGS: Capabilities = Capabilities::FOUND_ROWS
        .union(Capabilities::NO_SCHEMA)
        .union(Capabilities::LOCAL_FILES)
        .union(Capabilities::IGNORE_SPACE)
        .union(Capabilities::INTERACTIVE)
        .union(Capabilities::MULTI_STATEMENTS)
        .union(Capabilities::MULTI_RESULTS)
        .union(Capabilities::PS_MULTI_RESULTS)
        .union(Capabilities::QUERY_ATTRIBUTES)
        .union(Capabilities::MARIADB_PROGRESS)
        .union(Capabilities::MARIADB_STMT_BULK_OPERATIONS)
        .union(Capabilities::MARIADB_EXTENDED_METADATA);

    /// Those without which a link would take a client's commands for something else.
    pub const FORMATS: Capabilities =
        Capabilities::QUERY_ATTRIBUTES.union(Capabilities::MARIADB_STMT_BULK_OPERATIONS);

    /// `utf8mb4_general_ci`, which every server has: for links that no client has asked for, and clients that name none.
    pub const DEFAULT_COLLATION: u8 = 45;

    /// That of most clients, for links that are opened before anybody asks.
    pub fn usual(account: Rc<BackendAccount>, collation: u8) -> Self {
        Self {
            account,
            origin: None,
            collation,
            flags: Capabilities::MULTI_RESULTS | Capabilities::PS_MULTI_RESULTS,
        }
    }

    /// What COM_RESET_CONNECTION makes of it: a MySQL goes over to its own character set, a MariaDB stays with the login's
    /// and forgets the variables that came with its flags.
    pub fn reset(&mut self, profile: &ServerProfile) {
        if profile.is_mariadb() {
            self.flags -= Capabilities::IGNORE_SPACE | Capabilities::INTERACTIVE;
        } else {
            self.collation = profile.collation;
        }
    }

    /// That of a client with these capabilities.
    pub fn of_client(account: Rc<BackendAccount>, collation: u8, capabilities: Capabilities) -> Self {
        Self { account, origin: None, collation, flags: capabilities & Self::FLAGS }
    }
}

impl Identity {
    /// The same for a client at this address, of which the server is told.
    pub fn from_origin(self, origin: Option<IpAddr>) -> Self {
        Self { origin, ..self }
    }
}

/// What a session wants of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub identity: Identity,
    /// The default schema; a link with another one is switched to it. A link that has had one can't be brought back to
    /// none, so a session without a schema needs a link that never had any.
    pub schema: Option<Rc<[u8]>>,
    /// When the session logged in: a link must not be of an earlier era, and should not be of a later one.
    pub era: Era,
    /// What the session has set; a link that carries something else is brought to it.
    pub state: State,
}

/// How well a link fits a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    No,
    /// It may have logged in after a change that the session, on a connection of its own, would not have noticed.
    Newer,
    /// With a change of schema or state.
    Switch,
    Exact,
}

impl Want {
    /// `carries` is the state of the link, where it is known.
    pub(super) fn fit(
        &self,
        identity: &Identity,
        schema: Option<&Rc<[u8]>>,
        login: LoginSpan,
        carries: Option<&State>,
    ) -> Fit {
        if self.identity != *identity || login.first.is_before(self.era) {
            return Fit::No;
        }
        match (&self.schema, schema) {
            (None, Some(_)) => Fit::No,
            _ if self.era.is_before(login.last) => Fit::Newer,
            _ if carries != Some(&self.state) => Fit::Switch,
            (Some(wanted), Some(has)) if wanted == has => Fit::Exact,
            (None, None) => Fit::Exact,
            (Some(_), _) => Fit::Switch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::{Changes, States};
    use super::*;

    #[test]
    fn a_link_with_a_schema_is_never_given_to_a_session_without() {
        let account = |user: &str, password: &str| {
            BackendAccount::new(user.as_bytes(), Secret::password(password.as_bytes()))
        };
        let flags = Capabilities::FOUND_ROWS | Capabilities::DEPRECATE_EOF;
        let identity = Identity::of_client(account("app", "pw"), 45, flags);
        assert_eq!(identity.flags, Capabilities::FOUND_ROWS);
        let (a, b): (Rc<[u8]>, Rc<[u8]>) = (b"a"[..].into(), b"b"[..].into());
        let (era, states) = (Era::FIRST, States::default());
        let state = states.empty();
        let login = LoginSpan { first: era, last: era };
        let want = |schema: Option<&Rc<[u8]>>| Want {
            identity: identity.clone(),
            schema: schema.cloned(),
            era,
            state: state.clone(),
        };
        let set = Changes { role: Some(Some(b"r"[..].into())), ..Changes::default() };
        let other = states.changed(&state, &set).unwrap();
        assert_eq!(want(None).fit(&identity, None, login, Some(&other)), Fit::Switch);
        assert_eq!(want(Some(&a)).fit(&identity, Some(&a), login, Some(&state)), Fit::Exact);
        assert_eq!(want(Some(&a)).fit(&identity, Some(&b), login, Some(&state)), Fit::Switch);
        assert_eq!(want(Some(&a)).fit(&identity, None, login, Some(&state)), Fit::Switch);
        assert_eq!(want(None).fit(&identity, None, login, Some(&state)), Fit::Exact);
        assert_eq!(want(None).fit(&identity, Some(&a), login, Some(&state)), Fit::No);
        let same = Identity { account: account("app", "pw"), ..identity.clone() };
        assert_eq!(want(Some(&a)).fit(&same, Some(&a), login, Some(&state)), Fit::Exact);
        let others = [
            Identity { origin: Some([10, 0, 0, 1].into()), ..identity.clone() },
            Identity { collation: 33, ..identity.clone() },
            Identity { account: account("other", "pw"), ..identity.clone() },
            Identity { account: account("app", "old"), ..identity.clone() },
        ];
        for other in others {
            assert_eq!(want(Some(&a)).fit(&other, Some(&a), login, Some(&state)), Fit::No);
        }
    }

    #[test]
    fn a_link_that_logged_in_before_a_change_is_not_for_sessions_after_it() {
        let eras = super::super::era::Eras::default();
        let account = BackendAccount::new(b"app", Secret::password(b"pw"));
        let (identity, schema): (_, Rc<[u8]>) = (Identity::usual(account, 45), b"a"[..].into());
        let before = eras.now();
        eras.begin();
        let after = eras.now();
        let fit_during = |session, login, has: Option<&Rc<[u8]>>, schema: Option<&Rc<[u8]>>| {
            let state = States::default().empty();
            let want = Want {
                identity: identity.clone(),
                schema: schema.cloned(),
                era: session,
                state: state.clone(),
            };
            want.fit(&identity, has, login, Some(&state))
        };
        let fit = |session, link, has, schema| {
            fit_during(session, LoginSpan { first: link, last: link }, has, schema)
        };
        assert_eq!(fit(after, before, Some(&schema), Some(&schema)), Fit::No);
        assert_eq!(fit(after, after, Some(&schema), Some(&schema)), Fit::Exact);
        assert_eq!(fit(before, after, Some(&schema), Some(&schema)), Fit::Newer);
        assert_eq!(fit(before, after, Some(&schema), None), Fit::No);
        // The change came while it logged in: it may be as before, or not.
        let meanwhile = LoginSpan { first: before, last: after };
        assert_eq!(fit_during(after, meanwhile, Some(&schema), Some(&schema)), Fit::No);
        assert_eq!(fit_during(before, meanwhile, Some(&schema), Some(&schema)), Fit::Newer);
    }
}
