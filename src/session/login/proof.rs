//! What only the server can tell of somebody whose password is right: whether the account may log in, and has the schema.

use std::rc::Rc;

use crate::metrics::label::RefusedReason;
use crate::net::Timer;
use crate::pool::{ConnectError, ErrandError, Identity, SmallReply, Want};
use crate::protocol::error::ErrorCode;

use super::super::context::Context;
use super::super::failure::Refusal;
use super::authenticate::unreadable;
use super::denied::{Denied, unavailable};
use super::directory::{DirectoryError, Known, ServerAccount};

/// Logs a link in with the account, if none has been yet. What the server refuses, it refuses in its own words: accounts
/// that are locked or expired, or not for the host that Athena runs on.
pub(super) async fn prove(
    ctx: &Rc<Context>,
    admitted: &Option<Rc<ServerAccount>>,
    cluster: usize,
    identity: &Identity,
    schema: Option<&Rc<[u8]>>,
) -> Result<(), Denied> {
    let Some(account) = admitted else { return check_schema(ctx, cluster, identity, schema).await };
    let timer = Timer::new(&ctx.core.timers);
    let pool = ctx.clusters[cluster].pool_for_login();
    let want =
        Want { identity: identity.clone(), schema: None, era: pool.eras.now(), state: pool.states.empty() };
    if account.is_by_server() {
        asked(ctx, &want).await?;
        return check_schema(ctx, cluster, identity, schema).await;
    }
    match pool.checkout(&want, &timer).await {
        Ok(lease) => lease.give_back(),
        Err(error) => {
            if error.is_of_account()
                && let Some(directory) = &ctx.directory
            {
                directory.forget(account);
            }
            return Err(Denied::unavailable(error.into()));
        }
    }
    if let Some(known) = account.known(&identity.account.user) {
        account.learn(Known { proved: true, ..known });
    }
    check_schema(ctx, cluster, identity, schema).await
}

/// Has the server judge the password, each time anew: it may be another one by now, and nobody would tell.
async fn asked(ctx: &Context, want: &Want) -> Result<(), Denied> {
    let Some(directory) = &ctx.directory else { return Err(Denied::silent()) };
    match directory.ask_server(want).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let user = String::from_utf8_lossy(&want.identity.account.user);
            tracing::warn!(target: "athena::login", ?user, "the server let this account in without asking for its password: Athena can't");
            let message = format!("Access denied for user '{user}': the server did not ask for the password");
            Err(Denied::new(RefusedReason::AccessDenied, ErrorCode::AccessDenied, message))
        }
        Err(DirectoryError::Errand(ErrandError::Connect(
            ConnectError::Refused(err) | ConnectError::AccountRefused(err),
        ))) => Err(Denied::by_server(Refusal::of_server(err))),
        Err(error) => Err(unreadable(error.into())),
    }
}

/// A schema that no link of the account has had yet has to be proved: a wrong one is an error of the login.
async fn check_schema(
    ctx: &Rc<Context>,
    cluster: usize,
    identity: &Identity,
    schema: Option<&Rc<[u8]>>,
) -> Result<(), Denied> {
    let account = &identity.account;
    let Some(schema) = schema.filter(|schema| !ctx.knows_schema(account, schema)) else { return Ok(()) };
    let pool = ctx.clusters[cluster].pool_for_login();
    let timer = Timer::new(&ctx.core.timers);
    let want = Want {
        identity: ctx.clusters[cluster].identity_on(pool.member, identity),
        schema: Some(schema.clone()),
        era: pool.eras.now(),
        state: pool.states.empty(),
    };
    let mut lease = pool.checkout(&want, &timer).await.map_err(unavailable)?;
    if lease.schema.as_ref() != Some(schema) {
        match lease.use_schema(schema).await {
            Ok(SmallReply::Err(err)) => {
                lease.give_back();
                return Err(Denied::by_server(Refusal::of_server(err)));
            }
            Ok(_) => {}
            Err(error) => return Err(Denied::unavailable(error.into())),
        }
    }
    lease.give_back();
    ctx.note_schema(account, schema, true);
    Ok(())
}
