//! Parts of a read on further links, beside the session's own: so a read of several shards takes as long as the slowest of
//! them, where there are links to be had.
//!
//! Each further link has a task of its own, which takes the next part that nobody has begun. The session does the same on its
//! own link, and waits for nobody who has none: a pool without free links makes reads slower, and never stops them.

use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::metrics::label::{ClosedReason, Direction};
use crate::net::{Payload, Timer};
use crate::pool::{Brought, Gathered, Lease, LinkError, State, StatelessPool, Want};
use crate::protocol::capability::StatusFlags;
use crate::protocol::packet::command_packet;
use crate::protocol::reply::Renames;
use crate::protocol::response::ErrPacket;
use crate::protocol::statement::{insert_types, set_statement_id};

use super::super::context::Context;
use super::super::driver::Session;
use super::super::failure::Refusal;
use super::gathering::{ABOUT_TO_END, Gathering, Reading};
use super::several::{Execute, Leg, Say};
use super::warnings::in_known_names;

/// What a task needs.
struct Errand {
    ctx: Rc<Context>,
    pool: Rc<StatelessPool>,
    /// Nobody else can do it.
    is_needed: bool,
    want: Want,
    state: State,
    attributes: bool,
    renames: Renames,
    mariadb: bool,
}

impl Session {
    /// Starts the tasks of a read, one for each part but the first, as far as links may be used for one read.
    pub(super) fn gather_beside(&self, pool: &Rc<StatelessPool>, gathering: &Rc<Gathering>, tasks: usize) {
        gathering.expect(tasks);
        let want = self.want(pool.member);
        self.start_tasks(pool, &want, gathering, tasks);
    }

    /// The same for the parts that another cluster has, which has to have links for them.
    pub(super) fn gather_elsewhere(&mut self, at: usize, gathering: &Rc<Gathering>, tasks: usize) {
        gathering.expect(tasks);
        let here = self.at;
        self.sit(at);
        let pool = self.pool_for_part();
        let want = self.want(pool.member);
        self.sit(here);
        self.start_tasks(&pool, &want, gathering, tasks);
    }

    fn start_tasks(&self, pool: &Rc<StatelessPool>, want: &Want, gathering: &Rc<Gathering>, tasks: usize) {
        for _ in 0..tasks {
            let errand = Errand {
                ctx: self.ctx.clone(),
                pool: pool.clone(),
                is_needed: pool.cluster != self.at,
                want: want.clone(),
                state: self.state.clone(),
                attributes: self.has_attributes(),
                renames: self.renames.clone(),
                mariadb: self.is_on_mariadb(),
            };
            self.ctx.core.spawn(errand.run(gathering.clone()));
        }
    }
}

/// Whoever waits in a task.
struct Watch<'a> {
    gathering: &'a Gathering,
    timer: Timer,
    /// For what is about to end.
    last: Timer,
}

impl Watch<'_> {
    /// Waits for a task's future, unless nobody waits for its part.
    async fn unless_over<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let mut until = None;
        let watched = std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.gathering.is_enough() => {
                let until = *until.get_or_insert(self.timer.now() + ABOUT_TO_END);
                self.last.poll_at(until, cx).map(|()| None)
            }
            Poll::Pending if self.gathering.is_over() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        self.timer.within(limit, watched).await.ok().flatten()
    }
}

