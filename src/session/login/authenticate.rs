//! Who is the client? The same at its login and when it changes its user.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::circuit::{Key, Permit, UserClasses};
use crate::config::AuthPlugin;
use crate::metrics::label::RefusedReason;
use crate::net::Timer;
use crate::pool::BackendAccount;
use crate::protocol::auth::ed25519::NONCE_LEN;
use crate::protocol::auth::{Check, Credential, Evidence, Plugin, Salt, Secret, ServerAuth, Verdict};
use crate::protocol::error::ErrorCode;

use super::super::context::Context;
use super::accounts::AccountEntry;
use super::denied::{Denied, Transport};
use super::directory::{Directory, DirectoryError, Known, ServerAccount};
use super::shared::Seat;

/// A way to speak with the client, one packet at a time.
pub(super) trait Line {
    /// Sends a packet and waits for the one that answers it.
    async fn ask(&mut self, payload: &[u8]) -> Result<Vec<u8>, Denied>;

    async fn say(&mut self, payload: &[u8]) -> Result<(), Denied>;
}

/// Who a client says it is, and by what it says so.
pub(super) struct Claim<'a> {
    pub user: &'a [u8],
    /// The plugin that it names; `None` of a client that knows none.
    pub plugin: Option<&'a [u8]>,
    pub response: &'a [u8],
    /// What the response is made with.
    pub salt: &'a Salt,
    /// The response does not count: it is asked for again.
    pub anew: bool,
    /// Whether the client has shown any password.
    pub has_password: Cell<bool>,
    pub peer: Option<SocketAddr>,
    pub transport: Transport,
}

impl Claim<'_> {
    /// Whether the password itself may cross the connection. MariaDB's clients send it by loopback addresses, too.
    pub fn may_send_password(&self) -> bool {
        let loopback = self.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        loopback || self.transport.is_secure()
    }
}

/// Who is logged in.
pub(in crate::session) struct Account {
    pub name: Rc<str>,
    /// Its number in the limiter's keys.
    pub index: u32,
    /// The limits of its statements.
    pub classes: UserClasses,
    pub cluster: usize,
    /// Whether its reads go to replicas; `None` is as for all others.
    pub read_write_split: Option<bool>,
    /// Its place among the clients of the account, where those are limited.
    pub(super) _seat: Option<Seat>,
}

/// Somebody who is who they say.
pub(super) struct Admitted {
    pub account: Account,
    /// The account of the links.
    pub backend: Rc<BackendAccount>,
    pub default_database: Option<Rc<[u8]>>,
    /// An account of the server that no link has logged in with yet: the server has the last word.
    pub unproved: Option<Rc<ServerAccount>>,
}

/// The plugin of the greeting.
pub(super) fn offered_plugin(ctx: &Context) -> Plugin {
    match ctx.config.server.auth_plugin {
        AuthPlugin::Native => Plugin::Native,
        AuthPlugin::CachingSha2 => Plugin::CachingSha2,
        AuthPlugin::Ed25519 => Plugin::Ed25519,
    }
}

/// What a client signs, where the offer is that.
fn nonce(offered: Plugin) -> Result<Option<[u8; NONCE_LEN]>, Denied> {
    if offered != Plugin::Ed25519 {
        return Ok(None);
    }
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Denied::handshake("no random numbers"))?;
    Ok(Some(nonce))
}

/// Asks the client for the proof of its password. Whatever is wrong (no such user, another password, another address, no
/// TLS) looks and lasts the same.
pub(super) async fn authenticate(
    ctx: &Rc<Context>,
    line: &mut impl Line,
    claim: &Claim<'_>,
) -> Result<Admitted, Denied> {
    if let Some(directory) = &ctx.directory {
        return by_server(ctx, directory, line, claim).await;
    }
    let known = ctx.accounts.get(claim.user);
    let address = claim.peer.map(|peer| peer.ip());
    let entry = known.clone().filter(|entry| entry.lets_in(address, claim.transport));
    let decoy = match &known {
        Some(known) => known.credential.of_nobody(Salt::default()),
        None => ctx.accounts.decoy(claim.user, &ctx.shared),
    };
    let digest = entry.as_ref().and_then(|entry| entry.digest.borrow().clone());
    // Where the password itself is known, its scramble can always be checked: nobody has to send it.
    let auth = ServerAuth::new(
        offered_plugin(ctx),
        claim.salt,
        entry.as_ref().map(|entry| &entry.credential),
        &ctx.rsa,
        true,
        claim.may_send_password(),
    );
    let mut auth = auth.pretending(decoy).knowing(digest).with_nonce(nonce(offered_plugin(ctx))?);
    let accepted = converse(ctx, line, &mut auth, claim).await?;
    match entry.filter(|_| accepted) {
        Some(entry) => admit(ctx, &entry, auth, claim.user),
        None => Err(denied(ctx, claim)),
    }
}

