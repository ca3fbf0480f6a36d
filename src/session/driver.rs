//! The life of a session: log in, take commands, say goodbye.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tracing::Instrument;

use crate::circuit::Permit;
use crate::metrics::label::Direction;
use crate::net::{Buf, Exchange, ExchangeError, Payload, Socket, Timer};
use crate::pool::{Bound, Era, Identity, ServerProfile, State};
use crate::protocol::auth::Salt;
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::reply::Renames;
use crate::protocol::tracked::Tracked;
use crate::router::sharding::ShardSet;

use super::before::Before;
use super::context::{Cluster, Context, Phase};
use super::failure::{End, Refusal, Stop};
use super::holds::Holds;
use super::input::{Input, Oversized, Taken};
use super::login::{Account, Ticket, Transport, log_in};
use super::moves::TextPrepared;
use super::registry::Entry;
use super::retry::Attempts;
use super::route::{Route, Wish};
use super::servers::{Global, Opening, Seat};
use super::statements::Statements;
use super::unread::Unread;
use super::written::Written;

/// Time in which a core surely goes through its loop.
const A_TURN: Duration = Duration::from_millis(1);

/// One client that is logged in.
pub(super) struct Session {
    pub ctx: Rc<Context>,
    pub socket: Socket,
    /// How the client has come.
    pub transport: Transport,
    pub timer: Timer,
    pub input: Input,
    pub id: u32,
    /// What others know of the session.
    pub entry: Rc<Entry>,
    pub capabilities: Capabilities,
    pub account: Account,
    /// That of the greeting. MariaDB's library answers with it whatever it is asked with later.
    pub salt: Salt,
    /// Whether it can be asked for its password at all: it has named a plugin.
    pub knows_plugins: bool,
    /// How often the client wanted to be somebody else in vain.
    pub failed_changes: u8,
    pub identity: Identity,
    pub schema: Option<Rc<[u8]>>,
    /// When it logged in, or was reset.
    pub era: Era,
    /// As of the last OK packet that the client got.
    pub status: StatusFlags,
    pub statements: Statements,
    /// The cluster whose servers the command that runs is for: the account's, or one that has some of its shards.
    pub at: usize,
    /// What the session has at other clusters.
    pub seats: Vec<Seat>,
    /// How the transaction has begun that may be for another cluster.
    pub opening: Opening,
    /// The transaction, where it is on several servers.
    pub global: Option<Global>,
    /// It goes on at a further server with the next link.
    pub begins_branch: bool,
    /// Its own link is as it was left for another cluster.
    pub comes_back: bool,
    /// The link that is the session's own, while it holds something there.
    pub bound: Option<Bound>,
    /// What limits tell the statement by that runs, where they do.
    pub digest: Option<u64>,
    /// Which shard it is for, of those that limits tell apart.
    pub shard: u32,
    /// Those behind it, where it is for several.
    pub further_shards: ShardSet,
    /// What the shard's tables are called where the client reads of them.
    pub renames: Renames,
    /// Which server the command that runs is for, in a cluster with several.
    pub route: Route,
    /// What `@athena_target` says.
    pub wish: Option<Wish>,
    /// What its reads are to find on replicas.
    pub written: Written,
    /// Its own link is to a replica.
    pub on_replica: bool,
    /// As of which change of the primary it has its own link.
    pub link_epoch: u64,
    /// The command that runs, to be said again.
    pub attempts: Attempts,
    /// It goes to the primary since a replica did not have what it needs.
    pub goes_to_primary_now: bool,
    /// The statement that runs can't end a transaction but by a rollback.
    pub leaves_transaction: bool,
    /// A read-only transaction goes on at the primary, for a statement about which only that can say whether it may be in one.
    pub takes_transaction_along: bool,
    /// A transaction was lost while no statement ran, and the client does not know.
    pub transaction_is_lost: bool,
    /// The permit of a transaction, which lasts as long as that does.
    pub permit: Option<Permit>,
    pub holds: Holds,
    /// What it has set.
    pub state: State,
    /// The statements that it has prepared as text, on its own link.
    pub text_prepared: HashMap<Vec<u8>, Rc<TextPrepared>>,
    /// What it has set and done that only its link knows.
    pub unread: Unread,
    /// What it may ask about its statement before.
    pub before: Before,
    /// The next statement is to find no warnings.
    pub clears_warnings: bool,
    /// The last statement on its own link was the session's.
    pub is_last: bool,
    /// The server has closed the link that the session's state was on: the session ends with its reply.
    pub link_ended: bool,
    /// What LAST_INSERT_ID() is, unless that is unread.
    pub last_insert_id: u64,
    /// What marks this session's warnings on links; another one after a reset.
    pub mark: u32,
    /// How many warnings the statement before had, an error among them.
    pub warnings: u16,
    /// The changes that the client has asked to be told of.
    pub tracked: Tracked,
}