impl Errand {
    async fn run(self, gathering: Rc<Gathering>) {
        let timers = &self.ctx.core.timers;
        let watch = Watch { gathering: &gathering, timer: Timer::new(timers), last: Timer::new(timers) };
        let opening = gathering.enter(watch.timer.poker());
        let queue = Timer::new(timers);
        let checkout = self.pool.checkout(&self.want, &queue);
        let mut lease = match watch.unless_over(Duration::ZERO, checkout).await {
            Some(Ok(lease)) => lease,
            Some(Err(error)) if self.is_needed => return self.fail(&gathering, error.into()),
            // Without a link the session does it all: why there is none is the pool's affair.
            _ => return,
        };
        let states = self.pool.states.clone();
        let bring = lease.bring(self.want.schema.as_ref(), &self.state, &states);
        match watch.unless_over(gathering.limit, bring).await {
            Some(Ok(Brought::Already | Brought::Done)) => {}
            other => {
                lease.close(ClosedReason::Dirty);
                match other {
                    Some(Ok(Brought::NoSchema(err) | Brought::Refused(err))) if self.is_needed => {
                        self.fail(&gathering, Refusal::of_server(err));
                    }
                    Some(Err(error)) if self.is_needed => self.fail(&gathering, error.into()),
                    None if self.is_needed => {
                        self.fail(&gathering, Refusal::backend_timeout(gathering.limit))
                    }
                    _ => {}
                }
                return;
            }
        }
        let mut next = gathering.begin(self.pool.cluster, self.renames.clone());
        drop(opening);
        while let Some((leg, reading)) = next {
            if !self.part(&mut lease, leg, reading, &watch).await {
                return lease.close(ClosedReason::Dirty);
            }
            next = gathering.begin(self.pool.cluster, self.renames.clone());
        }
        match lease.status.contains(StatusFlags::IN_TRANS) {
            // Nobody is to find it, however it came about.
            true => lease.close(ClosedReason::Dirty),
            false => lease.give_back(),
        }
    }

    /// The read fails by this link, of the server that has the part.
    fn fail(&self, gathering: &Gathering, refusal: Refusal) {
        let cluster = &self.ctx.clusters[self.pool.cluster];
        if refusal.is_about_server() || refusal.is_lost_link() {
            cluster.view.suspect(self.pool.member);
        }
        gathering.fail(match self.is_needed {
            true => refusal.on_server(&cluster.name, None),
            false => refusal,
        });
    }

    /// Runs a part. Whether its link is as good as before.
    async fn part(&self, lease: &mut Lease, leg: Leg, mut reading: Reading, watch: &Watch<'_>) -> bool {
        let gathering = watch.gathering;
        let asked = self.ask(lease, leg, &mut reading, gathering);
        let asked = watch.unless_over(gathering.left(&watch.timer), asked).await;
        let is_wanted = !gathering.is_enough() && !gathering.is_over();
        match asked {
            Some(Ok(Gathered::Done { warnings })) => {
                gathering.add_warnings(warnings);
                gathering.end_part(&reading);
                true
            }
            Some(Ok(Gathered::Failed(err))) => {
                if is_wanted {
                    let message = self.renames.message(&err.message).unwrap_or(err.message);
                    gathering.fail(Refusal::of_server(ErrPacket { message, ..err }));
                }
                true
            }
            Some(Err(error)) => {
                if is_wanted {
                    self.fail(gathering, error.into());
                }
                false
            }
            None => {
                self.end_on_server(lease);
                if is_wanted {
                    gathering.fail(Refusal::out_of_time(gathering.limit, self.mariadb));
                }
                false
            }
        }
    }

    /// Says a part, and gives what comes to the read that it is of, as far as that has room.
    async fn ask(
        &self,
        lease: &mut Lease,
        leg: Leg,
        reading: &mut Reading,
        gathering: &Gathering,
    ) -> Result<Gathered, LinkError> {
        let command = match leg.say {
            Say::Text(command) => command,
            Say::Execute(execute) => match self.execution(lease, &execute).await? {
                Ok(payload) => command_packet(&payload).into(),
                Err(err) => return Ok(Gathered::Failed(err)),
            },
        };
        self.count(Direction::BackendOut, &command);
        let answer = lease.socket.exchange(command, &lease.socket).await;
        let mut chunk = answer.map_err(io::Error::from)?.ok_or(LinkError::Closed)?;
        loop {
            let bytes = Payload::from(chunk);
            self.count(Direction::BackendIn, &bytes);
            if let Some(end) = gathering.take(reading, bytes)? {
                let gathered = lease.gathered(&end)?;
                if matches!(gathered, Gathered::Done { warnings } if warnings > 0) {
                    let list = lease.warnings().await?.unwrap_or_default();
                    gathering.list(reading.shard, in_known_names(list, &self.renames));
                }
                return Ok(gathered);
            }
            gathering.room(reading.lane).await;
            chunk = lease.socket.receive().await?.ok_or(LinkError::Closed)?;
        }
    }

    fn count(&self, direction: Direction, bytes: &Payload) {
        self.ctx.metrics.bytes.of(direction).add(bytes.len() as u64);
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