/// Speaks with the client until there is a verdict.
async fn converse(
    ctx: &Context,
    line: &mut impl Line,
    auth: &mut ServerAuth<'_>,
    claim: &Claim<'_>,
) -> Result<bool, Denied> {
    // An empty one is nothing, or the end of a text.
    let shows = |bytes: &[u8]| !matches!(bytes, [] | [0]);
    claim.has_password.set(shows(claim.response));
    let mut turn = None;
    let mut verdict = match claim.anew {
        true => auth.switch(),
        false => auth.begin(claim.plugin, claim.response),
    };
    loop {
        match verdict {
            Verdict::Send(payload) => {
                let answer = zeroize::Zeroizing::new(line.ask(&payload).await?);
                claim.has_password.set(shows(&answer));
                verdict = auth.step(&answer);
            }
            Verdict::SendThenAccept(payload) => {
                line.say(&payload).await?;
                return Ok(true);
            }
            Verdict::Accept => return Ok(true),
            Verdict::Deny => return Ok(false),
            Verdict::Work => {
                if turn.is_none() {
                    turn = Some(turn_to_hash(ctx).await?);
                }
                pause(ctx).await;
                verdict = auth.work();
            }
        }
    }
}

/// Between two slices of a long computation the core's other work goes on.
async fn pause(ctx: &Context) {
    Timer::new(&ctx.core.timers).sleep(PAUSE).await;
}

const PAUSE: Duration = Duration::from_millis(1);

/// See [`Context::hashing`].
async fn turn_to_hash(ctx: &Context) -> Result<Permit, Denied> {
    let too_many =
        |_| Denied::new(RefusedReason::Unavailable, ErrorCode::ServerIsntAvailable, "Too many logins wait");
    ctx.hashing.enter(Key::default()).await.map_err(too_many)
}

/// What a check comes to.
async fn finished(ctx: &Context, mut check: Check) -> Result<Option<Secret>, Denied> {
    let mut turn = None;
    loop {
        match check {
            Check::Done(secret) => return Ok(secret),
            Check::Slice(slice) => {
                if turn.is_none() {
                    turn = Some(turn_to_hash(ctx).await?);
                }
                pause(ctx).await;
                check = slice.go_on();
            }
        }
    }
}

/// The same by the accounts of the server. Nobody is refused by what was known before the login began.
async fn by_server(
    ctx: &Rc<Context>,
    directory: &Directory,
    line: &mut impl Line,
    claim: &Claim<'_>,
) -> Result<Admitted, Denied> {
    let timer = Timer::new(&ctx.core.timers);
    let began = timer.now();
    let address = claim.peer.map(|peer| peer.ip());
    let list = directory.lately(&timer).await.map_err(unreadable)?;
    let account = list.find(claim.user, address, claim.transport);
    let credential = account.as_ref().and_then(|account| credential_for(account, claim));
    let known = account.as_ref().and_then(|account| account.known(claim.user));
    let auth = ServerAuth::new(
        offered_plugin(ctx),
        claim.salt,
        credential,
        &ctx.rsa,
        true,
        claim.may_send_password(),
    );
    let mut auth = auth
        .pretending(list.decoy(claim.user, &ctx.shared))
        .knowing(known.as_ref().and_then(|known| known.digest.clone()));
    let accepted = converse(ctx, line, &mut auth, claim).await?;
    let (evidence, secret) = auth.outcome();
    if let (true, Some(account)) = (accepted, &account) {
        return match secret {
            Some(secret) => Ok(enter(ctx, account, claim.user, secret, &evidence)),
            None => known.map(|known| place(ctx, account, known)).ok_or_else(|| denied(ctx, claim)),
        };
    }
    let list = directory.since(began, &timer).await.map_err(unreadable)?;
    let now = list.find(claim.user, address, claim.transport);
    // To hash once more for those who are there, and not for others, would tell them apart.
    let now = now.filter(|now| !account.as_ref().is_some_and(|before| Rc::ptr_eq(before, now)));
    let secret = match now.as_ref().and_then(|account| credential_for(account, claim)) {
        Some(credential) => finished(ctx, credential.check(&evidence, claim.salt)).await?,
        None => None,
    };
    match now.zip(secret) {
        Some((account, secret)) => Ok(enter(ctx, &account, claim.user, secret, &evidence)),
        None => Err(denied(ctx, claim)),
    }
}