/// What a client sent.
pub(super) enum Incoming {
    Command(Payload),
    Oversized(Box<Oversized>),
}

/// Serves one client until it is gone, and its ticket with it.
///
/// It is in the registry before its task runs, so that a core which waits for its sessions waits for this one, too.
pub(super) fn serve(
    ctx: Rc<Context>,
    socket: Socket,
    peer: Option<SocketAddr>,
    ticket: Rc<Ticket>,
) -> impl Future<Output = ()> {
    let timer = Timer::new(&ctx.core.timers);
    let key = ctx.registry.enter(timer.poker());
    let id = ctx.next_connection_id();
    let leaves = Leaves { ctx: ctx.clone(), key, id };
    async move {
        let _leaves = leaves;
        // Logging in needs room that a session does not.
        let Some(mut session) = Box::pin(log_in(ctx, socket, timer, peer, id, ticket.clone())).await else {
            return;
        };
        let span = tracing::debug_span!(target: "athena::session", "session", id, user = %session.account.name, transport = ?session.transport);
        session.run().instrument(span).await;
    }
}

/// Takes the session out of the registry, however it ends.
struct Leaves {
    ctx: Rc<Context>,
    key: usize,
    id: u32,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.ctx.registry.leave(self.key);
        self.ctx.registry.dismiss(self.id);
    }
}

impl Session {
    /// Where the session is.
    pub fn cluster(&self) -> &Cluster {
        &self.ctx.clusters[self.at]
    }

    /// What servers say of themselves: those where the session is, or others before these have said anything.
    pub fn profile(&self) -> Option<Rc<ServerProfile>> {
        self.cluster().profile().or_else(|| self.home().profile())
    }

    /// By reference: a future keeps a place for what is moved into it, and one more where it is moved on.
    async fn run(&mut self) {
        let end = self.commands().await;
        tracing::debug!(target: "athena::session", id = self.id, %end, "session ended");
        self.part_with_link();
    }

    async fn commands(&mut self) -> End {
        let mut reply = None;
        loop {
            let command = match self.next_command(reply.take()).await {
                Ok(command) => command,
                Err(end) => return end,
            };
            match self.dispatch(command).await {
                Ok(answer) => reply = answer,
                Err(end) => return end,
            }
        }
    }

    /// Sends `reply` and waits for the next command; with both queued together, that is one system call.
    async fn next_command(&mut self, mut reply: Option<Payload>) -> Result<Incoming, End> {
        let server = &self.ctx.config.server;
        let (buffered_max, max) = (server.command_buffer_bytes, server.max_packet_bytes);
        loop {
            let taken = match self.input.take(buffered_max, max) {
                Ok(taken) => taken,
                Err(error) => return Err(self.tell(error.into()).await),
            };
            let incoming = match taken {
                Taken::Command(command) => Some(Incoming::Command(command)),
                Taken::Oversized(oversized) => Some(Incoming::Oversized(oversized)),
                Taken::Nothing => None,
            };
            if let Some(incoming) = incoming {
                if let Some(reply) = reply {
                    self.send(reply).await?;
                }
                return Ok(incoming);
            }
            self.listen(reply.take()).await?;
        }
    }

    /// Receives once, after sending `reply`.
    async fn listen(&mut self, reply: Option<Payload>) -> Result<(), End> {
        // A client in mid-command or with a transaction is at work; others are at rest, and a drain ends them.
        let at_rest = self.input.is_empty() && !self.holds.has_work();
        let until = if at_rest { Phase::Draining } else { Phase::Ending };
        let unread = self.can_read_out();
        let got = match reply {
            Some(reply) => {
                self.count(Direction::ClientOut, reply.len());
                let mut exchange = self.socket.exchange(reply, &self.socket);
                let at_once =
                    if unread { Box::pin(self.before_read_out(&mut exchange, until)).await? } else { None };
                match at_once {
                    Some(got) => got.map_err(Waited::Failed),
                    None => self.exchange(&mut exchange, self.idle_limit().0, until).await,
                }
            }
            None => {
                let mut receive = self.socket.receive();
                let at_once =
                    if unread { Box::pin(self.before_read_out(&mut receive, until)).await? } else { None };
                let received = std::future::poll_fn(|cx| match Pin::new(&mut receive).poll(cx) {
                    Poll::Ready(got) => {
                        Poll::Ready(got.map_err(|error| Waited::Failed(ExchangeError::Receive(error))))
                    }
                    Poll::Pending if self.state_is_lost(cx) => Poll::Ready(Err(Waited::Ended)),
                    Poll::Pending => Poll::Pending,
                });
                match at_once {
                    Some(got) => got.map_err(|error| Waited::Failed(ExchangeError::Receive(error))),
                    None => self.wait(self.idle_limit().0, until, received).await.and_then(|got| got),
                }
            }
        };
        match got {
            Ok(Some(chunk)) => {
                self.count(Direction::ClientIn, chunk.len());
                self.input.push(chunk);
                Ok(())
            }
            Ok(None) => Err(End::Quit),
            Err(Waited::Failed(error)) => Err(End::Lost(error.into())),
            Err(Waited::Unread) => Err(self.unread()),
            Err(Waited::Elapsed) => Err(self.idle_for_too_long().await),
            Err(Waited::Ended) if !self.entry.is_killed() && self.has_lost_link() => {
                if self.may_start_over() {
                    self.lose_transaction();
                    return Ok(());
                }
                Err(self.unlinked())
            }
            Err(Waited::Ended) => {
                if self.entry.is_killed() {
                    // What it holds is free at once, whether or not the client takes the goodbye.
                    self.part_with_link();
                }
                let mut refusal = self.ended();
                refusal.seq = refusal.seq.map(|_| 0);
                Err(self.tell(refusal).await)
            }
        }
    }

