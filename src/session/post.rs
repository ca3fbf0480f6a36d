//! What sessions of one core ask of another core, and clients that are another core's to serve. A letter goes to the
//! control executor, which passes it on to the inbox of the core that it is for; the answer comes back the same way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::arrival::{Arrival, begin};
use super::context::{Context, Phase};
use super::driver::{Session, Waited};
use super::failure::{Refusal, Stop};
use super::kill::{KillOrder, Killed};
use super::processlist::Listed;

/// Letters that the control executor has not passed on yet; one more is refused.
pub const LETTERS_MAX: usize = 4096;

/// A request on its way to a core, or the answer on its way back.
pub struct Letter {
    /// The core that it is for.
    pub to: u32,
    from: u32,
    /// Given by the core that asks.
    number: u64,
    body: Body,
}

enum Body {
    Request(Request),
    Answer(Answer),
    /// A client that the other core has accepted.
    Client(Arrival),
}

pub(super) enum Request {
    Kill(KillOrder),
    /// The sessions of a cluster.
    Sessions {
        cluster: usize,
    },
}

pub(super) enum Answer {
    Killed(Killed),
    Sessions(Vec<Listed>),
}

/// The post office of a core.
pub(super) struct Post {
    out: async_channel::Sender<Letter>,
    next: Cell<u64>,
    /// Who waits for an answer, by the number of the letter.
    asked: RefCell<HashMap<u64, async_channel::Sender<Answer>>>,
}

impl Post {
    pub fn new(out: async_channel::Sender<Letter>) -> Self {
        Self { out, next: Cell::new(0), asked: RefCell::default() }
    }

    fn arrived(&self, number: u64, answer: Answer) {
        // Nobody is found when the wait was given up.
        if let Some(asker) = self.asked.borrow_mut().remove(&number) {
            let _ = asker.try_send(answer);
        }
    }
}

/// An answer that is waited for.
struct Pending {
    ctx: Rc<Context>,
    number: u64,
    answer: async_channel::Receiver<Answer>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.ctx.post.asked.borrow_mut().remove(&self.number);
    }
}

impl Session {
    /// Asks a core and waits for its answer.
    pub(super) async fn ask_core(&self, to: u32, request: Request) -> Result<Answer, Stop> {
        let pool = &self.cluster().pool();
        // The other core may have to ask the backend, which its pool bounds.
        let there = match request {
            Request::Kill(_) => pool.kill_timeout(),
            Request::Sessions { .. } => pool.settings.connect_timeout,
        };
        let limit = there + std::time::Duration::from_secs(1);
        let (asker, answer) = async_channel::bounded(1);
        let number = self.ctx.post.next.get();
        self.ctx.post.next.set(number.wrapping_add(1));
        self.ctx.post.asked.borrow_mut().insert(number, asker);
        let pending = Pending { ctx: self.ctx.clone(), number, answer };
        let letter = Letter { to, from: self.ctx.core_index(), number, body: Body::Request(request) };
        if !send(&self.ctx, letter) {
            return Err(Refusal::core_silent(to).into());
        }
        match self.wait(limit, Phase::Ending, pending.answer.recv()).await {
            Ok(Ok(answer)) => Ok(answer),
            Err(Waited::Ended) => Err(self.ended().into()),
            _ => Err(Refusal::core_silent(to).into()),
        }
    }
}

/// A letter has reached this core.
pub fn deliver(ctx: &Rc<Context>, letter: Letter) {
    let Letter { from, number, body, .. } = letter;
    let request = match body {
        Body::Answer(answer) => return ctx.post.arrived(number, answer),
        Body::Request(request) => request,
        Body::Client(arrival) => return begin(ctx, arrival),
    };
    let here = ctx.clone();
    // It may have to ask the backend, and the inbox must not wait for that.
    ctx.core.spawn(async move {
        let answer = match request {
            Request::Kill(order) => Answer::Killed(super::kill::carry_out(&here, order).await),
            Request::Sessions { cluster } => Answer::Sessions(super::processlist::sessions(&here, cluster)),
        };
        let letter = Letter { to: from, from: here.core_index(), number, body: Body::Answer(answer) };
        // Without a place for it the asker's time runs out.
        send(&here, letter);
    });
}

/// Sends a client to the core of its ticket. It is given back if the control executor can't take it.
pub(super) fn send_client(ctx: &Context, arrival: Arrival) -> Result<(), Arrival> {
    let (to, from) = (arrival.ticket.core(), ctx.core_index());
    let letter = Letter { to, from, number: 0, body: Body::Client(arrival) };
    match ctx.post.out.try_send(letter).map_err(async_channel::TrySendError::into_inner) {
        Err(Letter { body: Body::Client(arrival), .. }) => Err(arrival),
        _ => Ok(()),
    }
}

/// False if the control executor can't take it.
fn send(ctx: &Rc<Context>, letter: Letter) -> bool {
    if letter.to == ctx.core_index() {
        deliver(ctx, letter);
        return true;
    }
    ctx.post.out.try_send(letter).is_ok()
}