/// By what a claim to the account is checked. Passwords that only the server can check have to come in clear text, which
/// nobody on the way may read.
fn credential_for<'a>(account: &'a ServerAccount, claim: &Claim<'_>) -> Option<&'a Credential> {
    if account.is_by_server() && !claim.transport.is_secure() {
        let user = String::from_utf8_lossy(claim.user);
        tracing::warn!(target: "athena::login", ?user, "the plugin of this account asks for the password itself: its clients have to come by TLS or a Unix socket");
        return None;
    }
    account.credential.as_ref()
}

/// Keeps what the login has taught of the account.
fn enter(
    ctx: &Context,
    account: &Rc<ServerAccount>,
    user: &[u8],
    secret: Secret,
    evidence: &Evidence,
) -> Admitted {
    if account.is_by_server() {
        let backend = account.login(user, secret);
        return place(ctx, account, Known { backend, digest: None, proved: false });
    }
    let known = match account.known(user) {
        Some(known) if known.backend.secret == secret => {
            Known { digest: known.digest.or_else(|| evidence.digest()), ..known }
        }
        _ => Known { backend: account.login(user, secret), digest: evidence.digest(), proved: false },
    };
    account.learn(known.clone());
    place(ctx, account, known)
}

fn place(ctx: &Context, account: &Rc<ServerAccount>, known: Known) -> Admitted {
    let name = String::from_utf8_lossy(&known.backend.user);
    let index = ctx.shared.number_of_user(&account.stored.user);
    let classes = ctx.classes_of(0, &name);
    Admitted {
        account: Account {
            name: name.as_ref().into(),
            index,
            classes,
            cluster: 0,
            read_write_split: None,
            _seat: None,
        },
        unproved: Some(account.clone()).filter(|_| !known.proved),
        backend: known.backend,
        default_database: None,
    }
}

pub(super) fn unreadable(error: Rc<DirectoryError>) -> Denied {
    let message = format!("Athena can't read the accounts of the server ([auth] source): {error}");
    Denied::new(RefusedReason::Unavailable, ErrorCode::ServerIsntAvailable, message)
}

/// Gives an account of the configuration its place.
fn admit(
    ctx: &Rc<Context>,
    entry: &AccountEntry,
    auth: ServerAuth<'_>,
    user: &[u8],
) -> Result<Admitted, Denied> {
    let (_, secret) = auth.outcome();
    if matches!(entry.credential, Credential::Sha256(_))
        && let Some(digest) = secret.and_then(|secret| secret.digest())
    {
        entry.digest.replace(Some(digest));
    }
    let name = String::from_utf8_lossy(user);
    let seat = match entry.max_connections {
        None => None,
        Some(max) => Some(ctx.shared.seat(entry.index as usize, max).map_err(|now| {
            let message = format!(
                "User '{name}' has exceeded the 'max_user_connections' resource (current value: {now})"
            );
            Denied::new(RefusedReason::Limit, ErrorCode::UserLimitReached, message)
        })?),
    };
    Ok(Admitted {
        account: Account {
            name: name.as_ref().into(),
            index: entry.index,
            classes: ctx.classes_of(entry.cluster, &name),
            cluster: entry.cluster,
            read_write_split: entry.read_write_split,
            _seat: seat,
        },
        backend: entry.backend.clone(),
        default_database: entry.default_database.clone(),
        unproved: None,
    })
}

/// In the words of a server.
pub(super) fn denied(ctx: &Context, claim: &Claim<'_>) -> Denied {
    let name = String::from_utf8_lossy(claim.user);
    let profile = ctx.clusters.first().and_then(|cluster| cluster.profile());
    let by_name = profile.is_some_and(|profile| profile.resolves_names);
    let address = claim.peer.map(|peer| peer.ip().to_canonical());
    let host = match address.filter(|address| !(by_name && address.is_loopback())) {
        Some(address) => address.to_string(),
        None => "localhost".to_owned(),
    };
    let using = if claim.has_password.get() { "YES" } else { "NO" };
    let message = format!("Access denied for user '{name}'@'{host}' (using password: {using})");
    Denied::new(RefusedReason::AccessDenied, ErrorCode::AccessDenied, message)
}
