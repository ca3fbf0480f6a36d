//! Parts of a read on further links, beside the session's own: so a read of several shards takes as long as the slowest of
//! them, where there are links to be had.
//!
//! Each further link has a task of its own, which takes the next part that nobody has begun. The session does the same on its
//! own link, and waits for nobody who has none: a pool without free links makes reads slower, and never stops them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::metrics::label::ClosedReason;
use crate::net::{Poker, Timer};
use crate::pool::{Brought, Gathered, Lease, LinkError, ResultPart, State, StatelessPool, Want};
use crate::protocol::capability::StatusFlags;
use crate::protocol::reply::Renames;
use crate::protocol::response::ErrPacket;
use crate::protocol::statement::{insert_types, set_statement_id};
use crate::router::sharding::{Flow, MergeError, Merger};

use super::super::context::{Context, Phase};
use super::super::driver::Session;
use super::super::failure::{End, Refusal, Stop};
use super::several::{Execute, Leg, Say};

/// A read of several shards while it runs: what is still to be read, and what has come.
pub(super) struct Gathering {
    legs: RefCell<VecDeque<Leg>>,
    /// Until the result is made.
    merger: RefCell<Option<Merger>>,
    /// The rows that there are do: nothing more is read.
    enough: Cell<bool>,
    /// Parts that tasks have begun and not ended.
    running: Cell<usize>,
    warnings: Cell<u16>,
    /// Why the read fails; the first reason counts.
    failure: RefCell<Option<Refusal>>,
    /// The session waits for nothing more.
    over: Cell<bool>,
    /// The tasks, and the session.
    tasks: RefCell<Vec<Poker>>,
    session: Poker,
    limit: Duration,
    /// When its time has passed; `None` is without limit.
    until: Option<Instant>,
}

/// What a task needs.
struct Errand {
    ctx: Rc<Context>,
    pool: Rc<StatelessPool>,
    want: Want,
    state: State,
    attributes: bool,
    renames: Renames,
    mariadb: bool,
}

impl Gathering {
    pub fn new(legs: Vec<Leg>, merger: Merger, timer: &Timer, limit: Duration) -> Rc<Self> {
        Rc::new(Self {
            legs: RefCell::new(legs.into()),
            merger: RefCell::new(Some(merger)),
            enough: Cell::new(false),
            running: Cell::new(0),
            warnings: Cell::new(0),
            failure: RefCell::default(),
            over: Cell::new(false),
            tasks: RefCell::default(),
            session: timer.poker(),
            limit,
            until: (!limit.is_zero()).then(|| timer.now() + limit),
        })
    }

    /// The next part that nobody has begun.
    pub fn next(&self) -> Option<Leg> {
        if self.enough.get() || self.over.get() || self.has_failed() {
            return None;
        }
        self.legs.borrow_mut().pop_front()
    }

    pub fn columns(&self, shard: u32, columns: &[Vec<u8>]) -> Result<(), MergeError> {
        self.merger.borrow_mut().as_mut().map_or(Ok(()), |merger| merger.columns(shard as usize, columns))
    }

    pub fn row(&self, shard: u32, row: &[u8]) -> Result<(), MergeError> {
        if let Some(merger) = self.merger.borrow_mut().as_mut()
            && merger.row(shard as usize, row)? == Flow::Enough
        {
            self.enough.set(true);
        }
        Ok(())
    }

    /// Whether the rows that there are do.
    pub fn has_enough(&self) -> bool {
        self.enough.get()
    }

    pub fn fail(&self, refusal: Refusal) {
        self.failure.borrow_mut().get_or_insert(refusal);
    }

    pub fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    pub fn failure(&self) -> Option<Refusal> {
        self.failure.borrow_mut().take()
    }

    /// The warnings of parts that ran beside the session's own link.
    pub fn warnings(&self) -> u16 {
        self.warnings.get()
    }