    /// How long the client may send nothing, and whether that is for what it keeps others from.
    fn idle_limit(&self) -> (Duration, bool) {
        let server = &self.ctx.config.server;
        let (idle, holder) = (server.idle_timeout, server.idle_transaction_timeout);
        match holder.filter(|limit| *limit < idle && self.holds.keeps_others_waiting()) {
            Some(limit) => (limit, true),
            None => (idle, false),
        }
    }

    async fn idle_for_too_long(&mut self) -> End {
        let (limit, holder) = self.idle_limit();
        if !holder {
            return self.tell(Refusal::idle(limit)).await;
        }
        // What it holds is free at once, whether or not the client takes the goodbye.
        self.part_with_link();
        self.tell(Refusal::idle_transaction(limit)).await
    }

    /// A link that is kept only for what it can be asked is so for a moment: `None` if nothing came in that time, and it
    /// was read out.
    async fn before_read_out<F: Future + Unpin>(
        &mut self,
        next: &mut F,
        until: Phase,
    ) -> Result<Option<F::Output>, End> {
        if let Some(got) = self.wait_a_moment(next, until).await {
            return Ok(Some(got));
        }
        match self.read_out().await {
            Ok(()) => Ok(None),
            Err(Stop::End(end)) => Err(end),
            Err(Stop::Refuse(_)) => Err(self.unlinked()),
        }
    }

    /// Waits for an exchange that sends to the client. What is sent has `write_timeout`, what is received `limit`.
    pub async fn exchange(
        &self,
        exchange: &mut Exchange,
        limit: Duration,
        until: Phase,
    ) -> Result<Option<Buf>, Waited> {
        let taken_by = self.timer.now() + self.ctx.config.server.write_timeout;
        let mut rest = limit;
        loop {
            let to_take = taken_by.saturating_duration_since(self.timer.now());
            let first = if limit.is_zero() { to_take } else { rest.min(to_take) };
            let sent = exchange.is_sent();
            match self.part_of_exchange(exchange, if sent { rest } else { first }, until).await {
                Err(Waited::Elapsed) if sent => return Err(Waited::Elapsed),
                Err(Waited::Elapsed) if exchange.is_sent() => {
                    // What is left of the limit is for receiving.
                    rest = rest.saturating_sub(first);
                    if rest.is_zero() && !limit.is_zero() {
                        return Err(Waited::Elapsed);
                    }
                }
                Err(Waited::Elapsed) if self.timer.now() >= taken_by => return Err(Waited::Unread),
                // The limit is for a client that has got its reply.
                Err(Waited::Elapsed) => rest = limit,
                other => return other,
            }
        }
    }

    /// Waits for an exchange, and goes on with it where the wait ended before all of it was sent.
    pub async fn part_of_exchange(
        &self,
        exchange: &mut Exchange,
        limit: Duration,
        until: Phase,
    ) -> Result<Option<Buf>, Waited> {
        match self.wait(limit, until, self.linked(exchange)).await {
            Err(Waited::Ended) if !exchange.is_sent() && self.entry.is_killed() => Err(Waited::Unread),
            Err(Waited::Ended) if !exchange.is_sent() => self.finish_sending(exchange).await,
            Err(waited) => Err(waited),
            Ok(got) => got,
        }
    }

