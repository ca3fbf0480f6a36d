//! What the primary has written by now: one question at a time for all sessions of a core that want to know.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::net::Timer;
use crate::pool::{SmallReply, Want};
use crate::protocol::resultset::ascii;
use crate::router::GtidSet;

use super::context::Cluster;

/// The questions to the primary of a cluster.
#[derive(Default)]
pub struct Positions(RefCell<Questions>);

#[derive(Default)]
struct Questions {
    /// How many have been asked.
    begun: u64,
    /// The last one that has an answer.
    answered: u64,
    is_asking: bool,
    last: Option<Rc<GtidSet>>,
    waiting: Vec<Waker>,
}

/// One question. Dropped without an answer, it lets somebody else ask.
struct Question<'a>(&'a Positions);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut questions = self.0.0.borrow_mut();
        questions.is_asking = false;
        std::mem::take(&mut questions.waiting).into_iter().for_each(Waker::wake);
    }
}

impl Cluster {
    /// What the primary has written at some moment after this is first polled. `None` if it does not tell. `want` is what whoever
    /// asks wants of links to a member: one of these is asked.
    pub(super) async fn position_of_primary(&self, want: impl Fn(usize) -> Want) -> Option<Rc<GtidSet>> {
        // An answer to a question that is under way may be older.
        let wanted = self.positions.0.borrow().begun + 1;
        loop {
            let turn = std::future::poll_fn(|cx| {
                let mut questions = self.positions.0.borrow_mut();
                if questions.answered >= wanted {
                    return Poll::Ready(Turn::Answer(questions.last.clone()));
                }
                if !questions.is_asking {
                    questions.is_asking = true;
                    questions.begun += 1;
                    return Poll::Ready(Turn::Ask(questions.begun, Question(&self.positions)));
                }
                questions.waiting.push(cx.waker().clone());
                Poll::Pending
            });
            match turn.await {
                Turn::Answer(position) => return position,
                Turn::Ask(number, question) => {
                    let position = self.ask_position(&want).await.map(Rc::new);
                    let mut questions = self.positions.0.borrow_mut();
                    (questions.answered, questions.last) = (number, position);
                    drop(questions);
                    drop(question);
                }
            }
        }
    }

    async fn ask_position(&self, want: &impl Fn(usize) -> Want) -> Option<GtidSet> {
        let pool = self.primary()?;
        let timer = Timer::new(pool.timers());
        let mut lease = pool.checkout(&want(pool.member), &timer).await.ok()?;
        let mariadb = pool.profile().is_some_and(|profile| profile.is_mariadb());
        let variable = if mariadb { "gtid_binlog_pos" } else { "gtid_executed" };
        let sql = format!("SELECT @@global.{variable} LIMIT 1");
        let reply = timer.within(pool.settings.connect_timeout, lease.query(&sql)).await.ok()?.ok()?;
        lease.give_back();
        match reply {
            SmallReply::Row(row) => {
                let position = ascii(row.first()?.as_deref()?);
                GtidSet::parse(&position, mariadb).filter(|position| !position.is_empty())
            }
            SmallReply::Ok(_) | SmallReply::Err(_) => None,
        }
    }
}

enum Turn<'a> {
    Answer(Option<Rc<GtidSet>>),
    Ask(u64, Question<'a>),
}