    /// The merger, once nobody gives it any more rows.
    pub fn take_merger(&self) -> Option<Merger> {
        self.merger.borrow_mut().take()
    }

    /// Nothing more is waited for.
    fn end(&self) {
        self.over.set(true);
        self.tasks.borrow_mut().drain(..).for_each(|task| task.poke());
    }

    fn begin_leg(&self) -> Option<Leg> {
        let leg = self.next()?;
        self.running.set(self.running.get() + 1);
        Some(leg)
    }

    fn end_leg(&self) {
        self.running.set(self.running.get() - 1);
        self.session.poke();
    }

    /// How long a part may still take; zero is without limit.
    fn left(&self, timer: &Timer) -> Duration {
        /// Zero would be no limit.
        const LEAST: Duration = Duration::from_millis(1);
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(timer.now()).max(LEAST))
    }

    /// Waits for a task's future, unless the session waits for nothing more.
    async fn unless_over<F: Future>(&self, timer: &Timer, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let watched = std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.over.get() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        timer.within(limit, watched).await.ok().flatten()
    }
}

/// However the session goes on, its tasks end.
pub(super) struct Ends(pub Rc<Gathering>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Session {
    /// Starts the tasks of a read, one for each part but the first, as far as links may be used for one read.
    pub(super) fn gather_beside(&self, pool: &Rc<StatelessPool>, gathering: &Rc<Gathering>, tasks: usize) {
        for _ in 0..tasks {
            let errand = Errand {
                ctx: self.ctx.clone(),
                pool: pool.clone(),
                want: self.want(pool.member),
                state: self.state.clone(),
                attributes: self.has_attributes(),
                renames: self.renames.clone(),
                mariadb: self.is_on_mariadb(),
            };
            self.ctx.core.spawn(errand.run(gathering.clone()));
        }
    }

    /// Waits for the parts that tasks have begun.
    pub(super) async fn await_tasks(&self, gathering: &Gathering) -> Result<(), Stop> {
        self.entry.wait();
        let done = std::future::poll_fn(|cx| {
            if gathering.running.get() == 0 || gathering.has_failed() || self.entry.is_interrupted() {
                Poll::Ready(Ok(()))
            } else if self.client_is_gone(cx) {
                Poll::Ready(Err(End::Quit))
            } else {
                Poll::Pending
            }
        });
        let waited = self.wait(Duration::ZERO, Phase::Ending, done).await;
        if !self.entry.go_on() {
            // The link of the session has nothing to do with it.
            gathering.fail(Refusal::interrupted());
        }
        match waited {
            Ok(done) => done.map_err(Stop::from),
            Err(_) => Err(self.ended().into()),
        }
    }
}

impl Errand {
    async fn run(self, gathering: Rc<Gathering>) {
        let timer = Timer::new(&self.ctx.core.timers);
        gathering.tasks.borrow_mut().push(timer.poker());
        let queue = Timer::new(&self.ctx.core.timers);
        let checkout = self.pool.checkout(&self.want, &queue);
        // Without a link the session does it all: why there is none is the pool's affair.
        let Some(Ok(mut lease)) = gathering.unless_over(&timer, Duration::ZERO, checkout).await else {
            return;
        };
        let states = self.pool.states.clone();
        let bring = lease.bring(self.want.schema.as_ref(), &self.state, &states);
        match gathering.unless_over(&timer, gathering.limit, bring).await {
            Some(Ok(Brought::Already | Brought::Done)) => {}
            _ => return lease.close(ClosedReason::Dirty),
        }
        while let Some(leg) = gathering.begin_leg() {
            let asked = self.ask(&mut lease, leg, &gathering);
            let asked = gathering.unless_over(&timer, gathering.left(&timer), asked).await;
            let is_whole = match asked {
                Some(Ok(Asked::Done)) => true,
                Some(Ok(Asked::Failed(err))) => {
                    let message = self.renames.message(&err.message).unwrap_or(err.message);
                    gathering.fail(Refusal::of_server(ErrPacket { message, ..err }));
                    true
                }
                Some(Err(error)) => {
                    gathering.fail(error.into());
                    false
                }
                None => {
                    self.end_on_server(&lease);
                    if !gathering.over.get() {
                        gathering.fail(Refusal::out_of_time(gathering.limit, self.mariadb));
                    }
                    false
                }
            };
            gathering.end_leg();
            if !is_whole {
                return lease.close(ClosedReason::Dirty);
            }
        }
        match lease.status.contains(StatusFlags::IN_TRANS) {
            // Nobody is to find it, however it came about.
            true => lease.close(ClosedReason::Dirty),
            false => lease.give_back(),
        }
    }

    /// Says a part, and gives the merger what comes.
    async fn ask(&self, lease: &mut Lease, leg: Leg, gathering: &Gathering) -> Result<Asked, LinkError> {
        let shard = leg.shard;
        let payload = match leg.say {
            Say::Text(command) => {
                command.get(crate::protocol::packet::HEADER_LEN..).unwrap_or_default().to_vec()
            }
            Say::Execute(execute) => match self.execution(lease, &execute).await? {
                Ok(payload) => payload,
                Err(err) => return Ok(Asked::Failed(err)),
            },
        };
        let mut columns = Vec::new();
        let taken = lease.gather(&payload, |part| {
            let taken = match part {
                ResultPart::Column(column) => {
                    columns.push(self.renames.column(&column).ok().flatten().unwrap_or(column));
                    Ok(())
                }
                ResultPart::Columns => gathering.columns(shard, &columns),
                ResultPart::Row(row) => gathering.row(shard, &row),
            };
            if let Err(error) = taken {
                gathering.fail(Refusal::merge(error));
            }
            !gathering.has_failed() && !gathering.enough.get()
        });
        match taken.await? {
            Gathered::Done { warnings } => {
                gathering.warnings.set(gathering.warnings.get().saturating_add(warnings));
                Ok(Asked::Done)
            }
            Gathered::Failed(err) => Ok(Asked::Failed(err)),
        }
    }

    /// An EXECUTE as the link takes it, which may have to prepare the statement first.
    async fn execution(
        &self,
        lease: &mut Lease,
        execute: &Execute,
    ) -> Result<Result<Vec<u8>, ErrPacket>, LinkError> {
        let key = execute.text.key;
        // A MySQL keeps the types of the first EXECUTE, and one that had a cursor gives no rows without.
        let fits = lease.statement(key).is_some_and(|on_link| {
            !on_link.had_cursor && (on_link.settled.is_empty() || on_link.settled[..] == execute.types[..])
        });
        if !fits {
            lease.remove_statement(key);
            if let Some(err) = lease.prepare(key, &execute.text.text).await? {
                return Ok(Err(err));
            }
        }
        let mut payload = execute.payload.to_vec();
        if !execute.header.new_params_bound
            && let Ok(typed) = insert_types(&payload, execute.params, &execute.types, self.attributes)
        {
            payload = typed;
        }
        if let Some(on_link) = lease.statement(key) {
            on_link.types = execute.types.to_vec();
            if on_link.settled.is_empty() {
                on_link.settled = execute.types.to_vec();
            }
            set_statement_id(&mut payload, on_link.id)?;
        }
        Ok(Ok(payload))
    }

    /// The server need not go on with what nobody waits for.
    fn end_on_server(&self, lease: &Lease) {
        let (pool, identity, id) = (self.pool.clone(), self.want.identity.clone(), lease.connection_id);
        self.ctx.core.spawn(async move {
            // The link is closed in any case: whoever notices that first ends it.
            let _ = pool.kill(identity, &format!("KILL QUERY {id}")).await;
        });
    }
}

/// How a part ended.
enum Asked {
    Done,
    Failed(ErrPacket),
}