    /// An exchange that ends once all is sent and the server has closed the link with the session's state.
    fn linked(&self, exchange: &mut Exchange) -> impl Future<Output = Result<Option<Buf>, Waited>> {
        std::future::poll_fn(|cx| match Pin::new(&mut *exchange).poll(cx) {
            Poll::Ready(got) => Poll::Ready(got.map_err(Waited::Failed)),
            Poll::Pending if exchange.is_sent() && self.state_is_lost(cx) => Poll::Ready(Err(Waited::Ended)),
            Poll::Pending => Poll::Pending,
        })
    }

    /// Whether the server has closed the link that the session's state is on, while nothing runs there.
    fn state_is_lost(&self, cx: &mut std::task::Context<'_>) -> bool {
        let bound = self.bound.as_ref().filter(|_| self.holds.has_state());
        bound.is_some_and(|bound| bound.poll_closed(cx).is_ready() || self.is_on_former_primary())
    }

    fn has_lost_link(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| !bound.is_quiet() || self.is_on_former_primary())
    }

    /// The core drains while a reply is on its way: it still goes out whole, and nothing is received after it.
    async fn finish_sending(&self, exchange: &mut Exchange) -> Result<Option<Buf>, Waited> {
        let deadline = self.timer.now() + self.ctx.config.server.write_timeout;
        loop {
            let sent = std::future::poll_fn(|cx| match Pin::new(&mut *exchange).poll(cx) {
                Poll::Ready(got) => Poll::Ready(Some(got)),
                Poll::Pending if exchange.is_sent() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            // A send that succeeds wakes nobody, so it is looked at again.
            match self.wait(A_TURN, Phase::Ending, sent).await {
                Ok(Some(got)) => return got.map_err(Waited::Failed),
                Ok(None) => return Err(Waited::Ended),
                Err(Waited::Elapsed) if self.timer.now() < deadline => {}
                // A goodbye behind half a reply would be read as a part of it.
                Err(_) => return Err(Waited::Unread),
            }
        }
    }

    /// Waits for `future`, at most for `limit` (zero: without limit) and until the core is in phase `until` or the
    /// session is killed.
    pub async fn wait<F: Future>(
        &self,
        limit: Duration,
        until: Phase,
        future: F,
    ) -> Result<F::Output, Waited> {
        let mut future = pin!(future);
        let watched = std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.ctx.phase() >= until || self.entry.is_killed() => {
                Poll::Ready(Err(Waited::Ended))
            }
            Poll::Pending => Poll::Pending,
        });
        self.timer.within(limit, watched).await.unwrap_or(Err(Waited::Elapsed))
    }

    /// Sends to the client, and waits until all of it has left.
    pub async fn send(&self, payload: Payload) -> Result<(), End> {
        self.count(Direction::ClientOut, payload.len());
        let limit = self.ctx.config.server.write_timeout;
        match self.timer.within(limit, self.socket.send(payload)).await {
            Ok(sent) => sent.map_err(End::Lost),
            Err(_) => Err(self.unread()),
        }
    }

    /// Tells the client why its session ends, if it can be told.
    pub async fn tell(&self, refusal: Refusal) -> End {
        if let Some(kind) = refusal.kind {
            self.ctx.metrics.errors.of(kind).inc();
        }
        tracing::info!(target: "athena::session", id = self.id, user = %self.account.name, error = %refusal.error, "session ended by Athena");
        if let Some(seq) = refusal.seq {
            // That it can't be told is no news: it is about to be closed anyway.
            let _ = self.send(refusal.error.packet(seq).into()).await;
        }
        End::Told(refusal.error.to_string())
    }

    /// The connection closes without a word, as the server's own does.
    fn unlinked(&self) -> End {
        self.ctx.metrics.errors.of(crate::metrics::label::ErrorKind::LinkLost).inc();
        tracing::info!(target: "athena::session", id = self.id, user = %self.account.name, "the backend has closed the connection with the session's state");
        End::Told("its connection to the backend has ended".to_owned())
    }

    pub fn unread(&self) -> End {
        if self.entry.is_killed() {
            return End::Told("killed".to_owned());
        }
        self.ctx.metrics.errors.of(crate::metrics::label::ErrorKind::WriteTimeout).inc();
        tracing::info!(target: "athena::session", id = self.id, user = %self.account.name, "the client does not read ([server] write_timeout_ms)");
        End::Told("it does not read".to_owned())
    }

    pub fn count(&self, direction: Direction, bytes: usize) {
        self.ctx.metrics.bytes.of(direction).add(bytes as u64);
    }
}

/// Why a wait ended without what was waited for.
#[derive(Debug)]
pub(super) enum Waited {
    Elapsed,
    /// The client took nothing in time.
    Unread,
    /// The core ends, the session was killed (see [`Session::ended`]), or its state is lost.
    Ended,
    Failed(ExchangeError),
}
